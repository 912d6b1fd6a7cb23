//! Asks a person to do a step, and tells what they answered. The wait is a state of the run, not of a process: the job ends when
//! it has asked, and the answer, or the end of the time for it, begins another.
//!
//! Nothing here decides that a step went well; only a person does.

use kernel::act::{Act, Target};
use kernel::backend::JournalQuery;
use kernel::clock::format_duration;
use kernel::error::ActError;
use kernel::job::Attempt;
use kernel::session::ActorKind;
use kernel::{Kernel, Record, Session};
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::run::told;
use crate::runbook::RunbookStep;
use crate::runbook_run::{Answer, RunbookRun, StepResult};

/// How long a person is waited for when the step does not say.
pub const PATIENCE: Duration = Duration::from_secs(3600);
/// Entries of a run among which its last answer is looked for: there is one, and notes that people wrote since.
const RECENT: usize = 100;

/// The run waits from now on, with what is asked on its record; the job is done.
pub(crate) async fn ask(
    kernel: &Kernel,
    session: &Session,
    run: &Record,
    step: &RunbookStep,
    text: &str,
) -> Result<Attempt, ActError> {
    let now = kernel.now();
    let until = now.plus(step.within.map_or(PATIENCE, |w| w.0));
    let fields = json!({"asked": text, "asked_at": now, "asked_until": until});
    let said = format!("a person is asked, until {until}: {text}");
    let mut acts = vec![Act::Transition {
        target: Target::Id(run.id),
        name: "ask".into(),
        fields: fields.as_object().cloned().unwrap_or_default(),
        note: Some(said.clone()),
        expect: None,
    }];
    acts.extend(told(kernel, run, format!("{}: {said}", run.title)).await?);
    kernel.acts(session, acts, None).await?;
    Ok(Attempt::Done(format!("{} waits for a person until {until}", run.key)))
}

/// The result of the step that was asked for, when there is an answer.
pub(crate) async fn answered(kernel: &Kernel, run: &Record) -> Result<Option<StepResult>, ActError> {
    let answer = run.get("answer").and_then(|a| serde_json::from_value(a.clone()).ok());
    let (Some(answer), Some(asked)) = (answer, run.get("asked").and_then(Value::as_str)) else { return Ok(None) };
    let time = |name: &str| run.get(name).and_then(Value::as_str).and_then(kernel::Time::parse);
    let (by, note) = match answer {
        Answer::Nobody => (None, None),
        _ => said_by(kernel, run).await?,
    };
    let who = by.as_deref().unwrap_or("somebody");
    let (ok, mut said) = match answer {
        Answer::Confirmed => (true, format!("{who} confirmed it")),
        Answer::DidNotWork => (false, format!("{who} said that it did not work")),
        Answer::Nobody => {
            (false, format!("nobody confirmed it within {}", format_duration(RunbookRun::patience_of(run))))
        }
    };
    if let Some(note) = note {
        said = format!("{said}: {note}");
    }
    Ok(Some(StepResult {
        ask: Some(asked.to_owned()),
        asked_at: time("asked_at"),
        by,
        ok,
        said,
        at: Some(kernel.now()),
        ..StepResult::default()
    }))
}

/// Who gave the last answer, and what they wrote beside it, from the journal. A person is named by key, as everywhere; what is
/// none, a token or somebody on the machine itself, with its kind before it.
async fn said_by(kernel: &Kernel, run: &Record) -> Result<(Option<String>, Option<String>), ActError> {
    let query = JournalQuery {
        tenant: Some(run.tenant),
        before: Some(kernel.backend().head().await? + 1),
        subject: Some(run.id),
        limit: RECENT,
        ..JournalQuery::default()
    };
    let entries = kernel.backend().journal(&query).await?;
    let Some(entry) = entries.into_iter().find(|e| matches!(e.action.as_str(), "confirm" | "did-not-work")) else {
        let kept = run.text("answered_by");
        return Ok(((!kept.is_empty()).then(|| kept.to_owned()), None));
    };
    let by = match entry.actor.kind {
        ActorKind::Person => entry.actor.key,
        _ => entry.actor.to_string(),
    };
    Ok((Some(by), entry.note))
}

/// Takes the question off the record, once its answer stands among the results.
pub(crate) fn forget(fields: &mut Map<String, Value>) {
    for name in ["asked", "asked_at", "asked_until", "answer", "answered_by"] {
        fields.insert(name.into(), Value::Null);
    }
}
