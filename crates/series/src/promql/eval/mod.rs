//! Evaluation: an expression and a grid of times in, columns out. Reads samples only through the source it is given.

mod aggregate;
mod binary;
mod calls;
mod classic;
mod counts;
mod dates;
mod fold;
mod groups;
mod info;
mod labels;
mod matching;
mod math;
mod merge;
mod native;
mod over_time;
mod pick;
mod rate;
mod regression;
mod select;
mod sets;
mod sorting;
mod subquery;
mod window;

use std::cell::{Cell, RefCell};

use super::annotation::{Annotations, Remark};
use super::ast::{Expr, ExprKind, Shift, Span};
use super::column::{Column, Line};
use super::duration::Frame;
use super::error::QueryError;
use super::limits::{Budget, Limits};
use super::query::Settings;
use super::source::{Select, Source, Told};
use super::value::MatrixSeries;
pub(crate) use rate::change_of;
use select::Take;

/// The times at which an expression is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) start_ms: i64,
    pub(super) step_ms: i64,
    pub(super) steps: usize,
}

impl Grid {
    /// The time of a step.
    pub(super) fn at(self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(step.saturating_mul(self.step_ms))
    }

    fn last(self) -> i64 {
        self.at(self.steps.saturating_sub(1))
    }

    fn one(self) -> Self {
        Self { steps: 1, ..self }
    }
}

/// Takes one series after another.
pub(super) type Sink<'a> = dyn FnMut(Line) -> Result<(), QueryError> + 'a;

/// What an expression has come to.
pub(super) enum Evaluated {
    /// One number a step.
    Scalar(Vec<f64>),
    /// Series.
    Lines(Vec<Line>),
    /// A string.
    Text(String),
}

/// One query while it is evaluated.
pub(super) struct Evaluator<'a> {
    source: &'a dyn Source,
    budget: Budget<'a>,
    settings: Settings,
    /// The times of the query itself, which `start()`, `end()`, `step()` and `range()` mean, in subqueries too.
    query: Grid,
    end_ms: i64,
    annotations: RefCell<Annotations>,
    /// Only totals of histograms are wanted here, for which all counter resets are told.
    totals: Cell<bool>,
    /// Samples that each step of the grid at work looks at; empty when nobody wants to know.
    counts: RefCell<Vec<u64>>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(source: &'a dyn Source, limits: &'a Limits, settings: Settings, query: Grid) -> Self {
        let annotations = RefCell::default();
        Self {
            source,
            budget: Budget::new(limits),
            settings,
            query,
            end_ms: query.last(),
            annotations,
            totals: Cell::new(false),
            counts: RefCell::new(if limits.tally.is_some() { vec![0; query.steps] } else { Vec::new() }),
        }
    }

    /// The end that was asked for, which the last step need not reach.
    pub(super) fn ending(self, end_ms: i64) -> Self {
        Self { end_ms, ..self }
    }

    pub(super) fn samples(&self) -> u64 {
        self.budget.samples()
    }

    /// Warnings and hints.
    pub(super) fn remarks(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let annotations = self.annotations.borrow();
        (annotations.warnings(query), annotations.infos(query))
    }

    fn remark(&self, span: Span, remark: &Remark) {
        self.annotations.borrow_mut().add(remark, span);
    }

    fn frame(&self) -> Frame {
        Frame { step_ms: self.query.step_ms, range_ms: self.end_ms.saturating_sub(self.query.start_ms) }
    }

    /// The answer to the whole query: names that no longer fit are dropped.
    pub(super) fn whole(&self, expr: &Expr) -> Result<Evaluated, QueryError> {
        self.budget.look()?;
        match self.eval(expr, self.query)? {
            Evaluated::Lines(lines) => Ok(Evaluated::Lines(merge::finish(lines)?)),
            other => Ok(other),
        }
    }

    /// The answer to a query that is a range itself: the samples as they are.
    pub(super) fn matrix(&self, expr: &Expr, at_ms: i64) -> Result<Vec<MatrixSeries>, QueryError> {
        let windows = self.windows(expr, Grid { start_ms: at_ms, step_ms: 0, steps: 1 }, None)?;
        self.matrix_of(windows)
    }

    /// Evaluates an expression at all times of the grid.
    fn eval(&self, expr: &Expr, grid: Grid) -> Result<Evaluated, QueryError> {
        self.budget.work(1)?;
        if grid.steps > 1 && is_fixed(expr) {
            return self.broadcast(expr, grid);
        }
        match &expr.kind {
            ExprKind::Number(value) => {
                self.budget.column(grid.steps)?;
                Ok(Evaluated::Scalar(vec![*value; grid.steps]))
            }
            ExprKind::Text(text) => Ok(Evaluated::Text(text.clone())),
            ExprKind::Bytes(_) => super::error::execution("a string holds bytes that are not UTF-8"),
            ExprKind::Selector(selector) => Ok(Evaluated::Lines(self.select(selector, grid)?)),
            ExprKind::Wrapped { inner, .. } => self.eval(inner, grid),
            ExprKind::Negate(inner) => self.negate(inner, grid),
            ExprKind::Call { function, args } => self.call(expr, function, args, grid),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, grid).map(Evaluated::Lines),
            ExprKind::Binary(binary) => self.with_totals(false, || self.binary(binary, expr.span, grid)),
            ExprKind::Range { .. } | ExprKind::Subquery(_) => {
                super::error::execution("a range vector can only be the argument of a function, or the whole query")
            }
        }
    }

    /// Evaluates what is the same at all times once.
    fn broadcast(&self, expr: &Expr, grid: Grid) -> Result<Evaluated, QueryError> {
        let (once, looked_at) = self.counted_apart(grid.one(), || self.eval(expr, grid.one()));
        self.count_for_all(looked_at);
        Ok(match once? {
            Evaluated::Scalar(values) => {
                self.budget.column(grid.steps)?;
                Evaluated::Scalar(vec![values[0]; grid.steps])
            }
            Evaluated::Lines(mut lines) => {
                for line in &mut lines {
                    self.budget.column(grid.steps)?;
                    line.column = line.column.repeated(grid.steps);
                }
                Evaluated::Lines(lines)
            }
            text @ Evaluated::Text(_) => text,
        })
    }

    fn lines(&self, expr: &Expr, grid: Grid) -> Result<Vec<Line>, QueryError> {
        match self.eval(expr, grid)? {
            Evaluated::Lines(lines) => Ok(lines),
            _ => super::error::execution("expected an instant vector"),
        }
    }

    /// Gives the series of an expression to `sink`, one after another; those that are read from a store are never there all at
    /// once.
    fn lines_each<'e>(&self, expr: &'e Expr, grid: Grid, sink: &'e mut Sink<'e>) -> Result<(), QueryError> {
        let fixed = grid.steps > 1 && is_fixed(expr);
        match &expr.kind {
            ExprKind::Wrapped { inner, .. } => self.lines_each(inner, grid, sink),
            ExprKind::Selector(selector) if !fixed => self.select_each(selector, grid, Take::Value, sink),
            ExprKind::Call { function, args } if !fixed && calls::is_series_by_series(function) => {
                self.budget.work(1)?;
                self.range_call(function, args, grid, Some(sink)).map(|_| ())
            }
            _ => self.lines(expr, grid)?.into_iter().try_for_each(sink),
        }
    }

    fn scalar(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
        match self.eval(expr, grid)? {
            Evaluated::Scalar(values) => Ok(values),
            _ => super::error::execution("expected a scalar"),
        }
    }

    /// Evaluates with or without telling of all counter resets.
    fn with_totals<T>(&self, totals: bool, run: impl FnOnce() -> T) -> T {
        let before = self.totals.replace(totals);
        let result = run();
        self.totals.set(before);
        result
    }

    fn negate(&self, inner: &Expr, grid: Grid) -> Result<Evaluated, QueryError> {
        match self.eval(inner, grid)? {
            Evaluated::Scalar(values) => Ok(Evaluated::Scalar(values.into_iter().map(|v| -v).collect())),
            Evaluated::Lines(mut lines) => {
                for line in &mut lines {
                    self.budget.work(grid.steps)?;
                    line.drop_name = true;
                    math::map_present(&mut line.column, |value| -value);
                    for histogram in line.column.histograms.iter_mut().flatten() {
                        std::sync::Arc::make_mut(histogram).scale(-1.0);
                    }
                }
                Ok(Evaluated::Lines(lines))
            }
            Evaluated::Text(_) => super::error::execution("a string has no sign"),
        }
    }

    /// Has a store answer from thinned-out samples what a function, or the newest sample, comes to at each end; false when it does
    /// not, and nothing was given to `sink`.
    fn thinned(
        &self,
        what: &Select<'_>,
        ends: &[i64],
        drop_name: bool,
        sink: &mut Sink<'_>,
    ) -> Result<bool, QueryError> {
        let told = self.source.thinned(what, ends, &mut |metric, values, intervals| {
            self.budget.take(intervals, 16 * intervals)?;
            self.budget.column(values.len())?;
            let column = Column::of(values);
            self.count_column(&column);
            sink(Line { metric, drop_name, column })
        })?;
        let Some(told) = told else { return Ok(false) };
        self.tell(told);
        Ok(true)
    }

    fn tell(&self, told: Told) {
        for warning in told.warnings {
            self.remark(Span::default(), &Remark::Lost(warning));
        }
        for info in told.infos {
            self.remark(Span::default(), &Remark::Chosen(info));
        }
    }

    /// The moment that each step of the grid reads at, rising.
    fn moments(&self, shift: &Shift, grid: Grid) -> Result<Vec<i64>, QueryError> {
        use super::ast::At;
        let offset = shift.offset.as_ref().map_or(Ok(0), |offset| offset.resolve(self.frame()))?;
        let fixed = shift.at.map(|at| match at {
            At::Time(ms) => ms,
            At::Start => self.query.start_ms,
            At::End => self.end_ms,
        });
        Ok((0..grid.steps).map(|step| fixed.unwrap_or_else(|| grid.at(step)).saturating_sub(offset)).collect())
    }

    /// A column without a value, paid for.
    fn absent(&self, grid: Grid) -> Result<Column, QueryError> {
        self.budget.column(grid.steps)?;
        Ok(Column::absent(grid.steps))
    }
}

/// Whether an expression reads samples and always the same ones, whatever the step.
fn is_fixed(expr: &Expr) -> bool {
    fn look(expr: &Expr, reads: &mut bool) -> bool {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Bytes(_) => true,
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
                *reads = true;
                selector.shift.at.is_some()
            }
            ExprKind::Subquery(subquery) => {
                *reads = true;
                subquery.shift.at.is_some()
            }
            ExprKind::Call { function, args } => {
                let moves = matches!(
                    function.name,
                    "time"
                        | "timestamp"
                        | "predict_linear"
                        | "year"
                        | "month"
                        | "hour"
                        | "minute"
                        | "day_of_month"
                        | "day_of_week"
                        | "day_of_year"
                        | "days_in_month"
                        | "info"
                );
                !moves && args.iter().all(|arg| look(arg, reads))
            }
            ExprKind::Aggregate(aggregate) => {
                look(&aggregate.inner, reads) && aggregate.parameter.as_ref().is_none_or(|p| look(p, reads))
            }
            ExprKind::Binary(binary) => look(&binary.left, reads) && look(&binary.right, reads),
            ExprKind::Negate(inner) | ExprKind::Wrapped { inner, .. } => look(inner, reads),
        }
    }
    let mut reads = false;
    look(expr, &mut reads) && reads
}
