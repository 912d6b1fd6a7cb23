//! WebSocket: does the server go over to it, answer pings, and say what it should? (RFC 6455)

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem};
use crate::env::{Failure, random};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Pattern, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::tls::parse_authorities;

/// Parameters of `websocket`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Websocket {
    /// Text to send once connected.
    send: Option<String>,
    /// Regular expression that one of the server's first 100 messages must match. A ping is answered for when left out.
    message: Option<Pattern>,
    /// Protocol to ask for, for example graphql-transport-ws.
    subprotocol: Option<String>,
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

impl Default for Websocket {
    fn default() -> Self {
        Websocket {
            send: None,
            message: None,
            subprotocol: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// The most bytes of one message.
pub const MESSAGE_LIMIT_BYTES: usize = 1 << 20;
const HEAD_LIMIT_BYTES: usize = 64 << 10;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Check for Websocket {
    const NAME: &'static str = "websocket";
    const TITLE: &'static str = "WebSocket";
    const HELP: &'static str = "Opens a WebSocket; where wanted sends a text and waits for a message that matches, else for the answer to a ping.";
    const TARGET: &'static str = "an address, for example wss://shop.example.org/live";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_address(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        problems.extend(one_line_problem("subprotocol", self.subprotocol.as_deref()));
        if self.send.as_ref().is_some_and(|text| text.len() > 64 << 10) {
            problems.push(ParamError::new("send", "has at most 64 KiB"));
        }
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let url = parse_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(80);
        let mut dialog = Dialog::dial(cx, host, port, self.family).await?;
        if url.scheme() == "wss" {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("upgrade", "waiting for the server to go over to WebSocket");
        let key = STANDARD.encode(random::<16>()?);
        let mask = random::<4>()?;
        dialog.say(self.request(&url, &key).as_bytes()).await?;
        let head = dialog.next(HEAD_LIMIT_BYTES, parse_head).await?;
        let accepted = accept_of(&key);
        if head.status != 101 || head.accept.as_deref() != Some(accepted.as_str()) {
            let why = if head.status == 101 { "its proof does not fit".to_owned() } else { head.line };
            let refused = format!("{} does not go over to WebSocket ({})", dialog.peer(), excerpt(why.as_bytes()));
            return Err(Failure::Peer(refused));
        }
        cx.trace.phase("message", "waiting for the server's message");
        if let Some(text) = &self.send {
            dialog.say(&frame(TEXT, text.as_bytes(), mask)).await?;
        }
        if self.message.is_none() {
            dialog.say(&frame(PING, b"mainstay", mask)).await?;
        }
        let heard = self.listen(&mut dialog, mask).await?;
        let measured = dialog.measured(cx);
        let _ = dialog.say(&frame(CLOSE, &1000u16.to_be_bytes(), mask)).await; // Its goodbye is not waited for.
        Ok(decide(self, &heard, &measured))
    }
}

impl Websocket {
    fn request(&self, url: &Url, key: &str) -> String {
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let subprotocol =
            self.subprotocol.as_ref().map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
        )
    }

    /// The message that matches, or the last one; with no pattern the answer to our ping.
    async fn listen(&self, dialog: &mut Dialog, mask: [u8; 4]) -> Result<Vec<u8>, Failure> {
        const MAX_FRAMES: usize = 100;
        let mut message = Vec::new();
        for _ in 0..MAX_FRAMES {
            let found = dialog.next(MESSAGE_LIMIT_BYTES + 14, parse_frame).await?;
            match (found.kind, &self.message) {
                (PONG, None) => return Ok(found.content),
                (PING, _) => dialog.say(&frame(PONG, &found.content, mask)).await?,
                (CLOSE, _) => {
                    let why = found.content.get(2..).unwrap_or_default();
                    return Err(Failure::Peer(format!("{} closes the conversation ({})", dialog.peer(), excerpt(why))));
                }
                (0 | TEXT | BINARY, Some(pattern)) => {
                    if found.kind != 0 {
                        message.clear();
                    }
                    message.extend_from_slice(&found.content);
                    if message.len() > MESSAGE_LIMIT_BYTES {
                        return Err(Failure::Peer(format!("{} sends a message of more than 1 MiB", dialog.peer())));
                    }
                    if found.is_last && pattern.0.is_match(&message) {
                        return Ok(message);
                    }
                }
                _ => {}
            }
        }
        Ok(message)
    }
}

/// Reads `ws://host/path` or `wss://host/path`.
///
/// # Errors
/// A sentence that names the text and what is wrong with it.
pub fn parse_address(bytes: &[u8]) -> Result<Url, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "an address is text in UTF-8".to_owned())?;
    let url = Url::parse(text)
        .map_err(|why| format!("{text:?} is no address ({why}); write for example wss://a.example/"))?;
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(format!("{:?} is not ws or wss", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some() {
        return Err("an address names a host, and no user or password".to_owned());
    }
    Ok(url)
}

/// What the server must answer to that key.
fn accept_of(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

/// The head of an HTTP answer, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 101 when the server goes over.
    pub status: u16,
    /// The first line.
    pub line: String,
    /// The server's proof.
    pub accept: Option<String>,
}

/// Reads the head of an HTTP answer.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_head(bytes: &[u8]) -> Parsed<Head> {
    if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
        return Err(format!("does not speak HTTP: it said {}", excerpt(bytes)));
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("answers with no status: {}", excerpt(line.as_bytes())))?;
    let accept = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Accept"));
    Ok(Some((Head { status, line, accept: accept.map(|(_, value)| value.trim().to_owned()) }, end + 4)))
}

/// One frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0 goes on with a message, 1 is text, 2 bytes, 8 the end, 9 ping, 10 pong.
    pub kind: u8,
    /// True for the last frame of a message.
    pub is_last: bool,
    /// What it carries.
    pub content: Vec<u8>,
}

/// Reads one frame of a server, which is never masked.
///
/// # Errors
/// When it cannot be one, as the end of a sentence about the peer.
pub fn parse_frame(bytes: &[u8]) -> Parsed<Frame> {
    let (Some(first), Some(second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err("sends a WebSocket frame that a server may not send".to_owned());
    }
    let width = match second {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(digits) = bytes.get(2..2 + width) else { return Ok(None) };
    let length = match width {
        0 => u64::from(*second),
        _ => digits.iter().fold(0, |length, digit| length << 8 | u64::from(*digit)),
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= MESSAGE_LIMIT_BYTES);
    let length = length.ok_or_else(|| "sends a WebSocket frame of more than 1 MiB".to_owned())?;
    let begin = 2 + width;
    let content = bytes.get(begin..begin + length);
    let frame = |content: &[u8]| Frame { kind: first & 0x0f, is_last: first & 0x80 != 0, content: content.to_vec() };
    Ok(content.map(|content| (frame(content), begin + length)))
}

/// A frame of a client, masked as it must be.
fn frame(kind: u8, content: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0x80 | kind];
    match u8::try_from(content.len()) {
        Ok(length) if length < 126 => bytes.push(0x80 | length),
        _ => match u16::try_from(content.len()) {
            Ok(length) => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
            }
        },
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The whole judgement.
pub fn decide(want: &Websocket, heard: &[u8], measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let (state, sentence) = match &want.message {
        None => (State::Ok, format!("{peer} speaks WebSocket and answers pings")),
        Some(pattern) if pattern.0.is_match(heard) => (State::Ok, format!("{peer} says {}", excerpt(heard))),
        Some(pattern) => (
            State::Critical,
            format!("{peer} says nothing that matches {}; the last was {}", pattern.0, excerpt(heard)),
        ),
    };
    measured.outcome("websocket", state, &sentence, (want.warn_time, want.critical_time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_and_proofs_are_those_of_the_standard() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // RFC 6455, section 1.3
        assert_eq!(frame(TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        let (read, length) = parse_frame(b"\x81\x05Hello...").unwrap().unwrap();
        assert_eq!((read.kind, read.is_last, read.content.as_slice(), length), (TEXT, true, b"Hello".as_slice(), 7));
        assert_eq!(parse_frame(b"\x82\x7e\x01"), Ok(None));
        assert!(parse_frame(b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err().contains("1 MiB"));
        assert!(parse_frame(b"\x81\x85").is_err());
        assert_eq!(
            parse_head(b"HTTP/1.1 101 Sw\r\nsec-websocket-accept: x\r\n\r\n").unwrap().unwrap().0.accept.as_deref(),
            Some("x")
        );
        assert!(parse_head(b"SSH-2.0").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "HTTP/1\\.1 \\PC{0,9}\r\n\\PC{0,9}\r\n\r\n") {
            let _ = (parse_frame(&bytes), parse_head(&bytes), parse_head(text.as_bytes()), parse_address(&bytes));
        }
    }
}
