//! Aggregations that make one series of each group: all members run into the group's columns, one after the other.

use std::sync::Arc;

use super::groups::{Counting, Groups};
use super::native::Sums;
use super::over_time::quantile;
use super::{Evaluator, Grid};
use crate::promql::annotation::Remark;
use crate::promql::ast::{Aggregate, AggregateOp, Expr, Span};
use crate::promql::column::{Column, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::kahan::{Kahan, Mean};
use crate::promql::metric::Metric;

/// The series of one group.
pub(super) struct Group {
    pub(super) metric: Metric,
    /// One of them has a name that no longer fits.
    pub(super) drop_name: bool,
    pub(super) members: Vec<Line>,
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate, grid: Grid) -> Result<Vec<Line>, QueryError> {
        let parameter = |expr: &Option<Expr>| match expr {
            Some(expr) => self.scalar(expr, grid),
            None => execution(format!("{} needs a parameter", aggregate.op.name())),
        };
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                let parameter = parameter(&aggregate.parameter)?;
                self.pick(aggregate, &parameter, grid)
            }
            AggregateOp::CountValues => self.count_values(aggregate, grid),
            AggregateOp::Quantile => {
                let q = parameter(&aggregate.parameter)?;
                let place = aggregate.parameter.as_ref().map_or(aggregate.inner.span, |p| p.span);
                self.each_group(aggregate, grid, |group, column| self.quantiles_of(group, column, &q, aggregate, place))
            }
            op => self.each_group(aggregate, grid, |group, column| self.combine(op, group, column, aggregate)),
        }
    }

    pub(super) fn groups_of(&self, aggregate: &Aggregate, lines: Vec<Line>) -> Result<Vec<Group>, QueryError> {
        let mut places = Groups::new(Counting::grouping(&aggregate.grouping));
        let mut groups: Vec<Group> = Vec::new();
        for line in lines {
            self.budget.work(8)?;
            let place = places.place(&line.metric);
            if place == groups.len() {
                groups.push(Group { metric: places.labels(place), drop_name: false, members: Vec::new() });
            }
            groups[place].drop_name |= line.drop_name;
            groups[place].members.push(line);
        }
        Ok(groups)
    }

    fn each_group(
        &self,
        aggregate: &Aggregate,
        grid: Grid,
        run: impl Fn(&Group, &mut Column) -> Result<(), QueryError>,
    ) -> Result<Vec<Line>, QueryError> {
        let lines = self.lines(&aggregate.inner, grid)?;
        let mut found = Vec::new();
        for group in self.groups_of(aggregate, lines)? {
            let mut column = self.absent(grid)?;
            run(&group, &mut column)?;
            if !column.is_empty() {
                found.push(Line { metric: group.metric, drop_name: group.drop_name, column });
            }
        }
        Ok(found)
    }

    fn combine(
        &self,
        op: AggregateOp,
        group: &Group,
        column: &mut Column,
        aggregate: &Aggregate,
    ) -> Result<(), QueryError> {
        let whole_histograms =
            matches!(op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Count | AggregateOp::Group);
        if !whole_histograms {
            self.histograms_ignored(group, op, aggregate.inner.span);
        }
        match op {
            AggregateOp::Sum => self.run(group, column, |v| Kahan { sum: v, lost: 0.0 }, Kahan::add, Kahan::total)?,
            AggregateOp::Avg => self.run(group, column, Mean::new, Mean::add, Mean::value)?,
            AggregateOp::Min => self.run(
                group,
                column,
                |v| v,
                |best, v| {
                    if v < *best || best.is_nan() {
                        *best = v
                    }
                },
                |v| v,
            )?,
            AggregateOp::Max => self.run(
                group,
                column,
                |v| v,
                |best, v| {
                    if v > *best || best.is_nan() {
                        *best = v
                    }
                },
                |v| v,
            )?,
            AggregateOp::Stdvar => self.run(group, column, Spread::new, Spread::add, Spread::variance)?,
            AggregateOp::Stddev => self.run(group, column, Spread::new, Spread::add, |s| s.variance().sqrt())?,
            AggregateOp::Count | AggregateOp::Group => {
                for step in 0..column.len() {
                    self.budget.work(group.members.len())?;
                    let present = group.members.iter().filter(|line| line.column.is_present(step)).count();
                    let value = if op == AggregateOp::Count { present as f64 } else { 1.0 };
                    if present > 0 {
                        column.set(step, value);
                    }
                }
            }
            other => return execution(format!("{} does not combine series", other.name())),
        }
        if matches!(op, AggregateOp::Sum | AggregateOp::Avg) {
            self.combine_histograms(op == AggregateOp::Avg, group, column, aggregate.inner.span)?;
        }
        Ok(())
    }

    /// Runs all floats of a group through an accumulator a step, series by series.
    fn run<A: Clone>(
        &self,
        group: &Group,
        column: &mut Column,
        first: impl Fn(f64) -> A,
        add: impl Fn(&mut A, f64),
        finish: impl Fn(A) -> f64,
    ) -> Result<(), QueryError> {
        let mut running: Vec<Option<A>> = vec![None; column.len()];
        self.budget.take(0, size_of::<Option<A>>() * column.len())?;
        for line in &group.members {
            self.budget.work(column.len())?;
            for (value, running) in line.column.floats.iter().zip(&mut running) {
                if crate::labels::is_stale(*value) {
                    continue;
                }
                match running {
                    Some(running) => add(running, *value),
                    None => *running = Some(first(*value)),
                }
            }
        }
        for (step, running) in running.into_iter().enumerate() {
            if let Some(running) = running {
                column.set(step, finish(running));
            }
        }
        Ok(())
    }

    /// Adds up the histograms of a group. A step with floats too has no result.
    fn combine_histograms(&self, mean: bool, group: &Group, column: &mut Column, span: Span) -> Result<(), QueryError> {
        if group.members.iter().all(|line| line.column.histograms.is_empty()) {
            return Ok(());
        }
        for step in 0..column.len() {
            self.budget.work(8 * group.members.len())?;
            let mut sums = Sums::default();
            let mut any = None;
            for (line, histogram) in group.members.iter().filter_map(|l| Some((l, l.column.histogram(step)?))) {
                any = Some(line);
                sums.add(histogram, mean);
            }
            let Some(line) = any else { continue };
            if column.float(step).is_some() {
                self.remark(span, &Remark::MixedFloatsHistogramsInAggregation);
                column.clear(step);
                continue;
            }
            if sums.incompatible {
                self.remark(span, &Remark::MixedSchemas(line.metric.name().to_owned()));
                continue;
            }
            self.remark_sums(&sums, span);
            if let Some(total) = sums.finish(mean) {
                self.budget.take(1, total.size())?;
                column.set_histogram(step, Arc::new(total));
            }
        }
        Ok(())
    }

    pub(super) fn histograms_ignored(&self, group: &Group, op: AggregateOp, span: Span) {
        if group.members.iter().any(|line| line.column.histograms.iter().any(Option::is_some)) {
            self.remark(span, &Remark::IgnoredInAggregation(op.name()));
        }
    }

    fn quantiles_of(
        &self,
        group: &Group,
        column: &mut Column,
        q: &[f64],
        aggregate: &Aggregate,
        place: Span,
    ) -> Result<(), QueryError> {
        self.histograms_ignored(group, AggregateOp::Quantile, aggregate.inner.span);
        let mut values = Vec::with_capacity(group.members.len());
        for (step, q) in q.iter().enumerate() {
            self.budget.work(group.members.len())?;
            if !(0.0..=1.0).contains(q) {
                self.remark(place, &Remark::BadQuantile(*q));
            }
            values.clear();
            values.extend(group.members.iter().filter_map(|line| line.column.float(step)));
            if !values.is_empty() {
                column.set(step, quantile(*q, &mut values));
            }
        }
        Ok(())
    }
}

/// A running variance.
#[derive(Clone, Copy)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn new(first: f64) -> Self {
        // An infinite value has no distance to itself.
        let squares = if first.is_finite() { 0.0 } else { f64::NAN };
        Self { count: 1.0, mean: first, squares }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let away = value - self.mean;
        self.mean += away / self.count;
        self.squares += away * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / self.count
    }
}
