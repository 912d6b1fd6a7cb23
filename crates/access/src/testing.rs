//! What the tests of this crate share: private values in memory and a directory of made-up people.

use async_trait::async_trait;
use kernel::TenantId;
use kernel::backend::Answer;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::directory::{Directory, PersonFacts};
use crate::private::Private;
use crate::witness::{Event, Witness};

/// Private values in memory; one lock, so claims are as atomic as a database's.
#[derive(Default)]
pub struct Memory {
    values: Mutex<BTreeMap<(String, String), Vec<u8>>>,
    /// Of these values and the people beside them.
    edition: Arc<AtomicU64>,
    /// How often a single value was asked for.
    pub reads: AtomicU64,
}

impl Memory {
    pub fn private() -> Arc<dyn Private> {
        Arc::new(Self::default())
    }

    /// Kept in one store with those people.
    pub fn beside(people: &People) -> Arc<Self> {
        Arc::new(Self { edition: people.edition.clone(), ..Self::default() })
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<(String, String), Vec<u8>>) -> T) -> T {
        let changed = change(&mut self.values.lock());
        self.edition.fetch_add(1, Ordering::Release);
        changed
    }
}

#[async_trait]
impl Private for Memory {
    async fn put(&self, area: &str, key: &str, value: Option<&[u8]>) -> Answer<()> {
        let place = (area.to_owned(), key.to_owned());
        self.write(|values| match value {
            Some(value) => values.insert(place, value.to_vec()),
            None => values.remove(&place),
        });
        Ok(())
    }
    async fn get(&self, area: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.values.lock().get(&(area.to_owned(), key.to_owned())).cloned())
    }
    async fn all(&self, area: &str) -> Answer<Vec<(String, Vec<u8>)>> {
        Ok(self
            .values
            .lock()
            .iter()
            .filter(|((a, _), _)| a == area)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
    async fn claim(&self, area: &str, key: &str, value: &[u8]) -> Answer<bool> {
        let place = (area.to_owned(), key.to_owned());
        Ok(self.write(|values| match values.entry(place) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(value.to_vec());
                true
            }
        }))
    }
    fn edition(&self) -> Option<u64> {
        Some(self.edition.load(Ordering::Acquire))
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
pub struct People {
    pub people: Mutex<BTreeMap<(i64, String), PersonFacts>>,
    edition: Arc<AtomicU64>,
}

impl People {
    pub fn add(&self, tenant: TenantId, key: &str, roles: &[&str]) {
        let facts = PersonFacts {
            key: key.into(),
            title: key.to_uppercase(),
            roles: roles.iter().map(ToString::to_string).collect(),
            disabled: false,
        };
        self.keep(tenant, facts);
    }

    fn keep(&self, tenant: TenantId, facts: PersonFacts) {
        self.people.lock().insert((tenant.0, facts.key.clone()), facts);
        self.edition.fetch_add(1, Ordering::Release);
    }

    pub fn change(&self, tenant: TenantId, key: &str, change: impl FnOnce(&mut PersonFacts)) {
        change(self.people.lock().get_mut(&(tenant.0, key.to_owned())).expect("a person"));
        self.edition.fetch_add(1, Ordering::Release);
    }
}

#[async_trait]
impl Directory for People {
    async fn person(&self, tenant: TenantId, key: &str) -> Option<PersonFacts> {
        self.people.lock().get(&(tenant.0, key.to_owned())).cloned()
    }

    async fn add_admin(&self, tenant: TenantId, key: &str, title: &str) -> Result<(), String> {
        let facts = PersonFacts { key: key.into(), title: title.into(), roles: vec!["admin".into()], disabled: false };
        self.keep(tenant, facts);
        Ok(())
    }
}
