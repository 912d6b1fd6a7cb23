//! Killed at any moment: nothing that was acknowledged is lost, nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;

use super::load::Load;
use super::times;
use crate::server::{self, Place, Server};
use crate::webhook::Receiver;
use crate::world::{self, Dice, Watch, until};

#[test]
fn what_was_acknowledged_survives_kill_9_and_is_there_once() {
    let _alone = world::alone();
    let rounds = times("MAINSTAY_KILLS", 100, 1000);
    let mut dice = Dice::of_today("kill -9");
    let mut load = Load::new(&mut dice, &[]);
    let place = Place::new();
    let watch = Watch::start();
    let mut token = None;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let mut server = Server::start(&place.data, &["--no-agent"]);
        slowest = slowest.max(server.start);
        server.http.token = Some(token.take().unwrap_or_else(|| server.token("admin")));
        token = server.http.token.clone();
        load.settle(&server.http);
        let http = server.http.clone();
        let alive = AtomicBool::new(false);
        load.run(&http, &alive, &alive, || {
            world::let_pass(Duration::from_micros(dice.below(300_000)));
            server.kill();
        });
    }
    let mut server = Server::start(&place.data, &["--no-agent"]);
    server.http.token = token;
    load.settle(&server.http);
    let differences = load.differences(&server.http);
    println!(
        "{rounds} kills in {:.0} s, {} acts acknowledged, slowest start {} ms",
        watch.passed().as_secs_f64(),
        load.acknowledged(),
        slowest.as_millis()
    );
    assert!(
        differences.is_empty(),
        "{} differences: {:#?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
    assert!(load.acknowledged() >= rounds, "a load of {} acts proves nothing", load.acknowledged());
    server.stop();
    let verified = server::cli(&place.data, &["verify"]);
    assert!(verified.status.success(), "verify: {}", world::text(&verified));
}

/// A page that was with its provider when the process died is held by a lease, and goes out again when that has ended.
const LEASE: Duration = Duration::from_secs(60);

#[test]
fn a_page_survives_kill_9_and_a_repeat_carries_the_same_key() {
    let _alone = world::alone();
    let mut dice = Dice::of_today("pages and kill -9");
    let (place, receiver) = (Place::new(), Receiver::open(""));
    let allowed = receiver.place();
    let words = ["--no-agent", "--allow-webhook", &allowed];
    let mut wanted = BTreeSet::new();
    let mut token = None;
    for round in 0..times("MAINSTAY_PAGE_KILLS", 10, 100) {
        let mut server = Server::start(&place.data, &words);
        if round == 0 {
            token = Some(server.token("admin"));
        }
        server.http.token.clone_from(&token);
        if round == 0 {
            let hook = json!({"type": "webhook", "settings": {"url": format!("http://{allowed}/page")}});
            server.http.must("POST", "/api/v1/records/channel", &json!({"key": "hook", "fields": hook}));
        }
        for number in 0..5 {
            let fields = json!({"title": format!("trouble {number} of round {round}")});
            let made = server.http.must("POST", "/api/v1/records/incident", &json!({"fields": fields}));
            wanted.insert(made["key"].as_str().expect("a key").to_owned());
        }
        world::let_pass(Duration::from_micros(dice.below(150_000)));
        server.kill();
    }
    let _server = Server::start(&place.data, &words);
    let pages = || {
        let mut pages: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for call in receiver.calls() {
            let about = call.body["record"]["key"].as_str().unwrap_or_default().to_owned();
            pages.entry(about).or_default().push(call.idempotency_key);
        }
        pages
    };
    until(LEASE + Duration::from_secs(30), "every acknowledged incident was paged", || {
        let pages = pages();
        let missing: Vec<&String> = wanted.iter().filter(|key| !pages.contains_key(*key)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not paged: {missing:?}")) }
    });
    let pages = pages();
    let calls: usize = pages.values().map(Vec::len).sum();
    println!("{} incidents, {calls} calls", pages.len());
    for (incident, keys) in &pages {
        let distinct: BTreeSet<&String> = keys.iter().collect();
        assert!(distinct.len() == 1 && !keys[0].is_empty(), "{incident} was paged as {keys:?}");
    }
}
