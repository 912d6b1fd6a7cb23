//! Route: the way to the peer that a check's own parameters ask for: from which address of this machine, through which
//! proxy, and over TLS showing which certificate. Every protocol over the network has these parameters; none of them knows
//! of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::env::identity::Identity;
use crate::env::{Datagrams, Env, Failure, Net, Stream};
use crate::outcome::excerpt;
use crate::params::{self, ParamError};
use crate::secret::Secret;
use crate::target::{HostPort, parse_host_port};

/// Parameters that every protocol over the network has beside its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Route {
    /// Address of this machine to ask from; the system's choice when left out.
    source_address: Option<IpAddr>,
    /// HTTP proxy (CONNECT) to go through, as host and port: "proxy.example.org:3128". For protocols over TCP. Names are
    /// looked up here, and the proxy is given the address.
    proxy: Option<String>,
    /// User name for the proxy.
    proxy_user: Option<String>,
    /// Password for the proxy.
    proxy_password: Option<Secret>,
    /// Certificate to show to a server that asks for one over TLS, and those between it and its authority, as PEM text.
    client_certificate: Option<String>,
    /// Private key of the client_certificate, as PEM text without a passphrase.
    client_key: Option<Secret>,
    /// Both of them, read when the parameters were.
    #[serde(skip)]
    identity: Option<Identity>,
}

const NAMES: &[&str] = &["source_address", "proxy", "proxy_user", "proxy_password", "client_certificate", "client_key"];
/// Those that are of use over TLS alone; a protocol that speaks it has a parameter `ca`.
const OVER_TLS: &[&str] = &["client_certificate", "client_key"];

/// A protocol's schema with the parameters of the way added after its own.
pub(crate) fn with_route(mut schema: Value) -> Value {
    let more = params::schema_of::<Route>();
    if let (Some(own), Some(more)) = (schema["properties"].as_object_mut(), more["properties"].as_object()) {
        let has_tls = own.contains_key("ca");
        own.extend(more.clone().into_iter().filter(|(name, _)| has_tls || !OVER_TLS.contains(&name.as_str())));
    }
    schema
}

/// The protocol's own parameters alone.
pub(crate) fn without_way(given: &Value) -> Value {
    let Some(given) = given.as_object() else { return given.clone() };
    given.clone().into_iter().filter(|(name, _)| !NAMES.contains(&name.as_str())).collect()
}

/// The protocol's own parameters, and the way.
pub(crate) fn split(given: &Value) -> Result<(Value, Option<Route>), Vec<ParamError>> {
    let named = |given: &Map<_, _>| NAMES.iter().any(|name| given.contains_key(*name));
    let Some(given) = given.as_object().filter(|given| named(given)) else {
        return Ok((given.clone(), None));
    };
    let way: Map<_, _> = given.clone().into_iter().filter(|(name, _)| NAMES.contains(&name.as_str())).collect();
    let mut way: Route = params::typed(&Value::Object(way))?;
    let mut problems = Vec::new();
    if let Some(proxy) = &way.proxy {
        match parse_host_port(proxy.as_bytes()) {
            Err(why) => problems.push(ParamError::new("proxy", why)),
            Ok(place) if place.port.is_none() => {
                problems.push(ParamError::new("proxy", format!("{proxy:?} names no port; 3128 and 8080 are usual")));
            }
            Ok(_) => {}
        }
    } else if way.proxy_user.is_some() || way.proxy_password.is_some() {
        problems.push(ParamError::new("proxy_user", "is of no use without a proxy"));
    }
    if way.proxy_user.is_some() != way.proxy_password.is_some() {
        problems.push(ParamError::new("proxy_password", "and proxy_user come together"));
    }
    match (&way.client_certificate, &way.client_key) {
        (Some(certificate), Some(key)) => match Identity::new(certificate, key) {
            Ok(identity) => way.identity = Some(identity),
            Err((field, why)) => problems.push(ParamError::new(field, why)),
        },
        (None, None) => {}
        _ => problems.push(ParamError::new("client_key", "and client_certificate come together")),
    }
    if problems.is_empty() { Ok((without_way(&Value::Object(given.clone())), Some(way))) } else { Err(problems) }
}

impl Route {
    /// The world as it is seen along this way.
    pub(crate) fn take(&self, env: &Env) -> Result<Env, Failure> {
        let mut env = env.clone();
        if let Some(source) = self.source_address {
            env.net = env
                .net
                .bound_to(source)
                .ok_or_else(|| Failure::Local(format!("the address {source} to ask from cannot be chosen here")))?;
        }
        if let Some(proxy) = &self.proxy {
            let place = parse_host_port(proxy.as_bytes()).map_err(Failure::Local)?;
            let credentials = match (&self.proxy_user, &self.proxy_password) {
                (Some(user), Some(password)) => Some(STANDARD.encode(format!("{user}:{}", password.reveal()))),
                _ => None,
            };
            env.net = Arc::new(Proxied { inner: env.net, place, credentials });
        }
        if self.identity.is_some() {
            env.trust = Arc::new(env.trust.showing(self.identity.clone()));
        }
        Ok(env)
    }

    /// Whether it is of use over TLS alone.
    pub(crate) fn needs_tls(&self) -> bool {
        self.client_certificate.is_some() || self.client_key.is_some()
    }
}

/// The network through a proxy. The address policy has judged nothing yet when it is asked: it stands below, where the
/// proxy is connected to, and is asked for the peer too ([`Net::permits`]).
struct Proxied {
    inner: Arc<dyn Net>,
    place: HostPort,
    credentials: Option<String>,
}

/// What the proxy did instead of connecting us. It says nothing about the peer.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} {what}")]
pub(crate) struct ProxyTrouble {
    proxy: String,
    what: String,
}

impl Proxied {
    fn trouble(&self, what: String) -> io::Error {
        io::Error::other(ProxyTrouble { proxy: self.place.with_port(self.place.port.unwrap_or_default()), what })
    }

    async fn reach(&self) -> io::Result<Box<dyn Stream>> {
        let found =
            self.inner.resolve(&self.place.host).await.map_err(|why| self.trouble(format!("is unknown: {why}")))?;
        let place = SocketAddr::new(found[0], self.place.port.unwrap_or_default());
        match self.inner.connect(place).await {
            Err(error) if error.get_ref().is_none_or(|inner| !inner.is::<crate::env::Refused>()) => {
                Err(self.trouble(format!("cannot be reached: {error}")))
            }
            reached => reached,
        }
    }
}

#[async_trait]
impl Net for Proxied {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        self.inner.resolve(host).await
    }

    fn permits(&self, address: IpAddr) -> io::Result<()> {
        self.inner.permits(address)
    }

    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        self.inner.permits(peer.ip())?;
        let mut stream = self.reach().await?;
        let credentials = self
            .credentials
            .as_ref()
            .map(|words| format!("Proxy-Authorization: Basic {words}\r\n"))
            .unwrap_or_default();
        stream.write_all(format!("CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n{credentials}\r\n").as_bytes()).await?;
        let mut head = Vec::new();
        // Byte by byte, since what comes after the head belongs to the peer.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 16 << 10 {
                return Err(self.trouble("answers without an end".to_owned()));
            }
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return Err(self.trouble("hung up".to_owned())),
            }
        }
        let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        if parse_status(first) == Some(200) {
            return Ok(stream);
        }
        Err(self.trouble(format!("does not connect to {peer}: {}", excerpt(first))))
    }

    async fn connect_socket(&self, path: &Path) -> io::Result<Box<dyn Stream>> {
        self.inner.connect_socket(path).await
    }

    async fn exchange(
        &self,
        _peer: SocketAddr,
        _datagram: &[u8],
        _is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        Err(self.trouble("carries no datagrams; leave proxy out".to_owned()))
    }

    async fn datagrams(&self, _peer: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        Err(self.trouble("carries no datagrams; leave proxy out".to_owned()))
    }

    async fn ping(&self, _peer: IpAddr, _bytes: usize, _within: Duration) -> Result<Option<Duration>, Failure> {
        Err(Failure::Local(self.trouble("carries no echoes; leave proxy out".to_owned()).to_string()))
    }
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let mut words = line.split(|byte| *byte == b' ');
    words.next()?.starts_with(b"HTTP/1.").then_some(())?;
    std::str::from_utf8(words.next()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_way_is_taken_out_of_the_parameters() {
        let (own, way) = split(&json!({"status": 200, "source_address": "127.0.0.2"})).unwrap();
        assert_eq!(own, json!({"status": 200}));
        assert_eq!(way.unwrap().source_address, Some("127.0.0.2".parse().unwrap()));
        for (params, field) in [
            (json!({"proxy": "proxy"}), "proxy"),
            (json!({"proxy_user": "mia", "proxy_password": "x"}), "proxy_user"),
            (json!({"proxy": "proxy:1", "proxy_user": "mia"}), "proxy_password"),
            (json!({"source_address": "here"}), "source_address"),
            (json!({"client_certificate": "x"}), "client_key"),
            (json!({"client_certificate": "x", "client_key": "y"}), "client_certificate"),
        ] {
            assert_eq!(split(&params).unwrap_err()[0].field, field, "{params}");
        }
    }

    #[test]
    fn what_is_shown_is_read_once_with_the_parameters() {
        let made = rcgen::generate_simple_self_signed(vec!["mia".into()]).unwrap();
        let pem = (made.cert.pem(), made.signing_key.serialize_pem());
        let (_, way) = split(&json!({"client_certificate": pem.0, "client_key": pem.1})).unwrap();
        // Whatever happened to the texts since: a run does not look at them again.
        let way = Route { client_certificate: None, client_key: None, ..way.unwrap() };
        let expected = Identity::new(&pem.0, &Secret::new(&pem.1)).unwrap().digest();
        assert_eq!(way.identity.as_ref().map(Identity::digest), Some(expected));
        assert!(way.take(&Env::real()).is_ok());
        assert!(!format!("{way:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_proxys_first_line_tells_its_status() {
        assert_eq!(parse_status(b"HTTP/1.1 200 Connection established"), Some(200));
        assert_eq!(parse_status(b"HTTP/1.0 403 Forbidden"), Some(403));
        assert_eq!(parse_status(b"SSH-2.0-x"), None);
    }
}
