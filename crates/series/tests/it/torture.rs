//! Killed, and the power cut under it, while it writes everything that it can hold and deletes some of it again: what was
//! acknowledged is there, once, what was deleted is gone, and nothing else is there.
//!
//! The power is cut by the shut-down request of ext4 on a loop device, without its log being written first. Where that is not
//! possible the test says so, and counts for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use series::formats::Batch;
use series::{Engine, Histogram, Matcher, Options};

use crate::world::{SECOND, T0, labels};

const FOLDER: &str = "SERIES_TORTURE_FOLDER";
const FLOATS: i64 = 12;
const NATIVES: i64 = 3;
/// The series that is deleted again and again, a float and a histogram.
const DELETED: i64 = 1;
const STEP: i64 = 60 * SECOND;
/// After every so many requests one series is deleted up to there.
const DELETE_EVERY: i64 = 17;
/// The shutdown request of ext4 and XFS; 2: without writing the log first. `unsafe` is forbidden in our crates.
const SHUT_DOWN: &str =
    "import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

fn setting(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent tells its child where to write; make torture asks for more"
    )]
    std::env::var(name).ok()
}

/// How many rounds: a number that is asked for, or as many as a long run has.
fn times(short: i64, long: i64) -> i64 {
    setting("MAINSTAY_TORTURE").map_or(short, |asked| asked.parse().unwrap_or(long))
}

fn options(clock: &Arc<AtomicI64>) -> Options {
    let clock = clock.clone();
    // A copy of the head every few requests, and days made one soon.
    Options {
        clock: Arc::new(move || clock.load(SeqCst)),
        wal_checkpoint_bytes: 6_000,
        compact_after_ms: STEP,
        ..Options::default()
    }
}

fn at_of(n: i64, series: i64) -> i64 {
    T0 + n * STEP + series
}

fn native(n: i64, series: i64) -> Histogram {
    let positive: Vec<(i32, f64)> = (0..6).map(|i| (i * 2, (n + 1 + i64::from(i) * series) as f64)).collect();
    let count = positive.iter().map(|b| b.1).sum();
    Histogram { schema: 3, count, sum: n as f64 * 0.1, positive, ..Histogram::default() }
}

fn request(n: i64) -> Batch {
    let mut batch = Batch::default();
    for series in 0..FLOATS {
        batch.begin_series(&labels("m", &series.to_string())).expect("it is taken");
        batch.point(at_of(n, series), (n * series) as f64).expect("it is taken");
    }
    batch.exemplar(vec![("trace_id".into(), n.to_string())], 1.0, None).expect("it is taken");
    for series in 0..NATIVES {
        batch.begin_series(&labels("n", &series.to_string())).expect("it is taken");
        batch.histogram(at_of(n, series), native(n, series)).expect("it is taken");
    }
    batch.describe("m").expect("it is taken").help = n.to_string();
    batch
}

/// What a folder holds: how many samples of each request, of series that are never deleted and of those that are.
#[derive(Debug, Default)]
struct Found {
    kept: BTreeMap<i64, i64>,
    deleted: BTreeMap<i64, i64>,
    /// The newest request whose metadata and exemplar are there.
    told: i64,
    traced: BTreeSet<i64>,
}

/// The test fails when a sample is twice there, or wrong, or damaged.
fn found(dir: &Path, now_ms: i64) -> Found {
    let clock = Arc::new(AtomicI64::new(now_ms));
    let (engine, recovery) = Engine::open(dir, options(&clock)).expect("it opens again");
    assert!(recovery.damaged.iter().all(|d| d.kind == series::DamageKind::TornTail), "{:?}", recovery.damaged);
    let mut found = Found { told: -1, ..Found::default() };
    for data in engine.select(1, &[], i64::MIN, i64::MAX).expect("a read") {
        assert_eq!(data.lost, []);
        let series: i64 = data.labels.get("host").and_then(|h| h.parse().ok()).expect("a number");
        let floats = data.points.iter().map(|p| p.0);
        let times: Vec<i64> = floats.chain(data.histograms.iter().map(|h| h.0)).collect();
        assert!(times.windows(2).all(|w| w[0] < w[1]), "nothing is there twice");
        assert_eq!(data.labels.name() == "n", data.points.is_empty(), "each kind in its series");
        let requests = if series == DELETED { &mut found.deleted } else { &mut found.kept };
        for at_ms in times {
            *requests.entry((at_ms - T0 - series) / STEP).or_default() += 1;
        }
        for (at_ms, value) in &data.points {
            let n = (at_ms - T0 - series) / STEP;
            assert_eq!((*at_ms, *value), (at_of(n, series), (n * series) as f64), "as it was written");
        }
        for (at_ms, histogram) in &data.histograms {
            let n = (at_ms - T0 - series) / STEP;
            assert_eq!((*at_ms, &**histogram), (at_of(n, series), &native(n, series)), "as it was written");
        }
    }
    found.told = engine.metadata(1, Some("m")).first().map_or(-1, |m| m.help.parse().expect("a number"));
    let exemplars = engine.exemplars(1, &[&[]], (i64::MIN, i64::MAX)).into_iter().flat_map(|s| s.exemplars);
    found.traced = exemplars.map(|e| e.labels[0].1.parse().expect("a number")).collect();
    assert!(engine.verify().expect("it can be checked").is_clean());
    found
}

/// What a child has said.
#[derive(Clone, Copy, Debug)]
struct Said {
    acknowledged: i64,
    deleted: i64,
    /// The newest request that it may have begun.
    begun: i64,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let number = |word: &str| line.split_once(word).and_then(|(_, n)| n.trim().parse::<i64>().ok());
        self.acknowledged = number("acknowledged ").unwrap_or(self.acknowledged);
        self.deleted = number("deleted ").unwrap_or(self.deleted);
        self.begun = self.acknowledged + 1;
    }
}

/// Everything that was said is true, and nothing more is there than what was under way.
fn check(found: &Found, said: Said, why: &str) {
    let each = FLOATS + NATIVES - 2;
    for n in 0..=said.acknowledged {
        assert_eq!(found.kept.get(&n), Some(&each), "{why}: request {n} was acknowledged");
    }
    assert!(
        found.deleted.keys().all(|n| *n > said.deleted),
        "{why}: deleted up to {}: {:?}",
        said.deleted,
        found.deleted
    );
    // A delete that was under way may have happened.
    let under_way = said.begun / DELETE_EVERY * DELETE_EVERY - 1;
    for n in under_way.max(said.deleted) + 1..=said.acknowledged {
        assert_eq!(found.deleted.get(&n), Some(&2), "{why}: request {n} came after the delete");
    }
    assert!(found.told >= said.acknowledged, "{why}: metadata of {} is told of", found.told);
    let traced = (0..=said.acknowledged).filter(|n| !found.traced.contains(n)).count();
    assert_eq!(traced, 0, "{why}: every exemplar is there");
    let newest = found.kept.keys().last().copied().unwrap_or(-1);
    assert!(newest <= said.begun, "{why}: one request is under way at a time");
}

/// The process that is killed: goes on where the folder says, and says what is acknowledged. Without a folder it writes a
/// little into one of its own.
#[test]
fn the_writer_under_torture_acknowledges_only_what_is_stored() {
    let given = setting(FOLDER);
    let own = tempfile::tempdir().expect("a temporary folder");
    let (dir, first, last) = match &given {
        Some(text) => {
            let (first, dir) = text.split_once(' ').expect("where to begin, and the folder");
            (PathBuf::from(dir), first.parse().expect("a number"), i64::MAX)
        }
        None => (own.path().to_path_buf(), 0, 200),
    };
    let clock = Arc::new(AtomicI64::new(T0 + first * STEP));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (engine, _) = Engine::open(&dir, options(&clock)).expect("it opens");
    let mut deleted = -1;
    for n in first..last {
        clock.store(T0 + n * STEP, SeqCst);
        // When the power is cut the disk refuses: there is nothing more to say.
        let Ok(answer) = runtime.block_on(engine.append_batch(1, request(n))) else { return };
        assert_eq!(answer.accepted as i64, FLOATS + NATIVES);
        if given.is_some() {
            println!("acknowledged {n}");
        }
        if (n + 1) % DELETE_EVERY == 0 {
            let host = Matcher::eq("host", DELETED.to_string());
            let Ok(()) = engine.delete(1, &[host], i64::MIN, at_of(n, DELETED)) else { return };
            deleted = n;
            if given.is_some() {
                println!("deleted {n}");
            }
        }
    }
    drop(engine);
    check(&found(&dir, T0 + last * STEP), Said { acknowledged: last - 1, deleted, begun: last - 1 }, "alone");
}

/// A child that writes into `dir` from request `first` on.
fn child(dir: &Path, first: i64) -> Child {
    let exe = std::env::current_exe().expect("this test");
    #[expect(clippy::disallowed_methods, reason = "only a process of its own can be killed")]
    Command::new(exe)
        .args(["torture::the_writer_under_torture_acknowledges_only_what_is_stored", "--exact", "--nocapture"])
        .env(FOLDER, format!("{first} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

/// What a blow leaves of what was said but not heard before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unheard {
    /// It counts: only the process was killed.
    Counts,
    /// Nobody knows.
    MayBe,
}

/// Lets a child write from where `said` ends until it has said `enough` more, then strikes.
fn round(dir: &Path, first: i64, mut said: Said, enough: i64, strike: &mut impl FnMut(&mut Child) -> Unheard) -> Said {
    let mut child = child(dir, first);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        said.hear(&line);
        if said.acknowledged >= first + enough {
            break;
        }
    }
    let unheard = strike(&mut child);
    let _ = child.kill();
    child.wait().expect("it is over");
    let mut all = said;
    lines.for_each(|line| all.hear(&line));
    if unheard == Unheard::Counts { all } else { Said { begun: all.begun, ..said } }
}

fn rounds(dir: &Path, count: i64, mut strike: impl FnMut(&mut Child) -> Unheard, mut mend: impl FnMut()) -> i64 {
    let (mut first, mut said) = (0, Said { acknowledged: -1, deleted: -1, begun: 0 });
    for n in 0..count {
        // Another number of requests each time, so that it falls into every kind of work.
        said = round(dir, first, said, 10 + (n * 37) % 61, &mut strike);
        mend();
        let found = found(dir, T0 + said.begun * STEP);
        check(&found, said, &format!("round {n}"));
        first = found.kept.keys().last().copied().unwrap_or(-1) + 1;
        // What was under way and is there now counts from here on.
        said.acknowledged = first - 1;
        let gone = (0..first).rev().find(|n| !found.deleted.contains_key(n));
        said.deleted = gone.unwrap_or(-1);
    }
    said.acknowledged
}

fn kill(child: &mut Child) -> Unheard {
    child.kill().expect("it is ours to kill");
    Unheard::Counts
}

#[test]
fn torture_kills_lose_and_double_nothing_of_any_kind() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let acknowledged = rounds(dir.path(), times(8, 200), kill, || {});
    assert!(acknowledged > 100, "{acknowledged} requests prove nothing");
}

fn run(program: &str, words: &[&str]) -> Result<Output, String> {
    #[expect(clippy::disallowed_methods, reason = "file systems are made and mounted by the system's own programs")]
    let done = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() { Ok(done) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr))) }
}

/// A file system in a file.
struct Disk {
    image: String,
    mounted_at: String,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let disk = Self { image: path("disk.img"), mounted_at: path("disk"), _folder: folder };
        std::fs::create_dir(&disk.mounted_at).map_err(|error| error.to_string())?;
        let image = File::create(&disk.image).and_then(|file| file.set_len(64 << 20));
        image.map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", &disk.image])?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.image, &self.mounted_at]).map(drop)
    }

    fn cut(&self) -> Result<(), String> {
        run("python3", &["-c", SHUT_DOWN, &self.mounted_at]).map(drop)
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[&self.mounted_at]).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.unmount());
    }
}

/// Says that a promise was not put to the test here; with `MAINSTAY_RUN_ALL` that is a failure.
fn not_run(why: &str) {
    println!("not run: what was acknowledged survives a power cut: {why}");
    assert!(setting("MAINSTAY_RUN_ALL").is_none(), "not run: {why}");
}

#[test]
fn torture_power_cuts_lose_and_double_nothing_of_any_kind() {
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => return not_run(&why),
    };
    if let Err(why) = disk.cut().and_then(|()| disk.unmount()).and_then(|()| disk.mount()) {
        return not_run(&why);
    }
    let dir = Path::new(&disk.mounted_at).join("series");
    let strike = |_: &mut Child| {
        disk.cut().expect("the power is cut");
        Unheard::MayBe
    };
    let mend = || disk.unmount().and_then(|()| disk.mount()).expect("the power is back");
    let acknowledged = rounds(&dir, times(10, 1_000), strike, mend);
    println!("{} cuts, {acknowledged} requests acknowledged", times(10, 1_000));
    assert!(acknowledged > 100, "{acknowledged} requests prove nothing");
}
