//! A page as a signed HTTP request. No redirect is followed, no proxy of the environment is used, no answer is unpacked.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::{Value, json};

use crate::address::{AddressKind, classify};
use crate::channel::Webhook;
use crate::egress::{Egress, Purpose};
use crate::page::{Page, SendError, one_line};
use crate::signature::sign;

/// A body larger than this is refused rather than cut.
const BODY_BYTES: usize = 256 << 10;
/// A provider cannot put a page off for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// Headers in which providers name a request.
const REQUEST_IDS: [&str; 4] = ["x-request-id", "request-id", "x-correlation-id", "x-amzn-requestid"];

/// Sends it; provider and reference of the receipt.
pub(crate) async fn send(net: &Egress, to: &Webhook, page: &Page) -> Result<(String, String), SendError> {
    let body = body(page)?;
    let (host, port) = host_port(&to.url)?;
    let addresses = net.addresses(Purpose::Webhook, &host, port).await?;
    let public = addresses.iter().any(|a| classify(a.ip()) == AddressKind::Public);
    if to.url.scheme() != "https" && public && !net.lists(&host, port) {
        return Err(SendError::refused(format!("{host} is public, so the URL must begin with https://")));
    }
    let provider = format!("{host}:{port}");
    let client = Client::builder()
        .tls_backend_preconfigured((*net.tls()).clone())
        // Connects to what was judged, whatever the name has come to mean since.
        .resolve_to_addrs(&host, &addresses)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .connect_timeout(net.connect_timeout)
        .timeout(net.send_timeout)
        .build()
        .map_err(|e| SendError::refused(format!("no request can be made: {}", chain(e))))?;
    let headers = headers(net, to, page, &body);
    let answer = client.post(to.url.clone()).headers(headers).body(body).send().await;
    let answer = answer.map_err(|e| SendError::retry(format!("{provider}: {}", chain(e))))?;
    judge(&provider, answer.status(), answer.headers()).map(|reference| (provider, reference))
}

/// Host and port as they are resolved and compared.
fn host_port(url: &Url) -> Result<(String, u16), SendError> {
    let parts = url.host_str().zip(url.port_or_known_default());
    let (host, port) = parts.ok_or_else(|| SendError::refused("the URL names no host"))?;
    Ok((host.to_owned(), port))
}

fn body(page: &Page) -> Result<Vec<u8>, SendError> {
    let made;
    let data = match &page.data {
        Value::Null => {
            let links: Vec<Value> = page.links.iter().map(|(title, url)| json!({"title": title, "url": url})).collect();
            made = json!({"id": page.id, "to": page.to, "subject": page.subject, "text": page.text, "links": links});
            &made
        }
        given => given,
    };
    let bytes = data.to_string().into_bytes();
    if bytes.len() > BODY_BYTES {
        return Err(SendError::refused(format!("the body of {} bytes is larger than {BODY_BYTES}", bytes.len())));
    }
    Ok(bytes)
}

fn headers(net: &Egress, to: &Webhook, page: &Page, body: &[u8]) -> HeaderMap {
    let timestamp = net.now_ms().div_euclid(1000);
    let mut headers = HeaderMap::new();
    headers.extend(to.headers.iter().cloned());
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Mainstay/", env!("CARGO_PKG_VERSION"))));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("mainstay-timestamp", HeaderValue::from(timestamp));
    // An id that is no header value is sent by its hash: the same page still has the same key.
    let safe = page.id.len() <= 200 && page.id.bytes().all(|b| b.is_ascii_graphic());
    let key =
        if safe { page.id.clone() } else { hex::encode(<sha2::Sha256 as sha2::Digest>::digest(page.id.as_bytes())) };
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert("idempotency-key", key);
    }
    if let Some(secret) = &to.secret
        && let Ok(signature) = HeaderValue::try_from(sign(secret, timestamp, body))
    {
        headers.insert("mainstay-signature", signature);
    }
    headers
}

/// What an answer means for the page.
fn judge(provider: &str, status: StatusCode, headers: &HeaderMap) -> Result<String, SendError> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(|v| one_line(v, 200));
    if status.is_success() {
        let id = REQUEST_IDS.iter().find_map(|name| text(name));
        return Ok(id.map_or_else(|| status.to_string(), |id| format!("{status} {id}")));
    }
    let why = format!("{provider} answered {status}");
    match status.as_u16() {
        300..=399 => Err(SendError::refused(format!("{why}; redirects are not followed: enter the final URL"))),
        408 | 425 | 429 | 500.. => {
            let asked = text(RETRY_AFTER.as_str()).and_then(|v| v.parse().ok()).map(Duration::from_secs);
            Err(SendError::Retry { why, after: asked.map(|wait| wait.min(LONGEST_WAIT)) })
        }
        _ => Err(SendError::refused(why)),
    }
}

/// An error with its causes and without its URL, which may hold a token.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_means_sent_later_or_never() {
        let table = [
            (200, "sent"),
            (202, "sent"),
            (204, "sent"),
            (301, "never"),
            (302, "never"),
            (307, "never"),
            (400, "never"),
            (401, "never"),
            (403, "never"),
            (404, "never"),
            (408, "later"),
            (410, "never"),
            (413, "never"),
            (422, "never"),
            (425, "later"),
            (429, "later"),
            (500, "later"),
            (502, "later"),
            (503, "later"),
            (504, "later"),
            (599, "later"),
        ];
        for (status, expected) in table {
            let found = match judge("p", StatusCode::from_u16(status).unwrap(), &HeaderMap::new()) {
                Ok(_) => "sent",
                Err(SendError::Retry { after: None, .. }) => "later",
                Err(SendError::Retry { .. }) => "later, and it was said when",
                Err(SendError::Refused { .. }) => "never",
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn a_provider_may_ask_for_patience_but_not_for_ever() {
        for (given, expected) in
            [("7", Some(7)), ("0", Some(0)), ("999999999", Some(900)), ("soon", None), ("-1", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(given));
            let Err(SendError::Retry { after, .. }) = judge("p", StatusCode::TOO_MANY_REQUESTS, &headers) else {
                panic!("later")
            };
            assert_eq!(after, expected.map(Duration::from_secs), "{given}");
        }
    }
}
