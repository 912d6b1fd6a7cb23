//! The data of a query's answer as JSON, digit by digit as Prometheus writes it: times in seconds with three decimals or none,
//! values as text, native histograms by their buckets.

use std::io::{self, Write};

use series::Histogram;
use series::promql::{Metric, SampleValue, Value, json_float};

/// Writes `{"resultType":…,"result":…` and what `more` adds, and closes it.
pub fn result(out: &mut impl Write, value: &Value, more: Option<&serde_json::Value>) -> io::Result<()> {
    write!(out, "{{\"resultType\":\"{}\",\"result\":", value.type_name())?;
    match value {
        Value::Scalar { at_ms, value } => pair(out, *at_ms, *value)?,
        Value::Text { at_ms, text } => {
            out.write_all(b"[")?;
            time(out, *at_ms)?;
            out.write_all(b",")?;
            serde_json::to_writer(&mut *out, text)?;
            out.write_all(b"]")?;
        }
        Value::Vector(samples) => list(out, samples, |out, sample| {
            out.write_all(b"{\"metric\":")?;
            labels(out, &sample.metric)?;
            match &sample.value {
                SampleValue::Float(value) => {
                    out.write_all(b",\"value\":")?;
                    pair(out, sample.at_ms, *value)?;
                }
                SampleValue::Histogram(value) => {
                    out.write_all(b",\"histogram\":")?;
                    histogram(out, sample.at_ms, value)?;
                }
            }
            out.write_all(b"}")
        })?,
        Value::Matrix(all) => list(out, all, |out, series| {
            out.write_all(b"{\"metric\":")?;
            labels(out, &series.metric)?;
            if !series.floats.is_empty() {
                out.write_all(b",\"values\":")?;
                list(out, &series.floats, |out, (at, value)| pair(out, *at, *value))?;
            }
            if !series.histograms.is_empty() {
                out.write_all(b",\"histograms\":")?;
                list(out, &series.histograms, |out, (at, value)| histogram(out, *at, value))?;
            }
            out.write_all(b"}")
        })?,
    }
    if let Some(stats) = more {
        out.write_all(b",\"stats\":")?;
        serde_json::to_writer(&mut *out, stats)?;
    }
    out.write_all(b"}")
}

/// A list.
pub fn list<W: Write, T>(
    out: &mut W,
    items: &[T],
    mut each: impl FnMut(&mut W, &T) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"[")?;
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        each(out, item)?;
    }
    out.write_all(b"]")
}

/// Labels as an object.
pub fn labels(out: &mut impl Write, metric: &Metric) -> io::Result<()> {
    pairs(out, metric.iter())
}

/// Pairs as an object.
pub fn pairs<'a>(out: &mut impl Write, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<()> {
    out.write_all(b"{")?;
    for (place, (name, value)) in pairs.enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        serde_json::to_writer(&mut *out, value)?;
    }
    out.write_all(b"}")
}

/// Unix seconds: whole, or with three decimals.
pub fn time(out: &mut impl Write, at_ms: i64) -> io::Result<()> {
    let (sign, whole, rest) =
        (if at_ms < 0 { "-" } else { "" }, at_ms.unsigned_abs() / 1000, at_ms.unsigned_abs() % 1000);
    if rest == 0 { write!(out, "{sign}{whole}") } else { write!(out, "{sign}{whole}.{rest:03}") }
}

fn pair(out: &mut impl Write, at_ms: i64, value: f64) -> io::Result<()> {
    out.write_all(b"[")?;
    time(out, at_ms)?;
    write!(out, ",\"{}\"]", json_float(value))
}

/// A time and a native histogram.
pub fn histogram(out: &mut impl Write, at_ms: i64, histogram: &Histogram) -> io::Result<()> {
    out.write_all(b"[")?;
    time(out, at_ms)?;
    write!(out, ",{{\"count\":\"{}\",\"sum\":\"{}\"", json_float(histogram.count), json_float(histogram.sum))?;
    let mut first = true;
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        out.write_all(if first { b",\"buckets\":[" } else { b"," })?;
        first = false;
        // Which of the bounds belong to the bucket: 0 the upper, 1 the lower, 2 none, 3 both.
        let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(json_float);
        write!(out, "[{rule},\"{lower}\",\"{upper}\",\"{count}\"]")?;
    }
    out.write_all(if first { b"}]" } else { b"]}]" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::promql::{MatrixSeries, VectorSample};
    use std::sync::Arc;

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        result(&mut out, value, None).expect("memory takes it");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn every_kind_of_answer_is_written_as_prometheus_writes_it() {
        let metric = Metric::new([("__name__", "up"), ("job", "a\"b")]);
        let vector = Value::Vector(vec![VectorSample {
            metric: metric.clone(),
            at_ms: 1_435_781_451_781,
            value: SampleValue::Float(1.0),
        }]);
        assert_eq!(
            text(&vector),
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1435781451.781,"1"]}]}"#
        );
        let floats = vec![(1_000, 0.5), (2_010, f64::NAN), (-1_500, f64::NEG_INFINITY)];
        let matrix = Value::Matrix(vec![MatrixSeries { metric: Metric::default(), floats, histograms: Vec::new() }]);
        assert_eq!(
            text(&matrix),
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"0.5"],[2.010,"NaN"],[-1.500,"-Inf"]]}]}"#
        );
        assert_eq!(
            text(&Value::Scalar { at_ms: 5_000, value: 1e21 }),
            r#"{"resultType":"scalar","result":[5,"1e+21"]}"#
        );
        let string = Value::Text { at_ms: 5_001, text: "a\nb".into() };
        assert_eq!(text(&string), r#"{"resultType":"string","result":[5.001,"a\nb"]}"#);
        assert_eq!(text(&Value::Vector(Vec::new())), r#"{"resultType":"vector","result":[]}"#);
    }

    #[test]
    fn a_histogram_is_written_with_the_rule_of_each_bucket() {
        let histogram =
            Histogram { count: 3.0, sum: 2.5, zero_threshold: 0.001, zero_count: 1.0, ..Histogram::default() };
        let series = MatrixSeries {
            metric: Metric::default(),
            floats: Vec::new(),
            histograms: vec![(1_000, Arc::new(histogram))],
        };
        assert_eq!(
            text(&Value::Matrix(vec![series])),
            r#"{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"3","sum":"2.5","buckets":[[3,"-0.001","0.001","1"]]}]]}]}"#
        );
        let empty =
            MatrixSeries { metric: Metric::default(), floats: Vec::new(), histograms: vec![(1_000, Arc::default())] };
        assert_eq!(
            text(&Value::Matrix(vec![empty])),
            r#"{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"0","sum":"0"}]]}]}"#
        );
    }
}
