//! Series: samples in, points out. A time-series engine that knows no record.
//!
//! A tenant is an opaque number and a series is a set of labels. What is acknowledged is on disk: [`Engine::append`] returns
//! after the fsync that covers its samples, which many callers share. Nothing here knows a class, a check or a person,
//! opens a socket, or reads a clock that it was not given; nothing damaged is ever served as if it were whole.
//!
//! How a sample travels: [`Engine::append`] → the writer thread admits it (limits, time bounds, conflicts), writes one frame
//! to the log for everything that waits, syncs, applies it to the *head* (compressed windows in memory) and answers. When
//! a window of two hours is over it is sealed into one file, a checksummed chunk a series, and the log is cut.
//! Retention removes whole files.

mod bits;
mod block;
mod chunk;
mod decimate;
mod engine;
mod error;
mod frame;
mod head;
mod histogram;
mod index;
mod labels;
mod log;
mod matcher;
mod options;
pub mod promql;
mod read;
mod seal;
mod snapshot;
mod store;
mod verify;
mod wire;
mod writer;

pub use engine::Engine;
pub use error::{Damage, DamageKind, Refusal, SeriesError};
pub use histogram::{Bucket, CUSTOM_BUCKETS, Combined, Histogram, Incompatible, NanObservations, ResetHint};
pub use labels::{Labels, LabelsError, NAME, Sample, is_stale, stale_marker};
pub use matcher::{MatchOp, Matcher};
pub use options::{Clock, Options, Recovery, Stats, system_clock};
pub use read::SeriesData;
pub use snapshot::SnapshotReport;
pub use verify::{VerifyReport, verify_directory};
pub use writer::{Appended, Refused};

/// The result of everything here that touches the disk.
pub type Result<T> = std::result::Result<T, SeriesError>;
