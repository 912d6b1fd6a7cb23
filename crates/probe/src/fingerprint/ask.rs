//! Ask: what does an open port say? Listens first, then asks what a client of that port would ask, then for a web page, with
//! and without TLS. Every step has a time and a size of its own; nothing is asked twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::library::Fingerprints;
use super::signature::{Evidence, Page, Service, ShownCertificate, recognise};
use crate::env::{Env, Stream};
use crate::tls::parse_certificate;

const BANNER_BYTES: usize = 4 << 10;
const PAGE_BYTES: usize = 64 << 10;
/// A page's head is at most this long.
const MAX_HEADERS: usize = 100;

/// What serves at that port, asked within about three times that time.
pub async fn look_at_port(env: &Env, peer: SocketAddr, patience: Duration) -> Service {
    let own = Fingerprints::own();
    let mut evidence = Evidence::default();
    if own.is_tls(peer.port()) {
        over_tls(env, peer, patience, &mut evidence).await;
    } else {
        evidence.banner = hear(env, peer, own.ask(peer.port()), patience).await;
        if evidence.banner.is_empty() && own.ask(peer.port()).is_none() {
            let said = page(dialled(env, peer, patience).await, peer, patience).await;
            match parse_page(&said) {
                Some(page) => evidence.page = Some(page),
                None => evidence.banner = said,
            }
        } else if let Some(page) = parse_page(&evidence.banner) {
            evidence.page = Some(page);
        }
        let is_unknown = evidence.banner.is_empty() && evidence.page.is_none() && own.ask(peer.port()).is_none();
        if is_unknown || is_alert(&evidence.banner) || evidence.page.as_ref().is_some_and(wants_tls) {
            over_tls(env, peer, patience, &mut evidence).await;
        }
    }
    recognise(own.signatures(), &evidence)
}

/// A server that was spoken to in plain words and says so.
fn wants_tls(page: &Page) -> bool {
    page.status == 400 && String::from_utf8_lossy(&page.body).to_ascii_lowercase().contains("https")
}

/// A TLS alert: it did not understand what was no TLS.
fn is_alert(said: &[u8]) -> bool {
    said.starts_with(&[0x15, 3])
}

async fn dialled(env: &Env, peer: SocketAddr, patience: Duration) -> Option<Box<dyn Stream>> {
    tokio::time::timeout(patience, env.net.connect(peer)).await.ok()?.ok()
}

/// What it says by itself; when it is silent and there is a question, what it says to that.
async fn hear(env: &Env, peer: SocketAddr, ask: Option<&[u8]>, patience: Duration) -> Vec<u8> {
    let Some(mut stream) = dialled(env, peer, patience).await else { return Vec::new() };
    // Who speaks first does so at once; it is not worth the whole patience to find that out.
    let mut said = Vec::new();
    let first = if ask.is_some_and(|ask| !ask.is_empty()) { patience / 4 } else { patience / 2 };
    read_some(&mut *stream, &mut said, BANNER_BYTES, first).await;
    if let Some(ask) = ask.filter(|ask| said.is_empty() && !ask.is_empty()) {
        let sent = tokio::time::timeout(patience, stream.write_all(ask)).await;
        if matches!(sent, Ok(Ok(()))) {
            read_some(&mut *stream, &mut said, BANNER_BYTES, patience).await;
        }
    }
    said
}

/// Reads once, and then what follows closely.
async fn read_some(stream: &mut dyn Stream, said: &mut Vec<u8>, most: usize, patience: Duration) {
    const MORE: Duration = Duration::from_millis(50);
    let mut wait = patience;
    let mut chunk = [0; 4096];
    while said.len() < most {
        match tokio::time::timeout(wait, stream.read(&mut chunk)).await {
            Ok(Ok(count)) if count > 0 => said.extend_from_slice(&chunk[..count.min(most - said.len())]),
            _ => break,
        }
        wait = MORE;
    }
}

/// What it answers to a request for its first page, the first 64 KiB within the time.
async fn page(stream: Option<Box<dyn Stream>>, peer: SocketAddr, patience: Duration) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut said = Vec::new();
    let exchange = async {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {peer}\r\nUser-Agent: Mainstay discover\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut chunk = [0; 8192];
        while said.len() < PAGE_BYTES {
            match stream.read(&mut chunk).await? {
                0 => break,
                count => said.extend_from_slice(&chunk[..count.min(PAGE_BYTES - said.len())]),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let _ = tokio::time::timeout(patience, exchange).await; // What came until then is what is known.
    said
}

async fn over_tls(env: &Env, peer: SocketAddr, patience: Duration, evidence: &mut Evidence) {
    let Some(stream) = dialled(env, peer, patience).await else { return };
    let Ok((config, recording)) = env.trust.for_inspection() else { return };
    let connector = TlsConnector::from(Arc::new(config));
    let shake = connector.connect(ServerName::IpAddress(peer.ip().into()), stream);
    let shaken = tokio::time::timeout(patience, shake).await;
    if let Some(leaf) = recording.chain().first().and_then(|der| parse_certificate(der).ok()) {
        evidence.certificate = Some(ShownCertificate {
            subject: leaf.subject,
            issuer: leaf.issuer,
            names: leaf.names.into_iter().take(20).collect(),
            not_after: leaf.not_after.to_string(),
            version: String::new(),
        });
    }
    let Ok(Ok(stream)) = shaken else { return };
    evidence.banner.clear(); // What it said to plain words was a complaint.
    if let (Some(certificate), Some(version)) = (&mut evidence.certificate, stream.get_ref().1.protocol_version()) {
        certificate.version = format!("{version:?}");
    }
    let mut stream: Box<dyn Stream> = Box::new(stream);
    let own = Fingerprints::own();
    let speaks_first = !matches!(peer.port(), 443 | 8443);
    if speaks_first {
        read_some(&mut *stream, &mut evidence.banner, BANNER_BYTES, patience / 4).await;
    }
    if evidence.banner.is_empty() && own.ask(peer.port()).is_none() {
        let said = page(Some(stream), peer, patience).await;
        evidence.page = parse_page(&said);
    }
}

/// Reads the answer of a web server as far as it came; `None` when it is no HTTP.
pub(crate) fn parse_page(said: &[u8]) -> Option<Page> {
    if !said.starts_with(b"HTTP/") {
        return None;
    }
    let end = said.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end.map_or((said, &[][..]), |end| (&said[..end], &said[end + 4..]));
    let head = String::from_utf8_lossy(&head[..head.len().min(PAGE_BYTES)]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.take(MAX_HEADERS).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().chars().take(1000).collect()))
    });
    Some(Page { status, headers: headers.collect(), title: title(body), body: body.to_vec() })
}

/// The title of a page in HTML, on one line, the commonest entities read.
fn title(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    // Lengths stay the same in ASCII lower case, so that a place in one is a place in the other.
    let lower = text.to_ascii_lowercase();
    let Some(begin) = lower.find("<title") else { return String::new() };
    let Some(open) = lower[begin..].find('>').map(|at| begin + at + 1) else { return String::new() };
    let end = lower[open..].find("</title").map_or(open, |at| open + at);
    let words: Vec<&str> = text[open..end].split_whitespace().collect();
    let line = words.join(" ").replace("&amp;", "&").replace("&#39;", "'").replace("&quot;", "\"").replace("&lt;", "<");
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_read_as_far_as_it_came() {
        let said =
            b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nX: y: z\r\n\r\n<html><TITLE id=a>\n Tom &amp; Jerry </TITLE>";
        let page = parse_page(said).unwrap();
        assert_eq!((page.status, page.title.as_str()), (200, "Tom & Jerry"));
        assert_eq!(page.headers, [("server".into(), "nginx/1.22.1".into()), ("x".into(), "y: z".into())]);
        assert_eq!(parse_page(b"HTTP/1.0 302 Found\r\nLocation: /x").unwrap().status, 302, "the rest did not come");
        assert!(parse_page(b"220 mail\r\n").is_none());
        assert!(wants_tls(
            &parse_page(b"HTTP/1.1 400 Bad Request\r\n\r\nplain HTTP request was sent to HTTPS port").unwrap()
        ));
    }

    proptest! {
        #[test]
        fn no_page_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), text in "\\PC{0,9}<tiTle\\PC{0,5}>?\\PC{0,9}(</title>)?") {
            let _ = parse_page(&bytes);
            let _ = parse_page(&[&b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..], &bytes].concat());
            let _ = title(text.as_bytes());
        }
    }
}
