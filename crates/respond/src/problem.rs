//! Problem: the cause behind incidents. It pages nobody; restoring service is the incident's business.

use kernel::define::Step;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::priority::{Level, priority};

/// The unknown cause of one or more incidents, or of incidents that have not happened yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What keeps going wrong, in one line.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What is known: symptoms, pattern, what was tried.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// How it came to notice.
    #[serde(default)]
    pub origin: Origin,
    /// How much of the business its incidents hit.
    #[serde(default)]
    pub impact: Level,
    /// How long the business can wait for the cause to be removed.
    #[serde(default)]
    pub urgency: Level,
    /// From 1 (drop everything) to 5, from impact and urgency.
    #[schemars(range(min = 1, max = 5))]
    pub priority: Option<u32>,
    /// What kind of trouble it is.
    #[schemars(length(min = 1, max = 100))]
    pub category: Option<String>,
    /// Why it happens.
    #[schemars(extend("x-multiline" = true))]
    pub root_cause: Option<String>,
    /// How the cause was found: five whys, fault tree, timeline …
    #[schemars(length(max = 200))]
    pub method: Option<String>,
    /// How users can work in the meantime.
    #[schemars(extend("x-multiline" = true))]
    pub workaround: Option<String>,
    /// What removed the cause.
    #[schemars(extend("x-multiline" = true))]
    pub resolution: Option<String>,
    /// By when the cause is to be removed.
    pub target_date: Option<Time>,
    /// When the cause was removed.
    pub resolved_at: Option<Time>,
}

/// How a problem came to notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// After incidents.
    #[default]
    Reactive,
    /// Before any incident: by trend, forecast, review or audit.
    Proactive,
}

impl Class for Problem {
    const KIND: &'static str = "problem";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("PRB-")
            .states(&[
                ("logged", true, "Recorded; nobody looks for the cause yet."),
                ("analysing", true, "The cause is being looked for."),
                ("known", true, "The cause is known, and not yet removed: a known error."),
                ("resolved", false, "The cause has been removed; whether that holds is being watched."),
                ("closed", false, "It has been shown that the incidents stay away."),
                ("cancelled", false, "Not a problem, or one that was there already."),
            ])
            .transition(
                Step::new("analyse", &["logged", "known"], "analysing", "Starts to look for the cause.").takes_owner(),
            )
            .transition(
                Step::new("identify", &["logged", "analysing"], "known", "The cause is known.")
                    .titled("Cause found")
                    .needs(&["root_cause"])
                    .asks_for(&["workaround"]),
            )
            .transition(
                Step::new("resolve", &["logged", "analysing", "known"], "resolved", "The cause has been removed.")
                    .needs(&["resolution"])
                    .sets("resolved_at", "$now"),
            )
            .step("close", &["resolved"], "closed", "The incidents stayed away.")
            .transition(
                Step::new("reopen", &["resolved", "closed"], "analysing", "It happened again.")
                    .sets("resolved_at", Value::Null),
            )
            .step(
                "cancel",
                &["logged", "analysing", "known"],
                "cancelled",
                "It is no problem, or there is another record of it.",
            )
            .link("affects", &[], "Records that it hits.")
            .link("caused-by", &[], "The record, change or supplier that is the cause.")
            .link("resolved-by", &["change"], "The change that removes the cause.")
            .link("duplicate-of", &["problem"], "The problem that already tells of this cause.")
            .at_most_one()
            .link("relates-to", &[], "Anything else that helps to understand it.")
            .computes(&["priority"], priority)
            .computes(&["resolved_at"], |_| {})
            .indexed(&["priority", "category"])
            .columns(&["key", "priority", "title", "state", "owner", "origin", "target_date", "updated"])
            .sorts(&["-updated", "priority"])
            .practices(&["problem management", "ISO/IEC 20000-1 8.6.3"])
    }
}
