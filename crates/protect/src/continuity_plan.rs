//! Continuity plan: what is done when a service, a site or a supplier is lost. It must be readable when Mainstay itself
//! is lost.

use kernel::define::Step;
use kernel::{Class, Define, Dur, FieldError, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is done, by whom and in which order, when a service, a place or a supplier is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContinuityPlan {
    /// What it is for.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What it covers, and what it does not.
    #[schemars(extend("x-multiline" = true))]
    pub scope: Option<String>,
    /// When it is put into force, and who may decide so.
    #[schemars(extend("x-multiline" = true))]
    pub criteria: Option<String>,
    /// In how much time the service must work again (RTO).
    pub recovery_time: Option<Dur>,
    /// How much of the latest data may be lost (RPO).
    pub recovery_point: Option<Dur>,
    /// After how much time the damage cannot be borne (MTD).
    pub tolerable_outage: Option<Dur>,
    /// What is done.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub steps: Vec<PlanStep>,
    /// Who is told, by whom, in which words, when nothing of the usual works.
    #[schemars(extend("x-multiline" = true))]
    pub communication: Option<String>,
    /// How one returns to the usual way.
    #[schemars(extend("x-multiline" = true))]
    pub way_back: Option<String>,
    /// Whom to call.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub contacts: Vec<Contact>,
    /// How often it is drilled.
    pub test_every: Option<Dur>,
    /// By when somebody must look whether it is still true.
    pub review_by: Option<Time>,
    /// When it was last drilled successfully.
    pub last_tested: Option<Time>,
    /// When it was put into force.
    pub activated_at: Option<Time>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// What is done.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// Who does it, and who if that person cannot.
    #[schemars(length(max = 300))]
    pub who: Option<String>,
    /// How long it takes.
    pub expected: Option<Dur>,
    /// Numbers of the steps that have to be done before, counted from 1.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub after: Vec<u32>,
    /// Key of the runbook that does it.
    #[schemars(length(max = 128))]
    pub runbook: Option<String>,
    /// How one sees that it is done.
    #[schemars(length(max = 1000))]
    pub done_when: Option<String>,
}

/// Somebody to call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Who it is.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What for.
    #[schemars(length(max = 200))]
    pub role: Option<String>,
    /// Telephone number with country code.
    #[schemars(length(max = 100))]
    pub phone: Option<String>,
    /// Another way, when telephones do not work.
    #[schemars(length(max = 300))]
    pub other: Option<String>,
}

impl Class for ContinuityPlan {
    const KIND: &'static str = "continuity-plan";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Continuity plan", "Continuity plans")
            .states(&[
                ("draft", true, "Being written."),
                ("in-force", true, "It is what is done."),
                ("activated", true, "It is being done, in earnest."),
                ("retired", false, "No longer true or no longer needed."),
            ])
            .step("approve", &["draft"], "in-force", "It is what is done from now on.")
            .transition(
                Step::new("activate", &["draft", "in-force"], "activated", "It is done in earnest.")
                    .takes_owner()
                    .sets("activated_at", "$now"),
            )
            .step("stand-down", &["activated"], "in-force", "The usual way is open again.")
            .step("revise", &["in-force"], "draft", "Takes it back to be changed.")
            .step("retire", &["draft", "in-force"], "retired", "Takes it out of use.")
            .step("restore", &["retired"], "draft", "Takes it up again.")
            .link("covers", &[], "Services, places and suppliers that it is for.")
            .link("depends-on", &["continuity-plan"], "Plans that have to be done before.")
            .computes(&["last_tested", "activated_at"], |_| {})
            .check(steps_come_after_others)
            .indexed(&["review_by", "last_tested"])
            .columns(&["key", "title", "recovery_time", "recovery_point", "last_tested", "review_by", "owner", "state"])
            .sorts(&["key", "-updated", "review_by"])
            .practices(&["service continuity management", "ISO/IEC 20000-1 8.7.2", "ISO/IEC 27001 A.5.30"])
    }
}

/// A step that waits for itself, or for one that is not there, would never begin.
fn steps_come_after_others(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let steps = fields.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    for (i, step) in steps.iter().enumerate() {
        for before in step.get("after").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64) {
            if before == 0 || before > steps.len() as u64 || before == i as u64 + 1 {
                let message = format!("there is no other step {before}; steps are 1 to {}", steps.len());
                return Err(FieldError::new(format!("steps.{i}.after"), message));
            }
        }
    }
    Ok(())
}
