//! What the kernel promises, tried on the real store, the real classes and the real policies, on a clock moved by hand.

mod acts;
mod asking;
mod isolation;
mod loops;
mod maintenance;
mod rules;
mod rules_peer;

use access::{Access, KeyFolder, Lifetimes, OverBackend, Parts, Policies};
use kernel::backend::Backend;
use kernel::clock::HandClock;
use kernel::session::{Actor, ActorKind};
use kernel::{Clock, Kernel, Session, TenantId, Time};
use serde_json::{Map, Value};
use std::sync::{Arc, OnceLock};

/// A Mainstay without a network: everything but listeners, checks and the agent.
pub struct World {
    pub kernel: Kernel,
    pub clock: HandClock,
    folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::Store::open_sqlite(folder.path(), store::Options::default()).unwrap();
        let backend: Arc<dyn Backend> = store;
        let clock = HandClock::at(Time::parse("2026-11-21T03:12:09Z").unwrap());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let cell: Arc<OnceLock<Kernel>> = Arc::default();
        let keys = KeyFolder::open(&folder.path().join("keys")).unwrap();
        let access = Access::new(Parts {
            private: Arc::new(OverBackend(backend.clone())),
            clock: shared.clone(),
            directory: Arc::new(crate::people::People { backend: backend.clone(), kernel: cell.clone() }),
            keys: &keys,
            data: folder.path(),
            lifetimes: Lifetimes::default(),
            policies: Policies::built_in(),
            classes: Arc::new(crate::people::Known(cell.clone())),
            witness: Arc::new(crate::witness::Scribe(cell.clone())),
        })
        .unwrap();
        let kernel =
            Kernel::start(backend, crate::domains::registry().unwrap(), shared, Arc::new(access)).await.unwrap();
        drop(cell.set(kernel.clone()));
        crate::people::standard_roles(&kernel).await.unwrap();
        Self { kernel, clock, folder }
    }

    /// A person of the home tenant with a role; the record is made too, so that it can own things.
    pub async fn person(&self, key: &str, role: &str) -> Session {
        let create = kernel::act::Create::of("person", serde_json::json!({"name": key, "roles": [role]})).keyed(key);
        self.kernel.act(&Session::system(TenantId::HOME), create).await.unwrap();
        Session::authenticated(Actor::new(ActorKind::Person, key), TenantId::HOME, vec![role.to_owned()])
    }

    /// From now on the store refuses that, such as `INSERT ON private`.
    pub fn refuse(&self, what: &str) -> Refusing {
        let file = rusqlite::Connection::open(self.folder.path().join(crate::offline::RECORDS)).unwrap();
        let trigger =
            format!("CREATE TRIGGER refusing BEFORE {what} BEGIN SELECT RAISE(ABORT, 'refused by a test'); END");
        file.execute_batch(&trigger).unwrap();
        Refusing(file)
    }

    /// From now on the store refuses every entry about records of that class.
    pub fn refuse_entries(&self, class: &str) -> Refusing {
        self.refuse(&format!("INSERT ON journal WHEN new.kind = '{class}'"))
    }

    /// An administrator.
    pub async fn admin(&self) -> Session {
        self.person("ana", "admin").await
    }
}

/// A store that refuses, until this goes.
pub struct Refusing(rusqlite::Connection);

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.execute_batch("DROP TRIGGER refusing").unwrap();
    }
}

/// A JSON object as fields.
pub fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("fields are an object") };
    fields
}
