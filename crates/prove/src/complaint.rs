//! Complaint: somebody is not content and says so. It is answered to the one who said it, and closed when that one was
//! answered.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who is not content and says so: a user, a customer, or we with a supplier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Complaint {
    /// What it is about.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What was said, in the words in which it was said.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Who complains of whom.
    #[serde(default)]
    pub kind: ComplaintKind,
    /// How bad it is for the relationship.
    #[serde(default)]
    pub severity: ComplaintSeverity,
    /// Who complains.
    pub from: Option<Ref>,
    /// When it came.
    pub received_at: Option<Time>,
    /// By when an answer was promised.
    pub answer_by: Option<Time>,
    /// When it was answered.
    pub answered_at: Option<Time>,
    /// What was found out.
    #[schemars(extend("x-multiline" = true))]
    pub finding: Option<String>,
    /// What was answered.
    #[schemars(extend("x-multiline" = true))]
    pub answer: Option<String>,
    /// Whether it was right.
    #[serde(default)]
    pub justified: Option<bool>,
    /// What came of it.
    #[schemars(extend("x-multiline" = true))]
    pub outcome: Option<String>,
}

/// Who complains of whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComplaintKind {
    /// A user or customer of us.
    #[default]
    Complaint,
    /// A contract is read in two ways, by a customer or a supplier and us.
    Dispute,
    /// We of a supplier.
    Supplier,
}

/// How bad a complaint is for the relationship.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComplaintSeverity {
    /// The customer may leave.
    High,
    /// Trust was lost.
    #[default]
    Medium,
    /// Somebody was annoyed.
    Low,
}

impl Class for Complaint {
    const KIND: &'static str = "complaint";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("COM-")
            .states(&[
                ("received", true, "It has come; nobody has looked into it."),
                ("investigating", true, "Somebody finds out what happened."),
                ("answered", true, "It was answered; whether that is enough is not known yet."),
                ("closed", false, "The one who complained is content, or nothing more can be done."),
                ("withdrawn", false, "It was taken back."),
            ])
            .transition(
                Step::new("investigate", &["received", "answered"], "investigating", "You find out what happened.")
                    .takes_owner(),
            )
            .transition(
                Step::new("answer", &["received", "investigating"], "answered", "It is answered.")
                    .needs(&["answer"])
                    .sets("answered_at", "$now"),
            )
            .transition(Step::new("close", &["answered"], "closed", "It is over.").asks_for(&["outcome", "justified"]))
            .step("reopen", &["closed", "answered", "withdrawn"], "investigating", "The answer was not enough.")
            .step("withdraw", &["received", "investigating", "answered"], "withdrawn", "It was taken back.")
            .refers("from", &["person", "tenant", "supplier"], "reported-by", OnDelete::Unlink)
            .link("about", &[], "What or whom it is about.")
            .link("resolved-by", &["improvement", "improvement-action", "change", "contract"], "What is done about it.")
            .computes(&["answered_at"], |_| {})
            .indexed(&["severity", "answer_by"])
            .columns(&["key", "severity", "title", "kind", "from", "state", "owner", "received_at", "answer_by"])
            .sorts(&["-updated", "answer_by"])
            .practices(&["relationship management", "service desk", "ISO/IEC 20000-1 8.3.2"])
    }
}
