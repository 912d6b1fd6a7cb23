//! The loop from a check's state to an incident and its pages, with the controllers as they run, on a clock moved by hand.

use super::{World, fields};
use kernel::act::{Act, Create, Target};
use kernel::controller::{Controller, Cx};
use kernel::read::ListAsk;
use kernel::{Record, Session, TenantId};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use watch::runner::Runner;

async fn all(world: &World, class: &str) -> Vec<Record> {
    let ask = ListAsk { limit: 100, sort: "created".into(), ..Default::default() };
    world.kernel.list(&Session::system(TenantId::HOME), class, &ask).await.unwrap().records
}

/// Every controller looks at every record of its classes, three times over: what follows from what has followed.
async fn settle(world: &World) {
    let controllers: Vec<Box<dyn Controller>> = vec![
        Box::new(watch::controllers::Health),
        Box::new(watch::controllers::Raise),
        Box::new(respond::fold::Fold),
        Box::new(respond::recover::Recover),
        Box::new(respond::escalate::Escalate),
        Box::new(respond::remediate::Remediate),
    ];
    for _ in 0..3 {
        for controller in &controllers {
            for class in controller.watches() {
                for record in all(world, class).await {
                    let session = Session::controller(controller.name(), TenantId::HOME);
                    let cx = Cx { kernel: world.kernel.clone(), session, tenant: TenantId::HOME };
                    controller.reconcile(&cx, record.id).await.unwrap();
                }
            }
        }
    }
}

async fn say(world: &World, state: &str) {
    let session = Session::controller("watch.checks", TenantId::HOME);
    let fields = fields(json!({"last_summary": format!("it is {state}"), "last_checked": world.kernel.now()}));
    let act = Act::Transition {
        target: Target::key("check", "shop-front"),
        name: state.into(),
        fields,
        note: None,
        expect: None,
    };
    world.kernel.act(&session, act).await.unwrap();
    settle(world).await;
    world.clock.advance(Duration::from_secs(60));
}

async fn shop(world: &World) -> Session {
    let ana = world.admin().await;
    let kernel = &world.kernel;
    kernel.act(&ana, Create::of("host", json!({"name": "web-1"})).keyed("web-1")).await.unwrap();
    kernel
        .act(
            &ana,
            Create::of("application", json!({"name": "nginx"}))
                .keyed("nginx")
                .linked("runs-on", Target::key("host", "web-1")),
        )
        .await
        .unwrap();
    kernel
        .act(
            &ana,
            Create::of("service", json!({"name": "Web shop"}))
                .keyed("shop")
                .linked("depends-on", Target::key("application", "nginx")),
        )
        .await
        .unwrap();
    kernel
        .act(
            &ana,
            Create::of(
                "check",
                json!({"title": "Shop front", "protocol": "http", "target": "https://shop.example", "on": "nginx"}),
            )
            .keyed("shop-front"),
        )
        .await
        .unwrap();
    kernel
        .act(
            &ana,
            Create::of("channel", json!({"type": "webhook", "settings": {"url": "https://hooks.example/x"}}))
                .keyed("hook"),
        )
        .await
        .unwrap();
    ana
}

#[tokio::test]
async fn ten_relapses_are_one_incident_and_one_timeline() {
    let world = World::new().await;
    shop(&world).await;
    say(&world, "ok").await;
    for round in 0..10 {
        say(&world, "critical").await;
        let incidents = all(&world, "incident").await;
        assert_eq!((incidents.len(), incidents[0].state.as_str()), (1, "detected"), "round {round}");
        say(&world, "ok").await;
        assert_eq!(all(&world, "incident").await[0].state, "resolved", "round {round}");
    }
    let incident = &all(&world, "incident").await[0];
    assert_eq!(incident.int("relapses"), Some(9));
    assert_eq!(all(&world, "alert").await.len(), 1);
    assert!(incident.title.contains("nginx on web-1"), "{}", incident.title);
    assert!(incident.text("description").contains("Web shop (service)"), "{}", incident.text("description"));
    // A page when it began and one when it was over, each time.
    assert_eq!(all(&world, "notification").await.len(), 20);
}

#[tokio::test]
async fn no_data_is_unknown_and_resolves_nothing() {
    let world = World::new().await;
    shop(&world).await;
    say(&world, "ok").await;
    say(&world, "critical").await;
    say(&world, "unknown").await;
    assert_eq!(all(&world, "incident").await[0].state, "detected");
    assert_eq!(all(&world, "alert").await[0].state, "firing");
    let nginx = world.kernel.find(&Session::system(TenantId::HOME), "nginx").await.unwrap();
    assert_eq!(nginx.health.unwrap().state.as_str(), "unknown");
}

#[tokio::test]
async fn what_is_measured_no_longer_is_not_up() {
    let world = World::new().await;
    let ana = shop(&world).await;
    let states = async || {
        let mut all = Vec::new();
        for key in ["nginx", "shop", "web-1"] {
            let record = world.kernel.find(&Session::system(TenantId::HOME), key).await.unwrap();
            all.push(record.health.map_or("none".to_owned(), |health| health.state.as_str().to_owned()));
        }
        all.join(", ")
    };
    let rolled_up = async || {
        let shop = world.kernel.find(&Session::system(TenantId::HOME), "shop").await.unwrap();
        let session = Session::controller("watch.rollup", TenantId::HOME);
        let cx = Cx { kernel: world.kernel.clone(), session, tenant: TenantId::HOME };
        watch::rollup::Rollup.reconcile(&cx, shop.id).await.unwrap();
    };
    say(&world, "ok").await;
    rolled_up().await;
    assert_eq!(states().await, "up, up, none");
    // The check goes to the host; the driver tells its controller of the entry.
    let target = Target::key("check", "shop-front");
    let act = Act::Update { target, fields: fields(json!({"on": "web-1"})), owner: None, expect: None };
    let check = world.kernel.act(&ana, act).await.unwrap();
    let head = world.kernel.backend().head().await.unwrap();
    let session = Session::controller("watch.health", TenantId::HOME).because(head);
    let cx = Cx { kernel: world.kernel.clone(), session, tenant: TenantId::HOME };
    watch::controllers::Health.reconcile(&cx, check.id).await.unwrap();
    rolled_up().await;
    assert_eq!(states().await, "unknown, unknown, up", "the shop needs what is unknown");
    let target = |class: &str, key: &str| Target::key(class, key);
    let (from, to) = (target("service", "shop"), target("application", "nginx"));
    world.kernel.act(&ana, Act::Unlink { from, name: "depends-on".into(), to }).await.unwrap();
    say(&world, "ok").await;
    rolled_up().await;
    assert_eq!(states().await, "unknown, unknown, up", "the shop needs nothing that is measured");
}

#[tokio::test]
async fn an_acknowledged_incident_pages_nobody_else() {
    let world = World::new().await;
    let ana = shop(&world).await;
    let policy = json!({"title": "Default", "steps": [{"after": "0s", "notify": ["hook"]}, {"after": "5m", "notify": ["hook"]}]});
    world.kernel.act(&ana, Create::of("escalation-policy", policy).keyed("default")).await.unwrap();
    say(&world, "critical").await;
    assert_eq!(all(&world, "notification").await.len(), 1, "the first step at once");
    let act = Act::Transition {
        target: Target::key("incident", "INC-1"),
        name: "acknowledge".into(),
        fields: Default::default(),
        note: None,
        expect: None,
    };
    world.kernel.act(&ana, act).await.unwrap();
    world.clock.advance(Duration::from_secs(600));
    settle(&world).await;
    assert_eq!(all(&world, "notification").await.len(), 1, "nobody else");
}

#[tokio::test]
async fn a_silence_holds_back_and_says_so() {
    let world = World::new().await;
    let ana = shop(&world).await;
    let until = world.kernel.now().plus(Duration::from_secs(3600));
    world
        .kernel
        .act(&ana, Create::of("silence", json!({"reason": "known", "matcher": "about:nginx", "until": until})))
        .await
        .unwrap();
    say(&world, "critical").await;
    assert!(all(&world, "incident").await.is_empty());
    assert_eq!(all(&world, "alert").await[0].text("suppressed_by"), "SIL-1");
    world.clock.advance(Duration::from_secs(3600));
    settle(&world).await;
    assert_eq!(all(&world, "incident").await.len(), 1, "it still fires when the silence is over");
}

#[tokio::test]
async fn a_runbook_runs_three_times_an_hour_and_then_a_person_is_asked() {
    let world = World::new().await;
    let ana = shop(&world).await;
    let runbook =
        json!({"approval": "none", "steps": [{"run": ["true"]}], "when": {"check": "shop-front", "state": "CRITICAL"}});
    world.kernel.act(&ana, Create::of("runbook", runbook).keyed("restart")).await.unwrap();
    for _ in 0..5 {
        say(&world, "critical").await;
        say(&world, "ok").await;
    }
    assert_eq!(all(&world, "runbook-run").await.len(), 3);
    let runs = all(&world, "runbook-run").await;
    assert!(runs.iter().all(|r| r.state == "approved"), "pre-approved");
}

/// A program as the agent sees it.
fn listening(title: &str, port: u16, unit: Option<&str>) -> serde_json::Value {
    json!({"identity": format!("{title}:{port}"), "key_hint": title, "title": title, "process": title, "unit": unit, "user": null,
        "ports": [{"protocol": "tcp", "address": "127.0.0.1", "port": port}], "pids": [1], "exe": null, "package": null, "version": null,
        "started": null, "running": true, "restart_needed": false, "evidence": []})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_passed_by_is_retired_and_what_matters_stays_down() {
    let world = World::new().await;
    let ana = world.admin().await;
    let agent =
        Session::own_agent(kernel::session::Actor::new(kernel::session::ActorKind::Agent, "local"), TenantId::HOME);
    let look = |running: serde_json::Value| -> edge::discover::Snapshot {
        serde_json::from_value(json!({"facts": {"hostname": "desk", "machine_id": "4711"}, "tables": {}, "applications": running, "cannot_see": []})).unwrap()
    };
    let all_of = json!([
        listening("passing", 41_000, None),
        listening("needed", 42_000, None),
        listening("daemon", 43_000, Some("daemon.service")),
        listening("server", 8_080, None),
    ]);
    know::machine::keep(&world.kernel, &agent, &look(all_of.clone())).await.unwrap();
    let shop =
        Create::of("service", json!({"name": "Shop"})).linked("depends-on", Target::key("application", "needed"));
    world.kernel.act(&ana, shop).await.unwrap();
    let checks = Session::controller("watch.checks", TenantId::HOME);
    for check in ["passing-tcp", "needed-tcp", "daemon-tcp", "server-tcp"] {
        let (target, name) = (Target::key("check", check), "critical".to_owned());
        let fields = fields(json!({"last_summary": "refused", "last_checked": world.kernel.now()}));
        world.kernel.act(&checks, Act::Transition { target, name, fields, note: None, expect: None }).await.unwrap();
    }
    settle(&world).await;
    let states = || async {
        let mut states: Vec<String> =
            all(&world, "application").await.iter().map(|a| format!("{} {}", a.key, a.state)).collect();
        states.sort();
        states.join(", ")
    };
    let passing = world.kernel.get(&agent, "check", "passing-tcp").await.unwrap().id;
    let none = look(json!([]));
    world.clock.advance(Duration::from_secs(300));
    know::machine::keep(&world.kernel, &agent, &none).await.unwrap();
    assert_eq!(
        states().await,
        "daemon active, needed active, passing active, server active",
        "five minutes are not long"
    );
    world.clock.advance(Duration::from_secs(301));
    know::machine::keep(&world.kernel, &agent, &none).await.unwrap();
    assert_eq!(states().await, "daemon active, needed active, passing retired, server active");
    // A deleted check is looked at once more, as the journal has it.
    let session = Session::controller("watch.raise", TenantId::HOME);
    let cx = Cx { kernel: world.kernel.clone(), session, tenant: TenantId::HOME };
    watch::controllers::Raise.reconcile(&cx, passing).await.unwrap();
    settle(&world).await;
    let firing: Vec<String> = all(&world, "alert")
        .await
        .into_iter()
        .filter(|a| a.state == "firing")
        .map(|a| a.text("from").to_owned())
        .collect();
    assert!(!firing.contains(&"passing-tcp".to_owned()) && firing.len() == 3, "{firing:?}");
    // It comes back: it is met anew and watched again.
    know::machine::keep(&world.kernel, &agent, &look(all_of)).await.unwrap();
    assert_eq!(states().await, "daemon active, needed active, passing retired, passing-2 active, server active");
}

struct Nowhere;

#[async_trait::async_trait]
impl watch::runner::Sink for Nowhere {
    async fn append(&self, _: TenantId, _: Vec<watch::runner::Sample>) {}
}

#[test]
fn checks_that_are_due_and_checks_that_answer_never_wait_for_each_other() {
    // On a thread of its own: workers that wait for each other's lock cannot be told to stop.
    let (done, ended) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(eight_askers());
        done.send(()).expect("somebody waits");
    });
    ended.recv_timeout(Duration::from_secs(120)).expect("eight askers beside the runner come to an end");
}

/// A runner that does not run yet.
fn runner(world: &World) -> Runner {
    let (kernel, limits) = (world.kernel.clone(), probe::schedule::Limits::default());
    Runner::new(kernel, probe::Env::real(), limits, Arc::new(Nowhere), world.kernel.now())
}

async fn eight_askers() {
    let world = World::new().await;
    let ana = world.admin().await;
    let runner = runner(&world);
    let mut ids = Vec::new();
    for n in 0..8 {
        let fields = json!({"protocol": "load", "interval": "1s"});
        let check = world.kernel.act(&ana, Create::of("check", fields).keyed(format!("load-{n}"))).await.unwrap();
        runner.hold(&check).await.unwrap();
        ids.push(check.id);
    }
    let running = tokio::spawn({
        let runner = runner.clone();
        async move { runner.run().await }
    });
    let asked = ids.into_iter().map(|id| {
        let (runner, clock) = (runner.clone(), world.clock.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                clock.advance(Duration::from_millis(300));
                runner.prove(id).await.unwrap();
            }
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    running.abort();
}
