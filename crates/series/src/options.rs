//! What the owner of an engine decides, and what the engine tells of itself.

use std::sync::Arc;

use serde::Serialize;

use crate::error::Damage;
use crate::tiers::Tier;

/// The time now, in Unix milliseconds. Given by the owner, so a test moves it by hand.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The clock of this machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "this is the real clock that owners pass in")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    })
}

/// The limits and habits of an engine. `Options::default()` suits a server of some thousand series.
#[derive(Clone)]
pub struct Options {
    /// How long samples are kept, in milliseconds; whole files go when their last moment is older. Default 400 days.
    pub retention_ms: i64,
    /// How many bytes sealed files may have together; the oldest go first. Default: no limit.
    pub retention_bytes: u64,
    /// How long after its end a day's files are left apart before they are made one, in milliseconds. Default 2 hours.
    pub compact_after_ms: i64,
    /// How late a sample may arrive, in milliseconds. Default 80 hours: an agent buffers 72.
    pub accept_late_ms: i64,
    /// How far a sender's clock may be ahead of ours, in milliseconds. Default 10 minutes.
    pub accept_ahead_ms: i64,
    /// Active series (in the head) a tenant may have. Default 100,000.
    pub max_series: usize,
    /// Labels a new series may have. Default, and most that is ever taken, 64.
    pub max_labels: usize,
    /// Bytes of a label's name. Default, and most that is ever taken, 256.
    pub max_label_name_bytes: usize,
    /// Bytes of a label's value. Default, and most that is ever taken, 4,096.
    pub max_label_value_bytes: usize,
    /// Samples a second a tenant may send, over time; ten seconds' worth at once. Default: no limit.
    pub max_samples_per_second: u64,
    /// Exemplars kept of a tenant; the oldest go first. Default 10,000.
    pub max_exemplars: usize,
    /// Metric families of a tenant whose type, unit and help are kept. Default 10,000.
    pub max_families: usize,
    /// A log segment is closed when it is longer than this. Default 64 MiB.
    pub wal_segment_bytes: u64,
    /// The head is written as a whole when the log has grown by this since, so that a start reads little; sooner, when the log is
    /// longer than a quarter of the head, while that takes less than a twentieth of the time. Default 64 MiB.
    pub wal_checkpoint_bytes: u64,
    /// Samples one call of `append` may hold. Default 100,000.
    pub max_request_samples: usize,
    /// Samples that may wait for the writer; more callers wait their turn. Default 400,000.
    pub max_waiting_samples: usize,
    /// How long after its end a window is left open for stragglers, in milliseconds. Default 10 minutes.
    pub seal_after_ms: i64,
    /// Thinned-out samples that are kept longer than samples, finest first. They are made of samples that are still kept, so
    /// `retention_ms` must be longer than what a tier waits. Default: intervals of five minutes from a day that is
    /// five days old on, kept three years; of an hour from twelve days that are five days old on, kept ten years.
    pub tiers: Vec<Tier>,
    /// Threads that queries may read with at a time: one that reads much uses those that no other needs. Default: the cores of this machine.
    pub query_threads: usize,
    /// The clock; by default that of this machine.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        const MINUTE: i64 = 60_000;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        Self {
            retention_ms: 400 * 24 * HOUR,
            retention_bytes: u64::MAX,
            compact_after_ms: 2 * HOUR,
            accept_late_ms: 80 * HOUR,
            accept_ahead_ms: 10 * MINUTE,
            max_series: 100_000,
            max_labels: 64,
            max_label_name_bytes: 256,
            max_label_value_bytes: 4_096,
            max_samples_per_second: u64::MAX,
            max_exemplars: 10_000,
            max_families: 10_000,
            wal_segment_bytes: 64 << 20,
            wal_checkpoint_bytes: 64 << 20,
            max_request_samples: 100_000,
            max_waiting_samples: 400_000,
            seal_after_ms: 10 * MINUTE,
            tiers: vec![
                Tier { interval_ms: 5 * MINUTE, after_ms: 5 * DAY, retention_ms: 3 * 365 * DAY },
                Tier { interval_ms: HOUR, after_ms: 5 * DAY, retention_ms: 10 * 365 * DAY },
            ],
            query_threads: std::thread::available_parallelism().map_or(1, usize::from),
            clock: system_clock(),
        }
    }
}

/// What one tenant may have and do. Each means what the field of that name in [`Options`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the options")]
pub struct TenantLimits {
    pub max_series: usize,
    pub max_labels: usize,
    pub max_label_name_bytes: usize,
    pub max_label_value_bytes: usize,
    pub max_samples_per_second: u64,
    pub max_exemplars: usize,
    pub max_families: usize,
}

impl Options {
    /// The limits of a tenant that has none of its own.
    pub fn tenant_limits(&self) -> TenantLimits {
        TenantLimits {
            max_series: self.max_series,
            max_labels: self.max_labels,
            max_label_name_bytes: self.max_label_name_bytes,
            max_label_value_bytes: self.max_label_value_bytes,
            max_samples_per_second: self.max_samples_per_second,
            max_exemplars: self.max_exemplars,
            max_families: self.max_families,
        }
    }
}

/// What opening a directory found. Show it: damage that nobody reads of is damage that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Log segments read.
    pub segments: usize,
    /// Samples put back into the head.
    pub samples: u64,
    /// Sealed files found.
    pub blocks: usize,
    /// Series known afterwards.
    pub series: usize,
    /// Bytes of a torn log end that were cut off. They were never acknowledged.
    pub cut_bytes: u64,
    /// Everything damaged, torn ends included.
    pub damaged: Vec<Damage>,
}

/// Samples refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefusedBy {
    /// Older than is accepted.
    pub too_old: u64,
    /// Ahead of the clock here.
    pub too_far_ahead: u64,
    /// Another sample at the same time of the series.
    pub conflict: u64,
    /// Labels that name nothing.
    pub labels: u64,
    /// Too many labels, or too long ones.
    pub label_limit: u64,
    /// Too many series.
    pub series_limit: u64,
    /// No native histogram.
    pub histogram: u64,
    /// Imported into a period of which only thinned-out samples are left.
    pub thinned: u64,
    /// Too many samples a second.
    pub rate: u64,
}

/// The engine's own figures, counted since it was opened unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Series known now.
    pub series: usize,
    /// Series with samples in the head now.
    pub active_series: usize,
    /// Samples in the head now.
    pub head_samples: u64,
    /// Bytes that the head's chunks take now.
    pub head_bytes: u64,
    /// Sealed files now.
    pub blocks: usize,
    /// Bytes of sealed files now.
    pub block_bytes: u64,
    /// Bytes of the log now.
    pub wal_bytes: u64,
    /// Samples acknowledged, repeats included.
    pub accepted: u64,
    /// Samples acknowledged that were there already.
    pub repeated: u64,
    /// Samples refused, by any reason.
    pub refused: u64,
    /// The same by reason.
    pub refused_by: RefusedBy,
    /// Exemplars that were not kept: too long, too old, or of no series that is stored.
    pub refused_exemplars: u64,
    /// Deletes that wait for sealed files to be made anew.
    pub waiting_deletes: usize,
    /// Syncs of the log: `accepted / syncs` is how well they are shared.
    pub syncs: u64,
    /// Writes or syncs that the disk refused.
    pub disk_errors: u64,
    /// Damaged chunks that a read met and left out.
    pub damaged_reads: u64,
    /// The newest sample's time, Unix milliseconds; 0 before the first.
    pub newest_ms: i64,
}
