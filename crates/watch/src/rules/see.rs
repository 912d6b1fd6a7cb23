//! From the answer to a query to what a rule saw: series become sightings of alerts, or samples that are kept. Pure.

use series::promql::{Answer, Metric, SampleValue, Value};
use series::{Labels, NAME, Sample};
use std::collections::{BTreeMap, BTreeSet};

use super::compile::Compiled;
use super::state::{LabelSet, Sighting};
use super::template::{Failure, Fill, Found, Template};

/// The label that names an alert.
pub const ALERT_NAME: &str = "alertname";

/// What fills texts in besides the series: the installation's own labels and address.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// `$externalLabels`
    pub labels: LabelSet,
    /// `$externalURL`
    pub url: String,
}

/// Answers to queries that texts have asked so far, for one moment.
pub type Answers = BTreeMap<String, Result<Vec<Found>, String>>;

/// Labels as a set.
pub fn label_set(metric: &Metric) -> LabelSet {
    metric.iter().filter(|(name, _)| *name != NAME).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// Series of an answer, with labels and value; a scalar is one without labels, as rules of Prometheus have it.
pub fn found(answer: &Answer) -> Vec<(Metric, f64)> {
    match &answer.value {
        Value::Scalar { value, .. } => vec![(Metric::default(), *value)],
        Value::Vector(samples) => samples.iter().map(|s| (s.metric.clone(), number(&s.value))).collect(),
        Value::Text { .. } | Value::Matrix(_) => Vec::new(),
    }
}

fn number(value: &SampleValue) -> f64 {
    match value {
        SampleValue::Float(value) => *value,
        SampleValue::Histogram(histogram) => histogram.count,
    }
}

/// Series of an answer as texts see them.
pub fn series_of(answer: &Answer) -> Vec<Found> {
    let one = |(metric, value): (Metric, f64)| Found {
        labels: metric.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        value,
    };
    found(answer).into_iter().map(one).collect()
}

/// The label sets of an answer, names left out.
pub fn label_sets(answer: &Answer) -> BTreeSet<LabelSet> {
    found(answer).iter().map(|(metric, _)| label_set(metric)).collect()
}

/// Fills a text in as Prometheus does: what goes wrong stands in the text.
///
/// # Errors
/// The query that must be answered first.
pub fn filled(template: &Template, with: &Fill<'_>) -> Result<String, String> {
    match template.fill(with) {
        Ok(text) => Ok(text),
        Err(Failure::Needs(query)) => Err(query),
        Err(Failure::Wrong(reason)) => Ok(format!("<error expanding template: {reason}>")),
    }
}

/// What a text about one series is filled in with.
pub fn fill<'a>(labels: LabelSet, value: f64, at_ms: i64, outside: &'a Outside, answers: &Answers) -> Fill<'a> {
    Fill {
        labels,
        value,
        external_labels: outside.labels.clone(),
        external_url: &outside.url,
        now: at_ms as f64 / 1000.0,
        answers: answers.clone(),
    }
}

/// Why an answer is not sightings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// A text needs the answer to this query first.
    Needs(String),
    /// Two series would be the same alert.
    Twice(LabelSet),
}

/// What the condition of a rule holds for.
///
/// # Errors
/// [`Unseen`].
pub fn sightings(
    rule: &Compiled,
    answer: &Answer,
    at_ms: i64,
    outside: &Outside,
    answers: &Answers,
) -> Result<Vec<Sighting>, Unseen> {
    let mut all = Vec::new();
    let mut met = BTreeSet::new();
    for (metric, value) in found(answer) {
        let series = label_set(&metric);
        let mut labels = series.clone();
        let mut with = None;
        for (name, template) in &rule.labels {
            let text = match template.constant() {
                Some(text) => text.to_owned(),
                None => {
                    let named = || metric.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                    let with = with.get_or_insert_with(|| fill(named(), value, at_ms, outside, answers));
                    filled(template, with).map_err(Unseen::Needs)?
                }
            };
            // An empty label is none.
            if text.is_empty() {
                labels.remove(name)
            } else {
                labels.insert(name.clone(), text)
            };
        }
        labels.insert(ALERT_NAME.into(), rule.rule.title.clone());
        if !met.insert(labels.clone()) {
            return Err(Unseen::Twice(labels));
        }
        all.push(Sighting { labels, series, value });
    }
    Ok(all)
}

/// What a recording rule keeps of an answer.
///
/// # Errors
/// Labels that two series of the answer would share, or that are none.
pub fn recorded(rule: &Compiled, answer: &Answer, at_ms: i64) -> Result<Vec<Sample>, String> {
    let name = rule.record().unwrap_or_default();
    let mut met = BTreeSet::new();
    let mut samples = Vec::new();
    for (metric, value) in found(answer) {
        let mut pairs = label_set(&metric);
        for (label, template) in &rule.labels {
            // Labels of what is recorded are not filled in, as in Prometheus.
            pairs.insert(label.clone(), template.source().to_owned());
        }
        pairs.insert(NAME.into(), name.to_owned());
        let labels = Labels::new(&pairs).map_err(|e| e.to_string())?;
        if !met.insert(labels.clone()) {
            return Err("vector contains metrics with the same labelset after applying rule labels".into());
        }
        samples.push(Sample { labels, at_ms, value });
    }
    Ok(samples)
}

/// The series by which Prometheus's own tools see alerts: `ALERTS` and `ALERTS_FOR_STATE`.
pub fn alert_series(state: &super::state::State) -> Vec<(Labels, f64)> {
    let mut all = Vec::with_capacity(state.instances.len() * 2);
    for instance in state.instances.values() {
        let own = || instance.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let alerts = own().chain([(NAME, "ALERTS"), ("alertstate", instance.phase.as_str())]);
        let since = own().chain([(NAME, "ALERTS_FOR_STATE")]);
        all.extend(labels(alerts).map(|labels| (labels, 1.0)));
        all.extend(labels(since).map(|labels| (labels, (instance.since_ms / 1000) as f64)));
    }
    all
}

/// Labels of pairs of which the later ones win; none when they cannot be labels.
fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Labels> {
    Labels::new(pairs.collect::<BTreeMap<_, _>>()).ok()
}
