//! A range query is nothing but instant queries at each of its steps.

use std::collections::BTreeMap;

use series::promql::{Limits, MemorySource, Query, SampleValue, Settings, Value};

use super::language::{Command, Times};
use super::scripts;

/// What a query may use without being the same at a step of a range: the times of the whole query, the order of series.
const OF_THE_RANGE: [&str; 5] = ["step()", "range()", "start()", "end()", "sort"];

type Cells = BTreeMap<String, SampleValue>;

fn cells(value: &Value, at_ms: i64) -> Cells {
    match value {
        Value::Scalar { value, .. } => Cells::from([("{}".into(), SampleValue::Float(*value))]),
        Value::Vector(samples) => samples.iter().map(|s| (s.metric.to_string(), s.value.clone())).collect(),
        Value::Matrix(all) => {
            let cell = |s: &series::promql::MatrixSeries| {
                let float = s.floats.iter().find(|(at, _)| *at == at_ms).map(|(_, v)| SampleValue::Float(v));
                let histogram = s.histograms.iter().find(|(at, _)| *at == at_ms);
                let value = float.or(histogram.map(|(_, h)| SampleValue::Histogram(h.clone())))?;
                Some((s.metric.to_string(), value))
            };
            all.iter().filter_map(cell).collect()
        }
        Value::Text { .. } => Cells::new(),
    }
}

/// Bit by bit the same; any NaN is like any other.
fn same(a: &Cells, b: &Cells) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((name, a), (other, b))| {
            name == other
                && match (a, b) {
                    (SampleValue::Float(a), SampleValue::Float(b)) => {
                        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
                    }
                    (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.to_string() == b.to_string(),
                    _ => false,
                }
        })
}

#[test]
fn a_range_query_is_its_instant_queries() {
    let (settings, limits) = (Settings::default(), Limits::default());
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, script) in scripts() {
        let mut source = MemorySource::default();
        for command in &script.commands {
            let case = match command {
                Command::Clear => {
                    source = MemorySource::default();
                    continue;
                }
                Command::Load(load) => {
                    load.fill(&mut source);
                    continue;
                }
                Command::Eval(case) => case,
            };
            let Ok(query) = Query::parse(&case.query) else { continue };
            if OF_THE_RANGE.iter().any(|word| case.query.contains(word)) || query.is_text() {
                continue;
            }
            let (start, end, step) = match case.times {
                Times::At(at) => (at - 120_000, at + 120_000, 60_000),
                Times::Range((start, end, step)) => (start, end, step),
            };
            let Ok(range) = query.range(&source, (start, end, step), &settings, &limits) else { continue };
            for at in (start..=end).step_by(usize::try_from(step).expect("a step")) {
                let Ok(instant) = query.instant(&source, at, &settings, &limits) else {
                    wrong.push(format!("{name}:{} at {at}: fails alone: {}", case.line, case.query));
                    continue;
                };
                let (one, other) = (cells(&range.value, at), cells(&instant.value, at));
                compared += 1;
                if !same(&one, &other) {
                    wrong.push(format!(
                        "{name}:{} at {at}: {}\n  range   {one:?}\n  instant {other:?}",
                        case.line, case.query
                    ));
                }
            }
        }
    }
    assert!(compared > 5000, "only {compared} compared");
    assert!(wrong.is_empty(), "{} of {compared}\n{}", wrong.len(), wrong.join("\n"));
}
