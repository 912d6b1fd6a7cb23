//! Asks every check when it is due, believes what [`judge`](crate::judge) lets it, and records what changed.
//!
//! A heap of due times, one task for each question in flight, a limit on how many there are: no check waits for another, and how
//! late the questions are is measured. What is recorded is only a change of state; the measurements go to the series.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::clock::parse_duration;
use kernel::{ActError, Id, Kernel, Record, Session, TenantId, Time};
use parking_lot::Mutex;
use probe::{Env, Outcome, Request, State};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

use crate::judge::{Rules, Standing, Verdict, judge};

/// Questions in flight at most.
const IN_FLIGHT: usize = 512;
/// First questions after a start are spread over at most this span.
const SPREAD: Duration = Duration::from_secs(3);

/// One measured value on its way to the series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels with the name as `__name__`, sorted.
    pub labels: Vec<(String, String)>,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// The value.
    pub value: f64,
}

/// Where measurements go.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Keeps samples of a tenant; what is refused is counted there.
    async fn append(&self, tenant: TenantId, samples: Vec<Sample>);
}

/// What a check record asks for.
#[derive(Clone, Debug)]
struct Plan {
    tenant: TenantId,
    id: Id,
    key: String,
    on: String,
    request: Request,
    interval: Duration,
    retry: Duration,
    rules: Rules,
    enabled: bool,
    version: u64,
}

struct Held {
    plan: Plan,
    standing: Standing,
    /// When it last had an answer, and the answer in one line.
    last: Option<(Time, String)>,
    due: Time,
    asking: bool,
}

/// Counters of the runner, for its own metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Questions asked.
    pub asked: AtomicU64,
    /// Sum of how late they were, in microseconds.
    pub late_micros: AtomicU64,
    /// Changes of state recorded.
    pub changes: AtomicU64,
}

/// The checks that are held and when each is due. Under one lock, so that no two callers can wait for each other.
#[derive(Default)]
struct Board {
    held: HashMap<Id, Held>,
    /// The earliest first; an entry that a newer one has replaced stays until its time and is passed over.
    due: BinaryHeap<Reverse<(Time, Id)>>,
}

/// The runner. Cheap to clone.
#[derive(Clone)]
pub struct Runner {
    kernel: Kernel,
    env: Arc<Env>,
    sink: Arc<dyn Sink>,
    board: Arc<Mutex<Board>>,
    changed: Arc<Notify>,
    slots: Arc<Semaphore>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// Until when Mainstay was last known to measure; older answers than this are not fresh.
    alive_until: Time,
}

impl Runner {
    /// A runner that holds no check yet. `alive_until`: when the process that ran before was last alive.
    pub fn new(kernel: Kernel, env: Arc<Env>, sink: Arc<dyn Sink>, alive_until: Time) -> Self {
        Self {
            kernel,
            env,
            sink,
            board: Arc::default(),
            changed: Arc::default(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            counters: Arc::default(),
            alive_until,
        }
    }

    /// Takes a check in, or its new version.
    ///
    /// # Errors
    /// What the kernel says when a state has to be recorded.
    pub async fn hold(&self, record: &Record) -> Result<(), ActError> {
        let plan = plan_of(record);
        let now = self.kernel.now();
        let recorded = state_of(&record.state);
        let stale = now.since(self.alive_until) > plan.interval * 2 + plan.request.timeout;
        let first;
        {
            let board = &mut *self.board.lock();
            let held = &mut board.held;
            if held.get(&record.id).is_some_and(|h| h.plan.version >= plan.version) {
                return Ok(());
            }
            let spread = plan.interval.min(SPREAD).as_micros().max(1) as u64;
            let jitter = Duration::from_micros(record.id.0.as_u128() as u64 % spread);
            first = !held.contains_key(&record.id);
            let due = if first { now.plus(jitter) } else { now };
            match held.get_mut(&record.id) {
                // Our own record of a change arrives here too: it must not ask again at once.
                Some(h) if same_question(&h.plan, &plan) => h.plan = plan.clone(),
                Some(h) => {
                    h.plan = plan.clone();
                    h.due = due;
                    board.due.push(Reverse((due, record.id)));
                }
                None => {
                    held.insert(
                        record.id,
                        Held {
                            plan: plan.clone(),
                            standing: Standing::recorded(recorded),
                            last: None,
                            due,
                            asking: false,
                        },
                    );
                    board.due.push(Reverse((due, record.id)));
                }
            }
        }
        self.changed.notify_one();
        if !plan.enabled && recorded != State::Unknown {
            return self.record_state(&plan, State::Unknown, "it is switched off: nothing is measured").await;
        }
        if first && stale && plan.enabled && recorded != State::Unknown {
            let why = format!("not measured since {}: Mainstay was not running", to_the_second(self.alive_until));
            return self.record_state(&plan, State::Unknown, &why).await;
        }
        Ok(())
    }

    /// The latest answer to a check as the fields of its record; nothing before the first one. A change of state is recorded, an
    /// answer like the one before is only known here.
    pub fn latest(&self, id: Id) -> Map<String, Value> {
        let board = self.board.lock();
        let Some((at, summary)) = board.held.get(&id).and_then(|h| h.last.as_ref()) else { return Map::new() };
        Map::from_iter([("last_checked".into(), json!(at)), ("last_summary".into(), json!(summary))])
    }

    /// Asks no more about a check.
    pub fn forget(&self, id: Id) {
        self.board.lock().held.remove(&id);
    }

    /// How many checks are held.
    pub fn len(&self) -> usize {
        self.board.lock().held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks until the future is dropped.
    pub async fn run(&self) {
        loop {
            let now = self.kernel.now();
            for plan in self.due(now) {
                let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                let runner = self.clone();
                tokio::spawn(async move {
                    runner.ask(plan).await;
                    drop(slot);
                });
            }
            let next = self.board.lock().due.peek().map(|Reverse((due, _))| *due);
            let wait = next.map_or(Duration::from_secs(60), |t| t.since(self.kernel.now()));
            let _ = tokio::time::timeout(wait.max(Duration::from_millis(1)), self.changed.notified()).await;
        }
    }

    /// Checks whose time has come, marked as being asked.
    fn due(&self, now: Time) -> Vec<Plan> {
        let Board { held, due: times } = &mut *self.board.lock();
        let mut due = Vec::new();
        while let Some(Reverse((at, id))) = times.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            times.pop();
            let Some(h) = held.get_mut(&id) else { continue };
            // An entry that a newer one has replaced, or a question still in flight.
            if h.due != at || h.asking || !h.plan.enabled {
                continue;
            }
            h.asking = true;
            self.counters.asked.fetch_add(1, Ordering::Relaxed);
            self.counters.late_micros.fetch_add(now.since(at).as_micros() as u64, Ordering::Relaxed);
            due.push(h.plan.clone());
        }
        due
    }

    async fn ask(&self, plan: Plan) {
        let outcome = probe::check(&self.env, &plan.request).await;
        if let Err(error) = self.answered(&plan, &outcome).await {
            tracing::warn!(check = plan.key, %error, "could not record an answer; the next one will be recorded");
        }
    }

    /// Asks now, out of turn, and records what it means; for whoever needs proof at once.
    ///
    /// # Errors
    /// The check is not held (switched off or deleted), or what the kernel says.
    pub async fn prove(&self, id: Id) -> Result<Outcome, ActError> {
        let plan = self.board.lock().held.get(&id).filter(|h| h.plan.enabled).map(|h| h.plan.clone());
        let plan = plan.ok_or_else(|| ActError::Conflict("the check is switched off".into()))?;
        let outcome = probe::check(&self.env, &plan.request).await;
        self.answered(&plan, &outcome).await?;
        Ok(outcome)
    }

    async fn answered(&self, plan: &Plan, outcome: &Outcome) -> Result<(), ActError> {
        let now = self.kernel.now();
        let changed = {
            let board = &mut *self.board.lock();
            let Some(h) = board.held.get_mut(&plan.id) else { return Ok(()) };
            h.asking = false;
            h.last = Some((now, outcome.summary.clone()));
            let before = h.standing.clone();
            let verdict = judge(&mut h.standing, outcome.state, h.plan.rules, now);
            let wait = if verdict == Verdict::Doubt { h.plan.retry } else { h.plan.interval };
            h.due = now.plus(wait);
            board.due.push(Reverse((h.due, plan.id)));
            match verdict {
                Verdict::Changed(state) => Some((before, state)),
                _ => None,
            }
        };
        self.changed.notify_one();
        self.sink.append(plan.tenant, samples(plan, outcome, now)).await;
        let Some((before, state)) = changed else { return Ok(()) };
        let recorded = self.record_state(plan, state, &outcome.summary).await;
        if recorded.is_err()
            && let Some(h) = self.board.lock().held.get_mut(&plan.id)
        {
            h.standing = before; // It is not recorded, so it has not changed: the next answer says it again.
        }
        recorded
    }

    async fn record_state(&self, plan: &Plan, state: State, summary: &str) -> Result<(), ActError> {
        let name = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Critical => "critical",
            State::Unknown => "unknown",
        };
        let fields = json!({"last_summary": summary, "last_checked": self.kernel.now()});
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let session = Session::controller("watch.checks", plan.tenant);
        let act = Act::Transition {
            target: Target::Id(plan.id),
            name: name.into(),
            fields,
            note: Some(summary.to_owned()),
            expect: None,
        };
        self.kernel.act(&session, act).await?;
        self.counters.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A moment as people read it in a sentence: `2026-11-21 03:12:09 UTC`.
fn to_the_second(at: Time) -> String {
    at.to_string().chars().take("2026-11-21T03:12:09".len()).collect::<String>().replace('T', " ") + " UTC"
}

/// Whether two versions of a check ask the same question at the same pace.
fn same_question(a: &Plan, b: &Plan) -> bool {
    a.request.protocol == b.request.protocol
        && a.request.target == b.request.target
        && a.request.params == b.request.params
        && a.request.timeout == b.request.timeout
        && a.interval == b.interval
        && a.enabled == b.enabled
}

fn plan_of(record: &Record) -> Plan {
    let span = |field: &str| record.get(field).and_then(Value::as_str).and_then(|t| parse_duration(t).ok());
    let interval = span("interval").unwrap_or(Duration::from_secs(30)).max(Duration::from_secs(1));
    let timeout = span("timeout").unwrap_or(Duration::from_secs(5));
    let mut params = Map::new();
    for field in ["params", "expect"] {
        if let Some(Value::Object(given)) = record.get(field) {
            params.extend(given.clone());
        }
    }
    Plan {
        tenant: record.tenant,
        id: record.id,
        key: record.key.clone(),
        on: record.text("on").to_owned(),
        request: Request {
            protocol: record.text("protocol").to_owned(),
            target: record.text("target").to_owned(),
            params: Value::Object(params),
            timeout,
        },
        interval,
        retry: span("retry_interval").unwrap_or(interval / 5).max(Duration::from_millis(500)),
        rules: Rules {
            retries: record.int("retries").and_then(|r| u32::try_from(r).ok()).unwrap_or(1),
            hold_down: span("hold_down").unwrap_or_default(),
        },
        enabled: record.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        version: record.version,
    }
}

/// The state that a record's state word stands for; anything else is not known.
pub fn state_of(word: &str) -> State {
    [State::Ok, State::Warning, State::Critical].into_iter().find(|s| s.as_str() == word).unwrap_or(State::Unknown)
}

/// Readings and the state itself as samples; `check_state` is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
fn samples(plan: &Plan, outcome: &Outcome, now: Time) -> Vec<Sample> {
    let sample = |name: &str, extra: &[(&str, &str)], value: f64| {
        let mut labels = vec![("__name__".to_owned(), name.to_owned()), ("check".to_owned(), plan.key.clone())];
        if !plan.on.is_empty() {
            labels.push(("on".to_owned(), plan.on.clone()));
        }
        labels.extend(extra.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        labels.sort();
        Sample { labels, at_ms: now.as_millis(), value }
    };
    let mut all = vec![sample("check_state", &[], f64::from(outcome.state.exit_code()))];
    for reading in &outcome.readings {
        let labels: Vec<(&str, &str)> = reading.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        all.push(sample(&reading.name, &labels, reading.value));
    }
    if let Some(total) = outcome.timings.get("total") {
        all.push(sample("check_duration_seconds", &[], *total));
    }
    all
}
