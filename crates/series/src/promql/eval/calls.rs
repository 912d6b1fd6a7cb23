//! Calls: which function does what with its arguments.

use super::native::of_histogram;
use super::over_time::{Counts, end_of, of_floats};
use super::rate::Change;
use super::select::Take;
use super::window::Windows;
use super::{Evaluated, Evaluator, Grid, Sink, dates, math};
use crate::labels::NAME;
use crate::matcher::MatchOp;
use crate::promql::annotation::Remark;
use crate::promql::ast::{Edges, Expr, ExprKind, Span, Type};
use crate::promql::column::{Cell, Column, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::functions::Function;
use crate::promql::metric::Metric;
use crate::promql::parse::quoted;

/// A string argument.
pub(super) fn text(expr: &Expr) -> Result<&str, QueryError> {
    match &expr.unwrapped().kind {
        ExprKind::Text(text) => Ok(text),
        ExprKind::Bytes(bytes) => execution(format!("invalid label name {}", quoted(bytes))),
        _ => execution("expected a string literal"),
    }
}

impl Evaluator<'_> {
    pub(super) fn call(
        &self,
        expr: &Expr,
        function: &'static Function,
        args: &[Expr],
        grid: Grid,
    ) -> Result<Evaluated, QueryError> {
        if function.result == Type::Scalar {
            return self.scalar_call(function.name, args, grid).map(Evaluated::Scalar);
        }
        let ranged = function.args.contains(&Type::Matrix);
        let lines = if ranged {
            self.range_call(function, args, grid, None)?
        } else {
            self.vector_call(expr, function.name, args, grid)?
        };
        Ok(Evaluated::Lines(lines))
    }

    fn scalar_call(&self, name: &str, args: &[Expr], grid: Grid) -> Result<Vec<f64>, QueryError> {
        self.budget.column(grid.steps)?;
        let all = |ms: i64| Ok(vec![ms as f64 / 1000.0; grid.steps]);
        match name {
            "time" => Ok((0..grid.steps).map(|step| grid.at(step) as f64 / 1000.0).collect()),
            "start" => all(self.query.start_ms),
            "end" => all(self.end_ms),
            "step" => all(self.frame().step_ms),
            "range" => all(self.frame().range_ms),
            "pi" => Ok(vec![std::f64::consts::PI; grid.steps]),
            "scalar" => {
                let lines = self.lines(&args[0], grid)?;
                let only = |step: usize| {
                    let mut found = lines.iter().filter_map(|line| line.column.float(step));
                    match (found.next(), found.next()) {
                        (Some(value), None) => value,
                        _ => f64::NAN,
                    }
                };
                Ok((0..grid.steps).map(only).collect())
            }
            "min_of" | "max_of" => {
                let pick = if name == "min_of" { math::least } else { math::greatest };
                let (left, right) = (self.scalar(&args[0], grid)?, self.scalar(&args[1], grid)?);
                Ok(left.into_iter().zip(right).map(|(a, b)| pick(a, b)).collect())
            }
            other => execution(format!("unknown function {other:?}")),
        }
    }

    fn vector_call(&self, expr: &Expr, name: &'static str, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        if let Some(part) = dates::part(name) {
            return self.date_call(part, args, grid);
        }
        if let Some(run) = math::of_float(name) {
            return self.of_each(self.lines(&args[0], grid)?, |_, value| Some(run(value)));
        }
        if let Some(run) = of_histogram(name) {
            let totals = matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
            let lines = self.with_totals(totals, || self.lines(&args[0], grid))?;
            return self.of_histograms(lines, run);
        }
        match name {
            "vector" => {
                let column = Column::of(self.scalar(&args[0], grid)?);
                Ok(vec![Line { metric: Metric::default(), drop_name: false, column }])
            }
            "absent" => {
                let lines = self.lines(&args[0], grid)?;
                Ok(self.absent_line(&args[0], grid, |step| lines.iter().any(|l| l.column.is_present(step)))?)
            }
            "timestamp" => self.timestamp(&args[0], grid),
            "round" | "clamp" | "clamp_min" | "clamp_max" => self.bounded(name, args, grid),
            "label_replace" => self.label_replace(args, grid),
            "label_join" => self.label_join(args, grid),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sorted(name, expr.span, args, grid),
            "histogram_quantile" => self.histogram_quantile(args, grid),
            "histogram_quantiles" => self.histogram_quantiles(args, grid),
            "histogram_fraction" => self.histogram_fraction(args, grid),
            "info" => self.info(args, grid),
            other => execution(format!("unknown function {other:?}")),
        }
    }

    fn date_call(&self, part: fn(f64) -> f64, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        if let Some(arg) = args.first() {
            return self.of_each(self.lines(arg, grid)?, |_, value| Some(part(value)));
        }
        let times = self.scalar_call("time", &[], grid)?;
        let column = Column::of(times.into_iter().map(part).collect());
        Ok(vec![Line { metric: Metric::default(), drop_name: false, column }])
    }

    fn bounded(&self, name: &str, args: &[Expr], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let lines = self.lines(&args[0], grid)?;
        let others: Result<Vec<Vec<f64>>, _> = args[1..].iter().map(|arg| self.scalar(arg, grid)).collect();
        let others = others?;
        let other = |at: usize, step: usize| others[at][step];
        self.of_each(lines, |step, value| match name {
            "clamp_min" => Some(math::greatest(other(0, step), value)),
            "clamp_max" => Some(math::least(other(0, step), value)),
            "clamp" if other(1, step) < other(0, step) => None,
            "clamp" => Some(math::greatest(other(0, step), math::least(other(1, step), value))),
            _ => {
                // The inverse makes fewer rounding errors for fractions such as 0.1.
                let inverse = 1.0 / others.first().map_or(1.0, |to| to[step]);
                Some((value * inverse + 0.5).floor() / inverse)
            }
        })
    }

    fn timestamp(&self, arg: &Expr, grid: Grid) -> Result<Vec<Line>, QueryError> {
        if let ExprKind::Selector(selector) = &arg.unwrapped().kind {
            return self.select_as(selector, grid, Take::Time);
        }
        let mut lines = self.lines(arg, grid)?;
        for line in &mut lines {
            line.drop_name = true;
            for step in 0..grid.steps {
                if line.column.is_present(step) {
                    line.column.clear(step);
                    line.column.set(step, grid.at(step) as f64 / 1000.0);
                }
            }
        }
        Ok(lines)
    }

    /// 1 with the labels that the selector asks for, wherever nothing is there.
    fn absent_line(&self, arg: &Expr, grid: Grid, present: impl Fn(usize) -> bool) -> Result<Vec<Line>, QueryError> {
        let mut column = self.absent(grid)?;
        (0..grid.steps).filter(|step| !present(*step)).for_each(|step| column.set(step, 1.0));
        let line = Line { metric: wanted_labels(arg), drop_name: false, column };
        Ok(if line.column.is_empty() { Vec::new() } else { vec![line] })
    }

    /// The series that a function of a range makes: into the sink, if there is one, else into the result.
    pub(super) fn range_call<'e>(
        &self,
        function: &'static Function,
        args: &'e [Expr],
        grid: Grid,
        sink: Option<&'e mut Sink<'e>>,
    ) -> Result<Vec<Line>, QueryError> {
        let name = function.name;
        let place = function.args.iter().position(|arg| *arg == Type::Matrix).unwrap_or_default();
        let of_counters = matches!(name, "rate" | "increase");
        let windows = Windows { of_counters, sink, ..self.windows(&args[place], grid, Some(name))? };
        check_edges(name, windows.edges)?;
        if let Some(run) = of_floats(name) {
            return self.over_floats(windows, run);
        }
        let change = |counter, per_second| Change { counter, per_second };
        let scalar = |at: usize| self.scalar(&args[at], grid);
        match name {
            "rate" => self.change(windows, change(true, true)),
            "increase" => self.change(windows, change(true, false)),
            "delta" => self.change(windows, change(false, false)),
            "irate" => self.last_change(windows, change(true, true)),
            "idelta" => self.last_change(windows, change(false, false)),
            "sum_over_time" => self.total_over_time(windows, false),
            "avg_over_time" => self.total_over_time(windows, true),
            "count_over_time" => {
                self.slide(windows, true, |w| Ok(Cell::Float((w.floats.len() + w.histograms.len()) as f64)))
            }
            "present_over_time" => self.slide(windows, true, |_| Ok(Cell::Float(1.0))),
            "absent_over_time" => {
                let found = self.slide(windows, true, |_| Ok(Cell::Float(1.0)))?;
                self.absent_line(&args[0], grid, |step| found.iter().any(|l| l.column.is_present(step)))
            }
            "first_over_time" => self.slide(windows, false, |w| Ok(end_of(w, false, false))),
            "last_over_time" => self.slide(windows, false, |w| Ok(end_of(w, true, false))),
            "ts_of_first_over_time" => self.slide(windows, true, |w| Ok(end_of(w, false, true))),
            "ts_of_last_over_time" => self.slide(windows, true, |w| Ok(end_of(w, true, true))),
            "changes" => self.count_steps(windows, Counts::Changes),
            "resets" => self.count_steps(windows, Counts::Resets),
            "quantile_over_time" => self.quantile_over_time(windows, &scalar(0)?, args[0].span),
            "deriv" => self.deriv(windows),
            "predict_linear" => self.predict_linear(windows, &scalar(1)?),
            "double_exponential_smoothing" => self.smoothing(windows, &scalar(1)?, &scalar(2)?),
            other => execution(format!("unknown function {other:?}")),
        }
    }
}

impl Evaluator<'_> {
    /// Says so when the name of a series of floats is not that of a counter.
    pub(super) fn check_counter_name(&self, name: &str, span: Span) {
        let known = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
        if !name.is_empty() && !known {
            self.remark(span, &Remark::NotCounterName(name.to_owned()));
        }
    }
}

/// Whether a function makes its series one by one from those of a range.
pub(super) fn is_series_by_series(function: &Function) -> bool {
    function.result == Type::Vector && function.args.contains(&Type::Matrix) && function.name != "absent_over_time"
}

/// `anchored` and `smoothed` change what a window holds, which only some functions can make sense of.
fn check_edges(name: &str, edges: Edges) -> Result<(), QueryError> {
    let (word, allowed): (&str, &[&str]) = match edges {
        Edges::Plain => return Ok(()),
        Edges::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        Edges::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if allowed.contains(&name) {
        return Ok(());
    }
    execution(format!("{word} modifier can only be used with: {} - not with {name}", allowed.join(", ")))
}

/// The labels that a selector pins to one value each.
fn wanted_labels(arg: &Expr) -> Metric {
    let (ExprKind::Selector(selector) | ExprKind::Range { selector, .. }) = &arg.unwrapped().kind else {
        return Metric::default();
    };
    let matchers = selector.matchers.iter().filter(|m| m.name() != NAME);
    let pinned = |name: &str| {
        let mut of_label = matchers.clone().filter(|m| m.name() == name);
        let first = of_label.next().filter(|m| m.op() == MatchOp::Eq)?;
        of_label.next().is_none().then(|| first.value().to_owned())
    };
    Metric::new(matchers.clone().filter_map(|m| Some((m.name().to_owned(), pinned(m.name())?))))
}
