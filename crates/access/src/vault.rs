//! Secrets at rest: sealed with XChaCha20-Poly1305 under a key that is not in the database.
//!
//! What is sealed is bound to its place (area, tenant, key) and, for secrets that are sent somewhere, to the destination it was
//! entered for: a sealed value that is copied elsewhere, or a host name that is edited, does not open. Nothing here logs.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use kernel::TenantId;
use kernel::secret::Secret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::keys::Key;
use crate::private::{Area, Private, person_key};
use crate::random;

/// First byte of what is sealed: how it was.
const FORM: u8 = 1;
const NONCE: usize = 24;

/// Seals and opens.
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
    secrets: Area,
}

/// A secret and where it may be sent.
#[derive(Serialize, Deserialize)]
struct Bound {
    destination: String,
    sealed: String,
}

impl Vault {
    /// With the key `vault` of the key folder.
    pub fn new(key: &Key, private: &Arc<dyn Private>) -> Self {
        Self { cipher: XChaCha20Poly1305::new((&**key).into()), secrets: Area::new(private, "secret") }
    }

    /// Seals `plain` for one place; two calls never give the same bytes.
    pub fn seal(&self, area: &str, tenant: TenantId, key: &str, plain: &[u8]) -> Vec<u8> {
        let nonce = XNonce::from(*random::bytes::<NONCE>());
        let place = place(area, tenant, key);
        let sealed = self
            .cipher
            .encrypt(&nonce, Payload { msg: plain, aad: &place })
            .expect("less than 256 GiB is sealed at once");
        [&[FORM][..], &nonce, &sealed].concat()
    }

    /// Opens what was sealed for that place.
    ///
    /// # Errors
    /// [`AuthError::Damaged`] when it was altered, moved from another place or sealed with another key.
    pub fn open(
        &self,
        area: &str,
        tenant: TenantId,
        key: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AuthError> {
        let damaged = || {
            AuthError::Damaged(format!(
                "the sealed {area} of {key} does not open: it was altered or moved, or keys/vault.key is not the key it was sealed with"
            ))
        };
        let (form, rest) = sealed.split_first().filter(|(_, rest)| rest.len() > NONCE).ok_or_else(damaged)?;
        let (nonce, body) = rest.split_at(NONCE);
        let nonce = XNonce::try_from(nonce).map_err(|_| damaged())?;
        if *form != FORM {
            return Err(damaged());
        }
        let place = place(area, tenant, key);
        self.cipher.decrypt(&nonce, Payload { msg: body, aad: &place }).map(Zeroizing::new).map_err(|_| damaged())
    }

    /// Keeps the secret of a channel or credential, for one destination, such as `smtp://mail.example.org:587`.
    ///
    /// # Errors
    /// The store's.
    pub async fn put_secret(
        &self,
        tenant: TenantId,
        key: &str,
        destination: &str,
        secret: &Secret,
    ) -> Result<(), AuthError> {
        let sealed = self.seal("secret", tenant, &bound_key(key, destination), secret.expose().as_bytes());
        let bound = Bound { destination: destination.to_owned(), sealed: hex::encode(sealed) };
        self.secrets.put(&person_key(tenant, key), &bound).await
    }

    /// The secret of a channel or credential, if there is one.
    ///
    /// # Errors
    /// [`AuthError::OtherDestination`] when it was entered for another destination; then it must be entered again.
    pub async fn secret(&self, tenant: TenantId, key: &str, destination: &str) -> Result<Option<Secret>, AuthError> {
        let Some(bound) = self.secrets.get::<Bound>(&person_key(tenant, key)).await? else { return Ok(None) };
        if bound.destination != destination {
            return Err(AuthError::OtherDestination { entered: bound.destination, asked: destination.to_owned() });
        }
        let sealed = hex::decode(&bound.sealed)
            .map_err(|_| AuthError::Damaged(format!("the secret of {key} is not readable")))?;
        let plain = self.open("secret", tenant, &bound_key(key, destination), &sealed)?;
        let text =
            std::str::from_utf8(&plain).map_err(|_| AuthError::Damaged(format!("the secret of {key} is not text")))?;
        Ok(Some(Secret::new(text)))
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_secret(&self, tenant: TenantId, key: &str) -> Result<(), AuthError> {
        self.secrets.remove(&person_key(tenant, key)).await
    }
}

/// The place as associated data; lengths stand before the parts, so that no two places have the same bytes.
fn place(area: &str, tenant: TenantId, key: &str) -> Vec<u8> {
    let mut place = Vec::with_capacity(area.len() + key.len() + 24);
    for part in [area.as_bytes(), &tenant.0.to_be_bytes(), key.as_bytes()] {
        place.extend_from_slice(&(part.len() as u64).to_be_bytes());
        place.extend_from_slice(part);
    }
    place
}

fn bound_key(key: &str, destination: &str) -> String {
    format!("{}:{key}>{destination}", key.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use proptest::prelude::*;

    fn vault(key: u8) -> Vault {
        Vault::new(&Key::new([key; 32]), &Memory::private())
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_only_unaltered_in_its_place_and_with_its_key(plain in prop::collection::vec(any::<u8>(), 0..80), flip in any::<prop::sample::Index>(), bit in 0u8..8) {
            let home = TenantId::HOME;
            let sealed = vault(1).seal("totp", home, "ana", &plain);
            prop_assert_eq!(&*vault(1).open("totp", home, "ana", &sealed).expect("opens"), &plain);
            prop_assert_ne!(&sealed, &vault(1).seal("totp", home, "ana", &plain));
            prop_assert!(vault(2).open("totp", home, "ana", &sealed).is_err());
            for (area, tenant, key) in [("secret", home, "ana"), ("totp", TenantId(2), "ana"), ("totp", home, "anna"), ("tot", home, "pana")] {
                prop_assert!(vault(1).open(area, tenant, key, &sealed).is_err());
            }
            let mut altered = sealed.clone();
            altered[flip.index(sealed.len())] ^= 1 << bit;
            prop_assert!(vault(1).open("totp", home, "ana", &altered).is_err());
            prop_assert!(vault(1).open("totp", home, "ana", &sealed[..flip.index(sealed.len())]).is_err());
        }
    }

    #[tokio::test]
    async fn a_secret_goes_only_where_it_was_entered_for() {
        let memory = Memory::private();
        let vault = Vault::new(&Key::new([3; 32]), &memory);
        let (home, smtp) = (TenantId::HOME, "smtp://mail.example.org:587");
        vault.put_secret(home, "mail", smtp, &Secret::new("canary-4711")).await.expect("kept");
        assert_eq!(vault.secret(home, "mail", smtp).await.expect("opens").expect("there").expose(), "canary-4711");
        for other in ["smtp://evil.example.org:587", "smtp://mail.example.org:25", ""] {
            assert!(
                matches!(vault.secret(home, "mail", other).await, Err(AuthError::OtherDestination { .. })),
                "{other}"
            );
        }
        assert!(vault.secret(TenantId(2), "mail", smtp).await.expect("asked").is_none());
        // Editing the stored destination does not help: it is part of what is sealed.
        let stored = memory.get("secret", "1/mail").await.expect("read").expect("there");
        assert!(!String::from_utf8_lossy(&stored).contains("canary"), "not in plain text");
        let edited = String::from_utf8(stored).expect("JSON").replace("mail.example.org", "evil.example.org");
        memory.put("secret", "1/mail", Some(edited.as_bytes())).await.expect("written");
        assert!(matches!(vault.secret(home, "mail", "smtp://evil.example.org:587").await, Err(AuthError::Damaged(_))));
        vault.forget_secret(home, "mail").await.expect("gone");
        assert!(vault.secret(home, "mail", smtp).await.expect("asked").is_none());
    }
}
