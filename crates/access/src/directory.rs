//! Who there is: the little that access needs to know about people, asked at use time. What was answered counts no longer than nothing
//! is written that could change it.

use async_trait::async_trait;
use kernel::TenantId;

/// What access knows of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// Key of the `person` record.
    pub key: String,
    /// Name for people.
    pub title: String,
    /// Keys of the roles held.
    pub roles: Vec<String>,
    /// May not sign in; sessions and tokens do not work.
    pub disabled: bool,
}

/// The people, as records of the kernel have them.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// The person of that key; `None` when there is none, or the store cannot be asked: then nobody is let in.
    async fn person(&self, tenant: TenantId, key: &str) -> Option<PersonFacts>;

    /// Makes the first admin, or makes an existing person an admin again after `admin reset`.
    ///
    /// # Errors
    /// Why not, for people.
    async fn add_admin(&self, tenant: TenantId, key: &str, title: &str) -> Result<(), String>;
}
