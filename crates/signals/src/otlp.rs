//! OpenTelemetry metrics over HTTP: protocol buffers or JSON, packed by gzip or not. The answer has the encoding of the request.

use api::Operation;
use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use series::formats::{FormatError, otlp};

use crate::caller::Feeder;
use crate::intake::{Stored, Unfit, store, take};
use crate::protobuf::{bytes, number};
use crate::state::Signals;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The one operation.
pub fn operations() -> Vec<Operation> {
    let any = || json!({"type": "object"});
    let operation = Operation::new(
        Method::POST,
        "/otlp/v1/metrics",
        "otlp_metrics",
        "OpenTelemetry metrics, as protocol buffers or JSON; answers after the points are on disk.",
    )
    .takes_media(&[PROTOBUF, JSON])
    .answers(200, any());
    let operation = [400, 408, 413, 415, 429, 503].into_iter().fold(operation, |o, status| o.also(status, JSON, any()));
    vec![operation.by(write)]
}

async fn write(Extension(signals): Extension<Signals>, who: Feeder, request: Request) -> Response {
    let json =
        request.headers().get(header::CONTENT_TYPE).is_none_or(|v| !v.as_bytes().starts_with(PROTOBUF.as_bytes()));
    match take_in(&signals, who.tenant, request).await {
        Ok(stored) => success(&stored, json),
        Err(unfit) => failure(&unfit, json),
    }
}

async fn take_in(signals: &Signals, tenant: u64, request: Request) -> Result<Stored, Unfit> {
    let taken = take(signals, request).await?;
    let limits = signals.body_limits();
    let plain = taken.plain(limits.bytes)?;
    let batch = match taken.media().as_str() {
        PROTOBUF => otlp::decode(&plain, limits)?,
        JSON => otlp::decode_json(&plain, limits)?,
        other => {
            return Err(Unfit::media(format!(
                "the content type {other:?} is not known here: send {PROTOBUF} or {JSON}"
            )));
        }
    };
    store(signals, tenant, batch).await
}

/// Decodes a message of a gRPC call and stores it.
///
/// # Errors
/// As [`store`]'s.
pub async fn take_message(signals: &Signals, tenant: u64, message: &[u8]) -> Result<Stored, Unfit> {
    let batch = otlp::decode(message, signals.body_limits()).map_err(|e: FormatError| Unfit::from(e))?;
    store(signals, tenant, batch).await
}

/// `ExportMetricsServiceResponse`.
pub fn response_message(stored: &Stored) -> Vec<u8> {
    let mut partial = Vec::new();
    if stored.refused > 0 {
        number(&mut partial, 1, stored.refused as u64);
        bytes(&mut partial, 2, stored.why.as_bytes());
    }
    let mut message = Vec::new();
    if !partial.is_empty() {
        bytes(&mut message, 1, &partial);
    }
    message
}

fn success(stored: &Stored, json: bool) -> Response {
    if !json {
        return with_media(response_message(stored).into_response(), PROTOBUF);
    }
    let body = match stored.refused {
        0 => json!({}),
        // A 64-bit number is a text in protocol buffers' JSON.
        refused => json!({"partialSuccess": {"rejectedDataPoints": refused.to_string(), "errorMessage": stored.why}}),
    };
    with_media(body.to_string().into_response(), JSON)
}

/// `google.rpc.Status`.
fn failure(unfit: &Unfit, json: bool) -> Response {
    let code = crate::grpc::code_of(unfit.status);
    let response = if json {
        with_media(json!({"code": code, "message": unfit.message}).to_string().into_response(), JSON)
    } else {
        let mut message = Vec::new();
        number(&mut message, 1, code.into());
        bytes(&mut message, 2, unfit.message.as_bytes());
        with_media(message.into_response(), PROTOBUF)
    };
    unfit.dress(response)
}

fn with_media(mut response: Response, media: &'static str) -> Response {
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_success_says_nothing_and_a_partial_one_how_much_is_missing() {
        let stored = |refused, why: &str| Stored { floats: 9, histograms: 0, exemplars: 0, refused, why: why.into() };
        assert!(response_message(&stored(0, "")).is_empty());
        // partial_success { rejected_data_points: 300, error_message: "why" }
        assert_eq!(response_message(&stored(300, "why")), b"\x0a\x08\x08\xac\x02\x12\x03why");
    }
}
