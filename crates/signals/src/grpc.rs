//! OpenTelemetry metrics over gRPC: one unary call, framed by hand on the HTTP/2 that is served anyway.
//!
//! A gRPC framework would bring code generation and a second set of services for a single method whose message is read by our own
//! decoder: a call is one message behind five bytes, and its status stands in the trailers. Streams, reflection and other
//! services are not here; who calls is asked as everywhere.

use api::App;
use api::app::{Gate, Via};
use api::caller::peer_of;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use futures::stream;
use http_body_util::StreamBody;
use std::convert::Infallible;

use crate::intake::{Unfit, gunzip, take};
use crate::otlp::{response_message, take_message};
use crate::state::Signals;
use crate::tenant::number;

const OK: u8 = 0;
const UNKNOWN: u8 = 2;
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

/// Serves the call; to be given to a listener of its own, since gRPC clients take no path before the method's.
pub fn router(app: App, signals: Signals) -> Router {
    Router::new()
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(export))
        .fallback(|| async { status(UNIMPLEMENTED, "only MetricsService/Export is served here") })
        .with_state((app, signals))
}

/// The gRPC code of a refusal over HTTP. What is worth sending again is unavailable, which clients of OTLP
/// do send again.
pub fn code_of(status: StatusCode) -> u8 {
    match status.as_u16() {
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        408 => DEADLINE_EXCEEDED,
        429 | 503 => UNAVAILABLE,
        400..=499 => INVALID_ARGUMENT,
        _ => UNKNOWN,
    }
}

async fn export(State((app, signals)): State<(App, Signals)>, request: Request) -> Response {
    match call(&app, &signals, request).await {
        Ok(message) => answer(Some(message), OK, ""),
        Err(unfit) => status(code_of(unfit.status), &unfit.message),
    }
}

async fn call(app: &App, signals: &Signals, request: Request) -> Result<Vec<u8>, Unfit> {
    let (parts, body) = request.into_parts();
    let problem = |p: api::problem::Problem| Unfit::new(p.status(), p.detail());
    let gate: &dyn Gate = app.gate.as_ref();
    let (session, via) = gate.authenticate(&parts.headers, &peer_of(&parts)).await.map_err(problem)?;
    if via == Via::Cookie {
        return Err(Unfit::new(StatusCode::UNAUTHORIZED, "a token is needed: authorization: Bearer …"));
    }
    app.kernel.allow(&session, "ingest", signals.measured()).map_err(|e| problem(e.into()))?;
    let taken = take(signals, Request::from_parts(parts, body)).await?;
    if !taken.media().starts_with("application/grpc") {
        return Err(Unfit::media("the content type must be application/grpc"));
    }
    let (packed, message) = frame(&taken.body)?;
    let stored = match (packed, taken.header("grpc-encoding")) {
        (false, _) => take_message(signals, number(session.tenant()), message).await?,
        (true, "gzip") => {
            let plain = gunzip(message, signals.settings().unpacked_bytes)?;
            take_message(signals, number(session.tenant()), &plain).await?
        }
        (true, other) => return Err(Unfit::media(format!("the encoding {other:?} is not known here: send gzip"))),
    };
    Ok(response_message(&stored))
}

/// The one message of a unary call: whether it is packed, and its bytes.
///
/// # Errors
/// It is cut off, or there is more than one.
pub fn frame(body: &[u8]) -> Result<(bool, &[u8]), Unfit> {
    let wrong = |why: &str| Unfit::new(StatusCode::BAD_REQUEST, why);
    let (head, message) = body.split_first_chunk::<5>().ok_or_else(|| wrong("the message has no frame"))?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if message.len() != length {
        return Err(wrong("the frame must hold exactly one message"));
    }
    match head[0] {
        0 => Ok((false, message)),
        1 => Ok((true, message)),
        _ => Err(wrong("the frame's first byte must be 0 or 1")),
    }
}

fn status(code: u8, message: &str) -> Response {
    answer(None, code, message)
}

/// Always status 200: how it went stands in the trailers.
fn answer(message: Option<Vec<u8>>, code: u8, said: &str) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Ok(said) = HeaderValue::from_str(&escaped(said)) {
        trailers.insert("grpc-message", said);
    }
    let data = message.map(|message| {
        let mut framed = vec![0];
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(&message);
        hyper::body::Frame::data(Bytes::from(framed))
    });
    let frames = data.into_iter().chain([hyper::body::Frame::trailers(trailers)]);
    let mut response = Response::new(Body::new(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// As gRPC wants texts in headers: printable ASCII, the rest by percent.
fn escaped(text: &str) -> String {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'%';
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_holds_one_whole_message() {
        assert_eq!(frame(b"\0\0\0\0\x02ab").expect("whole"), (false, b"ab".as_slice()));
        assert_eq!(frame(b"\x01\0\0\0\0").expect("whole"), (true, b"".as_slice()));
        for wrong in [
            b"".as_slice(),
            b"\0\0\0\0",
            b"\0\0\0\0\x03ab",
            b"\0\0\0\0\x01ab",
            b"\x02\0\0\0\x02ab",
            b"\0\xff\xff\xff\xff",
        ] {
            assert!(frame(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(escaped("100 % é\n"), "100 %25 %C3%A9%0A");
    }
}
