//! A native histogram as a value: counts in buckets whose bounds follow from a schema. Knows no series and no query.
//!
//! Buckets are pairs of index and count in order of index, with or without the empty ones; two histograms that differ only
//! in empty buckets are equal. Nothing here rounds: counts are floats, as rates of them are.

mod arithmetic;
mod bounds;
mod kahan;
mod quantile;
mod spans;
mod trim;

pub use arithmetic::{Combined, Incompatible};
pub(crate) use kahan::HistogramSum;
pub use quantile::NanObservations;
pub(crate) use spans::{Counts, MAX_BUCKETS, Span, buckets};

use std::fmt;

use serde::Serialize;

use bounds::{Sign, bound, custom_bound};

/// The schema of histograms whose bucket bounds are given one by one.
pub const CUSTOM_BUCKETS: i32 = -53;

/// What a histogram says about the one before it in its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetHint {
    /// Nothing: compare to find out.
    #[default]
    Unknown,
    /// The counter began anew with this one.
    Reset,
    /// The counter went on.
    NoReset,
    /// No counter: its counts may go down.
    Gauge,
}

/// Observations of one series counted in buckets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Histogram {
    /// -4 to 8: each power of two is divided into `2^schema` buckets. [`CUSTOM_BUCKETS`]: see `custom_bounds`.
    pub schema: i32,
    /// The zero bucket reaches from minus this to this.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations, those of NaN included, which are in no bucket.
    pub count: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Index and count of buckets above zero, in order of index.
    pub positive: Vec<(i32, f64)>,
    /// Index and count of buckets below zero, in order of index: away from zero.
    pub negative: Vec<(i32, f64)>,
    /// Upper bounds of custom buckets, rising; the last bucket, above all of them, has none.
    pub custom_bounds: Vec<f64>,
    /// About the histogram before.
    pub hint: ResetHint,
}

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether an observation of just the lower bound is in it.
    pub lower_inclusive: bool,
    /// Whether an observation of just the upper bound is in it.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: f64,
}

impl Histogram {
    /// Whether its bounds are given one by one.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// Buckets above zero, from low to high.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive.iter().map(|&(index, count)| {
            if self.is_custom() {
                let (lower, upper) =
                    (custom_bound(&self.custom_bounds, index - 1), custom_bound(&self.custom_bounds, index));
                return Bucket { lower, upper, lower_inclusive: index == 0, upper_inclusive: true, count };
            }
            let (lower, upper) = (bound(index - 1, self.schema), bound(index, self.schema));
            Bucket { lower, upper, lower_inclusive: false, upper_inclusive: true, count }
        })
    }

    /// Buckets below zero, from near zero to far below.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative.iter().map(|&(index, count)| {
            let (lower, upper) = (-bound(index, self.schema), -bound(index - 1, self.schema));
            Bucket { lower, upper, lower_inclusive: true, upper_inclusive: false, count }
        })
    }

    /// All buckets from low to high; those that reach into the zero bucket end at its threshold.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let width = self.zero_threshold;
        let zero = (self.zero_count != 0.0).then_some(Bucket {
            lower: -width,
            upper: width,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        });
        let cut = move |mut bucket: Bucket, sign: Sign| {
            match sign {
                Sign::Negative if zero.is_some() && bucket.lower < -width && bucket.upper > -width => {
                    bucket.upper = -width
                }
                Sign::Positive if zero.is_some() && bucket.upper > width && bucket.lower < width => {
                    bucket.lower = width
                }
                _ => {}
            }
            bucket
        };
        let custom = self.is_custom();
        let below = self.negative_buckets().rev().map(move |b| cut(b, Sign::Negative));
        let above = self.positive_buckets().map(move |b| if custom { b } else { cut(b, Sign::Positive) });
        below.chain(zero).chain(above)
    }

    /// Forgets empty buckets.
    pub fn compact(&mut self) {
        self.positive.retain(|(_, count)| *count != 0.0);
        self.negative.retain(|(_, count)| *count != 0.0);
    }

    /// Multiplies everything counted.
    pub fn scale(&mut self, factor: f64) {
        self.each(|value| *value *= factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Divides everything counted. By zero, nothing is left but the infinite totals.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|value| *value /= divisor);
        if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        }
    }

    fn each(&mut self, change: impl Fn(&mut f64)) {
        change(&mut self.zero_count);
        change(&mut self.count);
        change(&mut self.sum);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, count)| change(count));
    }

    /// Whether anything has grown beyond what a float holds.
    pub fn has_overflow(&self) -> bool {
        let counts = self.positive.iter().chain(&self.negative).map(|(_, count)| *count);
        [self.zero_count, self.count, self.sum].into_iter().chain(counts).any(f64::is_infinite)
    }

    /// Whether this is the marker that its series has ended.
    pub fn is_stale(&self) -> bool {
        crate::labels::is_stale(self.sum)
    }

    /// Estimated bytes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + 16 * (self.positive.len() + self.negative.len()) + 8 * self.custom_bounds.len()
    }

    /// Standard variance of the observations, each taken to stand at the middle of its bucket.
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut total = crate::promql::Kahan::default();
        for bucket in self.buckets().filter(|bucket| bucket.count != 0.0) {
            let middle = if self.is_custom() {
                f64::midpoint(bucket.upper, bucket.lower)
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
            };
            let away = middle - mean;
            total.add(bucket.count * away * away);
        }
        total.total() / self.count
    }
}

impl fmt::Display for Histogram {
    /// As Prometheus writes a histogram within text: totals, then the filled buckets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::promql::go_float;
        write!(f, "{{count:{}, sum:{}", go_float(self.count), go_float(self.sum))?;
        for bucket in self.buckets().filter(|bucket| bucket.count != 0.0) {
            let open = if bucket.lower_inclusive { '[' } else { '(' };
            let close = if bucket.upper_inclusive { ']' } else { ')' };
            let (lower, upper) = (go_float(bucket.lower), go_float(bucket.upper));
            write!(f, ", {open}{lower},{upper}{close}:{}", go_float(bucket.count))?;
        }
        f.write_str("}")
    }
}

impl PartialEq for Histogram {
    /// The same counts in the same buckets, bit by bit; hints and empty buckets do not count.
    fn eq(&self, other: &Self) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let filled = |buckets: &[(i32, f64)]| -> Vec<(i32, u64)> {
            buckets.iter().filter(|(_, c)| *c != 0.0).map(|(i, c)| (*i, c.to_bits())).collect()
        };
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && self.custom_bounds == other.custom_bounds
            && filled(&self.positive) == filled(&other.positive)
            && filled(&self.negative) == filled(&other.negative)
    }
}
