//! What a query's author should know about its answer, in Prometheus's words, since people and tools search for them.

use std::collections::BTreeSet;

use super::ast::Span;
use super::parse::quoted;
use super::value::go_float;

/// Warnings and hints that an evaluation gathered, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations {
    found: BTreeSet<(Level, String, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Warning,
    Info,
}

/// At most so many of each are reported.
const MOST: usize = 10;

/// One remark, without its place.
#[derive(Clone, Debug)]
pub(super) enum Remark {
    BadQuantile(f64),
    BadRatio {
        given: f64,
        used: f64,
    },
    BadBucketLabel {
        label: String,
        metric: String,
    },
    MixedFloatsHistograms(String),
    MixedFloatsHistogramsInAggregation,
    MixedClassicNative(String),
    NotCounter(String),
    NotGauge(String),
    MixedSchemas(String),
    MixedSchemasInOperator(&'static str),
    HintsCollide(&'static str),
    SortInRange,
    BoundsReconciled(&'static str),
    NotCounterName(String),
    Monotonicity {
        metric: String,
        at_ms: i64,
        lowest: f64,
        highest: f64,
        most: f64,
    },
    TypesInOperator {
        left: &'static str,
        op: &'static str,
        right: &'static str,
    },
    IgnoredInAggregation(&'static str),
    IgnoredInMixedRange(String),
    QuantileNan(String),
    QuantileSkewed(String),
    FractionNan(String),
    /// From storage: stretches that cannot be read.
    Lost(String),
    /// From storage: which samples it chose.
    Chosen(String),
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {}", quoted(metric.as_bytes())) }
}

impl Remark {
    fn level(&self) -> Level {
        match self {
            Self::BoundsReconciled(_)
            | Self::NotCounterName(_)
            | Self::Monotonicity { .. }
            | Self::TypesInOperator { .. }
            | Self::IgnoredInAggregation(_)
            | Self::IgnoredInMixedRange(_)
            | Self::QuantileNan(_)
            | Self::QuantileSkewed(_)
            | Self::FractionNan(_)
            | Self::Chosen(_) => Level::Info,
            _ => Level::Warning,
        }
    }

    fn text(&self) -> String {
        let name = |metric: &str| quoted(metric.as_bytes());
        match self {
            Self::BadQuantile(q) => format!("quantile value should be between 0 and 1, got {}", go_float(*q)),
            Self::BadRatio { given, used } => format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                go_float(*given),
                go_float(*used)
            ),
            Self::BadBucketLabel { label, metric } => format!(
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                name(label),
                for_metric(metric)
            ),
            Self::MixedFloatsHistograms(metric) => {
                format!("encountered a mix of histograms and floats for metric name {}", name(metric))
            }
            Self::MixedFloatsHistogramsInAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Self::MixedClassicNative(metric) => {
                format!("vector contains a mix of classic and native histograms{}", for_metric(metric))
            }
            Self::NotCounter(metric) => format!("this native histogram metric is not a counter: {}", name(metric)),
            Self::NotGauge(metric) => format!("this native histogram metric is not a gauge: {}", name(metric)),
            Self::MixedSchemas(metric) => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                name(metric)
            ),
            Self::MixedSchemasInOperator(op) => {
                format!("incompatible bucket layout encountered for binary operator {op}")
            }
            Self::HintsCollide(during) => format!("conflicting counter resets during histogram {during}"),
            Self::SortInRange => {
                "sort is ineffective for range queries since results are always ordered by labels".to_owned()
            }
            Self::BoundsReconciled(during) => format!("mismatched custom buckets were reconciled during {during}"),
            Self::NotCounterName(metric) => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                name(metric)
            ),
            Self::Monotonicity { metric, at_ms, lowest, highest, most } => format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){} at {} ms, \
                 from buckets {} to {}, with a max diff of {}",
                for_metric(metric),
                at_ms,
                go_float(*lowest),
                go_float(*highest),
                go_float(*most)
            ),
            Self::TypesInOperator { left, op, right } => {
                format!("incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}")
            }
            Self::IgnoredInAggregation(op) => format!("ignored histogram in {op} aggregation"),
            Self::IgnoredInMixedRange(metric) => format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                name(metric)
            ),
            Self::QuantileNan(metric) => {
                format!("input to histogram_quantile has NaN observations, result is NaN{}", for_metric(metric))
            }
            Self::QuantileSkewed(metric) => format!(
                "input to histogram_quantile has NaN observations, result is skewed higher{}",
                for_metric(metric)
            ),
            Self::FractionNan(metric) => format!(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                for_metric(metric)
            ),
            Self::Lost(text) | Self::Chosen(text) => text.clone(),
        }
    }
}

impl Annotations {
    /// Adds a remark about the expression that stands there.
    pub(super) fn add(&mut self, remark: &Remark, span: Span) {
        self.found.insert((remark.level(), remark.text(), span.start));
    }

    fn list(&self, query: &str, level: Level, prefix: &str) -> Vec<String> {
        let all: Vec<_> = self.found.iter().filter(|(found, ..)| *found == level).collect();
        let shown = all.iter().take(MOST);
        let mut texts: Vec<String> =
            shown.map(|(_, text, at)| format!("{prefix}: {text} ({})", place(query, *at))).collect();
        if all.len() > MOST {
            texts.push(format!("{} more annotations omitted", all.len() - MOST));
        }
        texts
    }

    /// All warnings, in order.
    pub(super) fn warnings(&self, query: &str) -> Vec<String> {
        self.list(query, Level::Warning, "PromQL warning")
    }

    /// All hints, in order.
    pub(super) fn infos(&self, query: &str) -> Vec<String> {
        self.list(query, Level::Info, "PromQL info")
    }
}

/// Line and column of a byte, from one.
fn place(query: &str, at: usize) -> String {
    let before = &query.as_bytes()[..at.min(query.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_names_its_line_and_column_once() {
        let mut annotations = Annotations::default();
        for _ in 0..2 {
            annotations.add(&Remark::BadQuantile(1.5), Span { start: 7, end: 9 });
        }
        let expected = "PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:3)";
        assert_eq!(annotations.warnings("abcd\nefgh"), [expected]);
        assert!(annotations.infos("").is_empty());
    }
}
