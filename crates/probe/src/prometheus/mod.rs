//! Prometheus: does a page of metrics answer, and are the samples on it as expected? Fetches one page and judges it.
//!
//! It is a check, no scraper: what is to be kept is fetched by the engine of series, which has its own reader of these
//! formats; here a page must only be understood well enough to find a value. It must never depend on that engine.

mod page;
mod protobuf;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use page::labels_of;
pub use page::{Labels, Sample, Selector, parse_page, parse_selector};
pub use protobuf::parse_delimited;

use crate::env::Failure;
use crate::http::{Answer, Ask, Condition};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Pattern, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::target::parse_web_address;
use crate::tls::parse_authorities;

/// Parameters of `prometheus`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prometheus {
    /// Samples and what each of them must be, else CRITICAL: {"up": "== 1", "queue_depth{queue=\"mail\"}": "< 100"}. At
    /// least one sample must fit each name.
    metrics: BTreeMap<String, Condition>,
    /// The same, else WARNING.
    warn_metrics: BTreeMap<String, Condition>,
    /// Regular expression: samples whose name it matches become readings, at most 500. None when left out, beside those
    /// that a condition names.
    keep: Option<Pattern>,
    /// CRITICAL when the page has fewer samples.
    min_samples: u32,
    /// Which form of page to ask for: any (what the peer likes best of text and OpenMetrics), text, openmetrics or protobuf.
    format: Format,
    /// User name for basic authentication.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Bearer token.
    token: Option<Secret>,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when the whole answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Prometheus {
    fn default() -> Self {
        Prometheus {
            metrics: BTreeMap::new(),
            warn_metrics: BTreeMap::new(),
            keep: None,
            min_samples: 1,
            format: Format::Any,
            user: None,
            password: None,
            token: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// The forms of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// OpenMetrics or text.
    #[default]
    Any,
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    Openmetrics,
    /// Messages with their length before them.
    Protobuf,
}

/// The most of a page that is read.
pub const PAGE_LIMIT_BYTES: usize = 32 << 20;
const MAX_READINGS: usize = 500;

impl Check for Prometheus {
    const NAME: &'static str = "prometheus";
    const TITLE: &'static str = "Prometheus metrics";
    const HELP: &'static str =
        "Fetches a page of metrics (text, OpenMetrics or protobuf), judges samples by name and labels, and keeps some.";
    const TARGET: &'static str = "the web address of the page, for example http://web-1.example.org:9100/metrics";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_web_address(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        for (field, conditions) in [("metrics", &self.metrics), ("warn_metrics", &self.warn_metrics)] {
            let wrong = conditions.keys().filter_map(|name| parse_selector(name.as_bytes()).err());
            problems.extend(wrong.map(|why| ParamError::new(field, why)));
        }
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("password", "and user come together"));
        }
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let url = parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let accept = match self.format {
            Format::Any => "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            Format::Text => "text/plain;version=0.0.4",
            Format::Openmetrics => "application/openmetrics-text;version=1.0.0",
            Format::Protobuf => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
        };
        let ask = Ask::get(url).accept(accept).at_most(PAGE_LIMIT_BYTES);
        let ask = ask.basic(self.user.as_deref(), self.password.as_ref()).bearer(self.token.as_ref());
        let answer = ask.over(self.family, self.verify, self.ca.as_deref()).well(cx).await?;
        let samples = read(&answer).map_err(|why| Failure::Peer(format!("{} {why}", answer.url)))?;
        Ok(decide(self, &samples, &answer))
    }
}

/// The samples of a page, in the form that its type says.
fn read(answer: &Answer) -> Result<Vec<Sample<'_>>, String> {
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.contains("protobuf") { parse_delimited(&answer.body) } else { parse_page(&answer.body) }
}

/// The whole judgement.
pub fn decide(want: &Prometheus, samples: &[Sample<'_>], answer: &Answer) -> Outcome {
    let critical = broken(&want.metrics, samples);
    let warning = broken(&want.warn_metrics, samples);
    let slow = State::when_above(
        answer.total_seconds,
        want.warn_time.map(Span::seconds),
        want.critical_time.map(Span::seconds),
    );
    let count = samples.len();
    let (state, end) = if count < want.min_samples as usize {
        (State::Critical, format!(", where at least {} are expected", want.min_samples))
    } else if let Some(broken) = critical {
        (State::Critical, format!(": {broken}"))
    } else if let Some(broken) = warning {
        (State::Warning, format!(": {broken}"))
    } else {
        (slow, String::new())
    };
    let took = in_words(answer.total_seconds);
    let mut outcome = Outcome::new(state.max(slow), format!("{} has {count} samples{end}, {took}", answer.url))
        .with("prometheus_response_seconds", answer.total_seconds, "seconds")
        .with("prometheus_samples_count", count as f64, "")
        .with("prometheus_page_bytes", answer.body.len() as f64, "bytes");
    let named: Vec<Selector> = want
        .metrics
        .keys()
        .chain(want.warn_metrics.keys())
        .filter_map(|name| parse_selector(name.as_bytes()).ok())
        .collect();
    let kept = |sample: &&Sample<'_>| {
        let wanted = want.keep.as_ref().is_some_and(|pattern| pattern.0.is_match(sample.name.as_bytes()));
        wanted || named.iter().any(|selector| selector.fits(sample))
    };
    for sample in samples.iter().filter(kept).take(MAX_READINGS) {
        let labels: Vec<(&str, &str)> =
            sample.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        outcome = outcome.with_labels(&sample.name, sample.value, unit(&sample.name), &labels);
    }
    outcome
}

/// The unit that a well-named metric ends in.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total").trim_end_matches("_sum");
    ["seconds", "bytes", "percent", "celsius", "volts", "amperes", "joules"]
        .into_iter()
        .find(|unit| name.ends_with(unit))
        .unwrap_or_default()
}

/// The first condition that a sample breaks or that finds none, as a part of a sentence.
fn broken(conditions: &BTreeMap<String, Condition>, samples: &[Sample<'_>]) -> Option<String> {
    conditions.iter().find_map(|(name, condition)| {
        let selector = parse_selector(name.as_bytes()).ok()?;
        let mut found = samples.iter().filter(|sample| selector.fits(sample)).peekable();
        if found.peek().is_none() {
            return Some(format!("it has no {name}"));
        }
        let bad = found.find(|sample| !condition.holds(&Value::from(sample.value)))?;
        Some(format!("{bad} is {}, where {condition} is expected", bad.value))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn samples_decide_by_name_and_labels() {
        let page = "# TYPE up gauge\nup 1\nqueue_depth{queue=\"mail\"} 12\nqueue_depth{queue=\"print\"} 3\nload NaN\n";
        for (params, state, part) in [
            (json!({}), State::Ok, "has 4 samples, 100.0 ms"),
            (json!({"metrics": {"up": 1}}), State::Ok, "4 samples"),
            (json!({"metrics": {"up": "0"}}), State::Critical, "up is 1, where 0 is expected"),
            (json!({"metrics": {"queue_depth": "< 10"}}), State::Critical, "queue_depth{queue=\"mail\"} is 12"),
            (json!({"metrics": {"queue_depth{queue=\"print\"}": "< 10"}}), State::Ok, "samples"),
            (json!({"warn_metrics": {"queue_depth": "< 10"}}), State::Warning, "is 12, where < 10"),
            (json!({"metrics": {"down": "1"}}), State::Critical, "it has no down"),
            (json!({"metrics": {"load": "< 5"}}), State::Critical, "load is NaN"),
            (json!({"min_samples": 5}), State::Critical, "at least 5 are expected"),
            (json!({"critical_time": "50ms"}), State::Critical, "100.0 ms"),
        ] {
            let want: Prometheus = serde_json::from_value(params.clone()).unwrap();
            let answer = Answer {
                url: "http://a/metrics".parse().unwrap(),
                status: 200,
                headers: HeaderMap::new(),
                body: page.into(),
                cut: false,
                redirects: 0,
                first_byte_seconds: 0.1,
                total_seconds: 0.1,
                certificate_left_days: None,
            };
            let outcome = decide(&want, &read(&answer).unwrap(), &answer);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn a_reading_has_the_unit_that_its_name_ends_in() {
        for (name, expected) in
            [("a_seconds", "seconds"), ("a_bytes_total", "bytes"), ("up", ""), ("x_celsius", "celsius")]
        {
            assert_eq!(unit(name), expected, "{name}");
        }
    }
}
