//! Risk: what could happen, how likely and how bad. It computes a score; what is done about it is a decision of people.

use kernel::define::Step;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Something that could happen, how likely and how bad it is, and what is done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    /// What could happen.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What could lead to it, and what would follow.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What kind of risk it is: security, supplier, people, technology, law …
    #[schemars(length(min = 1, max = 100))]
    pub category: Option<String>,
    /// From 1 (hardly) to 5 (almost certainly).
    #[serde(default = "likelihood_default")]
    #[schemars(range(min = 1, max = 5))]
    pub likelihood: u32,
    /// From 1 (hardly noticed) to 5 (the organisation is in danger).
    #[serde(default = "impact_default")]
    #[schemars(range(min = 1, max = 5))]
    pub impact: u32,
    /// Likelihood times impact.
    #[schemars(range(min = 1, max = 25))]
    pub score: Option<u32>,
    /// What is done about it.
    pub treatment: Option<Treatment>,
    /// How.
    #[schemars(extend("x-multiline" = true))]
    pub treatment_plan: Option<String>,
    /// Likelihood when that is done.
    #[schemars(range(min = 1, max = 5))]
    pub residual_likelihood: Option<u32>,
    /// Impact when that is done.
    #[schemars(range(min = 1, max = 5))]
    pub residual_impact: Option<u32>,
    /// Likelihood times impact when that is done.
    #[schemars(range(min = 1, max = 25))]
    pub residual_score: Option<u32>,
    /// By when somebody must look at it again.
    pub review_by: Option<Time>,
    /// Why it is lived with, and who said so.
    #[schemars(extend("x-multiline" = true))]
    pub accepted_because: Option<String>,
}

/// What is done about a risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// What leads to it is given up.
    Avoid,
    /// It is made less likely or less bad.
    Reduce,
    /// Somebody else bears it: an insurance, a supplier.
    Transfer,
    /// It is lived with.
    Accept,
}

impl Class for Risk {
    const KIND: &'static str = "risk";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("RSK-")
            .states(&[
                ("identified", true, "Named; nobody has weighed it."),
                ("assessed", true, "Weighed; nobody has decided what to do."),
                ("treating", true, "Something is being done about it."),
                ("accepted", true, "It is lived with, and looked at again on a day."),
                ("closed", false, "It cannot happen any more."),
            ])
            .transition(
                Step::new("assess", &["identified", "treating", "accepted"], "assessed", "It has been weighed.")
                    .asks_for(&["likelihood", "impact"]),
            )
            .transition(
                Step::new("treat", &["identified", "assessed", "accepted"], "treating", "Something is done about it.")
                    .needs(&["treatment"])
                    .asks_for(&["treatment_plan"]),
            )
            .transition(
                Step::new("accept", &["identified", "assessed", "treating"], "accepted", "It is lived with.")
                    .needs(&["accepted_because", "review_by"]),
            )
            .step("close", &["identified", "assessed", "treating", "accepted"], "closed", "It cannot happen any more.")
            .step("reopen", &["closed"], "identified", "It can happen after all.")
            .link("about", &[], "What it threatens: a service, a supplier, a place.")
            .link("mitigated-by", &["control", "continuity-plan", "change", "project"], "What makes it smaller.")
            .link("arises-from", &["finding", "audit", "incident", "problem", "review"], "What it was noticed by.")
            .computes(&["score", "residual_score"], scores)
            .indexed(&["score", "category", "review_by"])
            .columns(&[
                "key",
                "score",
                "title",
                "category",
                "likelihood",
                "impact",
                "treatment",
                "state",
                "owner",
                "review_by",
            ])
            .sorts(&["-score", "-updated", "review_by"])
            .practices(&["risk management", "information security management", "ISO/IEC 20000-1 6.1"])
    }
}

/// Fills the scores; what was not said counts as in the middle, as its default does.
fn scores(fields: &mut Map<String, Value>) {
    let number = |name: &str| fields.get(name).and_then(Value::as_i64);
    let score = number("likelihood").unwrap_or(3) * number("impact").unwrap_or(3);
    let residual = number("residual_likelihood").zip(number("residual_impact")).map(|(l, i)| l * i);
    fields.insert("score".into(), score.into());
    fields.insert("residual_score".into(), residual.into());
}

fn likelihood_default() -> u32 {
    3
}

fn impact_default() -> u32 {
    3
}
