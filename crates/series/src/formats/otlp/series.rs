//! Series of an OTLP request: which labels, which points, and what is rejected.

use std::collections::BTreeMap;

use super::model::{
    Buckets, Exemplar, ExponentialPoint, HistogramPoint, KeyValue, Metric, NumberPoint, Request, ResourceMetrics,
    SummaryPoint,
};
use super::naming::{self, Shape};
use crate::formats::batch::{Batch, MetricKind};
use crate::formats::{FormatError, Limits};
use crate::histogram::Histogram;
use crate::labels::{NAME, stale_marker};

/// `aggregation_temporality` of what counts since its start.
const CUMULATIVE: i32 = 2;
/// The flag of a point that says only that there is none.
const NO_VALUE: u32 = 1;
/// What an exponential histogram calls near zero when it does not say.
const ZERO_THRESHOLD: f64 = 1e-128;

pub(super) fn batch(request: &Request, limits: Limits) -> Result<Batch, FormatError> {
    let mut maker = Maker { batch: Batch::new(limits), resource: BTreeMap::new(), points: 0, newest_ms: None };
    for resource in &request.resource_metrics {
        maker.of_resource(resource)?;
    }
    Ok(maker.batch)
}

type Labels = BTreeMap<String, String>;

struct Maker {
    batch: Batch,
    /// `job` and `instance` of the resource that is being read.
    resource: Labels,
    /// Data points so far, which is how a rejected one is named.
    points: usize,
    newest_ms: Option<i64>,
}

impl Maker {
    fn of_resource(&mut self, from: &ResourceMetrics) -> Result<(), FormatError> {
        let attribute = |key: &str| {
            let found = from.resource.attributes.iter().find(|a| a.key == key);
            found.map(|a| a.value.label()).filter(|v| !v.is_empty())
        };
        self.resource.clear();
        self.newest_ms = None;
        if let Some(name) = attribute("service.name") {
            let job = attribute("service.namespace").map_or(name.clone(), |space| format!("{space}/{name}"));
            self.resource.insert("job".into(), job);
        }
        if let Some(instance) = attribute("service.instance.id") {
            self.resource.insert("instance".into(), instance);
        }
        for metric in from.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            self.of_metric(metric)?;
        }
        let named = ["service.name", "service.namespace", "service.instance.id"];
        let others: Vec<_> = from.resource.attributes.iter().filter(|a| !named.contains(&a.key.as_str())).collect();
        match self.newest_ms {
            Some(at_ms) if !others.is_empty() && !self.resource.is_empty() => {
                let mut labels = self.resource.clone();
                add(&mut labels, others.into_iter());
                self.put("target_info", &labels, None, at_ms, 1.0)
            }
            _ => Ok(()),
        }
    }

    fn of_metric(&mut self, metric: &Metric) -> Result<(), FormatError> {
        let shape = match metric {
            Metric { sum: Some(sum), .. } if sum.is_monotonic => Shape::Counter,
            Metric { sum: Some(_), .. } | Metric { gauge: Some(_), .. } => Shape::Gauge,
            _ => Shape::Other,
        };
        let name = naming::metric(&metric.name, &metric.unit, shape);
        if name.is_empty() {
            self.batch.reject(self.points + 1, "a metric without a name");
            return Ok(());
        }
        let kind = match metric {
            _ if shape == Shape::Counter => MetricKind::Counter,
            Metric { histogram: Some(_), .. } | Metric { exponential_histogram: Some(_), .. } => MetricKind::Histogram,
            Metric { summary: Some(_), .. } => MetricKind::Summary,
            _ => MetricKind::Gauge,
        };
        let told = self.batch.describe(&name)?;
        (told.kind, told.help, told.unit) = (kind, metric.description.clone(), naming::unit(&metric.unit));
        for point in metric.gauge.iter().flat_map(|g| &g.data_points) {
            self.number(&name, point)?;
        }
        if let Some(sum) = &metric.sum
            && self.keeps(&metric.name, sum.aggregation_temporality, sum.data_points.len())
        {
            sum.data_points.iter().try_for_each(|point| self.number(&name, point))?;
        }
        if let Some(of) = &metric.histogram
            && self.keeps(&metric.name, of.aggregation_temporality, of.data_points.len())
        {
            of.data_points.iter().try_for_each(|point| self.histogram(&name, point))?;
        }
        if let Some(of) = &metric.exponential_histogram
            && self.keeps(&metric.name, of.aggregation_temporality, of.data_points.len())
        {
            of.data_points.iter().try_for_each(|point| self.exponential(&name, point))?;
        }
        metric.summary.iter().flat_map(|s| &s.data_points).try_for_each(|point| self.summary(&name, point))
    }

    /// Whether sums of this temporality can be kept; else all its points are listed.
    fn keeps(&mut self, metric: &str, temporality: i32, points: usize) -> bool {
        if temporality == CUMULATIVE {
            return true;
        }
        for _ in 0..points {
            self.points += 1;
            let reason = format!("{}: only cumulative temporality is kept", crate::formats::lines::shown(metric));
            self.batch.reject(self.points, reason);
        }
        false
    }

    /// Labels and time of a data point.
    fn point(&mut self, attributes: &[KeyValue], nanos: u64) -> (Labels, i64) {
        self.points += 1;
        let at_ms = (nanos / 1_000_000) as i64;
        self.newest_ms = self.newest_ms.max(Some(at_ms));
        let mut labels = self.resource.clone();
        add(&mut labels, attributes.iter());
        (labels, at_ms)
    }

    fn number(&mut self, name: &str, point: &NumberPoint) -> Result<(), FormatError> {
        let (labels, at_ms) = self.point(&point.attributes, point.time_unix_nano);
        let value = point.as_double.or(point.as_int.map(|n| n as f64));
        let Some(value) = stale_or(point.flags, value) else {
            self.batch.reject(self.points, "a data point without a value");
            return Ok(());
        };
        self.put(name, &labels, None, at_ms, value)?;
        self.exemplars(&point.exemplars, |_| true)
    }

    fn histogram(&mut self, name: &str, point: &HistogramPoint) -> Result<(), FormatError> {
        let (labels, at_ms) = self.point(&point.attributes, point.time_unix_nano);
        let counts = &point.bucket_counts;
        if !counts.is_empty() && counts.len() != point.explicit_bounds.len() + 1 {
            self.batch.reject(self.points, "a histogram needs one bucket more than bounds");
            return Ok(());
        }
        let value = |n: f64| stale_or(point.flags, Some(n)).unwrap_or(n);
        let (mut below, mut least) = (0_u64, f64::NEG_INFINITY);
        for (i, bound) in point.explicit_bounds.iter().enumerate() {
            below = below.saturating_add(counts.get(i).copied().unwrap_or(0));
            let le = shown_number(*bound);
            self.put(&format!("{name}_bucket"), &labels, Some(("le", &le)), at_ms, value(below as f64))?;
            self.exemplars(&point.exemplars, |v| v > least && v <= *bound)?;
            least = *bound;
        }
        let count = point.count as f64;
        self.put(&format!("{name}_bucket"), &labels, Some(("le", "+Inf")), at_ms, value(count))?;
        self.exemplars(&point.exemplars, |v| v > least)?;
        if let Some(sum) = point.sum {
            self.put(&format!("{name}_sum"), &labels, None, at_ms, value(sum))?;
        }
        self.put(&format!("{name}_count"), &labels, None, at_ms, value(count))
    }

    fn exponential(&mut self, name: &str, point: &ExponentialPoint) -> Result<(), FormatError> {
        let (labels, at_ms) = self.point(&point.attributes, point.time_unix_nano);
        if !(-4..=52).contains(&point.scale) {
            self.batch.reject(self.points, format!("a scale of {} is not kept: -4 and finer are", point.scale));
            return Ok(());
        }
        let histogram = Histogram {
            schema: point.scale,
            count: point.count as f64,
            sum: stale_or(point.flags, point.sum).unwrap_or_default(),
            zero_count: point.zero_count as f64,
            zero_threshold: point.zero_threshold.filter(|t| *t > 0.0).unwrap_or(ZERO_THRESHOLD),
            positive: filled(&point.positive),
            negative: filled(&point.negative),
            ..Histogram::default()
        };
        let mut pairs = pairs(name, &labels, None);
        self.batch.begin_pairs(&mut pairs)?;
        self.batch.histogram(at_ms, histogram)?;
        self.exemplars(&point.exemplars, |_| true)
    }

    fn summary(&mut self, name: &str, point: &SummaryPoint) -> Result<(), FormatError> {
        let (labels, at_ms) = self.point(&point.attributes, point.time_unix_nano);
        let value = |n: f64| stale_or(point.flags, Some(n)).unwrap_or(n);
        for of in &point.quantile_values {
            let quantile = shown_number(of.quantile.unwrap_or_default());
            let found = value(of.value.unwrap_or_default());
            self.put(name, &labels, Some(("quantile", &quantile)), at_ms, found)?;
        }
        self.put(&format!("{name}_sum"), &labels, None, at_ms, value(point.sum.unwrap_or_default()))?;
        self.put(&format!("{name}_count"), &labels, None, at_ms, value(point.count as f64))
    }

    fn put(
        &mut self,
        name: &str,
        labels: &Labels,
        more: Option<(&str, &str)>,
        at_ms: i64,
        value: f64,
    ) -> Result<(), FormatError> {
        self.batch.sample(&mut pairs(name, labels, more), at_ms, value)
    }

    /// Those exemplars whose value belongs to the series that was begun last.
    fn exemplars(&mut self, from: &[Exemplar], belongs: impl Fn(f64) -> bool) -> Result<(), FormatError> {
        for example in from {
            let value = example.as_double.or(example.as_int.map(|n| n as f64)).unwrap_or_default();
            if !belongs(value) {
                continue;
            }
            let mut labels = Labels::new();
            add(&mut labels, example.filtered_attributes.iter());
            let ids = [("trace_id", &example.trace_id), ("span_id", &example.span_id)];
            labels.extend(ids.into_iter().filter(|(_, id)| !id.is_empty()).map(|(n, id)| (n.into(), id.clone())));
            let at_ms = (example.time_unix_nano > 0).then_some((example.time_unix_nano / 1_000_000) as i64);
            self.batch.exemplar(labels.into_iter().collect(), value, at_ms)?;
        }
        Ok(())
    }
}

fn pairs<'a>(name: &'a str, labels: &'a Labels, more: Option<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let held = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let held = held.filter(|(n, _)| *n != NAME && more.is_none_or(|(m, _)| m != *n));
    held.chain(more).chain([(NAME, name)]).collect()
}

/// Attributes as labels. Two that become the same label share it, joined by a semicolon, as Prometheus does.
fn add<'a>(labels: &mut Labels, attributes: impl Iterator<Item = &'a KeyValue>) {
    let mut sorted: Vec<_> = attributes.filter(|a| !a.key.is_empty()).collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut new = Labels::new();
    for attribute in sorted {
        let value = attribute.value.label();
        let joined = new.entry(naming::label(&attribute.key)).or_default();
        if !joined.is_empty() {
            joined.push(';');
        }
        joined.push_str(&value);
    }
    labels.extend(new);
}

fn stale_or(flags: u32, value: Option<f64>) -> Option<f64> {
    if flags & NO_VALUE != 0 { Some(stale_marker()) } else { value }
}

/// Bounds and quantiles as Prometheus writes them in labels.
fn shown_number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".into() } else { value.to_string() }
}

/// OTLP's buckets begin at `offset`; a native histogram's at the one above.
fn filled(from: &Buckets) -> Vec<(i32, f64)> {
    let indices = (i64::from(from.offset) + 1..).map_while(|index| i32::try_from(index).ok());
    indices
        .zip(&from.bucket_counts)
        .filter(|(_, count)| **count > 0)
        .map(|(index, count)| (index, *count as f64))
        .collect()
}
