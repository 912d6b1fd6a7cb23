//! Deletes: gone at once for every reader, for ever, and nothing else with them.

use std::sync::Arc;

use series::formats::Batch;
use series::{Engine, Histogram, MatchOp, Matcher};

use crate::world::{HOUR, SECOND, T0, World, all, copy, labels, put, sample};

async fn flush(engine: &Arc<Engine>) {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.flush()).await.expect("it ends").expect("the disk takes it");
}

async fn delete(engine: &Arc<Engine>, matchers: Vec<Matcher>, from: i64, to: i64) {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.delete(1, &matchers, from, to))
        .await
        .expect("it ends")
        .expect("it is logged");
}

/// Hours of the samples of each host, histograms as negative numbers.
fn hours(engine: &Engine) -> Vec<(String, Vec<i64>)> {
    let found = all(engine, 1).into_iter().map(|s| {
        assert_eq!(s.lost, []);
        let floats = s.points.iter().map(|p| (p.0 - T0) / HOUR);
        let natives = s.histograms.iter().map(|h| -(h.0 - T0) / HOUR);
        (s.labels.get("host").expect("it is there").to_owned(), floats.chain(natives).collect())
    });
    found.collect()
}

fn expected(of: &[(&str, &[i64])]) -> Vec<(String, Vec<i64>)> {
    of.iter().map(|(host, hours)| ((*host).to_owned(), hours.to_vec())).collect()
}

/// A sample an hour of two hosts, floats and histograms, for eight hours.
async fn eight_hours(world: &World, engine: &Engine) {
    world.now(T0 + 8 * HOUR);
    for host in ["a", "b"] {
        put(engine, 1, (0..8).map(|h| sample("m", host, T0 + h * HOUR, 1.0)).collect()).await;
    }
    let mut native = Batch::default();
    native.begin_series(&labels("n", "c")).expect("it is taken");
    (1..8).for_each(|h| native.histogram(T0 + h * HOUR, Histogram::default()).expect("it is taken"));
    engine.append_batch(1, native).await.expect("it is taken");
    put(engine, 2, vec![sample("m", "a", T0 + 3 * HOUR, 1.0)]).await;
}

#[tokio::test]
async fn what_is_deleted_is_gone_in_head_and_sealed_files_through_kill_and_compaction() {
    let mut world = World::new();
    let engine = Arc::new(world.open().0);
    eight_hours(&world, &engine).await;
    world.now(T0 + 9 * HOUR);
    flush(&engine).await;
    // What comes now is in the head.
    world.now(T0 + 10 * HOUR);
    put(&engine, 1, [("a", 9), ("a", 10), ("b", 10)].map(|(host, h)| sample("m", host, T0 + h * HOUR, 1.0)).into())
        .await;
    let mut native = Batch::default();
    native.begin_series(&labels("n", "c")).unwrap();
    native.histogram(T0 + 9 * HOUR, Histogram::default()).unwrap();
    native.histogram(T0 + 10 * HOUR, Histogram::default()).unwrap();
    engine.append_batch(1, native).await.unwrap();
    assert!(engine.stats().blocks == 4 && engine.stats().head_samples > 0, "{:?}", engine.stats());
    let host = Matcher::new("host", MatchOp::Re, "a|c").unwrap();
    delete(&engine, vec![host], T0 + HOUR, T0 + 9 * HOUR).await;
    let left = expected(&[("a", &[0, 10]), ("b", &[0, 1, 2, 3, 4, 5, 6, 7, 10]), ("c", &[-10])]);
    assert_eq!(hours(&engine), left, "at once");
    assert_eq!(all(&engine, 2).len(), 1, "another tenant's stays");
    let killed = copy(world.dir.path());
    assert_eq!(hours(&world.open_copy(killed.path()).0), left, "after a kill");
    // What comes later is kept, whatever its time.
    put(&engine, 1, vec![sample("m", "a", T0 + 3 * HOUR + 1, 5.0), sample("m", "a", T0 + 5 * HOUR, 5.0)]).await;
    let left = expected(&[("a", &[0, 3, 5, 10]), ("b", &[0, 1, 2, 3, 4, 5, 6, 7, 10]), ("c", &[-10])]);
    assert_eq!(hours(&engine), left);
    let killed = copy(world.dir.path());
    assert_eq!(hours(&world.open_copy(killed.path()).0), left, "after a kill");
    world.now(T0 + 14 * HOUR);
    flush(&engine).await;
    assert_eq!((hours(&engine), engine.stats().head_samples), (left.clone(), 0), "all of it sealed");
    let target = tempfile::tempdir().unwrap();
    engine.snapshot_to(target.path()).unwrap();
    assert_eq!(hours(&world.open_copy(target.path()).0), left, "in a copy");
    drop(engine);
    world.options.compact_after_ms = HOUR;
    world.now(T0 + 60 * HOUR);
    let engine = Arc::new(world.open().0);
    assert_eq!(hours(&engine), left, "after a restart");
    for _ in 0..4 {
        flush(&engine).await;
    }
    assert_eq!(hours(&engine), left, "made anew");
    assert!(engine.verify().unwrap().is_clean());
    // A sample of a new window, so that its sealing writes the head anew, without the delete.
    put(&engine, 1, vec![sample("m", "b", T0 + 60 * HOUR, 1.0)]).await;
    world.now(T0 + 63 * HOUR);
    flush(&engine).await;
    flush(&engine).await;
    assert_eq!(engine.stats().waiting_deletes, 0, "no file needs it any more");
    drop(engine);
    let (engine, recovery) = world.open();
    assert_eq!((hours(&engine)[0].clone(), recovery.damaged), (left[0].clone(), vec![]), "for ever");
}

#[tokio::test]
async fn a_series_of_which_all_is_deleted_is_no_longer_listed() {
    let mut world = World::new();
    world.options.compact_after_ms = HOUR;
    let engine = Arc::new(world.open().0);
    eight_hours(&world, &engine).await;
    world.now(T0 + 11 * HOUR);
    flush(&engine).await;
    delete(&engine, vec![Matcher::eq("host", "a")], i64::MIN, i64::MAX).await;
    assert_eq!(engine.label_values(1, "host", &[]), ["b", "c"]);
    assert_eq!(engine.series(1, &[Matcher::eq("host", "a")]), []);
    let before = engine.stats().block_bytes;
    world.now(T0 + 60 * HOUR);
    for _ in 0..3 {
        flush(&engine).await;
    }
    let stats = engine.stats();
    assert!(stats.block_bytes < before, "its room comes back");
    assert_eq!(stats.series, 3, "b, c, and the other tenant's a");
    assert_eq!(engine.label_values(1, "host", &[]), ["b", "c"]);
    put(&engine, 1, vec![sample("m", "a", T0 + 60 * HOUR, 1.0)]).await;
    assert_eq!(engine.label_values(1, "host", &[]), ["a", "b", "c"], "and it can come again");
}

#[tokio::test]
async fn a_file_made_after_a_delete_is_never_taken_for_an_older_one() {
    let mut world = World::new();
    world.options.retention_ms = 24 * HOUR;
    let engine = Arc::new(world.open().0);
    eight_hours(&world, &engine).await;
    world.now(T0 + 11 * HOUR);
    flush(&engine).await;
    delete(&engine, vec![], i64::MIN, i64::MAX).await;
    assert_eq!(hours(&engine), []);
    // All files expire, so that generations could begin anew.
    world.now(T0 + 100 * HOUR);
    put(&engine, 1, vec![sample("m", "z", T0 + 100 * HOUR, 1.0)]).await;
    flush(&engine).await;
    assert_eq!(engine.stats().blocks, 0);
    world.now(T0 + 103 * HOUR);
    flush(&engine).await;
    assert_eq!((hours(&engine), engine.stats().blocks), (expected(&[("z", &[100])]), 1));
    let killed = copy(world.dir.path());
    drop(engine);
    assert_eq!(hours(&world.open().0), expected(&[("z", &[100])]));
    assert_eq!(hours(&world.open_copy(killed.path()).0), expected(&[("z", &[100])]));
}

#[tokio::test]
async fn exemplars_go_with_their_samples() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    for (host, at) in [("a", T0), ("a", T0 + 5 * SECOND), ("b", T0)] {
        let mut batch = Batch::default();
        batch.begin_series(&labels("m", host)).unwrap();
        batch.point(at, 1.0).unwrap();
        batch.exemplar(vec![("trace_id".into(), "t".into())], 1.0, None).unwrap();
        engine.append_batch(1, batch).await.unwrap();
    }
    delete(&engine, vec![Matcher::eq("host", "a")], T0, T0 + SECOND).await;
    let count = |engine: &Engine| {
        engine.exemplars(1, &[&[]], (i64::MIN, i64::MAX)).iter().map(|s| s.exemplars.len()).collect::<Vec<_>>()
    };
    assert_eq!(count(&engine), [1, 1]);
    drop(engine);
    assert_eq!(count(&world.open().0), [1, 1], "after a restart");
}
