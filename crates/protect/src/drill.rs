//! Drill: a continuity plan tried out, with the times it took. What went wrong in it becomes an action, not an edit here.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Dur, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A continuity plan tried out: what was done, how long it took, and whether the promise was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// What is tried out.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// How far it goes.
    #[serde(default)]
    pub kind: DrillKind,
    /// The plan that is tried out.
    pub plan: Option<Ref>,
    /// What is supposed to have happened.
    #[schemars(extend("x-multiline" = true))]
    pub scenario: Option<String>,
    /// When it is to take place.
    pub planned_at: Option<Time>,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// Who took part.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub participants: Vec<Ref>,
    /// What was done, step by step.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub steps: Vec<DrillStep>,
    /// After how much time the service worked again.
    pub achieved_time: Option<Dur>,
    /// How much of the latest data was lost.
    pub achieved_point: Option<Dur>,
    /// What was learned.
    #[schemars(extend("x-multiline" = true))]
    pub conclusion: Option<String>,
}

/// How far a drill goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrillKind {
    /// People talk it through.
    #[default]
    Tabletop,
    /// Parts are really done, away from production.
    Functional,
    /// Everything is really done.
    Full,
}

/// One step as it was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillStep {
    /// What was to be done.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// How long it should take.
    pub expected: Option<Dur>,
    /// How long it took.
    pub took: Option<Dur>,
    /// It was done.
    #[serde(default)]
    pub ok: bool,
    /// What was noticed.
    #[schemars(length(max = 2000))]
    pub remark: Option<String>,
}

impl Class for Drill {
    const KIND: &'static str = "drill";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("DRL-")
            .states(&[
                ("planned", true, "It has its date."),
                ("running", true, "It is taking place."),
                ("held", true, "It is over; what was learned is not written down yet."),
                ("passed", false, "What is promised was kept."),
                ("failed", false, "What is promised was not kept; actions follow it up."),
                ("cancelled", false, "It did not take place."),
            ])
            .transition(Step::new("start", &["planned"], "running", "It takes place.").sets("started_at", "$now"))
            .transition(Step::new("finish", &["running"], "held", "It is over.").sets("ended_at", "$now"))
            .transition(
                Step::new("pass", &["running", "held"], "passed", "What is promised was kept.")
                    .needs(&["conclusion"])
                    .asks_for(&["achieved_time", "achieved_point"]),
            )
            .transition(
                Step::new("fail", &["running", "held"], "failed", "What is promised was not kept.")
                    .needs(&["conclusion"]),
            )
            .step("cancel", &["planned", "running"], "cancelled", "It does not take place.")
            .refers("plan", &["continuity-plan"], "of", OnDelete::Block)
            .refers("participants", &["person"], "attended-by", OnDelete::Unlink)
            .link("on", &[], "Services and places that it is about.")
            .computes(&["started_at", "ended_at"], |_| {})
            .check(|fields| in_order(fields, "started_at", "ended_at"))
            .indexed(&["kind", "planned_at", "plan"])
            .columns(&["key", "title", "kind", "plan", "state", "planned_at", "achieved_time", "owner"])
            .sorts(&["-updated", "planned_at"])
            .practices(&["service continuity management", "ISO/IEC 20000-1 8.7.2", "CIS 17.7"])
    }
}
