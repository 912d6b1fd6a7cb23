//! RADIUS: does the server answer, and does it let a user in? Every answer is proven to come from who has the secret.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialog::{Measured, one_line_problem, problems};
use crate::env::{Failure, addresses, random};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::target::parse_host_port;

/// Parameters of `radius`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Radius {
    /// The secret that client and server share.
    secret: Option<Secret>,
    /// User name to ask for (Access-Request). Only the server's status is asked for when left out (Status-Server).
    user: Option<String>,
    /// Password of the user, sent as PAP.
    password: Option<Secret>,
    /// The answer that is expected: accept, reject or challenge.
    expect: Answer,
    /// Whether an answer must carry a Message-Authenticator, else WARNING: without it, somebody on the way can make an answer
    /// out of another one (CVE-2024-3596).
    require_message_authenticator: bool,
    /// What to call ourselves (NAS-Identifier).
    identifier: String,
    /// WARNING when the answer took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the answer took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Radius {
    fn default() -> Self {
        Radius {
            secret: None,
            user: None,
            password: None,
            expect: Answer::Accept,
            require_message_authenticator: false,
            identifier: "mainstay".to_owned(),
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// What a server can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The user is let in.
    Accept,
    /// The user is not let in.
    Reject,
    /// The server wants to know more, for example a one-time code.
    Challenge,
}

impl Answer {
    fn in_words(self) -> &'static str {
        match self {
            Answer::Accept => "accepts",
            Answer::Reject => "rejects",
            Answer::Challenge => "challenges",
        }
    }
}

const PORT: u16 = 1812;
const ACCESS_REQUEST: u8 = 1;
const STATUS_SERVER: u8 = 12;
const USER_NAME: u8 = 1;
const USER_PASSWORD: u8 = 2;
const REPLY_MESSAGE: u8 = 18;
const NAS_IDENTIFIER: u8 = 32;
const MESSAGE_AUTHENTICATOR: u8 = 80;

impl Check for Radius {
    const NAME: &'static str = "radius";
    const TITLE: &'static str = "RADIUS";
    const HELP: &'static str = "Asks an authentication server for its status, or whether it lets a user in.";
    const TARGET: &'static str = "host and port, for example radius-1.example.org; port 1812 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, None, (self.warn_time, self.critical_time));
        if self.secret.as_ref().is_none_or(|secret| secret.reveal().is_empty()) {
            problems.push(ParamError::new("secret", "is needed: without it no server answers"));
        }
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("user", "and password are given together"));
        }
        if self.password.as_ref().is_some_and(|password| password.reveal().len() > 128) {
            problems.push(ParamError::new("password", "has at most 128 bytes in RADIUS"));
        }
        for (field, text) in [("user", self.user.as_deref()), ("identifier", Some(self.identifier.as_str()))] {
            problems.extend(one_line_problem(field, text));
            if text.is_some_and(|text| text.len() > 253 || text.is_empty()) {
                problems.push(ParamError::new(field, "has 1 to 253 bytes in RADIUS"));
            }
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, self.family).await?;
        let peer = SocketAddr::new(found[0], target.port.unwrap_or(PORT));
        let ([id], authenticator) = (random::<1>()?, random::<16>()?);
        let request = self.request(id, &authenticator);
        // Whoever does not know the secret gets no answer at all, so the sentence of a timeout must say so.
        cx.trace.phase("exchange", "waiting for the server, which is silent to a wrong secret or an unknown client");
        let secret = self.secret();
        let is_answer = |bytes: &[u8]| matches!(parse_reply(bytes), Ok(reply) if reply.id == id);
        let said = cx.env.net.exchange(peer, &request, &is_answer).await;
        let said = said.map_err(|error| Failure::from_io(&format!("asking the server {peer}"), &error))?;
        if !is_proven(&said, &authenticator, secret) {
            let why = "answers with a proof that does not fit; the secret is another there, or somebody else answered";
            return Err(Failure::Peer(format!("{peer} {why}")));
        }
        let reply = parse_reply(&said).map_err(|why| Failure::Peer(format!("{peer} {why}")))?;
        let seconds = cx.trace.elapsed().as_secs_f64();
        let measured = Measured { peer: cx.target.to_owned(), seconds, certificate_left_days: None };
        Ok(decide(self, &reply, &measured))
    }
}

impl Radius {
    fn secret(&self) -> &[u8] {
        self.secret.as_ref().map_or(b"", |secret| secret.reveal().as_bytes())
    }

    fn request(&self, id: u8, authenticator: &[u8; 16]) -> Vec<u8> {
        let code = if self.user.is_some() { ACCESS_REQUEST } else { STATUS_SERVER };
        let mut bytes = vec![code, id, 0, 0];
        bytes.extend_from_slice(authenticator);
        // First, as it protects best there; computed last, over all with zeros in its place.
        bytes.extend_from_slice(&attribute(MESSAGE_AUTHENTICATOR, &[0; 16]));
        bytes.extend_from_slice(&attribute(NAS_IDENTIFIER, self.identifier.as_bytes()));
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            bytes.extend_from_slice(&attribute(USER_NAME, user.as_bytes()));
            let hidden = hidden(password.reveal().as_bytes(), self.secret(), authenticator);
            bytes.extend_from_slice(&attribute(USER_PASSWORD, &hidden));
        }
        let length = u16::try_from(bytes.len()).expect("a few short attributes").to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        let proof = keyed(self.secret(), &bytes);
        bytes[22..38].copy_from_slice(&proof);
        bytes
    }
}

fn attribute(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len() + 2).expect("at most 253 bytes");
    [&[kind, length], content].concat()
}

fn keyed(secret: &[u8], bytes: &[u8]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// The password as RFC 2865, section 5.2 hides it.
fn hidden(password: &[u8], secret: &[u8], authenticator: &[u8; 16]) -> Vec<u8> {
    let mut padded = password.to_vec();
    padded.resize(password.len().max(1).next_multiple_of(16), 0);
    let mut before = authenticator.to_vec();
    let mut hidden = Vec::with_capacity(padded.len());
    for block in padded.chunks(16) {
        let mask = Md5::new().chain_update(secret).chain_update(&before).finalize();
        before = block.iter().zip(mask.iter()).map(|(a, b)| a ^ b).collect();
        hidden.extend_from_slice(&before);
    }
    hidden
}

/// Whether the answer was made by who has the secret (RFC 2865, section 3; RFC 3579, section 3.2).
fn is_proven(reply: &[u8], asked: &[u8; 16], secret: &[u8]) -> bool {
    let Ok(parsed) = parse_reply(reply) else { return false };
    let Some(reply) = reply.get(..parsed.length) else { return false };
    let whole = Md5::new().chain_update(&reply[..4]).chain_update(asked).chain_update(&reply[20..]);
    if whole.chain_update(secret).finalize().as_slice() != &reply[4..20] {
        return false;
    }
    match parsed.message_authenticator_at {
        None => true,
        Some(at) => {
            let mut again = reply.to_vec();
            again[4..20].copy_from_slice(asked);
            again[at..at + 16].fill(0);
            keyed(secret, &again) == reply[at..at + 16]
        }
    }
}

/// What a server says, not yet proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it answers.
    pub answer: Answer,
    /// Which question it answers.
    pub id: u8,
    /// Its own length; what comes after it in the datagram is padding.
    pub length: usize,
    /// Where its Message-Authenticator begins.
    pub message_authenticator_at: Option<usize>,
    /// Its words to the user.
    pub message: Option<String>,
}

/// Reads an answer.
///
/// # Errors
/// When it is none of RADIUS, as the end of a sentence about the peer.
pub fn parse_reply(bytes: &[u8]) -> Result<Reply, String> {
    let wrong = || "does not answer as RADIUS does".to_owned();
    let head = bytes.first_chunk::<20>().ok_or_else(wrong)?;
    let answer = match head[0] {
        2 => Answer::Accept,
        3 => Answer::Reject,
        11 => Answer::Challenge,
        _ => return Err(wrong()),
    };
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let body = bytes.get(20..length).ok_or_else(wrong)?;
    let mut reply = Reply { answer, id: head[1], length, message_authenticator_at: None, message: None };
    let mut at = 0;
    while at < body.len() {
        let [kind, size] = *body[at..].first_chunk::<2>().ok_or_else(wrong)?;
        let content = body.get(at + 2..at + usize::from(size)).ok_or_else(wrong)?;
        match kind {
            MESSAGE_AUTHENTICATOR if content.len() == 16 => reply.message_authenticator_at = Some(20 + at + 2),
            MESSAGE_AUTHENTICATOR => return Err(wrong()),
            REPLY_MESSAGE => reply.message = Some(String::from_utf8_lossy(content).into_owned()),
            _ => {}
        }
        at += usize::from(size).max(2);
    }
    Ok(reply)
}

/// The whole judgement of an answer that is proven.
pub fn decide(want: &Radius, reply: &Reply, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let words = reply.message.as_ref().map(|words| format!(" ({})", excerpt(words.as_bytes()))).unwrap_or_default();
    let (mut state, mut sentence) = match &want.user {
        None => (State::Ok, format!("{peer} answers that it is there{words}")),
        Some(user) if reply.answer == want.expect => {
            (State::Ok, format!("{peer} {} the user {user:?}{words}", reply.answer.in_words()))
        }
        Some(user) => {
            let expected = match want.expect {
                Answer::Accept => "accept",
                Answer::Reject => "reject",
                Answer::Challenge => "challenge",
            };
            let did = reply.answer.in_words();
            (State::Critical, format!("{peer} {did} the user {user:?}{words}, where {expected} is expected"))
        }
    };
    if want.require_message_authenticator && reply.message_authenticator_at.is_none() {
        state = state.max(State::Warning);
        sentence.push_str(", without a Message-Authenticator");
    }
    measured.outcome("radius", state, &sentence, (want.warn_time, want.critical_time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_answer_of_who_has_the_secret_is_believed() {
        let asked = [9; 16];
        let mut reply = vec![2, 7, 0, 38];
        reply.extend_from_slice(&asked);
        reply.extend_from_slice(&attribute(MESSAGE_AUTHENTICATOR, &[0; 16]));
        let proof = keyed(b"shared", &reply);
        reply[22..38].copy_from_slice(&proof);
        let whole = Md5::new().chain_update(&reply).chain_update(b"shared").finalize();
        reply[4..20].copy_from_slice(&whole);
        assert!(is_proven(&reply, &asked, b"shared"));
        assert!(!is_proven(&reply, &asked, b"other"));
        assert!(!is_proven(&reply, &[8; 16], b"shared"));
        for at in 0..reply.len() {
            let mut changed = reply.clone();
            changed[at] ^= 1;
            assert!(!is_proven(&changed, &asked, b"shared"), "byte {at}");
        }
    }

    #[test]
    fn a_password_is_hidden_as_the_standard_says() {
        // RFC 2865, section 7.1: user nemo, password "arctangent", secret "xyzzy5461".
        let authenticator: [u8; 16] =
            [0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a];
        let hidden = hidden(b"arctangent", b"xyzzy5461", &authenticator);
        assert_eq!(hidden[..4], [0x0d, 0xbe, 0x70, 0x8d]);
    }

    #[test]
    fn the_expected_answer_decides() {
        let reply = |answer| Reply { answer, id: 1, length: 20, message_authenticator_at: None, message: None };
        for (params, answer, state, part) in [
            (json!({}), Answer::Accept, State::Ok, "it is there"),
            (json!({"user": "mia"}), Answer::Accept, State::Ok, "accepts the user \"mia\""),
            (json!({"user": "mia"}), Answer::Reject, State::Critical, "rejects the user \"mia\""),
            (json!({"user": "mia", "expect": "reject"}), Answer::Reject, State::Ok, "rejects the user"),
            (
                json!({"require_message_authenticator": true}),
                Answer::Accept,
                State::Warning,
                "without a Message-Authen",
            ),
        ] {
            let want: Radius = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "r:1812".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &reply(answer), &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), code in proptest::sample::select(vec![2u8, 3, 11])) {
            let _ = parse_reply(&bytes);
            let mut reply = vec![code, 1, 0, 20 + bytes.len() as u8];
            reply.extend_from_slice(&[0; 16]);
            reply.extend_from_slice(&bytes);
            let _ = (parse_reply(&reply), is_proven(&reply, &[0; 16], b"x"));
        }
    }
}
