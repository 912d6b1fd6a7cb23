//! UDP: does the peer answer a datagram? Silence is told as silence: UDP has no way to say that nobody listens.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Failure, addresses};
use crate::outcome::{Outcome, State, excerpt, in_words};
use crate::params::{Family, ParamError, Pattern, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `udp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Udp {
    /// What to send in one datagram, at most 1,400 bytes. An empty datagram when left out.
    send: String,
    /// How `send` is written: text, or hex for bytes such as "1b 00 00".
    encoding: Encoding,
    /// Regular expression that the answer must match. Any answer will do when left out.
    expect: Option<Pattern>,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As text.
    #[default]
    Text,
    /// As pairs of hexadecimal digits, with spaces or without.
    Hex,
}

const MAX_DATAGRAM_BYTES: usize = 1400;

impl Check for Udp {
    const NAME: &'static str = "udp";
    const TITLE: &'static str = "UDP";
    const HELP: &'static str = "Sends one datagram and expects an answer that matches a regular expression.";
    const TARGET: &'static str = "host and port, for example sip-1.example.org:5060";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let target = match parse_host_port(target.as_bytes()) {
            Err(message) => Some(ParamError::new("target", message)),
            Ok(parsed) if parsed.port.is_none() => {
                Some(ParamError::new("target", format!("{target:?} names no port; UDP has no usual one")))
            }
            Ok(_) => None,
        };
        let send = match parse_datagram(self.encoding, self.send.as_bytes()) {
            Err(why) => Some(ParamError::new("send", why)),
            Ok(bytes) if bytes.len() > MAX_DATAGRAM_BYTES => {
                Some(ParamError::new("send", format!("{} bytes do not fit into one datagram", bytes.len())))
            }
            Ok(_) => None,
        };
        let times = ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b);
        target.into_iter().chain(send).chain(times).collect()
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let datagram = parse_datagram(self.encoding, self.send.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, self.family).await?;
        let peer = SocketAddr::new(found[0], target.port.unwrap_or_default());
        cx.trace.phase("exchange", "waiting for a datagram from the peer");
        let sent = cx.env.net.exchange(peer, &datagram, &|_| true).await;
        let said = sent.map_err(|error| Failure::from_io(&format!("asking {peer} over UDP"), &error))?;
        Ok(decide(self, cx.target, &said, cx.trace.seconds("exchange")))
    }
}

/// The bytes that a text stands for.
///
/// # Errors
/// A sentence, when the text is not what the encoding says.
pub fn parse_datagram(encoding: Encoding, text: &[u8]) -> Result<Vec<u8>, String> {
    if encoding == Encoding::Text {
        return Ok(text.to_vec());
    }
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = digits.chunks(2).map(|pair| match *pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| "hex is pairs of hexadecimal digits, for example \"1b 00\"".into())
}

/// The whole judgement.
pub fn decide(want: &Udp, peer: &str, said: &[u8], seconds: f64) -> Outcome {
    let took = in_words(seconds);
    let slow = State::when_above(seconds, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds));
    let outcome = match &want.expect {
        Some(pattern) if !pattern.0.is_match(said) => {
            Outcome::new(State::Critical, format!("{peer} said {}, which does not match {}", excerpt(said), pattern.0))
        }
        _ => Outcome::new(slow, format!("{peer} said {} in {took}", excerpt(said))),
    };
    outcome.with("udp_response_seconds", seconds, "seconds").with("udp_response_bytes", said.len() as f64, "bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_and_its_time_decide() {
        for (params, said, state, part) in [
            (json!({}), "pong", State::Ok, "said \"pong\" in 20.0 ms"),
            (json!({"expect": "^po"}), "pong", State::Ok, "pong"),
            (json!({"expect": "^pi"}), "pong", State::Critical, "does not match ^pi"),
            (json!({"warn_time": "10ms"}), "pong", State::Warning, "20.0 ms"),
        ] {
            let want: Udp = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, "a:1", said.as_bytes(), 0.02);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn bytes_are_written_in_pairs_of_digits() {
        assert_eq!(parse_datagram(Encoding::Hex, b"1b 00fF"), Ok(vec![0x1b, 0, 0xff]));
        assert_eq!(parse_datagram(Encoding::Text, b"1b"), Ok(b"1b".to_vec()));
        for wrong in ["1", "1b0", "xx", "+1"] {
            assert!(parse_datagram(Encoding::Hex, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_hex_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_datagram(Encoding::Hex, &bytes);
        }
    }
}
