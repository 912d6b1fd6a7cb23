//! TCP: can a connection be opened, and does the peer say what it should? Knows no higher protocol.

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::env::{Failure, Stream, dial};
use crate::outcome::{Outcome, State, excerpt, in_words};
use crate::params::{Family, ParamError, Pattern, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `tcp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tcp {
    /// Text to send once connected, for example "PING\r\n". Nothing is sent when left out.
    send: Option<String>,
    /// Regular expression that what the peer says must match, within its first 64 KiB. The banner is not read when left out.
    banner: Option<Pattern>,
    /// WARNING when connecting (and the banner) took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when connecting (and the banner) took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

const BANNER_LIMIT_BYTES: usize = 64 << 10;

impl Check for Tcp {
    const NAME: &'static str = "tcp";
    const TITLE: &'static str = "TCP";
    const HELP: &'static str =
        "Opens a connection; where wanted sends a text and expects an answer that matches a regular expression.";
    const TARGET: &'static str = "host and port, for example db-1.example.org:5432 or [2001:db8::1]:22";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let target = match parse_host_port(target.as_bytes()) {
            Err(message) => Some(ParamError::new("target", message)),
            Ok(parsed) if parsed.port.is_none() => Some(ParamError::new(
                "target",
                format!("{target:?} names no port; write for example {}", parsed.with_port(22)),
            )),
            Ok(_) => None,
        };
        let times = ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b);
        target.into_iter().chain(times).collect()
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let port = target.port.unwrap_or_default();
        let (mut stream, peer) = dial(cx, &target.host, port, self.family).await?;
        cx.trace.phase("exchange", "waiting for the peer's words");
        if let Some(text) = &self.send {
            stream
                .write_all(text.as_bytes())
                .await
                .map_err(|error| Failure::from_io(&format!("sending to {peer}"), &error))?;
        }
        let said = match &self.banner {
            Some(pattern) => Some(listen(&mut *stream, &pattern.0).await),
            None => None,
        };
        let seen = Seen {
            peer: cx.target.to_owned(),
            connect_seconds: cx.trace.seconds("connect"),
            total_seconds: cx.trace.elapsed().as_secs_f64(),
            said,
        };
        Ok(decide(self, &seen))
    }
}

/// What was seen of the peer.
pub struct Seen {
    peer: String,
    connect_seconds: f64,
    total_seconds: f64,
    /// What it said until the pattern matched, it hung up, or the limit was reached. `None` when nobody listened.
    said: Option<Vec<u8>>,
}

/// Reads until the pattern matches, the peer ends, or the limit is reached. A silent peer runs into the check's timeout.
async fn listen(stream: &mut dyn Stream, pattern: &Regex) -> Vec<u8> {
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    while said.len() < BANNER_LIMIT_BYTES && !pattern.is_match(&said) {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break, // What it said before it hung up is what counts.
            Ok(length) => said.extend_from_slice(&chunk[..length]),
        }
    }
    said
}

/// The whole judgement, from what was seen.
pub fn decide(want: &Tcp, seen: &Seen) -> Outcome {
    let took = in_words(seen.total_seconds);
    let slow =
        State::when_above(seen.total_seconds, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds));
    let outcome = match (&want.banner, &seen.said) {
        (Some(pattern), Some(said)) if !pattern.0.is_match(said) => {
            let heard = if said.is_empty() { "nothing".to_owned() } else { excerpt(said) };
            Outcome::new(State::Critical, format!("{} said {heard}, which does not match {}", seen.peer, pattern.0))
        }
        _ if slow != State::Ok => Outcome::new(slow, format!("{} answers, but took {took}", seen.peer)),
        (Some(_), Some(said)) => Outcome::new(State::Ok, format!("{} said {} in {took}", seen.peer, excerpt(said))),
        _ => Outcome::new(State::Ok, format!("{} accepts connections, {took}", seen.peer)),
    };
    outcome.with("tcp_connect_seconds", seen.connect_seconds, "seconds").with(
        "tcp_total_seconds",
        seen.total_seconds,
        "seconds",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_banner_and_the_time_decide() {
        for (params, said, seconds, state, part) in [
            (json!({}), None, 0.01, State::Ok, "accepts connections"),
            (json!({"banner": "^SSH-2"}), Some("SSH-2.0-OpenSSH_9\r\n"), 0.01, State::Ok, "said \"SSH-2.0-OpenSSH_9\""),
            (json!({"banner": "^SSH-2"}), Some("220 mail"), 0.01, State::Critical, "does not match ^SSH-2"),
            (json!({"banner": "^SSH-2"}), Some(""), 0.01, State::Critical, "said nothing"), // hung up without a word
            (json!({"warn_time": "1s"}), None, 1.5, State::Warning, "took 1.5 s"),
            (json!({"warn_time": "1s", "critical_time": "2s"}), None, 2.0, State::Critical, "took 2 s"),
        ] {
            let want: Tcp = serde_json::from_value(params.clone()).unwrap();
            let said = said.map(|said| said.as_bytes().to_vec());
            let seen = Seen { peer: "a:1".into(), connect_seconds: seconds, total_seconds: seconds, said };
            let outcome = decide(&want, &seen);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("tcp_connect_seconds"), Some(seconds));
        }
    }
}
