//! Known error: a trouble whose cause is known and not yet removed, with the way around it. It is what a help desk
//! searches first.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A trouble whose cause is known and which has not been removed yet, with the way around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownError {
    /// The trouble as users see it.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// How to recognise it: messages, behaviour, graphs.
    #[schemars(extend("x-multiline" = true))]
    pub symptoms: Option<String>,
    /// Why it happens.
    #[schemars(extend("x-multiline" = true))]
    pub root_cause: Option<String>,
    /// What to do until it is removed, step by step.
    #[schemars(extend("x-multiline" = true))]
    pub workaround: Option<String>,
    /// Filter of alerts and incidents that show this error; they are offered the workaround.
    #[schemars(length(max = 1000))]
    pub pattern: Option<String>,
    /// The problem that it came from.
    pub problem: Option<Ref>,
    /// When it will be removed.
    pub fix_expected: Option<Time>,
    /// How often its workaround has helped.
    #[serde(default)]
    pub uses: u32,
}

impl Class for KnownError {
    const KIND: &'static str = "known-error";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Known error", "Known errors")
            .numbered("KE-")
            .states(&[
                ("draft", true, "Being written; only its team sees it."),
                ("published", true, "Offered to whoever meets the trouble."),
                ("fixed", false, "The cause has been removed."),
                ("retired", false, "No longer true or no longer needed."),
            ])
            .transition(
                Step::new("publish", &["draft"], "published", "Offers it to everybody who meets the trouble.")
                    .needs(&["workaround"]),
            )
            .step("fix", &["draft", "published"], "fixed", "The cause has been removed.")
            .step("retire", &["draft", "published", "fixed"], "retired", "Takes it out of use.")
            .step("revise", &["published", "fixed", "retired"], "draft", "Takes it back to be rewritten.")
            .refers("problem", &["problem"], "arises-from", OnDelete::Unlink)
            .link("affects", &[], "Software, services or machines that have it.")
            .link("explains", &["incident", "alert", "finding"], "Records that showed this error.")
            .link("resolved-by", &["change", "release", "patch"], "What removes the cause.")
            .computes(&["uses"], |_| {})
            .columns(&["key", "title", "problem", "state", "uses", "fix_expected", "updated"])
            .practices(&["problem management", "knowledge management", "ISO/IEC 20000-1 8.6.3"])
    }
}
