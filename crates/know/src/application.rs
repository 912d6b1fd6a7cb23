//! Application: a program that runs and serves. That it runs is observed and checked; nothing here says so by itself.

use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{Criticality, Environment};

/// A program that serves others: a web server, a mail server, a piece of the business's own software.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Name that people use for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
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
    /// Release that is meant to run.
    #[schemars(length(max = 100))]
    pub release: Option<String>,
    /// Who makes it.
    #[schemars(length(max = 200))]
    pub vendor: Option<String>,
    /// Where users find it.
    #[schemars(length(max = 2000))]
    pub url: Option<String>,
    /// Where its source lives.
    #[schemars(length(max = 2000))]
    pub repository: Option<String>,
    /// By what Mainstay recognises it after a restart.
    #[schemars(length(max = 500))]
    pub identity: Option<String>,
    /// Name of its process.
    #[schemars(length(max = 200))]
    pub process: Option<String>,
    /// The systemd unit that runs it.
    #[schemars(length(max = 200))]
    pub unit: Option<String>,
    /// The account that it runs as.
    #[schemars(length(max = 100))]
    pub user: Option<String>,
    /// The file that it runs.
    #[schemars(length(max = 1000))]
    pub exe: Option<String>,
    /// The package that brought it.
    #[schemars(length(max = 200))]
    pub package: Option<String>,
    /// Where it listens.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub ports: Vec<Listening>,
    /// Until when its maker supplies updates.
    pub supported_until: Option<Time>,
}

/// A port that an application listens on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listening {
    /// tcp or udp.
    #[schemars(length(min = 1, max = 10))]
    pub protocol: String,
    /// Address that it listens on; `0.0.0.0` and `::` are all.
    #[schemars(length(min = 1, max = 64))]
    pub address: String,
    /// Number of the port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u32,
}

impl Class for Application {
    const KIND: &'static str = "application";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def)
            .link("runs-on", &["host", "endpoint", "container", "cluster", "cloud-resource"], "What it runs on.")
            .link("depends-on", &[], "What it needs to work: databases, other applications, name servers.")
            .link("connects-to", &["application", "database"], "What it was seen to talk to.")
            .link("part-of", &["service", "application"], "The service that it is a part of.")
            .link("secured-by", &["certificate"], "Certificates that it serves with.")
            .link("instance-of", &["software"], "The product that it is an instance of.")
            .link("supported-by", &["contract"], "The contract under which it is mended.")
            .indexed(&["identity", "environment", "criticality"])
            .columns(&["key", "name", "health", "release", "unit", "environment", "owner", "state"])
            .sorts(&["key", "-updated", "name"])
            .practices(&[
                "service configuration management",
                "software development and management",
                "ISO/IEC 20000-1 8.2.6",
                "CIS 2.1",
            ])
    }
}
