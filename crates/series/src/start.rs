//! What an engine reads when it is opened: who is in the sealed files, and the log into the head.
//!
//! The log is mostly a copy of the head, taken in window by window as it is; only what came after it is read sample by sample.
//! It is read and decoded in a thread of its own, ahead of the one that takes it in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use crate::about::LogExemplar;
use crate::block::{self, Block};
use crate::chunk::Point;
use crate::contents::{Contents, contents};
use crate::cut::Cut;
use crate::error::{Damage, DamageKind, io as at};
use crate::formats::Metadata;
use crate::head::{Change, Part, WINDOW_MS, window_start};
use crate::histogram::Histogram;
use crate::index::{Index, KeyHash, Place};
use crate::native::NativePart;
use crate::options::Recovery;
use crate::replay::{Ahead, Replay, Taken, ToRead, read_ahead};
use crate::segments::{Lengths, segments};
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
        let ids = contents.intern(&mut store.index.write());
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
    pub(crate) singly: u64,
    /// Bytes of copies of the head.
    pub(crate) copied: u64,
    /// How long each segment is at least; of a damaged one, how long it was.
    pub(crate) lengths: Lengths,
    /// The list on the disk does not say all of that.
    pub(crate) list_is_behind: bool,
}

/// Replays the log into the head, and cuts its torn end off.
pub(crate) fn read_log(store: &Arc<Store>, recovery: &mut Recovery) -> crate::Result<ReadLog> {
    // The log may be empty because everything was sealed. A number that a sealed file says it covers is never used
    // again: samples in such a segment would be taken for sealed ones.
    let covered = store.blocks.read().values().map(|b| b.header.log_upto).max().unwrap_or(0);
    let listed = Lengths::or_damage(&store.wal_dir(), &mut recovery.damaged);
    // Nor is that of a segment that is lost.
    let newest = listed.0.last_key_value().map_or(covered, |(number, _)| covered.max(*number));
    let mut read = ReadLog { newest, singly: 0, copied: 0, lengths: listed.clone(), list_is_behind: false };
    let named = |(number, path): (u64, PathBuf)| ToRead { number, shown: shown(&store.dir, &path), path };
    let to_read: Vec<ToRead> = segments(&store.wal_dir())?.into_iter().map(named).collect();
    std::thread::scope(|scope| {
        let ahead = read_ahead(scope, to_read, store.seed).map_err(at("start the reader for", &store.dir))?;
        let (mut into, mut taken, mut seen) = (Into::new(store, 0), Taken::default(), Vec::new());
        for arrived in ahead.arriving {
            match arrived? {
                Ahead::Begin(number) => {
                    read.newest = read.newest.max(number);
                    seen.push(number);
                    (into, taken) = (Into::new(store, number), Taken::default());
                }
                Ahead::Some(mut decoded) => {
                    taken.batch(&mut decoded, &mut into);
                    // Where it cannot go back to, nobody needs it.
                    let _ = ahead.back.try_send(decoded);
                }
                Ahead::End { path, bytes, mut damaged } => {
                    *(if into.singly { &mut read.singly } else { &mut read.copied }) += bytes;
                    recovery.segments += 1;
                    recovery.samples += into.samples;
                    into.hold();
                    let torn = listed.judge(into.segment, bytes, &mut damaged);
                    recovery.cut_bytes += torn.map_or(0, |before| bytes - before);
                    let length = torn.unwrap_or(bytes);
                    let is_more = read.lengths.raise(into.segment, length);
                    if is_more || torn.is_some() {
                        settle(&path, length)?;
                    }
                    read.list_is_behind |= is_more;
                    recovery.damaged.append(&mut damaged);
                }
            }
        }
        recovery.damaged.extend(listed.missing(&seen));
        Ok(())
    })?;
    Ok(read)
}

/// Makes a segment that a kill left end where it does now: without its torn end, and on the disk. What was read of it is
/// shown from here on, and a repeat of it is acknowledged without being written again.
fn settle(path: &Path, length: u64) -> crate::Result<()> {
    let file = File::options().write(true).open(path).map_err(at("open", path))?;
    file.set_len(length).and_then(|()| file.sync_all()).map_err(at("repair", path))
}

/// A segment on its way into the head.
struct Into<'a> {
    store: &'a Store,
    change: Change<'a>,
    /// Held from one series to the next: nobody else reads the index yet.
    index: Option<RwLockWriteGuard<'a, Index>>,
    segment: u64,
    /// The windows that were asked for, and whether a sealed file covers each for this segment. They are few.
    sealed: Vec<(i64, bool)>,
    samples: u64,
    /// Not all of it is a copy of the head.
    singly: bool,
}

impl<'a> Into<'a> {
    fn new(store: &'a Store, segment: u64) -> Self {
        let change = store.head.change();
        Self { store, change, index: None, segment, sealed: Vec::new(), samples: 0, singly: false }
    }

    /// Windows of the series that were read are in the head from here on.
    fn hold(&mut self) {
        let before = std::mem::replace(&mut self.change, self.store.head.change());
        let mut index = self.index.take().unwrap_or_else(|| self.store.index.write());
        before.done(self.store.now_ms()).into_iter().for_each(|id| index.hold(id, Place::Head));
    }

    /// Whether a sealed file has what the segment holds of the window that a time is in.
    #[inline]
    fn sealed(&mut self, at_ms: i64) -> bool {
        let is_of = |(start, _): &&(i64, bool)| (0..WINDOW_MS).contains(&at_ms.wrapping_sub(*start));
        match self.sealed.iter().find(is_of) {
            Some((_, sealed)) => *sealed,
            None => self.look_for_sealed(window_start(at_ms)),
        }
    }

    #[cold]
    fn look_for_sealed(&mut self, start_ms: i64) -> bool {
        let blocks = self.store.blocks_in(start_ms, start_ms.saturating_add(WINDOW_MS - 1));
        let sealed = blocks.iter().any(|block| block.header.log_upto >= self.segment);
        // Late samples may be of any window, but those that come are of a few.
        self.sealed.truncate(16);
        self.sealed.insert(0, (start_ms, sealed));
        sealed
    }
}

impl Replay for Into<'_> {
    fn series(&mut self, tenant: u64, hash: KeyHash, key: &[u8]) -> u32 {
        self.index.get_or_insert_with(|| self.store.index.write()).intern(tenant, hash, key)
    }

    fn sample(&mut self, series: u32, point: Point) {
        self.singly = true;
        if !self.sealed(point.0) {
            self.samples += 1;
            self.change.insert(series, point);
        }
    }

    fn part(&mut self, series: u32, part: Part) {
        if !self.sealed(part.start_ms) {
            self.samples += part.count();
            self.change.adopt(series, part);
        }
    }

    fn histogram(&mut self, series: u32, at_ms: i64, histogram: Histogram) {
        self.singly = true;
        if !self.sealed(at_ms) {
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
        self.hold();
        self.store.cut(cut);
    }

    fn histograms(&mut self, series: u32, part: NativePart) {
        if !self.sealed(part.start_ms) {
            self.samples += part.count();
            self.change.adopt_native(series, part);
        }
    }
}
