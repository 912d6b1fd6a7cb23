//! Answers of Prometheus's HTTP API, read. Bytes in, value out; the label of the wall between tenants is taken off on the way, and
//! what is another tenant's is left out even when the engine gives it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use series::formats::Exemplar;
use series::promql::{Answer, MatrixSeries, Metric, SampleValue, Value, VectorSample};
use series::{Labels, SeriesExemplars};

use super::histogram::{Counted, from_buckets};
use super::tenancy::LABEL;

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answer is not one of Prometheus's API: {0}")]
pub struct AnswerError(pub String);

/// Every answer's outer form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reply<T> {
    pub(crate) status: String,
    #[serde(default = "none")]
    pub(crate) data: Option<T>,
    #[serde(default)]
    pub(crate) error_type: String,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar((f64, String)),
    String((f64, String)),
    Vector(Vec<OneSample>),
    Matrix(Vec<ManySamples>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Costs {
    stats: Cost,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cost {
    samples: Looked,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Looked {
    #[serde(rename = "totalQueryableSamplesPerStep")]
    each_step: Vec<(f64, u64)>,
}

type Pairs = BTreeMap<String, String>;

#[derive(Deserialize)]
struct OneSample {
    #[serde(default)]
    metric: Pairs,
    value: Option<(f64, String)>,
    histogram: Option<(f64, Counted)>,
}

#[derive(Deserialize)]
struct ManySamples {
    #[serde(default)]
    metric: Pairs,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<(f64, Counted)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Examples {
    series_labels: Pairs,
    exemplars: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    labels: Pairs,
    value: String,
    timestamp: f64,
}

/// The outer form of an answer, whatever is in it.
///
/// # Errors
/// It is no such JSON.
pub(crate) fn reply<T: DeserializeOwned>(body: &[u8]) -> Result<Reply<T>, AnswerError> {
    serde_json::from_slice(body).map_err(|error| AnswerError(error.to_string()))
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn float(text: &str) -> Result<f64, AnswerError> {
    text.parse().map_err(|_| AnswerError(format!("{:?} is not a number", text.chars().take(32).collect::<String>())))
}

/// The labels without the tenant's; none when they are another tenant's.
fn ours(metric: &Pairs, tenant: &str) -> Option<Metric> {
    if metric.get(LABEL).is_some_and(|found| found != tenant) {
        return None;
    }
    Some(Metric::new(metric.iter().filter(|(name, _)| *name != LABEL)))
}

/// An answer to a query. `Err` with the engine's own error when it has one.
///
/// # Errors
/// The body is no answer.
pub fn query(body: &[u8], tenant: u64) -> Result<Result<Answer, (String, String)>, AnswerError> {
    let reply: Reply<Data> = reply(body)?;
    if reply.status != "success" {
        return Ok(Err((reply.error_type, reply.error)));
    }
    let tenant = tenant.to_string();
    let data = reply.data.ok_or_else(|| AnswerError("there is no data".into()))?;
    let mut samples = 0;
    let value = match data {
        Data::Scalar((at, text)) => Value::Scalar { at_ms: milliseconds(at), value: float(&text)? },
        Data::String((at, text)) => Value::Text { at_ms: milliseconds(at), text },
        Data::Vector(all) => {
            let mut out = Vec::with_capacity(all.len());
            for one in all {
                let Some(metric) = ours(&one.metric, &tenant) else { continue };
                let (at, value) = match (one.value, one.histogram) {
                    (Some((at, text)), _) => (at, SampleValue::Float(float(&text)?)),
                    (None, Some((at, counted))) => (at, SampleValue::Histogram(Arc::new(from_buckets(&counted)?))),
                    (None, None) => return Err(AnswerError("a series has no value".into())),
                };
                out.push(VectorSample { metric, at_ms: milliseconds(at), value });
            }
            samples += out.len() as u64;
            Value::Vector(out)
        }
        Data::Matrix(all) => {
            let mut out = Vec::with_capacity(all.len());
            for many in all {
                let Some(metric) = ours(&many.metric, &tenant) else { continue };
                let floats: Result<Vec<_>, _> =
                    many.values.iter().map(|(at, text)| Ok((milliseconds(*at), float(text)?))).collect();
                let histograms: Result<Vec<_>, _> = many
                    .histograms
                    .iter()
                    .map(|(at, counted)| Ok((milliseconds(*at), Arc::new(from_buckets(counted)?))))
                    .collect();
                let series = MatrixSeries { metric, floats: floats?.into(), histograms: histograms? };
                samples += (series.floats.len() + series.histograms.len()) as u64;
                out.push(series);
            }
            // The order is of labels without the tenant's, which may be another than the engine's.
            out.sort_by(|a, b| a.metric.cmp(&b.metric));
            Value::Matrix(out)
        }
    };
    Ok(Ok(Answer { value, warnings: reply.warnings, infos: reply.infos, samples }))
}

/// How many samples each step of a query looked at, when an answer says so.
pub(crate) fn steps(body: &[u8]) -> Vec<u64> {
    let reply: Option<Reply<Costs>> = reply(body).ok();
    let costs = reply.and_then(|reply| reply.data).unwrap_or_default();
    costs.stats.samples.each_step.into_iter().map(|(_, count)| count).collect()
}

/// Series as `/api/v1/series` lists them, in order.
pub(crate) fn series(all: Vec<Pairs>, tenant: u64) -> Vec<Labels> {
    let tenant = tenant.to_string();
    let labels = |metric: &Pairs| Labels::new(ours(metric, &tenant)?.iter()).ok();
    let mut out: Vec<Labels> = all.iter().filter_map(labels).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// Exemplars as `/api/v1/query_exemplars` lists them.
///
/// # Errors
/// The body is no answer.
pub fn exemplars(body: &[u8], tenant: u64) -> Result<Vec<SeriesExemplars>, AnswerError> {
    let reply: Reply<Vec<Examples>> = reply(body)?;
    if reply.status != "success" {
        return Err(AnswerError(reply.error));
    }
    let tenant = tenant.to_string();
    let mut out = Vec::new();
    for one in reply.data.unwrap_or_default() {
        let Some(Ok(labels)) = ours(&one.series_labels, &tenant).map(|metric| Labels::new(metric.iter())) else {
            continue;
        };
        let exemplar = |e: Example| -> Result<Exemplar, AnswerError> {
            Ok(Exemplar {
                series: 0,
                labels: e.labels.into_iter().collect(),
                value: float(&e.value)?,
                at_ms: Some(milliseconds(e.timestamp)),
            })
        };
        out.push(SeriesExemplars {
            labels,
            exemplars: one.exemplars.into_iter().map(exemplar).collect::<Result<_, _>>()?,
        });
    }
    Ok(out)
}

/// A message of an engine, short enough for an error.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.trim().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tenant_is_taken_off_and_a_stranger_is_left_out() {
        let body = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","mainstay_tenant":"7","job":"a"},"value":[1.5,"1"]},
            {"metric":{"__name__":"up","mainstay_tenant":"70"},"value":[1.5,"2"]},
            {"metric":{},"value":[1.5,"+Inf"]}]},"warnings":["w"]}"#;
        let answer = query(body, 7).unwrap().unwrap();
        let Value::Vector(all) = answer.value else { panic!("a vector") };
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].at_ms, all[0].metric.get("job"), all[0].metric.get(LABEL)), (1500, "a", ""));
        assert_eq!(all[1].value, SampleValue::Float(f64::INFINITY));
        assert_eq!(answer.warnings, ["w"]);
    }

    #[test]
    fn every_shape_is_read() {
        let ask = |data: &str| {
            query(format!(r#"{{"status":"success","data":{data}}}"#).as_bytes(), 7).unwrap().unwrap().value
        };
        assert_eq!(ask(r#"{"resultType":"scalar","result":[2,"3.5"]}"#), Value::Scalar { at_ms: 2000, value: 3.5 });
        assert_eq!(ask(r#"{"result":[2,"x"],"resultType":"string"}"#), Value::Text { at_ms: 2000, text: "x".into() });
        let Value::Matrix(all) =
            ask(r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"1"],[2.25,"NaN"]]}]}"#)
        else {
            panic!("a matrix")
        };
        let floats = all[0].floats.clone().into_vec();
        assert_eq!(floats[0], (1000, 1.0));
        assert_eq!(floats[1].0, 2250);
        let refused = query(br#"{"status":"error","errorType":"execution","error":"too much"}"#, 7).unwrap();
        assert_eq!(refused.unwrap_err(), ("execution".into(), "too much".into()));
    }

    #[test]
    fn what_each_step_looked_at_is_read_where_it_is_told() {
        let stats = r#"{"samples":{"totalQueryableSamplesPerStep":[[1.5,2],[2.5,3]],"totalQueryableSamples":5}}"#;
        let body =
            |more: &str| format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[1,"2"]{more}}}}}"#);
        let told = body(&format!(r#","stats":{stats}"#));
        assert_eq!(steps(told.as_bytes()), [2, 3]);
        assert!(query(told.as_bytes(), 1).unwrap().is_ok(), "and it is an answer");
        assert_eq!(steps(body("").as_bytes()), [] as [u64; 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9. ]{0,80}") {
            let _ = query(&bytes, 1);
            let _ = query(format!(r#"{{"status":"success","data":{text}}}"#).as_bytes(), 1);
            let _ = exemplars(&bytes, 1);
        }
    }
}
