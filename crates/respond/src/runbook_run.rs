//! Runbook run: one go at a runbook, from the proposal to the outcome, kept for ever. It records; the running is done by
//! an agent, and what only a person can do by the person who is asked.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Record, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::runbook::RunbookStep;

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
    /// It only tells what would be done, undo steps included, and needs no approval: nothing is run, nobody is asked.
    #[serde(default)]
    pub dry_run: bool,
    /// How many people must agree; looked up in the runbook as soon as the run is proposed.
    #[schemars(range(min = 0, max = 2))]
    pub approvals_needed: Option<u32>,
    /// The first of two people who agreed.
    pub endorsed_by: Option<String>,
    /// Who agreed.
    pub approved_by: Option<String>,
    /// Why it was refused.
    #[schemars(length(max = 500))]
    pub rejection: Option<String>,
    /// What it does: steps and values as they were when it began. A later change of the runbook does not reach it.
    pub begun: Option<Begun>,
    /// What each step did, in order; undo steps last.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub results: Vec<StepResult>,
    /// What a person is asked to do now, and then to confirm.
    #[schemars(length(max = 4000), extend("x-multiline" = true))]
    pub asked: Option<String>,
    /// Since when it waits for that person.
    pub asked_at: Option<Time>,
    /// Until when it waits; then the step has failed.
    pub asked_until: Option<Time>,
    /// What came back, until the step's result tells it.
    pub answer: Option<Answer>,
    /// Who answered.
    pub answered_by: Option<String>,
    /// What makes a run that starts by itself the only one of its kind.
    #[schemars(length(max = 500))]
    pub once: Option<String>,
    /// When its first step began.
    pub started_at: Option<Time>,
    /// When its last step ended.
    pub ended_at: Option<Time>,
}

/// What a run does, kept when it begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// Key of the record that it is run on.
    #[schemars(length(max = 128))]
    pub on: Option<String>,
    /// Values of its parameters, defaults filled in.
    #[serde(default)]
    pub parameters: Value,
    /// The steps.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub steps: Vec<RunbookStep>,
    /// The steps that go back.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub undo: Vec<RunbookStep>,
}

/// What came of asking a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was done.
    Confirmed,
    /// It could not be done, or did not help.
    DidNotWork,
    /// Nobody said anything in time.
    Nobody,
}

/// What one step did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// The command as it was run, values filled in and secrets left out.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub run: Vec<String>,
    /// Key of the check that it waited for.
    #[schemars(length(max = 128))]
    pub check: Option<String>,
    /// What a person was asked to do.
    #[schemars(length(max = 4000))]
    pub ask: Option<String>,
    /// When that person was asked.
    pub asked_at: Option<Time>,
    /// Who answered.
    pub by: Option<String>,
    /// It was one of the undo steps.
    #[serde(default)]
    pub undo: bool,
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

impl StepResult {
    /// With its sentence and question cut to what a record takes: a program may say any amount.
    pub fn clipped(mut self) -> Self {
        self.said = clip(&self.said);
        self.ask = self.ask.map(|text| clip(&text));
        self
    }
}

/// At most 4000 characters of a text.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(4000) {
        None => text.to_owned(),
        Some(_) => text.chars().take(3999).chain(['…']).collect(),
    }
}

impl RunbookRun {
    /// The results on the record of a run.
    ///
    /// # Errors
    /// They are not what this version writes. They are never taken for none: a step would be done twice.
    pub fn results_of(run: &Record) -> Result<Vec<StepResult>, String> {
        match run.get("results") {
            None => Ok(Vec::new()),
            Some(results) => {
                serde_json::from_value(results.clone()).map_err(|e| format!("its results cannot be read: {e}"))
            }
        }
    }

    /// How often a run has asked a person; see [`crate::progress::turn`].
    ///
    /// # Errors
    /// As [`results_of`](Self::results_of).
    pub fn turn_of(run: &Record) -> Result<u64, String> {
        let asks_now = run.get("asked").and_then(Value::as_str);
        Ok(crate::progress::turn(&Self::results_of(run)?, asks_now))
    }

    /// How long the person is waited for whom a run asks now.
    pub fn patience_of(run: &Record) -> std::time::Duration {
        let time = |name: &str| run.get(name).and_then(Value::as_str).and_then(Time::parse);
        time("asked_until").zip(time("asked_at")).map(|(until, at)| until.since(at)).unwrap_or_default()
    }
}

impl Class for RunbookRun {
    const KIND: &'static str = "runbook-run";
    fn define(def: Define<Self>) -> Define<Self> {
        let def = def.titled("Runbook run", "Runbook runs").numbered("RUN-").states(&[
            ("proposed", true, "Somebody must agree before it starts."),
            ("approved", true, "It starts as soon as an agent takes it."),
            ("running", true, "Its steps are being done."),
            ("waiting", true, "A person is asked to do something, and to say how it went."),
            ("succeeded", false, "All steps were done."),
            ("failed", false, "A step failed; what was done before has been undone as far as the runbook says."),
            ("rejected", false, "It was not agreed to."),
            ("cancelled", false, "It was stopped."),
        ]);
        ends(asks(agrees(def)))
            .refers("runbook", &["runbook"], "of", OnDelete::Block)
            .must_have()
            .refers("on", &[], "on", OnDelete::Unlink)
            .link(
                "for",
                &["incident", "change", "request", "task", "problem", "drill", "finding"],
                "What it is run for.",
            )
            .link("raised-by", &["check", "rule", "alert"], "What started it by itself.")
            .computes(&["approvals_needed", "endorsed_by", "approved_by", "begun", "results"], |_| {})
            .computes(&["asked", "asked_at", "asked_until", "answer", "answered_by"], |_| {})
            .computes(&["once", "started_at", "ended_at"], |_| {})
            .indexed(&["runbook"])
            .columns(&["key", "runbook", "on", "state", "reason", "approved_by", "started_at", "ended_at"])
            .sorts(&["-updated", "-started_at"])
            .practices(&["incident management", "infrastructure and platform management", "change enablement"])
    }
}

/// Whoever must agree does, and it starts.
fn agrees(def: Define<RunbookRun>) -> Define<RunbookRun> {
    def.transition(
        Step::new("endorse", &["proposed"], "", "You agree as the first of two people.").sets("endorsed_by", "$actor"),
    )
    .transition(
        Step::new("approve", &["proposed"], "approved", "You agree, and it starts.")
            .sets("approved_by", "$actor")
            .guarded(enough_people_agree),
    )
    .transition(Step::new("reject", &["proposed", "approved"], "rejected", "It is not done.").needs(&["rejection"]))
    .transition(
        Step::new("start", &["approved"], "running", "An agent has begun.").sets("started_at", "$now").machine(),
    )
}

/// A person is asked, and answers or does not.
fn asks(def: Define<RunbookRun>) -> Define<RunbookRun> {
    def.transition(Step::new("ask", &["running"], "waiting", "A person is asked to do the next step.").machine())
        .transition(
            Step::new("confirm", &["waiting"], "running", "You did what was asked; the next step begins.")
                .sets("answer", "confirmed")
                .sets("answered_by", "$actor"),
        )
        .transition(
            Step::new(
                "did-not-work",
                &["waiting"],
                "running",
                "It could not be done or did not help: the step has failed.",
            )
            .titled("It did not work")
            .sets("answer", "did-not-work")
            .sets("answered_by", "$actor"),
        )
        .transition(
            Step::new("lapse", &["waiting"], "running", "Nobody answered in time: the step has failed.")
                .sets("answer", "nobody")
                .machine(),
        )
}

/// It is over.
fn ends(def: Define<RunbookRun>) -> Define<RunbookRun> {
    def.transition(
        Step::new("succeed", &["running"], "succeeded", "All steps were done.").sets("ended_at", "$now").machine(),
    )
    .transition(
        Step::new("fail", &["approved", "running"], "failed", "A step failed.").sets("ended_at", "$now").machine(),
    )
    .transition(
        Step::new(
            "cancel",
            &["proposed", "approved", "running", "waiting"],
            "cancelled",
            "Stops it: nobody is asked any more, no further step begins, and nothing is undone.",
        )
        .sets("ended_at", "$now")
        .sets("asked", Value::Null)
        .sets("asked_at", Value::Null)
        .sets("asked_until", Value::Null),
    )
}

/// Two people are two different people. A dry run does nothing that anybody would have to agree to.
fn enough_people_agree(run: &Record) -> Result<(), String> {
    if run.flag("dry_run") {
        return Ok(());
    }
    match run.int("approvals_needed") {
        // Nobody can be quicker than the rule that they would have to keep.
        None => return Err("how many people must agree is being looked up: try again in a moment".into()),
        Some(0 | 1) => return Ok(()),
        Some(_) => {}
    }
    match run.text("endorsed_by") {
        "" => Err("two people must agree; the first one does so with endorse".into()),
        first if first == run.text("approved_by") => Err(format!("two people must agree, and {first} already did")),
        _ => Ok(()),
    }
}
