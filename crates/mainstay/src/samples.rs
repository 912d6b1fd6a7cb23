//! Measurements into the series engine, and out of it for charts.

use api::App;
use api::caller::Caller;
use api::operation::Operation;
use api::problem::Problem;
use api::requests::Query;
use async_trait::async_trait;
use axum::extract::State;
use axum::http::Method;
use axum::{Extension, Json};
use kernel::TenantId;
use serde::Deserialize;
use serde_json::{Value, json};
use series::formats::Batch;
use series::{Labels, Matcher, Metrics};
use signals::{Signals, number};
use std::sync::Arc;
use watch::runner::{Sample, Sink};

/// The sink over the engine, wherever it is.
pub struct Series(pub Arc<dyn Metrics>);

#[async_trait]
impl Sink for Series {
    async fn append(&self, tenant: TenantId, samples: Vec<Sample>) {
        let samples: Vec<series::Sample> = samples
            .into_iter()
            .filter_map(|s| {
                Some(series::Sample { labels: Labels::new(s.labels).ok()?, at_ms: s.at_ms, value: s.value })
            })
            .collect();
        if let Err(error) = self.0.write(number(tenant), Batch::of(&samples)).await {
            tracing::warn!(%error, "measurements were not kept; they are counted as refused");
        }
    }
}

/// Operations on series.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let key =
        |o: Operation| {
            o.query("check", "Key of the check", text())
                .query("on", "Key of the record that checks are on", text())
                .query("name", "Name of the series", text())
        };
    vec![
        key(Operation::new(
            Method::GET,
            "/api/v1/series",
            "list_series",
            "Series of a check or of the checks on a record, with their labels.",
        ))
        .answers(200, json!({"type": "object", "required": ["series"]}))
        .by(list),
        key(Operation::new(
            Method::GET,
            "/api/v1/series/range",
            "range_series",
            "Points of series between two times, thinned to about two a pixel.",
        ))
        .query("from", "From, RFC 3339; an hour ago when left out", json!({"type": "string", "format": "date-time"}))
        .query("to", "To, RFC 3339; now when left out", json!({"type": "string", "format": "date-time"}))
        .query(
            "points",
            "Points of each series at most, 10 to 5000",
            json!({"type": "integer", "minimum": 10, "maximum": 5000}),
        )
        .answers(200, json!({"type": "object", "required": ["series"]}))
        .by(range),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    check: Option<String>,
    on: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeAsk {
    check: Option<String>,
    on: Option<String>,
    name: Option<String>,
    from: Option<kernel::Time>,
    to: Option<kernel::Time>,
    #[serde(default = "points")]
    points: usize,
}

fn points() -> usize {
    600
}

/// Labels of what the caller may see: a check, or the checks on a record, that the caller may read.
async fn wanted(app: &App, who: &Caller, which: Which) -> Result<Vec<(&'static str, String)>, Problem> {
    let mut all = Vec::new();
    if let Some(check) = &which.check {
        app.kernel.get(&who.session, "check", check).await?;
        all.push(("check", check.clone()));
    }
    if let Some(on) = &which.on {
        app.kernel.find(&who.session, on).await?;
        all.push(("on", on.clone()));
    }
    if all.is_empty() {
        return Err(Problem::field("check", "name a check, or a record with on"));
    }
    if let Some(name) = which.name {
        all.push((series::NAME, name));
    }
    Ok(all)
}

async fn list(
    State(app): State<App>,
    Extension(signals): Extension<Signals>,
    who: Caller,
    Query(q): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let matchers = wanted(&app, &who, q).await?.into_iter().map(|(name, value)| Matcher::eq(name, value)).collect();
    let always = (i64::MIN, i64::MAX);
    let found = signals.metrics().series(number(who.session.tenant()), vec![matchers], always).await.map_err(failed)?;
    let shown: Vec<Value> = found.iter().map(|l| labels(l.iter())).collect();
    Ok(Json(json!({"series": shown})))
}

async fn range(
    State(app): State<App>,
    Extension(signals): Extension<Signals>,
    who: Caller,
    Query(q): Query<RangeAsk>,
) -> Result<Json<Value>, Problem> {
    if !(10..=5000).contains(&q.points) {
        return Err(Problem::field("points", format!("must be 10 to 5000, not {}", q.points)));
    }
    let now = app.kernel.now();
    let from = q.from.unwrap_or_else(|| now.minus(std::time::Duration::from_secs(3600)));
    let to = q.to.unwrap_or(now);
    let wanted = wanted(&app, &who, Which { check: q.check, on: q.on, name: q.name }).await?;
    let time = (from.as_millis(), to.as_millis());
    if time.1 < time.0 {
        return Ok(Json(json!({"series": []})));
    }
    let selector = signals::selector_of(&wanted);
    let found = signals::export::points(&signals, number(who.session.tenant()), &selector, time).await?;
    let shown: Vec<Value> = found
        .into_iter()
        .map(|s| json!({"labels": labels(s.metric.iter()), "points": signals::thin::thinned(s.floats.into_vec(), time, q.points)}))
        .collect();
    Ok(Json(json!({"series": shown})))
}

fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    pairs.map(|(n, v)| (n.to_owned(), Value::from(v))).collect::<serde_json::Map<_, _>>().into()
}

fn failed(error: impl std::fmt::Display) -> Problem {
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "series", error.to_string())
}
