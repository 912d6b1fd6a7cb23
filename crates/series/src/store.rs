//! What readers and the one writer share: index, head, sealed files and counters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use parking_lot::{Mutex, RwLock};

use crate::block::Block;
use crate::error::io;
use crate::head::Head;
use crate::index::{Index, Place, SeriesId};
use crate::options::Options;

/// The state of the engine. Only the writer thread changes it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) head: Head,
    /// By window and generation, so older comes first.
    pub(crate) blocks: BTreeMap<(i64, u32), Arc<Block>>,
}

impl State {
    pub(crate) fn add_block(&mut self, block: Block) {
        for id in block.series() {
            self.index.hold(id, Place::Block);
        }
        self.blocks.insert((block.header.start_ms, block.header.generation), Arc::new(block));
    }

    /// Forgets a block; its path, for who removes the file.
    pub(crate) fn drop_block(&mut self, key: (i64, u32)) -> Option<PathBuf> {
        let block = self.blocks.remove(&key)?;
        for id in block.series() {
            self.index.release(id, Place::Block);
        }
        Some(block.path.clone())
    }

    pub(crate) fn drop_window(&mut self, start: i64) {
        let Some(window) = self.head.windows.remove(&start) else { return };
        for id in window.series.into_keys() {
            self.index.release(id, Place::Head);
        }
    }

    /// Inserts a point of a known series into the head.
    pub(crate) fn insert(&mut self, id: SeriesId, point: crate::chunk::Point, now_ms: i64) {
        let (_, new_in_window) = self.head.insert(id, point, now_ms);
        if new_in_window {
            self.index.hold(id, Place::Head);
        }
    }
}

/// Counted since the engine was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) disk_errors: AtomicU64,
    pub(crate) damaged_reads: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

/// Shared by the engine, its writer thread and its readers.
pub(crate) struct Store {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) state: RwLock<State>,
    pub(crate) counters: Counters,
    /// How many are copying or checking files now; while there are any, no sealed file is removed.
    pins: AtomicUsize,
    /// Files that nobody needs any more, to be removed when there is no pin.
    unneeded: Mutex<Vec<PathBuf>>,
}

/// As long as it lives, sealed files that were listed after it was taken stay on disk.
pub(crate) struct Pin<'a>(&'a Store);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, SeqCst);
    }
}

impl Store {
    pub(crate) fn new(dir: &Path, options: Options, state: State) -> Self {
        Self {
            dir: dir.to_path_buf(),
            options,
            state: RwLock::new(state),
            counters: Counters::default(),
            pins: AtomicUsize::new(0),
            unneeded: Mutex::default(),
        }
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
