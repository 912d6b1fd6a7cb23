//! What all ways in and out share: the engine behind its seam, limits, and counters of what was refused. No protocol is here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use kernel::TenantId;
use serde_json::Value;
use series::{Clock, Metrics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::import::Underway;

/// Imports at the same time: each holds some tens of megabytes, and keeps the engine busy.
const IMPORTS: usize = 2;

/// What the rules engine shows of itself. Implemented where it is linked; without one there are no rules.
pub trait RulesView: Send + Sync + 'static {
    /// `data` of Prometheus's `/api/v1/rules`: `{"groups": […]}`.
    fn rules(&self, tenant: TenantId) -> Value;
    /// `data` of Prometheus's `/api/v1/alerts`: `{"alerts": […]}`.
    fn alerts(&self, tenant: TenantId) -> Value;
}

/// What the scraper shows of itself. Implemented where it is linked; without one there are no targets.
pub trait TargetsView: Send + Sync + 'static {
    /// `data` of Prometheus's `/api/v1/targets`: `{"activeTargets": […], "droppedTargets": […]}`.
    fn targets(&self, tenant: TenantId) -> Value;
}

/// Limits of the ways in and out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a query may take at most; a request may ask for less. Default 2 minutes, as in Prometheus.
    pub query_timeout: Duration,
    /// Samples that a query may read and make. Default 50 million, as in Prometheus.
    pub query_samples: u64,
    /// Bytes that a query may hold. Default 512 MiB.
    pub query_bytes: u64,
    /// Queries at the same time; more wait. Default 8.
    pub queries: usize,
    /// Bytes that bodies being taken in may hold together; more wait a little, then are told to come again. Default 256 MiB.
    pub intake_bytes: usize,
    /// How long a body waits for its turn, and for the disk. Default 30 s.
    pub intake_wait: Duration,
    /// Bytes of a body as it comes. Default 16 MiB.
    pub body_bytes: usize,
    /// Bytes of a body when it is unpacked. Default 32 MiB.
    pub unpacked_bytes: usize,
    /// Samples in one body. Default 100,000, which is what the engine takes at once.
    pub body_samples: usize,
    /// Where files to import are laid down while they are read. Default the system's folder for such.
    pub spool: PathBuf,
    /// Bytes of a file to import. Default 16 GiB.
    pub import_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            query_timeout: Duration::from_secs(120),
            query_samples: 50_000_000,
            query_bytes: 512 << 20,
            queries: 8,
            intake_bytes: 256 << 20,
            intake_wait: Duration::from_secs(30),
            body_bytes: 16 << 20,
            unpacked_bytes: 32 << 20,
            body_samples: 100_000,
            spool: std::env::temp_dir(),
            import_bytes: 16 << 30,
        }
    }
}

/// What was done and refused since the start, for the program's own metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Queries answered.
    pub queries: AtomicU64,
    /// Queries that were ended because whoever asked had gone.
    pub queries_cancelled: AtomicU64,
    /// Queries refused or failed.
    pub queries_failed: AtomicU64,
    /// Samples on disk that came by a protocol.
    pub samples: AtomicU64,
    /// Samples and lines that were not taken.
    pub samples_refused: AtomicU64,
    /// Bodies that were told to come again later.
    pub bodies_put_off: AtomicU64,
    /// Packets and lines of listeners that were dropped since too much was waiting.
    pub packets_dropped: AtomicU64,
    /// Packets and connections refused since their sender is not on the list.
    pub senders_refused: AtomicU64,
}

impl Counters {
    /// Adds to one of them.
    pub fn add(counter: &AtomicU64, many: usize) {
        counter.fetch_add(many as u64, Relaxed);
    }

    /// In exposition format.
    pub fn exposition(&self) -> String {
        let all = [
            ("queries", &self.queries, "Queries answered."),
            ("queries_cancelled", &self.queries_cancelled, "Queries ended because whoever asked had gone."),
            ("queries_failed", &self.queries_failed, "Queries refused or failed."),
            ("signals_samples", &self.samples, "Samples that came by a protocol and are on disk."),
            ("signals_samples_refused", &self.samples_refused, "Samples and lines that were not taken."),
            ("signals_bodies_put_off", &self.bodies_put_off, "Bodies that were told to come again later."),
            ("signals_packets_dropped", &self.packets_dropped, "Packets and lines dropped since too much was waiting."),
            (
                "signals_senders_refused",
                &self.senders_refused,
                "Packets and connections of senders that are not allowed.",
            ),
        ];
        all.iter()
            .map(|(name, counter, help)| {
                let (name, value) = (format!("mainstay_{name}_total"), counter.load(Relaxed));
                format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n")
            })
            .collect()
    }
}

/// What [`Signals`] is made of.
pub struct Parts {
    /// Where samples are kept.
    pub metrics: Arc<dyn Metrics>,
    /// The clock of the engine.
    pub clock: Clock,
    /// The class whose readers may read measurements, and whose feeders may hand them in.
    pub measured: &'static str,
    /// The rules engine, if there is one.
    pub rules: Option<Arc<dyn RulesView>>,
    /// The scraper, if there is one.
    pub targets: Option<Arc<dyn TargetsView>>,
    /// Limits.
    pub settings: Settings,
}

/// Shared by all handlers and listeners; cheap to clone.
#[derive(Clone)]
pub struct Signals(Arc<Inner>);

struct Inner {
    parts: Parts,
    counters: Counters,
    queries: Arc<Semaphore>,
    /// In KiB.
    intakes: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    underway: Underway,
}

impl Signals {
    /// From its parts.
    pub fn new(parts: Parts) -> Self {
        let (queries, intakes) = (parts.settings.queries.max(1), (parts.settings.intake_bytes >> 10).max(1));
        Self(Arc::new(Inner {
            parts,
            counters: Counters::default(),
            queries: Arc::new(Semaphore::new(queries)),
            intakes: Arc::new(Semaphore::new(intakes)),
            imports: Arc::new(Semaphore::new(IMPORTS)),
            underway: Underway::default(),
        }))
    }

    /// Where samples are kept.
    pub fn metrics(&self) -> &Arc<dyn Metrics> {
        &self.0.parts.metrics
    }

    /// Limits.
    pub fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }

    /// What was done and refused.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Now, in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        (self.0.parts.clock)()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    pub(crate) fn measured(&self) -> &'static str {
        self.0.parts.measured
    }

    pub(crate) fn rules(&self) -> Option<&dyn RulesView> {
        self.0.parts.rules.as_deref()
    }

    pub(crate) fn targets(&self) -> Option<&dyn TargetsView> {
        self.0.parts.targets.as_deref()
    }

    /// A place among the queries; none within the time.
    pub(crate) async fn query_place(&self, wait: Duration) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(wait, self.0.queries.clone().acquire_owned()).await.ok()?.ok()
    }

    /// A place among the bodies for one of so many bytes; none within the time.
    pub(crate) async fn intake_place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // Unpacked, and made a batch, a body takes several times what it took on the wire.
        let most = (self.settings().intake_bytes >> 10).max(1);
        let weight = (bytes.saturating_mul(8) >> 10).max(64).min(most);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let wait = self.settings().intake_wait.min(Duration::from_secs(5));
        tokio::time::timeout(wait, self.0.intakes.clone().acquire_many_owned(weight)).await.ok()?.ok()
    }

    /// A place for an import; none when others have them all.
    pub(crate) fn import_place(&self) -> Option<OwnedSemaphorePermit> {
        self.0.imports.clone().try_acquire_owned().ok()
    }

    /// Imports that are at work.
    pub(crate) fn underway(&self) -> &Underway {
        &self.0.underway
    }

    /// What one body may hold.
    pub(crate) fn body_limits(&self) -> series::formats::Limits {
        let settings = self.settings();
        series::formats::Limits {
            bytes: settings.unpacked_bytes,
            series: settings.body_samples,
            samples: settings.body_samples,
            extras: settings.body_samples,
        }
    }
}
