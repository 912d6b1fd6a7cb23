//! SIP: does the server answer OPTIONS? Over UDP or TCP; calls and registers nobody.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem, problems};
use crate::env::{Failure, addresses, random};
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `sip`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// How to ask: udp or tcp. A datagram that is lost is not sent again.
    transport: Transport,
    /// Whom to ask for, for example "alice@example.org"; the server itself when left out.
    address: Option<String>,
    /// The status that is expected, for example 200 or "< 500"; a class 2 (200 to 299) when left out.
    status: Option<Condition>,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

/// How SIP is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In datagrams.
    #[default]
    Udp,
    /// Over a connection.
    Tcp,
}

const PORT: u16 = 5060;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

impl Check for Sip {
    const NAME: &'static str = "sip";
    const TITLE: &'static str = "SIP";
    const HELP: &'static str = "Asks a telephone server with OPTIONS and judges its answer.";
    const TARGET: &'static str = "host and port, for example sip.example.org; port 5060 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, None, (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("address", self.address.as_deref()));
        if self.address.as_ref().is_some_and(|address| address.contains(['<', '>', ' ', '"'])) {
            problems.push(ParamError::new("address", "is an address alone, for example alice@example.org"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let branch = format!("z9hG4bK{:016x}", u64::from_be_bytes(random()?));
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let port = target.port.unwrap_or(PORT);
        let request = self.request(&target.with_port(port), &branch);
        let (answer, measured) = if self.transport == Transport::Tcp {
            let mut dialog = Dialog::open(cx, PORT, self.family).await?;
            cx.trace.phase("exchange", "waiting for the server's answer");
            dialog.say(request.as_bytes()).await?;
            let answer = dialog.next(ANSWER_LIMIT_BYTES, parse_answer).await?;
            (answer, dialog.measured(cx))
        } else {
            let found = addresses(cx, &target.host, self.family).await?;
            let peer = SocketAddr::new(found[0], port);
            cx.trace.phase("exchange", "waiting for the server's answer");
            let is_answer = |bytes: &[u8]| bytes.windows(branch.len()).any(|part| part == branch.as_bytes());
            let said = cx.env.net.exchange(peer, request.as_bytes(), &is_answer).await;
            let said = said.map_err(|error| Failure::from_io(&format!("asking {peer} over UDP"), &error))?;
            let parsed = parse_answer(&said).map_err(|why| Failure::Peer(format!("{peer} {why}")))?;
            let (answer, _) = parsed.ok_or_else(|| Failure::Peer(format!("{peer} answers with half a message")))?;
            let seconds = cx.trace.elapsed().as_secs_f64();
            (answer, Measured { peer: target.with_port(port), seconds, certificate_left_days: None })
        };
        Ok(decide(self, &answer, &measured))
    }
}

impl Sip {
    fn request(&self, peer: &str, branch: &str) -> String {
        let to = self.address.as_deref().unwrap_or(peer);
        let carrier = if self.transport == Transport::Tcp { "TCP" } else { "UDP" };
        // With rport the answer comes back to where the question came from, whatever the name before it says.
        format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/{carrier} mainstay.invalid;rport;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:check@mainstay.invalid>;tag={}\r\nTo: <sip:{to}>\r\nCall-ID: {branch}@mainstay.invalid\r\n\
             CSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nUser-Agent: mainstay\r\nContent-Length: 0\r\n\r\n",
            &branch[7..]
        )
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 100 to 699.
    pub status: u16,
    /// The words beside it.
    pub words: String,
    /// The server as it calls itself.
    pub server: Option<String>,
}

/// Reads the head of an answer.
///
/// # Errors
/// When it is none of SIP, as the end of a sentence about the peer.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Answer> {
    let wrong = || format!("does not speak SIP: it said {}", excerpt(bytes));
    if !b"SIP/2.0 ".starts_with(&bytes[..bytes.len().min(8)]) {
        return Err(wrong());
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().strip_prefix("SIP/2.0 ").ok_or_else(wrong)?;
    let (code, words) = first.split_once(' ').unwrap_or((first, ""));
    let status = code.parse().ok().filter(|status| (100..700).contains(status)).ok_or_else(wrong)?;
    let names = ["server", "user-agent"];
    let server = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| names.contains(&name.trim().to_lowercase().as_str()));
    let server = server.map(|(_, value)| value.trim().to_owned());
    Ok(Some((Answer { status, words: words.to_owned(), server }, end + 4)))
}

/// The whole judgement.
pub fn decide(want: &Sip, answer: &Answer, measured: &Measured) -> Outcome {
    let who = answer.server.as_ref().map(|server| format!(" ({})", excerpt(server.as_bytes()))).unwrap_or_default();
    let said = format!("{}{who} answers {} {}", measured.peer, answer.status, excerpt(answer.words.as_bytes()));
    let fits = match &want.status {
        Some(condition) => condition.holds(&Value::from(answer.status)),
        None => answer.status / 100 == 2,
    };
    let (state, sentence) = if fits {
        (State::Ok, said)
    } else {
        let expected = want.status.as_ref().map_or("200 to 299".to_owned(), ToString::to_string);
        (State::Critical, format!("{said}, where {expected} is expected"))
    };
    let outcome = measured.outcome("sip", state, &sentence, (want.warn_time, want.critical_time));
    outcome.with("sip_status", f64::from(answer.status), "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_decides() {
        let (fine, _) = parse_answer(b"SIP/2.0 200 Keepalive\r\nServer: kamailio (5.6)\r\n\r\n").unwrap().unwrap();
        let (none, _) = parse_answer(b"SIP/2.0 404 Not Found\r\n\r\n").unwrap().unwrap();
        for (params, answer, state, part) in [
            (json!({}), &fine, State::Ok, "(\"kamailio (5.6)\") answers 200 \"Keepalive\""),
            (json!({}), &none, State::Critical, "answers 404 \"Not Found\", where 200 to 299 is expected"),
            (json!({"status": "< 500"}), &none, State::Ok, "404"),
        ] {
            let want: Sip = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "s:5060".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, answer, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        assert!(parse_answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert_eq!(parse_answer(b"SIP/2.0 200 OK\r\n"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "SIP/2.0 \\PC{0,9}\r\n\\PC{0,9}:\\PC{0,9}\r\n\r\n") {
            let _ = (parse_answer(&bytes), parse_answer(text.as_bytes()));
        }
    }
}
