//! What acts become: for each, the steps of one commit, decided from the records as they are.
//!
//! A plan sees its own earlier acts (a record created by the first act can be linked by the second). It reads, and never writes.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::act::{Act, Kernel, Target};
use crate::backend::Step;
use crate::class::ClassRef;
use crate::clock::Time;
use crate::error::{ActError, Noun};
use crate::ids::Id;
use crate::journal::Draft;
use crate::record::Record;
use crate::session::{Ask, Session};

mod links;
mod rarer;
mod records;

/// A record that the plan has touched, for the answer.
pub(crate) struct Outcome {
    pub(crate) record: Record,
    pub(crate) inserted: bool,
}

/// Steps of one commit in the making.
pub(crate) struct Plan<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) session: &'a Session,
    pub(crate) now: Time,
    pub(crate) steps: Vec<Step>,
    pub(crate) results: Vec<Outcome>,
    pub(crate) new_tenants: Vec<String>,
    /// Records as this plan leaves them.
    working: BTreeMap<Id, Record>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(kernel: &'a Kernel, session: &'a Session) -> Self {
        Self {
            kernel,
            session,
            now: kernel.now(),
            steps: Vec::new(),
            results: Vec::new(),
            new_tenants: Vec::new(),
            working: BTreeMap::new(),
        }
    }

    /// Adds what `act` becomes.
    pub(crate) async fn add(&mut self, act: &Act) -> Result<(), ActError> {
        match act {
            Act::Create(create) => self.create(create).await,
            Act::Update { target, fields, owner, expect } => {
                let record = self.load_for(target, "update", *expect).await?;
                self.update(record, fields, owner.as_ref(), "update", None).await
            }
            Act::Transition { target, name, fields, note, expect } => {
                let record = self.load_for(target, &format!("transition:{name}"), *expect).await?;
                self.transition(record, name, fields, note.as_deref()).await
            }
            Act::Delete { target, expect } => {
                let record = self.load_for(target, "delete", *expect).await?;
                self.delete(record).await
            }
            Act::Link { from, name, to } => {
                let record = self.load_for(from, "link", None).await?;
                self.link(record, name, to).await
            }
            Act::Unlink { from, name, to } => {
                let record = self.load_for(from, "link", None).await?;
                self.unlink(record, name, to).await
            }
            Act::Note { target, text } => {
                let record = self.load_for(target, "note", None).await?;
                self.note(record, text)
            }
            Act::Tell { target, action, details, note } => {
                let record = self.load_for(target, "tell", None).await?;
                self.tell(&record, action, &Map::new(), details, Some(note));
                self.settle(record, false);
                Ok(())
            }
            Act::Health { target, state, reason } => {
                let record = self.load_for(target, "health", None).await?;
                self.health(record, *state, reason);
                Ok(())
            }
            Act::Observe { target, looks } => {
                let record = self.load_for(target, "observe", None).await?;
                self.observe(record, looks).await
            }
            Act::Accept { target, field, side } => {
                let record = self.load_for(target, "update", None).await?;
                self.accept(record, field, *side).await
            }
            Act::Correct { interval, correction } => self.correct(*interval, correction).await,
            Act::Undo { target, seq } => {
                let record = self.load_deleted_too(target).await?;
                self.undo(record, *seq).await
            }
            Act::Enqueue(job) => {
                self.own_only("enqueue", "a job")?;
                self.steps.push(Step::Enqueue(job.clone()));
                Ok(())
            }
        }
    }

    /// The record, if it exists, may be read, and the operation is allowed, at the version asked for.
    async fn load_for(&self, target: &Target, operation: &str, expect: Option<u64>) -> Result<Record, ActError> {
        let record = self.load(target).await?;
        let class = self.kernel.registry().need(record.kind.as_str())?;
        self.allow(operation, &class, Some(&record))?;
        match expect {
            Some(expected) if expected != record.version => {
                Err(ActError::Stale { expected, current: Box::new(record) })
            }
            _ => Ok(record),
        }
    }

    /// A record that is not deleted and may be read.
    pub(crate) async fn load(&self, target: &Target) -> Result<Record, ActError> {
        let record = self.load_deleted_too(target).await?;
        if record.deleted { Err(not_there(target)) } else { Ok(record) }
    }

    async fn load_deleted_too(&self, target: &Target) -> Result<Record, ActError> {
        let tenant = self.session.tenant();
        let working = self.working.values().find(|r| match target {
            Target::Id(id) => r.id == *id,
            Target::Key(kind, key) => r.key == *key && r.kind.as_str() == kind,
        });
        let record = match (working, target) {
            (Some(record), _) => Some(record.clone()),
            (None, Target::Id(id)) => self.kernel.backend().get(tenant, *id).await?,
            (None, Target::Key(kind, key)) => {
                self.kernel.registry().need(kind)?;
                self.kernel.backend().by_key(tenant, key).await?.filter(|r| r.kind.as_str() == kind)
            }
        };
        let record = record.ok_or_else(|| not_there(target))?;
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let ask = Ask { operation: "read", kind: &record.kind, verb: verb_word(&class), record: Some(&record) };
        if self.kernel.policy().decide(self.session, &ask).allowed { Ok(record) } else { Err(not_there(target)) }
    }

    /// Refuses unless the policy allows the operation.
    pub(crate) fn allow(&self, operation: &str, class: &ClassRef, record: Option<&Record>) -> Result<(), ActError> {
        if matches!(operation, "health" | "enqueue" | "tell") {
            return self.own_only(operation, class.name.as_str());
        }
        let ask = Ask { operation, kind: &class.name, verb: verb_word(class), record };
        let verdict = self.kernel.policy().decide(self.session, &ask);
        if verdict.allowed {
            return Ok(());
        }
        let subject = record
            .filter(|r| !r.key.is_empty())
            .map_or_else(|| class.name.to_string(), |r| format!("{} {}", r.kind, r.key));
        Err(ActError::Denied {
            actor: self.session.actor().to_string(),
            operation: operation.to_owned(),
            subject,
            reason: verdict.reason,
        })
    }

    fn own_only(&self, operation: &str, subject: &str) -> Result<(), ActError> {
        if self.session.is_own() {
            return Ok(());
        }
        let reason = "only Mainstay's own controllers do that".to_owned();
        Err(ActError::Denied {
            actor: self.session.actor().to_string(),
            operation: operation.to_owned(),
            subject: subject.to_owned(),
            reason,
        })
    }

    /// A journal entry about `record`, and the record as the plan leaves it.
    pub(crate) fn tell(
        &mut self,
        record: &Record,
        action: &str,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        note: Option<&str>,
    ) {
        let mut draft = Draft::new(
            self.now,
            self.session.actor().clone(),
            (record.id, &record.key, &record.kind),
            action,
            before,
            after,
        );
        draft.cause = self.session.cause();
        draft.note = note.map(str::to_owned);
        self.steps.push(Step::Entry(Box::new(draft)));
    }

    /// Keeps `record` as it is after an act.
    pub(crate) fn settle(&mut self, record: Record, inserted: bool) {
        self.working.insert(record.id, record.clone());
        self.results.push(Outcome { record, inserted });
    }
}

/// The verb of a class as its word.
pub(crate) fn verb_word(class: &ClassRef) -> &'static str {
    use crate::class::Verb;
    match class.verb {
        Verb::Know => "know",
        Verb::Watch => "watch",
        Verb::Respond => "respond",
        Verb::Serve => "serve",
        Verb::Change => "change",
        Verb::Protect => "protect",
        Verb::Plan => "plan",
        Verb::Prove => "prove",
        Verb::Kernel => "kernel",
    }
}

pub(crate) fn not_there(target: &Target) -> ActError {
    let name = match target {
        Target::Key(kind, key) => format!("{kind} {key}"),
        Target::Id(id) => id.to_string(),
    };
    ActError::Unknown { noun: Noun::Record, name, near: Vec::new() }
}
