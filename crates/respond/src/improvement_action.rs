//! Improvement action: something to be done so that it does not happen again. It is over when its effect has been seen.

use kernel::define::Step;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something to be done so that it does not happen again, or goes better next time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImprovementAction {
    /// What is to be done.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// Why, and how one will see that it helped.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What it is meant to do.
    #[serde(default)]
    pub kind: ActionKind,
    /// By when it is to be done.
    pub due: Option<Time>,
    /// What shows that it helped: a new check, a restore test, a figure.
    #[schemars(extend("x-multiline" = true))]
    pub evidence: Option<String>,
    /// Why it is not done after all.
    #[schemars(length(max = 500))]
    pub dropped_because: Option<String>,
    /// When it was done.
    pub done_at: Option<Time>,
}

/// What an action is meant to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// It does not happen any more.
    #[default]
    Prevent,
    /// It is noticed earlier.
    Detect,
    /// It does less harm.
    Mitigate,
    /// People work together better.
    Process,
}

impl Class for ImprovementAction {
    const KIND: &'static str = "improvement-action";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Improvement action", "Improvement actions")
            .numbered("ACT-")
            .states(&[
                ("open", true, "To be done."),
                ("in-progress", true, "Being done."),
                ("done", true, "Done; whether it helped is not yet shown."),
                ("verified", false, "It has been shown that it helped."),
                ("dropped", false, "Not done."),
            ])
            .transition(Step::new("start", &["open"], "in-progress", "You are doing it.").takes_owner())
            .transition(Step::new("finish", &["open", "in-progress"], "done", "It is done.").sets("done_at", "$now"))
            .transition(
                Step::new("verify", &["done"], "verified", "It has been shown that it helped.").needs(&["evidence"]),
            )
            .transition(
                Step::new("drop", &["open", "in-progress", "done"], "dropped", "It is not done.")
                    .needs(&["dropped_because"]),
            )
            .transition(
                Step::new("reopen", &["done", "verified", "dropped"], "open", "It is to be done after all.")
                    .sets("done_at", Value::Null),
            )
            .link(
                "follows-up",
                &[],
                "The review, incident, problem, drill, audit, finding or complaint that it comes from.",
            )
            .link("evidenced-by", &[], "Records that show that it helped.")
            .link("resolved-by", &["change", "task", "project"], "How it is done.")
            .computes(&["done_at"], |_| {})
            .indexed(&["due"])
            .columns(&["key", "title", "kind", "state", "owner", "due", "updated"])
            .sorts(&["due", "-updated"])
            .practices(&["continual improvement", "problem management", "ISO/IEC 20000-1 10.2"])
    }
}
