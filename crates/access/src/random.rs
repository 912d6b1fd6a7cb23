//! Secrets from the operating system's random numbers, and their fingerprints. No other source of randomness is used in access.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// So many random bytes.
pub(crate) fn bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).expect("the kernel of the operating system gives random bytes once it has started");
    bytes
}

/// 256 random bits as 43 characters that can stand in a cookie, a header and a URL.
pub(crate) fn secret() -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes::<32>()))
}

/// What is kept of a secret with 80 bits or more: such a one cannot be guessed from its plain SHA-256.
pub(crate) fn fingerprint(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
