//! Folds alerts into incidents: one incident for one fingerprint, and a relapse reopens it instead of making a second.
//!
//! The incident names what is broken, the machine it runs on and what depends on it, from one walk over the graph. Silences and
//! maintenance hold an alert back; what is held back is told on the alert, and looked at again when the hold ends.

use async_trait::async_trait;
use kernel::act::{Act, Create, Target};
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::link::{Direction, Node, Side, Walk};
use kernel::read::ListAsk;
use kernel::{Id, Record, Time};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A fingerprint that comes back within this time after the incident was resolved reopens it.
pub const RELAPSE: Duration = Duration::from_secs(24 * 3600);

/// Folds alerts into incidents.
pub struct Fold;

#[async_trait]
impl Controller for Fold {
    fn name(&self) -> &'static str {
        "respond.fold"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["alert"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let alert = cx.kernel.get_id(&cx.session, id).await?;
        let incident = incident_of(cx, &alert).await?;
        let held = if alert.state == "firing" { crate::hold::held_back(cx, &alert).await? } else { None };
        let decision = decide(&alert, incident.as_ref(), held.as_ref().map(|h| h.by.as_str()), cx.kernel.now());
        match (&decision, incident) {
            (Decision::Open, _) => open(cx, &alert).await?,
            (Decision::Reopen, Some(incident)) => reopen(cx, &alert, &incident).await?,
            (Decision::Recover, Some(incident)) => {
                let looked = crate::recover::recover(cx, &incident).await?;
                return Ok(Looked::settled(format!("{}: {}", alert.key, looked.reason)));
            }
            (Decision::Hold, _) => {
                let by = held.as_ref().map(|h| h.by.clone()).unwrap_or_default();
                if alert.text("suppressed_by") != by {
                    let fields = Map::from_iter([("suppressed_by".to_owned(), Value::from(by))]);
                    cx.kernel
                        .act(&cx.session, Act::Update { target: Target::Id(id), fields, owner: None, expect: None })
                        .await?;
                }
            }
            _ => {}
        }
        let reason = format!("{}: {decision:?}", alert.key);
        Ok(match held {
            Some(held) => {
                Looked::again(held.until.unwrap_or_else(|| cx.kernel.now().plus(Duration::from_secs(60))), reason)
            }
            None => Looked::settled(reason),
        })
    }
}

/// What is to become of an alert; the variant is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A first incident.
    Open,
    /// Its incident was resolved a short while ago.
    Reopen,
    /// It is in an open incident already.
    Folded,
    /// A silence or maintenance holds it back.
    Hold,
    /// It is well again: perhaps the incident is over.
    Recover,
    /// It is not bad enough for an incident.
    TooMild,
    /// Well, and no incident of its own.
    Nothing,
}

/// Decides about an alert and the latest incident of its fingerprint as they are at `now`.
pub fn decide(alert: &Record, incident: Option<&Record>, held_by: Option<&str>, now: Time) -> Decision {
    if alert.state != "firing" {
        return if incident.is_some_and(|i| i.open) { Decision::Recover } else { Decision::Nothing };
    }
    if incident.is_some_and(|i| i.open) {
        return Decision::Folded;
    }
    if held_by.is_some() {
        return Decision::Hold;
    }
    if matches!(alert.text("severity"), "info" | "minor") {
        return Decision::TooMild;
    }
    match incident {
        Some(i) if i.state == "resolved" && now.since(i.state_since) <= RELAPSE => Decision::Reopen,
        _ => Decision::Open,
    }
}

/// The latest incident of an alert's fingerprint.
async fn incident_of(cx: &Cx, alert: &Record) -> Result<Option<Record>, ActError> {
    let fingerprint = alert.text("fingerprint").replace('"', "");
    if fingerprint.is_empty() {
        return Ok(None);
    }
    let ask = ListAsk {
        filter: format!("fingerprint:\"{fingerprint}\""),
        sort: "-created".into(),
        limit: 1,
        ..ListAsk::default()
    };
    Ok(cx.kernel.list(&cx.session, "incident", &ask).await?.records.into_iter().next())
}

/// What an alert is about, what that runs on, and what needs it.
#[derive(Default)]
struct Around {
    about: Option<Record>,
    machines: Vec<Node>,
    needed_by: Vec<Node>,
}

async fn around(cx: &Cx, alert: &Record) -> Result<Around, ActError> {
    let about = alert.text("about");
    if about.is_empty() {
        return Ok(Around::default());
    }
    let Ok(about) = cx.kernel.find(&cx.session, about).await else { return Ok(Around::default()) };
    let walk = |direction, types: Vec<String>| Walk { direction, depth: 5, limit: 200, types };
    let down = cx
        .kernel
        .backend()
        .walk(cx.tenant, about.id, &walk(Direction::Down, vec!["runs-on".into(), "part-of".into()]))
        .await?;
    let up = cx
        .kernel
        .backend()
        .walk(cx.tenant, about.id, &walk(Direction::Up, cx.kernel.registry().impact_links()))
        .await?;
    let rest = |nodes: Vec<Node>| nodes.into_iter().filter(|n| n.depth > 0).collect();
    Ok(Around { machines: rest(down.nodes), needed_by: rest(up.nodes), about: Some(about) })
}

async fn open(cx: &Cx, alert: &Record) -> Result<(), ActError> {
    let around = around(cx, alert).await?;
    let mut create = Create::of("incident", incident_fields(alert, &around));
    let ends = around
        .about
        .iter()
        .map(|r| r.id)
        .chain(around.machines.iter().map(|n| n.head.id))
        .chain(around.needed_by.iter().take(50).map(|n| n.head.id));
    for id in ends {
        create = create.linked("affects", id);
    }
    let incident = Id::new(cx.kernel.now());
    create.id = Some(incident);
    let link = Act::Link { from: Target::Id(alert.id), name: "part-of".into(), to: Target::Id(incident) };
    // The same alert entry never opens two incidents, whatever happens between commit and cursor.
    let once = format!("fold:{}:{}", alert.id, alert.state_since);
    cx.kernel.acts(&cx.session, vec![Act::Create(create), link], Some((once, [0; 32]))).await?;
    Ok(())
}

fn incident_fields(alert: &Record, around: &Around) -> Value {
    let machine = around.machines.first().map(|n| format!(" on {}", n.head.title)).unwrap_or_default();
    let summary = alert.text("summary");
    let title = match &around.about {
        Some(about) if summary.is_empty() => format!("{}{machine}: {}", about.title, alert.title),
        Some(about) => format!("{}{machine}: {summary}", about.title),
        None => alert.title.clone(),
    };
    let needed: Vec<String> =
        around.needed_by.iter().take(20).map(|n| format!("{} ({})", n.head.title, n.head.kind)).collect();
    let mut description = format!("{}: {summary}", alert.title);
    if !needed.is_empty() {
        description.push_str(&format!("\nNeeded by: {}", needed.join(", ")));
    }
    let services = around.needed_by.iter().filter(|n| n.head.kind.as_str() == "service").count();
    json!({
        "title": title.chars().take(200).collect::<String>(), "description": description, "fingerprint": alert.text("fingerprint"), "source": alert.text("source"),
        "impact": if services > 0 { "high" } else { "medium" }, "urgency": if alert.text("severity") == "critical" { "high" } else { "medium" },
        "started_at": alert.text("started_at"), "detected_at": alert.created,
    })
}

async fn reopen(cx: &Cx, alert: &Record, incident: &Record) -> Result<(), ActError> {
    let note = Some(format!("{} again: {}", alert.key, alert.text("summary")));
    let mut acts = vec![Act::Transition {
        target: Target::Id(incident.id),
        name: "reopen".into(),
        fields: Map::new(),
        note,
        expect: Some(incident.version),
    }];
    let links = cx.kernel.backend().neighbours(cx.tenant, alert.id).await?;
    if !links.iter().any(|n| n.name == "part-of" && n.direction == Side::Out) {
        acts.push(Act::Link { from: Target::Id(alert.id), name: "part-of".into(), to: Target::Id(incident.id) });
    }
    cx.kernel.acts(&cx.session, acts, None).await?;
    Ok(())
}
