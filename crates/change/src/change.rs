//! Change: something that is about to be altered, who agreed, and how to go back. Doing it is for runbooks, deployments
//! and people.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Dur, OnDelete, Record, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Something that is about to be altered: why, how, when, with what risk, and how to go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What is altered, in one line.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// Why, and what will be different.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Which way it takes.
    #[serde(default)]
    pub kind: ChangeKind,
    /// Key of the model or runbook that a standard change follows.
    #[schemars(length(max = 128))]
    pub model: Option<String>,
    /// What is altered: hardware, software, network, data …
    #[schemars(length(min = 1, max = 100))]
    pub category: Option<String>,
    /// How much of the business it could hit if it goes wrong.
    #[serde(default)]
    pub impact: Weight,
    /// How likely it is to go wrong.
    #[serde(default)]
    pub likelihood: Weight,
    /// From 1 (low) to 5 (high), from impact and likelihood.
    #[schemars(range(min = 1, max = 5))]
    pub risk: Option<u32>,
    /// What is done, step by step.
    #[schemars(extend("x-multiline" = true))]
    pub plan: Option<String>,
    /// How one sees that it worked, before and after.
    #[schemars(extend("x-multiline" = true))]
    pub test_plan: Option<String>,
    /// How to go back, and until when one can.
    #[schemars(extend("x-multiline" = true))]
    pub back_out_plan: Option<String>,
    /// How long users will notice it.
    pub outage: Option<Dur>,
    /// When it is to begin.
    pub planned_start: Option<Time>,
    /// When it is to be over.
    pub planned_end: Option<Time>,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// People who have to agree.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub approvers: Vec<Ref>,
    /// Who agreed.
    pub approved_by: Option<String>,
    /// When it was agreed to.
    pub approved_at: Option<Time>,
    /// Why it was refused.
    #[schemars(length(max = 1000))]
    pub rejection: Option<String>,
    /// What happened.
    #[schemars(extend("x-multiline" = true))]
    pub outcome: Option<String>,
    /// Whether it did what it was meant to, judged from what was measured.
    pub verdict: Option<Verdict>,
}

/// Which way a change takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Known, of low risk, agreed to in advance; follows a model.
    Standard,
    /// Assessed and agreed to before it is done.
    #[default]
    Normal,
    /// Cannot wait; assessed while or after it is done.
    Emergency,
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// A whole service or site; more likely than not.
    High,
    /// A part; possible.
    #[default]
    Medium,
    /// Hardly anybody; unlikely.
    Low,
}

/// Whether a change did what it was meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It did, and nothing else happened.
    Successful,
    /// It did in part, or with side effects.
    Partly,
    /// It was taken back.
    BackedOut,
    /// It did not, or did harm.
    Failed,
}

impl Class for Change {
    const KIND: &'static str = "change";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("CHG-")
            .states(&[
                ("draft", true, "Being written."),
                ("assessing", true, "Risk, benefit and conflicts are being looked at."),
                ("awaiting-approval", true, "Somebody must agree."),
                ("approved", true, "It was agreed to."),
                ("scheduled", true, "It has its time and waits for it."),
                ("implementing", true, "It is being done."),
                ("implemented", true, "It was done; how it went has not been looked at yet."),
                ("backed-out", true, "It was taken back; how it went has not been looked at yet."),
                ("closed", false, "It is over, and how it went is written down."),
                ("rejected", false, "It was refused."),
                ("cancelled", false, "It is not done."),
            ])
            .step("submit", &["draft"], "assessing", "Asks others to look at risk, benefit and conflicts.")
            .transition(
                Step::new("ask-approval", &["draft", "assessing"], "awaiting-approval", "Asks for agreement.")
                    .guarded(is_planned),
            )
            .transition(
                Step::new("approve", &["assessing", "awaiting-approval", "draft"], "approved", "You agree to it.")
                    .sets("approved_by", "$actor")
                    .sets("approved_at", "$now")
                    .guarded(is_planned),
            )
            .transition(
                Step::new(
                    "reject",
                    &["assessing", "awaiting-approval", "approved", "scheduled"],
                    "rejected",
                    "It is refused.",
                )
                .needs(&["rejection"]),
            )
            .transition(
                Step::new("schedule", &["draft", "approved", "scheduled"], "scheduled", "It gets its time.")
                    .needs(&["planned_start", "planned_end"])
                    .guarded(may_be_done),
            )
            .transition(
                Step::new(
                    "start",
                    &["draft", "assessing", "approved", "scheduled"],
                    "implementing",
                    "It is being done from now on.",
                )
                .takes_owner()
                .sets("started_at", "$now")
                .guarded(may_be_done),
            )
            .transition(
                Step::new("complete", &["implementing"], "implemented", "It was done.")
                    .asks_for(&["outcome"])
                    .sets("ended_at", "$now"),
            )
            .transition(
                Step::new("back-out", &["implementing", "implemented"], "backed-out", "It was taken back.")
                    .needs(&["outcome"])
                    .sets("ended_at", "$now"),
            )
            .transition(
                Step::new("close", &["implemented", "backed-out"], "closed", "How it went has been looked at.")
                    .needs(&["verdict"])
                    .asks_for(&["outcome"]),
            )
            .transition(
                Step::new(
                    "revise",
                    &["assessing", "awaiting-approval", "approved", "scheduled", "rejected"],
                    "draft",
                    "It is rewritten, and has to be agreed to again.",
                )
                .sets("approved_by", Value::Null)
                .sets("approved_at", Value::Null),
            )
            .step(
                "cancel",
                &["draft", "assessing", "awaiting-approval", "approved", "scheduled"],
                "cancelled",
                "It is not done.",
            )
            .refers("approvers", &["person", "team"], "approved-by", OnDelete::Unlink)
            .link("changes", &[], "Records that are altered.")
            .link("arises-from", &["incident", "problem", "request", "finding", "project", "risk"], "Why it is done.")
            .link("depends-on", &["change"], "Changes that have to be done before.")
            .link("part-of", &["project"], "The project that it is a part of.")
            .link("caused-by", &["change"], "A change that made it necessary.")
            .link("relates-to", &[], "Anything else that helps to understand it.")
            .computes(&["risk"], risk)
            .computes(&["approved_by", "approved_at", "started_at", "ended_at"], |_| {})
            .check(|fields| in_order(fields, "planned_start", "planned_end"))
            .indexed(&["kind", "risk", "planned_start"])
            .columns(&["key", "title", "kind", "risk", "state", "planned_start", "planned_end", "owner", "updated"])
            .sorts(&["-updated", "planned_start", "-risk"])
            .practices(&["change enablement", "ISO/IEC 20000-1 8.5.1", "ISO/IEC 27001 A.8.32"])
    }
}

/// Fills `risk`, 1 to 5, from `impact` and `likelihood`; either counts as medium when absent.
fn risk(fields: &mut Map<String, Value>) {
    let rank = |name: &str| match fields.get(name).and_then(Value::as_str) {
        Some("high") => 2,
        Some("low") => 0,
        _ => 1,
    };
    let risk = 1 + rank("impact") + rank("likelihood");
    fields.insert("risk".into(), risk.into());
}

/// A normal change is agreed to on the ground of its three plans; a standard one has them in its model; an emergency cannot wait.
fn is_planned(change: &Record) -> Result<(), String> {
    let missing: Vec<&str> = match change.text("kind") {
        "emergency" => Vec::new(),
        "standard" => ["model"].into_iter().filter(|f| change.get(f).is_none()).collect(),
        _ => ["plan", "test_plan", "back_out_plan"].into_iter().filter(|f| change.get(f).is_none()).collect(),
    };
    let names = missing.join(", ").replace('_', " ");
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("{} has no {names} yet; write it before anybody agrees", change.key))
    }
}

/// A normal change is not done before somebody agreed; a standard one was agreed to with its model.
fn may_be_done(change: &Record) -> Result<(), String> {
    match change.text("kind") {
        "emergency" => Ok(()),
        "standard" => is_planned(change),
        _ if change.get("approved_by").is_some() => Ok(()),
        _ => Err(format!("{} is a normal change: somebody must approve it first", change.key)),
    }
}
