//! Aggregations that need no more of a series than to have seen it: each series goes into the running columns of its group as
//! soon as it is there, and is forgotten. Histograms are rarer, and kept until the end.

use super::aggregate::{Group, Spread};
use super::groups::{Counting, Groups};
use super::{Evaluator, Grid};
use crate::labels::is_stale;
use crate::promql::ast::{Aggregate, AggregateOp};
use crate::promql::column::{Column, Line};
use crate::promql::error::QueryError;
use crate::promql::kahan::{Kahan, Mean};

/// What becomes of the floats of a group at one step.
trait Running: Copy {
    /// The first float.
    fn first(value: f64) -> Self;
    /// A further one.
    fn add(&mut self, value: f64);
    /// A histogram, which most leave aside here.
    fn histogram(running: Option<Self>) -> Option<Self> {
        running
    }
    /// The result.
    fn end(self) -> f64;
}

/// A group while its series go by.
struct Passing<R> {
    steps: Vec<Option<R>>,
    group: Group,
}

impl Evaluator<'_> {
    /// The aggregation in one pass over its series; none when it needs all of them at once.
    pub(super) fn fold(&self, aggregate: &Aggregate, grid: Grid) -> Option<Result<Vec<Line>, QueryError>> {
        Some(match aggregate.op {
            AggregateOp::Sum => self.fold_as::<Sum>(aggregate, grid),
            AggregateOp::Avg => self.fold_as::<Mean>(aggregate, grid),
            AggregateOp::Min => self.fold_as::<Min>(aggregate, grid),
            AggregateOp::Max => self.fold_as::<Max>(aggregate, grid),
            AggregateOp::Stdvar => self.fold_as::<Variance>(aggregate, grid),
            AggregateOp::Stddev => self.fold_as::<Deviation>(aggregate, grid),
            AggregateOp::Count => self.fold_as::<Count>(aggregate, grid),
            AggregateOp::Group => self.fold_as::<One>(aggregate, grid),
            _ => return None,
        })
    }

    fn fold_as<R: Running>(&self, aggregate: &Aggregate, grid: Grid) -> Result<Vec<Line>, QueryError> {
        let mut places = Groups::new(Counting::grouping(&aggregate.grouping));
        let mut groups: Vec<Passing<R>> = Vec::new();
        self.lines_each(&aggregate.inner, grid, &mut |line| {
            self.budget.work(8 + grid.steps)?;
            let place = places.place(&line.metric);
            if place == groups.len() {
                self.budget.take(0, size_of::<Option<R>>() * grid.steps)?;
                let group = Group { metric: places.labels(place), drop_name: false, members: Vec::new() };
                groups.push(Passing { steps: vec![None; grid.steps], group });
            }
            let running = &mut groups[place];
            running.group.drop_name |= line.drop_name;
            running.take(&line.column);
            if !line.column.histograms.is_empty() {
                running.group.members.push(line);
            }
            Ok(())
        })?;
        let mut found = Vec::new();
        for Passing { steps, group } in groups {
            let mut column = self.absent(grid)?;
            for (step, running) in steps.into_iter().enumerate() {
                if let Some(running) = running {
                    column.set(step, running.end());
                }
            }
            self.fold_histograms(aggregate, &group, &mut column)?;
            if !column.is_empty() {
                found.push(Line { metric: group.metric, drop_name: group.drop_name, column });
            }
        }
        Ok(found)
    }

    fn fold_histograms(&self, aggregate: &Aggregate, group: &Group, column: &mut Column) -> Result<(), QueryError> {
        let span = aggregate.inner.span;
        match aggregate.op {
            AggregateOp::Sum | AggregateOp::Avg => {
                self.combine_histograms(aggregate.op == AggregateOp::Avg, group, column, span)
            }
            AggregateOp::Count | AggregateOp::Group => Ok(()),
            op => {
                self.histograms_ignored(group, op, span);
                Ok(())
            }
        }
    }
}

impl<R: Running> Passing<R> {
    fn take(&mut self, column: &Column) {
        for (value, running) in column.floats.iter().zip(&mut self.steps) {
            if is_stale(*value) {
                continue;
            }
            match running {
                Some(running) => running.add(*value),
                None => *running = Some(R::first(*value)),
            }
        }
        for (histogram, running) in column.histograms.iter().zip(&mut self.steps) {
            if histogram.is_some() {
                *running = R::histogram(*running);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Sum(Kahan);

impl Running for Sum {
    fn first(value: f64) -> Self {
        Self(Kahan { sum: value, lost: 0.0 })
    }
    #[inline]
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn end(self) -> f64 {
        self.0.total()
    }
}

impl Running for Mean {
    fn first(value: f64) -> Self {
        Self::new(value)
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn end(self) -> f64 {
        self.value()
    }
}

#[derive(Clone, Copy)]
struct Min(f64);

impl Running for Min {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn end(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Max(f64);

impl Running for Max {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn end(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Variance(Spread);

impl Running for Variance {
    fn first(value: f64) -> Self {
        Self(Spread::new(value))
    }
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn end(self) -> f64 {
        self.0.variance()
    }
}

#[derive(Clone, Copy)]
struct Deviation(Spread);

impl Running for Deviation {
    fn first(value: f64) -> Self {
        Self(Spread::new(value))
    }
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn end(self) -> f64 {
        self.0.variance().sqrt()
    }
}

#[derive(Clone, Copy)]
struct Count(f64);

impl Running for Count {
    fn first(_: f64) -> Self {
        Self(1.0)
    }
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }
    fn histogram(running: Option<Self>) -> Option<Self> {
        Some(Self(running.map_or(0.0, |count| count.0) + 1.0))
    }
    fn end(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct One;

impl Running for One {
    fn first(_: f64) -> Self {
        Self
    }
    fn add(&mut self, _: f64) {}
    fn histogram(_: Option<Self>) -> Option<Self> {
        Some(Self)
    }
    fn end(self) -> f64 {
        1.0
    }
}
