//! Maintenance windows that are active already: what is linked to them, reached by them or taken from them follows at once. The
//! controllers are woken by the journal, as the driver wakes them, and never by a change of a check.

use super::{World, fields};
use kernel::act::{Act, Create, Target};
use kernel::controller::{Controller, Cx};
use kernel::{Kind, Session, TenantId};
use serde_json::json;
use std::time::Duration;

/// What is looked at, in the order of its answers.
const RULED: &[&str] = &["web-1", "nginx", "shop"];

/// A host, an application on it with a check that is OK, a service that needs it, and a window over nothing that has begun.
async fn shop() -> (World, Session) {
    let world = World::new().await;
    let ana = world.admin().await;
    let (start, end) = (world.kernel.now(), world.kernel.now().plus(Duration::from_secs(3600)));
    let (host, nginx) = (Target::key("host", "web-1"), Target::key("application", "nginx"));
    let on = |what: &str| json!({"protocol": "tcp", "target": "127.0.0.1:1", "on": what});
    let acts = vec![
        Create::of("host", json!({"name": "web-1"})).keyed("web-1").into(),
        Create::of("application", json!({"name": "nginx"})).keyed("nginx").linked("runs-on", host).into(),
        Create::of("service", json!({"name": "Web shop"})).keyed("shop").linked("depends-on", nginx).into(),
        Create::of("check", on("web-1")).keyed("ping").into(),
        Create::of("check", on("nginx")).keyed("front").into(),
        Create::of("maintenance-window", json!({"title": "New disks", "start": start, "end": end})).keyed("mnt").into(),
    ];
    world.kernel.acts(&ana, acts, None).await.unwrap();
    let checks = Session::controller("watch.checks", TenantId::HOME);
    for check in ["ping", "front"] {
        world.kernel.act(&checks, step("check", check, "ok")).await.unwrap();
    }
    woken(&world, 0).await;
    assert_eq!(health(&world).await, ["up", "up", "up"]);
    (world, ana)
}

fn step(class: &str, key: &str, name: &str) -> Act {
    let target = Target::key(class, key);
    Act::Transition { target, name: name.into(), fields: Default::default(), note: None, expect: None }
}

fn covers(add: bool, what: &str) -> Act {
    let (from, name) = (Target::key("maintenance-window", "mnt"), "covers".to_owned());
    let to = Target::key(if what == "web-1" { "host" } else { "application" }, what);
    if add { Act::Link { from, name, to } } else { Act::Unlink { from, name, to } }
}

/// Health of the host, the application and the service.
async fn health(world: &World) -> Vec<String> {
    let mut words = Vec::new();
    for key in RULED {
        let record = world.kernel.find(&Session::system(TenantId::HOME), key).await.unwrap();
        words.push(record.health.map_or("none", |h| h.state.as_str()).to_owned());
    }
    words
}

/// Lets every controller see what the journal has told since `seq`, until nothing follows any more.
async fn woken(world: &World, mut seq: u64) {
    let controllers: [Box<dyn Controller>; 4] = [
        Box::new(watch::controllers::Health),
        Box::new(watch::rollup::Rollup),
        Box::new(watch::maintenance::Windows),
        Box::new(watch::maintenance::Reach),
    ];
    let backend = world.kernel.backend();
    loop {
        let head = backend.head().await.unwrap();
        if head == seq {
            return;
        }
        for controller in &controllers {
            let kinds: Vec<Kind> = controller.watches().iter().map(|k| Kind::new(k)).collect();
            for touched in backend.touched_after(&kinds, seq, 1000).await.unwrap() {
                let session = Session::controller(controller.name(), TenantId::HOME).because(touched.seq);
                let cx = Cx { kernel: world.kernel.clone(), session, tenant: touched.tenant };
                controller.reconcile(&cx, touched.id).await.unwrap();
            }
        }
        seq = head;
    }
}

/// Does it, and lets what follows from it follow.
async fn does(world: &World, who: &Session, act: Act) -> Vec<String> {
    let before = world.kernel.backend().head().await.unwrap();
    world.kernel.act(who, act).await.unwrap();
    woken(world, before).await;
    health(world).await
}

const WORK: [&str; 3] = ["maintenance"; 3];
const WELL: [&str; 3] = ["up"; 3];

#[tokio::test]
async fn a_link_to_an_active_window_counts_at_once_and_so_does_its_end() {
    let (world, ana) = shop().await;
    assert_eq!(does(&world, &ana, covers(true, "web-1")).await, WORK, "the host, what runs on it and the service");
    assert_eq!(does(&world, &ana, covers(true, "nginx")).await, WORK);
    assert_eq!(does(&world, &ana, covers(false, "web-1")).await, ["up", "maintenance", "maintenance"], "still covered");
    assert_eq!(does(&world, &ana, covers(false, "nginx")).await, WELL);
}

#[tokio::test]
async fn dependents_come_under_the_window_only_while_it_says_so() {
    let (world, ana) = shop().await;
    let says = |with: bool| Act::Update {
        target: Target::key("maintenance-window", "mnt"),
        fields: fields(json!({"with_dependents": with})),
        owner: None,
        expect: None,
    };
    does(&world, &ana, says(false)).await;
    assert_eq!(does(&world, &ana, covers(true, "web-1")).await[..2], ["maintenance", "up"], "the host alone");
    assert_eq!(does(&world, &ana, says(true)).await, WORK);
    assert_eq!(does(&world, &ana, says(false)).await[..2], ["maintenance", "up"]);
}

#[tokio::test]
async fn what_begins_to_need_a_covered_record_comes_under_its_window() {
    let (world, ana) = shop().await;
    does(&world, &ana, covers(true, "web-1")).await;
    let runs_on = |add: bool| {
        let (from, to) = (Target::key("application", "nginx"), Target::key("host", "web-1"));
        let name = "runs-on".to_owned();
        if add { Act::Link { from, name, to } } else { Act::Unlink { from, name, to } }
    };
    assert_eq!(does(&world, &ana, runs_on(false)).await, ["maintenance", "up", "up"], "it runs there no more");
    assert_eq!(does(&world, &ana, runs_on(true)).await, WORK, "and again");
}

#[tokio::test]
async fn a_window_that_is_ended_by_hand_or_deleted_sets_free_what_it_covered() {
    let ways = [
        step("maintenance-window", "mnt", "finish"),
        step("maintenance-window", "mnt", "pause"),
        Act::Delete { target: Target::key("maintenance-window", "mnt"), expect: None },
    ];
    for (i, end) in ways.into_iter().enumerate() {
        let (world, ana) = shop().await;
        assert_eq!(does(&world, &ana, covers(true, "web-1")).await, WORK);
        let before = world.kernel.backend().head().await.unwrap();
        world.kernel.act(&ana, end).await.unwrap();
        // A paused window begins again while its time lasts, so it is told what follows from the pause only after its end.
        if i == 1 {
            world.clock.advance(Duration::from_secs(3600));
        }
        woken(&world, before).await;
        assert_eq!(health(&world).await, WELL, "way {i}");
    }
}

#[tokio::test]
async fn a_window_that_begins_and_ends_by_the_clock_takes_and_frees_what_it_covers() {
    let (world, ana) = shop().await;
    assert_eq!(does(&world, &ana, covers(true, "nginx")).await, ["up", "maintenance", "maintenance"]);
    world.clock.advance(Duration::from_secs(3600));
    let window = world.kernel.get(&ana, "maintenance-window", "mnt").await.unwrap();
    let session = Session::controller("watch.windows", TenantId::HOME);
    let cx = Cx { kernel: world.kernel.clone(), session, tenant: TenantId::HOME };
    watch::maintenance::Windows.reconcile(&cx, window.id).await.unwrap();
    assert_eq!(health(&world).await, WELL, "woken by the clock alone");
}
