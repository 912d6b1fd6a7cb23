//! SSH: which server answers, with which host key, and does it offer only what is still safe? Signs nobody in.
//!
//! It goes as far as the key exchange, where the server proves that it has the host key, and hangs up before anything is
//! encrypted. It runs no command: that would need all of SSH (the library for it brings a pre-release of RSA with a known
//! timing weakness and over a hundred packages), and a key that opens a machine does not belong into a check. What must be
//! looked at from inside is looked at by the agent there, or by a plugin.

mod packet;
mod proof;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use packet::{
    Offers, ServerKey, parse_disconnect, parse_identification, parse_offers, parse_packet, parse_server_key,
};
pub use proof::{Said, verify};

use crate::dialog::{Dialog, Measured, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, OneOrMany, ParamError, Pattern, Span};
use crate::protocol::{Check, Cx};

/// Parameters of `ssh`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ssh {
    /// Fingerprints that the host key may have, as ssh-keygen -l shows them: "SHA256:…". A text or a list.
    fingerprint: OneOrMany,
    /// The type of host key to ask for: any, ed25519, ecdsa or rsa.
    key_type: KeyType,
    /// Regular expression that the server's identification must match, for example "OpenSSH_(9|10)".
    identification: Option<Pattern>,
    /// WARNING when the server offers algorithms that are no longer safe.
    warn_weak: bool,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

/// Types of host keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Whichever the server has, the newest first.
    #[default]
    Any,
    /// Ed25519.
    Ed25519,
    /// ECDSA on the curves of NIST.
    Ecdsa,
    /// RSA.
    Rsa,
}

impl KeyType {
    fn algorithms(self) -> &'static str {
        match self {
            KeyType::Any => "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,rsa-sha2-512,rsa-sha2-256",
            KeyType::Ed25519 => "ssh-ed25519",
            KeyType::Ecdsa => "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384",
            KeyType::Rsa => "rsa-sha2-512,rsa-sha2-256",
        }
    }
}

const PORT: u16 = 22;
const IDENTIFICATION: &str = concat!("SSH-2.0-Mainstay_", env!("CARGO_PKG_VERSION"));
const KEY_EXCHANGES: &str = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256";

impl Check for Ssh {
    const NAME: &'static str = "ssh";
    const TITLE: &'static str = "SSH";
    const HELP: &'static str = "Reads the identification and the host key of a server and compares them; looks for algorithms that are no longer safe.";
    const TARGET: &'static str = "host and port, for example git.example.org; port 22 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, None, (self.warn_time, self.critical_time));
        let is_fingerprint = |text: &String| {
            let hash = text.strip_prefix("SHA256:").map(|hash| STANDARD_NO_PAD.decode(hash));
            matches!(hash, Some(Ok(hash)) if hash.len() == 32)
        };
        if let Some(wrong) = self.fingerprint.0.iter().find(|text| !is_fingerprint(text)) {
            let message = format!("{wrong:?} is none; `ssh-keygen -lf FILE.pub` shows it as SHA256: and 43 characters");
            problems.push(ParamError::new("fingerprint", message));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        const IDENTIFICATION_LIMIT_BYTES: usize = 8 << 10;
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        cx.trace.phase("greeting", "waiting for the greeting");
        dialog.say(format!("{IDENTIFICATION}\r\n").as_bytes()).await?;
        let identification = dialog.next(IDENTIFICATION_LIMIT_BYTES, parse_identification).await?;
        cx.trace.phase("key_exchange", "waiting for the host key");
        let our_offers = our_offers(self.key_type)?;
        dialog.say(&packet::packet(&our_offers)).await?;
        let payload = next_payload(&mut dialog).await?;
        let odd = |peer: &str, what: &str| Failure::Peer(format!("{peer} answers with no {what} that can be read"));
        let offers = parse_offers(&payload).ok_or_else(|| odd(dialog.peer(), "list of algorithms"))?;
        let ours =
            Ours::agree(&offers, self.key_type).map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?;
        dialog.say(&packet::packet(&[&[KEX_ECDH_INIT], packet::string(&ours.public).as_slice()].concat())).await?;
        let reply = next_payload(&mut dialog).await?;
        let server = parse_server_key(&reply).ok_or_else(|| odd(dialog.peer(), "host key"))?;
        let said = Said {
            our_identification: IDENTIFICATION,
            identification: &identification,
            our_offers: &our_offers,
            offers: &payload,
            our_public: &ours.public.clone(),
        };
        let proven = ours.shared(&server.public).and_then(|shared| verify(&server, &said.hash(&server, &shared)));
        proven.map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?;
        let measured = dialog.measured(cx);
        Ok(decide(self, &identification, &offers, &server.host_key, &measured))
    }
}

/// The next packet that says something; a server may send some that do not (RFC 4253, section 11).
async fn next_payload(dialog: &mut Dialog) -> Result<Vec<u8>, Failure> {
    const IGNORE: u8 = 2;
    const DEBUG: u8 = 4;
    for _ in 0..20 {
        let payload = dialog.next(packet::PACKET_LIMIT_BYTES + 4, parse_packet).await?;
        if let Some(why) = parse_disconnect(&payload) {
            return Err(Failure::Peer(format!("{} breaks off ({})", dialog.peer(), excerpt(why.as_bytes()))));
        }
        if !matches!(payload.first(), Some(&IGNORE | &DEBUG)) {
            return Ok(payload);
        }
    }
    Err(Failure::Peer(format!("{} sends only packets that say nothing", dialog.peer())))
}

const KEX_ECDH_INIT: u8 = 30;

/// Payload of our SSH_MSG_KEXINIT. Ciphers are named since they must be; none is ever used.
fn our_offers(key_type: KeyType) -> Result<Vec<u8>, Failure> {
    let mut payload = vec![packet::KEXINIT];
    payload.extend_from_slice(&random::<16>()?);
    let ciphers = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes128-ctr,aes128-cbc,3des-cbc";
    let macs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1";
    let (compressions, languages) = ("none,zlib@openssh.com,zlib", "");
    for list in [
        KEY_EXCHANGES,
        key_type.algorithms(),
        ciphers,
        ciphers,
        macs,
        macs,
        compressions,
        compressions,
        languages,
        languages,
    ] {
        payload.extend_from_slice(&packet::string(list.as_bytes()));
    }
    payload.extend_from_slice(&[0; 5]); // No guess follows; reserved.
    Ok(payload)
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::Local("this machine gives no random numbers".to_owned()))?;
    Ok(bytes)
}

/// Our half of the key exchange.
struct Ours {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Ours {
    /// By the first way of ours that the server knows too. An error is the end of a sentence about the peer.
    fn agree(offers: &Offers, key_type: KeyType) -> Result<Ours, String> {
        let common = |ours: &str, theirs: &[String]| {
            ours.split(',').find(|name| theirs.iter().any(|other| other == name)).map(str::to_owned)
        };
        if common(key_type.algorithms(), &offers.host_keys).is_none() {
            let theirs = offers.host_keys.join(", ");
            return Err(format!("has no host key of a type that is wanted, but {}", excerpt(theirs.as_bytes())));
        }
        let Some(way) = common(KEY_EXCHANGES, &offers.key_exchanges) else {
            let theirs = offers.key_exchanges.join(", ");
            return Err(format!("offers no key exchange that is known here, but {}", excerpt(theirs.as_bytes())));
        };
        let curve = if way.starts_with("curve25519") { &X25519 } else { &ECDH_P256 };
        let failed = |_| "cannot be answered: no key could be made here".to_owned();
        let private = EphemeralPrivateKey::generate(curve, &SystemRandom::new()).map_err(failed)?;
        let public = private.compute_public_key().map_err(failed)?.as_ref().to_vec();
        Ok(Ours { private, public })
    }

    /// The agreed key, as a number with its length. An error is the end of a sentence about the peer.
    fn shared(self, theirs: &[u8]) -> Result<Vec<u8>, String> {
        let theirs = UnparsedPublicKey::new(self.private.algorithm(), theirs);
        agree_ephemeral(self.private, &theirs, packet::mpint)
            .map_err(|_| "sends a public value that is none of the curve".to_owned())
    }
}

/// The fingerprint as `ssh-keygen -l` shows it.
fn fingerprint(host_key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest(&SHA256, host_key)))
}

/// The algorithms among those offered that are no longer safe, in words.
fn weak(offers: &Offers) -> Vec<&str> {
    let weak_exchange = |name: &&String| name.ends_with("-sha1");
    let weak_host_key = |name: &&String| matches!(name.as_str(), "ssh-rsa" | "ssh-dss");
    let weak_cipher = |name: &&String| name.ends_with("-cbc") || name.starts_with("arcfour") || *name == "none";
    let weak_mac = |name: &&String| name.contains("md5") || name.contains("sha1-96") || *name == "none";
    let exchanges = offers.key_exchanges.iter().filter(weak_exchange);
    let host_keys = offers.host_keys.iter().filter(weak_host_key);
    let ciphers = offers.ciphers.iter().filter(weak_cipher);
    let macs = offers.macs.iter().filter(weak_mac);
    exchanges.chain(host_keys).chain(ciphers).chain(macs).map(String::as_str).collect()
}

/// The whole judgement. The host key is proven to be the peer's.
pub fn decide(want: &Ssh, identification: &str, offers: &Offers, host_key: &[u8], measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let shown = excerpt(identification.as_bytes());
    let mut rest = host_key;
    let kind = String::from_utf8_lossy(packet::take(&mut rest).unwrap_or_default()).into_owned();
    let print = fingerprint(host_key);
    let weak = weak(offers);
    let (state, sentence) = match &want.identification {
        Some(pattern) if !pattern.0.is_match(identification.as_bytes()) => {
            (State::Critical, format!("{peer} is {shown}, which does not match {}", pattern.0))
        }
        _ if !want.fingerprint.0.is_empty() && !want.fingerprint.0.contains(&print) => (
            State::Critical,
            format!(
                "{peer} shows another host key than expected: {print} ({kind}); was it set up anew, or is it another machine?"
            ),
        ),
        _ if want.warn_weak && !weak.is_empty() => {
            (State::Warning, format!("{peer} offers what is no longer safe: {}", weak.join(", ")))
        }
        _ => (State::Ok, format!("{peer} is {shown} with host key {print} ({kind})")),
    };
    measured.outcome("ssh", state, &sentence, (want.warn_time, want.critical_time)).with(
        "ssh_weak_algorithms_count",
        weak.len() as f64,
        "",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identification_key_and_algorithms_decide() {
        let key = packet::string(b"ssh-ed25519");
        let print = fingerprint(&key);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let offers = Offers { ciphers: names(&["aes256-ctr", "3des-cbc"]), ..Offers::default() };
        for (params, state, part) in [
            (json!({}), State::Ok, "(ssh-ed25519)"),
            (json!({"fingerprint": print}), State::Ok, "with host key SHA256:"),
            (json!({"fingerprint": "SHA256:x"}), State::Critical, "another host key than expected"),
            (json!({"identification": "OpenSSH_1"}), State::Critical, "does not match OpenSSH_1"),
            (json!({"warn_weak": true}), State::Warning, "no longer safe: 3des-cbc"),
        ] {
            let want: Ssh = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "s:22".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "SSH-2.0-OpenSSH_9.2", &offers, &key, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("ssh_weak_algorithms_count"), Some(1.0));
        }
    }

    #[test]
    fn a_fingerprint_is_read_before_anybody_is_asked() {
        let want: Ssh = serde_json::from_value(json!({"fingerprint": "MD5:00:11"})).unwrap();
        assert_eq!(want.problems("s:22")[0].field, "fingerprint");
    }
}
