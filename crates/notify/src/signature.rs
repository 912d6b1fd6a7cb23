//! Signed webhooks: HMAC-SHA256 over `timestamp.body`, so that a receiver knows who sent a body, and when.
//!
//! The receiver takes the raw body, the headers `Mainstay-Timestamp` and `Mainstay-Signature`, and the shared secret; the
//! timestamp is part of what is signed, so an old request cannot be played again after its window.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Why a signed request must not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The timestamp is not a number of seconds.
    #[error("the timestamp is not a number of Unix seconds")]
    Timestamp,
    /// Too old, or too far in the future.
    #[error("the request is outside its window of time")]
    Window,
    /// No signature of a known version is over this body, time and secret.
    #[error("the signature does not match")]
    Signature,
}

/// The value of `Mainstay-Signature` for a body at a time: `v1=` and 64 hexadecimal digits.
pub fn sign(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    format!("v1={}", hex::encode(mac(secret, &timestamp.to_string(), body).finalize().into_bytes()))
}

fn mac(secret: &Secret, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

/// For receivers: whether a request is from who holds `secret` and was made within `window` of `now` (Unix seconds).
///
/// `signature` may hold several, separated by commas, while a secret is being changed. Takes the same time for any wrong one.
///
/// # Errors
/// [`SignatureError`] says why it must not be believed.
pub fn verify(
    secret: &Secret,
    timestamp: &str,
    body: &[u8],
    signature: &str,
    now: i64,
    window: Duration,
) -> Result<(), SignatureError> {
    let made: i64 = timestamp.parse().map_err(|_| SignatureError::Timestamp)?;
    if made.abs_diff(now) > window.as_secs() {
        return Err(SignatureError::Window);
    }
    let expected = mac(secret, timestamp, body);
    let given = signature.split(',').filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok());
    // Every one is looked at, so the time does not tell which was close.
    let matching = given.take(8).filter(|bytes| expected.clone().verify_slice(bytes).is_ok()).count();
    if matching > 0 { Ok(()) } else { Err(SignatureError::Signature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_signature_is_plain_hmac_that_any_language_can_check() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec
        let signed = sign(&Secret::new("whsec"), 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(signed, "v1=8ad37ba156048ae0e0a5533c75cdf26fee88b07f93cb57ee4c80adb053012032");
    }

    #[test]
    fn a_request_is_believed_only_as_it_was_signed() {
        let secret = Secret::new("whsec");
        let body = br#"{"incident":"INC-7"}"#;
        let good = sign(&secret, 1000, body);
        let check = |s: &Secret, t: &str, b: &[u8], sig: &str, now| verify(s, t, b, sig, now, MINUTE);
        assert_eq!(check(&secret, "1000", body, &good, 1000), Ok(()));
        assert_eq!(check(&secret, "1000", body, &good, 1060), Ok(()), "at the edge of the window");
        assert_eq!(
            check(&secret, "1000", body, &format!("v1=00, {good}"), 1000),
            Ok(()),
            "one of two, while a secret is changed"
        );
        type Row<'a> = (&'a str, &'a [u8], String, i64, SignatureError, &'a str);
        let table: [Row<'_>; 10] = [
            ("1000", body, good.clone(), 1061, SignatureError::Window, "played again later"),
            ("1000", body, good.clone(), 939, SignatureError::Window, "from the future"),
            ("1001", body, good.clone(), 1000, SignatureError::Signature, "another time"),
            ("01000", body, good.clone(), 1000, SignatureError::Signature, "the same time written otherwise"),
            ("1000", b"{}", good.clone(), 1000, SignatureError::Signature, "another body"),
            ("1000", body, good.replace("v1=", "v0="), 1000, SignatureError::Signature, "another version"),
            ("1000", body, good[..20].to_owned(), 1000, SignatureError::Signature, "cut short"),
            ("1000", body, String::new(), 1000, SignatureError::Signature, "empty"),
            ("soon", body, good.clone(), 1000, SignatureError::Timestamp, "no number"),
            ("99999999999999999999", body, good.clone(), 1000, SignatureError::Timestamp, "too large a number"),
        ];
        for (timestamp, body, signature, now, expected, why) in table {
            assert_eq!(check(&secret, timestamp, body, &signature, now), Err(expected), "{why}");
        }
        assert_eq!(check(&Secret::new("other"), "1000", body, &good, 1000), Err(SignatureError::Signature));
        assert_eq!(check(&secret, "-9223372036854775808", body, &good, i64::MAX), Err(SignatureError::Window));
    }
}
