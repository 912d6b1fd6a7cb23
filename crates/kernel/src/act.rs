//! The one write path: authorise → shape → checks → life cycle → one commit {records, links, journal, intervals, jobs} → wake.
//!
//! [`Kernel::act`] takes a [`Session`], which only authentication can make; so an unaudited write has no type. Several acts given
//! together are one commit: all of them or none. What an act becomes is decided in [`plan`](crate::plan); this file owns the loop
//! around it: retry when nobody asked for a version and another writer was first, and the wake-up afterwards.

use parking_lot::RwLock;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

use crate::backend::{Backend, Commit};
use crate::clock::{Clock, Time};
use crate::error::{ActError, Noun, StoreError};
use crate::ids::{Id, TenantId};
use crate::interval::Correction;
use crate::job::JobDraft;
use crate::observation::{AcceptSide, Look};
use crate::plan::Plan;
use crate::record::{HealthState, Record};
use crate::registry::Registry;
use crate::session::{Policy, Session};

/// Which record an act is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The record of that class and key.
    Key(String, String),
    /// The record behind that id.
    Id(Id),
}

impl Target {
    /// By class and key.
    pub fn key(kind: &str, key: &str) -> Self {
        Self::Key(kind.to_owned(), key.to_owned())
    }
}

impl From<Id> for Target {
    fn from(id: Id) -> Self {
        Self::Id(id)
    }
}

/// A link to be made from a new record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Its type.
    pub name: String,
    /// Its target.
    pub to: Target,
}

/// Something to be done to a record.
#[derive(Clone, Debug)]
pub enum Act {
    /// A new record.
    Create(Create),
    /// Other values: a merge patch, in which null removes.
    Update {
        /// Which.
        target: Target,
        /// New values.
        fields: Map<String, Value>,
        /// New owner: `Some(None)` takes the owner away.
        owner: Option<Option<String>>,
        /// The version that the caller saw; refused when it is another by now.
        expect: Option<u64>,
    },
    /// A step of the life cycle.
    Transition {
        /// Which.
        target: Target,
        /// The step.
        name: String,
        /// What it asks for.
        fields: Map<String, Value>,
        /// Why, in a sentence.
        note: Option<String>,
        /// The version that the caller saw.
        expect: Option<u64>,
    },
    /// Becomes a tombstone.
    Delete {
        /// Which.
        target: Target,
        /// The version that the caller saw.
        expect: Option<u64>,
    },
    /// A link between two records.
    Link {
        /// Source.
        from: Target,
        /// Type.
        name: String,
        /// Target.
        to: Target,
    },
    /// A link that goes.
    Unlink {
        /// Source.
        from: Target,
        /// Type.
        name: String,
        /// Target.
        to: Target,
    },
    /// A sentence in the timeline.
    Note {
        /// Which.
        target: Target,
        /// The text.
        text: String,
    },
    /// Something that happened about it and changed no field of it, such as a sign-in; only Mainstay itself tells.
    Tell {
        /// Of which.
        target: Target,
        /// What happened, in kebab-case: `sign-in`.
        action: String,
        /// The circumstances, by name. Never a secret.
        details: Map<String, Value>,
        /// The same as a sentence.
        note: String,
    },
    /// How well it is; only Mainstay's own controllers say so.
    Health {
        /// Which.
        target: Target,
        /// How well.
        state: HealthState,
        /// What was seen.
        reason: String,
    },
    /// What a source saw.
    Observe {
        /// Of which.
        target: Target,
        /// What.
        looks: Vec<Look>,
    },
    /// Settles a drift.
    Accept {
        /// Of which.
        target: Target,
        /// Which field.
        field: String,
        /// Who is right.
        side: AcceptSide,
    },
    /// Corrects the past.
    Correct {
        /// Which interval.
        interval: Id,
        /// What it should say.
        correction: Correction,
    },
    /// Takes back what an earlier entry tells of.
    Undo {
        /// Which record.
        target: Target,
        /// The entry.
        seq: u64,
    },
    /// Work for after the commit; only Mainstay's own controllers.
    Enqueue(JobDraft),
}

/// A new record.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// Its class.
    pub kind: String,
    /// Its key; left out, it is numbered or made from its title.
    pub key: Option<String>,
    /// Its fields.
    pub fields: Map<String, Value>,
    /// Links from it.
    pub links: Vec<NewLink>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Another state than the initial one: for imports and own controllers.
    pub state: Option<String>,
    /// An id chosen beforehand, so that other acts of the same commit can name it.
    pub id: Option<Id>,
}

impl Create {
    /// A new record of a class with these fields (a JSON object).
    pub fn of(kind: &str, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { kind: kind.to_owned(), fields, ..Self::default() }
    }

    /// With this key.
    pub fn keyed(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With a link.
    pub fn linked(mut self, name: &str, to: impl Into<Target>) -> Self {
        self.links.push(NewLink { name: name.to_owned(), to: to.into() });
        self
    }
}

impl From<Create> for Act {
    fn from(create: Create) -> Self {
        Self::Create(create)
    }
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The record of each act, as it is now, in the order of the acts (links: the source).
    pub records: Vec<Record>,
    /// Journal entries written, in order.
    pub seqs: Vec<u64>,
    /// The request had been done before: `records` is what it made then, nothing was written now.
    pub repeated: bool,
}

impl Done {
    /// The record of the first act.
    ///
    /// # Errors
    /// Never for acts on records; a defect otherwise, told as a conflict.
    pub fn record(mut self) -> Result<Record, ActError> {
        if self.records.is_empty() {
            return Err(ActError::Conflict("the act changed nothing".into()));
        }
        Ok(self.records.swap_remove(0))
    }
}

struct Inner {
    backend: Arc<dyn Backend>,
    registry: Registry,
    clock: Arc<dyn Clock>,
    policy: Arc<dyn Policy>,
    head: watch::Sender<u64>,
    tenants: RwLock<BTreeMap<TenantId, String>>,
}

/// The kernel at work: registry, backend, clock and policy together. Cheap to clone.
#[derive(Clone)]
pub struct Kernel {
    inner: Arc<Inner>,
}

impl Kernel {
    /// Starts on a backend: fits its tables and indexes to the classes and makes sure that the home tenant exists.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn start(
        backend: Arc<dyn Backend>,
        registry: Registry,
        clock: Arc<dyn Clock>,
        policy: Arc<dyn Policy>,
    ) -> Result<Self, StoreError> {
        backend.fit(&registry.classes()).await?;
        let mut tenants: BTreeMap<TenantId, String> = backend.tenants().await?.into_iter().collect();
        if tenants.is_empty() {
            let id = backend.add_tenant("internal").await?;
            tenants.insert(id, "internal".into());
        }
        let head = watch::Sender::new(backend.head().await?);
        let inner = Inner { backend, registry, clock, policy, head, tenants: RwLock::new(tenants) };
        let kernel = Self { inner: Arc::new(inner) };
        if let Err(error) = kernel.reload_classes().await {
            // A class that no longer fits must not keep the pager down: it is told, and its records are served without it.
            tracing::error!(%error, "users' classes do not fit and are left out; see `mainstay doctor`");
        }
        Ok(kernel)
    }

    /// The classes.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The store, for reads that are below policy: controllers, drivers, verification. Surfaces use [`crate::read`].
    pub fn backend(&self) -> &dyn Backend {
        &*self.inner.backend
    }

    /// The store, shared.
    pub fn shared_backend(&self) -> Arc<dyn Backend> {
        self.inner.backend.clone()
    }

    /// Who may do what.
    pub fn policy(&self) -> &dyn Policy {
        &*self.inner.policy
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock.clone()
    }

    /// The newest journal sequence, and a wake-up for each that follows.
    pub fn head(&self) -> watch::Receiver<u64> {
        self.inner.head.subscribe()
    }

    /// Key of a tenant.
    pub fn tenant_key(&self, tenant: TenantId) -> String {
        self.inner.tenants.read().get(&tenant).cloned().unwrap_or_else(|| tenant.0.to_string())
    }

    /// Tenant of a key.
    pub fn tenant(&self, key: &str) -> Option<TenantId> {
        self.inner.tenants.read().iter().find(|(_, k)| *k == key).map(|(t, _)| *t)
    }

    /// All tenants.
    pub fn tenants(&self) -> Vec<(TenantId, String)> {
        self.inner.tenants.read().iter().map(|(t, k)| (*t, k.clone())).collect()
    }

    /// Does one thing.
    ///
    /// # Errors
    /// Why it was not done; nothing was changed then.
    pub async fn act(&self, session: &Session, act: impl Into<Act>) -> Result<Record, ActError> {
        self.acts(session, vec![act.into()], None).await?.record()
    }

    /// Does several things in one commit: all or none. `idempotency` is the caller's key and a fingerprint of the request.
    ///
    /// # Errors
    /// Why they were not done; nothing was changed then.
    pub async fn acts(
        &self,
        session: &Session,
        acts: Vec<Act>,
        idempotency: Option<(String, [u8; 32])>,
    ) -> Result<Done, ActError> {
        let mut attempts_left = 8u32;
        loop {
            match self.attempt(session, &acts, idempotency.clone()).await {
                // Nobody asked for a version, and another writer was first: look again, decide again.
                Err(ActError::Store(StoreError::Stale(_))) if attempts_left > 0 => attempts_left -= 1,
                other => return other,
            }
        }
    }

    async fn attempt(
        &self,
        session: &Session,
        acts: &[Act],
        idempotency: Option<(String, [u8; 32])>,
    ) -> Result<Done, ActError> {
        let mut plan = Plan::new(self, session);
        for act in acts {
            plan.add(act).await?;
        }
        let Plan { steps, results, new_tenants, .. } = plan;
        let classes: Vec<&Record> = results.iter().map(|r| &r.record).filter(|r| r.kind.as_str() == "class").collect();
        let reload = !classes.is_empty();
        if reload {
            self.check_classes(&classes).await?;
        }
        if steps.is_empty() {
            return Ok(Done { records: results.into_iter().map(|r| r.record).collect(), ..Done::default() });
        }
        let idempotency = idempotency.map(|(key, print)| (format!("{}|{key}", session.actor()), print));
        let key = idempotency.as_ref().map(|(k, _)| k.clone()).unwrap_or_default();
        let commit = Commit { tenant: session.tenant(), steps, idempotency, now: self.now() };
        let committed = match self.inner.backend.commit(commit).await {
            Ok(committed) => committed,
            Err(StoreError::Repeated { same: true, record }) => return self.replay(session, record).await,
            Err(StoreError::Repeated { same: false, .. }) => {
                return Err(ActError::IdempotencyReused(
                    key.split_once('|').map_or(key.clone(), |(_, k)| k.to_owned()),
                ));
            }
            Err(StoreError::KeyTaken(key)) => return Err(ActError::KeyTaken(key)),
            Err(StoreError::Link(why)) => return Err(ActError::Conflict(why)),
            Err(error) => return Err(error.into()),
        };
        for tenant in new_tenants {
            let id = self.inner.backend.add_tenant(&tenant).await?;
            self.inner.tenants.write().insert(id, tenant);
        }
        if reload {
            self.reload_classes().await?;
        }
        let mut keys = committed.keys.into_iter();
        let records = results
            .into_iter()
            .map(|mut result| {
                if result.inserted
                    && let Some(key) = keys.next()
                {
                    if result.record.title.is_empty() {
                        result.record.title.clone_from(&key);
                    }
                    result.record.key = key;
                }
                result.record
            })
            .collect();
        if let Some(last) = committed.seqs.last() {
            self.wake(*last);
        } else if !committed.jobs.is_empty() {
            // Work without an entry of its own: whoever leases jobs has to look all the same.
            self.inner.head.send_modify(|_| {});
        }
        Ok(Done { records, seqs: committed.seqs, repeated: false })
    }

    /// Tells everybody who tails the journal that it has grown to `seq`.
    pub fn wake(&self, seq: u64) {
        self.inner.head.send_if_modified(|head| {
            let grew = seq > *head;
            *head = seq.max(*head);
            grew
        });
    }

    async fn replay(&self, session: &Session, record: Option<Id>) -> Result<Done, ActError> {
        let id = record.ok_or_else(|| ActError::Conflict("the request was done before and made no record".into()))?;
        let record = self.inner.backend.get(session.tenant(), id).await?;
        let record =
            record.ok_or_else(|| ActError::Unknown { noun: Noun::Record, name: id.to_string(), near: Vec::new() })?;
        Ok(Done { records: vec![record], seqs: Vec::new(), repeated: true })
    }
}
