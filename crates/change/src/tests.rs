//! What holds for every class of this verb, and the life cycle of a change as a table.

use expect_test::expect_file;
use kernel::Verb;
use kernel::define::proof::{outline, round_trip, unfinished};
use kernel::{ClassDef, Record};
use serde_json::{Value, json};

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
    let verb = Verb::Change;
    let all = [
        round_trip::<crate::change::Change>(verb),
        round_trip::<crate::release::Release>(verb),
        round_trip::<crate::deployment::Deployment>(verb),
        round_trip::<crate::patch::Patch>(verb),
        round_trip::<crate::project::Project>(verb),
        round_trip::<crate::task::Task>(verb),
    ];
    assert_eq!(all.len(), super::domain().classes.len());
    for result in all {
        assert_eq!(result, Ok(()));
    }
}

fn class(name: &str) -> ClassDef {
    super::domain().classes.into_iter().find(|c| c.name.as_str() == name).expect("a class of this domain")
}

fn record(kind: &str, fields: Value) -> Record {
    serde_json::from_value(json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": 1, "kind": kind, "key": "CHG-1", "state": "draft", "open": true,
        "state_since": "2026-11-21T03:12:09Z", "title": "A change", "owner": null, "health": null, "version": 1,
        "created": "2026-11-21T03:12:09Z", "updated": "2026-11-21T03:12:09Z", "deleted": false, "fields": fields,
    }))
    .unwrap()
}

#[test]
fn a_change_goes_from_draft_to_closed_and_back_out() {
    let change = class("change");
    for (step, from, to, why) in [
        ("approve", &["assessing", "awaiting-approval", "draft"][..], "approved", "who may approve need not be asked"),
        ("schedule", &["draft", "approved", "scheduled"], "scheduled", "a time can be moved"),
        (
            "start",
            &["draft", "assessing", "approved", "scheduled"],
            "implementing",
            "an emergency starts from anywhere",
        ),
        ("complete", &["implementing"], "implemented", "done is not yet good"),
        ("back-out", &["implementing", "implemented"], "backed-out", "also after it looked done"),
        ("close", &["implemented", "backed-out"], "closed", "both are looked at"),
    ] {
        let found = change.transition(step).expect("a step of a change");
        let from: Vec<String> = from.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!((&found.from, found.to.as_deref()), (&from, Some(to)), "{step}: {why}");
    }
    assert!(change.is_open("implemented"), "somebody still has to look how it went");
    assert!(change.transition("close").expect("a step of a change").requires.contains(&"verdict".to_owned()));
}

#[test]
fn nothing_is_altered_that_nobody_agreed_to() {
    let change = class("change");
    let guard = |step: &str| change.transition(step).and_then(|t| t.guard).expect("a guarded step");
    let plans = json!({"kind": "normal", "plan": "p", "test_plan": "t", "back_out_plan": "b"});
    for (step, fields, ok, why) in [
        ("approve", json!({"kind": "normal"}), false, "there is nothing to agree to"),
        ("approve", plans.clone(), true, "all three plans are there"),
        ("start", plans, false, "nobody agreed"),
        ("start", json!({"kind": "normal", "approved_by": "ana"}), true, "ana agreed"),
        ("start", json!({"kind": "emergency"}), true, "it cannot wait"),
        ("start", json!({"kind": "standard"}), false, "it follows no model"),
        ("start", json!({"kind": "standard", "model": "restart-nginx"}), true, "its model was agreed to"),
        ("start", json!({}), false, "what is not told is normal"),
    ] {
        assert_eq!(guard(step)(&record("change", fields.clone())).is_ok(), ok, "{step} {fields}: {why}");
    }
}

#[test]
fn a_release_goes_when_every_criterion_is_met() {
    let release = class("release");
    let guard = release.transition("go").and_then(|t| t.guard).expect("going is guarded");
    let refused = guard(&record(
        "release",
        json!({"criteria": [{"text": "tests pass", "met": true}, {"text": "users told", "met": false}]}),
    ));
    assert_eq!(refused, Err("not every criterion is met: users told".to_owned()));
    assert_eq!(guard(&record("release", json!({"criteria": [{"text": "tests pass", "met": true}]}))), Ok(()));
}

#[test]
fn risk_follows_impact_and_likelihood() {
    let compute = class("change").compute[0];
    for (impact, likelihood, risk) in [("high", "high", 5), ("high", "low", 3), ("low", "low", 1)] {
        let mut fields = serde_json::from_value(json!({"impact": impact, "likelihood": likelihood})).unwrap();
        compute(&mut fields);
        assert_eq!(fields["risk"], risk, "{impact} × {likelihood}");
    }
}
