//! How senders write a native histogram: runs of buckets and counts as differences; and whether what they sent is one.
//!
//! This is the only way from a wire to a [`Histogram`]. It never repairs: what contradicts itself is named and left out.

use super::bounds::coarser;
use super::{CUSTOM_BUCKETS, Histogram, ResetHint};

/// The finest resolution that is kept; finer ones are made coarser, which loses no observation.
const FINEST: i32 = 8;
const COARSEST: i32 = -4;
/// The finest resolution that the format has a meaning for.
const FINEST_SENT: i32 = 52;
/// Buckets that one histogram may have. Prometheus's clients keep to 160.
pub(crate) const MAX_BUCKETS: usize = 10_000;

/// A run of buckets: `offset` empty ones since the run before (the index itself for the first), then `length` counted ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: i32,
    pub(crate) length: u32,
}

/// Counts of buckets as sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Counts {
    /// Whole ones, each as the difference to the one before.
    Deltas(Vec<i64>),
    /// With fractions.
    Absolute(Vec<f64>),
}

/// Why what was sent is no histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOne {
    #[error("runs of buckets and counts do not fit each other")]
    Spans,
    #[error("the resolution is unknown")]
    Schema,
    #[error("it has more than {MAX_BUCKETS} buckets")]
    TooMany,
    #[error("a count is negative or no number")]
    Count,
    #[error("the buckets hold more observations than there are in all")]
    Total,
    #[error("its bounds do not rise, or a bucket is outside of them")]
    Bounds,
}

/// Buckets as pairs, without the empty ones.
pub(crate) fn buckets(spans: &[Span], counts: &Counts) -> Result<Vec<(i32, f64)>, NotOne> {
    let given = match counts {
        Counts::Deltas(deltas) => deltas.len(),
        Counts::Absolute(absolute) => absolute.len(),
    };
    if given > MAX_BUCKETS {
        return Err(NotOne::TooMany);
    }
    if spans.iter().map(|span| u64::from(span.length)).sum::<u64>() != given as u64 {
        return Err(NotOne::Spans);
    }
    let (mut found, mut index, mut at, mut running) = (Vec::with_capacity(given), 0_i32, 0, 0_i64);
    for (place, span) in spans.iter().enumerate() {
        if place > 0 && span.offset < 0 {
            return Err(NotOne::Spans);
        }
        index = index.checked_add(span.offset).ok_or(NotOne::Spans)?;
        for _ in 0..span.length {
            let count = match counts {
                Counts::Deltas(deltas) => {
                    running = running.checked_add(deltas[at]).ok_or(NotOne::Count)?;
                    running as f64
                }
                Counts::Absolute(absolute) => absolute[at],
            };
            if count != 0.0 {
                found.push((index, count));
            }
            at += 1;
            index = index.checked_add(1).ok_or(NotOne::Spans)?;
        }
    }
    Ok(found)
}

impl Histogram {
    /// The marker that a series of histograms has ended.
    pub fn stale() -> Self {
        Self { sum: crate::labels::stale_marker(), ..Self::default() }
    }

    /// Brings a histogram as sent into the form that is kept: a stale one is nothing but that, a finer resolution than is
    /// kept becomes coarser, empty buckets are left out; whether its counter went on is found out anew when it is read.
    pub(crate) fn settled(mut self) -> Result<Self, NotOne> {
        if self.is_stale() {
            return Ok(Self::stale());
        }
        self.compact();
        if self.hint == ResetHint::NoReset {
            // It was true of what the sender sent before, which need not be what is stored before.
            self.hint = ResetHint::Unknown;
        }
        if (FINEST + 1..=FINEST_SENT).contains(&self.schema) {
            self.positive = coarser(&self.positive, self.schema, FINEST);
            self.negative = coarser(&self.negative, self.schema, FINEST);
            self.schema = FINEST;
        }
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), NotOne> {
        let exponential = (COARSEST..=FINEST).contains(&self.schema);
        if !exponential && self.schema != CUSTOM_BUCKETS {
            return Err(NotOne::Schema);
        }
        if self.positive.len() + self.negative.len() > MAX_BUCKETS || self.custom_bounds.len() > MAX_BUCKETS {
            return Err(NotOne::TooMany);
        }
        let rise = |buckets: &[(i32, f64)]| buckets.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !rise(&self.positive) || !rise(&self.negative) {
            return Err(NotOne::Spans);
        }
        let counted = self.positive.iter().chain(&self.negative).map(|(_, count)| *count);
        let counted = counted.chain([self.zero_count]);
        if !counted.clone().chain([self.count, self.zero_threshold]).all(|n| n >= 0.0 && n.is_finite()) {
            return Err(NotOne::Count);
        }
        // Sums of fractions are rounded; observations of NaN are in no bucket.
        if counted.sum::<f64>() > self.count * (1.0 + 1e-9) {
            return Err(NotOne::Total);
        }
        let bounds = &self.custom_bounds;
        let fits = if exponential {
            bounds.is_empty()
        } else {
            let inside = |(index, _): &(i32, f64)| usize::try_from(*index).is_ok_and(|i| i <= bounds.len());
            let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|b| !b.is_nan());
            rising && self.negative.is_empty() && self.zero_count == 0.0 && self.positive.iter().all(inside)
        };
        if fits { Ok(()) } else { Err(NotOne::Bounds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn runs_and_differences_are_indices_and_counts() {
        let spans = [span(-2, 2), span(3, 1)];
        let expected = vec![(-2, 3.0), (-1, 1.0), (3, 4.0)];
        assert_eq!(buckets(&spans, &Counts::Deltas(vec![3, -2, 3])), Ok(expected.clone()));
        assert_eq!(buckets(&spans, &Counts::Absolute(vec![3.0, 1.0, 4.0])), Ok(expected));
    }

    #[test]
    fn what_contradicts_itself_is_no_histogram() {
        let deltas = |n: usize| Counts::Deltas(vec![1; n]);
        let table = [
            (vec![span(0, 2)], deltas(1), NotOne::Spans, "fewer counts than buckets"),
            (vec![span(0, 1), span(-1, 1)], deltas(2), NotOne::Spans, "a run that goes back"),
            (vec![span(i32::MAX, 2)], deltas(2), NotOne::Spans, "beyond all indices"),
            (vec![span(0, 2)], Counts::Deltas(vec![i64::MAX, 1]), NotOne::Count, "a sum that overflows"),
            (vec![span(0, 20_000)], deltas(20_000), NotOne::TooMany, "more buckets than are kept"),
        ];
        for (spans, counts, expected, why) in table {
            assert_eq!(buckets(&spans, &counts), Err(expected), "{why}");
        }
        let good = Histogram { count: 3.0, positive: vec![(1, 3.0)], ..Histogram::default() };
        assert!(good.clone().settled().is_ok());
        let custom = Histogram { schema: CUSTOM_BUCKETS, custom_bounds: vec![1.0], ..good.clone() };
        assert!(custom.clone().settled().is_ok());
        let table = [
            (Histogram { schema: 60, ..good.clone() }, NotOne::Schema, "an unknown schema"),
            (Histogram { schema: -5, ..good.clone() }, NotOne::Schema, "too coarse"),
            (Histogram { count: 2.0, ..good.clone() }, NotOne::Total, "more in buckets than in all"),
            (Histogram { count: f64::NAN, ..good.clone() }, NotOne::Count, "no number"),
            (Histogram { zero_count: -1.0, ..good.clone() }, NotOne::Count, "negative"),
            (Histogram { custom_bounds: vec![1.0], ..good.clone() }, NotOne::Bounds, "bounds that mean nothing"),
            (Histogram { custom_bounds: vec![2.0, 1.0], ..custom.clone() }, NotOne::Bounds, "bounds that fall"),
            (Histogram { positive: vec![(2, 3.0)], ..custom }, NotOne::Bounds, "outside of the bounds"),
        ];
        for (histogram, expected, why) in table {
            assert_eq!(histogram.settled().unwrap_err(), expected, "{why}");
        }
    }

    #[test]
    fn a_finer_resolution_than_is_kept_becomes_coarser_and_loses_no_observation() {
        let fine =
            Histogram { schema: 10, count: 6.0, positive: vec![(1, 1.0), (4, 2.0), (5, 3.0)], ..Histogram::default() };
        let kept = fine.settled().expect("it is one");
        assert_eq!((kept.schema, kept.positive), (8, vec![(1, 3.0), (2, 3.0)]));
    }

    #[test]
    fn a_stale_one_is_nothing_else() {
        let stale = Histogram { count: 3.0, positive: vec![(1, 9.0)], ..Histogram::stale() };
        assert!(stale.settled().is_ok_and(|h| h.is_stale() && h.positive.is_empty()));
    }
}
