//! How every body comes in: read within limits, unpacked within limits, stored, and what could not be said in the words of each
//! protocol by its own module. Nothing is answered 2xx here before the engine has it on disk.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use series::formats::{Batch, FormatError};
use series::{MetricsError, SeriesError};
use tokio::sync::OwnedSemaphorePermit;

use crate::asked::Asked;
use crate::gunzip::Broken;
use crate::state::{Counters, Signals};

/// Reasons that are told of what was not taken; more are only counted.
const TOLD: usize = 3;

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unfit {
    /// 4xx: sending it again does not help, but for 429. 5xx: it does.
    pub status: StatusCode,
    /// Why.
    pub message: String,
    /// When to come again, in seconds.
    pub retry_after: Option<u32>,
}

impl Unfit {
    /// Sending it again does not help.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    fn later(status: StatusCode, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, message) }
    }

    /// The media type, or how it is packed, is not known here.
    pub fn media(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// An answer with the header that says when to come again.
    pub fn dress(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status;
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// In plain words, for protocols that have no form of their own.
impl IntoResponse for Unfit {
    fn into_response(self) -> Response {
        self.dress(format!("{}\n", self.message).into_response())
    }
}

impl From<FormatError> for Unfit {
    fn from(error: FormatError) -> Self {
        let status = match error {
            FormatError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<MetricsError> for Unfit {
    fn from(error: MetricsError) -> Self {
        match &error {
            MetricsError::Store(SeriesError::TooMany { .. }) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            MetricsError::Store(SeriesError::TooFast { retry_after_ms, .. }) => {
                let seconds = u32::try_from(retry_after_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
                Self::later(StatusCode::TOO_MANY_REQUESTS, error.to_string(), seconds)
            }
            MetricsError::Refused { .. } => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            _ => {
                tracing::error!(%error, "measurements could not be stored; the sender is told to come again");
                Self::later(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), 5)
            }
        }
    }
}

/// A body that has come.
pub struct Taken {
    /// Headers of the request.
    pub headers: HeaderMap,
    /// Parameters of the query.
    pub asked: Asked,
    /// As it came.
    pub body: Bytes,
    /// Gives the place back when it is dropped.
    _place: OwnedSemaphorePermit,
}

/// Reads a body whole.
///
/// # Errors
/// It is too large, did not come in time, or too much is being taken in already.
pub async fn take(signals: &Signals, request: Request) -> Result<Taken, Unfit> {
    let limit = signals.settings().body_bytes;
    let (parts, body) = request.into_parts();
    let told = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let place = signals.intake_place(told.unwrap_or(1 << 20)).await.ok_or_else(|| put_off(signals))?;
    let body = read(body, limit, signals.settings().intake_wait).await?;
    let asked = Asked::of(b"", parts.uri.query().unwrap_or_default().as_bytes());
    Ok(Taken { headers: parts.headers, asked, body, _place: place })
}

fn too_large(limit: usize) -> Unfit {
    Unfit::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes; send less at a time"))
}

fn put_off(signals: &Signals) -> Unfit {
    Counters::add(&signals.counters().bodies_put_off, 1);
    Unfit::later(StatusCode::TOO_MANY_REQUESTS, "too much is being taken in at this moment; come again", 1)
}

async fn read(body: Body, limit: usize, wait: Duration) -> Result<Bytes, Unfit> {
    match tokio::time::timeout(wait, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let over = std::error::Error::source(&error).is_some_and(|e| e.is::<http_body_util::LengthLimitError>());
            if over {
                Err(too_large(limit))
            } else {
                Err(Unfit::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")))
            }
        }
        Err(_) => Err(Unfit::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

impl Taken {
    /// The media type, without its parameters, in lower case.
    pub fn media(&self) -> String {
        let whole = self.header(header::CONTENT_TYPE.as_str());
        whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The body, unpacked when it says that it is packed by gzip.
    ///
    /// # Errors
    /// It is packed otherwise, is not what it says, or is too large when it is unpacked.
    pub fn plain(&self, limit: usize) -> Result<Bytes, Unfit> {
        match self.header("content-encoding").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(self.body.clone()),
            "gzip" | "x-gzip" => Ok(gunzip(&self.body, limit)?.into()),
            other => {
                Err(Unfit::media(format!("the encoding {other:?} is not known here: send gzip, or nothing packed")))
            }
        }
    }
}

/// Unpacks gzip; more than `limit` bytes are refused before they are held.
///
/// # Errors
/// It is no gzip, or too large.
pub fn gunzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, Unfit> {
    crate::gunzip::gunzip(packed, limit).map_err(|broken| match broken {
        Broken::TooLong => {
            let why = format!("the body is larger than {limit} bytes when it is unpacked");
            Unfit::new(StatusCode::PAYLOAD_TOO_LARGE, why)
        }
        Broken::NoGzip(why) => Unfit::new(StatusCode::BAD_REQUEST, format!("the body is not gzip: {why}")),
    })
}

/// What became of a body.
#[derive(Debug)]
pub struct Stored {
    /// Floats that are on disk.
    pub floats: usize,
    /// Native histograms that are on disk.
    pub histograms: usize,
    /// Exemplars that are on disk.
    pub exemplars: usize,
    /// Samples, points and lines that were not taken.
    pub refused: usize,
    /// Why, in short; empty when everything was taken.
    pub why: String,
}

/// Stores a batch, and comes back when it is on disk.
///
/// # Errors
/// Nothing of it counts as stored.
pub async fn store(signals: &Signals, tenant: u64, mut batch: Batch) -> Result<Stored, Unfit> {
    let sent = batch.floats();
    let lines = std::mem::take(&mut batch.rejected);
    let rejected = batch.rejected_lines;
    let wait = signals.settings().intake_wait;
    let done = tokio::time::timeout(wait, signals.metrics().write(tenant, batch)).await;
    let done = done.map_err(|_| Unfit::later(StatusCode::SERVICE_UNAVAILABLE, "the disk does not keep up", 5))??;
    let refused = done.refused.len() + rejected;
    Counters::add(&signals.counters().samples, done.accepted);
    Counters::add(&signals.counters().samples_refused, refused);
    let by_line =
        lines.iter().map(|l| if l.line == 0 { l.reason.clone() } else { format!("line {}: {}", l.line, l.reason) });
    let mut reasons: Vec<String> = Vec::new();
    for reason in by_line.chain(done.refused.iter().map(|r| format!("sample {}: {}", r.index, r.reason))) {
        if reasons.len() == TOLD {
            break;
        }
        reasons.push(reason);
    }
    let why = match refused {
        0 => String::new(),
        _ if refused > reasons.len() => format!("{refused} not taken: {}; and more", reasons.join("; ")),
        _ => format!("{refused} not taken: {}", reasons.join("; ")),
    };
    // The engine counts floats first and histograms after them.
    let floats = sent - done.refused.iter().filter(|r| r.index < sent).count().min(sent);
    let histograms = done.accepted.saturating_sub(floats);
    Ok(Stored { floats, histograms, exemplars: done.exemplars, refused, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Parts, Settings};
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).expect("memory takes it");
        out.finish().expect("memory takes it")
    }

    fn signals(settings: Settings) -> (Signals, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (engine, _) = series::Engine::open(folder.path(), series::Options::default()).expect("an engine");
        let parts = Parts {
            metrics: Arc::new(Arc::new(engine)),
            clock: series::system_clock(),
            measured: "check",
            rules: None,
            targets: None,
            settings,
        };
        (Signals::new(parts), folder)
    }

    #[tokio::test]
    async fn when_too_much_is_taken_in_already_a_body_is_put_off_and_counted() {
        let settings =
            Settings { intake_bytes: 64 << 10, intake_wait: Duration::from_millis(5), ..Settings::default() };
        let (signals, _folder) = signals(settings);
        let first = take(&signals, Request::new(Body::from("up 1\n"))).await.expect("there is a place");
        let refused = take(&signals, Request::new(Body::from("up 1\n"))).await.err().expect("there is none");
        assert_eq!((refused.status, refused.retry_after), (StatusCode::TOO_MANY_REQUESTS, Some(1)));
        assert_eq!(signals.counters().bodies_put_off.load(Relaxed), 1);
        drop(first);
        take(&signals, Request::new(Body::from("up 1\n"))).await.expect("there is a place again");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_or_does_not_come_is_refused() {
        let settings = Settings { body_bytes: 100, intake_wait: Duration::from_millis(20), ..Settings::default() };
        let (signals, _folder) = signals(settings);
        let large = take(&signals, Request::new(Body::from(vec![b' '; 101]))).await.err().expect("too large");
        assert_eq!((large.status, large.retry_after), (StatusCode::PAYLOAD_TOO_LARGE, None));
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let late = take(&signals, Request::new(silent)).await.err().expect("it never comes");
        assert_eq!(late.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn what_is_stored_and_what_is_not_is_told_apart() {
        let (signals, _folder) = signals(Settings::default());
        let now = signals.now_ms();
        let page = format!("a 1 {now}\nb 2 1000\nc 3 {now}\n");
        let batch = series::formats::exposition::decode(page.as_bytes(), now, signals.body_limits()).expect("a page");
        let stored = store(&signals, 1, batch).await.expect("the disk takes it");
        assert_eq!((stored.floats, stored.histograms, stored.exemplars, stored.refused), (2, 0, 0, 1));
        assert!(stored.why.starts_with("1 not taken: sample 1: ") && stored.why.contains("too old"), "{}", stored.why);
        let page =
            format!("a 1 {0} # {{trace_id=\"t\"}} 1 {0}\nnever 1 1 # {{trace_id=\"t\"}} 1 1\n# EOF\n", now / 1000);
        let batch = series::formats::openmetrics::decode(page.as_bytes(), now, signals.body_limits()).expect("a page");
        let stored = store(&signals, 1, batch).await.expect("the disk takes it");
        assert_eq!((stored.exemplars, stored.refused), (1, 1), "one belongs to a sample that was too old");
    }

    #[test]
    fn only_what_helps_when_sent_again_says_when() {
        let disk = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let disk = SeriesError::Io { action: "sync", path: "log".into(), source: disk };
        let away = MetricsError::Away { engine: "far".into(), reason: "silence".into() };
        let cases = [
            (Unfit::from(MetricsError::Store(disk)), 503, true),
            (Unfit::from(MetricsError::Store(SeriesError::Stopped)), 503, true),
            (Unfit::from(away), 503, true),
            (Unfit::from(MetricsError::Store(SeriesError::TooFast { limit: 10, retry_after_ms: 1500 })), 429, true),
            (Unfit::from(MetricsError::Store(SeriesError::TooMany { given: 2, limit: 1 })), 413, false),
            (Unfit::from(MetricsError::Refused { engine: "far".into(), reason: "no".into() }), 400, false),
            (Unfit::from(FormatError::TooLarge { what: "samples", given: 2, limit: 1 }), 413, false),
            (Unfit::from(FormatError::Malformed { at: 0, reason: "no" }), 400, false),
        ];
        for (unfit, status, again) in cases {
            assert_eq!((unfit.status.as_u16(), unfit.retry_after.is_some()), (status, again), "{unfit}");
            let response = unfit.into_response();
            assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (status, again));
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_held() {
        let bomb = packed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(gunzip(&bomb, 1 << 20).expect_err("too large").status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(gunzip(&packed(&[7; 1000]), 1000).expect("it fits").len(), 1000);
        assert_eq!(gunzip(b"no gzip", 1000).expect_err("no gzip").status, StatusCode::BAD_REQUEST);
    }
}
