//! Series: samples in, points out. A time-series engine that knows no record.
//!
//! A tenant is an opaque number and a series is a set of labels. What is acknowledged is on disk: [`Engine::append`] returns
//! after the fsync that covers its samples, which many callers share. Nothing here knows a class, a check or a person,
//! opens a socket, or reads a clock that it was not given; nothing damaged is ever served as if it were whole.
//!
//! How a sample travels: a body is decoded into a [`Batch`](formats::Batch) whose series stay bytes; in the caller's thread each is
//! looked up by a hash of those bytes; the writer thread admits (limits, time bounds, conflicts), writes one frame to the log
//! for everything that waits, syncs, applies it to the *head* (compressed windows in memory, in shards) and answers. Now and
//! then the head is copied to disk as a whole, so that a start reads little. When a window of two hours is over it is
//! sealed into one file, a checksummed chunk a series, and the log is cut; the files of a day become one. Retention
//! removes whole files. Native histograms, exemplars, metadata and deletes are records of the same log, under the same sync and
//! in the same copy (`native`, `about`, `cut`).

mod about;
mod admit;
mod bits;
mod block;
mod busy;
mod chunk;
mod claim;
mod contents;
mod cut;
mod decimate;
mod decode;
mod durable;
mod engine;
mod error;
pub mod formats;
mod frame;
mod head;
mod head_copy;
mod histogram;
mod import;
mod index;
mod key;
mod labels;
mod log;
mod matcher;
pub mod metrics;
mod native;
mod options;
mod prepare;
pub mod promql;
mod rates;
mod read;
mod record;
mod replay;
mod seal;
mod segments;
mod snapshot;
mod start;
mod store;
mod symbols;
mod tiers;
mod times;
mod values;
mod verify;
mod visit;
mod wire;
mod writer;

pub use claim::Claim;
pub use engine::Engine;
pub use error::{Damage, DamageKind, Refusal, SeriesError};
pub use histogram::{Bucket, CUSTOM_BUCKETS, Combined, Histogram, Incompatible, NanObservations, ResetHint};
pub use labels::{Labels, LabelsError, NAME, Sample, is_stale, measured, stale_marker};
pub use matcher::{MatchOp, Matcher};
pub use metrics::{Counted, Layer, Metrics, MetricsError, Opener, Opening, SeriesExemplars, SeriesList};
pub use options::{Clock, Options, Recovery, RefusedBy, Stats, TenantLimits, system_clock};
pub use read::SeriesData;
pub use snapshot::SnapshotReport;
pub use tiers::Tier;
#[doc(hidden)]
pub use values::{head_values, sealed_values, unsealed_values};
pub use verify::{VerifyReport, verify_directory};
pub use writer::{Appended, Refused};

/// The result of everything here that touches the disk.
pub type Result<T> = std::result::Result<T, SeriesError>;
