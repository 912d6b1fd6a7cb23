//! Control: something that is done so that a risk stays small, and the proof that it is. Proof is a query with a date,
//! not a word.

use kernel::define::Step;
use kernel::{Class, Define, Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that is done so that a risk stays small, which standard asks for it, and what shows that it works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// What is done.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// How it is done here.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Standard that asks for it, such as ISO/IEC 27001:2022 or CIS v8.1.
    #[schemars(length(max = 100))]
    pub framework: Option<String>,
    /// Its number there, such as A.8.13 or 11.5.
    #[schemars(length(max = 50))]
    pub reference: Option<String>,
    /// What it does to a risk.
    #[serde(default)]
    pub kind: ControlKind,
    /// Filter of the records that show it, such as `class:restore-test state:passed updated:>-90d`.
    #[schemars(length(max = 2000))]
    pub evidence_query: Option<String>,
    /// How many such records there must be.
    pub evidence_at_least: Option<u32>,
    /// How often it is looked at.
    pub check_every: Option<Dur>,
    /// When it is to be looked at next.
    pub next_check: Option<Time>,
    /// When it was last looked at.
    pub last_checked: Option<Time>,
    /// What was seen then.
    #[schemars(extend("x-multiline" = true))]
    pub result: Option<String>,
    /// Why it does not concern us.
    #[schemars(length(max = 1000))]
    pub not_applicable_because: Option<String>,
}

/// What a control does to a risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// It does not happen.
    #[default]
    Preventive,
    /// It is noticed.
    Detective,
    /// It is mended.
    Corrective,
}

impl Class for Control {
    const KIND: &'static str = "control";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("planned", true, "It is not done yet."),
            ("in-place", true, "It is done, and the proof is there."),
            ("failing", true, "It is not done as it should be, or the proof is missing."),
            ("not-applicable", false, "It does not concern us."),
        ])
        .transition(
            Step::new(
                "confirm",
                &["planned", "in-place", "failing"],
                "in-place",
                "It is done, and the proof is there.",
            )
            .needs(&["result"])
            .sets("last_checked", "$now"),
        )
        .transition(
            Step::new("fail", &["planned", "in-place", "failing"], "failing", "It is not as it should be.")
                .needs(&["result"])
                .sets("last_checked", "$now"),
        )
        .transition(
            Step::new("exclude", &["planned", "in-place", "failing"], "not-applicable", "It does not concern us.")
                .needs(&["not_applicable_because"]),
        )
        .step("plan", &["not-applicable", "failing"], "planned", "It is to be done.")
        .link("covers", &[], "What it protects.")
        .link("evidenced-by", &[], "Records that show that it is done.")
        .link("part-of", &["control", "security-policy"], "What it is a part of.")
        .computes(&["last_checked"], |_| {})
        .indexed(&["framework", "next_check"])
        .columns(&["key", "reference", "title", "framework", "kind", "state", "last_checked", "next_check", "owner"])
        .sorts(&["key", "next_check", "-updated"])
        .practices(&["information security management", "risk management", "ISO/IEC 20000-1 8.7.3"])
    }
}
