//! Cloud resource: what is rented from a provider by the hour. Its cost is a record of plan; no credential is kept here.

use kernel::{Class, Define};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::words::{Criticality, Environment};

/// Something rented from a cloud provider: an instance, a bucket, a managed database, a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudResource {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Who provides it.
    #[schemars(length(max = 100))]
    pub provider: Option<String>,
    /// Account or subscription that it belongs to.
    #[schemars(length(max = 200))]
    pub account: Option<String>,
    /// Region or zone that it is in.
    #[schemars(length(max = 100))]
    pub region: Option<String>,
    /// What the provider calls its kind.
    #[schemars(length(max = 200))]
    pub kind: Option<String>,
    /// The provider's own name for it.
    #[schemars(length(max = 1000))]
    pub external_id: Option<String>,
    /// Its size, in the provider's words.
    #[schemars(length(max = 200))]
    pub size: Option<String>,
    /// What it is for and what one should know about it.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// What it is used for: production, staging, test …
    pub environment: Option<Environment>,
    /// How much the business depends on it.
    pub criticality: Option<Criticality>,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<String>,
    /// Labels that it has at the provider.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub labels: BTreeMap<String, String>,
    /// What it costs a month, in the organisation's currency.
    #[schemars(range(min = 0.0, max = 1000000000.0))]
    pub monthly_cost: Option<f64>,
}

impl Class for CloudResource {
    const KIND: &'static str = "cloud-resource";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .titled("Cloud resource", "Cloud resources")
            .link("depends-on", &[], "What it needs to work.")
            .link("part-of", &["cluster", "service"], "What it is a part of.")
            .link("supplied-by", &["supplier"], "Who provides it.")
            .link("secured-by", &["certificate"], "Certificates that it serves with.")
            .indexed(&["external_id", "provider", "environment"])
            .columns(&["key", "name", "health", "provider", "kind", "region", "monthly_cost", "environment", "state"])
            .sorts(&["key", "-updated", "-monthly_cost"])
            .practices(&[
                "service configuration management",
                "infrastructure and platform management",
                "service financial management",
            ])
    }
}
