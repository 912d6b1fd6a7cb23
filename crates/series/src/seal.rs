//! Sealing, compaction and retention: a window that is over becomes one file, the log is cut, files of a day become one, files
//! that are too old go.
//!
//! Every step is safe to be killed after. The file is complete before it has its name; it says which log segments it covers
//! and which files it replaces; only then are those removed. Files go by the newest *sample* as well as by the clock, so a
//! clock that was set ahead empties nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::block::{self, Block, Header, NotWritten};
use crate::chunk::{Point, merge};
use crate::head::{Part, WINDOW_MS};
use crate::index::{Index, Place, SeriesId};
use crate::store::Store;
use crate::writer::Writer;

/// The span of a compacted file: a day.
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

impl Writer {
    /// Seals what is over and settled, cuts the log when something was, makes one file of a day's, removes what is too old.
    pub(crate) fn tend(&mut self) -> crate::Result<()> {
        let now = self.store.now_ms();
        self.tended_ms = now;
        let settled = self.store.head.settled(now, self.store.options.seal_after_ms);
        if !settled.is_empty() {
            let log_upto = self.log.close_segment();
            for start in &settled {
                self.seal(*start, log_upto)?;
            }
            self.checkpoint()?;
        }
        self.store.expire(now)?;
        if let Some(day) = self.store.day_to_compact(now) {
            self.store.compact(day)?;
        }
        self.store.index.write().bury();
        Ok(())
    }

    fn seal(&mut self, start: i64, log_upto: u64) -> crate::Result<()> {
        let store = &self.store;
        let older = store.blocks_in(start, start.saturating_add(WINDOW_MS - 1));
        let (mut alike, wider): (Vec<_>, Vec<_>) = older.into_iter().partition(|b| b.header.span_ms == WINDOW_MS);
        // A file of the whole day stays as it is; what comes late for it is a file beside it until the day is compacted anew.
        drop(wider);
        let header = Header { log_upto, ..store.new_header(start, WINDOW_MS) };
        let mut ids: BTreeSet<SeriesId> = store.head.series_in(start).into_iter().collect();
        ids.extend(alike.iter().flat_map(|b| b.series()));
        let head = |id| store.head.window(id, start).map(|part: Part| part.points());
        let mut written = store.write_block(header, &ids, &alike, &head);
        if matches!(written, Err(NotWritten::Source)) {
            // What cannot be read whole is not replaced: its good chunks stay readable where they are.
            alike.clear();
            let ids = store.head.series_in(start).into_iter().collect();
            written = store.write_block(Header { replaces: 0, ..header }, &ids, &alike, &head);
        }
        let block = match written {
            Ok(block) => block,
            Err(NotWritten::Disk(error)) => return Err(error),
            Err(NotWritten::Source) => return Ok(()),
        };
        store.add_block(block);
        let dropped = store.head.drop_window(start);
        let mut index = store.index.write();
        dropped.into_iter().for_each(|id| index.release(id, Place::Head));
        drop(index);
        store.forget(&alike)
    }

    /// Writes the head into `dir` and says which sealed files belong with it.
    pub(crate) fn snapshot(&mut self, dir: &Path) -> crate::Result<Vec<std::path::PathBuf>> {
        let store = &self.store;
        let index = store.index.read();
        // Above every number that a sealed file says it covers, else the copy would take it for sealed.
        let path = dir.join(crate::log::segment_name(self.log.newest() + 1));
        crate::log::write_head(&path, &|each| store.head.each(each), &|id, out| index.put_key(id, out))?;
        Ok(store.blocks.read().values().map(|b| b.path.clone()).collect())
    }
}

impl Store {
    /// A header for a file that replaces all whole ones before it in its time.
    fn new_header(&self, start_ms: i64, span_ms: i64) -> Header {
        let newest = self.blocks.read().values().map(|b| b.header.generation).max().unwrap_or(0);
        Header {
            start_ms,
            span_ms,
            generation: newest + 1,
            replaces: newest,
            log_upto: 0,
            chunk_bytes: 0,
            index_bytes: 0,
            samples: 0,
        }
    }

    /// Writes a file of what the older ones and the head have of these series: what was stored first wins.
    fn write_block(
        &self,
        header: Header,
        ids: &BTreeSet<SeriesId>,
        older: &[Arc<Block>],
        head: &dyn Fn(SeriesId) -> Option<Vec<Point>>,
    ) -> Result<Block, NotWritten> {
        let index = self.index.read();
        let ids = in_order(&index, ids);
        if older.iter().any(|block| !block.is_whole) {
            return Err(NotWritten::Source);
        }
        let files: Vec<File> =
            older.iter().map(|b| File::open(&b.path)).collect::<Result<_, _>>().map_err(|_| NotWritten::Source)?;
        block::write(&self.blocks_dir(), header, &index, &ids, |id| {
            let mut parts = Vec::with_capacity(older.len() + 1);
            for (block, file) in older.iter().zip(&files) {
                if let Some(place) = block.place(id) {
                    parts.push(block.points(file, place).ok()?);
                }
            }
            parts.extend(head(id));
            Some(merge(parts))
        })
    }

    /// The oldest day that is over, has more than one file, and will get no more soon.
    fn day_to_compact(&self, now_ms: i64) -> Option<i64> {
        let blocks = self.blocks.read();
        let days: BTreeSet<i64> = blocks.values().map(|b| day_of(b.header.start_ms)).collect();
        let damaged = self.left_days.lock();
        days.into_iter().filter(|day| !damaged.contains(day)).find(|day| {
            let over = day.saturating_add(DAY_MS).saturating_add(self.options.compact_after_ms) <= now_ms;
            over && blocks.values().filter(|b| day_of(b.header.start_ms) == *day).count() > 1
        })
    }

    /// Makes one file of all files of a day. When one of them is damaged they stay as they are.
    fn compact(&self, day: i64) -> crate::Result<()> {
        let older = self.blocks_in(day, day.saturating_add(DAY_MS - 1));
        let ids = older.iter().flat_map(|b| b.series()).collect();
        // It covers nothing of the log: the day may have windows that are in the log alone.
        match self.write_block(self.new_header(day, DAY_MS), &ids, &older, &|_| None) {
            Ok(block) => {
                self.add_block(block);
                self.forget(&older)
            }
            Err(NotWritten::Source) => {
                self.left_days.lock().insert(day);
                Ok(())
            }
            Err(NotWritten::Disk(error)) => Err(error),
        }
    }

    /// Forgets files that another one replaces, and removes them.
    fn forget(&self, blocks: &[Arc<Block>]) -> crate::Result<()> {
        let keys = blocks.iter().map(|b| (b.header.start_ms, b.header.generation));
        let gone: Vec<_> = keys.filter_map(|key| self.drop_block(key)).collect();
        self.remove(gone)
    }

    /// Removes whole files that are too old, and the oldest while all together are too large.
    fn expire(&self, now: i64) -> crate::Result<()> {
        let expired: Vec<(i64, u32)> = {
            let blocks = self.blocks.read();
            let newest_sealed = blocks.values().map(|b| b.end_ms()).max().unwrap_or(i64::MIN);
            let newest = self.head.newest_ms().max(newest_sealed);
            let oldest_kept = now.min(newest).saturating_sub(self.options.retention_ms);
            let mut bytes: u64 = blocks.values().map(|b| b.header.file_bytes()).sum();
            let mut by_end: Vec<_> = blocks.iter().map(|(key, b)| (b.end_ms(), *key, b.header.file_bytes())).collect();
            by_end.sort_unstable();
            let mut too_much = |end: i64, length: u64| {
                let gone = end < oldest_kept || bytes > self.options.retention_bytes;
                bytes -= if gone { length } else { 0 };
                gone
            };
            by_end.into_iter().filter(|(end, _, length)| too_much(*end, *length)).map(|(_, key, _)| key).collect()
        };
        let gone: Vec<_> = expired.into_iter().filter_map(|key| self.drop_block(key)).collect();
        self.remove(gone)
    }
}

fn day_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS)
}

/// The series by tenant and labels, which is how a file lists them: neighbours share most of their labels.
fn in_order(index: &Index, ids: &BTreeSet<SeriesId>) -> Vec<SeriesId> {
    let symbols = index.symbols();
    let mut by_text: Vec<u32> = (0..symbols.len() as u32).collect();
    by_text.sort_unstable_by_key(|symbol| symbols.text(*symbol));
    let mut ranks = vec![0_u32; by_text.len()];
    by_text.iter().enumerate().for_each(|(rank, symbol)| ranks[*symbol as usize] = rank as u32);
    let mut sorted: Vec<SeriesId> = ids.iter().copied().filter(|id| index.is_known(*id)).collect();
    let rank = |id: SeriesId| {
        let (tenant, pairs) = index.pairs(id).unwrap_or((0, &[]));
        (tenant, pairs.iter().map(|(name, value)| (ranks[*name as usize], ranks[*value as usize])))
    };
    sorted.sort_unstable_by(|a, b| {
        let ((a, left), (b, right)) = (rank(*a), rank(*b));
        a.cmp(&b).then_with(|| left.cmp(right))
    });
    sorted
}
