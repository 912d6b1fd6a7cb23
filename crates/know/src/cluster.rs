//! Cluster: machines or programs that do one thing together and can do with fewer. How many it needs is a field, whether
//! it has them is measured.

use kernel::{Class, Define, OnDelete, Ref};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{Criticality, Environment};

/// Several machines or programs that do one thing together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What it is: kubernetes, hdfs, kafka, vsphere, galera, keepalived …
    #[schemars(length(max = 100))]
    pub kind: Option<String>,
    /// Release that is meant to run.
    #[schemars(length(max = 100))]
    pub release: Option<String>,
    /// Address that it is reached by.
    #[schemars(length(min = 1, max = 253))]
    pub address: Option<String>,
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
    /// Members that must work for the cluster to work.
    #[schemars(range(min = 0, max = 1000000))]
    pub members_needed: Option<u32>,
    /// Members that it is meant to have.
    #[schemars(range(min = 0, max = 1000000))]
    pub members_expected: Option<u32>,
    /// Where it is, when it is in one place.
    pub site: Option<Ref>,
}

impl Class for Cluster {
    const KIND: &'static str = "cluster";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .refers("site", &["site"], "located-in", OnDelete::Block)
            .link("runs-on", &["host", "cloud-resource", "cluster"], "What it runs on.")
            .link("depends-on", &[], "What it needs to work.")
            .link("part-of", &["service", "cluster"], "What it is a part of.")
            .link("instance-of", &["software"], "The product that it is an instance of.")
            .link("supported-by", &["contract"], "The contract under which it is mended.")
            .indexed(&["kind", "environment", "criticality"])
            .columns(&["key", "name", "health", "kind", "release", "members_expected", "environment", "owner", "state"])
            .sorts(&["key", "-updated"])
            .practices(&[
                "service configuration management",
                "infrastructure and platform management",
                "ISO/IEC 20000-1 8.2.6",
            ])
    }
}
