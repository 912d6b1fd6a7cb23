//! Histograms one after the other, each as what has changed since the one before: for the head, to which one is appended at
//! a time, and for the log.
//!
//! The layout (resolution and which buckets there are) is written when it changes. It only grows while it can, so that a
//! bucket that is empty for once costs a bit. Measured on a latency of sixteen buckets: see the test at the end.

use crate::histogram::{Histogram, MAX_BUCKETS, ResetHint};
use crate::labels::is_stale;
use crate::native::NativePoint;
use crate::wire::{Put, Take};

const NEW_LAYOUT: u8 = 0x01;
/// Counts are whole and written as differences.
const WHOLE: u8 = 0x02;
const STALE: u8 = 0x04;
const HINT_SHIFT: u32 = 3;
/// Whole numbers beyond this are not all exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// A layout grows to this many buckets more than a histogram has, and begins anew then.
const SPARE_BUCKETS: usize = 64;

/// Which counts there are.
#[derive(Clone, Debug, Default, PartialEq)]
struct Layout {
    schema: i32,
    zero_threshold: f64,
    custom_bounds: Vec<f64>,
    positive: Vec<i32>,
    negative: Vec<i32>,
}

/// The histogram before, in its layout.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    layout: Layout,
    /// All observations, those near zero, then each bucket.
    counts: Vec<f64>,
    sum: u64,
    at: i64,
    hint: ResetHint,
    /// The last one was the stale marker, which changes nothing else here.
    stale: bool,
}

fn is_whole(count: f64) -> bool {
    count.abs() < EXACT && (count as i64 as f64).to_bits() == count.to_bits()
}

/// Rising rows as one, each number once.
fn union(a: &[i32], b: impl Iterator<Item = i32>) -> Vec<i32> {
    let mut all: Vec<i32> = a.iter().copied().chain(b).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The counts of `buckets` at the places of `layout`; none when one of them has no place.
fn spread(layout: &[i32], buckets: &[(i32, f64)], out: &mut Vec<f64>) -> Option<()> {
    let mut rest = buckets.iter().peekable();
    for index in layout {
        out.push(rest.next_if(|(i, _)| i == index).map_or(0.0, |(_, count)| *count));
    }
    rest.next().is_none().then_some(())
}

fn filled(layout: &[i32], counts: &[f64]) -> Vec<(i32, f64)> {
    layout.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
}

impl Layout {
    fn places(&self) -> usize {
        2 + self.positive.len() + self.negative.len()
    }

    fn is_alike(&self, h: &Histogram) -> bool {
        let same = |a: &f64, b: &f64| a.to_bits() == b.to_bits();
        self.schema == h.schema
            && same(&self.zero_threshold, &h.zero_threshold)
            && self.custom_bounds.len() == h.custom_bounds.len()
            && self.custom_bounds.iter().zip(&h.custom_bounds).all(|(a, b)| same(a, b))
    }

    /// All its counts; none when the layout has no place for one.
    fn counts(&self, h: &Histogram) -> Option<Vec<f64>> {
        if !self.is_alike(h) {
            return None;
        }
        let mut counts = Vec::with_capacity(self.places());
        counts.extend([h.count, h.zero_count]);
        spread(&self.positive, &h.positive, &mut counts)?;
        spread(&self.negative, &h.negative, &mut counts)?;
        Some(counts)
    }

    /// A layout with a place for all of it; those of the one before are kept while they are few.
    fn for_next(&self, h: &Histogram) -> Self {
        let indices = |buckets: &[(i32, f64)]| -> Vec<i32> { buckets.iter().map(|(index, _)| *index).collect() };
        let own = Self {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_bounds: h.custom_bounds.clone(),
            positive: indices(&h.positive),
            negative: indices(&h.negative),
        };
        if !self.is_alike(h) {
            return own;
        }
        let positive = union(&self.positive, own.positive.iter().copied());
        let negative = union(&self.negative, own.negative.iter().copied());
        let grown = Self { positive, negative, ..own.clone() };
        if grown.places() > own.places() + SPARE_BUCKETS { own } else { grown }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_i64(i64::from(self.schema));
        out.put_fixed(self.zero_threshold.to_bits());
        out.put_u64(self.custom_bounds.len() as u64);
        self.custom_bounds.iter().for_each(|bound| out.put_fixed(bound.to_bits()));
        for side in [&self.positive, &self.negative] {
            out.put_u64(side.len() as u64);
            let mut before = 0;
            for index in side {
                out.put_i64(i64::from(*index) - before);
                before = i64::from(*index) + 1;
            }
        }
    }

    fn take(take: &mut Take<'_>) -> Option<Self> {
        let mut layout = Self {
            schema: i32::try_from(take.i64()?).ok()?,
            zero_threshold: f64::from_bits(take.fixed()?),
            ..Self::default()
        };
        for _ in 0..take.u64().filter(|n| *n <= MAX_BUCKETS as u64)? {
            layout.custom_bounds.push(f64::from_bits(take.fixed()?));
        }
        for side in [&mut layout.positive, &mut layout.negative] {
            let mut next = 0_i64;
            for _ in 0..take.u64().filter(|n| *n <= 2 * MAX_BUCKETS as u64)? {
                let index = next.checked_add(take.i64()?)?;
                if side.last().is_some_and(|last| i64::from(*last) >= index) {
                    return None;
                }
                side.push(i32::try_from(index).ok()?);
                next = index.checked_add(1)?;
            }
        }
        Some(layout)
    }
}

impl State {
    fn put(&mut self, at: i64, h: &Histogram, out: &mut Vec<u8>) {
        let after = at.wrapping_sub(std::mem::replace(&mut self.at, at));
        (self.stale, self.hint) = (h.is_stale(), h.hint);
        if self.stale {
            out.push(STALE);
            return out.put_i64(after);
        }
        let mut flags = (hint_number(h.hint)) << HINT_SHIFT;
        let counts = self.layout.counts(h).unwrap_or_else(|| {
            flags |= NEW_LAYOUT;
            self.turn(h)
        });
        if counts.iter().chain(&self.counts).all(|count| is_whole(*count)) {
            flags |= WHOLE;
        }
        out.push(flags);
        out.put_i64(after);
        if flags & NEW_LAYOUT > 0 {
            self.layout.put(out);
        }
        let sum = h.sum.to_bits();
        put_word(sum ^ std::mem::replace(&mut self.sum, sum), out);
        self.counts.resize(counts.len(), 0.0);
        let changed = |(a, b): (&f64, &f64)| a.to_bits() != b.to_bits();
        for part in counts.chunks(8).zip(self.counts.chunks(8)) {
            let bits = part.0.iter().zip(part.1).enumerate().map(|(i, pair)| u8::from(changed(pair)) << i);
            out.push(bits.sum());
        }
        for (new, old) in counts.iter().zip(&self.counts).filter(|pair| changed(*pair)) {
            if flags & WHOLE > 0 {
                out.put_i64(*new as i64 - *old as i64);
            } else {
                out.put_fixed(new.to_bits());
            }
        }
        self.counts = counts;
    }

    /// Goes over to a layout that has a place for all of `h`; its counts in it.
    fn turn(&mut self, h: &Histogram) -> Vec<f64> {
        let next = self.layout.for_next(h);
        self.go_over(next);
        self.layout.counts(h).expect("the layout was made for it")
    }

    /// The counts so far, at the places of another layout.
    fn go_over(&mut self, next: Layout) {
        self.counts.resize(self.layout.places(), 0.0);
        let (head, buckets) = self.counts.split_at(2);
        let (positive, negative) = buckets.split_at(self.layout.positive.len());
        let mut counts = head.to_vec();
        for (from, to, old) in
            [(&self.layout.positive, &next.positive, positive), (&self.layout.negative, &next.negative, negative)]
        {
            let count = |index: &i32| from.binary_search(index).map_or(0.0, |place| old[place]);
            counts.extend(to.iter().map(count));
        }
        (self.layout, self.counts) = (next, counts);
    }

    fn take(&mut self, take: &mut Take<'_>) -> Option<NativePoint> {
        let flags = take.byte()?;
        self.at = self.at.wrapping_add(take.i64()?);
        (self.stale, self.hint) = (flags & STALE > 0, hint_of(flags >> HINT_SHIFT));
        if self.stale {
            return Some((self.at, Histogram::stale()));
        }
        if flags & NEW_LAYOUT > 0 {
            let next = Layout::take(take)?;
            self.go_over(next);
        }
        self.sum ^= take_word(take)?;
        self.counts.resize(self.layout.places(), 0.0);
        let map = take.piece(self.counts.len().div_ceil(8))?;
        for (place, count) in self.counts.iter_mut().enumerate() {
            if map[place / 8] >> (place % 8) & 1 == 0 {
                continue;
            }
            *count = if flags & WHOLE > 0 {
                (*count as i64).wrapping_add(take.i64()?) as f64
            } else {
                f64::from_bits(take.fixed()?)
            };
        }
        // Nothing that was written with counts has the marker for its sum.
        (!is_stale(f64::from_bits(self.sum))).then(|| (self.at, self.histogram()))
    }

    /// The last one.
    fn histogram(&self) -> Histogram {
        if self.stale {
            return Histogram::stale();
        }
        let (positive, negative) = self.counts[2..].split_at(self.layout.positive.len());
        Histogram {
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.counts[1],
            count: self.counts[0],
            sum: f64::from_bits(self.sum),
            positive: filled(&self.layout.positive, positive),
            negative: filled(&self.layout.negative, negative),
            custom_bounds: self.layout.custom_bounds.clone(),
            hint: self.hint,
        }
    }
}

pub(super) fn hint_number(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NoReset => 2,
        ResetHint::Gauge => 3,
    }
}

pub(super) fn hint_of(number: u8) -> ResetHint {
    match number & 3 {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NoReset,
        _ => ResetHint::Gauge,
    }
}

/// A word without the zero bytes at both its ends.
fn put_word(word: u64, out: &mut Vec<u8>) {
    let (skipped, bytes) = (word.leading_zeros() / 8 % 8, word.to_be_bytes());
    let length = if word == 0 { 0 } else { 8 - skipped - word.trailing_zeros() / 8 };
    out.push((skipped << 4 | length) as u8);
    out.extend_from_slice(&bytes[skipped as usize..(skipped + length) as usize]);
}

fn take_word(take: &mut Take<'_>) -> Option<u64> {
    let about = take.byte()?;
    let (skipped, length) = (usize::from(about >> 4), usize::from(about & 15));
    let mut bytes = [0; 8];
    bytes.get_mut(skipped..skipped + length)?.copy_from_slice(take.piece(length)?);
    Some(u64::from_be_bytes(bytes))
}

/// Writes one alone, for the log.
pub(crate) fn put_single(histogram: &Histogram, out: &mut Vec<u8>) {
    State::default().put(0, histogram, out);
}

/// Reads what [`put_single`] wrote.
pub(crate) fn take_single(take: &mut Take<'_>) -> Option<Histogram> {
    State::default().take(take).map(|(_, histogram)| histogram)
}

/// Histograms in strictly rising order of time; more can be appended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    last: State,
    first_at: i64,
    count: u32,
}

impl Rows {
    /// Appends one later than the last, `at` milliseconds after the start of the window.
    pub(crate) fn push(&mut self, at: i64, histogram: &Histogram) {
        debug_assert!(self.count == 0 || at > self.last.at, "histograms rise in time");
        if self.count == 0 {
            self.first_at = at;
        }
        self.last.put(at, histogram, &mut self.bytes);
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The first and last time, in milliseconds after the start of the window.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.first_at, self.last.at)
    }

    /// The last one; there must be one.
    pub(crate) fn last(&self) -> Histogram {
        self.last.histogram()
    }

    /// The bytes that it holds in memory beside itself.
    pub(crate) fn heap(&self) -> usize {
        let State { layout, counts, .. } = &self.last;
        let words = counts.capacity() + layout.custom_bounds.capacity();
        self.bytes.capacity() + 8 * words + 4 * (layout.positive.capacity() + layout.negative.capacity())
    }

    /// All of them, times since `start_ms`.
    pub(crate) fn points(&self, start_ms: i64) -> Vec<NativePoint> {
        let (mut state, mut take) = (State::default(), Take(&self.bytes));
        let next = || state.take(&mut take).map(|(at, h)| (start_ms.wrapping_add(at), h));
        std::iter::from_fn(next).collect()
    }

    /// For the log's copy of the head.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(u64::from(self.count));
        out.put_bytes(&self.bytes);
    }

    /// What [`put`](Self::put) wrote: whole, rising in time and within `0..span`, else none.
    pub(crate) fn take(take: &mut Take<'_>, span: i64) -> Option<Self> {
        let (count, bytes) = (take.u32().filter(|n| *n > 0)?, take.bytes()?);
        let (mut last, mut rest, mut first_at, mut before) = (State::default(), Take(bytes), 0, -1);
        for n in 0..count {
            let (at, _) = last.take(&mut rest)?;
            if at <= before || at >= span {
                return None;
            }
            before = at;
            if n == 0 {
                first_at = at;
            }
        }
        rest.is_empty().then(|| Self { bytes: bytes.to_vec(), last, first_at, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::testing::{assert_same, latencies, row};
    use proptest::prelude::*;

    fn rows(of: &[NativePoint]) -> Rows {
        let mut rows = Rows::default();
        of.iter().for_each(|(at, h)| rows.push(*at, h));
        rows
    }

    proptest! {
        #[test]
        fn any_histograms_come_back_to_the_bit_and_can_be_gone_on_with(row in row(), cut in any::<prop::sample::Index>()) {
            let whole = rows(&row);
            assert_same(&whole.points(0), &row);
            let some = cut.index(row.len()) + 1;
            let mut written = Vec::new();
            rows(&row[..some]).put(&mut written);
            let mut resumed = Rows::take(&mut Take(&written), i64::MAX).expect("it was just written");
            row[some..].iter().for_each(|(at, h)| resumed.push(*at, h));
            assert_same(&resumed.points(0), &row);
            let mut single = Vec::new();
            put_single(&row[0].1, &mut single);
            let found = take_single(&mut Take(&single)).expect("it was just written");
            assert_same(&[(0, found)], &[(0, row[0].1.clone())]);
        }

        #[test]
        fn taking_anything_never_panics(bytes in any::<Vec<u8>>(), row in row(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            Rows::take(&mut Take(&bytes), 1000);
            take_single(&mut Take(&bytes));
            let mut written = Vec::new();
            rows(&row).put(&mut written);
            let place = at.index(written.len());
            written[place] ^= 1 << bit;
            Rows::take(&mut Take(&written), i64::MAX);
        }
    }

    #[test]
    fn a_latency_of_sixteen_buckets_takes_some_thirty_bytes_a_scrape() {
        let rows = rows(&latencies(480));
        let each = rows.bytes.len() as f64 / 480.0;
        println!("{each:.1} bytes a histogram");
        assert!(each < 33.0, "{each}");
    }
}
