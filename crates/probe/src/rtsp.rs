//! RTSP: does a camera or media server answer, and does it describe the stream? OPTIONS and DESCRIBE (RFC 2326); plays nothing.

use md5::{Digest, Md5};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::dialog::{Dialog, Measured, Parsed, one_line_problem};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt, hex};
use crate::params::{Family, OneOrMany, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::tls::parse_authorities;

/// Parameters of `rtsp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rtsp {
    /// Whether the stream must be described (DESCRIBE); only OPTIONS is asked when not.
    describe: bool,
    /// Kinds of media that the stream must have: "video", or ["video", "audio"].
    media: OneOrMany,
    /// User name, for a server that wants one (digest or basic, as it asks).
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Whether the server's certificate must be valid for the name (rtsps).
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

impl Default for Rtsp {
    fn default() -> Self {
        Rtsp {
            describe: true,
            media: OneOrMany::default(),
            user: None,
            password: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const ANSWER_LIMIT_BYTES: usize = 256 << 10;

impl Check for Rtsp {
    const NAME: &'static str = "rtsp";
    const TITLE: &'static str = "RTSP stream";
    const HELP: &'static str =
        "Asks a camera or media server for its methods and the description of a stream, and judges its media.";
    const TARGET: &'static str = "the stream's address, for example rtsp://camera-1.example.org/stream1; rtsps for TLS";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_address(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("password", "and user come together"));
        }
        problems.extend(one_line_problem("user", self.user.as_deref()));
        if self.user.as_ref().is_some_and(|user| user.contains('"')) {
            problems.push(ParamError::new("user", "must have no quotation mark"));
        }
        if !self.describe && !self.media.0.is_empty() {
            problems.push(ParamError::new("media", "is told only when describe is true"));
        }
        let ca = self.ca.as_deref().and_then(|pem| parse_authorities(pem.as_bytes()).err());
        problems.extend(ca.map(|why| ParamError::new("ca", why)));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let url = parse_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let secure = url.scheme() == "rtsps";
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = url.port().unwrap_or(if secure { 322 } else { 554 });
        let mut dialog = Dialog::dial(cx, host, port, self.family).await?;
        if secure {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("exchange", "waiting for the server's answer");
        let mut seen = Seen { methods: String::new(), media: None, server: String::new() };
        let answer = self.ask(&mut dialog, "OPTIONS", &url, 1).await?;
        seen.methods = answer.header("public").unwrap_or_default().to_owned();
        seen.server = answer.header("server").unwrap_or_default().to_owned();
        if self.describe {
            let answer = self.ask(&mut dialog, "DESCRIBE", &url, 3).await?;
            seen.media = Some(parse_media(&answer.body));
        }
        Ok(decide(self, cx.target, &seen, &dialog.measured(cx)))
    }
}

impl Rtsp {
    /// One request, and again with a proof of the password where that is asked for.
    async fn ask(&self, dialog: &mut Dialog, method: &str, url: &Url, number: u32) -> Result<Answer, Failure> {
        dialog.say(request(method, url, number, "").as_bytes()).await?;
        let mut answer = dialog.next(ANSWER_LIMIT_BYTES, parse_answer).await?;
        if let (401, Some(user), Some(password)) = (answer.status, &self.user, &self.password) {
            let wanted = answer.header("www-authenticate").unwrap_or_default().to_owned();
            let proof = proof(&wanted, user, password, method, url.as_str())
                .map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?;
            dialog.say(request(method, url, number + 1, &format!("Authorization: {proof}\r\n")).as_bytes()).await?;
            answer = dialog.next(ANSWER_LIMIT_BYTES, parse_answer).await?;
        }
        if answer.status == 200 {
            return Ok(answer);
        }
        let meaning = match answer.status {
            401 => " (not signed in, or with a wrong password)",
            404 => " (there is no such stream)",
            _ => "",
        };
        Err(Failure::Peer(format!("{} answers {} to {method}{meaning}", dialog.peer(), answer.status)))
    }
}

fn request(method: &str, url: &Url, number: u32, more: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{method} {url} RTSP/1.0\r\nCSeq: {number}\r\nUser-Agent: mainstay/{version}\r\nAccept: application/sdp\r\n{more}\r\n"
    )
}

/// What an `Authorization` header says.
fn proof(wanted: &str, user: &str, password: &Secret, method: &str, uri: &str) -> Result<String, String> {
    if wanted.len() >= 5 && wanted[..5].eq_ignore_ascii_case("basic") {
        return Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))));
    }
    let part = |name: &str| {
        let (_, after) = wanted.split_once(&format!("{name}=\""))?;
        after.split_once('"').map(|(value, _)| value)
    };
    let (Some(realm), Some(nonce)) = (part("realm"), part("nonce")) else {
        return Err(format!("asks for a proof of the password in no known way ({})", excerpt(wanted.as_bytes())));
    };
    let hash = |text: String| hex(&Md5::digest(text), "");
    let who = hash(format!("{user}:{realm}:{}", password.reveal()));
    let what = hash(format!("{method}:{uri}"));
    let response = hash(format!("{who}:{nonce}:{what}"));
    Ok(format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
    ))
}

/// Reads the address of a stream: rtsp or rtsps, a host, no user name or password.
///
/// # Errors
/// A sentence that names the text.
pub fn parse_address(bytes: &[u8]) -> Result<Url, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "an address is text in UTF-8".to_owned())?;
    let url = Url::parse(text).map_err(|why| format!("{text:?} is no address of a stream ({why})"))?;
    if !matches!(url.scheme(), "rtsp" | "rtsps") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!(
            "{text:?} is no address of a stream; write for example rtsp://camera-1.example.org/stream1"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not carry a user name or password; name them in user and password".to_owned());
    }
    Ok(url)
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        // Of several ways to sign in the last one named is usually the better; digest is taken where there is one.
        let mut found = self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let first = found.next()?;
        Some(found.find(|value| value.len() > 6 && value[..6].eq_ignore_ascii_case("digest")).unwrap_or(first))
    }
}

/// Reads an answer with its body.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Answer> {
    let wrong = || format!("does not speak RTSP: it said {}", excerpt(bytes));
    let start = b"RTSP/1.0 ";
    if !bytes.starts_with(&start[..start.len().min(bytes.len())]) {
        return Err(wrong());
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(wrong)?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse::<usize>()).map_err(|_| wrong())?;
    if length > ANSWER_LIMIT_BYTES {
        return Err(wrong());
    }
    let Some(body) = bytes.get(end + 4..end + 4 + length) else { return Ok(None) };
    Ok(Some((Answer { status, headers, body: body.to_vec() }, end + 4 + length)))
}

/// Reads the kinds of media of a description (SDP), each with its first encoding: `video H264`.
pub fn parse_media(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut media: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("m=") {
            if media.len() == 32 {
                break;
            }
            media.push(kind.split(' ').next().unwrap_or_default().chars().take(20).collect());
        } else if let (Some(map), Some(last)) = (line.strip_prefix("a=rtpmap:"), media.last_mut())
            && !last.contains(' ')
            && let Some(encoding) = map.split(' ').nth(1)
        {
            last.push(' ');
            last.extend(encoding.split('/').next().unwrap_or_default().chars().take(20));
        }
    }
    media
}

/// What a server told.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its methods.
    pub methods: String,
    /// The media of the stream; `None` when it was not asked for.
    pub media: Option<Vec<String>>,
    /// Its own name.
    pub server: String,
}

/// The whole judgement.
pub fn decide(want: &Rtsp, target: &str, seen: &Seen, measured: &Measured) -> Outcome {
    let media = seen.media.clone().unwrap_or_default();
    let has = |kind: &String| media.iter().any(|one| one.split(' ').next() == Some(kind.as_str()));
    let missing = want.media.0.iter().find(|kind| !has(kind));
    let server = if seen.server.is_empty() { String::new() } else { format!(" ({})", excerpt(seen.server.as_bytes())) };
    let (state, what) = match (&seen.media, missing) {
        (None, _) => (State::Ok, "answers".to_owned()),
        (Some(_), Some(kind)) => (State::Critical, format!("describes {}, without {kind}", shown(&media))),
        (Some(media), None) if media.is_empty() => (State::Critical, "describes a stream without media".to_owned()),
        (Some(media), None) => (State::Ok, format!("describes {}", shown(media))),
    };
    measured.outcome("rtsp", state, &format!("{target}{server} {what}"), (want.warn_time, want.critical_time)).with(
        "rtsp_media_count",
        media.len() as f64,
        "",
    )
}

fn shown(media: &[String]) -> String {
    if media.is_empty() { "no media".to_owned() } else { media.join(", ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ANSWER: &str = "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 85\r\n\r\n\
        v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 0\r\na=x:yyyyyyy\r\nRTSP";

    #[test]
    fn the_media_of_a_stream_decide() {
        let (answer, length) = parse_answer(ANSWER.as_bytes()).unwrap().unwrap();
        assert_eq!(length, ANSWER.len() - 4);
        let seen = |media| Seen { methods: "OPTIONS".into(), media, server: String::new() };
        for (params, media, state, part) in [
            (json!({}), Some(parse_media(&answer.body)), State::Ok, "describes video H264, audio"),
            (json!({"media": ["video", "audio"]}), Some(parse_media(&answer.body)), State::Ok, "video"),
            (json!({"media": "text"}), Some(parse_media(&answer.body)), State::Critical, "without text"),
            (json!({}), Some(vec![]), State::Critical, "without media"),
            (json!({"describe": false}), None, State::Ok, "answers"),
        ] {
            let want: Rtsp = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "c:554".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "rtsp://c/", &seen(media), &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn a_password_is_proven_as_the_server_asks() {
        // The example of RFC 2617, section 3.5, without what RTSP leaves out (qop).
        let wanted = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let password = Secret::new("Circle Of Life");
        let said = proof(wanted, "Mufasa", &password, "GET", "/dir/index.html").unwrap();
        assert!(said.contains("response=\"670fd8c2df070c60b045671b8b24ff02\""), "{said}");
        assert_eq!(proof("Basic realm=\"a\"", "a", &Secret::new("b"), "X", "y").unwrap(), "Basic YTpi");
        assert!(proof("Negotiate", "a", &Secret::new("b"), "X", "y").is_err());
    }

    #[test]
    fn only_streams_are_addresses() {
        assert!(parse_address(b"rtsp://[::1]:8554/a").is_ok());
        for wrong in ["http://a/", "rtsp://", "rtsp://me:pw@a/", "camera"] {
            assert!(parse_address(wrong.as_bytes()).is_err(), "{wrong}");
        }
        for wrong in [
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "RTSP/1.0 x\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n",
        ] {
            assert!(parse_answer(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(parse_answer(b"RTSP/1."), Ok(None));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "RTSP/1.0 [0-9]{0,4}( \\PC{0,5}\r\n){0,3}\r\n\\PC{0,9}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                if let Ok(Some((_, length))) = parse_answer(bytes) { prop_assert!(length <= bytes.len()); }
                let _ = (parse_media(bytes), parse_address(bytes));
            }
        }
    }
}
