//! The journal: what happened, append-only, hash-chained per tenant, written in the same commit as the change it tells of.
//!
//! The chain: `hash = SHA-256(previous hash of the tenant || seq || time || header || SHA-256(before) || SHA-256(after))`, with
//! every part preceded by its length. The bodies are hashed as the bytes that are stored, so no re-serialisation can change them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::clock::Time;
use crate::ids::{Id, Kind, TenantId};
use crate::session::Actor;

/// The hash before the first entry of a tenant.
pub const GENESIS: [u8; 32] = [0; 32];

/// An entry as surfaces see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position over all tenants, in commit order, without gaps.
    pub seq: u64,
    /// When.
    pub time: Time,
    /// Whose.
    #[serde(skip)]
    pub tenant: Option<TenantId>,
    /// Who did it.
    pub actor: Actor,
    /// Id of what it was done to.
    #[serde(skip)]
    pub subject_id: Option<Id>,
    /// Key of what it was done to.
    pub subject: String,
    /// Its class.
    pub class: Kind,
    /// What was done.
    pub action: String,
    /// The entry that led to it.
    pub cause: Option<u64>,
    /// What changed, as it was.
    pub before: Map<String, Value>,
    /// What changed, as it is.
    pub after: Map<String, Value>,
    /// A sentence by whoever did it.
    pub note: Option<String>,
    /// This entry's link of the chain, hexadecimal.
    pub hash: String,
}

/// An entry to be written; sequence and hash are given by the store inside the transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// When.
    pub time: Time,
    /// Who.
    pub actor: Actor,
    /// On what.
    pub subject: Id,
    /// Its key; empty when the store is to number it.
    pub subject_key: String,
    /// Its class.
    pub kind: Kind,
    /// What.
    pub action: String,
    /// Because of which entry.
    pub cause: Option<u64>,
    /// What changed, as it was, as stored text (a JSON object).
    pub before: String,
    /// What changed, as it is, as stored text (a JSON object).
    pub after: String,
    /// SHA-256 of `before` and of `after`, one after the other.
    pub bodies: [u8; 64],
    /// A sentence.
    pub note: Option<String>,
}

impl Draft {
    /// An entry that tells of `before` becoming `after`.
    pub fn new(
        time: Time,
        actor: Actor,
        subject: (Id, &str, &Kind),
        action: &str,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) -> Self {
        let before = serde_json::to_string(before).expect("a JSON object is text");
        let after = serde_json::to_string(after).expect("a JSON object is text");
        let bodies = body_hashes(&before, &after);
        Self {
            time,
            actor,
            subject: subject.0,
            subject_key: subject.1.to_owned(),
            kind: subject.2.clone(),
            action: action.to_owned(),
            cause: None,
            before,
            after,
            bodies,
            note: None,
        }
    }
}

/// SHA-256 of both stored bodies.
pub fn body_hashes(before: &str, after: &str) -> [u8; 64] {
    let mut both = [0u8; 64];
    both[..32].copy_from_slice(&Sha256::digest(before.as_bytes()));
    both[32..].copy_from_slice(&Sha256::digest(after.as_bytes()));
    both
}

/// The part of an entry that the chain covers beside its bodies.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Position.
    pub seq: u64,
    /// Microseconds.
    pub time: Time,
    /// Whose.
    pub tenant: TenantId,
    /// `kind:key` of who.
    pub actor: &'a str,
    /// Id of the subject.
    pub subject: &'a Id,
    /// Its key.
    pub key: &'a str,
    /// Its class.
    pub kind: &'a str,
    /// What was done.
    pub action: &'a str,
    /// Cause, 0 for none.
    pub cause: u64,
    /// Note, empty for none.
    pub note: &'a str,
}

/// The next link of a tenant's chain.
pub fn chain(previous: &[u8; 32], header: Header<'_>, bodies: &[u8; 64]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    for number in [header.seq as i64, header.time.as_micros(), header.tenant.0, header.cause as i64] {
        hash.update(number.to_be_bytes());
    }
    hash.update(header.subject.bytes());
    for text in [header.actor, header.key, header.kind, header.action, header.note] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.update(bodies);
    hash.finalize().into()
}

/// What differs between two sets of values: `(before, after)`, only the names whose values differ.
pub fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let (mut was, mut is) = (Map::new(), Map::new());
    for (name, value) in after {
        let old = before.get(name).unwrap_or(&Value::Null);
        if old != value {
            was.insert(name.clone(), old.clone());
            is.insert(name.clone(), value.clone());
        }
    }
    for (name, old) in before {
        if !after.contains_key(name) && !old.is_null() {
            was.insert(name.clone(), old.clone());
            is.insert(name.clone(), Value::Null);
        }
    }
    (was, is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_entry_changes_its_hash() {
        let id = Id::new(Time::from_micros(5));
        let header = Header {
            seq: 1,
            time: Time::from_micros(5),
            tenant: TenantId(1),
            actor: "person:ana",
            subject: &id,
            key: "K",
            kind: "a",
            action: "create",
            cause: 0,
            note: "",
        };
        let bodies = body_hashes("{}", "{\"a\":1}");
        let hash = chain(&GENESIS, header, &bodies);
        for other in [
            Header { seq: 2, ..header },
            Header { time: Time::from_micros(6), ..header },
            Header { tenant: TenantId(2), ..header },
            Header { actor: "person:bob", ..header },
            Header { key: "", kind: "Ka", ..header },
            Header { action: "delete", ..header },
            Header { cause: 1, ..header },
            Header { note: "x", ..header },
        ] {
            assert_ne!(chain(&GENESIS, other, &bodies), hash, "{other:?}");
        }
        assert_ne!(chain(&GENESIS, header, &body_hashes("{}", "{\"a\":2}")), hash);
    }
}
