//! Runner: has every check asked when it is due, believes what [`judge`](crate::judge) lets it, and records what changed.
//!
//! When a check is asked, how many at once and how late they are is [`probe::schedule`]'s business; what an answer means is
//! decided here. What is recorded is only a change of state; the measurements go to the series. There must be no second queue.

mod figures;
mod plan;

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::{ActError, Id, Kernel, Record, Session, TenantId, Time};
use parking_lot::Mutex;
use probe::schedule::{Again, Answers, Asked, Limits, Scheduler};
use probe::{Env, Outcome, State};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use figures::Figures;

use crate::judge::{Standing, Verdict, judge};
use plan::Plan;

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

/// The runner. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Runner {
    inner: Arc<Inner>,
    scheduler: Scheduler,
}

struct Inner {
    kernel: Kernel,
    sink: Arc<dyn Sink>,
    /// By the number of the check's id.
    held: Mutex<HashMap<u128, Held>>,
    /// Changes of state recorded.
    changes: AtomicU64,
    /// Until when Mainstay was last known to measure; older answers than this are not fresh.
    alive_until: Time,
}

struct Held {
    plan: Arc<Plan>,
    standing: Standing,
    /// When it last had an answer, and the answer in one line.
    last: Option<(Time, String)>,
    /// A change is on its way into the journal: until then the record is older than the standing.
    recording: bool,
}

impl Runner {
    /// A runner that holds no check yet. `alive_until`: when the process that ran before was last alive.
    pub fn new(kernel: Kernel, env: Env, limits: Limits, sink: Arc<dyn Sink>, alive_until: Time) -> Self {
        let (held, changes) = (Mutex::default(), AtomicU64::new(0));
        let inner = Arc::new(Inner { kernel, sink, held, changes, alive_until });
        let scheduler = Scheduler::new(env, limits, Arc::new(Taker(inner.clone())));
        Self { inner, scheduler }
    }

    /// The world as checks from that site or agent see it, for checks that are held from now on: the same one behind another
    /// address policy.
    pub fn set_site_env(&self, site: &str, env: Env) {
        self.scheduler.set_site_env(site, env);
    }

    /// Takes a check in, or its new version.
    ///
    /// # Errors
    /// What the kernel says when a state has to be recorded. The check is asked all the same.
    pub async fn hold(&self, record: &Record) -> Result<(), ActError> {
        let plan = Arc::new(Plan::of(record));
        let id = number(record.id);
        let recorded = state_of(&record.state);
        let Some(noted) = self.inner.note(id, &plan, recorded) else { return Ok(()) };
        let silence = self.inner.kernel.now().since(self.inner.alive_until);
        let why = if !plan.enabled {
            self.scheduler.pause(id);
            Some("it is switched off: nothing is measured".to_owned())
        } else if noted == Noted::First && silence > plan.interval * 2 + plan.request.timeout {
            Some(format!("not measured since {}: Mainstay was not running", to_the_second(self.inner.alive_until)))
        } else {
            None
        };
        // Before it is asked, or its first answer could be told before it.
        let told = match why {
            Some(why) if recorded != State::Unknown => self.inner.change(&plan, State::Unknown, why).await,
            _ => Ok(()),
        };
        let done = match noted {
            Noted::SameQuestion => told,
            Noted::First | Noted::Changed => told.and(self.put(id).await),
        };
        if done.is_err() {
            // What this version means is not recorded: the next look must not take it for known.
            self.inner.forget_version(id, plan.version);
        }
        done
    }

    /// Puts a check on the schedule as it is held now. One that cannot be asked as written is UNKNOWN, and says why.
    async fn put(&self, id: u128) -> Result<(), ActError> {
        let plan = {
            let held = self.inner.held.lock();
            let Some(plan) = held.get(&id).map(|h| h.plan.clone()) else { return Ok(()) };
            if self.scheduler.put(id, &plan.scheduled()).is_ok() {
                return Ok(());
            }
            self.scheduler.remove(id);
            plan
        };
        let outcome = probe::check(&self.scheduler.env_of(&plan.from), &plan.request).await;
        let now = self.inner.kernel.now();
        self.inner.sink.append(plan.tenant, plan.samples(&outcome, now)).await;
        let known = {
            let mut held = self.inner.held.lock();
            let Some(h) = held.get_mut(&id) else { return Ok(()) };
            h.last = Some((now, outcome.summary.clone()));
            h.standing.state
        };
        if known == State::Unknown { Ok(()) } else { self.inner.change(&plan, State::Unknown, outcome.summary).await }
    }

    /// The latest answer to a check as the fields of its record; nothing before the first one. A change of state is recorded, an
    /// answer like the one before is only known here.
    pub fn latest(&self, id: Id) -> Map<String, Value> {
        let held = self.inner.held.lock();
        let Some((at, summary)) = held.get(&number(id)).and_then(|h| h.last.as_ref()) else { return Map::new() };
        Map::from_iter([("last_checked".into(), json!(at)), ("last_summary".into(), json!(summary))])
    }

    /// Asks no more about a check.
    pub fn forget(&self, id: Id) {
        let mut held = self.inner.held.lock();
        held.remove(&number(id));
        self.scheduler.remove(number(id));
    }

    /// Asks until the future is dropped.
    pub async fn run(&self) {
        self.scheduler.run().await;
    }

    /// How the asking goes, in numbers.
    pub fn figures(&self) -> Figures {
        Figures { asking: self.scheduler.figures(), changes: self.inner.changes.load(Ordering::Relaxed) }
    }

    /// Asks now, out of turn and past all budgets, and records what it means; for whoever needs proof at once.
    ///
    /// # Errors
    /// The check is not held (switched off or deleted), or what the kernel says.
    pub async fn prove(&self, id: Id) -> Result<Outcome, ActError> {
        let plan = self.inner.held.lock().get(&number(id)).filter(|h| h.plan.enabled).map(|h| h.plan.clone());
        let plan = plan.ok_or_else(|| ActError::Conflict("the check is switched off".into()))?;
        let outcome = probe::check(&self.scheduler.env_of(&plan.from), &plan.request).await;
        let (again, recorded) = self.inner.answered(number(id), &outcome).await;
        if let Again::In(wait) = again {
            self.scheduler.within(number(id), wait);
        }
        recorded.map(|()| outcome)
    }
}

/// Before every version of a record.
const FORGOTTEN: u64 = 0;

/// What a version of a check is to the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    First,
    Changed,
    SameQuestion,
}

impl Inner {
    /// Keeps a version of a check; nothing when it is known already.
    fn note(&self, id: u128, plan: &Arc<Plan>, recorded: State) -> Option<Noted> {
        let mut held = self.held.lock();
        let Some(h) = held.get_mut(&id) else {
            let standing = Standing::recorded(recorded);
            held.insert(id, Held { plan: plan.clone(), standing, last: None, recording: false });
            return Some(Noted::First);
        };
        if h.plan.version >= plan.version {
            return None;
        }
        let noted = match h.plan.version {
            FORGOTTEN if h.last.is_none() => Noted::First,
            FORGOTTEN => Noted::Changed,
            // Our own record of a change arrives here too: it must not ask again at once.
            _ if h.plan.asks_like(plan) => Noted::SameQuestion,
            _ => Noted::Changed,
        };
        h.plan = plan.clone();
        // The record is the truth: an answer is measured against what it says, whoever wrote it.
        if !h.recording && h.standing.state != recorded {
            h.standing = Standing::recorded(recorded);
        }
        Some(noted)
    }

    /// Takes a version of a check for one that is not known, unless a newer one has come.
    fn forget_version(&self, id: u128, version: u64) {
        if let Some(h) = self.held.lock().get_mut(&id).filter(|h| h.plan.version == version) {
            Arc::make_mut(&mut h.plan).version = FORGOTTEN;
        }
    }

    /// Judges an answer, keeps its measurements and records what changed. When to ask again, and whether it could be recorded.
    async fn answered(self: &Arc<Self>, id: u128, outcome: &Outcome) -> (Again, Result<(), ActError>) {
        let now = self.kernel.now();
        let (plan, verdict, before) = {
            let mut held = self.held.lock();
            let Some(h) = held.get_mut(&id) else { return (Again::Usual, Ok(())) };
            h.last = Some((now, outcome.summary.clone()));
            let before = h.standing.clone();
            let verdict = judge(&mut h.standing, outcome.state, h.plan.rules, now);
            h.recording |= matches!(verdict, Verdict::Changed(_));
            (h.plan.clone(), verdict, before)
        };
        let again = if verdict == Verdict::Doubt { Again::In(plan.retry) } else { Again::Usual };
        let samples = plan.samples(outcome, now);
        let Verdict::Changed(state) = verdict else {
            self.sink.append(plan.tenant, samples).await;
            return (again, Ok(()));
        };
        let change = Change { inner: self.clone(), id, before: Some(before) };
        let summary = outcome.summary.clone();
        // In a task of its own: a question is broken off when its check is edited, and a change that is judged must be recorded.
        let recorded = tokio::spawn(async move {
            change.inner.sink.append(plan.tenant, samples).await;
            change.inner.record(&plan, state, &summary).await?;
            change.settle();
            Ok(())
        });
        (again, recorded.await.unwrap_or_else(|_| Err(ActError::Conflict("recording a change was broken off".into()))))
    }

    /// Makes a check's state what no answer said.
    async fn change(self: &Arc<Self>, plan: &Plan, state: State, why: String) -> Result<(), ActError> {
        let id = number(plan.id);
        let before = {
            let mut held = self.held.lock();
            let Some(h) = held.get_mut(&id) else { return Ok(()) };
            h.recording = true;
            std::mem::replace(&mut h.standing, Standing::recorded(state))
        };
        let change = Change { inner: self.clone(), id, before: Some(before) };
        self.record(plan, state, &why).await?;
        change.settle();
        Ok(())
    }

    async fn record(&self, plan: &Plan, state: State, summary: &str) -> Result<(), ActError> {
        let name = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Critical => "critical",
            State::Unknown => "unknown",
        };
        let fields = Map::from_iter([
            ("last_summary".to_owned(), json!(summary)),
            ("last_checked".to_owned(), json!(self.kernel.now())),
        ]);
        let act = Act::Transition {
            target: Target::Id(plan.id),
            name: name.into(),
            fields,
            note: Some(summary.to_owned()),
            expect: None,
        };
        self.kernel.act(&Session::controller("watch.checks", plan.tenant), act).await?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A change on its way into the journal. If it does not get there, it has not happened: the next answer says it again.
struct Change {
    inner: Arc<Inner>,
    id: u128,
    /// What was known before it; nothing once it is recorded.
    before: Option<Standing>,
}

impl Change {
    fn settle(mut self) {
        self.before = None;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if let Some(h) = self.inner.held.lock().get_mut(&self.id) {
            h.recording = false;
            if let Some(before) = self.before.take() {
                h.standing = before;
            }
        }
    }
}

/// Takes the answers of the schedule.
struct Taker(Arc<Inner>);

impl Answers for Taker {
    fn take(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Again> + Send + '_>> {
        Box::pin(async move {
            let (again, recorded) = self.0.answered(asked.id, &asked.outcome).await;
            if let Err(error) = recorded {
                let check = self.0.held.lock().get(&asked.id).map(|h| h.plan.key.clone()).unwrap_or_default();
                tracing::warn!(check, %error, "could not record an answer; the next one will be recorded");
            }
            again
        })
    }
}

/// A check's id as the schedule knows it.
fn number(id: Id) -> u128 {
    id.0.as_u128()
}

/// A moment as people read it in a sentence: `2026-11-21 03:12:09 UTC`.
fn to_the_second(at: Time) -> String {
    at.to_string().chars().take("2026-11-21T03:12:09".len()).collect::<String>().replace('T', " ") + " UTC"
}

/// The state that a record's state word stands for; anything else is not known.
pub fn state_of(word: &str) -> State {
    [State::Ok, State::Warning, State::Critical].into_iter().find(|s| s.as_str() == word).unwrap_or(State::Unknown)
}
