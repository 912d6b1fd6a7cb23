//! Functions of all samples in a window: sums, means, extremes, counts.

use std::sync::Arc;

use super::Evaluator;
use super::native::Sums;
use super::window::{Window, Windows};
use crate::histogram::Histogram;
use crate::promql::annotation::Remark;
use crate::promql::ast::{Edges, Span};
use crate::promql::column::{Cell, Line};
use crate::promql::error::QueryError;
use crate::promql::kahan::{Kahan, Mean};

/// Functions that look at the floats of a window alone.
pub(super) type OfFloats = fn(&[(i64, f64)]) -> f64;

/// The function of that name that ignores histograms, with a remark where there are floats too.
pub(super) fn of_floats(name: &str) -> Option<OfFloats> {
    Some(match name {
        "min_over_time" => |floats| extreme(floats, |value, best| value < best).1,
        "max_over_time" => |floats| extreme(floats, |value, best| value > best).1,
        "ts_of_min_over_time" => |floats| extreme(floats, |value, best| value <= best).0,
        "ts_of_max_over_time" => |floats| extreme(floats, |value, best| value >= best).0,
        "stdvar_over_time" => variance,
        "stddev_over_time" => |floats| variance(floats).sqrt(),
        "mad_over_time" => deviation,
        _ => return None,
    })
}

fn seconds(at_ms: i64) -> f64 {
    at_ms as f64 / 1000.0
}

/// Time in seconds and value of the sample that is better than all before it. Anything is better than NaN.
fn extreme(floats: &[(i64, f64)], better: impl Fn(f64, f64) -> bool) -> (f64, f64) {
    let mut best = floats[0];
    for sample in floats {
        if better(sample.1, best.1) || best.1.is_nan() {
            best = *sample;
        }
    }
    (seconds(best.0), best.1)
}

fn variance(floats: &[(i64, f64)]) -> f64 {
    let (mut mean, mut squares, mut count) = (Kahan::default(), Kahan::default(), 0.0);
    for (_, value) in floats {
        count += 1.0;
        let away = value - (mean.sum + mean.lost);
        mean.add(away / count);
        squares.add(away * (value - (mean.sum + mean.lost)));
    }
    (squares.sum + squares.lost) / count
}

fn deviation(floats: &[(i64, f64)]) -> f64 {
    let mut values: Vec<f64> = floats.iter().map(|(_, value)| *value).collect();
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, &mut values);
    let mut away: Vec<f64> = floats.iter().map(|(_, value)| (value - median).abs()).collect();
    quantile(0.5, &mut away)
}

/// The quantile of values, interpolated between neighbours; NaN counts as smallest.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = q * (values.len() - 1) as f64;
    let weight = rank - rank.floor();
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    values[lower] * (1.0 - weight) + values[upper] * weight
}

impl Evaluator<'_> {
    /// A function that ignores histograms.
    pub(super) fn over_floats(&self, windows: Windows<'_>, run: OfFloats) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| {
            if window.floats.is_empty() {
                return Ok(Cell::Absent);
            }
            self.ignored(window, span);
            Ok(Cell::Float(run(window.floats)))
        })
    }

    /// Says that the histograms of a window were ignored, if there are any.
    pub(super) fn ignored(&self, window: &Window<'_>, span: Span) {
        if window.is_mixed() {
            self.remark(span, &Remark::IgnoredInMixedRange(window.metric.name().to_owned()));
        }
    }

    pub(super) fn quantile_over_time(
        &self,
        windows: Windows<'_>,
        q: &[f64],
        place: Span,
    ) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| {
            if window.floats.is_empty() {
                return Ok(Cell::Absent);
            }
            let q = q[window.step];
            if !(0.0..=1.0).contains(&q) {
                self.remark(place, &Remark::BadQuantile(q));
            }
            self.ignored(window, span);
            let mut values: Vec<f64> = window.floats.iter().map(|(_, value)| *value).collect();
            Ok(Cell::Float(quantile(q, &mut values)))
        })
    }

    /// `sum_over_time` and `avg_over_time`, which take either floats or histograms.
    pub(super) fn total_over_time(&self, windows: Windows<'_>, mean: bool) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| {
            if window.is_mixed() {
                self.remark(span, &Remark::MixedFloatsHistograms(window.metric.name().to_owned()));
                return Ok(Cell::Absent);
            }
            let [(_, first), rest @ ..] = window.floats else {
                return Ok(self.total_histograms(window, mean, span));
            };
            if mean {
                let mut running = Mean::new(*first);
                rest.iter().for_each(|(_, value)| running.add(*value));
                return Ok(Cell::Float(running.value()));
            }
            let mut sum = Kahan::default();
            window.floats.iter().for_each(|(_, value)| sum.add(*value));
            Ok(Cell::Float(sum.total()))
        })
    }

    fn total_histograms(&self, window: &Window<'_>, mean: bool, span: Span) -> Cell {
        let mut sums = Sums::default();
        for (_, histogram) in window.histograms {
            sums.add(histogram, mean);
        }
        if sums.incompatible {
            self.remark(span, &Remark::MixedSchemas(window.metric.name().to_owned()));
            return Cell::Absent;
        }
        self.remark_sums(&sums, span);
        sums.finish(mean).map_or(Cell::Absent, |histogram| Cell::Histogram(Arc::new(histogram)))
    }

    pub(super) fn remark_sums(&self, sums: &Sums, span: Span) {
        if sums.hints_collide() {
            self.remark(span, &Remark::HintsCollide("aggregation"));
        }
        if sums.bounds_reconciled {
            self.remark(span, &Remark::BoundsReconciled("aggregation"));
        }
    }

    /// How often consecutive samples differ (`changes`), or fall (`resets`).
    pub(super) fn count_steps(&self, windows: Windows<'_>, counts: Counts) -> Result<Vec<Line>, QueryError> {
        self.slide(windows, true, |window| {
            let mut floats = window.floats;
            if window.edges == Edges::Anchored {
                if floats.last().is_none_or(|(at, _)| *at <= window.start_ms) {
                    return Ok(Cell::Absent);
                }
                let before = floats[..floats.len() - 1].partition_point(|(at, _)| *at <= window.start_ms);
                floats = &floats[before.saturating_sub(1)..];
            }
            let (mut histograms, mut count, mut before) = (window.histograms, 0_u32, None);
            loop {
                let float_first = match (floats.first(), histograms.first()) {
                    (None, None) => return Ok(Cell::Float(f64::from(count))),
                    (Some((at, _)), other) => other.is_none_or(|(other, _)| at < other),
                    (None, Some(_)) => false,
                };
                let now = if float_first {
                    let (first, rest) = (floats[0].1, &floats[1..]);
                    floats = rest;
                    Sample::Float(first)
                } else {
                    let (first, rest) = (&histograms[0].1, &histograms[1..]);
                    histograms = rest;
                    Sample::Histogram(first)
                };
                if before.as_ref().is_some_and(|before| counts.counts(before, &now)) {
                    count += 1;
                }
                before = Some(now);
            }
        })
    }
}

/// Which steps from one sample to the next are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Changes,
    Resets,
}

enum Sample<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

impl Counts {
    fn counts(self, before: &Sample<'_>, now: &Sample<'_>) -> bool {
        match (before, now) {
            (Sample::Float(before), Sample::Float(now)) => match self {
                Self::Changes => now != before && !(now.is_nan() && before.is_nan()),
                Self::Resets => now < before,
            },
            (Sample::Histogram(before), Sample::Histogram(now)) => match self {
                Self::Changes => now != before,
                Self::Resets => now.is_reset_after(before),
            },
            _ => true,
        }
    }
}

/// First or last sample of a window, as it is or its time.
pub(super) fn end_of(window: &Window<'_>, last: bool, time: bool) -> Cell {
    let float = if last { window.floats.last() } else { window.floats.first() };
    let histogram = if last { window.histograms.last() } else { window.histograms.first() };
    let (at, cell) = match (float, histogram) {
        (Some((at, value)), other) if other.is_none_or(|(other, _)| if last { other < at } else { at < other }) => {
            (*at, Cell::Float(*value))
        }
        (_, Some((at, histogram))) => (*at, Cell::Histogram(histogram.clone())),
        _ => return Cell::Absent,
    };
    if time { Cell::Float(seconds(at)) } else { cell }
}
