//! JSON lines: a stretch of one series a line. Numbers are read by the standard library, straight from the line: thousands of them
//! never become a tree of values.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use series::Labels;
use std::io::{self, BufRead};

use super::read::{Reader, next_line};
use crate::relay::histogram::Counted;

/// A line.
#[derive(Default)]
struct Stretch {
    metric: Option<Map<String, Value>>,
    values: Vec<f64>,
    timestamps: Vec<i64>,
    /// Unix seconds, and the histogram as Prometheus writes it.
    histograms: Vec<(f64, Counted)>,
}

pub(super) fn json_lines(text: &mut dyn BufRead, reader: &mut Reader<'_>) -> io::Result<()> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    while next_line(text, &mut bytes)? {
        line += 1;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let read = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8".to_owned()).and_then(stretch);
        match read.and_then(|stretch| Ok((series(&stretch, reader)?, stretch))) {
            Err(why) => reader.faults.put(line, why),
            Ok((series, stretch)) => put(line, series, &stretch, reader)?,
        }
    }
    Ok(())
}

fn put(line: u64, series: u32, stretch: &Stretch, reader: &mut Reader<'_>) -> io::Result<()> {
    for (at_ms, value) in stretch.timestamps.iter().zip(&stretch.values) {
        reader.row(line, series, *at_ms, *value)?;
    }
    for (at, counted) in &stretch.histograms {
        reader.histogram(line, series, (at * 1000.0).round() as i64, counted)?;
    }
    Ok(())
}

fn series(stretch: &Stretch, reader: &mut Reader<'_>) -> Result<u32, String> {
    let metric = stretch.metric.as_ref().ok_or("missing field metric")?;
    let (values, timestamps) = (stretch.values.len(), stretch.timestamps.len());
    if values != timestamps {
        return Err(format!("{values} values but {timestamps} timestamps"));
    }
    let pairs: Option<Vec<(&str, &str)>> =
        metric.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    let pairs = pairs.ok_or("metric: labels are texts")?;
    reader.names.number(Labels::new(pairs).map_err(|error| error.to_string())?)
}

fn stretch(line: &str) -> Result<Stretch, String> {
    serde_json::from_str::<IgnoredAny>(line).map_err(|error| format!("not JSON: {error}"))?;
    let mut out = Stretch::default();
    for (name, raw) in members(line).ok_or("not a JSON object")? {
        let wrong = |error: serde_json::Error| format!("{name}: {error}");
        match name {
            "metric" => out.metric = Some(serde_json::from_str(raw).map_err(wrong)?),
            "histograms" => out.histograms = serde_json::from_str(raw).map_err(wrong)?,
            "values" => out.values = items(raw).ok_or("values: no list")?.map(number).collect::<Result<_, _>>()?,
            "timestamps" => {
                let time =
                    |text: &str| text.parse().map_err(|_| format!("timestamps: {text:?} is no Unix millisecond"));
                out.timestamps = items(raw).ok_or("timestamps: no list")?.map(time).collect::<Result<_, String>>()?;
            }
            other => return Err(format!("unknown field {other:?}; known are metric, values, timestamps, histograms")),
        }
    }
    Ok(out)
}

/// A number; `null` for NaN, or the infinite ones as texts.
fn number(text: &str) -> Result<f64, String> {
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match plain {
        "null" => Ok(f64::NAN),
        plain => plain.parse().map_err(|_| format!("values: {text} is no number")),
    }
}

/// The items of a list of scalars in text that is known to be JSON.
fn items(list: &str) -> Option<impl Iterator<Item = &str>> {
    let inner = list.strip_prefix('[')?.strip_suffix(']')?.trim();
    Some(inner.split(',').map(str::trim).filter(move |_| !inner.is_empty()))
}

/// The members of an object in text that is known to be JSON: names as they are written, and the text of each value.
fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut found = Vec::new();
    while !rest.starts_with('}') {
        let (name, behind) = rest.split_at(value_end(rest)?);
        rest = behind.trim_start().strip_prefix(':')?.trim_start();
        let (value, behind) = rest.split_at(value_end(rest)?);
        found.push((name.trim().strip_prefix('"')?.strip_suffix('"')?, value.trim_end()));
        rest = behind.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(found)
}

/// Where the value ends that the text begins with.
fn value_end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' | b',' | b':' if depth == 0 => return Some(at),
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}
