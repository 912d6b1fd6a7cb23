//! Maintenance windows at work: begin and end by time, and what they cover.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::link::{Direction, Side, Walk};
use kernel::schedule::Schedule;
use kernel::{Id, Record, Time};
use serde_json::{Map, Value};
use std::time::Duration;

/// The active window that covers a record, itself or through what it needs; the first found.
///
/// # Errors
/// What the kernel says.
pub async fn covering(cx: &Cx, record: &Record) -> Result<Option<Record>, ActError> {
    let types = cx.kernel.registry().impact_links();
    let walk = Walk { direction: Direction::Down, depth: 4, limit: 200, types };
    let graph = cx.kernel.backend().walk(cx.tenant, record.id, &walk).await?;
    for node in &graph.nodes {
        for neighbour in cx.kernel.backend().neighbours(cx.tenant, node.head.id).await? {
            let covers = neighbour.name == "covers" && neighbour.direction == Side::In;
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
        let window = cx.kernel.get_id(&cx.session, id).await?;
        let now = cx.kernel.now();
        let decision = decide(&window, now);
        let step = |name: &str| Act::Transition {
            target: Target::Id(id),
            name: name.into(),
            fields: Map::new(),
            note: None,
            expect: Some(window.version),
        };
        match decision {
            Decision::Begin => drop(cx.kernel.act(&cx.session, step("begin")).await?),
            Decision::Pause => drop(cx.kernel.act(&cx.session, step("pause")).await?),
            Decision::Finish => drop(cx.kernel.act(&cx.session, step("finish")).await?),
            Decision::Wait(at) => return Ok(Looked::again(at, format!("{} waits for {at}", window.key))),
            Decision::Nothing => return Ok(Looked::settled(format!("{} is {}", window.key, window.state))),
        }
        // What it covers has another health now.
        for neighbour in cx.kernel.backend().neighbours(cx.tenant, id).await? {
            if neighbour.name == "covers" && neighbour.direction == Side::Out {
                touch_checks(cx, neighbour.other.id).await?;
            }
        }
        Ok(Looked::settled(format!("{}: {decision:?}", window.key)))
    }
}

/// Brings the health of a record, and of what needs it, in line with the window that began or ended.
async fn touch_checks(cx: &Cx, covered: Id) -> Result<(), ActError> {
    let types = cx.kernel.registry().impact_links();
    let walk = Walk { direction: Direction::Up, depth: 4, limit: 500, types };
    for node in cx.kernel.backend().walk(cx.tenant, covered, &walk).await?.nodes {
        for neighbour in cx.kernel.backend().neighbours(cx.tenant, node.head.id).await? {
            if neighbour.other.kind.as_str() == "check" && neighbour.direction == Side::In {
                crate::controllers::Health.reconcile(cx, neighbour.other.id).await?;
                break;
            }
        }
    }
    Ok(())
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
