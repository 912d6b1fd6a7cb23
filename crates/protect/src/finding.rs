//! Finding: a weakness in one place, known by what it is and where. A scan that no longer sees it does not close it: a
//! proof does.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A weakness that was found in one place: a vulnerability, a setting, something that a tester or an auditor saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What is weak.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What was found, and what it makes possible.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What kind of weakness it is.
    #[serde(default)]
    pub kind: FindingKind,
    /// How bad it is by itself.
    #[serde(default)]
    pub severity: FindingSeverity,
    /// From 1 (now) to 5, from severity, and from whether it is exploited and can be reached.
    #[schemars(range(min = 1, max = 5))]
    pub priority: Option<u32>,
    /// What others call it, such as CVE-2026-12345 or a rule's number.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub identifiers: Vec<String>,
    /// Score of the vulnerability (CVSS).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub cvss: Option<f64>,
    /// Likelihood that it is used against somebody in the next 30 days (EPSS).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epss: Option<f64>,
    /// It is known to be used against others.
    #[serde(default)]
    pub exploited: bool,
    /// It can be reached from outside.
    #[serde(default)]
    pub reachable: bool,
    /// Package that has it.
    #[schemars(length(max = 300))]
    pub package: Option<String>,
    /// Release that was found.
    #[schemars(length(max = 100))]
    pub installed_release: Option<String>,
    /// First release without it.
    #[schemars(length(max = 100))]
    pub fixed_release: Option<String>,
    /// Who found it: a scanner, a feed, a person.
    #[schemars(length(max = 200))]
    pub source: Option<String>,
    /// What makes the next scan's result the same finding.
    #[schemars(length(max = 500))]
    pub fingerprint: Option<String>,
    /// What shows it.
    #[schemars(extend("x-multiline" = true))]
    pub evidence: Option<String>,
    /// How it is mended.
    #[schemars(extend("x-multiline" = true))]
    pub remediation: Option<String>,
    /// By when it is to be mended.
    pub due: Option<Time>,
    /// When it was first seen.
    pub first_seen: Option<Time>,
    /// When it was last seen.
    pub last_seen: Option<Time>,
    /// Until when it is lived with.
    pub accepted_until: Option<Time>,
    /// Why it is lived with, and who said so.
    #[schemars(extend("x-multiline" = true))]
    pub acceptance: Option<String>,
    /// When it was mended.
    pub fixed_at: Option<Time>,
}

/// What kind of weakness a finding is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A fault in software that can be used.
    #[default]
    Vulnerability,
    /// A setting that is weaker than it should be.
    Hardening,
    /// Something that a tester got through.
    Penetration,
    /// Something that can be reached and should not.
    Exposure,
    /// Something that a rule or a standard asks for and is not there.
    Compliance,
    /// Something was altered that should not have been.
    Integrity,
}

/// How bad a weakness is by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// Anybody can take the whole.
    Critical,
    /// Much can be taken or broken.
    High,
    /// Something, under some conditions.
    #[default]
    Medium,
    /// Hardly anything.
    Low,
    /// Nothing; worth knowing.
    Info,
}

impl Class for Finding {
    const KIND: &'static str = "finding";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("FND-")
            .states(&[
                ("new", true, "Nobody has looked at it."),
                ("confirmed", true, "It is real and has to be mended."),
                ("in-progress", true, "Somebody is mending it."),
                ("fixed", true, "It was mended; that it is gone has not been shown yet."),
                ("verified", false, "It has been shown that it is gone."),
                ("accepted", false, "It is lived with, until a day."),
                ("false-positive", false, "It was not real."),
            ])
            .step("confirm", &["new", "accepted", "false-positive"], "confirmed", "It is real and has to be mended.")
            .transition(Step::new("start", &["new", "confirmed"], "in-progress", "You are mending it.").takes_owner())
            .transition(
                Step::new("fix", &["new", "confirmed", "in-progress"], "fixed", "It was mended.")
                    .sets("fixed_at", "$now"),
            )
            .transition(
                Step::new(
                    "verify",
                    &["new", "confirmed", "in-progress", "fixed"],
                    "verified",
                    "It has been shown that it is gone.",
                )
                .needs(&["evidence"]),
            )
            .transition(
                Step::new("accept", &["new", "confirmed", "in-progress"], "accepted", "It is lived with, until a day.")
                    .needs(&["acceptance", "accepted_until"]),
            )
            .transition(
                Step::new("dismiss", &["new", "confirmed", "in-progress"], "false-positive", "It is not real.")
                    .needs(&["evidence"]),
            )
            .transition(
                Step::new(
                    "reopen",
                    &["fixed", "verified", "accepted", "false-positive"],
                    "new",
                    "It was seen again, or its time is over.",
                )
                .sets("fixed_at", Value::Null),
            )
            .link("on", &[], "Where it was found.")
            .link("arises-from", &["audit", "access-review", "control"], "What it was found by.")
            .link("resolved-by", &["change", "patch", "task"], "What mends it.")
            .link("evidenced-by", &[], "Records that show it, or that it is gone.")
            .link("duplicate-of", &["finding"], "The finding that already tells of it.")
            .at_most_one()
            .computes(&["priority"], priority)
            .computes(&["fixed_at"], |_| {})
            .check(|fields| in_order(fields, "first_seen", "last_seen"))
            .indexed(&["priority", "severity", "fingerprint", "due"])
            .columns(&["key", "priority", "severity", "title", "package", "state", "owner", "due", "last_seen"])
            .sorts(&["-updated", "priority", "due"])
            .practices(&["information security management", "risk management", "ISO/IEC 27001 A.8.8", "CIS 7.1"])
    }
}

/// Fills `priority`: severity from 1 to 5, one step more urgent for each of exploited and reachable.
fn priority(fields: &mut Map<String, Value>) {
    let severity = match fields.get("severity").and_then(Value::as_str) {
        Some("critical") => 1,
        Some("high") => 2,
        Some("low") => 4,
        Some("info") => 5,
        _ => 3,
    };
    let worse =
        ["exploited", "reachable"].into_iter().filter(|f| fields.get(*f) == Some(&Value::Bool(true))).count() as i64;
    fields.insert("priority".into(), (severity - worse).max(1).into());
}
