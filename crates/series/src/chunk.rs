//! Points of one series as few bits: times by the difference of differences, values by XOR with the one before.
//!
//! The codec is Facebook's Gorilla (VLDB 2015) with Prometheus's wider time buckets. All arithmetic wraps, so any time and
//! any bit pattern of a value, NaN and the stale marker included, comes back exactly. Decoding never panics.

use crate::bits::{BitReader, BitWriter};

/// A time in Unix milliseconds and a value.
pub(crate) type Point = (i64, f64);

/// How differences of differences of times are written: prefix, its bits, and the bits of the number after it.
const TIME_BUCKETS: [(u64, u32, u32); 3] = [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)];

/// Points in strictly rising order of time, compressed; more can be appended.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    bits: BitWriter,
    state: State,
    count: u32,
    first_ms: i64,
}

/// What the next point is written relative to; the reader walks through the same states.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    at_ms: i64,
    delta: i64,
    value: u64,
    /// Leading zeros and length of the last stored XOR; length 0 before the first.
    leading: u32,
    length: u32,
}

impl Chunk {
    /// A chunk with its first point.
    pub(crate) fn start((at_ms, value): Point) -> Self {
        let mut bits = BitWriter::default();
        bits.put(at_ms as u64, 64);
        bits.put(value.to_bits(), 64);
        let state = State { at_ms, value: value.to_bits(), ..State::default() };
        Self { bits, state, count: 1, first_ms: at_ms }
    }

    /// All of `points`, which rise in time. `None` when there are none.
    pub(crate) fn of(points: &[Point]) -> Option<Self> {
        let (first, rest) = points.split_first()?;
        let mut chunk = Self::start(*first);
        for point in rest {
            chunk.push(*point);
        }
        Some(chunk)
    }

    /// Appends a point later than the last one.
    pub(crate) fn push(&mut self, (at_ms, value): Point) {
        debug_assert!(at_ms > self.state.at_ms, "points rise in time");
        let delta = at_ms.wrapping_sub(self.state.at_ms);
        self.put_time(delta.wrapping_sub(self.state.delta));
        self.put_value(value.to_bits() ^ self.state.value);
        self.state.at_ms = at_ms;
        self.state.delta = delta;
        self.state.value = value.to_bits();
        self.count += 1;
    }

    fn put_time(&mut self, change: i64) {
        if change == 0 {
            return self.bits.put(0, 1);
        }
        for (prefix, prefix_bits, bits) in TIME_BUCKETS {
            let half = 1_i64 << (bits - 1);
            if (-half..half).contains(&change) {
                self.bits.put(prefix, prefix_bits);
                return self.bits.put(change as u64, bits);
            }
        }
        self.bits.put(0b1111, 4);
        self.bits.put(change as u64, 64);
    }

    fn put_value(&mut self, xor: u64) {
        if xor == 0 {
            return self.bits.put(0, 1);
        }
        // Five bits hold the leading zeros, so more than 31 are written as 31.
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        let State { leading: old_leading, length: old_length, .. } = self.state;
        let fits = old_length > 0 && leading >= old_leading && trailing >= 64 - old_leading - old_length;
        if fits {
            self.bits.put(0b10, 2);
            self.bits.put(xor >> (64 - old_leading - old_length), old_length);
            return;
        }
        let length = 64 - leading - trailing;
        self.bits.put(0b11, 2);
        self.bits.put(u64::from(leading), 5);
        self.bits.put(u64::from(length - 1), 6);
        self.bits.put(xor >> trailing, length);
        self.state.leading = leading;
        self.state.length = length;
    }

    /// The compressed bytes, from which [`decode`] with [`count`](Self::count) makes the points again.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// The bytes that it holds in memory.
    pub(crate) fn capacity(&self) -> usize {
        self.bits.capacity() + size_of::<Self>()
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    pub(crate) fn last(&self) -> Point {
        (self.state.at_ms, f64::from_bits(self.state.value))
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        decode(self.bytes(), self.count).expect("bytes that this chunk wrote decode")
    }
}

/// The points of a chunk, or `None` when the bytes are not `count` points that rise in time.
pub(crate) fn decode(bytes: &[u8], count: u32) -> Option<Vec<Point>> {
    // A point takes at least two bits: a count beyond that is a lie, not a reason to allocate.
    if count == 0 || u64::from(count) > bytes.len() as u64 * 4 {
        return None;
    }
    let mut bits = BitReader::new(bytes);
    let mut state = State { at_ms: bits.take(64)? as i64, value: bits.take(64)?, ..State::default() };
    let mut points = Vec::with_capacity(count as usize);
    points.push((state.at_ms, f64::from_bits(state.value)));
    for _ in 1..count {
        state.delta = state.delta.wrapping_add(take_time(&mut bits)?);
        let at_ms = state.at_ms.wrapping_add(state.delta);
        if at_ms <= state.at_ms {
            return None;
        }
        state.at_ms = at_ms;
        state.value ^= take_value(&mut bits, &mut state)?;
        points.push((state.at_ms, f64::from_bits(state.value)));
    }
    Some(points)
}

fn take_time(bits: &mut BitReader<'_>) -> Option<i64> {
    if !bits.bit()? {
        return Some(0);
    }
    for (_, _, width) in TIME_BUCKETS {
        if !bits.bit()? {
            let unused = 64 - width;
            // Shifting up and down again carries the sign.
            return Some(((bits.take(width)? << unused) as i64) >> unused);
        }
    }
    Some(bits.take(64)? as i64)
}

fn take_value(bits: &mut BitReader<'_>, state: &mut State) -> Option<u64> {
    if !bits.bit()? {
        return Some(0);
    }
    if bits.bit()? {
        state.leading = bits.take(5)? as u32;
        state.length = bits.take(6)? as u32 + 1;
    }
    let trailing = 64_u32.checked_sub(state.leading + state.length)?;
    if state.length == 0 {
        return None;
    }
    Some(bits.take(state.length)? << trailing)
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

    fn bits(points: &[Point]) -> Vec<(i64, u64)> {
        points.iter().map(|(t, v)| (*t, v.to_bits())).collect()
    }

    proptest! {
        #[test]
        fn any_times_and_any_bits_come_back_exactly(raw in prop::collection::btree_map(any::<i64>(), any::<u64>(), 1..200)) {
            let points: Vec<Point> = raw.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect();
            let chunk = Chunk::of(&points).unwrap();
            prop_assert_eq!(bits(&chunk.points()), bits(&points));
        }

        #[test]
        fn regular_series_with_jitter_come_back_exactly(
            steps in prop::collection::vec((-900_i64..900, prop_oneof![Just(0.0), -1e3..1e3, Just(f64::NAN)]), 1..300),
        ) {
            let mut at = 1_760_000_000_000;
            let points: Vec<Point> = steps.iter().map(|(jitter, v)| { at += 5_000 + jitter; (at, *v) }).collect();
            let chunk = Chunk::of(&points).unwrap();
            prop_assert_eq!(bits(&chunk.points()), bits(&points));
        }

        #[test]
        fn decoding_anything_never_panics(bytes in any::<Vec<u8>>(), count in 0_u32..5000) {
            if let Some(points) = decode(&bytes, count) {
                prop_assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
            }
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
        let points: Vec<Point> = (0..1440).map(|i| (i * 5_000, 42.0)).collect();
        let bytes = Chunk::of(&points).unwrap().bytes().len();
        assert!(bytes < 1440 / 4 + 24, "{bytes} bytes for 1,440 equal values");
    }
}
