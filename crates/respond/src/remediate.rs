//! Proposes or starts the runbook that fits an incident, with a brake: so many runs an hour, then a person.
//!
//! It only makes `runbook-run` records; [`run`](crate::run) does them. A pre-approved runbook starts at once; any other waits for
//! a person's approval.

use async_trait::async_trait;
use kernel::act::{Act, Create, Target};
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::read::ListAsk;
use kernel::{Id, Record, Time};
use serde_json::{Value, json};
use std::time::Duration;

/// Runs of one runbook in an hour when it does not say.
const PER_HOUR: i64 = 3;

/// Finds runbooks for incidents.
pub struct Remediate;

#[async_trait]
impl Controller for Remediate {
    fn name(&self) -> &'static str {
        "respond.remediate"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["incident"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let incident = cx.kernel.get_id(&cx.session, id).await?;
        if !incident.open {
            return Ok(Looked::settled(format!("{} is over", incident.key)));
        }
        let Some(check) = incident.text("fingerprint").strip_prefix("check:").map(str::to_owned) else {
            return Ok(Looked::settled("no check opened it"));
        };
        let ask = ListAsk { filter: "state:active".into(), limit: 500, ..ListAsk::default() };
        let runbooks = cx.kernel.list(&cx.session, "runbook", &ask).await?.records;
        let mut said = Vec::new();
        for runbook in runbooks.iter().filter(|r| fits(r, &check)) {
            said.push(start(cx, &incident, runbook).await?);
        }
        Ok(Looked::settled(if said.is_empty() { "no runbook fits".to_owned() } else { said.join("; ") }))
    }
}

/// Whether a runbook is for this check, when it is CRITICAL (or in the state that the runbook names).
pub fn fits(runbook: &Record, check: &str) -> bool {
    let when = runbook.get("when");
    let text = |name: &str| when.and_then(|w| w.get(name)).and_then(Value::as_str);
    text("check") == Some(check) && text("state").is_none_or(|s| s.eq_ignore_ascii_case("CRITICAL"))
}

/// Whether one more run keeps within the brake: runs of the last hour against the limit.
pub fn within_brake(runs: &[Time], limit: i64, now: Time) -> bool {
    let recent = runs.iter().filter(|t| now.since(**t) < Duration::from_secs(3600)).count();
    i64::try_from(recent).is_ok_and(|n| n < limit)
}

async fn start(cx: &Cx, incident: &Record, runbook: &Record) -> Result<String, ActError> {
    let round = incident.int("relapses").unwrap_or(0);
    let once = format!("run:{}:{round}:{}", incident.id, runbook.id);
    let ask = ListAsk {
        filter: format!("runbook:\"{}\" created:>-1h", runbook.key),
        sort: "-created".into(),
        limit: 100,
        ..ListAsk::default()
    };
    let runs = cx.kernel.list(&cx.session, "runbook-run", &ask).await?.records;
    if runs.iter().any(|r| r.text("once") == once) {
        return Ok(format!("{} was started for it", runbook.key));
    }
    let limit = runbook.get("limits").and_then(|l| l.get("max_per_hour")).and_then(Value::as_i64).unwrap_or(PER_HOUR);
    let times: Vec<Time> = runs.iter().map(|r| r.created).collect();
    if !within_brake(&times, limit, cx.kernel.now()) {
        let text = format!(
            "{} has run {} times within an hour, which is its limit: a person has to look.",
            runbook.title,
            runs.len()
        );
        let key = format!("brake:{once}");
        cx.kernel
            .acts(
                &cx.session,
                vec![Act::Note { target: Target::Id(incident.id), text: text.clone() }],
                Some((key, [0; 32])),
            )
            .await
            .or_else(told_before)?;
        return Ok(text);
    }
    let approval = runbook.get("approval").and_then(Value::as_str).unwrap_or("none").to_owned();
    let fields =
        json!({"runbook": runbook.key, "reason": format!("{}: {}", incident.key, incident.title), "once": once});
    let mut create = Create::of("runbook-run", fields).linked("for", incident.id);
    create.state = (approval == "none").then(|| "approved".to_owned());
    cx.kernel.acts(&cx.session, vec![Act::Create(create)], Some((once, [0; 32]))).await?;
    Ok(if approval == "none" {
        format!("{} started", runbook.key)
    } else {
        format!("{} proposed: it waits for approval", runbook.key)
    })
}

/// A note makes no record to remember, so its repetition is told as a conflict; that is fine here.
fn told_before(error: ActError) -> Result<kernel::Done, ActError> {
    match error {
        ActError::Conflict(_) | ActError::Unknown { .. } => Ok(kernel::Done::default()),
        other => Err(other),
    }
}
