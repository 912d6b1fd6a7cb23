//! What acts become: for each, the steps of one commit, decided from the records as they are.
//!
//! A plan sees its own earlier acts (a record created by the first act can be linked by the second). It reads, and never writes.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::act::{Act, Create, Kernel, NewLink, Target};
use crate::backend::{NewKey, Step};
use crate::class::{ClassRef, TransitionDef};
use crate::clock::Time;
use crate::error::{ActError, FieldError, Noun};
use crate::ids::{Id, is_key, key_from};
use crate::interval::Interval;
use crate::journal::{Draft, difference};
use crate::link::Link;
use crate::record::{Health, HealthState, Record};
use crate::session::{Ask, Session};
use crate::shape::Word;

/// Longest note, in bytes.
const MAX_NOTE: usize = 65_536;

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

    async fn create(&mut self, create: &Create) -> Result<(), ActError> {
        let class = self.kernel.registry().need(&create.kind)?;
        self.computed_are_ours(&class, &create.fields)?;
        let (mut fields, free) = self.lifted(&class, create).await?;
        for compute in &class.compute {
            compute(&mut fields);
        }
        let fields = crate::validate::fields(&class, fields).map_err(ActError::Invalid)?;
        let state = create.state.clone().unwrap_or_else(|| class.initial_state().to_owned());
        if !class.states.iter().any(|s| s.name == state) {
            let states = class.states.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ActError::field("state", format!("must be one of {states}, not \"{state}\"")));
        }
        let key = new_key(&class, create, &fields)?;
        let text = match &key {
            NewKey::Given(key) => key.clone(),
            NewKey::Numbered(_) => String::new(),
        };
        let record = Record {
            id: create.id.unwrap_or_else(|| Id::new(self.now)),
            tenant: self.session.tenant(),
            kind: class.name.clone(),
            open: class.is_open(&state),
            state,
            state_since: self.now,
            title: class.title_for(&fields, &text),
            key: text,
            owner: create.owner.clone(),
            health: None,
            version: 1,
            created: self.now,
            updated: self.now,
            deleted: false,
            fields,
        };
        self.allow("create", &class, Some(&record))?;
        self.owner_exists(record.owner.as_deref()).await?;
        holds(&class, &record, self.kernel, self.now)?;
        let after = record.comparable();
        self.steps.push(Step::Insert { record: Box::new(record.clone()), key, search: search_text(&record) });
        let mut after = after;
        let refs = self.ref_links(&class, &Map::new(), &record).await?;
        let mut wanted = refs;
        for link in &free {
            let (link, shown) = self.checked_link(&class, &record, link).await?;
            after.insert(format!("link:{}", link.name), shown.into());
            wanted.push((link, true));
        }
        self.required_links(&class, &wanted)?;
        self.tell(&record, "create", &Map::new(), &after, None);
        self.working.insert(record.id, record.clone());
        for (link, add) in dedup(wanted) {
            if add {
                self.steps.push(Step::Link(link));
            }
        }
        if class.name.as_str() == "tenant" {
            self.new_tenants.push(record.key.clone());
        }
        self.settle(record, true);
        Ok(())
    }

    /// The fields of a new record, with the links that are lifted from a field written into it; the other links stay links.
    async fn lifted(&self, class: &ClassRef, create: &Create) -> Result<(Map<String, Value>, Vec<NewLink>), ActError> {
        let (mut fields, mut free) = (create.fields.clone(), Vec::new());
        for link in &create.links {
            let Some(field) = class.link(&link.name).and_then(|def| def.field.clone()) else {
                free.push(link.clone());
                continue;
            };
            let key = Value::from(self.load(&link.to).await?.key);
            match fields.get_mut(&field) {
                Some(Value::Array(keys)) if !keys.contains(&key) => keys.push(key),
                Some(Value::Array(_)) => {}
                _ if class.field(&field).is_some_and(|f| f.word == Word::List) => {
                    drop(fields.insert(field, Value::Array(vec![key])))
                }
                _ => drop(fields.insert(field, key)),
            }
        }
        Ok((fields, free))
    }

    pub(crate) async fn update(
        &mut self,
        record: Record,
        patch: &Map<String, Value>,
        owner: Option<&Option<String>>,
        action: &str,
        note: Option<&str>,
    ) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        self.computed_are_ours(&class, patch)?;
        let mut next = record.clone();
        merge(&mut next.fields, patch);
        if let Some(owner) = owner {
            self.owner_exists(owner.as_deref()).await?;
            next.owner.clone_from(owner);
        }
        self.write(&class, &record, next, action, note).await
    }

    /// Validates `next`, and adds the steps that make it of `record`; nothing when nothing differs.
    pub(crate) async fn write(
        &mut self,
        class: &ClassRef,
        record: &Record,
        mut next: Record,
        action: &str,
        note: Option<&str>,
    ) -> Result<(), ActError> {
        for compute in &class.compute {
            compute(&mut next.fields);
        }
        next.fields = crate::validate::fields(class, std::mem::take(&mut next.fields)).map_err(ActError::Invalid)?;
        next.title = class.title_for(&next.fields, &next.key);
        next.open = class.is_open(&next.state);
        holds(class, &next, self.kernel, self.now)?;
        let (before, after) = difference(&record.comparable(), &next.comparable());
        if before.is_empty()
            && after.is_empty()
            && note.is_none()
            && record.deleted == next.deleted
            && action == "update"
        {
            self.settle(next, false);
            return Ok(());
        }
        if next.state != record.state {
            next.state_since = self.now;
        }
        next.version = record.version + 1;
        next.updated = self.now.max(record.updated);
        let links = self.ref_links(class, &record.fields, &next).await?;
        self.steps.push(Step::Update {
            record: Box::new(next.clone()),
            expect: record.version,
            search: search_text(&next),
        });
        self.tell(&next, action, &before, &after, note);
        for (link, add) in links {
            self.steps.push(if add { Step::Link(link) } else { Step::Unlink(link) });
        }
        self.settle(next, false);
        Ok(())
    }

    async fn transition(
        &mut self,
        record: Record,
        name: &str,
        given: &Map<String, Value>,
        note: Option<&str>,
    ) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let step = class.transition(name).ok_or_else(|| {
            ActError::unknown(Noun::Transition, name, class.transitions.iter().map(|t| t.name.as_str()))
        })?;
        if step.machine && !self.session.is_own() {
            return Err(ActError::Conflict(format!("{name} is done by Mainstay itself, from what it measures")));
        }
        if !step.from.is_empty() && !step.from.contains(&record.state) {
            let next: Vec<&str> = class
                .transitions
                .iter()
                .filter(|t| !t.machine && (t.from.is_empty() || t.from.contains(&record.state)))
                .map(|t| t.name.as_str())
                .collect();
            let possible = if next.is_empty() {
                "nothing more can be done".to_owned()
            } else {
                format!("possible: {}", next.join(", "))
            };
            return Err(ActError::Conflict(format!(
                "{} is {}; {name} starts from {}; {possible}",
                record.key,
                record.state,
                step.from.join(", ")
            )));
        }
        let mut next = record.clone();
        let asked = self.transition_input(&class, step, given)?;
        merge(&mut next.fields, &asked);
        for (field, value) in &step.sets {
            let value = match value.as_str() {
                Some("$now") => self.now.to_string().into(),
                Some("$actor") => self.session.actor().key.clone().into(),
                Some("$next") => (next.int(field).unwrap_or_default() + 1).into(),
                _ => value.clone(),
            };
            next.fields.insert(field.clone(), value);
        }
        let missing: Vec<FieldError> = step
            .requires
            .iter()
            .filter(|f| next.get(f).is_none())
            .map(|f| FieldError::new(f.as_str(), format!("must have a value before {name}")))
            .collect();
        if !missing.is_empty() {
            return Err(ActError::Invalid(missing));
        }
        if let Some(to) = &step.to {
            next.state.clone_from(to);
        }
        if step.takes_owner && self.session.actor().kind == crate::session::ActorKind::Person {
            next.owner = Some(self.session.actor().key.clone());
        }
        if let Some(guard) = step.guard {
            guard(&next).map_err(ActError::Conflict)?;
        }
        let note = note.filter(|n| !n.trim().is_empty());
        if note.is_some_and(|n| n.len() > MAX_NOTE) {
            return Err(ActError::field("note", "is longer than 64 KiB"));
        }
        self.write(&class, &record, next, name, note).await
    }

    /// Input of a transition: what it asks for, and any field of the class that is not computed.
    fn transition_input(
        &self,
        class: &ClassRef,
        step: &TransitionDef,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, ActError> {
        let (mut asked, mut others) = (Map::new(), Map::new());
        for (name, value) in given {
            let into = if step.input.iter().any(|f| f.name == *name) { &mut asked } else { &mut others };
            into.insert(name.clone(), value.clone());
        }
        self.computed_are_ours(class, &others)?;
        let mut clean = crate::validate::input(&step.input, asked, &step.name).map_err(ActError::Invalid)?;
        clean.retain(|name, _| class.field(name).is_some());
        clean.extend(others);
        Ok(clean)
    }

    fn note(&mut self, record: Record, text: &str) -> Result<(), ActError> {
        if text.trim().is_empty() {
            return Err(ActError::field("text", "must not be empty"));
        }
        if text.len() > MAX_NOTE {
            return Err(ActError::field("text", "is longer than 64 KiB"));
        }
        self.tell(&record, "note", &Map::new(), &Map::new(), Some(text));
        self.settle(record, false);
        Ok(())
    }

    fn health(&mut self, mut record: Record, state: HealthState, reason: &str) {
        let was = record.health.as_ref().map(|h| h.state);
        if was == Some(state) {
            self.settle(record, false);
            return;
        }
        let health = Health { state, since: self.now, reason: reason.to_owned() };
        let word =
            |s: Option<HealthState>| Map::from_iter([("health".to_owned(), Value::from(s.map(HealthState::as_str)))]);
        self.tell(&record, "health", &word(was), &word(Some(state)), Some(reason));
        self.steps.push(Step::Health { subject: record.id, health: Some(health.clone()) });
        self.steps.push(Step::OpenInterval(Interval {
            id: Id::new(self.now),
            subject: Some(record.id),
            state,
            start: self.now,
            end: None,
            cause: 0,
            reason: reason.to_owned(),
            corrected_by: None,
        }));
        record.health = Some(health);
        self.settle(record, false);
    }

    /// Fields that Mainstay sets cannot be set by others.
    fn computed_are_ours(&self, class: &ClassRef, fields: &Map<String, Value>) -> Result<(), ActError> {
        if self.session.is_own() {
            return Ok(());
        }
        let wrong: Vec<FieldError> = fields
            .keys()
            .filter(|n| class.field(n).is_some_and(|f| f.computed))
            .map(|n| FieldError::new(n.as_str(), "is set by Mainstay, from other fields or from what it measures"))
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(ActError::Invalid(wrong)) }
    }

    async fn owner_exists(&self, owner: Option<&str>) -> Result<(), ActError> {
        let Some(owner) = owner else { return Ok(()) };
        let found = self.kernel.backend().by_key(self.session.tenant(), owner).await?;
        match found {
            Some(r) if !r.deleted && matches!(r.kind.as_str(), "person" | "team") => Ok(()),
            _ => Err(ActError::field("owner", format!("there is no person or team \"{owner}\""))),
        }
    }

    /// Links that appear (true) and disappear (false) when the ref fields change from `before` to those of `next`.
    async fn ref_links(
        &self,
        class: &ClassRef,
        before: &Map<String, Value>,
        next: &Record,
    ) -> Result<Vec<(Link, bool)>, ActError> {
        let mut changes = Vec::new();
        let mut wrong = Vec::new();
        for def in class.links.iter().filter(|l| l.field.is_some()) {
            let field = def.field.as_deref().unwrap_or_default();
            let (old, new) = (ref_keys(before.get(field)), ref_keys(next.fields.get(field)));
            for key in new.iter().filter(|k| !old.contains(k)) {
                match self.find_target(key, &def.to).await? {
                    Ok(to) => changes.push((Link { from: next.id, name: def.name.clone(), to }, true)),
                    Err(message) => wrong.push(FieldError::new(field, message)),
                }
            }
            for key in old.iter().filter(|k| !new.contains(k)) {
                if let Some(target) = self.kernel.backend().by_key(self.session.tenant(), key).await? {
                    changes.push((Link { from: next.id, name: def.name.clone(), to: target.id }, false));
                }
            }
        }
        if wrong.is_empty() { Ok(dedup(changes)) } else { Err(ActError::Invalid(wrong)) }
    }

    async fn find_target(&self, key: &str, classes: &[String]) -> Result<Result<Id, String>, ActError> {
        let fits = |r: &Record| !r.deleted && (classes.is_empty() || classes.iter().any(|c| c == r.kind.as_str()));
        if let Some(record) = self.working.values().find(|r| r.key == key && fits(r)) {
            return Ok(Ok(record.id));
        }
        let found = self.kernel.backend().by_key(self.session.tenant(), key).await?;
        let wanted = if classes.is_empty() { "record".to_owned() } else { classes.join(" or ") };
        Ok(match found {
            Some(record) if fits(&record) => Ok(record.id),
            Some(record) if !record.deleted => Err(format!("{key} is a {}, not a {wanted}", record.kind)),
            _ => Err(format!("there is no {wanted} \"{key}\"")),
        })
    }

    async fn checked_link(&self, class: &ClassRef, from: &Record, link: &NewLink) -> Result<(Link, String), ActError> {
        let def = class
            .link(&link.name)
            .ok_or_else(|| ActError::unknown(Noun::Link, &link.name, class.links.iter().map(|l| l.name.as_str())))?;
        let to = match &link.to {
            Target::Id(id) if *id == from.id => from.clone(),
            target => self.load(target).await?,
        };
        if !def.to.is_empty() && !def.to.iter().any(|c| c == to.kind.as_str()) {
            return Err(ActError::Conflict(format!(
                "{} {} leads to {}, not to a {}",
                class.name,
                def.name,
                def.to.join(" or "),
                to.kind
            )));
        }
        if to.id == from.id {
            return Err(ActError::Conflict(format!("{} cannot be linked to itself", from.key)));
        }
        let shown = if to.key.is_empty() { to.id.to_string() } else { to.key.clone() };
        Ok((Link { from: from.id, name: def.name.clone(), to: to.id }, shown))
    }

    fn required_links(&self, class: &ClassRef, links: &[(Link, bool)]) -> Result<(), ActError> {
        let missing: Vec<FieldError> = class
            .links
            .iter()
            .filter(|def| def.required && !links.iter().any(|(l, add)| *add && l.name == def.name))
            .map(|def| {
                FieldError::new(
                    def.field.clone().unwrap_or_else(|| def.name.clone()),
                    format!("needs a link {} to {}", def.name, def.to.join(" or ")),
                )
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(ActError::Invalid(missing)) }
    }

    async fn link(&mut self, record: Record, name: &str, to: &Target) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let (link, shown) =
            self.checked_link(&class, &record, &NewLink { name: name.to_owned(), to: to.clone() }).await?;
        let def = class.link(name).ok_or_else(|| ActError::unknown(Noun::Link, name, []))?;
        if let Some(field) = &def.field {
            let value = match class.field(field).map(|f| f.word) {
                Some(Word::List) => {
                    let mut keys = ref_keys(record.fields.get(field));
                    keys.push(shown);
                    keys.dedup();
                    Value::from(keys)
                }
                _ => Value::from(shown),
            };
            return self.update(record, &Map::from_iter([(field.clone(), value)]), None, "link", None).await;
        }
        if self.kernel.backend().linked(self.session.tenant(), &link).await? {
            self.settle(record, false);
            return Ok(());
        }
        if !def.many {
            let there = self.kernel.backend().neighbours(self.session.tenant(), record.id).await?;
            if let Some(other) = there.iter().find(|n| n.name == def.name && n.direction == crate::link::Side::Out) {
                return Err(ActError::Conflict(format!(
                    "{} has a link {} already, to {}; unlink that first",
                    record.key, def.name, other.other.key
                )));
            }
        }
        self.tell(&record, "link", &Map::new(), &Map::from_iter([(name.to_owned(), shown.into())]), None);
        self.steps.push(Step::Link(link));
        self.settle(record, false);
        Ok(())
    }

    async fn unlink(&mut self, record: Record, name: &str, to: &Target) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let (link, shown) =
            self.checked_link(&class, &record, &NewLink { name: name.to_owned(), to: to.clone() }).await?;
        let def = class.link(name).ok_or_else(|| ActError::unknown(Noun::Link, name, []))?;
        if let Some(field) = &def.field {
            let left: Vec<String> = ref_keys(record.fields.get(field)).into_iter().filter(|k| *k != shown).collect();
            let list = class.field(field).is_some_and(|f| f.word == Word::List);
            let value = if list { Value::from(left) } else { Value::Null };
            return self.update(record, &Map::from_iter([(field.clone(), value)]), None, "unlink", None).await;
        }
        if !self.kernel.backend().linked(self.session.tenant(), &link).await? {
            return Err(ActError::Unknown {
                noun: Noun::Link,
                name: format!("{} {name} {shown}", record.key),
                near: Vec::new(),
            });
        }
        self.tell(&record, "unlink", &Map::from_iter([(name.to_owned(), shown.into())]), &Map::new(), None);
        self.steps.push(Step::Unlink(link));
        self.settle(record, false);
        Ok(())
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

/// RFC 7386: null removes, objects merge, everything else replaces.
fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match (into.get_mut(name), value) {
            (_, Value::Null) => {
                into.shift_remove(name);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Rules of a user's class.
fn holds(class: &ClassRef, record: &Record, kernel: &Kernel, now: Time) -> Result<(), ActError> {
    let mut wrong = Vec::new();
    for rule in &class.rules {
        let predicate = crate::filter::compile(&rule.holds, class, kernel.registry(), now)?;
        if crate::eval::matches(&predicate, record) == Some(false) {
            wrong.push(FieldError::new(rule.field.as_str(), rule.say.as_str()));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(ActError::Invalid(wrong)) }
}

fn new_key(class: &ClassRef, create: &Create, fields: &Map<String, Value>) -> Result<NewKey, ActError> {
    if let Some(key) = &create.key {
        if !is_key(key) {
            return Err(ActError::field(
                "key",
                format!(
                    "\"{key}\" cannot be a key: use 1 to 128 letters, digits and . _ - : @ / *, not starting with -"
                ),
            ));
        }
        return Ok(NewKey::Given(key.clone()));
    }
    if let Some(prefix) = &class.prefix {
        return Ok(NewKey::Numbered(prefix.clone()));
    }
    let key = key_from(&class.title_for(fields, ""));
    if is_key(&key) {
        Ok(NewKey::Given(key))
    } else {
        Err(ActError::field(
            "key",
            format!("a {} needs a key, or a title or name that one can be made from", class.name),
        ))
    }
}

fn ref_keys(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(key)) => vec![key.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn dedup(links: Vec<(Link, bool)>) -> Vec<(Link, bool)> {
    let mut seen = Vec::with_capacity(links.len());
    for link in links {
        if !seen.contains(&link) {
            seen.push(link);
        }
    }
    seen
}

/// What a record is found by: key, title, owner and every text in its fields, at most 16 KiB.
pub(crate) fn search_text(record: &Record) -> String {
    let mut text = format!("{} {}", record.key, record.title);
    if let Some(owner) = &record.owner {
        text.push(' ');
        text.push_str(owner);
    }
    for value in record.fields.values() {
        append(&mut text, value);
    }
    if text.len() > 16_384 {
        let end = (0..=16_384).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn append(text: &mut String, value: &Value) {
    if text.len() > 16_384 {
        return;
    }
    match value {
        Value::String(s) => {
            text.push(' ');
            text.push_str(s);
        }
        Value::Array(items) => items.iter().for_each(|v| append(text, v)),
        Value::Object(entries) => entries.values().for_each(|v| append(text, v)),
        _ => {}
    }
}
