//! Where buckets end, and how buckets of one layout fall into those of another.

use super::{CUSTOM_BUCKETS, Histogram};

/// On which side of zero a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Positive,
    Negative,
}

/// The upper bound of an exponential bucket.
pub(super) fn bound(index: i32, schema: i32) -> f64 {
    if schema < 0 {
        let exponent = i64::from(index) << -schema.max(-31);
        if exponent == 1024 {
            // The last bucket of finite observations ends with the largest of them.
            return f64::MAX;
        }
        return power_of_two(exponent);
    }
    let parts = 1_i64 << schema.min(30);
    let (whole, part) = (i64::from(index).div_euclid(parts), i64::from(index).rem_euclid(parts));
    if part == 0 {
        return if whole == 1024 { f64::MAX } else { power_of_two(whole) };
    }
    let fraction = (part as f64 / parts as f64).exp2();
    power_of_two(whole) * fraction
}

/// Two to a whole number, without rounding.
fn power_of_two(exponent: i64) -> f64 {
    let exponent = i32::try_from(exponent.clamp(-2000, 2000)).unwrap_or(0);
    2_f64.powi(exponent)
}

/// The upper bound of a custom bucket; minus infinity for the bucket before the first.
pub(super) fn custom_bound(bounds: &[f64], index: i32) -> f64 {
    match usize::try_from(index) {
        Ok(index) => bounds.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// Puts buckets of one schema into those of a coarser one.
pub(super) fn coarser(buckets: &[(i32, f64)], from: i32, to: i32) -> Vec<(i32, f64)> {
    if from == to {
        return buckets.to_vec();
    }
    let by = from - to;
    gather(buckets.iter().map(|&(index, count)| (((index - 1) >> by) + 1, count)))
}

/// Puts custom buckets into those with fewer bounds, all of which they have too.
pub(super) fn onto_bounds(buckets: &[(i32, f64)], from: &[f64], to: &[f64]) -> Vec<(i32, f64)> {
    gather(buckets.iter().map(|&(index, count)| {
        let upper = custom_bound(from, index);
        let place = to.partition_point(|bound| *bound < upper);
        (i32::try_from(place).unwrap_or(i32::MAX), count)
    }))
}

/// Adds up neighbours of the same index; they come in order.
fn gather(buckets: impl Iterator<Item = (i32, f64)>) -> Vec<(i32, f64)> {
    let mut gathered: Vec<(i32, f64)> = Vec::new();
    for (index, count) in buckets {
        match gathered.last_mut() {
            Some((last, total)) if *last == index => *total += count,
            _ => gathered.push((index, count)),
        }
    }
    gathered
}

/// The bounds that both have.
pub(super) fn common_bounds(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().copied().filter(|bound| right.contains(bound)).collect()
}

impl Histogram {
    /// The same observations in a coarser schema.
    #[must_use]
    pub fn at_schema(&self, schema: i32) -> Self {
        if self.schema == schema || self.schema == CUSTOM_BUCKETS || schema > self.schema {
            return self.clone();
        }
        let positive = coarser(&self.positive, self.schema, schema);
        let negative = coarser(&self.negative, self.schema, schema);
        Self { schema, positive, negative, ..self.clone() }
    }

    /// What the zero bucket would hold if it were as wide as `wanted`, or as much wider as the filled bucket there needs.
    pub(super) fn zero_for_threshold(&self, wanted: f64) -> (f64, f64) {
        if wanted == self.zero_threshold {
            return (self.zero_count, wanted);
        }
        let mut threshold = wanted;
        'again: loop {
            let mut count = self.zero_count;
            for bucket in self.positive_buckets().take_while(|bucket| bucket.lower < threshold) {
                count += bucket.count;
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for bucket in self.negative_buckets().take_while(|bucket| bucket.upper > -threshold) {
                count += bucket.count;
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        threshold = -bucket.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    /// Widens the zero bucket; buckets within it are emptied into it.
    pub(super) fn widen_zero(&mut self, threshold: f64) {
        let (count, threshold) = self.zero_for_threshold(threshold);
        self.zero_count = count;
        self.zero_threshold = threshold;
        let schema = self.schema;
        let outside = |(index, _): &(i32, f64)| bound(*index - 1, schema) >= threshold;
        self.positive.retain(outside);
        self.negative.retain(outside);
    }

    /// Makes this zero bucket fit the other's; the zero count that the other would then have is returned.
    pub(super) fn reconcile_zero(&mut self, other: &Self) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold) = other.zero_for_threshold(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                self.widen_zero(threshold);
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_from_the_schema() {
        let table = [
            (0, 0, 1.0, "index 0 ends at one in every schema"),
            (0, 8, 1.0, "also in the finest"),
            (1, 0, 2.0, "schema 0: powers of two"),
            (1, -1, 4.0, "schema -1: powers of four"),
            (1, 1, std::f64::consts::SQRT_2, "schema 1: powers of the root of two"),
            (-1, 0, 0.5, "below one"),
            (1024, 0, f64::MAX, "the last bucket of finite values"),
            (256, -2, f64::MAX, "and in a coarse schema"),
        ];
        for (index, schema, expected, why) in table {
            assert_eq!(bound(index, schema), expected, "{why}");
        }
    }

    #[test]
    fn a_coarser_schema_keeps_every_observation_within_its_bounds() {
        let fine = [(-3, 1.0), (0, 2.0), (1, 4.0), (2, 8.0), (5, 16.0)];
        let table =
            [(2, 1, vec![(-1, 1.0), (0, 2.0), (1, 12.0), (3, 16.0)]), (1, -1, vec![(0, 3.0), (1, 12.0), (2, 16.0)])];
        for (from, to, expected) in table {
            assert_eq!(coarser(&fine, from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn the_zero_bucket_swallows_filled_buckets_whole() {
        let mut histogram = Histogram { zero_count: 1.0, positive: vec![(0, 2.0), (1, 3.0)], ..Histogram::default() };
        histogram.widen_zero(0.75);
        assert_eq!((histogram.zero_threshold, histogram.zero_count), (1.0, 3.0));
        assert_eq!(histogram.positive, [(1, 3.0)]);
    }
}
