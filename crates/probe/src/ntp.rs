//! NTP: how far this machine's clock is from a server's, and whether the server itself is in order. Sets no clock.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, addresses};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `ntp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ntp {
    /// WARNING when the clocks are at least this far apart, in either direction.
    warn_offset: Span,
    /// CRITICAL when the clocks are at least this far apart, in either direction.
    critical_offset: Span,
    /// WARNING when the server is further than this many steps from a reference clock.
    max_stratum: u8,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Ntp {
    fn default() -> Self {
        Ntp {
            warn_offset: Span::millis(100),
            critical_offset: Span::millis(1000),
            max_stratum: 10,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 123;

impl Check for Ntp {
    const NAME: &'static str = "ntp";
    const TITLE: &'static str = "NTP";
    const HELP: &'static str = "Asks a time server once (NTP version 4) and compares its clock with this machine's.";
    const TARGET: &'static str = "a time server, for example ntp.example.org; port 123 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let target = parse_host_port(target.as_bytes()).err().map(|message| ParamError::new("target", message));
        let names = ("warn_offset", "critical_offset");
        let bounds = ordered(names, Some(self.warn_offset), Some(self.critical_offset), |a, b| a > b);
        target.into_iter().chain(bounds).collect()
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, self.family).await?;
        let peer = SocketAddr::new(found[0], target.port.unwrap_or(PORT));
        cx.trace.phase("exchange", "waiting for the time server");
        let sent = Stamp::of(cx.env.clock.now());
        // A late or forged datagram does not carry the time we sent, bit for bit.
        let is_answer = move |bytes: &[u8]| parse_answer(bytes).is_ok_and(|answer| answer.origin == sent);
        let bytes = cx
            .env
            .net
            .exchange(peer, &question(sent), &is_answer)
            .await
            .map_err(|error| Failure::from_io(&format!("asking the time server {peer}"), &error))?;
        let received = Stamp::of(cx.env.clock.now());
        let answer = parse_answer(&bytes).map_err(|why| Failure::Peer(format!("{peer} {why}")))?;
        Ok(decide(self, cx.target, &answer, sent, received))
    }
}

/// A moment as NTP counts: 32 bits of seconds since 1900 and 32 bits of fraction. Wraps in 2036; differences do not care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(
    /// Seconds in the upper half, fractions in the lower.
    pub u64,
);

impl Stamp {
    fn of(time: Timestamp) -> Stamp {
        const FROM_1900_TO_1970_SECONDS: i128 = 2_208_988_800;
        let nanos = time.as_nanosecond() + FROM_1900_TO_1970_SECONDS * 1_000_000_000;
        let fixed = (nanos << 32) / 1_000_000_000;
        Stamp(fixed as u64)
    }

    /// Seconds from the other to this, negative when this is earlier; right as long as they are within 68 years.
    fn seconds_since(self, other: Stamp) -> f64 {
        (self.0.wrapping_sub(other.0) as i64) as f64 / 4_294_967_296.0
    }
}

/// A request of version 4 in client mode that carries our time.
fn question(sent: Stamp) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0b00_100_011;
    bytes[40..].copy_from_slice(&sent.0.to_be_bytes());
    bytes
}

/// What a time server says (RFC 5905, section 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// False when the server says that its own clock is not set.
    pub synchronised: bool,
    /// Steps from a reference clock; 0 is a refusal ("kiss of death").
    pub stratum: u8,
    /// The reference, or the reason of a refusal, as far as it is text.
    pub reference: String,
    /// The time we sent, given back.
    pub origin: Stamp,
    /// When the server received our question.
    pub received: Stamp,
    /// When the server sent its answer.
    pub sent: Stamp,
}

/// Reads a time server's datagram.
///
/// # Errors
/// What is wrong with it, completing "the server …".
pub fn parse_answer(bytes: &[u8]) -> Result<Answer, String> {
    let bytes: &[u8; 48] =
        bytes.first_chunk().ok_or_else(|| format!("sent {} bytes, where a time takes 48", bytes.len()))?;
    let mode = bytes[0] & 0b111;
    if mode != 4 {
        return Err(format!("answered in mode {mode}, where a server's is 4"));
    }
    let stamp = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        Stamp(u64::from_be_bytes(eight))
    };
    let reference = bytes[12..16].iter().take_while(|b| b.is_ascii_graphic()).map(|b| char::from(*b)).collect();
    Ok(Answer {
        synchronised: bytes[0] >> 6 != 3,
        stratum: bytes[1],
        reference,
        origin: stamp(24),
        received: stamp(32),
        sent: stamp(40),
    })
}

/// The whole judgement. A positive offset means that this machine's clock is behind.
pub fn decide(want: &Ntp, server: &str, answer: &Answer, sent: Stamp, received: Stamp) -> Outcome {
    if answer.stratum == 0 && !answer.reference.is_empty() {
        return Outcome::new(State::Critical, format!("{server} refuses to tell the time ({})", answer.reference));
    }
    if !answer.synchronised || answer.stratum == 0 || answer.stratum >= 16 {
        return Outcome::new(State::Critical, format!("{server} says that its own clock is not synchronised"));
    }
    let offset = (answer.received.seconds_since(sent) + answer.sent.seconds_since(received)) / 2.0;
    let delay = received.seconds_since(sent) - answer.sent.seconds_since(answer.received);
    let far = State::when_above(offset.abs(), Some(want.warn_offset.seconds()), Some(want.critical_offset.seconds()));
    let distant = if answer.stratum > want.max_stratum { State::Warning } else { State::Ok };
    // Below half a microsecond the direction is rounding.
    let direction = if offset > -5e-7 { "behind" } else { "ahead of" };
    let summary = format!(
        "this clock is {} {direction} {server} (stratum {}, round trip {})",
        in_words(offset.abs()),
        answer.stratum,
        in_words(delay.max(0.0))
    );
    Outcome::new(far.max(distant), summary)
        .with("ntp_offset_seconds", offset, "seconds")
        .with("ntp_round_trip_seconds", delay.max(0.0), "seconds")
        .with("ntp_stratum", f64::from(answer.stratum), "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Stamp {
        Stamp::of(Timestamp::from_millisecond(1_795_000_000_000 + millis).unwrap())
    }

    fn answer(stratum: u8, received: Stamp, sent: Stamp) -> Answer {
        Answer { synchronised: true, stratum, reference: "GPS".into(), origin: at(0), received, sent }
    }

    #[test]
    fn the_offset_in_either_direction_decides() {
        let want = Ntp::default();
        // We send at 0 and receive at 20; the way takes 10 in each direction, the server's clock is `ahead` of ours.
        for (ahead, state, part) in [
            (0, State::Ok, "0 µs behind"),
            (150, State::Warning, "150.0 ms behind"),
            (-150, State::Warning, "150.0 ms ahead of"),
            (2000, State::Critical, "2 s behind"),
        ] {
            let outcome = decide(&want, "ntp-1", &answer(2, at(10 + ahead), at(10 + ahead)), at(0), at(20));
            assert_eq!(outcome.state, state, "{ahead}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{ahead}: {}", outcome.summary);
            let read = outcome.reading("ntp_offset_seconds").unwrap();
            assert!((read - ahead as f64 / 1000.0).abs() < 1e-6, "{read}");
            assert!((outcome.reading("ntp_round_trip_seconds").unwrap() - 0.02).abs() < 1e-6);
        }
    }

    #[test]
    fn a_server_that_is_not_in_order_is_critical() {
        let want = Ntp::default();
        let fine = answer(2, at(10), at(10));
        for (answer, state, part) in [
            (
                Answer { stratum: 0, reference: "RATE".into(), ..fine.clone() },
                State::Critical,
                "refuses to tell the time (RATE)",
            ),
            (Answer { synchronised: false, ..fine.clone() }, State::Critical, "not synchronised"),
            (Answer { stratum: 0, reference: String::new(), ..fine.clone() }, State::Critical, "not synchronised"),
            (Answer { stratum: 16, ..fine.clone() }, State::Critical, "not synchronised"),
            (Answer { stratum: 11, ..fine.clone() }, State::Warning, "stratum 11"),
        ] {
            let outcome = decide(&want, "ntp-1", &answer, at(0), at(20));
            assert_eq!(outcome.state, state);
            assert!(outcome.summary.contains(part), "{}", outcome.summary);
        }
    }

    #[test]
    fn the_turn_of_the_era_in_2036_changes_nothing() {
        let before = Stamp::of("2036-02-07T06:28:15Z".parse().unwrap());
        let after = Stamp::of("2036-02-07T06:28:17Z".parse().unwrap());
        assert!((after.seconds_since(before) - 2.0).abs() < 1e-9);
        assert!(after.0 < before.0, "the counter itself wrapped");
    }

    #[test]
    fn only_a_servers_answer_is_read() {
        assert!(parse_answer(&[0x24; 47]).unwrap_err().contains("47 bytes"));
        assert!(parse_answer(&question(at(0))).unwrap_err().contains("mode 3"));
        assert_eq!(parse_answer(&[0x24; 48]).unwrap().stratum, 0x24);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), sent: u64, received: u64) {
            if let Ok(answer) = parse_answer(&bytes) {
                decide(&Ntp::default(), "x", &answer, Stamp(sent), Stamp(received));
            }
            let mut whole = [7u8; 48];
            whole[0] = 0x24;
            for (to, from) in whole[1..].iter_mut().zip(&bytes) { *to = *from; }
            decide(&Ntp::default(), "x", &parse_answer(&whole).unwrap(), Stamp(sent), Stamp(received));
        }
    }
}
