//! Runbook: steps that mend or look after something. Commands are argument vectors; nothing here ever goes through a
//! shell.

use kernel::define::is_schedule;
use kernel::{Class, Define, Dur, FieldError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Steps that mend something or look after it, done by Mainstay, by a person, or by both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// What it does, in a few words; its key when left out.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// When to use it, when not, and what it changes.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What has to be known before it starts; used in steps as `{{ name }}`.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub parameters: BTreeMap<String, Parameter>,
    /// Who must agree before it starts: none, one (person), two (people), or the name of a policy.
    #[serde(default = "approval_default")]
    #[schemars(length(min = 1, max = 63))]
    pub approval: String,
    /// What is done, in order; it stops at the first step that fails.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub steps: Vec<RunbookStep>,
    /// What is done to go back, in order, when a step failed whose on_failure is stop.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub undo: Vec<RunbookStep>,
    /// It starts by itself when this happens.
    pub when: Option<When>,
    /// It starts by itself at these times: cron, `every 6h`, or a recurrence rule.
    #[schemars(length(max = 500))]
    pub schedule: Option<String>,
    /// Zone of the schedule, such as Europe/London; UTC when left out.
    #[schemars(length(min = 1, max = 64))]
    pub timezone: Option<String>,
    /// How often and on how much it may run; beyond that a person is asked.
    #[serde(default = "limits_default")]
    pub limits: Limits,
    /// Keys of records, or names of classes, on which it may run; empty: on any that its agent allows.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub allowed_on: Vec<String>,
}

/// A value that a runbook has to be given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it is.
    #[serde(default)]
    pub r#type: ParameterType,
    /// What it means.
    #[schemars(length(max = 500))]
    pub help: Option<String>,
    /// Value when none is given; without one it has to be given.
    #[serde(default)]
    pub default: Value,
    /// The only values allowed; empty: any of its type.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub values: Vec<String>,
    /// Regular expression that the whole text must match.
    #[schemars(length(max = 500))]
    pub pattern: Option<String>,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterType {
    /// One line of text. It is always one argument, whatever it contains.
    #[default]
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A span of time such as 30s.
    Duration,
}

/// One step: a command, a check to wait for, or something that a person does. Exactly one of run, check and ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunbookStep {
    /// What it does, in a few words.
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// Command and arguments; no shell is involved, and `{{ name }}` stays one argument.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub run: Vec<String>,
    /// Key of the check that must become OK.
    #[schemars(length(max = 128))]
    pub check: Option<String>,
    /// What a person is to do and then confirm; the run waits. `{{ name }}` is filled in here, too.
    #[schemars(length(min = 1, max = 4000), extend("x-multiline" = true))]
    pub ask: Option<String>,
    /// How long to wait for the check (30 seconds when left out) or the person (1 hour); then the step has failed.
    pub within: Option<Dur>,
    /// How long the command may take; 30 seconds when left out.
    pub timeout: Option<Dur>,
    /// Exit codes that count as done; 0 when empty.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub expect_exit: Vec<i64>,
    /// What happens when it fails.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What follows a failed step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The run fails, and the undo steps are done.
    #[default]
    Stop,
    /// The next step is done all the same.
    Continue,
}

/// A state that starts a runbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Key of the check.
    #[schemars(length(max = 128))]
    pub check: Option<String>,
    /// Key of the rule whose alert starts it.
    #[schemars(length(max = 128))]
    pub rule: Option<String>,
    /// Filter of the incident or alert that starts it.
    #[schemars(length(max = 1000))]
    pub matches: Option<String>,
    /// State of the check that starts it.
    #[serde(default)]
    pub state: WhenState,
}

/// The states of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenState {
    /// It works, and somebody should look.
    #[serde(rename = "WARNING")]
    Warning,
    /// It does not work.
    #[serde(rename = "CRITICAL")]
    #[default]
    Critical,
    /// There is no answer.
    #[serde(rename = "UNKNOWN")]
    Unknown,
}

/// How often and on how much a runbook may run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Runs in an hour on one record that start by themselves; after that a person is asked.
    #[serde(default = "limits_max_per_hour")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_per_hour: u32,
    /// Runs at the same time.
    #[serde(default = "limits_concurrency")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: u32,
    /// Records that one start may touch.
    #[serde(default = "limits_max_targets")]
    #[schemars(range(min = 1, max = 100000))]
    pub max_targets: u32,
}

impl Class for Runbook {
    const KIND: &'static str = "runbook";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("active", true, "May be run."),
            ("draft", true, "Being written; it can be run by hand only."),
            ("paused", true, "Is not run at all, for now."),
            ("retired", false, "No longer in use."),
        ])
        .step("pause", &["active", "draft"], "paused", "Nothing starts it until it is resumed.")
        .step("resume", &["paused"], "active", "It may be run again.")
        .step("revise", &["active", "paused"], "draft", "It is being rewritten; nothing starts it by itself.")
        .step("approve", &["draft"], "active", "It has been reviewed and may be run.")
        .step("retire", &["active", "draft", "paused"], "retired", "Takes it out of use.")
        .link("applies-to", &[], "Records or software that it was written for; it is offered on their pages.")
        .check(steps_are_one_thing)
        .check(|fields| is_schedule(fields, "schedule", "timezone"))
        .indexed(&["approval"])
        .columns(&["key", "title", "approval", "schedule", "owner", "state", "updated"])
        .sorts(&["key", "-updated"])
        .practices(&[
            "incident management",
            "infrastructure and platform management",
            "service request management",
        ])
    }
}

/// A step that is a command and a question at once, or nothing at all, would be read in two ways.
fn steps_are_one_thing(fields: &Map<String, Value>) -> Result<(), FieldError> {
    for list in ["steps", "undo"] {
        for (i, step) in fields.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let run = step.get("run").and_then(Value::as_array).is_some_and(|a| !a.is_empty());
            let others = ["check", "ask"].into_iter().filter(|n| step.get(n).is_some_and(|v| !v.is_null())).count();
            if usize::from(run) + others != 1 {
                return Err(FieldError::new(format!("{list}.{i}"), "needs exactly one of run, check and ask"));
            }
        }
    }
    Ok(())
}

fn approval_default() -> String {
    "one".to_owned()
}

fn limits_default() -> Limits {
    Limits { max_per_hour: limits_max_per_hour(), concurrency: limits_concurrency(), max_targets: limits_max_targets() }
}

fn limits_max_per_hour() -> u32 {
    3
}

fn limits_concurrency() -> u32 {
    1
}

fn limits_max_targets() -> u32 {
    10
}
