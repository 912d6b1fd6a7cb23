//! One page over HTTP: the connection is kept for the next time, the answer is bounded in size after decompression, and whoever asks
//! bounds it in time. All connections go through `probe`'s network, and so through its address policy.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION,
    USER_AGENT,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use probe::{Net, together};
use rustls_pki_types::ServerName;
use url::Url;

use super::http_client::Client;
use crate::gunzip::{Broken, gunzip};

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// Bytes that are made room for because a target says that they come.
const LIKELY: u64 = 1 << 20;

/// What was fetched.
pub(crate) struct Page {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// What is sent besides.
pub(crate) struct Asking<'a> {
    pub(crate) accept: &'a str,
    /// The body may be compressed. From this machine itself it never is: that would take both sides longer than the bytes.
    pub(crate) compressed: bool,
    /// Further headers.
    pub(crate) headers: &'a [(&'static str, String)],
    /// Bytes of the body, decompressed.
    pub(crate) limit: u64,
}

type Driver = Pin<Box<http1::Connection<TokioIo<Box<dyn probe::env::Stream>>, Empty<Bytes>>>>;

/// A connection that can be used again.
struct Connection {
    /// Scheme, host and port.
    place: (String, String, u16),
    /// The other side is this machine.
    is_here: bool,
    sender: SendRequest<Empty<Bytes>>,
    /// Moves the bytes while something is awaited of them; none once the connection has ended. It is no task of its own: that would
    /// be woken for every piece of a page only to wake who waits for it.
    driver: Option<Driver>,
}

impl Connection {
    /// Asks, and waits for the head of the answer.
    async fn ask(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let sender = &mut self.sender;
        let asked = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        together(&mut self.driver, asked).await
    }

    /// Whether it cannot be used again, as when the other side ends each with its answer.
    async fn has_ended(&mut self) -> bool {
        poll_fn(|cx| {
            let ended = self.driver.as_mut().is_none_or(|driver| driver.as_mut().poll(cx).is_ready());
            Poll::Ready(ended)
        })
        .await
    }
}

/// Fetches from one target, again and again.
pub(crate) struct Fetcher {
    net: Arc<dyn Net>,
    client: Client,
    kept: Option<Connection>,
}

impl Fetcher {
    pub(crate) fn new(net: Arc<dyn Net>, client: Client) -> Self {
        Self { net, client, kept: None }
    }

    /// Fetches a page, following redirects. A sentence when there is none.
    pub(crate) async fn get(&mut self, url: &Url, asking: &Asking<'_>) -> Result<Page, String> {
        let authorization = self.client.authorization()?;
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            // What is meant for one host is nobody else's business.
            let shown = authorization.clone().filter(|_| at.origin() == url.origin());
            let mut answer = self.exchange(&at, asking, shown).await?;
            let status = answer.status();
            if status.is_redirection() && self.client.follow_redirects {
                let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok());
                let next =
                    location.and_then(|l| at.join(l).ok()).filter(|url| matches!(url.scheme(), "http" | "https"));
                at = next.ok_or_else(|| format!("server returned HTTP status {status} and no place to go on"))?;
                self.kept = None;
                continue;
            }
            if status != http::StatusCode::OK {
                self.kept = None;
                return Err(format!("server returned HTTP status {status}"));
            }
            let Some(kept) = self.kept.as_mut() else { return Err("the connection is gone".to_owned()) };
            let read = together(&mut kept.driver, read(&mut answer, asking.limit)).await;
            if read.is_err() || kept.has_ended().await {
                self.kept = None;
            }
            return read;
        }
        Err(format!("stopped after {REDIRECTS} redirects"))
    }

    /// Forgets the connection, in whatever state it is.
    pub(crate) fn hang_up(&mut self) {
        self.kept = None;
    }

    async fn exchange(
        &mut self,
        url: &Url,
        asking: &Asking<'_>,
        shown: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, String> {
        let place = place(url);
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.place == place) {
            // The other side may just have closed it: then a new one is tried.
            if let Ok(answer) = kept.ask(request(url, asking, shown.clone(), kept.is_here)?).await {
                self.kept = Some(kept);
                return Ok(answer);
            }
        }
        let mut new = self.connect(place).await?;
        let answer = new.ask(request(url, asking, shown, new.is_here)?).await;
        self.kept = Some(new);
        answer.map_err(|error| format!("{}: {}", url.host_str().unwrap_or_default(), chain(&error)))
    }

    async fn connect(&mut self, place: (String, String, u16)) -> Result<Connection, String> {
        let (scheme, host, port) = &place;
        let mut failure = format!("{host} has no address");
        let addresses = self.net.resolve(host).await.map_err(|error| error.to_string())?;
        for address in addresses.into_iter().take(ADDRESSES) {
            let peer = SocketAddr::new(address, *port);
            let stream = match self.net.connect(peer).await {
                Ok(stream) => stream,
                Err(error) => {
                    failure = format!("connecting to {peer}: {error}");
                    continue;
                }
            };
            let stream: Box<dyn probe::env::Stream> = if scheme == "https" {
                let name = self.client.server_name.clone().unwrap_or_else(|| host.clone());
                let name = ServerName::try_from(name)
                    .map_err(|_| format!("{host:?} is no name that a certificate can carry"))?;
                let connector = tokio_rustls::TlsConnector::from(self.client.tls()?);
                let session = connector.connect(name, stream).await;
                Box::new(session.map_err(|error| format!("TLS with {host} ({peer}): {error}"))?)
            } else {
                stream
            };
            let shaken = http1::Builder::new().max_buf_size(256 << 10).handshake(TokioIo::new(stream)).await;
            let (sender, driver) = shaken.map_err(|error| chain(&error))?;
            return Ok(Connection { place, is_here: address.is_loopback(), sender, driver: Some(Box::pin(driver)) });
        }
        Err(failure)
    }
}

fn place(url: &Url) -> (String, String, u16) {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (url.scheme().to_owned(), host.to_owned(), url.port_or_known_default().unwrap_or(80))
}

fn request(
    url: &Url,
    asking: &Asking<'_>,
    shown: Option<HeaderValue>,
    is_here: bool,
) -> Result<Request<Empty<Bytes>>, String> {
    let encoding = if asking.compressed && !is_here { "gzip" } else { "identity" };
    let mut built = Request::builder()
        .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, &url[url::Position::BeforeHost..url::Position::AfterPort])
        .header(USER_AGENT, concat!("Mainstay/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, asking.accept)
        .header(ACCEPT_ENCODING, encoding);
    if let Some(value) = shown {
        built = built.header(AUTHORIZATION, value);
    }
    for (name, value) in asking.headers {
        built = built.header(HeaderName::from_static(name), value);
    }
    built.body(Empty::new()).map_err(|error| format!("the request cannot be made: {error}"))
}

/// The body, decompressed, when it is not longer than the limit.
async fn read(answer: &mut Response<Incoming>, limit: u64) -> Result<Page, String> {
    let header =
        |name: HeaderName| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (content_type, encoding) = (header(CONTENT_TYPE), header(CONTENT_ENCODING));
    let too_long = || format!("the page is longer than {limit} bytes, which is its limit");
    let told = answer.body().size_hint().lower().min(limit).min(LIKELY);
    let mut raw = Vec::with_capacity(told as usize);
    while let Some(frame) = answer.body_mut().frame().await {
        let frame = frame.map_err(|error| format!("the page broke off: {}", chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue }; // Trailers.
        if raw.len() + data.len() > limit as usize {
            return Err(too_long());
        }
        raw.extend_from_slice(&data);
    }
    let body = match encoding.trim() {
        "" | "identity" => raw,
        "gzip" | "x-gzip" => match gunzip(&raw, usize::try_from(limit).unwrap_or(usize::MAX)) {
            Ok(page) => page,
            Err(Broken::TooLong) => return Err(too_long()),
            Err(Broken::NoGzip(why)) => return Err(format!("the page is not gzip as it says: {why}")),
        },
        other => return Err(format!("the page is compressed with {other:?}, which was not asked for")),
    };
    Ok(Page { content_type, body })
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::scrape::config::Config;

    /// Fetches from a target that answers with these headers; whether the connection was kept, and how many bytes came after.
    async fn kept_after(headers: &str) -> (bool, Option<usize>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap()).parse().unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{headers}\r\nup 1");
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
            tell.send(stream.read(&mut asked).unwrap()).unwrap();
        });
        let config = Config::parse(std::path::Path::new("x"), "scrape_configs: [{job_name: j}]").unwrap();
        let mut fetcher = Fetcher::new(probe::Env::real().net, config.jobs[0].client.clone());
        assert_eq!(fetcher.get(&url, &asking(true)).await.unwrap().body, b"up 1");
        let is_kept = fetcher.kept.is_some();
        let after = if is_kept { None } else { told.recv_timeout(std::time::Duration::from_secs(10)).ok() };
        (is_kept, after)
    }

    fn asking(compressed: bool) -> Asking<'static> {
        Asking { accept: "*/*", compressed, headers: &[], limit: 100 }
    }

    #[test]
    fn pages_of_this_machine_are_not_compressed_and_others_when_the_job_lets_them() {
        let url: Url = "http://[2001:db8::1]:9100/metrics".parse().unwrap();
        for (compressed, is_here, encoding) in
            [(true, false, "gzip"), (true, true, "identity"), (false, false, "identity"), (false, true, "identity")]
        {
            let request = request(&url, &asking(compressed), None, is_here).unwrap();
            assert_eq!(request.headers()[ACCEPT_ENCODING], encoding, "{compressed} {is_here}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_other_side_ends_is_let_go_at_once() {
        assert_eq!(kept_after("Connection: close\r\n").await, (false, Some(0)));
        assert_eq!(kept_after("").await, (true, None));
    }
}
