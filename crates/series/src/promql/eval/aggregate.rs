//! Aggregations: which there are, the groups of series, and what needs all members of a group at once.

use std::sync::Arc;

use super::groups::{Counting, Groups};
use super::native::Sums;
use super::over_time::quantile;
use super::{Evaluator, Grid};
use crate::promql::annotation::Remark;
use crate::promql::ast::{Aggregate, AggregateOp, Expr, Span};
use crate::promql::column::{Column, Line};
use crate::promql::error::{QueryError, execution};
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
            other => match self.fold(aggregate, grid) {
                Some(folded) => folded,
                None => execution(format!("{} does not combine series", other.name())),
            },
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

    /// Adds up the histograms of a group. A step with floats too has no result.
    pub(super) fn combine_histograms(
        &self,
        mean: bool,
        group: &Group,
        column: &mut Column,
        span: Span,
    ) -> Result<(), QueryError> {
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
pub(super) struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    pub(super) fn new(first: f64) -> Self {
        // An infinite value has no distance to itself.
        let squares = if first.is_finite() { 0.0 } else { f64::NAN };
        Self { count: 1.0, mean: first, squares }
    }

    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let away = value - self.mean;
        self.mean += away / self.count;
        self.squares += away * (value - self.mean);
    }

    pub(super) fn variance(self) -> f64 {
        self.squares / self.count
    }
}
