//! A rule as it is evaluated: its texts read once, its question for data made, its terms in milliseconds.

use kernel::Dur;
use series::promql::{Limits, MemorySource, Query, Settings, Type};

use super::narrow::narrowed;
use super::presence::{Reads, presence};
use super::state::{Missing, Terms};
use super::template::Template;
use crate::rule::Rule;

/// Alerts of one rule when it does not say.
const LIMIT: usize = 10_000;
/// A standstill longer than this says nothing about the time in between.
const OUTAGE_MS: i64 = 3_600_000;

/// What keeps a rule from being evaluated, at the field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Fault {
    /// The field of the record: `expression`, `annotations.summary`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A rule, read.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// As it was written.
    pub rule: Rule,
    /// The condition, or what is kept, such that it reads no more than it must.
    pub query: Query,
    /// For what there is data; `None` when the condition has an answer whatever there is.
    pub presence: Option<Query>,
    /// What recovery is.
    pub recovery: Option<Query>,
    /// Labels that are set, in order of name.
    pub labels: Vec<(String, Template)>,
    /// Texts that go with an alert.
    pub annotations: Vec<(String, Template)>,
    /// What the page says.
    pub say: Option<Template>,
    /// Its promises.
    pub terms: Terms,
    /// Which metrics it reads.
    pub reads: Reads,
    /// What the query costs where there is nothing to read; an answer that cost no more has looked at nothing.
    pub idle_samples: u64,
    /// How far before the present it looks, in milliseconds.
    pub offset_ms: i64,
}

impl Compiled {
    /// Reads a rule.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn new(rule: &Rule) -> Result<Self, Fault> {
        let query = narrowed(&query("expression", &rule.expression)?);
        let recovery = rule.recovery.as_deref().map(|text| self::query("recovery", text)).transpose()?;
        if rule.interval.0.is_zero() {
            return Err(fault("interval", "must be longer than 0"));
        }
        if let Some(name) = &rule.record {
            if !is_metric_name(name) {
                return Err(fault("record", format!("\"{name}\" is not a metric name: letters, digits, _ and :")));
            }
            let alerting = [
                ("for_at_least", rule.for_at_least.is_some()),
                ("keep_firing_for", rule.keep_firing_for.is_some()),
                ("recovery", rule.recovery.is_some()),
                ("say", rule.say.is_some()),
                ("annotations", !rule.annotations.is_empty()),
            ];
            if let Some((field, _)) = alerting.iter().find(|(_, given)| *given) {
                return Err(fault(field, "belongs to a rule that raises alerts, and this one records"));
            }
        }
        if let Some(name) = rule.labels.keys().find(|name| *name == series::NAME || !is_label_name(name)) {
            return Err(fault(&format!("labels.{name}"), "is not a label that can be set"));
        }
        let templates = |of: &std::collections::BTreeMap<String, String>, field: &str| {
            let one =
                |(name, text): (&String, &String)| Ok((name.clone(), template(&format!("{field}.{name}"), text)?));
            of.iter().map(one).collect::<Result<Vec<_>, Fault>>()
        };
        let (labels, annotations) = (templates(&rule.labels, "labels")?, templates(&rule.annotations, "annotations")?);
        let say = rule.say.as_deref().map(|text| template("say", text)).transpose()?;
        let reads = Reads::of([query.expr()].into_iter().chain(recovery.as_ref().map(Query::expr)));
        let presence = presence(&query);
        let terms = Terms {
            hold_ms: rule.for_at_least.map_or(0, ms),
            keep_ms: rule.keep_firing_for.map_or(0, ms),
            limit: rule.limit.map_or(LIMIT, |limit| usize::try_from(limit).unwrap_or(LIMIT)),
            missing: Missing::Unknown,
            forget_ms: rule.forget_after.map(ms),
            outage_ms: Some(OUTAGE_MS.max(3 * ms(rule.interval))),
        };
        let nothing = MemorySource::default();
        let limits = Limits { max_samples: 100_000, ..Limits::default() };
        let idle = query.instant(&nothing, 0, &Settings::default(), &limits);
        let idle_samples = idle.map_or(0, |answer| answer.samples);
        let offset_ms = rule.query_offset.map_or(0, ms);
        Ok(Self {
            rule: rule.clone(),
            query,
            presence,
            recovery,
            labels,
            annotations,
            say,
            terms,
            reads,
            idle_samples,
            offset_ms,
        })
    }

    /// The name of the series that it keeps; `None` for a rule that raises alerts.
    pub fn record(&self) -> Option<&str> {
        self.rule.record.as_deref()
    }

    /// How often it is evaluated, in milliseconds: ten times a second at most, whatever it says.
    pub fn interval_ms(&self) -> i64 {
        ms(self.rule.interval).max(100)
    }
}

fn ms(span: Dur) -> i64 {
    i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX)
}

fn fault(field: &str, message: impl Into<String>) -> Fault {
    Fault { field: field.into(), message: message.into() }
}

fn query(field: &str, text: &str) -> Result<Query, Fault> {
    let query = Query::parse(text).map_err(|e| fault(field, e.to_string()))?;
    match query.expr().value_type() {
        Type::Vector | Type::Scalar => Ok(query),
        other => Err(fault(field, format!("is a {}; a rule needs an instant vector or a scalar", other.name()))),
    }
}

fn template(field: &str, text: &str) -> Result<Template, Fault> {
    Template::parse(text).map_err(|e| fault(field, e.to_string()))
}

/// Letters, digits, `_` and `:`, not beginning with a digit.
pub fn is_metric_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':'))
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

/// Letters, digits and `_`, not beginning with a digit.
pub fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}
