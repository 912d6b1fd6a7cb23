//! Review: what is learned from an incident, a change or a drill. It blames nobody and closes nothing; actions follow it
//! up.

use kernel::define::Step;
use kernel::{Class, Define, OnDelete, Ref, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was learned from an incident, a change, a drill or anything else that went well or badly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// What is reviewed.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// What happened, in a paragraph that everybody understands.
    #[schemars(extend("x-multiline" = true))]
    pub summary: Option<String>,
    /// What happened when; filled from the journal to begin with.
    #[schemars(extend("x-multiline" = true))]
    pub timeline: Option<String>,
    /// What made it possible: causes and circumstances.
    #[schemars(extend("x-multiline" = true))]
    pub causes: Option<String>,
    /// What helped.
    #[schemars(extend("x-multiline" = true))]
    pub went_well: Option<String>,
    /// What stood in the way.
    #[schemars(extend("x-multiline" = true))]
    pub went_badly: Option<String>,
    /// What is to be remembered.
    #[schemars(extend("x-multiline" = true))]
    pub lessons: Option<String>,
    /// When people sat down together.
    pub held_at: Option<Time>,
    /// By when it is to be published.
    pub due: Option<Time>,
    /// Who took part.
    #[serde(default)]
    pub participants: Vec<Ref>,
    /// Who may read it when it is published.
    #[serde(default)]
    pub audience: Audience,
}

/// Who may read a review.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// The team that answers for the service.
    #[default]
    Team,
    /// Everybody in the organisation.
    Organisation,
    /// Also customers, on the status page.
    Customers,
}

impl Class for Review {
    const KIND: &'static str = "review";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("REV-")
            .states(&[
                ("draft", true, "Being written."),
                ("discussed", true, "People have talked about it; it is being finished."),
                ("published", false, "Finished; others may learn from it."),
            ])
            .transition(
                Step::new("discuss", &["draft"], "discussed", "People have talked about it.").asks_for(&["held_at"]),
            )
            .transition(
                Step::new("publish", &["draft", "discussed"], "published", "It is finished, and others may read it.")
                    .needs(&["summary"])
                    .asks_for(&["lessons"]),
            )
            .step("revise", &["published"], "draft", "Takes it back to be rewritten.")
            .refers("participants", &["person"], "attended-by", OnDelete::Unlink)
            .link(
                "about",
                &["incident", "problem", "change", "release", "drill", "project", "service"],
                "What is reviewed.",
            )
            .indexed(&["due"])
            .columns(&["key", "title", "state", "owner", "due", "held_at", "updated"])
            .sorts(&["-updated", "due"])
            .practices(&["incident management", "problem management", "continual improvement", "ISO/IEC 20000-1 10.1"])
    }
}
