//! The engine on disks that a test controls: full ones, failing ones, and one that waits.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, sync_channel};

use super::*;
use crate::decode::Closely;
use crate::error::DamageKind;
use crate::labels::Labels;
use crate::log::LogFile;
use crate::replay::{Counted, replay};

/// What the disk does next, moved by the test.
#[derive(Default)]
struct Disk {
    /// Bytes that still fit; `u64::MAX` is a disk without end.
    room: AtomicU64,
    sync_fails: AtomicBool,
    cut_fails: AtomicBool,
    syncs: AtomicU64,
    /// When set, each sync waits for a word.
    gate: Mutex<Option<Receiver<()>>>,
}

/// A real file in front of which the disk stands.
struct Behind(std::fs::File, Arc<Disk>);

impl LogFile for Behind {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.1.room.load(SeqCst);
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.0.append(&bytes[..fits])?;
        if room != u64::MAX {
            self.1.room.store(room - fits as u64, SeqCst);
        }
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(gate) = &*self.1.gate.lock() {
            gate.recv().map_err(io::Error::other)?;
        }
        self.1.syncs.fetch_add(1, SeqCst);
        if self.1.sync_fails.load(SeqCst) { Err(io::Error::other("the disk went away")) } else { self.0.sync() }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.1.cut_fails.load(SeqCst) { Err(io::Error::other("the disk went away")) } else { self.0.cut(length) }
    }
}

fn open(dir: &Path) -> (Engine, Arc<Disk>) {
    let disk = Arc::new(Disk { room: AtomicU64::new(u64::MAX), ..Disk::default() });
    let behind = disk.clone();
    let real = std::fs::OpenOptions::new().append(true).create_new(true).clone();
    let opener: OpenLog = Arc::new(move |path| Ok(Box::new(Behind(real.open(path)?, behind.clone()))));
    (Engine::open_on(Claim::take(dir).unwrap(), options(), opener).unwrap().0, disk)
}

fn options() -> Options {
    Options { clock: Arc::new(|| 1_000_000), ..Options::default() }
}

fn one(at_ms: i64) -> Vec<Sample> {
    vec![Sample { labels: Labels::metric("m", &[]).unwrap(), at_ms, value: 1.0 }]
}

fn times(engine: &Engine) -> Vec<i64> {
    let found = engine.select(1, &[], i64::MIN, i64::MAX).unwrap();
    found.into_iter().flat_map(|s| s.points).map(|p| p.0).collect()
}

#[tokio::test]
async fn a_full_disk_is_refused_at_every_byte_and_nothing_unacknowledged_is_shown() {
    // How much one request takes, segment header included.
    let measure = tempfile::tempdir().unwrap();
    let (engine, _) = open(measure.path());
    engine.append(1, one(1)).await.unwrap();
    let takes = engine.stats().wal_bytes;
    drop(engine);
    for room in 0..takes {
        let dir = tempfile::tempdir().unwrap();
        let (engine, disk) = open(dir.path());
        disk.room.store(room, SeqCst);
        let error = engine.append(1, one(1)).await.unwrap_err();
        assert!(error.is_disk_full(), "room for {room}: {error}");
        assert!(times(&engine).is_empty(), "room for {room}: not acknowledged, not shown");
        disk.room.store(u64::MAX, SeqCst);
        assert_eq!(engine.append(1, one(2)).await.unwrap().accepted, 1, "room for {room}: goes on when there is room");
        assert!(engine.stats().disk_errors == 1);
        drop(engine);
        let (engine, recovery) = Engine::open(dir.path(), options()).unwrap();
        assert_eq!((times(&engine), recovery.damaged), (vec![2], vec![]), "room for {room}: and leaves no scar");
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_more_is_put_behind_what_may_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, disk) = open(dir.path());
    engine.append(1, one(1)).await.unwrap();
    disk.sync_fails.store(true, SeqCst);
    disk.cut_fails.store(true, SeqCst);
    assert!(engine.append(1, one(2)).await.is_err());
    disk.sync_fails.store(false, SeqCst);
    engine.append(1, one(3)).await.unwrap();
    assert_eq!(times(&engine), [1, 3]);
    assert_eq!(segments(&wal_dir(dir.path())).unwrap().len(), 2, "a new segment was begun");
    drop(engine);
    let found = times(&Engine::open(dir.path(), options()).unwrap().0);
    assert!(found.contains(&1) && found.contains(&3), "what was acknowledged is there: {found:?}");
}

#[tokio::test]
async fn many_callers_share_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, disk) = open(dir.path());
    let engine = Arc::new(engine);
    let (open_gate, gate) = sync_channel(1000);
    *disk.gate.lock() = Some(gate);
    let append = |at| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.append(1, one(at)).await })
    };
    let first = append(0);
    // The writer is at its first sync when the first request has left the queue; the others can only wait together.
    let rest: Vec<_> = (1..=200).map(append).collect();
    while engine.places.available_permits() > engine.store.options.max_waiting_samples - 201 {
        tokio::task::yield_now().await;
    }
    for _ in 0..201 {
        open_gate.send(()).unwrap();
    }
    first.await.unwrap().unwrap();
    for caller in rest {
        assert_eq!(caller.await.unwrap().unwrap().accepted, 1);
    }
    let syncs = disk.syncs.load(SeqCst);
    assert!(syncs <= 20, "{syncs} syncs for 201 callers");
    assert_eq!(times(&engine).len(), 201);
}

#[tokio::test]
async fn segments_are_closed_when_they_are_long_and_each_can_be_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { wal_segment_bytes: 200, ..options() };
    let (engine, _) = Engine::open(dir.path(), options.clone()).unwrap();
    for at in 0..80 {
        engine.append(1, one(at)).await.unwrap();
    }
    drop(engine);
    let files = segments(&wal_dir(dir.path())).unwrap();
    assert!(files.len() > 5, "{} segments", files.len());
    for (_, path) in &files {
        let mut read = Counted::default();
        assert_eq!(replay("f", fs::File::open(path).unwrap(), Closely::Yes, &mut read).unwrap().1, []);
        assert_eq!(read.series, 1);
    }
    fs::remove_file(&files[0].1).unwrap();
    let (engine, recovery) = Engine::open(dir.path(), options).unwrap();
    let told: Vec<_> = recovery.damaged.iter().map(|d| (d.file.as_str(), d.kind)).collect();
    assert_eq!(told, [("wal/0000000001.wal", DamageKind::Gone)]);
    assert_eq!(times(&engine).last(), Some(&79));
}

/// A histogram, an exemplar and metadata, and a float.
fn of_everything(at_ms: i64) -> Batch {
    let mut batch = Batch::default();
    batch.begin_series(&Labels::metric("m", &[]).unwrap()).unwrap();
    batch.point(at_ms, 1.0).unwrap();
    batch.exemplar(vec![("trace_id".into(), at_ms.to_string())], 1.0, None).unwrap();
    batch.begin_series(&Labels::metric("n", &[]).unwrap()).unwrap();
    let histogram = crate::Histogram { count: 1.0, positive: vec![(3, 1.0)], ..crate::Histogram::default() };
    batch.histogram(at_ms, histogram).unwrap();
    batch.describe("m").unwrap().help = at_ms.to_string();
    batch
}

/// Times of floats, of histograms and of exemplars, and the help.
fn everything(engine: &Engine) -> (Vec<i64>, Vec<i64>, Vec<i64>, Vec<String>) {
    let found = engine.select(1, &[], i64::MIN, i64::MAX).unwrap();
    let exemplars = engine.exemplars(1, &[&[]], (i64::MIN, i64::MAX)).into_iter().flat_map(|s| s.exemplars);
    (
        found.iter().flat_map(|s| s.points.iter().map(|p| p.0)).collect(),
        found.iter().flat_map(|s| s.histograms.iter().map(|h| h.0)).collect(),
        exemplars.filter_map(|e| e.at_ms).collect(),
        engine.metadata(1, None).into_iter().map(|m| m.help).collect(),
    )
}

#[tokio::test]
async fn a_full_disk_refuses_whatever_is_sent_as_a_whole() {
    let measure = tempfile::tempdir().unwrap();
    let (engine, _) = open(measure.path());
    engine.append_batch(1, of_everything(1)).await.unwrap();
    let takes = engine.stats().wal_bytes;
    drop(engine);
    for room in (0..takes).step_by(5) {
        let dir = tempfile::tempdir().unwrap();
        let (engine, disk) = open(dir.path());
        disk.room.store(room, SeqCst);
        let error = engine.append_batch(1, of_everything(1)).await.unwrap_err();
        assert!(error.is_disk_full() && error.is_retryable(), "room for {room}: {error}");
        assert_eq!(everything(&engine), Default::default(), "room for {room}: not acknowledged, not shown");
        disk.room.store(u64::MAX, SeqCst);
        assert_eq!(engine.append_batch(1, of_everything(2)).await.unwrap().accepted, 2, "room for {room}");
        let expected = (vec![2], vec![2], vec![2], vec!["2".to_owned()]);
        assert_eq!(everything(&engine), expected);
        drop(engine);
        let (engine, recovery) = Engine::open(dir.path(), options()).unwrap();
        assert_eq!((everything(&engine), recovery.damaged), (expected, vec![]), "room for {room}: leaves no scar");
    }
}

#[tokio::test]
async fn a_delete_that_the_disk_refuses_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, disk) = open(dir.path());
    let engine = Arc::new(engine);
    engine.append_batch(1, of_everything(1)).await.unwrap();
    let truth = everything(&engine);
    let delete = async || {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.delete(1, &[], i64::MIN, i64::MAX)).await.unwrap()
    };
    disk.room.store(7, SeqCst);
    assert!(delete().await.unwrap_err().is_disk_full());
    assert_eq!(everything(&engine), truth);
    disk.room.store(u64::MAX, SeqCst);
    delete().await.unwrap();
    let (floats, histograms, exemplars, _) = everything(&engine);
    assert_eq!((floats.len(), histograms.len(), exemplars.len()), (0, 0, 0));
    assert_eq!(engine.stats().active_series, 0);
}

#[tokio::test]
async fn a_copy_of_the_head_that_cannot_be_written_leaves_the_log_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { wal_checkpoint_bytes: 1, ..options() };
    let engine = Arc::new(Engine::open(dir.path(), options.clone()).unwrap().0);
    let settle = async || {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.flush()).await.unwrap().unwrap();
    };
    // A folder stands where the copy is to be made.
    let in_the_way = wal_dir(dir.path()).join(crate::segments::segment_name(2)).with_extension("part");
    fs::create_dir(&in_the_way).unwrap();
    engine.append_batch(1, of_everything(1)).await.unwrap();
    settle().await;
    assert_eq!(segments(&wal_dir(dir.path())).unwrap()[0].0, 1, "the log is all there is");
    fs::remove_dir(&in_the_way).unwrap();
    engine.append_batch(1, of_everything(2)).await.unwrap();
    settle().await;
    assert!(segments(&wal_dir(dir.path())).unwrap()[0].0 > 1, "now there is a copy in its place");
    let truth = everything(&engine);
    drop(engine);
    let (engine, recovery) = Engine::open(dir.path(), options).unwrap();
    assert_eq!((everything(&engine), recovery.damaged), (truth, vec![]));
}

#[tokio::test]
async fn an_engine_that_is_closed_leaves_a_copy_of_its_head_whoever_still_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::open(dir.path(), options()).unwrap().0);
    // More than a megabyte of log: names that share nothing.
    for n in 0..18_u64 {
        let name = |i: u64| format!("m{:x}_{:x}", (n * 5_000 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15), i);
        let labels = |i: u64| Labels::metric(&name(i), &[]).unwrap();
        let samples: Vec<_> = (0..5_000).map(|i| Sample { labels: labels(i), at_ms: 9, value: i as f64 }).collect();
        engine.append_batch(1, Batch::of(&samples)).await.unwrap();
    }
    let truth = everything(&engine);
    assert_eq!(segments(&wal_dir(dir.path())).unwrap()[0].0, 1, "the log is all there is");
    let closing = engine.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.unwrap();
    assert!(segments(&wal_dir(dir.path())).unwrap()[0].0 > 1, "now there is a copy in its place");
    assert!(matches!(engine.append_batch(1, of_everything(3)).await, Err(SeriesError::Stopped)));
    assert_eq!(everything(&engine), truth, "what is there is read on");
    drop(engine);
    let (engine, recovery) = Engine::open(dir.path(), options()).unwrap();
    assert_eq!((everything(&engine), recovery.damaged), (truth, vec![]));
}

#[tokio::test]
async fn many_starts_do_not_leave_as_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut most = 0;
    for n in 0..40 {
        let (engine, recovery) = Engine::open(dir.path(), options()).unwrap();
        assert_eq!(recovery.damaged, []);
        assert_eq!(engine.select(1, &[], 0, i64::MAX).unwrap().iter().map(|s| s.points.len()).sum::<usize>(), n);
        engine.append(1, one(1_000 + n as i64)).await.unwrap();
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        most = most.max(segments(&wal_dir(dir.path())).unwrap().len());
    }
    assert!((2..=20).contains(&most), "{most}");
}

#[tokio::test]
async fn a_period_that_is_given_up_and_made_anew_outlives_who_was_reading_it() {
    const DAY: i64 = 24 * 3_600_000;
    // In the second window, whose file touches one period.
    const FIRST: i64 = 7_201_000;
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(8_000_000)));
    let told = clock.clone();
    let tier = crate::Tier { interval_ms: 60_000, after_ms: 0, retention_ms: 1_000 * DAY };
    let clock_of_ours = Arc::new(move || told.load(SeqCst) as i64);
    let options = Options { clock: clock_of_ours, tiers: vec![tier], compact_after_ms: i64::MAX, ..options() };
    let engine = Arc::new(Engine::open(dir.path(), options).unwrap().0);
    let tend = async || {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || (0..5).try_for_each(|_| engine.flush())).await.unwrap().unwrap();
    };
    let import = async |at_ms: i64| {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.import(1, Batch::of(&one(at_ms)))).await.unwrap()
    };
    engine.append(1, one(FIRST)).await.unwrap();
    clock.store(10 * DAY as u64, SeqCst);
    tend().await;
    let columns = || crate::tiers::all_files(dir.path()).unwrap();
    let made = columns();
    assert_eq!(made.len(), 8);
    let pin = engine.store().pin();
    // A folder stands where the file of what is imported is to be made.
    let in_the_way = blocks_dir(dir.path()).join("0.2.part");
    fs::create_dir(&in_the_way).unwrap();
    import(FIRST + 1).await.unwrap_err();
    assert_eq!(columns(), Vec::<std::path::PathBuf>::new(), "it was given up");
    fs::remove_dir(&in_the_way).unwrap();
    tend().await;
    assert_eq!(columns(), made, "and was made anew under the same names");
    drop(pin);
    // Whatever waited for the reader is removed now.
    engine.store().remove([]).unwrap();
    assert_eq!(columns(), made);
    assert_eq!(import(FIRST + 1).await.unwrap().accepted, 1);
    tend().await;
    assert!(!columns().contains(&made[0]), "made anew with more, it has names of its own");
    assert_eq!(times(&engine), [FIRST, FIRST + 1]);
}

#[tokio::test]
async fn a_long_log_gives_way_to_a_copy_of_the_head_under_way_so_that_little_is_behind_it_at_a_kill() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(1_000_000)));
    let told = clock.clone();
    let options = Options { clock: Arc::new(move || told.load(SeqCst) as i64), ..options() };
    let engine = Engine::open(dir.path(), options.clone()).unwrap().0;
    let labels: Vec<Labels> = (0..2_000).map(|n| Labels::metric(&format!("m{n}"), &[]).unwrap()).collect();
    // A request of 40 samples a series whose values share nothing: most of a megabyte.
    let send = async |n: usize| {
        let one = |labels: &Labels, i: usize| {
            let at = n * 40 + i;
            Sample { labels: labels.clone(), at_ms: at as i64, value: (at as f64 + 2.0).sqrt() }
        };
        let samples: Vec<_> = labels.iter().flat_map(|labels| (0..40).map(|i| one(labels, i))).collect();
        assert_eq!(engine.append_batch(1, Batch::of(&samples)).await.unwrap().accepted, samples.len());
        // It has looked at its log when it answers to something else.
        engine.flush().unwrap();
    };
    let log = || segments(&wal_dir(dir.path())).unwrap();
    let bytes_behind = || log()[1..].iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum::<u64>();
    let mut copies = std::collections::BTreeSet::new();
    for n in 0..16 {
        send(n).await;
        clock.fetch_add(60_000, SeqCst);
        copies.insert(log()[0].0);
        assert!(bytes_behind() < 6 << 20, "{} bytes are behind the last copy", bytes_behind());
    }
    assert!((3..10).contains(&copies.len()), "{} times", copies.len());
    let last = log()[0].0;
    for n in 16..30 {
        // No time goes by: it may have been copied once more, and rests.
        send(n).await;
    }
    assert!(log()[0].0 <= last + 2 && bytes_behind() > 5 << 20, "{} bytes", bytes_behind());
    clock.fetch_add(60_000, SeqCst);
    let rested = log()[0].0;
    // It looks again after the rest, although nobody asks it for anything.
    for _ in 0..1_000 {
        if log()[0].0 > rested {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await; // polls: the copy is made by the writer's own time.
    }
    engine.flush().unwrap();
    assert_eq!((log().len(), log()[0].0 > rested), (1, true), "nothing is behind it now");
    let (truth, killed) = (times(&engine), tempfile::tempdir().unwrap());
    fs::create_dir(wal_dir(killed.path())).unwrap();
    for (_, path) in log() {
        fs::copy(&path, wal_dir(killed.path()).join(path.file_name().unwrap())).unwrap();
    }
    let (engine, recovery) = Engine::open(killed.path(), options).unwrap();
    assert_eq!((times(&engine) == truth, recovery.damaged), (true, vec![]));
}
