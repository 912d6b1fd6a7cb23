//! Look-ups: which series there are, which labels and values they have, and what is said of their families.

use api::requests::Path;
use axum::Extension;
use axum::response::Response;
use serde_json::{Map, Value, json};
use series::formats::MetricKind;

use crate::answer::{BEGINNING, Refusal, Remarks, cut, data, names, whole};
use crate::asked::Asked;
use crate::caller::Reader;
use crate::selector::{sets, unescaped};
use crate::state::Signals;

/// The time asked about; all of it when nothing is said.
fn span(asked: &Asked) -> Result<(i64, i64), Refusal> {
    let span = (asked.time("start")?.unwrap_or(i64::MIN), asked.time("end")?.unwrap_or(i64::MAX));
    if span.1 < span.0 {
        return Err(Refusal::parameter("end", "end timestamp must not be before start time"));
    }
    Ok(span)
}

/// `/series`.
pub async fn series(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let sets = sets(asked.all("match[]"))?;
    if sets.is_empty() {
        return Err(Refusal::bad_data("no match[] parameter provided"));
    }
    let (span, limit) = (span(&asked)?, asked.limit("limit")?);
    let found = signals.metrics().series_json(who.tenant, sets, span, limit, BEGINNING).await?;
    let mut remarks = Remarks::default();
    if found.cut {
        remarks.truncated();
    }
    Ok(whole(found.json, &remarks))
}

/// `/labels`.
pub async fn labels(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let (sets, span, limit) = (sets(asked.all("match[]"))?, span(&asked)?, asked.limit("limit")?);
    let mut found = signals.metrics().label_names(who.tenant, sets, span).await?;
    let mut remarks = Remarks::default();
    cut(&mut found, limit, &mut remarks);
    Ok(names(found, remarks).await)
}

/// `/label/{name}/values`.
pub async fn values(
    Extension(signals): Extension<Signals>,
    who: Reader,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, Refusal> {
    let name = unescaped(&name);
    if name.is_empty() {
        return Err(Refusal::bad_data("invalid label name: \"\""));
    }
    let (sets, span, limit) = (sets(asked.all("match[]"))?, span(&asked)?, asked.limit("limit")?);
    let mut found = signals.metrics().label_values(who.tenant, name, sets, span).await?;
    let mut remarks = Remarks::default();
    cut(&mut found, limit, &mut remarks);
    Ok(names(found, remarks).await)
}

/// `/metadata`.
pub async fn metadata(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let (limit, each) = (asked.limit("limit")?, asked.limit("limit_per_metric")?);
    let family = asked.text("metric").map(str::to_owned);
    let mut all: Map<String, Value> = Map::new();
    for told in signals.metrics().metadata(who.tenant, family).await? {
        if limit > 0 && all.len() >= limit && !all.contains_key(&told.family) {
            continue;
        }
        let list = all.entry(told.family).or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut().filter(|list| each == 0 || list.len() < each) {
            list.push(json!({"type": kind(told.kind), "help": told.help, "unit": told.unit}));
        }
    }
    Ok(data(all, Remarks::default()).await)
}

/// The type of a family, in Prometheus's words.
fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Unknown => "unknown",
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::GaugeHistogram => "gaugehistogram",
        MetricKind::Summary => "summary",
        MetricKind::Info => "info",
        MetricKind::StateSet => "stateset",
    }
}
