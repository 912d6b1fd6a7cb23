//! PagerDuty: events of its API, version 2, as many tools can send them. Says nothing about whether the key is a good one.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The integration that it is for; a secret of whoever sends.
    pub routing_key: String,
    /// What is to be done.
    pub action: Action,
    /// What makes two events the same trouble; `None` only with `trigger`.
    pub dedup_key: Option<String>,
    /// What is wrong; `None` only when it is not `trigger`.
    pub payload: Option<Payload>,
    /// The tool that sends.
    pub client: Option<String>,
    /// Links and images, as they were sent.
    pub links: Vec<Value>,
}

/// What an event wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Open the trouble, or add to it.
    Trigger,
    /// Somebody is on it.
    Acknowledge,
    /// It is over.
    Resolve,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Payload {
    /// In a sentence.
    pub summary: String,
    /// Where: a host, a service.
    pub source: String,
    /// How bad.
    pub severity: Severity,
    /// When it was seen.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// Which part.
    #[serde(default)]
    pub component: Option<String>,
    /// Which group of parts.
    #[serde(default)]
    pub group: Option<String>,
    /// Which kind of event.
    #[serde(default)]
    pub class: Option<String>,
    /// Anything more.
    #[serde(default)]
    pub custom_details: Value,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not work.
    Critical,
    /// Part of it does not work.
    Error,
    /// Somebody should look soon.
    Warning,
    /// Good to know.
    Info,
}

/// Reads the body of a request to `/v2/enqueue`.
///
/// # Errors
/// A sentence with what is missing or wrong; never the routing key.
pub fn parse_event(bytes: &[u8]) -> Result<Event, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(default)]
        routing_key: String,
        event_action: Action,
        #[serde(default)]
        dedup_key: Option<String>,
        #[serde(default)]
        payload: Option<Payload>,
        #[serde(default)]
        client: Option<String>,
        #[serde(default)]
        links: Vec<Value>,
    }
    const MAX_KEY_CHARS: usize = 255;
    const MAX_SUMMARY_CHARS: usize = 1024;
    let raw: Raw = serde_json::from_slice(bytes).map_err(|why| format!("the body is no event ({why})"))?;
    if raw.routing_key.is_empty() {
        return Err("routing_key is missing".to_owned());
    }
    let dedup_key = raw.dedup_key.filter(|key| !key.is_empty());
    if dedup_key.as_ref().is_some_and(|key| key.chars().count() > MAX_KEY_CHARS) {
        return Err(format!("dedup_key has more than {MAX_KEY_CHARS} characters"));
    }
    match (raw.event_action, &raw.payload, &dedup_key) {
        (Action::Trigger, None, _) => return Err("payload is missing, and trigger needs it".to_owned()),
        (Action::Acknowledge | Action::Resolve, _, None) => {
            return Err("dedup_key is missing, and only trigger can do without".to_owned());
        }
        _ => {}
    }
    let payload = raw.payload.map(|mut payload| {
        if let Some((end, _)) = payload.summary.char_indices().nth(MAX_SUMMARY_CHARS) {
            payload.summary.truncate(end);
        }
        payload
    });
    Ok(Event {
        routing_key: raw.routing_key,
        action: raw.event_action,
        dedup_key,
        payload,
        client: raw.client,
        links: raw.links,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_or_told_what_it_lacks() {
        let body =
            br#"{"routing_key":"s3cret","event_action":"trigger","payload":{"summary":"disk full","source":"db-1",
            "severity":"critical","timestamp":"2026-11-21T08:00:00Z","custom_details":{"free":"0"}},"client":"tool"}"#;
        let event = parse_event(body).unwrap();
        assert_eq!((event.action, event.dedup_key), (Action::Trigger, None));
        assert_eq!(event.payload.unwrap().severity, Severity::Critical);
        for (wrong, part) in [
            (r#"{"event_action":"trigger"}"#, "routing_key is missing"),
            (r#"{"routing_key":"s3cret","event_action":"trigger"}"#, "payload is missing"),
            (r#"{"routing_key":"s3cret","event_action":"resolve"}"#, "dedup_key is missing"),
            (r#"{"routing_key":"s3cret","event_action":"shout"}"#, "unknown variant"),
            ("x", "no event"),
        ] {
            let why = parse_event(wrong.as_bytes()).unwrap_err();
            assert!(why.contains(part) && !why.contains("s3cret"), "{wrong}: {why}");
        }
    }
}
