//! Days made one, room kept, clocks set back, samples three days late, and the copy of the head on disk.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use series::formats::{Limits, graphite, remote_write};
use series::{Labels, Matcher, Refusal, SeriesData};

use crate::world::{HOUR, SECOND, T0, World, all, copy, points, put, sample};

async fn flush(engine: &Arc<series::Engine>) {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.flush()).await.expect("it ends").expect("the disk takes it");
}

/// Thirty hours of a sample every ten minutes, sealed hour by hour.
async fn a_day_and_more(world: &World, engine: &Arc<series::Engine>) {
    for hour in 0..30 {
        world.now(T0 + (hour + 1) * HOUR);
        for host in ["a", "b", "c"] {
            let minutes = (0..6).map(|i| T0 + hour * HOUR + i * 600 * SECOND);
            put(engine, 1, minutes.map(|at| sample("m", host, at, (at / SECOND % 1000) as f64)).collect()).await;
        }
        flush(engine).await;
    }
    world.now(T0 + 40 * HOUR);
    flush(engine).await;
}

#[tokio::test]
async fn the_files_of_a_day_become_one_and_late_samples_find_their_way_into_it() {
    let mut world = World::new();
    let apart = Arc::new(world.open().0);
    a_day_and_more(&world, &apart).await;
    let (truth, files) = (all(&apart, 1), world.block_files().len());
    drop(apart);
    assert!(files >= 15, "{files} files of two hours");
    world.options.compact_after_ms = HOUR;
    let engine = Arc::new(world.open().0);
    for _ in 0..4 {
        flush(&engine).await;
    }
    assert!(world.block_files().len() <= 3, "{} files for three days begun", world.block_files().len());
    assert_eq!(all(&engine, 1), truth);
    put(&engine, 1, vec![sample("late", "z", T0 + 1, 7.0), sample("m", "a", T0, 99.0)]).await;
    world.now(T0 + 50 * HOUR);
    flush(&engine).await;
    flush(&engine).await;
    assert!(world.block_files().len() <= 3, "what came late is in the day's file");
    assert_eq!(points(&engine, 1, "late"), [(T0 + 1, 7.0)]);
    let m = engine.select(1, &[Matcher::eq("__name__", "m")], i64::MIN, i64::MAX).unwrap();
    assert_eq!(m, truth, "what was stored first stays");
    assert!(engine.verify().unwrap().is_clean());
    drop(engine);
    let (engine, recovery) = world.open();
    assert_eq!((points(&engine, 1, "late").len(), recovery.damaged), (1, vec![]));
}

#[tokio::test]
async fn a_kill_before_the_files_of_a_day_are_removed_is_finished_at_the_start() {
    let mut world = World::new();
    let engine = Arc::new(world.open().0);
    a_day_and_more(&world, &engine).await;
    let truth = all(&engine, 1);
    drop(engine);
    let before = copy(world.dir.path());
    world.options.compact_after_ms = HOUR;
    let engine = Arc::new(world.open().0);
    flush(&engine).await;
    drop(engine);
    let both = copy(before.path());
    for file in world.block_files() {
        fs::copy(&file, both.path().join("blocks").join(file.file_name().unwrap())).unwrap();
    }
    let (engine, recovery) = world.open_copy(both.path());
    assert_eq!((all(&engine, 1), recovery.damaged), (truth, vec![]));
    assert_eq!(engine.stats().blocks, world.block_files().len(), "the replaced files are gone");
}

#[tokio::test]
async fn a_day_with_a_damaged_file_is_left_as_it_is() {
    let mut world = World::new();
    let engine = Arc::new(world.open().0);
    a_day_and_more(&world, &engine).await;
    drop(engine);
    let files = world.block_files().len();
    let victim = world.block_files()[0].clone();
    let mut bytes = fs::read(&victim).unwrap();
    bytes[90] ^= 4;
    fs::write(&victim, bytes).unwrap();
    world.options.compact_after_ms = HOUR;
    let engine = Arc::new(world.open().0);
    for _ in 0..4 {
        flush(&engine).await;
    }
    assert!(victim.exists(), "evidence, and its good chunks");
    assert!(world.block_files().len() < files, "the other days are made one");
    let lost: Vec<SeriesData> = all(&engine, 1).into_iter().filter(|s| !s.lost.is_empty()).collect();
    assert_eq!(lost.len(), 1, "one chunk of one series");
}

#[tokio::test]
async fn samples_that_arrive_while_their_window_is_sealed_are_kept() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    world.now(T0 + HOUR);
    for part in 0..20 {
        let hosts = (0..1_000).map(|h| sample("m", &format!("{part}-{h}"), T0 + h, h as f64));
        put(&engine, 1, hosts.collect()).await;
    }
    // The window is over: the next group of samples finds it due, and the file is made while those after it arrive.
    world.now(T0 + 3 * HOUR);
    for i in 0..300 {
        put(&engine, 1, vec![sample("late", &format!("{}", i % 7), T0 + HOUR + i, i as f64)]).await;
    }
    let late = || all(&engine, 1).iter().filter(|s| s.labels.name() == "late").map(|s| s.points.len()).sum::<usize>();
    assert_eq!(late(), 300, "before it is known whether the file is there");
    world.now(T0 + 4 * HOUR);
    flush(&engine).await;
    // What came while the file was made is touched when that is taken, and settles after it.
    world.now(T0 + 5 * HOUR);
    flush(&engine).await;
    assert_eq!((late(), all(&engine, 1).len()), (300, 20_007));
    // On a busy machine the file is only ready now, and what came meanwhile waits until its window is quiet again.
    world.now(T0 + 5 * HOUR);
    flush(&engine).await;
    assert_eq!(engine.stats().head_samples, 0, "all of it is sealed");
    assert_eq!(world.block_files().len(), 1);
    drop(engine);
    assert_eq!(all(&world.open().0, 1).iter().map(|s| s.points.len()).sum::<usize>(), 20_300);
}

#[tokio::test]
async fn the_oldest_files_go_when_all_together_are_too_large() {
    let mut world = World::new();
    let engine = Arc::new(world.open().0);
    a_day_and_more(&world, &engine).await;
    let stats = engine.stats();
    drop(engine);
    world.options.retention_bytes = stats.block_bytes / 2;
    let engine = Arc::new(world.open().0);
    flush(&engine).await;
    let kept = engine.stats();
    assert!(kept.block_bytes <= stats.block_bytes / 2 && kept.blocks >= stats.blocks / 3, "{kept:?}");
    assert!(all(&engine, 1)[0].points[0].0 > T0 + 12 * HOUR, "the oldest have gone");
}

#[tokio::test]
async fn a_clock_that_is_set_back_loses_nothing() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    world.now(T0 + 5 * HOUR);
    put(&engine, 1, vec![sample("m", "a", T0 + 5 * HOUR, 1.0)]).await;
    world.now(T0 + HOUR);
    put(&engine, 1, vec![sample("m", "a", T0 + HOUR, 2.0)]).await;
    flush(&engine).await;
    let refused = put(&engine, 1, vec![sample("m", "a", T0 + 5 * HOUR + 1, 3.0)]).await.refused;
    assert!(matches!(refused[0].reason, Refusal::TooFarAhead { .. }), "what the clock here cannot know");
    world.now(T0 + 9 * HOUR);
    flush(&engine).await;
    let expected = [(T0 + HOUR, 2.0), (T0 + 5 * HOUR, 1.0)];
    assert_eq!(points(&engine, 1, "m"), expected);
    drop(engine);
    assert_eq!(points(&world.open().0, 1, "m"), expected);
}

#[tokio::test]
async fn samples_of_three_days_ago_in_any_order_are_kept() {
    let world = World::new();
    let engine = Arc::new(world.open().0);
    world.now(T0 + 72 * HOUR);
    let mut times: Vec<i64> = (0..2_000).map(|i| T0 + i * 72 * HOUR / 2_000).collect();
    times.sort_by_key(|at| at.wrapping_mul(0x9e37_79b9) % 7_919);
    for part in times.chunks(100) {
        put(&engine, 1, part.iter().map(|at| sample("m", "a", *at, (*at - T0) as f64)).collect()).await;
    }
    times.sort_unstable();
    let expected: Vec<(i64, f64)> = times.iter().map(|at| (*at, (*at - T0) as f64)).collect();
    assert_eq!(points(&engine, 1, "m"), expected, "in the head");
    world.now(T0 + 73 * HOUR);
    flush(&engine).await;
    assert_eq!(points(&engine, 1, "m"), expected, "sealed");
    drop(engine);
    assert_eq!(points(&world.open().0, 1, "m"), expected, "and after a restart");
}

/// Enough for several copies of the head.
async fn copied_head(world: &mut World) -> Vec<SeriesData> {
    world.options.wal_checkpoint_bytes = 2_000;
    let (engine, _) = world.open();
    for i in 0..30 {
        let hosts = (0..10).map(|h| sample("m", &h.to_string(), T0 + i * SECOND, (i * h) as f64));
        put(&engine, 1, hosts.collect()).await;
        put(&engine, 1, vec![sample("late", "x", T0 - i * SECOND, 1.5)]).await;
    }
    all(&engine, 1)
}

#[tokio::test]
async fn the_copy_of_the_head_gives_back_what_the_log_had() {
    let mut world = World::new();
    let truth = copied_head(&mut world).await;
    assert!(world.wal_files().len() <= 3, "older segments are gone: {:?}", world.wal_files());
    let (engine, recovery) = world.open();
    assert_eq!((all(&engine, 1), recovery.samples, recovery.damaged), (truth.clone(), 330, vec![]));
    put(&engine, 1, vec![sample("m", "3", T0 + 60 * SECOND, 9.0)]).await;
    drop(engine);
    let (engine, _) = world.open();
    let m3 = engine.select(1, &[Matcher::eq("host", "3")], T0 + 60 * SECOND, i64::MAX).unwrap();
    assert_eq!(m3[0].points, [(T0 + 60 * SECOND, 9.0)], "a chunk from a copy is gone on with");
}

#[tokio::test]
async fn every_flipped_byte_of_a_copy_of_the_head_is_told_of_and_never_served() {
    let mut world = World::new();
    let truth: BTreeMap<Labels, Vec<(i64, f64)>> =
        copied_head(&mut world).await.into_iter().map(|s| (s.labels, s.points)).collect();
    let file = world.wal_files()[0].clone();
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let dir = copy(world.dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dir.path().join("wal").join(file.file_name().unwrap()), bytes).unwrap();
        assert!(!series::verify_directory(dir.path()).unwrap().is_clean(), "flip at {at} is found");
        let (engine, recovery) = world.open_copy(dir.path());
        assert!(!recovery.damaged.is_empty(), "flip at {at} is told of");
        for series in all(&engine, 1) {
            let known = &truth[&series.labels];
            assert!(series.points.iter().all(|p| known.contains(p)), "flip at {at}: nothing wrong is served");
        }
    }
}

#[tokio::test]
async fn a_body_of_any_format_goes_in_and_bad_series_cost_only_themselves() {
    let world = World::new();
    let (engine, _) = world.open();
    let body = format!("b.load;host=a;dc=x 1 {0}\nb.load;dc=x;host=a 2 {1}\n", T0 / 1000, T0 / 1000 + 1);
    let batch = graphite::decode(body.as_bytes(), T0, Limits::default()).unwrap();
    assert_eq!(engine.append_batch(1, batch).await.unwrap().accepted, 2);
    assert_eq!(
        points(&engine, 1, "b.load"),
        [(T0, 1.0), (T0 + 1000, 2.0)],
        "one series, whatever the order of its tags"
    );

    // Remote write by hand: labels that are not sorted, one given twice, and none at all.
    let label = |n: &str, v: &str| {
        let inner = [&[0x0a, n.len() as u8][..], n.as_bytes(), &[0x12, v.len() as u8], v.as_bytes()].concat();
        [&[0x0a, inner.len() as u8][..], &inner].concat()
    };
    let at = (T0 as u64, 2.0_f64);
    let mut one = vec![0x09];
    one.extend_from_slice(&at.1.to_bits().to_le_bytes());
    one.push(0x10);
    let mut time = at.0;
    while time >= 0x80 {
        one.push(time as u8 | 0x80);
        time >>= 7;
    }
    one.push(time as u8);
    let series = |labels: &[Vec<u8>]| {
        let inner = [labels.concat(), vec![0x12, one.len() as u8], one.clone()].concat();
        [&[0x0a, inner.len() as u8][..], &inner].concat()
    };
    let request = [
        series(&[label("job", "web"), label("__name__", "up")]),
        series(&[label("__name__", "up"), label("__name__", "up")]),
        series(&[]),
        series(&[label("__name__", "up"), label("job", "web")]),
    ];
    let version = remote_write::Version::One;
    let batch = remote_write::decode_plain(version, request.concat(), Limits::default()).unwrap();
    let answer = engine.append_batch(1, batch).await.unwrap();
    assert_eq!(answer.accepted, 2, "the last is a repeat of the first");
    assert!(answer.refused.iter().all(|r| matches!(r.reason, Refusal::Labels { .. })));
    assert_eq!(answer.refused.iter().map(|r| r.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(points(&engine, 1, "up"), [(T0, 2.0)]);
}
