//! Sums of many histograms in which small values are not lost beside large ones: each counter keeps what rounding took.

use super::arithmetic::{Combined, Incompatible};
use super::bounds::bound;
use super::{Histogram, bounds};
use crate::promql::Kahan;

/// A sum of histograms with its compensation, which has the same layout and the same buckets.
#[derive(Clone, Debug)]
pub(crate) struct HistogramSum {
    sum: Histogram,
    lost: Histogram,
}

fn increase(value: f64, sum: &mut f64, lost: &mut f64) {
    let mut kahan = Kahan { sum: *sum, lost: *lost };
    kahan.add(value);
    (*sum, *lost) = (kahan.sum, kahan.lost);
}

impl HistogramSum {
    /// A sum that begins with this histogram.
    pub(crate) fn new(first: &Histogram) -> Self {
        let mut lost = first.clone();
        lost.scale(0.0);
        // Scaling an infinite count by zero makes NaN.
        for (_, count) in lost.positive.iter_mut().chain(&mut lost.negative) {
            *count = 0.0;
        }
        (lost.count, lost.sum, lost.zero_count) = (0.0, 0.0, 0.0);
        Self { sum: first.clone(), lost }
    }

    /// Adds one; the coarser layout of the two wins.
    pub(crate) fn add(&mut self, other: &Histogram) -> Result<Combined, Incompatible> {
        let hints_collide = self.sum.combine_hints(other.hint);
        let aligned = self.sum.align(other)?;
        self.follow();
        increase(aligned.zero_count, &mut self.sum.zero_count, &mut self.lost.zero_count);
        increase(other.count, &mut self.sum.count, &mut self.lost.count);
        increase(other.sum, &mut self.sum.sum, &mut self.lost.sum);
        merge(&mut self.sum.positive, &mut self.lost.positive, &aligned.positive);
        merge(&mut self.sum.negative, &mut self.lost.negative, &aligned.negative);
        Ok(Combined { hints_collide, bounds_reconciled: aligned.bounds_reconciled })
    }

    /// Gives the compensation the layout that the sum has got.
    fn follow(&mut self) {
        let (sum, lost) = (&self.sum, &mut self.lost);
        if sum.custom_bounds != lost.custom_bounds {
            lost.positive = bounds::onto_bounds(&lost.positive, &lost.custom_bounds, &sum.custom_bounds);
            lost.custom_bounds.clone_from(&sum.custom_bounds);
        }
        if sum.zero_threshold != lost.zero_threshold {
            let (threshold, schema) = (sum.zero_threshold, lost.schema);
            let inside = |(index, _): &(i32, f64)| bound(*index - 1, schema) < threshold;
            let swallowed = lost.positive.iter().chain(&lost.negative).filter(|b| inside(b)).map(|(_, c)| c);
            lost.zero_count += swallowed.sum::<f64>();
            lost.positive.retain(|b| !inside(b));
            lost.negative.retain(|b| !inside(b));
            lost.zero_threshold = threshold;
        }
        if sum.schema != lost.schema {
            lost.positive = bounds::coarser(&lost.positive, lost.schema, sum.schema);
            lost.negative = bounds::coarser(&lost.negative, lost.schema, sum.schema);
            lost.schema = sum.schema;
        }
    }

    /// Multiplies the sum.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.sum.scale(factor);
        self.lost.scale(factor);
    }

    /// Divides the sum.
    pub(crate) fn divide(&mut self, divisor: f64) {
        self.sum.divide(divisor);
        self.lost.divide(divisor);
    }

    /// Whether anything has grown beyond what a float holds.
    pub(crate) fn has_overflow(&self) -> bool {
        self.sum.has_overflow()
    }

    /// The sum with what rounding took.
    pub(crate) fn total(self) -> Histogram {
        let Self { mut sum, lost } = self;
        // Past infinity the compensation is no number.
        let settle = |value: &mut f64, lost: f64| {
            if value.is_finite() {
                *value += lost;
            }
        };
        settle(&mut sum.zero_count, lost.zero_count);
        settle(&mut sum.count, lost.count);
        settle(&mut sum.sum, lost.sum);
        for ((_, count), (_, lost)) in sum.positive.iter_mut().zip(&lost.positive) {
            settle(count, *lost);
        }
        for ((_, count), (_, lost)) in sum.negative.iter_mut().zip(&lost.negative) {
            settle(count, *lost);
        }
        sum
    }
}

/// Adds the counts of `others` to sums and compensations, which have the same indexes and keep them so.
fn merge(sums: &mut Vec<(i32, f64)>, lost: &mut Vec<(i32, f64)>, others: &[(i32, f64)]) {
    let mut from = 0;
    for &(index, value) in others {
        let place = from + sums[from..].partition_point(|(found, _)| *found < index);
        if sums.get(place).is_none_or(|(found, _)| *found != index) {
            sums.insert(place, (index, 0.0));
            lost.insert(place, (index, 0.0));
        }
        increase(value, &mut sums[place].1, &mut lost[place].1);
        from = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_survives_what_is_large() {
        let one = |sum: f64| Histogram { sum, count: sum, positive: vec![(1, sum)], ..Histogram::default() };
        let mut total = HistogramSum::new(&one(1.0));
        for value in [1e100, 1.0, -1e100] {
            total.add(&one(value)).unwrap();
        }
        let total = total.total();
        assert_eq!((total.sum, total.count, total.positive), (2.0, 2.0, vec![(1, 2.0)]));
    }
}
