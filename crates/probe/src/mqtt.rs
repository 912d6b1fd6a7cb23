//! MQTT: does the broker let us in, answer pings, and have a message on a topic? Versions 3.1.1 and 5; publishes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem, problems};
use crate::env::{Failure, random};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Pattern, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `mqtt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// The version to speak: "3.1.1" or "5".
    version: Version,
    /// User name.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// What to call ourselves; a name that is new each time when left out.
    client: Option<String>,
    /// Topic to listen to until one message comes; a retained one comes at once. Nothing is listened to when left out.
    topic: Option<String>,
    /// Regular expression that the message must match.
    message: Option<Pattern>,
    /// Whether to speak over TLS.
    tls: bool,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Mqtt {
    fn default() -> Self {
        Mqtt {
            version: Version::V311,
            user: None,
            password: None,
            client: None,
            topic: None,
            message: None,
            tls: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// Versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// 3.1.1, of 2014.
    #[serde(rename = "3.1.1")]
    V311,
    /// 5, of 2019.
    #[serde(rename = "5")]
    V5,
}

const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;
/// The most bytes of one packet; a longer message is refused.
pub const PACKET_LIMIT_BYTES: usize = 1 << 20;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const SUBACK: u8 = 9;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;

impl Check for Mqtt {
    const NAME: &'static str = "mqtt";
    const TITLE: &'static str = "MQTT";
    const HELP: &'static str = "Signs in to a broker, pings it, and where wanted waits for a message on a topic.";
    const TARGET: &'static str = "host and port, for example broker.example.org; port 1883, or 8883 with tls";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("user", self.user.as_deref()));
        problems.extend(one_line_problem("client", self.client.as_deref()));
        problems.extend(one_line_problem("topic", self.topic.as_deref()));
        if self.password.is_some() && self.user.is_none() {
            problems.push(ParamError::new("user", "is needed with a password"));
        }
        if self.message.is_some() && self.topic.is_none() {
            problems.push(ParamError::new("topic", "is needed to wait for a message"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, if self.tls { TLS_PORT } else { PORT }, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("connect_mqtt", "waiting to be let in");
        dialog.say(&self.connect()?).await?;
        let answer = wait_for(&mut dialog, CONNACK).await?;
        let code = answer.body.get(1).copied().unwrap_or(u8::MAX);
        if code != 0 {
            let why = self.code_in_words(code);
            return Err(Failure::Peer(format!("{} refuses the client ({why}, code {code})", dialog.peer())));
        }
        let mut heard = None;
        if let Some(topic) = &self.topic {
            cx.trace.phase("message", "waiting for a message on the topic");
            dialog.say(&self.subscribe(topic)).await?;
            heard = Some(self.listen(&mut dialog, topic).await?);
        } else {
            cx.trace.phase("ping", "waiting for the broker's pong");
            dialog.say(&[0xc0, 0]).await?;
            wait_for(&mut dialog, PINGRESP).await?;
        }
        let measured = dialog.measured(cx);
        let _ = dialog.say(&[0xe0, 0]).await; // DISCONNECT is not answered.
        Ok(decide(self, heard.as_deref(), &measured))
    }
}

impl Mqtt {
    fn is_five(&self) -> bool {
        self.version == Version::V5
    }

    fn connect(&self) -> Result<Vec<u8>, Failure> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => format!("mainstay-{:08x}", u32::from_be_bytes(random()?)),
        };
        const CLEAN: u8 = 0x02;
        const PASSWORD: u8 = 0x40;
        const USER: u8 = 0x80;
        let mut flags = CLEAN;
        flags |= if self.user.is_some() { USER } else { 0 };
        flags |= if self.password.is_some() { PASSWORD } else { 0 };
        let mut body = text("MQTT");
        body.extend_from_slice(&[if self.is_five() { 5 } else { 4 }, flags, 0, 60]);
        body.extend(self.is_five().then_some(0)); // No properties.
        body.extend_from_slice(&text(&client));
        for given in [self.user.as_deref(), self.password.as_ref().map(Secret::reveal)].into_iter().flatten() {
            body.extend_from_slice(&text(given));
        }
        Ok(packet(0x10, &body))
    }

    fn subscribe(&self, topic: &str) -> Vec<u8> {
        let mut body = vec![0, 1];
        body.extend(self.is_five().then_some(0));
        body.extend_from_slice(&text(topic));
        body.push(0); // At most once.
        packet(0x82, &body)
    }

    /// The first message on the topic. The broker may send it before it says that we are subscribed.
    async fn listen(&self, dialog: &mut Dialog, topic: &str) -> Result<Vec<u8>, Failure> {
        loop {
            let packet = dialog.next(PACKET_LIMIT_BYTES, parse_packet).await?;
            match packet.kind {
                SUBACK if packet.body.last().is_some_and(|code| *code >= 0x80) => {
                    return Err(Failure::Peer(format!("{} refuses the topic {topic:?}", dialog.peer())));
                }
                PUBLISH => {
                    let message = parse_message(&packet, self.version);
                    let wrong = || Failure::Peer(format!("{} sends a message that cannot be read", dialog.peer()));
                    return message.ok_or_else(wrong);
                }
                DISCONNECT => return Err(Failure::Peer(format!("{} breaks off", dialog.peer()))),
                _ => {}
            }
        }
    }

    fn code_in_words(&self, code: u8) -> &'static str {
        match (self.version, code) {
            (Version::V311, 1) | (_, 0x84) => "it does not speak this version",
            (Version::V311, 2) | (_, 0x85) => "the client's name is not allowed",
            (Version::V311, 3) | (_, 0x88) => "it is not available",
            (Version::V311, 4) | (_, 0x86) => "wrong user name or password",
            (Version::V311, 5) | (_, 0x87) => "not authorised",
            (_, 0x8a) => "the client is banned",
            (_, 0x97) => "a quota is exceeded",
            _ => "no known reason",
        }
    }
}

async fn wait_for(dialog: &mut Dialog, wanted: u8) -> Result<Packet, Failure> {
    let packet = dialog.next(PACKET_LIMIT_BYTES, parse_packet).await?;
    match packet.kind {
        kind if kind == wanted => Ok(packet),
        DISCONNECT => Err(Failure::Peer(format!("{} breaks off", dialog.peer()))),
        kind => Err(Failure::Peer(format!("{} does not speak MQTT: its answer is of type {kind}", dialog.peer()))),
    }
}

/// A text with its length before it. What is sent is short: `problems` sees to it.
fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("at most 1,024 bytes").to_be_bytes();
    [&length, text.as_bytes()].concat()
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    let mut length = body.len();
    loop {
        let digit = u8::try_from(length % 128).expect("below 128");
        length /= 128;
        bytes.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// 1 to 15: CONNACK is 2, PUBLISH 3.
    pub kind: u8,
    /// The lower four bits of its first byte.
    pub flags: u8,
    /// What comes after the length.
    pub body: Vec<u8>,
}

/// Reads one packet.
///
/// # Errors
/// When it cannot be one, as the end of a sentence about the peer.
pub fn parse_packet(bytes: &[u8]) -> Parsed<Packet> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let mut length = 0;
    let mut at = 1;
    loop {
        let Some(digit) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(digit & 0x7f) << (7 * (at - 1));
        at += 1;
        if digit & 0x80 == 0 {
            break;
        }
        if at > 4 {
            return Err("does not speak MQTT: it sends a length that cannot be".to_owned());
        }
    }
    // Only PUBLISH is ever long here; every other answer that is, is one of another protocol.
    // Only PUBLISH has flags in what a broker sends.
    let odd = first >> 4 == 0 || (first >> 4 != PUBLISH && first & 0x0f != 0);
    if odd || length > PACKET_LIMIT_BYTES - 5 || (first >> 4 != PUBLISH && length > 4096) {
        return Err(format!("does not speak MQTT, or sends too long a message: it said {}", excerpt(bytes)));
    }
    let body = bytes.get(at..at + length);
    Ok(body.map(|body| (Packet { kind: first >> 4, flags: first & 0x0f, body: body.to_vec() }, at + length)))
}

/// What a PUBLISH packet carries; `None` when it is damaged.
pub fn parse_message(packet: &Packet, version: Version) -> Option<Vec<u8>> {
    let (length, rest) = packet.body.split_first_chunk::<2>()?;
    let mut rest = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
    let has_number = (packet.flags >> 1) & 3 > 0;
    if has_number {
        rest = rest.get(2..)?;
    }
    if version == Version::V5 {
        let (mut length, mut at) = (0usize, 0);
        loop {
            let digit = *rest.get(at)?;
            length |= usize::from(digit & 0x7f) << (7 * at);
            at += 1;
            if digit & 0x80 == 0 {
                break;
            }
            if at == 4 {
                return None;
            }
        }
        rest = rest.get(at.checked_add(length)?..)?;
    }
    Some(rest.to_vec())
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Mqtt, heard: Option<&[u8]>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let (state, sentence) = match (heard, &want.topic, &want.message) {
        (Some(heard), Some(topic), Some(pattern)) if !pattern.0.is_match(heard) => {
            (State::Critical, format!("{peer} has {} on {topic}, which does not match {}", excerpt(heard), pattern.0))
        }
        (Some(heard), Some(topic), _) => (State::Ok, format!("{peer} has {} on {topic}", excerpt(heard))),
        _ => (State::Ok, format!("{peer} lets the client in and answers pings")),
    };
    let outcome = measured.outcome("mqtt", state, &sentence, (want.warn_time, want.critical_time));
    match heard.and_then(|heard| std::str::from_utf8(heard).ok()?.trim().parse::<f64>().ok()) {
        Some(number) => outcome.with("mqtt_message_value", number, ""),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_message_decides() {
        for (params, heard, state, part) in [
            (json!({}), None, State::Ok, "answers pings"),
            (json!({"topic": "a"}), Some("21.5"), State::Ok, "has \"21.5\" on a"),
            (json!({"topic": "a", "message": "^on$"}), Some("off"), State::Critical, "does not match ^on$"),
        ] {
            let want: Mqtt = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "b:1883".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, heard.map(str::as_bytes), &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("mqtt_message_value").is_some(), heard == Some("21.5"));
        }
    }

    #[test]
    fn packets_read_as_they_were_written() {
        for length in [0, 127, 128, 20_000] {
            let bytes = packet(0x30, &vec![0; length]);
            let (read, taken) = parse_packet(&bytes).unwrap().unwrap();
            assert_eq!((read.kind, read.body.len(), taken), (PUBLISH, length, bytes.len()));
        }
        let five = Packet { kind: PUBLISH, flags: 2, body: b"\0\x01t\0\x07\x02\x01\x01hello".to_vec() };
        assert_eq!(parse_message(&five, Version::V5).as_deref(), Some(b"hello".as_slice()));
        assert!(parse_packet(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert_eq!(parse_packet(b"\x20\x02\0"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), flags in 0u8..16) {
            let _ = parse_packet(&bytes);
            let packet = Packet { kind: PUBLISH, flags, body: bytes };
            let _ = (parse_message(&packet, Version::V311), parse_message(&packet, Version::V5));
        }
    }
}
