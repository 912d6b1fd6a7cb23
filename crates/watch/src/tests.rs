//! What holds for every class of this verb, and the life cycle of a check as a table.

use expect_test::expect_file;
use kernel::define::proof::{outline, round_trip, unfinished};
use kernel::{ClassDef, Verb};
use serde_json::{Map, Value, json};

use crate::{
    alert::Alert, check::Check, dashboard::Dashboard, maintenance_window::MaintenanceWindow, rule::Rule,
    silence::Silence,
};

fn class(name: &str) -> ClassDef {
    super::domain().classes.into_iter().find(|c| c.name.as_str() == name).expect("a class of this domain")
}

fn fields(given: Value) -> Map<String, Value> {
    serde_json::from_value(given).unwrap()
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
    let verb = Verb::Watch;
    let all = [
        round_trip::<Check>(verb),
        round_trip::<Rule>(verb),
        round_trip::<Alert>(verb),
        round_trip::<Silence>(verb),
        round_trip::<MaintenanceWindow>(verb),
        round_trip::<Dashboard>(verb),
    ];
    assert_eq!(all.len(), super::domain().classes.len());
    for result in all {
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn only_a_measurement_moves_a_check() {
    let check = class("check");
    assert_eq!(check.initial_state(), "UNKNOWN");
    for (step, state, open, why) in [
        ("ok", "OK", false, "nothing to do about it"),
        ("warning", "WARNING", true, "somebody should look"),
        ("critical", "CRITICAL", true, "somebody must act"),
        ("unknown", "UNKNOWN", true, "not knowing is never fine"),
    ] {
        let step = check.transition(step).expect("the four steps of a check");
        assert!(step.machine && step.from.is_empty(), "{}: Mainstay itself, from any state", step.name);
        assert_eq!((step.to.as_deref(), check.is_open(state)), (Some(state), open), "{why}");
    }
    assert_eq!(check.transitions.len(), 4);
}

#[test]
fn a_check_needs_no_more_than_a_protocol() {
    let filled =
        kernel::validate::fields(&class("check"), fields(json!({"protocol": "icmp", "target": "192.0.2.1"}))).unwrap();
    let check: Check = serde_json::from_value(Value::Object(filled)).unwrap();
    assert_eq!((check.interval, check.timeout, check.retries), (kernel::Dur::seconds(30), kernel::Dur::seconds(5), 1));
    assert_eq!(check.retry_after(), kernel::Dur::seconds(6));
    let refused =
        kernel::validate::fields(&class("check"), fields(json!({"protocol": "icmp", "interval": "0"}))).unwrap_err();
    assert_eq!(refused[0].to_string(), "interval: must be longer than 0");
}

#[test]
fn a_silence_ends_some_day() {
    for (given, ok, why) in [
        (json!({"reason": "r", "matcher": "m"}), false, "it would be forgotten"),
        (json!({"reason": "r", "matcher": "m", "until_recovery": true}), true, "it ends by recovery"),
        (json!({"reason": "r", "matcher": "m", "until": "2026-11-21T03:12:09Z"}), true, "it ends by time"),
    ] {
        assert_eq!(kernel::validate::fields(&class("silence"), fields(given)).is_ok(), ok, "{why}");
    }
}
