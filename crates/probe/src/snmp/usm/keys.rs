//! Keys: from a password to the key that one engine and its user share (RFC 3414 appendix A, RFC 7860), and the digests
//! made with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// How messages of version 3 are authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// HMAC-MD5-96.
    Md5,
    /// HMAC-SHA-96.
    #[default]
    Sha,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

/// A key that is wiped when it is dropped.
pub type Key = Zeroizing<Vec<u8>>;

/// What a password is repeated to before it is hashed, in bytes.
const STRETCH_BYTES: usize = 1 << 20;

impl Auth {
    /// How many bytes of the digest are sent.
    pub fn digest_bytes(self) -> usize {
        match self {
            Auth::Md5 | Auth::Sha => 12,
            Auth::Sha224 => 16,
            Auth::Sha256 => 24,
            Auth::Sha384 => 32,
            Auth::Sha512 => 48,
        }
    }

    /// The key that the password makes for every engine. A million bytes are hashed, so keep it.
    pub fn master_key(self, password: &[u8]) -> Key {
        match self {
            Auth::Md5 => stretch::<Md5>(password),
            Auth::Sha => stretch::<Sha1>(password),
            Auth::Sha224 => stretch::<Sha224>(password),
            Auth::Sha256 => stretch::<Sha256>(password),
            Auth::Sha384 => stretch::<Sha384>(password),
            Auth::Sha512 => stretch::<Sha512>(password),
        }
    }

    /// The key for that engine.
    pub fn local_key(self, master: &[u8], engine: &[u8]) -> Key {
        self.hash(&[master, engine, master])
    }

    pub(super) fn hash(self, parts: &[&[u8]]) -> Key {
        match self {
            Auth::Md5 => hash::<Md5>(parts),
            Auth::Sha => hash::<Sha1>(parts),
            Auth::Sha224 => hash::<Sha224>(parts),
            Auth::Sha256 => hash::<Sha256>(parts),
            Auth::Sha384 => hash::<Sha384>(parts),
            Auth::Sha512 => hash::<Sha512>(parts),
        }
    }

    /// The digest of a message, as long as it is sent.
    pub fn digest(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let whole = match self {
            Auth::Md5 => mac::<Hmac<Md5>>(key, message),
            Auth::Sha => mac::<Hmac<Sha1>>(key, message),
            Auth::Sha224 => mac::<Hmac<Sha224>>(key, message),
            Auth::Sha256 => mac::<Hmac<Sha256>>(key, message),
            Auth::Sha384 => mac::<Hmac<Sha384>>(key, message),
            Auth::Sha512 => mac::<Hmac<Sha512>>(key, message),
        };
        whole[..self.digest_bytes()].to_vec()
    }
}

/// Master keys that were made, so that a password costs its million bytes of hashing once and not with every question.
///
/// By a digest of the password, never by the password; the keys themselves are wiped with it.
#[derive(Default)]
pub struct Keyring(Mutex<HashMap<[u8; 32], Key>>);

impl Keyring {
    /// More passwords than this at once are not expected; then all are made anew.
    const MOST: usize = 4096;

    /// [`Auth::master_key`], made once.
    pub fn master_key(&self, auth: Auth, password: &[u8]) -> Key {
        let name: [u8; 32] = Sha256::new().chain_update([auth as u8]).chain_update(password).finalize().into();
        if let Some(key) = self.lock().get(&name) {
            return key.clone();
        }
        let key = auth.master_key(password); // Without the lock: others need not wait for it.
        let mut keys = self.lock();
        if keys.len() >= Keyring::MOST {
            keys.clear();
        }
        keys.insert(name, key.clone());
        key
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stretch<D: Digest>(password: &[u8]) -> Key {
    let mut digest = D::new();
    if password.is_empty() {
        return Zeroizing::new(digest.finalize().to_vec());
    }
    // Whole passwords at once, so that the hash and not the loop takes the time.
    let block: Zeroizing<Vec<u8>> =
        Zeroizing::new(password.iter().copied().cycle().take(password.len() * 64.max(4096 / password.len())).collect());
    let mut left = STRETCH_BYTES;
    while left > 0 {
        let part = left.min(block.len());
        digest.update(&block[..part]);
        left -= part;
    }
    Zeroizing::new(digest.finalize().to_vec())
}

fn hash<D: Digest>(parts: &[&[u8]]) -> Key {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    Zeroizing::new(digest.finalize().to_vec())
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_from_the_ring_is_the_one_that_would_be_made() {
        let ring = Keyring::default();
        for (auth, password) in
            [(Auth::Sha, "correct horse"), (Auth::Md5, "correct horse"), (Auth::Sha, "battery staple")]
        {
            for _ in 0..2 {
                assert_eq!(ring.master_key(auth, password.as_bytes()), auth.master_key(password.as_bytes()));
            }
        }
        assert_eq!(ring.lock().len(), 3);
    }

    /// RFC 3414, appendix A.3: the password "maplesyrup" and the engine 00…02.
    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let engine = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        for (auth, master, local) in [
            (Auth::Md5, "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
            (Auth::Sha, "9fb5cc0381497b3793528939ff788d5d79145211", "6695febc9288e36282235fc7151f128497b38f3f"),
        ] {
            let key = auth.master_key(b"maplesyrup");
            assert_eq!(crate::outcome::hex(&key, ""), master);
            assert_eq!(crate::outcome::hex(&auth.local_key(&key, &engine), ""), local);
        }
    }

    #[test]
    fn each_algorithm_sends_as_much_as_its_rfc_says() {
        for (auth, bytes) in [
            (Auth::Md5, 12),
            (Auth::Sha, 12),
            (Auth::Sha224, 16),
            (Auth::Sha256, 24),
            (Auth::Sha384, 32),
            (Auth::Sha512, 48),
        ] {
            assert_eq!(auth.digest(b"key", b"message").len(), bytes, "{auth:?}");
        }
    }
}
