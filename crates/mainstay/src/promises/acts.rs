//! The write path: versions, guards, links, drift, intervals, undo, users' classes.

use super::{World, fields};
use kernel::act::{Act, Create, Target};
use kernel::backend::JournalQuery;
use kernel::interval::Correction;
use kernel::observation::{AcceptSide, FIELDS, Look};
use kernel::read::ListAsk;
use kernel::{ActError, HealthState, Session, TenantId};
use serde_json::json;
use std::time::Duration;

fn step(key: &str, class: &str, name: &str) -> Act {
    Act::Transition {
        target: Target::key(class, key),
        name: name.into(),
        fields: Default::default(),
        note: None,
        expect: None,
    }
}

#[tokio::test]
async fn a_stale_write_is_refused_with_the_record_as_it_is() {
    let world = World::new().await;
    let ana = world.admin().await;
    let made = world.kernel.act(&ana, Create::of("service", json!({"name": "Shop"})).keyed("shop")).await.unwrap();
    let change = |name: &str| Act::Update {
        target: Target::key("service", "shop"),
        fields: fields(json!({"name": name})),
        owner: None,
        expect: Some(made.version),
    };
    world.kernel.act(&ana, change("Web shop")).await.unwrap();
    match world.kernel.act(&ana, change("Old shop")).await {
        Err(ActError::Stale { expected: 1, current }) => {
            assert_eq!((current.version, current.title.as_str()), (2, "Web shop"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_entry_names_actor_cause_and_what_changed() {
    let world = World::new().await;
    let ana = world.admin().await;
    let incident = world.kernel.act(&ana, Create::of("incident", json!({"title": "Shop is slow"}))).await.unwrap();
    world.kernel.act(&ana.because(7), step(&incident.key, "incident", "acknowledge")).await.unwrap();
    let query =
        JournalQuery { before: Some(i64::MAX as u64), subject: Some(incident.id), limit: 1, ..Default::default() };
    let (entries, _) = world.kernel.journal(&ana, query).await.unwrap();
    let entry = &entries[0];
    assert_eq!(
        (entry.action.as_str(), entry.cause, entry.actor.to_string().as_str()),
        ("acknowledge", Some(7), "person:ana")
    );
    assert_eq!(entry.before.get("owner"), Some(&json!(null)));
    assert_eq!(entry.after.get("owner"), Some(&json!("ana")));
}

#[tokio::test]
async fn the_life_cycle_refuses_with_what_is_possible() {
    let world = World::new().await;
    let ana = world.admin().await;
    let incident = world.kernel.act(&ana, Create::of("incident", json!({"title": "x"}))).await.unwrap();
    let refused = world.kernel.act(&ana, step(&incident.key, "incident", "reopen")).await.unwrap_err().to_string();
    assert!(refused.contains("is detected; reopen starts from resolved; possible: acknowledge"), "{refused}");
    let unknown = world.kernel.act(&ana, step(&incident.key, "incident", "acknowlege")).await.unwrap_err().to_string();
    assert_eq!(unknown, "there is no transition \"acknowlege\"; did you mean acknowledge?");
}

#[tokio::test]
async fn a_ref_is_a_link_in_the_same_commit_and_follows_its_field() {
    let world = World::new().await;
    let ana = world.admin().await;
    for key in ["lon", "par"] {
        world.kernel.act(&ana, Create::of("site", json!({"name": key})).keyed(key)).await.unwrap();
    }
    let host = world
        .kernel
        .act(&ana, Create::of("host", json!({"name": "web-1", "site": "lon"})).keyed("web-1"))
        .await
        .unwrap();
    let found = |filter: &str| ListAsk { filter: filter.into(), limit: 10, total: true, ..Default::default() };
    assert_eq!(world.kernel.list(&ana, "host", &found("located-in:lon")).await.unwrap().records.len(), 1);
    let patch =
        Act::Update { target: Target::Id(host.id), fields: fields(json!({"site": "par"})), owner: None, expect: None };
    world.kernel.act(&ana, patch).await.unwrap();
    assert_eq!(world.kernel.list(&ana, "host", &found("located-in:lon")).await.unwrap().records.len(), 0);
    assert_eq!(world.kernel.list(&ana, "host", &found("located-in.name:par")).await.unwrap().records.len(), 1);
    let refused =
        world.kernel.act(&ana, Act::Delete { target: Target::key("site", "par"), expect: None }).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be deleted"), "{refused}");
}

#[tokio::test]
async fn what_is_done_can_be_taken_back_unless_it_changed_since() {
    let world = World::new().await;
    let ana = world.admin().await;
    world.kernel.act(&ana, Create::of("service", json!({"name": "Shop"})).keyed("shop")).await.unwrap();
    let rename = |name: &str| Act::Update {
        target: Target::key("service", "shop"),
        fields: fields(json!({"name": name})),
        owner: None,
        expect: None,
    };
    let done = world.kernel.acts(&ana, vec![rename("B")], None).await.unwrap();
    let undo = |seq| Act::Undo { target: Target::key("service", "shop"), seq };
    assert_eq!(world.kernel.act(&ana, undo(done.seqs[0])).await.unwrap().title, "Shop");
    let done = world.kernel.acts(&ana, vec![rename("C")], None).await.unwrap();
    world.kernel.act(&ana, rename("D")).await.unwrap();
    let refused = world.kernel.act(&ana, undo(done.seqs[0])).await.unwrap_err();
    assert_eq!(refused.to_string(), "name: was changed again since");
}

#[tokio::test]
async fn drift_is_told_once_and_either_side_can_be_accepted() {
    let world = World::new().await;
    let ana = world.admin().await;
    let agent = Session::controller("agent", TenantId::HOME);
    let host = world
        .kernel
        .act(&ana, Create::of("host", json!({"name": "web-1", "os_version": "12", "os_name": "Debian"})).keyed("web-1"))
        .await
        .unwrap();
    let look = |version: &str| Act::Observe {
        target: Target::Id(host.id),
        looks: vec![Look {
            table: FIELDS.into(),
            source: "agent:web-1".into(),
            rows: vec![("os_version".into(), json!(version))],
            whole: true,
        }],
    };
    let told = world.kernel.acts(&agent, vec![look("13")], None).await.unwrap();
    assert_eq!(told.seqs.len(), 1, "the first sight of a difference is an entry");
    let told = world.kernel.acts(&agent, vec![look("13")], None).await.unwrap();
    assert_eq!(told.seqs.len(), 0, "the second is not");
    assert_eq!(world.kernel.drift(&ana, &host).await.unwrap().len(), 1);
    let accept = |side| Act::Accept { target: Target::Id(host.id), field: "os_version".into(), side };
    world.kernel.act(&ana, accept(AcceptSide::Declared)).await.unwrap();
    assert!(world.kernel.drift(&ana, &host).await.unwrap().is_empty(), "declared is right, for this value");
    world.kernel.acts(&agent, vec![look("14")], None).await.unwrap();
    let host = world.kernel.act(&ana, accept(AcceptSide::Observed)).await.unwrap();
    assert_eq!(host.text("os_version"), "14");
}

#[tokio::test]
async fn a_corrected_interval_is_kept_beside_what_replaces_it() {
    let world = World::new().await;
    let ana = world.admin().await;
    let own = Session::controller("watch.health", TenantId::HOME);
    let service = world.kernel.act(&ana, Create::of("service", json!({"name": "Shop"})).keyed("shop")).await.unwrap();
    let health = |state| Act::Health { target: Target::Id(service.id), state, reason: "seen".into() };
    let began = world.kernel.now();
    world.kernel.act(&own, health(HealthState::Down)).await.unwrap();
    world.clock.advance(Duration::from_secs(600));
    world.kernel.act(&own, health(HealthState::Up)).await.unwrap();
    let now = world.kernel.now();
    let old = world.kernel.intervals(&ana, &service, began, now).await.unwrap()[0].clone();
    assert_eq!((old.state, old.end), (HealthState::Down, Some(now)));
    let correction = Correction {
        state: HealthState::Maintenance,
        start: began,
        end: Some(began.plus(Duration::from_secs(420))),
        reason: "agreed with the customer".into(),
    };
    world.kernel.act(&ana, Act::Correct { interval: old.id, correction }).await.unwrap();
    let all = world.kernel.intervals(&ana, &service, began, now.plus(Duration::from_secs(1))).await.unwrap();
    let totals = kernel::interval::totals(&all, began, now, now);
    let of = |state| totals.iter().find(|(s, _)| *s == state).map_or(0, |(_, t)| *t / 1_000_000);
    assert_eq!((of(HealthState::Down), of(HealthState::Maintenance)), (180, 420));
    assert!(all.iter().any(|i| i.id == old.id && !i.counts()), "the old one is kept");
    let reader = world.person("rita", "read-only").await;
    let correction = Correction { state: HealthState::Up, start: began, end: Some(now), reason: "x".into() };
    let refused = world.kernel.act(&reader, Act::Correct { interval: all[0].id, correction }).await;
    assert!(matches!(refused, Err(ActError::Denied { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_class_of_yaml_is_live_at_once_and_cannot_go_while_it_has_records() {
    let world = World::new().await;
    let ana = world.admin().await;
    let definition = json!({"help": "Lets cars in.", "prefix": "BAR-", "fields": {"site": {"type": "ref", "class": ["site"]}, "lanes": {"type": "int", "min": 1, "max": 8}}});
    let class = |definition| Create::of("class", json!({"definition": definition})).keyed("barrier");
    world.kernel.act(&ana, class(definition.clone())).await.unwrap();
    let record = world.kernel.act(&ana, Create::of("barrier", json!({"lanes": 2}))).await.unwrap();
    assert_eq!(record.key, "BAR-1");
    let refused = world.kernel.act(&ana, Create::of("barrier", json!({"lanes": 9}))).await.unwrap_err();
    assert_eq!(refused.to_string(), "lanes: must be 1 to 8, not 9");
    let refused = world
        .kernel
        .act(&ana, Act::Delete { target: Target::key("class", "barrier"), expect: None })
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("it has records"), "{refused}");
    let wrong = Create::of("class", json!({"definition": {"fields": {"Lanes": "int"}}})).keyed("gate");
    assert!(world.kernel.act(&ana, wrong).await.is_err());
    assert!(world.kernel.registry().class("gate").is_none(), "what was refused has left nothing");
}

#[tokio::test]
async fn the_same_request_twice_is_done_once() {
    let world = World::new().await;
    let ana = world.admin().await;
    let create = || vec![Act::Create(Create::of("incident", json!({"title": "x"})))];
    let first = world.kernel.acts(&ana, create(), Some(("k".into(), [1; 32]))).await.unwrap();
    let second = world.kernel.acts(&ana, create(), Some(("k".into(), [1; 32]))).await.unwrap();
    assert!(second.repeated && first.records[0].id == second.records[0].id);
    let other = world.kernel.acts(&ana, create(), Some(("k".into(), [2; 32]))).await;
    assert!(matches!(other, Err(ActError::IdempotencyReused(_))), "{other:?}");
}

#[tokio::test]
async fn unknown_names_are_refused_with_the_near_ones() {
    let world = World::new().await;
    let ana = world.admin().await;
    let list = |filter: &str| ListAsk { filter: filter.into(), limit: 1, ..Default::default() };
    for (filter, says) in [
        ("prioritty:1", "did you mean priority?"),
        ("state:opne", "state of incident is never \"opne\""),
        ("updated:>yesterday", "is not a time such as -7d"),
    ] {
        let refused = world.kernel.list(&ana, "incident", &list(filter)).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    let refused = world.kernel.list(&ana, "incidnet", &list("")).await.unwrap_err().to_string();
    assert_eq!(refused, "there is no class \"incidnet\"; did you mean incident?");
}
