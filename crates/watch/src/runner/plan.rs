//! Plan: what a check's record asks for, and what its answers become as samples. Reads records; decides nothing, asks nobody.

use kernel::clock::parse_duration;
use kernel::{Id, Record, TenantId, Time};
use probe::schedule::{self, Pace};
use probe::{Outcome, Request};
use serde_json::{Map, Value};
use std::time::Duration;

use super::Sample;
use crate::judge::Rules;

/// What a check record asks for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) tenant: TenantId,
    pub(super) id: Id,
    pub(super) key: String,
    pub(super) on: String,
    pub(super) request: Request,
    pub(super) interval: Duration,
    pub(super) retry: Duration,
    pub(super) rules: Rules,
    /// The site or agent it is asked from; empty for the server itself.
    pub(super) from: String,
    pub(super) enabled: bool,
    pub(super) version: u64,
}

impl Plan {
    pub(super) fn of(record: &Record) -> Plan {
        let span = |field: &str| record.get(field).and_then(Value::as_str).and_then(|t| parse_duration(t).ok());
        let interval = span("interval").unwrap_or(Duration::from_secs(30)).max(Duration::from_secs(1));
        let timeout = span("timeout").unwrap_or(Duration::from_secs(5));
        let mut params = Map::new();
        for field in ["params", "expect"] {
            if let Some(Value::Object(given)) = record.get(field) {
                params.extend(given.clone());
            }
        }
        Plan {
            tenant: record.tenant,
            id: record.id,
            key: record.key.clone(),
            on: record.text("on").to_owned(),
            request: Request {
                protocol: record.text("protocol").to_owned(),
                target: record.text("target").to_owned(),
                params: Value::Object(params),
                timeout,
            },
            interval,
            retry: span("retry_interval").unwrap_or(interval / 5).max(Duration::from_millis(500)),
            rules: Rules {
                retries: record.int("retries").and_then(|r| u32::try_from(r).ok()).unwrap_or(1),
                hold_down: span("hold_down").unwrap_or_default(),
            },
            from: record.text("from").to_owned(),
            enabled: record.get("enabled").and_then(Value::as_bool).unwrap_or(true),
            version: record.version,
        }
    }

    /// Whether two versions of a check ask the same question from the same place at the same pace.
    pub(super) fn asks_like(&self, other: &Plan) -> bool {
        self.request.protocol == other.request.protocol
            && self.request.target == other.request.target
            && self.request.params == other.request.params
            && self.request.timeout == other.request.timeout
            && self.interval == other.interval
            && self.from == other.from
            && self.enabled == other.enabled
    }

    /// The same for the schedule.
    pub(super) fn scheduled(&self) -> schedule::Plan {
        schedule::Plan {
            request: self.request.clone(),
            pace: Pace::every(self.interval),
            site: self.from.clone(),
            paused: !self.enabled,
        }
    }

    /// Readings and the state itself as samples; `check_state` is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    pub(super) fn samples(&self, outcome: &Outcome, now: Time) -> Vec<Sample> {
        let sample = |name: &str, extra: &[(&str, &str)], value: f64| {
            let mut labels = vec![("__name__".to_owned(), name.to_owned()), ("check".to_owned(), self.key.clone())];
            if !self.on.is_empty() {
                labels.push(("on".to_owned(), self.on.clone()));
            }
            labels.extend(extra.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
            labels.sort();
            Sample { labels, at_ms: now.as_millis(), value }
        };
        let mut all = vec![sample("check_state", &[], f64::from(outcome.state.exit_code()))];
        for reading in &outcome.readings {
            let labels: Vec<(&str, &str)> = reading.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            all.push(sample(&reading.name, &labels, reading.value));
        }
        if let Some(total) = outcome.timings.get("total") {
            all.push(sample("check_duration_seconds", &[], *total));
        }
        all
    }
}
