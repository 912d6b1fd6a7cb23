//! Improvement: something that could go better, with the figure that shows it before and after. Without a figure it is a
//! wish.

use kernel::define::Step;
use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that could go better, what it would bring, and the figure that shows it before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Improvement {
    /// What could go better.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What is to be done, and why.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What it brings, to whom.
    #[schemars(extend("x-multiline" = true))]
    pub benefit: Option<String>,
    /// What shows that it went better.
    #[schemars(length(max = 500))]
    pub measure: Option<String>,
    /// Unit of that figure.
    #[schemars(length(max = 50))]
    pub unit: Option<String>,
    /// The figure before.
    pub baseline: Option<f64>,
    /// The figure that is wanted.
    pub target: Option<f64>,
    /// The figure after.
    pub achieved: Option<f64>,
    /// Work that it takes.
    pub effort: Option<Dur>,
    /// What it costs, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000000.0))]
    pub cost: Option<f64>,
    /// From 1 (now) to 5 (when there is time).
    #[serde(default = "priority_default")]
    #[schemars(range(min = 1, max = 5))]
    pub priority: u32,
    /// By when it is to be done.
    pub due: Option<Time>,
    /// A rule or a standard was not kept; cause, action and effect are written down.
    #[serde(default)]
    pub nonconformity: bool,
    /// Why it is not as it should be.
    #[schemars(extend("x-multiline" = true))]
    pub cause: Option<String>,
    /// Whether it helped, and what was learned.
    #[schemars(extend("x-multiline" = true))]
    pub evaluation: Option<String>,
    /// Why it is not done.
    #[schemars(length(max = 1000))]
    pub rejected_because: Option<String>,
}

impl Class for Improvement {
    const KIND: &'static str = "improvement";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("IMP-")
            .states(&[
                ("proposed", true, "Nobody has decided."),
                ("approved", true, "It will be done."),
                ("in-progress", true, "It is being done."),
                ("done", true, "It was done; whether it helped is not known yet."),
                ("evaluated", false, "It is known whether it helped."),
                ("rejected", false, "It is not done."),
            ])
            .transition(
                Step::new("approve", &["proposed", "rejected"], "approved", "It will be done.")
                    .asks_for(&["measure", "baseline", "target"]),
            )
            .transition(Step::new("start", &["proposed", "approved"], "in-progress", "You are doing it.").takes_owner())
            .step("finish", &["approved", "in-progress"], "done", "It was done.")
            .transition(
                Step::new("evaluate", &["done"], "evaluated", "It is known whether it helped.")
                    .needs(&["evaluation"])
                    .asks_for(&["achieved"]),
            )
            .transition(
                Step::new("reject", &["proposed", "approved", "in-progress"], "rejected", "It is not done.")
                    .needs(&["rejected_because"]),
            )
            .step("reopen", &["done", "evaluated"], "in-progress", "It did not help enough.")
            .link(
                "follows-up",
                &["review", "audit", "complaint", "survey", "incident", "problem", "report", "risk"],
                "Where it comes from.",
            )
            .link("about", &[], "What goes better.")
            .link("resolved-by", &["project", "change", "task", "improvement-action"], "How it is done.")
            .indexed(&["priority", "due", "nonconformity"])
            .columns(&[
                "key", "priority", "title", "measure", "baseline", "target", "achieved", "state", "owner", "due",
            ])
            .sorts(&["-updated", "priority", "due"])
            .practices(&["continual improvement", "ISO/IEC 20000-1 10.2"])
    }
}

fn priority_default() -> u32 {
    3
}
