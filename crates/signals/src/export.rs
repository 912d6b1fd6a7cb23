//! Any selection of samples out again, as CSV, JSON lines or Parquet: series by series, so that no more than a stretch of one of
//! them is held, whatever was asked for. Samples are as they were stored; nothing is averaged or filled in.

use api::Operation;
use api::problem::Problem;
use axum::Extension;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use series::promql::{Limits, MatrixSeries, Query, Value};
use series::{Labels, MetricsError};
use std::io;
use std::time::Duration;

use crate::answer::{Pieces, Refusal, streamed};
use crate::asked::Asked;
use crate::caller::Reader;
use crate::selector::{exact, sets};
use crate::state::Signals;

mod forms;

use forms::{Form, Rows};

/// The stretch of one series that is held at once, in milliseconds: thirty days.
const STRETCH_MS: i64 = 30 * 86_400_000;
/// What is exported when no time is said.
const HOUR_MS: i64 = 3_600_000;

/// The one operation.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let operation = Operation::new(
        Method::GET,
        "/api/v1/series/export",
        "export_series",
        "Samples of all series that fit selectors, as they were stored: CSV, JSON lines or Parquet.",
    )
    .query("match[]", "Selector of series; may be given several times", text())
    .query("from", "From: RFC 3339 or Unix seconds; an hour ago when left out", text())
    .query("to", "To: RFC 3339 or Unix seconds; now when left out", text())
    .query("format", "csv, jsonl or parquet", json!({"type": "string", "enum": ["csv", "jsonl", "parquet"]}))
    .answers(200, text())
    .gives("*/*");
    let refused = crate::prometheus::refused;
    vec![[400, 422, 503].into_iter().fold(operation, |o, s| o.also(s, "application/json", refused())).by(export)]
}

async fn export(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let form = match asked.text("format").unwrap_or("csv") {
        "csv" => Form::Csv,
        "jsonl" => Form::JsonLines,
        "parquet" => Form::Parquet,
        other => return Err(Refusal::parameter("format", format!("{other:?} is none of csv, jsonl, parquet"))),
    };
    let sets = sets(asked.all("match[]"))?;
    if sets.is_empty() {
        return Err(Refusal::bad_data("no match[] parameter provided"));
    }
    let to = asked.time("to")?.unwrap_or_else(|| signals.now_ms());
    let from = asked.time("from")?.unwrap_or(to.saturating_sub(HOUR_MS));
    if to < from {
        return Err(Refusal::parameter("to", "must not be before from"));
    }
    let place = signals.query_place(Duration::from_secs(10)).await.ok_or_else(Refusal::busy)?;
    let all = signals.metrics().series(who.tenant, sets, (from, to)).await?;
    let reader = Samples { signals, tenant: who.tenant, handle: tokio::runtime::Handle::current() };
    let mut response = streamed(form.media(), move |out| {
        let _place = place;
        reader.write(out, form, &all, (from, to))
    })
    .await;
    let name = format!("attachment; filename=\"series.{}\"", form.ending());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Reads samples for a writer that is a thread of its own.
struct Samples {
    signals: Signals,
    tenant: u64,
    handle: tokio::runtime::Handle,
}

impl Samples {
    fn write(&self, out: &mut Pieces, form: Form, all: &[Labels], (from, to): (i64, i64)) -> io::Result<()> {
        let mut rows = Rows::new(form, out)?;
        for labels in all {
            let selector = exact(labels);
            let mut end = from.saturating_sub(1);
            while end < to {
                let start = end;
                end = to.min(start.saturating_add(STRETCH_MS));
                // A window does not hold its first moment, so the next one begins where this ends.
                let found = self.handle.block_on(self.stretch(&selector, start, end)).map_err(io::Error::other)?;
                for series in found.iter().filter(|series| series.metric.len() == labels.iter().len()) {
                    rows.put(labels, series)?;
                }
            }
        }
        rows.end()
    }

    async fn stretch(&self, selector: &str, from: i64, to: i64) -> Result<Vec<MatrixSeries>, MetricsError> {
        let text = format!("{selector}[{}ms]", to.abs_diff(from));
        let query = Query::parse(&text).map_err(series::promql::QueryError::from)?;
        let settings = self.signals.settings();
        let patience = i64::try_from(settings.query_timeout.as_millis()).unwrap_or(i64::MAX);
        let limits = Limits {
            max_samples: settings.query_samples,
            max_bytes: settings.query_bytes,
            deadline_ms: Some(self.signals.now_ms().saturating_add(patience)),
            clock: self.signals.clock().clone(),
            ..Limits::default()
        };
        match self.signals.metrics().instant(self.tenant, query, to, limits).await?.value {
            Value::Matrix(found) => Ok(found),
            _ => Ok(Vec::new()),
        }
    }
}

/// The raw points of all series that a selector means, for charts: Unix milliseconds and value.
///
/// # Errors
/// A problem that says why there is no answer.
pub async fn points(
    signals: &Signals,
    tenant: u64,
    selector: &str,
    (from, to): (i64, i64),
) -> Result<Vec<MatrixSeries>, Problem> {
    let reader = Samples { signals: signals.clone(), tenant, handle: tokio::runtime::Handle::current() };
    reader.stretch(selector, from.saturating_sub(1), to).await.map_err(|error| {
        let status = match &error {
            MetricsError::Query(_) => StatusCode::UNPROCESSABLE_ENTITY,
            MetricsError::Away { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, "series", error.to_string())
    })
}
