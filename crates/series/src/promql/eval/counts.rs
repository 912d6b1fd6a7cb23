//! How many samples each step looks at, as Prometheus counts them: only when somebody wants to know.
//!
//! An instant selector looks at one sample of each series that it finds, a range function at all of its window, so a sample within
//! several windows counts for each of them. It must never change what a query answers.

use super::window::{Ends, Reach, Samples};
use super::{Evaluator, Grid};
use crate::histogram::Histogram;
use crate::promql::column::Column;

/// Bytes that a sample has: a histogram counts for as many samples as would take its room in Prometheus.
const SAMPLE: usize = 16;
/// Bytes of a histogram there, without its buckets, and with its time.
const BARE: usize = 176;

fn weight(histogram: &Histogram) -> u64 {
    let runs = |buckets: &[(i32, f64)]| buckets.chunk_by(|a, b| a.0.checked_add(1) == Some(b.0)).count();
    let eights = [&histogram.positive, &histogram.negative].map(|side| runs(side) + side.len()).iter().sum::<usize>();
    ((BARE + 8 * (eights + histogram.custom_bounds.len())) / SAMPLE) as u64
}

impl Evaluator<'_> {
    /// Tells whoever wants to know.
    pub(in crate::promql) fn tell_counts(&self) {
        if let Some(tally) = self.budget.tally() {
            tally.set(self.counts.borrow().clone());
        }
    }

    /// Counts one sample for each value of a column.
    pub(super) fn count_column(&self, column: &Column) {
        for (step, count) in self.counts.borrow_mut().iter_mut().enumerate() {
            match column.histogram(step) {
                Some(histogram) => *count += weight(histogram),
                None => *count += u64::from(column.float(step).is_some()),
            }
        }
    }

    /// Counts the samples in each window over a series.
    pub(super) fn count_windows(&self, samples: &Samples, ends: &Ends<'_>, extended: (i64, i64)) {
        let mut counts = self.counts.borrow_mut();
        let mut reach = Reach::default();
        for (count, end) in counts.iter_mut().zip(ends.ends) {
            reach.move_to(samples, (end.saturating_sub(ends.range_ms), *end), extended);
            let (floats, histograms) = reach.of(samples);
            *count += floats.len() as u64 + histograms.iter().map(|(_, h)| weight(h)).sum::<u64>();
        }
    }

    /// Counts the same for all steps.
    pub(super) fn count_for_all(&self, samples: u64) {
        self.counts.borrow_mut().iter_mut().for_each(|count| *count += samples);
    }

    /// Evaluates something on a grid of its own, and says how many samples that looked at: none when nobody wants to know.
    pub(super) fn counted_apart<T>(&self, grid: Grid, run: impl FnOnce() -> T) -> (T, u64) {
        let is_wanted = !self.counts.borrow().is_empty();
        let own = if is_wanted { vec![0; grid.steps] } else { Vec::new() };
        let before = self.counts.replace(own);
        let done = run();
        (done, self.counts.replace(before).iter().sum())
    }
}
