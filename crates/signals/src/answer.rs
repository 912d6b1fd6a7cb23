//! Answers in the envelope of Prometheus's HTTP API, written piece by piece: no whole answer ever stands in memory as text.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use series::MetricsError;
use series::promql::{ParseError, QueryError};
use tokio::sync::mpsc;

/// What stands before the data.
pub const BEGINNING: &[u8] = b"{\"status\":\"success\",\"data\":";
/// Bytes that are written before they are sent on.
const PIECE: usize = 64 << 10;
/// An answer of so many small things at most (names, values) is written on the spot: it takes less time than to wake a thread for it.
const FEW: usize = 4096;
/// Pieces that may wait for a slow reader; then the writer waits.
const WAITING: usize = 4;
/// Whoever takes no piece for so long is cut off: an answer that is not read holds a thread and a place among the queries.
const PATIENCE: Duration = Duration::from_secs(60);
/// The client has gone; nobody reads this status, but the log shows it.
const CLIENT_GONE: u16 = 499;

/// A refusal in Prometheus's shape.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
    retry_after: Option<u32>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), retry_after: None }
    }

    /// The request makes no sense.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", message)
    }

    /// A parameter makes no sense, in Prometheus's words.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {why}"))
    }

    /// The text of a parameter is not a query.
    pub fn parse(name: &str, text: &str, error: &ParseError) -> Self {
        let before = text.get(..error.offset.min(text.len())).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().len() + 1;
        Self::parameter(name, format!("{line}:{column}: parse error: {}", error.reason))
    }

    /// What was asked for cannot be done.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", message)
    }

    /// It is not done yet.
    pub fn unfinished(message: impl Into<String>) -> Self {
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message) }
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Too many queries at once.
    pub fn busy() -> Self {
        let text = "too many queries at the same time; query timed out in query queue";
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", text) }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let kind = error.kind();
        let status = match kind {
            "bad_data" => StatusCode::BAD_REQUEST,
            "execution" => StatusCode::UNPROCESSABLE_ENTITY,
            "timeout" => StatusCode::SERVICE_UNAVAILABLE,
            "canceled" => StatusCode::from_u16(CLIENT_GONE).expect("a three-digit number is a status"),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = match &error {
            QueryError::Range { reason } => reason.clone(),
            other => other.to_string(),
        };
        Self::new(status, kind, message)
    }
}

impl From<MetricsError> for Refusal {
    fn from(error: MetricsError) -> Self {
        match error {
            MetricsError::Query(error) => error.into(),
            MetricsError::Away { .. } => Self {
                retry_after: Some(5),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
            },
            MetricsError::Refused { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", error.to_string()),
            other => {
                tracing::error!(error = %other, "a query could not be answered");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", other.to_string())
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.message});
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What stands beside the data.
#[derive(Debug, Default)]
pub struct Remarks {
    /// What is wrong with it.
    pub warnings: Vec<String>,
    /// What might be wrong with it.
    pub infos: Vec<String>,
}

impl Remarks {
    /// Says that not everything is there.
    pub fn truncated(&mut self) {
        self.warnings.push("results truncated due to limit".into());
    }

    /// Ends an answer behind its data.
    fn end(&self, out: &mut impl Write) -> io::Result<()> {
        for (name, texts) in [("warnings", &self.warnings), ("infos", &self.infos)] {
            if !texts.is_empty() {
                write!(out, ",\"{name}\":")?;
                serde_json::to_writer(&mut *out, texts)?;
            }
        }
        out.write_all(b"}")
    }
}

/// Leaves only the first `limit`, when there is one, and says so.
pub fn cut<T>(list: &mut Vec<T>, limit: usize, remarks: &mut Remarks) {
    if limit > 0 && list.len() > limit {
        list.truncate(limit);
        remarks.truncated();
    }
}

/// An answer whose data serde writes.
pub async fn data<T: Serialize + Send + 'static>(data: T, remarks: Remarks) -> Response {
    envelope(usize::MAX, remarks, move |out| serde_json::to_writer(out, &data).map_err(io::Error::from)).await
}

/// The same of a list of names.
pub async fn names(names: Vec<String>, remarks: Remarks) -> Response {
    envelope(names.len(), remarks, move |out| serde_json::to_writer(out, &names).map_err(io::Error::from)).await
}

/// An answer whose data the caller writes: about so many small things (names, values).
pub async fn envelope(
    many: usize,
    remarks: Remarks,
    data: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static,
) -> Response {
    let write = move |out: &mut Pieces| {
        out.write_all(BEGINNING)?;
        data(out)?;
        remarks.end(out)
    };
    if many > FEW {
        return streamed("application/json", write).await;
    }
    let mut pieces = Pieces { to: None, held: Vec::with_capacity(1024) };
    match write(&mut pieces) {
        Ok(()) => body("application/json", Body::from(pieces.held)),
        Err(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()).into_response(),
    }
}

/// An answer that stands in memory already, from [`BEGINNING`] to its data.
pub fn whole(mut begun: Vec<u8>, remarks: &Remarks) -> Response {
    match remarks.end(&mut begun) {
        Ok(()) => body("application/json", Body::from(begun)),
        Err(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()).into_response(),
    }
}

fn body(media: &'static str, body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media))], body).into_response()
}

/// A body that `write` writes on a thread of its own, piece by piece, as fast as it is read. When the reader goes, writing
/// fails at the next piece.
pub async fn streamed(
    media: &'static str,
    write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static,
) -> Response {
    let (to, mut from) = mpsc::channel(WAITING);
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { to: Some((to, handle)), held: Vec::with_capacity(1024) };
        match write(&mut pieces).and_then(|()| pieces.pass_on()) {
            Ok(()) => {}
            // An answer that breaks off must be seen to: without its end it is no JSON, and the connection is cut.
            Err(error) => drop(pieces.send(Err(error))),
        }
    });
    let first: Option<io::Result<Bytes>> = from.recv().await;
    let second = from.recv().await;
    let whole = match (first, second) {
        (Some(Ok(whole)), None) => Body::from(whole),
        (None, _) => Body::empty(),
        (Some(first), second) => {
            let begun = futures::stream::iter([Some(first), second].into_iter().flatten());
            let rest = futures::stream::poll_fn(move |cx| from.poll_recv(cx));
            Body::from_stream(futures::StreamExt::chain(begun, rest))
        }
    };
    body(media, whole)
}

/// Where an answer is written to: gathers some kilobytes and hands them to the connection.
pub struct Pieces {
    /// Without a connection everything is held.
    to: Option<(mpsc::Sender<io::Result<Bytes>>, tokio::runtime::Handle)>,
    held: Vec<u8>,
}

impl Pieces {
    fn pass_on(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(PIECE + 1024));
        self.send(Ok(piece.into()))
    }

    fn send(&self, piece: io::Result<Bytes>) -> io::Result<()> {
        let Some((to, handle)) = &self.to else { return Ok(()) };
        let sent = async { tokio::time::timeout(PATIENCE, to.send(piece)).await };
        match handle.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    // An answer is written a few bytes at a time, and all of them are taken at once.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE && self.to.is_some() { self.pass_on() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn an_answer_of_any_length_arrives_whole_and_in_order() {
        for many in [0_u32, 1, 10_000, 200_000] {
            let response = data((0..many).collect::<Vec<_>>(), Remarks::default()).await;
            let body = response.into_body().collect().await.expect("it arrives").to_bytes();
            let value: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
            assert_eq!(value["status"], "success");
            let list = value["data"].as_array().expect("a list");
            assert_eq!(list.len(), many as usize);
            assert!(list.iter().zip(0..).all(|(v, i)| v.as_u64() == Some(i)));
            assert!(value.get("warnings").is_none() && value.get("infos").is_none());
        }
    }

    #[tokio::test]
    async fn a_list_of_names_is_the_same_whether_it_is_written_on_the_spot_or_beside() {
        for many in [0, FEW, FEW + 1] {
            let all: Vec<String> = (0..many).map(|n| format!("name {n}")).collect();
            let mut remarks = Remarks::default();
            remarks.truncated();
            let response = names(all.clone(), remarks).await;
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
            let body = response.into_body().collect().await.expect("it arrives").to_bytes();
            let value: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
            assert_eq!(
                (&value["data"], &value["warnings"][0]),
                (&json!(all), &json!("results truncated due to limit"))
            );
        }
    }

    #[tokio::test]
    async fn a_writer_whose_reader_has_gone_is_told_and_stops() {
        let (told, stopped) = tokio::sync::oneshot::channel();
        let response = streamed("text/plain", move |out| {
            let failed = (0..).find_map(|_: u64| out.write_all(&[b'x'; 1024]).err());
            let _ = told.send(failed.map(|e| e.kind()));
            Ok(())
        })
        .await;
        drop(response);
        assert_eq!(stopped.await.expect("it ends"), Some(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn a_parse_error_names_line_and_column_as_prometheus_does() {
        let text = "sum(\nrate(x[5m]";
        let error = series::promql::Query::parse(text).expect_err("it is not closed");
        let refusal = Refusal::parse("query", text, &error);
        assert!(refusal.message.starts_with("invalid parameter \"query\": 2:"), "{}", refusal.message);
        assert!(refusal.message.contains(": parse error: "), "{}", refusal.message);
    }
}
