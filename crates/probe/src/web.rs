//! Web: the parameters that interfaces over HTTP share, and what each of them measures. Knows no interface.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::Measured;
use crate::http::{Answer, Ask};
use crate::outcome::{Outcome, State};
use crate::params::{Family, ParamError, Span, ordered};
use crate::secret::Secret;
use crate::target::parse_web_address;
use crate::tls::parse_authorities;

/// How to get at an interface over HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Access {
    /// User name for basic authentication.
    pub(crate) user: Option<String>,
    /// Password of the user.
    pub(crate) password: Option<Secret>,
    /// Bearer token, instead of user and password.
    pub(crate) token: Option<Secret>,
    /// Whether the server's certificate must be valid for the name.
    pub(crate) verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    pub(crate) ca: Option<String>,
    /// WARNING when everything together took at least this long.
    pub(crate) warn_time: Option<Span>,
    /// CRITICAL when everything together took at least this long.
    pub(crate) critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    pub(crate) family: Family,
}

impl Default for Access {
    fn default() -> Self {
        Access {
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

impl Access {
    /// What is wrong with them, and with a target that is a web address.
    pub(crate) fn problems(&self, target: &str) -> Vec<ParamError> {
        let target = parse_web_address(target.as_bytes()).err().map(|why| ParamError::new("target", why));
        target.into_iter().chain(self.own_problems()).collect()
    }

    /// What is wrong with them.
    pub(crate) fn own_problems(&self) -> Vec<ParamError> {
        let mut problems = Vec::new();
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("password", "and user come together"));
        }
        if self.user.is_some() && self.token.is_some() {
            problems.push(ParamError::new("token", "and user are two ways to sign in; name one"));
        }
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    /// The request, signed in and over the wanted kind of connection.
    pub(crate) fn ask(&self, ask: Ask) -> Ask {
        self.unsigned(ask).basic(self.user.as_deref(), self.password.as_ref()).bearer(self.token.as_ref())
    }

    /// The request over the wanted kind of connection, and not signed in.
    pub(crate) fn unsigned(&self, ask: Ask) -> Ask {
        ask.over(self.family, self.verify, self.ca.as_deref())
    }

    /// The outcome of an interface that was asked until that answer.
    pub(crate) fn outcome(&self, protocol: &str, answer: &Answer, state: State, sentence: &str) -> Outcome {
        let measured = Measured {
            peer: String::new(),
            seconds: answer.total_seconds,
            certificate_left_days: answer.certificate_left_days,
        };
        measured.outcome(protocol, state, sentence, (self.warn_time, self.critical_time))
    }
}

/// What is told of several findings: the worst state, and the first three sentences of it.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<(State, String)>);

impl Findings {
    /// One more finding.
    pub(crate) fn add(&mut self, state: State, sentence: impl Into<String>) {
        self.0.push((state, sentence.into()));
    }

    /// The state, and the end of a sentence that begins with what was looked at.
    pub(crate) fn verdict(&self) -> (State, String) {
        let worst = self.0.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok);
        if worst == State::Ok {
            return (State::Ok, String::new());
        }
        let told: Vec<&str> =
            self.0.iter().filter(|(state, _)| *state == worst).map(|(_, text)| text.as_str()).collect();
        let more = if told.len() > 3 { format!(" and {} more", told.len() - 3) } else { String::new() };
        (worst, format!(": {}{more}", told.iter().take(3).copied().collect::<Vec<_>>().join("; ")))
    }
}

/// An answer of that body, as tests of judgements need it.
#[cfg(test)]
pub(crate) fn answer(url: &str, body: &str) -> Answer {
    Answer {
        url: url.parse().unwrap(),
        status: 200,
        headers: http::HeaderMap::new(),
        body: body.into(),
        cut: false,
        redirects: 0,
        first_byte_seconds: 0.1,
        total_seconds: 0.1,
        certificate_left_days: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_findings_are_told() {
        let mut findings = Findings::default();
        assert_eq!(findings.verdict(), (State::Ok, String::new()));
        findings.add(State::Warning, "a is slow");
        findings.add(State::Critical, "b is down");
        assert_eq!(findings.verdict(), (State::Critical, ": b is down".to_owned()));
        for name in ["c", "d", "e"] {
            findings.add(State::Critical, format!("{name} is down"));
        }
        assert_eq!(findings.verdict().1, ": b is down; c is down; d is down and 1 more");
    }
}
