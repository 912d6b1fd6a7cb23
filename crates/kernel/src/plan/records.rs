//! What becomes of one record: created, changed, moved along its life cycle, noted on, well or not.

use serde_json::{Map, Value};

use super::Plan;
use super::links::dedup;
use crate::act::{Create, Kernel, NewLink};
use crate::backend::{NewKey, Step};
use crate::class::{ClassRef, TransitionDef};
use crate::clock::Time;
use crate::error::{ActError, FieldError, Noun};
use crate::ids::{Id, is_key, key_from};
use crate::interval::Interval;
use crate::journal::difference;
use crate::record::{Health, HealthState, Record};
use crate::shape::Word;

/// Longest note, in bytes.
const MAX_NOTE: usize = 65_536;

impl Plan<'_> {
    pub(super) async fn create(&mut self, create: &Create) -> Result<(), ActError> {
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
    pub(super) async fn lifted(
        &self,
        class: &ClassRef,
        create: &Create,
    ) -> Result<(Map<String, Value>, Vec<NewLink>), ActError> {
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

    pub(super) async fn transition(
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
    pub(super) fn transition_input(
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

    pub(super) fn note(&mut self, record: Record, text: &str) -> Result<(), ActError> {
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

    pub(super) fn health(&mut self, mut record: Record, state: HealthState, reason: &str) {
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
    pub(super) fn computed_are_ours(&self, class: &ClassRef, fields: &Map<String, Value>) -> Result<(), ActError> {
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

    pub(super) async fn owner_exists(&self, owner: Option<&str>) -> Result<(), ActError> {
        let Some(owner) = owner else { return Ok(()) };
        let found = self.kernel.backend().by_key(self.session.tenant(), owner).await?;
        match found {
            Some(r) if !r.deleted && matches!(r.kind.as_str(), "person" | "team") => Ok(()),
            _ => Err(ActError::field("owner", format!("there is no person or team \"{owner}\""))),
        }
    }
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
