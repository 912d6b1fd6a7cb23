//! What holds for every class of this verb, and the sums that are computed.

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
    let verb = Verb::Plan;
    let all = [
        round_trip::<crate::capacity_plan::CapacityPlan>(verb),
        round_trip::<crate::forecast::Forecast>(verb),
        round_trip::<crate::supplier::Supplier>(verb),
        round_trip::<crate::contract::Contract>(verb),
        round_trip::<crate::cost::Cost>(verb),
        round_trip::<crate::opportunity::Opportunity>(verb),
        round_trip::<crate::proposal::Proposal>(verb),
    ];
    assert_eq!(all.len(), super::domain().classes.len());
    for result in all {
        assert_eq!(result, Ok(()));
    }
}

fn class(name: &str) -> ClassDef {
    super::domain().classes.into_iter().find(|c| c.name.as_str() == name).expect("a class of this domain")
}

fn computed(kind: &str, given: Value) -> Value {
    let mut fields = serde_json::from_value(given).unwrap();
    for compute in class(kind).compute {
        compute(&mut fields);
    }
    Value::Object(fields)
}

#[test]
fn a_proposal_sums_up_to_the_cent() {
    for (items, discount, once, monthly, why) in [
        (json!([]), 0.0, 0.0, 0.0, "nothing offered, nothing paid"),
        (json!([{"title": "disk", "quantity": 3.0, "price": 33.33}]), 0.0, 99.99, 0.0, "once is what is not told"),
        (
            json!([{"title": "hosting", "price": 10.0, "charged": "monthly"}]),
            25.0,
            0.0,
            7.5,
            "the discount is taken off",
        ),
        (json!([{"title": "a", "price": 0.1}, {"title": "b", "price": 0.2}]), 0.0, 0.3, 0.0, "no 0.30000000000000004"),
    ] {
        let proposal = computed("proposal", json!({"items": items, "discount": discount}));
        assert_eq!((&proposal["one_off_total"], &proposal["monthly_total"]), (&json!(once), &json!(monthly)), "{why}");
    }
}

#[test]
fn what_an_opportunity_may_bring_is_weighed() {
    assert_eq!(computed("opportunity", json!({"value": 50_000.0, "probability": 60}))["expected"], 30_000.0);
    assert_eq!(computed("opportunity", json!({"probability": 60}))["expected"], Value::Null);
}

#[test]
fn a_contract_cannot_be_ended_after_its_end() {
    let given = |notice: &str| {
        serde_json::from_value(json!({"title": "t", "ends": "2027-06-30T00:00:00Z", "notice_by": notice})).unwrap()
    };
    assert!(kernel::validate::fields(&class("contract"), given("2027-03-31T00:00:00Z")).is_ok());
    assert!(kernel::validate::fields(&class("contract"), given("2027-07-01T00:00:00Z")).is_err());
}

#[test]
fn only_what_was_measured_moves_a_forecast() {
    let forecast = class("forecast");
    assert_eq!(forecast.initial_state(), "unknown");
    for step in ["unknown", "clear", "due", "reach"] {
        assert!(forecast.transition(step).is_some_and(|t| t.machine), "{step}");
    }
}
