//! Handshake: how a sender proves that it knows the shared key, and a user of it, before its first event, and how we prove the
//! same to it (forward protocol, version 1). Bytes in, value out; the keys come and go as parameters.

use sha2::{Digest, Sha512};

use super::{MESSAGE_LIMIT_BYTES, Packed, Short, take_value};
use crate::outcome::hex;
use crate::secret::{Secret, same};

/// What we say first; new for each connection, from good randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Goes into every proof, so that none is worth anything on another connection.
    pub nonce: [u8; 16],
    /// Goes into the proof of a password; `None` where no user has to sign in.
    pub salt: Option<[u8; 16]>,
}

impl Greeting {
    /// The bytes of it (HELO).
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x92];
        text(&mut bytes, b"HELO");
        bytes.push(0x83);
        text(&mut bytes, b"nonce");
        binary(&mut bytes, &self.nonce);
        text(&mut bytes, b"auth");
        binary(&mut bytes, self.salt.as_ref().map_or(&[], |salt| salt));
        text(&mut bytes, b"keepalive");
        bytes.push(0xc3);
        bytes
    }
}

/// How a sender answers (PING).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// What it calls itself.
    pub host: String,
    /// The user that it says it is; empty for none.
    pub user: String,
    salt: Vec<u8>,
    key_proof: String,
    password_proof: String,
}

/// Reads a PING off a stream, and the bytes that it takes; `None` while more bytes are needed.
///
/// # Errors
/// A sentence on what is wrong: nothing that follows can be believed.
pub fn parse_ping(bytes: &[u8]) -> Result<Option<(Ping, usize)>, String> {
    const PING_LIMIT_BYTES: usize = 16 << 10;
    const _: () = assert!(PING_LIMIT_BYTES < MESSAGE_LIMIT_BYTES);
    let wrong = || "the sender answers the greeting with something else; is its shared key set?".to_owned();
    let mut rest = bytes;
    let value = match take_value(&mut rest, 0) {
        Ok(value) => value,
        Err(Short::More) if bytes.len() < PING_LIMIT_BYTES => return Ok(None),
        Err(_) => return Err(wrong()),
    };
    let Packed::List(parts) = value else { return Err(wrong()) };
    let parts: Vec<Vec<u8>> =
        parts.into_iter().map_while(|part| if let Packed::Text(text) = part { Some(text) } else { None }).collect();
    let [word, host, salt, key_proof, user, password_proof] = &parts[..] else { return Err(wrong()) };
    if word != b"PING" {
        return Err(wrong());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ping = Ping {
        host: text(host),
        user: text(user),
        salt: salt.clone(),
        key_proof: text(key_proof),
        password_proof: text(password_proof),
    };
    Ok(Some((ping, bytes.len() - rest.len())))
}

impl Ping {
    /// Whether the sender knows the shared key.
    pub fn knows_key(&self, greeting: &Greeting, key: &Secret) -> bool {
        let expected = digest(&[&self.salt, self.host.as_bytes(), &greeting.nonce, key.reveal().as_bytes()]);
        same(self.key_proof.as_bytes(), expected.as_bytes())
    }

    /// Whether it knows the password of its user. Never where the greeting asked for none.
    pub fn knows_password(&self, greeting: &Greeting, password: &Secret) -> bool {
        let Some(salt) = &greeting.salt else { return false };
        let expected = digest(&[salt, self.user.as_bytes(), password.reveal().as_bytes()]);
        same(self.password_proof.as_bytes(), expected.as_bytes())
    }

    /// What the sender waits for (PONG): that it is let in, with the proof that we know the key, too; or why it is not.
    pub fn answer(&self, greeting: &Greeting, our_name: &str, verdict: Result<&Secret, &str>) -> Vec<u8> {
        let mut bytes = vec![0x95];
        text(&mut bytes, b"PONG");
        let (reason, proof) = match verdict {
            Ok(key) => ("", digest(&[&self.salt, our_name.as_bytes(), &greeting.nonce, key.reveal().as_bytes()])),
            Err(reason) => (reason, String::new()),
        };
        bytes.push(if verdict.is_ok() { 0xc3 } else { 0xc2 });
        for part in [reason, our_name, &proof] {
            text(&mut bytes, part.as_bytes());
        }
        bytes
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha512::new();
    parts.iter().for_each(|part| digest.update(part));
    hex(&digest.finalize(), "")
}

/// A text of MessagePack, of at most 255 bytes.
fn text(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.push(0xd9);
    with_length(bytes, content);
}

/// The same for bytes that are no text.
fn binary(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.push(0xc4);
    with_length(bytes, content);
}

fn with_length(bytes: &mut Vec<u8>, content: &[u8]) {
    let content = &content[..content.len().min(255)];
    bytes.push(u8::try_from(content.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GREETING: Greeting = Greeting { nonce: [7; 16], salt: Some([9; 16]) };

    /// As a sender writes it.
    fn ping(key: &str, password: &str) -> Vec<u8> {
        let mut bytes = vec![0x96];
        let proofs =
            (digest(&[b"salt", b"web-1", &[7; 16], key.as_bytes()]), digest(&[&[9; 16], b"mia", password.as_bytes()]));
        for part in ["PING", "web-1", "salt", &proofs.0, "mia", &proofs.1] {
            text(&mut bytes, part.as_bytes());
        }
        bytes
    }

    #[test]
    fn who_knows_key_and_password_is_let_in() {
        let (key, password) = (Secret::new("shared"), Secret::new("hunter2"));
        for (bytes, knows_key, knows_password) in [
            (ping("shared", "hunter2"), true, true),
            (ping("other", "hunter2"), false, true),
            (ping("shared", "letmein"), true, false),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(parse_ping(&bytes[..end]), Ok(None), "{end}");
            }
            let (read, taken) = parse_ping(&bytes).unwrap().unwrap();
            assert_eq!((read.host.as_str(), read.user.as_str(), taken), ("web-1", "mia", bytes.len()));
            assert_eq!(read.knows_key(&GREETING, &key), knows_key);
            assert_eq!(read.knows_password(&GREETING, &password), knows_password);
            assert!(!read.knows_password(&Greeting { salt: None, ..GREETING }, &password));
        }
    }

    #[test]
    fn what_is_no_answer_to_a_greeting_is_told() {
        for bytes in [&b"\x93\xa3app\x01\x80"[..], b"GET / HTTP/1.1", b"\x91\xa4PING"] {
            assert!(parse_ping(bytes).unwrap_err().contains("shared key"), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (parse_ping(&bytes), parse_ping(&[b"\x96\xa4PING", bytes.as_slice()].concat()));
        }
    }
}
