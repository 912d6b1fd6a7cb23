//! Kerberos: does the key server (KDC) answer and know a principal, and does its clock agree with ours? Sends one question without any
//! proof; no password is involved, so nobody is signed in.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::asn1::{INTEGER, SEQUENCE, as_number, group, number, parse_value, take, take_of, value};
use crate::dialog::{Dialog, Measured, Parsed, one_line_problem, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};

/// Parameters of `kerberos`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kerberos {
    /// The realm, for example EXAMPLE.ORG. The target's host in capitals when left out.
    realm: Option<String>,
    /// A principal that must be known there, for example host/web-1.example.org. When left out, any answer of a key server
    /// will do, also of one that does not serve the realm: the two cannot be told apart.
    principal: Option<String>,
    /// WARNING when the clocks are at least this far apart.
    warn_offset: Span,
    /// CRITICAL when the clocks are at least this far apart; beyond five minutes nobody is let in.
    critical_offset: Span,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Kerberos {
    fn default() -> Self {
        Kerberos {
            realm: None,
            principal: None,
            warn_offset: Span::millis(60_000),
            critical_offset: Span::millis(300_000),
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 88;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;
const UNKNOWN_PRINCIPAL: i64 = 6;
const PROOF_REQUIRED: i64 = 25;

impl Check for Kerberos {
    const NAME: &'static str = "kerberos";
    const TITLE: &'static str = "Kerberos";
    const HELP: &'static str = "Asks a key server (KDC) of a realm for a ticket without proving anything, and judges its answer and its clock.";
    const TARGET: &'static str = "host and port, for example kdc-1.example.org; port 88 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, None, (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("realm", self.realm.as_deref()));
        problems.extend(one_line_problem("principal", self.principal.as_deref()));
        if self.principal.as_ref().is_some_and(|name| name.contains('@') || name.is_empty()) {
            problems.push(ParamError::new("principal", "is a name without @; the realm is a parameter of its own"));
        }
        let offsets = (Some(self.warn_offset), Some(self.critical_offset));
        problems.extend(ordered(("warn_offset", "critical_offset"), offsets.0, offsets.1, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        let realm = self.realm.clone().unwrap_or_else(|| dialog.host().to_uppercase());
        cx.trace.phase("exchange", "waiting for the key server's answer");
        let request = request(&realm, self.principal.as_deref().unwrap_or("mainstay"));
        let length = u32::try_from(request.len()).expect("a short request").to_be_bytes();
        dialog.say(&[length.as_slice(), &request].concat()).await?;
        let answer = dialog.next(ANSWER_LIMIT_BYTES + 4, parse_answer).await?;
        Ok(decide(self, &realm, &answer, cx.env.clock.now(), &dialog.measured(cx)))
    }
}

const TEXT: u8 = 0x1b;

/// A context-specific tag around a value.
fn tagged(number: u8, content: &[u8]) -> Vec<u8> {
    value(0xa0 | number, content)
}

fn names(kind: u32, parts: &[&str]) -> Vec<u8> {
    let texts: Vec<Vec<u8>> = parts.iter().map(|part| value(TEXT, part.as_bytes())).collect();
    group(SEQUENCE, &[tagged(0, &number(INTEGER, kind)), tagged(1, &group(SEQUENCE, &texts))])
}

/// An AS-REQ (RFC 4120, section 5.4.1) without pre-authentication.
fn request(realm: &str, principal: &str) -> Vec<u8> {
    const PRINCIPAL: u32 = 1;
    const SERVICE: u32 = 2;
    let parts: Vec<&str> = principal.split('/').collect();
    let ciphers: Vec<Vec<u8>> = [18, 17, 20, 19].into_iter().map(|kind| number(INTEGER, kind)).collect();
    let body = group(
        SEQUENCE,
        &[
            tagged(0, &value(0x03, &[0; 5])), // No options.
            tagged(1, &names(PRINCIPAL, &parts)),
            tagged(2, &value(TEXT, realm.as_bytes())),
            tagged(3, &names(SERVICE, &["krbtgt", realm])),
            tagged(5, &value(0x18, b"20370913024805Z")),
            tagged(7, &number(INTEGER, 0x4d61_696e)),
            tagged(8, &group(SEQUENCE, &ciphers)),
        ],
    );
    let parts = [tagged(1, &number(INTEGER, 5)), tagged(2, &number(INTEGER, 10)), tagged(4, &body)];
    value(0x6a, &group(SEQUENCE, &parts))
}

/// What a key server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A ticket: the principal is known, and needs no proof to ask for one.
    Ticket,
    /// A refusal, as every principal with a proof gets at first.
    Refused {
        /// 25 wants a proof, 6 does not know the principal, 68 does not serve the realm.
        code: i64,
        /// The server's clock.
        time: Option<Timestamp>,
        /// Its words.
        text: Option<String>,
    },
}

/// Reads one answer, with the length that stands before it over TCP.
///
/// # Errors
/// When it is none of Kerberos, as the end of a sentence about the peer.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Answer> {
    let wrong = || "does not speak Kerberos".to_owned();
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(2..=ANSWER_LIMIT_BYTES).contains(&length) || rest.first().is_some_and(|tag| !matches!(tag, 0x6b | 0x7e)) {
        return Err(wrong());
    }
    let Some(message) = rest.get(..length) else { return Ok(None) };
    let ((tag, content), _) = parse_value(message, ANSWER_LIMIT_BYTES)?.ok_or_else(wrong)?;
    let answer = if tag == 0x6b { Answer::Ticket } else { refusal(&content).ok_or_else(wrong)? };
    Ok(Some((answer, 4 + length)))
}

fn refusal(mut content: &[u8]) -> Option<Answer> {
    let mut fields = take_of(&mut content, SEQUENCE)?;
    let (mut code, mut time, mut text) = (None, None, None);
    while !fields.is_empty() {
        let (tag, mut inside) = take(&mut fields)?;
        match tag {
            0xa4 => time = parse_time(take(&mut inside)?.1),
            0xa6 => code = as_number(take_of(&mut inside, INTEGER)?),
            0xab => text = Some(String::from_utf8_lossy(take(&mut inside)?.1).into_owned()),
            _ => {}
        }
    }
    Some(Answer::Refused { code: code?, time, text })
}

/// `20261121080000Z`
fn parse_time(bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    Some(DateTime::strptime("%Y%m%d%H%M%S", text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn code_in_words(code: i64) -> &'static str {
    match code {
        UNKNOWN_PRINCIPAL => "it does not know the principal",
        7 => "it does not know the realm's own service",
        12 => "its policy forbids it",
        14 => "it knows none of the ciphers",
        18 => "the principal is revoked or locked",
        23 => "the principal's password has expired",
        60 => "it has an error of its own",
        68 => "it does not serve this realm",
        _ => "for a reason not known here",
    }
}

/// The whole judgement.
pub fn decide(want: &Kerberos, realm: &str, answer: &Answer, now: Timestamp, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let times = (want.warn_time, want.critical_time);
    let (state, sentence, time) = match answer {
        Answer::Ticket => (State::Ok, format!("{peer} serves {realm}, and gives tickets without a proof"), None),
        Answer::Refused { code: PROOF_REQUIRED, time, .. } => {
            let whom = want.principal.as_ref().map(|name| format!(" and knows {name}")).unwrap_or_default();
            (State::Ok, format!("{peer} serves {realm}{whom}"), *time)
        }
        // A server that does not serve the realm says the same, so no more can be told.
        Answer::Refused { code: UNKNOWN_PRINCIPAL, time, .. } if want.principal.is_none() => {
            let sentence =
                format!("{peer} answers as a key server; only a principal would show that it serves {realm}");
            (State::Ok, sentence, *time)
        }
        Answer::Refused { code, time, text } => {
            let words = text.as_ref().map(|text| format!(": {}", excerpt(text.as_bytes()))).unwrap_or_default();
            let why = format!("{}, code {code}{words}", code_in_words(*code));
            (State::Critical, format!("{peer} refuses to answer for {realm} ({why})"), *time)
        }
    };
    let Some(time) = time else { return measured.outcome("kerberos", state, &sentence, times) };
    // It tells whole seconds.
    let offset = time.duration_since(now).as_secs_f64();
    let apart = (offset.abs() - 1.0).max(0.0);
    let far = State::when_above(apart, Some(want.warn_offset.seconds()), Some(want.critical_offset.seconds()));
    let clock = if far == State::Ok { String::new() } else { format!("; its clock is {} from ours", in_words(apart)) };
    let outcome = measured.outcome("kerberos", state.max(far), &format!("{sentence}{clock}"), times);
    outcome.with("kerberos_clock_offset_seconds", offset, "seconds")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(code: u32, time: &str) -> Vec<u8> {
        let fields = [
            tagged(0, &number(INTEGER, 5)),
            tagged(1, &number(INTEGER, 30)),
            tagged(4, &value(0x18, time.as_bytes())),
            tagged(6, &number(INTEGER, code)),
            tagged(11, &value(TEXT, b"WHY")),
        ];
        let message = value(0x7e, &group(SEQUENCE, &fields));
        [(message.len() as u32).to_be_bytes().as_slice(), &message].concat()
    }

    #[test]
    fn code_and_clock_decide() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        for (params, code, time, state, part) in [
            (json!({}), 25, "20261121080000Z", State::Ok, "serves R"),
            (json!({}), 6, "20261121080000Z", State::Ok, "only a principal would show that it serves R"),
            (json!({"principal": "mia"}), 25, "20261121080000Z", State::Ok, "knows mia"),
            (json!({"principal": "mia"}), 6, "20261121080000Z", State::Critical, "does not know the principal, code 6"),
            (json!({}), 68, "20261121080000Z", State::Critical, "does not serve this realm"),
            (json!({}), 25, "20261121080130Z", State::Warning, "its clock is 89 s from ours"),
            (json!({}), 25, "20261121075000Z", State::Critical, "from ours"),
        ] {
            let bytes = refused(code, time);
            let (answer, length) = parse_answer(&bytes).unwrap().unwrap();
            assert_eq!(length, bytes.len());
            let want: Kerberos = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "k:88".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "R", &answer, now, &measured);
            assert_eq!(outcome.state, state, "{params} {code}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params} {code}: {}", outcome.summary);
        }
        assert!(parse_answer(b"HTTP/1.1").is_err());
        assert_eq!(parse_answer(&refused(25, "x")[..9]), Ok(None));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_answer(&bytes);
            let message = value(0x7e, &value(SEQUENCE, &bytes));
            let _ = parse_answer(&[(message.len() as u32).to_be_bytes().as_slice(), &message].concat());
        }
    }
}
