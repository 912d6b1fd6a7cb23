//! What the runner makes of checks, on real connections: the record of a check is the truth, whoever wrote it.

use super::World;
use kernel::act::{Act, Create, Target};
use kernel::{Record, Session, TenantId};
use probe::Env;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use watch::runner::{Runner, Sample, Sink};

struct Nowhere;

#[async_trait::async_trait]
impl Sink for Nowhere {
    async fn append(&self, _: TenantId, _: Vec<Sample>) {}
}

/// A world with a runner at work that was last alive so long ago.
async fn running(silence: Duration) -> (World, Session, Runner) {
    let world = World::new().await;
    let ana = world.admin().await;
    let alive_until = world.kernel.now().minus(silence);
    let limits = probe::schedule::Limits::default();
    let runner = Runner::new(world.kernel.clone(), Env::real(), limits, Arc::new(Nowhere), alive_until);
    let asking = runner.clone();
    tokio::spawn(async move { asking.run().await });
    (world, ana, runner)
}

async fn check(world: &World, ana: &Session, fields: Value) -> Record {
    world.kernel.act(ana, Create::of("check", fields).keyed("door")).await.unwrap()
}

/// Tells the runner of the record as it is, as its controller does.
async fn tell(world: &World, runner: &Runner) -> Record {
    let record = world.kernel.get(&Session::system(TenantId::HOME), "check", "door").await.unwrap();
    runner.hold(&record).await.unwrap();
    world.kernel.get(&Session::system(TenantId::HOME), "check", "door").await.unwrap()
}

/// Waits until the check is in that state, telling the runner of every version on the way.
async fn until(world: &World, runner: &Runner, state: &str) -> Record {
    for _ in 0..1500 {
        let record = tell(world, runner).await;
        if record.state == state {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // polls: the check is in that state
    }
    panic!("it is not {state}: {:?}", tell(world, runner).await);
}

async fn set(world: &World, ana: &Session, fields: Value) {
    let target = Target::key("check", "door");
    let act = Act::Update { target, fields: super::fields(fields), owner: None, expect: None };
    world.kernel.act(ana, act).await.unwrap();
}

fn door() -> (TcpListener, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    (listener, json!({"protocol": "tcp", "target": target, "interval": "1s", "retries": 0}))
}

#[tokio::test]
async fn what_was_not_measured_is_unknown_and_the_first_good_answer_makes_it_well_again() {
    let (_listener, fields) = door();
    let (world, ana, runner) = running(Duration::from_secs(3600)).await;
    check(&world, &ana, fields).await;
    let well = Act::Transition {
        target: Target::key("check", "door"),
        name: "ok".into(),
        fields: Default::default(),
        note: None,
        expect: None,
    };
    world.kernel.act(&Session::controller("watch.checks", TenantId::HOME), well).await.unwrap();
    let record = tell(&world, &runner).await;
    assert_eq!(record.state, "UNKNOWN");
    assert!(record.text("last_summary").contains("Mainstay was not running"), "{record:?}");
    let record = until(&world, &runner, "OK").await;
    assert!(record.text("last_summary").contains("accepts connections"), "{record:?}");
    assert_eq!(runner.figures().asking.held, 1);
}

#[tokio::test]
async fn a_check_that_is_switched_off_and_on_again_is_unknown_in_between_and_asked_afterwards() {
    let (_listener, fields) = door();
    let (world, ana, runner) = running(Duration::ZERO).await;
    check(&world, &ana, fields).await;
    until(&world, &runner, "OK").await;
    set(&world, &ana, json!({"enabled": false})).await;
    let record = until(&world, &runner, "UNKNOWN").await;
    assert!(record.text("last_summary").contains("switched off"), "{record:?}");
    assert!(runner.prove(record.id).await.is_err(), "nobody proves anything by it");
    set(&world, &ana, json!({"enabled": true})).await;
    until(&world, &runner, "OK").await;
    let id = tell(&world, &runner).await.id;
    runner.forget(id);
    assert_eq!(runner.figures().asking.held, 0);
}

#[tokio::test]
async fn a_check_that_is_switched_off_is_unknown_even_if_that_could_not_be_recorded_at_first() {
    let (_listener, fields) = door();
    let (world, ana, runner) = running(Duration::ZERO).await;
    check(&world, &ana, fields).await;
    until(&world, &runner, "OK").await;
    set(&world, &ana, json!({"enabled": false})).await;
    let record = world.kernel.get(&Session::system(TenantId::HOME), "check", "door").await.unwrap();
    let refusing = world.refuse_entries("check");
    assert!(runner.hold(&record).await.is_err(), "the journal takes nothing");
    assert!(runner.hold(&record).await.is_err(), "and it is tried again each time");
    drop(refusing);
    let record = tell(&world, &runner).await;
    assert_eq!(record.state, "UNKNOWN");
    assert!(record.text("last_summary").contains("switched off"), "{record:?}");
}

#[tokio::test]
async fn a_check_that_cannot_be_asked_is_unknown_even_if_that_could_not_be_recorded_at_first() {
    let (_listener, fields) = door();
    let (world, ana, runner) = running(Duration::ZERO).await;
    check(&world, &ana, fields).await;
    until(&world, &runner, "OK").await;
    set(&world, &ana, json!({"expect": {"colour": "red"}})).await;
    let record = world.kernel.get(&Session::system(TenantId::HOME), "check", "door").await.unwrap();
    let refusing = world.refuse_entries("check");
    assert!(runner.hold(&record).await.is_err(), "the journal takes nothing");
    drop(refusing);
    assert_eq!(tell(&world, &runner).await.state, "UNKNOWN");
}

#[tokio::test]
async fn a_check_that_cannot_be_asked_as_written_is_unknown_until_it_is_put_right() {
    let (_listener, fields) = door();
    let (world, ana, runner) = running(Duration::ZERO).await;
    check(&world, &ana, fields).await;
    until(&world, &runner, "OK").await;
    set(&world, &ana, json!({"expect": {"colour": "red"}})).await;
    let record = until(&world, &runner, "UNKNOWN").await;
    assert!(record.text("last_summary").contains("colour"), "{record:?}");
    assert!(runner.latest(record.id)["last_summary"].as_str().is_some_and(|said| said.contains("colour")));
    set(&world, &ana, json!({"expect": {"colour": null}})).await;
    until(&world, &runner, "OK").await;
}

#[tokio::test]
async fn a_check_from_a_site_goes_only_where_that_site_may() {
    let (_listener, mut fields) = door();
    let (world, ana, runner) = running(Duration::ZERO).await;
    let policies = b"sites: { plant-2: { allow: [10.20.0.0/16] } }";
    let policies = probe::env::parse_policies(policies).unwrap();
    runner.set_site_env("plant-2", Env::real().behind(policies.sites["plant-2"].clone()));
    world.kernel.act(&ana, Create::of("site", json!({"name": "Plant 2"})).keyed("plant-2")).await.unwrap();
    check(&world, &ana, fields.clone()).await;
    until(&world, &runner, "OK").await;
    fields["from"] = json!("plant-2");
    set(&world, &ana, fields).await;
    let record = until(&world, &runner, "UNKNOWN").await;
    let said = record.text("last_summary");
    assert!(said.contains("none of the ranges allowed, 10.20.0.0/16 (address policy of site plant-2)"), "{said}");
    let proof = runner.prove(record.id).await.unwrap();
    assert!(proof.summary.contains("site plant-2"), "a proof goes no further: {}", proof.summary);
}
