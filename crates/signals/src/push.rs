//! Text pushed by scripts and jobs: a page in the exposition format or in OpenMetrics, taken whole or not at all.

use api::Operation;
use axum::Extension;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use series::formats::{exposition, openmetrics};

use crate::asked::Asked;
use crate::batch::labelled;
use crate::caller::Feeder;
use crate::intake::{Unfit, store, take};
use crate::remote_write::refusing;
use crate::state::Signals;

/// The one operation. Path and parameters are those of VictoriaMetrics, for which clients exist.
pub fn operations() -> Vec<Operation> {
    let operation = Operation::new(
        Method::POST,
        "/prometheus/api/v1/import/prometheus",
        "push_text",
        "A page of metrics as text (exposition format or OpenMetrics); answers after the samples are on disk.",
    )
    .query("extra_label", "name=value: a label for every series; may be given several times", json!({"type": "string"}))
    .query(
        "timestamp",
        "Unix milliseconds of samples that have no time of their own; now when left out",
        json!({"type": "string"}),
    )
    .takes_media(&["text/plain", "application/openmetrics-text"])
    .answers_nothing();
    vec![refusing(operation).by(push)]
}

async fn push(Extension(signals): Extension<Signals>, who: Feeder, request: Request) -> Result<Response, Unfit> {
    let taken = take(&signals, request).await?;
    let labels = extra_labels(&taken.asked)?;
    let at_ms = match taken.asked.text("timestamp") {
        None => signals.now_ms(),
        Some(text) => text.parse().map_err(|_| bad(format!("timestamp: {text:?} is no time in Unix milliseconds")))?,
    };
    let limits = signals.body_limits();
    let plain = taken.plain(limits.bytes)?;
    let batch = match taken.media().as_str() {
        "application/openmetrics-text" => openmetrics::decode(&plain, at_ms, limits)?,
        _ => exposition::decode(&plain, at_ms, limits)?,
    };
    let stored = store(&signals, who.tenant, labelled(batch, &labels)?).await?;
    match stored.refused {
        0 => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Err(bad(stored.why)),
    }
}

fn bad(why: String) -> Unfit {
    Unfit::new(StatusCode::BAD_REQUEST, why)
}

/// The labels that `extra_label` parameters add.
///
/// # Errors
/// One is not `name=value`.
pub fn extra_labels(asked: &Asked) -> Result<Vec<(String, String)>, Unfit> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for text in asked.all("extra_label") {
        let (name, value) =
            text.split_once('=').ok_or_else(|| bad(format!("extra_label: {text:?} is not name=value")))?;
        if name.is_empty() || name == series::NAME || labels.iter().any(|(known, _)| known == name) {
            return Err(bad(format!("extra_label: {name:?} is empty, reserved or given twice")));
        }
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(labels)
}
