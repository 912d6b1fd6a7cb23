//! What the handlers share: the kernel, the gate that says who calls, and what readiness asks.

use async_trait::async_trait;
use axum::http::HeaderMap;
use kernel::{Kernel, Record, Session};
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::Arc;

use crate::problem::Problem;

/// How a caller proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A browser's cookie: such requests must show that they come from our own pages.
    Cookie,
    /// A token in a header.
    Bearer,
    /// The local socket.
    Local,
}

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address on the network.
    Net(IpAddr),
    /// A process on this host, by uid, over the local socket.
    Local(u32),
}

/// Says who calls, and keeps credentials. Implemented over `access`.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Who calls; a problem of status 401 when nobody can be told.
    async fn authenticate(&self, headers: &HeaderMap, peer: &Peer) -> Result<(Session, Via), Problem>;
    /// One of the operations on credentials, by name, with its input; see [`crate::signin`]. Answers JSON and an optional cookie.
    async fn credential(
        &self,
        operation: &str,
        session: Option<&Session>,
        input: Value,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<(Value, Option<String>), Problem>;
}

/// A dependency that readiness asks, by name.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether it works; a sentence when not.
    async fn ready(&self) -> Result<(), String>;
}

/// What the running program knows of a record beyond what is recorded: computed fields by name.
pub type Live = Arc<dyn Fn(&Record) -> Map<String, Value> + Send + Sync>;

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The kernel.
    pub kernel: Kernel,
    /// Who calls.
    pub gate: Arc<dyn Gate>,
    /// What readiness asks.
    pub probes: Arc<Vec<Box<dyn Probe>>>,
    /// Computed fields whose latest value is known to the running program and not worth a journal entry each time: when a
    /// check last had an answer, and what it was. Lists are filtered and sorted by what is recorded.
    pub live: Live,
    /// Own metrics in exposition format, beside those that the API counts itself.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Version of the program.
    pub version: &'static str,
}

impl App {
    /// The record as it is known now.
    pub(crate) fn now(&self, mut record: Record) -> Record {
        record.fields.extend((self.live)(&record));
        record
    }
}
