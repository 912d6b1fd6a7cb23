//! What the frames of a log segment say, as entries that need nothing but this segment to be understood. Never panics; what
//! has no meaning, or belongs to a series that is not defined, is left out and told of.
//!
//! It knows no engine, so that it can run in a thread of its own, ahead of the one that takes the entries in.

use std::collections::HashMap;
use std::ops::Range;

use crate::about::LogExemplar;
use crate::chunk::{Chunk, Point};
use crate::cut::Cut;
use crate::error::DamageKind;
use crate::formats::Metadata;
use crate::head::{Part, WINDOW_MS, window_start};
use crate::histogram::Histogram;
use crate::index::{Index, KeyHash, SeriesId};
use crate::key;
use crate::log::{
    NEXT_SERIES, OLDEST_VERSION, SAME_TIME, TAG_ALIKE, TAG_CHUNK, TAG_SAMPLES, TAG_SERIES, TAG_VERSION, VALUE_BYTES,
    VERSION,
};
use crate::native::{NativePart, NativePoint, Rows, take_single};
use crate::record::{
    TAG_CUT, TAG_EXEMPLARS, TAG_HISTOGRAM, TAG_HISTOGRAMS, TAG_METADATA, take_cut, take_exemplars, take_metadata,
};
use crate::wire::Take;

/// How closely copies of the head are looked at. Their bytes are covered by a checksum in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closely {
    /// Each point is decoded: for who checks files.
    Yes,
    /// They are taken as they are, and decoded by who reads them: for a quick start.
    No,
}

/// What the numbers of a segment stand for. They are dense, unless another program wrote them.
#[derive(Default)]
pub(crate) struct Places {
    dense: Vec<u32>,
    rest: HashMap<SeriesId, u32>,
}

/// Numbers below this are looked up without a hash, unless they are few and far apart: most segments of an idle server have a
/// handful of the numbers of many series.
const DENSE: usize = 4 << 20;
const SPARSE: usize = 16;
const NOTHING: u32 = u32::MAX;

impl Places {
    pub(crate) fn set(&mut self, id: SeriesId, place: u32) {
        let at = id as usize;
        // Neither shrinks, so a number that is among the dense ones once is always looked for there.
        let dense = DENSE.min(self.dense.len() + SPARSE * (self.rest.len() + SPARSE));
        if at >= dense || place == NOTHING {
            self.rest.insert(id, place);
            return;
        }
        if self.dense.len() <= at {
            self.dense.resize(at + 1, NOTHING);
        }
        self.dense[at] = place;
    }

    #[inline]
    pub(crate) fn get(&self, id: SeriesId) -> Option<u32> {
        match self.dense.get(id as usize) {
            Some(place) if *place != NOTHING => Some(*place),
            _ if self.rest.is_empty() => None,
            _ => self.rest.get(&id).copied(),
        }
    }
}

/// One thing that a segment says. Series are the segment's own numbers, and each is defined before it is used.
pub(crate) enum Entry {
    /// A series; its key is among the keys of what was decoded.
    Series {
        id: SeriesId,
        tenant: u64,
        hash: KeyHash,
        key: Range<usize>,
    },
    /// Some of the samples of what was decoded.
    Samples(Range<usize>),
    /// A window of a series, as the head had it.
    Part(SeriesId, Part),
    Histogram(SeriesId, i64, Histogram),
    /// Those of a window of a series.
    Histograms(SeriesId, NativePart),
    Metadata(u64, Metadata),
    Exemplars(u64, Vec<LogExemplar>),
    Cut(Cut),
}

/// What some frames say, in the order in which it was written. Used again and again.
#[derive(Default)]
pub(crate) struct Decoded {
    pub(crate) entries: Vec<Entry>,
    pub(crate) keys: Vec<u8>,
    pub(crate) samples: Vec<(SeriesId, Point)>,
}

impl Decoded {
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.samples.clear();
    }
}

/// Decodes the frames of one segment.
pub(crate) struct Decoder {
    closely: Closely,
    /// Of the index that the series are for.
    seed: u64,
    /// The series that the segment has defined.
    defined: Places,
    /// The key that the frame named last.
    before: Range<usize>,
}

impl Decoder {
    pub(crate) fn new(closely: Closely, seed: u64) -> Self {
        Self { closely, seed, defined: Places::default(), before: 0..0 }
    }

    /// Everything of one frame that has a meaning; the error says that something in it has none.
    pub(crate) fn frame(&mut self, payload: &[u8], out: &mut Decoded) -> Result<(), DamageKind> {
        let mut take = Take(payload);
        let mut outcome = Ok(());
        self.before = 0..0;
        while !take.is_empty() {
            match self.entry(&mut take, out) {
                Some(true) => {}
                Some(false) => outcome = Err(DamageKind::Orphaned),
                None => return Err(DamageKind::Meaning),
            }
        }
        outcome
    }

    fn knows(&self, id: SeriesId) -> bool {
        self.defined.get(id).is_some()
    }

    /// Reads one entry. `Some(false)` when something in it belongs to a series that is not defined.
    fn entry(&mut self, take: &mut Take<'_>, out: &mut Decoded) -> Option<bool> {
        let mut of_series = |id: SeriesId, entry: Entry| {
            let known = self.knows(id);
            if known {
                out.entries.push(entry);
            }
            Some(known)
        };
        match take.byte()? {
            TAG_VERSION => (OLDEST_VERSION..=VERSION).contains(&take.u64()?).then_some(true),
            tag @ (TAG_SERIES | TAG_ALIKE) => self.series(tag == TAG_ALIKE, take, out),
            TAG_SAMPLES => self.samples(take, out),
            TAG_CHUNK => {
                let id = take.u32()?;
                let part = self.part(take)?;
                of_series(id, Entry::Part(id, part))
            }
            TAG_HISTOGRAM => {
                let (id, at_ms, histogram) = (take.u32()?, take.i64()?, take_single(take)?);
                of_series(id, Entry::Histogram(id, at_ms, histogram))
            }
            TAG_HISTOGRAMS => {
                let id = take.u32()?;
                let part = take_native(take)?;
                of_series(id, Entry::Histograms(id, part))
            }
            TAG_METADATA => {
                let (tenant, told) = take_metadata(take)?;
                out.entries.push(Entry::Metadata(tenant, told));
                Some(true)
            }
            TAG_EXEMPLARS => {
                let (tenant, all) = take_exemplars(take)?;
                out.entries.push(Entry::Exemplars(tenant, all));
                Some(true)
            }
            TAG_CUT => {
                out.entries.push(Entry::Cut(take_cut(take)?));
                Some(true)
            }
            _ => None,
        }
    }

    fn series(&mut self, alike: bool, take: &mut Take<'_>, out: &mut Decoded) -> Option<bool> {
        let (id, tenant) = (take.u32()?, take.u64()?);
        let shared = if alike { take.u32()? as usize } else { 0 };
        let rest = take.bytes()?;
        if shared > self.before.len() {
            return None;
        }
        let from = out.keys.len();
        out.keys.extend_from_within(self.before.start..self.before.start + shared);
        out.keys.extend_from_slice(rest);
        let key = from..out.keys.len();
        // Only what the engine would have written names a series.
        if !key::is_canonical(&out.keys[key.clone()]) {
            out.keys.truncate(from);
            return None;
        }
        let hash = Index::hash(self.seed, tenant, &out.keys[key.clone()]);
        out.entries.push(Entry::Series { id, tenant, hash, key: key.clone() });
        self.before = key;
        self.defined.set(id, 0);
        Some(true)
    }

    /// A window of a series.
    fn part(&self, take: &mut Take<'_>) -> Option<Part> {
        let start_ms = take.i64()?;
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
        let whole = sane && (self.closely == Closely::No || chunk.is_whole());
        whole.then(|| Part::new(start_ms, chunk, late))
    }

    /// Samples up to the end of the frame.
    fn samples(&self, take: &mut Take<'_>, out: &mut Decoded) -> Option<bool> {
        let from = out.samples.len();
        let read = self.samples_into(take, &mut out.samples);
        // Those before a piece without meaning are samples all the same: the frame's checksum holds.
        out.entries.push(Entry::Samples(from..out.samples.len()));
        read
    }

    fn samples_into(&self, take: &mut Take<'_>, out: &mut Vec<(SeriesId, Point)>) -> Option<bool> {
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
            if self.knows(id) {
                out.push((id, (at_ms, value)));
            } else {
                all_known = false;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_is_what_was_set_last(
            all in prop::collection::vec((prop_oneof![0_u32..100, 0_u32..100_000, any::<u32>()], 0_u32..50), 0..400),
        ) {
            let (mut places, mut model) = (Places::default(), HashMap::new());
            for (id, place) in all {
                places.set(id, place);
                model.insert(id, place);
                for (id, place) in &model {
                    prop_assert_eq!(places.get(*id), Some(*place));
                }
                prop_assert_eq!(places.get(id ^ 1), model.get(&(id ^ 1)).copied());
            }
        }
    }
}
