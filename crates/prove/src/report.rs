//! Report: what is told at intervals, with the question behind every figure. The figures are computed when it is made,
//! and kept.

use kernel::define::is_schedule;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Figures and lists that are made at intervals, or when somebody asks, for somebody who has to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What it tells.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// For whom it is, and what for.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What time it is about.
    #[serde(default)]
    pub period: ReportPeriod,
    /// When it is made: cron, `every 24h`, or a recurrence rule; only when somebody asks when left out.
    #[schemars(length(max = 500))]
    pub schedule: Option<String>,
    /// Zone of the schedule and of the period; UTC when left out.
    #[schemars(length(min = 1, max = 64))]
    pub timezone: Option<String>,
    /// How it looks.
    #[serde(default)]
    pub format: Format,
    /// Addresses that it is sent to.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub recipients: Vec<String>,
    /// Language that it is written in, such as en.
    #[schemars(length(min = 2, max = 20))]
    pub language: Option<String>,
    /// What it consists of.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub sections: Vec<Section>,
    /// When it was last made.
    pub last_made: Option<Time>,
    /// Checksum of what was made then.
    pub last_hash: Option<String>,
    /// Why it could not be made, if it could not.
    pub last_error: Option<String>,
}

/// One part of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its heading.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// What kind of part it is.
    #[serde(default)]
    pub kind: SectionKind,
    /// Class of the records that are listed or counted.
    #[schemars(length(max = 63))]
    pub class: Option<String>,
    /// Which: in the filter language for records, in PromQL for graphs.
    #[schemars(extend("x-multiline" = true))]
    pub query: Option<String>,
    /// Field by which it is counted.
    #[schemars(length(max = 63))]
    pub by: Option<String>,
    /// Columns of a list.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub columns: Vec<String>,
    /// Text, in Markdown.
    #[schemars(extend("x-multiline" = true))]
    pub text: Option<String>,
}

/// What time a report is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReportPeriod {
    /// The day before.
    Day,
    /// The week before.
    Week,
    /// The month before.
    #[default]
    Month,
    /// The three months before.
    Quarter,
    /// The year before.
    Year,
}

/// How a report looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Pages.
    #[default]
    Pdf,
    /// A page for the browser.
    Html,
    /// A table.
    Csv,
    /// For another program.
    Json,
}

/// What kind of part it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SectionKind {
    /// One figure, with the one of the period before.
    #[default]
    Figure,
    /// A graph over the period.
    Graph,
    /// A list of records.
    List,
    /// Records counted by a field.
    Count,
    /// Promises, whether they were kept, and why not.
    ServiceLevels,
    /// Text.
    Text,
}

impl Class for Report {
    const KIND: &'static str = "report";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("active", true, "It is made."),
            ("paused", true, "It is not made by itself, for now."),
            ("retired", false, "No longer made; what was made is kept."),
        ])
        .step("pause", &["active"], "paused", "It is not made by itself for now.")
        .step("resume", &["paused", "retired"], "active", "It is made again.")
        .step("retire", &["active", "paused"], "retired", "It is no longer made.")
        .link("about", &[], "Services, customers or suppliers that it is about.")
        .link("agreed-with", &["tenant"], "The customer that it is made for.")
        .computes(&["last_made", "last_hash", "last_error"], |_| {})
        .check(|fields| is_schedule(fields, "schedule", "timezone"))
        .indexed(&["period"])
        .columns(&["key", "title", "period", "schedule", "format", "last_made", "owner", "state"])
        .sorts(&["key", "-updated"])
        .practices(&["measurement and reporting", "service level management", "ISO/IEC 20000-1 9.4"])
    }
}
