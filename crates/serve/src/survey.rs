//! Survey: a few questions to those who were served. Answers are kept apart from who gave them when it promises that.

use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A few questions to those who were served, asked after a request or at intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// Heading that people see.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What stands above the questions.
    #[schemars(extend("x-multiline" = true))]
    pub introduction: Option<String>,
    /// What is asked.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub questions: Vec<SurveyQuestion>,
    /// When it is asked.
    #[serde(default)]
    pub trigger: Trigger,
    /// Share of the occasions on which it is asked.
    #[serde(default = "share_default")]
    #[schemars(range(min = 0, max = 100), extend("x-unit" = "percent"))]
    pub share: u32,
    /// Who answered is not kept.
    #[serde(default)]
    pub anonymous: bool,
    /// Until when it can be answered.
    pub open_until: Option<Time>,
    /// Answers below this open a task for somebody to call back.
    #[schemars(range(min = 1, max = 5))]
    pub follow_up_below: Option<u32>,
    /// How often it was asked.
    #[serde(default)]
    pub sent: u32,
    /// How often it was answered.
    #[serde(default)]
    pub answered: u32,
    /// Mean of the scores.
    #[schemars(range(min = 0.0, max = 5.0))]
    pub mean_score: Option<f64>,
}

/// One question of a survey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SurveyQuestion {
    /// The question.
    #[schemars(length(min = 1, max = 500))]
    pub text: String,
    /// What kind of answer it wants.
    #[serde(default)]
    pub kind: AnswerKind,
    /// Answers to choose from.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub choices: Vec<String>,
}

/// What kind of answer a survey wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// From 1 to 5.
    #[default]
    Score,
    /// Yes or no.
    YesNo,
    /// One of several.
    Choice,
    /// In one's own words.
    Text,
}

/// When a survey is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// After a request was fulfilled.
    #[default]
    AfterRequest,
    /// After an incident was resolved.
    AfterIncident,
    /// At intervals, of all users of a service.
    AtIntervals,
    /// When somebody sends it.
    ByHand,
}

impl Class for Survey {
    const KIND: &'static str = "survey";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("draft", true, "Being written."),
            ("running", true, "It is being asked."),
            ("closed", false, "It is no longer asked."),
        ])
        .step("start", &["draft", "closed"], "running", "It is asked from now on.")
        .step("close", &["running"], "closed", "It is no longer asked.")
        .link("about", &["service", "team", "project", "supplier"], "What people are asked about.")
        .computes(&["sent", "answered", "mean_score"], |_| {})
        .columns(&["key", "title", "trigger", "state", "sent", "answered", "mean_score", "updated"])
        .sorts(&["key", "-updated"])
        .practices(&[
            "relationship management",
            "service desk",
            "continual improvement",
            "ISO/IEC 20000-1 8.3.2",
        ])
    }
}

fn share_default() -> u32 {
    100
}
