//! `and`, `or`, `unless`: which series stay. No value is changed.

use super::Evaluator;
use super::groups::{Counting, Groups};
use crate::promql::ast::{Binary, BinaryOp};
use crate::promql::column::Line;
use crate::promql::error::QueryError;

impl Evaluator<'_> {
    pub(super) fn sets(&self, binary: &Binary, left: Vec<Line>, right: Vec<Line>) -> Result<Vec<Line>, QueryError> {
        let counting = Counting::matching(&binary.matching);
        match binary.op {
            BinaryOp::Or => {
                let present = self.present(&left, counting)?;
                let right = self.keep(right, &present, Keep::WhereAbsent)?;
                Ok(left.into_iter().chain(right).collect())
            }
            op => {
                let present = self.present(&right, counting)?;
                self.keep(left, &present, if op == BinaryOp::And { Keep::WherePresent } else { Keep::WhereAbsent })
            }
        }
    }

    /// At which steps each group of series has a value.
    fn present<'m>(&self, lines: &[Line], counting: Counting<'m>) -> Result<Present<'m>, QueryError> {
        let mut present = Present { groups: Groups::new(counting), steps: Vec::new() };
        for line in lines {
            let place = present.groups.place(&line.metric);
            let steps = line.column.len();
            self.budget.work(steps)?;
            if place == present.steps.len() {
                self.budget.take(0, steps)?;
                present.steps.push(vec![false; steps]);
            }
            for (step, there) in present.steps[place].iter_mut().enumerate() {
                *there = *there || line.column.is_present(step);
            }
        }
        Ok(present)
    }

    fn keep(&self, lines: Vec<Line>, present: &Present<'_>, keep: Keep) -> Result<Vec<Line>, QueryError> {
        let mut kept = Vec::with_capacity(lines.len());
        for mut line in lines {
            let steps = line.column.len();
            self.budget.work(steps)?;
            let there = present.groups.find(&line.metric).map(|group| &present.steps[group]);
            for step in 0..steps {
                if there.is_some_and(|there| there[step]) != (keep == Keep::WherePresent) {
                    line.column.clear(step);
                }
            }
            if !line.column.is_empty() {
                kept.push(line);
            }
        }
        Ok(kept)
    }
}

struct Present<'m> {
    groups: Groups<'m>,
    steps: Vec<Vec<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    WherePresent,
    WhereAbsent,
}
