//! What holds for every class of this verb, and what links of the map carry.

use expect_test::expect_file;
use kernel::Verb;
use kernel::define::proof::{outline, round_trip, unfinished};
use kernel::validate;
use serde_json::{Map, Value, json};

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
    let verb = Verb::Know;
    let all = [
        round_trip::<crate::host::Host>(verb),
        round_trip::<crate::network_device::NetworkDevice>(verb),
        round_trip::<crate::endpoint::Endpoint>(verb),
        round_trip::<crate::application::Application>(verb),
        round_trip::<crate::database::Database>(verb),
        round_trip::<crate::cluster::Cluster>(verb),
        round_trip::<crate::cloud_resource::CloudResource>(verb),
        round_trip::<crate::container::Container>(verb),
        round_trip::<crate::service::Service>(verb),
        round_trip::<crate::site::Site>(verb),
        round_trip::<crate::rack::Rack>(verb),
        round_trip::<crate::prefix::Prefix>(verb),
        round_trip::<crate::address::Address>(verb),
        round_trip::<crate::vlan::Vlan>(verb),
        round_trip::<crate::circuit::Circuit>(verb),
        round_trip::<crate::software::Software>(verb),
        round_trip::<crate::licence::Licence>(verb),
        round_trip::<crate::certificate::Certificate>(verb),
    ];
    assert_eq!(all.len(), super::domain().classes.len());
    for result in all {
        assert_eq!(result, Ok(()));
    }
}

fn class(name: &str) -> kernel::ClassDef {
    super::domain().classes.into_iter().find(|c| c.name.as_str() == name).expect("a class of this domain")
}

fn fields(given: Value) -> Map<String, Value> {
    serde_json::from_value(given).unwrap()
}

#[test]
fn trouble_travels_along_the_map_and_not_along_the_paperwork() {
    for (from, link, travels, why) in [
        ("application", "runs-on", true, "no machine, no program"),
        ("service", "depends-on", true, "that is what it means"),
        ("host", "located-in", true, "no power in the building"),
        ("host", "mounted-in", true, "no power in the rack"),
        ("host", "supported-by", false, "a contract that ends breaks nothing tonight"),
        ("service", "secured-by", true, "browsers refuse an expired certificate"),
        ("site", "served-by", true, "a cut line cuts off the place"),
    ] {
        assert_eq!(class(from).link(link).map(|l| l.impact), Some(travels), "{from} {link}: {why}");
    }
}

#[test]
fn a_new_machine_is_in_use_until_told_otherwise() {
    for name in ["host", "network-device", "endpoint", "application", "database"] {
        let class = class(name);
        assert_eq!(
            (class.initial_state(), class.is_open("active"), class.is_open("retired")),
            ("active", true, false),
            "{name}"
        );
    }
}

#[test]
fn a_range_starts_at_its_first_address() {
    for (cidr, ok) in [
        ("192.0.2.0/24", true),
        ("0.0.0.0/0", true),
        ("192.0.2.7/32", true),
        ("2001:db8::/48", true),
        ("192.0.2.1/24", false),
        ("192.0.2.0", false),
        ("192.0.2.0/33", false),
        ("2001:db8::1/64", false),
        ("lan/24", false),
    ] {
        assert_eq!(validate::fields(&class("prefix"), fields(json!({"cidr": cidr}))).is_ok(), ok, "{cidr}");
    }
    assert!(validate::fields(&class("address"), fields(json!({"ip": "192.0.2.256"}))).is_err());
}
