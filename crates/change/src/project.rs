//! Project: work with an end and a result, from the wish to the hand-over. What is done in it are tasks and changes.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Work with a goal and an end: a roll-out, a move, an implementation at a customer's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// What it is about.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What will be different when it is done.
    #[schemars(extend("x-multiline" = true))]
    pub goal: Option<String>,
    /// What kind of project it is.
    #[serde(default)]
    pub kind: ProjectKind,
    /// When it begins.
    pub start: Option<Time>,
    /// When it is to be over.
    pub end: Option<Time>,
    /// When it was first to be over.
    pub baseline_end: Option<Time>,
    /// How much of it is done.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100), extend("x-unit" = "percent"))]
    pub progress: u32,
    /// What it may cost, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000000.0))]
    pub budget: Option<f64>,
    /// What it has cost so far.
    #[schemars(range(min = 0.0, max = 1000000000000.0))]
    pub spent: Option<f64>,
    /// Work that it was estimated at.
    pub effort: Option<Dur>,
    /// What is wanted, and whether it has been shown.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub requirements: Vec<Requirement>,
    /// What has to be prepared: hardware, access, room, power, people.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub checklist: Vec<CheckItem>,
    /// Who accepted the result, when, and with what reservations.
    #[schemars(extend("x-multiline" = true))]
    pub sign_off: Option<String>,
}

/// What kind of project it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectKind {
    /// For the organisation itself.
    #[default]
    Internal,
    /// At a customer's: preparing, installing, testing, training, handing over.
    Implementation,
    /// From one system or place to another.
    Migration,
    /// So that something goes better.
    Improvement,
}

/// Something that is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// What is wanted.
    #[schemars(length(min = 1, max = 2000))]
    pub text: String,
    /// How much it is wanted.
    #[serde(default)]
    pub weight: RequirementWeight,
    /// How one sees that it is there.
    #[schemars(length(max = 1000))]
    pub test: Option<String>,
    /// It has been shown and accepted.
    #[serde(default)]
    pub accepted: bool,
}

/// How much something is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementWeight {
    /// Without it the result is of no use.
    #[default]
    Must,
    /// It is expected.
    Should,
    /// It would be welcome.
    Could,
}

/// Something to be ticked off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckItem {
    /// What is to be done.
    #[schemars(length(min = 1, max = 500))]
    pub text: String,
    /// It is done.
    #[serde(default)]
    pub done: bool,
}

impl Class for Project {
    const KIND: &'static str = "project";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("PRJ-")
            .states(&[
                ("proposed", true, "Nobody has decided."),
                ("planned", true, "It will be done; it has not begun."),
                ("active", true, "It is being done."),
                ("on-hold", true, "It rests."),
                ("handed-over", true, "The result is in use; acceptance is still open."),
                ("completed", false, "The result was accepted."),
                ("cancelled", false, "It is not done, or not to its end."),
            ])
            .step("approve", &["proposed"], "planned", "It will be done.")
            .transition(
                Step::new("start", &["proposed", "planned", "on-hold"], "active", "It is being done.").takes_owner(),
            )
            .step("hold", &["planned", "active"], "on-hold", "It rests.")
            .step("hand-over", &["active"], "handed-over", "Operations takes the result over.")
            .transition(
                Step::new("complete", &["active", "handed-over"], "completed", "The result was accepted.")
                    .needs(&["sign_off"]),
            )
            .step(
                "cancel",
                &["proposed", "planned", "active", "on-hold"],
                "cancelled",
                "It is not done, or not to its end.",
            )
            .step("reopen", &["completed", "cancelled"], "active", "It goes on.")
            .link("about", &[], "Services, places or systems that it builds or alters.")
            .link("agreed-with", &["tenant"], "The customer that it is done for.")
            .link("arises-from", &["proposal", "request", "improvement"], "Where it comes from.")
            .link("part-of", &["project"], "The larger project that it is a part of.")
            .link("staffed-by", &["person", "team", "supplier"], "Who works on it.")
            .check(|fields| in_order(fields, "start", "end"))
            .indexed(&["kind", "end"])
            .columns(&["key", "title", "kind", "state", "progress", "start", "end", "budget", "spent", "owner"])
            .sorts(&["-updated", "end"])
            .practices(&[
                "project management",
                "service design",
                "service validation and testing",
                "ISO/IEC 20000-1 8.5.2",
            ])
    }
}
