//! The engine far away over HTTP: one try at a time, each judged. When to try again is the sender's decision, not made here.
//! No redirect is followed and no credential is ever part of an error.

use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::Client;
use series::MetricsError;
use url::Url;

use super::address::Address;
use super::answer::short;
use super::tls::Tls;

/// How long one request to write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer may ask for patience, but not for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// What a 2.0 receiver says of each request that it took; without it nothing was taken.
const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// Which form of remote write a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 1.0
    One,
    /// 2.0
    Two,
}

/// What became of one try to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Taken.
    Taken,
    /// Not now.
    Later {
        /// What happened.
        why: String,
        /// How long the engine asks to wait.
        after: Option<Duration>,
    },
    /// Never: these samples are not wanted as they are.
    Refused(String),
    /// This engine does not speak version 2.
    NotTwo,
}

/// A client of one engine.
pub struct Peer {
    http: Client,
    address: Address,
    authorization: Option<HeaderValue>,
}

impl Peer {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The TLS settings or the credentials cannot be used.
    pub fn new(address: Address, tls: &Tls) -> Result<Self, String> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls.config()?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| format!("no HTTP client can be made: {}", chain(error)))?;
        let authorization = address.credential.as_ref().map(super::secret::Credential::header).transpose()?;
        Ok(Self { http, address, authorization })
    }

    /// How the engine is named.
    pub fn name(&self) -> String {
        self.address.name()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Mainstay/", env!("CARGO_PKG_VERSION"))));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        headers
    }

    /// Sends a compressed request.
    pub async fn write(&self, form: Form, body: Vec<u8>) -> Delivery {
        let mut headers = self.headers();
        let (kind, version) = match form {
            Form::One => ("application/x-protobuf", "0.1.0"),
            Form::Two => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(version));
        let sent = self.http.post(self.address.write.clone()).headers(headers).timeout(WRITE_TIMEOUT).body(body).send();
        let answer = match sent.await {
            Ok(answer) => answer,
            Err(error) => return Delivery::Later { why: chain(error), after: None },
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_success() {
            let told = headers.contains_key(WRITTEN);
            return if form == Form::Two && !told { Delivery::NotTwo } else { Delivery::Taken };
        }
        let text = read(answer, 4096).await.unwrap_or_default();
        judge(form, status, &headers, &String::from_utf8_lossy(&text))
    }

    /// Asks a question: its answer's status and body.
    ///
    /// # Errors
    /// [`MetricsError::Away`] when there is no answer in time; [`MetricsError::Refused`] when it is longer than `max_bytes`.
    pub async fn ask(
        &self,
        path: &str,
        form: &[(&str, String)],
        within: Duration,
        max_bytes: usize,
    ) -> Result<(StatusCode, Vec<u8>), MetricsError> {
        let url = self.address.question(path);
        // A name of a label is part of the path, which is asked by GET only; everything else may be long.
        let request = if path.ends_with("/values") {
            self.http.get(with_query(url, form))
        } else {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
        };
        self.answered(request, within, max_bytes).await
    }

    /// Asks what is asked by GET alone, without parameters.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn look(
        &self,
        path: &str,
        within: Duration,
        max_bytes: usize,
    ) -> Result<(StatusCode, Vec<u8>), MetricsError> {
        self.answered(self.http.get(self.address.question(path)), within, max_bytes).await
    }

    async fn answered(
        &self,
        request: reqwest::RequestBuilder,
        within: Duration,
        max_bytes: usize,
    ) -> Result<(StatusCode, Vec<u8>), MetricsError> {
        let answer = request.headers(self.headers()).timeout(within).send().await;
        let answer = answer.map_err(|error| self.away(chain(error)))?;
        let status = answer.status();
        match read(answer, max_bytes).await {
            Ok(body) => Ok((status, body)),
            Err(Some(error)) => Err(self.away(chain(error))),
            Err(None) => Err(self.refused(format!("the answer is longer than {max_bytes} bytes"))),
        }
    }

    /// An error that says who does not answer.
    pub fn away(&self, reason: String) -> MetricsError {
        MetricsError::Away { engine: self.name(), reason }
    }

    /// An error that says who refuses.
    pub fn refused(&self, reason: String) -> MetricsError {
        MetricsError::Refused { engine: self.name(), reason }
    }
}

fn with_query(mut url: Url, form: &[(&str, String)]) -> Url {
    url.query_pairs_mut().extend_pairs(form);
    url
}

/// The body, when it is not longer.
async fn read(mut answer: reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, Option<reqwest::Error>> {
    let mut out = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(Some)? {
        if out.len() + piece.len() > max_bytes {
            return Err(None);
        }
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

/// What a status that is no success means for what was sent.
///
/// A status about the samples themselves (400, 409, 413, 422 …) is final. One about the way there (who we are, where we knock, how
/// often) is mended by a person or by time, so nothing is dropped for it.
fn judge(form: Form, status: StatusCode, headers: &HeaderMap, text: &str) -> Delivery {
    let why = format!("it answered {status}: {}{}", short(text), hint(status));
    if form == Form::Two && matches!(status.as_u16(), 400 | 404 | 405 | 415 | 501) {
        return Delivery::NotTwo;
    }
    match status.as_u16() {
        401 | 403 | 404 | 405 | 407 | 408 | 425 | 429 | 300..=399 | 500.. => {
            let seconds = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
            Delivery::Later { why, after: seconds.map(Duration::from_secs).map(|wait| wait.min(LONGEST_WAIT)) }
        }
        _ => Delivery::Refused(why),
    }
}

/// What a person can do about a status that time does not mend.
pub fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 407 => "; it does not know us: give the right --metrics-credentials and start again",
        403 => "; it knows us and does not let us: give us the right there, or other --metrics-credentials",
        404 | 405 => "; nothing listens for us there: look at --metrics and --metrics-write",
        _ => "",
    }
}

/// An error with its causes and without its address, which whoever tells of it has.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_what_becomes_of_the_samples() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        for (status, form, kept) in [
            (400, Form::One, false),
            (409, Form::One, false),
            (413, Form::One, false),
            (422, Form::One, false),
            (415, Form::One, false),
            (401, Form::One, true),
            (403, Form::One, true),
            (404, Form::One, true),
            (429, Form::One, true),
            (500, Form::One, true),
            (503, Form::Two, true),
            (422, Form::Two, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            match judge(form, status, &headers, "no") {
                Delivery::Later { after, .. } => assert!(kept && after == Some(Duration::from_secs(7)), "{status}"),
                Delivery::Refused(why) => assert!(!kept && why.contains("no"), "{status}"),
                other => panic!("{status}: {other:?}"),
            }
        }
        assert_eq!(judge(Form::Two, StatusCode::UNSUPPORTED_MEDIA_TYPE, &headers, ""), Delivery::NotTwo);
        for (status, named) in [(401, "--metrics-credentials"), (403, "the right there"), (404, "--metrics-write")] {
            let status = StatusCode::from_u16(status).unwrap();
            let said = judge(Form::One, status, &headers, "");
            assert!(matches!(&said, Delivery::Later { why, .. } if why.contains(named)), "{said:?}");
        }
    }
}
