//! Resolves an incident when everything that opened it is well again; only what was opened by alerts, never what a person opened.

use async_trait::async_trait;
use kernel::act::{Act, Target};
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
        well.push(neighbour.other.title);
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
    match cx.kernel.act(&cx.session, act).await {
        // The alert's own controller was first, or a person: the next look sees what they made of it.
        Err(ActError::Stale { .. }) => return Ok(Looked::settled(format!("{} has changed meanwhile", incident.key))),
        other => drop(other?),
    }
    Ok(Looked::settled(format!("{} resolved", incident.key)))
}
