//! Names of things: record ids, tenants and kinds of records.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The id behind a record's key: a UUIDv7, so that ids made later sort later. It never changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

impl Id {
    /// A new id made at `now`; the random part comes from the operating system.
    pub fn new(now: crate::clock::Time) -> Self {
        let micros = now.as_micros().max(0).unsigned_abs();
        let stamp =
            uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, ((micros % 1_000_000) * 1000) as u32);
        Self(Uuid::new_v7(stamp))
    }

    /// The 16 bytes that are stored.
    pub fn bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From stored bytes; `None` when there are not 16 of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose data it is. Every call of the backend takes one; number 1 is the organisation that runs Mainstay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub i64);

impl TenantId {
    /// The organisation that runs this Mainstay; other tenants are records in it.
    pub const HOME: Self = Self(1);
}

/// The kind of a record: the name of its class, in kebab-case, unique over all verbs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(Arc<str>);

impl Kind {
    /// Wraps a name; whether such a class exists is the registry's to say.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Kind {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// Whether `name` is kebab-case: lower-case letters, digits and single hyphens, starting with a letter, at most 63 long.
pub fn is_kebab(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether `name` is snake_case: lower-case letters, digits and underscores, starting with a letter, at most 63 long.
pub fn is_snake(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether `key` can be a record's key: 1 to 128 letters, digits, `.`, `_`, `-`, `:`, `@`, `/` or `*`, not starting with `-`.
///
/// Keys stand in URLs, on command lines and in filters, hence no spaces and no quotes.
pub fn is_key(key: &str) -> bool {
    (1..=128).contains(&key.len())
        && !key.starts_with('-')
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | '/' | '*'))
}

/// A key made from free text: `Web shop (EU)` becomes `web-shop-eu`. Empty when nothing of the text can stand in a key.
pub fn key_from(text: &str) -> String {
    let mut key = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_alphanumeric() || matches!(c, '.' | '_' | ':' | '@' | '*') {
            key.push(c);
        } else if !key.is_empty() && !key.ends_with('-') {
            key.push('-');
        }
    }
    while key.len() > 100 || key.ends_with('-') {
        key.pop();
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_stand_in_a_url_and_on_a_command_line() {
        for (key, ok, why) in [
            ("INC-7", true, "numbered"),
            ("web-1.example.org", true, "a host name"),
            ("192.0.2.0/24", true, "a prefix"),
            ("-x", false, "would be an option"),
            ("a b", false, "a space would need quoting"),
            ("", false, "empty"),
        ] {
            assert_eq!(is_key(key), ok, "{why}");
        }
        assert_eq!(key_from("Web shop (EU)"), "web-shop-eu");
    }
}
