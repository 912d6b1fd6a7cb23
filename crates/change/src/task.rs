//! Task: one thing that one person has to do. Whose it is is its owner; what it belongs to is a link.

use kernel::define::Step;
use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that somebody has to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What is to be done.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// How, and how one sees that it is done.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// By when it is to be done.
    pub due: Option<Time>,
    /// When it is to begin.
    pub planned_start: Option<Time>,
    /// From 1 (now) to 5 (when there is time).
    #[serde(default = "priority_default")]
    #[schemars(range(min = 1, max = 5))]
    pub priority: u32,
    /// Work that it was estimated at.
    pub estimate: Option<Dur>,
    /// Work that it has taken.
    pub spent: Option<Dur>,
    /// What belongs to it.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub checklist: Vec<ChecklistItem>,
    /// What stands in the way.
    #[schemars(length(max = 500))]
    pub obstacle: Option<String>,
    /// What came of it.
    #[schemars(extend("x-multiline" = true))]
    pub result: Option<String>,
    /// When it was done.
    pub done_at: Option<Time>,
}

/// Something to be ticked off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChecklistItem {
    /// What is to be done.
    #[schemars(length(min = 1, max = 500))]
    pub text: String,
    /// It is done.
    #[serde(default)]
    pub done: bool,
}

impl Class for Task {
    const KIND: &'static str = "task";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("TSK-")
            .states(&[
                ("to-do", true, "Nobody has begun."),
                ("doing", true, "Somebody is doing it."),
                ("blocked", true, "Something stands in the way."),
                ("done", false, "It is done."),
                ("cancelled", false, "It is not done."),
            ])
            .transition(Step::new("start", &["to-do", "blocked"], "doing", "You are doing it.").takes_owner())
            .transition(
                Step::new("block", &["to-do", "doing"], "blocked", "Something stands in the way.").needs(&["obstacle"]),
            )
            .transition(
                Step::new("finish", &["to-do", "doing", "blocked"], "done", "It is done.")
                    .asks_for(&["result", "spent"])
                    .sets("done_at", "$now"),
            )
            .transition(
                Step::new("reopen", &["done", "cancelled"], "to-do", "It is to be done after all.")
                    .sets("done_at", Value::Null),
            )
            .step("cancel", &["to-do", "doing", "blocked"], "cancelled", "It is not done.")
            .link(
                "part-of",
                &["project", "change", "request", "incident", "problem", "release", "drill", "audit", "task"],
                "What it belongs to.",
            )
            .link("depends-on", &["task"], "Tasks that have to be done before.")
            .link("about", &[], "What it is done to.")
            .computes(&["done_at"], |_| {})
            .indexed(&["priority", "due"])
            .columns(&["key", "priority", "title", "state", "owner", "due", "updated"])
            .sorts(&["due", "-updated", "priority"])
            .practices(&["project management", "workforce and talent management"])
    }
}

fn priority_default() -> u32 {
    3
}
