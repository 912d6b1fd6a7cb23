//! Container: a long-lived workload in a container, by its role. Single short-lived containers are observations, never
//! records.

use kernel::{Class, Define};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::words::{Criticality, Environment};

/// A workload that runs in containers, known by what it does and not by the single container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Image that it is started from, with its tag or digest.
    #[schemars(length(max = 1000))]
    pub image: Option<String>,
    /// Namespace or project that it is in.
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    /// What it is: deployment, stateful set, compose service, single container …
    #[schemars(length(max = 100))]
    pub kind: Option<String>,
    /// Copies that are meant to run.
    #[schemars(range(min = 0, max = 100000))]
    pub replicas: Option<u32>,
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
    /// Labels that it carries.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub labels: BTreeMap<String, String>,
}

impl Class for Container {
    const KIND: &'static str = "container";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .link("runs-on", &["host", "cluster", "cloud-resource"], "What it runs on.")
            .link("depends-on", &[], "What it needs to work.")
            .link("part-of", &["service", "application"], "What it is a part of.")
            .link("instance-of", &["software"], "The product that it is an instance of.")
            .indexed(&["namespace", "environment"])
            .columns(&["key", "name", "health", "image", "namespace", "replicas", "environment", "state"])
            .sorts(&["key", "-updated"])
            .practices(&["service configuration management", "deployment management"])
    }
}
