//! Adding and subtracting histograms of different layouts, and telling whether a counter began anew.

use super::bounds::{bound, coarser, common_bounds, onto_bounds};
use super::{Histogram, ResetHint};

/// One histogram has custom buckets, the other exponential ones: they cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with custom and with exponential buckets cannot be combined")]
pub struct Incompatible;

/// What happened when two histograms were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One says that the counter began anew, the other that it did not.
    pub hints_collide: bool,
    /// Their custom bounds differed; only the common ones are left.
    pub bounds_reconciled: bool,
}

impl Histogram {
    /// Adds the other's observations; the coarser layout of the two wins.
    ///
    /// # Errors
    /// [`Incompatible`].
    pub fn add(&mut self, other: &Self) -> Result<Combined, Incompatible> {
        self.combine(other, 1.0)
    }

    /// Takes the other's observations away.
    ///
    /// # Errors
    /// [`Incompatible`].
    pub fn subtract(&mut self, other: &Self) -> Result<Combined, Incompatible> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, factor: f64) -> Result<Combined, Incompatible> {
        let mut combined = Combined { hints_collide: self.combine_hints(other.hint), ..Combined::default() };
        let aligned = self.align(other)?;
        combined.bounds_reconciled = aligned.bounds_reconciled;
        self.zero_count += factor * aligned.zero_count;
        self.count += factor * other.count;
        self.sum += factor * other.sum;
        merge(&mut self.positive, &aligned.positive, factor);
        merge(&mut self.negative, &aligned.negative, factor);
        Ok(combined)
    }

    /// Gives both the coarser layout: this in place, the other's buckets in the answer.
    pub(super) fn align(&mut self, other: &Self) -> Result<Aligned, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        if self.is_custom() {
            if self.custom_bounds == other.custom_bounds {
                return Ok(Aligned { positive: other.positive.clone(), ..Aligned::default() });
            }
            let bounds = common_bounds(&self.custom_bounds, &other.custom_bounds);
            self.positive = onto_bounds(&self.positive, &self.custom_bounds, &bounds);
            let positive = onto_bounds(&other.positive, &other.custom_bounds, &bounds);
            self.custom_bounds = bounds;
            return Ok(Aligned { positive, bounds_reconciled: true, ..Aligned::default() });
        }
        let zero_count = self.reconcile_zero(other);
        let schema = self.schema.min(other.schema);
        if schema != self.schema {
            self.positive = coarser(&self.positive, self.schema, schema);
            self.negative = coarser(&self.negative, self.schema, schema);
            self.schema = schema;
        }
        // Buckets that the widened zero bucket has taken in are counted there.
        let threshold = self.zero_threshold;
        let outside = |(index, _): &(i32, f64)| bound(*index, other.schema) > threshold;
        let fit = |buckets: &[(i32, f64)]| {
            let kept: Vec<(i32, f64)> = buckets.iter().filter(|b| outside(b)).copied().collect();
            coarser(&kept, other.schema, schema)
        };
        Ok(Aligned {
            zero_count,
            positive: fit(&other.positive),
            negative: fit(&other.negative),
            bounds_reconciled: false,
        })
    }

    /// The hint of a sum. True when the hints contradict each other.
    pub(super) fn combine_hints(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        let (hint, collide) = match (self.hint, other) {
            (one, same) if one == same => (one, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.hint = hint;
        collide
    }

    /// Whether a counter whose last value was `before` must have begun anew to be this.
    pub fn is_reset_after(&self, before: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NoReset => return false,
            // A gauge is compared like a counter when a query treats it as one.
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        if self.is_custom() {
            if !before.is_custom() {
                return true;
            }
            let bounds = common_bounds(&self.custom_bounds, &before.custom_bounds);
            let now = onto_bounds(&self.positive, &self.custom_bounds, &bounds);
            return shrinks(&onto_bounds(&before.positive, &before.custom_bounds, &bounds), &now);
        }
        if self.schema > before.schema || before.is_custom() || self.zero_threshold < before.zero_threshold {
            return true;
        }
        let (zero_before, threshold) = before.zero_for_threshold(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_before {
            return true;
        }
        let side = |buckets: &[(i32, f64)]| {
            let outside = |(index, _): &&(i32, f64)| bound(*index, before.schema) > threshold;
            let kept: Vec<(i32, f64)> = buckets.iter().filter(outside).copied().collect();
            coarser(&kept, before.schema, self.schema)
        };
        shrinks(&side(&before.positive), &self.positive) || shrinks(&side(&before.negative), &self.negative)
    }

    /// The hint that storage gives to a histogram after the one before it in its series, so that a query need not compare:
    /// that the counter has gone on. Of any other histogram nothing is told but that it is a gauge.
    pub fn hint_after(&self, before: Option<&Self>) -> ResetHint {
        let Some(before) = before else { return self.hint };
        if matches!(self.hint, ResetHint::Gauge | ResetHint::Reset) || before.hint == ResetHint::Gauge {
            return self.hint;
        }
        let same_layout = self.schema == before.schema
            && self.zero_threshold == before.zero_threshold
            && self.custom_bounds == before.custom_bounds;
        if before.is_stale() || !same_layout || self.is_reset_after(before) {
            return ResetHint::Unknown;
        }
        ResetHint::NoReset
    }

    /// The hint that comparing gives.
    pub(crate) fn compared_hint(&self, before: &Self) -> ResetHint {
        match self.hint {
            ResetHint::Unknown if self.is_reset_after(before) => ResetHint::Reset,
            ResetHint::Unknown => ResetHint::NoReset,
            known => known,
        }
    }
}

/// The other side of a combination, in the common layout.
#[derive(Default)]
pub(super) struct Aligned {
    pub(super) zero_count: f64,
    pub(super) positive: Vec<(i32, f64)>,
    pub(super) negative: Vec<(i32, f64)>,
    pub(super) bounds_reconciled: bool,
}

/// Adds `factor` times the counts of `others`; both are in order of index.
fn merge(into: &mut Vec<(i32, f64)>, others: &[(i32, f64)], factor: f64) {
    if into.len() == others.len() && into.iter().zip(others).all(|(a, b)| a.0 == b.0) {
        for ((_, count), (_, other)) in into.iter_mut().zip(others) {
            *count += factor * other;
        }
        return;
    }
    let mut merged = Vec::with_capacity(into.len() + others.len());
    let (mut mine, mut theirs) = (into.iter().peekable(), others.iter().peekable());
    loop {
        match (mine.peek(), theirs.peek()) {
            (Some(&&(a, count)), Some(&&(b, other))) if a == b => {
                merged.push((a, count + factor * other));
                mine.next();
                theirs.next();
            }
            (Some(&&(a, count)), other) if other.is_none_or(|(b, _)| a < *b) => {
                merged.push((a, count));
                mine.next();
            }
            (_, Some(&&(b, other))) => {
                merged.push((b, factor * other));
                theirs.next();
            }
            _ => break,
        }
    }
    *into = merged;
}

/// Whether a bucket holds less than before.
fn shrinks(before: &[(i32, f64)], now: &[(i32, f64)]) -> bool {
    let mut at = 0;
    before.iter().filter(|(_, count)| *count != 0.0).any(|(index, count)| {
        while at < now.len() && now[at].0 < *index {
            at += 1;
        }
        now.get(at).is_none_or(|(found, held)| found != index || held < count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::CUSTOM_BUCKETS;
    use proptest::prelude::*;

    fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
        let positive = counts.iter().enumerate().map(|(i, c)| (i32::try_from(i).unwrap(), *c)).collect();
        let count = counts.iter().sum();
        Histogram { schema: CUSTOM_BUCKETS, positive, count, custom_bounds: bounds.to_vec(), ..Histogram::default() }
    }

    fn any_histogram() -> impl Strategy<Value = Histogram> {
        let side = || proptest::collection::btree_map(-20..20_i32, 1..100_u32, 0..8);
        (-2..5_i32, 0..50_u32, prop_oneof![Just(0.0), Just(0.001), Just(0.3)], side(), side()).prop_map(
            |(schema, zeros, zero_threshold, positive, negative)| {
                let zeros = if zero_threshold == 0.0 { 0 } else { zeros };
                // No bucket lies within the zero bucket.
                let list = |m: std::collections::BTreeMap<i32, u32>| -> Vec<(i32, f64)> {
                    let outside = |(index, _): &(i32, u32)| bound(*index - 1, schema) >= zero_threshold;
                    m.into_iter().filter(outside).map(|(index, count)| (index, f64::from(count))).collect()
                };
                let (positive, negative) = (list(positive), list(negative));
                let zero_count = f64::from(zeros);
                let mut histogram =
                    Histogram { schema, zero_threshold, zero_count, positive, negative, ..Histogram::default() };
                histogram.count = observations(&histogram);
                histogram
            },
        )
    }

    fn observations(histogram: &Histogram) -> f64 {
        histogram.zero_count + histogram.positive.iter().chain(&histogram.negative).map(|(_, c)| c).sum::<f64>()
    }

    proptest! {
        #[test]
        fn adding_loses_no_observation(a in any_histogram(), b in any_histogram()) {
            let mut sum = a.clone();
            sum.add(&b).unwrap();
            prop_assert_eq!(observations(&sum), observations(&a) + observations(&b));
            prop_assert_eq!(sum.schema, a.schema.min(b.schema));
            prop_assert!(sum.positive.windows(2).all(|w| w[0].0 < w[1].0));
        }

        #[test]
        fn a_sum_is_no_reset_of_its_parts(a in any_histogram(), b in any_histogram()) {
            let mut sum = a.clone();
            sum.add(&b).unwrap();
            prop_assert!(!sum.is_reset_after(&a), "{:?} after {:?}", sum, a);
        }
    }

    #[test]
    fn custom_buckets_meet_on_their_common_bounds() {
        let mut sum = custom(&[2.0, 4.0, 6.0], &[1.0, 2.0, 5.0, 7.0]);
        let combined = sum.add(&custom(&[1.0, 4.0, 8.0], &[10.0, 20.0, 30.0, 40.0])).unwrap();
        assert!(combined.bounds_reconciled);
        assert_eq!((sum.custom_bounds, sum.positive), (vec![4.0], vec![(0, 33.0), (1, 82.0)]));
        assert_eq!(custom(&[1.0], &[1.0]).add(&Histogram::default()), Err(Incompatible));
    }
}
