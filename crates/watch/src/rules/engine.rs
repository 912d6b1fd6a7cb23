//! Holds the rules, knows when each is due, and evaluates them: regularly, and at once when what they read is written.
//!
//! One loop evaluates all, so that no rule is evaluated twice at a time; the work itself is the measurements engine's. What was
//! written wakes the rules that read it after a few milliseconds, but all such wake-ups together may take a tenth of a core:
//! somebody who writes without a pause cannot keep the machine busy with rules, and waits for their interval instead.

use kernel::{ActError, Id, Kernel, Record, TenantId, Time};
use parking_lot::Mutex;
use series::{Labels, Metrics};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

use super::compile::Compiled;
use super::keep;
use super::see::Outside;
use super::state::{Health, LabelSet, State};
use crate::rule::Rule;

/// First evaluations after a start are spread over at most this span.
const SPREAD_MS: i64 = 3_000;
/// How long writes are gathered before the rules that read them are evaluated.
const GATHER: Duration = Duration::from_millis(3);
/// Evaluations on arrival rest so many times as long as they took.
const REST: u32 = 9;
/// And never longer than this.
const MOST_REST: Duration = Duration::from_secs(2);

/// How a tenant is called in the measurements.
pub type Number = fn(TenantId) -> u64;

/// A rule that is held.
pub(super) struct Held {
    pub(super) tenant: TenantId,
    pub(super) key: String,
    /// The record's fields without those that Mainstay computes: another definition is another rule.
    pub(super) definition: String,
    pub(super) compiled: Arc<Compiled>,
    pub(super) active: bool,
    pub(super) state: State,
    /// The state was made by another definition.
    pub(super) changed: bool,
    /// The alert records' texts, by fingerprint.
    pub(super) texts: BTreeMap<String, LabelSet>,
    /// Series that were written last time, to be ended when they are no longer there.
    pub(super) written: BTreeSet<Labels>,
    pub(super) health: Health,
    pub(super) error: Option<String>,
    pub(super) last: Option<Time>,
    pub(super) took: Duration,
    /// It is being evaluated, so its state here is the one before.
    pub(super) busy: bool,
    due_ms: i64,
}

#[derive(Default)]
pub(super) struct Board {
    pub(super) held: HashMap<Id, Held>,
    /// Which rules read a metric, by tenant and name; those that may read any are under the empty name.
    by_name: HashMap<TenantId, HashMap<String, Vec<Id>>>,
    dirty: BTreeSet<Id>,
}

/// Counters, for Mainstay's own metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Evaluations of one rule.
    pub evaluated: AtomicU64,
    /// Those of them that were made because something was written.
    pub on_arrival: AtomicU64,
    /// Those that failed.
    pub failed: AtomicU64,
    /// Time spent, in microseconds.
    pub micros: AtomicU64,
    /// Time spent on questions alone, in microseconds: what a rule costs, without waiting for the disk.
    pub asking_micros: AtomicU64,
}

/// The rules of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    pub(super) kernel: Kernel,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) number: Number,
    pub(super) outside: Arc<Outside>,
    pub(super) board: Arc<Mutex<Board>>,
    changed: Arc<Notify>,
    /// Counters.
    pub counters: Arc<Counters>,
    alive_until: Time,
}

impl Rules {
    /// An engine that holds no rule yet. `alive_until`: when the process that ran before was last alive.
    pub fn new(kernel: Kernel, metrics: Arc<dyn Metrics>, number: Number, outside: Outside, alive_until: Time) -> Self {
        Self {
            kernel,
            metrics,
            number,
            outside: Arc::new(outside),
            board: Arc::default(),
            changed: Arc::default(),
            counters: Arc::default(),
            alive_until,
        }
    }

    /// Takes a rule in, or its new version, with what it remembers from before a restart.
    ///
    /// # Errors
    /// What the store says. A record that cannot be a rule is not held, and told in the log.
    pub async fn hold(&self, record: &Record) -> Result<(), ActError> {
        let Some((rule, definition)) = rule_of(record) else {
            self.forget(record.id);
            tracing::warn!(rule = record.key, "the record is not a rule and is not evaluated");
            return Ok(());
        };
        let active = record.state == "active";
        {
            let mut board = self.board.lock();
            if let Some(held) = board.held.get_mut(&record.id).filter(|held| held.definition == definition) {
                held.active = active;
                return Ok(());
            }
        }
        let compiled = match Compiled::new(&rule) {
            Ok(compiled) => Arc::new(compiled),
            Err(fault) => {
                self.forget(record.id);
                tracing::warn!(rule = record.key, %fault, "the rule cannot be evaluated");
                return Ok(());
            }
        };
        let kept = keep::load(&self.kernel, record.id).await?;
        let now_ms = self.kernel.now().as_millis();
        let spread = compiled.interval_ms().min(SPREAD_MS);
        let jitter = (record.id.0.as_u128() % spread.unsigned_abs().max(1) as u128) as i64;
        let mut board = self.board.lock();
        let before = board.held.remove(&record.id);
        let (mut state, made_by) = match before {
            Some(held) => (held.state, held.definition),
            None => kept.map_or_else(|| (State::default(), definition.clone()), |kept| (kept.state, kept.definition)),
        };
        // What was written down last is older than what was seen last.
        state.evaluated_ms = state.evaluated_ms.map(|at| at.max(self.alive_until.as_millis()));
        let held = Held {
            tenant: record.tenant,
            key: record.key.clone(),
            changed: made_by != definition,
            definition,
            compiled,
            active,
            state,
            texts: BTreeMap::new(),
            written: BTreeSet::new(),
            health: health_of(record),
            error: None,
            last: None,
            took: Duration::ZERO,
            busy: false,
            due_ms: now_ms + jitter,
        };
        board.held.insert(record.id, held);
        board.index(record.tenant);
        drop(board);
        self.changed.notify_one();
        Ok(())
    }

    /// Evaluates a rule no more. Its alerts stay as they are.
    pub fn forget(&self, id: Id) {
        let mut board = self.board.lock();
        if let Some(held) = board.held.remove(&id) {
            board.index(held.tenant);
        }
    }

    /// How many rules are held.
    pub fn len(&self) -> usize {
        self.board.lock().held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was just written: the rules that read it are evaluated in a moment. Cheap when no rule does.
    pub fn on_written<'a>(&self, tenant: TenantId, names: impl IntoIterator<Item = &'a str>) {
        self.wake(self.readers((self.number)(tenant), names));
    }

    /// The rules that read metrics of these names; the tenant by the engine's number.
    pub(super) fn readers<'a>(&self, tenant: u64, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Id> {
        let mut ids = BTreeSet::new();
        let board = self.board.lock();
        let of_tenant = board.by_name.iter().find(|(id, _)| (self.number)(**id) == tenant);
        let Some((_, readers)) = of_tenant.filter(|(_, readers)| !readers.is_empty()) else { return ids };
        let mut any = false;
        for name in names {
            any = true;
            ids.extend(readers.get(name).into_iter().flatten());
        }
        if any {
            ids.extend(readers.get("").into_iter().flatten());
        }
        ids
    }

    /// Has rules evaluated in a moment.
    pub(super) fn wake(&self, ids: BTreeSet<Id>) {
        if ids.is_empty() {
            return;
        }
        self.board.lock().dirty.extend(ids);
        self.changed.notify_one();
    }

    /// Evaluates until the future is dropped.
    pub async fn run(&self) {
        let mut rest_until = self.kernel.now();
        loop {
            let now = self.kernel.now();
            let due = self.board.lock().take_due(now.as_millis());
            if !due.is_empty() {
                self.round(&due).await;
                continue;
            }
            let waiting = !self.board.lock().dirty.is_empty();
            if waiting && now >= rest_until {
                tokio::time::sleep(GATHER).await;
                let dirty = self.board.lock().take_dirty();
                let before = self.counters.asking_micros.load(Relaxed);
                self.counters.on_arrival.fetch_add(dirty.len() as u64, Relaxed);
                self.round(&dirty).await;
                let asked = self.counters.asking_micros.load(Relaxed).saturating_sub(before);
                rest_until = self.kernel.now().plus((Duration::from_micros(asked) * REST).min(MOST_REST));
                continue;
            }
            let next = self.board.lock().next_due_ms();
            let until = next.map_or(Duration::from_secs(60), |ms| Time::from_micros(ms * 1000).since(now));
            let until = if waiting { until.min(rest_until.since(now)) } else { until };
            drop(tokio::time::timeout(until.max(Duration::from_millis(1)), self.changed.notified()).await);
        }
    }

    /// Evaluates these rules now, whether or not they are due; for whoever moves the clock by hand.
    pub async fn evaluate_now(&self, ids: &[Id]) {
        self.round(ids).await;
    }

    /// All rules that are held.
    pub fn ids(&self) -> Vec<Id> {
        self.board.lock().held.keys().copied().collect()
    }
}

impl Board {
    /// Makes anew which rules of a tenant read what.
    fn index(&mut self, tenant: TenantId) {
        let mut readers: HashMap<String, Vec<Id>> = HashMap::new();
        for (id, held) in self.held.iter().filter(|(_, held)| held.tenant == tenant) {
            for name in &held.compiled.reads.names {
                readers.entry(name.clone()).or_default().push(*id);
            }
            if held.compiled.reads.any {
                readers.entry(String::new()).or_default().push(*id);
            }
        }
        self.by_name.insert(tenant, readers);
    }

    fn take_due(&mut self, now_ms: i64) -> Vec<Id> {
        let mut due = Vec::new();
        for (id, held) in self.held.iter_mut().filter(|(_, held)| held.active && held.due_ms <= now_ms) {
            held.due_ms = next_due(held, *id, now_ms);
            due.push(*id);
        }
        due
    }

    fn take_dirty(&mut self) -> Vec<Id> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter(|id| self.held.get(id).is_some_and(|held| held.active)).collect()
    }

    fn next_due_ms(&self) -> Option<i64> {
        self.held.values().filter(|held| held.active).map(|held| held.due_ms).min()
    }
}

/// The next time on the grid of the rule's interval; rules of a group share it, groups differ.
fn next_due(held: &Held, id: Id, now_ms: i64) -> i64 {
    let every = held.compiled.interval_ms();
    let seed = match &held.compiled.rule.group {
        Some(group) => xxhash_rust::xxh3::xxh3_64_with_seed(group.as_bytes(), held.tenant.0.unsigned_abs()),
        None => id.0.as_u128() as u64,
    };
    let offset = (seed % every.unsigned_abs()) as i64;
    (now_ms - offset).div_euclid(every) * every + every + offset
}

/// The rule of a record, and its definition as text.
fn rule_of(record: &Record) -> Option<(Rule, String)> {
    let mut rule: Rule = serde_json::from_value(serde_json::Value::Object(record.fields.clone())).ok()?;
    (rule.evaluation, rule.last_evaluated, rule.last_error) = (Health::default(), None, None);
    let definition = serde_json::to_string(&rule).ok()?;
    Some((rule, definition))
}

fn health_of(record: &Record) -> Health {
    match record.text("evaluation") {
        "ok" => Health::Ok,
        "error" => Health::Error,
        _ => Health::Unknown,
    }
}
