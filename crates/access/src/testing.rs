//! What the tests of this crate share: private values in memory and a directory of made-up people.

use async_trait::async_trait;
use kernel::TenantId;
use kernel::backend::Answer;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::directory::{Directory, PersonFacts};
use crate::private::Private;
use crate::witness::{Event, Witness};

/// Private values in memory; one lock, so claims are as atomic as a database's.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<(String, String), Vec<u8>>>);

impl Memory {
    pub fn private() -> Arc<dyn Private> {
        Arc::new(Self::default())
    }
}

#[async_trait]
impl Private for Memory {
    async fn put(&self, area: &str, key: &str, value: Option<&[u8]>) -> Answer<()> {
        let place = (area.to_owned(), key.to_owned());
        match value {
            Some(value) => self.0.lock().insert(place, value.to_vec()),
            None => self.0.lock().remove(&place),
        };
        Ok(())
    }
    async fn get(&self, area: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        Ok(self.0.lock().get(&(area.to_owned(), key.to_owned())).cloned())
    }
    async fn all(&self, area: &str) -> Answer<Vec<(String, Vec<u8>)>> {
        Ok(self
            .0
            .lock()
            .iter()
            .filter(|((a, _), _)| a == area)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
    async fn claim(&self, area: &str, key: &str, value: &[u8]) -> Answer<bool> {
        let mut map = self.0.lock();
        let place = (area.to_owned(), key.to_owned());
        if map.contains_key(&place) {
            return Ok(false);
        }
        map.insert(place, value.to_vec());
        Ok(true)
    }
}

/// Keeps what it was told.
#[derive(Default)]
pub struct Notebook(pub Mutex<Vec<Event>>);

#[async_trait]
impl Witness for Notebook {
    async fn saw(&self, event: Event) {
        self.0.lock().push(event);
    }
}

/// People that a test makes and changes.
#[derive(Default)]
pub struct People(pub Mutex<BTreeMap<(i64, String), PersonFacts>>);

impl People {
    pub fn add(&self, tenant: TenantId, key: &str, roles: &[&str]) {
        let facts = PersonFacts {
            key: key.into(),
            title: key.to_uppercase(),
            roles: roles.iter().map(ToString::to_string).collect(),
            disabled: false,
        };
        self.0.lock().insert((tenant.0, key.into()), facts);
    }

    pub fn change(&self, tenant: TenantId, key: &str, change: impl FnOnce(&mut PersonFacts)) {
        change(self.0.lock().get_mut(&(tenant.0, key.to_owned())).expect("a person"));
    }
}

#[async_trait]
impl Directory for People {
    async fn person(&self, tenant: TenantId, key: &str) -> Option<PersonFacts> {
        self.0.lock().get(&(tenant.0, key.to_owned())).cloned()
    }

    async fn add_admin(&self, tenant: TenantId, key: &str, title: &str) -> Result<(), String> {
        let facts = PersonFacts { key: key.into(), title: title.into(), roles: vec!["admin".into()], disabled: false };
        self.0.lock().insert((tenant.0, key.to_owned()), facts);
        Ok(())
    }
}
