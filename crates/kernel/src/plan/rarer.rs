//! The rarer acts: deletion with what hangs on it, observations and drift, corrections of intervals, undo.

use serde_json::{Map, Value};

use crate::act::Target;
use crate::backend::{JournalQuery, Step};
use crate::class::OnDelete;
use crate::error::{ActError, FieldError, Noun};
use crate::ids::Id;
use crate::interval::{Correction, Interval};
use crate::journal::Entry;
use crate::link::{Link, Side};
use crate::observation::{ACCEPTED, AcceptSide, FIELDS, Look, open_drift};
use crate::plan::{Plan, not_there};
use crate::record::Record;

/// Most records that one deletion takes along.
const MAX_CASCADE: usize = 1000;

impl Plan<'_> {
    /// A tombstone for the record, and what the links to it ask for.
    pub(crate) async fn delete(&mut self, record: Record) -> Result<(), ActError> {
        let mut doomed = vec![record];
        let mut next = 0;
        while next < doomed.len() {
            let record = doomed[next].clone();
            next += 1;
            for hanging in self.hanging_on(&record, &doomed).await? {
                doomed.push(hanging);
                if doomed.len() > MAX_CASCADE {
                    return Err(ActError::Conflict(format!(
                        "deleting it would take more than {MAX_CASCADE} records along; delete those first"
                    )));
                }
            }
        }
        for mut record in doomed {
            let before = record.comparable();
            let expect = record.version;
            record.version += 1;
            record.updated = self.now.max(record.updated);
            record.deleted = true;
            record.open = false;
            self.steps.push(Step::Update { record: Box::new(record.clone()), expect, search: String::new() });
            self.tell(&record, "delete", &before, &Map::new(), None);
            self.settle(record, false);
        }
        Ok(())
    }

    /// Records that go with `record`; the links of those that stay are taken off.
    async fn hanging_on(&mut self, record: &Record, doomed: &[Record]) -> Result<Vec<Record>, ActError> {
        let mut hanging = Vec::new();
        let backend = self.kernel.backend();
        for neighbour in backend.neighbours(self.session.tenant(), record.id).await? {
            let other = &neighbour.other;
            if neighbour.direction == Side::Out || doomed.iter().chain(&hanging).any(|r: &Record| r.id == other.id) {
                continue;
            }
            let class = self.kernel.registry().need(other.kind.as_str())?;
            let Some(def) = class.link(&neighbour.name) else { continue };
            match def.on_delete {
                OnDelete::Block => {
                    return Err(ActError::Conflict(format!(
                        "{} cannot be deleted: {} {} {} it",
                        record.key, other.kind, other.key, def.name
                    )));
                }
                OnDelete::Cascade => {
                    let source = self.load(&Target::Id(other.id)).await?;
                    self.allow("delete", &class, Some(&source))?;
                    hanging.push(source);
                }
                OnDelete::Unlink => {
                    let source = backend
                        .get(self.session.tenant(), other.id)
                        .await?
                        .ok_or_else(|| not_there(&Target::Id(other.id)))?;
                    let link = Link { from: source.id, name: def.name.clone(), to: record.id };
                    if let Some(field) = &def.field {
                        let value = match source.fields.get(field) {
                            Some(Value::Array(keys)) => {
                                Value::Array(keys.iter().filter(|k| k.as_str() != Some(&record.key)).cloned().collect())
                            }
                            _ => Value::Null,
                        };
                        self.update(source, &Map::from_iter([(field.clone(), value)]), None, "unlink", None).await?;
                    } else {
                        self.tell(
                            &source,
                            "unlink",
                            &Map::from_iter([(def.name.clone(), record.key.clone().into())]),
                            &Map::new(),
                            None,
                        );
                    }
                    self.steps.push(Step::Unlink(link));
                }
            }
        }
        Ok(hanging)
    }

    /// Rows seen, and an entry for each declared field that begins to differ.
    pub(crate) async fn observe(&mut self, record: Record, looks: &[Look]) -> Result<(), ActError> {
        let known = self.kernel.backend().observations(self.session.tenant(), record.id, None, "", None, 1000).await?;
        for look in looks {
            if look.table.is_empty() || look.table.len() > 63 || look.rows.len() > 100_000 {
                return Err(ActError::field(
                    "table",
                    "a look has a table's name of at most 63 characters and at most 100,000 rows",
                ));
            }
            if look.table == FIELDS {
                self.tell_new_drift(&record, look, &known);
            }
            self.steps.push(Step::Observe { subject: record.id, look: look.clone(), at: self.now });
        }
        self.settle(record, false);
        Ok(())
    }

    fn tell_new_drift(&mut self, record: &Record, look: &Look, known: &[crate::observation::Observation]) {
        let (mut before, mut after) = (Map::new(), Map::new());
        for (item, value) in &look.rows {
            let Some(declared) = record.get(item) else { continue };
            let seen_before = known.iter().any(|o| o.item == *item && o.value == *value && o.gone.is_none());
            if declared != value && !seen_before {
                before.insert(item.clone(), declared.clone());
                after.insert(item.clone(), value.clone());
            }
        }
        if !after.is_empty() {
            self.tell(record, "drift", &before, &after, Some(&format!("seen by {}", look.source)));
        }
    }

    /// Either side of a drift becomes what is right.
    pub(crate) async fn accept(&mut self, record: Record, field: &str, side: AcceptSide) -> Result<(), ActError> {
        let seen = self.kernel.backend().observations(self.session.tenant(), record.id, None, "", None, 1000).await?;
        let drifts = open_drift(&record.fields, &seen);
        let drift = drifts.iter().find(|d| d.field == field).ok_or_else(|| {
            let fields: Vec<&str> = drifts.iter().map(|d| d.field.as_str()).collect();
            ActError::Conflict(if fields.is_empty() {
                format!("{} does not drift in any field", record.key)
            } else {
                format!("{} does not drift in {field}; it does in {}", record.key, fields.join(", "))
            })
        })?;
        match side {
            AcceptSide::Observed => {
                let patch = Map::from_iter([(field.to_owned(), drift.observed.clone())]);
                self.update(record, &patch, None, "accept-observed", None).await
            }
            AcceptSide::Declared => {
                let look = Look {
                    table: ACCEPTED.into(),
                    source: self.session.actor().to_string(),
                    rows: vec![(field.to_owned(), drift.observed.clone())],
                    whole: false,
                };
                let one = |value: &Value| Map::from_iter([(field.to_owned(), value.clone())]);
                self.tell(&record, "accept-declared", &one(&drift.observed), &one(&drift.declared), None);
                self.steps.push(Step::Observe { subject: record.id, look, at: self.now });
                self.settle(record, false);
                Ok(())
            }
        }
    }

    /// Cuts a new interval out of an old one; the old is kept, superseded.
    pub(crate) async fn correct(&mut self, id: Id, correction: &Correction) -> Result<(), ActError> {
        let unknown = || ActError::Unknown { noun: Noun::Interval, name: id.to_string(), near: Vec::new() };
        let old = self.kernel.backend().interval(self.session.tenant(), id).await?.ok_or_else(unknown)?;
        let subject = old.subject.ok_or_else(unknown)?;
        let record = self.load(&Target::Id(subject)).await?;
        let class = self.kernel.registry().need(record.kind.as_str())?;
        self.allow("correct", &class, Some(&record))?;
        let pieces = cut(&old, correction, self.now)?;
        let shown = |i: &Interval| serde_json::json!({"state": i.state, "start": i.start, "end": i.end});
        let before = Map::from_iter([("interval".to_owned(), shown(&old))]);
        let after = Map::from_iter([("intervals".to_owned(), Value::Array(pieces.iter().map(shown).collect()))]);
        self.tell(&record, "correct-interval", &before, &after, Some(&correction.reason));
        self.steps.push(Step::CorrectInterval { old: id, new: pieces });
        self.settle(record, false);
        Ok(())
    }

    /// Takes back what an entry tells of, if nothing has changed the same things since.
    pub(crate) async fn undo(&mut self, record: Record, seq: u64) -> Result<(), ActError> {
        let query = JournalQuery {
            tenant: Some(self.session.tenant()),
            since: seq.saturating_sub(1),
            subject: Some(record.id),
            limit: 1,
            ..JournalQuery::default()
        };
        let entry = self.kernel.backend().journal(&query).await?.into_iter().find(|e| e.seq == seq);
        let entry = entry.ok_or_else(|| ActError::Unknown {
            noun: Noun::Entry,
            name: format!("{seq} of {}", record.key),
            near: Vec::new(),
        })?;
        let class = self.kernel.registry().need(record.kind.as_str())?;
        let note = format!("undo of entry {seq}");
        match entry.action.as_str() {
            "create" => {
                self.allow("delete", &class, Some(&record))?;
                self.delete(record).await
            }
            "link" | "unlink"
                if entry.before.keys().chain(entry.after.keys()).all(|name| class.field(name).is_none()) =>
            {
                self.undo_link(record, &entry).await
            }
            "note" | "health" | "drift" | "correct-interval" | "accept-declared" => {
                Err(ActError::Conflict(format!("{} cannot be taken back", entry.action)))
            }
            // It changed no field: a sign-in, a test of a channel.
            action if entry.before.is_empty() => {
                Err(ActError::Conflict(format!("{action} cannot be taken back: it changed no field")))
            }
            action => {
                let operation = if record.deleted {
                    "delete".to_owned()
                } else if entry.after.contains_key("state") {
                    format!("transition:{action}")
                } else {
                    "update".to_owned()
                };
                self.allow(&operation, &class, Some(&record))?;
                let next = restored(&record, &entry)?;
                self.write(&class, &record, next, "undo", Some(&note)).await
            }
        }
    }

    async fn undo_link(&mut self, record: Record, entry: &Entry) -> Result<(), ActError> {
        let class = self.kernel.registry().need(record.kind.as_str())?;
        self.allow("link", &class, Some(&record))?;
        let (names, add) = if entry.action == "link" { (&entry.after, false) } else { (&entry.before, true) };
        for (name, key) in names {
            let key = key.as_str().unwrap_or_default();
            let (backend, tenant) = (self.kernel.backend(), self.session.tenant());
            // A record that was numbered in the same act is told by its id.
            let found = match Id::parse(key) {
                Some(id) => backend.get(tenant, id).await?,
                None => backend.by_key(tenant, key).await?,
            };
            let Some(target) = found.filter(|r| !r.deleted) else {
                return Err(ActError::Conflict(format!("{key} is no longer there")));
            };
            let link = Link { from: record.id, name: name.clone(), to: target.id };
            let one = Map::from_iter([(name.clone(), Value::from(key))]);
            if add {
                self.tell(&record, "link", &Map::new(), &one, Some("undo"));
                self.steps.push(Step::Link(link));
            } else {
                self.tell(&record, "unlink", &one, &Map::new(), Some("undo"));
                self.steps.push(Step::Unlink(link));
            }
        }
        self.settle(record, false);
        Ok(())
    }
}

/// The record with everything that `entry` changed as it was before.
fn restored(record: &Record, entry: &Entry) -> Result<Record, ActError> {
    let mut next = record.clone();
    if entry.action == "delete" {
        next.deleted = false;
        return Ok(next);
    }
    let now = record.comparable();
    let mut wrong = Vec::new();
    for (name, was) in &entry.before {
        let is = now.get(name).unwrap_or(&Value::Null);
        if is != entry.after.get(name).unwrap_or(&Value::Null) {
            wrong.push(FieldError::new(name.as_str(), "was changed again since"));
        }
        match name.as_str() {
            "state" => next.state = was.as_str().unwrap_or(&record.state).to_owned(),
            "owner" => next.owner = was.as_str().map(str::to_owned),
            _ if was.is_null() => {
                next.fields.shift_remove(name);
            }
            _ => {
                next.fields.insert(name.clone(), was.clone());
            }
        }
    }
    if wrong.is_empty() { Ok(next) } else { Err(ActError::Invalid(wrong)) }
}

/// The pieces that replace `old`: what is left before, the correction, what is left after.
pub(crate) fn cut(old: &Interval, correction: &Correction, now: crate::clock::Time) -> Result<Vec<Interval>, ActError> {
    if !old.counts() {
        return Err(ActError::Conflict("this interval was corrected before; correct the one that replaced it".into()));
    }
    let mut wrong = Vec::new();
    if correction.reason.trim().is_empty() {
        wrong.push(FieldError::new("reason", "must say why: the figures that others see change"));
    }
    if correction.start < old.start {
        wrong.push(FieldError::new("start", format!("must not be before {}, where the interval starts", old.start)));
    }
    match (correction.end, old.end) {
        (None, Some(end)) => wrong.push(FieldError::new("end", format!("must have a value, at most {end}"))),
        (Some(end), limit) if end > limit.unwrap_or(now) => wrong.push(FieldError::new(
            "end",
            format!("must not be after {}, where the interval ends", limit.unwrap_or(now)),
        )),
        (Some(end), _) if end <= correction.start => wrong.push(FieldError::new("end", "must be after the start")),
        _ => {}
    }
    if !wrong.is_empty() {
        return Err(ActError::Invalid(wrong));
    }
    let piece = |state, start, end, reason: &str| Interval {
        id: Id::new(now),
        subject: old.subject,
        state,
        start,
        end,
        cause: 0,
        reason: reason.to_owned(),
        corrected_by: None,
    };
    let mut pieces = vec![piece(correction.state, correction.start, correction.end, &correction.reason)];
    if correction.start > old.start {
        pieces.push(piece(old.state, old.start, Some(correction.start), &old.reason));
    }
    if let Some(end) = correction.end
        && old.end.is_none_or(|e| end < e)
    {
        pieces.push(piece(old.state, end, old.end, &old.reason));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::record::HealthState;
    use proptest::prelude::*;

    fn at(minute: i64) -> Time {
        Time::from_micros(minute * 60_000_000)
    }

    fn down(start: i64, end: Option<i64>) -> Interval {
        Interval {
            id: Id::new(at(0)),
            subject: None,
            state: HealthState::Down,
            start: at(start),
            end: end.map(at),
            cause: 1,
            reason: "no answer".into(),
            corrected_by: None,
        }
    }

    proptest! {
        #[test]
        fn a_correction_neither_loses_nor_invents_time(start in 0i64..50, length in 1i64..50, from in 0i64..110, span in 1i64..60, open in any::<bool>()) {
            let old = down(start, (!open).then_some(start + length));
            let correction = Correction { state: HealthState::Up, start: at(from), end: Some(at(from + span)), reason: "agreed with the customer".into() };
            if let Ok(pieces) = cut(&old, &correction, at(200)) {
                let total = |i: &Interval| i.end.unwrap_or(at(200)).as_micros() - i.start.as_micros();
                prop_assert_eq!(pieces.iter().map(total).sum::<i64>(), total(&old));
                let mut sorted = pieces;
                sorted.sort_by_key(|i| i.start);
                prop_assert_eq!(sorted[0].start, old.start);
                prop_assert_eq!(sorted.last().unwrap().end, old.end);
                for pair in sorted.windows(2) {
                    prop_assert_eq!(pair[0].end, Some(pair[1].start));
                }
            } else {
                let limit = if open { 200 } else { start + length };
                prop_assert!(from < start || from + span > limit);
            }
        }
    }

    #[test]
    fn a_correction_says_why() {
        let correction = Correction { state: HealthState::Up, start: at(1), end: Some(at(2)), reason: " ".into() };
        assert!(
            matches!(cut(&down(0, Some(9)), &correction, at(10)), Err(ActError::Invalid(e)) if e[0].field == "reason")
        );
    }
}
