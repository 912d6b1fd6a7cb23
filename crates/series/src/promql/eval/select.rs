//! Instant selectors: the newest sample of each series that is not too old.

use std::sync::Arc;

use super::{Evaluator, Grid, Sink};
use crate::histogram::Histogram;
use crate::labels::is_stale;
use crate::promql::ast::Selector;
use crate::promql::column::{Cell, Line};
use crate::promql::error::QueryError;
use crate::promql::source::{Each, Select, SeriesSamples};

/// What a selector takes from the sample that it finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Its value.
    Value,
    /// Its time, in Unix seconds.
    Time,
}

impl Evaluator<'_> {
    /// Reads series one after another, paid for.
    pub(super) fn read_each(&self, mut what: Select<'_>, each: &mut Each<'_>) -> Result<(), QueryError> {
        self.budget.look()?;
        what.most_samples = self.budget.samples_left();
        let told = self.source.visit(&what, &mut |series| {
            let histograms: usize = series.histograms.iter().map(|(_, h)| h.size()).sum();
            let bytes = 16 * series.floats.len() + histograms + 64;
            self.budget.take(series.floats.len() + series.histograms.len(), bytes)?;
            if self.totals.get() {
                tell_resets(series);
            }
            each(series)
        })?;
        self.tell(told);
        Ok(())
    }

    pub(super) fn select(&self, selector: &Selector, grid: Grid) -> Result<Vec<Line>, QueryError> {
        self.select_as(selector, grid, Take::Value)
    }

    pub(super) fn select_as(&self, selector: &Selector, grid: Grid, take: Take) -> Result<Vec<Line>, QueryError> {
        let mut lines = Vec::new();
        self.select_each(selector, grid, take, &mut |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok(lines)
    }

    /// Gives the series of a selector to `sink`, one after another.
    pub(super) fn select_each(
        &self,
        selector: &Selector,
        grid: Grid,
        take: Take,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let moments = self.moments(&selector.shift, grid)?;
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Ok(()) };
        // The oldest moment that counts is just inside the look-back.
        let from_ms = first.saturating_sub(self.settings.lookback_ms).saturating_add(1);
        let what = Select {
            matchers: &selector.matchers,
            from_ms,
            to_ms: *last,
            step_ms: grid.step_ms,
            range_ms: 0,
            function: None,
            newest: first == last,
            most_samples: 0,
            along: None,
        };
        if take == Take::Value && self.thinned(&what, &moments, false, sink)? {
            return Ok(());
        }
        self.read_each(what, &mut |series| {
            let mut column = self.absent(grid)?;
            let (mut floats, mut histograms) = (0, 0);
            for (step, moment) in moments.iter().enumerate() {
                floats = passed(&series.floats, floats, *moment);
                histograms = passed(&series.histograms, histograms, *moment);
                let oldest = moment.saturating_sub(self.settings.lookback_ms);
                let (at, cell) = newest(&series.floats[..floats], &series.histograms[..histograms], oldest);
                match (take, cell) {
                    (_, Cell::Absent) => {}
                    (Take::Value, cell) => column.set_cell(step, cell),
                    (Take::Time, _) => column.set(step, at as f64 / 1000.0),
                }
            }
            self.budget.work(grid.steps)?;
            if column.is_empty() {
                return Ok(());
            }
            self.count_column(&column);
            sink(Line { metric: series.metric.clone(), drop_name: take == Take::Time, column })
        })
    }
}

/// Gives each histogram the hint that comparing it with the one before it gives.
fn tell_resets(series: &mut SeriesSamples) {
    for place in 1..series.histograms.len() {
        let hint = series.histograms[place].1.compared_hint(&series.histograms[place - 1].1);
        if hint != series.histograms[place].1.hint {
            Arc::make_mut(&mut series.histograms[place].1).hint = hint;
        }
    }
}

/// How many samples are at or before a moment, given that `already` were at an earlier one.
#[inline]
pub(super) fn passed<T>(samples: &[(i64, T)], already: usize, moment: i64) -> usize {
    let mut at = already;
    while at < samples.len() && samples[at].0 <= moment {
        at += 1;
    }
    at
}

/// The newest sample after `oldest`; a series that has ended has none.
fn newest(floats: &[(i64, f64)], histograms: &[(i64, Arc<Histogram>)], oldest: i64) -> (i64, Cell) {
    let float = floats.last().filter(|(at, _)| *at > oldest);
    let histogram = histograms.last().filter(|(at, _)| *at > oldest);
    match (float, histogram) {
        (Some((at, value)), other) if other.is_none_or(|(other, _)| other < at) => {
            (*at, if is_stale(*value) { Cell::Absent } else { Cell::Float(*value) })
        }
        (_, Some((at, histogram))) => {
            (*at, if histogram.is_stale() { Cell::Absent } else { Cell::Histogram(histogram.clone()) })
        }
        _ => (0, Cell::Absent),
    }
}
