//! Native histograms on their way to the disk and back: as rows in the head and the log, as columns in sealed files.
//!
//! Measured with `cargo bench -p series --bench natives` (2,000 series of sixteen buckets, 480 scrapes of a hundred observations, a
//! machine at load 21): 39.9 bytes each in the log, 35.1 in the head, 11.1 in a sealed file with its index; 2.9 µs of CPU to store
//! one, 1.6 to seal, 1.6 to read.
//!
//! A series may have floats and histograms by turns, never both at one time. Whatever is put comes back with the same bits,
//! but for empty buckets, which are not kept. Nothing here panics on bytes that it did not write.

mod columns;
mod head;
mod rows;

pub(crate) use columns::{put_samples, take_samples};
pub(crate) use head::{NativeHead, NativePart, NativeProbes};
pub(crate) use rows::{Rows, put_single, take_single};

use crate::chunk::{Point, merge};
use crate::histogram::Histogram;

/// A time in Unix milliseconds and a histogram.
pub(crate) type NativePoint = (i64, Histogram);

/// What a series has between two times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples {
    /// Rising in time.
    pub(crate) floats: Vec<Point>,
    /// Rising in time; no time is also among the floats.
    pub(crate) histograms: Vec<NativePoint>,
}

impl From<Vec<Point>> for Samples {
    fn from(floats: Vec<Point>) -> Self {
        Self { floats, histograms: Vec::new() }
    }
}

impl Samples {
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All times, rising.
    pub(crate) fn times(&self) -> Vec<i64> {
        let mut times: Vec<i64> = self.floats.iter().map(|p| p.0).collect();
        if !self.histograms.is_empty() {
            times.extend(self.histograms.iter().map(|p| p.0));
            times.sort_unstable();
        }
        times
    }

    /// Whether there is any from `from_ms` to `to_ms`, both included.
    pub(crate) fn has_in(&self, from_ms: i64, to_ms: i64) -> bool {
        let float = self.floats.get(self.floats.partition_point(|p| p.0 < from_ms)).map(|p| p.0);
        let histogram = self.histograms.get(self.histograms.partition_point(|p| p.0 < from_ms)).map(|p| p.0);
        [float, histogram].into_iter().flatten().any(|at_ms| at_ms <= to_ms)
    }

    /// Keeps the samples whose time is wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(i64) -> bool) {
        self.floats.retain(|(at, _)| wanted(*at));
        self.histograms.retain(|(at, _)| wanted(*at));
    }

    /// Samples of several sources as one row: where two have the same time the earlier source wins, and a float wins over
    /// a histogram.
    pub(crate) fn merged(sources: Vec<Self>) -> Self {
        let (floats, histograms): (Vec<_>, Vec<_>) = sources.into_iter().map(|s| (s.floats, s.histograms)).unzip();
        let mut merged = Self { floats: merge(floats), histograms: merge_natives(histograms) };
        if !merged.floats.is_empty() && !merged.histograms.is_empty() {
            let floats = &merged.floats;
            merged.histograms.retain(|(at, _)| floats.binary_search_by_key(at, |p| p.0).is_err());
        }
        merged
    }
}

/// As [`merge`], of histograms.
pub(crate) fn merge_natives(sources: Vec<Vec<NativePoint>>) -> Vec<NativePoint> {
    let mut all: Vec<NativePoint> = Vec::new();
    for more in sources {
        let in_order = all.last().zip(more.first()).is_none_or(|(last, first)| last.0 < first.0);
        all.extend(more);
        if !in_order {
            all.sort_by_key(|point| point.0);
            all.dedup_by_key(|point| point.0);
        }
    }
    all
}

/// Whether two are the same to the bit: what a sender repeats.
pub(crate) fn same(a: &Histogram, b: &Histogram) -> bool {
    (a.is_stale() && b.is_stale()) || (a == b && a.hint == b.hint)
}

#[cfg(test)]
pub(crate) mod testing {
    //! Histograms of every kind, for the tests of both codecs.
    use proptest::prelude::*;

    use super::NativePoint;
    use crate::histogram::{CUSTOM_BUCKETS, Histogram, ResetHint};

    fn side() -> impl Strategy<Value = Vec<(i32, f64)>> {
        let count = prop_oneof![4 => (1_u32..1000).prop_map(f64::from), 1 => 0.01_f64..100.0];
        prop::collection::btree_map(-40_i32..40, count, 0..12).prop_map(|m| m.into_iter().collect())
    }

    fn hint() -> impl Strategy<Value = ResetHint> {
        prop_oneof![
            6 => Just(ResetHint::Unknown),
            1 => Just(ResetHint::Reset),
            1 => Just(ResetHint::NoReset),
            1 => Just(ResetHint::Gauge)
        ]
    }

    pub(crate) fn histogram() -> impl Strategy<Value = Histogram> {
        let exponential = (-4_i32..=8, side(), side(), 0_u32..9, any::<u64>(), hint());
        let exponential = exponential.prop_map(|(schema, positive, negative, zero, sum, hint)| {
            let sum = f64::from_bits(sum);
            let zero_count = f64::from(zero);
            let count = positive.iter().chain(&negative).map(|b| b.1).sum::<f64>() + zero_count;
            let zero_threshold = if zero % 2 == 0 { 0.0 } else { 2_f64.powi(-128) };
            let sum = if crate::labels::is_stale(sum) { 0.5 } else { sum };
            Histogram {
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive,
                negative,
                hint,
                ..Histogram::default()
            }
        });
        let custom = prop::collection::vec(0_u32..50, 1..6).prop_map(|counts| Histogram {
            schema: CUSTOM_BUCKETS,
            count: counts.iter().map(|c| f64::from(*c)).sum(),
            sum: f64::from(counts[0]) * 1.5,
            custom_bounds: (1..counts.len()).map(|i| i as f64 / 8.0).collect(),
            positive: (0..).zip(counts).filter(|(_, c)| *c > 0).map(|(i, c)| (i, f64::from(c))).collect(),
            ..Histogram::default()
        });
        prop_oneof![6 => exponential, 2 => custom, 1 => Just(Histogram::stale())]
    }

    /// Some that follow each other as a scrape's do, and some that do not.
    pub(crate) fn row() -> impl Strategy<Value = Vec<NativePoint>> {
        let growing =
            (histogram(), prop::collection::vec((0_usize..12, 0_u32..9), 0..40)).prop_map(|(first, steps)| {
                let mut all = vec![first.clone()];
                let mut now = first;
                for (place, more) in steps {
                    let more = f64::from(more);
                    if let Some(bucket) = now.positive.get_mut(place) {
                        bucket.1 += more;
                        now.count += more;
                    } else if !now.is_stale() && now.schema != CUSTOM_BUCKETS {
                        let next = now.positive.last().map_or(-3, |b| b.0 + 2);
                        now.positive.push((next, more + 1.0));
                        now.count += more + 1.0;
                    }
                    if !now.is_stale() {
                        now.sum += more * 0.125;
                    }
                    all.push(now.clone());
                }
                all
            });
        let any = prop::collection::vec(histogram(), 0..12);
        (growing, any, 1_i64..90).prop_map(|(mut row, more, step)| {
            row.extend(more);
            row.into_iter().enumerate().map(|(i, h)| (i as i64 * step + 7, h)).collect()
        })
    }

    /// Equal to the bit, hints too.
    pub(crate) fn assert_same(found: &[NativePoint], expected: &[NativePoint]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!(super::same(&found.1, &expected.1), "{:?}\n{:?}", found.1, expected.1);
        }
    }

    /// Sixteen buckets of latencies as a busy server has them, a scrape every 15 s.
    pub(crate) fn latencies(count: usize) -> Vec<NativePoint> {
        let mut state = 42_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut now = Histogram { schema: 3, zero_threshold: 2_f64.powi(-128), ..Histogram::default() };
        now.positive = (-10..6).map(|i| (i, 1.0)).collect();
        now.count = 16.0;
        (0..count as i64)
            .map(|n| {
                for _ in 0..100 {
                    let place = (0..4).map(|_| random() % 5).sum::<u64>() as usize % 16;
                    now.positive[place].1 += 1.0;
                    now.count += 1.0;
                    now.sum += (random() % 100_000) as f64 / 1e6;
                }
                (n * 15_000, now.clone())
            })
            .collect()
    }
}
