//! Restore test: one copy brought back and looked at. Only this proves a backup; no field can be typed in to say so.

use kernel::define::{Step, in_order};
use kernel::{Bytes, Class, Define, Dur, OnDelete, Record, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One copy brought back in a safe place, to prove that it can be, and how long it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreTest {
    /// What is restored.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// The policy whose copy is restored.
    pub policy: Option<Ref>,
    /// The record whose data it is.
    pub on: Option<Ref>,
    /// Where it is restored to; never over what it was taken from.
    #[schemars(length(max = 500))]
    pub place: Option<String>,
    /// When the copy was written.
    pub backup_taken_at: Option<Time>,
    /// When it is to be done.
    pub planned_at: Option<Time>,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// How long the restore took.
    pub took: Option<Dur>,
    /// How much was restored.
    pub restored_bytes: Option<Bytes>,
    /// What was looked at in what had been restored.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub results: Vec<TestResult>,
    /// What else was noticed.
    #[schemars(extend("x-multiline" = true))]
    pub remarks: Option<String>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestResult {
    /// What was looked at: a check, a count of rows, a page.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// It was as it should be.
    #[serde(default)]
    pub ok: bool,
    /// What was seen.
    #[schemars(length(max = 2000))]
    pub said: Option<String>,
}

impl Class for RestoreTest {
    const KIND: &'static str = "restore-test";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Restore test", "Restore tests")
        .numbered("RST-")
        .states(&[
        ("planned", true, "It has not begun."),
        ("running", true, "It is being done."),
        ("passed", false, "The copy was restored, and what was looked at was as it should be."),
        ("failed", true, "The copy could not be restored, or was not as it should be: there is no backup until somebody has acted."),
        ("settled", false, "It failed, and what was wrong has been mended."),
        ("cancelled", false, "It was not done."),
        ])
        .transition(Step::new("start", &["planned"], "running", "It is being done.").sets("started_at", "$now"))
        .transition(
        Step::new("pass", &["running"], "passed", "It was restored, and it is good.").sets("ended_at", "$now").guarded(something_was_looked_at),
        )
        .transition(
        Step::new("fail", &["planned", "running"], "failed", "It could not be restored, or is not good.").needs(&["remarks"]).sets("ended_at", "$now"),
        )
        .transition(Step::new("settle", &["failed"], "settled", "What was wrong has been mended.").needs(&["remarks"]))
        .step("cancel", &["planned", "running"], "cancelled", "It is not done.")
        .refers("policy", &["backup-policy"], "of", OnDelete::Block)
        .refers("on", &[], "on", OnDelete::Unlink)
        .link("part-of", &["drill"], "The drill that it is a part of.")
        .computes(&["started_at", "ended_at"], |_| {})
        .check(|fields| in_order(fields, "started_at", "ended_at"))
        .indexed(&["policy", "on"])
        .columns(&["key", "title", "policy", "on", "state", "backup_taken_at", "took", "ended_at"])
        .sorts(&["-updated", "-ended_at"])
        .practices(&["service continuity management", "ISO/IEC 20000-1 8.7.2", "ISO/IEC 27001 A.8.13", "CIS 11.5"])
    }
}

/// A restore that nobody looked at proves nothing.
fn something_was_looked_at(test: &Record) -> Result<(), String> {
    let results = test.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
    if results.is_empty() {
        return Err("nothing was looked at in what was restored; give at least one result".into());
    }
    match results.iter().find(|r| r.get("ok") != Some(&Value::Bool(true))) {
        Some(bad) => {
            Err(format!("{} was not as it should be", bad.get("title").and_then(Value::as_str).unwrap_or("one result")))
        }
        None => Ok(()),
    }
}
