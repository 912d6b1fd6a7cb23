//! Key: a user's private key, as files hold it, and what it signs. Bytes in, value out; no error says a byte of the key.
//!
//! Keys are kept sealed where they are stored, so one that has a passphrase of its own is refused with what to do about it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::packet::{mpint, string, take};

/// A private key that can sign.
pub struct PrivateKey {
    pair: Pair,
    /// The public key, as servers know it.
    public: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl PrivateKey {
    /// The name of its signatures.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ed25519(_) => "ssh-ed25519",
            Pair::P256(_) => "ecdsa-sha2-nistp256",
            Pair::P384(_) => "ecdsa-sha2-nistp384",
            // Every server that takes RSA takes this one; the other (with SHA-512) is not known to all.
            Pair::Rsa(_) => "rsa-sha2-256",
        }
    }

    /// The public key, as servers know it.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The signature over these bytes, with its name before it.
    pub(super) fn sign(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let halves = |signature: &[u8]| {
            let (r, s) = signature.split_at(signature.len() / 2);
            [mpint(r), mpint(s)].concat()
        };
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => halves(pair.sign(&random, bytes).ok()?.as_ref()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).ok()?;
                signature
            }
        };
        Some([string(self.algorithm().as_bytes()), string(&signature)].concat())
    }

    fn ed25519(pair: Ed25519KeyPair) -> PrivateKey {
        let public = [string(b"ssh-ed25519"), string(pair.public_key().as_ref())].concat();
        PrivateKey { pair: Pair::Ed25519(pair), public }
    }

    fn curve(pair: EcdsaKeyPair, long: &Curve) -> PrivateKey {
        let name = if long.bits == 256 { "nistp256" } else { "nistp384" };
        let kind = format!("ecdsa-sha2-{name}");
        let public = [string(kind.as_bytes()), string(name.as_bytes()), string(pair.public_key().as_ref())].concat();
        PrivateKey { pair: if long.bits == 256 { Pair::P256(pair) } else { Pair::P384(pair) }, public }
    }

    fn rsa(pair: RsaKeyPair) -> PrivateKey {
        let parts: PublicKeyComponents<Vec<u8>> = pair.public().into();
        let public = [string(b"ssh-rsa"), mpint(&parts.e), mpint(&parts.n)].concat();
        PrivateKey { pair: Pair::Rsa(Box::new(pair)), public }
    }
}

/// A curve of NIST.
struct Curve {
    bits: usize,
    signing: &'static ring::signature::EcdsaSigningAlgorithm,
}

const CURVES: [Curve; 2] = [
    Curve { bits: 256, signing: &ECDSA_P256_SHA256_FIXED_SIGNING },
    Curve { bits: 384, signing: &ECDSA_P384_SHA384_FIXED_SIGNING },
];

const REFUSED: &str = "cannot be used: it is damaged, an RSA key below 2048 bits, or of a kind that is not spoken (Ed25519, \
    ECDSA on nistp256 or nistp384, and RSA are)";

/// Reads a private key: the text of a file of OpenSSH (`id_ed25519`), or PEM as PKCS#8 or PKCS#1.
///
/// # Errors
/// The end of a sentence about the parameter, without a byte of the key.
pub fn parse_private_key(text: &[u8]) -> Result<PrivateKey, String> {
    let words = String::from_utf8_lossy(text);
    let words = Zeroizing::new(words.trim().to_owned());
    if words.contains("ENCRYPTED") {
        return Err(ENCRYPTED.to_owned());
    }
    let refused = || REFUSED.to_owned();
    let inside = words
        .strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END OPENSSH PRIVATE KEY-----"));
    if let Some(inside) = inside {
        let joined = Zeroizing::new(inside.split_ascii_whitespace().collect::<String>());
        let bytes = Zeroizing::new(STANDARD.decode(joined.as_bytes()).map_err(|_| refused())?);
        return of_openssh(&bytes);
    }
    let key = match PrivateKeyDer::from_pem_slice(words.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(der)) => {
            RsaKeyPair::from_der(der.secret_pkcs1_der()).map(PrivateKey::rsa).map_err(|_| refused())?
        }
        Ok(PrivateKeyDer::Pkcs8(der)) => of_pkcs8(der.secret_pkcs8_der()).ok_or_else(refused)?,
        Ok(_) => return Err("is in the form SEC1; `ssh-keygen -p -f FILE` writes it anew in OpenSSH's own".to_owned()),
        Err(_) => {
            let what = "is no private key; paste the whole file, which begins with -----BEGIN OPENSSH PRIVATE KEY-----";
            return Err(what.to_owned());
        }
    };
    Ok(key)
}

const ENCRYPTED: &str = "has a passphrase; take it off a copy with `ssh-keygen -p -f FILE`: it is kept sealed here";

fn of_pkcs8(der: &[u8]) -> Option<PrivateKey> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Some(PrivateKey::ed25519(pair));
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        return Some(PrivateKey::rsa(pair));
    }
    CURVES.iter().find_map(|curve| {
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing, der, &SystemRandom::new()).ok()?;
        Some(PrivateKey::curve(pair, curve))
    })
}

/// Reads OpenSSH's own form (its PROTOCOL.key).
fn of_openssh(bytes: &[u8]) -> Result<PrivateKey, String> {
    let refused = || REFUSED.to_owned();
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").ok_or_else(refused)?;
    if take(&mut rest).ok_or_else(refused)? != b"none" {
        return Err(ENCRYPTED.to_owned());
    }
    let inside = (|| {
        take(&mut rest)?; // How a passphrase
        take(&mut rest)?; // would become a key.
        rest = rest.get(4..)?; // How many keys: OpenSSH writes one.
        take(&mut rest)?;
        take(&mut rest)?.get(8..) // Twice the same number, to know a wrong passphrase by.
    })();
    one_key(inside.ok_or_else(refused)?).ok_or_else(refused)
}

fn one_key(mut rest: &[u8]) -> Option<PrivateKey> {
    let kind = take(&mut rest)?;
    match kind {
        b"ssh-ed25519" => {
            let (public, both) = (take(&mut rest)?, take(&mut rest)?);
            Some(PrivateKey::ed25519(Ed25519KeyPair::from_seed_and_public_key(both.get(..32)?, public).ok()?))
        }
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" => {
            let curve = if kind.ends_with(b"256") { &CURVES[0] } else { &CURVES[1] };
            take(&mut rest)?; // The curve's name again.
            let (public, private) = (take(&mut rest)?, take(&mut rest)?);
            let significant = &private[private.iter().take_while(|byte| **byte == 0).count()..];
            let mut fixed = Zeroizing::new(vec![0; (curve.bits / 8).checked_sub(significant.len())?]);
            fixed.extend_from_slice(significant);
            let pair =
                EcdsaKeyPair::from_private_key_and_public_key(curve.signing, &fixed, public, &SystemRandom::new());
            Some(PrivateKey::curve(pair.ok()?, curve))
        }
        b"ssh-rsa" => {
            let mut number = || Some(BigUint::from_bytes_be(take(&mut rest)?)).filter(|number| number.bits() > 1);
            let (n, e, d) = (number()?, number()?, number()?);
            let (q_inverse, p, q) = (number()?, number()?, number()?);
            // Two numbers that OpenSSH does not write down.
            let (d_p, d_q) = (&d % (&p - 1u32), &d % (&q - 1u32));
            let bytes = |number: &BigUint| Zeroizing::new(number.to_bytes_be());
            let pair = RsaKeyPair::from_components(&KeyPairComponents {
                public_key: PublicKeyComponents { n: n.to_bytes_be(), e: e.to_bytes_be() },
                d: bytes(&d),
                p: bytes(&p),
                q: bytes(&q),
                dP: bytes(&d_p),
                dQ: bytes(&d_q),
                qInv: bytes(&q_inverse),
            });
            Some(PrivateKey::rsa(pair.ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::ServerKey;
    use super::super::proof::verify;
    use super::*;

    #[test]
    fn a_key_signs_what_others_can_verify() {
        let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        let curve = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        for (pem, kind) in [(made, "ssh-ed25519"), (curve, "ecdsa-sha2-nistp384")] {
            let key = parse_private_key(pem.as_bytes()).unwrap();
            assert_eq!(key.algorithm(), kind);
            let signed = key.sign(b"what was said").unwrap();
            let mut rest = signed.as_slice();
            let name = String::from_utf8(take(&mut rest).unwrap().to_vec()).unwrap();
            let signature = (name, take(&mut rest).unwrap().to_vec());
            let server = ServerKey { host_key: key.public().to_vec(), public: vec![], signature };
            assert_eq!(verify(&server, b"what was said"), Ok(()), "{kind}");
            assert!(verify(&server, b"what was not").is_err(), "{kind}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_nothing_of_the_key() {
        let closed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----";
        let damaged = "-----BEGIN OPENSSH PRIVATE KEY-----\naHVudGVyMg==\n-----END OPENSSH PRIVATE KEY-----";
        for (text, part) in [(closed, "ssh-keygen -p"), (damaged, "is damaged"), ("hunter2", "paste the whole file")] {
            let why = parse_private_key(text.as_bytes()).err().unwrap();
            assert!(why.contains(part) && !why.contains("hunter2") && !why.contains("aHVu"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_key_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in proptest::sample::select(vec!["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])) {
            let _ = (parse_private_key(&bytes), of_openssh(&bytes));
            let _ = one_key(&[string(kind.as_bytes()), bytes].concat());
        }
    }
}
