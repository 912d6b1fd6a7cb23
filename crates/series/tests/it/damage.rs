//! Cuts and flips: nothing panics, nothing acknowledged before a cut is missing, nothing wrong is served.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use series::{DamageKind, Labels, SeriesData};

use crate::world::{HOUR, SECOND, T0, World, all, copy, put, sample};

/// Where a sealed file's chunks begin: behind its header.
const CHUNKS_AT: usize = 82;

/// Bytes of a segment's first frame, its version: on the disk before anything is acknowledged.
const FIRST_FRAME: usize = 18;

type Points = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn by_series(found: &[SeriesData]) -> Points {
    found.iter().map(|s| (s.labels.clone(), s.points.iter().map(|(t, v)| (*t, v.to_bits())).collect())).collect()
}

/// Everything in `found` is in `truth`: what is served is right.
fn nothing_wrong(found: &Points, truth: &Points, why: &str) {
    for (labels, points) in found {
        for (at, value) in points {
            assert_eq!(truth.get(labels).and_then(|p| p.get(at)), Some(value), "{why}: {labels:?} at {at}");
        }
    }
}

fn count(points: &Points) -> usize {
    points.values().map(BTreeMap::len).sum()
}

#[tokio::test]
async fn a_log_cut_at_any_byte_keeps_everything_acknowledged_before_the_cut() {
    let world = World::new();
    let (engine, _) = world.open();
    let mut acknowledged = Vec::new();
    for i in 0..12 {
        put(&engine, 1, vec![sample("m", &format!("h{}", i % 5), T0 + i, i as f64), sample("n", "x", T0 + i, 0.5)])
            .await;
        let log = &world.wal_files()[0];
        acknowledged.push((fs::metadata(log).unwrap().len(), by_series(&all(&engine, 1))));
    }
    let killed = copy(world.dir.path());
    drop(engine);
    let whole = fs::read(&world.wal_files()[0]).unwrap();
    let truth = &acknowledged[11].1;
    for cut in FIRST_FRAME..=whole.len() {
        let dir = copy(killed.path());
        let log = dir.path().join("wal").join(world.wal_files()[0].file_name().unwrap());
        fs::write(&log, &whole[..cut]).unwrap();
        let (engine, recovery) = world.open_copy(dir.path());
        let found = by_series(&all(&engine, 1));
        let empty = Points::new();
        let before = acknowledged.iter().rev().find(|(length, _)| *length <= cut as u64).map_or(&empty, |(_, p)| p);
        assert_eq!(&found, before, "cut at {cut}");
        assert_eq!(recovery.damaged.is_empty(), recovery.cut_bytes == 0, "cut at {cut}: what was cut off is told");
        nothing_wrong(&found, truth, "after a cut");
        put(&engine, 1, vec![sample("after", "x", T0, 1.0)]).await;
        drop(engine);
        let (engine, recovery) = world.open_copy(dir.path());
        assert_eq!(recovery.damaged, [], "cut at {cut}: repaired once, clean for ever");
        assert_eq!(count(&by_series(&all(&engine, 1))), count(before) + 1, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_while_nobody_wrote_is_told_of_until_a_copy_of_the_head_replaces_it() {
    let world = World::new();
    let (engine, _) = world.open();
    for i in 0..4 {
        put(&engine, 1, vec![sample("m", "x", T0 + i, i as f64)]).await;
    }
    let truth = by_series(&all(&engine, 1));
    let killed = copy(world.dir.path());
    drop(engine);
    let name = world.wal_files()[0].file_name().unwrap().to_owned();
    let whole = fs::read(&world.wal_files()[0]).unwrap();
    for (of, known) in [(world.dir.path(), whole.len()), (killed.path(), FIRST_FRAME)] {
        // None: the file itself is gone.
        for cut in [None].into_iter().chain((0..known).map(Some)) {
            let dir = copy(of);
            let log = dir.path().join("wal").join(&name);
            match cut {
                Some(cut) => fs::write(&log, &whole[..cut]).unwrap(),
                None => fs::remove_file(&log).unwrap(),
            }
            let told = series::verify_directory(dir.path()).unwrap().damaged;
            let gone = |d: &series::Damage| {
                d.kind == DamageKind::Gone && d.offset <= cut.unwrap_or(0) as u64 && d.offset + d.length == known as u64
            };
            assert!(told.len() == 1 && told.iter().all(gone), "cut at {cut:?} of {known}: {told:?}");
            for start in 0..3 {
                let (engine, recovery) = world.open_copy(dir.path());
                nothing_wrong(&by_series(&all(&engine, 1)), &truth, "after a cut");
                assert_eq!(recovery.damaged, told, "cut at {cut:?} of {known}, start {start}");
                assert_eq!(engine.verify().unwrap().damaged, told, "cut at {cut:?} of {known}, start {start}");
            }
            let (engine, _) = world.open_copy(dir.path());
            put(&engine, 1, vec![sample("m", "y", T0, 1.0)]).await;
            assert_eq!(engine.verify().unwrap().damaged, told, "cut at {cut:?} of {known}: also behind a new segment");
        }
    }
}

#[tokio::test]
async fn what_was_in_the_log_for_half_a_minute_is_missed_after_a_kill() {
    let world = World::new();
    let (engine, _) = world.open();
    put(&engine, 1, vec![sample("m", "x", T0, 1.0)]).await;
    let fresh = copy(world.dir.path());
    world.now(T0 + 31 * SECOND);
    put(&engine, 1, vec![sample("m", "x", T0 + 1, 1.0)]).await;
    let kept = fs::metadata(&world.wal_files()[0]).unwrap().len();
    // The writer has looked after everything else when it answers again.
    put(&engine, 1, vec![sample("m", "x", T0 + 2, 1.0)]).await;
    let killed = copy(world.dir.path());
    drop(engine);
    let name = world.wal_files()[0].file_name().unwrap().to_owned();
    let told = |of: &std::path::Path, length: u64| {
        let dir = copy(of);
        fs::File::options().write(true).open(dir.path().join("wal").join(&name)).unwrap().set_len(length).unwrap();
        series::verify_directory(dir.path()).unwrap().damaged.into_iter().map(|d| d.kind).collect::<Vec<_>>()
    };
    assert_eq!(told(killed.path(), kept), [], "what came since may be torn by a kill");
    assert_eq!(told(killed.path(), kept - 1), [DamageKind::Gone]);
    assert_eq!(told(fresh.path(), FIRST_FRAME as u64), []);
    assert_eq!(told(killed.path(), FIRST_FRAME as u64), [DamageKind::Gone], "cut between two frames");
}

#[tokio::test]
async fn every_flipped_byte_of_the_list_of_lengths_is_found_and_costs_nothing() {
    let world = World::new();
    let (engine, _) = world.open();
    put(&engine, 1, vec![sample("m", "x", T0, 1.0)]).await;
    let truth = by_series(&all(&engine, 1));
    drop(engine);
    let whole = fs::read(world.dir.path().join("wal/lengths")).unwrap();
    let flipped = |at: usize| [&whole[..at], &[whole[at] ^ (1 << (at % 8))], &whole[at + 1..]].concat();
    for bytes in (0..whole.len()).flat_map(|at| [flipped(at), whole[..at].to_vec()]) {
        let dir = copy(world.dir.path());
        fs::write(dir.path().join("wal/lengths"), &bytes).unwrap();
        let told = series::verify_directory(dir.path()).unwrap().damaged;
        assert!(told.len() == 1 && told[0].file == "wal/lengths", "{bytes:?}: {told:?}");
        let (engine, recovery) = world.open_copy(dir.path());
        assert_eq!((by_series(&all(&engine, 1)), &recovery.damaged), (truth.clone(), &told), "{bytes:?}");
        drop(engine);
        assert!(series::verify_directory(dir.path()).unwrap().is_clean(), "it is written anew at the end");
    }
}

#[tokio::test]
async fn every_flipped_byte_of_a_log_is_told_of_and_costs_little() {
    let world = World::new();
    let (engine, _) = world.open();
    for i in 0..8 {
        put(&engine, 1, vec![sample("m", &format!("h{i}"), T0 + i, i as f64)]).await;
    }
    let truth = by_series(&all(&engine, 1));
    drop(engine);
    let log = world.wal_files()[0].clone();
    let whole = fs::read(&log).unwrap();
    for at in 0..whole.len() {
        let dir = copy(world.dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dir.path().join("wal").join(log.file_name().unwrap()), bytes).unwrap();
        assert!(!series::verify_directory(dir.path()).unwrap().is_clean(), "flip at {at} is found without the engine");
        let (engine, recovery) = world.open_copy(dir.path());
        let found = by_series(&all(&engine, 1));
        nothing_wrong(&found, &truth, &format!("flip at {at}"));
        assert_eq!(recovery.damaged.len(), 1, "flip at {at} is told of");
        // A frame a request: one is lost, or the segment's first, which holds no sample.
        assert!(count(&found) >= 7, "flip at {at}: the rest is readable");
    }
}

#[tokio::test]
async fn every_flipped_byte_of_a_sealed_file_is_found_and_never_served() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    world.now(T0 + HOUR);
    for host in ["a", "b", "c"] {
        put(&engine, 1, (0..20).map(|i| sample("m", host, T0 + i * SECOND, i as f64)).collect()).await;
    }
    let truth = by_series(&all(&engine, 1));
    world.now(T0 + 3 * HOUR);
    let sealing = engine.clone();
    tokio::task::spawn_blocking(move || sealing.flush()).await.unwrap().unwrap();
    drop(engine);
    let name = world.block_files()[0].file_name().unwrap().to_owned();
    let whole = fs::read(&world.block_files()[0]).unwrap();
    let dir = copy(world.dir.path());
    let path = dir.path().join("blocks").join(name);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, bytes).unwrap();
        let (engine, recovery) = world.open_copy(dir.path());
        let data = all(&engine, 1);
        let found = by_series(&data);
        nothing_wrong(&found, &truth, &format!("flip at {at}"));
        assert!(count(&found) >= 40, "flip at {at}: the other series are readable");
        assert!(!engine.verify().unwrap().is_clean(), "flip at {at}: verify finds it");
        assert!(!series::verify_directory(dir.path()).unwrap().is_clean(), "flip at {at}: also without the engine");
        let told = !recovery.damaged.is_empty() || data.iter().any(|s| !s.lost.is_empty());
        assert!(told || count(&found) == 60, "flip at {at}: what is missing is told of");
    }
}

#[tokio::test]
async fn a_sealed_file_cut_anywhere_or_gone_costs_only_itself() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    world.now(T0 + 3 * HOUR);
    put(&engine, 1, vec![sample("m", "a", T0, 1.0), sample("m", "a", T0 + 2 * HOUR, 2.0)]).await;
    world.now(T0 + 5 * HOUR);
    let sealing = engine.clone();
    tokio::task::spawn_blocking(move || sealing.flush()).await.unwrap().unwrap();
    assert_eq!(world.block_files().len(), 2);
    let first = world.block_files()[0].clone();
    let whole = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    let data = all(&engine, 1);
    assert_eq!(data[0].points, [(T0 + 2 * HOUR, 2.0)]);
    assert_eq!(
        data[0].lost,
        [(T0, T0 + 2 * HOUR - 1)],
        "a file that is gone under a running engine is a loss, and told"
    );
    assert_eq!(engine.verify().unwrap().damaged[0].kind, DamageKind::Unreadable);
    assert_eq!(engine.stats().damaged_reads, 1, "told once, however often it was tried");
    drop(engine);
    for cut in 0..whole.len() {
        fs::write(&first, &whole[..cut]).unwrap();
        let (engine, recovery) = world.open();
        assert!(!recovery.damaged.is_empty(), "cut at {cut} is told of");
        assert!(all(&engine, 1)[0].points.contains(&(T0 + 2 * HOUR, 2.0)), "cut at {cut}: the other file is served");
        assert!(!engine.verify().unwrap().is_clean(), "cut at {cut}: verify finds it");
    }
}

#[tokio::test]
async fn sealing_never_replaces_a_file_that_it_cannot_read_whole() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    world.now(T0 + HOUR);
    put(&engine, 1, vec![sample("m", "a", T0, 1.0), sample("m", "b", T0, 2.0)]).await;
    world.now(T0 + 3 * HOUR);
    let sealing = engine.clone();
    tokio::task::spawn_blocking(move || sealing.flush()).await.unwrap().unwrap();
    let first = world.block_files()[0].clone();
    let mut bytes = fs::read(&first).unwrap();
    bytes[CHUNKS_AT] ^= 1;
    fs::write(&first, bytes).unwrap();
    put(&engine, 1, vec![sample("m", "c", T0, 3.0)]).await;
    world.now(T0 + 4 * HOUR);
    let sealing = engine.clone();
    tokio::task::spawn_blocking(move || sealing.flush()).await.unwrap().unwrap();
    assert_eq!(world.block_files().len(), 2, "the damaged file stays, for its good chunks and as evidence");
    let found = all(&engine, 1);
    let good: Vec<f64> = found.iter().flat_map(|s| s.points.iter().map(|p| p.1)).collect();
    assert!(good.contains(&3.0) && good.len() >= 2, "{good:?}");
}
