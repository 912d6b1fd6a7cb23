//! Run: the scheduler at work. One loop sleeps until the next turn; every question in flight is a task. A check that waits
//! is an entry on the [`Board`] and nothing else.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::board::{Board, Next, Start};
use super::budget::Budget;
use super::lag::{Lag, LagFigures};
use super::pace::Pace;
use crate::env::Env;
use crate::outcome::{Outcome, State};
use crate::params::ParamError;
use crate::protocol::Request;
use crate::registry::{Prepared, prepare};
use crate::target::host_of;

/// What the scheduler may do at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Questions in flight at most.
    pub in_flight: usize,
    /// The usual budget of a site.
    pub site: Budget,
    /// The usual budget of a target: a host that is asked, or this machine's plugins.
    pub target: Budget,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { in_flight: 2048, site: Budget::of(1024), target: Budget::of(16) }
    }
}

/// What to ask, how often, and from where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The question.
    pub request: Request,
    /// How often it is asked.
    pub pace: Pace,
    /// The site whose budget it uses, and whose address policy where it has one of its own; empty where there is only one.
    pub site: String,
    /// On the board, and not asked until it is resumed.
    pub paused: bool,
}

/// An answer, and whose.
#[derive(Debug)]
pub struct Asked {
    /// The check's id, as [`Scheduler::put`] was given it.
    pub id: u128,
    /// The answer.
    pub outcome: Outcome,
    /// How late the question was.
    pub late: Duration,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// At the usual time.
    Usual,
    /// At the usual time too; where the check's pace has a back-off, a row of these stretches it.
    Failing,
    /// After that time, since the answer is in doubt.
    In(Duration),
}

/// Who takes the answers.
///
/// The question stays in flight until this is done, so a taker that is slow slows the asking down, and nothing piles up.
pub trait Answers: Send + Sync + 'static {
    /// Takes an answer and says when to ask again.
    fn take(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Again> + Send + '_>>;
}

/// What the scheduler does, in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Checks on the board.
    pub held: usize,
    /// Questions in flight.
    pub in_flight: usize,
    /// Checks whose time has come and that wait for a budget or for room.
    pub waiting: usize,
    /// Questions begun.
    pub asked: u64,
    /// Turns left out because the one before had not ended.
    pub left_out: u64,
    /// How late questions were begun.
    pub lag: LagFigures,
    /// The same of the last full minute, whether or not anything was begun in it; of the first one while that lasts.
    pub lag_lately: LagFigures,
    /// For how long the turn that is over longest has not begun, for budgets too; zero when all goes well.
    pub behind: Duration,
}

/// Asks checks in their time. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    env: Arc<Env>,
    answers: Arc<dyn Answers>,
    state: Mutex<Locked>,
    /// The next turn is earlier than the loop sleeps.
    earlier: Notify,
    lag: Lag,
    /// The same since [`Locked::minute_began`].
    minute: Lag,
    asked: AtomicU64,
}

/// Board and jobs, under one lock that is held for microseconds.
struct Locked {
    board: Board,
    /// By slot.
    jobs: Vec<Option<Job>>,
    /// Sites that see the world differently.
    worlds: HashMap<Box<str>, Arc<Env>>,
    last_minute: Option<LagFigures>,
    minute_began: Duration,
    /// How long the loop sleeps; `None` when it does not.
    sleeps_until: Option<Duration>,
}

struct Job {
    question: Arc<Question>,
    /// The question in flight.
    task: Option<AbortHandle>,
}

/// What is asked, and in which world.
struct Question {
    prepared: Prepared,
    env: Arc<Env>,
}

/// So many questions are begun under one hold of the lock.
const AT_ONCE: usize = 64;
/// Questions are begun at most so often; by so much, and no more, are they late when nothing else makes them.
const TICK: Duration = Duration::from_millis(5);
const MINUTE: Duration = Duration::from_secs(60);

impl Scheduler {
    /// A scheduler without checks. It asks nothing until [`Scheduler::run`].
    pub fn new(env: Env, limits: Limits, answers: Arc<dyn Answers>) -> Scheduler {
        let board = Board::new(limits.in_flight, limits.site, limits.target);
        let (jobs, worlds) = (Vec::new(), HashMap::new());
        let minute_began = env.clock.monotonic();
        let state = Mutex::new(Locked { board, jobs, worlds, last_minute: None, minute_began, sleeps_until: None });
        let (earlier, asked) = (Notify::new(), AtomicU64::new(0));
        let (env, lag, minute) = (Arc::new(env), Lag::default(), Lag::default());
        Scheduler { inner: Arc::new(Inner { env, answers, state, earlier, lag, minute, asked }) }
    }

    /// Takes a check in. One that is there already is replaced and asked at once; its question in flight is broken off.
    ///
    /// # Errors
    /// What is wrong with the request, each with its field; the check is as it was before.
    pub fn put(&self, id: u128, plan: &Plan) -> Result<(), Vec<ParamError>> {
        let prepared = prepare(&plan.request)?;
        let target = budget_name(&prepared);
        let now = self.now();
        let mut locked = self.lock();
        let env = self.inner.env_of(&locked, &plan.site);
        let running = locked.cancel(id, now);
        let slot = locked.board.put(id, plan.pace, &plan.site, &target, now);
        if plan.paused {
            locked.board.pause(id, now);
        }
        if locked.jobs.len() <= slot as usize {
            locked.jobs.resize_with(slot as usize + 1, || None);
        }
        locked.jobs[slot as usize] = Some(Job { question: Arc::new(Question { prepared, env }), task: None });
        self.inner.rouse(&locked);
        break_off(running, locked);
        Ok(())
    }

    /// Asks a check no more. Its question in flight is broken off, and its answer taken by nobody.
    pub fn remove(&self, id: u128) {
        let now = self.now();
        let mut locked = self.lock();
        let running = locked.cancel(id, now);
        self.inner.rouse(&locked);
        break_off(running, locked);
    }

    /// Asks a check no more until it is resumed. Its question in flight is broken off.
    pub fn pause(&self, id: u128) {
        let now = self.now();
        let mut locked = self.lock();
        let slot = locked.board.pause(id, now);
        let running = slot.and_then(|slot| locked.jobs.get_mut(slot as usize)?.as_mut()?.task.take());
        self.inner.rouse(&locked);
        break_off(running, locked);
    }

    /// Asks a paused check again, at once.
    pub fn resume(&self, id: u128) {
        let now = self.now();
        let mut locked = self.lock();
        locked.board.resume(id, now);
        self.inner.rouse(&locked);
    }

    /// Asks a check out of turn, as soon as its budgets allow. False when there is none, or it is paused.
    pub fn soon(&self, id: u128) -> bool {
        let now = self.now();
        let mut locked = self.lock();
        let asked = locked.board.soon(id, now);
        self.inner.rouse(&locked);
        asked
    }

    /// Asks a check that is not in flight after that time at the latest, its budgets permitting. False when there is none,
    /// or it is paused.
    pub fn within(&self, id: u128, wait: Duration) -> bool {
        let now = self.now();
        let mut locked = self.lock();
        let asked = locked.board.within(id, wait, now);
        self.inner.rouse(&locked);
        asked
    }

    /// The world as checks of that site see it, for those that are put from now on: the same one behind another policy.
    pub fn set_site_env(&self, site: &str, env: Env) {
        self.lock().worlds.insert(site.into(), Arc::new(env));
    }

    /// The world as checks of that site see it.
    pub fn env_of(&self, site: &str) -> Arc<Env> {
        self.inner.env_of(&self.lock(), site)
    }

    /// Another budget for a site; `None` is the usual one.
    pub fn set_site_budget(&self, site: &str, budget: Option<Budget>) {
        let now = self.now();
        let mut locked = self.lock();
        locked.board.set_site_budget(site, budget, now);
        self.inner.rouse(&locked);
    }

    /// Another budget for a target, by its host name or address; `None` is the usual one.
    pub fn set_target_budget(&self, target: &str, budget: Option<Budget>) {
        let now = self.now();
        let mut locked = self.lock();
        locked.board.set_target_budget(target, budget, now);
        self.inner.rouse(&locked);
    }

    /// What it does, in numbers.
    pub fn figures(&self) -> Figures {
        let now = self.now();
        let mut locked = self.lock();
        self.inner.turn_minute(&mut locked, now);
        let lag_lately = locked.last_minute.clone().unwrap_or_else(|| self.inner.minute.figures());
        Figures {
            lag_lately,
            behind: locked.board.behind(now),
            held: locked.board.len(),
            in_flight: locked.board.running(),
            waiting: locked.board.waiting(),
            asked: self.inner.asked.load(Ordering::Relaxed),
            left_out: locked.board.left_out(),
            lag: self.inner.lag.figures(),
        }
    }

    /// Forgets how late questions were until now, for whoever measures a span of time.
    pub fn reset_lag(&self) {
        let now = self.now();
        let mut locked = self.lock();
        self.inner.lag.reset();
        self.inner.minute.reset();
        (locked.last_minute, locked.minute_began) = (None, now);
    }

    /// Asks until the future is dropped; then questions in flight are broken off.
    pub async fn run(&self) {
        let _stop = BreakOff(self.inner.clone());
        loop {
            self.inner.begin(self.now());
            if self.lock().board.next_event().is_some_and(|next| next.is_zero()) {
                tokio::task::yield_now().await; // More is due than is begun at once; answers are taken in between.
                continue;
            }
            // What comes due meanwhile is begun together: waking up costs more than a question.
            tokio::time::sleep(TICK).await; // the pace of the loop
            let wait = {
                let now = self.now();
                let mut locked = self.lock();
                let until = locked.board.next_event().unwrap_or(now + Duration::from_secs(3600));
                locked.sleeps_until = Some(until);
                until.saturating_sub(now)
            };
            if !wait.is_zero() {
                let _ = tokio::time::timeout(wait, self.inner.earlier.notified()).await;
            }
            self.lock().sleeps_until = None;
        }
    }

    fn now(&self) -> Duration {
        self.inner.env.clock.monotonic()
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.inner.lock()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn env_of(&self, locked: &Locked, site: &str) -> Arc<Env> {
        locked.worlds.get(site).unwrap_or(&self.env).clone()
    }

    /// Wakes the loop when the next turn comes before it would wake by itself.
    fn rouse(&self, locked: &Locked) {
        let Some(until) = locked.sleeps_until else { return };
        if locked.board.next_event().is_some_and(|next| next < until) {
            self.earlier.notify_one();
        }
    }

    /// Begins another minute when one is over. Whoever reads or counts does that first, so that a loop with nothing to do sleeps on.
    fn turn_minute(&self, locked: &mut Locked, now: Duration) {
        let minutes = now.saturating_sub(locked.minute_began).as_secs() / MINUTE.as_secs();
        if minutes == 0 {
            return;
        }
        // Of the minutes since the one that was counted, the last one had nothing in it.
        locked.last_minute = Some(if minutes == 1 { self.minute.figures() } else { Lag::default().figures() });
        self.minute.reset();
        locked.minute_began += Duration::from_secs(minutes * MINUTE.as_secs());
    }

    /// Begins what is due.
    fn begin(self: &Arc<Self>, now: Duration) {
        let mut starts = Vec::new();
        let mut locked = self.lock();
        self.turn_minute(&mut locked, now);
        locked.board.take(now, AT_ONCE, &mut starts);
        for start in starts {
            let Some(job) = locked.jobs[start.slot as usize].as_mut() else { continue };
            let question = ask(self.clone(), start, job.question.clone());
            job.task = Some(tokio::spawn(question).abort_handle());
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.lag.add(start.late);
            self.minute.add(start.late);
        }
    }

    fn finished(self: &Arc<Self>, start: &Start, next: Next) {
        let now = self.env.clock.monotonic();
        let mut locked = self.lock();
        let slot = start.slot as usize;
        let task = locked.jobs.get_mut(slot).and_then(|job| job.as_mut()?.task.take());
        locked.board.finished(start.slot, start.turn, next, now);
        self.rouse(&locked);
        drop(locked);
        drop(task);
    }
}

impl Locked {
    /// Takes a check off the board. Its question in flight, to be broken off.
    fn cancel(&mut self, id: u128, now: Duration) -> Option<AbortHandle> {
        let slot = self.board.remove(id, now)?;
        self.jobs.get_mut(slot as usize)?.take()?.task
    }
}

/// Breaks off questions in flight. Without the lock, which each of them takes when it ends.
fn break_off(questions: impl IntoIterator<Item = AbortHandle>, locked: MutexGuard<'_, Locked>) {
    drop(locked);
    for question in questions {
        question.abort();
    }
}

/// One question, from asking to what comes next. Broken off at any point, it gives back its place.
async fn ask(inner: Arc<Inner>, start: Start, question: Arc<Question>) {
    let mut place = Place { inner, start, next: Next::Broken };
    let outcome = question.prepared.run(&question.env).await;
    let asked = Asked { id: start.id, outcome, late: start.late };
    place.next = match place.inner.answers.take(asked).await {
        Again::Usual => Next::Usual,
        Again::Failing => Next::Failing,
        Again::In(wait) => Next::In(wait),
    };
}

/// A question's place among those in flight.
struct Place {
    inner: Arc<Inner>,
    start: Start,
    next: Next,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.finished(&self.start, self.next);
    }
}

/// Breaks off all questions when the loop ends.
struct BreakOff(Arc<Inner>);

impl Drop for BreakOff {
    fn drop(&mut self) {
        let mut locked = self.0.lock();
        let running: Vec<AbortHandle> = locked.jobs.iter_mut().flatten().filter_map(|job| job.task.take()).collect();
        break_off(running, locked);
    }
}

/// Whose budget a check uses: the host that it asks, or this machine's checks of that protocol.
fn budget_name(prepared: &Prepared) -> String {
    if prepared.protocol().local {
        return format!("this machine: {}", prepared.protocol().name);
    }
    host_of(prepared.target()).to_ascii_lowercase()
}

/// Takes nothing: for figures of the asking alone.
impl Answers for () {
    fn take(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Again> + Send + '_>> {
        let again = if asked.outcome.state == State::Ok { Again::Usual } else { Again::Failing };
        Box::pin(std::future::ready(again))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn how_late_questions_were_lately_is_of_the_last_minute_even_when_nothing_happens() {
        let scheduler = Scheduler::new(Env::real(), Limits::default(), Arc::new(()));
        let timeout = Duration::from_secs(5);
        let request = Request { protocol: "load".to_owned(), target: String::new(), params: json!({}), timeout };
        let pace = Pace { first_within: Duration::ZERO, ..Pace::every(Duration::from_secs(3600)) };
        scheduler.put(1, &Plan { request, pace, site: String::new(), paused: false }).unwrap();
        let running = scheduler.clone();
        tokio::spawn(async move { running.run().await });
        let lately_after = async |seconds| {
            tokio::time::sleep(Duration::from_secs(seconds)).await; // polls: the time is paused, so this costs nothing
            scheduler.figures().lag_lately.count
        };
        assert_eq!(lately_after(10).await, 1, "the first minute lasts");
        assert_eq!(lately_after(60).await, 1, "the first minute is the last full one");
        assert_eq!(lately_after(60).await, 0, "nothing was asked in the second minute");
        assert!(scheduler.soon(1));
        assert_eq!(lately_after(60).await, 1);
        assert_eq!(lately_after(300).await, 0, "nor in the latest of many");
        assert!(scheduler.soon(1));
        assert_eq!(lately_after(60).await, 1);
        scheduler.reset_lag();
        assert_eq!(lately_after(0).await, 0, "it was told to forget");
    }
}
