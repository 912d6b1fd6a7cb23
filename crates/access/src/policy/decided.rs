//! Decisions that were made already. Whether somebody may do something with a class, no record named, depends on nothing but who
//! asks, what for, the policies and the classes; it is asked at each request, and Cedar takes its time over it.
//!
//! It lives within one set of policies and goes with it. It must never hold a decision on a record, and never more than so many.

use kernel::session::{Ask, Session, Verdict};
use parking_lot::RwLock;
use std::collections::HashMap;

/// Decisions that are remembered; then it begins anew.
const MOST: usize = 10_000;

/// All that such a decision depends on beside the policies.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Question {
    kind: &'static str,
    own: bool,
    actor: String,
    tenant: i64,
    owner: Option<String>,
    roles: Vec<String>,
    operation: String,
    class: String,
    verb: String,
    /// Of the classes.
    edition: u64,
}

impl Question {
    /// None when it is about a record.
    pub(super) fn of(session: &Session, owner: Option<&str>, ask: &Ask<'_>, edition: u64) -> Option<Self> {
        let actor = session.actor();
        ask.record.is_none().then(|| Self {
            kind: actor.kind.as_str(),
            own: session.is_own(),
            actor: actor.key.clone(),
            tenant: session.tenant().0,
            owner: owner.map(str::to_owned),
            roles: session.roles().to_vec(),
            operation: ask.operation.to_owned(),
            class: ask.kind.as_str().to_owned(),
            verb: ask.verb.to_owned(),
            edition,
        })
    }
}

/// What was decided.
#[derive(Default)]
pub(super) struct Decided(RwLock<HashMap<Question, Verdict>>);

impl Decided {
    /// The verdict, which is found by `decide` when nobody has asked so before.
    pub(super) fn or(&self, question: Option<Question>, decide: impl FnOnce() -> Verdict) -> Verdict {
        let Some(question) = question else { return decide() };
        if let Some(known) = self.0.read().get(&question) {
            return known.clone();
        }
        let verdict = decide();
        let mut known = self.0.write();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(question, verdict.clone());
        verdict
    }
}
