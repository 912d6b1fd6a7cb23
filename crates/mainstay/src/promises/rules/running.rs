//! Rules while their loop runs: what wakes them, when a wait ends, and how soon.

use super::*;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::JoinHandle;

#[expect(clippy::disallowed_methods, reason = "how long real work takes is what is measured")]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

/// The loop, and a clock that goes as the machine's does; both end with it.
pub(super) struct Running([JoinHandle<()>; 2]);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Begins after the first evaluations, so that only what happens then is counted.
pub(super) async fn running(w: &Watched) -> Running {
    w.world.clock.advance(Duration::from_secs(4));
    let (rules, clock) = (w.rules.clone(), w.world.clock.clone());
    let evaluating = tokio::spawn(async move { rules.run().await });
    let ticking = tokio::spawn(async move {
        loop {
            let before = stopwatch();
            tokio::time::sleep(Duration::from_millis(1)).await; // polls: the clock of the world goes as the machine's does
            clock.advance(before.elapsed());
        }
    });
    until("all were evaluated", async || w.rules.counters.evaluated.load(Relaxed) >= w.rules.len() as u64).await;
    Running([evaluating, ticking])
}

/// Waits until something is so.
pub(super) async fn until(what: &str, so: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // polls: what the loop does
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_written_value_wakes_the_rules_that_read_it() {
    let w = Watched::new().await;
    w.rule("high-load", json!({"title": "HighLoad", "expression": "load{host=\"a\"} > 4", "interval": "1h"})).await;
    w.rule("host-b", json!({"title": "HighLoad", "expression": "load{host=\"b\"} > 4", "interval": "1h"})).await;
    w.rule("other", json!({"title": "Other", "expression": "other > 4", "interval": "1h"})).await;
    let _running = running(&w).await;
    w.push("load", "a", 9.0).await;
    until("there is an alert", async || !w.all("alert").await.is_empty()).await;
    assert_eq!(w.rules.counters.on_arrival.load(Relaxed), 1, "and no other rule");
}

#[tokio::test]
async fn what_a_rule_records_does_not_wake_the_rule_itself() {
    let w = Watched::new().await;
    let given = json!({"title": "most", "record": "most", "expression": "max(load) or most", "interval": "1h"});
    w.rule("most", given).await;
    w.rule("too-much", json!({"title": "TooMuch", "expression": "most > 4", "interval": "1h"})).await;
    let _running = running(&w).await;
    for (n, expected) in [(1, 2), (2, 4)] {
        w.push("load", "a", 9.0 + f64::from(n)).await;
        until("both were evaluated", async || w.rules.counters.on_arrival.load(Relaxed) >= expected).await;
        assert_eq!(w.rules.counters.on_arrival.load(Relaxed), expected, "each once for each value");
    }
}

#[tokio::test]
async fn rules_that_read_what_they_write_come_to_rest() {
    let w = Watched::new().await;
    // The first two read their own alerts too, the last two read each other.
    for (key, given) in [
        ("too-many", json!({"title": "TooMany", "expression": "count(ALERTS{alertstate=\"firing\"}) > 0"})),
        ("any", json!({"title": "Any", "expression": "{host=\"a\"} > 4 < 100"})),
        ("ping", json!({"title": "ping", "record": "ping", "expression": "max(pong) or max(load)"})),
        ("pong", json!({"title": "pong", "record": "pong", "expression": "max(ping)"})),
    ] {
        let mut given = given;
        given["interval"] = json!("1h");
        w.rule(key, given).await;
    }
    let _running = running(&w).await;
    w.push("load", "a", 9.0).await;
    until("there is an alert about the alert", async || w.all("alert").await.len() == 2).await;
    let pong = Query::parse("pong").unwrap();
    until("one has read what the other has recorded", async || {
        let now = w.world.kernel.now().as_millis();
        let answer = w.metrics.instant(1, pong.clone(), now, Limits::default()).await.unwrap();
        super::shown(&answer.value)["result"][0]["value"][1] == "9"
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await; // polls: whether anything follows
    let evaluated = w.rules.counters.on_arrival.load(Relaxed);
    assert!((4..=8).contains(&evaluated), "each of the four, and no end to it: {evaluated}");
    w.push("load", "a", 10.0).await;
    until("they are awake again", async || w.rules.counters.on_arrival.load(Relaxed) >= evaluated + 4).await;
}

#[tokio::test]
async fn a_wait_ends_when_it_is_over_and_not_at_the_next_interval() {
    let w = Watched::new().await;
    let given = json!({"title": "HighLoad", "expression": "load > 4", "for_at_least": "400ms", "keep_firing_for": "400ms", "interval": "1h"});
    let rule = w.rule("high-load", given).await;
    let _running = running(&w).await;
    w.push("load", "a", 9.0).await;
    until("it fires", async || w.all("alert").await.first().is_some_and(|alert| alert.state == "firing")).await;
    let state = w.rules.state_of(rule.id).unwrap_or_default();
    let waited = state.instances.values().next().and_then(|i| Some(i.fired_ms? - i.since_ms));
    assert!(waited.is_none_or(|ms| (400..60_000).contains(&ms)), "{waited:?}");
    w.push("load", "a", 1.0).await;
    until("it is well", async || w.all("alert").await[0].state == "resolved").await;
    assert_eq!(w.rules.counters.on_arrival.load(Relaxed), 4, "two values and two waits");
}

/// How long a pushed value takes to its alert, in the milliseconds of this machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_value_is_an_alert_at_once() {
    let w = Watched::new().await;
    for n in 0..100 {
        let expression = format!("load_{n} > 4");
        w.rule(&format!("high-{n}"), json!({"title": "HighLoad", "expression": expression, "interval": "1h"})).await;
    }
    let _running = running(&w).await;
    let mut head = w.world.kernel.head();
    let mut took = Vec::new();
    for n in 0..60 {
        let before = stopwatch();
        w.push(&format!("load_{n}"), &format!("h{n}"), 9.0).await;
        while w.all("alert").await.len() <= n {
            drop(tokio::time::timeout(Duration::from_secs(20), head.changed()).await.expect("an alert within 20 s"));
        }
        took.push(before.elapsed().as_millis());
    }
    took.sort_unstable();
    let p95 = took[took.len() * 95 / 100];
    println!("figure: pushed value to alert, p95 | {p95} ms | 50 ms | {}", if p95 <= 50 { "kept" } else { "missed" });
    assert!(p95 < 2_000, "{took:?}");
}
