//! What holds for every class of this verb, and what a promise needs to be counted.

use expect_test::expect_file;
use kernel::ClassDef;
use kernel::Verb;
use kernel::define::proof::{outline, round_trip, unfinished};
use serde_json::json;

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
    let verb = Verb::Prove;
    let all = [
        round_trip::<crate::service_level::ServiceLevel>(verb),
        round_trip::<crate::report::Report>(verb),
        round_trip::<crate::complaint::Complaint>(verb),
        round_trip::<crate::improvement::Improvement>(verb),
        round_trip::<crate::audit::Audit>(verb),
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
fn a_promise_that_cannot_be_counted_is_refused() {
    for (more, refused) in [
        (json!({}), None),
        (json!({"measure": "response"}), Some("within")),
        (json!({"measure": "response", "within": "15m"}), None),
        (json!({"measure": "quality"}), Some("expression")),
        (json!({"window": "rolling"}), Some("window_days")),
        (json!({"window": "rolling", "window_days": 30}), None),
        (json!({"timezone": "Mars/Olympus"}), Some("timezone")),
    ] {
        let mut given = json!({"title": "Shop is there", "service": "shop"});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let result = kernel::validate::fields(&class("service-level"), serde_json::from_value(given).unwrap());
        assert_eq!(result.err().map(|e| e[0].field.clone()).as_deref(), refused, "{more}");
    }
}

#[test]
fn a_service_level_belongs_to_a_service() {
    let link = class("service-level").link("promises-for").cloned().expect("a link to the service");
    assert!(link.required && !link.many && link.on_delete == kernel::OnDelete::Block);
}

#[test]
fn nothing_is_over_before_somebody_was_answered() {
    for (kind, step, needs) in [
        ("complaint", "answer", "answer"),
        ("improvement", "evaluate", "evaluation"),
        ("improvement", "reject", "rejected_because"),
        ("audit", "report", "conclusion"),
    ] {
        assert!(class(kind).transition(step).is_some_and(|t| t.requires == [needs]), "{kind} {step}");
    }
    assert!(class("complaint").is_open("answered") && class("improvement").is_open("done"));
}
