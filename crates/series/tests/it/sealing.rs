//! Sealing, retention, copies, and a kill at every step of them.

use std::sync::Arc;

use series::formats::{Batch, Roster};

use crate::world::{HOUR, SECOND, T0, World, all, copy, points, put, sample};

/// Six hours of one sample a minute of two series.
async fn six_hours(world: &World, engine: &series::Engine) {
    world.now(T0 + 6 * HOUR);
    for host in ["a", "b"] {
        put(engine, 1, (0..360).map(|i| sample("m", host, T0 + i * 60 * SECOND, i as f64)).collect()).await;
    }
}

fn flush(engine: &Arc<series::Engine>) -> tokio::task::JoinHandle<series::Result<()>> {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.flush())
}

#[tokio::test]
async fn windows_that_are_over_become_one_file_each_and_the_log_is_cut() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    let before = all(&engine, 1);
    world.now(T0 + 6 * HOUR + 5 * 60 * SECOND);
    put(&engine, 1, vec![sample("m", "a", T0 + 6 * HOUR, 1.0)]).await;
    world.now(T0 + 6 * HOUR + 16 * 60 * SECOND);
    flush(&engine).await.unwrap().unwrap();
    assert_eq!(world.block_files().len(), 3);
    let stats = engine.stats();
    assert_eq!((stats.head_samples, stats.blocks, stats.active_series, stats.series), (1, 3, 1, 2));
    assert!(stats.wal_bytes < 200, "{} bytes of log for one sample", stats.wal_bytes);
    assert!(stats.block_bytes < 720 * 4, "{} bytes for 720 samples", stats.block_bytes);
    let later = engine.select(1, &[], i64::MIN, T0 + 6 * HOUR - 1).unwrap();
    assert_eq!(later, before);
}

#[tokio::test]
async fn a_backfilled_window_is_woven_into_its_file() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    world.now(T0 + 7 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    put(&engine, 1, (0..100).map(|i| sample("late", "z", T0 + i * SECOND, 7.0)).collect()).await;
    put(&engine, 1, vec![sample("m", "a", T0 + 1, 8.0), sample("m", "a", T0, 99.0)]).await;
    world.now(T0 + 8 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    assert_eq!(world.block_files().len(), 3, "the older file of the window is replaced");
    assert_eq!(points(&engine, 1, "late").len(), 100);
    let a = engine.select(1, &[series::Matcher::eq("host", "a")], T0, T0 + 1).unwrap();
    assert_eq!(a[0].points, [(T0, 0.0), (T0 + 1, 8.0)], "what was stored first stays");
}

#[tokio::test]
async fn a_kill_between_any_two_steps_of_sealing_loses_and_doubles_nothing() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    let truth = all(&engine, 1);
    let before = copy(world.dir.path());
    world.now(T0 + 7 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    put(&engine, 1, vec![sample("m", "a", T0 + 1, 8.0)]).await;
    let middle = copy(world.dir.path());
    let truth_middle = all(&engine, 1);
    world.now(T0 + 8 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    let truth_after = all(&engine, 1);
    assert_eq!(truth_middle, truth_after);
    drop(engine);
    let after = copy(world.dir.path());
    let file = |name: &str, from: &tempfile::TempDir, to: &tempfile::TempDir| {
        std::fs::copy(from.path().join(name), to.path().join(name)).expect("a file of that name");
    };
    let first = format!("blocks/{T0}.1.blk");
    let second = format!("blocks/{T0}.4.blk");

    let part = copy(before.path());
    std::fs::write(part.path().join(format!("blocks/{T0}.1.part")), b"half a file").unwrap();
    assert_eq!(all(&world.open_copy(part.path()).0, 1), truth, "killed while a file was written");

    let sealed_not_cut = copy(before.path());
    file(&first, &middle, &sealed_not_cut);
    let (engine, recovery) = world.open_copy(sealed_not_cut.path());
    assert_eq!(all(&engine, 1), truth, "killed before the log was cut");
    assert_eq!(recovery.samples, 480, "what is sealed is not read from the log again");

    let both = copy(after.path());
    file(&first, &middle, &both);
    assert_eq!(all(&world.open_copy(both.path()).0, 1), truth_after, "killed before the replaced file was removed");
    assert!(!both.path().join(&first).exists(), "the start finishes what was interrupted");

    let sealed_again = copy(middle.path());
    file(&second, &after, &sealed_again);
    assert_eq!(all(&world.open_copy(sealed_again.path()).0, 1), truth_after, "killed before the log was cut again");
}

#[tokio::test]
async fn what_arrives_late_for_a_sealed_window_outlives_a_restart_and_a_copy() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    world.now(T0 + 7 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    assert!(world.wal_files().is_empty(), "everything is sealed");
    drop(engine);
    let (engine, _) = world.open();
    put(&engine, 1, vec![sample("late", "a", T0 + 1, 8.0)]).await;
    let target = tempfile::tempdir().unwrap();
    engine.snapshot_to(target.path()).unwrap();
    assert_eq!(points(&world.open_copy(target.path()).0, 1, "late"), [(T0 + 1, 8.0)], "in the copy");
    drop(engine);
    let (engine, recovery) = world.open();
    assert_eq!(points(&engine, 1, "late"), [(T0 + 1, 8.0)], "after a restart");
    assert_eq!(recovery.samples, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_while_files_are_sealed_and_replaced_sees_every_point_once() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    let truth = engine.select(1, &[series::Matcher::eq("__name__", "m")], i64::MIN, i64::MAX).unwrap();
    for round in 0..8 {
        let reader = engine.clone();
        let (expected, sealing) = (truth.clone(), flush(&engine));
        let reading = tokio::task::spawn_blocking(move || {
            for _ in 0..25 {
                let found = reader.select(1, &[series::Matcher::eq("__name__", "m")], i64::MIN, i64::MAX).unwrap();
                assert_eq!(found, expected, "round {round}");
            }
        });
        reading.await.unwrap();
        sealing.await.unwrap().unwrap();
        // Something late for each window, so that the next round replaces every file.
        world.now(T0 + (8 + round) * HOUR);
        let late = (0..3).map(|w| sample("late", "z", T0 + w * 2 * HOUR + round + 1, 1.0));
        put(&engine, 1, late.collect()).await;
        world.now(T0 + (8 + round) * HOUR + 30 * 60 * SECOND);
    }
    assert_eq!(points(&engine, 1, "late").len(), 24);
    assert_eq!(engine.stats().damaged_reads, 0);
    assert_eq!(world.block_files().len(), 3);
}

#[tokio::test]
async fn files_go_when_they_are_too_old_and_their_series_with_them() {
    let mut world = World::new();
    world.options.retention_ms = 24 * HOUR;
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    world.now(T0 + 27 * HOUR);
    put(&engine, 1, vec![sample("new", "c", T0 + 27 * HOUR, 1.0)]).await;
    flush(&engine).await.unwrap().unwrap();
    assert_eq!(engine.stats().blocks, 2, "the first window is past, the second is not");
    assert_eq!(all(&engine, 1)[0].points[0].0, T0 + 2 * HOUR);
    world.now(T0 + 40 * HOUR);
    put(&engine, 1, vec![sample("new", "c", T0 + 40 * HOUR, 1.0)]).await;
    flush(&engine).await.unwrap().unwrap();
    assert_eq!(engine.series(1, &[]).len(), 1, "a series without a point is forgotten");
    assert_eq!(engine.label_values(1, "host", &[]), ["c"]);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_empties_nothing() {
    let mut world = World::new();
    world.options.retention_ms = 24 * HOUR;
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    let truth = all(&engine, 1);
    world.now(T0 + 10_000 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    assert_eq!(all(&engine, 1), truth);
}

#[tokio::test]
async fn a_copy_made_while_samples_arrive_opens_and_holds_what_was_acknowledged_before_it() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    six_hours(&world, &engine).await;
    world.now(T0 + 7 * HOUR);
    flush(&engine).await.unwrap().unwrap();
    put(&engine, 1, vec![sample("recent", "a", T0 + 7 * HOUR, 1.0)]).await;
    let truth = all(&engine, 1);
    let target = tempfile::tempdir().unwrap();
    let (copier, to) = (engine.clone(), target.path().to_path_buf());
    let copying = tokio::task::spawn_blocking(move || copier.snapshot_to(&to));
    let more: Vec<_> = (1..200).map(|i| sample("more", "a", T0 + 7 * HOUR + i, 1.0)).collect();
    for one in more {
        put(&engine, 2, vec![one]).await;
    }
    let report = copying.await.unwrap().unwrap();
    assert_eq!(report.files, 5, "three sealed files, the head, and how long it is");
    let (copied, recovery) = world.open_copy(target.path());
    assert_eq!(recovery.damaged, []);
    assert_eq!(all(&copied, 1), truth);
    drop(copied);
    let second = engine.clone();
    let again = tokio::task::spawn_blocking(move || second.snapshot_to(target.path())).await.unwrap();
    assert!(again.is_err(), "a folder that holds something is not written over");
}

/// Series of these names as remote write has their labels.
fn roster(names: &[&str]) -> Arc<Roster> {
    let (mut text, mut keys) = (Vec::new(), Vec::new());
    for name in names {
        let from = text.len() as u32;
        let (label, length) = (b"__name__", name.len() as u8);
        text.extend_from_slice(&[0x0a, 12 + length, 0x0a, 8]);
        text.extend_from_slice(label);
        text.extend_from_slice(&[0x12, length]);
        text.extend_from_slice(name.as_bytes());
        keys.push((from, text.len() as u32));
    }
    Arc::new(Roster::new(Arc::new(text), keys).expect("the stretches are of the text"))
}

#[tokio::test]
async fn a_roster_means_its_series_also_after_their_numbers_were_given_to_others() {
    let mut world = World::new();
    world.options.retention_ms = 24 * HOUR;
    let engine = Arc::new(world.open().0);
    world.now(T0 + 10);
    let roster = roster(&["a", "b"]);
    let write = async |at_ms: i64| {
        let batch = Batch::of_roster(&roster, vec![(at_ms, 1.0), (at_ms, 2.0)]).unwrap();
        assert_eq!(engine.append_batch(1, batch).await.unwrap().accepted, 2);
    };
    for at_ms in [T0, T0 + 1, T0 + 2] {
        write(at_ms).await;
    }
    assert_eq!(points(&engine, 1, "b"), [(T0, 2.0), (T0 + 1, 2.0), (T0 + 2, 2.0)]);
    for hours in [4, 40] {
        world.now(T0 + hours * HOUR);
        put(&engine, 1, vec![sample("keeps", "x", T0 + hours * HOUR, 1.0)]).await;
        flush(&engine).await.unwrap().unwrap();
    }
    assert!(engine.series(1, &[]).iter().all(|labels| labels.name() == "keeps"), "a and b are forgotten");
    let now = T0 + 40 * HOUR;
    put(&engine, 1, ["c", "d", "e"].map(|name| sample(name, "x", now, 3.0)).to_vec()).await;
    for at_ms in [now, now + 1] {
        write(at_ms).await;
    }
    assert_eq!(points(&engine, 1, "a"), [(now, 1.0), (now + 1, 1.0)]);
    assert_eq!(points(&engine, 1, "b"), [(now, 2.0), (now + 1, 2.0)]);
    assert_eq!(points(&engine, 1, "c"), [(now, 3.0)], "whoever has their numbers now has nothing of theirs");
}
