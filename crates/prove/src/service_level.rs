//! Service level: one promise about one service, with its target. Whether it is kept is computed from intervals, never
//! typed in.

use kernel::define::is_schedule;
use kernel::{Class, Define, Dur, FieldError, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One promise about one service: what is measured, how much of it, over which time, and what is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevel {
    /// What is promised.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// The service that it is promised for.
    pub service: Ref,
    /// With whom it was agreed.
    #[serde(default)]
    pub kind: AgreementKind,
    /// What is measured.
    #[serde(default)]
    pub measure: Measure,
    /// Share that is promised.
    #[serde(default = "target_default")]
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "percent"))]
    pub target: f64,
    /// Time in which it is promised, for response and restore.
    pub within: Option<Dur>,
    /// Incidents or requests of this priority, for response and restore; all when left out.
    #[schemars(range(min = 1, max = 5))]
    pub priority: Option<u32>,
    /// Over which time it is counted.
    #[serde(default)]
    pub window: Window,
    /// Length of a rolling window.
    #[schemars(range(min = 1, max = 3660), extend("x-unit" = "days"))]
    pub window_days: Option<u32>,
    /// Hours in which it is promised; around the clock when left out.
    pub hours: Option<Ref>,
    /// Zone in which windows begin, such as Europe/London; UTC when left out.
    #[schemars(length(min = 1, max = 64))]
    pub timezone: Option<String>,
    /// What counts as good, in PromQL, when it is not the health of the service.
    #[schemars(extend("x-multiline" = true))]
    pub expression: Option<String>,
    /// Agreed maintenance is left out.
    #[serde(default = "without_maintenance_default")]
    pub without_maintenance: bool,
    /// What else was agreed to be left out.
    #[schemars(extend("x-multiline" = true))]
    pub exclusions: Option<String>,
    /// What is paid when it is not kept.
    #[schemars(extend("x-multiline" = true))]
    pub penalty: Option<String>,
    /// Share of what may still go wrong below which somebody has to know.
    #[schemars(range(min = 0.0, max = 100.0), extend("x-unit" = "percent"))]
    pub warn_below: Option<f64>,
    /// Share in the present window, so far.
    #[schemars(extend("x-unit" = "percent"))]
    pub present: Option<f64>,
    /// Share of what may still go wrong in this window.
    #[schemars(extend("x-unit" = "percent"))]
    pub budget_left: Option<f64>,
    /// When that was computed.
    pub computed_at: Option<Time>,
}

/// With whom a service level was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgreementKind {
    /// With those who use the service (SLA).
    #[default]
    Customer,
    /// Between teams (OLA).
    Internal,
    /// With a supplier (underpinning contract).
    Supplier,
    /// With nobody: our own aim (SLO).
    Objective,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Share of the time in which it worked.
    #[default]
    Availability,
    /// Share of incidents or requests answered in time.
    Response,
    /// Share of incidents or requests done in time.
    Restore,
    /// Share of what counts as good by the expression.
    Quality,
    /// Share of those who were glad.
    Satisfaction,
}

/// Over which time it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// A week.
    Week,
    /// A month of the calendar.
    #[default]
    Month,
    /// Three months of the calendar.
    Quarter,
    /// A year of the calendar.
    Year,
    /// The latest so many days.
    Rolling,
}

impl Class for ServiceLevel {
    const KIND: &'static str = "service-level";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Service level", "Service levels")
            .states(&[
                ("in-force", true, "It is promised and counted."),
                ("draft", true, "Being negotiated; it is counted, and not promised."),
                ("ended", false, "No longer promised."),
            ])
            .step("revise", &["in-force"], "draft", "It is negotiated anew.")
            .step("agree", &["draft", "ended"], "in-force", "It is promised from now on.")
            .step("end", &["in-force", "draft"], "ended", "It is no longer promised.")
            .refers("service", &[], "promises-for", OnDelete::Block)
            .refers("hours", &["calendar"], "follows-calendar", OnDelete::Block)
            .link("agreed-with", &["tenant", "team", "supplier"], "With whom it was agreed.")
            .link("part-of", &["contract"], "The contract that it belongs to.")
            .link("depends-on", &["service-level"], "Promises of others that it rests on.")
            .computes(&["present", "budget_left", "computed_at"], |_| {})
            .check(has_what_it_measures)
            .check(|fields| is_schedule(fields, "", "timezone"))
            .indexed(&["service", "kind"])
            .columns(&[
                "key",
                "title",
                "service",
                "measure",
                "target",
                "present",
                "budget_left",
                "window",
                "state",
                "owner",
            ])
            .sorts(&["key", "budget_left", "-updated"])
            .practices(&["service level management", "availability management", "ISO/IEC 20000-1 8.3.3"])
    }
}

/// A promise whose figure cannot be computed would be shown as kept.
fn has_what_it_measures(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let needs = match (text("measure"), text("window")) {
        ("response" | "restore", _) if text("within").is_empty() => "within",
        ("quality", _) if text("expression").is_empty() => "expression",
        (_, "rolling") if fields.get("window_days").is_none() => "window_days",
        _ => return Ok(()),
    };
    Err(FieldError::new(needs, "must have a value, or it cannot be counted"))
}

fn target_default() -> f64 {
    99.5
}

fn without_maintenance_default() -> bool {
    true
}
