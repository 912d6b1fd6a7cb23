//! Silence: nobody is told about what matches, for a while. What matches is still measured, recorded and shown.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, FieldError, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A promise not to tell anybody about certain alerts for a while; they are still recorded and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Why nobody needs to be told.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
    /// Filter of the alerts it holds for, such as `severity:minor about:web-1`; not needed when it covers records.
    #[schemars(length(min = 1, max = 2000))]
    pub matcher: Option<String>,
    /// When it begins; at once when left out.
    pub starts_at: Option<Time>,
    /// When it ends at the latest.
    pub until: Option<Time>,
    /// It also ends as soon as the alerts that it held back are well again.
    #[serde(default)]
    pub until_recovery: bool,
}

impl Class for Silence {
    const KIND: &'static str = "silence";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("SIL-")
            .states(&[
                ("active", true, "Matching alerts are held back, once its start has come."),
                ("expired", false, "Its end has come, or what it held back is well again."),
                ("cancelled", false, "Somebody ended it early."),
            ])
            .transition(Step::new("expire", &["active"], "expired", "Its end has come.").machine())
            .transition(
                Step::new("cancel", &["active"], "cancelled", "Ends it now; alerts that still fire are told.")
                    .sets("until", "$now"),
            )
            .link("covers", &[], "Records that it holds for, with all their alerts.")
            .check(has_an_end)
            .check(|fields| in_order(fields, "starts_at", "until"))
            .indexed(&["until"])
            .columns(&["key", "reason", "matcher", "starts_at", "until", "until_recovery", "owner", "state"])
            .sorts(&["-updated", "until"])
            .practices(&["monitoring and event management"])
    }
}

/// A silence without an end would be forgotten, and with it what it hides.
fn has_an_end(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let given = |name: &str| fields.get(name).is_some_and(|v| *v != Value::Bool(false));
    if given("until") || given("until_recovery") {
        return Ok(());
    }
    Err(FieldError::new("until", "a silence needs an end: give a time, or set until_recovery, or both"))
}
