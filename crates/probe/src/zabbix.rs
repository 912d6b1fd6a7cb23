//! Zabbix agent: asks a passive agent for one item. Runs nothing there but what the agent's own keys do.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::dialog::{Dialog, Measured, one_line_problem, problems};
use crate::env::Failure;
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::receive::zabbix::{FRAME_LIMIT_BYTES, frame, parse_frame};

/// Parameters of `zabbix`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Zabbix {
    /// The item's key, for example "vfs.fs.size[/,pfree]".
    key: String,
    /// What the value must be, for example "> 10" or "~ ^Linux".
    value: Option<Condition>,
    /// Whether to speak over TLS, with certificates: the agent's TLSAccept must name cert. An agent that takes pre-shared keys alone
    /// (TLSAccept=psk) cannot be asked: our TLS speaks no pre-shared keys.
    tls: bool,
    /// Whether the agent's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Zabbix {
    fn default() -> Self {
        Zabbix {
            key: "agent.ping".to_owned(),
            value: None,
            tls: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 10050;

impl Check for Zabbix {
    const NAME: &'static str = "zabbix";
    const TITLE: &'static str = "Zabbix agent";
    const HELP: &'static str = "Asks a passive Zabbix agent for one item and judges its value. Over TLS with certificates, not with pre-shared keys (PSK).";
    const TARGET: &'static str = "host and port, for example db-1.example.org; port 10050 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("key", Some(&self.key)));
        if self.key.is_empty() {
            problems.push(ParamError::new("key", "is needed, for example agent.ping"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await.map_err(|failure| self.hint(failure))?;
        }
        cx.trace.phase("exchange", "waiting for the agent, which hangs up on who is not in its Server setting");
        dialog.say(&frame(self.key.as_bytes())).await?;
        let answer = dialog.next(FRAME_LIMIT_BYTES + 21, parse_frame).await.map_err(|failure| self.hint(failure))?;
        let measured = dialog.measured(cx);
        let value = parse_value(&answer).map_err(|why| Failure::Peer(format!("{} {why}", measured.peer)))?;
        Ok(decide(self, &value, &measured))
    }
}

impl Zabbix {
    /// An agent does not say why it breaks off: what it may be goes after what was seen.
    fn hint(&self, failure: Failure) -> Failure {
        let accepts = if self.tls { "cert" } else { "unencrypted (or cert, with tls here)" };
        match failure {
            Failure::Peer(seen) if seen.contains("hung up") || seen.contains("broke off") => Failure::Peer(format!(
                "{seen}; its Server setting must name this address, and its TLSAccept {accepts}: pre-shared keys (psk) are \
                 not spoken here"
            )),
            other => other,
        }
    }
}

/// Reads what an agent answers: the value, or `ZBX_NOTSUPPORTED` and the reason.
///
/// # Errors
/// The reason, as the end of a sentence about the peer.
pub fn parse_value(content: &[u8]) -> Result<String, String> {
    match content.strip_prefix(b"ZBX_NOTSUPPORTED") {
        Some(why) => {
            let why = why.strip_prefix(&[0]).unwrap_or(why);
            Err(format!("cannot measure this item ({})", excerpt(why)))
        }
        None => Ok(String::from_utf8_lossy(content).trim_end().to_owned()),
    }
}

/// The whole judgement.
pub fn decide(want: &Zabbix, value: &str, measured: &Measured) -> Outcome {
    let shown = excerpt(value.as_bytes());
    let broken = want.value.as_ref().filter(|condition| !condition.holds(&Value::from(value)));
    let (state, end) = match broken {
        Some(condition) => (State::Critical, format!(", where {condition} is expected")),
        None => (State::Ok, String::new()),
    };
    let sentence = format!("{}: {} is {shown}{end}", measured.peer, want.key);
    let outcome = measured.outcome("zabbix", state, &sentence, (want.warn_time, want.critical_time));
    match value.trim().parse::<f64>() {
        Ok(number) => outcome.with_labels("zabbix_value", number, "", &[("key", &want.key)]),
        Err(_) => outcome,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_value_decides() {
        for (params, value, state, part) in [
            (json!({}), "1", State::Ok, "agent.ping is \"1\""),
            (json!({"key": "load", "value": "< 2"}), "2.5", State::Critical, "load is \"2.5\", where < 2 is expected"),
            (json!({"key": "name", "value": "~ ^Linux"}), "Linux web-1", State::Ok, "Linux web-1"),
        ] {
            let want: Zabbix = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "z:10050".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, value, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        assert!(parse_value(b"ZBX_NOTSUPPORTED\0Unsupported item key.").unwrap_err().contains("Unsupported item key"));
    }
}
