//! Opportunity: somebody may want something. What is offered is a proposal; what is done after a yes is a project.

use kernel::define::Step;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Somebody who may want a service of ours: what is wanted, how large, how likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Opportunity {
    /// What it is about.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Who may want it.
    #[schemars(length(max = 300))]
    pub customer: Option<String>,
    /// Whom to talk to.
    #[schemars(length(max = 500))]
    pub contact: Option<String>,
    /// How it came.
    #[schemars(length(max = 200))]
    pub source: Option<String>,
    /// What it may bring, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000000.0))]
    pub value: Option<f64>,
    /// How likely it is.
    #[serde(default = "probability_default")]
    #[schemars(range(min = 0, max = 100), extend("x-unit" = "percent"))]
    pub probability: u32,
    /// Value times probability.
    pub expected: Option<f64>,
    /// When a decision is expected.
    pub close_by: Option<Time>,
    /// What is wanted.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub requirements: Vec<Wish>,
    /// Figures for the sizing: users, requests a second, gigabytes, places …
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub workload: BTreeMap<String, f64>,
    /// What was shown, and how it was received.
    #[schemars(extend("x-multiline" = true))]
    pub demonstration: Option<String>,
    /// Why it came to nothing.
    #[schemars(length(max = 1000))]
    pub lost_because: Option<String>,
}

/// Something that is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What is wanted.
    #[schemars(length(min = 1, max = 2000))]
    pub text: String,
    /// Without it there is no contract.
    #[serde(default)]
    pub must: bool,
    /// What we can say to it.
    #[schemars(length(max = 2000))]
    pub answer: Option<String>,
    /// Whether we can do it.
    #[serde(default)]
    pub met: Met,
}

/// Whether something can be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// Not looked at.
    #[default]
    Open,
    /// As it is.
    Yes,
    /// After something was made or altered.
    WithWork,
    /// Not at all.
    No,
}

impl Class for Opportunity {
    const KIND: &'static str = "opportunity";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Opportunity", "Opportunities")
            .numbered("OPP-")
            .states(&[
                ("new", true, "Nobody has looked at it."),
                ("qualified", true, "It is worth the work."),
                ("proposed", true, "There is a proposal."),
                ("won", false, "The customer said yes."),
                ("lost", false, "It came to nothing."),
            ])
            .transition(Step::new("qualify", &["new"], "qualified", "It is worth the work.").takes_owner())
            .step("propose", &["new", "qualified"], "proposed", "There is a proposal.")
            .step("win", &["qualified", "proposed"], "won", "The customer said yes.")
            .transition(
                Step::new("lose", &["new", "qualified", "proposed"], "lost", "It came to nothing.")
                    .needs(&["lost_because"]),
            )
            .step("reopen", &["won", "lost"], "qualified", "It is open again.")
            .link("agreed-with", &["tenant"], "The customer, if it is one already.")
            .link("about", &["service", "catalogue-item"], "Services that are wanted.")
            .link("leads-to", &["project", "contract"], "What became of it.")
            .computes(&["expected"], expected)
            .indexed(&["close_by"])
            .columns(&["key", "title", "customer", "value", "probability", "expected", "state", "owner", "close_by"])
            .sorts(&["-updated", "close_by", "-expected"])
            .practices(&["relationship management", "business analysis", "ISO/IEC 20000-1 8.4.2"])
    }
}

/// Fills `expected`; none while the value is not known.
fn expected(fields: &mut Map<String, Value>) {
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let expected = number("value").map(|v| v * number("probability").unwrap_or(20.0) / 100.0);
    fields.insert("expected".into(), expected.into());
}

fn probability_default() -> u32 {
    20
}
