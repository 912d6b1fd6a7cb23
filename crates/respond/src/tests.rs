//! What holds for every class of this verb, and the life cycles of incident and runbook run as tables.

use expect_test::expect_file;
use kernel::define::proof::{outline, round_trip, unfinished};
use kernel::{ClassDef, Verb};
use serde_json::{Map, Value, json};

use crate::calendar::Calendar;
use crate::channel::Channel;
use crate::escalation_policy::EscalationPolicy;
use crate::improvement_action::ImprovementAction;
use crate::incident::Incident;
use crate::known_error::KnownError;
use crate::notification::Notification;
use crate::on_call_schedule::OnCallSchedule;
use crate::priority::priority;
use crate::problem::Problem;
use crate::review::Review;
use crate::runbook::Runbook;
use crate::runbook_run::RunbookRun;
use crate::status_page::StatusPage;

fn class(name: &str) -> ClassDef {
    super::domain().classes.into_iter().find(|c| c.name.as_str() == name).expect("a class of this domain")
}

fn fields(given: Value) -> Map<String, Value> {
    serde_json::from_value(given).unwrap()
}

fn refusal(name: &str, given: Value) -> String {
    kernel::validate::fields(&class(name), fields(given)).unwrap_err()[0].to_string()
}

#[test]
fn every_class_is_finished() {
    let lacks: Vec<String> = super::domain().classes.iter().flat_map(unfinished).collect();
    assert!(lacks.is_empty(), "{}", lacks.join("\n"));
}

#[test]
fn the_shapes_are_as_they_were() {
    let all: String = super::domain().classes.iter().map(outline).collect();
    expect_file!["shapes.txt"].assert_eq(&all);
}

#[test]
fn a_filled_record_is_read_and_written_back_as_it_was() {
    let verb = Verb::Respond;
    let all = [
        round_trip::<Incident>(verb),
        round_trip::<Problem>(verb),
        round_trip::<KnownError>(verb),
        round_trip::<Runbook>(verb),
        round_trip::<RunbookRun>(verb),
        round_trip::<Calendar>(verb),
        round_trip::<OnCallSchedule>(verb),
        round_trip::<EscalationPolicy>(verb),
        round_trip::<Channel>(verb),
        round_trip::<Notification>(verb),
        round_trip::<StatusPage>(verb),
        round_trip::<Review>(verb),
        round_trip::<ImprovementAction>(verb),
    ];
    assert_eq!(all.len(), super::domain().classes.len());
    for result in all {
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn an_incident_goes_forward_by_any_step_and_back_only_by_a_relapse() {
    let incident = class("incident");
    let open = ["detected", "investigating", "contained", "recovering"];
    for (step, from, to, why) in [
        ("acknowledge", &open[..], None, "taking it says nothing about the phase"),
        ("investigate", &["detected", "contained", "recovering"], Some("investigating"), "a first idea may be wrong"),
        ("contain", &["detected", "investigating", "recovering"], Some("contained"), "nobody clicks through at three"),
        ("recover", &["detected", "investigating", "contained"], Some("recovering"), "nobody clicks through at three"),
        ("resolve", &open[..], Some("resolved"), "it may be over before anybody looked"),
        ("review", &["resolved"], Some("reviewed"), "what still runs cannot be reviewed"),
        ("reopen", &["resolved"], Some("detected"), "a relapse is the same incident"),
    ] {
        let found = incident.transition(step).expect("a step of an incident");
        assert_eq!(
            (found.from.as_slice(), found.to.as_deref()),
            (&from.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..], to),
            "{step}: {why}"
        );
        assert!(!found.machine, "{step}: people do it, too");
    }
    assert_eq!(incident.transitions.len(), 7);
    assert!(open.iter().all(|s| incident.is_open(s)) && !incident.is_open("resolved") && !incident.is_open("reviewed"));
    assert!(incident.transition("acknowledge").expect("a step of an incident").takes_owner);
}

#[test]
fn priority_follows_impact_and_urgency() {
    for (impact, urgency, expected) in [
        (Some("high"), Some("high"), 1),
        (Some("high"), Some("low"), 3),
        (Some("medium"), Some("high"), 2),
        (Some("low"), Some("medium"), 4),
        (Some("low"), Some("low"), 5),
        (None, None, 3),
    ] {
        let mut given = fields(json!({"impact": impact, "urgency": urgency}));
        priority(&mut given);
        assert_eq!(given["priority"], expected, "{impact:?} × {urgency:?}");
    }
}

#[test]
fn two_people_are_two_different_people() {
    let class = class("runbook-run");
    let guard = class.transition("approve").and_then(|t| t.guard).expect("approval is guarded");
    for (needed, first, second, ok) in [
        (None, None, "ana", false),
        (Some(1), None, "ana", true),
        (Some(2), None, "ana", false),
        (Some(2), Some("ana"), "ana", false),
        (Some(2), Some("ben"), "ana", true),
    ] {
        let run: kernel::Record = serde_json::from_value(json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": 1, "kind": "runbook-run", "key": "RUN-1", "state": "approved",
            "open": true, "state_since": "2026-11-21T03:12:09Z", "title": "RUN-1", "owner": null, "health": null, "version": 1,
            "created": "2026-11-21T03:12:09Z", "updated": "2026-11-21T03:12:09Z", "deleted": false,
            "fields": {"approvals_needed": needed, "endorsed_by": first, "approved_by": second},
        }))
        .unwrap();
        assert_eq!(guard(&run).is_ok(), ok, "{needed:?} needed, {first:?} then {second}");
    }
}

#[test]
fn the_runbook_of_the_contract_is_accepted_as_written() {
    let spec = json!({
        "parameters": {"unit": {"type": "text", "default": "nginx.service"}}, "approval": "none",
        "steps": [{"run": ["systemctl", "restart", "{{ unit }}"], "timeout": "30s"}, {"check": "shop-front", "within": "20s"}],
        "when": {"check": "shop-front", "state": "CRITICAL"},
    });
    let clean = kernel::validate::fields(&class("runbook"), fields(spec)).unwrap();
    let runbook: Runbook = serde_json::from_value(Value::Object(clean)).unwrap();
    assert_eq!((runbook.steps.len(), runbook.limits.max_per_hour), (2, 3));
}

#[test]
fn what_would_fail_at_night_is_refused_by_day() {
    assert_eq!(
        refusal("runbook", json!({"steps": [{"run": ["true"], "check": "web"}]})),
        "steps.0: needs exactly one of run, check and ask"
    );
    assert_eq!(
        refusal(
            "escalation-policy",
            json!({"title": "t", "steps": [{"after": "10m", "notify": ["ana"]}, {"after": "5m", "notify": ["ben"]}]})
        ),
        "steps.1.after: must be at least 10m, as in the step before"
    );
    assert_eq!(
        refusal(
            "on-call-schedule",
            json!({"title": "t", "layers": [{"name": "all", "people": ["ana"], "hand_off": "25:00"}]})
        ),
        "layers.0.hand_off: must be a time of day from 00:00 to 23:59"
    );
    assert!(refusal("on-call-schedule", json!({"title": "t", "timezone": "Mars/Olympus"})).starts_with("timezone: "));
    assert!(refusal("calendar", json!({"title": "t", "monday": ["9 to 5"]})).starts_with("monday"));
}
