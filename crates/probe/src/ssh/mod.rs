//! SSH: which server answers, with which host key, does it offer only what is still safe? And what does a command say there?
//!
//! Without a user it goes as far as the key exchange, where the server proves that it has the host key, and hangs up before
//! anything is encrypted. With one it signs in, by key or password, and runs one command whose exit code and output are
//! judged. Nobody signs in at a server whose host key is not the expected one.
//!
//! It stands on ring's primitives, which has the ciphers of SSH and RSA in constant time. The library for all of SSH brings a
//! pre-release of RSA with a known timing weakness (RUSTSEC-2023-0071), or no RSA at all, and over a hundred packages.

mod agreement;
mod cipher;
mod exchange;
mod judge;
mod key;
mod message;
mod packet;
mod proof;
mod session;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cipher::{Direction, Opened, known_direction};
pub use judge::judge;
pub use key::{PrivateKey, parse_private_key};
pub use message::{Message, parse_message, parse_questions};
pub use packet::{
    Offers, ServerKey, parse_disconnect, parse_identification, parse_offers, parse_packet, parse_server_key,
};
pub use proof::{Said, verify};
pub use session::OUTPUT_LIMIT_BYTES;

use self::exchange::Exchanged;
use self::session::{Proof, Session};
use crate::dialog::{Dialog, Measured, one_line_problem, problems};
use crate::env::{Failure, Ran};
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, OneOrMany, ParamError, Pattern, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

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
    /// User name to sign in as. Nobody signs in when left out. Needs fingerprint, and a password or a private key.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Private key of the user, instead of a password: the text of its file (id_ed25519), without a passphrase. A key that
    /// may do nothing but this (restrict,command="…" in authorized_keys) is the safest.
    private_key: Option<Secret>,
    /// Command that the server runs for the user, at most 4,096 bytes; signing in is all when left out. It has nothing to
    /// read, and at most 256 KiB to write.
    command: Option<String>,
    /// What its exit code means: plugin (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, with performance data) or success (0 OK,
    /// all others CRITICAL).
    exit_code: ExitCode,
    /// Regular expression that what the command writes must match.
    output: Option<Pattern>,
    /// Names and regular expressions whose first group is a number in what the command writes; each becomes a reading:
    /// {"waiting": "(\\d+) jobs wait"}. A comma in it parts a fraction; 1,234 may be a thousand to whoever wrote it, and is
    /// refused.
    numbers: BTreeMap<String, Pattern>,
    /// What these numbers must be: {"waiting": "< 100"}.
    values: BTreeMap<String, Condition>,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
    /// The private key, read when the parameters are.
    #[serde(skip)]
    key: OnceLock<Result<PrivateKey, String>>,
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
            KeyType::Any => "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,rsa-sha2-512,rsa-sha2-256,ssh-rsa",
            KeyType::Ed25519 => "ssh-ed25519",
            KeyType::Ecdsa => "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384",
            KeyType::Rsa => "rsa-sha2-512,rsa-sha2-256,ssh-rsa",
        }
    }
}

/// What an exit code means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExitCode {
    /// As monitoring plugins end.
    #[default]
    Plugin,
    /// Nothing but 0 is well.
    Success,
}

const PORT: u16 = 22;
const IDENTIFICATION: &str = concat!("SSH-2.0-Mainstay_", env!("CARGO_PKG_VERSION"));

impl Check for Ssh {
    const NAME: &'static str = "ssh";
    const TITLE: &'static str = "SSH";
    const HELP: &'static str = "Reads the identification and the host key of a server and compares them; looks for algorithms that are no longer safe. Where wanted signs in by key or password and runs a command whose exit code and output are judged.";
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
        problems.extend(self.sign_in_problems());
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        let exchanged = exchange::exchange(&mut dialog, cx, self.key_type).await?;
        let met = decide(self, dialog.peer(), &exchanged.identification, &exchanged.offers, &exchanged.host_key);
        let judged = match &self.user {
            Some(user) if met.state < State::Critical => {
                let ran = self.sign_in(cx, &mut dialog, exchanged, user).await?;
                judge(self, user, dialog.peer(), ran.as_ref(), met)
            }
            _ => met,
        };
        Ok(timed(self, &dialog.measured(cx), judged))
    }
}

/// What was judged, and now the time of all of it.
fn timed(want: &Ssh, measured: &Measured, judged: Outcome) -> Outcome {
    let mut outcome = measured.outcome("ssh", judged.state, &judged.summary, (want.warn_time, want.critical_time));
    outcome.readings.extend(judged.readings);
    outcome
}

impl Ssh {
    /// Signs in and runs the command; `None` where signing in is all.
    async fn sign_in(
        &self,
        cx: &Cx<'_>,
        dialog: &mut Dialog,
        exchanged: Exchanged,
        user: &str,
    ) -> Result<Option<Ran>, Failure> {
        let proof = match (self.key(), &self.password) {
            (Some(key), _) => Proof::Key(key.map_err(|why| Failure::Local(format!("the private key {why}")))?),
            (None, Some(password)) => Proof::Password(password),
            (None, None) => return Err(Failure::Local("there is nothing to sign in with".to_owned())),
        };
        cx.trace.phase("sign_in", "waiting to be let in");
        let mut session = Session::begin(dialog, exchanged).await?;
        session.sign_in(user, &proof).await?;
        let Some(command) = &self.command else { return Ok(None) };
        cx.trace.phase("command", "waiting for the command to end");
        Ok(Some(session.run(command).await?))
    }

    /// The private key or what is wrong with it, read once; `None` where there is none.
    fn key(&self) -> Option<Result<&PrivateKey, &String>> {
        let text = self.private_key.as_ref()?;
        Some(self.key.get_or_init(|| parse_private_key(text.reveal().as_bytes())).as_ref())
    }

    fn sign_in_problems(&self) -> Vec<ParamError> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: &str| problems.push(ParamError::new(field, message));
        match (&self.user, &self.password, &self.private_key) {
            (Some(_), Some(_), Some(_)) => wrong("private_key", "and password are two ways to sign in; name one"),
            (Some(_), None, None) => wrong("user", "needs a password or a private_key"),
            (None, Some(_), _) => wrong("password", "needs a user"),
            (None, _, Some(_)) => wrong("private_key", "needs a user"),
            _ => {}
        }
        if self.user.is_some() && self.fingerprint.0.is_empty() {
            wrong("fingerprint", "is needed to sign in: what is meant for one server is told to no other");
        }
        if self.command.is_some() && self.user.is_none() {
            wrong("command", "needs a user");
        }
        if self.command.as_ref().is_some_and(|command| command.trim().is_empty() || command.len() > 4096) {
            wrong("command", "has 1 to 4,096 bytes");
        }
        if self.command.is_none() && (self.output.is_some() || !self.numbers.is_empty()) {
            wrong(if self.output.is_some() { "output" } else { "numbers" }, "needs a command");
        }
        if let Some((name, _)) = self.numbers.iter().find(|(_, pattern)| pattern.0.captures_len() < 2) {
            wrong("numbers", &format!("{name:?} has no group; put ( and ) around the number"));
        }
        if let Some(name) = self.values.keys().find(|name| !self.numbers.contains_key(*name)) {
            wrong("values", &format!("{name:?} is not among numbers"));
        }
        let wrong = self.key().and_then(Result::err);
        problems.extend(wrong.map(|why| ParamError::new("private_key", why)));
        problems.extend(one_line_problem("user", self.user.as_deref()));
        problems
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

/// The judgement of the server itself, however long it took. The host key is proven to be the peer's.
pub fn decide(want: &Ssh, peer: &str, identification: &str, offers: &Offers, host_key: &[u8]) -> Outcome {
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
    Outcome::new(state, sentence).with("ssh_weak_algorithms_count", weak.len() as f64, "")
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
            let outcome = decide(&want, "s:22", "SSH-2.0-OpenSSH_9.2", &offers, &key);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("ssh_weak_algorithms_count"), Some(1.0));
        }
    }

    #[test]
    fn time_is_judged_once_and_takes_no_words_away() {
        for (params, state) in [
            (json!({}), State::Ok),
            (json!({"warn_time": "50ms"}), State::Warning),
            (json!({"critical_time": "50ms"}), State::Critical),
        ] {
            let want: Ssh = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "s:22".into(), seconds: 0.1, certificate_left_days: None };
            let judged = Outcome::new(State::Ok, "load is 1, 2, 3").with("ssh_exit_code", 0.0, "");
            let outcome = timed(&want, &measured, judged);
            assert_eq!(outcome.state, state, "{params}");
            assert_eq!(outcome.summary, "load is 1, 2, 3, 100.0 ms", "{params}");
            assert_eq!(outcome.reading("ssh_response_seconds"), Some(0.1));
            assert_eq!(outcome.reading("ssh_exit_code"), Some(0.0));
        }
    }

    #[test]
    fn a_private_key_is_read_with_the_parameters_and_not_again() {
        let want: Ssh = serde_json::from_value(json!({"user": "mia", "private_key": "y"})).unwrap();
        assert!(want.key.get().is_none());
        want.problems("s:22");
        assert!(want.key.get().is_some_and(Result::is_err));
    }

    #[test]
    fn a_fingerprint_is_read_before_anybody_is_asked() {
        let want: Ssh = serde_json::from_value(json!({"fingerprint": "MD5:00:11"})).unwrap();
        assert_eq!(want.problems("s:22")[0].field, "fingerprint");
    }

    #[test]
    fn who_signs_in_says_where_and_with_what() {
        let print = fingerprint(b"key");
        for (params, field, part) in [
            (json!({"user": "mia", "password": "x"}), "fingerprint", "told to no other"),
            (json!({"user": "mia", "fingerprint": print}), "user", "a password or a private_key"),
            (json!({"password": "x"}), "password", "needs a user"),
            (json!({"command": "id"}), "command", "needs a user"),
            (
                json!({"user": "mia", "password": "x", "private_key": "y", "fingerprint": print}),
                "private_key",
                "two ways",
            ),
            (json!({"user": "mia", "private_key": "y", "fingerprint": print}), "private_key", "paste the whole file"),
            (json!({"user": "m\nia", "password": "x", "fingerprint": print}), "user", "line breaks"),
            (json!({"output": "x"}), "output", "needs a command"),
            (
                json!({"user": "mia", "password": "x", "fingerprint": print, "command": "id", "numbers": {"n": "\\d+"}}),
                "numbers",
                "has no group",
            ),
            (
                json!({"user": "mia", "password": "x", "fingerprint": print, "command": "id", "values": {"n": 1}}),
                "values",
                "not among numbers",
            ),
        ] {
            let want: Ssh = serde_json::from_value(params.clone()).unwrap();
            let problems = want.problems("s:22");
            assert_eq!(problems[0].field, field, "{params}: {problems:?}");
            assert!(problems[0].message.contains(part), "{params}: {problems:?}");
        }
    }
}
