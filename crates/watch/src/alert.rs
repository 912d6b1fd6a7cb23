//! Alert: one thing that is wrong right now, as seen by a check, a rule or another system. It never pages; incidents do.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::severity::Severity;

/// One sign that something is wrong, from a check, a rule or another system, for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// What is wrong, with the name of what it is wrong with.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// What was seen.
    #[schemars(extend("x-multiline" = true))]
    pub summary: Option<String>,
    /// What makes a repeated sign the same alert: signs with the same fingerprint are counted, not listed.
    #[schemars(length(max = 500))]
    pub fingerprint: Option<String>,
    /// Where the sign came from: check, rule, or the name of the other system.
    #[schemars(length(max = 200))]
    pub source: Option<String>,
    /// Labels that it came with.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Texts that it came with: description, link to a graph, and so on.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The measured value, if there is one.
    pub value: Option<f64>,
    /// Since when it is wrong.
    pub started_at: Option<Time>,
    /// When it was well again.
    pub ended_at: Option<Time>,
    /// When the sign was last repeated.
    pub last_seen: Option<Time>,
    /// Since when there is no data to say whether it is still so; it keeps firing meanwhile.
    pub unknown_since: Option<Time>,
    /// How often the sign came.
    #[serde(default = "count_default")]
    pub count: u64,
    /// The check or rule that raised it.
    pub from: Option<Ref>,
    /// The record that it is about.
    pub about: Option<Ref>,
    /// The silence, maintenance window or broken upstream record because of which nobody is told.
    pub suppressed_by: Option<Ref>,
}

impl Class for Alert {
    const KIND: &'static str = "alert";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("ALR-")
            .states(&[("firing", true, "It is wrong now."), ("resolved", false, "It is well again.")])
            .transition(
                Step::new("resolve", &["firing"], "resolved", "Ends the alert; the next sign starts it again.")
                    .sets("ended_at", "$now"),
            )
            .transition(
                Step::new("refire", &["resolved"], "firing", "It is wrong again.")
                    .sets("ended_at", Value::Null)
                    .machine(),
            )
            .refers("from", &["check", "rule"], "raised-by", OnDelete::Unlink)
            .refers("about", &[], "about", OnDelete::Unlink)
            .refers("suppressed_by", &[], "suppressed-by", OnDelete::Unlink)
            .link("part-of", &["incident"], "The incident that it belongs to.")
            .at_most_one()
            .check(|fields| in_order(fields, "started_at", "ended_at"))
            .indexed(&["severity", "fingerprint", "about"])
            .columns(&["key", "severity", "title", "about", "state", "started_at", "count", "suppressed_by"])
            .sorts(&["-updated", "-started_at"])
            .practices(&["monitoring and event management", "ISO/IEC 20000-1 8.6.1"])
            .retention_days(400)
    }
}

fn count_default() -> u64 {
    1
}
