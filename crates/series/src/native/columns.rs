//! Histograms of a sealed chunk: each number of them is a column, written by the codec that makes it smallest.
//!
//! Histograms of the same resolution are a run with one layout, which has a place for every bucket that any of them has. What
//! a bucket counts moves as a counter does, so [`values`] packs it as tightly as one. Measured on a
//! latency of sixteen buckets: see the test at the end. Decoding takes no more memory than [`CELLS`] numbers a run.

use crate::histogram::{Histogram, MAX_BUCKETS};
use crate::native::rows::{hint_number, hint_of};
use crate::native::{NativePoint, Samples};
use crate::values;
use crate::wire::{Put, Take};

/// The first byte of a chunk that has histograms; those of [`values`] are lower.
pub(crate) const MIXED: u8 = 0x20;
/// Numbers that one run may have, so that a few bytes cannot ask for all memory.
const CELLS: usize = 16 << 20;
/// All counts are the sums of their buckets, and are left out.
const SUMMED: u8 = 1;
/// All hints are the first one's.
const ONE_HINT: u8 = 2;

/// Writes the values of a chunk whose times are kept apart: floats alone, or floats and histograms by turns.
pub(crate) fn put_samples(samples: &Samples, out: &mut Vec<u8>) {
    let mut floats: Vec<f64> = Vec::with_capacity(samples.floats.len());
    floats.extend(samples.floats.iter().map(|p| p.1));
    if samples.histograms.is_empty() {
        return values::put(&floats, out);
    }
    out.push(MIXED);
    put_turns(samples, out);
    let mut packed = Vec::new();
    values::put(&floats, &mut packed);
    out.put_bytes(&packed);
    put_histograms(&samples.histograms, out);
}

/// Reads what [`put_samples`] wrote; none when it is not one value for each time.
pub(crate) fn take_samples(bytes: &[u8], times: Vec<i64>) -> Option<Samples> {
    if bytes.first() != Some(&MIXED) {
        let values = values::take(bytes, times.len())?;
        return Some(times.into_iter().zip(values).collect::<Vec<_>>().into());
    }
    let mut take = Take(&bytes[1..]);
    let (float_times, native_times) = take_turns(&mut take, &times)?;
    let floats = values::take(take.bytes()?, float_times.len())?;
    let histograms = take_histograms(&mut take, native_times.len())?;
    Some(Samples {
        floats: float_times.into_iter().zip(floats).collect(),
        histograms: native_times.into_iter().zip(histograms).collect(),
    })
}

/// How many floats, then how many histograms, then floats again, in order of time.
fn put_turns(samples: &Samples, out: &mut Vec<u8>) {
    let (mut floats, mut natives) = (samples.floats.iter().peekable(), samples.histograms.iter().peekable());
    while floats.peek().is_some() || natives.peek().is_some() {
        let mut run = 0_u64;
        while floats.next_if(|f| natives.peek().is_none_or(|n| f.0 < n.0)).is_some() {
            run += 1;
        }
        out.put_u64(run);
        let mut run = 0_u64;
        while natives.next_if(|n| floats.peek().is_none_or(|f| n.0 < f.0)).is_some() {
            run += 1;
        }
        out.put_u64(run);
    }
}

fn take_turns(take: &mut Take<'_>, times: &[i64]) -> Option<(Vec<i64>, Vec<i64>)> {
    let (mut rest, mut sides) = (times, (Vec::new(), Vec::new()));
    while !rest.is_empty() {
        let mut moved = 0;
        for side in [&mut sides.0, &mut sides.1] {
            let (run, more) = rest.split_at_checked(usize::try_from(take.u64()?).ok()?)?;
            side.extend_from_slice(run);
            moved += run.len();
            rest = more;
        }
        if moved == 0 {
            return None;
        }
    }
    Some(sides)
}

/// Histograms with the same bounds, and the buckets that any of them has.
struct Run<'a> {
    first: &'a Histogram,
    positive: Vec<i32>,
    negative: Vec<i32>,
    all: Vec<&'a Histogram>,
}

fn put_histograms(histograms: &[NativePoint], out: &mut Vec<u8>) {
    let mut rest: Vec<&Histogram> = histograms.iter().map(|(_, h)| h).collect();
    while !rest.is_empty() {
        let run = Run::of(&rest);
        run.put(out);
        rest.drain(..run.all.len());
    }
}

fn alike(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.custom_bounds.iter().map(|v| v.to_bits()).eq(b.custom_bounds.iter().map(|v| v.to_bits()))
}

/// Adds what is missing; both rise.
fn widen(places: &mut Vec<i32>, buckets: &[(i32, f64)]) {
    let before = places.len();
    places.extend(
        buckets.iter().map(|b| b.0).filter(|index| places[..before].binary_search(index).is_err()).collect::<Vec<_>>(),
    );
    if places.len() > before {
        places.sort_unstable();
    }
}

impl<'a> Run<'a> {
    /// The longest run at the start of `of`. A stale one fits into any.
    fn of(of: &[&'a Histogram]) -> Self {
        let first = of.iter().find(|h| !h.is_stale()).unwrap_or(&of[0]);
        let mut run = Run { first, positive: Vec::new(), negative: Vec::new(), all: Vec::new() };
        for h in of {
            if !h.is_stale() {
                if !alike(first, h) {
                    break;
                }
                let (mut positive, mut negative) = (run.positive.clone(), run.negative.clone());
                widen(&mut positive, &h.positive);
                widen(&mut negative, &h.negative);
                let places = 3 + positive.len() + negative.len();
                let too_large = places * (run.all.len() + 1) > CELLS || places > 2 * MAX_BUCKETS;
                if too_large && !run.all.is_empty() {
                    break;
                }
                (run.positive, run.negative) = (positive, negative);
            }
            run.all.push(h);
        }
        run
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.all.len() as u64);
        out.put_i64(i64::from(self.first.schema));
        out.put_fixed(self.first.zero_threshold.to_bits());
        out.put_u64(self.first.custom_bounds.len() as u64);
        self.first.custom_bounds.iter().for_each(|bound| out.put_fixed(bound.to_bits()));
        for side in [&self.positive, &self.negative] {
            out.put_u64(side.len() as u64);
            let mut next = 0;
            for index in side {
                out.put_i64(i64::from(*index) - next);
                next = i64::from(*index) + 1;
            }
        }
        let summed = self.all.iter().all(|h| h.is_stale() || total(h).to_bits() == h.count.to_bits());
        let one_hint = self.all.iter().all(|h| h.is_stale() || h.hint == self.first.hint);
        out.push(if summed { SUMMED } else { 0 } | if one_hint { ONE_HINT } else { 0 });
        if one_hint {
            out.push(hint_number(self.first.hint));
        } else {
            out.extend(self.all.iter().map(|h| hint_number(h.hint)));
        }
        put_column(self.all.iter().map(|h| h.sum).collect(), out);
        let column = |value: &dyn Fn(&Histogram) -> f64, out: &mut Vec<u8>| {
            // A stale one repeats what was before it, so that the column goes on smoothly.
            let mut last = value(self.first);
            let each = self.all.iter().map(|h| {
                if !h.is_stale() {
                    last = value(h);
                }
                last
            });
            put_column(each.collect(), out);
        };
        column(&|h| h.zero_count, out);
        if !summed {
            column(&|h| h.count, out);
        }
        let held = |buckets: &[(i32, f64)], index: i32| {
            buckets.binary_search_by_key(&index, |b| b.0).map_or(0.0, |place| buckets[place].1)
        };
        self.positive.iter().for_each(|index| column(&|h| held(&h.positive, *index), out));
        self.negative.iter().for_each(|index| column(&|h| held(&h.negative, *index), out));
    }
}

/// Always added in this order, so that the sum has the same bits again.
fn total(h: &Histogram) -> f64 {
    h.positive.iter().chain(&h.negative).fold(h.zero_count, |sum, (_, count)| sum + count)
}

fn put_column(values: Vec<f64>, out: &mut Vec<u8>) {
    let mut packed = Vec::new();
    values::put(&values, &mut packed);
    out.put_bytes(&packed);
}

fn take_column(take: &mut Take<'_>, count: usize) -> Option<Vec<f64>> {
    values::take(take.bytes()?, count)
}

fn take_histograms(take: &mut Take<'_>, count: usize) -> Option<Vec<Histogram>> {
    let mut all = Vec::new();
    while all.len() < count {
        let run = usize::try_from(take.u64()?).ok().filter(|n| (1..=count - all.len()).contains(n))?;
        take_run(take, run, &mut all)?;
    }
    take.is_empty().then_some(all)
}

fn take_run(take: &mut Take<'_>, count: usize, out: &mut Vec<Histogram>) -> Option<()> {
    let schema = i32::try_from(take.i64()?).ok()?;
    let zero_threshold = f64::from_bits(take.fixed()?);
    let mut custom_bounds = Vec::new();
    for _ in 0..take.u64().filter(|n| *n <= MAX_BUCKETS as u64)? {
        custom_bounds.push(f64::from_bits(take.fixed()?));
    }
    let (positive, negative) = (take_places(take)?, take_places(take)?);
    if count > 1 && count.checked_mul(3 + positive.len() + negative.len())? > CELLS {
        return None;
    }
    let flags = take.byte()?;
    let hints = take.piece(if flags & ONE_HINT > 0 { 1 } else { count })?;
    let (sums, zeros) = (take_column(take, count)?, take_column(take, count)?);
    let counts = if flags & SUMMED > 0 { None } else { Some(take_column(take, count)?) };
    let from = out.len();
    for (row, sum) in sums.into_iter().enumerate() {
        let hint = hint_of(*hints.get(row).or(hints.last())?);
        let zero_count = zeros[row];
        let count = counts.as_ref().map_or(0.0, |counts| counts[row]);
        let custom_bounds = custom_bounds.clone();
        let whole =
            Histogram { schema, zero_threshold, zero_count, count, sum, custom_bounds, hint, ..Histogram::default() };
        out.push(if whole.is_stale() { Histogram::stale() } else { whole });
    }
    let rows = &mut out[from..];
    take_buckets(take, &positive, rows, |h| &mut h.positive)?;
    take_buckets(take, &negative, rows, |h| &mut h.negative)?;
    if flags & SUMMED > 0 {
        rows.iter_mut().filter(|h| !h.is_stale()).for_each(|h| h.count = total(h));
    }
    Some(())
}

fn take_places(take: &mut Take<'_>) -> Option<Vec<i32>> {
    let (mut places, mut next): (Vec<i32>, i64) = (Vec::new(), 0);
    for _ in 0..take.u64().filter(|n| *n <= 2 * MAX_BUCKETS as u64)? {
        let index = next.checked_add(take.i64()?)?;
        if places.last().is_some_and(|last| i64::from(*last) >= index) {
            return None;
        }
        places.push(i32::try_from(index).ok()?);
        next = index.checked_add(1)?;
    }
    Some(places)
}

fn take_buckets(
    take: &mut Take<'_>,
    places: &[i32],
    rows: &mut [Histogram],
    side: impl Fn(&mut Histogram) -> &mut Vec<(i32, f64)>,
) -> Option<()> {
    for index in places {
        let counts = take_column(take, rows.len())?;
        for (h, count) in rows.iter_mut().zip(counts).filter(|(h, count)| *count != 0.0 && !h.is_stale()) {
            side(h).push((*index, count));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::testing::{assert_same, latencies, row};
    use proptest::prelude::*;

    /// Floats at some of the times between.
    fn mixed() -> impl Strategy<Value = Samples> {
        (row(), prop::collection::btree_map(0_i64..5_000, any::<u64>(), 0..20)).prop_map(|(histograms, floats)| {
            let taken = |at: &i64| histograms.iter().any(|h| h.0 == *at);
            let floats = floats.into_iter().filter(|(at, _)| !taken(at)).map(|(at, v)| (at, f64::from_bits(v)));
            Samples { floats: floats.collect(), histograms }
        })
    }

    proptest! {
        #[test]
        fn floats_and_histograms_by_turns_come_back_to_the_bit(samples in mixed()) {
            let mut bytes = Vec::new();
            put_samples(&samples, &mut bytes);
            let found = take_samples(&bytes, samples.times()).expect("it was just written");
            assert_same(&found.histograms, &samples.histograms);
            let bits = |points: &[(i64, f64)]| points.iter().map(|p| (p.0, p.1.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&found.floats), bits(&samples.floats));
        }

        #[test]
        fn taking_anything_never_panics(samples in mixed(), bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), bit in 0_u8..8, count in 0_i64..500) {
            take_samples(&bytes, (0..count).collect());
            take_samples(&[&[MIXED], bytes.as_slice()].concat(), (0..count).collect());
            let mut written = Vec::new();
            put_samples(&samples, &mut written);
            let place = at.index(written.len());
            written[place] ^= 1 << bit;
            take_samples(&written, samples.times());
        }
    }

    #[test]
    fn a_latency_of_sixteen_buckets_takes_some_eleven_bytes_a_scrape() {
        let samples = Samples { floats: Vec::new(), histograms: latencies(480) };
        let mut bytes = Vec::new();
        put_samples(&samples, &mut bytes);
        let each = bytes.len() as f64 / 480.0;
        println!("{each:.1} bytes a histogram");
        assert!(each < 13.0, "{each}");
    }
}
