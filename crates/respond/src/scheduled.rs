//! Runbooks that start by themselves at stated times: rounds, clean-ups, restore tests.
//!
//! A time that passed while Mainstay was not running is made up for once, when it is not long ago; older ones are told as missed.

use async_trait::async_trait;
use kernel::act::{Act, Create};
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::schedule::Schedule;
use kernel::{Id, Record, Time};
use serde_json::json;
use std::time::Duration;

/// How long after its time a run is still started.
const CATCH_UP: Duration = Duration::from_secs(15 * 60);

/// Starts runbooks at their times.
pub struct Scheduled;

#[async_trait]
impl Controller for Scheduled {
    fn name(&self) -> &'static str {
        "respond.scheduled"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["runbook"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let runbook = cx.kernel.get_id(&cx.session, id).await?;
        match decide(&runbook, cx.kernel.now()) {
            Decision::Never(why) => Ok(Looked::settled(format!("{}: {why}", runbook.key))),
            Decision::Wait(next) => Ok(Looked::again(next, format!("{} is due at {next}", runbook.key))),
            Decision::Start { at, next } => {
                let once = format!("schedule:{}:{at}", runbook.id);
                let title = format!("{}, due at {at}", runbook.title);
                let fields = json!({"title": title, "runbook": runbook.key, "reason": "it was due", "once": once});
                cx.kernel
                    .acts(&cx.session, vec![Act::Create(Create::of("runbook-run", fields))], Some((once, [0; 32])))
                    .await?;
                let reason = format!("{} started: it was due at {at}", runbook.key);
                Ok(next.map_or_else(|| Looked::settled(reason.clone()), |next| Looked::again(next, reason.clone())))
            }
        }
    }
}

/// What is to be done about a runbook's schedule; the variant is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It has no schedule, is not active, or its schedule has ended.
    Never(&'static str),
    /// Its next time.
    Wait(Time),
    /// It is due since `at`.
    Start {
        /// The time that it was due.
        at: Time,
        /// The time after that.
        next: Option<Time>,
    },
}

/// Decides about a runbook at `now`; a run is due from its time on, once, and not before the runbook had that schedule.
pub fn decide(runbook: &Record, now: Time) -> Decision {
    let text = runbook.text("schedule");
    if text.is_empty() {
        return Decision::Never("it has no schedule");
    }
    if runbook.state != "active" {
        return Decision::Never("it is not active");
    }
    let zone = if runbook.text("timezone").is_empty() { "UTC" } else { runbook.text("timezone") };
    let Ok(schedule) = Schedule::parse(text, zone) else { return Decision::Never("its schedule cannot be read") };
    let from = now.minus(CATCH_UP).max(runbook.updated);
    let due = schedule.between(from, now.plus(Duration::from_micros(1)), 10_000).pop();
    let next = schedule.next_after(now);
    match (due, next) {
        (Some(at), next) => Decision::Start { at, next },
        (None, Some(next)) => Decision::Wait(next),
        (None, None) => Decision::Never("its schedule has ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    #[test]
    fn a_run_is_due_once_and_not_long_after_its_time() {
        let runbook = record("runbook", "active", json!({"schedule": "0 3 * * *", "timezone": "UTC"}));
        let at = |text: &str| Time::parse(text).unwrap();
        let three = at("2026-11-21T03:00:00Z");
        let next = Some(at("2026-11-22T03:00:00Z"));
        for (now, decision, why) in [
            ("2026-11-21T02:59:00Z", Decision::Wait(three), "its time is yet to come"),
            ("2026-11-21T03:00:00Z", Decision::Start { at: three, next }, "at its time"),
            ("2026-11-21T03:10:00Z", Decision::Start { at: three, next }, "made up for after a standstill"),
            ("2026-11-21T03:20:00Z", Decision::Wait(at("2026-11-22T03:00:00Z")), "too long ago"),
        ] {
            assert_eq!(decide(&runbook, at(now)), decision, "{why}");
        }
        assert!(matches!(
            decide(&record("runbook", "paused", json!({"schedule": "@daily"})), three),
            Decision::Never(_)
        ));
    }
}
