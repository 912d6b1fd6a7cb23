//! What a body of any format holds, as one value: series by their key, points, and what goes with them.
//!
//! Labels stay bytes. For remote write they are slices of the decompressed body itself, so a series that the engine knows
//! costs no allocation. Nothing here decides whether a sample is taken.

use std::sync::Arc;

use serde::Serialize;

use super::roster::Roster;
use super::{FormatError, Limits, within};
use crate::chunk::Point;
use crate::histogram::Histogram;
use crate::key;
use crate::labels::{Labels, LabelsError};

/// Lines that a line protocol lists one by one; more are only counted.
const LISTED_LINES: usize = 100;

/// Samples of many series, as decoded.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Where the keys are slices of, unless there is a roster.
    pub(crate) text: Vec<u8>,
    /// Where they are then.
    pub(crate) roster: Option<Arc<Roster>>,
    pub(crate) series: Vec<Part>,
    pub(crate) points: Vec<Point>,
    /// Type, unit and help of metric families.
    pub metadata: Vec<Metadata>,
    /// Exemplars, with the series they belong to.
    pub exemplars: Vec<Exemplar>,
    /// Native histograms, with the series they belong to.
    pub histograms: Vec<HistogramPoint>,
    /// Lines that were left out, the first hundred; only line protocols have any.
    pub rejected: Vec<RejectedLine>,
    /// How many lines were left out.
    pub rejected_lines: usize,
    limits: Limits,
}

/// One series of a batch: where its key is, and where its points begin. They end where the next one's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) first: u32,
}

/// One series of a batch, as others than the engine read it.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPoints<'a> {
    /// Who it is, or why it cannot be named so.
    pub labels: Result<Labels, LabelsError>,
    /// Unix milliseconds and value, in the order in which they were sent.
    pub points: &'a [(i64, f64)],
}

/// The kinds of metrics that OpenMetrics knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Not said.
    #[default]
    Unknown,
    /// Only rises, or starts anew.
    Counter,
    /// Any value.
    Gauge,
    /// Counts by upper bound, classic or native.
    Histogram,
    /// A histogram whose counts may fall.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// Labels that are facts; the value is 1.
    Info,
    /// One of several states is 1.
    StateSet,
}

/// What is said of a family of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The family's name, without the suffixes of its series.
    pub family: String,
    /// Its kind.
    pub kind: MetricKind,
    /// Its unit, in the base form (`seconds`, `bytes`); empty when not said.
    pub unit: String,
    /// What it means, for people; empty when not said.
    pub help: String,
}

/// An example behind a value, such as the trace that fell into a bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exemplar {
    /// The series of the batch it belongs to, from 0.
    pub series: usize,
    /// Its own labels (`trace_id`), in the order given.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
    /// Its time in Unix milliseconds; none when only the sample's is known.
    pub at_ms: Option<i64>,
}

/// A native histogram of one series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistogramPoint {
    /// The series of the batch it belongs to, from 0.
    pub series: usize,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// What was counted.
    pub histogram: Histogram,
}

/// A line that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedLine {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub reason: String,
}

impl Batch {
    /// An empty batch that refuses to grow beyond `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many samples there are, native histograms included.
    pub fn samples(&self) -> usize {
        self.floats() + self.histograms.len()
    }

    /// How many samples are plain numbers.
    pub fn floats(&self) -> usize {
        self.points.len()
    }

    /// True when there is nothing in it but perhaps metadata.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.histograms.is_empty()
    }

    /// The series, in the order sent; one that is sent twice is there twice.
    pub fn series(&self) -> impl Iterator<Item = SeriesPoints<'_>> {
        (0..self.series.len()).map(|i| SeriesPoints { labels: key::labels(self.key(i)), points: self.points_of(i) })
    }

    pub(crate) fn key(&self, series: usize) -> &[u8] {
        let part = self.series[series];
        match &self.roster {
            Some(roster) => roster.key(part),
            None => &self.text[part.from as usize..part.to as usize],
        }
    }

    pub(crate) fn points_of(&self, series: usize) -> &[Point] {
        let end = self.series.get(series + 1).map_or(self.points.len(), |next| next.first as usize);
        &self.points[self.series[series].first as usize..end]
    }

    /// Begins a series; points, histograms and exemplars that are added next belong to it.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] beyond the limits of the batch.
    pub fn begin_series(&mut self, labels: &Labels) -> Result<(), FormatError> {
        let from = self.text.len();
        self.text.extend_from_slice(&key::of(labels));
        within("bytes of labels", self.text.len(), u32::MAX as usize)?;
        self.begin(from, self.text.len())
    }

    /// Begins a series whose key is in `text` already.
    pub(crate) fn begin(&mut self, from: usize, to: usize) -> Result<(), FormatError> {
        debug_assert!(self.roster.is_none(), "a roster is complete");
        within("series", self.series.len() + 1, self.limits.series)?;
        self.series.push(Part { from: from as u32, to: to as u32, first: self.points.len() as u32 });
        Ok(())
    }

    /// Begins a series. Sorts `pairs`; an empty value is the same as no label.
    pub(crate) fn begin_pairs<S: AsRef<str> + Ord>(&mut self, pairs: &mut Vec<(S, S)>) -> Result<(), FormatError> {
        pairs.retain(|(_, value)| !value.as_ref().is_empty());
        pairs.sort_unstable();
        let from = self.text.len();
        for (name, value) in pairs.iter() {
            key::put_pair(&mut self.text, name.as_ref().as_bytes(), value.as_ref().as_bytes());
        }
        // Labels that others join to a short line are text too: their sum is bounded as the body is.
        within("bytes of labels", self.text.len(), self.limits.bytes.saturating_mul(4).min(u32::MAX as usize))?;
        self.begin(from, self.text.len())
    }

    /// Adds a point to the series that was begun last.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] beyond the limits of the batch.
    pub fn point(&mut self, at_ms: i64, value: f64) -> Result<(), FormatError> {
        debug_assert!(!self.series.is_empty(), "a series is begun first");
        within("samples", self.points.len() + 1, self.limits.samples)?;
        self.points.push((at_ms, value));
        Ok(())
    }

    /// A series with one point.
    pub(crate) fn sample<S: AsRef<str> + Ord>(
        &mut self,
        pairs: &mut Vec<(S, S)>,
        at_ms: i64,
        value: f64,
    ) -> Result<(), FormatError> {
        self.begin_pairs(pairs)?;
        self.point(at_ms, value)
    }

    /// Adds an exemplar to the series that was begun last.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] beyond the limits of the batch.
    pub fn exemplar(
        &mut self,
        labels: Vec<(String, String)>,
        value: f64,
        at_ms: Option<i64>,
    ) -> Result<(), FormatError> {
        within("exemplars", self.exemplars.len() + 1, self.limits.extras)?;
        let series = self.series.len().saturating_sub(1);
        self.exemplars.push(Exemplar { series, labels, value, at_ms });
        Ok(())
    }

    /// Adds a native histogram to the series that was begun last.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] beyond the limits of the batch.
    pub fn histogram(&mut self, at_ms: i64, histogram: Histogram) -> Result<(), FormatError> {
        within("histograms", self.histograms.len() + 1, self.limits.extras)?;
        let series = self.series.len().saturating_sub(1);
        self.histograms.push(HistogramPoint { series, at_ms, histogram });
        Ok(())
    }

    /// Adds to what is known of a family, which may be told piece by piece.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] beyond the limits of the batch.
    pub fn describe(&mut self, family: &str) -> Result<&mut Metadata, FormatError> {
        let known = self.metadata.last().is_some_and(|last| last.family == family);
        if !known {
            within("metric families", self.metadata.len() + 1, self.limits.extras)?;
            self.metadata.push(Metadata { family: family.into(), ..Metadata::default() });
        }
        Ok(self.metadata.last_mut().expect("one was just there or just added"))
    }

    pub(crate) fn reject(&mut self, line: usize, reason: impl Into<String>) {
        self.rejected_lines += 1;
        if self.rejected.len() < LISTED_LINES {
            self.rejected.push(RejectedLine { line, reason: reason.into() });
        }
    }
}

#[cfg(test)]
impl Batch {
    /// What a test compares: labels as `name{a="b"}` in order, with points.
    pub(crate) fn shown(&self) -> Vec<(String, Vec<Point>)> {
        let text = |l: Labels| {
            let rest: Vec<_> = l.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| format!("{n}={v}")).collect();
            format!("{}{{{}}}", l.name(), rest.join(","))
        };
        self.series().map(|s| (s.labels.map_or_else(|e| e.to_string(), text), s.points.to_vec())).collect()
    }
}
