//! One series over all steps of an evaluation: a column of floats, and of histograms if it has any.

use std::sync::Arc;

use super::metric::Metric;
use crate::histogram::Histogram;
use crate::labels::{is_stale, stale_marker};

/// The values of a series, one a step. A step without a value holds the stale marker, which no computation can produce
/// and no selection lets through.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) floats: Vec<f64>,
    /// Empty when there is no histogram in any step. A step with a histogram has no float.
    pub(super) histograms: Vec<Option<Arc<Histogram>>>,
}

/// What one step holds.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Absent,
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Column {
    /// A column without a value.
    pub(super) fn absent(steps: usize) -> Self {
        Self { floats: vec![stale_marker(); steps], histograms: Vec::new() }
    }

    pub(super) fn of(floats: Vec<f64>) -> Self {
        Self { floats, histograms: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.floats.len()
    }

    /// The float of a step, if it has one.
    #[inline]
    pub(super) fn float(&self, step: usize) -> Option<f64> {
        let value = self.floats[step];
        (!is_stale(value)).then_some(value)
    }

    /// The histogram of a step, if it has one.
    #[inline]
    pub(super) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step)?.as_ref()
    }

    pub(super) fn is_present(&self, step: usize) -> bool {
        !is_stale(self.floats[step]) || self.histogram(step).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        !(0..self.len()).any(|step| self.is_present(step))
    }

    pub(super) fn cell(&self, step: usize) -> Cell {
        match (self.float(step), self.histogram(step)) {
            (Some(value), _) => Cell::Float(value),
            (None, Some(histogram)) => Cell::Histogram(histogram.clone()),
            (None, None) => Cell::Absent,
        }
    }

    #[inline]
    pub(super) fn set(&mut self, step: usize, value: f64) {
        self.floats[step] = value;
    }

    pub(super) fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.floats.len()];
        }
        self.histograms[step] = Some(histogram);
    }

    pub(super) fn set_cell(&mut self, step: usize, cell: Cell) {
        match cell {
            Cell::Absent => self.clear(step),
            Cell::Float(value) => self.set(step, value),
            Cell::Histogram(histogram) => self.set_histogram(step, histogram),
        }
    }

    pub(super) fn clear(&mut self, step: usize) {
        self.floats[step] = stale_marker();
        if let Some(histogram) = self.histograms.get_mut(step) {
            *histogram = None;
        }
    }

    /// One step repeated.
    pub(super) fn repeated(&self, steps: usize) -> Self {
        let floats = vec![self.floats[0]; steps];
        let histograms = if self.histograms.is_empty() { Vec::new() } else { vec![self.histograms[0].clone(); steps] };
        Self { floats, histograms }
    }
}

/// A series during evaluation.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) metric: Metric,
    /// The name no longer fits; it is dropped at the end, so that until then it can tell series apart and be rescued.
    pub(super) drop_name: bool,
    pub(super) column: Column,
}
