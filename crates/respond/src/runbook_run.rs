//! Runbook run: one go at a runbook, from the proposal to the outcome, kept for ever. It records; the running is done by
//! an agent.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Record, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One go at a runbook: who asked, who agreed, what each step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunbookRun {
    /// What is being done and to what.
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// The runbook.
    pub runbook: Option<Ref>,
    /// The record that it is run on.
    pub on: Option<Ref>,
    /// The values that the runbook was given.
    #[serde(default)]
    pub parameters: Value,
    /// Why it is run.
    #[schemars(length(max = 500))]
    pub reason: Option<String>,
    /// It only shows what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// How many people must agree.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2))]
    pub approvals_needed: u32,
    /// The first of two people who agreed.
    pub endorsed_by: Option<String>,
    /// Who agreed.
    pub approved_by: Option<String>,
    /// Why it was refused.
    #[schemars(length(max = 500))]
    pub rejection: Option<String>,
    /// What each step did, in order.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub results: Vec<StepResult>,
    /// What makes a run that starts by itself the only one of its kind.
    #[schemars(length(max = 500))]
    pub once: Option<String>,
    /// When its first step began.
    pub started_at: Option<Time>,
    /// When its last step ended.
    pub ended_at: Option<Time>,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// The command as it was run, values filled in and secrets left out.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub run: Vec<String>,
    /// Key of the check that it waited for.
    #[schemars(length(max = 128))]
    pub check: Option<String>,
    /// It did what it should.
    #[serde(default)]
    pub ok: bool,
    /// What came of it, in one line.
    #[schemars(length(max = 4000))]
    pub said: String,
    /// Exit code, output and times of the command, as the agent tells them.
    #[serde(default)]
    pub detail: Value,
    /// When it was over.
    pub at: Option<Time>,
    /// Why it was begun a second time.
    #[schemars(length(max = 500))]
    pub repeated: Option<String>,
}

impl Class for RunbookRun {
    const KIND: &'static str = "runbook-run";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Runbook run", "Runbook runs")
            .numbered("RUN-")
            .states(&[
                ("proposed", true, "Somebody must agree before it starts."),
                ("approved", true, "It starts as soon as an agent takes it."),
                ("running", true, "Its steps are being done."),
                ("succeeded", false, "All steps were done."),
                ("failed", false, "A step failed; what was done before has been undone as far as the runbook says."),
                ("rejected", false, "It was not agreed to."),
                ("cancelled", false, "It was stopped."),
            ])
            .transition(
                Step::new("endorse", &["proposed"], "", "You agree as the first of two people.")
                    .sets("endorsed_by", "$actor"),
            )
            .transition(
                Step::new("approve", &["proposed"], "approved", "You agree, and it starts.")
                    .sets("approved_by", "$actor")
                    .guarded(enough_people_agree),
            )
            .transition(
                Step::new("reject", &["proposed", "approved"], "rejected", "It is not done.").needs(&["rejection"]),
            )
            .transition(
                Step::new("start", &["approved"], "running", "An agent has begun.")
                    .sets("started_at", "$now")
                    .machine(),
            )
            .transition(
                Step::new("succeed", &["running"], "succeeded", "All steps were done.")
                    .sets("ended_at", "$now")
                    .machine(),
            )
            .transition(
                Step::new("fail", &["approved", "running"], "failed", "A step failed.")
                    .sets("ended_at", "$now")
                    .machine(),
            )
            .transition(
                Step::new(
                    "cancel",
                    &["proposed", "approved", "running"],
                    "cancelled",
                    "Stops it; a step that is being done is ended.",
                )
                .sets("ended_at", "$now"),
            )
            .refers("runbook", &["runbook"], "of", OnDelete::Block)
            .must_have()
            .refers("on", &[], "on", OnDelete::Unlink)
            .link(
                "for",
                &["incident", "change", "request", "task", "problem", "drill", "finding"],
                "What it is run for.",
            )
            .link("raised-by", &["check", "rule", "alert"], "What started it by itself.")
            .computes(
                &["approvals_needed", "endorsed_by", "approved_by", "results", "once", "started_at", "ended_at"],
                |_| {},
            )
            .indexed(&["runbook"])
            .columns(&["key", "runbook", "on", "state", "reason", "approved_by", "started_at", "ended_at"])
            .sorts(&["-updated", "-started_at"])
            .practices(&["incident management", "infrastructure and platform management", "change enablement"])
    }
}

/// Two people are two different people.
fn enough_people_agree(run: &Record) -> Result<(), String> {
    if run.int("approvals_needed").unwrap_or_default() < 2 {
        return Ok(());
    }
    match run.text("endorsed_by") {
        "" => Err("two people must agree; the first one does so with endorse".into()),
        first if first == run.text("approved_by") => Err(format!("two people must agree, and {first} already did")),
        _ => Ok(()),
    }
}
