//! Native histograms: stored as floats are, through log, head, sealed files, copies and damage.

use std::fs;
use std::sync::Arc;

use series::formats::Batch;
use series::promql::{EngineSource, Limits, Query, Settings};
use series::{Appended, CUSTOM_BUCKETS, Engine, Histogram, Matcher, Refusal, ResetHint, SeriesData};

use crate::world::{HOUR, SECOND, T0, World, all, copy, labels, put, sample};

/// A counter of latencies after `n` scrapes.
fn latency(n: i64) -> Histogram {
    let counts = [(-3, n + 1), (0, 2 * n), (1, n / 2), (7, n / 5)];
    let positive: Vec<(i32, f64)> = counts.iter().filter(|c| c.1 > 0).map(|c| (c.0, c.1 as f64)).collect();
    let count = positive.iter().map(|b| b.1).sum::<f64>() + 3.0;
    let sum = n as f64 * 0.137;
    Histogram { schema: 2, zero_threshold: 1e-9, zero_count: 3.0, count, sum, positive, ..Histogram::default() }
}

async fn send(engine: &Engine, host: &str, histograms: Vec<(i64, Histogram)>) -> Appended {
    let mut batch = Batch::default();
    batch.begin_series(&labels("latency", host)).expect("it is taken");
    for (at_ms, histogram) in histograms {
        batch.histogram(at_ms, histogram).expect("it is taken");
    }
    engine.append_batch(1, batch).await.expect("the disk takes it")
}

fn row(first: i64, count: i64) -> Vec<(i64, Histogram)> {
    (first..first + count).map(|n| (T0 + n * 15 * SECOND, latency(n))).collect()
}

fn found(engine: &Engine, host: &str) -> Vec<(i64, Histogram)> {
    let matchers = [Matcher::eq("host", host)];
    let found = engine.select(1, &matchers, i64::MIN, i64::MAX).expect("it is taken");
    let histograms = found.into_iter().flat_map(|s| {
        assert_eq!(s.lost, []);
        s.histograms
    });
    histograms.map(|(at, h)| (at, (*h).clone())).collect()
}

async fn flush(engine: &Arc<Engine>) {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.flush()).await.expect("it ends").expect("the disk takes it");
}

#[tokio::test]
async fn they_come_back_from_head_log_copy_and_sealed_file() {
    let world = World::new();
    world.now(T0 + 5 * HOUR);
    let expected = row(0, 1_000);
    let (engine, _) = world.open();
    let mut shuffled = expected.clone();
    shuffled.sort_by_key(|(at, _)| at.wrapping_mul(0x9e37_79b9) % 7_919);
    for part in shuffled.chunks(90) {
        assert_eq!(send(&engine, "a", part.to_vec()).await.accepted, part.len());
    }
    assert_eq!(found(&engine, "a"), expected, "in the head, in any order");
    assert_eq!(engine.stats().head_samples, 1_000);
    drop(engine);
    let (engine, recovery) = world.open();
    assert_eq!(
        (found(&engine, "a"), recovery.samples, recovery.damaged),
        (expected.clone(), 1_000, vec![]),
        "from the log"
    );
    let target = tempfile::tempdir().unwrap();
    engine.snapshot_to(target.path()).unwrap();
    assert_eq!(found(&world.open_copy(target.path()).0, "a"), expected, "from a copy of the head");
    drop(engine);
    let engine = Arc::new(world.open().0);
    send(&engine, "b", row(0, 1)).await;
    world.now(T0 + 7 * HOUR);
    flush(&engine).await;
    let stats = engine.stats();
    assert_eq!((stats.head_samples, stats.blocks), (0, 3));
    assert_eq!((found(&engine, "a"), found(&engine, "b")), (expected.clone(), row(0, 1)), "from sealed files");
    assert!(engine.verify().unwrap().is_clean());
    drop(engine);
    let (engine, recovery) = world.open();
    assert_eq!((found(&engine, "a"), recovery.damaged), (expected, vec![]), "after a restart");
}

#[tokio::test]
async fn the_files_of_a_day_become_one_with_all_of_them() {
    let mut world = World::new();
    world.options.compact_after_ms = HOUR;
    world.now(T0 + 24 * HOUR);
    let engine = Arc::new(world.open().0);
    let expected: Vec<_> = (0..140).map(|n| (T0 + n * 600 * SECOND, latency(n))).collect();
    send(&engine, "a", expected.clone()).await;
    put(&engine, 1, (0..140).map(|n| sample("m", "x", T0 + n * 600 * SECOND, n as f64)).collect()).await;
    world.now(T0 + 60 * HOUR);
    for _ in 0..4 {
        flush(&engine).await;
    }
    assert!(engine.stats().blocks <= 2, "{}", engine.stats().blocks);
    assert_eq!(found(&engine, "a"), expected);
    // One that comes late is woven in.
    let late = (T0 + 60 * SECOND, latency(0));
    send(&engine, "a", vec![late.clone()]).await;
    world.now(T0 + 70 * HOUR);
    for _ in 0..4 {
        flush(&engine).await;
    }
    let mut woven = expected;
    woven.insert(1, late);
    assert_eq!(found(&engine, "a"), woven);
    assert!(engine.stats().blocks <= 2 && engine.verify().unwrap().is_clean());
}

#[tokio::test]
async fn a_series_may_have_floats_and_histograms_by_turns_but_not_at_one_time() {
    let world = World::new();
    world.now(T0 + HOUR);
    let engine = Arc::new(world.open().0);
    let at = |n: i64| T0 + n * SECOND;
    send(&engine, "a", vec![(at(1), latency(1)), (at(3), latency(3))]).await;
    let floats = |times: &[i64]| times.iter().map(|n| sample("latency", "a", at(*n), 0.0)).collect::<Vec<_>>();
    let answer = put(&engine, 1, floats(&[0, 1, 2, 3, 4])).await;
    assert_eq!(answer.accepted, 3);
    assert!(answer.refused.iter().all(|r| matches!(r.reason, Refusal::Conflict { .. })), "{answer:?}");
    let answer =
        send(&engine, "a", vec![(at(2), latency(2)), (at(3), latency(3)), (at(1), latency(9)), (at(5), latency(5))])
            .await;
    assert_eq!(answer.accepted, 2, "a repeat and a new one");
    assert_eq!(answer.refused.iter().map(|r| r.index).collect::<Vec<_>>(), [0, 2]);
    let mut both = Batch::default();
    both.begin_series(&labels("latency", "b")).unwrap();
    both.histogram(at(7), latency(7)).unwrap();
    both.point(at(7), 1.0).unwrap();
    let answer = engine.append_batch(1, both).await.unwrap();
    assert_eq!(
        (answer.accepted, answer.refused[0].index),
        (1, 1),
        "in one request too the first stays: floats come first"
    );
    let expected = [(at(1), latency(1)), (at(3), latency(3)), (at(5), latency(5))];
    let check = |engine: &Engine, why: &str| {
        assert_eq!(found(engine, "a"), expected, "{why}");
        let points = engine.select(1, &[Matcher::eq("host", "a")], i64::MIN, i64::MAX).unwrap()[0].points.clone();
        assert_eq!(points, [(at(0), 0.0), (at(2), 0.0), (at(4), 0.0)], "{why}");
    };
    check(&engine, "in the head");
    world.now(T0 + 4 * HOUR);
    flush(&engine).await;
    assert_eq!(engine.stats().head_samples, 0);
    check(&engine, "sealed");
    drop(engine);
    check(&world.open().0, "after a restart");
}

#[tokio::test]
async fn what_is_no_histogram_is_refused_and_the_rest_is_taken() {
    let world = World::new();
    let (engine, _) = world.open();
    let good = latency(3);
    let bad = [
        Histogram { count: 1.0, ..good.clone() },
        Histogram { schema: 99, ..good.clone() },
        Histogram { zero_count: f64::NAN, ..good.clone() },
        Histogram { schema: CUSTOM_BUCKETS, ..good.clone() },
    ];
    let sent: Vec<_> = bad.into_iter().chain([good.clone()]).enumerate().map(|(i, h)| (T0 + i as i64, h)).collect();
    let answer = send(&engine, "a", sent).await;
    assert_eq!((answer.accepted, answer.refused.len()), (1, 4));
    assert!(answer.refused.iter().all(|r| matches!(r.reason, Refusal::Histogram { .. })), "{answer:?}");
    assert_eq!(found(&engine, "a"), [(T0 + 4, good)]);
    let late = send(&engine, "a", vec![(T0 - 400 * HOUR, latency(0))]).await;
    assert!(matches!(late.refused[0].reason, Refusal::TooOld { .. }));
}

#[tokio::test]
async fn queries_see_them_their_resets_and_their_end() {
    let world = World::new();
    world.now(T0 + HOUR);
    let engine = Arc::new(world.open().0);
    let mut sent = row(0, 21);
    sent.push((T0 + 330 * SECOND, latency(0)));
    send(&engine, "a", sent).await;
    let ask = |text: &str, at_ms: i64| {
        let source = EngineSource { engine: &engine, tenant: 1 };
        let query = Query::parse(text).unwrap();
        let answer = query.instant(&source, at_ms, &Settings::default(), &Limits::default()).unwrap();
        format!("{:?}", answer.value)
    };
    assert!(
        ask("histogram_count(latency)", T0 + 300 * SECOND).contains("Float(78.0)"),
        "{}",
        ask("histogram_count(latency)", T0 + 300 * SECOND)
    );
    assert!(ask("histogram_quantile(0.5, rate(latency[5m]))", T0 + 300 * SECOND).contains("Float"));
    let hints: Vec<ResetHint> = found(&engine, "a").iter().map(|(_, h)| h.hint).collect();
    assert_eq!((hints[0], hints[1], hints[21]), (ResetHint::Unknown, ResetHint::NoReset, ResetHint::Unknown));
    assert!(
        ask("resets(latency[6m])", T0 + 331 * SECOND).contains("Float(1.0)"),
        "{}",
        ask("resets(latency[6m])", T0 + 331 * SECOND)
    );
    send(&engine, "a", vec![(T0 + 345 * SECOND, Histogram::stale())]).await;
    assert_eq!(ask("latency", T0 + 346 * SECOND), "Vector([])", "a series that has ended has no value");
    world.now(T0 + 3 * HOUR);
    flush(&engine).await;
    assert_eq!(ask("latency", T0 + 346 * SECOND), "Vector([])", "also when it is sealed");
    assert!(found(&engine, "a").last().unwrap().1.is_stale());
}

#[tokio::test]
async fn every_flipped_byte_of_a_log_with_histograms_is_told_of_and_never_served() {
    let mut world = World::new();
    let (engine, _) = world.open();
    let mut truth = Vec::new();
    for n in 0..6 {
        send(&engine, &format!("a{n}"), vec![(T0 + n * SECOND, latency(n))]).await;
        truth.push((T0 + n * SECOND, latency(n)));
    }
    drop(engine);
    flips(&world, "wal", &truth, 1).await;
    // And of a copy of the head.
    world.options.wal_checkpoint_bytes = 1;
    let (engine, _) = world.open();
    send(&engine, "b", row(0, 1)).await;
    send(&engine, "b", row(1, 1)).await;
    drop(engine);
    flips(&world, "wal", &truth, 6).await;
}

#[tokio::test]
async fn every_flipped_byte_of_a_sealed_file_with_histograms_is_found_and_never_served() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    send(&engine, "a", (0..20).map(|n| (T0 + n * SECOND, latency(n))).collect()).await;
    put(&engine, 1, (0..20).map(|n| sample("latency", "a", T0 + n * SECOND + 1, 1.0)).collect()).await;
    let truth = found(&engine, "a");
    world.now(T0 + 3 * HOUR);
    flush(&engine).await;
    drop(engine);
    flips(&world, "blocks", &truth, 20).await;
}

/// Turns one bit of each byte of the first file in a folder; at most `most` histograms may be missing then.
async fn flips(world: &World, folder: &str, truth: &[(i64, Histogram)], most: usize) {
    let file = crate::world::files(&world.dir.path().join(folder))[0].clone();
    let whole = fs::read(&file).expect("it is taken");
    for at in 0..whole.len() {
        let dir = copy(world.dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dir.path().join(folder).join(file.file_name().expect("it is taken")), bytes).expect("it is taken");
        assert!(!series::verify_directory(dir.path()).expect("it is taken").is_clean(), "flip at {at} is found");
        let (engine, recovery) = world.open_copy(dir.path());
        let data: Vec<SeriesData> = all(&engine, 1);
        let found: Vec<(i64, Histogram)> = data
            .iter()
            .filter(|s| s.labels.get("host") != Some("b"))
            .flat_map(|s| s.histograms.iter())
            .map(|(t, h)| (*t, (**h).clone()))
            .collect();
        assert!(found.iter().all(|h| truth.contains(h)), "flip at {at}: nothing wrong is served");
        assert!(found.len() + most >= truth.len(), "flip at {at}: {} of {} are readable", found.len(), truth.len());
        let told = !recovery.damaged.is_empty() || data.iter().any(|s| !s.lost.is_empty());
        assert!(told || found.len() == truth.len(), "flip at {at}: what is missing is told of");
    }
}
