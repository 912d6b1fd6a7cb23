//! Answers, in the shape of Prometheus's HTTP API.

use std::sync::Arc;

use super::floats::Floats;
use super::metric::Metric;
use crate::histogram::Histogram;

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked for.
    pub value: Value,
    /// What is wrong with it, for people.
    pub warnings: Vec<String>,
    /// What might be wrong with it, for people.
    pub infos: Vec<String>,
    /// Samples read and values produced on the way.
    pub samples: u64,
}

/// A value of one of PromQL's types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number at a time.
    Scalar {
        /// Unix milliseconds.
        at_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text at a time.
    Text {
        /// Unix milliseconds.
        at_ms: i64,
        /// The text.
        text: String,
    },
    /// One sample a series, all at one time.
    Vector(Vec<VectorSample>),
    /// Several samples a series, in order of labels.
    Matrix(Vec<MatrixSeries>),
}

/// A float or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// One series of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Its labels.
    pub metric: Metric,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub metric: Metric,
    /// Its floats.
    pub floats: Floats,
    /// Unix milliseconds and histogram, rising in time.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

impl Value {
    /// The `resultType` of Prometheus's HTTP API.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "scalar",
            Self::Text { .. } => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }
}

/// As Go's `%g` and `%v` write a float: shortest, with an exponent from a million on and for small ones.
pub(crate) fn go_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    plain_float(value)
}

/// As Prometheus writes a float in labels and answers: shortest, without an exponent.
pub fn plain_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if (1e-5..1e16).contains(&value.abs()) {
        // Of two that are equally near it takes the even one, as Go does; the standard library takes the larger.
        let mut digits = zmij::Buffer::new();
        let text = digits.format_finite(value);
        text.strip_suffix(".0").unwrap_or(text).to_owned()
    } else {
        format!("{value}")
    }
}

/// As Prometheus writes a float in JSON: very large and very small ones with an exponent.
pub fn json_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        return if magnitude < 1.0 { text } else { text.replace('e', "e+") };
    }
    plain_float(value)
}

/// As OpenMetrics writes a float in a label: whole numbers without an exponent keep a decimal.
pub(crate) fn label_float(value: f64) -> String {
    let text = go_float(value);
    let whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if whole { format!("{text}.0") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_prometheus_writes_them() {
        let table = [
            (1.0, "1", "1", "1"),
            (0.1, "0.1", "0.1", "0.1"),
            (1_500_000.0, "1500000", "1500000", "1.5e+06"),
            (999_999.5, "999999.5", "999999.5", "999999.5"),
            (1e21, "1e+21", "1000000000000000000000", "1e+21"),
            (1e20, "100000000000000000000", "100000000000000000000", "1e+20"),
            (1e-7, "1e-7", "0.0000001", "1e-07"),
            (-0.0, "-0", "-0", "-0"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN", "NaN"),
        ];
        for (value, json, plain, go) in table {
            assert_eq!(
                (json_float(value).as_str(), plain_float(value).as_str(), go_float(value).as_str()),
                (json, plain, go)
            );
        }
        assert_eq!(plain_float(139_835_180_479_693.13), "139835180479693.12", "of two as near, the even one");
        let labels = [1.0, 0.5, 1e6, -3.0, f64::INFINITY].map(label_float);
        assert_eq!(labels, ["1.0", "0.5", "1e+06", "-3.0", "+Inf"]);
    }
}
