//! Trust: which certificate authorities count, what a check shows of itself, and the TLS settings made from both. Never reads
//! the wall clock itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use sha2::{Digest, Sha256};

use crate::env::identity::Identity;
use crate::env::{Clock, Failure};
use crate::tls::{parse_authorities, parse_certificate};

/// The certificate authorities of this machine, read once on first use, and the clock that certificates are judged by.
pub struct Trust {
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    system: Arc<OnceLock<Arc<RootCertStore>>>,
    /// Settings that were made, by what they were made of. Checks that share them resume each other's sessions.
    made: Arc<Mutex<HashMap<Settings, Arc<ClientConfig>>>>,
    /// What is shown to a server that asks who we are.
    identity: Option<Identity>,
}

/// What settings depend on; own authorities and what is shown by the digest of their text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Settings {
    verify: bool,
    alpn: Offered,
    own: Option<[u8; 32]>,
    shown: Option<[u8; 32]>,
}

impl Trust {
    /// The system's authorities, judged by that clock.
    pub fn new(clock: Arc<dyn Clock>) -> Trust {
        let provider = Arc::new(ring::default_provider());
        Trust { clock, provider, system: Arc::default(), made: Arc::default(), identity: None }
    }

    /// The same trust, with this to show; nothing when it is `None`.
    pub(crate) fn showing(&self, identity: Option<Identity>) -> Trust {
        Trust {
            clock: self.clock.clone(),
            provider: self.provider.clone(),
            system: self.system.clone(),
            made: self.made.clone(),
            identity,
        }
    }

    /// The authorities to judge by: those of the PEM text when one is given, else the system's.
    ///
    /// # Errors
    /// [`Failure::Local`] when there are none.
    pub(crate) fn authorities(&self, own: Option<&str>) -> Result<Arc<RootCertStore>, Failure> {
        if let Some(pem) = own {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(parse_authorities(pem.as_bytes()).map_err(Failure::Local)?);
            return Ok(Arc::new(store));
        }
        let system = self.system.get_or_init(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(store)
        });
        if system.is_empty() {
            let what_to_do =
                "this machine has no certificate authorities; install ca-certificates, or name your own in ca";
            return Err(Failure::Local(what_to_do.to_owned()));
        }
        Ok(system.clone())
    }

    /// Settings for an HTTP client over TLS, of version 2 alone or 1.1. With `verify` false anyone is believed.
    ///
    /// # Errors
    /// [`Failure::Local`] when there are no authorities to judge by.
    pub(crate) fn for_http(&self, verify: bool, own: Option<&str>, two: bool) -> Result<Arc<ClientConfig>, Failure> {
        self.settings(verify, if two { HTTP_TWO } else { HTTP }, own)
    }

    /// Settings for a protocol that is not HTTP over TLS. With `verify` false anyone is believed.
    ///
    /// # Errors
    /// [`Failure::Local`] when there are no authorities to judge by.
    pub(crate) fn for_stream(&self, verify: bool, own: Option<&str>) -> Result<Arc<ClientConfig>, Failure> {
        self.settings(verify, &[], own)
    }

    fn settings(&self, verify: bool, alpn: Offered, own: Option<&str>) -> Result<Arc<ClientConfig>, Failure> {
        /// More kinds of settings than this at once are not expected; then all are made anew.
        const MOST: usize = 256;
        let own_digest = own.filter(|_| verify).map(|pem| Sha256::digest(pem.as_bytes()).into());
        let name = Settings { verify, alpn, own: own_digest, shown: self.identity.as_ref().map(Identity::digest) };
        if let Some(config) = self.made().get(&name) {
            return Ok(config.clone());
        }
        let config = if verify {
            let mut config = self.shown(self.versions()?.with_root_certificates(self.authorities(own)?))?;
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            config
        } else {
            self.recording(Arc::new(Recording::new(self.provider.clone())), alpn)?
        };
        let config = Arc::new(config);
        let mut made = self.made();
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(name, config.clone());
        Ok(config)
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Settings, Arc<ClientConfig>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settings that believe anyone and keep what was shown, for a check that judges afterwards.
    pub(crate) fn for_inspection(&self) -> Result<(ClientConfig, Arc<Recording>), Failure> {
        let recording = Arc::new(Recording::new(self.provider.clone()));
        Ok((self.recording(recording.clone(), &[])?, recording))
    }

    /// Judges a chain, leaf first, as a client at that time would.
    ///
    /// # Errors
    /// What rustls says is wrong; [`Failure`] when there is nothing to judge by.
    pub(crate) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        own: Option<&str>,
    ) -> Result<Result<(), rustls::Error>, Failure> {
        let authorities = self.authorities(own)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(authorities, self.provider.clone())
            .build()
            .map_err(|error| Failure::Local(format!("the authorities cannot be used: {error}")))?;
        let Some((leaf, between)) = chain.split_first() else {
            return Err(Failure::Peer("the peer showed no certificate".to_owned()));
        };
        Ok(verifier.verify_server_cert(leaf, between, name, &[], self.now()).map(|_| ()))
    }

    /// The signatures that are believed.
    pub(crate) fn algorithms(&self) -> &'static [&'static dyn SignatureVerificationAlgorithm] {
        self.provider.signature_verification_algorithms.all
    }

    fn now(&self) -> UnixTime {
        ClockTime(self.clock.clone()).current_time().expect("a clock always tells a time")
    }

    fn versions(&self) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Failure> {
        ClientConfig::builder_with_details(self.provider.clone(), Arc::new(ClockTime(self.clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Local(format!("TLS is not available: {error}")))
    }

    fn recording(&self, recording: Arc<Recording>, alpn: &[&[u8]]) -> Result<ClientConfig, Failure> {
        let mut config = self.shown(self.versions()?.dangerous().with_custom_certificate_verifier(recording))?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    /// With what is shown of us, if anything.
    fn shown(&self, config: rustls::ConfigBuilder<ClientConfig, WantsClientCert>) -> Result<ClientConfig, Failure> {
        let Some(identity) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let (chain, key) = identity.parts().map_err(|(field, why)| Failure::Local(format!("the {field} {why}")))?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|error| Failure::Local(format!("the client_certificate cannot be shown: {error}")))
    }
}

/// Protocols that a handshake offers.
type Offered = &'static [&'static [u8]];
const HTTP: Offered = &[b"http/1.1"];
const HTTP_TWO: Offered = &[b"h2"];

/// The name for SNI and verification: a host name or an address.
pub(crate) fn parse_server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|_| format!("{host:?} is no name that a certificate can carry"))
}

/// A verifier that accepts every chain and keeps the last one. The handshake's signature is still checked, so that what
/// was shown is really the peer's, unless its key is too weak to prove anything.
#[derive(Debug)]
pub(crate) struct Recording {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
    staple: Mutex<Vec<u8>>,
}

impl Recording {
    fn new(provider: Arc<CryptoProvider>) -> Recording {
        Recording { provider, chain: Mutex::default(), staple: Mutex::default() }
    }

    /// What the peer showed, leaf first; empty when it showed nothing yet.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Recording {
    /// The answer about revocation that came with the certificate; empty when none did.
    pub(crate) fn staple(&self) -> Vec<u8> {
        self.staple.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether the certificate is too weak for the library to look at what it signed. Whoever inspects it is told so
/// (`tls`), instead of that there is no connection to be had.
fn is_weak(leaf: &CertificateDer<'_>) -> bool {
    parse_certificate(leaf).is_ok_and(|certificate| certificate.weakness.is_some())
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = std::iter::once(leaf).chain(between).map(|one| one.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        *self.staple.lock().unwrap_or_else(PoisonError::into_inner) = ocsp.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
            .or_else(|error| if is_weak(leaf) { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
            .or_else(|error| if is_weak(leaf) { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

struct ClockTime(Arc<dyn Clock>);

impl std::fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
