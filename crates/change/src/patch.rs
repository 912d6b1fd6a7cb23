//! Patch: an update that a maker offers, and whether the organisation takes it. Which machines have it is observed.

use kernel::define::Step;
use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An update that a maker offers, and what the organisation decided about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// What it mends.
    #[schemars(length(min = 1, max = 500))]
    pub title: String,
    /// The maker's number of it, such as DSA-5999-1.
    #[schemars(length(max = 200))]
    pub advisory: Option<String>,
    /// Vulnerabilities that it mends, such as CVE-2026-12345.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub identifiers: Vec<String>,
    /// What it mends.
    #[serde(default)]
    pub kind: PatchKind,
    /// How bad what it mends is.
    #[serde(default)]
    pub severity: PatchSeverity,
    /// Package that it updates.
    #[schemars(length(max = 300))]
    pub package: Option<String>,
    /// First release in which it is mended.
    #[schemars(length(max = 100))]
    pub fixed_release: Option<String>,
    /// When the maker published it.
    pub published_at: Option<Time>,
    /// The machine has to be started anew.
    #[serde(default)]
    pub restart: bool,
    /// By when it has to be everywhere.
    pub due: Option<Time>,
    /// Machines that still need it.
    pub missing_on: Option<u32>,
    /// Why it is taken or not taken.
    #[schemars(extend("x-multiline" = true))]
    pub decision: Option<String>,
}

/// What a patch mends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatchKind {
    /// A vulnerability.
    #[default]
    Security,
    /// A fault.
    Fault,
    /// Nothing; something is new.
    Feature,
    /// The software of a device.
    Firmware,
}

/// How bad what a patch mends is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatchSeverity {
    /// It is being used against others, or can be without any obstacle.
    Critical,
    /// It can be used against us.
    High,
    /// It can be used under some conditions.
    #[default]
    Medium,
    /// Hardly.
    Low,
}

impl Class for Patch {
    const KIND: &'static str = "patch";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Patch", "Patches")
            .numbered("PAT-")
            .states(&[
                ("offered", true, "The maker offers it; nobody has decided."),
                ("approved", true, "It is to be installed."),
                ("pilot", true, "It is being tried on a few machines."),
                ("rolling-out", true, "It is being installed, ring by ring."),
                ("installed", false, "Every machine that needs it has it."),
                ("declined", false, "It is not installed."),
                ("superseded", false, "A later one contains it."),
            ])
            .transition(
                Step::new("approve", &["offered", "declined"], "approved", "It is to be installed.").asks_for(&["due"]),
            )
            .step("try", &["offered", "approved"], "pilot", "It is tried on a few machines first.")
            .step("roll-out", &["approved", "pilot"], "rolling-out", "It is installed, ring by ring.")
            .step("stop", &["pilot", "rolling-out"], "approved", "It is not installed any further for now.")
            .step("complete", &["approved", "pilot", "rolling-out"], "installed", "Every machine that needs it has it.")
            .transition(
                Step::new(
                    "decline",
                    &["offered", "approved", "pilot", "rolling-out"],
                    "declined",
                    "It is not installed.",
                )
                .needs(&["decision"]),
            )
            .step(
                "supersede",
                &["offered", "approved", "pilot", "rolling-out"],
                "superseded",
                "A later one contains it.",
            )
            .link("updates", &["software", "application", "database", "network-device"], "What it updates.")
            .reversed("updated-by")
            .link("on", &["host", "endpoint", "network-device"], "Machines that need it.")
            .link("replaced-by", &["patch"], "The one that came after it.")
            .computes(&["missing_on"], |_| {})
            .indexed(&["severity", "kind", "due", "advisory"])
            .columns(&["key", "severity", "title", "advisory", "package", "state", "due", "missing_on", "restart"])
            .sorts(&["-updated", "due"])
            .practices(&[
                "infrastructure and platform management",
                "information security management",
                "ISO/IEC 27001 A.8.8",
                "CIS 7.3",
            ])
    }
}
