//! Answers as JSON text, digit by digit as Prometheus's HTTP API writes it and in one pass: times in seconds with three decimals or
//! none, values as text, native histograms by their buckets. Floats are what large answers are made of: each goes out with its time in
//! one piece, and those that people write with few decimals are written without a search for the shortest digits.
//!
//! It must never write another number than the shortest one that reads back as the same float.

use std::io::{self, Write};

use super::floats::Floats;
use super::value::{SampleValue, Value, json_float};
use crate::histogram::Histogram;

/// Whole numbers below this have at most fifteen digits, so no two decimals of that length are one float.
const FIFTEEN_DIGITS: f64 = 1e15;
/// Decimals that are tried before the general way.
const DECIMALS: usize = 6;
const POWERS: [u64; DECIMALS + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Writes the `data` of an answer: `{"resultType":…,"result":…}`, with `stats` beside them when there are any.
///
/// # Errors
/// Whatever is written to does not take it.
pub fn result<W: Write>(out: &mut W, value: &Value, stats: Option<&serde_json::Value>) -> io::Result<()> {
    write!(out, "{{\"resultType\":\"{}\",\"result\":", value.type_name())?;
    match value {
        Value::Scalar { at_ms, value } => float_pair(out, *at_ms, *value)?,
        Value::Text { at_ms, text } => {
            out.write_all(b"[")?;
            time(out, *at_ms)?;
            out.write_all(b",")?;
            string(out, text)?;
            out.write_all(b"]")?;
        }
        Value::Vector(samples) => list(out, samples, |out, sample| {
            out.write_all(b"{\"metric\":")?;
            pairs(out, sample.metric.iter())?;
            match &sample.value {
                SampleValue::Float(value) => {
                    out.write_all(b",\"value\":")?;
                    float_pair(out, sample.at_ms, *value)?;
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
            pairs(out, series.metric.iter())?;
            if !series.floats.is_empty() {
                out.write_all(b",\"values\":")?;
                float_pairs(out, &series.floats)?;
            }
            if !series.histograms.is_empty() {
                out.write_all(b",\"histograms\":")?;
                list(out, &series.histograms, |out, (at, value)| histogram(out, *at, value))?;
            }
            out.write_all(b"}")
        })?,
    }
    if let Some(stats) = stats {
        out.write_all(b",\"stats\":")?;
        serde_json::to_writer(&mut *out, stats)?;
    }
    out.write_all(b"}")
}

/// A list.
///
/// # Errors
/// As [`result`].
pub fn list<W: Write, T>(
    out: &mut W,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut W, T) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"[")?;
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        each(out, item)?;
    }
    out.write_all(b"]")
}

/// Names and values as an object.
///
/// # Errors
/// As [`result`].
pub fn pairs<'a, W: Write>(out: &mut W, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<()> {
    out.write_all(b"{")?;
    for (place, (name, value)) in pairs.enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        string(out, name)?;
        out.write_all(b":")?;
        string(out, value)?;
    }
    out.write_all(b"}")
}

/// Unix seconds: whole, or with three decimals.
///
/// # Errors
/// As [`result`].
pub fn time<W: Write>(out: &mut W, at_ms: i64) -> io::Result<()> {
    let mut piece = Piece::default();
    piece.time(at_ms);
    out.write_all(piece.bytes())
}

/// A time and a native histogram.
///
/// # Errors
/// As [`result`].
pub fn histogram<W: Write>(out: &mut W, at_ms: i64, histogram: &Histogram) -> io::Result<()> {
    out.write_all(b"[")?;
    time(out, at_ms)?;
    out.write_all(b",")?;
    counted(out, histogram)?;
    out.write_all(b"]")
}

/// A native histogram without its time.
///
/// # Errors
/// As [`result`].
pub fn counted<W: Write>(out: &mut W, histogram: &Histogram) -> io::Result<()> {
    write!(out, "{{\"count\":\"{}\",\"sum\":\"{}\"", json_float(histogram.count), json_float(histogram.sum))?;
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
    out.write_all(if first { b"}" } else { b"]}" })
}

/// Whether there is a control character, a quote or a backslash.
pub(crate) fn needs_escape(text: &str) -> bool {
    // All bytes are looked at, many at once: to stop at the first that is found would be slower.
    text.bytes().fold(false, |any, b| any | (b < 0x20) | (b == b'"') | (b == b'\\'))
}

/// A text in quotes. Nearly none needs an escape.
pub(crate) fn string<W: Write>(out: &mut W, text: &str) -> io::Result<()> {
    if needs_escape(text) { Ok(serde_json::to_writer(out, text)?) } else { plain(out, text) }
}

/// A text in quotes that needs no escape.
pub(crate) fn plain<W: Write>(out: &mut W, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    out.write_all(text.as_bytes())?;
    out.write_all(b"\"")
}

fn float_pair<W: Write>(out: &mut W, at_ms: i64, value: f64) -> io::Result<()> {
    let mut piece = Piece::default();
    piece.pair(at_ms, value);
    out.write_all(piece.bytes())
}

/// A list of them, each written with the comma before it.
fn float_pairs<W: Write>(out: &mut W, floats: &Floats) -> io::Result<()> {
    out.write_all(b"[")?;
    for (place, (at_ms, value)) in floats.iter().enumerate() {
        let mut piece = Piece::default();
        if place > 0 {
            piece.put(b",");
        }
        piece.pair(at_ms, value);
        out.write_all(piece.bytes())?;
    }
    out.write_all(b"]")
}

/// A few bytes that are written together: a time has 21 at most, a float 25.
struct Piece {
    bytes: [u8; 64],
    end: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { bytes: [0; 64], end: 0 }
    }
}

/// The digits of all numbers below a hundred, two of each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

impl Piece {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    fn pair(&mut self, at_ms: i64, value: f64) {
        self.put(b"[");
        self.time(at_ms);
        self.put(b",\"");
        self.float(value);
        self.put(b"\"]");
    }

    fn time(&mut self, at_ms: i64) {
        if at_ms < 0 {
            self.put(b"-");
        }
        let ms = at_ms.unsigned_abs();
        self.whole(ms / 1000);
        if !ms.is_multiple_of(1000) {
            self.decimals(ms % 1000, 3);
        }
    }

    /// A float as [`json_float`] writes it.
    fn float(&mut self, value: f64) {
        let size = value.abs();
        let whole = size as u64;
        // NaN and infinities are not below anything.
        if size < FIFTEEN_DIGITS && whole as f64 == size {
            self.signed(value, whole);
        } else if size < FIFTEEN_DIGITS / 1e6 && self.fraction(value, size) {
            // It is written.
        } else if (1e-5..FIFTEEN_DIGITS).contains(&size) {
            self.put(zmij::Buffer::new().format_finite(value).as_bytes());
        } else {
            self.put(json_float(value).as_bytes());
        }
    }

    /// A float that is a decimal of fifteen digits at most, few of them after the point; false when it is not.
    fn fraction(&mut self, value: f64, size: f64) -> bool {
        let mut number = (size * 1e6 + 0.5) as u64;
        if number as f64 / 1e6 != size {
            return false;
        }
        let mut decimals = DECIMALS;
        if number.is_multiple_of(1_000) {
            (number, decimals) = (number / 1_000, decimals - 3);
        }
        while number.is_multiple_of(10) {
            (number, decimals) = (number / 10, decimals - 1);
        }
        self.signed(value, number / POWERS[decimals]);
        self.decimals(number % POWERS[decimals], decimals);
        true
    }

    fn signed(&mut self, sign: f64, whole: u64) {
        if sign.is_sign_negative() {
            self.put(b"-");
        }
        self.whole(whole);
    }

    fn whole(&mut self, mut number: u64) {
        let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        // From the last digit on, each in its place: a copy of so few bytes costs more than they do.
        let mut at = self.end + digits;
        self.end = at;
        while number >= 100 {
            at -= 2;
            self.bytes[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        if number >= 10 {
            self.bytes[at - 2..at].copy_from_slice(&PAIRS[number as usize]);
        } else {
            self.bytes[at - 1] = b'0' + number as u8;
        }
    }

    /// A point and so many digits.
    fn decimals(&mut self, mut number: u64, digits: usize) {
        self.put(b".");
        for place in (self.end..self.end + digits).rev() {
            self.bytes[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.end += digits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{MatrixSeries, Metric, VectorSample};
    use proptest::prelude::*;

    fn written(value: f64) -> String {
        let mut piece = Piece::default();
        piece.float(value);
        String::from_utf8(piece.bytes().to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn any_float_is_written_as_the_general_way_writes_it(bits in any::<u64>(), whole in any::<i64>(), digits in 0_i32..8) {
            for value in [f64::from_bits(bits), whole as f64 / 10_f64.powi(digits), (whole % 100_000) as f64 / 10_f64.powi(digits)] {
                prop_assert_eq!(written(value), json_float(value));
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_the_general_way_writes_it(text in r#"[a-z\x00-\x25"\\é\x7f\u{80}-\u{ffff}]{0,40}"#) {
            let mut out = Vec::new();
            string(&mut out, &text).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn remarkable_floats_are_written_as_the_general_way_writes_them() {
        for value in [
            0.0,
            -0.0,
            0.1,
            -0.5,
            100.0,
            1e15,
            1e21,
            1e-6,
            1e-5,
            1e-7,
            999.999,
            999_999_999.999_999,
            1e9 - 1e-7,
            1e14 + 0.5,
            f64::MIN,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            0.30000000000000004,
        ] {
            assert_eq!(written(value), json_float(value));
        }
    }

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
        let matrix = Value::Matrix(vec![MatrixSeries {
            metric: Metric::default(),
            floats: floats.into(),
            histograms: Vec::new(),
        }]);
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
            floats: Floats::default(),
            histograms: vec![(1_000, std::sync::Arc::new(histogram))],
        };
        assert_eq!(
            text(&Value::Matrix(vec![series])),
            r#"{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"3","sum":"2.5","buckets":[[3,"-0.001","0.001","1"]]}]]}]}"#
        );
        let empty = MatrixSeries {
            metric: Metric::default(),
            floats: Floats::default(),
            histograms: vec![(1_000, std::sync::Arc::default())],
        };
        assert_eq!(
            text(&Value::Matrix(vec![empty])),
            r#"{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"0","sum":"0"}]]}]}"#
        );
    }
}
