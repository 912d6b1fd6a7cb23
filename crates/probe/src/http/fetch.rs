//! Fetch: one HTTP request and its redirects, over connections opened for it. Bounded in time by the check, in size here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::CertificateDer;
use url::Url;

use crate::env::{Failure, Stream, Trust, dial, parse_server_name};
use crate::http::{Answer, BODY_LIMIT_BYTES, Http, Version};
use crate::params::Family;
use crate::protocol::Cx;
use crate::target::{check_web_address, parse_web_address};
use crate::tls::{days_between, handshake_failure, parse_certificate};
use crate::together::together;

/// Bytes that are made room for because a peer says that they come.
const LIKELY_BYTES: usize = 1 << 20;

/// Sends the request, follows redirects, reads the last answer.
pub(crate) async fn fetch(want: &Http, cx: &Cx<'_>) -> Result<Answer, Failure> {
    let mut step = Step {
        url: parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?,
        method: Method::from_bytes(want.method.as_bytes()).map_err(|error| Failure::Local(error.to_string()))?,
        headers: headers(&want.send_headers.0).map_err(Failure::Local)?,
        body: want.send_body.clone().unwrap_or_default().into(),
    };
    let over = Over {
        family: want.family,
        verify: want.verify,
        ca: want.ca.clone(),
        socket: None,
        two: want.version == Version::Two,
    };
    let mut trust = cx.env.trust.clone();
    let mut redirects = 0;
    loop {
        let mut exchange = send(&over, &trust, cx, &step).await?;
        let status = exchange.response.status();
        let location = exchange.response.headers().get(LOCATION).cloned();
        if let Some(location) = location.filter(|_| status.is_redirection() && !want.status.accepts(status.as_u16()))
            && want.redirects > 0
        {
            if redirects == want.redirects {
                return Err(Failure::Peer(format!(
                    "{} redirects on after {redirects} redirects; is it a loop?",
                    step.url
                )));
            }
            redirects += 1;
            let before = step.url.clone();
            step.follow(status, &location)?;
            if !same_place(&before, &step.url) {
                trust = Arc::new(trust.showing(None)); // Nor who we are.
            }
            continue;
        }
        let first_byte_seconds = cx.trace.elapsed().as_secs_f64();
        cx.trace.phase("body", "reading the body");
        let (body, cut) = exchange.read_body(&step.url, BODY_LIMIT_BYTES).await?;
        return Ok(Answer {
            status: status.as_u16(),
            headers: exchange.response.headers().clone(),
            body,
            cut,
            redirects,
            first_byte_seconds,
            total_seconds: cx.trace.elapsed().as_secs_f64(),
            certificate_left_days: exchange.left_days(cx),
            url: step.url,
        });
    }
}

/// The headers that users want sent.
///
/// # Errors
/// Which one cannot be sent, and why.
pub(crate) fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header's name"))?;
        // The value stays unsaid: it may be a secret.
        let value =
            HeaderValue::from_str(value).map_err(|_| format!("the value of {name} cannot be sent in a header"))?;
        if parsed == CONTENT_LENGTH || parsed == http::header::TRANSFER_ENCODING {
            return Err(format!("{name} is made from the body and cannot be set"));
        }
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// The request as it stands before each hop.
pub(super) struct Step {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What kind of connection a request goes over.
#[derive(Clone)]
pub(super) struct Over {
    pub(super) family: Family,
    pub(super) verify: bool,
    pub(super) ca: Option<String>,
    /// A socket in the file system instead of the host that the address names.
    pub(super) socket: Option<PathBuf>,
    /// Whether HTTP/2 is spoken, and nothing else.
    pub(super) two: bool,
}

/// Whether what is meant for one address may be told to the other.
fn same_place(one: &Url, other: &Url) -> bool {
    one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
        && one.scheme() == other.scheme()
}

impl Step {
    /// Turns to where a redirect points, as RFC 9110 (section 15.4) and browsers do it.
    fn follow(&mut self, status: StatusCode, location: &HeaderValue) -> Result<(), Failure> {
        let wrong = |why: &str| Failure::Peer(format!("{} redirects to {location:?}: {why}", self.url));
        let text = location.to_str().map_err(|_| wrong("that is not text"))?;
        let next = self.url.join(text).map_err(|_| wrong("that is no web address"))?;
        check_web_address(&next).map_err(|why| wrong(&why))?;
        if !same_place(&self.url, &next) {
            // What was meant for one host is nobody else's business.
            for secret in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, HOST] {
                self.headers.remove(secret);
            }
        }
        let becomes_get = status == StatusCode::SEE_OTHER
            || (matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) && self.method == Method::POST);
        if becomes_get && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
        }
        self.url = next;
        Ok(())
    }

    /// The request as HTTP/1.1 or, with the whole address and no host's name, as HTTP/2 has it.
    fn request(&self, two: bool) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let built = Request::builder().method(self.method.clone());
        let built = if two {
            built.uri(&self.url[..url::Position::AfterQuery])
        } else {
            built.uri(path).header(HOST, authority)
        };
        let mut request = built
            .header(USER_AGENT, concat!("mainstay/", env!("CARGO_PKG_VERSION")))
            .header(http::header::ACCEPT, "*/*")
            .body(Full::new(self.body.clone()))
            .map_err(|error| Failure::Local(format!("the request to {} cannot be built: {error}", self.url)))?;
        for (name, value) in self.headers.iter().filter(|(name, _)| !two || *name != HOST) {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }
}

/// An answer whose body is not read yet, and what keeps its connection going.
pub(super) struct Exchange {
    pub(super) response: Response<Incoming>,
    certificate: Option<CertificateDer<'static>>,
    driver: Option<Driver>,
}

/// Moves the bytes of a connection, until that ends.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Exchange {
    /// At most so many bytes of the body, and whether there was more.
    pub(super) async fn read_body(&mut self, url: &Url, limit: usize) -> Result<(Vec<u8>, bool), Failure> {
        together(&mut self.driver, read_body(self.response.body_mut(), url, limit)).await
    }

    pub(super) fn left_days(&self, cx: &Cx<'_>) -> Option<f64> {
        let certificate = parse_certificate(self.certificate.as_ref()?).ok()?;
        Some(days_between(cx.env.clock.now(), certificate.not_after))
    }
}

pub(super) async fn send(over: &Over, trust: &Trust, cx: &Cx<'_>, step: &Step) -> Result<Exchange, Failure> {
    let host = step.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = step.url.port_or_known_default().unwrap_or(80);
    let (stream, peer) = match &over.socket {
        None => dial(cx, host, port, over.family).await.map(|(stream, peer)| (stream, peer.to_string()))?,
        Some(path) => {
            cx.trace.phase("connect", "connecting");
            let peer = path.display().to_string();
            let connected = cx.env.net.connect_socket(path).await;
            (connected.map_err(|error| socket_failure(&peer, &error))?, peer)
        }
    };
    let (stream, certificate): (Box<dyn Stream>, _) = if step.url.scheme() == "https" {
        cx.trace.phase("tls", "shaking hands over TLS");
        let name = parse_server_name(host).map_err(Failure::Local)?;
        let config = trust.for_http(over.verify, over.ca.as_deref(), over.two)?;
        let session = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| handshake_failure(&format!("{host} ({peer})"), &error))?;
        if over.two && session.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Failure::Peer(format!("{} does not offer HTTP/2", step.url)));
        }
        let shown = session.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        (Box::new(session), shown.map(CertificateDer::into_owned))
    } else {
        (stream, None)
    };
    cx.trace.phase("first_byte", "waiting for the first byte");
    let said = |error: hyper::Error| http_failure(&step.url, &error);
    // Whoever waits for the answer is told what went wrong with the connection.
    let (response, driver) = if over.two {
        let builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(said)?;
        let mut driver: Option<Driver> = Some(Box::pin(async move { drop(connection.await) }));
        (together(&mut driver, sender.send_request(step.request(true)?)).await, driver)
    } else {
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(64 << 10).handshake(TokioIo::new(stream)).await.map_err(said)?;
        let mut driver: Option<Driver> = Some(Box::pin(async move { drop(connection.await) }));
        (together(&mut driver, sender.send_request(step.request(false)?)).await, driver)
    };
    Ok(Exchange { response: response.map_err(said)?, certificate, driver })
}

/// At most so many bytes of the body, and whether there was more.
async fn read_body(body: &mut Incoming, url: &Url, limit: usize) -> Result<(Vec<u8>, bool), Failure> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut bytes = Vec::with_capacity(told.min(limit).min(LIKELY_BYTES));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| http_failure(url, &error))?;
        let Ok(data) = frame.into_data() else { continue }; // Trailers.
        let room = limit - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}

/// A socket of this machine that nobody may open is no word about whoever listens there.
fn socket_failure(path: &str, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Failure::Peer(format!("nobody listens at {path}: there is no such socket"));
    }
    if error.raw_os_error() == Some(13) {
        return Failure::Local(format!("this process may not open {path}; add its user to the group that owns it"));
    }
    Failure::from_io(&format!("connecting to {path}"), error)
}

fn http_failure(url: &Url, error: &hyper::Error) -> Failure {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    if let Some(io) = io {
        return Failure::from_io(&format!("talking to {url}"), io);
    }
    if error.is_parse_too_large() {
        return Failure::Peer(format!("{url} sends headers of more than 64 KiB"));
    }
    if error.is_parse() {
        return Failure::Peer(format!("what {url} says is not HTTP ({error})"));
    }
    if error.is_incomplete_message() {
        return Failure::Peer(format!("{url} hung up before its answer was complete"));
    }
    Failure::Peer(format!("{url} does not answer properly ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(url: &str, method: Method) -> Step {
        let given = BTreeMap::from([("Authorization".into(), "Bearer x".into()), ("X-Mine".into(), "1".into())]);
        Step { url: url.parse().unwrap(), method, headers: headers(&given).unwrap(), body: "b".into() }
    }

    #[test]
    fn secrets_do_not_follow_a_redirect_to_another_place() {
        for (location, kept) in [
            ("/other", true),
            ("https://a.example/other", true),
            ("https://b.example/", false),
            ("http://a.example/", false), // the same host, but for all to read
            ("https://a.example:8443/", false),
            ("//b.example/", false),
        ] {
            let mut step = step("https://a.example/start", Method::GET);
            step.follow(StatusCode::FOUND, &HeaderValue::from_static(location)).unwrap();
            assert_eq!(step.headers.contains_key(AUTHORIZATION), kept, "{location}");
            assert!(step.headers.contains_key("x-mine"));
        }
    }

    #[test]
    fn a_redirect_changes_the_method_as_browsers_do() {
        for (code, before, after) in [
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (303, Method::PUT, Method::GET),
            (303, Method::HEAD, Method::HEAD),
            (307, Method::POST, Method::POST),
            (308, Method::PUT, Method::PUT),
        ] {
            let mut step = step("https://a.example/", before);
            step.follow(StatusCode::from_u16(code).unwrap(), &HeaderValue::from_static("/b")).unwrap();
            assert_eq!(step.method, after, "{code}");
            assert_eq!(step.body.is_empty(), after == Method::GET, "{code}");
        }
    }

    #[test]
    fn a_redirect_out_of_the_web_is_refused() {
        for location in ["file:///etc/passwd", "gopher://a.example/", "http://me:pw@a.example/", "https://"] {
            let mut step = step("https://a.example/", Method::GET);
            assert!(step.follow(StatusCode::FOUND, &HeaderValue::from_static(location)).is_err(), "{location}");
        }
    }
}
