//! Sealing, compaction and retention: a window that is over becomes one file, the log is cut, files of a day become one, files
//! that are too old go.
//!
//! Files are made in a thread of their own, one at a time, while samples go on arriving; the writer then puts each in its place.
//! Every step is safe to be killed after. The file is complete before it has its name; it says which log segments it covers
//! and which files it replaces; only then are those removed. Files go by the newest *sample* as well as by the clock, so a
//! clock that was set ahead empties nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::block::{self, Block, Header, NotWritten};
use crate::cut::{Cut, CutsOf};
use crate::head::{WINDOW_MS, window_start};
use crate::head_copy::{HeadCopy, write_head};
use crate::index::{Index, Place, SeriesId};
use crate::log::LogSample;
use crate::metrics::{EVER, Span};
use crate::native::Samples;
use crate::prepare::LogHistogram;
use crate::record::Record;
use crate::segments::{Lengths, segment_name};
use crate::store::{Blocks, Store};
use crate::writer::Writer;

/// The span of a compacted file: a day.
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

/// What is made beside the writer: one file at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Of a window that is over.
    Window { start_ms: i64, log_upto: u64 },
    /// Of a day's files.
    Day(i64),
    /// Of a tier's period, by the tier's number and the period's start.
    Period(usize, i64),
}

/// A file that was made, and those that it replaces. None when there was nothing to make it of.
type Made = crate::Result<Option<(Block, Vec<Arc<Block>>)>>;

/// A file that is being made in a thread of its own.
pub(crate) struct Task {
    what: What,
    thread: JoinHandle<Made>,
    /// Samples of the window that came since; the file may have them, and may not.
    late: Vec<LogSample>,
    late_histograms: Vec<LogHistogram>,
}

impl Task {
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Remembers what comes for the window while it is sealed.
    pub(crate) fn meet(&mut self, samples: &[LogSample], histograms: &[LogHistogram]) {
        if let What::Window { start_ms, .. } = self.what {
            self.late.extend(samples.iter().filter(|s| window_start(s.point.0) == start_ms));
            let late = histograms.iter().filter(|h| window_start(h.at_ms) == start_ms);
            self.late_histograms.extend(late.cloned());
        }
    }
}

impl Writer {
    /// Seals what is over and settled, cuts the log when something was, makes one file of a day's, removes what is too old.
    /// All of it before it returns.
    pub(crate) fn tend(&mut self) -> crate::Result<()> {
        self.end_task()?;
        let now = self.store.now_ms();
        self.tended_ms = now;
        while let Some(what) = self.next(now) {
            let made = self.store.make(what);
            let nothing = matches!(made, Ok(None));
            self.take(what, made, &[], &[])?;
            // A day at a time: the next one waits for the next look.
            if nothing || matches!(what, What::Day(_)) {
                break;
            }
        }
        Ok(())
    }

    /// Begins the next file, if one is due, in a thread of its own.
    pub(crate) fn tend_beside(&mut self) -> crate::Result<()> {
        if self.task.is_some() {
            return Ok(());
        }
        let now = self.store.now_ms();
        self.tended_ms = now;
        let Some(what) = self.next(now) else { return Ok(()) };
        let store = self.store.clone();
        let thread = std::thread::Builder::new().name("series-sealer".into()).spawn(move || store.make(what));
        let thread = thread.map_err(crate::error::io("start the sealer for", &self.store.dir))?;
        self.task = Some(Task { what, thread, late: Vec::new(), late_histograms: Vec::new() });
        Ok(())
    }

    /// Waits for the file that is being made, and takes it.
    pub(crate) fn end_task(&mut self) -> crate::Result<()> {
        let Some(Task { what, thread, late, late_histograms }) = self.task.take() else { return Ok(()) };
        let made = thread.join().map_err(|_| crate::SeriesError::Stopped)?;
        self.take(what, made, &late, &late_histograms)
    }

    /// What is due next; what is too old goes first.
    fn next(&mut self, now: i64) -> Option<What> {
        let settled = self.store.head.settled(now, self.store.options.seal_after_ms);
        if let Some(start_ms) = settled.first() {
            return Some(What::Window { start_ms: *start_ms, log_upto: self.log.close_segment() });
        }
        let expired = self.store.expired(now);
        // Before anything is removed that a period is to be made of. Periods of other times can wait, however many are due.
        let to_make = self.store.span_of(&expired).and_then(|span| self.store.tier_to_make(now, span));
        if let Some((tier, start_ms)) = to_make {
            return Some(What::Period(tier, start_ms));
        }
        if let Err(error) = self.store.expire(expired) {
            tracing::warn!(%error, "could not remove what is too old; it is tried again");
        }
        self.store.rest();
        if let Err(error) = self.store.expire_tiers(now) {
            tracing::warn!(%error, "could not remove thinned samples that are too old; it is tried again");
        }
        self.store.index.write().bury();
        let day = self.store.day_to_compact(now).map(What::Day);
        day.or_else(|| self.store.tier_to_make(now, EVER).map(|(tier, start)| What::Period(tier, start)))
    }

    /// Puts a new file in the place of what it holds.
    fn take(&mut self, what: What, made: Made, late: &[LogSample], natives: &[LogHistogram]) -> crate::Result<()> {
        let store = self.store.clone();
        let Some((block, replaced)) = made? else { return Ok(()) };
        store.add_block(block);
        if let What::Window { start_ms, .. } = what {
            let dropped = store.head.drop_window(start_ms);
            // They are in the log behind what the file covers, so they must be in the head; twice is harmless.
            let mut change = store.head.change();
            for sample in late {
                change.insert(sample.id, sample.point);
            }
            natives.iter().for_each(|h| change.insert_native(h.id, h.at_ms, &h.histogram));
            let opened = change.done(store.now_ms());
            let mut index = store.index.write();
            opened.into_iter().for_each(|id| index.hold(id, Place::Head));
            dropped.into_iter().for_each(|id| index.release(id, Place::Head));
            drop(index);
            self.checkpoint()?;
        }
        store.forget(&replaced)
    }

    /// Writes the head into `dir` and says which sealed files belong with it.
    pub(crate) fn snapshot(&mut self, dir: &Path) -> crate::Result<Vec<std::path::PathBuf>> {
        let store = &self.store;
        // Above every number that a sealed file says it covers, else the copy would take it for sealed.
        let number = self.log.newest() + 1;
        let path = dir.join(segment_name(number));
        let length = store.with_head_copy(&store.needed_cuts(), |head| write_head(&path, head))?;
        Lengths(length.map(|length| (number, length)).into_iter().collect()).write(dir)?;
        Ok(store.blocks.read().values().map(|b| b.path.clone()).collect())
    }
}

impl Store {
    /// Gives all that a copy of the head holds to `write`, while no series is forgotten.
    pub(crate) fn with_head_copy<T>(&self, cuts: &[Arc<Cut>], write: impl FnOnce(HeadCopy<'_>) -> T) -> T {
        let index = self.index.read();
        let records = |each: &mut dyn FnMut(Record<'_>)| {
            self.head.natives.each(|id, part| each(Record::Histograms { id, part }));
            self.families.each(|tenant, told| each(Record::Metadata { tenant, told }));
            self.exemplars.each(|tenant, labels, kept| each(Record::Exemplars { tenant, labels, kept }));
        };
        write(HeadCopy {
            // Read before the windows, whose samples came after the deletes or were left over by them.
            first: &|each| cuts.iter().for_each(|cut| each(Record::Cut(cut))),
            parts: &|each| self.head.each(each),
            records: &records,
            key: &|id, out| index.put_key(id, out),
        })
    }

    /// Writes the file. Changes nothing that a reader or the writer sees.
    fn make(&self, what: What) -> Made {
        let made = match what {
            What::Window { start_ms, log_upto } => self.make_window(start_ms, log_upto),
            What::Day(day) => self.make_day(day),
            // It takes itself in, beside everything else.
            What::Period(tier, start_ms) => return self.make_period(tier, start_ms).map(|()| None),
        };
        match made {
            Ok(made) => Ok(Some(made)),
            Err(NotWritten::Source) => Ok(None),
            Err(NotWritten::Disk(error)) => Err(error),
        }
    }

    fn make_window(&self, start: i64, log_upto: u64) -> Result<(Block, Vec<Arc<Block>>), NotWritten> {
        let older = self.blocks_in(start, start.saturating_add(WINDOW_MS - 1));
        // A file of the whole day stays as it is; what comes late for it is a file beside it until the day is compacted anew.
        let alike: Vec<_> = older.into_iter().filter(|b| b.header.span_ms == WINDOW_MS).collect();
        let header = Header { log_upto, ..self.new_header(start, WINDOW_MS) };
        let mut ids: BTreeSet<SeriesId> = self.head.series_in(start).into_iter().collect();
        let head = |id| self.head.window_samples(id, start);
        let of_head = ids.clone();
        ids.extend(alike.iter().flat_map(|b| b.series()));
        match self.write_block(header, &ids, &alike, &head) {
            Ok(block) => Ok((block, alike)),
            // What cannot be read whole is not replaced: its good chunks stay readable where they are.
            Err(NotWritten::Source) => {
                let block = self.write_block(Header { replaces: 0, ..header }, &of_head, &[], &head)?;
                Ok((block, Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// One file of all files of a day. When one of them is damaged they stay as they are.
    fn make_day(&self, day: i64) -> Result<(Block, Vec<Arc<Block>>), NotWritten> {
        let older = self.blocks_in(day, day.saturating_add(DAY_MS - 1));
        let ids = older.iter().flat_map(|b| b.series()).collect();
        // It covers nothing of the log: the day may have windows that are in the log alone.
        let written = self.write_block(self.new_header(day, DAY_MS), &ids, &older, &|_| None);
        if matches!(written, Err(NotWritten::Source)) {
            self.left_days.lock().insert(day);
        }
        Ok((written?, older))
    }

    /// The newest generation of a file there is, or of one that a delete has meant.
    pub(crate) fn newest_generation(&self) -> u32 {
        let sealed = self.blocks.read().values().map(|b| b.header.generation).max().unwrap_or(0);
        self.cuts.read().iter().map(|cut| cut.upto).fold(sealed, u32::max)
    }

    /// A header for a file that replaces all whole ones before it in its time.
    pub(crate) fn new_header(&self, start_ms: i64, span_ms: i64) -> Header {
        let newest = self.newest_generation();
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
        head: &dyn Fn(SeriesId) -> Option<Samples>,
    ) -> Result<Block, NotWritten> {
        let ids = in_order(&self.index.read(), ids);
        if older.iter().any(|block| !block.is_whole) {
            return Err(NotWritten::Source);
        }
        let files: Vec<File> =
            older.iter().map(|b| File::open(&b.path)).collect::<Result<_, _>>().map_err(|_| NotWritten::Source)?;
        let any_cuts = !self.cuts.read().is_empty();
        block::write(&self.blocks_dir(), header, &self.index, &ids, |id| {
            let mut parts = Vec::with_capacity(older.len() + 1);
            let cuts = if any_cuts { self.cuts_of_id(&self.index.read(), id) } else { CutsOf::default() };
            for (block, file) in older.iter().zip(&files) {
                if let Some(place) = block.place(id) {
                    let mut samples = block.samples(file, place).ok()?;
                    cuts.apply(block, &mut samples);
                    parts.push(samples);
                }
            }
            parts.extend(head(id));
            Some(Samples::merged(parts))
        })
    }

    /// The oldest day that is over, has more than one file or one with something deleted, and will get no more soon.
    fn day_to_compact(&self, now_ms: i64) -> Option<i64> {
        // Not held meanwhile: who adds a file holds the index first, and what is deleted is looked up there.
        let blocks: Vec<_> = self.blocks.read().values().cloned().collect();
        let days: BTreeSet<i64> = blocks.iter().map(|b| day_of(b.header.start_ms)).collect();
        let damaged = self.left_days.lock();
        days.into_iter().filter(|day| !damaged.contains(day)).find(|day| {
            let over = day.saturating_add(DAY_MS).saturating_add(self.options.compact_after_ms) <= now_ms;
            let of_day: Vec<_> = blocks.iter().filter(|b| day_of(b.header.start_ms) == *day).collect();
            over && (of_day.len() > 1 || of_day.iter().any(|block| self.is_cut(block)))
        })
    }

    /// Forgets files that another one replaces, and removes them.
    fn forget(&self, blocks: &[Arc<Block>]) -> crate::Result<()> {
        let keys = blocks.iter().map(|b| (b.header.start_ms, b.header.generation));
        let gone: Vec<_> = keys.filter_map(|key| self.drop_block(key)).collect();
        self.remove(gone)
    }

    /// Whole files that are too old, and the oldest while all together are too large. Those whose times meet go together, so that
    /// what is left of a time is always all of it: a day may have files of two hours beside one of all of it.
    fn expired(&self, now: i64) -> Vec<(i64, u32)> {
        let blocks = self.blocks.read();
        let newest_sealed = blocks.values().map(|b| b.end_ms()).max().unwrap_or(i64::MIN);
        let newest = self.head.newest_ms().max(newest_sealed);
        let oldest_kept = now.min(newest).saturating_sub(self.options.retention_ms);
        let mut bytes: u64 = blocks.values().map(|b| b.header.file_bytes()).sum();
        let mut expired = Vec::new();
        for group in together(&blocks) {
            if group.end_ms >= oldest_kept && bytes <= self.options.retention_bytes {
                break;
            }
            bytes -= group.bytes;
            expired.extend(group.keys);
        }
        expired
    }

    /// The time from the first moment of these files to the last.
    fn span_of(&self, files: &[(i64, u32)]) -> Option<Span> {
        let blocks = self.blocks.read();
        let ends = files.iter().filter_map(|key| blocks.get(key)).map(|block| block.end_ms());
        Some((files.iter().map(|key| key.0).min()?, ends.max()?))
    }

    fn expire(&self, expired: Vec<(i64, u32)>) -> crate::Result<()> {
        let gone: Vec<_> = expired.into_iter().filter_map(|key| self.drop_block(key)).collect();
        self.remove(gone)
    }
}

/// Files whose times meet.
struct Together {
    /// The last moment of all of them.
    end_ms: i64,
    keys: Vec<(i64, u32)>,
    bytes: u64,
}

/// All files, the oldest first.
fn together(blocks: &Blocks) -> Vec<Together> {
    let mut groups: Vec<Together> = Vec::new();
    for (key, block) in blocks {
        let (end_ms, bytes) = (block.end_ms(), block.header.file_bytes());
        match groups.last_mut().filter(|group| block.header.start_ms <= group.end_ms) {
            Some(group) => {
                group.end_ms = group.end_ms.max(end_ms);
                group.keys.push(*key);
                group.bytes += bytes;
            }
            None => groups.push(Together { end_ms, keys: vec![*key], bytes }),
        }
    }
    groups
}

pub(crate) fn day_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS)
}

/// The series by tenant and labels, which is how a file lists them: neighbours share most of their labels.
pub(crate) fn in_order(index: &Index, ids: &BTreeSet<SeriesId>) -> Vec<SeriesId> {
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
