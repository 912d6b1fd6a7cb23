//! Quantiles and fractions of a native histogram: linear within the zero bucket and custom buckets, else exponential.

use super::{Bucket, Histogram};

/// What observations of NaN, which are in no bucket, did to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanObservations {
    /// There were none.
    Absent,
    /// There were some; the result is a number, but a higher one than without them.
    Skewed,
    /// The result is NaN because of them.
    Dominant,
}

impl Histogram {
    /// A bucket around zero begins or ends at zero when all observations are on one side of it.
    pub(super) fn halve_zero(&self, bucket: &mut Bucket) {
        if self.is_custom() || bucket.lower >= 0.0 || bucket.upper <= 0.0 {
            return;
        }
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// The value below which the share `q` of the observations lies.
    pub fn quantile(&self, q: f64) -> (f64, NanObservations) {
        if q < 0.0 {
            return (f64::NEG_INFINITY, NanObservations::Absent);
        }
        if q > 1.0 {
            return (f64::INFINITY, NanObservations::Absent);
        }
        if self.count == 0.0 || q.is_nan() {
            return (f64::NAN, NanObservations::Absent);
        }
        // From the nearer end, which is more exact; from the lower one if NaN are missing at the upper.
        let has_nan = self.sum.is_nan();
        let forward = has_nan || q < 0.5;
        let rank = if forward { q * self.count } else { (1.0 - q) * self.count };
        let (bucket, count) = if forward { reach(self.buckets(), rank) } else { reach(self.buckets().rev(), rank) };
        let nan = if has_nan { NanObservations::Skewed } else { NanObservations::Absent };
        let Some(mut bucket) = bucket else {
            return (f64::NAN, if has_nan { NanObservations::Dominant } else { nan });
        };
        self.halve_zero(&mut bucket);
        let count = count.min(self.count);
        if count < rank {
            return if has_nan { (f64::NAN, NanObservations::Dominant) } else { (bucket.upper, nan) };
        }
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return (bucket.upper, nan);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return (bucket.lower, nan);
            }
        }
        let inside = if forward { rank - (count - bucket.count) } else { count - rank };
        (self.interpolate(&bucket, inside / bucket.count), nan)
    }

    /// The value that the share `fraction` of a bucket's observations is below.
    fn interpolate(&self, bucket: &Bucket, fraction: f64) -> f64 {
        if self.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return bucket.lower + (bucket.upper - bucket.lower) * fraction;
        }
        let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 {
            return (lower + (upper - lower) * fraction).exp2();
        }
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }

    /// The share of a bucket's observations that is below a value within it.
    pub(super) fn share_below(&self, bucket: &Bucket, value: f64) -> f64 {
        if self.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return (value - bucket.lower) / (bucket.upper - bucket.lower);
        }
        let (lower, upper, at) = (bucket.lower.abs().log2(), bucket.upper.abs().log2(), value.abs().log2());
        if bucket.lower > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }

    /// The share of observations between two values. Observations of NaN are in no such share, but count as a whole.
    pub fn fraction(&self, lower: f64, upper: f64) -> (f64, NanObservations) {
        let nan = if self.sum.is_nan() { NanObservations::Skewed } else { NanObservations::Absent };
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return (f64::NAN, NanObservations::Absent);
        }
        if lower >= upper {
            return (0.0, nan);
        }
        let (mut rank, mut below_lower, mut below_upper) = (0.0, None, None);
        for mut bucket in self.buckets() {
            self.halve_zero(&mut bucket);
            if self.is_custom() && bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
                bucket.lower = 0.0;
            }
            let within = |value: f64| {
                if bucket.lower >= value {
                    return Some(rank);
                }
                if bucket.upper <= value {
                    return None;
                }
                // Of an unbounded bucket nothing is known, so it is in no share that cuts it.
                Some(match (bucket.lower.is_finite(), bucket.upper.is_finite()) {
                    (true, true) => rank + bucket.count * self.share_below(&bucket, value),
                    (true, false) => rank,
                    (false, _) => rank + bucket.count,
                })
            };
            below_lower = below_lower.or_else(|| within(lower));
            below_upper = below_upper.or_else(|| within(upper));
            if below_lower.is_some() && below_upper.is_some() {
                break;
            }
            rank += bucket.count;
        }
        // What is not found lies above all buckets; only observations of NaN are not in them.
        let all = if self.sum.is_nan() { rank } else { self.count };
        let settle = |found: Option<f64>| found.unwrap_or(all).min(self.count);
        ((settle(below_upper) - settle(below_lower)) / self.count, nan)
    }
}

/// The bucket in which the running count reaches the rank, and that count; the last filled one if none does.
fn reach(buckets: impl Iterator<Item = Bucket>, rank: f64) -> (Option<Bucket>, f64) {
    let (mut last, mut count) = (None, 0.0);
    for bucket in buckets.filter(|bucket| bucket.count != 0.0) {
        count += bucket.count;
        last = Some(bucket);
        if count >= rank {
            break;
        }
    }
    (last, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_where_its_fraction_is_reached() {
        let positive = vec![(0, 2.0), (1, 3.0), (3, 1.0), (4, 4.0)];
        let histogram = Histogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.0,
            sum: 100.0,
            positive,
            ..Histogram::default()
        };
        for q in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99] {
            let (value, _) = histogram.quantile(q);
            let (fraction, _) = histogram.fraction(f64::NEG_INFINITY, value);
            assert!((fraction - q).abs() < 1e-12, "{q}: {value} has {fraction}");
        }
    }

    #[test]
    fn quantiles_outside_of_zero_and_one_are_infinite() {
        let histogram = Histogram { count: 1.0, positive: vec![(0, 1.0)], ..Histogram::default() };
        assert_eq!(histogram.quantile(-0.1).0, f64::NEG_INFINITY);
        assert_eq!(histogram.quantile(1.1).0, f64::INFINITY);
        assert!(histogram.quantile(f64::NAN).0.is_nan());
    }
}
