//! SCRAM: proves a password without telling it, and has the server prove that it knows it (RFC 5802, RFC 7677). For databases and
//! brokers. Pure: the nonce is a parameter. No channel is bound.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{Key, sign};
use ring::{digest, hmac, pbkdf2};

/// What proofs are made with.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

pub(crate) const SHA_256: Kind =
    Kind { digest: &digest::SHA256, hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256 };
pub(crate) const SHA_512: Kind =
    Kind { digest: &digest::SHA512, hmac: hmac::HMAC_SHA512, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512 };

/// What a server asks for is work for us, so there is a limit to it.
const MAX_ROUNDS: u32 = 200_000;

/// Our first message, without its head, where the name of the user is said elsewhere.
pub(crate) fn first(nonce: &str) -> String {
    format!("n=,r={nonce}")
}

/// The name of a user as messages write it.
pub(crate) fn name(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

/// Our last message, and the signature that the server must then show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// What to send.
    pub message: String,
    /// `v=…` as the server must answer.
    pub expected: String,
}

/// Answers the server's challenge `r=…,s=…,i=…`.
///
/// # Errors
/// When it cannot be answered, as the end of a sentence about the peer.
pub fn answer(nonce: &str, password: &str, challenge: &[u8]) -> Result<Last, String> {
    answer_as(SHA_256, "", nonce, password, challenge)
}

/// The same where the user is said in the first message, by [`name`].
///
/// # Errors
/// When it cannot be answered, as the end of a sentence about the peer.
pub(crate) fn answer_as(kind: Kind, user: &str, nonce: &str, password: &str, challenge: &[u8]) -> Result<Last, String> {
    let wrong = || "asks for a proof of the password in no known way".to_owned();
    let challenge = std::str::from_utf8(challenge).map_err(|_| wrong())?;
    let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
    let theirs =
        part("r=").filter(|theirs| theirs.starts_with(nonce) && theirs.len() > nonce.len()).ok_or_else(wrong)?;
    let salt = part("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(wrong)?;
    let rounds = part("i=").and_then(|rounds| rounds.parse::<NonZeroU32>().ok()).ok_or_else(wrong)?;
    if rounds.get() > MAX_ROUNDS {
        return Err(format!("asks for {rounds} rounds of hashing, where at most {MAX_ROUNDS} are done"));
    }
    let mut salted = vec![0; kind.digest.output_len()];
    pbkdf2::derive(kind.pbkdf2, rounds, &salt, password.as_bytes(), &mut salted);
    let keyed = |key: &[u8], text: &str| sign(&Key::new(kind.hmac, key), text.as_bytes());
    let unproven = format!("c=biws,r={theirs}"); // "biws" says that no channel is bound.
    let said = format!("n={},r={nonce},{challenge},{unproven}", name(user));
    let client = keyed(&salted, "Client Key");
    let signature = keyed(digest::digest(kind.digest, client.as_ref()).as_ref(), &said);
    let proof: Vec<u8> = client.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let server = keyed(keyed(&salted, "Server Key").as_ref(), &said);
    Ok(Last {
        message: format!("{unproven},p={}", STANDARD.encode(proof)),
        expected: format!("v={}", STANDARD.encode(server)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_standard_is_answered_as_there() {
        // RFC 7677, section 3; there the user's name is in the first message, which changes the proof but not its making.
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = answer(nonce, "pencil", challenge).unwrap();
        assert!(last.message.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="));
        assert_eq!(last.expected.len(), 46);
    }

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // RFC 7677, section 3, to the letter.
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = answer_as(SHA_256, "user", "rOprNGfwEbeRWgbNEkqO", "pencil", challenge).unwrap();
        assert!(last.message.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(last.expected, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        // RFC 5802, section 5, with the digest of that time: the making is the same for each.
        let sha_1 = Kind {
            digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA1,
        };
        let challenge = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let last = answer_as(sha_1, "user", "fyko+d2lbbFgONRv9qkxdawL", "pencil", challenge).unwrap();
        let message = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
        assert_eq!((last.message.as_str(), last.expected.as_str()), (message, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="));
    }

    #[test]
    fn a_name_with_the_signs_of_messages_in_it_is_still_one_name() {
        assert_eq!(name("a=b,c"), "a=3Db=2Cc");
    }

    #[test]
    fn a_server_cannot_make_us_work_for_it() {
        let nonce = "abc";
        for (challenge, part) in [
            ("r=abcd,s=W22Z,i=4000000000", "rounds of hashing"),
            ("r=abcd,s=W22Z,i=0", "no known way"),
            ("r=xyz,s=W22Z,i=1", "no known way"), // not our nonce: an old conversation again
            ("r=abc,s=W22Z,i=1", "no known way"), // nothing of its own
        ] {
            assert!(answer(nonce, "p", challenge.as_bytes()).unwrap_err().contains(part), "{challenge}");
        }
    }

    proptest! {
        #[test]
        fn no_challenge_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = answer("a", "p", &bytes);
        }
    }
}
