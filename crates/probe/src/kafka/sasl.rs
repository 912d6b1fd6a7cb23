//! SASL: how a user signs in to a broker, by the password itself (RFC 4616) or by a proof that it is known (RFC 5802). Never
//! goes on with a broker that does not prove the same of itself where the way of signing in asks for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Reader, SASL_AUTHENTICATE, SASL_HANDSHAKE, ask, text};
use crate::dialog::Dialog;
use crate::env::{Failure, random};
use crate::outcome::excerpt;
use crate::scram;
use crate::secret::Secret;

/// How a user signs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// By a proof made with SHA-512.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// By a proof made with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By telling the password.
    #[serde(rename = "plain")]
    Plain,
}

impl Mechanism {
    /// As brokers name it.
    fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
        }
    }
}

/// Signs in on a connection that nothing was asked on yet.
pub(super) async fn sign_in(
    dialog: &mut Dialog,
    mechanism: Mechanism,
    user: &str,
    password: &Secret,
) -> Result<(), Failure> {
    let answer = ask(dialog, SASL_HANDSHAKE, 1, &text(mechanism.name())).await?;
    let (code, offered) = parse_mechanisms(&answer).ok_or_else(|| odd(dialog, NO_KNOWN_WAY))?;
    match code {
        0 => {}
        33 => {
            let offered = excerpt(offered.join(", ").as_bytes());
            return Err(odd(dialog, &format!("does not let users in by {}, but by {offered}", mechanism.name())));
        }
        34 => return Err(odd(dialog, "lets nobody sign in here; leave out user and password, or name another port")),
        code => return Err(odd(dialog, &format!("lets nobody sign in (code {code})"))),
    }
    let kind = match mechanism {
        Mechanism::Plain => {
            let words = format!("\0{user}\0{}", password.reveal());
            return say(dialog, user, words.as_bytes()).await.map(|_| ());
        }
        Mechanism::ScramSha256 => scram::SHA_256,
        Mechanism::ScramSha512 => scram::SHA_512,
    };
    let nonce = STANDARD_NO_PAD.encode(random::<18>()?);
    let first = format!("n,,n={},r={nonce}", scram::name(user));
    let challenge = say(dialog, user, first.as_bytes()).await?;
    let last = scram::answer_as(kind, user, &nonce, password.reveal(), &challenge).map_err(|why| odd(dialog, &why))?;
    let proof = say(dialog, user, last.message.as_bytes()).await?;
    if let Some(why) = proof.strip_prefix(b"e=") {
        return Err(odd(dialog, &format!("refuses the user {user:?} ({})", excerpt(why))));
    }
    if proof != last.expected.as_bytes() {
        return Err(odd(dialog, "does not prove that it knows the password: it is another server"));
    }
    Ok(())
}

const NO_KNOWN_WAY: &str = "answers in no known way to a user who signs in";

fn odd(dialog: &Dialog, why: &str) -> Failure {
    Failure::Peer(format!("{} {why}", dialog.peer()))
}

/// Says a part of the proof and gives what the broker says to it.
async fn say(dialog: &mut Dialog, user: &str, words: &[u8]) -> Result<Vec<u8>, Failure> {
    let length = u32::try_from(words.len()).expect("what is sent is short").to_be_bytes();
    let answer = ask(dialog, SASL_AUTHENTICATE, 0, &[length.as_slice(), words].concat()).await?;
    let (code, why, said) = parse_proof(&answer).ok_or_else(|| odd(dialog, NO_KNOWN_WAY))?;
    if code != 0 {
        let why = why.map_or_else(|| format!("code {code}"), |why| excerpt(why.as_bytes()));
        return Err(odd(dialog, &format!("refuses the user {user:?} ({why})")));
    }
    Ok(said)
}

/// Reads which mechanisms a broker offers, and whether ours is among them: its code, and their names. `None` when it is damaged.
pub fn parse_mechanisms(bytes: &[u8]) -> Option<(i16, Vec<String>)> {
    let mut reader = Reader(bytes);
    let code = reader.short()?;
    let mut offered = Vec::new();
    for _ in 0..reader.count()? {
        offered.push(reader.text()??);
    }
    Some((code, offered))
}

/// Reads what a broker says to a part of a proof: its code, why, and its own part. `None` when it is damaged.
pub fn parse_proof(bytes: &[u8]) -> Option<(i16, Option<String>, Vec<u8>)> {
    let mut reader = Reader(bytes);
    let (code, why) = (reader.short()?, reader.text()?);
    let length = reader.count()?;
    Some((code, why, reader.take(length)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_broker_says_to_a_user_is_read() {
        let refused = [&[0, 33, 0, 0, 0, 2][..], &text("PLAIN"), &text("GSSAPI")].concat();
        assert_eq!(parse_mechanisms(&refused), Some((33, vec!["PLAIN".to_owned(), "GSSAPI".to_owned()])));
        let proof = [&[0, 0, 0xff, 0xff, 0, 0, 0, 2][..], b"v="].concat();
        assert_eq!(parse_proof(&proof), Some((0, None, b"v=".to_vec())));
        let refused = [&[0, 58][..], &text("no"), &[0, 0, 0, 0]].concat();
        assert_eq!(parse_proof(&refused), Some((58, Some("no".to_owned()), Vec::new())));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (parse_mechanisms(&bytes), parse_proof(&bytes));
        }
    }
}
