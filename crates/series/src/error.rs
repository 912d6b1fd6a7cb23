//! Why something was not done, and what was found damaged. Texts name values, never a machine's secrets.

use std::path::PathBuf;

use serde::Serialize;

/// Why the engine could not do what was asked as a whole. A single sample that is not taken is a [`Refusal`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The file system refused; nothing of the request was acknowledged. A full disk arrives here.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was being done, as a verb: `write`, `sync`, `open`.
        action: &'static str,
        /// The file or folder it was done to.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another engine has this directory open.
    #[error("{} is in use by another engine", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A log of another version of the program, which this one must not touch.
    #[error("{} is in format {found}; this program reads formats {oldest} to {newest}", path.display())]
    Version {
        /// The log segment.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The oldest that is read.
        oldest: u64,
        /// The newest that is read.
        newest: u64,
    },
    /// The tenant sends more than it may; nothing of the request is stored, and later it may be sent again.
    #[error("the tenant may send {limit} samples a second; try again in {retry_after_ms} ms")]
    TooFast {
        /// Samples a second.
        limit: u64,
        /// When there is room again, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// So many deletes wait for files to be made anew that no more are taken.
    #[error("{limit} deletes wait for sealed files to be made anew: try again after the next day is compacted")]
    TooManyDeletes {
        /// How many may wait.
        limit: usize,
    },
    /// The expression of a matcher is not a regular expression, or a too large one.
    #[error("the expression {expression:?} cannot be used: {reason}")]
    Expression {
        /// As it was given.
        expression: String,
        /// What the parser said.
        reason: String,
    },
    /// One request held more samples than are taken at once; split it.
    #[error("{given} samples in one request are more than {limit}")]
    TooMany {
        /// How many were given.
        given: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The writer has stopped: the engine is being closed, or its thread has died.
    #[error("the series engine has stopped")]
    Stopped,
}

impl SeriesError {
    /// True when the same request may succeed later as it is: the tenant was too fast, or the disk refused.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::TooFast { .. } | Self::Io { .. } | Self::Stopped)
    }

    /// True when the disk has no room: a retry after space is made will succeed.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

/// Turns an I/O error into ours, with the place it happened.
pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> SeriesError {
    let path = path.to_path_buf();
    move |source| SeriesError::Io { action, path, source }
}

/// Why one sample was not taken. The rest of its request is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
#[non_exhaustive]
pub enum Refusal {
    /// Older than what is still accepted late.
    #[error("{late_ms} ms too old: samples are taken until {accept_late_ms} ms after their time")]
    TooOld {
        /// By how much, in milliseconds.
        late_ms: i64,
        /// The limit, in milliseconds.
        accept_late_ms: i64,
    },
    /// Further in the future than clocks may differ.
    #[error("{ahead_ms} ms ahead of the clock here: check the clock of the sender")]
    TooFarAhead {
        /// How far ahead of our clock, in milliseconds.
        ahead_ms: i64,
    },
    /// This series has another value at this very time. The first one stays.
    #[error("the series has another value at {at_ms}")]
    Conflict {
        /// The time of both, Unix milliseconds.
        at_ms: i64,
    },
    /// The labels of the series name nothing.
    #[error("{reason}")]
    Labels {
        /// What is wrong with them.
        reason: String,
    },
    /// What was sent as a native histogram is none.
    #[error("no native histogram: {reason}")]
    Histogram {
        /// What is wrong with it.
        reason: String,
    },
    /// A new series has more labels than the tenant may have, or longer ones.
    #[error("{what} of {given} is over the limit of {limit}")]
    LabelLimit {
        /// What is too much: a count of labels, or the length of a name or value in bytes.
        what: &'static str,
        /// How much it is.
        given: usize,
        /// The limit.
        limit: usize,
    },
    /// A sample of long ago belongs to a period that is kept thinned out, and the samples that it was made of are gone or about to
    /// go: it could not be made anew with this one.
    #[error(
        "from {from_ms} to {to_ms} only thinned-out samples are kept, and what they were made of is gone: nothing can be added"
    )]
    Thinned {
        /// Where the period begins, Unix milliseconds, exclusive.
        from_ms: i64,
        /// Where it ends, inclusive.
        to_ms: i64,
    },
    /// The tenant has as many active series as it may have.
    #[error("the tenant already has {limit} active series")]
    TooManySeries {
        /// The limit.
        limit: usize,
    },
}

/// What is wrong with a piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DamageKind {
    /// The end of a log is not complete: a write was cut short before it was acknowledged. The next start cuts it off.
    TornTail,
    /// Bytes do not match their checksum.
    Checksum,
    /// The checksum holds but the content has no meaning: written by a newer version, or by a fault.
    Meaning,
    /// A file that should be there is not, or cannot be read.
    Unreadable,
    /// Samples in a log whose series is defined in a damaged piece of it.
    Orphaned,
    /// The end of a log, or all of it, that was on the disk once and is not any more.
    Gone,
}

/// One damaged piece of one file. It is never served; everything else still is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file, relative to the engine's directory.
    pub file: String,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes, as far as can be told.
    pub length: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

impl std::fmt::Display for DamageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TornTail => "the end of a log was not written completely; it was never acknowledged",
            Self::Checksum => "the bytes do not match their checksum",
            Self::Meaning => "the content has no meaning",
            Self::Unreadable => "missing, or cannot be read",
            Self::Orphaned => "samples of a series whose definition is damaged",
            Self::Gone => "they were on the disk once and are gone",
        })
    }
}
