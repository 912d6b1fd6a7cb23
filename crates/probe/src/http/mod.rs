//! HTTP: does a web address answer as it should? One request (and its redirects), judged by status, headers, body and time.
//!
//! It speaks HTTP/1.1 or HTTP/2 over connections it opens itself, not through a client library, so that each phase is timed, every
//! redirect's address is looked up and connected to knowingly, and no pool keeps a dead server looking alive.

mod ask;
mod condition;
mod decide;
mod fetch;
mod json;
mod status;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use ask::{Ask, as_json, at_path, refused, under};
pub use condition::{Condition, parse_json_condition};
pub use decide::{Answer, decide};
pub use json::JsonConditions;
pub(crate) use json::refuse_costly;
pub use status::Status;

use crate::env::Failure;
use crate::outcome::Outcome;
use crate::params::{Family, ParamError, Pattern, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::tls::parse_authorities;

/// Parameters of `http`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The request's method.
    method: String,
    /// Headers to send. Authorization, Cookie and Host are not sent on to another host by a redirect.
    send_headers: SentHeaders,
    /// Body to send.
    send_body: Option<String>,
    /// Status that is expected after redirects: a number, a class such as "2xx", or a list of them.
    status: Status,
    /// Text that the body must contain.
    body: Option<String>,
    /// Regular expression that the body must match.
    body_regex: Option<Pattern>,
    /// JSON paths (RFC 9535) and what every value there must be: {"$.status": "UP", "$.queue.depth": "< 100"}.
    /// Operators: == != < <= > >= and ~ for a regular expression.
    json: JsonConditions,
    /// Headers of the answer and what they must be, with the same operators: {"content-type": "~ ^text/html"}.
    header: BTreeMap<String, Condition>,
    /// The version of HTTP to speak: "1.1", or "2" (over TLS when the peer offers it, else it is CRITICAL; without TLS unasked).
    version: Version,
    /// How many redirects are followed, 0 to 20. A redirect whose status is expected is not followed.
    redirects: u8,
    /// WARNING when the whole answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole answer took at least this long.
    critical_time: Option<Span>,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

/// The versions of HTTP that are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2.
    #[serde(rename = "2")]
    Two,
}

/// Headers to send. Shown without their values, since some are secrets.
#[derive(Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct SentHeaders(BTreeMap<String, String>);

impl std::fmt::Debug for SentHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            method: "GET".to_owned(),
            send_headers: SentHeaders::default(),
            send_body: None,
            status: Status::default(),
            body: None,
            body_regex: None,
            json: JsonConditions::default(),
            header: BTreeMap::new(),
            version: Version::One,
            redirects: 5,
            warn_time: None,
            critical_time: None,
            verify: true,
            ca: None,
            family: Family::Any,
        }
    }
}

impl Http {
    /// A request of a protocol that is spoken over HTTP: any status is taken, no redirect is followed.
    pub(crate) fn asking(method: &str, send_headers: BTreeMap<String, String>, send_body: String) -> Http {
        Http {
            method: method.to_owned(),
            send_headers: SentHeaders(send_headers),
            send_body: Some(send_body),
            redirects: 0,
            ..Http::default()
        }
    }

    /// The same over connections of that kind.
    pub(crate) fn over(self, family: Family, verify: bool, ca: Option<String>) -> Http {
        Http { family, verify, ca, ..self }
    }

    /// Sends it to the check's target.
    pub(crate) async fn fetch(&self, cx: &Cx<'_>) -> Result<Answer, Failure> {
        fetch::fetch(self, cx).await
    }
}

/// The most of a body that is read; what comes after is neither waited for nor judged.
pub const BODY_LIMIT_BYTES: usize = 1 << 20;

impl Check for Http {
    const NAME: &'static str = "http";
    const TITLE: &'static str = "HTTP and HTTPS";
    const HELP: &'static str = "Sends one request, follows redirects, and judges status, headers, body (text, regular expression, JSON paths) and time.";
    const TARGET: &'static str = "a web address, for example https://shop.example.org/health";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_web_address(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        if http::Method::from_bytes(self.method.as_bytes()).is_err() || self.method == "CONNECT" {
            problems.push(ParamError::new("method", format!("{:?} is no method that can be sent", self.method)));
        }
        problems.extend(fetch::headers(&self.send_headers.0).err().map(|why| ParamError::new("send_headers", why)));
        for name in self.header.keys().filter(|name| http::HeaderName::from_bytes(name.as_bytes()).is_err()) {
            problems.push(ParamError::new("header", format!("{name:?} is no header's name")));
        }
        if self.body.as_ref().is_some_and(|text| text.len() > 1000) {
            problems.push(ParamError::new("body", "a text to look for has at most 1,000 characters"));
        }
        if self.redirects > 20 {
            problems.push(ParamError::new("redirects", format!("{} is not between 0 and 20", self.redirects)));
        }
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let answer = fetch::fetch(self, cx).await?;
        Ok(decide(self, &answer))
    }
}
