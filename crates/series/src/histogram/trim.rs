//! What is left of a histogram when the observations above or below a value are taken out.

use super::{Bucket, Histogram};

/// Which observations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

impl Histogram {
    /// Without the observations above `limit` (`</`).
    #[must_use]
    pub fn trim_above(&self, limit: f64) -> Self {
        self.trim(limit, Keep::Below)
    }

    /// Without the observations below `limit` (`>/`).
    #[must_use]
    pub fn trim_below(&self, limit: f64) -> Self {
        self.trim(limit, Keep::Above)
    }

    /// A bucket that the limit cuts is divided as in a quantile. If nothing is cut the sum stays as measured; else it is
    /// estimated from the middles of the buckets.
    fn trim(&self, limit: f64, keep: Keep) -> Self {
        let mut trimmed = self.clone();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut cut = |bucket: Bucket| {
            let (kept, middle) = self.kept(bucket, limit, keep);
            changed |= kept != bucket.count;
            count += kept;
            sum += if kept == 0.0 { 0.0 } else { kept * middle };
            kept
        };
        for ((_, held), bucket) in trimmed.positive.iter_mut().zip(self.positive_buckets()) {
            *held = cut(bucket);
        }
        for ((_, held), bucket) in trimmed.negative.iter_mut().zip(self.negative_buckets()) {
            *held = cut(bucket);
        }
        if self.zero_count != 0.0 {
            let (lower, upper) = (-self.zero_threshold, self.zero_threshold);
            let mut zero =
                Bucket { lower, upper, lower_inclusive: true, upper_inclusive: true, count: self.zero_count };
            self.halve_zero(&mut zero);
            trimmed.zero_count = cut(zero);
        }
        if changed {
            (trimmed.count, trimmed.sum) = (count, sum);
        }
        trimmed.compact();
        trimmed
    }

    /// How much of a bucket is kept, and the value that its observations are taken to have.
    fn kept(&self, mut bucket: Bucket, limit: f64, keep: Keep) -> (f64, f64) {
        let count = bucket.count;
        // In the lowest custom bucket values are taken to be positive when they can be, unless negative ones are asked for.
        let lowest = self.is_custom() && bucket.lower == f64::NEG_INFINITY && bucket.upper.is_finite();
        if lowest && bucket.upper > 0.0 && !(keep == Keep::Above && limit < 0.0) {
            bucket.lower = 0.0;
        }
        let all = if keep == Keep::Below { limit == f64::INFINITY } else { limit == f64::NEG_INFINITY };
        if all {
            return (count, self.middle(&bucket));
        }
        if limit.is_infinite() {
            return (0.0, 0.0);
        }
        match (bucket.lower.is_finite(), bucket.upper.is_finite(), keep) {
            // Of an unbounded bucket it is known only on which side it has its bound.
            (false, true, Keep::Below) => return (count, bucket.upper.min(limit)),
            (true, false, Keep::Above) => return (count, bucket.lower.max(limit)),
            (false, false, _) | (true, false, Keep::Below) => return (0.0, 0.0),
            (false, true, Keep::Above) => return (0.0, 0.0),
            (true, true, _) => {}
        }
        let share = if bucket.upper <= limit {
            1.0
        } else if bucket.lower >= limit {
            0.0
        } else {
            self.share_below(&bucket, limit)
        };
        let (kept, part) = match keep {
            Keep::Below => (count * share, Bucket { upper: bucket.upper.min(limit), ..bucket }),
            Keep::Above => (count * (1.0 - share), Bucket { lower: bucket.lower.max(limit), ..bucket }),
        };
        (kept, self.middle(&part))
    }

    /// The value that observations of a bucket are taken to have.
    fn middle(&self, bucket: &Bucket) -> f64 {
        if self.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) || Self::in_zero(bucket) {
            return match (bucket.lower.is_finite(), bucket.upper.is_finite()) {
                (true, true) => f64::midpoint(bucket.lower, bucket.upper),
                (true, false) => bucket.lower,
                (false, true) => bucket.upper,
                (false, false) => 0.0,
            };
        }
        (bucket.lower * bucket.upper).sqrt().copysign(bucket.upper)
    }

    /// Whether a part of a bucket is one of the zero bucket, where the arithmetic middle is taken.
    fn in_zero(bucket: &Bucket) -> bool {
        bucket.lower_inclusive && bucket.upper_inclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_trims_at_the_same_limit_make_the_whole() {
        let histogram = Histogram {
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 34.0,
            sum: 123.75,
            positive: vec![(0, 2.0), (1, 4.0), (2, 8.0), (3, 16.0)],
            negative: vec![(0, 1.0), (1, 2.0)],
            ..Histogram::default()
        };
        for limit in [-1.5, -1.0, -0.0005, 0.0, 0.0003, 0.7, 1.0, 3.0, 100.0] {
            let (below, above) = (histogram.trim_above(limit), histogram.trim_below(limit));
            assert!((below.count + above.count - histogram.count).abs() < 1e-9, "{limit}");
        }
        assert_eq!(histogram.trim_above(f64::INFINITY), histogram);
        assert_eq!(histogram.trim_below(f64::INFINITY).count, 0.0);
    }
}
