//! Words that several classes of this verb share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a thing is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Users depend on it.
    Production,
    /// As production, for the last test before it.
    Staging,
    /// For tests.
    Test,
    /// For those who build.
    Development,
    /// Takes over when production is lost.
    Recovery,
    /// For courses and demonstrations.
    Training,
}

/// How much the business depends on a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Criticality {
    /// The business stands still without it.
    Critical,
    /// A large part of the business is hindered without it.
    High,
    /// Some people are hindered without it.
    Medium,
    /// It would hardly be noticed.
    Low,
}
