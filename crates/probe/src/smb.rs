//! SMB: which version of the protocol does a file server speak, and does it sign? Negotiates (MS-SMB2), then hangs up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialog::{Dialog, Measured, Parsed, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};

/// Parameters of `smb`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smb {
    /// The lowest version that is well; WARNING when the server speaks only an older one: 2.0.2, 2.1, 3.0, 3.0.2 or 3.1.1.
    min_version: Version,
    /// Whether the server must require that messages are signed: any or required (WARNING when it does not).
    signing: Signing,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

/// The versions of the protocol; the first one, which nobody should speak any more, is not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// Windows Vista and Server 2008.
    #[default]
    #[serde(rename = "2.0.2")]
    V202,
    /// Windows 7.
    #[serde(rename = "2.1")]
    V210,
    /// Windows 8.
    #[serde(rename = "3.0")]
    V300,
    /// Windows 8.1.
    #[serde(rename = "3.0.2")]
    V302,
    /// Windows 10 and later.
    #[serde(rename = "3.1.1")]
    V311,
}

impl Version {
    const ALL: [(Version, u16, &'static str); 5] = [
        (Version::V202, 0x0202, "2.0.2"),
        (Version::V210, 0x0210, "2.1"),
        (Version::V300, 0x0300, "3.0"),
        (Version::V302, 0x0302, "3.0.2"),
        (Version::V311, 0x0311, "3.1.1"),
    ];

    fn as_str(self) -> &'static str {
        Version::ALL.iter().find(|(version, _, _)| *version == self).map_or("unknown", |(_, _, text)| text)
    }
}

/// Whether messages must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signing {
    /// However it is.
    #[default]
    Any,
    /// The server must insist on it.
    Required,
}

const PORT: u16 = 445;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

impl Check for Smb {
    const NAME: &'static str = "smb";
    const TITLE: &'static str = "SMB file server";
    const HELP: &'static str =
        "Negotiates with a file server and judges the version it speaks and whether it requires signing.";
    const TARGET: &'static str = "host and port, for example files-1.example.org; port 445 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        problems(target, None, (self.warn_time, self.critical_time))
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        cx.trace.phase("exchange", "waiting for the server's answer");
        dialog.say(&negotiate()).await?;
        let offer = dialog.next(ANSWER_LIMIT_BYTES, parse_answer).await?;
        Ok(decide(self, &offer, &dialog.measured(cx)))
    }
}

/// The request to negotiate, with every version from 2.0.2 on.
fn negotiate() -> Vec<u8> {
    let mut message = header();
    let dialects: Vec<u8> = Version::ALL.iter().flat_map(|(_, code, _)| code.to_le_bytes()).collect();
    let count = Version::ALL.len();
    // After the header: 36 bytes, the versions, filled up to a multiple of 8, then what 3.1.1 wants to be told.
    let contexts_at = (64 + 36 + dialects.len()).next_multiple_of(8);
    message.extend(36u16.to_le_bytes());
    message.extend(u16::try_from(count).unwrap_or(0).to_le_bytes());
    message.extend(1u16.to_le_bytes()); // we can sign
    message.extend([0; 6]); // reserved, no capabilities
    message.extend(*b"mainstay-checks!"); // who we are; random names help nobody here
    message.extend(u32::try_from(contexts_at).unwrap_or(0).to_le_bytes());
    message.extend([2, 0, 0, 0]); // two contexts
    message.extend(dialects);
    message.resize(contexts_at, 0);
    // Integrity before sign-in by SHA-512 with a salt of 32 bytes, then ciphers: AES-128-GCM and AES-128-CCM.
    message.extend([1, 0, 38, 0, 0, 0, 0, 0, 1, 0, 32, 0, 1, 0]);
    message.extend([0x4d; 32]);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend([2, 0, 6, 0, 0, 0, 0, 0, 2, 0, 2, 0, 1, 0]);
    let mut bytes = u32::try_from(message.len()).unwrap_or(0).to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

/// The header of a first message: everything is zero but its name, its size and the credit that is asked for.
fn header() -> Vec<u8> {
    let mut header = b"\xfeSMB\x40\x00".to_vec();
    header.resize(64, 0);
    header[14] = 1;
    header
}

/// What a server chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The version.
    pub version: Version,
    /// Whether it requires that messages are signed.
    pub signs: bool,
    /// Its clock, in seconds since 1970; 0 when it does not tell.
    pub time: i64,
}

/// Reads the answer with its length before it.
///
/// # Errors
/// When it is none, as the end of a sentence about the server.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Offer> {
    let wrong = || "does not speak SMB 2 or 3".to_owned();
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if !(64 + 64..=ANSWER_LIMIT_BYTES - 4).contains(&length) {
        return Err(wrong());
    }
    let start = b"\xfeSMB";
    if !rest.starts_with(&start[..start.len().min(rest.len())]) {
        return Err(wrong());
    }
    let Some(message) = rest.get(..length) else { return Ok(None) };
    let word = |at: usize| u16::from_le_bytes([message[at], message[at + 1]]);
    let status = u32::from(word(8)) | u32::from(word(10)) << 16;
    if status != 0 {
        return Err(format!("refuses to negotiate (status {status:#010x})"));
    }
    let code = word(64 + 4);
    let version = Version::ALL.iter().find(|(_, known, _)| *known == code).map(|(version, _, _)| *version);
    let time = i64::from_le_bytes(*message[64 + 40..].first_chunk().ok_or_else(wrong)?);
    let offer = Offer {
        version: version.ok_or_else(|| format!("chooses a version that was not offered ({code:#06x})"))?,
        signs: word(64 + 2) & 2 != 0,
        // From tenths of microseconds since 1601.
        time: if time == 0 { 0 } else { time / 10_000_000 - 11_644_473_600 },
    };
    Ok(Some((offer, 4 + length)))
}

/// The whole judgement.
pub fn decide(want: &Smb, offer: &Offer, measured: &Measured) -> Outcome {
    let mut state = State::Ok;
    let mut end = String::new();
    if offer.version < want.min_version {
        state = State::Warning;
        end = format!(", where at least {} is expected", want.min_version.as_str());
    } else if want.signing == Signing::Required && !offer.signs {
        state = State::Warning;
        end = ", and does not require signing".to_owned();
    }
    let signs = if offer.signs { " and requires signing" } else { "" };
    let sentence = format!("{} speaks SMB {}{signs}{end}", measured.peer, offer.version.as_str());
    measured.outcome("smb", state, &sentence, (want.warn_time, want.critical_time)).with(
        "smb_signing_required",
        f64::from(u8::from(offer.signs)),
        "",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn answer(code: u16, mode: u8) -> Vec<u8> {
        let mut message = header();
        message.extend([65, 0, mode, 0]);
        message.extend(code.to_le_bytes());
        message.resize(64 + 40, 0);
        message.extend(133_000_000_000_000_000i64.to_le_bytes());
        message.resize(64 + 64, 0);
        let mut bytes = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(message);
        bytes
    }

    #[test]
    fn version_and_signing_decide() {
        for (params, code, mode, state, part) in [
            (json!({}), 0x0311, 3, State::Ok, "speaks SMB 3.1.1 and requires signing"),
            (
                json!({"min_version": "3.0"}),
                0x0210,
                1,
                State::Warning,
                "speaks SMB 2.1, where at least 3.0 is expected",
            ),
            (json!({"signing": "required"}), 0x0311, 1, State::Warning, "does not require signing"),
        ] {
            let want: Smb = serde_json::from_value(params).unwrap();
            let bytes = answer(code, mode);
            let (offer, length) = parse_answer(&bytes).unwrap().unwrap();
            assert_eq!((length, offer.time), (bytes.len(), 1_655_526_400));
            let measured = Measured { peer: "f:445".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &offer, &measured);
            assert_eq!(outcome.state, state, "{}", outcome.summary);
            assert!(outcome.summary.contains(part), "{}", outcome.summary);
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert_eq!(parse_answer(&answer(0x0311, 1)[..100]), Ok(None));
        assert!(parse_answer(&answer(0x0100, 1)).unwrap_err().contains("was not offered"));
        for wrong in [&b"HTTP/1.1 400 Bad Request"[..], &[0; 200], &[0, 0, 0, 200, b'x', 0, 0, 0]] {
            assert!(parse_answer(wrong).is_err());
        }
        let mut refused = answer(0x0311, 1);
        refused[4 + 8] = 0xbb;
        assert!(parse_answer(&refused).unwrap_err().contains("refuses to negotiate"));
        assert_eq!(negotiate().len(), 4 + u32::from_be_bytes(*negotiate().first_chunk().unwrap()) as usize);
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..132, byte: u8) {
            let _ = parse_answer(&bytes);
            let mut damaged = answer(0x0311, 1);
            damaged[at] = byte;
            let _ = parse_answer(&damaged);
        }
    }
}
