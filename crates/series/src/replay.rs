//! Reads log segments: samples out, damage told. Never panics; what is damaged is left out.

use hashbrown::HashTable;

use crate::about::LogExemplar;
use crate::chunk::{Chunk, Point};
use crate::cut::Cut;
use crate::error::{Damage, DamageKind};
use crate::formats::Metadata;
use crate::frame;
use crate::head::{WINDOW_MS, window_start};
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::key;
use crate::log::{
    NEXT_SERIES, OLDEST_VERSION, SAME_TIME, TAG_CHUNK, TAG_SAMPLES, TAG_SERIES, TAG_VERSION, VALUE_BYTES, VERSION,
};
use crate::native::{NativePart, NativePoint, Rows, take_single};
use crate::record::{
    TAG_CUT, TAG_EXEMPLARS, TAG_HISTOGRAM, TAG_HISTOGRAMS, TAG_METADATA, take_cut, take_exemplars, take_metadata,
};
use crate::wire::Take;

/// Takes what a segment holds, in the order in which it was written.
pub(crate) trait Replay {
    /// A series; what it gives back stands for it from then on.
    fn series(&mut self, tenant: u64, key: &[u8]) -> u32;
    /// A sample.
    fn sample(&mut self, series: u32, point: Point);
    /// A window of a series, as the head had it, with late points.
    fn part(&mut self, series: u32, start_ms: i64, chunk: Chunk, late: Vec<Point>);
    /// A native histogram.
    fn histogram(&mut self, series: u32, at_ms: i64, histogram: Histogram);
    /// Those of a window of a series, as the head had them.
    fn histograms(&mut self, series: u32, part: NativePart);
    /// What was told of a family.
    fn metadata(&mut self, _tenant: u64, _told: Metadata) {}
    /// Exemplars of a series.
    fn exemplars(&mut self, _tenant: u64, _all: Vec<LogExemplar>) {}
    /// A delete of what came before it.
    fn cut(&mut self, _cut: Cut) {}
}

/// How closely copies of the head are looked at. Their bytes are covered by a checksum in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closely {
    /// Each point is decoded: for who checks files.
    Yes,
    /// They are taken as they are, and decoded by who reads them: for a quick start.
    No,
}

/// Reads the bytes of one segment into `sink`; what is damaged, in order.
pub(crate) fn replay(file: &str, bytes: &[u8], closely: Closely, sink: &mut impl Replay) -> Vec<Damage> {
    let scan = frame::scan(bytes);
    let mut damaged = scan.damage(file, bytes.len() as u64);
    let mut reader = Reader { sink, closely, places: HashTable::new(), scratch: Vec::new() };
    for (offset, payload) in scan.whole {
        if let Err(kind) = reader.frame(payload) {
            let length = (payload.len() + frame::HEADER) as u64;
            damaged.push(Damage { file: file.into(), offset, length, kind });
        }
    }
    damaged.sort_by_key(|d| d.offset);
    damaged
}

struct Reader<'a, S> {
    sink: &'a mut S,
    closely: Closely,
    /// The segment's own numbers, and what they stand for.
    places: HashTable<(SeriesId, u32)>,
    scratch: Vec<u8>,
}

/// Numbers are dense, so spreading them is all that a hash has to do.
fn spread(id: SeriesId) -> u64 {
    u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<S: Replay> Reader<'_, S> {
    /// Everything of one frame that has a meaning; the error says that something in it has none.
    fn frame(&mut self, payload: &[u8]) -> Result<(), DamageKind> {
        let mut take = Take(payload);
        let mut outcome = Ok(());
        while !take.is_empty() {
            match self.entry(&mut take) {
                Some(true) => {}
                Some(false) => outcome = Err(DamageKind::Orphaned),
                None => return Err(DamageKind::Meaning),
            }
        }
        outcome
    }

    /// Reads one entry. `Some(false)` when something in it belongs to a series that is not defined.
    fn entry(&mut self, take: &mut Take<'_>) -> Option<bool> {
        match take.byte()? {
            TAG_VERSION => (OLDEST_VERSION..=VERSION).contains(&take.u64()?).then_some(true),
            TAG_SERIES => {
                let (id, tenant, bytes) = (take.u32()?, take.u64()?, take.bytes()?);
                // Only what the engine would have written names a series.
                if !key::is_canonical(bytes, &mut self.scratch) {
                    return None;
                }
                let stands_for = self.sink.series(tenant, bytes);
                match self.places.find_mut(spread(id), |(other, _)| *other == id) {
                    Some(known) => known.1 = stands_for,
                    None => drop(self.places.insert_unique(spread(id), (id, stands_for), |(id, _)| spread(*id))),
                }
                Some(true)
            }
            TAG_SAMPLES => self.samples(take),
            TAG_CHUNK => self.chunk(take),
            TAG_HISTOGRAM => {
                let (id, at_ms, histogram) = (take.u32()?, take.i64()?, take_single(take)?);
                let Some(series) = self.place(id) else { return Some(false) };
                self.sink.histogram(series, at_ms, histogram);
                Some(true)
            }
            TAG_HISTOGRAMS => {
                let id = take.u32()?;
                let part = take_native(take)?;
                let Some(series) = self.place(id) else { return Some(false) };
                self.sink.histograms(series, part);
                Some(true)
            }
            TAG_METADATA => {
                let (tenant, told) = take_metadata(take)?;
                self.sink.metadata(tenant, told);
                Some(true)
            }
            TAG_EXEMPLARS => {
                let (tenant, all) = take_exemplars(take)?;
                self.sink.exemplars(tenant, all);
                Some(true)
            }
            TAG_CUT => {
                self.sink.cut(take_cut(take)?);
                Some(true)
            }
            _ => None,
        }
    }

    /// A window of a series.
    fn chunk(&mut self, take: &mut Take<'_>) -> Option<bool> {
        let (id, start_ms) = (take.u32()?, take.i64()?);
        let chunk = Chunk::take(take)?;
        let sane = window_start(start_ms) == start_ms && i64::from(chunk.last().0) < WINDOW_MS;
        let count = take.u64()?;
        let mut late = Vec::new();
        for _ in 0..count {
            let at = take.i64()?;
            let point = (start_ms.checked_add(at)?, f64::from_bits(take.fixed()?));
            let rises = late.last().is_none_or(|last: &Point| last.0 < point.0);
            if !rises || !(0..WINDOW_MS).contains(&at) {
                return None;
            }
            late.push(point);
        }
        if !sane || (self.closely == Closely::Yes && !chunk.is_whole()) {
            return None;
        }
        let Some(series) = self.place(id) else { return Some(false) };
        self.sink.part(series, start_ms, chunk, late);
        Some(true)
    }

    fn place(&self, id: SeriesId) -> Option<u32> {
        self.places.find(spread(id), |(other, _)| *other == id).map(|(_, stands_for)| *stands_for)
    }

    /// Samples up to the end of the frame.
    fn samples(&mut self, take: &mut Take<'_>) -> Option<bool> {
        let (mut id, mut at_ms, mut all_known): (SeriesId, i64, bool) = (0, 0, true);
        while !take.is_empty() {
            let about = take.byte()?;
            let length = usize::from(about & VALUE_BYTES);
            if length > 8 {
                return None;
            }
            id = if about & NEXT_SERIES > 0 {
                id.wrapping_add(1)
            } else {
                u32::try_from(i64::from(id).checked_add(take.i64()?)?).ok()?
            };
            if about & SAME_TIME == 0 {
                at_ms = at_ms.wrapping_add(take.i64()?);
            }
            let mut bytes = [0; 8];
            bytes[..length].copy_from_slice(take.piece(length)?);
            let value = f64::from_bits(u64::from_be_bytes(bytes));
            match self.place(id) {
                Some(series) => self.sink.sample(series, (at_ms, value)),
                None => all_known = false,
            }
        }
        Some(all_known)
    }
}

/// The histograms of a window of a series.
fn take_native(take: &mut Take<'_>) -> Option<NativePart> {
    let start_ms = take.i64().filter(|start| window_start(*start) == *start)?;
    let rows = Rows::take(take, WINDOW_MS)?;
    let mut late: Vec<NativePoint> = Vec::new();
    for _ in 0..take.u64()? {
        let at = take.i64().filter(|at| (0..WINDOW_MS).contains(at))?;
        let point = (start_ms.checked_add(at)?, take_single(take)?);
        if late.last().is_some_and(|last| last.0 >= point.0) {
            return None;
        }
        late.push(point);
    }
    Some(NativePart { start_ms, rows, late })
}

/// Counts samples, for who only checks.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) series: u32,
    pub(crate) samples: u64,
}

impl Replay for Counted {
    fn series(&mut self, _: u64, _: &[u8]) -> u32 {
        self.series += 1;
        self.series - 1
    }

    fn sample(&mut self, _: u32, _: Point) {
        self.samples += 1;
    }

    fn part(&mut self, _: u32, _: i64, chunk: Chunk, late: Vec<Point>) {
        self.samples += u64::from(chunk.count()) + late.len() as u64;
    }

    fn histogram(&mut self, _: u32, _: i64, _: Histogram) {
        self.samples += 1;
    }

    fn histograms(&mut self, _: u32, part: NativePart) {
        self.samples += part.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn replaying_anything_never_panics(bytes in any::<Vec<u8>>(), tag in 0_u8..9) {
            let mut framed = Vec::new();
            frame::put(&mut framed, &[&[tag], bytes.as_slice()].concat());
            replay("raw", &bytes, Closely::Yes, &mut Counted::default());
            replay("framed", &framed, Closely::Yes, &mut Counted::default());
        }
    }

    #[test]
    fn samples_of_a_series_whose_definition_is_lost_are_told_of_and_not_guessed() {
        let defined = |id: u8, name: &str| {
            let mut out = vec![TAG_SERIES, id, 1];
            crate::wire::Put::put_bytes(&mut out, &key::of(&Labels::metric(name, &[]).unwrap()));
            out
        };
        let frames = [
            [defined(1, "a"), vec![TAG_SAMPLES, NEXT_SERIES, 20]].concat(),
            [defined(2, "b"), vec![TAG_SAMPLES, NEXT_SERIES, 40, NEXT_SERIES | SAME_TIME]].concat(),
        ];
        let mut whole = Vec::new();
        frames.iter().for_each(|f| frame::put(&mut whole, f));
        let mut found = Counted::default();
        assert_eq!(replay("f", &whole, Closely::Yes, &mut found), []);
        assert_eq!((found.series, found.samples), (2, 3));
        let mut second = Vec::new();
        frame::put(&mut second, &frames[1]);
        let mut found = Counted::default();
        let damaged = replay("f", &second, Closely::Yes, &mut found);
        assert_eq!((found.series, found.samples, damaged[0].kind), (1, 1, DamageKind::Orphaned));
    }
}
