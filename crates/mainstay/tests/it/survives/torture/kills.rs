//! Killed at any moment: nothing that was acknowledged is lost, nothing is there twice.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::load::Load;
use super::times;
use crate::server::{self, Place, Server};
use crate::world::{self, Dice, Watch};

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
