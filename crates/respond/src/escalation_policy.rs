//! Escalation policy: who is paged, and who next when nobody takes it. Nothing here sends; that is the channel's.

use kernel::{Class, Define, Dur, FieldError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who is paged when something happens, and who next as long as nobody takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationPolicy {
    /// For what it is.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Who is told, and when; counted from the beginning of the incident.
    #[serde(default)]
    #[schemars(length(min = 1, max = 20))]
    pub steps: Vec<EscalationStep>,
    /// How often it starts over when the last step has passed and still nobody took it.
    #[serde(default = "repeat_default")]
    #[schemars(range(min = 0, max = 100))]
    pub repeat: u32,
    /// Keys of those who are told when all that was in vain.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub fallback: Vec<String>,
    /// Filter of the incidents that it is for when their service names none.
    #[schemars(length(max = 1000))]
    pub matches: Option<String>,
}

/// Who is told after so long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationStep {
    /// How long after the beginning.
    #[serde(default = "escalation_step_after")]
    pub after: Dur,
    /// Keys of people, teams, on-call schedules or channels that are told.
    #[serde(default)]
    #[schemars(length(min = 1, max = 50))]
    pub notify: Vec<String>,
}

impl Class for EscalationPolicy {
    const KIND: &'static str = "escalation-policy";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Escalation policy", "Escalation policies")
            .states(&[("active", true, "In use."), ("retired", false, "No longer in use.")])
            .step("retire", &["active"], "retired", "Takes it out of use.")
            .step("restore", &["retired"], "active", "Uses it again.")
            .link("notifies", &["person", "team", "on-call-schedule", "channel"], "Whom it can reach.")
            .check(steps_go_forward)
            .columns(&["key", "title", "matches", "repeat", "owner", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["incident management", "service level management", "ISO/IEC 20000-1 8.6.1"])
    }
}

/// A step that lies before the one above it would never be the next.
fn steps_go_forward(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let mut before = std::time::Duration::ZERO;
    for (i, step) in fields.get("steps").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let after = step.get("after").and_then(Value::as_str).and_then(|t| kernel::clock::parse_duration(t).ok());
        let after = after.unwrap_or_default();
        if after < before {
            let least = kernel::clock::format_duration(before);
            return Err(FieldError::new(
                format!("steps.{i}.after"),
                format!("must be at least {least}, as in the step before"),
            ));
        }
        before = after;
    }
    Ok(())
}

fn repeat_default() -> u32 {
    1
}

fn escalation_step_after() -> Dur {
    Dur::seconds(0)
}
