//! Whether an answer is the one expected, as Prometheus's own tests compare: floats to one part in a million.

use std::collections::BTreeMap;

use regex::Regex;
use series::promql::{Answer, Metric, QueryError, SampleValue, Value};
use series::{Histogram, ResetHint};

use super::language::{Case, Message, Times};
use series::promql::notation::Item;

type Samples = BTreeMap<i64, SampleValue>;

pub fn judge(case: &Case, outcome: &Result<Answer, QueryError>) -> Result<(), String> {
    let expected = &case.expected;
    let answer = match (outcome, &expected.fail) {
        (Err(error), Some(message)) => {
            return fits(message, &error.to_string())
                .then_some(())
                .ok_or_else(|| format!("failed otherwise: {error}, expected {message:?}"));
        }
        (Err(error), None) => return Err(format!("failed: {error}")),
        (Ok(_), Some(_)) => return Err("should have failed".into()),
        (Ok(answer), None) => answer,
    };
    remarks("warnings", &expected.warns, expected.no_warn, &answer.warnings)?;
    remarks("infos", &expected.infos, expected.no_info, &answer.infos)?;
    match &answer.value {
        Value::Text { text, .. } => {
            if expected.text.as_ref() == Some(text) {
                Ok(())
            } else {
                Err(format!("text {text:?}, expected {:?}", expected.text))
            }
        }
        Value::Scalar { value, .. } => match expected.scalar {
            Some(wanted) if near(*value, wanted) => Ok(()),
            wanted => Err(format!("scalar {value}, expected {wanted:?}")),
        },
        Value::Vector(samples) => {
            let found: Vec<(Metric, Samples)> =
                samples.iter().map(|s| (s.metric.clone(), BTreeMap::from([(s.at_ms, s.value.clone())]))).collect();
            compare(case, &found)
        }
        Value::Matrix(all) => {
            let samples = |s: &series::promql::MatrixSeries| {
                let floats = s.floats.iter().map(|(at, value)| (at, SampleValue::Float(value)));
                let histograms = s.histograms.iter().map(|(at, h)| (*at, SampleValue::Histogram(h.clone())));
                (s.metric.clone(), floats.chain(histograms).collect())
            };
            let found: Vec<(Metric, Samples)> = all.iter().map(samples).collect();
            match (expected.scalar, found.as_slice()) {
                (Some(_), _) => Err("a matrix where a scalar was expected".into()),
                _ => compare(case, &found),
            }
        }
    }
}

fn fits(message: &Message, text: &str) -> bool {
    match message {
        Message::Any => true,
        Message::Exact(exact) => exact == text,
        Message::Pattern(pattern) => Regex::new(pattern).expect("a pattern").is_match(text),
    }
}

fn remarks(what: &str, expected: &[Message], none: bool, found: &[String]) -> Result<(), String> {
    if none && !found.is_empty() {
        return Err(format!("unexpected {what}: {found:?}"));
    }
    if let Some(missing) = expected.iter().find(|message| !found.iter().any(|text| fits(message, text))) {
        return Err(format!("missing among {what}: {missing:?}; found {found:?}"));
    }
    if expected.is_empty() {
        return Ok(());
    }
    match found.iter().find(|text| !expected.iter().any(|message| fits(message, text))) {
        Some(surplus) => Err(format!("surplus among {what}: {surplus}")),
        None => Ok(()),
    }
}

/// The times that the values of an expected line stand at.
fn times(case: &Case) -> (i64, i64) {
    match (case.times, case.expected.window) {
        (_, Some((from, _, step))) => (from, step),
        (Times::At(at), None) => (at, 0),
        (Times::Range((from, _, step)), None) => (from, step),
    }
}

fn compare(case: &Case, found: &[(Metric, Samples)]) -> Result<(), String> {
    let (start, step) = times(case);
    let mut wanted: Vec<(Metric, Samples)> = Vec::new();
    for (metric, items) in &case.expected.series {
        let mut samples = Samples::new();
        for (at, item) in (0..).map(|place| start + place * step).zip(items) {
            match item {
                Item::Absent | Item::Stale => {}
                Item::Float(value) => _ = samples.insert(at, SampleValue::Float(*value)),
                Item::Histogram(h) => _ = samples.insert(at, SampleValue::Histogram(std::sync::Arc::new(h.clone()))),
            }
        }
        if let Times::Range((_, end, _)) = case.times {
            samples.retain(|at, _| *at <= end);
        }
        if !samples.is_empty() {
            wanted.push((metric.clone(), samples));
        }
    }
    if let Some(scalar) = case.expected.scalar {
        return Err(format!("series where the scalar {scalar} was expected: {found:?}"));
    }
    if case.expected.ordered {
        let order = |list: &[(Metric, Samples)]| list.iter().map(|(metric, _)| metric.to_string()).collect::<Vec<_>>();
        if order(found) != order(&wanted) {
            return Err(format!("in the order {:?}, expected {:?}", order(found), order(&wanted)));
        }
    }
    for (metric, samples) in found {
        let Some((_, wanted)) = wanted.iter().find(|(other, _)| other == metric) else {
            return Err(format!("unexpected series {metric} {samples:?}"));
        };
        same(metric, samples, wanted)?;
    }
    match wanted.iter().find(|(metric, _)| !found.iter().any(|(other, _)| other == metric)) {
        Some((missing, _)) => {
            Err(format!("missing series {missing}; found {:?}", found.iter().map(|(m, _)| m).collect::<Vec<_>>()))
        }
        None => Ok(()),
    }
}

fn same(metric: &Metric, found: &Samples, wanted: &Samples) -> Result<(), String> {
    if !found.keys().eq(wanted.keys()) {
        return Err(format!("{metric}: samples at {:?}, expected at {:?}", found.keys(), wanted.keys()));
    }
    for ((at, found), wanted) in found.iter().zip(wanted.values()) {
        let same = match (found, wanted) {
            (SampleValue::Float(a), SampleValue::Float(b)) => near(*a, *b),
            (SampleValue::Histogram(a), SampleValue::Histogram(b)) => near_histograms(a, b),
            _ => false,
        };
        if !same {
            return Err(format!("{metric} at {at}: {found:?}\n    expected {wanted:?}"));
        }
    }
    Ok(())
}

/// The same but for rounding.
pub fn near(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn near_histograms(found: &Histogram, wanted: &Histogram) -> bool {
    let filled = |buckets: &[(i32, f64)]| buckets.iter().filter(|(_, c)| *c != 0.0).copied().collect::<Vec<_>>();
    let buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        let (a, b) = (filled(a), filled(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
    };
    found.schema == wanted.schema
        && near(found.count, wanted.count)
        && near(found.sum, wanted.sum)
        && found.zero_threshold == wanted.zero_threshold
        && near(found.zero_count, wanted.zero_count)
        && found.custom_bounds == wanted.custom_bounds
        && buckets(&found.positive, &wanted.positive)
        && buckets(&found.negative, &wanted.negative)
        && (wanted.hint == ResetHint::Unknown || found.hint == wanted.hint)
}
