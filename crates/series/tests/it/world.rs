//! An engine on a directory of its own, with a clock that the test moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use series::{Appended, Engine, Labels, Matcher, Options, Recovery, Sample, SeriesData};

pub const SECOND: i64 = 1000;
pub const HOUR: i64 = 3_600 * SECOND;
/// A start of a window of two hours, in 2025.
pub const T0: i64 = 243_055 * 2 * HOUR;

pub struct World {
    pub dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    pub options: Options,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(T0));
        let told = clock.clone();
        let clock_of_ours = Arc::new(move || told.load(SeqCst));
        // Files of two hours stay as they are, but for the tests of compaction.
        let options = Options { clock: clock_of_ours, compact_after_ms: i64::MAX, ..Options::default() };
        Self { dir: tempfile::tempdir().expect("a temporary folder"), clock, options }
    }

    pub fn now(&self, at_ms: i64) {
        self.clock.store(at_ms, SeqCst);
    }

    pub fn open(&self) -> (Engine, Recovery) {
        Engine::open(self.dir.path(), self.options.clone()).expect("the engine opens")
    }

    /// The same options on a copy of the directory, for tests that damage it.
    pub fn open_copy(&self, of: &Path) -> (Engine, Recovery) {
        Engine::open(of, self.options.clone()).expect("a damaged engine opens")
    }

    pub fn wal_files(&self) -> Vec<PathBuf> {
        let mut found = files(&self.dir.path().join("wal"));
        found.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
        found
    }

    pub fn block_files(&self) -> Vec<PathBuf> {
        files(&self.dir.path().join("blocks"))
    }
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    found.sort();
    found
}

/// Copies an engine's directory, as a kill leaves it.
pub fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a temporary folder");
    for sub in ["wal", "blocks"] {
        std::fs::create_dir(to.path().join(sub)).expect("a folder");
        for file in files(&from.join(sub)) {
            std::fs::copy(&file, to.path().join(sub).join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    to
}

pub fn labels(name: &str, host: &str) -> Labels {
    Labels::metric(name, &[("host", host)]).expect("labels")
}

pub fn sample(name: &str, host: &str, at_ms: i64, value: f64) -> Sample {
    Sample { labels: labels(name, host), at_ms, value }
}

pub async fn put(engine: &Engine, tenant: u64, samples: Vec<Sample>) -> Appended {
    engine.append(tenant, samples).await.expect("the disk takes it")
}

pub fn all(engine: &Engine, tenant: u64) -> Vec<SeriesData> {
    engine.select(tenant, &[], i64::MIN, i64::MAX).expect("a read")
}

/// The points of one series, which must have lost none.
pub fn points(engine: &Engine, tenant: u64, name: &str) -> Vec<(i64, f64)> {
    let found = engine.select(tenant, &[Matcher::eq("__name__", name)], i64::MIN, i64::MAX).expect("a read");
    assert!(found.len() <= 1, "one series is meant");
    found
        .into_iter()
        .flat_map(|s| {
            assert!(s.lost.is_empty());
            s.points
        })
        .collect()
}
