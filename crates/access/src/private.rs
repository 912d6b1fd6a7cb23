//! What access keeps, and where: small private values that are not records, so that no export, journal or search meets them.
//!
//! Everything written here is a hash, sealed by the [vault](crate::vault) or harmless. Keys name the tenant where one applies.

use async_trait::async_trait;
use kernel::TenantId;
use kernel::backend::{Answer, Backend};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use crate::error::AuthError;

/// The calls of a backend that access makes; nothing else of the store can be reached from here.
#[async_trait]
pub trait Private: Send + Sync + 'static {
    /// Writes or, with `None`, removes.
    async fn put(&self, area: &str, key: &str, value: Option<&[u8]>) -> Answer<()>;
    /// Reads one.
    async fn get(&self, area: &str, key: &str) -> Answer<Option<Vec<u8>>>;
    /// Reads an area.
    async fn all(&self, area: &str) -> Answer<Vec<(String, Vec<u8>)>>;
    /// Writes only where there is nothing; `false` when there is something.
    async fn claim(&self, area: &str, key: &str, value: &[u8]) -> Answer<bool>;
    /// See [`Backend::edition`]: of these values and of the people.
    fn edition(&self) -> Option<u64>;
}

/// Those calls on a real backend.
pub struct OverBackend(pub Arc<dyn Backend>);

#[async_trait]
impl Private for OverBackend {
    async fn put(&self, area: &str, key: &str, value: Option<&[u8]>) -> Answer<()> {
        self.0.put_private(area, key, value).await
    }
    async fn get(&self, area: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        self.0.private(area, key).await
    }
    async fn all(&self, area: &str) -> Answer<Vec<(String, Vec<u8>)>> {
        self.0.privates(area).await
    }
    async fn claim(&self, area: &str, key: &str, value: &[u8]) -> Answer<bool> {
        self.0.claim_private(area, key, value).await
    }
    fn edition(&self) -> Option<u64> {
        self.0.edition()
    }
}

/// A kind of private value: JSON under keys of one area.
#[derive(Clone)]
pub(crate) struct Area {
    private: Arc<dyn Private>,
    name: &'static str,
}

impl Area {
    pub(crate) fn new(private: &Arc<dyn Private>, name: &'static str) -> Self {
        Self { private: private.clone(), name }
    }

    pub(crate) fn edition(&self) -> Option<u64> {
        self.private.edition()
    }

    pub(crate) async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), AuthError> {
        let json = serde_json::to_vec(value).expect("private values are plain data");
        Ok(self.private.put(self.name, key, Some(&json)).await?)
    }

    pub(crate) async fn remove(&self, key: &str) -> Result<(), AuthError> {
        Ok(self.private.put(self.name, key, None).await?)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, AuthError> {
        let Some(json) = self.private.get(self.name, key).await? else { return Ok(None) };
        self.read(key, &json).map(Some)
    }

    pub(crate) async fn all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>, AuthError> {
        let all = self.private.all(self.name).await?;
        all.into_iter().map(|(key, json)| self.read(&key, &json).map(|value| (key, value))).collect()
    }

    pub(crate) async fn is_empty(&self) -> Result<bool, AuthError> {
        Ok(self.private.all(self.name).await?.is_empty())
    }

    pub(crate) async fn claim<T: Serialize>(&self, key: &str, value: &T) -> Result<bool, AuthError> {
        let json = serde_json::to_vec(value).expect("private values are plain data");
        Ok(self.private.claim(self.name, key, &json).await?)
    }

    fn read<T: DeserializeOwned>(&self, key: &str, json: &[u8]) -> Result<T, AuthError> {
        serde_json::from_slice(json)
            .map_err(|e| AuthError::Damaged(format!("the stored {} of {key} cannot be read: {e}", self.name)))
    }
}

/// The key of something that belongs to a person.
pub(crate) fn person_key(tenant: TenantId, person: &str) -> String {
    format!("{}/{person}", tenant.0)
}
