//! Relay: measurements kept by another program, any that takes Prometheus's remote write and answers its HTTP API.
//!
//! [`Remote`] is a [`Metrics`] like the engine in this process. A write is on this machine's disk when it is answered, and goes on
//! from there whenever the other side takes it; a question goes straight through. It must never answer a write before the
//! sync, never drop an acknowledged sample that the other side would take, never ask a question that is not bound to its
//! tenant, and never show a credential.

mod address;
pub(crate) mod answer;
mod client;
pub(crate) mod encode;
mod frame;
pub(crate) mod histogram;
mod history;
mod queue;
mod reading;
pub(crate) mod secret;
pub(crate) mod sender;
mod tenancy;
pub(crate) mod tls;
mod writing;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use series::formats::{Batch, Metadata};
use series::metrics::Span;
use series::promql::{Answer, Limits, Query};
use series::{Appended, Counted, Labels, Matcher, Metrics, MetricsError, SeriesExemplars};
use tokio::task::JoinSet;

pub use address::{Address, AddressError};
pub use secret::Credential;
pub use tenancy::{LABEL, ScopeError};
pub use tls::Tls;

use client::Peer;
use queue::{Cursors, Queue, SHARDS};
use sender::{Counters, Sending};

/// How an engine elsewhere is reached, and how much may wait for it.
#[derive(Clone)]
pub struct Options {
    /// Where it is, and who we are there.
    pub address: Address,
    /// Whom to believe.
    pub tls: Tls,
    /// Bytes that may wait on disk. Default 4 GiB, which is about a day of 10,000 samples a second.
    pub queue_bytes: u64,
    /// Whether version 2 of remote write is tried first. Default true; the answers decide.
    pub version_two: bool,
}

impl Options {
    /// The usual options for that address.
    pub fn new(address: Address) -> Self {
        Self { address, tls: Tls::default(), queue_bytes: 4 << 30, version_two: true }
    }
}

/// Why a relay cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its folder cannot be used.
    #[error("the relay's queue {} cannot be used", path.display())]
    Queue {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The TLS settings or the credentials cannot be used.
    #[error("{0}")]
    Settings(String),
}

/// Families of which a tenant's metadata is remembered.
const FAMILIES: usize = 20_000;

/// Measurements in an engine elsewhere. Dropping it stops sending; what waits is on disk, and is sent after the next start.
pub struct Remote {
    sending: Arc<Sending>,
    dir: PathBuf,
    /// Metadata has no tenant in the API of engines, so each tenant is told what was written here since the start.
    told: Mutex<HashMap<u64, BTreeMap<String, Metadata>>>,
    _senders: JoinSet<()>,
}

impl Remote {
    /// Opens the queue in `dir` and begins to send. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        if options.address.is_readable_on_the_way() {
            tracing::warn!(engine = %options.address.name(), "the credentials of the metrics engine travel readable: use https");
        }
        let failed = |source| OpenError::Queue { path: dir.to_owned(), source };
        let peer = Peer::new(options.address, &options.tls).map_err(OpenError::Settings)?;
        let queue = Queue::open(dir, options.queue_bytes).map_err(failed)?;
        let mut cursors = Cursors::open(dir);
        let mut readers = Vec::new();
        for shard in 0..SHARDS {
            let reader = queue.reader(shard as u8, cursors.at[shard]).map_err(failed)?;
            cursors.at[shard] = reader.place();
            readers.push(reader);
        }
        let sending = Arc::new(Sending {
            peer,
            queue,
            cursors: Mutex::new(cursors),
            counters: Counters::default(),
            two: AtomicBool::new(options.version_two),
            trouble: Mutex::new(None),
        });
        let mut senders = JoinSet::new();
        for (shard, reader) in readers.into_iter().enumerate() {
            senders.spawn(sender::run(shard as u8, reader, sending.clone()));
        }
        Ok(Self { sending, dir: dir.to_owned(), told: Mutex::default(), _senders: senders })
    }

    /// Whether the engine elsewhere answers and there is room for more; a sentence when not. Asks it, for two seconds at most.
    ///
    /// # Errors
    /// The sentence.
    pub async fn ready(&self) -> Result<(), String> {
        let (bytes, limit) = self.sending.queue.size();
        if bytes >= limit / 10 * 9 {
            return Err(format!("{bytes} of {limit} bytes wait for {}", self.sending.peer.name()));
        }
        if let Some(why) = self.sending.trouble.lock().clone() {
            return Err(format!(
                "{} does not take samples: {why}; {bytes} bytes wait on disk and go on as soon as it does",
                self.sending.peer.name()
            ));
        }
        let asked =
            self.sending.peer.ask("/api/v1/query", &[("query", "1".into())], Duration::from_secs(2), 1 << 16).await;
        match asked {
            Ok((status, _)) if status.is_success() => Ok(()),
            Ok((status, _)) => {
                Err(format!("{} answers a question with {status}{}", self.sending.peer.name(), client::hint(status)))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Its own figures in the exposition format.
    pub fn own_metrics(&self) -> String {
        let Counters { queued, sent, dropped, refused, retries } = &self.sending.counters;
        let (bytes, limit) = self.sending.queue.size();
        let away = u8::from(self.sending.trouble.lock().is_some());
        let mut out = String::new();
        for (name, kind, value) in [
            ("mainstay_relay_queued_samples_total", "counter", queued.load(Relaxed)),
            ("mainstay_relay_sent_samples_total", "counter", sent.load(Relaxed)),
            ("mainstay_relay_dropped_samples_total", "counter", dropped.load(Relaxed)),
            ("mainstay_relay_refused_samples_total", "counter", refused.load(Relaxed)),
            ("mainstay_relay_retries_total", "counter", retries.load(Relaxed)),
            ("mainstay_relay_damaged_bytes_total", "counter", self.sending.queue.damaged_bytes()),
            ("mainstay_relay_queue_bytes", "gauge", bytes),
            ("mainstay_relay_queue_limit_bytes", "gauge", limit),
            ("mainstay_relay_away", "gauge", u64::from(away)),
        ] {
            out.push_str(&format!("# TYPE {name} {kind}\n{name} {value}\n"));
        }
        out
    }

    /// Samples sent, and samples refused for good, since the start.
    pub fn delivered(&self) -> (u64, u64) {
        (self.sending.counters.sent.load(Relaxed), self.sending.counters.dropped.load(Relaxed))
    }
}

#[async_trait]
impl Metrics for Remote {
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        self.queue(tenant, batch).await
    }

    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError> {
        self.ask_instant(tenant, &query, at_ms, &limits).await
    }

    async fn range(
        &self,
        tenant: u64,
        query: Query,
        times: (i64, i64, i64),
        limits: Limits,
    ) -> Result<Answer, MetricsError> {
        self.ask_range(tenant, &query, times, &limits).await
    }

    async fn series(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<Labels>, MetricsError> {
        let found = self.look_up("/api/v1/series", tenant, &sets, time).await?;
        Ok(answer::series(found, tenant))
    }

    async fn label_names(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<String>, MetricsError> {
        let mut found: Vec<String> = self.look_up("/api/v1/labels", tenant, &sets, time).await?;
        found.retain(|name| name != LABEL);
        found.sort_unstable();
        Ok(found)
    }

    async fn label_values(
        &self,
        tenant: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: Span,
    ) -> Result<Vec<String>, MetricsError> {
        self.values_of(tenant, &name, &sets, time).await
    }

    async fn metadata(&self, tenant: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError> {
        let told = self.told.lock();
        let Some(known) = told.get(&tenant) else { return Ok(Vec::new()) };
        let wanted = |about: &&Metadata| family.as_ref().is_none_or(|family| *family == about.family);
        Ok(known.values().filter(wanted).cloned().collect())
    }

    async fn exemplars(&self, tenant: u64, query: Query, time: Span) -> Result<Vec<SeriesExemplars>, MetricsError> {
        self.ask_exemplars(tenant, &query, time).await
    }

    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        self.ask_count(tenant, sets, time).await
    }

    async fn delete(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<(), MetricsError> {
        self.ask_delete(tenant, sets, time).await
    }

    /// Leaves half of the queue to what is measured now.
    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        let (bytes, limit) = self.sending.queue.size();
        if bytes > limit / 2 {
            let why = format!("{bytes} of {limit} bytes wait to be sent there");
            return Err(self.sending.peer.away(why));
        }
        self.queue(tenant, batch).await
    }
}

/// The parsers of what comes from outside and from the disk, for the fuzz targets: bytes in, and nothing but a value or an error out.
#[doc(hidden)]
pub mod parsers {
    /// A file of the queue: whole records, and bytes that are none.
    pub fn queue_file(bytes: &[u8]) -> (usize, usize) {
        let (whole, damaged) = super::frame::scan(bytes);
        (whole.len(), damaged)
    }

    /// A file of cursors.
    pub fn cursors(bytes: &[u8]) -> bool {
        super::queue::parse_cursors(bytes).is_some()
    }

    /// An answer of the engine elsewhere.
    pub fn answer(bytes: &[u8]) -> bool {
        super::answer::query(bytes, 1).is_ok() | super::answer::exemplars(bytes, 1).is_ok()
    }
}
