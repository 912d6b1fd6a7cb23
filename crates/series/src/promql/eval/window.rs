//! Range selectors and subqueries: series with a window that slides along them. Windows are slices; nothing is copied.

use std::sync::Arc;

use super::select::passed;
use super::{Evaluator, Grid};
use crate::histogram::Histogram;
use crate::labels::is_stale;
use crate::promql::ast::{Edges, Expr, ExprKind, Selector, Span};
use crate::promql::column::{Cell, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::metric::Metric;
use crate::promql::source::{Select, SeriesSamples};
use crate::promql::value::MatrixSeries;

/// Series and the windows over them.
pub(super) struct Windows {
    pub(super) series: Vec<Samples>,
    /// The end of the window at each step, rising.
    pub(super) ends: Vec<i64>,
    pub(super) range_ms: i64,
    pub(super) grid: Grid,
    pub(super) edges: Edges,
    /// Where the range stands in the query.
    pub(super) span: Span,
}

/// The samples of one series, without stale markers.
pub(super) struct Samples {
    pub(super) metric: Metric,
    pub(super) drop_name: bool,
    pub(super) floats: Vec<(i64, f64)>,
    pub(super) histograms: Vec<(i64, Arc<Histogram>)>,
}

/// What a range function sees at one step.
pub(super) struct Window<'a> {
    pub(super) metric: &'a Metric,
    pub(super) floats: &'a [(i64, f64)],
    pub(super) histograms: &'a [(i64, Arc<Histogram>)],
    /// The window reaches from just after this …
    pub(super) start_ms: i64,
    /// … to this.
    pub(super) end_ms: i64,
    pub(super) range_ms: i64,
    /// The step.
    pub(super) step: usize,
    /// Its time, which the window need not end at.
    pub(super) at_ms: i64,
    /// Which of the series, by its place.
    pub(super) series: usize,
    /// Where the first float of the window is among those of the series.
    pub(super) first_float: usize,
    pub(super) edges: Edges,
}

impl Window<'_> {
    pub(super) fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }
}

impl Windows {
    /// The samples of the only window, as an answer.
    pub(super) fn into_matrix(self) -> Result<Vec<MatrixSeries>, QueryError> {
        let (end, range) = (self.ends[0], self.range_ms);
        let inside = |at: i64| at > end.saturating_sub(range) && at <= end;
        let mut all: Vec<MatrixSeries> = Vec::new();
        for samples in self.series {
            let metric = if samples.drop_name { samples.metric.without_name() } else { samples.metric };
            let floats: Vec<_> = samples.floats.into_iter().filter(|(at, _)| inside(*at)).collect();
            let histograms: Vec<_> = samples.histograms.into_iter().filter(|(at, _)| inside(*at)).collect();
            if !floats.is_empty() || !histograms.is_empty() {
                all.push(MatrixSeries { metric, floats, histograms });
            }
        }
        all.sort_by(|a, b| a.metric.cmp(&b.metric));
        if all.windows(2).any(|pair| pair[0].metric == pair[1].metric) {
            return execution(super::merge::SAME_LABELS);
        }
        Ok(all)
    }
}

impl Evaluator<'_> {
    /// The series and windows of a range selector or subquery.
    pub(super) fn windows(
        &self,
        expr: &Expr,
        grid: Grid,
        function: Option<&'static str>,
    ) -> Result<Windows, QueryError> {
        match &expr.kind {
            ExprKind::Wrapped { inner, .. } => self.windows(inner, grid, function),
            ExprKind::Range { selector, range } => {
                let range_ms = range.resolve(self.frame())?;
                self.range_windows(selector, range_ms, expr.span, grid, function)
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, expr.span, grid),
            _ => execution("expected a range vector"),
        }
    }

    fn range_windows(
        &self,
        selector: &Selector,
        range_ms: i64,
        span: Span,
        grid: Grid,
        function: Option<&'static str>,
    ) -> Result<Windows, QueryError> {
        if range_ms <= 0 {
            return execution("duration must be greater than 0");
        }
        let ends = self.moments(&selector.shift, grid)?;
        let (Some(first), Some(last)) = (ends.first().copied(), ends.last().copied()) else {
            return execution("a query without steps");
        };
        let extended = if selector.edges == Edges::Plain { 0 } else { self.settings.lookback_ms };
        let after = if selector.edges == Edges::Smoothed { extended } else { 0 };
        let what = Select {
            matchers: &selector.matchers,
            from_ms: first.saturating_sub(range_ms).saturating_add(1).saturating_sub(extended),
            to_ms: last.saturating_add(after),
            step_ms: grid.step_ms,
            range_ms,
            function,
            most_samples: 0,
        };
        let series = self.read(what)?.into_iter().map(without_stale).collect();
        Ok(Windows { series, ends, range_ms, grid, edges: selector.edges, span })
    }

    /// Runs a function over all windows that hold a sample. It may find that a window has no value.
    pub(super) fn slide(
        &self,
        windows: Windows,
        drops_name: bool,
        mut run: impl FnMut(&Window<'_>) -> Result<Cell, QueryError>,
    ) -> Result<Vec<Line>, QueryError> {
        let mut lines = Vec::new();
        let (before, after) = match windows.edges {
            Edges::Plain => (0, 0),
            Edges::Anchored => (self.settings.lookback_ms, 0),
            Edges::Smoothed => (self.settings.lookback_ms, self.settings.lookback_ms),
        };
        for (place, samples) in windows.series.into_iter().enumerate() {
            let mut column = self.absent(windows.grid)?;
            let (mut floats, mut histograms) = ((0, 0), (0, 0));
            let mut found = false;
            for (step, end) in windows.ends.iter().enumerate() {
                let start = end.saturating_sub(windows.range_ms);
                floats.0 = passed(&samples.floats, floats.0, start.saturating_sub(before));
                floats.1 = passed(&samples.floats, floats.1.max(floats.0), end.saturating_add(after));
                histograms.0 = passed(&samples.histograms, histograms.0, start);
                histograms.1 = passed(&samples.histograms, histograms.1.max(histograms.0), *end);
                let window = Window {
                    metric: &samples.metric,
                    floats: &samples.floats[floats.0..floats.1],
                    histograms: &samples.histograms[histograms.0..histograms.1],
                    start_ms: start,
                    end_ms: *end,
                    range_ms: windows.range_ms,
                    step,
                    at_ms: windows.grid.at(step),
                    series: place,
                    first_float: floats.0,
                    edges: windows.edges,
                };
                if window.floats.is_empty() && window.histograms.is_empty() {
                    continue;
                }
                self.budget.work(window.floats.len() + window.histograms.len())?;
                match run(&window)? {
                    Cell::Absent => {}
                    cell => {
                        column.set_cell(step, cell);
                        found = true;
                    }
                }
            }
            if found {
                let drop_name = samples.drop_name || drops_name;
                lines.push(Line { metric: samples.metric, drop_name, column });
            }
        }
        Ok(lines)
    }
}

/// Stale markers end a series for instant selectors; in a range they are as if not there.
fn without_stale(mut series: SeriesSamples) -> Samples {
    series.floats.retain(|(_, value)| !is_stale(*value));
    series.histograms.retain(|(_, histogram)| !histogram.is_stale());
    Samples { metric: series.metric, drop_name: false, floats: series.floats, histograms: series.histograms }
}
