//! Thinned-out samples of long ago: for each interval of a series how many samples there were, their sum, least, greatest,
//! first and last, and what a counter rose beyond those two. They outlive the samples, and answer queries of wide steps.
//!
//! A tier is made of whole *periods* of [`INTERVALS`] intervals, once nothing more can come for them: one sealed file a column, in
//! the format of all sealed files, so that checksums, damage and verification are the same. A query is answered either from
//! samples or in intervals throughout, and says which: what is younger than the tier is thinned on the way, and a question that
//! intervals cannot answer reads samples. Series with native histograms are not thinned.

pub(crate) mod anew;
pub(crate) mod answer;
pub(crate) mod interval;
mod make;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::block::{self, Block, Header};
use crate::contents::contents;
use crate::error::io as at;
use crate::index::Place;
use crate::options::Recovery;
use crate::store::{Store, shown};
use interval::Column;

/// Intervals of a period: a day of those of five minutes, twelve days of those of an hour.
pub(crate) const INTERVALS: i64 = 288;

/// One tier of thinned-out samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// How long an interval is, in milliseconds; at most 16 hours.
    pub interval_ms: i64,
    /// How long after the end of a period it is made, in milliseconds. Never before the last sample may have arrived.
    pub after_ms: i64,
    /// How long it is kept, in milliseconds, however long the samples are.
    pub retention_ms: i64,
}

impl Tier {
    /// How long a period is, in milliseconds.
    pub(crate) fn span_ms(&self) -> i64 {
        self.interval_ms.saturating_mul(INTERVALS)
    }

    /// Where the files are that say who is in a period.
    pub(crate) fn counts_dir(&self, dir: &Path) -> PathBuf {
        folder_of(dir, self).join(Column::Count.name())
    }

    pub(crate) fn is_sane(&self) -> bool {
        (1_000..=16 * 3_600_000).contains(&self.interval_ms)
    }

    /// The start of the period that a sample is in: it ends with its last moment and begins just after its start.
    fn period_of(&self, at_ms: i64) -> i64 {
        at_ms.saturating_sub(1).div_euclid(self.span_ms()).saturating_mul(self.span_ms())
    }
}

/// A period on disk.
pub(crate) struct Period {
    pub(crate) start_ms: i64,
    folder: PathBuf,
    /// The file of [`Column::Count`], which is written last: with it the period is complete.
    count: Block,
    /// The other files, read when they are first asked for.
    others: [OnceLock<Option<Block>>; Column::ALL.len()],
}

impl Period {
    fn new(start_ms: i64, folder: PathBuf, count: Block) -> Self {
        Self { start_ms, folder, count, others: Default::default() }
    }

    /// The file that says which series are in it.
    pub(crate) fn count(&self) -> &Block {
        &self.count
    }

    /// The newest generation of sealed files when it was made: what was deleted later is still in it.
    pub(crate) fn made_of(&self) -> u64 {
        self.count.header.log_upto
    }

    /// The file of a column; none when it is damaged.
    fn column(&self, store: &Store, column: Column) -> Option<&Block> {
        if column == Column::Count {
            return Some(&self.count);
        }
        self.others[column as usize].get_or_init(|| self.read(store, column)).as_ref()
    }

    fn read(&self, store: &Store, column: Column) -> Option<Block> {
        let path = self.path(column);
        let contents = contents(&path, &shown(&store.dir, &path)).ok().filter(|c| c.damaged.is_empty())?;
        let ids = contents.find(&store.index.read())?;
        Some(Block::new(path, contents, ids))
    }

    /// Lets go what nobody asked for since the last time.
    pub(crate) fn rest(&self) {
        self.count.rest();
        self.others.iter().filter_map(|other| other.get()?.as_ref()).for_each(Block::rest);
    }

    fn path(&self, column: Column) -> PathBuf {
        column_path(&self.folder, column, (self.start_ms, self.count.header.generation))
    }

    fn paths(&self) -> Vec<PathBuf> {
        // The count goes first: without it the others are nothing.
        let mut paths = vec![self.path(Column::Count)];
        paths.extend(Column::OTHERS.map(|column| self.path(column)));
        paths
    }

    fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add(self.count.header.span_ms)
    }
}

/// All tiers of an engine, in the order of its options.
#[derive(Default)]
pub(crate) struct Tiers {
    pub(crate) periods: RwLock<Vec<BTreeMap<i64, std::sync::Arc<Period>>>>,
    /// Periods that could not be made, and are left alone until the next start.
    left: Mutex<BTreeSet<(usize, i64)>>,
}

pub(crate) fn tiers_dir(dir: &Path) -> PathBuf {
    dir.join("tiers")
}

fn folder_of(dir: &Path, tier: &Tier) -> PathBuf {
    tiers_dir(dir).join(tier.interval_ms.to_string())
}

/// A tier's file covers nothing of the log; the place of that says what it was made of, see [`Period::made_of`].
fn header(start_ms: i64, tier: &Tier, made_of: u32) -> Header {
    Header {
        start_ms,
        span_ms: tier.span_ms(),
        // So that a period that is made anew has files of its own.
        generation: made_of.max(1),
        replaces: 0,
        log_upto: u64::from(made_of),
        chunk_bytes: 0,
        index_bytes: 0,
        samples: 0,
    }
}

fn column_path(folder: &Path, column: Column, (start_ms, generation): (i64, u32)) -> PathBuf {
    folder.join(column.name()).join(format!("{start_ms}.{generation}.blk"))
}

/// The files of all tiers, for who checks or copies everything.
///
/// # Errors
/// [`SeriesError::Io`](crate::SeriesError::Io) when a folder cannot be listed.
pub(crate) fn all_files(dir: &Path) -> crate::Result<Vec<PathBuf>> {
    let mut folders = vec![tiers_dir(dir)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(at("list", &folder))? {
            let path = entry.map_err(at("list", &folder))?.path();
            let is_file = path.file_name().and_then(|n| block::parse_name(n.to_str()?)).is_some();
            if path.is_dir() {
                folders.push(path);
            } else if is_file {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Finds the periods on disk and has the index know their series. What a kill left incomplete is made anew one day.
pub(crate) fn read_tiers(store: &Store, recovery: &mut Recovery) -> crate::Result<()> {
    let mut all = Vec::new();
    for tier in &store.options.tiers {
        let folder = folder_of(&store.dir, tier);
        let mut periods: BTreeMap<i64, std::sync::Arc<Period>> = BTreeMap::new();
        let counts = tier.counts_dir(&store.dir);
        let mut files = if tier.is_sane() { files_in(&counts)? } else { Vec::new() };
        files.retain(|(name, _)| Column::OTHERS.iter().all(|column| column_path(&folder, *column, *name).exists()));
        // The last of those that begin together is the newest.
        let newest: BTreeMap<i64, PathBuf> = files.into_iter().map(|((start_ms, _), path)| (start_ms, path)).collect();
        for (start_ms, path) in newest {
            let contents = contents(&path, &shown(&store.dir, &path))?;
            recovery.damaged.extend(contents.damaged.iter().cloned());
            let mut index = store.index.write();
            let ids = contents.intern(&mut index);
            ids.iter().for_each(|id| index.hold(*id, Place::Block));
            drop(index);
            let period = Period::new(start_ms, folder.clone(), Block::new(path, contents, ids));
            // Asked for once, by this; a query reads it again.
            (0..2).for_each(|_| period.rest());
            periods.insert(start_ms, std::sync::Arc::new(period));
        }
        remove_older(&folder, &periods)?;
        all.push(periods);
    }
    *store.tiers.periods.write() = all;
    Ok(())
}

/// The sealed files of a folder with start and generation, the older generation first.
pub(crate) fn files_in(folder: &Path) -> crate::Result<Vec<((i64, u32), PathBuf)>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at("list", folder))? {
        let path = entry.map_err(at("list", folder))?.path();
        let name = path.file_name().and_then(|n| block::parse_name(n.to_str()?));
        files.extend(name.map(|name| (name, path)));
    }
    files.sort();
    Ok(files)
}

/// Removes what is left of periods that were made anew since.
fn remove_older(folder: &Path, periods: &BTreeMap<i64, std::sync::Arc<Period>>) -> crate::Result<()> {
    for column in Column::ALL {
        for ((start_ms, generation), path) in files_in(&folder.join(column.name()))? {
            if periods.get(&start_ms).is_some_and(|period| period.count.header.generation > generation) {
                std::fs::remove_file(&path).map_err(at("remove", &path))?;
            }
        }
    }
    Ok(())
}
