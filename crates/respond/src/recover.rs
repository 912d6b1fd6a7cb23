//! Resolves an incident when everything that opened it is well again; only what was opened by alerts, never what a person opened.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::backend::JournalQuery;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::link::Side;
use kernel::{Id, Record};
use serde_json::{Map, Value, json};

/// Looks at open incidents for truth: a recovery that was missed is found by the scan.
pub struct Recover;

#[async_trait]
impl Controller for Recover {
    fn name(&self) -> &'static str {
        "respond.recover"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["incident"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let incident = cx.kernel.get_id(&cx.session, id).await?;
        recover(cx, &incident).await
    }
}

/// The entry by which the last of these alerts was resolved. That is why an incident is over, whatever woke us: a note
/// that came in the same moment is not.
async fn recovered_by(cx: &Cx, alerts: &[Id]) -> Result<Option<u64>, ActError> {
    /// A resolved alert has been resolved within its last entries.
    const LAST: usize = 10;
    let mut newest = None;
    for alert in alerts {
        let query = JournalQuery {
            tenant: Some(cx.tenant),
            subject: Some(*alert),
            before: Some(i64::MAX as u64),
            limit: LAST,
            ..JournalQuery::default()
        };
        let entries = cx.kernel.backend().journal(&query).await?;
        let resolved = entries.iter().find(|entry| entry.action == "resolve").map(|entry| entry.seq);
        newest = newest.max(resolved);
    }
    Ok(newest)
}

/// Resolves `incident` if all its alerts are resolved.
///
/// # Errors
/// What the kernel says.
pub async fn recover(cx: &Cx, incident: &Record) -> Result<Looked, ActError> {
    if !incident.open {
        return Ok(Looked::settled("over already"));
    }
    let mut well = Vec::new();
    for neighbour in cx.kernel.backend().neighbours(cx.tenant, incident.id).await? {
        if neighbour.name != "part-of" || neighbour.direction != Side::In || neighbour.other.kind.as_str() != "alert" {
            continue;
        }
        if neighbour.other.state == "firing" {
            return Ok(Looked::settled(format!("{} still fires", neighbour.other.key)));
        }
        well.push(neighbour.other.id);
    }
    if well.is_empty() {
        return Ok(Looked::settled("no alert opened it: a person resolves it"));
    }
    let resolution = "The checks that raised it are well again.";
    let fields = match json!({"resolution": resolution}) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let act = Act::Transition {
        target: Target::Id(incident.id),
        name: "resolve".into(),
        fields,
        note: Some(resolution.into()),
        expect: Some(incident.version),
    };
    let session = recovered_by(cx, &well).await?.map_or_else(|| cx.session.clone(), |seq| cx.session.because(seq));
    match cx.kernel.act(&session, act).await {
        // The alert's own controller was first, or a person: the next look sees what they made of it.
        Err(ActError::Stale { .. }) => return Ok(Looked::settled(format!("{} has changed meanwhile", incident.key))),
        other => drop(other?),
    }
    Ok(Looked::settled(format!("{} resolved", incident.key)))
}
