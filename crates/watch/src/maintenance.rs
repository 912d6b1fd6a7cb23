//! Maintenance windows at work: begin and end by time, and what they cover.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::backend::JournalQuery;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::link::{Direction, Side, Walk};
use kernel::read::ListAsk;
use kernel::schedule::Schedule;
use kernel::{HealthState, Id, Record, Time};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// The link from a window to what is worked on.
const COVERS: &str = "covers";
/// Links followed from what is covered to what needs it, at most.
const DEPTH: u32 = 4;
/// Entries of a window that are read for links that are gone.
const ENTRIES_READ: usize = 500;

/// The active window that covers a record, itself or through what it needs; the first found.
///
/// # Errors
/// What the kernel says.
pub async fn covering(cx: &Cx, record: &Record) -> Result<Option<Record>, ActError> {
    let types = cx.kernel.registry().impact_links();
    let walk = Walk { direction: Direction::Down, depth: DEPTH, limit: 200, types };
    let graph = cx.kernel.backend().walk(cx.tenant, record.id, &walk).await?;
    for node in &graph.nodes {
        for neighbour in cx.kernel.backend().neighbours(cx.tenant, node.head.id).await? {
            let covers = neighbour.name == COVERS && neighbour.direction == Side::In;
            if !covers || neighbour.other.kind.as_str() != "maintenance-window" || neighbour.other.state != "active" {
                continue;
            }
            if let Some(window) = cx.kernel.backend().get(cx.tenant, neighbour.other.id).await?
                && (node.depth == 0 || window.flag("with_dependents"))
            {
                return Ok(Some(window));
            }
        }
    }
    Ok(None)
}

/// Begins and ends windows at their times, also those that repeat.
pub struct Windows;

#[async_trait]
impl Controller for Windows {
    fn name(&self) -> &'static str {
        "watch.windows"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["maintenance-window"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        // A window that was deleted while it was active sets free what it covered, so tombstones are read too.
        let Some(window) = cx.kernel.backend().get(cx.tenant, id).await? else {
            return Ok(Looked::settled("it is not there"));
        };
        let decision = if window.deleted { Decision::Nothing } else { decide(&window, cx.kernel.now()) };
        if let Some(name) = decision.step() {
            let target = Target::Id(id);
            let (name, fields, expect) = (name.to_owned(), Map::new(), Some(window.version));
            cx.kernel.act(&cx.session, Act::Transition { target, name, fields, note: None, expect }).await?;
        }
        // Whatever was done to it, its links included: what it covers, or did, has the health that follows from it now.
        if decision.step().is_some() || window.state == "active" || cx.session.cause().is_some() {
            for covered in covered_lately(cx, &window).await? {
                bring_in_line(cx, covered).await?;
            }
        }
        Ok(match decision {
            Decision::Wait(at) => Looked::again(at, format!("{} waits for {at}", window.key)),
            Decision::Nothing => Looked::settled(format!("{} is {}", window.key, window.state)),
            done => Looked::settled(format!("{}: {done:?}", window.key)),
        })
    }
}

/// What a window covers, and what its latest entries say that it covered before.
async fn covered_lately(cx: &Cx, window: &Record) -> Result<BTreeSet<Id>, ActError> {
    let backend = cx.kernel.backend();
    let links = backend.neighbours(cx.tenant, window.id).await?;
    let mut covered: BTreeSet<Id> =
        links.iter().filter(|n| n.name == COVERS && n.direction == Side::Out).map(|n| n.other.id).collect();
    let query = JournalQuery {
        tenant: Some(cx.tenant),
        subject: Some(window.id),
        before: Some(backend.head().await? + 1),
        limit: ENTRIES_READ,
        ..JournalQuery::default()
    };
    let entries = backend.journal(&query).await?;
    let gone: BTreeSet<&str> = entries.iter().filter_map(|e| e.before.get(COVERS)).filter_map(Value::as_str).collect();
    for key in gone {
        covered.extend(backend.by_key(cx.tenant, key).await?.filter(|r| !r.deleted).map(|r| r.id));
    }
    Ok(covered)
}

/// Brings the health of a record, and of what needs it, in line with the windows that cover it now. What nothing measures has no
/// health, in maintenance neither.
async fn bring_in_line(cx: &Cx, covered: Id) -> Result<(), ActError> {
    let types = cx.kernel.registry().impact_links();
    let walk = Walk { direction: Direction::Up, depth: DEPTH, limit: 500, types };
    for node in cx.kernel.backend().walk(cx.tenant, covered, &walk).await?.nodes {
        let links = cx.kernel.backend().neighbours(cx.tenant, node.head.id).await?;
        let check =
            links.iter().find(|n| n.name == "on" && n.direction == Side::In && n.other.kind.as_str() == "check");
        match check {
            Some(check) => drop(crate::controllers::Health.reconcile(cx, check.other.id).await?),
            None if node.head.kind.as_str() == "service" => {
                drop(crate::rollup::Rollup.service(cx, node.head.id).await?);
            }
            None => {}
        }
    }
    Ok(())
}

/// Follows links that appear or go while a window is active: what begins to need a covered record comes under the window with it.
pub struct Reach;

#[async_trait]
impl Controller for Reach {
    fn name(&self) -> &'static str {
        "watch.reach"
    }
    fn watches(&self) -> &'static [&'static str] {
        crate::rollup::NEEDED
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let Some(record) = cx.kernel.backend().get(cx.tenant, id).await?.filter(|r| !r.deleted) else {
            return Ok(Looked::settled("it is not there"));
        };
        let held = record.health.as_ref().is_some_and(|h| h.state == HealthState::Maintenance);
        let ask = ListAsk { filter: "state:active".into(), limit: 1, ..ListAsk::default() };
        let active = !cx.kernel.list(&cx.session, "maintenance-window", &ask).await?.records.is_empty();
        if !active && !held {
            return Ok(Looked::settled("no window is active"));
        }
        // A change may be one of its links, which what needs it feels too; a scan looks only for what does not fit.
        if cx.session.cause().is_some() || covering(cx, &record).await?.is_some() != held {
            bring_in_line(cx, id).await?;
        }
        Ok(Looked::settled(format!("{} is in line with the windows", record.key)))
    }
}

/// What a window is to do; the variant is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its time has come.
    Begin,
    /// This occurrence is over, another will come.
    Pause,
    /// It is over.
    Finish,
    /// Look again then.
    Wait(Time),
    /// Nothing more.
    Nothing,
}

impl Decision {
    /// The transition that it asks for.
    fn step(self) -> Option<&'static str> {
        match self {
            Self::Begin => Some("begin"),
            Self::Pause => Some("pause"),
            Self::Finish => Some("finish"),
            Self::Wait(_) | Self::Nothing => None,
        }
    }
}

/// Decides about a window as it is at `now`.
pub fn decide(window: &Record, now: Time) -> Decision {
    let time = |field: &str| window.get(field).and_then(Value::as_str).and_then(Time::parse);
    let (Some(start), Some(end)) = (time("start"), time("end")) else { return Decision::Nothing };
    let length = end.since(start);
    let occurrence = current_or_next(window, start, length, now);
    match (window.state.as_str(), occurrence) {
        ("planned", Some(at)) if at <= now => Decision::Begin,
        ("planned", Some(at)) => Decision::Wait(at),
        ("planned", None) => Decision::Finish,
        ("active", Some(at)) if at <= now => Decision::Wait(at.plus(length)),
        ("active", Some(_)) => Decision::Pause,
        ("active", None) => Decision::Finish,
        _ => Decision::Nothing,
    }
}

/// Start of the occurrence that is on at `now`, or of the next one.
fn current_or_next(window: &Record, start: Time, length: Duration, now: Time) -> Option<Time> {
    let rule = window.text("recurrence");
    if rule.is_empty() {
        return (now < start.plus(length)).then_some(start);
    }
    if now < start.plus(length) {
        return Some(start);
    }
    let zone = if window.text("timezone").is_empty() { "UTC" } else { window.text("timezone") };
    let wall = start.timestamp().in_tz(zone).ok()?.strftime("%Y%m%dT%H%M%S").to_string();
    let rule = rule.trim_start_matches("RRULE:");
    let schedule = Schedule::parse(&format!("DTSTART;TZID={zone}:{wall}\nRRULE:{rule}"), zone).ok()?;
    // The first that is not over yet.
    let mut from = now.minus(length);
    loop {
        let at = schedule.next_after(from)?;
        if at.plus(length) > now {
            return Some(at);
        }
        from = at;
    }
}
