//! Operators between two vectors: which series of one side meets which of the other, found once for all steps.

use std::collections::HashMap;

use super::binary::Operand;
use super::groups::{Counting, Groups};
use super::{Evaluator, Grid};
use crate::labels::NAME;
use crate::promql::ast::{Binary, Cardinality, Span};
use crate::promql::column::{Column, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::metric::Metric;

/// The series of both sides that match each other. `many` is the left side, or the right one with `group_right`.
#[derive(Default)]
struct Met {
    many: Vec<Line>,
    one: Vec<Line>,
}

/// A result in the making.
struct Outcome {
    metric: Metric,
    drop_name: bool,
    column: Column,
    /// Steps at which a pair has met here, whatever came of it.
    met: Vec<bool>,
}

impl Evaluator<'_> {
    pub(super) fn vectors(
        &self,
        binary: &Binary,
        span: Span,
        left: Vec<Line>,
        right: Vec<Line>,
        grid: Grid,
    ) -> Result<Vec<Line>, QueryError> {
        let matching = &binary.matching;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (fill_many, fill_one) =
            if swapped { (matching.fill_right, matching.fill_left) } else { (matching.fill_left, matching.fill_right) };
        // A side without any sample at a step has no result there, and no contradiction either.
        let (any_many, any_one) = (presence(&many, grid), presence(&one, grid));
        let counting = Counting::matching(matching);
        let mut groups = Groups::new(counting);
        let mut met: Vec<Met> = Vec::new();
        for (line, is_many) in many.into_iter().map(|l| (l, true)).chain(one.into_iter().map(|l| (l, false))) {
            self.budget.work(8)?;
            let place = groups.place(&line.metric);
            if place == met.len() {
                met.push(Met::default());
            }
            if is_many { met[place].many.push(line) } else { met[place].one.push(line) }
        }
        let active: Vec<bool> = (0..grid.steps)
            .map(|step| (any_many[step] || fill_many.is_some()) && (any_one[step] || fill_one.is_some()))
            .collect();
        let mut lines = Vec::new();
        for (group, mut met) in met.into_iter().enumerate() {
            let filled = |value: Option<f64>, missing: &[Line]| -> Option<Line> {
                let present = presence(missing, grid);
                let mut column = Column::absent(grid.steps);
                let value = value?;
                (0..grid.steps).filter(|step| !present[*step]).for_each(|step| column.set(step, value));
                Some(Line { metric: groups.labels(group), drop_name: false, column })
            };
            // A filled side meets only what is really there, so both are made before either is added.
            let (extra_many, extra_one) = (filled(fill_many, &met.many), filled(fill_one, &met.one));
            let fills = (met.many.len(), met.one.len());
            met.many.extend(extra_many);
            met.one.extend(extra_one);
            lines.extend(self.meet(binary, span, &met, fills, &active, grid)?);
        }
        Ok(lines)
    }

    /// The results of one group of series.
    fn meet(
        &self,
        binary: &Binary,
        span: Span,
        met: &Met,
        (real_many, real_one): (usize, usize),
        active: &[bool],
        grid: Grid,
    ) -> Result<Vec<Line>, QueryError> {
        check_one(binary, &met.one, active)?;
        let swapped = binary.matching.cardinality == Cardinality::OneToMany;
        let single = binary.matching.cardinality == Cardinality::OneToOne;
        let mut results: Vec<Outcome> = Vec::new();
        let mut by_metric: HashMap<Metric, usize> = HashMap::new();
        let mut group_met = vec![false; if single { grid.steps } else { 0 }];
        for (many_place, many) in met.many.iter().enumerate() {
            for (one_place, one) in met.one.iter().enumerate() {
                if many_place >= real_many && one_place >= real_one {
                    continue;
                }
                self.budget.work(grid.steps)?;
                if !(0..grid.steps).any(|step| many.column.is_present(step) && one.column.is_present(step)) {
                    continue;
                }
                let metric = result_metric(binary, &many.metric, &one.metric);
                let place = match by_metric.get(&metric) {
                    Some(place) => *place,
                    None => {
                        let drop_name = many.drop_name || binary.as_bool || binary.op.drops_name();
                        let column = self.absent(grid)?;
                        let met = vec![false; grid.steps];
                        results.push(Outcome { metric: metric.clone(), drop_name, column, met });
                        by_metric.insert(metric, results.len() - 1);
                        results.len() - 1
                    }
                };
                let result = &mut results[place];
                for step in (0..grid.steps).filter(|step| active[*step]) {
                    let (Some(m), Some(o)) = (many.column.operand(step), one.column.operand(step)) else { continue };
                    let taken = if single { &mut group_met[step] } else { &mut result.met[step] };
                    if std::mem::replace(taken, true) {
                        return execution(if single {
                            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                        } else {
                            "multiple matches for labels: grouping labels must ensure unique matches"
                        });
                    }
                    let pair: (Operand<'_>, Operand<'_>) = if swapped { (o, m) } else { (m, o) };
                    result.column.set_cell(step, self.element(binary, span, pair, pair.0)?);
                }
            }
        }
        let found = results.into_iter().filter(|result| !result.column.is_empty());
        Ok(found.map(|r| Line { metric: r.metric, drop_name: r.drop_name, column: r.column }).collect())
    }
}

/// At which steps any of the series has a value.
pub(super) fn presence(lines: &[Line], grid: Grid) -> Vec<bool> {
    let mut present = vec![false; grid.steps];
    for line in lines {
        for (step, present) in present.iter_mut().enumerate() {
            *present = *present || line.column.is_present(step);
        }
    }
    present
}

/// Refuses two series on the side that must be unique.
fn check_one(binary: &Binary, one: &[Line], active: &[bool]) -> Result<(), QueryError> {
    if one.len() < 2 {
        return Ok(());
    }
    for step in (0..active.len()).filter(|step| active[*step]) {
        let mut present = one.iter().filter(|line| line.column.is_present(step));
        let (Some(first), Some(second)) = (present.next(), present.next()) else { continue };
        let matching = &binary.matching;
        let side = if matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let group = Counting::matching(matching).of(&first.metric);
        let (a, b) = if first.metric <= second.metric { (first, second) } else { (second, first) };
        return execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}]\
             ;many-to-many matching not allowed: matching labels must be unique on one side",
            a.metric, b.metric
        ));
    }
    Ok(())
}

/// The labels of a result.
fn result_metric(binary: &Binary, many: &Metric, one: &Metric) -> Metric {
    let matching = &binary.matching;
    let single = matching.cardinality == Cardinality::OneToOne;
    let keep = |name: &str| {
        let listed = || matching.labels.iter().any(|label| label == name);
        let dropped = (name == NAME && binary.op.drops_name()) || (single && listed() != matching.on);
        !dropped
    };
    let mut metric = many.filtered(keep);
    for label in &matching.include {
        metric = metric.with(label, one.get(label));
    }
    metric
}
