//! What an engine reads when it is opened: who is in the sealed files, and the log into the head.
//!
//! The log is mostly a copy of the head, taken in window by window as it is; only what came after it is read sample by sample.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use crate::about::LogExemplar;
use crate::block::{self, Block};
use crate::chunk::{Chunk, Point};
use crate::contents::{Contents, contents};
use crate::cut::Cut;
use crate::error::{Damage, DamageKind, SeriesError, io as at};
use crate::formats::Metadata;
use crate::head::{Change, Part, WINDOW_MS, window_start};
use crate::histogram::Histogram;
use crate::index::{Index, Place, SeriesId};
use crate::log::{OLDEST_VERSION, VERSION, segments, version_of};
use crate::native::NativePart;
use crate::options::Recovery;
use crate::replay::{Closely, Replay, replay};
use crate::store::{LAYOUT_BYTES, Store, shown};

/// Finds the sealed files, finishes what a kill interrupted, and fills the index.
pub(crate) fn read_blocks(store: &Store, recovery: &mut Recovery) -> crate::Result<()> {
    let folder = store.blocks_dir();
    let mut found: Vec<(PathBuf, Contents)> = Vec::new();
    for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
        let path = entry.map_err(at("list", &folder))?.path();
        if path.file_name().and_then(|n| block::parse_name(n.to_str()?)).is_none() {
            continue;
        }
        let file = shown(&store.dir, &path);
        match contents(&path, &file) {
            Ok(contents) => found.push((path, contents)),
            Err(_) => recovery.damaged.push(Damage { file, offset: 0, length: 0, kind: DamageKind::Unreadable }),
        }
    }
    // The newest first: they are what most queries read.
    found.sort_by_key(|(_, c)| std::cmp::Reverse((c.header.start_ms, c.header.generation)));
    let mut kept = 0;
    let replacing: Vec<_> = found.iter().filter(|(_, c)| c.damaged.is_empty()).map(|(_, c)| c.header).collect();
    for (path, contents) in found {
        let old = contents.header;
        let within = |new: &block::Header| {
            new.start_ms <= old.start_ms && old.start_ms + old.span_ms <= new.start_ms.saturating_add(new.span_ms)
        };
        if replacing.iter().any(|new| new.replaces >= old.generation && new.generation > old.generation && within(new))
        {
            fs::remove_file(&path).map_err(at("remove", &path))?;
            continue;
        }
        recovery.damaged.extend(contents.damaged.iter().cloned());
        let ids = {
            let mut index = store.index.write();
            let listed = contents.series.iter();
            let interned = listed.map(|series| {
                let key = &contents.keys[series.key.clone()];
                index.intern(series.tenant, Index::hash(store.seed, series.tenant, key), key)
            });
            interned.collect()
        };
        let block = Block::new(path, contents, ids);
        kept += block.layout_bytes();
        if kept > LAYOUT_BYTES {
            // Asked for once, by this; a query reads it again.
            (0..2).for_each(|_| block.rest());
        }
        store.add_block(block);
    }
    recovery.damaged.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
    Ok(())
}

/// What was read of the log.
pub(crate) struct ReadLog {
    /// The number that the next segment must be above.
    pub(crate) newest: u64,
    /// Bytes that were read sample by sample.
    pub(crate) bytes: u64,
}

/// Replays the log into the head, and cuts its torn end off.
pub(crate) fn read_log(store: &Arc<Store>, recovery: &mut Recovery) -> crate::Result<ReadLog> {
    // The log may be empty because everything was sealed. A number that a sealed file says it covers is never used
    // again: samples in such a segment would be taken for sealed ones.
    let covered = store.blocks.read().values().map(|b| b.header.log_upto).max().unwrap_or(0);
    let mut read = ReadLog { newest: covered, bytes: 0 };
    let now_ms = store.now_ms();
    for (number, path) in segments(&store.wal_dir())? {
        read.newest = read.newest.max(number);
        let bytes = fs::read(&path).map_err(at("read", &path))?;
        let found = version_of(&bytes).unwrap_or(VERSION);
        if !(OLDEST_VERSION..=VERSION).contains(&found) {
            return Err(SeriesError::Version { path, found, oldest: OLDEST_VERSION, newest: VERSION });
        }
        let mut into = Into {
            store,
            change: store.head.change(),
            segment: number,
            sealed: (i64::MIN, false),
            samples: 0,
            singly: false,
        };
        let damaged = replay(&shown(&store.dir, &path), &bytes, Closely::No, &mut into);
        recovery.segments += 1;
        recovery.samples += into.samples;
        read.bytes += if into.singly { bytes.len() as u64 } else { 0 };
        hold(store, into.change.done(now_ms));
        for torn in damaged.iter().filter(|d| d.kind == DamageKind::TornTail) {
            recovery.cut_bytes += torn.length;
            let file = File::options().write(true).open(&path).map_err(at("open", &path))?;
            file.set_len(torn.offset).and_then(|()| file.sync_all()).map_err(at("repair", &path))?;
        }
        recovery.damaged.extend(damaged);
    }
    Ok(read)
}

/// Windows of these series are in the head now.
fn hold(store: &Store, opened: Vec<SeriesId>) {
    let mut index = store.index.write();
    opened.into_iter().for_each(|id| index.hold(id, Place::Head));
}

/// A segment on its way into the head.
struct Into<'a> {
    store: &'a Store,
    change: Change<'a>,
    segment: u64,
    /// The window that was asked for last, and whether a sealed file covers it for this segment.
    sealed: (i64, bool),
    samples: u64,
    singly: bool,
}

impl Into<'_> {
    fn sealed(&mut self, start_ms: i64) -> bool {
        if self.sealed.0 != start_ms {
            let blocks = self.store.blocks_in(start_ms, start_ms.saturating_add(WINDOW_MS - 1));
            let covers = |b: &Arc<Block>| b.header.log_upto >= self.segment;
            self.sealed = (start_ms, blocks.iter().any(covers));
        }
        self.sealed.1
    }
}

impl Replay for Into<'_> {
    fn series(&mut self, tenant: u64, key: &[u8]) -> u32 {
        let hash = Index::hash(self.store.seed, tenant, key);
        self.store.index.write().intern(tenant, hash, key)
    }

    fn sample(&mut self, series: u32, point: Point) {
        self.singly = true;
        if !self.sealed(window_start(point.0)) {
            self.samples += 1;
            self.change.insert(series, point);
        }
    }

    fn part(&mut self, series: u32, start_ms: i64, chunk: Chunk, late: Vec<Point>) {
        if !self.sealed(start_ms) {
            self.samples += u64::from(chunk.count()) + late.len() as u64;
            self.change.adopt(series, Part::new(start_ms, chunk, late));
        }
    }

    fn histogram(&mut self, series: u32, at_ms: i64, histogram: Histogram) {
        self.singly = true;
        if !self.sealed(window_start(at_ms)) {
            self.samples += 1;
            self.change.insert_native(series, at_ms, &histogram);
        }
    }

    fn metadata(&mut self, tenant: u64, told: Metadata) {
        self.store.families.keep(tenant, told, self.store.limits(tenant).max_families);
    }

    fn exemplars(&mut self, tenant: u64, all: Vec<LogExemplar>) {
        let most = self.store.limits(tenant).max_exemplars;
        all.into_iter().for_each(|one| self.store.exemplars.keep(tenant, one, most));
    }

    fn cut(&mut self, cut: Cut) {
        // It means what was read before it, which has to be in the head for that.
        let before = std::mem::replace(&mut self.change, self.store.head.change());
        hold(self.store, before.done(self.store.now_ms()));
        self.store.cut(cut);
    }

    fn histograms(&mut self, series: u32, part: NativePart) {
        if !self.sealed(part.start_ms) {
            self.samples += part.count();
            self.change.adopt_native(series, part);
        }
    }
}
