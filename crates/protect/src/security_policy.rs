//! Security policy: a rule for people, agreed to and in force from a day. What machines obey are access policies,
//! elsewhere.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule for people: what is to be done and what is forbidden, for whom, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityPolicy {
    /// What it governs.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// The whole, in Markdown.
    #[schemars(extend("x-multiline" = true))]
    pub text: Option<String>,
    /// Its release, such as 3.1.
    #[schemars(length(max = 50))]
    pub release: Option<String>,
    /// Who put it into force.
    pub approver: Option<Ref>,
    /// From when it is in force.
    pub valid_from: Option<Time>,
    /// By when somebody must look whether it still fits.
    pub review_by: Option<Time>,
    /// Everybody whom it concerns has to say that they have read it.
    #[serde(default)]
    pub acknowledgement: bool,
    /// Filter of the people whom it concerns; everybody when left out.
    #[schemars(length(max = 1000))]
    pub audience: Option<String>,
}

impl Class for SecurityPolicy {
    const KIND: &'static str = "security-policy";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Security policy", "Security policies")
            .states(&[
                ("draft", true, "Being written."),
                ("in-review", true, "Others read it."),
                ("in-force", true, "It is to be obeyed."),
                ("withdrawn", false, "No longer in force."),
            ])
            .step("submit", &["draft"], "in-review", "Asks others to read it.")
            .transition(
                Step::new("enact", &["draft", "in-review"], "in-force", "It is to be obeyed.")
                    .titled("Put into force")
                    .needs(&["text"])
                    .asks_for(&["valid_from", "review_by"]),
            )
            .step("revise", &["in-review", "in-force", "withdrawn"], "draft", "Takes it back to be changed.")
            .step("withdraw", &["draft", "in-review", "in-force"], "withdrawn", "It is no longer in force.")
            .refers("approver", &["person"], "approved-by", OnDelete::Unlink)
            .link("applies-to", &["team", "role", "site", "service"], "Whom and what it concerns.")
            .link("acknowledged-by", &["person"], "Who has said that they have read it.")
            .indexed(&["review_by"])
            .columns(&["key", "title", "release", "state", "valid_from", "review_by", "owner"])
            .sorts(&["key", "review_by", "-updated"])
            .practices(&["information security management", "ISO/IEC 20000-1 8.7.3", "ISO/IEC 27001 A.5.1"])
    }
}
