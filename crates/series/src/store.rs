//! What readers and the one writer share: index, head, sealed files and counters, each behind a lock of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use parking_lot::{Mutex, RwLock};

use crate::about::{Exemplars, Families};
use crate::block::Block;
use crate::busy::Busy;
use crate::cut::Cut;
use crate::error::{Refusal, io};
use crate::head::Head;
use crate::index::{Index, Place};
use crate::options::{Options, RefusedBy, TenantLimits};
use crate::rates::Rates;
use crate::tiers::Tiers;
use crate::writer::Refused;

/// Bytes of memory that knowing where things are in sealed files may take for long.
pub(crate) const LAYOUT_BYTES: usize = 32 << 20;

/// Counted since the engine was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) disk_errors: AtomicU64,
    pub(crate) refused_by: [AtomicU64; REASONS],
    pub(crate) refused_exemplars: AtomicU64,
    pub(crate) damaged_reads: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

/// The reasons that refusals are counted by; the last is the rate, which refuses whole requests.
pub(crate) const REASONS: usize = 9;
pub(crate) const RATE: usize = REASONS - 1;

fn reason(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::TooOld { .. } => 0,
        Refusal::TooFarAhead { .. } => 1,
        Refusal::Conflict { .. } => 2,
        Refusal::Labels { .. } => 3,
        Refusal::LabelLimit { .. } => 4,
        Refusal::TooManySeries { .. } => 5,
        Refusal::Histogram { .. } => 6,
        Refusal::Thinned { .. } => 7,
    }
}

impl Counters {
    pub(crate) fn count_refused(&self, refused: &[Refused]) {
        count(&self.refused, refused.len() as u64);
        refused.iter().for_each(|r| count(&self.refused_by[reason(&r.reason)], 1));
    }

    pub(crate) fn refused_by(&self) -> RefusedBy {
        let [too_old, too_far_ahead, conflict, labels, label_limit, series_limit, histogram, thinned, rate] =
            std::array::from_fn(|i| self.refused_by[i].load(Relaxed));
        RefusedBy { too_old, too_far_ahead, conflict, labels, label_limit, series_limit, histogram, thinned, rate }
    }
}

/// Sealed files by start and generation.
pub(crate) type Blocks = BTreeMap<(i64, u32), Arc<Block>>;

/// Shared by the engine, its writer thread and its readers.
pub(crate) struct Store {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    /// Of the index, which keeps it for ever.
    pub(crate) seed: u64,
    pub(crate) index: RwLock<Index>,
    pub(crate) head: Head,
    /// By start and generation, so older comes first. Who reads looks into the head before it looks here: what is sealed
    /// is here before it leaves the head, so that it is seen at least once, and seeing it twice is harmless.
    pub(crate) blocks: RwLock<Blocks>,
    pub(crate) counters: Counters,
    pub(crate) tiers: Tiers,
    pub(crate) families: Families,
    pub(crate) exemplars: Exemplars,
    pub(crate) rates: Rates,
    /// Deletes that some sealed file still needs.
    pub(crate) cuts: RwLock<Vec<Arc<Cut>>>,
    /// Of tenants that have limits of their own.
    pub(crate) own_limits: RwLock<HashMap<u64, TenantLimits>>,
    /// Queries that read at this moment.
    pub(crate) reading: Busy,
    /// How many are copying or checking files now; while there are any, no sealed file is removed.
    pins: AtomicUsize,
    /// Files that nobody needs any more, to be removed when there is no pin.
    unneeded: Mutex<Vec<PathBuf>>,
    /// Days that have a damaged file, and are left as they are until the next start.
    pub(crate) left_days: Mutex<BTreeSet<i64>>,
}

/// As long as it lives, sealed files that were listed after it was taken stay on disk.
pub(crate) struct Pin<'a>(&'a Store);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, SeqCst);
    }
}

impl Store {
    pub(crate) fn new(dir: &Path, options: Options) -> Self {
        let index = Index::default();
        Self {
            dir: dir.to_path_buf(),
            options,
            seed: index.seed(),
            index: RwLock::new(index),
            head: Head::default(),
            reading: Busy::default(),
            blocks: RwLock::default(),
            counters: Counters::default(),
            tiers: Tiers::default(),
            families: Families::default(),
            exemplars: Exemplars::default(),
            rates: Rates::default(),
            cuts: RwLock::default(),
            own_limits: RwLock::default(),
            pins: AtomicUsize::new(0),
            unneeded: Mutex::default(),
            left_days: Mutex::default(),
        }
    }

    pub(crate) fn add_block(&self, block: Block) {
        // Held until the file can be seen: who looks something up must not find it neither there nor, soon after, in the head.
        let mut index = self.index.write();
        block.series().for_each(|id| index.hold(id, Place::Block));
        let key = (block.header.start_ms, block.header.generation);
        self.blocks.write().insert(key, Arc::new(block));
    }

    /// Forgets a block; its path, for who removes the file.
    pub(crate) fn drop_block(&self, key: (i64, u32)) -> Option<PathBuf> {
        let block = self.blocks.write().remove(&key)?;
        let mut index = self.index.write();
        block.series().for_each(|id| index.release(id, Place::Block));
        Some(block.path.clone())
    }

    /// The sealed files that have something from `from_ms` to `to_ms`, both included, oldest first.
    pub(crate) fn blocks_in(&self, from_ms: i64, to_ms: i64) -> Vec<Arc<Block>> {
        let blocks = self.blocks.read();
        let wanted = blocks.values().filter(|b| b.header.start_ms <= to_ms && b.end_ms() >= from_ms);
        wanted.cloned().collect()
    }

    /// Lets go where things are in files that nobody reads, when all together take more memory than they should.
    pub(crate) fn rest(&self) {
        let blocks = self.blocks.read();
        if blocks.values().map(|b| b.layout_bytes()).sum::<usize>() > LAYOUT_BYTES {
            blocks.values().for_each(|b| b.rest());
        }
        drop(blocks);
        self.tiers.periods.read().iter().flat_map(|periods| periods.values()).for_each(|period| period.rest());
    }

    /// Take it before listing files, and keep it while they are read.
    pub(crate) fn pin(&self) -> Pin<'_> {
        self.pins.fetch_add(1, SeqCst);
        Pin(self)
    }

    /// Removes files that are no longer in the state, now or when the last pin is gone. A kill before that is harmless:
    /// the next start finds them replaced or expired again.
    pub(crate) fn remove(&self, files: impl IntoIterator<Item = PathBuf>) -> crate::Result<()> {
        let mut unneeded = self.unneeded.lock();
        unneeded.extend(files);
        if self.pins.load(SeqCst) > 0 {
            return Ok(());
        }
        for path in unneeded.drain(..) {
            std::fs::remove_file(&path).map_err(io("remove", &path))?;
            tracing::debug!(file = %path.display(), "a sealed file was replaced or has expired");
        }
        Ok(())
    }

    /// What a tenant may have and do.
    pub(crate) fn limits(&self, tenant: u64) -> TenantLimits {
        self.own_limits.read().get(&tenant).copied().unwrap_or_else(|| self.options.tenant_limits())
    }

    pub(crate) fn wal_dir(&self) -> PathBuf {
        wal_dir(&self.dir)
    }

    pub(crate) fn blocks_dir(&self) -> PathBuf {
        blocks_dir(&self.dir)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.options.clock)()
    }
}

pub(crate) fn wal_dir(dir: &Path) -> PathBuf {
    dir.join("wal")
}

pub(crate) fn blocks_dir(dir: &Path) -> PathBuf {
    dir.join("blocks")
}

/// A file's name for reports: relative to the engine's directory.
pub(crate) fn shown(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}
