//! Answers as JSON text, in one pass: what serde gives for the same answer, in a fraction of the time. Floats are what large
//! answers are made of, so those that people write with few decimals are written without a search for the shortest digits.
//!
//! It must never write another number than the shortest one that reads back as the same float.

use std::io::Write;

use super::metric::Metric;
use super::value::{SampleValue, Value, json_float};

/// Whole numbers below this have at most fifteen digits, so no two decimals of that length are one float.
const FIFTEEN_DIGITS: f64 = 1e15;
/// Decimals that are tried before the general way.
const POWERS: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];

impl Value {
    /// Appends the value as the `data` of Prometheus's HTTP API: `{"resultType":…,"result":…}`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"resultType":""#);
        out.extend_from_slice(self.type_name().as_bytes());
        out.extend_from_slice(br#"","result":"#);
        match self {
            Self::Scalar { at_ms, value } => float_pair(*at_ms, *value, out),
            Self::Text { at_ms, text } => {
                out.push(b'[');
                seconds(*at_ms, out);
                out.push(b',');
                string(text, out);
                out.push(b']');
            }
            Self::Vector(samples) => list(samples, out, |sample, out| {
                out.extend_from_slice(br#"{"metric":"#);
                metric(&sample.metric, out);
                match &sample.value {
                    SampleValue::Float(value) => {
                        out.extend_from_slice(br#","value":"#);
                        float_pair(sample.at_ms, *value, out);
                    }
                    SampleValue::Histogram(histogram) => {
                        out.extend_from_slice(br#","histogram":"#);
                        rare(&super::value::histogram_pair(sample.at_ms, histogram), out);
                    }
                }
                out.push(b'}');
            }),
            Self::Matrix(series) => list(series, out, |series, out| {
                out.extend_from_slice(br#"{"metric":"#);
                metric(&series.metric, out);
                if !series.floats.is_empty() {
                    out.extend_from_slice(br#","values":"#);
                    list(&series.floats, out, |(at_ms, value), out| float_pair(*at_ms, *value, out));
                }
                if !series.histograms.is_empty() {
                    out.extend_from_slice(br#","histograms":"#);
                    list(&series.histograms, out, |(at_ms, histogram), out| {
                        rare(&super::value::histogram_pair(*at_ms, histogram), out);
                    });
                }
                out.push(b'}');
            }),
        }
        out.push(b'}');
    }
}

fn list<T>(items: &[T], out: &mut Vec<u8>, mut each: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        each(item, out);
    }
    out.push(b']');
}

fn rare(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Into memory, and with keys that are texts: nothing can fail.
    let _ = serde_json::to_writer(out, value);
}

fn metric(metric: &Metric, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (name, value)) in metric.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        string(name, out);
        out.push(b':');
        string(value, out);
    }
    out.push(b'}');
}

/// A text in quotes. Nearly none needs an escape.
fn string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        rare(&text, out);
    }
}

fn float_pair(at_ms: i64, value: f64, out: &mut Vec<u8>) {
    out.push(b'[');
    seconds(at_ms, out);
    out.extend_from_slice(b",\"");
    float(value, out);
    out.extend_from_slice(b"\"]");
}

/// Unix seconds, with as many decimals as the milliseconds need.
fn seconds(at_ms: i64, out: &mut Vec<u8>) {
    if at_ms < 0 {
        out.push(b'-');
    }
    let ms = at_ms.unsigned_abs();
    decimal(ms / 1000, 0, out);
    if !ms.is_multiple_of(1000) {
        let text = format!(".{:03}", ms % 1000);
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
}

/// A float as [`json_float`] writes it.
fn float(value: f64, out: &mut Vec<u8>) {
    for (digits, power) in POWERS.iter().enumerate() {
        let scaled = (value * power).round();
        // NaN and infinities are not below it.
        if scaled.abs() < FIFTEEN_DIGITS && scaled / power == value && (scaled != 0.0 || value.to_bits() == 0) {
            if value < 0.0 {
                out.push(b'-');
            }
            return decimal(scaled.abs() as u64, digits, out);
        }
    }
    if value.is_finite() && (1e-6..1e21).contains(&value.abs()) {
        // Into memory: nothing can fail.
        let _ = write!(out, "{value}");
    } else {
        out.extend_from_slice(json_float(value).as_bytes());
    }
}

/// A whole number with a point before its last `decimals` digits.
fn decimal(mut number: u64, decimals: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 24];
    let mut at = digits.len();
    let mut written = 0;
    while number > 0 || written <= decimals {
        if written == decimals && decimals > 0 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        written += 1;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{MatrixSeries, VectorSample};
    use proptest::prelude::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        float(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn any_float_is_written_as_the_general_way_writes_it(bits in any::<u64>(), whole in any::<i64>(), digits in 0_i32..8) {
            for value in [f64::from_bits(bits), whole as f64 / 10_f64.powi(digits), (whole % 100_000) as f64 / 10_f64.powi(digits)] {
                prop_assert_eq!(written(value), json_float(value));
            }
        }
    }

    #[test]
    fn remarkable_floats_are_written_as_the_general_way_writes_them() {
        for value in
            [0.0, -0.0, 0.1, -0.5, 100.0, 1e15, 1e21, 1e-6, 1e-7, 999.999, f64::NAN, f64::INFINITY, 0.30000000000000004]
        {
            assert_eq!(written(value), json_float(value));
        }
    }

    #[test]
    fn an_answer_is_what_serde_says_it_is() {
        let metric = Metric::new([("__name__", "up"), ("say", "a \"quoted\"\nline")]);
        let floats = vec![(0, 0.5), (1_500, -3.0), (60_000, f64::NAN)];
        let table = [
            Value::Scalar { at_ms: -1_500, value: 2.25 },
            Value::Text { at_ms: 1, text: "it's \\".into() },
            Value::Vector(vec![VectorSample { metric: metric.clone(), at_ms: 7, value: SampleValue::Float(1e30) }]),
            Value::Matrix(vec![MatrixSeries { metric, floats, histograms: Vec::new() }]),
            Value::Matrix(Vec::new()),
        ];
        for value in table {
            let mut out = Vec::new();
            value.write_json(&mut out);
            let quick: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let general = serde_json::to_value(&value).unwrap();
            // Whole seconds have no decimal here.
            let same = |a: &serde_json::Value, b: &serde_json::Value| {
                a.to_string().replace(".0,", ",") == b.to_string().replace(".0,", ",")
            };
            assert!(same(&quick, &general), "{quick} is not {general}");
        }
    }
}
