//! Records as tests need them: no store, no clock.

use kernel::{Id, Kind, Record, TenantId, Time};
use serde_json::Value;

/// A record of a class in a state with these fields, created at 2026-11-01T09:00:00Z.
pub fn record(kind: &str, state: &str, fields: Value) -> Record {
    let created = Time::parse("2026-11-01T09:00:00Z").unwrap();
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    Record {
        id: Id::new(created),
        tenant: TenantId::HOME,
        kind: Kind::new(kind),
        key: format!("{kind}-1"),
        open: !matches!(state, "resolved" | "reviewed"),
        state: state.into(),
        state_since: created,
        title: "nginx".into(),
        owner: None,
        health: None,
        version: 1,
        created,
        updated: created,
        deleted: false,
        fields,
    }
}

mod decisions {
    use super::record;
    use crate::escalate::{self, Rung};
    use crate::fold::{self, Decision, RELAPSE};
    use kernel::Time;
    use serde_json::json;
    use std::time::Duration;

    fn begun() -> Time {
        Time::parse("2026-11-01T09:00:00Z").unwrap()
    }

    #[test]
    fn what_becomes_of_an_alert() {
        let major = json!({"severity": "major"});
        let alert = |state: &str, fields| record("alert", state, fields);
        let incident = |state: &str| record("incident", state, json!({}));
        let table = [
            (alert("firing", major.clone()), None, None, Duration::ZERO, Decision::Open, "the first"),
            (
                alert("firing", major.clone()),
                Some(incident("detected")),
                None,
                Duration::ZERO,
                Decision::Folded,
                "one is open",
            ),
            (
                alert("firing", major.clone()),
                Some(incident("resolved")),
                None,
                Duration::ZERO,
                Decision::Reopen,
                "a relapse",
            ),
            (
                alert("firing", major.clone()),
                Some(incident("resolved")),
                None,
                RELAPSE + Duration::from_secs(1),
                Decision::Open,
                "too long ago for a relapse",
            ),
            (
                alert("firing", major.clone()),
                Some(incident("reviewed")),
                None,
                Duration::ZERO,
                Decision::Open,
                "a review is final",
            ),
            (alert("firing", major.clone()), None, Some("SIL-1"), Duration::ZERO, Decision::Hold, "silenced"),
            (
                alert("firing", json!({"severity": "minor"})),
                None,
                None,
                Duration::ZERO,
                Decision::TooMild,
                "nobody is woken for it",
            ),
            (
                alert("resolved", major.clone()),
                Some(incident("detected")),
                None,
                Duration::ZERO,
                Decision::Recover,
                "well again",
            ),
            (alert("resolved", major), None, None, Duration::ZERO, Decision::Nothing, "well, and nothing open"),
        ];
        for (alert, incident, held, later, decision, why) in table {
            assert_eq!(fold::decide(&alert, incident.as_ref(), held, begun().plus(later)), decision, "{why}");
        }
    }

    #[test]
    fn every_due_step_is_paged_until_somebody_takes_it() {
        let rungs: Vec<Rung> =
            [0, 5, 15].map(|m| Rung { after: Duration::from_secs(m * 60), notify: Vec::new() }).into();
        let at = |minutes: u64| begun().plus(Duration::from_secs(minutes * 60));
        let open = record("incident", "detected", json!({"detected_at": "2026-11-01T09:00:00Z"}));
        let taken = record(
            "incident",
            "detected",
            json!({"detected_at": "2026-11-01T09:00:00Z", "acknowledged_at": "2026-11-01T09:01:00Z"}),
        );
        for (incident, minute, decision, why) in [
            (&open, 0, escalate::Decision::Page { due: 1, next: Some(at(5)) }, "the first at once"),
            (&open, 7, escalate::Decision::Page { due: 2, next: Some(at(15)) }, "the second after five minutes"),
            (&open, 40, escalate::Decision::Page { due: 3, next: None }, "all that came due while we were down"),
            (&taken, 40, escalate::Decision::Taken, "somebody has it"),
        ] {
            assert_eq!(escalate::decide(incident, &rungs, at(minute)), decision, "{why}");
        }
    }

    #[test]
    fn the_brake_counts_the_last_hour() {
        let times: Vec<Time> = [0, 10, 50].map(|m| begun().plus(Duration::from_secs(m * 60))).into();
        let at = |m: u64| begun().plus(Duration::from_secs(m * 60));
        assert!(!crate::remediate::within_brake(&times, 3, at(55)), "three within the hour");
        assert!(crate::remediate::within_brake(&times, 3, at(61)), "the first has left the hour");
    }

    #[test]
    fn a_runbook_is_for_its_check_and_state() {
        let runbook = |when| record("runbook", "active", json!({"when": when}));
        assert!(crate::remediate::fits(&runbook(json!({"check": "shop-front", "state": "CRITICAL"})), "shop-front"));
        assert!(!crate::remediate::fits(&runbook(json!({"check": "shop-front", "state": "WARNING"})), "shop-front"));
        assert!(!crate::remediate::fits(&runbook(json!({"check": "other"})), "shop-front"));
        assert!(!crate::remediate::fits(&record("runbook", "active", json!({})), "shop-front"));
    }
}
