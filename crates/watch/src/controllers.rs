//! What follows from the state of checks: they are held by the runner, their targets have a health, what is wrong is an alert.
//!
//! Each controller reads the check as it is and brings one thing in line with it. None of them tells people: that is respond's.

use async_trait::async_trait;
use kernel::act::{Act, Create, Target};
use kernel::backend::JournalQuery;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::read::ListAsk;
use kernel::{HealthState, Id, Record};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use crate::runner::{Runner, state_of};

/// Entries of a check that are read for what it was on before.
const ENTRIES_READ: usize = 20;

/// Hands checks to the runner.
pub struct Hold(pub Runner);

#[async_trait]
impl Controller for Hold {
    fn name(&self) -> &'static str {
        "watch.hold"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["check"]
    }
    fn scans_closed(&self) -> bool {
        true // A check that is OK is closed, and is asked all the same.
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        match cx.kernel.get_id(&cx.session, id).await {
            Ok(record) => {
                self.0.hold(&record).await?;
                Ok(Looked::settled(format!("{} is asked", record.key)))
            }
            Err(ActError::Unknown { .. }) => {
                self.0.forget(id);
                Ok(Looked::settled("deleted: asked no more"))
            }
            Err(error) => Err(error),
        }
    }
}

/// Keeps the health of what checks are on: the worst of them, or maintenance while a window covers it.
pub struct Health;

#[async_trait]
impl Controller for Health {
    fn name(&self) -> &'static str {
        "watch.health"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["check"]
    }
    fn scans_closed(&self) -> bool {
        true
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        // A deleted check leaves its target with the health of the others, so tombstones are read too.
        let check = cx.kernel.backend().get(cx.tenant, id).await?;
        let on = check.as_ref().map(|c| c.text("on")).unwrap_or_default();
        for left in left_lately(cx, id).await?.iter().filter(|left| *left != on) {
            in_line(cx, left).await?;
        }
        Ok(Looked::settled(if on.is_empty() { "it is on nothing".to_owned() } else { in_line(cx, on).await? }))
    }
}

/// What a check was on before, as its latest entries say: without it, that is as well as its other checks.
async fn left_lately(cx: &Cx, check: Id) -> Result<BTreeSet<String>, ActError> {
    if cx.session.cause().is_none() {
        return Ok(BTreeSet::new()); // Nothing has happened to it.
    }
    let backend = cx.kernel.backend();
    let query = JournalQuery {
        tenant: Some(cx.tenant),
        subject: Some(check),
        before: Some(backend.head().await? + 1),
        limit: ENTRIES_READ,
        ..JournalQuery::default()
    };
    let entries = backend.journal(&query).await?;
    let before = entries.iter().filter_map(|entry| entry.before.get("on")?.as_str());
    Ok(before.filter(|on| !on.is_empty()).map(str::to_owned).collect())
}

/// Brings the health of what checks are on in line with them, and says it.
async fn in_line(cx: &Cx, on: &str) -> Result<String, ActError> {
    let Ok(target) = cx.kernel.find(&cx.session, on).await else { return Ok(format!("{on} is not there")) };
    let checks = worst(cx, on).await?;
    if checks.is_none()
        && target.kind.as_str() == "service"
        && let Some(said) = crate::rollup::Rollup.service(cx, target.id).await?
    {
        return Ok(said);
    }
    let (state, reason) = checks.unwrap_or((HealthState::Unknown, "nothing is measured".into()));
    let covered = crate::maintenance::covering(cx, &target).await?;
    let (state, reason) = match covered {
        Some(window) => (HealthState::Maintenance, format!("{} ({reason})", window.title)),
        None => (state, reason),
    };
    let said = format!("{on} is {}: {reason}", state.as_str());
    cx.kernel.act(&cx.session, Act::Health { target: Target::Id(target.id), state, reason }).await?;
    Ok(said)
}

/// The worst state among all checks on a record, and what it says; `None` without any check.
async fn worst(cx: &Cx, on: &str) -> Result<Option<(HealthState, String)>, ActError> {
    let filter = format!("on:\"{}\" enabled:true", on.replace('"', ""));
    let mut ask = ListAsk { filter, limit: 500, ..ListAsk::default() };
    let mut worst: Option<Record> = None;
    loop {
        let page = cx.kernel.list(&cx.session, "check", &ask).await?;
        worst = page.records.into_iter().chain(worst).max_by_key(|check| state_of(&check.state));
        ask.cursor = page.next;
        if ask.cursor.is_none() {
            return Ok(worst.map(|check| rolled_up(&[check])));
        }
    }
}

/// Worst of several checks: down before unknown before degraded before up, so that what is not known is never hidden by what is well.
pub fn rolled_up(checks: &[Record]) -> (HealthState, String) {
    let worst = checks.iter().max_by_key(|c| state_of(&c.state));
    let Some(worst) = worst else { return (HealthState::Unknown, "nothing is measured".into()) };
    let state = match state_of(&worst.state) {
        probe::State::Ok => HealthState::Up,
        probe::State::Warning => HealthState::Degraded,
        probe::State::Critical => HealthState::Down,
        probe::State::Unknown => HealthState::Unknown,
    };
    let summary = worst.text("last_summary");
    let reason = if summary.is_empty() {
        format!("{}: not measured yet", worst.key)
    } else {
        format!("{}: {summary}", worst.key)
    };
    (state, reason)
}

/// Keeps one alert for each check that is not well: raised, renewed, resolved. UNKNOWN raises one too, and never resolves one.
pub struct Raise;

#[async_trait]
impl Controller for Raise {
    fn name(&self) -> &'static str {
        "watch.raise"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["check"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let check = cx.kernel.backend().get(cx.tenant, id).await?;
        let Some(check) = check else { return Ok(Looked::settled("it is not there")) };
        let fingerprint = format!("check:{}", check.key);
        let ask = ListAsk {
            filter: format!("fingerprint:\"{fingerprint}\""),
            sort: "-updated".into(),
            limit: 1,
            ..ListAsk::default()
        };
        let alert = cx.kernel.list(&cx.session, "alert", &ask).await?.records.into_iter().next();
        let decision = decide(&check, alert.as_ref());
        match &decision {
            Decision::Nothing(_) => {}
            Decision::Raise(severity) => {
                cx.kernel.act(&cx.session, Create::of("alert", alert_fields(&check, severity, &fingerprint))).await?;
            }
            Decision::Refire(severity) => {
                let Some(alert) = alert else { return Ok(Looked::settled("it is gone")) };
                let fields = again_fields(&check, severity, alert.int("count").unwrap_or(1) + 1, cx.kernel.now());
                let name = "refire".to_owned();
                cx.kernel
                    .act(
                        &cx.session,
                        Act::Transition { target: Target::Id(alert.id), name, fields, note: None, expect: None },
                    )
                    .await?;
            }
            Decision::Renew(severity) => {
                let Some(alert) = alert else { return Ok(Looked::settled("it is gone")) };
                let mut fields = again_fields(&check, severity, alert.int("count").unwrap_or(1), cx.kernel.now());
                fields.shift_remove("started_at");
                cx.kernel
                    .act(&cx.session, Act::Update { target: Target::Id(alert.id), fields, owner: None, expect: None })
                    .await?;
            }
            Decision::Resolve => {
                let Some(alert) = alert else { return Ok(Looked::settled("it is gone")) };
                let note = Some(format!("{} is OK: {}", check.key, check.text("last_summary")));
                cx.kernel
                    .act(
                        &cx.session,
                        Act::Transition {
                            target: Target::Id(alert.id),
                            name: "resolve".into(),
                            fields: Map::new(),
                            note,
                            expect: None,
                        },
                    )
                    .await?;
            }
        }
        Ok(Looked::settled(format!("{}: {decision:?}", check.key)))
    }
}

/// What is to become of the alert of a check; the variant is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, and why.
    Nothing(&'static str),
    /// A first alert, of this severity.
    Raise(String),
    /// The resolved one fires again.
    Refire(String),
    /// The firing one has another severity or summary.
    Renew(String),
    /// It is well again.
    Resolve,
}

/// Decides about the alert of a check as both are now.
pub fn decide(check: &Record, alert: Option<&Record>) -> Decision {
    let state = state_of(&check.state);
    let firing = alert.filter(|a| a.state == "firing");
    let gone = check.deleted || check.get("enabled").and_then(Value::as_bool) == Some(false);
    match (state, firing) {
        (_, Some(_)) if gone => Decision::Resolve,
        (_, None) if gone => Decision::Nothing("not asked"),
        (probe::State::Ok, Some(_)) => Decision::Resolve,
        (probe::State::Ok, None) => Decision::Nothing("well"),
        // A check that has never been measured is no news.
        (probe::State::Unknown, None) if check.get("last_checked").is_none() => Decision::Nothing("not measured yet"),
        (_, firing) => {
            let severity = severity_of(check);
            match (firing, alert) {
                (Some(a), _) if a.text("severity") == severity && a.text("summary") == check.text("last_summary") => {
                    Decision::Nothing("firing already")
                }
                (Some(_), _) => Decision::Renew(severity),
                (None, Some(_)) => Decision::Refire(severity),
                (None, None) => Decision::Raise(severity),
            }
        }
    }
}

/// CRITICAL has the severity of the check, WARNING one step less, UNKNOWN is a warning of its own kind.
fn severity_of(check: &Record) -> String {
    let steps = ["info", "minor", "major", "critical"];
    let declared = steps.iter().position(|s| *s == check.text("severity")).unwrap_or(2);
    let step = match state_of(&check.state) {
        probe::State::Critical => declared,
        _ => declared.saturating_sub(1),
    };
    steps[step].to_owned()
}

fn alert_fields(check: &Record, severity: &str, fingerprint: &str) -> Value {
    let mut fields = json!({
        "title": format!("{} is {}", check.title, check.state), "severity": severity, "summary": check.text("last_summary"), "fingerprint": fingerprint,
        "source": "check", "labels": {"check": check.key, "state": check.state}, "started_at": check.state_since, "last_seen": check.state_since, "from": check.key,
    });
    if let (Some(on), Some(object)) = (check.get("on"), fields.as_object_mut()) {
        object.insert("about".into(), on.clone());
    }
    fields
}

fn again_fields(check: &Record, severity: &str, count: i64, now: kernel::Time) -> Map<String, Value> {
    let fields = json!({
        "title": format!("{} is {}", check.title, check.state), "severity": severity, "summary": check.text("last_summary"),
        "labels": {"check": check.key, "state": check.state}, "started_at": check.state_since, "last_seen": now, "count": count,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
