//! Reads for queries: series after series, in order of labels, each into the same buffer. What a query does not keep is never in
//! memory all at once, and files are read in long pieces rather than by chunk.
//!
//! This is the quick way, for series of floats whose chunks are whole. Whatever is different (a damaged chunk, a file that is
//! gone, samples that are no floats or were deleted) is left to [`Store::select_these`], which knows how to tell of it; nothing is guessed here.

pub(crate) mod ahead;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::block::{Block, Layout, payload_of};
use crate::chunk::Point;
use crate::contents::Column;
use crate::head::window_start;
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::promql::Along;
use crate::read::SeriesData;
use crate::store::Store;
use crate::values::Taker;
use crate::{block, times};

/// Series between two looks at which files there are.
const BATCH: usize = 1024;
/// Bytes between two chunks that are rather read than skipped.
const GAP: u32 = 16 << 10;
/// Bytes read from a file at once, unless one chunk is longer.
const PIECE: u32 = 256 << 10;
/// Columns of times that are kept decoded for the rest of the visit.
const COLUMNS: usize = 512;
/// Times that are sooner decoded again than found among those that are kept.
const FEW_TIMES: u32 = 32;

/// Which points are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// First Unix millisecond.
    pub(crate) from_ms: i64,
    /// Last Unix millisecond.
    pub(crate) to_ms: i64,
    /// Only the newest of them counts, so the others may be left out.
    pub(crate) newest: bool,
}

/// A series that was found.
pub(crate) enum Found<'a> {
    /// All its points within the time, at least one, to be used or taken; and what was made of them where they were read.
    Points(Labels, &'a mut Vec<Point>, Option<Vec<f64>>),
    /// One that was read with care: it has losses to tell of, or more than points.
    Careful(SeriesData),
}

/// A sealed file during a visit.
pub(crate) struct Open {
    block: Arc<Block>,
    layout: Arc<Layout>,
    file: File,
    /// A piece of the file, from this offset.
    piece: Vec<u8>,
    from: u32,
    /// Where the chunks of the batch are.
    places: Vec<Option<block::Place>>,
}

/// Buffers that are used again for each series.
#[derive(Default)]
pub(crate) struct Buffers {
    times: Vec<i64>,
    taker: Taker,
    values: Vec<f64>,
    /// The points of the last series.
    pub(crate) rows: Vec<Point>,
    columns: HashMap<(i64, u32, u32), Arc<[i64]>>,
}

impl Store {
    /// Calls `each` with every series that the matchers mean and that has points, or lost ones, within the time.
    pub(crate) fn visit<E>(
        &self,
        tenant: u64,
        matchers: &[Matcher],
        wanted: Wanted,
        along: Option<Along<'_>>,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if wanted.from_ms > wanted.to_ms {
            return Ok(());
        }
        // Held to the end: none of the numbers comes to mean another series meanwhile.
        let (found, _lease) = {
            let index = self.index.read();
            (index.select(tenant, matchers), index.lease())
        };
        let reading = self.reading.begin();
        if let Some(division) = ahead::divide(found.len(), wanted, &reading, self.options.query_threads) {
            return self.visit_divided((tenant, &found), wanted, along, &division, each);
        }
        let mut buffers = Buffers::default();
        for batch in found.chunks(BATCH) {
            self.visit_batch(tenant, batch, wanted, &mut buffers, &mut |_, found| each(found))?;
        }
        Ok(())
    }

    /// Calls `each` with the place in the batch and the series, for those that have something. The caller holds their numbers.
    pub(crate) fn visit_batch<E>(
        &self,
        tenant: u64,
        batch: &[(Labels, SeriesId)],
        wanted: Wanted,
        buffers: &mut Buffers,
        each: &mut dyn FnMut(usize, Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // What leaves the head after this is in none of these files, so that whoever has read the head asks again.
        let dropped = self.head.dropped();
        let ids: Vec<SeriesId> = batch.iter().map(|(_, id)| *id).collect();
        let mut files = self.open_for(&ids, wanted);
        let cut = !self.cuts.read().is_empty();
        for (n, (labels, id)) in batch.iter().enumerate() {
            let whole = !(cut && self.is_cut_of(tenant, labels));
            let files = files.as_mut().filter(|_| whole);
            let quick = files.and_then(|files| self.quickly(n, *id, files, wanted, buffers));
            if quick.is_some() && self.head.dropped() == dropped {
                if !buffers.rows.is_empty() {
                    each(n, Found::Points(labels.clone(), &mut buffers.rows, None))?;
                }
                continue;
            }
            for data in self.select_these(tenant, &[(labels.clone(), *id)], wanted.from_ms, wanted.to_ms) {
                each(n, Found::Careful(data))?;
            }
        }
        Ok(())
    }

    /// The files that have something of the batch; none when one of them cannot be opened.
    pub(crate) fn open_for(&self, batch: &[SeriesId], wanted: Wanted) -> Option<Vec<Open>> {
        let mut files = Vec::new();
        for block in self.blocks_in(wanted.from_ms, wanted.to_ms) {
            let layout = block.layout()?;
            let places: Vec<_> = batch.iter().map(|id| layout.place(*id)).collect();
            if places.iter().any(Option::is_some) {
                let file = File::open(&block.path).ok()?;
                files.push(Open { block, layout, file, piece: Vec::new(), from: 0, places });
            }
        }
        Some(files)
    }

    /// The points of a series into the rows; none when it needs care.
    fn quickly(&self, n: usize, id: SeriesId, files: &mut [Open], wanted: Wanted, buffers: &mut Buffers) -> Option<()> {
        buffers.rows.clear();
        if self.head.natives.holds(id) {
            return None;
        }
        if wanted.newest
            && let Some(point) = self.head.newest(id)
            && point.0 <= wanted.to_ms
            && files.iter().all(|f| f.places[n].is_none() || f.block.end_ms() < point.0)
        {
            buffers.rows.clear();
            buffers.rows.extend((point.0 >= wanted.from_ms).then_some(point));
            return Some(());
        }
        self.of_files(n, files, wanted, buffers)?;
        let mut in_order = true;
        let before = buffers.rows.len();
        self.head.points_into(id, window_start(wanted.from_ms), wanted.to_ms, &mut buffers.rows);
        in_order &= follows(&buffers.rows, before);
        if !in_order {
            // Stable: of equal times the one that was stored first stays first, and is kept.
            buffers.rows.sort_by_key(|point| point.0);
            buffers.rows.dedup_by_key(|point| point.0);
        }
        let inside = |point: &Point| (wanted.from_ms..=wanted.to_ms).contains(&point.0);
        if !(buffers.rows.first().is_none_or(inside) && buffers.rows.last().is_none_or(inside)) {
            buffers.rows.retain(inside);
        }
        Some(())
    }
}

impl Store {
    /// The points that files have of the `n`th series of the batch that they were opened for.
    pub(crate) fn of_files(&self, n: usize, files: &mut [Open], wanted: Wanted, buffers: &mut Buffers) -> Option<()> {
        buffers.rows.clear();
        let mut in_order = true;
        for file in files {
            let before = buffers.rows.len();
            file.points(n, wanted, buffers)?;
            in_order &= follows(&buffers.rows, before);
        }
        if !in_order {
            // Stable: of equal times the one that was stored first stays first, and is kept.
            buffers.rows.sort_by_key(|point| point.0);
            buffers.rows.dedup_by_key(|point| point.0);
        }
        Some(())
    }
}

impl Buffers {
    /// All points of one chunk into the rows.
    pub(crate) fn read_one(&mut self, block: &Block, file: &File, id: SeriesId) -> Option<()> {
        let (start_ms, layout) = (block.header.start_ms, block.layout()?);
        let place = layout.place(id)?;
        let times = block::read_times(file, start_ms, &layout.columns, place).ok()?;
        let bytes = block::read_at(file, u64::from(place.offset), place.length as usize)?;
        let count = times.len();
        self.taker.take_some(payload_of(place.offset, &bytes)?, count, 0..count, &mut self.values)?;
        self.rows.clear();
        self.rows.extend(times.into_iter().zip(self.values.iter().copied()));
        Some(())
    }
}

/// Whether the rows from a place on are later than those before it.
fn follows(rows: &[Point], place: usize) -> bool {
    match (place.checked_sub(1).map(|last| rows[last].0), rows.get(place)) {
        (Some(last), Some(first)) => last < first.0,
        _ => true,
    }
}

impl Open {
    /// Appends the wanted points that the file has of the `n`th series.
    fn points(&mut self, n: usize, wanted: Wanted, buffers: &mut Buffers) -> Option<()> {
        let Some(place) = self.places[n] else { return Some(()) };
        self.read_to(n, place)?;
        let start = (place.offset - self.from) as usize;
        let payload = payload_of(place.offset, &self.piece[start..start + place.length as usize])?;
        let start_ms = self.block.header.start_ms;
        let columns = &self.layout.columns;
        let kept;
        let at: &[i64] = match columns.get(place.column as usize)? {
            Column::Short { count, bytes } if *count < FEW_TIMES => {
                times::take_into(bytes, start_ms, *count as usize, &mut buffers.times)?;
                if buffers.times.len() != *count as usize {
                    return None;
                }
                &buffers.times
            }
            Column::Short { .. } | Column::Long { .. } => {
                let name = (start_ms, self.block.header.generation, place.column);
                if buffers.columns.len() >= COLUMNS && !buffers.columns.contains_key(&name) {
                    buffers.columns.clear();
                }
                kept = match buffers.columns.entry(name) {
                    std::collections::hash_map::Entry::Occupied(known) => known.get().clone(),
                    std::collections::hash_map::Entry::Vacant(new) => {
                        let times = block::read_times(&self.file, start_ms, columns, place).ok()?;
                        new.insert(times.into()).clone()
                    }
                };
                &kept
            }
        };
        let first = at.partition_point(|at| *at < wanted.from_ms);
        let end = at.partition_point(|at| *at <= wanted.to_ms);
        let first = if wanted.newest { first.max(end.saturating_sub(1)) } else { first };
        let some = first..end.max(first);
        if some.is_empty() {
            return Some(());
        }
        buffers.taker.take_some(payload, at.len(), some.clone(), &mut buffers.values)?;
        let rows = at[some].iter().zip(&buffers.values);
        buffers.rows.extend(rows.map(|(at, value)| (*at, *value)));
        Some(())
    }

    /// Has the chunk of the `n`th series in the piece, with those after it that are near.
    fn read_to(&mut self, n: usize, place: block::Place) -> Option<()> {
        let end_of = |place: block::Place| place.offset.checked_add(place.length);
        let mut end = end_of(place)?;
        if place.offset >= self.from && u64::from(end) <= u64::from(self.from) + self.piece.len() as u64 {
            return Some(());
        }
        for next in self.places[n + 1..].iter().flatten() {
            let Some(next_end) = end_of(*next) else { break };
            let near = next.offset >= end && next.offset - end <= GAP && next_end - place.offset <= PIECE;
            if !near {
                break;
            }
            end = next_end;
        }
        // A length that a damaged index claims takes no memory before the file is seen to have it.
        if u64::from(end) > self.block.header.file_bytes() {
            return None;
        }
        self.piece.resize((end - place.offset) as usize, 0);
        self.from = place.offset;
        let read = self.file.read_exact_at(&mut self.piece, u64::from(place.offset));
        if read.is_err() {
            self.piece.clear();
        }
        read.ok()
    }
}

#[cfg(test)]
mod tests;
