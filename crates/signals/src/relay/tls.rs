//! TLS for what this crate dials: verified by the system's authorities or by ones that are named. Anyone is believed only where the
//! configuration says so in as many words.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// What a client believes, and what it shows.
#[derive(Clone, Default)]
pub struct Tls {
    /// Authorities in PEM; the system's when there are none.
    pub authorities: Option<Vec<u8>>,
    /// Own certificate chain and key in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Believe anyone.
    pub believe_anyone: bool,
}

impl Tls {
    /// The settings that rustls takes.
    ///
    /// # Errors
    /// A sentence about the PEM that cannot be used, without its content.
    pub fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS is not available: {error}"))?;
        let builder = if self.believe_anyone {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(BelievesAnyone(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let Some((chain, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| "the client's certificate is no PEM".to_owned())?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the client's key is no PEM".to_owned())?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the client's certificate cannot be used: {error}"))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            Some(pem) => {
                let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
                    .collect::<Result<_, _>>()
                    .map_err(|_| "the authorities are no PEM".to_owned())?;
                if found.is_empty() {
                    return Err("there is no certificate among the authorities".to_owned());
                }
                roots.add_parsable_certificates(found)
            }
        };
        Ok(roots)
    }
}

/// For `insecure_skip_verify`: the handshake's signature is still checked, whose certificate it is is not.
#[derive(Debug)]
struct BelievesAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesAnyone {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
