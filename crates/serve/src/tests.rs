//! What holds for every class of this verb, and the life cycle of a request as a table.

use expect_test::expect_file;
use kernel::ClassDef;
use kernel::Verb;
use kernel::define::proof::{outline, round_trip, unfinished};
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
    let verb = Verb::Serve;
    let all = [
        round_trip::<crate::request::Request>(verb),
        round_trip::<crate::catalogue_item::CatalogueItem>(verb),
        round_trip::<crate::article::Article>(verb),
        round_trip::<crate::survey::Survey>(verb),
        round_trip::<crate::announcement::Announcement>(verb),
    ];
    assert_eq!(all.len(), super::domain().classes.len());
    for result in all {
        assert_eq!(result, Ok(()));
    }
}

fn class(name: &str) -> ClassDef {
    super::domain().classes.into_iter().find(|c| c.name.as_str() == name).expect("a class of this domain")
}

#[test]
fn a_request_can_be_refused_until_it_is_worked_on_and_objected_to_after() {
    let request = class("request");
    for (step, from, to, why) in [
        ("approve", &["submitted", "awaiting-approval"][..], "approved", "somebody may agree without being asked"),
        ("reject", &["submitted", "awaiting-approval", "approved"], "rejected", "a later look may differ"),
        ("start", &["submitted", "approved", "waiting"], "in-progress", "most requests need nobody's agreement"),
        ("wait", &["in-progress"], "waiting", "only what is worked on can wait"),
        ("fulfil", &["submitted", "approved", "in-progress", "waiting"], "fulfilled", "small things are done at once"),
        ("close", &["fulfilled"], "closed", "what is not done is not closed"),
        ("reopen", &["fulfilled", "closed"], "in-progress", "the one who asked decides whether it was done"),
    ] {
        let found = request.transition(step).expect("a step of a request");
        let from: Vec<String> = from.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!((&found.from, found.to.as_deref()), (&from, Some(to)), "{step}: {why}");
    }
    assert_eq!(request.states.iter().filter(|s| s.open).count(), 5);
}

#[test]
fn what_needs_agreement_is_not_done_without_it() {
    let request = class("request");
    let guard = request.transition("fulfil").and_then(|t| t.guard).expect("fulfilling is guarded");
    for (needs, by, ok) in [(false, None, true), (true, None, false), (true, Some("ana"), true)] {
        let record: kernel::Record = serde_json::from_value(json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": 1, "kind": "request", "key": "REQ-1", "state": "fulfilled",
            "open": false, "state_since": "2026-11-21T03:12:09Z", "title": "A laptop", "owner": null, "health": null, "version": 1,
            "created": "2026-11-21T03:12:09Z", "updated": "2026-11-21T03:12:09Z", "deleted": false,
            "fields": {"needs_approval": needs, "approved_by": by},
        }))
        .unwrap();
        assert_eq!(guard(&record).is_ok(), ok, "needed: {needs}, given by {by:?}");
    }
}

#[test]
fn a_request_needs_no_more_than_a_title() {
    let given = serde_json::from_value(json!({"title": "A new laptop"})).unwrap();
    let clean = kernel::validate::fields(&class("request"), given).unwrap();
    let request: crate::request::Request = serde_json::from_value(Value::Object(clean)).unwrap();
    assert_eq!((request.title.as_str(), request.priority), ("A new laptop", 4));
}
