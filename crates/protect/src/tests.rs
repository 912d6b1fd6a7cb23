//! What holds for every class of this verb, and what may not be claimed without proof.

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
    let verb = Verb::Protect;
    let all = [
        round_trip::<crate::backup_policy::BackupPolicy>(verb),
        round_trip::<crate::restore_test::RestoreTest>(verb),
        round_trip::<crate::continuity_plan::ContinuityPlan>(verb),
        round_trip::<crate::drill::Drill>(verb),
        round_trip::<crate::finding::Finding>(verb),
        round_trip::<crate::control::Control>(verb),
        round_trip::<crate::risk::Risk>(verb),
        round_trip::<crate::security_policy::SecurityPolicy>(verb),
        round_trip::<crate::access_review::AccessReview>(verb),
        round_trip::<crate::credential::Credential>(verb),
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
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": 1, "kind": kind, "key": "X-1", "state": "running", "open": true,
        "state_since": "2026-11-21T03:12:09Z", "title": "X", "owner": null, "health": null, "version": 1,
        "created": "2026-11-21T03:12:09Z", "updated": "2026-11-21T03:12:09Z", "deleted": false, "fields": fields,
    }))
    .unwrap()
}

#[test]
fn nothing_is_proven_that_nobody_looked_at() {
    for (kind, step, fields, ok, why) in [
        ("restore-test", "pass", json!({}), false, "restored and never looked at"),
        ("restore-test", "pass", json!({"results": [{"title": "rows", "ok": false}]}), false, "rows are missing"),
        ("restore-test", "pass", json!({"results": [{"title": "rows", "ok": true}]}), true, "rows are there"),
        ("access-review", "complete", json!({"items": [{"who": "a", "right": "r"}]}), false, "nobody decided"),
        (
            "access-review",
            "complete",
            json!({"items": [{"who": "a", "right": "r", "decision": "keep"}]}),
            true,
            "decided",
        ),
    ] {
        let class = class(kind);
        let guard = class.transition(step).and_then(|t| t.guard).expect("a guarded step");
        assert_eq!(guard(&record(kind, fields)).is_ok(), ok, "{kind} {step}: {why}");
    }
}

#[test]
fn a_failed_restore_stays_open_until_somebody_acted() {
    let class = class("restore-test");
    assert!(class.is_open("failed") && !class.is_open("passed") && !class.is_open("settled"));
}

#[test]
fn a_finding_is_closed_by_proof_or_by_a_decision_with_an_end() {
    let class = class("finding");
    for (step, needs) in
        [("verify", &["evidence"][..]), ("accept", &["acceptance", "accepted_until"]), ("dismiss", &["evidence"])]
    {
        assert_eq!(
            class.transition(step).map(|t| t.requires.as_slice()),
            Some(&needs.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..]),
            "{step}"
        );
    }
    assert!(class.is_open("fixed"), "mended is not yet gone");
}

#[test]
fn what_is_computed_follows_what_was_said() {
    let compute = |kind: &str, given: Value| {
        let mut fields = serde_json::from_value(given).unwrap();
        class(kind).compute[0](&mut fields);
        Value::Object(fields)
    };
    for (given, priority) in [
        (json!({}), 3),
        (json!({"severity": "high", "exploited": true}), 1),
        (json!({"severity": "critical", "exploited": true, "reachable": true}), 1),
        (json!({"severity": "low", "reachable": true}), 3),
        (json!({"severity": "info"}), 5),
    ] {
        assert_eq!(compute("finding", given.clone())["priority"], priority, "{given}");
    }
    let risk = compute("risk", json!({"likelihood": 4, "impact": 5, "residual_likelihood": 1, "residual_impact": 5}));
    assert_eq!((&risk["score"], &risk["residual_score"]), (&json!(20), &json!(5)));
    assert_eq!(compute("risk", json!({}))["score"], 9);
}

#[test]
fn a_plan_whose_steps_wait_for_themselves_is_refused() {
    let steps = |after: u32| {
        serde_json::from_value(json!({"title": "t", "steps": [{"title": "one"}, {"title": "two", "after": [after]}]}))
            .unwrap()
    };
    for (after, ok) in [(1, true), (2, false), (3, false), (0, false)] {
        assert_eq!(
            kernel::validate::fields(&class("continuity-plan"), steps(after)).is_ok(),
            ok,
            "step 2 after step {after}"
        );
    }
}
