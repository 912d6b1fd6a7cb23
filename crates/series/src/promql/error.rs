//! Why a query was not answered. Texts that Prometheus's clients compare are as Prometheus writes them.

use crate::error::SeriesError;

/// Why text is not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse error at byte {offset}: {reason}")]
pub struct ParseError {
    /// Where, in bytes from the start of the query.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

impl ParseError {
    pub(super) fn at(offset: usize, reason: impl Into<String>) -> Self {
        Self { offset, reason: reason.into() }
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It is not a query (`bad_data` in the HTTP API).
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The times asked for make no sense: a step of zero, or an end before the start.
    #[error("the range cannot be evaluated: {reason}")]
    Range {
        /// What is wrong with it.
        reason: String,
    },
    /// It is a query, but this data has no answer to it (`execution`): two series that would be one, a bad parameter.
    #[error("{0}")]
    Execution(String),
    /// It would need more samples in memory than allowed.
    #[error("query processing would load too many samples into memory in query execution (limit {limit})")]
    TooManySamples {
        /// The limit.
        limit: u64,
    },
    /// It would need more memory than allowed.
    #[error("the query needs more than {limit} bytes of memory")]
    TooMuchMemory {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It took longer than allowed (`timeout`).
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller has gone away (`canceled`).
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// Samples could not be read.
    #[error("samples could not be read")]
    Source(#[from] SeriesError),
}

impl QueryError {
    /// The `errorType` of Prometheus's HTTP API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::Range { .. } => "bad_data",
            Self::Execution(_) | Self::TooManySamples { .. } | Self::TooMuchMemory { .. } => "execution",
            Self::Timeout => "timeout",
            Self::Cancelled => "canceled",
            Self::Source(_) => "internal",
        }
    }
}

/// Shorthand for a refusal by the data.
pub(super) fn execution<T>(reason: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError::Execution(reason.into()))
}
