//! Range selectors and subqueries: series with a window that slides along them. Windows are slices; nothing is copied.

use std::sync::Arc;

use super::select::passed;
use super::{Evaluator, Grid, Sink};
use crate::histogram::Histogram;
use crate::labels::is_stale;
use crate::promql::ast::{Edges, Expr, ExprKind, Selector, Span};
use crate::promql::column::{Cell, Column, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::metric::Metric;
use crate::promql::source::{Along, Select};
use crate::promql::value::MatrixSeries;

/// Series and the windows over them.
pub(super) struct Windows<'a> {
    pub(super) feed: Feed<'a>,
    /// The end of the window at each step, rising.
    pub(super) ends: Vec<i64>,
    pub(super) range_ms: i64,
    pub(super) grid: Grid,
    pub(super) edges: Edges,
    /// Where the range stands in the query.
    pub(super) span: Span,
    /// It is to be said when the series are not named as counters are.
    pub(super) of_counters: bool,
    /// Who gets the series that a function makes, one after another; without it they are gathered.
    pub(super) sink: Option<&'a mut Sink<'a>>,
}

/// Makes a value a step of the floats of a series, if it can.
pub(super) type AllWindows<'a> = dyn Fn(&[(i64, f64)], &Ends<'_>) -> Option<Vec<f64>> + Sync + 'a;

/// Where the series come from.
pub(super) enum Feed<'a> {
    /// They have been computed, and that looked at so many samples.
    Ready(Vec<Samples>, u64),
    /// They are read one after another.
    Stored(Select<'a>),
}

/// The samples of one series, without stale markers.
pub(super) struct Samples {
    /// What was made of all windows where the series was read.
    pub(super) made: Option<Vec<f64>>,
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

impl Evaluator<'_> {
    /// The samples of the only window, as an answer.
    pub(super) fn matrix_of(&self, windows: Windows<'_>) -> Result<Vec<MatrixSeries>, QueryError> {
        let Windows { feed, ends, range_ms, grid, edges, .. } = windows;
        let ends = Ends { ends: &ends, range_ms, grid, edges };
        let computed = match &feed {
            Feed::Ready(_, looked_at) => Some(*looked_at),
            Feed::Stored(_) => None,
        };
        self.count_for_all(computed.unwrap_or(0));
        let mut all: Vec<MatrixSeries> = Vec::new();
        self.samples_each(feed, &mut |samples| {
            if computed.is_none() {
                self.count_windows(samples, &ends, (0, 0));
            }
            let metric = if samples.drop_name { samples.metric.without_name() } else { samples.metric.clone() };
            let mut reach = Reach::default();
            reach.move_to(samples, (ends.ends[0].saturating_sub(range_ms), ends.ends[0]), (0, 0));
            let (floats, histograms) = reach.of(samples);
            let (floats, histograms) = (floats.to_vec(), histograms.to_vec());
            if !floats.is_empty() || !histograms.is_empty() {
                all.push(MatrixSeries { metric, floats: floats.into(), histograms });
            }
            Ok(())
        })?;
        all.sort_by(|a, b| a.metric.cmp(&b.metric));
        if all.windows(2).any(|pair| pair[0].metric == pair[1].metric) {
            return execution(super::merge::SAME_LABELS);
        }
        Ok(all)
    }

    /// Calls `each` with the samples of one series after another.
    fn samples_each(
        &self,
        feed: Feed<'_>,
        each: &mut dyn FnMut(&mut Samples) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        match feed {
            Feed::Ready(all, _) => all.into_iter().try_for_each(|mut samples| each(&mut samples)),
            Feed::Stored(what) => self.read_each(what, &mut |series| {
                // Stale markers end a series for instant selectors; in a range they are as if not there.
                // What something was made of has none.
                if series.made.is_none() && series.floats.iter().any(|(_, value)| is_stale(*value)) {
                    series.floats.retain(|(_, value)| !is_stale(*value));
                }
                series.histograms.retain(|(_, histogram)| !histogram.is_stale());
                let mut samples = Samples {
                    made: series.made.take(),
                    metric: series.metric.clone(),
                    drop_name: false,
                    floats: std::mem::take(&mut series.floats),
                    histograms: std::mem::take(&mut series.histograms),
                };
                let done = each(&mut samples);
                (series.floats, series.histograms) = (samples.floats, samples.histograms);
                done
            }),
        }
    }

    /// The series and windows of a range selector or subquery.
    pub(super) fn windows<'e>(
        &self,
        expr: &'e Expr,
        grid: Grid,
        function: Option<&'static str>,
    ) -> Result<Windows<'e>, QueryError> {
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

    fn range_windows<'e>(
        &self,
        selector: &'e Selector,
        range_ms: i64,
        span: Span,
        grid: Grid,
        function: Option<&'static str>,
    ) -> Result<Windows<'e>, QueryError> {
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
            newest: false,
            most_samples: 0,
            along: None,
        };
        let (feed, edges) = (Feed::Stored(what), selector.edges);
        Ok(Windows { feed, ends, range_ms, grid, edges, span, of_counters: false, sink: None })
    }

    /// Runs a function over all windows that hold a sample. It may find that a window has no value.
    pub(super) fn slide(
        &self,
        windows: Windows<'_>,
        drops_name: bool,
        run: impl FnMut(&Window<'_>) -> Result<Cell, QueryError>,
    ) -> Result<Vec<Line>, QueryError> {
        self.slide_along(windows, drops_name, None, run)
    }

    /// As [`slide`](Self::slide), where `along` may do all windows of a series of floats at once: a value a step, or nothing at all
    /// when no step has one. It may do so on another core, where the series is read.
    pub(super) fn slide_along(
        &self,
        windows: Windows<'_>,
        drops_name: bool,
        along: Option<&AllWindows<'_>>,
        mut run: impl FnMut(&Window<'_>) -> Result<Cell, QueryError>,
    ) -> Result<Vec<Line>, QueryError> {
        let Windows { mut feed, ends, range_ms, grid, edges, span, mut of_counters, sink } = windows;
        let ends = &Ends { ends: &ends, range_ms, grid, edges };
        let make = along.map(|along| {
            move |floats: &[(i64, f64)]| {
                // Stale markers are taken out first, by whoever has the series to himself.
                let whole = !floats.iter().any(|(_, value)| is_stale(*value));
                whole.then(|| along(floats, ends)).flatten()
            }
        });
        if let Feed::Stored(what) = &mut feed {
            what.along = make.as_ref().map(|make| Along(make));
        }
        let mut lines = Vec::new();
        let mut gather = |line| {
            lines.push(line);
            Ok(())
        };
        let sink: &mut Sink<'_> = match sink {
            Some(sink) => sink,
            None => &mut gather,
        };
        if let (Feed::Stored(what), Edges::Plain) = (&feed, edges) {
            let name_of = |line: &Line| line.metric.name().to_owned();
            let done = self.thinned(what, ends.ends, drops_name, &mut |line| {
                if of_counters {
                    self.check_counter_name(&name_of(&line), span);
                    of_counters = false;
                }
                sink(line)
            })?;
            if done {
                return Ok(lines);
            }
        }
        let mut series = 0;
        self.samples_each(feed, &mut |samples| {
            if of_counters && !samples.floats.is_empty() {
                self.check_counter_name(samples.metric.name(), span);
                of_counters = false;
            }
            self.count_windows(samples, ends, self.extended(edges));
            self.budget.column(grid.steps)?;
            let here = make.as_ref().filter(|_| samples.histograms.is_empty());
            let made = samples.made.take().or_else(|| here?(&samples.floats));
            let (column, found) = match made {
                Some(made) => {
                    self.budget.work(2 * samples.floats.len() + grid.steps)?;
                    let found = !made.is_empty();
                    (Column::of(made), found)
                }
                None => {
                    let mut column = Column::absent(grid.steps);
                    let found = self.by_window(samples, series, ends, &mut column, &mut run)?;
                    (column, found)
                }
            };
            series += 1;
            if found {
                let drop_name = samples.drop_name || drops_name;
                sink(Line { metric: samples.metric.clone(), drop_name, column })?;
            }
            Ok(())
        })?;
        Ok(lines)
    }

    /// How far windows reach beyond their start and their end for floats.
    fn extended(&self, edges: Edges) -> (i64, i64) {
        match edges {
            Edges::Plain => (0, 0),
            Edges::Anchored => (self.settings.lookback_ms, 0),
            Edges::Smoothed => (self.settings.lookback_ms, self.settings.lookback_ms),
        }
    }

    /// One series, window by window; whether any step has a value.
    fn by_window(
        &self,
        samples: &Samples,
        series: usize,
        ends: &Ends<'_>,
        column: &mut Column,
        run: &mut impl FnMut(&Window<'_>) -> Result<Cell, QueryError>,
    ) -> Result<bool, QueryError> {
        let extended = self.extended(ends.edges);
        let mut reach = Reach::default();
        let mut found = false;
        for (step, end) in ends.ends.iter().enumerate() {
            let start = end.saturating_sub(ends.range_ms);
            reach.move_to(samples, (start, *end), extended);
            let (floats, histograms) = reach.of(samples);
            let window = Window {
                metric: &samples.metric,
                floats,
                histograms,
                start_ms: start,
                end_ms: *end,
                range_ms: ends.range_ms,
                step,
                at_ms: ends.grid.at(step),
                series,
                first_float: reach.floats.0,
                edges: ends.edges,
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
        Ok(found)
    }
}

/// The floats and histograms of a window.
type Within<'a> = (&'a [(i64, f64)], &'a [(i64, Arc<Histogram>)]);

/// Where a window that moves along a series begins and ends.
#[derive(Default)]
pub(super) struct Reach {
    floats: (usize, usize),
    histograms: (usize, usize),
}

impl Reach {
    /// Moves on to the window after its start and up to its end; floats count from so much before and so much after.
    pub(super) fn move_to(&mut self, samples: &Samples, (start, end): (i64, i64), (before, after): (i64, i64)) {
        let (floats, histograms) = (&mut self.floats, &mut self.histograms);
        floats.0 = passed(&samples.floats, floats.0, start.saturating_sub(before));
        floats.1 = passed(&samples.floats, floats.1.max(floats.0), end.saturating_add(after));
        histograms.0 = passed(&samples.histograms, histograms.0, start);
        histograms.1 = passed(&samples.histograms, histograms.1.max(histograms.0), end);
    }

    /// What is in it.
    pub(super) fn of<'a>(&self, samples: &'a Samples) -> Within<'a> {
        let (floats, histograms) = (self.floats, self.histograms);
        (&samples.floats[floats.0..floats.1], &samples.histograms[histograms.0..histograms.1])
    }
}

/// Where the windows of all series end.
pub(super) struct Ends<'a> {
    /// The end of the window at each step, rising.
    pub(super) ends: &'a [i64],
    pub(super) range_ms: i64,
    pub(super) grid: Grid,
    pub(super) edges: Edges,
}
