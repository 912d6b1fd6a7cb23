//! What is kept of the samples of one series in one interval, and how intervals add up. Pure: points in, numbers out.

use crate::chunk::Point;
use crate::labels::is_stale;
use crate::promql::Kahan;

/// Times within an interval are packed with this between them: intervals are shorter, and the product is exact in a float.
const TIMES: f64 = (1_u64 << 26) as f64;

/// The samples of one interval, which has at least one. It reaches from just after `end_ms` less its length to `end_ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) end_ms: i64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
    /// Least value; NaN only when all are.
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// What a counter rose beyond `last - first`: the sum of the values from which it fell.
    pub(crate) excess: f64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// The series was said to have ended after the last sample.
    pub(crate) ended: bool,
}

/// What has a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Count,
    Sum,
    Min,
    Max,
    First,
    Last,
    Excess,
    Times,
}

impl Column {
    pub(crate) const ALL: [Self; 8] =
        [Self::Count, Self::Sum, Self::Min, Self::Max, Self::First, Self::Last, Self::Excess, Self::Times];
    /// All but the count.
    pub(crate) const OTHERS: [Self; 7] =
        [Self::Sum, Self::Min, Self::Max, Self::First, Self::Last, Self::Excess, Self::Times];

    /// The name of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Last => "last",
            Self::Excess => "excess",
            Self::Times => "times",
        }
    }

    /// Its number of an interval.
    pub(crate) fn of(self, interval: &Interval, interval_ms: i64) -> f64 {
        match self {
            Self::Count => interval.count,
            Self::Sum => interval.sum,
            Self::Min => interval.min,
            Self::Max => interval.max,
            Self::First => interval.first,
            Self::Last => interval.last,
            Self::Excess => interval.excess,
            Self::Times => {
                let within = |at_ms: i64| (at_ms - (interval.end_ms - interval_ms)) as f64;
                let packed = within(interval.first_ms) * TIMES + within(interval.last_ms);
                if interval.ended { -packed } else { packed }
            }
        }
    }

    /// Puts its number into an interval.
    pub(crate) fn put(self, interval: &mut Interval, value: f64, interval_ms: i64) {
        match self {
            Self::Count => interval.count = value,
            Self::Sum => interval.sum = value,
            Self::Min => interval.min = value,
            Self::Max => interval.max = value,
            Self::First => interval.first = value,
            Self::Last => interval.last = value,
            Self::Excess => interval.excess = value,
            Self::Times => {
                let start_ms = interval.end_ms - interval_ms;
                let packed = value.abs();
                interval.first_ms = start_ms + (packed / TIMES).floor() as i64;
                interval.last_ms = start_ms + (packed % TIMES) as i64;
                interval.ended = value < 0.0;
            }
        }
    }
}

impl Interval {
    /// An interval of which nothing is known yet.
    pub(crate) fn unknown(end_ms: i64) -> Self {
        let none = f64::NAN;
        Self {
            end_ms,
            count: 0.0,
            sum: none,
            min: none,
            max: none,
            first: none,
            last: none,
            excess: 0.0,
            first_ms: end_ms,
            last_ms: end_ms,
            ended: false,
        }
    }

    /// Adds an interval that comes after it; the end of the later one is the end of both.
    pub(crate) fn add(&mut self, later: &Self) {
        let fell = if later.first < self.last { self.last } else { 0.0 };
        self.excess += fell + later.excess;
        self.count += later.count;
        self.sum += later.sum;
        self.min = better(self.min, later.min, |new, old| new < old);
        self.max = better(self.max, later.max, |new, old| new > old);
        (self.last, self.last_ms, self.ended, self.end_ms) = (later.last, later.last_ms, later.ended, later.end_ms);
    }
}

/// Anything is better than NaN.
fn better(old: f64, new: f64, is_better: impl Fn(f64, f64) -> bool) -> f64 {
    if is_better(new, old) || old.is_nan() { new } else { old }
}

/// The end of the interval that a time is in.
pub(crate) fn end_of(at_ms: i64, interval_ms: i64) -> i64 {
    at_ms.saturating_sub(1).div_euclid(interval_ms).saturating_add(1).saturating_mul(interval_ms)
}

/// Appends the intervals of points, which rise in time.
pub(crate) fn thin(points: &[Point], interval_ms: i64, out: &mut Vec<Interval>) {
    for points in points.chunk_by(|a, b| end_of(a.0, interval_ms) == end_of(b.0, interval_ms)) {
        let mut live = points.iter().filter(|(_, value)| !is_stale(*value));
        let Some((first_ms, first)) = live.next().copied() else { continue };
        let end_ms = end_of(first_ms, interval_ms);
        let mut one = Interval { count: 1.0, sum: first, min: first, max: first, first, ..Interval::unknown(end_ms) };
        (one.last, one.first_ms, one.last_ms) = (first, first_ms, first_ms);
        let mut sum = Kahan { sum: first, lost: 0.0 };
        for (at_ms, value) in live {
            sum.add(*value);
            one.count += 1.0;
            one.min = better(one.min, *value, |new, old| new < old);
            one.max = better(one.max, *value, |new, old| new > old);
            one.excess += if *value < one.last { one.last } else { 0.0 };
            (one.last, one.last_ms) = (*value, *at_ms);
        }
        one.sum = sum.total();
        one.ended = points.last().is_some_and(|(_, value)| is_stale(*value));
        out.push(one);
    }
}

/// Appends the intervals of finer ones, which rise in time.
pub(crate) fn coarsen(finer: &[Interval], interval_ms: i64, out: &mut Vec<Interval>) {
    for group in finer.chunk_by(|a, b| end_of(a.end_ms, interval_ms) == end_of(b.end_ms, interval_ms)) {
        let mut one = group[0];
        group[1..].iter().for_each(|later| one.add(later));
        one.end_ms = end_of(one.end_ms, interval_ms);
        out.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::stale_marker;
    use proptest::prelude::*;

    fn points() -> impl Strategy<Value = Vec<Point>> {
        let value =
            prop_oneof![20 => (-1e6_f64..1e6).prop_map(|v| v.round()), 1 => Just(f64::NAN), 1 => Just(stale_marker())];
        prop::collection::btree_map(-100_000_i64..400_000, value, 1..300).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn intervals_of_intervals_are_those_of_the_points(points in points()) {
            let (mut fine, mut coarse, mut direct) = (Vec::new(), Vec::new(), Vec::new());
            thin(&points, 1_000, &mut fine);
            coarsen(&fine, 12_000, &mut coarse);
            thin(&points, 12_000, &mut direct);
            prop_assert_eq!(coarse.len(), direct.len());
            for (a, b) in coarse.iter().zip(&direct) {
                // A marker in a finer interval of its own leaves no trace in the coarser one.
                let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
                prop_assert_eq!((a.end_ms, a.first_ms, a.last_ms), (b.end_ms, b.first_ms, b.last_ms));
                for column in &Column::ALL[..7] {
                    prop_assert!(same(column.of(a, 12_000), column.of(b, 12_000)), "{:?}: {:?} {:?}", column, a, b);
                }
            }
        }

        #[test]
        fn columns_come_back_exactly(points in points()) {
            let mut intervals = Vec::new();
            thin(&points, 60_000, &mut intervals);
            for one in intervals {
                let mut back = Interval::unknown(one.end_ms);
                for column in Column::ALL {
                    column.put(&mut back, column.of(&one, 60_000), 60_000);
                }
                prop_assert_eq!(format!("{back:?}"), format!("{one:?}"));
            }
        }
    }

    #[test]
    fn a_sample_at_the_edge_belongs_to_what_ends_there() {
        let table = [(0, 0), (1, 10), (10, 10), (11, 20), (-1, 0), (-10, -10)];
        for (at_ms, end_ms) in table {
            assert_eq!(end_of(at_ms, 10), end_ms, "at {at_ms}");
        }
    }

    #[test]
    fn a_counter_that_was_reset_keeps_what_it_rose() {
        let mut out = Vec::new();
        thin(&[(1, 5.0), (2, 9.0), (3, 2.0), (4, 4.0)], 10, &mut out);
        assert_eq!((out[0].excess, out[0].last - out[0].first + out[0].excess), (9.0, 8.0));
        let mut both = out[0];
        thin(&[(11, 1.0), (12, 3.0)], 10, &mut out);
        both.add(&out[1]);
        assert_eq!(both.last - both.first + both.excess, 11.0, "4 + 4 + 1 + 2: from 5 to 9, to 4, to 1, to 3");
    }
}
