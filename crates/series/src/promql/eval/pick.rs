//! Aggregations that choose among series or their values: `topk`, `limitk`, `limit_ratio`, `count_values`.

use std::cmp::Ordering;
use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3;

use super::aggregate::Group;
use super::calls::text;
use super::groups::Counting;
use super::sorting::by_value;
use super::{Evaluator, Grid};
use crate::promql::annotation::Remark;
use crate::promql::ast::{Aggregate, AggregateOp};
use crate::promql::column::{Cell, Column, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::metric::Metric;
use crate::promql::value::plain_float;

impl Evaluator<'_> {
    pub(super) fn pick(&self, aggregate: &Aggregate, parameter: &[f64], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let op = aggregate.op;
        let ratio = op == AggregateOp::LimitRatio;
        if parameter.iter().any(|value| value.is_nan()) {
            return execution(if ratio { "Ratio value is NaN" } else { "Parameter value is NaN" });
        }
        let parameter: Vec<f64> =
            parameter.iter().map(|value| if ratio { self.capped(*value, aggregate) } else { *value }).collect();
        if !ratio && let Some(value) = parameter.iter().find(|value| **value >= i64::MAX as f64) {
            return execution(format!("Scalar value {} overflows int64", plain_float(*value)));
        }
        let lines = self.lines(&aggregate.inner, grid)?;
        let mut picked = Vec::new();
        for group in self.groups_of(aggregate, lines)? {
            if matches!(op, AggregateOp::Topk | AggregateOp::Bottomk) {
                self.histograms_ignored(&group, op, aggregate.inner.span);
            }
            picked.extend(self.pick_in(op, group, &parameter, grid)?);
        }
        Ok(picked)
    }

    fn capped(&self, ratio: f64, aggregate: &Aggregate) -> f64 {
        let used = ratio.clamp(-1.0, 1.0);
        if used != ratio {
            let place = aggregate.parameter.as_ref().map_or(aggregate.inner.span, |p| p.span);
            self.remark(place, &Remark::BadRatio { given: ratio, used });
        }
        used
    }

    fn pick_in(&self, op: AggregateOp, group: Group, parameter: &[f64], grid: Grid) -> Result<Vec<Line>, QueryError> {
        let members = group.members;
        let shares: Vec<f64> =
            if op == AggregateOp::LimitRatio { members.iter().map(share).collect() } else { Vec::new() };
        let mut kept: Vec<Option<Column>> = vec![None; members.len()];
        // The order in which an instant query lists them.
        let mut order: Vec<usize> = (0..members.len()).collect();
        for (step, parameter) in parameter.iter().enumerate() {
            self.budget.work(members.len())?;
            let chosen = choose(op, &members, &shares, *parameter, step);
            for place in &chosen {
                let column = match &mut kept[*place] {
                    Some(column) => column,
                    none => none.insert(self.absent(grid)?),
                };
                column.set_cell(step, members[*place].column.cell(step));
            }
            if grid.steps == 1 {
                order = chosen;
            }
        }
        let mut lines = Vec::new();
        for place in order {
            if let Some(column) = kept[place].take() {
                lines.push(Line { column, ..members[place].clone() });
            }
        }
        Ok(lines)
    }

    pub(super) fn count_values(&self, aggregate: &Aggregate, grid: Grid) -> Result<Vec<Line>, QueryError> {
        let label = aggregate.parameter.as_ref().map_or(Ok(""), text)?;
        if label.is_empty() {
            return execution("invalid label name \"\"");
        }
        let counting = Counting::grouping(&aggregate.grouping);
        let mut counts: HashMap<Metric, (Column, bool)> = HashMap::new();
        for line in self.lines(&aggregate.inner, grid)? {
            self.budget.work(grid.steps)?;
            let metric = counting.of(&line.metric);
            for step in 0..grid.steps {
                let value = match line.column.cell(step) {
                    Cell::Absent => continue,
                    Cell::Float(value) => plain_float(value),
                    Cell::Histogram(histogram) => histogram.to_string(),
                };
                let (column, drop_name) = match counts.entry(metric.with(label, &value)) {
                    std::collections::hash_map::Entry::Occupied(found) => found.into_mut(),
                    std::collections::hash_map::Entry::Vacant(none) => none.insert((self.absent(grid)?, false)),
                };
                *drop_name |= line.drop_name;
                let count = column.float(step).unwrap_or(0.0);
                column.set(step, count + 1.0);
            }
        }
        let mut lines: Vec<Line> =
            counts.into_iter().map(|(metric, (column, drop_name))| Line { metric, drop_name, column }).collect();
        lines.sort_by(|a, b| a.metric.cmp(&b.metric));
        Ok(lines)
    }
}

/// Where a series stands between 0 and 1, always the same for the same labels.
fn share(line: &Line) -> f64 {
    let mut hasher = Xxh3::new();
    line.metric.feed(|_| true, &mut hasher);
    hasher.digest() as f64 / u64::MAX as f64
}

/// The places of the series chosen at a step, in the order in which they are listed.
fn choose(op: AggregateOp, members: &[Line], shares: &[f64], parameter: f64, step: usize) -> Vec<usize> {
    let present = (0..members.len()).filter(|place| members[*place].column.is_present(step));
    if op == AggregateOp::LimitRatio {
        let wanted = |share: f64| if parameter >= 0.0 { share < parameter } else { share >= 1.0 + parameter };
        return present.filter(|place| wanted(shares[*place])).collect();
    }
    if parameter < 1.0 {
        return Vec::new();
    }
    let most = parameter.min(members.len() as f64) as usize;
    if op == AggregateOp::Limitk {
        return present.take(most).collect();
    }
    let descending = op == AggregateOp::Topk;
    let mut floats: Vec<(usize, f64)> =
        present.filter_map(|place| Some((place, members[place].column.float(step)?))).collect();
    let order = |a: &(usize, f64), b: &(usize, f64)| -> Ordering { by_value(a.1, b.1, descending).then(a.0.cmp(&b.0)) };
    if most < floats.len() {
        floats.select_nth_unstable_by(most - 1, order);
        floats.truncate(most);
    }
    floats.sort_by(order);
    floats.into_iter().map(|(place, _)| place).collect()
}
