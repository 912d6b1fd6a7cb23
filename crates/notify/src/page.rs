//! What is sent, and what comes of it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// One message to one person or system.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The same on every attempt: it becomes the mail's Message-ID and the webhook's Idempotency-Key.
    pub id: String,
    /// The mail address. A webhook ignores it.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The message as text.
    pub text: String,
    /// The message as HTML, for mail programs that show it. Made by the caller, escaped by the caller.
    pub html: Option<String>,
    /// The body of a webhook, sent as it is. When it is null, a body of the other fields is made.
    pub data: Value,
    /// Title and address of pages of the console; added to a mail whose text does not hold the address yet.
    pub links: Vec<(String, String)>,
}

/// The proof that a provider has taken a message. It does not say that anyone has read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Receipt {
    /// The host and port that took it.
    pub provider: String,
    /// What it answered: the final SMTP reply, or the HTTP status with the provider's request id.
    pub reference: String,
    /// When, Unix milliseconds.
    pub accepted_at_ms: i64,
    /// How long the attempt took.
    pub elapsed_seconds: f64,
}

/// Why a page is not with the provider. The texts name hosts and replies, never a secret or a whole URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Another attempt may succeed: nobody answered, or the answer was "not now".
    #[error("not delivered yet: {why}")]
    Retry {
        /// What happened.
        why: String,
        /// How long the provider asked us to wait, if it did.
        after: Option<Duration>,
    },
    /// No attempt like this one will ever succeed; somebody has to change something.
    #[error("refused: {why}")]
    Refused {
        /// What happened.
        why: String,
    },
}

impl SendError {
    pub(crate) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: one_line(&why.into(), 500), after: None }
    }

    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: one_line(&why.into(), 500) }
    }
}

/// Text from outside as one line of at most `limit` characters: control characters, line separators and marks that
/// reorder text become spaces.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let reorders = |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean: String = text.chars().map(|c| if c.is_control() || reorders(c) { ' ' } else { c }).take(limit).collect();
    clean.trim().to_owned()
}
