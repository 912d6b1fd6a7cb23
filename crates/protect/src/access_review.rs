//! Access review: who may do what, looked at one by one, with a decision for each. Taking rights away is done elsewhere,
//! and linked.

use kernel::define::Step;
use kernel::{Class, Define, Dur, Record, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who may do what, looked at one by one at intervals, with a decision for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessReview {
    /// What is looked at.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Filter of the people, roles or tokens that are looked at.
    #[schemars(length(max = 1000))]
    pub scope: Option<String>,
    /// Accounts unused for longer than this are pointed out.
    pub dormant_after: Option<Dur>,
    /// By when it is to be done.
    pub due: Option<Time>,
    /// What was looked at.
    #[serde(default)]
    #[schemars(length(max = 5000))]
    pub items: Vec<ReviewItem>,
    /// What came of it.
    #[schemars(extend("x-multiline" = true))]
    pub conclusion: Option<String>,
    /// When it was done.
    pub completed_at: Option<Time>,
}

/// One right of one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewItem {
    /// Whose right it is: a person, a token, an account.
    #[schemars(length(min = 1, max = 200))]
    pub who: String,
    /// What may be done with it, and where.
    #[schemars(length(min = 1, max = 500))]
    pub right: String,
    /// When it was last used.
    pub last_used: Option<Time>,
    /// What is to become of it.
    #[serde(default)]
    pub decision: Decision,
    /// Who decided.
    #[schemars(length(max = 128))]
    pub decided_by: Option<String>,
    /// Why.
    #[schemars(length(max = 1000))]
    pub remark: Option<String>,
}

/// What is to become of a right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Nobody has decided.
    #[default]
    Undecided,
    /// It is needed.
    Keep,
    /// Less is enough.
    Reduce,
    /// It is not needed.
    Remove,
}

impl Class for AccessReview {
    const KIND: &'static str = "access-review";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Access review", "Access reviews")
            .numbered("ACR-")
            .states(&[
                ("planned", true, "It has not begun."),
                ("running", true, "It is being done."),
                ("completed", false, "Every right has been decided on."),
                ("cancelled", false, "It was not done."),
            ])
            .step("start", &["planned"], "running", "It is being done.")
            .transition(
                Step::new("complete", &["running"], "completed", "Every right has been decided on.")
                    .asks_for(&["conclusion"])
                    .sets("completed_at", "$now")
                    .guarded(all_is_decided),
            )
            .step("cancel", &["planned", "running"], "cancelled", "It is not done.")
            .link("examines", &[], "Roles, teams, services or systems whose rights are looked at.")
            .link("evidenced-by", &[], "Records that show that what was decided has been done.")
            .computes(&["completed_at"], |_| {})
            .indexed(&["due"])
            .columns(&["key", "title", "scope", "state", "due", "completed_at", "owner"])
            .sorts(&["-updated", "due"])
            .practices(&["information security management", "ISO/IEC 27001 A.5.18", "CIS 5.3", "CIS 6.1"])
    }
}

/// A review with an open question is not over.
fn all_is_decided(review: &Record) -> Result<(), String> {
    let items = review.get("items").and_then(Value::as_array);
    let left = items
        .into_iter()
        .flatten()
        .filter(|i| i.get("decision").and_then(Value::as_str).unwrap_or("undecided") == "undecided")
        .count();
    if left == 0 { Ok(()) } else { Err(format!("{left} rights are still undecided")) }
}
