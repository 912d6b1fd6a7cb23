//! Proof: does the peer really have the host key that it shows? Pure: no socket, only the bytes of the conversation.

use ring::digest::{Algorithm, digest};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use super::packet::{ServerKey, string, take};

/// What both sides said, as the exchange hash takes it in (RFC 5656, section 4), without the key that was agreed on.
pub struct Said<'a> {
    /// Our identification, without line break.
    pub our_identification: &'a str,
    /// The server's.
    pub identification: &'a str,
    /// Payload of our SSH_MSG_KEXINIT.
    pub our_offers: &'a [u8],
    /// Payload of the server's.
    pub offers: &'a [u8],
    /// Our public value.
    pub our_public: &'a [u8],
    /// What all of it is hashed with.
    pub algorithm: &'static Algorithm,
}

impl Said<'_> {
    /// The exchange hash; `shared` is the agreed key, written as a number with its length.
    pub(super) fn hash(&self, server: &ServerKey, shared: &[u8]) -> Vec<u8> {
        let parts = [
            string(self.our_identification.as_bytes()),
            string(self.identification.as_bytes()),
            string(self.our_offers),
            string(self.offers),
            string(&server.host_key),
            string(self.our_public),
            string(&server.public),
            shared.to_vec(),
        ];
        digest(self.algorithm, &parts.concat()).as_ref().to_vec()
    }
}

/// Whether the signature over `message` was made with the host key. An error is the end of a sentence about the peer.
pub fn verify(server: &ServerKey, message: &[u8]) -> Result<(), String> {
    let forged = |_| "does not prove that it has the host key it shows".to_owned();
    let damaged = || "shows a host key that cannot be read".to_owned();
    let (name, signature) = (&server.signature.0, &server.signature.1);
    let mut rest = server.host_key.as_slice();
    let kind = take(&mut rest).and_then(|kind| std::str::from_utf8(kind).ok()).ok_or_else(damaged)?;
    let checked = match (kind, name.as_str()) {
        ("ssh-ed25519", "ssh-ed25519") => {
            let key = take(&mut rest).ok_or_else(damaged)?;
            UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
        }
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
            take(&mut rest).ok_or_else(damaged)?; // The curve's name again.
            let key = take(&mut rest).ok_or_else(damaged)?;
            let fixed = fixed_width(signature, 32).ok_or_else(damaged)?;
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key).verify(message, &fixed)
        }
        ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
            take(&mut rest).ok_or_else(damaged)?;
            let key = take(&mut rest).ok_or_else(damaged)?;
            let fixed = fixed_width(signature, 48).ok_or_else(damaged)?;
            UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, key).verify(message, &fixed)
        }
        ("ssh-rsa", "rsa-sha2-256" | "rsa-sha2-512" | "ssh-rsa") => {
            let e = take(&mut rest).ok_or_else(damaged)?;
            let n = take(&mut rest).ok_or_else(damaged)?;
            let key = RsaPublicKeyComponents { n: unsigned(n), e: unsigned(e) };
            let how = match name.as_str() {
                "rsa-sha2-256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                "rsa-sha2-512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                // All that some old devices have; that it is weak is told where that is wanted.
                _ => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            };
            key.verify(how, message, signature)
        }
        (kind, name) => return Err(format!("signs with {name:?} for a host key of type {kind:?}")),
    };
    checked.map_err(forged)
}

fn unsigned(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

/// The two numbers of an ECDSA signature, each brought to that many bytes.
fn fixed_width(mut signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut fixed = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let number = unsigned(take(&mut signature)?);
        fixed.resize(fixed.len() + width.checked_sub(number.len())?, 0);
        fixed.extend_from_slice(number);
    }
    Some(fixed)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn only_the_owner_of_the_key_is_believed() {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        let host_key = [string(b"ssh-ed25519"), string(pair.public_key().as_ref())].concat();
        let signature = ("ssh-ed25519".to_owned(), pair.sign(b"what was said").as_ref().to_vec());
        let mut server = ServerKey { host_key, public: vec![1; 32], signature };
        assert_eq!(verify(&server, b"what was said"), Ok(()));
        assert!(verify(&server, b"what was not").unwrap_err().contains("does not prove"));
        server.signature.0 = "ssh-rsa".into();
        assert!(verify(&server, b"what was said").unwrap_err().contains("signs with"));
        server.host_key = vec![0, 0, 0, 9];
        assert!(verify(&server, b"what was said").unwrap_err().contains("cannot be read"));
    }
}
