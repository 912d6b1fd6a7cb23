//! Priority: from impact and urgency, as ITIL has it. Severity is the alert's and does not enter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A whole service, site or many people; or it cannot wait.
    High,
    /// A part, a group of people; or it can wait for hours.
    #[default]
    Medium,
    /// A single person, with another way to work; or it can wait for days.
    Low,
}

/// Fills `priority`, 1 to 5, from `impact` and `urgency`; either counts as medium when absent.
///
/// | impact \ urgency | high | medium | low |
/// |---|---|---|---|
/// | high | 1 | 2 | 3 |
/// | medium | 2 | 3 | 4 |
/// | low | 3 | 4 | 5 |
pub fn priority(fields: &mut Map<String, Value>) {
    let rank = |name: &str| match fields.get(name).and_then(Value::as_str) {
        Some("high") => 0,
        Some("low") => 2,
        _ => 1,
    };
    let priority = 1 + rank("impact") + rank("urgency");
    fields.insert("priority".into(), priority.into());
}
