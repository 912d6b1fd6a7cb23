//! Alertmanager: the body of its webhook, version 4.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// A group of alerts, as one webhook brings it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What makes the group: `{}:{alertname="HighLoad"}`.
    pub group_key: String,
    /// True as long as one of its alerts is.
    #[serde(rename = "status", deserialize_with = "is_firing")]
    pub is_firing: bool,
    /// The receiver's name there.
    #[serde(default)]
    pub receiver: String,
    /// Where the Alertmanager can be looked at.
    #[serde(default, rename = "externalURL")]
    pub external_url: String,
    /// How many alerts were left out of this body.
    #[serde(default)]
    pub truncated_alerts: u64,
    /// The alerts.
    pub alerts: Vec<Alert>,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// True until it is resolved.
    #[serde(rename = "status", deserialize_with = "is_firing")]
    pub is_firing: bool,
    /// What it is about; the same labels are the same alert.
    pub labels: BTreeMap<String, String>,
    /// What people are told.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when; a moment of the year 1 means that it goes on.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Where the rule can be looked at.
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
    /// A hash of the labels.
    #[serde(default)]
    pub fingerprint: String,
}

fn is_firing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "firing" => Ok(true),
        "resolved" => Ok(false),
        other => Err(serde::de::Error::custom(format!("the status {other:?} is neither firing nor resolved"))),
    }
}

/// Reads the body of a webhook.
///
/// # Errors
/// A sentence with the place of what is wrong.
pub fn parse_group(bytes: &[u8]) -> Result<Group, String> {
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    let wrong = |why: serde_json::Error| format!("the body is no webhook of Alertmanager ({why})");
    let version: Version = serde_json::from_slice(bytes).map_err(wrong)?;
    if version.version != "4" {
        return Err(format!("version {:?} of Alertmanager's webhook is not known (\"4\" is)", version.version));
    }
    let mut group: Group = serde_json::from_slice(bytes).map_err(wrong)?;
    for alert in &mut group.alerts {
        alert.ends_at = alert.ends_at.filter(|end| *end >= alert.starts_at);
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_or_refused_with_its_place() {
        let body = br#"{"version":"4","groupKey":"{}:{}","status":"firing","receiver":"mainstay","truncatedAlerts":0,
            "externalURL":"http://am","alerts":[{"status":"firing","labels":{"alertname":"HighLoad"},"annotations":{},
            "startsAt":"2026-11-21T08:00:00.5Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"a1"}]}"#;
        let group = parse_group(body).unwrap();
        assert!(group.is_firing && group.alerts[0].is_firing);
        assert_eq!(group.alerts[0].ends_at, None);
        for (wrong, part) in [
            ("{}", "missing field `version`"),
            (r#"{"version":"3"}"#, "version \"3\""),
            (r#"{"version":"4","groupKey":"","status":"odd","alerts":[]}"#, "neither firing nor resolved"),
        ] {
            assert!(parse_group(wrong.as_bytes()).unwrap_err().contains(part), "{wrong}");
        }
    }
}
