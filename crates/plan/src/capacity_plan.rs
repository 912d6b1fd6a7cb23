//! Capacity plan: what will be needed and what is done so that it is there. Figures come from forecasts and measurements,
//! by link.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What will be needed in a period, what there is, and what is done so that it suffices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityPlan {
    /// What it is about.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Beginning of the period.
    pub from: Option<Time>,
    /// End of the period.
    pub to: Option<Time>,
    /// What there is, and how much of it is used.
    #[schemars(extend("x-multiline" = true))]
    pub present: Option<String>,
    /// What is expected, and from whom.
    #[schemars(extend("x-multiline" = true))]
    pub demand: Option<String>,
    /// What could be done.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub options: Vec<Choice>,
    /// What should be done, and why.
    #[schemars(extend("x-multiline" = true))]
    pub recommendation: Option<String>,
    /// By when it is to be looked at again.
    pub review_by: Option<Time>,
}

/// Something that could be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What it costs, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000000.0))]
    pub cost: Option<f64>,
    /// How long it takes until it is there.
    pub lead_time: Option<Dur>,
    /// Until when it suffices.
    pub lasts_until: Option<Time>,
    /// What speaks for it and against it.
    #[schemars(length(max = 2000))]
    pub remark: Option<String>,
}

impl Class for CapacityPlan {
    const KIND: &'static str = "capacity-plan";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Capacity plan", "Capacity plans")
            .numbered("CAP-")
            .states(&[
                ("draft", true, "Being written."),
                ("agreed", true, "It is what is done."),
                ("closed", false, "Its period is over, or another one took its place."),
            ])
            .transition(Step::new("agree", &["draft"], "agreed", "It is what is done.").needs(&["recommendation"]))
            .step("revise", &["agreed", "closed"], "draft", "Takes it back to be changed.")
            .step("close", &["draft", "agreed"], "closed", "Its period is over.")
            .link("about", &[], "Services, clusters or places that it is about.")
            .link("evidenced-by", &["forecast", "report"], "What it rests on.")
            .link("resolved-by", &["project", "change", "contract"], "How it is done.")
            .check(|fields| in_order(fields, "from", "to"))
            .indexed(&["review_by"])
            .columns(&["key", "title", "from", "to", "state", "owner", "review_by", "updated"])
            .sorts(&["-updated", "review_by"])
            .practices(&["capacity and performance management", "ISO/IEC 20000-1 8.4.3"])
    }
}
