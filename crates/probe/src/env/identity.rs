//! Identity: the certificate that a check shows of itself, and its private key. Kept as text until settings for connections
//! are made of it, with its digest, by which these are found again; its `Debug` shows nothing of the key.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::tls::parse_authorities;

/// A certificate with those between it and an authority, and its private key, as PEM text.
#[derive(Clone)]
pub(crate) struct Identity {
    certificate: Arc<str>,
    key: Secret,
    digest: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Which of the two is wrong, and how: the end of a sentence about it.
type Wrong = (&'static str, String);

impl Identity {
    /// Both, read once to see that they fit together.
    pub(crate) fn new(certificate: &str, key: &Secret) -> Result<Identity, Wrong> {
        let mut digest = Sha256::new();
        digest.update(certificate.as_bytes());
        digest.update([0]);
        digest.update(key.reveal().as_bytes());
        let digest = digest.finalize().into();
        let identity = Identity { certificate: certificate.into(), key: key.clone(), digest };
        let (chain, key) = identity.parts()?;
        let unfit =
            |_| ("client_key", "does not belong to the client_certificate, or is of a kind that is not spoken".into());
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(unfit)?;
        Ok(identity)
    }

    /// What tells it from others, and tells nothing of it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The chain, the own certificate first, and the key.
    pub(crate) fn parts(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Wrong> {
        let chain = parse_authorities(self.certificate.as_bytes()).map_err(|why| ("client_certificate", why))?;
        let no_key = |_| {
            let what =
                "is no private key; paste PEM text that begins with -----BEGIN PRIVATE KEY-----, without a passphrase";
            ("client_key", what.to_owned())
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.reveal().as_bytes()).map_err(no_key)?;
        Ok((chain, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_another_ones_key_are_refused_with_the_field() {
        let make = || rcgen::generate_simple_self_signed(vec!["mia".into()]).unwrap();
        let (mine, other) = (make(), make());
        let (certificate, key) = (mine.cert.pem(), mine.signing_key.serialize_pem());
        assert!(Identity::new(&certificate, &Secret::new(&key)).is_ok());
        for (certificate, key, field) in [
            (certificate.as_str(), other.signing_key.serialize_pem(), "client_key"),
            (certificate.as_str(), "hunter2".to_owned(), "client_key"),
            ("mia", key, "client_certificate"),
        ] {
            let (wrong, why) = Identity::new(certificate, &Secret::new(&key)).unwrap_err();
            assert_eq!(wrong, field, "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
