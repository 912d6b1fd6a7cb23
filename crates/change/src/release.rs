//! Release: changes that go live together, and the decision to do so. Putting it somewhere is a deployment.

use kernel::define::Step;
use kernel::{Class, Define, Record, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Changes that go live together, with what they consist of and the decision to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What it brings, in one line.
    #[schemars(length(min = 1, max = 300))]
    pub title: String,
    /// Its number, such as 2.4.0.
    #[schemars(length(min = 1, max = 100))]
    pub number: Option<String>,
    /// How large it is.
    #[serde(default)]
    pub kind: ReleaseKind,
    /// What users should know.
    #[schemars(extend("x-multiline" = true))]
    pub notes: Option<String>,
    /// What has to hold before it goes.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub criteria: Vec<Criterion>,
    /// What it consists of.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub artefacts: Vec<Artefact>,
    /// How to go back.
    #[schemars(extend("x-multiline" = true))]
    pub back_out_plan: Option<String>,
    /// When it is to go live.
    pub planned_at: Option<Time>,
    /// When it went live.
    pub released_at: Option<Time>,
    /// Who decided to go or not to go, and why.
    #[schemars(extend("x-multiline" = true))]
    pub decision: Option<String>,
}

/// Size of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseKind {
    /// Much is new; users must be told.
    Major,
    /// Some things are new.
    #[default]
    Minor,
    /// Only faults are mended.
    Patch,
    /// One fault is mended that cannot wait.
    Emergency,
}

/// Something that has to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// What has to hold.
    #[schemars(length(min = 1, max = 500))]
    pub text: String,
    /// It holds.
    #[serde(default)]
    pub met: bool,
    /// What shows it.
    #[schemars(length(max = 1000))]
    pub evidence: Option<String>,
}

/// One thing that a release consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// What it is.
    #[schemars(length(min = 1, max = 300))]
    pub name: String,
    /// Its own number.
    #[schemars(length(max = 100))]
    pub number: Option<String>,
    /// Where it lies.
    #[schemars(length(max = 2000))]
    pub location: Option<String>,
    /// Its checksum.
    #[schemars(length(max = 200))]
    pub digest: Option<String>,
}

impl Class for Release {
    const KIND: &'static str = "release";
    fn define(def: Define<Self>) -> Define<Self> {
        def.numbered("REL-")
            .states(&[
                ("planned", true, "What goes in is being decided."),
                ("building", true, "It is being made."),
                ("testing", true, "It is being tested."),
                ("ready", true, "It has been decided to go."),
                ("released", false, "It is live."),
                ("withdrawn", false, "It was taken back, or never went."),
            ])
            .step("build", &["planned", "testing"], "building", "It is being made.")
            .step("test", &["planned", "building"], "testing", "It is being tested.")
            .transition(
                Step::new("go", &["planned", "building", "testing"], "ready", "It is decided to go.")
                    .asks_for(&["decision"])
                    .guarded(criteria_are_met),
            )
            .transition(Step::new("release", &["ready"], "released", "It is live.").sets("released_at", "$now"))
            .transition(
                Step::new(
                    "withdraw",
                    &["planned", "building", "testing", "ready", "released"],
                    "withdrawn",
                    "It does not go, or is taken back.",
                )
                .needs(&["decision"]),
            )
            .link("includes", &["change", "patch"], "Changes that go live with it.")
            .link("about", &["service", "application", "software"], "What it is a release of.")
            .link("depends-on", &["release"], "Releases that have to be live before.")
            .link("part-of", &["project"], "The project that it is a part of.")
            .computes(&["released_at"], |_| {})
            .indexed(&["kind", "planned_at"])
            .columns(&["key", "title", "number", "kind", "state", "planned_at", "released_at", "owner"])
            .sorts(&["-updated", "planned_at"])
            .practices(&["release management", "ISO/IEC 20000-1 8.5.3"])
    }
}

/// What has to hold before it goes does hold.
fn criteria_are_met(release: &Record) -> Result<(), String> {
    let criteria = release.get("criteria").and_then(Value::as_array);
    let unmet = criteria.into_iter().flatten().filter(|c| c.get("met") != Some(&Value::Bool(true)));
    let texts: Vec<&str> = unmet.filter_map(|c| c.get("text").and_then(Value::as_str)).collect();
    if texts.is_empty() { Ok(()) } else { Err(format!("not every criterion is met: {}", texts.join("; "))) }
}
