//! Maintenance window: agreed work. One record holds back alerts, is left out of the service level and is told on the
//! status page.

use kernel::define::{Step, in_order, is_schedule};
use kernel::{Class, Define, FieldError, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A span of time in which work on a system is agreed: alerts are held back and the time does not count against the
/// service level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// What is being done, in words that users understand.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// When the work begins; of a repeated window, when the first one does.
    pub start: Time,
    /// When the work ends; of a repeated window, when the first one does.
    pub end: Time,
    /// When it comes again: a recurrence rule such as `FREQ=WEEKLY;BYDAY=SU`, or a cron pattern. Once when left out.
    #[schemars(length(max = 500))]
    pub recurrence: Option<String>,
    /// Zone of the repeated times, such as Europe/London; UTC when left out.
    #[schemars(length(min = 1, max = 64))]
    pub timezone: Option<String>,
    /// Whether it is shown on status pages.
    #[serde(default = "announce_default")]
    pub announce: bool,
    /// Whether it also holds for what depends on the records it covers.
    #[serde(default = "announce_default")]
    pub with_dependents: bool,
    /// Who agreed to it, so that it may be left out of the service level.
    #[schemars(length(max = 500))]
    pub agreed_with: Option<String>,
    /// What is done, and what users will notice.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
}

impl Class for MaintenanceWindow {
    const KIND: &'static str = "maintenance-window";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("MNT-")
            .states(&[
                ("planned", true, "It has not begun."),
                ("active", true, "Work is being done."),
                ("ended", false, "The work is over."),
                ("cancelled", false, "It does not take place."),
            ])
            .transition(Step::new("begin", &["planned"], "active", "Starts the window.").titled("Begin"))
            .step("pause", &["active"], "planned", "This occurrence is over; the next one will come.")
            .step("finish", &["planned", "active"], "ended", "Ends the window for good; alerts are told again.")
            .step("cancel", &["planned"], "cancelled", "It does not take place.")
            .link("covers", &[], "Records that are worked on.")
            .check(|fields| in_order(fields, "start", "end"))
            .check(lasts)
            .check(|fields| is_schedule(fields, "recurrence", "timezone"))
            .indexed(&["start", "end"])
            .columns(&["key", "title", "start", "end", "recurrence", "owner", "state"])
            .sorts(&["start", "-start", "-updated"])
            .practices(&["change enablement", "availability management", "ISO/IEC 20000-1 8.5.1"])
    }
}

fn lasts(fields: &Map<String, Value>) -> Result<(), FieldError> {
    match (fields.get("start"), fields.get("end")) {
        (Some(start), Some(end)) if start == end => Err(FieldError::new("end", "must be after start")),
        _ => Ok(()),
    }
}

fn announce_default() -> bool {
    true
}
