//! Why something was not done: the one error type of the write and read paths, and the errors of a backend.
//!
//! Every variant is the caller's to mend, except [`ActError::Store`]. Surfaces turn them into HTTP or exit codes in one place.

use serde::Serialize;
use std::fmt;

use crate::record::Record;

/// One field that was refused: which, and what is allowed instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Dotted path of the field as the caller wrote it, for example `steps.0.timeout`.
    pub field: String,
    /// What is wrong with the value, and what is allowed.
    pub message: String,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What kind of thing was not found by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// A class.
    Class,
    /// A record.
    Record,
    /// A life-cycle step.
    Transition,
    /// A field in a filter, sort or column list.
    Field,
    /// A link type.
    Link,
    /// A journal entry.
    Entry,
    /// An interval.
    Interval,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "class",
            Self::Record => "record",
            Self::Transition => "transition",
            Self::Field => "field",
            Self::Link => "link",
            Self::Entry => "journal entry",
            Self::Interval => "interval",
        })
    }
}

/// Why an act or a question was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// The policy refused; `reason` names the policy, for people.
    #[error("{actor} may not {operation} {subject}: {reason}")]
    Denied {
        /// Who asked.
        actor: String,
        /// What was asked.
        operation: String,
        /// On what.
        subject: String,
        /// Which rule decided.
        reason: String,
    },
    /// Nothing of that name; `near` are the names that look alike.
    #[error("there is no {noun} \"{name}\"{}", near_text(.near))]
    Unknown {
        /// What was looked for.
        noun: Noun,
        /// The name as given.
        name: String,
        /// Names that exist and look alike, best first.
        near: Vec<String>,
    },
    /// Values that the class does not allow.
    #[error("{}", list(.0))]
    Invalid(Vec<FieldError>),
    /// The filter text does not parse, or names what the class does not have.
    #[error("filter, at character {at}: {message}{}", near_text(.near))]
    Filter {
        /// Position in the text, counted in characters from 0.
        at: usize,
        /// What is wrong.
        message: String,
        /// Names that exist and look alike.
        near: Vec<String>,
    },
    /// The record changed since the caller read it.
    #[error("{} is at version {}, but the change was made for version {expected}", .current.key, .current.version)]
    Stale {
        /// The version that the caller had.
        expected: u64,
        /// The record as it is now.
        current: Box<Record>,
    },
    /// The life cycle, a guard or a link rule refuses.
    #[error("{0}")]
    Conflict(String),
    /// Another record has the key.
    #[error("the key \"{0}\" is taken; keys are permanent and unique over all classes of a tenant")]
    KeyTaken(String),
    /// The same idempotency key was used for another request.
    #[error("the idempotency key \"{0}\" was used for a different request")]
    IdempotencyReused(String),
    /// The backend failed or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ActError {
    /// A refusal of one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// Something that does not exist, with the names that look like it.
    pub fn unknown<'a>(noun: Noun, name: &str, all: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Unknown { noun, name: name.to_owned(), near: near(name, all) }
    }

    /// A stable word for this kind of refusal, used in problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::Unknown { .. } => "unknown",
            Self::Invalid(_) => "invalid",
            Self::Filter { .. } => "filter",
            Self::Stale { .. } => "stale",
            Self::Conflict(_) => "conflict",
            Self::KeyTaken(_) => "key-taken",
            Self::IdempotencyReused(_) => "idempotency-reused",
            Self::Store(e) => e.code(),
        }
    }
}

/// Why the backend did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record was not at the version that the change was made for.
    #[error("record {0} is not at the expected version")]
    Stale(crate::ids::Id),
    /// A key exists already in the tenant.
    #[error("the key \"{0}\" exists")]
    KeyTaken(String),
    /// A link that the change needs to be new exists, or its end does not.
    #[error("{0}")]
    Link(String),
    /// The idempotency key was seen: with the same fingerprint (`same`), and the record that came of it then.
    #[error("idempotency key seen before")]
    Repeated {
        /// Whether the request was the same.
        same: bool,
        /// The record that the first request made or changed.
        record: Option<crate::ids::Id>,
    },
    /// A job's lease is no longer held by the caller.
    #[error("the lease of job {0} was lost")]
    LeaseLost(crate::ids::Id),
    /// What was read does not match its checksum; it is not served.
    #[error("{what} is damaged and is not served; run `mainstay verify`, then restore it from a backup")]
    Damaged {
        /// Which row, in words.
        what: String,
    },
    /// The disk is full: nothing was written, reads go on.
    #[error("the disk that holds the data directory is full: free some space; nothing was written")]
    Full,
    /// The store has stopped taking writes after a failure to reach the disk.
    #[error("the store takes no more writes: {0}")]
    Closed(String),
    /// A question that took longer than its time limit.
    #[error("the question took longer than {limit_ms} ms and was stopped; filter by an indexed field")]
    TooSlow {
        /// The limit.
        limit_ms: u64,
    },
    /// Anything else that the database said.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    /// A stable word, used in problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale(_) => "stale",
            Self::KeyTaken(_) => "key-taken",
            Self::Link(_) => "conflict",
            Self::Repeated { .. } => "idempotency-reused",
            Self::LeaseLost(_) => "lease-lost",
            Self::Damaged { .. } => "damaged",
            Self::Full => "disk-full",
            Self::Closed(_) => "closed",
            Self::TooSlow { .. } => "too-slow",
            Self::Database(_) => "database",
        }
    }
}

/// The names of `all` that look like `name`, best first, at most five.
pub fn near<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = all
        .into_iter()
        .map(|candidate| {
            let inside = candidate.len() > 2 && (candidate.contains(&lower) || lower.contains(candidate));
            let score = strsim::jaro_winkler(&lower, candidate).max(if inside { 0.9 } else { 0.0 });
            (score, candidate)
        })
        .filter(|(score, _)| *score >= 0.78)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(5).map(|(_, name)| name.to_owned()).collect()
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_told_with_the_near_ones() {
        let all = ["priority", "state", "impact", "urgency"];
        assert_eq!(near("prioritty", all), ["priority"]);
        assert_eq!(near("xyz", all), Vec::<String>::new());
        let error = ActError::unknown(Noun::Field, "sate", all);
        assert_eq!(error.to_string(), "there is no field \"sate\"; did you mean state?");
    }
}
