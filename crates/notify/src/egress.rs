//! Where messages may go: a name is resolved once, every address of it is judged, and only what was judged is connected to.
//!
//! A webhook's URL is entered by a user of a tenant; without this, it would be a way to make the server knock on doors
//! inside its own network (server-side request forgery, goal G27). A mail server is chosen by an administrator and is
//! usually near by, so private addresses are open to it; a metadata service never is.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use crate::address::{AddressKind, classify};
use crate::page::SendError;

/// The time now, in Unix milliseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A host and port that the administrator has listed as one that messages may go to, private or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    /// From `host:port`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let says = || format!("{text:?} is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(says)?;
        let port: u16 = port.parse().map_err(|_| says())?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_v6 = host.contains(':') || bare.is_some();
        if host.is_empty() || port == 0 || is_v6 != bare.is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok()) {
            return Err(says());
        }
        Ok(Self { host: plain(bare.unwrap_or(host)), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A host as it is compared: lower case, without the dot at the end, without brackets.
fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Names to addresses. A trait so that a test can answer as a hostile name server does.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of a host, each with `port`.
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The system's resolver.
struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// What a message is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A URL that a user entered.
    Webhook,
    /// A mail server that an administrator chose.
    Mail,
}

/// The network as messages may use it: policy, resolver, trust, deadlines and the clock.
#[derive(Clone)]
pub struct Egress {
    /// Hosts and ports that the administrator has listed.
    pub allow: Vec<HostPort>,
    /// Whether webhooks may go to this machine and to private networks without being listed.
    pub allow_loopback_private: bool,
    /// How long one connection may take to come up. Default 10 s.
    pub connect_timeout: Duration,
    /// How long one attempt may take as a whole. Default 30 s.
    pub send_timeout: Duration,
    pub(crate) clock: Clock,
    /// Authorities beside those of this machine.
    further: Vec<CertificateDer<'static>>,
    /// Made when it is first needed: the machine's authorities are hundreds of files.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
    resolver: Arc<dyn Resolve>,
}

impl Egress {
    /// Public addresses, and those that are listed; trust in the authorities of this machine, and its clock.
    pub fn allowing(allow: Vec<HostPort>) -> Self {
        Self {
            allow,
            allow_loopback_private: false,
            connect_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(30),
            clock: system_clock(),
            further: Vec::new(),
            tls: Arc::default(),
            resolver: Arc::new(System),
        }
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Trusting further authorities too, such as a company's own, in DER.
    #[must_use]
    pub fn trusting(mut self, authorities: &[CertificateDer<'static>]) -> Self {
        self.further = authorities.to_vec();
        self.tls = Arc::default();
        self
    }

    /// The settings for TLS.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.get_or_init(|| tls(&self.further)).clone()
    }

    /// With another way from names to addresses.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Whether the administrator has listed this host and port.
    pub(crate) fn lists(&self, host: &str, port: u16) -> bool {
        let host = plain(host);
        self.allow.iter().any(|listed| listed.port == port && listed.host == host)
    }

    /// The addresses of a host, when a message may go to every one of them.
    ///
    /// One bad address among good ones refuses them all: that is what a name server does that wants us to try both.
    pub(crate) async fn addresses(
        &self,
        purpose: Purpose,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, SendError> {
        let bare = plain(host);
        let found = match bare.parse() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => {
                let asked = tokio::time::timeout(self.connect_timeout, self.resolver.resolve(&bare, port)).await;
                let answer = asked.map_err(|_| SendError::retry(format!("nobody answered who {bare} is")))?;
                answer.map_err(|e| SendError::retry(format!("{bare} has no address: {e}")))?
            }
        };
        if found.is_empty() {
            return Err(SendError::retry(format!("{bare} has no address")));
        }
        let listed = self.lists(&bare, port);
        for address in &found {
            let kind = classify(address.ip());
            if address.port() != port || !self.permits(purpose, kind, listed) {
                let ip = address.ip();
                return Err(SendError::refused(format!(
                    "{bare} is at {ip}, which is {}; messages go there only when an administrator allows {bare}:{port}",
                    describe(kind)
                )));
            }
        }
        Ok(found)
    }

    fn permits(&self, purpose: Purpose, kind: AddressKind, listed: bool) -> bool {
        match kind {
            AddressKind::Public => true,
            AddressKind::Loopback | AddressKind::Private => {
                listed || self.allow_loopback_private || purpose == Purpose::Mail
            }
            AddressKind::LinkLocal | AddressKind::Reserved => listed,
            // Nobody has a reason to list these.
            AddressKind::Metadata | AddressKind::Multicast | AddressKind::Unspecified => false,
        }
    }

    /// Connects to the first of the judged addresses that answers.
    pub(crate) async fn dial(&self, addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
        let mut last = String::from("there is no address to connect to");
        for address in addresses {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that connects: the address has been judged, and there is a deadline"
            )]
            let attempt = tokio::time::timeout(self.connect_timeout, TcpStream::connect(*address)).await;
            last = match attempt {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => format!("could not connect to {address}: {error}"),
                Err(_) => format!("{address} did not answer within {} s", self.connect_timeout.as_secs_f32()),
            };
        }
        Err(SendError::retry(last))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)()
    }
}

pub(crate) fn describe(kind: AddressKind) -> &'static str {
    match kind {
        AddressKind::Public => "public",
        AddressKind::Loopback => "this machine",
        AddressKind::Private => "a private network",
        AddressKind::LinkLocal => "link-local",
        AddressKind::Metadata => "a cloud's metadata service",
        AddressKind::Multicast => "multicast",
        AddressKind::Unspecified => "no address",
        AddressKind::Reserved => "reserved",
    }
}

fn system_clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "this is the real clock; with_clock gives another")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    })
}

/// TLS 1.2 and 1.3 with the machine's authorities, or Mozilla's where the machine has none; never without verification.
fn tls(further: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.add_parsable_certificates(further.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the safe versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
