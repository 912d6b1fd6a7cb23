//! Formats: the bytes that others send, as a [`Batch`] of samples. Each format is parsed here once, for every way in.
//!
//! A decoder takes bytes and [`Limits`] and gives a value; it opens no socket, reads no clock (a time that a format leaves
//! out is a parameter) and keeps nothing between two calls, but for StatsD, whose sums are a value of the caller's. Every length is
//! checked before memory is taken for it. Strict formats (remote write, exposition, OTLP) are taken whole or not at all; line
//! protocols whose senders expect it (Influx, Graphite, StatsD) keep their good lines and list the bad ones.
//!
//! Metadata, exemplars and native histograms are decoded into typed values beside the samples.

mod batch;
mod lines;
mod made;
mod proto;
mod roster;

pub mod exposition;
pub mod families;
pub mod graphite;
pub mod influx;
pub mod openmetrics;
pub mod otlp;
pub mod remote_write;
pub mod statsd;

pub use batch::{Batch, Exemplar, HistogramPoint, Metadata, MetricKind, RejectedLine, SeriesPoints};
pub use roster::Roster;

use crate::labels::LabelsError;

/// What one body may hold. The defaults suit a server; a test or a small machine takes less.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes after decompression. Default 32 MiB.
    pub bytes: usize,
    /// Series, counted once for every time that one begins. Default 200,000.
    pub series: usize,
    /// Samples; buckets of classic histograms are samples. Default 1,000,000.
    pub samples: usize,
    /// Exemplars, histograms and metadata, each. Default 100,000.
    pub extras: usize,
}

impl Limits {
    /// For what was taken in within limits before, or was made here.
    pub const NONE: Self = Self { bytes: usize::MAX, series: usize::MAX, samples: usize::MAX, extras: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 32 << 20, series: 200_000, samples: 1_000_000, extras: 100_000 }
    }
}

/// Why a body was not understood. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// More than [`Limits`] allow; split the body.
    #[error("{given} {what} in one body are more than {limit}")]
    TooLarge {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How many were found before reading ended.
        given: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The body is not compressed as it says.
    #[error("the body is not snappy: {reason}")]
    Compression {
        /// What the decoder said.
        reason: String,
    },
    /// A binary body has no meaning.
    #[error("at byte {at}: {reason}")]
    Malformed {
        /// Offset in the decompressed body, or the nearest enclosing message.
        at: usize,
        /// What was expected.
        reason: &'static str,
    },
    /// A line of a text body has no meaning.
    #[error("line {line}: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What was expected.
        reason: String,
    },
    /// A JSON body has no meaning.
    #[error("not the JSON that was expected: {reason}")]
    Json {
        /// What the parser said, with line and column.
        reason: String,
    },
    /// A series cannot be named so.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

/// Refuses what is more than allowed.
pub(crate) fn within(what: &'static str, given: usize, limit: usize) -> Result<(), FormatError> {
    if given > limit { Err(FormatError::TooLarge { what, given, limit }) } else { Ok(()) }
}
