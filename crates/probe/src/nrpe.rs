//! NRPE: asks another machine's plugin executor to run one of its commands, and believes its answer. Packet version 2, which
//! every version of it speaks; an answer has at most 1,024 bytes there.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State};
use crate::params::{Family, ParamError, Span};
use crate::plugin::{Output, parse_output, state_of, with_performance};
use crate::protocol::{Check, Cx};

/// Parameters of `nrpe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nrpe {
    /// The command as the executor's settings name it, for example check_load. Its version is asked for when left out.
    command: String,
    /// Arguments of the command, where the executor takes any.
    arguments: Vec<String>,
    /// Whether to speak over TLS. The executor needs a certificate for it: what it does without one is not safe any more.
    tls: bool,
    /// Whether the executor's certificate must be valid for the name.
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

impl Default for Nrpe {
    fn default() -> Self {
        Nrpe {
            command: "_NRPE_CHECK".to_owned(),
            arguments: Vec::new(),
            tls: true,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 5666;
const PACKET_BYTES: usize = 1036;
const BUFFER_BYTES: usize = 1024;

impl Check for Nrpe {
    const NAME: &'static str = "nrpe";
    const TITLE: &'static str = "NRPE";
    const HELP: &'static str = "Has a plugin run on another machine by its NRPE; the plugin's answer is the state, its performance data become readings.";
    const TARGET: &'static str = "host and port, for example db-1.example.org; port 5666 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("command", Some(&self.command)));
        problems.extend(self.arguments.iter().filter_map(|text| one_line_problem("arguments", Some(text))));
        if self.line().len() >= BUFFER_BYTES || self.command.is_empty() {
            problems.push(ParamError::new("command", "and its arguments have 1 to 1,023 bytes together"));
        }
        if self.arguments.iter().any(|text| text.contains('!')) {
            problems.push(ParamError::new("arguments", "cannot contain !, which parts them"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("exchange", "waiting for the plugin's answer");
        dialog.say(&query(&self.line())).await?;
        let answer = dialog.next(PACKET_BYTES, parse_answer).await?;
        Ok(decide(self, &answer, &dialog.measured(cx)))
    }
}

impl Nrpe {
    fn line(&self) -> String {
        [self.command.as_str()]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("!")
    }
}

fn query(line: &str) -> Vec<u8> {
    let mut bytes = vec![0; PACKET_BYTES];
    bytes[1] = 2; // The packets' version,
    bytes[3] = 1; // and that it is a query.
    bytes[10..10 + line.len()].copy_from_slice(line.as_bytes());
    let sum = checksum(&bytes).to_be_bytes();
    bytes[4..8].copy_from_slice(&sum);
    bytes
}

/// CRC-32 as Ethernet has it. A thousand bytes a check: no table is worth its memory.
fn checksum(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 })
    })
}

/// What the executor answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The plugin's exit code.
    pub code: i32,
    /// What it wrote.
    pub output: Output,
}

/// Reads one packet.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Answer> {
    let wrong = || "does not speak NRPE".to_owned();
    if !bytes.iter().zip([0, 2, 0, 2]).all(|(byte, wanted)| *byte == wanted) {
        return Err(wrong());
    }
    let Some(packet) = bytes.get(..PACKET_BYTES) else { return Ok(None) };
    let mut blank = packet.to_vec();
    blank[4..8].fill(0);
    if checksum(&blank).to_be_bytes() != packet[4..8] {
        return Err("sends an answer that was damaged on its way (its checksum does not fit)".to_owned());
    }
    let code = i32::from(u16::from_be_bytes([packet[8], packet[9]]));
    let buffer = &packet[10..10 + BUFFER_BYTES];
    let text = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some((Answer { code, output: parse_output(text) }, PACKET_BYTES)))
}

/// The whole judgement: the plugin's own.
pub fn decide(want: &Nrpe, answer: &Answer, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let words = if answer.output.summary.is_empty() { "no words" } else { &answer.output.summary };
    let state = state_of(answer.code).unwrap_or(State::Unknown);
    let outcome = measured.outcome("nrpe", state, &format!("{peer}: {words}"), (want.warn_time, want.critical_time));
    with_performance(outcome, "nrpe_value", &answer.output.performance)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(code: u8, text: &str) -> Vec<u8> {
        let mut bytes = query(text);
        bytes[3] = 2;
        bytes[9] = code;
        bytes[4..8].fill(0);
        let sum = checksum(&bytes).to_be_bytes();
        bytes[4..8].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn an_answer_is_believed_when_its_checksum_fits() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
        let good = answer(1, "LOAD WARNING | load1=9.5;5;10");
        let (read, length) = parse_answer(&good).unwrap().unwrap();
        assert_eq!((read.code, length, read.output.performance.len()), (1, PACKET_BYTES, 1));
        let mut damaged = good.clone();
        damaged[12] ^= 1;
        assert!(parse_answer(&damaged).unwrap_err().contains("checksum"));
        assert_eq!(parse_answer(&good[..100]), Ok(None));
        assert!(parse_answer(b"HTTP/1.1").is_err());
        let measured = Measured { peer: "n:5666".into(), seconds: 0.1, certificate_left_days: None };
        assert_eq!(decide(&Nrpe::default(), &read, &measured).state, State::Warning);
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            let _ = parse_answer(&bytes);
            let mut packet = vec![0, 2, 0, 2];
            packet.extend_from_slice(&bytes);
            let _ = parse_answer(&packet);
        }
    }
}
