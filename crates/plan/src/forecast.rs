//! Forecast: when something runs out, computed from what was measured, with the band in which that is likely. It is never
//! typed in.

use kernel::define::Step;
use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When something will run out: a disk, a pool of addresses, licences, money; with the band in which that is likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    /// What runs out.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What is measured, in PromQL.
    #[schemars(extend("x-multiline" = true))]
    pub metric: Option<String>,
    /// Unit of the values, such as bytes or percent.
    #[schemars(length(max = 50))]
    pub unit: Option<String>,
    /// Value at which it has run out.
    pub limit: Option<f64>,
    /// On which side of the limit trouble is.
    #[serde(default)]
    pub direction: Direction,
    /// How far ahead it looks.
    #[serde(default = "horizon_default")]
    pub horizon: Dur,
    /// How far back it looks.
    #[serde(default = "learns_from_default")]
    pub learns_from: Dur,
    /// What repeats.
    #[serde(default)]
    pub season: Season,
    /// How long before the limit somebody has to know: time to buy and to install.
    pub warn_before: Option<Dur>,
    /// The latest value.
    pub present: Option<f64>,
    /// By how much it grows a day.
    pub per_day: Option<f64>,
    /// When the limit will be reached, most likely.
    pub reached_at: Option<Time>,
    /// The earliest day on which that is likely.
    pub earliest: Option<Time>,
    /// The latest day on which that is likely.
    pub latest: Option<Time>,
    /// How it was computed.
    pub method: Option<String>,
    /// When it was computed.
    pub computed_at: Option<Time>,
}

/// On which side of a limit trouble is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// More is trouble.
    #[default]
    Above,
    /// Less is trouble.
    Below,
}

/// What repeats in a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Season {
    /// What the data shows.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// The day.
    Day,
    /// The week.
    Week,
    /// The month.
    Month,
}

impl Class for Forecast {
    const KIND: &'static str = "forecast";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("unknown", true, "There is too little data to say."),
            ("clear", true, "The limit is not reached within the horizon."),
            ("due", true, "The limit will be reached before something new can be there."),
            ("reached", true, "The limit has been reached."),
            ("retired", false, "No longer computed."),
        ])
        .transition(
            Step::new(
                "unknown",
                &["unknown", "clear", "due", "reached"],
                "unknown",
                "There is too little data to say.",
            )
            .machine(),
        )
        .transition(
            Step::new("clear", &["unknown", "clear", "due", "reached"], "clear", "The limit is not near.").machine(),
        )
        .transition(Step::new("due", &["unknown", "clear", "due", "reached"], "due", "The limit is near.").machine())
        .transition(
            Step::new("reach", &["unknown", "clear", "due", "reached"], "reached", "The limit has been reached.")
                .machine(),
        )
        .step("retire", &["unknown", "clear", "due", "reached"], "retired", "It is no longer computed.")
        .step("restore", &["retired"], "unknown", "It is computed again.")
        .link("about", &[], "What runs out.")
        .computes(&["present", "per_day", "reached_at", "earliest", "latest", "method", "computed_at"], |_| {})
        .indexed(&["reached_at"])
        .columns(&["key", "title", "state", "present", "limit", "unit", "reached_at", "earliest", "latest", "owner"])
        .sorts(&["reached_at", "key", "-updated"])
        .practices(&[
            "capacity and performance management",
            "availability management",
            "ISO/IEC 20000-1 8.4.3",
        ])
    }
}

fn horizon_default() -> Dur {
    Dur::seconds(90 * 86_400)
}

fn learns_from_default() -> Dur {
    Dur::seconds(90 * 86_400)
}
