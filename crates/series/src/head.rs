//! The head: recent points in memory, by series and window of two hours. Whatever is here is in the log too.
//!
//! A series is a number, and the head is rows of slots by that number, in shards with a lock each: a reader holds up the writer for
//! one shard only, and for one series at a time. A slot holds the newest window in place; everything rarer, older windows and
//! points out of order, is behind one pointer.

mod cut;
mod probes;
mod reading;

pub(crate) use probes::Probes;

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use crate::chunk::{Chunk, Point, merge};
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::native::{NativeHead, NativePart, Samples};

/// The length of a window, and so of what one sealed file holds at first: two hours.
pub(crate) const WINDOW_MS: i64 = 2 * 3_600_000;
/// Out-of-order points that wait before they are woven into the compressed ones.
const LATE_POINTS: usize = 256;
/// Series of neighbouring numbers arrive together and stay in one shard.
const ROW: u32 = 1024;
const SHARDS: u32 = 16;

/// The start of the window that a time falls in.
pub(crate) fn window_start(at_ms: i64) -> i64 {
    at_ms.div_euclid(WINDOW_MS).saturating_mul(WINDOW_MS)
}

/// The points of one series in one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Unix milliseconds.
    pub(crate) start_ms: i64,
    pub(crate) chunk: Chunk,
    /// Points that came out of order, sorted; none has the time of one in `chunk`.
    late: Vec<Point>,
}

/// One series. No point at all when `chunk` is empty.
#[derive(Debug, Default)]
struct Slot {
    chunk: Chunk,
    start_ms: i64,
    more: Option<Box<More>>,
}

/// What few series have.
#[derive(Debug, Default)]
struct More {
    /// Late points of the slot's own window.
    late: Vec<Point>,
    /// Older windows, oldest first.
    older: Vec<Part>,
}

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    New,
    /// The very same point is there already.
    Repeated,
    /// Another value is there at this time, and stays.
    Conflict,
}

impl Inserted {
    /// What a point with `new` is where `old` stands: bits decide, since NaN is not equal to itself.
    pub(crate) fn of(old: f64, new: f64) -> Self {
        if old.to_bits() == new.to_bits() { Self::Repeated } else { Self::Conflict }
    }
}

fn offset(at_ms: i64, start_ms: i64) -> u32 {
    // Inside its window, so below 7.2 million.
    at_ms.wrapping_sub(start_ms) as u32
}

/// The value at exactly this time. Quick for the newest; older ones cost decoding the window.
fn value_at(chunk: &Chunk, late: &[Point], start_ms: i64, at_ms: i64) -> Option<f64> {
    let (at, (last_at, last)) = (offset(at_ms, start_ms), chunk.last());
    if at >= last_at {
        return (at == last_at).then_some(last);
    }
    if let Ok(found) = late.binary_search_by_key(&at_ms, |p| p.0) {
        return Some(late[found].1);
    }
    if at < chunk.first_at() {
        return None;
    }
    let mut points = Vec::with_capacity(chunk.count() as usize);
    chunk.points_into(start_ms, &mut points);
    let found = points.binary_search_by_key(&at_ms, |p| p.0).ok()?;
    Some(points[found].1)
}

fn all_points(chunk: &Chunk, late: &[Point], start_ms: i64) -> Vec<Point> {
    let mut points = Vec::with_capacity(chunk.count() as usize + late.len());
    chunk.points_into(start_ms, &mut points);
    if late.is_empty() { points } else { merge(vec![points, late.to_vec()]) }
}

fn chunk_of(points: &[Point], start_ms: i64) -> Chunk {
    let mut points = points.iter();
    let Some(first) = points.next() else { return Chunk::default() };
    let mut chunk = Chunk::start(offset(first.0, start_ms), first.1);
    points.for_each(|(at_ms, value)| chunk.push(offset(*at_ms, start_ms), *value));
    chunk
}

/// Adds a point whose time is not the last one's or later.
fn insert_late(chunk: &mut Chunk, late: &mut Vec<Point>, start_ms: i64, point: Point) -> Inserted {
    if let Some(value) = value_at(chunk, late, start_ms, point.0) {
        return Inserted::of(value, point.1);
    }
    let place = late.partition_point(|p| p.0 < point.0);
    late.insert(place, point);
    if late.len() >= LATE_POINTS {
        *chunk = chunk_of(&all_points(chunk, late, start_ms), start_ms);
        *late = Vec::new();
    }
    Inserted::New
}

impl Part {
    pub(crate) fn new(start_ms: i64, chunk: Chunk, late: Vec<Point>) -> Self {
        Self { start_ms, chunk, late }
    }

    /// How many points.
    pub(crate) fn count(&self) -> u64 {
        u64::from(self.chunk.count()) + self.late.len() as u64
    }

    /// All points, rising in time.
    pub(crate) fn points(&self) -> Vec<Point> {
        all_points(&self.chunk, &self.late, self.start_ms)
    }

    fn insert(&mut self, point: Point) -> Inserted {
        let at = offset(point.0, self.start_ms);
        if self.chunk.count() == 0 {
            self.chunk = Chunk::start(at, point.1);
        } else if at > self.chunk.last().0 {
            self.chunk.push(at, point.1);
        } else {
            return insert_late(&mut self.chunk, &mut self.late, self.start_ms, point);
        }
        Inserted::New
    }
}

impl Slot {
    fn late(&self) -> &[Point] {
        self.more.as_ref().map_or(&[], |more| &more.late)
    }

    fn older(&self) -> &[Part] {
        self.more.as_ref().map_or(&[], |more| &more.older)
    }

    fn probe(&self, (at_ms, value): Point) -> Inserted {
        let start = window_start(at_ms);
        let old = if self.chunk.count() > 0 && start == self.start_ms {
            value_at(&self.chunk, self.late(), start, at_ms)
        } else {
            let older = self.older().iter().find(|part| part.start_ms == start);
            older.and_then(|part| value_at(&part.chunk, &part.late, start, at_ms))
        };
        old.map_or(Inserted::New, |old| Inserted::of(old, value))
    }

    /// The second answer says that the window is new for the series.
    fn insert(&mut self, point: Point) -> (Inserted, bool) {
        let at = point.0.wrapping_sub(self.start_ms);
        if self.chunk.count() > 0 && (0..WINDOW_MS).contains(&at) {
            let at = at as u32;
            if at > self.chunk.last().0 {
                self.chunk.push(at, point.1);
                return (Inserted::New, false);
            }
            let more = self.more.get_or_insert_default();
            return (insert_late(&mut self.chunk, &mut more.late, self.start_ms, point), false);
        }
        let start = window_start(point.0);
        // The slot's own window is always the newest, also when the one before it was sealed first.
        let newest = if self.chunk.count() > 0 { Some(self.start_ms) } else { self.older().last().map(|p| p.start_ms) };
        if newest.is_none_or(|newest| start > newest) {
            self.turn();
            self.start_ms = start;
            self.chunk = Chunk::start(offset(point.0, start), point.1);
            return (Inserted::New, true);
        }
        let more = self.more.get_or_insert_default();
        let place = more.older.partition_point(|part| part.start_ms < start);
        let new = more.older.get(place).is_none_or(|part| part.start_ms != start);
        if new {
            more.older.insert(place, Part { start_ms: start, ..Part::default() });
        }
        (more.older[place].insert(point), new)
    }

    /// The slot's own window becomes one of the older ones.
    fn turn(&mut self) {
        if self.chunk.count() == 0 {
            return;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.shrink();
        let more = self.more.get_or_insert_default();
        let part = Part { start_ms: self.start_ms, chunk, late: std::mem::take(&mut more.late) };
        let place = more.older.partition_point(|older| older.start_ms < part.start_ms);
        more.older.insert(place, part);
    }

    /// Takes a whole window in; true when the series had none of it.
    fn adopt(&mut self, part: Part) -> bool {
        if self.chunk.count() == 0 && self.older().is_empty() {
            (self.start_ms, self.chunk) = (part.start_ms, part.chunk);
            if !part.late.is_empty() {
                self.more.get_or_insert_default().late = part.late;
            }
            return true;
        }
        if self.older().iter().all(|older| older.start_ms != part.start_ms)
            && (self.chunk.count() == 0 || self.start_ms != part.start_ms)
        {
            if self.chunk.count() > 0 && part.start_ms > self.start_ms {
                self.turn();
            }
            let more = self.more.get_or_insert_default();
            if self.chunk.count() == 0 && more.older.last().is_none_or(|older| older.start_ms < part.start_ms) {
                (self.start_ms, self.chunk, more.late) = (part.start_ms, part.chunk, part.late);
            } else {
                let place = more.older.partition_point(|older| older.start_ms < part.start_ms);
                more.older.insert(place, part);
            }
            return true;
        }
        let points = part.points();
        let mut new = false;
        for point in points {
            new |= self.insert(point).1;
        }
        new
    }

    fn window(&self, start_ms: i64) -> Option<Part> {
        if self.chunk.count() > 0 && self.start_ms == start_ms {
            return Some(Part { start_ms, chunk: self.chunk.clone(), late: self.late().to_vec() });
        }
        self.older().iter().find(|part| part.start_ms == start_ms).cloned()
    }

    /// Forgets one window; true when there was one.
    fn drop_window(&mut self, start_ms: i64) -> bool {
        let own = self.chunk.count() > 0 && self.start_ms == start_ms;
        if own {
            self.chunk = Chunk::default();
        }
        let Some(more) = &mut self.more else { return own };
        let before = more.older.len();
        if own {
            more.late = Vec::new();
        } else {
            more.older.retain(|part| part.start_ms != start_ms);
        }
        let dropped = own || more.older.len() < before;
        if more.late.is_empty() && more.older.is_empty() {
            self.more = None;
        }
        dropped
    }

    fn count(&self) -> u64 {
        let older = self.older().iter().map(Part::count);
        u64::from(self.chunk.count()) + self.late().len() as u64 + older.sum::<u64>()
    }

    fn bytes(&self) -> usize {
        let part = |p: &Part| size_of::<Part>() + p.chunk.heap() + p.late.capacity() * size_of::<Point>();
        let more = self.more.as_ref().map_or(0, |more| {
            size_of::<More>() + more.late.capacity() * size_of::<Point>() + more.older.iter().map(part).sum::<usize>()
        });
        self.chunk.heap() + more + size_of::<Self>()
    }
}

/// When a window's first and last point arrived, by our clock.
#[derive(Clone, Copy, Debug)]
struct Times {
    opened_ms: i64,
    touched_ms: i64,
}

impl Times {
    /// Whether the window is over and settled, so that sealing it now will rarely have to be repeated for a straggler.
    fn settled(self, start: i64, now_ms: i64, seal_after_ms: i64) -> bool {
        let over = now_ms >= start.saturating_add(WINDOW_MS).saturating_add(seal_after_ms);
        let quiet = now_ms >= self.touched_ms.saturating_add(seal_after_ms);
        let open_long = now_ms >= self.opened_ms.saturating_add(seal_after_ms.saturating_mul(6));
        over && (quiet || open_long)
    }
}

/// All windows that are not sealed.
#[derive(Debug)]
pub(crate) struct Head {
    shards: Vec<RwLock<Vec<Slot>>>,
    windows: Mutex<BTreeMap<i64, Times>>,
    newest_ms: AtomicI64,
    dropped: AtomicU64,
    pub(crate) natives: NativeHead,
}

impl Default for Head {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let (newest_ms, dropped) = (AtomicI64::new(0), AtomicU64::new(0));
        Self { shards, windows: Mutex::default(), newest_ms, dropped, natives: NativeHead::default() }
    }
}

/// Shard and place within it.
fn place(id: SeriesId) -> (usize, usize) {
    let row = id / ROW;
    ((row % SHARDS) as usize, (row / SHARDS * ROW + id % ROW) as usize)
}

fn id_of(shard: usize, slot: usize) -> SeriesId {
    let slot = slot as u32;
    (slot / ROW * SHARDS + shard as u32) * ROW + slot % ROW
}

/// Inserts many points with few locks. Made by [`Head::change`], ended by [`Change::done`].
pub(crate) struct Change<'a> {
    head: &'a Head,
    held: Option<(usize, RwLockWriteGuard<'a, Vec<Slot>>)>,
    /// Windows that got points.
    touched: Vec<i64>,
    newest_ms: i64,
    /// Series that a window is new for.
    pub(crate) opened: Vec<SeriesId>,
}

impl Change<'_> {
    fn slot(&mut self, id: SeriesId) -> &mut Slot {
        let (shard, slot) = place(id);
        if self.held.as_ref().is_none_or(|(held, _)| *held != shard) {
            self.held = None;
            self.held = Some((shard, self.head.shards[shard].write()));
        }
        let slots = &mut self.held.as_mut().expect("just taken").1;
        if slots.len() <= slot {
            slots.resize_with(slot + 1, Slot::default);
        }
        &mut slots[slot]
    }

    /// Remembers the window that a time is in.
    #[inline]
    fn touch(&mut self, at_ms: i64) {
        if !self.touched.last().is_some_and(|start| (0..WINDOW_MS).contains(&at_ms.wrapping_sub(*start))) {
            let start = window_start(at_ms);
            // The one that was touched last is the last.
            self.touched.retain(|other| *other != start);
            self.touched.push(start);
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, id: SeriesId, point: Point) -> Inserted {
        let (inserted, new) = self.slot(id).insert(point);
        if new {
            self.opened.push(id);
        }
        self.touch(point.0);
        self.newest_ms = self.newest_ms.max(point.0);
        inserted
    }

    pub(crate) fn insert_native(&mut self, id: SeriesId, at_ms: i64, histogram: &Histogram) {
        let (_, new) = self.head.natives.insert(id, at_ms, histogram);
        if new {
            self.opened.push(id);
        }
        self.touch(at_ms);
        self.newest_ms = self.newest_ms.max(at_ms);
    }

    /// A whole window of histograms of a series, as the log keeps it.
    pub(crate) fn adopt_native(&mut self, id: SeriesId, part: NativePart) {
        self.touch(part.start_ms);
        self.newest_ms = self.newest_ms.max(part.start_ms + part.rows.span().1);
        if self.head.natives.adopt(id, part) {
            self.opened.push(id);
        }
    }

    /// A whole window of a series, as the log keeps it.
    pub(crate) fn adopt(&mut self, id: SeriesId, part: Part) {
        self.touch(part.start_ms);
        self.newest_ms = self.newest_ms.max(part.start_ms + i64::from(part.chunk.last().0));
        if self.slot(id).adopt(part) {
            self.opened.push(id);
        }
    }

    /// Ends the change at `now_ms`; the series that a window is new for.
    pub(crate) fn done(self, now_ms: i64) -> Vec<SeriesId> {
        let mut windows = self.head.windows.lock();
        for start in self.touched {
            windows.entry(start).or_insert(Times { opened_ms: now_ms, touched_ms: now_ms }).touched_ms = now_ms;
        }
        self.head.newest_ms.fetch_max(self.newest_ms, Relaxed);
        self.opened
    }
}

impl Head {
    pub(crate) fn change(&self) -> Change<'_> {
        Change { head: self, held: None, touched: Vec::new(), newest_ms: i64::MIN, opened: Vec::new() }
    }

    /// The parts of one series in windows that begin from `first` to `last`, oldest first.
    pub(crate) fn parts(&self, id: SeriesId, first: i64, last: i64) -> Vec<(i64, Vec<Point>)> {
        let (shard, slot) = place(id);
        let slots = self.shards[shard].read();
        let Some(slot) = slots.get(slot) else { return Vec::new() };
        let wanted = |start: i64| (first..=last).contains(&start);
        let older = slot.older().iter().filter(|part| wanted(part.start_ms));
        let mut parts: Vec<_> = older.map(|part| (part.start_ms, part.points())).collect();
        if slot.chunk.count() > 0 && wanted(slot.start_ms) {
            parts.push((slot.start_ms, all_points(&slot.chunk, slot.late(), slot.start_ms)));
        }
        parts
    }

    /// One window of one series.
    pub(crate) fn window(&self, id: SeriesId, start_ms: i64) -> Option<Part> {
        let (shard, slot) = place(id);
        self.shards[shard].read().get(slot)?.window(start_ms)
    }

    /// All that one series has in a window; none when that is nothing.
    pub(crate) fn window_samples(&self, id: SeriesId, start_ms: i64) -> Option<Samples> {
        let floats = self.window(id, start_ms).map(|part| part.points()).unwrap_or_default();
        let histograms = self.natives.parts(id, start_ms, start_ms).pop().map(|(_, points)| points);
        let samples = Samples { floats, histograms: histograms.unwrap_or_default() };
        (!samples.is_empty()).then_some(samples)
    }

    /// The series that have points or histograms in a window; one that has both is there twice.
    pub(crate) fn series_in(&self, start_ms: i64) -> Vec<SeriesId> {
        let mut found = Vec::new();
        for (shard, slots) in self.shards.iter().enumerate() {
            let slots = slots.read();
            let held = slots.iter().enumerate().filter(|(_, s)| {
                (s.chunk.count() > 0 && s.start_ms == start_ms) || s.older().iter().any(|p| p.start_ms == start_ms)
            });
            found.extend(held.map(|(slot, _)| id_of(shard, slot)));
        }
        found.append(&mut self.natives.series_in(start_ms));
        found
    }

    /// Forgets a window; the series that had points in it, and those that had histograms.
    pub(crate) fn drop_window(&self, start_ms: i64) -> Vec<SeriesId> {
        self.dropped.fetch_add(1, SeqCst);
        let mut dropped = Vec::new();
        for (shard, slots) in self.shards.iter().enumerate() {
            let mut slots = slots.write();
            let gone = slots.iter_mut().enumerate().filter_map(|(i, s)| s.drop_window(start_ms).then_some(i));
            dropped.extend(gone.map(|slot| id_of(shard, slot)));
        }
        dropped.append(&mut self.natives.drop_window(start_ms));
        self.windows.lock().remove(&start_ms);
        dropped
    }

    /// Calls `each` with every window of every series that has points.
    pub(crate) fn each(&self, mut each: impl FnMut(SeriesId, &Chunk, &[Point], i64)) {
        for (shard, slots) in self.shards.iter().enumerate() {
            for (i, slot) in slots.read().iter().enumerate() {
                let id = id_of(shard, i);
                for part in slot.older() {
                    each(id, &part.chunk, &part.late, part.start_ms);
                }
                if slot.chunk.count() > 0 {
                    each(id, &slot.chunk, slot.late(), slot.start_ms);
                }
            }
        }
    }

    /// The windows that can be sealed now, oldest first.
    pub(crate) fn settled(&self, now_ms: i64, seal_after_ms: i64) -> Vec<i64> {
        let windows = self.windows.lock();
        let settled = windows.iter().filter(|(start, times)| times.settled(**start, now_ms, seal_after_ms));
        settled.map(|(start, _)| *start).collect()
    }

    /// The start of the oldest window.
    pub(crate) fn oldest_window(&self) -> Option<i64> {
        self.windows.lock().keys().next().copied()
    }

    /// Whether any series has something in the windows that begin from `first` to `last`.
    pub(crate) fn has_window_in(&self, first: i64, last: i64) -> bool {
        first <= last && self.windows.lock().range(first..=last).next().is_some()
    }

    /// Whether a series has something in the windows that begin from `first` to `last`.
    pub(crate) fn has_in(&self, id: SeriesId, first: i64, last: i64) -> bool {
        let wanted = |start: i64| (first..=last).contains(&start);
        let (shard, slot) = place(id);
        let held = self.shards[shard].read().get(slot).is_some_and(|slot| {
            (slot.chunk.count() > 0 && wanted(slot.start_ms)) || slot.older().iter().any(|part| wanted(part.start_ms))
        });
        held || self.natives.has_in(id, wanted)
    }

    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms.load(Relaxed)
    }

    /// Samples, and bytes of memory that they take.
    pub(crate) fn size(&self) -> (u64, u64) {
        let sum = |shard: &RwLock<Vec<Slot>>| {
            shard.read().iter().fold((0, 0), |(n, b), slot| (n + slot.count(), b + slot.bytes() as u64))
        };
        self.shards.iter().map(sum).fold(self.natives.size(), |(n, b), (m, c)| (n + m, b + c))
    }
}

#[cfg(test)]
mod tests;
