//! Audit: somebody looks whether what is said is done. What is found are findings; what shows it are links to records.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody looks whether what is said is done: against which standard, where, with what result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// What is looked at.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Who looks.
    #[serde(default)]
    pub kind: AuditKind,
    /// Against what, such as ISO/IEC 20000-1:2018.
    #[schemars(length(max = 300))]
    pub standard: Option<String>,
    /// What is covered, and what is not.
    #[schemars(extend("x-multiline" = true))]
    pub scope: Option<String>,
    /// What has to hold.
    #[schemars(extend("x-multiline" = true))]
    pub criteria: Option<String>,
    /// Who looks; never somebody who answers for what is looked at.
    #[schemars(length(max = 300))]
    pub auditor: Option<String>,
    /// When it is to begin.
    pub planned_at: Option<Time>,
    /// When it began.
    pub held_from: Option<Time>,
    /// When it was over.
    pub held_to: Option<Time>,
    /// What was looked at.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub items: Vec<AuditItem>,
    /// What came of it.
    #[schemars(extend("x-multiline" = true))]
    pub conclusion: Option<String>,
    /// When the next one is due.
    pub next_at: Option<Time>,
}

/// Who looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditKind {
    /// People of the organisation.
    #[default]
    Internal,
    /// An independent body, for a certificate.
    External,
    /// A customer.
    Customer,
    /// We look at a supplier.
    Supplier,
    /// An authority.
    Regulator,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditItem {
    /// Number in the standard, such as 8.6.1.
    #[schemars(length(max = 100))]
    pub reference: Option<String>,
    /// What has to hold.
    #[schemars(length(min = 1, max = 2000))]
    pub question: String,
    /// What was seen.
    #[serde(default)]
    pub result: AuditResult,
    /// What shows it: keys of records, a query, a document.
    #[schemars(length(max = 4000))]
    pub evidence: Option<String>,
    /// What else was noticed.
    #[schemars(length(max = 4000))]
    pub remark: Option<String>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditResult {
    /// Not looked at.
    #[default]
    Open,
    /// It holds.
    Conforms,
    /// It holds, and could be better.
    Observation,
    /// It does not hold in a detail.
    Minor,
    /// It does not hold.
    Major,
}

impl Class for Audit {
    const KIND: &'static str = "audit";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("AUD-")
            .states(&[
                ("planned", true, "It has its date."),
                ("running", true, "It is taking place."),
                ("reported", true, "Its report is there; what was found is not all done."),
                ("closed", false, "What was found has been dealt with."),
                ("cancelled", false, "It does not take place."),
            ])
            .transition(Step::new("start", &["planned"], "running", "It takes place.").sets("held_from", "$now"))
            .transition(
                Step::new("report", &["running"], "reported", "Its report is there.")
                    .needs(&["conclusion"])
                    .sets("held_to", "$now"),
            )
            .step("close", &["reported"], "closed", "What was found has been dealt with.")
            .step("reopen", &["closed"], "reported", "Something is not dealt with after all.")
            .step("cancel", &["planned", "running"], "cancelled", "It does not take place.")
            .link("examines", &[], "What is looked at: services, teams, controls, suppliers.")
            .link("evidenced-by", &[], "Records that show what was seen.")
            .check(|fields| in_order(fields, "held_from", "held_to"))
            .indexed(&["kind", "planned_at"])
            .columns(&["key", "title", "kind", "standard", "state", "planned_at", "held_to", "auditor", "owner"])
            .sorts(&["-updated", "planned_at"])
            .practices(&[
                "measurement and reporting",
                "risk management",
                "continual improvement",
                "ISO/IEC 20000-1 9.2",
            ])
    }
}
