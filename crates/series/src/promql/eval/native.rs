//! Native histograms: sums and means of many, and functions of one.

use super::Evaluator;
use crate::histogram::{Histogram, HistogramSum, ResetHint};
use crate::promql::column::Line;
use crate::promql::error::QueryError;

/// A running sum or mean of histograms.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    running: Option<HistogramSum>,
    count: f64,
    /// The sum has overflowed, so the mean goes on incrementally.
    incremental: bool,
    resets: bool,
    no_resets: bool,
    pub(super) bounds_reconciled: bool,
    /// Custom and exponential buckets have met; there is no result.
    pub(super) incompatible: bool,
}

impl Sums {
    /// Adds one. For a mean, overflow of the sum is avoided.
    pub(super) fn add(&mut self, histogram: &Histogram, mean: bool) {
        self.resets |= histogram.hint == ResetHint::Reset;
        self.no_resets |= histogram.hint == ResetHint::NoReset;
        self.count += 1.0;
        if self.incompatible {
            return;
        }
        let Some(mut running) = self.running.take() else {
            self.running = Some(HistogramSum::new(histogram));
            return;
        };
        let added = if mean {
            self.add_to_mean(&mut running, histogram)
        } else {
            running.add(histogram).map(|c| c.bounds_reconciled)
        };
        match added {
            Ok(reconciled) => self.bounds_reconciled |= reconciled,
            Err(_) => self.incompatible = true,
        }
        self.running = Some(running);
    }

    fn add_to_mean(
        &mut self,
        running: &mut HistogramSum,
        histogram: &Histogram,
    ) -> Result<bool, crate::histogram::Incompatible> {
        if !self.incremental {
            let mut next = running.clone();
            let combined = next.add(histogram)?;
            if !next.has_overflow() {
                *running = next;
                return Ok(combined.bounds_reconciled);
            }
            self.incremental = true;
            running.divide(self.count - 1.0);
        }
        running.scale((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count);
        running.add(&part).map(|combined| combined.bounds_reconciled)
    }

    /// Some counters began anew here and others went on.
    pub(super) fn hints_collide(&self) -> bool {
        self.resets && self.no_resets
    }

    pub(super) fn finish(self, mean: bool) -> Option<Histogram> {
        if self.incompatible {
            return None;
        }
        let mut running = self.running?;
        if mean && !self.incremental && self.count > 1.0 {
            running.divide(self.count);
        }
        let mut total = running.total();
        total.compact();
        Some(total)
    }
}

impl Evaluator<'_> {
    /// A number of each histogram; floats have none.
    pub(super) fn of_histograms(
        &self,
        lines: Vec<Line>,
        run: impl Fn(&Histogram) -> f64,
    ) -> Result<Vec<Line>, QueryError> {
        let mut kept = Vec::new();
        for mut line in lines {
            let steps = line.column.len();
            self.budget.work(steps)?;
            let histograms = std::mem::take(&mut line.column.histograms);
            if histograms.is_empty() {
                continue;
            }
            line.column = crate::promql::column::Column::absent(steps);
            for (step, histogram) in histograms.iter().enumerate() {
                if let Some(histogram) = histogram {
                    line.column.set(step, run(histogram));
                }
            }
            line.drop_name = true;
            kept.push(line);
        }
        Ok(kept)
    }
}

/// The number that a function of that name takes from a histogram.
pub(super) fn of_histogram(name: &str) -> Option<fn(&Histogram) -> f64> {
    Some(match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stdvar" => Histogram::variance,
        "histogram_stddev" => |h| h.variance().sqrt(),
        _ => return None,
    })
}
