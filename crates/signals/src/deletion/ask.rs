//! How a deletion is asked for: with a preview in our own words, or as of a Prometheus.

use api::App;
use api::caller::Caller;
use api::operation::Operation;
use api::problem::Problem;
use api::records::idempotency;
use api::requests::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use kernel::act::Create;
use kernel::{Class, Kernel, Record, Session, Time};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use series::MetricsError;
use series::metrics::Span;
use std::time::Duration;

use super::{ALL_TIME, SeriesDeletion};
use crate::answer::Refusal;
use crate::asked::{Asked, time};
use crate::prometheus::refused;
use crate::selector::set;
use crate::state::Signals;
use crate::tenant::number;

/// How long an answer waits for the end; the record tells of it afterwards.
const PATIENCE: Duration = Duration::from_secs(60);
/// The reason of who gives none, since Prometheus's interface knows none.
const NO_REASON: &str = "asked for by way of Prometheus's interface, which knows no reason";

/// All ways to ask for it.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let body = json!({"type": "object", "required": ["match", "reason"], "additionalProperties": false, "properties": {
        "match": {"type": "array", "items": text(), "minItems": 1, "maxItems": 100},
        "from": text(), "to": text(), "reason": text(), "dry_run": {"type": "boolean"},
    }});
    // Nothing where the engine that keeps them could not count them.
    let count = json!({"type": ["integer", "null"], "minimum": 0});
    let answer = json!({"type": "object", "required": ["series", "samples"], "properties": {
        "deletion": text(), "state": text(), "dry_run": {"type": "boolean"}, "series": count, "samples": count,
    }});
    let own = Operation::new(
        Method::POST,
        "/api/v1/series/delete",
        "delete_series",
        "Deletes what series have in a stretch of time, for good; with dry_run it only counts. Who, what, why and how many stays in the journal.",
    )
    .takes(body)
    .answers(200, answer)
    .also(202, "application/json", json!({"type": "object", "required": ["deletion", "state"]}))
    .by(delete);
    let as_prometheus = |method: Method, id| {
        let operation = Operation::new(
            method,
            "/prometheus/api/v1/admin/tsdb/delete_series",
            id,
            "Deletes what series have in a stretch of time, as Prometheus's administration interface does.",
        )
        .query("match[]", "Selector of series; may be given several times", text())
        .query("start", "From: Unix seconds or RFC 3339; from the first sample on when left out", text())
        .query("end", "To: Unix seconds or RFC 3339; up to the last sample when left out", text())
        .query("reason", "Why they have to go; kept in the journal", text())
        .may_take_form()
        .answers_nothing();
        let refusals = [400, 422, 500, 503].into_iter();
        refusals.fold(operation, |o, status| o.also(status, "application/json", refused())).by(delete_as_prometheus)
    };
    vec![own, as_prometheus(Method::POST, "admin_delete_series"), as_prometheus(Method::PUT, "admin_delete_series_put")]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    #[serde(rename = "match")]
    selectors: Vec<String>,
    from: Option<String>,
    to: Option<String>,
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

async fn delete(
    State(app): State<App>,
    Extension(signals): Extension<Signals>,
    who: Caller,
    headers: HeaderMap,
    body: Body<Asks>,
) -> Result<Response, Problem> {
    app.kernel.allow(&who.session, "create", SeriesDeletion::KIND)?;
    let asks = body.value;
    let moment = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time(text)
            .map(Some)
            .ok_or_else(|| Problem::field(name, format!("{text:?} is no time: give RFC 3339 or Unix seconds"))),
    };
    let span = (moment("from", &asks.from)?, moment("to", &asks.to)?);
    if asks.dry_run {
        let sets = asks.selectors.iter().map(|text| set(text)).collect::<Result<Vec<_>, _>>();
        let sets = sets.map_err(|error| Problem::field("match", error.message()))?;
        if sets.is_empty() {
            return Err(Problem::field("match", "name at least one selector, such as up{job=\"old\"}"));
        }
        let span = (span.0.unwrap_or(ALL_TIME.0), span.1.unwrap_or(ALL_TIME.1));
        let counted = signals.metrics().count(number(who.session.tenant()), sets, span).await;
        let counted = counted.map_err(|error| problem(&error))?;
        let answer = json!({"dry_run": true, "series": counted.series, "samples": counted.samples});
        return Ok(Json(answer).into_response());
    }
    let once = idempotency(&headers, &[b"delete_series", &body.bytes])?;
    let record = ask(&app.kernel, &who.session, &asks.selectors, span, &asks.reason, once).await?;
    let count = |name: &str| record.int(name);
    let shown =
        json!({"deletion": record.key, "state": record.state, "series": count("series"), "samples": count("samples")});
    match record.state.as_str() {
        "done" => Ok(Json(shown).into_response()),
        "failed" => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "refused",
            format!("{}: nothing was deleted: {}", record.key, record.text("failure")),
        )),
        _ => Ok((StatusCode::ACCEPTED, Json(shown)).into_response()),
    }
}

async fn delete_as_prometheus(State(app): State<App>, who: Caller, asked: Asked) -> Result<Response, Response> {
    let told = Problem::into_response;
    app.kernel.allow(&who.session, "create", SeriesDeletion::KIND).map_err(|error| told(error.into()))?;
    let refused = Refusal::into_response;
    let selectors: Vec<String> = asked.all("match[]").map(str::to_owned).collect();
    crate::selector::sets(asked.all("match[]")).map_err(refused)?;
    if selectors.is_empty() {
        return Err(refused(Refusal::bad_data("no match[] parameter provided")));
    }
    let span = (asked.time("start").map_err(refused)?, asked.time("end").map_err(refused)?);
    if matches!(span, (Some(from), Some(to)) if to < from) {
        return Err(refused(Refusal::bad_data("end time must not be before start time")));
    }
    let reason = asked.text("reason").unwrap_or(NO_REASON);
    let record = ask(&app.kernel, &who.session, &selectors, span, reason, None).await.map_err(told)?;
    match record.state.as_str() {
        "done" => Ok(StatusCode::NO_CONTENT.into_response()),
        "failed" => Err(refused(Refusal::execution(record.text("failure")))),
        _ => Err(refused(Refusal::unfinished(format!("{} is not done yet; it goes on by itself", record.key)))),
    }
}

/// Why there is no answer.
fn problem(error: &MetricsError) -> Problem {
    let status = match error {
        MetricsError::Query(_) | MetricsError::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        MetricsError::Away { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, "series", error.to_string())
}

/// Writes down what is wanted, and waits for its end.
async fn ask(
    kernel: &Kernel,
    session: &Session,
    selectors: &[String],
    span: (Option<i64>, Option<i64>),
    reason: &str,
    once: Option<(String, [u8; 32])>,
) -> Result<Record, Problem> {
    let mut fields: Map<String, Value> = Map::new();
    fields.insert("reason".to_owned(), reason.into());
    fields.insert("selectors".to_owned(), json!(selectors));
    let bound =
        |ms: i64, ever: i64| (ms != ever).then(|| json!(Time::from_micros(ms.saturating_mul(1000)).to_string()));
    let ever: Span = ALL_TIME;
    fields.extend(span.0.and_then(|ms| bound(ms, ever.0)).map(|time| ("from".to_owned(), time)));
    fields.extend(span.1.and_then(|ms| bound(ms, ever.1)).map(|time| ("to".to_owned(), time)));
    let create = Create { kind: SeriesDeletion::KIND.to_owned(), fields, ..Create::default() };
    let record = kernel.acts(session, vec![create.into()], once).await?.record()?;
    let mut head = kernel.head();
    let ended = async {
        loop {
            head.borrow_and_update();
            let now = kernel.get_id(session, record.id).await?;
            if now.state != "asked" || head.changed().await.is_err() {
                return Ok::<_, Problem>(now);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(now) => now,
        Err(_) => Ok(record),
    }
}
