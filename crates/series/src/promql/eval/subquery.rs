//! Subqueries: an expression evaluated on its own grid, whose values are then the samples of a range.

use std::sync::Arc;

use super::window::{Feed, Samples, Windows};
use super::{Evaluator, Grid};
use crate::histogram::ResetHint;
use crate::promql::ast::{Edges, Span, Subquery};
use crate::promql::column::{Cell, Line};
use crate::promql::error::{QueryError, execution};

impl Evaluator<'_> {
    pub(super) fn subquery<'e>(
        &self,
        subquery: &'e Subquery,
        span: Span,
        grid: Grid,
    ) -> Result<Windows<'e>, QueryError> {
        let range_ms = subquery.range.resolve(self.frame())?;
        let step_ms = match &subquery.step {
            Some(step) => step.resolve(self.frame())?,
            None => self.settings.subquery_step_ms,
        };
        if range_ms <= 0 || step_ms <= 0 {
            return execution("duration must be greater than 0");
        }
        let ends = self.moments(&subquery.shift, grid)?;
        let (Some(first), Some(last)) = (ends.first().copied(), ends.last().copied()) else {
            return execution("a query without steps");
        };
        // Steps stand at multiples of the step, so that overlapping subqueries read the same moments.
        let before = first.saturating_sub(range_ms);
        let start_ms = before.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let steps = if last < start_ms { 0 } else { start_ms.abs_diff(last) / step_ms.unsigned_abs() + 1 };
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        let inner = Grid { start_ms, step_ms, steps };
        let (mut series, mut looked_at) = (Vec::new(), 0);
        if steps > 0 {
            self.budget.column(steps)?;
            let lines;
            (lines, looked_at) =
                self.counted_apart(inner, || self.with_totals(false, || self.lines(&subquery.inner, inner)));
            for line in lines? {
                self.budget.work(steps)?;
                series.push(samples(line, inner));
            }
        }
        let (feed, edges) = (Feed::Ready(series, looked_at), Edges::Plain);
        Ok(Windows { feed, ends, range_ms, grid, edges, span, of_counters: false, sink: None })
    }
}

fn samples(line: Line, grid: Grid) -> Samples {
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for step in 0..grid.steps {
        match line.column.cell(step) {
            Cell::Absent => {}
            Cell::Float(value) => floats.push((grid.at(step), value)),
            Cell::Histogram(mut histogram) => {
                // The hint is about another histogram than the one that is now before it.
                if matches!(histogram.hint, ResetHint::Reset | ResetHint::NoReset) {
                    Arc::make_mut(&mut histogram).hint = ResetHint::Unknown;
                }
                histograms.push((grid.at(step), histogram));
            }
        }
    }
    Samples { made: None, metric: line.metric, drop_name: line.drop_name, floats, histograms }
}
