//! How every body comes in: read within limits, unpacked within limits, stored, and what could not be said in the words of each
//! protocol by its own module. Nothing is answered 2xx here before the engine has it on disk.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use series::formats::{Batch, FormatError};
use series::{MetricsError, SeriesError};
use tokio::sync::OwnedSemaphorePermit;

use crate::asked::Asked;
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
    let mut out = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(limit as u64 + 1);
    reader
        .read_to_end(&mut out)
        .map_err(|e| Unfit::new(StatusCode::BAD_REQUEST, format!("the body is not gzip: {e}")))?;
    if out.len() > limit {
        return Err(Unfit::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes when it is unpacked"),
        ));
    }
    Ok(out)
}

/// What became of a body.
#[derive(Debug)]
pub struct Stored {
    /// Samples that were sent.
    pub sent: usize,
    /// Samples that are on disk.
    pub accepted: usize,
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
    let sent = batch.samples();
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
    Ok(Stored { sent, accepted: done.accepted, refused, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).expect("memory takes it");
        out.finish().expect("memory takes it")
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
