//! The steps of a commit, one after the other, inside a transaction of the writer.
//!
//! What is decided here: versions, keys, ends of links, idempotency, and the numbers handed out. Everything that needs no look at
//! the database (serialising, splitting into words) has been done by the caller in [`Ready::new`], so the one writer need not.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::backend::{Commit, Committed, NewKey, Step};
use kernel::error::StoreError;
use kernel::ids::{Id, Kind};
use kernel::interval::Interval;
use kernel::journal::{self, Header};
use kernel::link::Link;
use kernel::record::{Health, Record};
use std::sync::Arc;

use crate::conn::{DbError, Fault, Val};
use crate::layout::{ClassTable, insert_sql, seal};
use crate::rows::{self, Stored};
use crate::words;
use crate::writer::Group;
use crate::{jobs, observe};

/// How long an answered request is remembered.
const REMEMBER: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often old ones are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// A commit with what could be prepared outside of the transaction.
pub(crate) struct Ready {
    commit: Commit,
    texts: Vec<Text>,
}

/// Fields as stored, words, and the seal of the words: for steps that carry a record.
#[derive(Default)]
struct Text {
    fields: String,
    words: String,
    words_sum: i64,
}

impl Text {
    fn of(record: &Record, search: &str) -> Self {
        let words = words::text_words(search);
        let words_sum = xxhash_rust::xxh3::xxh3_64(words.as_bytes()).cast_signed();
        Self { fields: serde_json::to_string(&record.fields).expect("a JSON object is text"), words, words_sum }
    }
}

impl Ready {
    pub(crate) fn new(commit: Commit) -> Self {
        let texts = commit.steps.iter().map(|step| match step {
            Step::Insert { record, search, .. } | Step::Update { record, search, .. } => Text::of(record, search),
            _ => Text::default(),
        });
        Self { texts: texts.collect(), commit }
    }

    /// Whether it must go on when the disk is full: jobs that were done or are to be done.
    pub(crate) fn vital(&self) -> bool {
        self.commit.steps.iter().any(|s| matches!(s, Step::Finish(_) | Step::Enqueue(_)))
    }

    /// Does all of it.
    pub(crate) fn run(&self, group: &mut Group<'_>) -> Result<Committed, Fault> {
        // Observations and jobs come many times a second.
        if self.commit.steps.iter().all(|s| matches!(s, Step::Observe { .. } | Step::Enqueue(_) | Step::Finish(_))) {
            group.changes_no_record();
        }
        let mut doing = Doing {
            commit: &self.commit,
            keys: BTreeMap::new(),
            last_seq: 0,
            subject: None,
            done: Committed::default(),
        };
        doing.answered_before(group)?;
        for (step, text) in self.commit.steps.iter().zip(&self.texts) {
            doing.step(group, step, text)?;
        }
        doing.remember(group)?;
        Ok(doing.done)
    }
}

/// A commit under way.
struct Doing<'a> {
    commit: &'a Commit,
    /// Keys of records inserted by this commit.
    keys: BTreeMap<Id, String>,
    last_seq: u64,
    /// The record first inserted or updated.
    subject: Option<Id>,
    done: Committed,
}

impl Doing<'_> {
    fn answered_before(&self, group: &mut Group<'_>) -> Result<(), Fault> {
        let Some((key, print)) = &self.commit.idempotency else { return Ok(()) };
        let sql = "SELECT print, record FROM idempotency WHERE tenant = ?1 AND key = ?2";
        let found = group
            .conn()
            .first(sql, &[self.commit.tenant.into(), key.into()], |row| Ok((row.blob(0)?, row.opt_id(1)?)))?;
        match found {
            Some((stored, record)) => Err(StoreError::Repeated { same: stored == print, record }.into()),
            None => Ok(()),
        }
    }

    fn remember(&self, group: &mut Group<'_>) -> Result<(), Fault> {
        let Some((key, print)) = &self.commit.idempotency else { return Ok(()) };
        let values =
            [self.commit.tenant.into(), key.into(), Val::from(&print[..]), self.subject.into(), self.commit.now.into()];
        group.insert(
            "idempotency",
            &insert_sql("idempotency", &["tenant", "key", "print", "record", "time"]),
            &values,
        )?;
        let now = self.commit.now;
        if group.ledger().purged.is_none_or(|t| now.since(t) >= FORGET_EVERY) {
            group.ledger().purged = Some(now);
            group.writing().exec("DELETE FROM idempotency WHERE time < ?1", &[now.minus(REMEMBER).into()])?;
        }
        Ok(())
    }

    fn step(&mut self, group: &mut Group<'_>, step: &Step, text: &Text) -> Result<(), Fault> {
        match step {
            Step::Insert { record, key, .. } => self.insert(group, record, key, text),
            Step::Update { record, expect, .. } => self.update(group, record, *expect, text),
            Step::Health { subject, health } => self.health(group, subject, health.as_ref()),
            Step::Link(link) => self.link(group, link),
            Step::Unlink(link) => {
                let args = [self.commit.tenant.into(), Val::from(&link.from), (&link.name).into(), Val::from(&link.to)];
                group
                    .writing()
                    .exec("DELETE FROM link WHERE tenant = ?1 AND from_id = ?2 AND type = ?3 AND to_id = ?4", &args)?;
                Ok(())
            }
            Step::Entry(draft) => self.entry(group, draft),
            Step::OpenInterval(interval) => self.open_interval(group, interval),
            Step::CorrectInterval { old, new } => self.correct(group, old, new),
            Step::Observe { subject, look, at } => {
                let changed = observe::write(group, self.commit.tenant, subject, look, *at)?;
                self.done.observed.push(changed);
                Ok(())
            }
            Step::Enqueue(draft) => {
                if jobs::enqueue(
                    group,
                    self.commit.tenant,
                    draft,
                    if self.last_seq > 0 { self.last_seq } else { draft.cause.unwrap_or_default() },
                    self.commit.now,
                )? {
                    self.done.jobs.push(draft.id);
                }
                Ok(())
            }
            Step::Finish(finish) => jobs::finish(group, finish),
        }
    }

    fn insert(&mut self, group: &mut Group<'_>, record: &Record, key: &NewKey, text: &Text) -> Result<(), Fault> {
        let class = table(group, &record.kind)?;
        let mut record = record.clone();
        record.tenant = self.commit.tenant;
        let mut words = std::borrow::Cow::Borrowed(&text.words);
        let num = group.next(0, "record")?;
        match key {
            NewKey::Given(key) => {
                record.key.clone_from(key);
                if !head(group, num, &record)? {
                    return Err(StoreError::KeyTaken(key.clone()).into());
                }
            }
            NewKey::Numbered(prefix) => {
                if rows::find(group.conn(), record.tenant, &record.id)?.is_some() {
                    return Err(StoreError::KeyTaken(record.id.to_string()).into());
                }
                loop {
                    record.key = format!("{prefix}{}", group.next(record.tenant.0, prefix)?);
                    if head(group, num, &record)? {
                        break; // Somebody may have taken INC-7 by hand: then the next number.
                    }
                }
                if record.title.is_empty() {
                    record.title.clone_from(&record.key);
                }
                words = std::borrow::Cow::Owned(format!("{} {}", words::text_words(&record.key), text.words));
            }
        }
        group
            .writing()
            .exec(&class.insert, &rows::sealed_values(&class, num, &record, text.words_sum, &text.fields))?;
        words::keep(group.writing(), num, false, record.tenant, &record.kind, Some(&words))?;
        self.subject.get_or_insert(record.id);
        self.keys.insert(record.id, record.key.clone());
        self.done.keys.push(record.key);
        Ok(())
    }

    fn update(&mut self, group: &mut Group<'_>, record: &Record, expect: u64, text: &Text) -> Result<(), Fault> {
        let (class, old) = self.stored(group, &record.id)?;
        if old.record.version != expect || old.record.kind != record.kind {
            return Err(StoreError::Stale(record.id).into());
        }
        let mut new = record.clone();
        new.tenant = old.record.tenant;
        new.health = old.record.health; // Another step's: it may have changed since the caller looked.
        new.created = old.record.created;
        if new.title.is_empty() {
            new.title.clone_from(&old.record.key); // Numbered by this very commit: its key was not known to the caller.
        }
        new.key = old.record.key;
        group
            .writing()
            .exec(&class.update, &rows::sealed_values(&class, old.num, &new, text.words_sum, &text.fields))?;
        if new.deleted != old.record.deleted {
            let values = head_values(old.num, &new);
            let sum = seal("record", values.iter());
            group.writing().exec(
                "UPDATE record SET deleted = ?2, sum = ?3 WHERE num = ?1",
                &[old.num.into(), new.deleted.into(), sum.into()],
            )?;
        }
        if new.deleted {
            words::keep(group.writing(), old.num, true, new.tenant, &new.kind, None)?;
        } else if text.words_sum != old.words || old.record.deleted {
            let key_too = format!("{} {}", words::text_words(&new.key), text.words);
            words::keep(group.writing(), old.num, true, new.tenant, &new.kind, Some(&key_too))?;
        }
        self.subject.get_or_insert(record.id);
        Ok(())
    }

    fn health(&mut self, group: &mut Group<'_>, subject: &Id, health: Option<&Health>) -> Result<(), Fault> {
        let (class, old) = self.stored(group, subject)?;
        let mut new = old.record;
        new.health = health.cloned();
        let fields = serde_json::to_string(&new.fields).map_err(|e| DbError::Other(e.to_string()))?;
        let values = rows::sealed_values(&class, old.num, &new, old.words, &fields);
        let sql = format!(
            "UPDATE {} SET health = ?2, health_since = ?3, health_reason = ?4, sum = ?5 WHERE num = ?1",
            class.name
        );
        group.writing().exec(
            &sql,
            &[old.num.into(), values[9].clone(), values[10].clone(), values[11].clone(), values[18].clone()],
        )?;
        Ok(())
    }

    /// The record of a step as it is now; a step on one that is not there is stale.
    fn stored(&self, group: &mut Group<'_>, id: &Id) -> Result<(Arc<ClassTable>, Stored), Fault> {
        let classes = group.classes.clone();
        let stored = rows::get(group.conn(), &classes, self.commit.tenant, id)?.ok_or(StoreError::Stale(*id))?;
        let class = table(group, &stored.record.kind)?;
        Ok((class, stored))
    }

    fn link(&mut self, group: &mut Group<'_>, link: &Link) -> Result<(), Fault> {
        let tenant = self.commit.tenant;
        for (end, which) in [(&link.from, "source"), (&link.to, "target")] {
            let sql = "SELECT num FROM record WHERE id = ?1 AND tenant = ?2 AND deleted = 0";
            if group.conn().first(sql, &[end.into(), tenant.into()], |row| row.int(0))?.is_none() {
                return Err(
                    StoreError::Link(format!("the {which} of the link {} is no longer there", link.name)).into()
                );
            }
        }
        let sql = format!("{} ON CONFLICT DO NOTHING", insert_sql("link", &["tenant", "from_id", "type", "to_id"]));
        let values = [tenant.into(), Val::from(&link.from), (&link.name).into(), Val::from(&link.to)];
        if group.insert("link", &sql, &values)? == 0 {
            return Err(StoreError::Link(format!("the link {} stands already", link.name)).into());
        }
        Ok(())
    }

    fn entry(&mut self, group: &mut Group<'_>, draft: &journal::Draft) -> Result<(), Fault> {
        let tenant = self.commit.tenant;
        let key = if draft.subject_key.is_empty() {
            self.keys.get(&draft.subject).map_or("", String::as_str)
        } else {
            &draft.subject_key
        };
        let previous = group.chain_head(tenant)?;
        let seq = group.next(0, "journal")?.unsigned_abs();
        let actor = draft.actor.to_string();
        let header = Header {
            seq,
            time: draft.time,
            tenant,
            actor: &actor,
            subject: &draft.subject,
            key,
            kind: draft.kind.as_str(),
            action: &draft.action,
            cause: draft.cause.unwrap_or(0),
            note: draft.note.as_deref().unwrap_or_default(),
        };
        let hash = journal::chain(&previous, header, &draft.bodies);
        let values = [
            seq.into(),
            tenant.into(),
            draft.time.into(),
            (&actor).into(),
            (&draft.subject).into(),
            key.into(),
            draft.kind.as_str().into(),
            (&draft.action).into(),
            draft.cause.into(),
            (&draft.before).into(),
            (&draft.after).into(),
            draft.note.as_deref().into(),
            Val::from(&hash[..]),
        ];
        group.insert("journal", crate::journal::INSERT, &values)?;
        group.set_chain_head(tenant, seq, hash);
        self.last_seq = seq;
        self.done.seqs.push(seq);
        Ok(())
    }

    fn open_interval(&mut self, group: &mut Group<'_>, interval: &Interval) -> Result<(), Fault> {
        let tenant = self.commit.tenant;
        let subject = interval.subject.ok_or_else(|| DbError::Other("an interval without a subject".into()))?;
        let sql = format!("{} WHERE tenant = ?1 AND subject = ?2 AND ended IS NULL", crate::history::SELECT_INTERVAL);
        let open = group.conn().all(&sql, &[tenant.into(), (&subject).into()], crate::history::read_interval)?;
        for mut old in open.into_iter().filter(Interval::counts) {
            old.end = Some(interval.start.max(old.start));
            self.rewrite_interval(group, &old)?;
        }
        let mut new = interval.clone();
        new.cause = if self.last_seq > 0 { self.last_seq } else { interval.cause };
        self.insert_interval(group, &new, subject)
    }

    fn correct(&mut self, group: &mut Group<'_>, old: &Id, new: &[Interval]) -> Result<(), Fault> {
        let sql = format!("{} WHERE tenant = ?1 AND id = ?2", crate::history::SELECT_INTERVAL);
        let stored =
            group.conn().first(&sql, &[self.commit.tenant.into(), old.into()], crate::history::read_interval)?;
        let mut stored = stored
            .filter(Interval::counts)
            .ok_or_else(|| StoreError::Link("the interval has been corrected meanwhile".into()))?;
        let subject = stored.subject.ok_or_else(|| DbError::Damaged(format!("interval {old}")))?;
        stored.corrected_by = Some(new.first().map_or(*old, |n| n.id));
        self.rewrite_interval(group, &stored)?;
        for piece in new {
            let mut piece = piece.clone();
            piece.cause = if self.last_seq > 0 { self.last_seq } else { piece.cause };
            self.insert_interval(group, &piece, subject)?;
        }
        Ok(())
    }

    fn insert_interval(&self, group: &mut Group<'_>, interval: &Interval, subject: Id) -> Result<(), Fault> {
        let values = crate::history::interval_values(self.commit.tenant, subject, interval);
        group.insert("interval_row", &insert_sql("interval_row", crate::history::INTERVAL_COLUMNS), &values)?;
        Ok(())
    }

    /// Writes an interval's end or successor; nothing else of it ever changes.
    fn rewrite_interval(&self, group: &mut Group<'_>, interval: &Interval) -> Result<(), Fault> {
        let subject = interval.subject.ok_or_else(|| DbError::Damaged(format!("interval {}", interval.id)))?;
        let values = crate::history::interval_values(self.commit.tenant, subject, interval);
        crate::writer::upsert(group.writing(), "interval_row", crate::history::INTERVAL_COLUMNS, 2, &values, true)?;
        Ok(())
    }
}

fn table(group: &Group<'_>, kind: &Kind) -> Result<Arc<ClassTable>, DbError> {
    group
        .classes
        .get(kind)
        .cloned()
        .ok_or_else(|| DbError::Other(format!("class {kind} has no table; the store was not fitted to it")))
}

fn head_values<'a>(num: i64, record: &'a Record) -> [Val<'a>; 6] {
    [
        num.into(),
        (&record.id).into(),
        record.tenant.into(),
        record.kind.as_str().into(),
        (&record.key).into(),
        record.deleted.into(),
    ]
}

/// Takes id and key; `false` when one of them is taken.
fn head(group: &mut Group<'_>, num: i64, record: &Record) -> Result<bool, DbError> {
    const INSERT: &str = "INSERT INTO record (num, id, tenant, kind, key, deleted, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    Ok(group.insert("record", INSERT, &head_values(num, record))? == 1)
}
