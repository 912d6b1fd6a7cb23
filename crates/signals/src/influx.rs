//! Influx's ways to write: `/write` of version 1 and `/api/v2/write` of version 2, below `/influx`. Lines that are wrong are told and
//! the rest is taken, as those servers do. Databases, buckets and organisations are not looked at: the token says whose samples
//! they are. No query language of theirs is here.

use api::Operation;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use series::formats::influx::{Precision, decode};

use crate::batch::labelled;
use crate::caller::Feeder;
use crate::intake::{Unfit, store, take};
use crate::push::extra_labels;
use crate::state::Signals;

/// The operations.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let write = |path, id, summary, precision: &'static str| {
        let operation = Operation::new(Method::POST, path, id, summary)
            .query("precision", precision, text())
            .query("extra_label", "name=value: a label for every series; may be given several times", text())
            .takes_media(&["text/plain"])
            .answers_nothing();
        [400, 408, 413, 415, 429, 503]
            .into_iter()
            .fold(operation, |o, s| o.also(s, "application/json", json!({"type": "object"})))
    };
    vec![
        write("/influx/write", "influx_write", "Influx line protocol, as version 1 is written to.", "n, u, ms or s")
            .query("db", "Not looked at", text())
            .query("rp", "Not looked at", text())
            .by(one),
        write(
            "/influx/api/v2/write",
            "influx_write_2",
            "Influx line protocol, as version 2 is written to.",
            "ns, us, ms or s",
        )
        .query("org", "Not looked at", text())
        .query("bucket", "Not looked at", text())
        .by(two),
        Operation::new(Method::GET, "/influx/ping", "influx_ping", "Says that Influx's clients may write here.")
            .open()
            .answers_nothing()
            .by(ping),
    ]
}

async fn ping() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert("x-influxdb-version", HeaderValue::from_static("1.8-mainstay"));
    response
}

async fn one(Extension(signals): Extension<Signals>, who: Feeder, request: Request) -> Response {
    written(&signals, &who, request)
        .await
        .unwrap_or_else(|unfit| unfit.dress(Json(json!({"error": unfit.message})).into_response()))
}

async fn two(Extension(signals): Extension<Signals>, who: Feeder, request: Request) -> Response {
    let code = |unfit: &Unfit| match unfit.status {
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "invalid",
    };
    let refused =
        |unfit: Unfit| unfit.dress(Json(json!({"code": code(&unfit), "message": unfit.message})).into_response());
    written(&signals, &who, request).await.unwrap_or_else(refused)
}

async fn written(signals: &Signals, who: &Feeder, request: Request) -> Result<Response, Unfit> {
    let taken = take(signals, request).await?;
    let labels = extra_labels(&taken.asked)?;
    let given = taken.asked.text("precision").unwrap_or_default();
    let precision = Precision::parse(given)
        .ok_or_else(|| Unfit::new(StatusCode::BAD_REQUEST, format!("precision: {given:?} is none of ns, us, ms, s")))?;
    let limits = signals.body_limits();
    let batch = decode(&taken.plain(limits.bytes)?, precision, signals.now_ms(), limits)?;
    let stored = store(signals, who.tenant, labelled(batch, &labels)?).await?;
    if stored.refused > 0 {
        return Err(Unfit::new(StatusCode::BAD_REQUEST, format!("partial write: {}", stored.why)));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    Ok(response)
}
