//! Prometheus remote write, 1.0 and 2.0: what senders may send, and answers by which they know whether to send it again.

use api::Operation;
use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use series::formats::remote_write::{Version, decode};

use crate::caller::Feeder;
use crate::intake::{Stored, Unfit, store, take};
use crate::state::Signals;

/// The one operation.
pub fn operations() -> Vec<Operation> {
    let operation = Operation::new(
        Method::POST,
        "/prometheus/api/v1/write",
        "remote_write",
        "Prometheus remote write 1.0 and 2.0, packed by snappy; answers after the samples are on disk.",
    )
    .takes_media(&["application/x-protobuf"])
    .answers_nothing();
    vec![refusing(operation).by(write)]
}

/// With the refusals that all ways in have, in plain words.
pub fn refusing(operation: Operation) -> Operation {
    let text = || json!({"type": "string"});
    [400, 408, 413, 415, 429, 503].into_iter().fold(operation, |o, status| o.also(status, "text/plain", text()))
}

async fn write(Extension(signals): Extension<Signals>, who: Feeder, request: Request) -> Result<Response, Unfit> {
    let taken = take(&signals, request).await?;
    let version = version(taken.header("content-type"))?;
    match taken.header("content-encoding").trim() {
        "" | "snappy" => {}
        other => return Err(Unfit::media(format!("the encoding {other:?} is not known here: send snappy"))),
    }
    let batch = decode(version, &taken.body, signals.body_limits())?;
    let stored = store(&signals, who.tenant, batch).await?;
    Ok(told(version, &stored))
}

/// Which message a body is. Senders of version 1 may leave it out.
fn version(media: &str) -> Result<Version, Unfit> {
    if media.trim().is_empty() {
        return Ok(Version::One);
    }
    Version::of_content_type(media).ok_or_else(|| {
        Unfit::media(format!(
            "the content type {media:?} is not known here: send application/x-protobuf, with proto=prometheus.WriteRequest or \
             proto=io.prometheus.write.v2.Request"
        ))
    })
}

/// What was written of it. What was not taken would not be taken the next time either, so 400 and no more.
fn told(version: Version, stored: &Stored) -> Response {
    let mut response = match stored.refused {
        0 => StatusCode::NO_CONTENT.into_response(),
        _ => (StatusCode::BAD_REQUEST, format!("{}\n", stored.why)).into_response(),
    };
    if version == Version::Two {
        for (name, many) in [
            ("x-prometheus-remote-write-samples-written", stored.floats),
            ("x-prometheus-remote-write-histograms-written", stored.histograms),
            ("x-prometheus-remote-write-exemplars-written", stored.exemplars),
        ] {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(many));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_told_what_was_written_of_each_kind_and_version_1_is_not() {
        let stored = Stored { floats: 3, histograms: 2, exemplars: 1, refused: 0, why: String::new() };
        let header = |response: &Response, kind: &str| {
            let name = format!("x-prometheus-remote-write-{kind}-written");
            response.headers().get(&name).map(|value| value.to_str().expect("digits").to_owned())
        };
        let two = told(Version::Two, &stored);
        let all = ["samples", "histograms", "exemplars"].map(|kind| header(&two, kind).expect("it is told"));
        assert_eq!(all, ["3", "2", "1"]);
        assert_eq!(header(&told(Version::One, &stored), "exemplars"), None);
    }
}
