//! Severity: how bad an alert is. Priority, which also weighs how urgent it is, belongs to incidents and not here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nobody needs to act.
    Info,
    /// To be mended in working hours.
    Minor,
    /// Somebody must act soon: users notice, or will.
    #[default]
    Major,
    /// Somebody must act now: a service is down.
    Critical,
}
