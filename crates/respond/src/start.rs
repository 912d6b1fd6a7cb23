//! Puts runs to work: approved ones, dry runs, and those whose question to a person was answered or was left unanswered too long.
//!
//! Everything that it goes by is on the record, so a wait goes on over a restart. It starts jobs and does no step itself.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::clock::format_duration;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::job::JobDraft;
use kernel::read::ListAsk;
use kernel::{Id, Record, Time};
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::run::JOB;
use crate::runbook_run::RunbookRun;

/// Between two looks whether another run of the same runbook has ended.
const AGAIN: Duration = Duration::from_secs(2);
/// Attempts of a job before it is given up.
const ATTEMPTS: u32 = 5;

/// Puts runs to work.
pub struct Start;

/// What is to be done about a run; the variant is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// So many people must agree, says its runbook, and the run does not know it yet.
    Need(u32),
    /// Nobody has to agree: its runbook is pre-approved.
    Approve,
    /// It only tells what would be done, which nobody has to agree to.
    Preview,
    /// Its next steps can be done.
    Work {
        /// How often it has asked a person by now.
        turn: u64,
    },
    /// A person is asked, until then.
    Ask(Time),
    /// A person was asked and has not answered in time.
    Lapse,
    /// Somebody must agree first, its steps are being done, or it is over.
    Rest,
}

/// What is to be done about `run` at `now`, when its runbook asks for so many approvals; no store, no clock.
pub fn decide(run: &Record, approvals: u32, now: Time) -> Decision {
    let dry = run.flag("dry_run");
    match run.state.as_str() {
        "proposed" | "approved" if dry => Decision::Preview,
        "proposed" if run.int("approvals_needed") != Some(i64::from(approvals)) => Decision::Need(approvals),
        "proposed" if approvals == 0 => Decision::Approve,
        "approved" => Decision::Work { turn: 0 },
        "waiting" => match run.get("asked_until").and_then(Value::as_str).and_then(Time::parse) {
            Some(until) if now < until => Decision::Ask(until),
            _ => Decision::Lapse,
        },
        // A run whose results cannot be read is for its job to end, in words.
        "running" if run.get("answer").is_some() => {
            Decision::Work { turn: RunbookRun::turn_of(run).unwrap_or_default() }
        }
        _ => Decision::Rest,
    }
}

#[async_trait]
impl Controller for Start {
    fn name(&self) -> &'static str {
        "respond.start"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["runbook-run"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let run = cx.kernel.get_id(&cx.session, id).await?;
        let runbook = cx.kernel.get(&cx.session, "runbook", run.text("runbook")).await.ok();
        let (acts, reason) = match decide(&run, approvals(runbook.as_ref()), cx.kernel.now()) {
            Decision::Need(people) => {
                let fields = Map::from_iter([("approvals_needed".to_owned(), Value::from(people))]);
                let act = Act::Update { target: Target::Id(run.id), fields, owner: None, expect: Some(run.version) };
                (vec![act], format!("{} needs {people} to agree", run.key))
            }
            Decision::Approve => (
                vec![transition(&run, "approve", "the runbook is pre-approved")],
                format!("{} approved: the runbook is pre-approved", run.key),
            ),
            Decision::Preview => (preview(cx, &run), format!("{} is a dry run: it tells what would be done", run.key)),
            Decision::Work { turn: 0 } if full(cx, &run, runbook.as_ref()).await? => {
                let soon = cx.kernel.now().plus(AGAIN);
                return Ok(Looked::again(
                    soon,
                    format!("{} waits: as many runs of its runbook are at work as may be", run.key),
                ));
            }
            Decision::Work { turn } => {
                (vec![Act::Enqueue(job(cx, &run, turn, Mode::Real))], format!("{} is put to work", run.key))
            }
            Decision::Ask(until) => return Ok(Looked::again(until, format!("{} waits for a person", run.key))),
            Decision::Lapse => {
                let note = format!("nobody answered within {}", format_duration(RunbookRun::patience_of(&run)));
                (vec![transition(&run, "lapse", &note)], format!("{}: {note}", run.key))
            }
            Decision::Rest if run.state == "proposed" => {
                return Ok(Looked::settled(format!("{} waits for approval", run.key)));
            }
            Decision::Rest => return Ok(Looked::settled(format!("{} is {}", run.key, run.state))),
        };
        cx.kernel.acts(&cx.session, acts, None).await?;
        Ok(Looked::settled(reason))
    }
}

/// How many people must agree to a run of the runbook. A runbook that is not there, or one that names a policy, needs one.
fn approvals(runbook: Option<&Record>) -> u32 {
    match runbook.map(|r| r.text("approval")) {
        Some("none") => 0,
        Some("two") => 2,
        _ => 1,
    }
}

/// Whether as many runs of the runbook are at work, or were approved before this one, as its `limits.concurrency` allows.
async fn full(cx: &Cx, run: &Record, runbook: Option<&Record>) -> Result<bool, ActError> {
    let limit = runbook.and_then(|r| r.get("limits")).and_then(|l| l.get("concurrency")).and_then(Value::as_u64);
    let ask = ListAsk {
        filter: format!("runbook:\"{}\" state:approved,running,waiting", run.text("runbook")),
        limit: 500,
        ..ListAsk::default()
    };
    let runs = cx.kernel.list(&cx.session, "runbook-run", &ask).await?.records;
    let before = runs.iter().filter(|r| r.id != run.id && !r.flag("dry_run"));
    let before = before.filter(|r| r.state != "approved" || (r.created, r.id.0) < (run.created, run.id.0)).count();
    Ok(before as u64 >= limit.unwrap_or(1).max(1))
}

/// Approval and job in one commit, and the job says that it is dry: nobody can make it a real one in between.
fn preview(cx: &Cx, run: &Record) -> Vec<Act> {
    let work = Act::Enqueue(job(cx, run, 0, Mode::Dry));
    match run.state.as_str() {
        "proposed" => vec![transition(run, "approve", "a dry run changes nothing"), work],
        _ => vec![work],
    }
}

/// Whether a job does what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Real,
    Dry,
}

fn transition(run: &Record, name: &str, note: &str) -> Act {
    Act::Transition {
        target: Target::Id(run.id),
        name: name.into(),
        fields: Map::new(),
        note: Some(note.to_owned()),
        expect: Some(run.version),
    }
}

/// One job a turn: however often this is asked, the key keeps a second one out.
fn job(cx: &Cx, run: &Record, turn: u64, mode: Mode) -> JobDraft {
    let now = cx.kernel.now();
    let key = if turn == 0 { format!("run-job:{}", run.id) } else { format!("run-job:{}:{turn}", run.id) };
    JobDraft {
        id: Id::new(now),
        kind: JOB.into(),
        args: json!({"run": run.id, "turn": turn, "dry": mode == Mode::Dry}),
        run_at: now,
        deadline: None,
        max_attempts: ATTEMPTS,
        idempotency: Some(key),
        cause: cx.session.cause(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    #[test]
    fn what_becomes_of_a_run() {
        let at = |text: &str| Time::parse(text).unwrap();
        let (asked_at, until) = ("2026-11-21T03:00:00Z", "2026-11-21T03:30:00Z");
        let asked = json!({"asked": "look", "asked_at": asked_at, "asked_until": until});
        let answered = |answer: &str, before: u64| {
            let earlier = json!({"ask": "look", "asked_at": asked_at, "ok": true, "said": "done", "undo": false});
            let results: Vec<Value> = (0..before).map(|_| earlier.clone()).collect();
            let mut fields = asked.clone();
            fields["answer"] = answer.into();
            fields["results"] = results.into();
            fields
        };
        let known = |people: u32| json!({"approvals_needed": people});
        for (state, fields, approvals, now, decision, why) in [
            ("proposed", json!({}), 2, asked_at, Decision::Need(2), "it has just been proposed"),
            ("proposed", known(1), 2, asked_at, Decision::Need(2), "the runbook was changed meanwhile"),
            ("proposed", known(1), 1, asked_at, Decision::Rest, "somebody must agree"),
            ("proposed", known(0), 0, asked_at, Decision::Approve, "nobody must agree"),
            ("proposed", json!({"dry_run": true}), 1, asked_at, Decision::Preview, "it does nothing"),
            ("approved", json!({"dry_run": true}), 1, asked_at, Decision::Preview, "whoever approved it"),
            ("approved", json!({}), 1, asked_at, Decision::Work { turn: 0 }, "agreed"),
            ("running", json!({}), 1, asked_at, Decision::Rest, "its job is at work"),
            ("waiting", asked.clone(), 1, asked_at, Decision::Ask(at(until)), "a person has time"),
            ("waiting", asked.clone(), 1, until, Decision::Lapse, "the time is over"),
            ("waiting", json!({"asked": "look"}), 1, asked_at, Decision::Lapse, "nobody waits for ever"),
            ("running", answered("confirmed", 0), 1, until, Decision::Work { turn: 1 }, "the first answer"),
            ("running", answered("nobody", 1), 1, until, Decision::Work { turn: 2 }, "the second question's end"),
            ("cancelled", asked.clone(), 1, until, Decision::Rest, "it was stopped"),
            ("failed", json!({"dry_run": true}), 0, until, Decision::Rest, "it is over"),
        ] {
            assert_eq!(decide(&record("runbook-run", state, fields), approvals, at(now)), decision, "{why}");
        }
    }
}
