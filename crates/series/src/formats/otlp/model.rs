//! What an OTLP request says, independent of its encoding. Field names are those of the JSON form; unknown ones are skipped,
//! as the standard demands.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ResourceMetrics {
    pub(super) resource: Resource,
    pub(super) scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScopeMetrics {
    pub(super) metrics: Vec<Metric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) unit: String,
    pub(super) gauge: Option<Numbers>,
    pub(super) sum: Option<Numbers>,
    pub(super) histogram: Option<Histograms>,
    pub(super) exponential_histogram: Option<Exponentials>,
    pub(super) summary: Option<Summaries>,
}

/// Points of a gauge or a sum.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Numbers {
    pub(super) data_points: Vec<NumberPoint>,
    pub(super) aggregation_temporality: i32,
    pub(super) is_monotonic: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Histograms {
    pub(super) data_points: Vec<HistogramPoint>,
    pub(super) aggregation_temporality: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Exponentials {
    pub(super) data_points: Vec<ExponentialPoint>,
    pub(super) aggregation_temporality: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Summaries {
    pub(super) data_points: Vec<SummaryPoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NumberPoint {
    pub(super) attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "whole")]
    pub(super) time_unix_nano: u64,
    #[serde(deserialize_with = "float")]
    pub(super) as_double: Option<f64>,
    #[serde(deserialize_with = "signed")]
    pub(super) as_int: Option<i64>,
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) flags: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HistogramPoint {
    pub(super) attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "whole")]
    pub(super) time_unix_nano: u64,
    #[serde(deserialize_with = "whole")]
    pub(super) count: u64,
    #[serde(deserialize_with = "float")]
    pub(super) sum: Option<f64>,
    #[serde(deserialize_with = "wholes")]
    pub(super) bucket_counts: Vec<u64>,
    #[serde(deserialize_with = "floats")]
    pub(super) explicit_bounds: Vec<f64>,
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) flags: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ExponentialPoint {
    pub(super) attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "whole")]
    pub(super) time_unix_nano: u64,
    #[serde(deserialize_with = "whole")]
    pub(super) count: u64,
    #[serde(deserialize_with = "float")]
    pub(super) sum: Option<f64>,
    pub(super) scale: i32,
    #[serde(deserialize_with = "whole")]
    pub(super) zero_count: u64,
    #[serde(deserialize_with = "float")]
    pub(super) zero_threshold: Option<f64>,
    pub(super) positive: Buckets,
    pub(super) negative: Buckets,
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) flags: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Buckets {
    pub(super) offset: i32,
    #[serde(deserialize_with = "wholes")]
    pub(super) bucket_counts: Vec<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SummaryPoint {
    pub(super) attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "whole")]
    pub(super) time_unix_nano: u64,
    #[serde(deserialize_with = "whole")]
    pub(super) count: u64,
    #[serde(deserialize_with = "float")]
    pub(super) sum: Option<f64>,
    pub(super) quantile_values: Vec<Quantile>,
    pub(super) flags: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quantile {
    #[serde(deserialize_with = "float")]
    pub(super) quantile: Option<f64>,
    #[serde(deserialize_with = "float")]
    pub(super) value: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Exemplar {
    pub(super) filtered_attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "whole")]
    pub(super) time_unix_nano: u64,
    #[serde(deserialize_with = "float")]
    pub(super) as_double: Option<f64>,
    #[serde(deserialize_with = "signed")]
    pub(super) as_int: Option<i64>,
    /// In hexadecimal, as JSON has it.
    pub(super) trace_id: String,
    pub(super) span_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: String,
    pub(super) value: AnyValue,
}

/// A value of an attribute. Lists and maps are kept as their JSON, which is what a label can hold of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AnyValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bool_value: Option<bool>,
    #[serde(deserialize_with = "signed", skip_serializing_if = "Option::is_none")]
    pub(super) int_value: Option<i64>,
    #[serde(deserialize_with = "float", skip_serializing_if = "Option::is_none")]
    pub(super) double_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) array_value: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kvlist_value: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_value: Option<String>,
}

impl AnyValue {
    /// As the value of a label; empty when nothing is said.
    pub(super) fn label(&self) -> String {
        match self {
            Self { string_value: Some(text), .. } | Self { bytes_value: Some(text), .. } => text.clone(),
            Self { bool_value: Some(b), .. } => b.to_string(),
            Self { int_value: Some(n), .. } => n.to_string(),
            Self { double_value: Some(n), .. } => n.to_string(),
            Self { array_value: Some(v), .. } | Self { kvlist_value: Some(v), .. } => v.to_string(),
            _ => String::new(),
        }
    }
}

/// A number that may stand in quotes, since JSON's own numbers lose digits beyond 2^53; doubles also as `"NaN"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Quoted<T> {
    Plain(T),
    Text(String),
}

impl<T: std::str::FromStr> Quoted<T> {
    fn read<E: Error>(self) -> Result<T, E> {
        match self {
            Self::Plain(n) => Ok(n),
            Self::Text(text) => text.parse().map_err(|_| E::custom("a text that is not a number")),
        }
    }
}

fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Option::<Quoted<u64>>::deserialize(from)?.map_or(Ok(0), Quoted::read)
}

fn signed<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Option::<Quoted<i64>>::deserialize(from)?.map(Quoted::read).transpose()
}

fn float<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Option::<Quoted<f64>>::deserialize(from)?.map(Quoted::read).transpose()
}

fn wholes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    Vec::<Quoted<u64>>::deserialize(from)?.into_iter().map(Quoted::read).collect()
}

fn floats<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    Vec::<Quoted<f64>>::deserialize(from)?.into_iter().map(Quoted::read).collect()
}
