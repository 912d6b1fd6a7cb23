//! Database: a store of data and the program that serves it. No query and no secret is kept here.

use kernel::{Bytes, Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{Criticality, Environment};

/// A database, with the program that serves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What kind it is: postgresql, mysql, oracle, redis, clickhouse …
    #[schemars(length(max = 100))]
    pub engine: Option<String>,
    /// Release that is meant to run.
    #[schemars(length(max = 100))]
    pub release: Option<String>,
    /// Address that it is reached by.
    #[schemars(length(min = 1, max = 253))]
    pub address: Option<String>,
    /// Port that it listens on.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// Its part in replication.
    pub role: Option<DatabaseRole>,
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
    /// How much it holds.
    pub size_bytes: Option<Bytes>,
    /// What kind of data it holds: personal, financial, public …
    #[schemars(length(max = 100))]
    pub data_class: Option<String>,
    /// Until when its maker supplies updates.
    pub supported_until: Option<Time>,
}

/// Part of a database in replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseRole {
    /// Alone.
    Single,
    /// Takes writes and hands them on.
    Primary,
    /// Follows another.
    Replica,
    /// One of several equals.
    Member,
}

impl Class for Database {
    const KIND: &'static str = "database";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .link("runs-on", &["host", "container", "cluster", "cloud-resource"], "What it runs on.")
            .link("depends-on", &[], "What it needs to work.")
            .link("part-of", &["cluster", "service", "application"], "What it is a part of.")
            .link("replicates", &["database"], "The database that it follows.")
            .link("secured-by", &["certificate"], "Certificates that it serves with.")
            .link("instance-of", &["software"], "The product that it is an instance of.")
            .link("supported-by", &["contract"], "The contract under which it is mended.")
            .indexed(&["engine", "environment", "criticality"])
            .columns(&["key", "name", "health", "engine", "release", "role", "environment", "owner", "state"])
            .sorts(&["key", "-updated"])
            .practices(&[
                "service configuration management",
                "infrastructure and platform management",
                "ISO/IEC 20000-1 8.2.6",
            ])
    }
}
