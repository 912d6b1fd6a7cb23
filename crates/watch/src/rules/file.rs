//! Prometheus's rule files: read into rules, with the line of whatever is wrong; and written back from rules.
//!
//! Nothing is stored here. What a file says and Mainstay has no use for is an error and not left out silently.

mod write;

use kernel::Dur;
use kernel::error::near;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::compile::{Compiled, is_metric_name};
use super::state::Health;
use crate::rule::{NoData, Rule};
use crate::severity::Severity;

pub use write::export;

/// How often rules are evaluated when neither group nor caller says: Prometheus's own default.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, once in a file.
    pub name: String,
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_text")]
    pub interval: Option<String>,
    /// How far before the present its rules look.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_text")]
    pub query_offset: Option<String>,
    /// Alerts or series of one rule at most; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Labels of all its rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub labels: BTreeMap<String, String>,
    /// Its rules.
    #[serde(default)]
    pub rules: Vec<RuleNode>,
}

/// A rule of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleNode {
    /// Name of the series that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The query.
    #[serde(default, deserialize_with = "text")]
    pub expr: String,
    /// How long the condition must hold.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none", deserialize_with = "maybe_text")]
    pub hold: Option<String>,
    /// How long an alert goes on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_text")]
    pub keep_firing_for: Option<String>,
    /// Labels that are set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub labels: BTreeMap<String, String>,
    /// Texts of the alert.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub annotations: BTreeMap<String, String>,
}

/// A number or a word of YAML where a text is meant.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nothing,
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Nothing => String::new(),
        }
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Scalar::deserialize(from)?.text())
}

fn maybe_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(from)?.map(Scalar::text))
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let all = Option::<BTreeMap<String, Scalar>>::deserialize(from)?.unwrap_or_default();
    Ok(all.into_iter().map(|(name, value)| (name, value.text())).collect())
}

/// What is wrong with a file, and on which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct FileFault {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what was perhaps meant.
    pub message: String,
}

/// A rule of a file as a record.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its key.
    pub key: String,
    /// The line it begins on.
    pub line: usize,
    /// The rule.
    pub rule: Rule,
}

/// Reads a file into rules. Keys are unique among themselves and the same each time.
///
/// # Errors
/// All that is wrong with it, in order of lines.
pub fn import(text: &str, taken: &mut BTreeSet<String>) -> Result<Vec<Imported>, Vec<FileFault>> {
    let file: RuleFile = parse(text).map_err(|fault| vec![fault])?;
    let places = Places::of(text);
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    let (mut names, mut number) = (BTreeSet::new(), 0);
    for group in &file.groups {
        if !names.insert(&group.name) {
            let line = places.group(&group.name, true);
            faults.push(FileFault { line, message: format!("group \"{}\" stands in the file twice", group.name) });
        }
        for (position, node) in group.rules.iter().enumerate() {
            let line = places.rule(number);
            match rule_of(group, position, node) {
                Ok(rule) => {
                    let key = free_key(&format!("{}-{}", group.name, rule.title), taken);
                    all.push(Imported { key, line, rule });
                }
                Err((field, message)) => {
                    let line = places.field(number, &field);
                    faults.push(FileFault { line, message: format!("{}: {message}", told(&field)) });
                }
            }
            number += 1;
        }
    }
    if faults.is_empty() { Ok(all) } else { Err(faults) }
}

/// Reads YAML of a shape, and tells the line and the near name when it does not fit.
pub(super) fn parse<T: serde::de::DeserializeOwned + Default>(text: &str) -> Result<T, FileFault> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(T::default());
    }
    yaml_serde::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |place| place.line());
        let message = error.to_string();
        FileFault { line, message: format!("{message}{}", suggestion(&message)) }
    })
}

/// "did you mean": the near one of the names that serde says were expected.
fn suggestion(message: &str) -> String {
    let mut named = message.split('`').skip(1).step_by(2);
    let Some(found) = named.next().filter(|_| message.contains("unknown field")) else { return String::new() };
    near(found, named).first().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// The name of a field as the file has it.
fn told(field: &str) -> &str {
    match field {
        "expression" => "expr",
        "for_at_least" => "for",
        other => other,
    }
}

fn rule_of(group: &Group, position: usize, node: &RuleNode) -> Result<Rule, (String, String)> {
    let wrong = |field: &str, message: String| (field.to_owned(), message);
    let title = match (&node.alert, &node.record) {
        (Some(name), None) | (None, Some(name)) if !name.is_empty() => name.clone(),
        (Some(_), Some(_)) => return Err(wrong("record", "only one of record and alert can be given".into())),
        _ => return Err(wrong("alert", "one of record and alert must be given".into())),
    };
    if let Some(name) = node.record.as_ref().filter(|name| !is_metric_name(name)) {
        return Err(wrong("record", format!("\"{name}\" is not the name of a metric")));
    }
    let span = |field: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => duration(text).map(|d| Some(Dur(d))).map_err(|message| wrong(field, message)),
    };
    let interval = span("interval", &group.interval)?.filter(|d| !d.0.is_zero()).unwrap_or(Dur(INTERVAL));
    // What a rule says itself counts.
    let mut labels = group.labels.clone();
    labels.extend(node.labels.clone());
    let nonzero = |span: Option<Dur>| span.filter(|d| !d.0.is_zero());
    let rule = Rule {
        severity: severity(labels.get("severity").map(String::as_str)),
        title,
        expression: node.expr.trim_end().to_owned(),
        record: node.record.clone(),
        group: Some(group.name.clone()),
        position: u32::try_from(position).unwrap_or(u32::MAX),
        for_at_least: nonzero(span("for_at_least", &node.hold)?),
        keep_firing_for: nonzero(span("keep_firing_for", &node.keep_firing_for)?),
        interval,
        query_offset: nonzero(span("query_offset", &group.query_offset)?),
        limit: group.limit.filter(|limit| *limit > 0),
        labels,
        annotations: node.annotations.clone(),
        ..plain()
    };
    match Compiled::new(&rule) {
        Ok(_) => Ok(rule),
        Err(fault) => Err((fault.field, fault.message)),
    }
}

/// A rule that says nothing.
pub(super) fn plain() -> Rule {
    Rule {
        title: String::new(),
        expression: String::new(),
        record: None,
        group: None,
        position: 0,
        for_at_least: None,
        keep_firing_for: None,
        recovery: None,
        interval: Dur(INTERVAL),
        query_offset: None,
        limit: None,
        forget_after: None,
        no_data: NoData::default(),
        severity: Severity::default(),
        say: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        scope: None,
        runbook: None,
        evaluation: Health::default(),
        last_evaluated: None,
        last_error: None,
    }
}

/// The severity that the words in use mean. Only `major` and `critical` page; an unknown word is taken seriously.
pub fn severity(word: Option<&str>) -> Severity {
    match word.unwrap_or_default().to_ascii_lowercase().as_str() {
        "critical" | "page" | "fatal" | "emergency" | "disaster" | "p1" => Severity::Critical,
        "warning" | "warn" | "minor" | "ticket" | "low" | "p3" | "p4" => Severity::Minor,
        "info" | "information" | "informational" | "none" | "notice" | "debug" | "p5" => Severity::Info,
        _ => Severity::Major,
    }
}

/// A span as Prometheus writes it.
///
/// # Errors
/// A sentence.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text != "0" && text.parse::<f64>().is_ok() {
        return Err(format!("\"{text}\" has no unit: 30s, 5m, 1h30m"));
    }
    let ms =
        series::promql::notation::duration(text).map_err(|_| format!("\"{text}\" is not a duration such as 5m"))?;
    u64::try_from(ms).map(Duration::from_millis).map_err(|_| format!("\"{text}\" is before zero"))
}

fn free_key(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let base: String = kernel::ids::key_from(wanted).chars().take(110).collect();
    let base = if base.is_empty() { "rule".to_owned() } else { base };
    let mut key = base.clone();
    let mut number = 2;
    while !taken.insert(key.clone()) {
        key = format!("{base}-{number}");
        number += 1;
    }
    key
}

/// Where rules and their fields stand in a text. Looks at the text's lines, since what YAML is read into forgets them.
struct Places<'a> {
    lines: Vec<&'a str>,
    rules: Vec<usize>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let keys = ["alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"];
        let begins = |line: &str| {
            let Some(rest) = line.trim_start().strip_prefix('-') else { return false };
            let rest = rest.trim_start().trim_start_matches('{').trim_start();
            keys.iter().any(|key| rest.strip_prefix(key).is_some_and(|r| r.trim_start().starts_with(':')))
        };
        let rules = (0..lines.len()).filter(|i| begins(lines[*i])).collect();
        Self { lines, rules }
    }

    /// The line that rule number `n` of the file begins on, from 1.
    fn rule(&self, n: usize) -> usize {
        self.rules.get(n).map_or(1, |line| line + 1)
    }

    /// The line of a field of that rule; of the rule when the field is not there.
    fn field(&self, n: usize, field: &str) -> usize {
        let first = self.rule(n) - 1;
        let end = self.rules.get(n + 1).copied().unwrap_or(self.lines.len());
        let last = told(field).rsplit('.').next().unwrap_or_default();
        let at = (first..end).find(|i| {
            let line = self.lines[*i].trim_start().trim_start_matches('-').trim_start();
            line.strip_prefix(last).is_some_and(|rest| rest.trim_start().starts_with(':'))
        });
        at.unwrap_or(first) + 1
    }

    fn group(&self, name: &str, last: bool) -> usize {
        let fits = |i: &usize| self.lines[*i].contains("name:") && self.lines[*i].contains(name);
        let mut found = (0..self.lines.len()).filter(fits);
        let at = if last { found.next_back() } else { found.next() };
        at.map_or(1, |at| at + 1)
    }
}

#[cfg(test)]
mod tests;
