//! Holds the rules and has them evaluated: regularly, at once when what they read is written, and when a wait is over.
//!
//! One loop says who is evaluated when, so that no rule is evaluated twice at a time; rounds go on beside each other, so that a
//! slow rule holds up only its own. What was written wakes the rules that read it at once, but all such wake-ups together may take a tenth of a
//! core: somebody who writes without a pause cannot keep the machine busy with rules, and waits for their interval instead.

use kernel::{ActError, Id, Kernel, Record, TenantId, Time};
use parking_lot::{Mutex, RwLock};
use series::formats::Batch;
use series::{Metrics, Sample};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::allowance::Allowance;
use super::board::{Board, Held};
use super::compile::Compiled;
use super::keep;
use super::presence::Want;
use super::readers::Readers;
use super::see::Outside;
use super::state::{Health, State};
use crate::rule::Rule;

/// First evaluations after a start are spread over at most this span.
const SPREAD_MS: i64 = 3_000;

/// How a tenant is called in the measurements.
pub type Number = fn(TenantId) -> u64;

/// Counters, for Mainstay's own metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Evaluations of one rule.
    pub evaluated: AtomicU64,
    /// Those of them that were made because something was written, or a wait was over.
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
    /// By the engine's number of the tenant; apart from the board, since whoever writes looks here.
    readers: Arc<RwLock<HashMap<u64, Readers>>>,
    pub(super) changed: Arc<Notify>,
    pub(super) allowance: Arc<Mutex<Allowance>>,
    /// How many questions may be worked on at a time.
    pub(super) askers: Arc<Semaphore>,
    /// In how many parts the questions of one round are asked at most.
    pub(super) cores: usize,
    /// Counters.
    pub counters: Arc<Counters>,
    alive_until: Time,
}

impl Rules {
    /// An engine that holds no rule yet. `alive_until`: when the process that ran before was last alive.
    pub fn new(kernel: Kernel, metrics: Arc<dyn Metrics>, number: Number, outside: Outside, alive_until: Time) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let allowance = Allowance::full(kernel.now());
        Self {
            kernel,
            metrics,
            number,
            outside: Arc::new(outside),
            board: Arc::default(),
            readers: Arc::default(),
            changed: Arc::default(),
            allowance: Arc::new(Mutex::new(allowance)),
            askers: Arc::new(Semaphore::new(cores * 2)),
            cores,
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
            if board.get(record.id).is_some_and(|held| *held.definition == *definition) {
                board.set_active(record.id, active);
                drop(board);
                self.changed.notify_one();
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
        self.put(record, compiled, definition, kept);
        self.changed.notify_one();
        Ok(())
    }

    fn put(&self, record: &Record, compiled: Arc<Compiled>, definition: String, kept: Option<keep::Kept>) {
        let now_ms = self.kernel.now().as_millis();
        let spread = compiled.interval_ms().min(SPREAD_MS);
        let jitter = (record.id.0.as_u128() % spread.unsigned_abs().max(1) as u128) as i64;
        let mut board = self.board.lock();
        let (mut state, made_by, written, round, before) = match board.take(record.id) {
            // Who evaluates the one before gives back what it made of the alerts; until then this one waits.
            Some(held) => (held.state, held.definition, held.written, held.round, Some(held.compiled)),
            None => {
                let none = || (State::default(), definition.clone());
                let (state, made_by) = kept.map_or_else(none, |kept| (kept.state, kept.definition));
                (state, made_by.into(), Vec::new(), None, None)
            }
        };
        // What was written down last is older than what was seen last.
        state.evaluated_ms = state.evaluated_ms.map(|at| at.max(self.alive_until.as_millis()));
        let held = Held {
            tenant: record.tenant,
            key: record.key.as_str().into(),
            changed: *made_by != *definition,
            definition: definition.into(),
            compiled: compiled.clone(),
            active: record.state == "active",
            state,
            texts: BTreeMap::new(),
            written,
            health: health_of(record),
            told: health_of(record),
            error: None,
            last: None,
            took: Duration::ZERO,
            samples: 0,
            round,
            after: BTreeSet::new(),
            due_ms: now_ms + jitter,
            end_ms: None,
        };
        board.put(record.id, held);
        drop(board);
        let mut readers = self.readers.write();
        let readers = readers.entry((self.number)(record.tenant)).or_default();
        if let Some(before) = before {
            readers.remove(record.id, woken_by(&before));
        }
        readers.add(record.id, woken_by(&compiled));
    }

    /// Evaluates a rule no more. Its alerts stay as they are.
    pub fn forget(&self, id: Id) {
        let Some(held) = self.board.lock().take(id) else { return };
        if let Some(readers) = self.readers.write().get_mut(&(self.number)(held.tenant)) {
            readers.remove(id, woken_by(&held.compiled));
        }
    }

    /// How many rules are held.
    pub fn len(&self) -> usize {
        self.board.lock().len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules that read series of this batch; the tenant by the engine's number. Cheap when no rule does.
    pub(super) fn readers(&self, tenant: u64, batch: &Batch) -> BTreeSet<Id> {
        self.readers.read().get(&tenant).map_or_else(BTreeSet::new, |readers| readers.of(batch.each_labels()))
    }

    /// The rules that read what one of them says.
    pub(super) fn readers_of(&self, tenant: u64, samples: &[Sample]) -> BTreeSet<Id> {
        let readers = self.readers.read();
        let Some(readers) = readers.get(&tenant) else { return BTreeSet::new() };
        let pairs: Vec<Vec<(&str, &str)>> = samples.iter().map(|sample| sample.labels.iter().collect()).collect();
        readers.of(pairs.iter().map(|pairs| pairs.iter().copied()))
    }

    /// Has rules evaluated in a moment, but for those after whose writing it came.
    pub(super) fn wake(&self, ids: BTreeSet<Id>, after: &BTreeSet<Id>) {
        // Whoever was woken already will be evaluated after this too, and the loop knows.
        if !ids.is_empty() && self.board.lock().wake(ids, after) {
            self.changed.notify_one();
        }
    }

    /// Evaluates until the future is dropped.
    pub async fn run(&self) {
        let mut rounds = JoinSet::new();
        loop {
            while rounds.try_join_next().is_some() {}
            let now = self.kernel.now();
            let wait = self.allowance.lock().wait(now);
            let orders = self.board.lock().orders(now.as_millis(), wait.is_zero());
            self.counters.on_arrival.fetch_add(orders.woken.1.len() as u64, Relaxed);
            for (on_arrival, (round, ids)) in [(true, orders.woken), (false, orders.due)] {
                if !ids.is_empty() {
                    let rules = self.clone();
                    rounds.spawn(async move { rules.one_round(round, &ids, on_arrival).await });
                }
            }
            let next = orders.next_ms.map_or(Duration::from_secs(60), |ms| Time::from_micros(ms * 1000).since(now));
            let next = if orders.waiting { next.min(wait) } else { next };
            drop(tokio::time::timeout(next.max(Duration::from_millis(1)), self.changed.notified()).await);
        }
    }

    /// One round, and what it took of the allowance.
    async fn one_round(&self, round: u64, ids: &[Id], on_arrival: bool) {
        let asked = self.round(round, ids).await;
        if on_arrival {
            self.allowance.lock().spend(asked, self.kernel.now());
        }
        // Some of them may have been woken meanwhile.
        self.changed.notify_one();
    }

    /// Evaluates these rules now, whether or not they are due; for whoever moves the clock by hand.
    pub async fn evaluate_now(&self, ids: &[Id]) {
        let round = self.board.lock().begin(ids);
        self.round(round, ids).await;
    }

    /// All rules that are held.
    pub fn ids(&self) -> Vec<Id> {
        self.board.lock().ids().collect()
    }

    /// Its own figures in the exposition format.
    pub fn own_metrics(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let seconds = |counter: &AtomicU64| count(counter) as f64 / 1e6;
        let own = &self.counters;
        format!(
            "# TYPE mainstay_rules gauge\nmainstay_rules {}\n\
             # TYPE mainstay_rule_evaluations_total counter\nmainstay_rule_evaluations_total {}\n\
             # TYPE mainstay_rule_evaluations_on_arrival_total counter\nmainstay_rule_evaluations_on_arrival_total {}\n\
             # TYPE mainstay_rule_evaluations_failed_total counter\nmainstay_rule_evaluations_failed_total {}\n\
             # TYPE mainstay_rule_evaluation_seconds_total counter\nmainstay_rule_evaluation_seconds_total {}\n\
             # TYPE mainstay_rule_asking_seconds_total counter\nmainstay_rule_asking_seconds_total {}\n",
            self.len(),
            count(&own.evaluated),
            count(&own.on_arrival),
            count(&own.failed),
            seconds(&own.micros),
            seconds(&own.asking_micros),
        )
    }
}

/// What wakes a rule. One that looks back sees what is written only later.
fn woken_by(rule: &Compiled) -> &[Want] {
    if rule.offset_ms > 0 { &[] } else { &rule.reads.wants }
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
