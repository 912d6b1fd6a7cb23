//! Deployment: one release, or one revision, brought to one place. Pipelines tell of it; what it did to the service is
//! measured.

use kernel::define::{Step, in_order};
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One release or revision brought to one place, by a pipeline or by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// What was brought where.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Where to: production, staging …
    #[schemars(length(min = 1, max = 100))]
    pub environment: Option<String>,
    /// Which revision: a commit, a tag, a number.
    #[schemars(length(max = 200))]
    pub revision: Option<String>,
    /// What was installed, such as an image with its digest.
    #[schemars(length(max = 1000))]
    pub artefact: Option<String>,
    /// Address of the pipeline that did it.
    #[schemars(length(max = 2000))]
    pub pipeline: Option<String>,
    /// The pipeline's own name for it; the same one is not recorded twice.
    #[schemars(length(max = 500))]
    pub external_id: Option<String>,
    /// When the change was written, from which the lead time is counted.
    pub committed_at: Option<Time>,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// What the pipeline said at the end.
    #[schemars(extend("x-multiline" = true))]
    pub said: Option<String>,
}

impl Class for Deployment {
    const KIND: &'static str = "deployment";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("DEP-")
            .states(&[
                ("pending", true, "It has not begun."),
                ("running", true, "It is being done."),
                ("succeeded", false, "It was done."),
                ("failed", false, "It was not done, or only in part."),
                ("rolled-back", false, "It was taken back."),
                ("cancelled", false, "It was not done."),
            ])
            .transition(Step::new("start", &["pending"], "running", "It is being done.").sets("started_at", "$now"))
            .transition(
                Step::new("succeed", &["pending", "running"], "succeeded", "It was done.").sets("ended_at", "$now"),
            )
            .transition(
                Step::new("fail", &["pending", "running"], "failed", "It was not done, or only in part.")
                    .asks_for(&["said"])
                    .sets("ended_at", "$now"),
            )
            .transition(
                Step::new("roll-back", &["running", "succeeded", "failed"], "rolled-back", "It was taken back.")
                    .asks_for(&["said"])
                    .sets("ended_at", "$now"),
            )
            .step("cancel", &["pending"], "cancelled", "It is not done.")
            .link("of", &["release"], "The release that was brought.")
            .at_most_one()
            .link("on", &[], "What it was brought to: an application, a service, a cluster.")
            .link("part-of", &["change"], "The change that it belongs to.")
            .check(|fields| in_order(fields, "started_at", "ended_at"))
            .indexed(&["environment", "external_id"])
            .columns(&["key", "title", "environment", "revision", "state", "started_at", "ended_at", "owner"])
            .sorts(&["-updated", "-started_at"])
            .practices(&["deployment management", "ISO/IEC 20000-1 8.5.3"])
    }
}
