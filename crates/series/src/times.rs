//! The times of a sealed chunk, as a column that series share: all that a scrape brought has the same times.
//!
//! Differences of differences in runs: a regular column of any length takes a few bytes, and a jittering one two to three
//! bytes a time, once for all series of its target.

use crate::wire::{Put, Take};

/// A column longer than this in bytes is kept beside the values instead of in the index.
pub(crate) const SHORT_BYTES: usize = 256;

/// Writes rising times, as milliseconds relative to `start_ms`.
pub(crate) fn put(times: impl Iterator<Item = i64>, start_ms: i64, out: &mut Vec<u8>) {
    let (mut before, mut delta) = (start_ms, 0_i64);
    let mut run: Option<(i64, u64)> = None;
    let end = |run: Option<(i64, u64)>, out: &mut Vec<u8>| {
        if let Some((change, length)) = run {
            out.put_i64(change);
            out.put_u64(length - 1);
        }
    };
    for at in times {
        let new = at.wrapping_sub(before);
        let change = new.wrapping_sub(delta);
        (before, delta) = (at, new);
        run = match run {
            Some((same, length)) if same == change => Some((same, length + 1)),
            other => {
                end(other, out);
                Some((change, 1))
            }
        };
    }
    end(run, out);
}

/// Reads what [`put`] wrote; none when it is not at most `limit` rising times.
pub(crate) fn take(bytes: &[u8], start_ms: i64, limit: usize) -> Option<Vec<i64>> {
    let mut times = Vec::new();
    take_into(bytes, start_ms, limit, &mut times)?;
    Some(times)
}

/// As [`take`], in the place of what the vector held.
pub(crate) fn take_into(bytes: &[u8], start_ms: i64, limit: usize, times: &mut Vec<i64>) -> Option<()> {
    let mut take = Take(bytes);
    let (mut at, mut delta) = (start_ms, 0_i64);
    times.clear();
    while !take.is_empty() {
        let (change, more) = (take.i64()?, take.u64()?);
        if more >= limit as u64 - times.len() as u64 {
            return None;
        }
        times.reserve(more as usize + 1);
        let mut last = times.last().copied();
        for _ in 0..=more {
            delta = delta.wrapping_add(change);
            at = at.wrapping_add(delta);
            if last.is_some_and(|last| last >= at) {
                return None;
            }
            last = Some(at);
            times.push(at);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_rising_times_come_back(times in prop::collection::btree_set(any::<i64>(), 1..100), start in any::<i64>()) {
            let mut bytes = Vec::new();
            put(times.iter().copied(), start, &mut bytes);
            prop_assert_eq!(take(&bytes, start, 100), Some(times.into_iter().collect()));
        }

        #[test]
        fn taking_anything_never_panics(bytes in any::<Vec<u8>>(), start in any::<i64>()) {
            if let Some(times) = take(&bytes, start, 1000) {
                prop_assert!(times.len() <= 1000 && times.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }

    #[test]
    fn a_regular_column_of_any_length_takes_a_few_bytes() {
        let mut bytes = Vec::new();
        put((0..5760).map(|i| 1_000 + i * 15_000), 0, &mut bytes);
        assert!(bytes.len() <= 10, "{} bytes", bytes.len());
    }
}
