//! The format of a test file.

use serde::{Deserialize, Deserializer};
use series::promql::notation::Item;
use series::promql::{Metric, Query, notation};
use std::collections::BTreeMap;

use super::super::file::{self, FileFault};
use super::super::state::LabelSet;

/// The tests of one file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Files of rules, beside the test file; `*` stands for any name.
    #[serde(default)]
    pub rule_files: Vec<String>,
    /// How often the rules are evaluated; a minute when left out.
    #[serde(default)]
    pub evaluation_interval: Option<Span>,
    /// The order in which groups are evaluated; others come first, in order of the files.
    #[serde(default)]
    pub group_eval_order: Vec<String>,
    /// Values may differ in the last digits.
    #[serde(default)]
    pub fuzzy_compare: bool,
    /// The tests.
    #[serde(default)]
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// From one value of a series to the next; the evaluation interval when left out.
    #[serde(default)]
    pub interval: Option<Span>,
    /// What is loaded.
    #[serde(default)]
    pub input_series: Vec<Input>,
    /// Which alerts fire when.
    #[serde(default)]
    pub alert_rule_test: Vec<AlertCase>,
    /// What queries answer when.
    #[serde(default)]
    pub promql_expr_test: Vec<QueryCase>,
    /// `$externalLabels`
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// `$externalURL`
    #[serde(default)]
    pub external_url: String,
}

/// A series.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `name{a="b"}`
    pub series: String,
    /// `1 2+3x4 _ stale`
    #[serde(deserialize_with = "words")]
    pub values: String,
}

/// Alerts that fire at a time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertCase {
    /// When.
    pub eval_time: Span,
    /// Which.
    pub alertname: String,
    /// All of them; none when left out.
    #[serde(default)]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that fires.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    /// Its labels without `alertname`.
    #[serde(default, deserialize_with = "labels")]
    pub exp_labels: LabelSet,
    /// Its texts.
    #[serde(default, deserialize_with = "labels")]
    pub exp_annotations: LabelSet,
}

/// What a query answers at a time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryCase {
    /// The query.
    #[serde(deserialize_with = "words")]
    pub expr: String,
    /// When.
    pub eval_time: Span,
    /// All of the answer.
    #[serde(default)]
    pub exp_samples: Vec<ExpectedSample>,
}

/// A series of an answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSample {
    /// `name{a="b"}`
    #[serde(default)]
    pub labels: String,
    /// Its value.
    #[serde(default)]
    pub value: f64,
    /// A native histogram in its place.
    #[serde(default)]
    pub histogram: Option<String>,
}

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub i64);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = words(from)?;
        let span = file::duration(&text).map_err(serde::de::Error::custom)?;
        i64::try_from(span.as_millis()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A text, or a number that stands for one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Word {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }
}

fn words<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Word::deserialize(from)?.text())
}

fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<LabelSet, D::Error> {
    let all = Option::<BTreeMap<String, Word>>::deserialize(from)?.unwrap_or_default();
    Ok(all.into_iter().map(|(name, word)| (name, word.text())).collect())
}

/// Reads a test file.
///
/// # Errors
/// What is wrong, with its line.
pub fn parse(text: &str) -> Result<Suite, FileFault> {
    let suite: Suite = file::parse(text)?;
    for test in &suite.tests {
        for input in &test.input_series {
            input.read().map_err(|message| at(text, &input.series, message))?;
        }
        for case in &test.promql_expr_test {
            Query::parse(&case.expr).map_err(|e| at(text, &case.expr, e.to_string()))?;
            for sample in &case.exp_samples {
                sample.read().map_err(|message| at(text, &sample.labels, message))?;
            }
        }
    }
    let mut met = std::collections::BTreeSet::new();
    match suite.group_eval_order.iter().find(|name| !met.insert(*name)) {
        Some(name) => Err(at(text, "group_eval_order", format!("group \"{name}\" stands in the order twice"))),
        None => Ok(suite),
    }
}

/// A fault at the first line that holds some text.
fn at(text: &str, near: &str, message: String) -> FileFault {
    let first = near.lines().next().unwrap_or_default();
    let line = text.lines().position(|line| !first.is_empty() && line.contains(first)).map_or(1, |at| at + 1);
    FileFault { line, message }
}

impl Input {
    /// The series and its values.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(&self) -> Result<(Metric, Vec<Item>), String> {
        notation::series_line(&format!("{} {}", self.series.trim(), self.values))
    }
}

impl ExpectedSample {
    /// Its labels, and what it is.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(&self) -> Result<(Metric, Item), String> {
        match &self.histogram {
            Some(histogram) => {
                let (metric, mut items) = notation::series_line(&format!("{} {histogram}", self.labels.trim()))?;
                items.pop().map(|item| (metric, item)).ok_or_else(|| "a histogram is missing".into())
            }
            None => Ok((notation::series_line(self.labels.trim())?.0, Item::Float(self.value))),
        }
    }
}
