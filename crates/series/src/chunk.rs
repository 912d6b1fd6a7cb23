//! Points of one series in one window as few bits: times by the difference of differences, values by XOR with the one before.
//!
//! The codec is Facebook's Gorilla (VLDB 2015) with Prometheus's wider time buckets, for the head: it takes a point at a time. What is
//! sealed is written anew by [`values`](crate::values) and [`times`](crate::times). Times are milliseconds since the start of the
//! window, so they fit 32 bits and a series of one point needs no memory of its own. Any bit pattern of a value, NaN and
//! the stale marker included, comes back exactly. Decoding never panics.

use std::ops::Range;

use crate::bits::{BitReader, BitWriter, Bits, WordReader};
use crate::wire::{Put, Take};

/// A time in Unix milliseconds and a value.
pub(crate) type Point = (i64, f64);

/// How differences of differences of times are written: prefix, its bits, and the bits of the number after it.
const TIME_BUCKETS: [(u64, u32, u32); 3] = [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)];
/// Bits of a difference that fits none of them.
const WIDE: u32 = 33;

/// Points in strictly rising order of time, compressed; more can be appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// All points but the first.
    bits: BitWriter,
    first_value: u64,
    last_value: u64,
    first_at: u32,
    last_at: u32,
    delta: u32,
    count: u32,
    /// Leading zeros and length of the last stored XOR; length 0 before the first.
    leading: u8,
    length: u8,
}

impl Chunk {
    /// A chunk with its first point, `at` milliseconds after the start of its window.
    pub(crate) fn start(at: u32, value: f64) -> Self {
        let value = value.to_bits();
        Self { first_value: value, last_value: value, first_at: at, last_at: at, count: 1, ..Self::default() }
    }

    /// Appends a point later than the last one.
    #[inline]
    pub(crate) fn push(&mut self, at: u32, value: f64) {
        debug_assert!(at > self.last_at, "points rise in time");
        let delta = at.wrapping_sub(self.last_at);
        self.put_time(i64::from(delta) - i64::from(self.delta));
        self.put_value(value.to_bits() ^ self.last_value);
        self.last_at = at;
        self.delta = delta;
        self.last_value = value.to_bits();
        self.count += 1;
    }

    #[inline]
    fn put_time(&mut self, change: i64) {
        if change == 0 {
            return self.bits.put(0, 1);
        }
        for (prefix, prefix_bits, bits) in TIME_BUCKETS {
            let half = 1_i64 << (bits - 1);
            if (-half..half).contains(&change) {
                let low = change as u64 & ((1 << bits) - 1);
                return self.bits.put(prefix << bits | low, prefix_bits + bits);
            }
        }
        self.bits.put(0b1111, 4);
        self.bits.put(change as u64, WIDE);
    }

    #[inline]
    fn put_value(&mut self, xor: u64) {
        if xor == 0 {
            return self.bits.put(0, 1);
        }
        // Five bits hold the leading zeros, so more than 31 are written as 31.
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        let (old_leading, old_length) = (u32::from(self.leading), u32::from(self.length));
        let fits = old_length > 0 && leading >= old_leading && trailing >= 64 - old_leading - old_length;
        if fits {
            self.bits.put(0b10, 2);
            self.bits.put(xor >> (64 - old_leading - old_length), old_length);
            return;
        }
        let length = 64 - leading - trailing;
        self.bits.put(0b11 << 11 | u64::from(leading) << 6 | u64::from(length - 1), 13);
        self.bits.put(xor >> trailing, length);
        self.leading = leading as u8;
        self.length = length as u8;
    }

    /// The bytes that it holds in memory beside itself.
    pub(crate) fn heap(&self) -> usize {
        self.bits.heap()
    }

    /// Gives back memory that was taken for points to come.
    pub(crate) fn shrink(&mut self) {
        self.bits.shrink();
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn first_at(&self) -> u32 {
        self.first_at
    }

    pub(crate) fn last(&self) -> (u32, f64) {
        (self.last_at, f64::from_bits(self.last_value))
    }

    /// The points, as times since `start_ms`, appended to `out`.
    pub(crate) fn points_into(&self, start_ms: i64, out: &mut Vec<Point>) {
        // Bits that this chunk wrote decode. Those of a copy of the head are covered by a checksum; were they another program's,
        // their points would end early, which `verify` tells.
        let _ = decode(&mut self.bits.read(), self.first_at, self.first_value, self.count, start_ms, out);
    }

    /// Everything, so that it can be gone on with: for the log's copy of the head.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for number in [self.count, self.first_at, self.last_at, self.delta] {
            out.put_u64(u64::from(number));
        }
        out.put_fixed(self.first_value);
        out.put_fixed(self.last_value);
        out.extend_from_slice(&[self.leading, self.length]);
        out.put_u64(self.bits.len());
        out.put_bytes(&self.bits.to_bytes());
    }

    /// What [`put`](Self::put) wrote, when it can be a chunk; whether the bits are its points, [`is_whole`](Self::is_whole) says.
    pub(crate) fn take(take: &mut Take<'_>) -> Option<Self> {
        let (count, first_at, last_at, delta) = (take.u32()?, take.u32()?, take.u32()?, take.u32()?);
        let (first_value, last_value) = (take.fixed()?, take.fixed()?);
        let (leading, length, bits) = (take.byte()?, take.byte()?, take.u64()?);
        let bits = BitWriter::resume(take.bytes()?, bits)?;
        let sane = count > 0 && leading <= 31 && u32::from(leading) + u32::from(length) <= 64;
        sane.then_some(Self { bits, first_value, last_value, first_at, last_at, delta, count, leading, length })
    }

    /// Whether its bits are its points: for bytes whose checksum holds but which another program may have written.
    pub(crate) fn is_whole(&self) -> bool {
        let mut points = Vec::new();
        let mut bits = self.bits.read();
        let whole = decode(&mut bits, self.first_at, self.first_value, self.count, 0, &mut points);
        let last = points.last().map(|(at, value)| (*at, value.to_bits()));
        whole.is_some() && last == Some((i64::from(self.last_at), self.last_value))
    }
}

/// Decodes `count` points; `None` when the bits are not that many points that rise in time.
fn decode(
    bits: &mut WordReader<'_>,
    first_at: u32,
    first_value: u64,
    count: u32,
    start_ms: i64,
    out: &mut Vec<Point>,
) -> Option<()> {
    let (mut at, mut delta, mut value) = (i64::from(first_at), 0_i64, first_value);
    let (mut leading, mut length) = (0, 0);
    out.push((start_ms.wrapping_add(at), f64::from_bits(value)));
    for _ in 1..count {
        // Nearly all points come at the same distance as the one before, and one look shows the head of the value too.
        let mut ahead = bits.peek();
        if ahead >> 63 == 0 {
            bits.skip(1)?;
            ahead <<= 1;
        } else {
            delta = delta.wrapping_add(take_time(bits)?);
            ahead = bits.peek();
        }
        if delta <= 0 {
            return None;
        }
        at = at.checked_add(delta)?;
        value ^= match ahead >> 62 {
            0 | 1 => {
                bits.skip(1)?;
                0
            }
            2 if length > 0 && length <= 60 => {
                // Two bits of the head, and what was shifted out, are not among the bits that can be seen.
                let meaning = ahead << 2 >> (64 - length);
                bits.skip(2 + length)?;
                meaning << 64_u32.checked_sub(leading + length)?
            }
            _ => take_value(bits, &mut leading, &mut length)?,
        };
        out.push((start_ms.wrapping_add(at), f64::from_bits(value)));
    }
    Some(())
}

#[inline]
fn take_time(bits: &mut impl Bits) -> Option<i64> {
    if !bits.bit()? {
        return Some(0);
    }
    for (_, _, width) in TIME_BUCKETS {
        if !bits.bit()? {
            return signed(bits.take(width)?, width);
        }
    }
    signed(bits.take(WIDE)?, WIDE)
}

/// Shifting up and down again carries the sign.
fn signed(raw: u64, width: u32) -> Option<i64> {
    Some(((raw << (64 - width)) as i64) >> (64 - width))
}

#[inline]
fn take_value(bits: &mut impl Bits, leading: &mut u32, length: &mut u32) -> Option<u64> {
    if !bits.bit()? {
        return Some(0);
    }
    if bits.bit()? {
        *leading = bits.take(5)? as u32;
        *length = bits.take(6)? as u32 + 1;
    }
    let trailing = 64_u32.checked_sub(*leading + *length)?;
    if *length == 0 {
        return None;
    }
    Some(bits.take(*length)? << trailing)
}

/// XOR-coded values alone, for sealed chunks whose values are not numbers that another codec makes smaller.
pub(crate) fn put_values(values: &[f64], out: &mut Vec<u8>) {
    let mut chunk = Chunk::default();
    for value in values {
        chunk.put_value(value.to_bits() ^ chunk.last_value);
        chunk.last_value = value.to_bits();
    }
    out.extend_from_slice(&chunk.bits.to_bytes());
}

/// Reads what [`put_values`] wrote, `count` values; those in the places `some` are appended to `out`.
pub(crate) fn take_values(bytes: &[u8], count: usize, some: &Range<usize>, out: &mut Vec<f64>) -> Option<()> {
    // A value takes at least one bit: a count beyond that is a lie, not a reason to allocate.
    if count > bytes.len().saturating_mul(8) {
        return None;
    }
    let (mut bits, mut value, mut leading, mut length) = (BitReader::new(bytes), 0, 0, 0);
    for place in 0..count {
        value ^= take_value(&mut bits, &mut leading, &mut length)?;
        if some.contains(&place) {
            out.push(f64::from_bits(value));
        }
    }
    Some(())
}

/// Points of several sources as one row that rises in time; where two have the same time, the earlier source wins.
pub(crate) fn merge(sources: Vec<Vec<Point>>) -> Vec<Point> {
    let mut sources = sources.into_iter().filter(|s| !s.is_empty());
    let Some(mut all) = sources.next() else { return Vec::new() };
    for more in sources {
        let in_order = all.last().is_some_and(|last| last.0 < more[0].0);
        all.extend(more);
        if !in_order {
            // Stable: of equal times the one that came first stays first, and is kept.
            all.sort_by_key(|point| point.0);
            all.dedup_by_key(|point| point.0);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn chunk_of(points: &[(u32, u64)]) -> Chunk {
        let mut chunk = Chunk::start(points[0].0, f64::from_bits(points[0].1));
        points[1..].iter().for_each(|(at, value)| chunk.push(*at, f64::from_bits(*value)));
        chunk
    }

    fn back(chunk: &Chunk) -> Vec<(u32, u64)> {
        let mut points = Vec::new();
        chunk.points_into(0, &mut points);
        points.into_iter().map(|(at, value)| (at as u32, value.to_bits())).collect()
    }

    proptest! {
        #[test]
        fn any_times_and_any_bits_come_back_exactly(
            raw in prop::collection::btree_map(any::<u32>(), any::<u64>(), 1..200).prop_map(|m| m.into_iter().collect::<Vec<_>>()),
            cut in any::<prop::sample::Index>(),
        ) {
            let chunk = chunk_of(&raw);
            prop_assert_eq!(back(&chunk), raw.clone());
            let some = cut.index(raw.len()) + 1;
            let mut written = Vec::new();
            chunk_of(&raw[..some]).put(&mut written);
            let mut resumed = Chunk::take(&mut Take(&written)).unwrap();
            prop_assert!(resumed.is_whole());
            raw[some..].iter().for_each(|(at, value)| resumed.push(*at, f64::from_bits(*value)));
            prop_assert_eq!(resumed, chunk);
        }

        #[test]
        fn regular_series_with_jitter_come_back_exactly(
            steps in prop::collection::vec((0_u32..1_800, prop_oneof![Just(0.0), -1e3..1e3, Just(f64::NAN)]), 1..300),
        ) {
            let mut at = 0;
            let points: Vec<_> = steps.iter().map(|(jitter, v)| { at += 5_000 + jitter; (at, v.to_bits()) }).collect();
            prop_assert_eq!(back(&chunk_of(&points)), points);
        }

        #[test]
        fn taking_anything_never_panics(bytes in any::<Vec<u8>>(), count in 0_usize..5000) {
            if let Some(chunk) = Chunk::take(&mut Take(&bytes)) {
                chunk.is_whole();
            }
            let _ = take_values(&bytes, count, &(0..count), &mut Vec::new());
        }

        #[test]
        fn values_alone_come_back_exactly(raw in prop::collection::vec(any::<u64>(), 0..200)) {
            let values: Vec<f64> = raw.iter().map(|v| f64::from_bits(*v)).collect();
            let mut bytes = Vec::new();
            put_values(&values, &mut bytes);
            let mut found = Vec::new();
            take_values(&bytes, raw.len(), &(0..raw.len()), &mut found).unwrap();
            let found: Vec<u64> = found.iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(found, raw);
        }

        #[test]
        fn merging_keeps_the_first_of_equal_times(parts in prop::collection::vec(prop::collection::btree_map(0_i64..40, any::<u32>(), 0..20), 0..5)) {
            let mut expected = BTreeMap::new();
            for part in parts.iter().rev() {
                expected.extend(part.iter().map(|(t, v)| (*t, f64::from(*v))));
            }
            let sources = parts.iter().map(|p| p.iter().map(|(t, v)| (*t, f64::from(*v))).collect()).collect();
            prop_assert_eq!(merge(sources), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_steady_value_costs_a_quarter_byte() {
        let points: Vec<_> = (0..1440).map(|i| (i * 5_000, 42.0_f64.to_bits())).collect();
        let bits = chunk_of(&points).bits.len();
        assert!(bits < 1440 * 2 + 40, "{bits} bits for 1,440 equal values");
    }
}
