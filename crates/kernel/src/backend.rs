//! What the kernel asks of a store. One trait, one conformance suite (in `store`), as many backends as pass it.
//!
//! Every call takes the tenant; there is no way to ask without one. A [`Commit`] is all or nothing; when `commit` returns `Ok`, it
//! is on disk. Nothing is decided in a backend except: versions, keys, link ends, idempotency, and the numbers it hands out.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::class::ClassRef;
use crate::clock::Time;
use crate::error::StoreError;
use crate::ids::{Id, Kind, TenantId};
use crate::interval::Interval;
use crate::job::{Job, JobDraft, JobFinish, Lease};
use crate::journal;
use crate::link::{Graph, Link, Neighbour, Walk};
use crate::observation::{Look, Observation};
use crate::query::{Predicate, Query, Total};
use crate::record::{Health, Record};

/// Result of a backend call.
pub type Answer<T> = Result<T, StoreError>;

/// The key of a new record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// This key.
    Given(String),
    /// The next number of this prefix in the tenant.
    Numbered(String),
}

/// One step of a commit, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// A new record. With [`NewKey::Numbered`] the store writes the key into record and entry, and into the title when that is empty.
    Insert {
        /// The record at version 1; its `key` is ignored when numbered.
        record: Box<Record>,
        /// Its key.
        key: NewKey,
        /// Words to find it by.
        search: String,
    },
    /// A record's new value. Refused with [`StoreError::Stale`] unless the stored one is at `expect`.
    Update {
        /// The record at its new version.
        record: Box<Record>,
        /// The version it replaces.
        expect: u64,
        /// Words to find it by.
        search: String,
    },
    /// Present health of a record; its version stays.
    Health {
        /// Whose.
        subject: Id,
        /// What.
        health: Option<Health>,
    },
    /// A link that must not exist yet; both ends must exist in the tenant.
    Link(Link),
    /// A link that goes; gone already is fine.
    Unlink(Link),
    /// A journal entry. Steps after it may refer to its sequence as the cause (see [`Step::OpenInterval`]).
    Entry(Box<journal::Draft>),
    /// Closes the open interval of a subject at `at`, if there is one, and opens one in another state. Cause: the last entry above.
    OpenInterval(Interval),
    /// Marks `old` as superseded and adds `new` ones, which may be several: a correction can cut an interval.
    CorrectInterval {
        /// The interval that no longer counts.
        old: Id,
        /// What replaces it; the first is named as its successor.
        new: Vec<Interval>,
    },
    /// What a source saw of a subject at a time.
    Observe {
        /// Of whom.
        subject: Id,
        /// What.
        look: Look,
        /// When.
        at: Time,
    },
    /// A job to be done after this commit; ignored when its idempotency key is known. Cause: the last entry above.
    Enqueue(JobDraft),
    /// A job that was done, failed or is to be tried again; refused with [`StoreError::LeaseLost`] when the lease is another's.
    Finish(JobFinish),
}

/// All or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Whose.
    pub tenant: TenantId,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// A request that may come twice: (key, fingerprint of its content). The record remembered is the one first inserted or updated.
    pub idempotency: Option<(String, [u8; 32])>,
    /// When, for bookkeeping rows.
    pub now: Time,
}

/// What a commit did.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Sequence of each [`Step::Entry`], in order.
    pub seqs: Vec<u64>,
    /// Key of each [`Step::Insert`], in order.
    pub keys: Vec<String>,
    /// Ids of enqueued jobs (of those that were new).
    pub jobs: Vec<Id>,
    /// Changed rows of each [`Step::Observe`], in order: (added, changed, gone).
    pub observed: Vec<(u64, u64, u64)>,
}

/// A question to the journal.
#[derive(Clone, Debug, Default)]
pub struct JournalQuery {
    /// Only of this tenant; `None` only for Mainstay's own tail over all tenants.
    pub tenant: Option<TenantId>,
    /// After this sequence, oldest first. With `before`: newest first below it.
    pub since: u64,
    /// Newest first, below this sequence.
    pub before: Option<u64>,
    /// Only of this record.
    pub subject: Option<Id>,
    /// Only of these classes; empty: all.
    pub kinds: Vec<Kind>,
    /// At most so many.
    pub limit: usize,
}

/// A record that a controller is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Last entry about it.
    pub seq: u64,
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: Id,
}

/// One answer of a page query.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Records in order.
    pub records: Vec<Record>,
    /// Records that were left out because their checksum is wrong, by key.
    pub damaged: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

/// How a controller is doing; kept so that it survives a restart.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct ControllerState {
    /// Its name.
    pub name: String,
    /// Journal sequence up to which it has been woken.
    pub cursor: u64,
    /// Runs so far.
    pub runs: u64,
    /// When it last ran.
    pub last_run: Option<Time>,
    /// What it last decided, in its own words.
    pub last_reason: String,
    /// Its last failure, if the last run failed.
    pub last_error: Option<String>,
}

/// A store of records, links, journal, intervals, observations and jobs.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Makes tables and indexes fit the classes; called at start and when a class changes.
    async fn fit(&self, classes: &[ClassRef]) -> Answer<()>;
    /// Writes; `Ok` means it is on disk.
    async fn commit(&self, commit: Commit) -> Answer<Committed>;
    /// A record by id, tombstones included.
    async fn get(&self, tenant: TenantId, id: Id) -> Answer<Option<Record>>;
    /// A record by key, tombstones included.
    async fn by_key(&self, tenant: TenantId, key: &str) -> Answer<Option<Record>>;
    /// A page of records that are not deleted.
    async fn page(&self, tenant: TenantId, query: &Query) -> Answer<Page>;
    /// How many match, exact up to `cap`.
    async fn total(&self, tenant: TenantId, kind: &Kind, predicate: &Predicate, cap: u64) -> Answer<Total>;
    /// How many match by each value of a column, most first, at most 50 values.
    async fn counts(
        &self,
        tenant: TenantId,
        kind: &Kind,
        predicate: &Predicate,
        by: &crate::query::Column,
    ) -> Answer<Vec<(Value, u64)>>;
    /// Newest records with all the words, over these classes (each with what may be read of it).
    async fn search(
        &self,
        tenant: TenantId,
        words: &[String],
        readable: &[(Kind, Predicate)],
        limit: usize,
    ) -> Answer<Vec<Record>>;
    /// Links of a record, both directions; deleted ends are left out.
    async fn neighbours(&self, tenant: TenantId, id: Id) -> Answer<Vec<Neighbour>>;
    /// Whether that link stands.
    async fn linked(&self, tenant: TenantId, link: &Link) -> Answer<bool>;
    /// Walks links.
    async fn walk(&self, tenant: TenantId, start: Id, walk: &Walk) -> Answer<Graph>;
    /// Journal entries.
    async fn journal(&self, query: &JournalQuery) -> Answer<Vec<journal::Entry>>;
    /// Sequence of the newest entry; 0 when there is none.
    async fn head(&self) -> Answer<u64>;
    /// Records of these classes touched after `seq`, each once, oldest change first.
    async fn touched_after(&self, kinds: &[Kind], seq: u64, limit: usize) -> Answer<Vec<Touched>>;
    /// Ids of all records of a class that are not deleted (of one tenant or all), from `after` on, for a full scan.
    async fn scan(
        &self,
        kind: &Kind,
        tenant: Option<TenantId>,
        only_open: bool,
        after: Option<Id>,
        limit: usize,
    ) -> Answer<Vec<(TenantId, Id)>>;
    /// Intervals of a record that touch `from..to`, oldest first, superseded ones included.
    async fn intervals(
        &self,
        tenant: TenantId,
        subject: Id,
        from: Time,
        to: Time,
        limit: usize,
    ) -> Answer<Vec<Interval>>;
    /// One interval, with its subject.
    async fn interval(&self, tenant: TenantId, id: Id) -> Answer<Option<Interval>>;
    /// Observations of a record: of one table or all of the small ones ([`crate::observation::FIELDS`] and accepted differences).
    async fn observations(
        &self,
        tenant: TenantId,
        subject: Id,
        table: Option<&str>,
        containing: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<Observation>>;
    /// What an item of a table was before, newest first; `gone` is when another value took its place.
    async fn observation_history(
        &self,
        tenant: TenantId,
        subject: Id,
        table: &str,
        item: &str,
        limit: usize,
    ) -> Answer<Vec<Observation>>;
    /// Tables that were observed of a record, with their present number of rows.
    async fn observed_tables(&self, tenant: TenantId, subject: Id) -> Answer<BTreeMap<String, u64>>;
    /// Leases jobs of these kinds that are due, oldest first. A lease that ran out counts as free.
    async fn lease(&self, kinds: &[&str], lease: &Lease, limit: usize) -> Answer<Vec<Job>>;
    /// Extends a lease; `false` when it was lost.
    async fn heartbeat(&self, job: Id, lease: &Lease) -> Answer<bool>;
    /// Jobs, newest first; of a tenant, or all for Mainstay itself.
    async fn jobs(&self, tenant: Option<TenantId>, state: Option<&str>, limit: usize) -> Answer<Vec<Job>>;
    /// When the next job of these kinds is due.
    async fn next_due(&self, kinds: &[&str]) -> Answer<Option<Time>>;
    /// How a controller was doing.
    async fn controller(&self, name: &str) -> Answer<Option<ControllerState>>;
    /// All controllers.
    async fn controllers(&self) -> Answer<Vec<ControllerState>>;
    /// Keeps how a controller is doing.
    async fn keep_controller(&self, state: &ControllerState) -> Answer<()>;
    /// Tenants by number: (number, key).
    async fn tenants(&self) -> Answer<Vec<(TenantId, String)>>;
    /// Gives a tenant its number.
    async fn add_tenant(&self, key: &str) -> Answer<TenantId>;
    /// Small private values that are not records: password hashes, sessions, keys. `None` removes. Not journaled, not exported.
    async fn put_private(&self, area: &str, key: &str, value: Option<&[u8]>) -> Answer<()>;
    /// One of those.
    async fn private(&self, area: &str, key: &str) -> Answer<Option<Vec<u8>>>;
    /// All of an area.
    async fn privates(&self, area: &str) -> Answer<Vec<(String, Vec<u8>)>>;
    /// Puts a value only where there is none; `false` when there is one.
    async fn claim_private(&self, area: &str, key: &str, value: &[u8]) -> Answer<bool>;
    /// Whether writes are taken, and if not why: for readiness.
    fn writable(&self) -> Result<(), String>;
    /// A number that is another one before any change of a record, link or private value is answered: what was read under it still
    /// stands while it is the same. `None` where others write too, so that nothing may be remembered.
    fn edition(&self) -> Option<u64>;
}
