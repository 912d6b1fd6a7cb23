//! Service: what users get, and what is promised about it. Its health comes from what it depends on, never from a field.

use kernel::{Class, Define, Dur, OnDelete, Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::Criticality;

/// Something that the team provides to others: what they use it for, what is promised, what it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name that users know it by.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What it does for those who use it, in their words.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Who uses it.
    #[serde(default)]
    pub kind: ServiceKind,
    /// How much the business depends on it.
    pub criticality: Option<Criticality>,
    /// Where users find it.
    #[schemars(length(max = 2000))]
    pub url: Option<String>,
    /// How many people use it.
    pub users: Option<u32>,
    /// Which departments or customers use it.
    #[schemars(length(max = 1000))]
    pub customers: Option<String>,
    /// Hours in which it is promised to work; around the clock when left out.
    pub hours: Option<Ref>,
    /// Who is paged when it breaks, and who next.
    pub escalation_policy: Option<Ref>,
    /// The team that helps its users.
    pub support_team: Option<Ref>,
    /// The place that it serves, when it serves one.
    pub site: Option<Ref>,
    /// In how much time it must work again after a disaster (RTO).
    pub recovery_time: Option<Dur>,
    /// How much of the latest data may be lost in a disaster (RPO).
    pub recovery_point: Option<Dur>,
    /// What it is worth to the business, and what an hour without it costs.
    #[schemars(extend("x-multiline" = true))]
    pub value: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<String>,
}

/// Who uses a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// People use it for their work, or customers buy it.
    #[default]
    Business,
    /// Other services are built on it.
    Technical,
}

impl Class for Service {
    const KIND: &'static str = "service";
    fn define(def: Define<Self>) -> Define<Self> {
        def.states(&[
            ("live", true, "In use."),
            ("pipeline", true, "Being designed or built; nothing is promised yet."),
            ("retiring", true, "Still in use; its end has been told."),
            ("retired", false, "No longer provided."),
        ])
        .step("plan", &["live"], "pipeline", "It is not in use yet.")
        .step("launch", &["pipeline", "retiring", "retired"], "live", "It goes into use, and what is promised counts.")
        .step("announce-end", &["live"], "retiring", "Its end is told to those who use it.")
        .step("retire", &["live", "pipeline", "retiring"], "retired", "It is no longer provided.")
        .refers("hours", &["calendar"], "follows-calendar", OnDelete::Block)
        .refers("escalation_policy", &["escalation-policy"], "escalates-by", OnDelete::Block)
        .refers("support_team", &["team"], "helped-by", OnDelete::Unlink)
        .refers("site", &["site"], "located-in", OnDelete::Unlink)
        .link("depends-on", &[], "What it needs to work: applications, databases, machines, other services.")
        .link("served-by", &["application", "cluster", "circuit", "supplier"], "What serves its users directly.")
        .link("part-of", &["service"], "The service that it is a part of.")
        .link("secured-by", &["certificate"], "Certificates that it serves with.")
        .link("agreed-with", &["tenant"], "The customer that it is provided to.")
        .link("supported-by", &["contract"], "The contracts that stand behind it.")
        .indexed(&["kind", "criticality", "support_team"])
        .columns(&["key", "name", "health", "kind", "criticality", "users", "owner", "state"])
        .sorts(&["key", "-updated", "name"])
        .practices(&[
            "service catalogue management",
            "service configuration management",
            "service level management",
            "ISO/IEC 20000-1 8.2.4",
        ])
    }
}
