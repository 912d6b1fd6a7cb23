//! Software: a product, one record for all its installations. Where it is installed is observed.

use kernel::{Class, Define, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A software product that the organisation uses, and whether it may be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Name of the product.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Who makes it.
    #[schemars(length(max = 200))]
    pub vendor: Option<String>,
    /// What it is used for.
    #[schemars(extend("x-multiline" = true))]
    pub description: Option<String>,
    /// Whether it may be used.
    #[serde(default)]
    pub approval: SoftwareApproval,
    /// Release that is meant to be in use.
    #[schemars(length(max = 100))]
    pub release: Option<String>,
    /// Names of the packages that are this product; installations are counted by them.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub package_names: Vec<String>,
    /// How many installations have been seen.
    pub installs: Option<u32>,
    /// Until when its maker supplies updates.
    pub supported_until: Option<Time>,
    /// Its name in the registry of vulnerabilities (CPE).
    #[schemars(length(max = 500))]
    pub cpe: Option<String>,
}

/// Whether a product may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SoftwareApproval {
    /// Everybody may use it.
    Approved,
    /// Some may use it, after asking.
    Restricted,
    /// Nobody may use it.
    Forbidden,
    /// Nobody has decided.
    #[default]
    Undecided,
}

impl Class for Software {
    const KIND: &'static str = "software";
    fn define(def: Define<Self>) -> Define<Self> {
        crate::life::item(def.titled("Software", "Software"))
            .link("part-of", &["software"], "The suite that it is a part of.")
            .link("supplied-by", &["supplier"], "Who sells or supports it.")
            .link("supported-by", &["contract"], "The contract under which it is supported.")
            .computes(&["installs"], |_| {})
            .indexed(&["approval", "supported_until"])
            .columns(&["key", "name", "vendor", "release", "approval", "installs", "supported_until", "state"])
            .sorts(&["key", "-updated", "supported_until"])
            .practices(&["IT asset management", "software development and management", "CIS 2.1", "CIS 2.2"])
    }
}
