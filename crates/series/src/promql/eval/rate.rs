//! How fast things change: `rate`, `increase`, `delta`, and by the last two samples `irate`, `idelta`.

use std::sync::Arc;

use super::Evaluator;
use super::select::passed;
use super::window::{Ends, Window, Windows};
use crate::histogram::{Histogram, ResetHint};
use crate::labels::stale_marker;
use crate::promql::annotation::Remark;
use crate::promql::ast::{Edges, Span};
use crate::promql::column::{Cell, Line};
use crate::promql::error::QueryError;
use crate::tiers::interval::Interval;

/// What kind of change is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The values only rise, but for resets to zero.
    pub(super) counter: bool,
    /// By second rather than over the whole window.
    pub(super) per_second: bool,
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

impl Evaluator<'_> {
    pub(super) fn change(&self, windows: Windows<'_>, change: Change) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        // Where counters have been reset, found once a series; a window then needs only those within it.
        let mut resets = Resets::default();
        let along = |floats: &[(i64, f64)], ends: &Ends<'_>| steady(floats, ends, change);
        self.slide_along(windows, true, Some(&along), |window| {
            if window.edges != Edges::Plain {
                return Ok(extended(window, change));
            }
            if window.is_mixed() {
                self.remark(span, &Remark::MixedFloatsHistograms(window.metric.name().to_owned()));
                return Ok(Cell::Absent);
            }
            if window.histograms.len() > 1 {
                return Ok(self.histogram_change(window, change, span));
            }
            Ok(float_change(window, change, &mut resets))
        })
    }

    /// The change of a histogram; absent, with a remark, when its samples do not fit each other.
    fn histogram_change(&self, window: &Window<'_>, change: Change, span: Span) -> Cell {
        let samples = window.histograms;
        let Some(mut total) = self.histogram_difference(window, change, span) else { return Cell::Absent };
        let (first, last) = (&samples[0], &samples[samples.len() - 1]);
        let factor = extrapolation(window, (first.0, last.0), samples.len(), change, (first.1.count, total.count));
        total.scale(factor);
        total.hint = ResetHint::Gauge;
        total.compact();
        Cell::Histogram(Arc::new(total))
    }

    fn histogram_difference(&self, window: &Window<'_>, change: Change, span: Span) -> Option<Histogram> {
        let samples = window.histograms;
        let name = || window.metric.name().to_owned();
        let last = &samples[samples.len() - 1].1;
        let mut first: Arc<Histogram> = samples[0].1.clone();
        let gauges = samples.iter().filter(|(_, h)| h.hint == ResetHint::Gauge).count();
        if change.counter && gauges > 0 {
            self.remark(span, &Remark::NotCounter(name()));
        }
        if !change.counter && (first.hint != ResetHint::Gauge || last.hint != ResetHint::Gauge) {
            self.remark(span, &Remark::NotGauge(name()));
        }
        let second = &samples[1].1;
        if change.counter && second.is_reset_after(&first) {
            // What the counter was before the reset is of no interest, so it need not fit either.
            let (schema, custom_bounds) = (second.schema, second.custom_bounds.clone());
            let zero_threshold = second.zero_threshold;
            first = Arc::new(Histogram { schema, custom_bounds, zero_threshold, ..Histogram::default() });
        }
        let inner = &samples[1..samples.len() - 1];
        let custom = first.is_custom();
        let misfit =
            last.is_custom() != custom || (change.counter && inner.iter().any(|(_, h)| h.is_custom() != custom));
        if misfit {
            self.remark(span, &Remark::MixedSchemas(name()));
            return None;
        }
        let coarsest = if change.counter { inner.iter().map(|(_, h)| h.schema).min() } else { None };
        let schema = last.schema.min(first.schema).min(coarsest.unwrap_or(i32::MAX));
        let mut total = last.at_schema(schema);
        let combined = total.subtract(&first).ok()?;
        if combined.bounds_reconciled {
            self.remark(span, &Remark::BoundsReconciled("subtraction"));
        }
        if change.counter {
            let mut before = first;
            for (_, now) in &samples[1..] {
                if now.is_reset_after(&before) && total.add(&before).ok()?.bounds_reconciled {
                    self.remark(span, &Remark::BoundsReconciled("addition"));
                }
                before = now.clone();
            }
        }
        Some(total)
    }

    /// The change between the last two samples.
    pub(super) fn last_change(&self, windows: Windows<'_>, change: Change) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| Ok(self.last_two(window, change, span)))
    }

    fn last_two(&self, window: &Window<'_>, change: Change, span: Span) -> Cell {
        let mut samples: Vec<(i64, Cell)> = Vec::with_capacity(4);
        let tail = |length: usize| length.saturating_sub(2);
        samples.extend(window.floats[tail(window.floats.len())..].iter().map(|(at, v)| (*at, Cell::Float(*v))));
        let histograms = &window.histograms[tail(window.histograms.len())..];
        samples.extend(histograms.iter().map(|(at, h)| (*at, Cell::Histogram(h.clone()))));
        samples.sort_by_key(|(at, _)| *at);
        let [.., (before_ms, before), (now_ms, now)] = samples.as_slice() else { return Cell::Absent };
        let passed = seconds(now_ms - before_ms);
        if passed == 0.0 {
            return Cell::Absent;
        }
        match (before, now) {
            (Cell::Float(before), Cell::Float(now)) => {
                let difference = if change.counter && now < before { *now } else { now - before };
                Cell::Float(if change.per_second { difference / passed } else { difference })
            }
            (Cell::Histogram(before), Cell::Histogram(now)) => {
                let Some(mut difference) = self.two_histograms(window, (before, now), change, span) else {
                    return Cell::Absent;
                };
                if change.per_second {
                    difference.divide(passed);
                }
                Cell::Histogram(Arc::new(difference))
            }
            _ => {
                self.remark(span, &Remark::MixedFloatsHistograms(window.metric.name().to_owned()));
                Cell::Absent
            }
        }
    }

    fn two_histograms(
        &self,
        window: &Window<'_>,
        (before, now): (&Histogram, &Histogram),
        change: Change,
        span: Span,
    ) -> Option<Histogram> {
        let name = || window.metric.name().to_owned();
        let gauges = (before.hint == ResetHint::Gauge, now.hint == ResetHint::Gauge);
        if change.counter && gauges != (false, false) {
            self.remark(span, &Remark::NotCounter(name()));
        }
        if !change.counter && gauges != (true, true) {
            self.remark(span, &Remark::NotGauge(name()));
        }
        let mut difference = now.clone();
        if !change.counter || !now.is_reset_after(before) {
            let Ok(combined) = difference.subtract(before) else {
                self.remark(span, &Remark::MixedSchemas(name()));
                return None;
            };
            if combined.bounds_reconciled {
                self.remark(span, &Remark::BoundsReconciled("subtraction"));
            }
        }
        difference.hint = ResetHint::Gauge;
        difference.compact();
        Some(difference)
    }
}

/// The places where a series' values fall, for windows that slide along it.
#[derive(Default)]
struct Resets {
    /// Indexes among the floats of the series, rising, as far as they have been looked at.
    places: std::collections::VecDeque<(usize, f64)>,
    /// Floats before this have been looked at.
    looked: usize,
    series: usize,
}

impl Resets {
    /// Moves on to the next window, of the same series or of another.
    fn move_to(&mut self, window: &Window<'_>) {
        let (first, end) = (window.first_float, window.first_float + window.floats.len());
        if window.series != self.series {
            *self = Self { series: window.series, ..Self::default() };
        }
        for place in self.looked.max(first + 1)..end {
            let (before, now) = (window.floats[place - 1 - first].1, window.floats[place - first].1);
            if now < before {
                self.places.push_back((place, before));
            }
        }
        self.looked = end;
        while self.places.front().is_some_and(|(place, _)| *place <= first) {
            self.places.pop_front();
        }
    }
}

/// All windows of a series of floats that never falls, or need not rise: nothing but the ends of each window counts, and as long
/// as samples come regularly, what windows are multiplied by is the same from step to step. None for any other series.
fn steady(floats: &[(i64, f64)], ends: &Ends<'_>, change: Change) -> Option<Vec<f64>> {
    let falls = |pair: &[(i64, f64)]| pair[1].1 < pair[0].1;
    if ends.edges != Edges::Plain || (change.counter && floats.windows(2).any(falls)) {
        return None;
    }
    let mut column = vec![stale_marker(); ends.ends.len()];
    let (mut from, mut to, mut found) = (0, 0, false);
    // Distances of the samples from the window's edges and from each other, and the factor that follows from them.
    let mut known = ((i64::MIN, 0, 0, 0), 0.0, 0.0);
    for (value, end) in column.iter_mut().zip(ends.ends) {
        let start = end.saturating_sub(ends.range_ms);
        from = passed(floats, from, start);
        to = passed(floats, to.max(from), *end);
        let [first, .., last] = &floats[from..to] else { continue };
        let difference = last.1 - first.1;
        let distances = (first.0.saturating_sub(start), end.saturating_sub(last.0), last.0 - first.0, to - from);
        if known.0 != distances {
            let gaps = Gaps::new(distances.0, distances.1, distances.2, distances.3);
            known = (distances, gaps.factor(gaps.to_start, change, ends.range_ms), gaps.to_start / gaps.sampled);
        }
        // A counter that is further above zero than the window is from its first sample is not taken back to zero.
        let far_from_zero = first.1 >= difference && known.2 <= 1.0;
        let factor = if !change.counter || difference <= 0.0 || far_from_zero {
            known.1
        } else {
            let gaps = Gaps::new(distances.0, distances.1, distances.2, distances.3);
            gaps.factor(gaps.not_before_zero(first.1, difference), change, ends.range_ms)
        };
        *value = difference * factor;
        found = true;
    }
    Some(if found { column } else { Vec::new() })
}

fn float_change(window: &Window<'_>, change: Change, resets: &mut Resets) -> Cell {
    let floats = window.floats;
    let [first, .., last] = floats else { return Cell::Absent };
    let mut difference = last.1 - first.1;
    if change.counter {
        resets.move_to(window);
        for (_, before) in &resets.places {
            difference += before;
        }
    }
    let factor = extrapolation(window, (first.0, last.0), floats.len(), change, (first.1, difference));
    Cell::Float(difference * factor)
}

/// The change over a window of which only an interval is known that covers it; none when that has less than two samples.
pub(crate) fn change_of(
    known: &Interval,
    (start_ms, end_ms): (i64, i64),
    counter: bool,
    per_second: bool,
) -> Option<f64> {
    if known.count < 2.0 {
        return None;
    }
    let change = Change { counter, per_second };
    let difference = known.last - known.first + if counter { known.excess } else { 0.0 };
    let (before, after) = (known.first_ms - start_ms, end_ms - known.last_ms);
    let gaps = Gaps::new(before, after, known.last_ms - known.first_ms, known.count as usize);
    let to_start = if counter { gaps.not_before_zero(known.first, difference) } else { gaps.to_start };
    Some(difference * gaps.factor(to_start, change, end_ms - start_ms))
}

/// What a change between the first and the last sample is multiplied by to be that of the whole window.
fn extrapolation(
    window: &Window<'_>,
    (first_ms, last_ms): (i64, i64),
    samples: usize,
    change: Change,
    (first_value, difference): (f64, f64),
) -> f64 {
    let (before, after) = (first_ms.saturating_sub(window.start_ms), window.end_ms.saturating_sub(last_ms));
    let gaps = Gaps::new(before, after, last_ms - first_ms, samples);
    let to_start = if change.counter { gaps.not_before_zero(first_value, difference) } else { gaps.to_start };
    gaps.factor(to_start, change, window.range_ms)
}

/// How far a change is taken to reach beyond its first and last sample, in seconds.
///
/// If a sample is where one would be expected near an edge, the change is taken to go on to the edge; else by half the
/// mean distance.
struct Gaps {
    to_start: f64,
    to_end: f64,
    sampled: f64,
}

impl Gaps {
    /// From the milliseconds between the window's start and the first of its samples, the last one and the end, the first and the last.
    fn new(before: i64, after: i64, between: i64, samples: usize) -> Self {
        let (mut to_start, mut to_end, sampled) = (seconds(before), seconds(after), seconds(between));
        let mean_distance = sampled / (samples - 1) as f64;
        let near = mean_distance * 1.1;
        if to_start >= near {
            to_start = mean_distance / 2.0;
        }
        if to_end >= near {
            to_end = mean_distance / 2.0;
        }
        Self { to_start, to_end, sampled }
    }

    /// The way to the start, for a counter: not beyond where it would have been zero.
    fn not_before_zero(&self, first_value: f64, difference: f64) -> f64 {
        if difference > 0.0 && first_value >= 0.0 {
            let to_zero = self.sampled * (first_value / difference);
            if to_zero < self.to_start {
                return to_zero;
            }
        }
        self.to_start
    }

    fn factor(&self, to_start: f64, change: Change, range_ms: i64) -> f64 {
        let factor = (self.sampled + to_start + self.to_end) / self.sampled;
        if change.per_second { factor / seconds(range_ms) } else { factor }
    }
}

/// The change between the window's edges, where the values are those of the nearest sample before (`anchored`) or
/// interpolated (`smoothed`).
fn extended(window: &Window<'_>, change: Change) -> Cell {
    let floats = window.floats;
    let (start, end) = (window.start_ms, window.end_ms);
    let smoothed = window.edges == Edges::Smoothed;
    let Some(last_index) = floats.len().checked_sub(1) else { return Cell::Absent };
    let first = floats[..last_index].partition_point(|(at, _)| *at <= start).saturating_sub(1);
    let last = if smoothed { floats[..last_index].partition_point(|(at, _)| *at < end) } else { last_index };
    if floats[last].0 <= start || (smoothed && floats[first].0 > end) {
        return Cell::Absent;
    }
    let between = |one: (i64, f64), other: (i64, f64), at: i64| {
        let from = if change.counter && other.1 < one.1 { 0.0 } else { one.1 };
        from + (other.1 - from) * seconds(at.saturating_sub(one.0)) / seconds(other.0 - one.0)
    };
    let left = if smoothed && floats[first].0 < start && first < last_index {
        between(floats[first], floats[first + 1], start)
    } else {
        floats[first].1
    };
    let right = if smoothed && last > 0 && floats[last].0 > end {
        between(floats[last - 1], floats[last], end)
    } else {
        floats[last].1
    };
    let mut difference = right - left;
    if change.counter {
        let inside = floats[first..=last].iter().filter(|(at, _)| *at > start && *at < end);
        let mut before = left;
        for value in inside.map(|(_, value)| *value).chain(std::iter::once(right)) {
            if value < before {
                difference += before;
            }
            before = value;
        }
    }
    Cell::Float(if change.per_second { difference / seconds(window.range_ms) } else { difference })
}
