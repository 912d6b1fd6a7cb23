//! The notation in which Prometheus's tests write samples: a series with a sequence of values, histograms among them.
//!
//! For tests of queries and of rules. It reads text from people, so every length is bounded: nobody loads a million
//! million samples by a typing error.

use super::{MemorySource, Metric};
use crate::histogram::{CUSTOM_BUCKETS, Histogram, ResetHint};
use crate::labels::{NAME, stale_marker};

/// Values of one series at most.
const MAX_ITEMS: usize = 1_000_000;

/// One value of a sequence.
#[derive(Clone, Debug)]
pub enum Item {
    /// `_`: no sample.
    Absent,
    /// `stale`: the series has ended here.
    Stale,
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Histogram),
}

/// Puts a sequence of values into a source, one every `gap_ms` from `start_ms` on.
pub fn fill(source: &mut MemorySource, metric: &Metric, items: &[Item], start_ms: i64, gap_ms: i64) {
    let mut at_ms = start_ms;
    for item in items {
        match item {
            Item::Absent => {}
            Item::Stale => source.push(metric, at_ms, stale_marker()),
            Item::Float(value) => source.push(metric, at_ms, *value),
            Item::Histogram(histogram) => source.push_histogram(metric, at_ms, histogram.clone()),
        }
        at_ms = at_ms.saturating_add(gap_ms);
    }
}

/// A number as PromQL writes it, `Inf` and `NaN` among them.
///
/// # Errors
/// A sentence that names the text.
pub fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" => Ok(f64::INFINITY),
        "-inf" => Ok(f64::NEG_INFINITY),
        "nan" => Ok(f64::NAN),
        _ => text.parse().map_err(|e| format!("{text:?}: {e}")),
    }
}

/// `1h30m`, or seconds; in milliseconds.
///
/// # Errors
/// A sentence that names the text.
pub fn duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return if seconds.is_finite() { Ok((seconds * 1000.0) as i64) } else { Err(format!("bad duration {text:?}")) };
    }
    let (mut rest, mut total) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(|| format!("bad duration {text:?}"))?;
        let end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| at + digits);
        let unit: i64 = match &rest[digits..end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return Err(format!("bad duration {text:?}")),
        };
        let many = rest[..digits].parse::<i64>().map_err(|e| format!("{text:?}: {e}"))?;
        let sum = many.checked_mul(unit).and_then(|ms| total.checked_add(ms));
        total = sum.ok_or_else(|| format!("{text:?} is too long"))?;
        rest = &rest[end..];
    }
    Ok(total)
}

/// `name{a="b"} 1 2+3x4 _ {{…}}`: which series, and its values.
///
/// # Errors
/// A sentence that names what is not understood.
pub fn series_line(text: &str) -> Result<(Metric, Vec<Item>), String> {
    let text = text.trim();
    let name_end = text.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let mut pairs: Vec<(String, String)> = vec![(NAME.into(), name.into())];
    // `{{` opens a histogram, not labels.
    let after = rest.trim_start();
    if after.starts_with('{') && !after.starts_with("{{") {
        rest = labels(&after[1..], &mut pairs)?;
    }
    Ok((Metric::new(pairs), items(rest)?))
}

fn labels<'a>(text: &'a str, pairs: &mut Vec<(String, String)>) -> Result<&'a str, String> {
    let mut rest = text.trim_start();
    while !rest.starts_with('}') {
        let (name, after) = rest.split_once('=').ok_or_else(|| format!("labels: {rest:?}"))?;
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.ok_or_else(|| format!("a label's value stands in quotes: {after:?}"))?;
        let mut value = String::new();
        let mut end = None;
        let mut chars = after.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                c if c == quote => {
                    end = Some(at + 1);
                    break;
                }
                c => value.push(c),
            }
        }
        let end = end.ok_or_else(|| format!("unterminated label value: {after:?}"))?;
        let name = name.trim().trim_matches('"');
        pairs.push((name.to_owned(), value));
        rest = after[end..].trim_start().trim_start_matches(',').trim_start();
    }
    Ok(&rest[1..])
}

fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = token_end(rest);
        token(&rest[..end], &mut items)?;
        if items.len() > MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} values of one series"));
        }
        rest = rest[end..].trim_start();
    }
    Ok(items)
}

/// Blanks within a histogram do not end a token.
fn token_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn token(text: &str, items: &mut Vec<Item>) -> Result<(), String> {
    if text.starts_with("{{") {
        return histograms(text, items);
    }
    let (value, times) = match text.split_once('x') {
        Some((value, times)) => (value, repeats(text, times)?),
        None => (text, 0),
    };
    if value == "_" {
        items.extend(std::iter::repeat_n(Item::Absent, times.max(1)));
        return Ok(());
    }
    if value == "stale" {
        items.extend(std::iter::repeat_n(Item::Stale, times + 1));
        return Ok(());
    }
    // A sign that is no exponent's and not the first separates start and step.
    let sign = |(at, c): &(usize, char)| *at > 0 && matches!(c, '+' | '-') && !value[..*at].ends_with(['e', 'E']);
    let (start, step) = match value.char_indices().find(sign) {
        Some((at, _)) => (number(&value[..at])?, number(&value[at..])?),
        None => (number(value)?, 0.0),
    };
    let mut current = start;
    for _ in 0..=times {
        items.push(Item::Float(current));
        current += step;
    }
    Ok(())
}

fn repeats(text: &str, times: &str) -> Result<usize, String> {
    let times = times.parse::<usize>().map_err(|e| format!("{text:?}: {e}"))?;
    if times > MAX_ITEMS {
        return Err(format!("{text:?}: at most {MAX_ITEMS} values of one series"));
    }
    Ok(times)
}

fn histograms(text: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let (first, mut rest) = one_histogram(text)?;
    let mut step = None;
    if let Some(sign @ ("+" | "-")) = rest.get(..1) {
        let (histogram, after) = one_histogram(&rest[1..])?;
        (step, rest) = (Some((histogram, sign == "-")), after);
    }
    let times = match rest.strip_prefix('x') {
        Some(times) => repeats(text, times)?,
        None if rest.is_empty() => 0,
        None => return Err(format!("after a histogram: {rest:?}")),
    };
    let mut current = first;
    for _ in 0..=times {
        items.push(Item::Histogram(current.clone()));
        if let Some((step, minus)) = &step {
            let combined = if *minus { current.subtract(step) } else { current.add(step) };
            combined.map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

fn one_histogram(text: &str) -> Result<(Histogram, &str), String> {
    let body = text.strip_prefix("{{").ok_or_else(|| format!("expected a histogram: {text:?}"))?;
    let (body, rest) = body.split_once("}}").ok_or_else(|| format!("unterminated histogram: {text:?}"))?;
    let (mut histogram, mut offsets, mut buckets) = (Histogram::default(), [0, 0], [vec![], vec![]]);
    let mut fields = body.trim();
    while !fields.is_empty() {
        let (name, after) = fields.split_once(':').ok_or_else(|| format!("histogram: {fields:?}"))?;
        let (value, after) = match after.trim_start().strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(|| format!("unterminated list: {after:?}"))?,
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        let list = || value.split_whitespace().map(number).collect::<Result<Vec<f64>, _>>();
        let whole = || value.parse::<i32>().map_err(|e| format!("{value:?}: {e}"));
        match name.trim() {
            "schema" => histogram.schema = whole()?,
            "sum" => histogram.sum = number(value)?,
            "count" => histogram.count = number(value)?,
            "z_bucket" => histogram.zero_count = number(value)?,
            "z_bucket_w" => histogram.zero_threshold = number(value)?,
            "custom_values" => histogram.custom_bounds = list()?,
            "buckets" => buckets[0] = list()?,
            "n_buckets" => buckets[1] = list()?,
            "offset" => offsets[0] = whole()?,
            "n_offset" => offsets[1] = whole()?,
            "counter_reset_hint" => {
                histogram.hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NoReset,
                    "gauge" => ResetHint::Gauge,
                    other => return Err(format!("unknown hint {other:?}")),
                }
            }
            other => return Err(format!("unknown field {other:?}")),
        }
        fields = after.trim_start();
    }
    if !histogram.custom_bounds.is_empty() && histogram.schema != CUSTOM_BUCKETS {
        return Err("custom_values need schema -53".into());
    }
    if offsets.iter().any(|offset| offset.unsigned_abs() > 1 << 20) {
        return Err("a bucket's offset is too far from zero".into());
    }
    let [positive, negative] = buckets;
    histogram.positive = (offsets[0]..).zip(positive).collect();
    histogram.negative = (offsets[1]..).zip(negative).collect();
    Ok((histogram, rest))
}
