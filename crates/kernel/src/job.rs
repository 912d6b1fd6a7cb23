//! Durable work: lease, heartbeat, retry with back-off, deadline, idempotency key. A job survives a kill at any point.
//!
//! The state machine is here; the rows are the store's; what a kind of job does is its [`Worker`]'s.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

use crate::clock::Time;
use crate::ids::{Id, TenantId};

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its time or for a worker.
    Waiting,
    /// A worker holds its lease.
    Running,
    /// Done.
    Done,
    /// Given up: too many attempts, past its deadline, or refused.
    Failed,
}

impl JobState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// From the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Running, Self::Done, Self::Failed].into_iter().find(|s| s.as_str() == word)
    }
}

/// Work to be done once.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDraft {
    /// Its id.
    pub id: Id,
    /// Which worker does it: `respond.page`.
    pub kind: String,
    /// What with.
    pub args: Value,
    /// Not before.
    pub run_at: Time,
    /// Not after; then it fails.
    pub deadline: Option<Time>,
    /// Attempts at most.
    pub max_attempts: u32,
    /// A second job with this key in the tenant is not enqueued.
    pub idempotency: Option<String>,
    /// The entry that led to it, when none stands above it in its commit.
    pub cause: Option<u64>,
}

/// A job as stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its id.
    pub id: Id,
    /// Whose.
    pub tenant: TenantId,
    /// Which worker does it.
    pub kind: String,
    /// What with.
    pub args: Value,
    /// State.
    pub state: JobState,
    /// Not before.
    pub run_at: Time,
    /// Not after.
    pub deadline: Option<Time>,
    /// Attempts so far, the running one included.
    pub attempts: u32,
    /// Attempts at most.
    pub max_attempts: u32,
    /// Journal entry that led to it.
    pub cause: u64,
    /// When it was enqueued.
    pub created: Time,
    /// Fencing number of the lease; grows with each lease.
    pub fence: u64,
    /// Until when the lease holds.
    pub lease_until: Option<Time>,
    /// What the last attempt said.
    pub last: Option<String>,
}

/// A claim on jobs.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Who claims: unique to a process.
    pub worker: String,
    /// Now.
    pub now: Time,
    /// How long the claim holds without a heartbeat.
    pub span: Duration,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFinish {
    /// Which job.
    pub id: Id,
    /// The fence under which it was run.
    pub fence: u64,
    /// Where it goes.
    pub to: JobState,
    /// When it is tried again ([`JobState::Waiting`]).
    pub run_at: Time,
    /// What happened, in a sentence.
    pub said: String,
}

/// How an attempt went, as its worker tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt {
    /// Done.
    Done(String),
    /// Try again, not before this long.
    Again(String, Option<Duration>),
    /// Never.
    Refused(String),
}

/// Decides what becomes of a job after an attempt; pure.
pub fn after(job: &Job, attempt: &Attempt, now: Time) -> JobFinish {
    let finish = |to, run_at, said: String| JobFinish { id: job.id, fence: job.fence, to, run_at, said };
    match attempt {
        Attempt::Done(said) => finish(JobState::Done, now, said.clone()),
        Attempt::Refused(said) => finish(JobState::Failed, now, said.clone()),
        Attempt::Again(said, wait) => {
            let run_at = now.plus(wait.unwrap_or_else(|| backoff(job.attempts, job.id)));
            if job.attempts >= job.max_attempts {
                finish(JobState::Failed, now, format!("gave up after {} attempts: {said}", job.attempts))
            } else if job.deadline.is_some_and(|d| run_at > d) {
                finish(JobState::Failed, now, format!("gave up at its deadline: {said}"))
            } else {
                finish(JobState::Waiting, run_at, said.clone())
            }
        }
    }
}

/// Wait before the next attempt: 1, 2, 4 … seconds up to five minutes, spread by up to a quarter by the job's id.
pub fn backoff(attempts: u32, id: Id) -> Duration {
    let base_ms = 1000u64 << attempts.saturating_sub(1).min(9);
    let base_ms = base_ms.min(300_000);
    let spread = u64::from(id.bytes()[15]) * base_ms / 1024;
    Duration::from_millis(base_ms + spread)
}

/// Does one kind of job.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// Kinds of jobs it does.
    fn kinds(&self) -> &'static [&'static str];
    /// Does one; called again after a crash, so it must be harmless to repeat.
    async fn work(&self, kernel: &crate::act::Kernel, job: &Job) -> Attempt;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(attempts: u32) -> Job {
        let now = Time::from_micros(0);
        Job {
            id: Id::new(now),
            tenant: TenantId::HOME,
            kind: "x".into(),
            args: Value::Null,
            state: JobState::Running,
            run_at: now,
            deadline: Some(now.plus(Duration::from_secs(60))),
            attempts,
            max_attempts: 5,
            cause: 0,
            created: now,
            fence: 1,
            lease_until: None,
            last: None,
        }
    }

    #[test]
    fn what_becomes_of_a_job() {
        let now = Time::from_micros(0);
        let again = Attempt::Again("no route".into(), None);
        for (attempts, attempt, to, why) in [
            (1, Attempt::Done(String::new()), JobState::Done, "done"),
            (1, again.clone(), JobState::Waiting, "tried again"),
            (5, again.clone(), JobState::Failed, "no attempts left"),
            (1, Attempt::Again("x".into(), Some(Duration::from_secs(61))), JobState::Failed, "past the deadline"),
            (1, Attempt::Refused("no such address".into()), JobState::Failed, "refused for good"),
        ] {
            assert_eq!(after(&job(attempts), &attempt, now).to, to, "{why}");
        }
    }

    #[test]
    fn waits_grow_and_stop_growing() {
        let id = Id::from_bytes(&[0; 16]).unwrap();
        let waits: Vec<u64> = [1, 2, 3, 9, 30].iter().map(|a| backoff(*a, id).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 256, 300]);
    }
}
