//! Puts runs to work: approved ones, dry runs, and those whose question to a person was answered or was left unanswered too long.
//!
//! Everything that it goes by is on the record, so a wait goes on over a restart. It starts jobs and does no step itself.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::clock::format_duration;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::job::JobDraft;
use kernel::{Id, Record, Time};
use serde_json::{Map, Value, json};

use crate::run::JOB;
use crate::runbook_run::RunbookRun;

/// Attempts of a job before it is given up.
const ATTEMPTS: u32 = 5;

/// Puts runs to work.
pub struct Start;

/// What is to be done about a run; the variant is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
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

/// What is to be done about `run` at `now`, when its runbook is `pre_approved`; no store, no clock.
pub fn decide(run: &Record, pre_approved: PreApproved, now: Time) -> Decision {
    let dry = run.flag("dry_run");
    match run.state.as_str() {
        "proposed" | "approved" if dry => Decision::Preview,
        "proposed" if pre_approved == PreApproved::Yes => Decision::Approve,
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

/// Whether a runbook may be run without anybody's approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreApproved {
    /// Its `approval` is none.
    Yes,
    /// Somebody must agree.
    No,
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
        let pre_approved = pre_approved(cx, &run).await;
        let (acts, reason) = match decide(&run, pre_approved, cx.kernel.now()) {
            Decision::Approve => (
                vec![transition(&run, "approve", "the runbook is pre-approved")],
                format!("{} approved: the runbook is pre-approved", run.key),
            ),
            Decision::Preview => (preview(cx, &run), format!("{} is a dry run: it tells what would be done", run.key)),
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

async fn pre_approved(cx: &Cx, run: &Record) -> PreApproved {
    if run.state != "proposed" {
        return PreApproved::No;
    }
    let runbook = cx.kernel.get(&cx.session, "runbook", run.text("runbook")).await;
    let free = runbook.is_ok_and(|r| r.get("approval").and_then(Value::as_str).unwrap_or("none") == "none");
    if free { PreApproved::Yes } else { PreApproved::No }
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
        let free = PreApproved::Yes;
        let bound = PreApproved::No;
        for (state, fields, pre_approved, now, decision, why) in [
            ("proposed", json!({}), bound, asked_at, Decision::Rest, "somebody must agree"),
            ("proposed", json!({}), free, asked_at, Decision::Approve, "nobody must agree"),
            ("proposed", json!({"dry_run": true}), bound, asked_at, Decision::Preview, "it does nothing"),
            ("approved", json!({"dry_run": true}), bound, asked_at, Decision::Preview, "whoever approved it"),
            ("approved", json!({}), bound, asked_at, Decision::Work { turn: 0 }, "agreed"),
            ("running", json!({}), bound, asked_at, Decision::Rest, "its job is at work"),
            ("waiting", asked.clone(), bound, asked_at, Decision::Ask(at(until)), "a person has time"),
            ("waiting", asked.clone(), bound, until, Decision::Lapse, "the time is over"),
            ("waiting", json!({"asked": "look"}), bound, asked_at, Decision::Lapse, "nobody waits for ever"),
            ("running", answered("confirmed", 0), bound, until, Decision::Work { turn: 1 }, "the first answer"),
            ("running", answered("nobody", 1), bound, until, Decision::Work { turn: 2 }, "the second question's end"),
            ("cancelled", asked.clone(), bound, until, Decision::Rest, "it was stopped"),
            ("failed", json!({"dry_run": true}), free, until, Decision::Rest, "it is over"),
        ] {
            assert_eq!(decide(&record("runbook-run", state, fields), pre_approved, at(now)), decision, "{why}");
        }
    }
}
