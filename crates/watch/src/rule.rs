//! Rule: a condition over time series that raises alerts, or an expression whose answer is kept. [`rules`](crate::rules) evaluates it.

use kernel::{Class, Define, Dur, FieldError, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::rules::compile;
use crate::rules::state::Health;
use crate::severity::Severity;

/// A condition over metrics that raises an alert for every series for which it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it finds, in a few words; its alerts have it as their `alertname`.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The condition in PromQL; each series that it returns is an alert.
    #[schemars(length(min = 1, max = 20000), extend("x-multiline" = true))]
    pub expression: String,
    /// Name of the series under which the answer is kept. A rule with it raises no alerts: it is a recording rule.
    #[schemars(length(min = 1, max = 200))]
    pub record: Option<String>,
    /// Rules of one group are evaluated together, in order of their position.
    #[schemars(length(min = 1, max = 200))]
    pub group: Option<String>,
    /// Its place in the group.
    #[serde(default)]
    pub position: u32,
    /// How long the condition must hold before the alert is raised; at once when left out.
    pub for_at_least: Option<Dur>,
    /// How long the alert stays after the condition last held, against trembling values.
    pub keep_firing_for: Option<Dur>,
    /// Condition for recovery, when it is not simply that the first one no longer holds.
    #[schemars(extend("x-multiline" = true))]
    pub recovery: Option<String>,
    /// How often it is evaluated.
    #[serde(default = "interval_default")]
    pub interval: Dur,
    /// How far before the present it looks, for measurements that arrive late; not at all when left out.
    pub query_offset: Option<Dur>,
    /// Alerts of this rule at most, 10,000 when left out; more are an error of the rule.
    pub limit: Option<u32>,
    /// After how long without data an alert is given up; never when left out.
    pub forget_after: Option<Dur>,
    /// What it means when the expression has nothing to look at.
    #[serde(default)]
    pub no_data: NoData,
    /// How bad it is when it fires.
    #[serde(default)]
    pub severity: Severity,
    /// What the page says; `{{ value }}`, `{{ labels.name }}` and all that Prometheus's templates know are filled in.
    #[schemars(extend("x-multiline" = true))]
    pub say: Option<String>,
    /// Labels that are put on its alerts, or on the series it keeps; texts are filled in as in `say`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Texts that go with its alerts: description, link to a runbook; filled in as in `say`.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Filter of the records it looks at, such as `environment:production`; all when left out.
    pub scope: Option<String>,
    /// The runbook that fits.
    pub runbook: Option<Ref>,
    /// How its evaluation goes: `unknown` while there is nothing to look at.
    #[serde(default)]
    pub evaluation: Health,
    /// When it was last evaluated.
    pub last_evaluated: Option<Time>,
    /// Why it could not be evaluated, if it could not.
    pub last_error: Option<String>,
}

/// What a rule makes of missing data. That the condition does not hold is not among the choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    /// The alert becomes unknown; what was firing keeps firing.
    #[default]
    Unknown,
    /// Missing data is itself an alert.
    Alert,
}

impl Class for Rule {
    const KIND: &'static str = "rule";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("active", true, "It is evaluated."),
            ("paused", true, "It is not evaluated, for now; its alerts stay as they were."),
        ])
        .step("pause", &["active"], "paused", "Stops evaluating it.")
        .step("resume", &["paused"], "active", "Evaluates it again.")
        .refers("runbook", &["runbook"], "answered-with", OnDelete::Unlink)
        .computes(&["last_evaluated", "last_error", "evaluation"], |_| {})
        .check(reads_well)
        .link("about", &[], "Records that it watches over.")
        .indexed(&["severity", "group", "evaluation"])
        .columns(&["key", "title", "severity", "expression", "for_at_least", "evaluation", "state"])
        .sorts(&["key", "-updated"])
        .practices(&["monitoring and event management", "ISO/IEC 20000-1 8.7.1"])
    }
}

/// Refuses what could never be evaluated, at the field that is wrong.
fn reads_well(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let rule = serde_json::from_value::<Rule>(Value::Object(fields.clone()));
    // A shape that does not fit is told by the shape's own check.
    let Ok(rule) = rule else { return Ok(()) };
    match compile::Compiled::new(&rule) {
        Ok(_) => Ok(()),
        Err(fault) => Err(FieldError::new(fault.field, fault.message)),
    }
}

fn interval_default() -> Dur {
    Dur::seconds(30)
}
