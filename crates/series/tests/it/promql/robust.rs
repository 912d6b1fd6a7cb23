//! Any text is either no query or one that can be written again and answered; every function can be called.

use proptest::prelude::*;
use proptest::sample::Index;
use series::promql::{Function, Limits, MemorySource, Query, QueryError, SampleValue, Settings, Type, Value, json};
use series::{Engine, Labels, Sample};

use super::language::{Command, Script};
use super::scripts;
use crate::world::{SECOND, T0, World};

const SERIES: &str = "load 15s
  a{job=\"x\"} 0+1x10 0+2x10
  a{job=\"y\"} 5-1x8 _x3 NaN Inf 7 stale 4
  b{job=\"x\"} 1+0x20
  h{job=\"x\"} {{schema:1 count:3 sum:4 buckets:[1 2]}}+{{count:1 sum:1 buckets:[1]}}x20
  c_bucket{le=\"1\"} 0+1x20
  c_bucket{le=\"+Inf\"} 0+3x20
";

fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for command in Script::parse(SERIES).expect("a script").commands {
        if let Command::Load(load) = command {
            load.fill(&mut source);
        }
    }
    source
}

/// All queries of Prometheus's tests, as a start for strange ones.
fn queries() -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for (_, script) in scripts() {
        queries.extend(script.commands.into_iter().filter_map(|command| match command {
            Command::Eval(case) => Some(case.query),
            _ => None,
        }));
    }
    queries
}

/// Pieces that are put into queries.
const PIECES: [&str; 28] = [
    "[290000000y]",
    " offset 290000000y",
    " @ -9000000000000000",
    "[290000000y:1ms]",
    "(",
    ")",
    "[5m]",
    "[1m:15s]",
    " offset 1m",
    " @ end()",
    "{",
    "}",
    "a",
    "h",
    "c_bucket",
    " + ",
    " ^ ",
    "-",
    " == bool ",
    " on (job) ",
    " group_left ",
    "sum",
    "rate(",
    "\"",
    "1e",
    "\u{e9}",
    " or ",
    ",",
];

fn strange() -> impl Strategy<Value = String> {
    let known = queries();
    let change = (any::<Index>(), any::<Index>(), any::<Index>(), 0..3_u8);
    (any::<Index>(), proptest::collection::vec(change, 0..4)).prop_map(move |(which, changes)| {
        let mut text: Vec<char> = which.get(&known).chars().collect();
        for (from, to, piece, kind) in changes {
            if text.is_empty() {
                break;
            }
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            match kind {
                0 => drop(text.drain(from.min(to)..from.max(to))),
                1 => drop(text.splice(from..from, piece.get(&PIECES).chars())),
                _ => text.swap(from, to),
            }
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_refused_or_understood(text in strange()) {
        let Ok(query) = Query::parse(&text) else { return Ok(()) };
        let written = query.formatted();
        let again = Query::parse(&written);
        prop_assert!(again.is_ok(), "{text} is written as {written}, which is {again:?}");
        prop_assert_eq!(&written, &again.expect("just looked").formatted());
        let limits = Limits { max_samples: 100_000, ..Limits::default() };
        let source = source();
        let settings = Settings::default();
        let _ = query.instant(&source, 150_000, &settings, &limits);
        let _ = query.range(&source, (0, 300_000, 60_000), &settings, &limits);
    }

    #[test]
    fn any_bytes_are_refused_or_understood(text in ".{0,40}") {
        let _ = Query::parse(&text);
    }
}

#[test]
fn every_function_can_be_called() {
    let (source, settings, limits) = (source(), Settings::default(), Limits::default());
    for function in Function::all() {
        let arg = |(place, kind): (usize, &Type)| match kind {
            Type::Scalar => "0.5",
            Type::Matrix => "a{job=\"x\"}[1m]",
            Type::Text => ["", "\"job\"", "\"new\"", "\"job\"", "\".*\""][place],
            Type::Vector if function.name.starts_with("histogram") => "h",
            Type::Vector if function.name == "info" && place == 1 => "{job=~\".*\", x!=\"y\"}",
            Type::Vector => "a{job=\"x\"}",
        };
        let args: Vec<&str> = function.args.iter().enumerate().map(arg).collect();
        let text = format!("{}({})", function.name, args.join(", "));
        let query = Query::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let range = query.range(&source, (0, 300_000, 60_000), &settings, &limits);
        assert!(range.is_ok(), "{text}: {:?}", range.err());
    }
}

#[test]
fn what_is_no_query_is_refused_with_its_place() {
    let table = [
        ("", 0, "nothing"),
        ("sum(", 4, "unfinished"),
        ("rate(a)", 5, "a vector is no range"),
        ("a[5m] + 1", 0, "a range is no operand"),
        ("1 == 2", 2, "scalars are compared with bool"),
        ("a and 1", 2, "sets need vectors"),
        ("{}", 0, "everything"),
        ("{x=~\".*\"}", 0, "everything, said longer"),
        ("unknown(a)", 0, "no such function"),
        ("a offset 5m offset 1m", 12, "two offsets"),
        ("a{b=\"c\"", 7, "open braces"),
        ("sum by (job) (a) by (job)", 17, "grouped twice"),
        ("a + bool b", 2, "bool belongs to comparisons"),
        ("topk(a)", 4, "the parameter is missing"),
    ];
    for (text, offset, why) in table {
        let error = Query::parse(text).expect_err(why);
        assert_eq!(error.offset, offset, "{why}: {error}");
    }
    let deep = [
        format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("a[{}1{}]", "(".repeat(10_000), ")".repeat(10_000)),
        format!("a[{}1m]", "-".repeat(10_000)),
        format!("a offset {}1m", "+".repeat(10_000)),
        format!("{}a", "-".repeat(10_000)),
        format!("a{}", " + a".repeat(10_000)),
        format!("a{}", " ^ a".repeat(10_000)),
        format!("a[1m{}]", " + 1m".repeat(10_000)),
        format!("a{}", "[1m:1m]".repeat(10_000)),
    ];
    for query in deep {
        assert!(Query::parse(&query).is_err(), "too deep for the stack: {}", &query[..20]);
    }
}

#[test]
fn a_long_query_is_answered() {
    let query = Query::parse(&format!("b{}", " + b".repeat(400))).expect("a query");
    let answer = query.instant(&source(), 60_000, &Settings::default(), &Limits::default()).expect("an answer");
    let Value::Vector(found) = &answer.value else { panic!("a vector") };
    assert_eq!(found[0].value, SampleValue::Float(401.0));
}

#[tokio::test]
async fn an_engine_is_queried_for_one_tenant_only() -> Result<(), Box<dyn std::error::Error>> {
    let world = World::new();
    let (engine, _): (Engine, _) = world.open();
    let labels = Labels::metric("served_total", &[("host", "one")])?;
    let sample = |step: i64, value: f64| Sample { labels: labels.clone(), at_ms: T0 + step * 15 * SECOND, value };
    world.now(T0 + 600 * SECOND);
    engine.append(7, (0..20).map(|step| sample(step, step as f64 * 30.0)).collect()).await?;
    let query = Query::parse("sum by (host) (increase(served_total[1m]))")?;
    let ask = |tenant| {
        let source = series::promql::EngineSource { engine: &engine, tenant };
        query.instant(&source, T0 + 240 * SECOND, &Settings::default(), &Limits::default())
    };
    let answer = ask(7)?;
    let shown = |value: &Value| {
        let mut out = Vec::new();
        json::result(&mut out, value, None).map(|()| String::from_utf8_lossy(&out).into_owned())
    };
    let expected = r#"{"resultType":"vector","result":[{"metric":{"host":"one"},"value":[1749996240,"120"]}]}"#;
    assert_eq!(shown(&answer.value)?, expected);
    let other: Result<_, QueryError> = ask(8);
    assert_eq!(shown(&other?.value)?, r#"{"resultType":"vector","result":[]}"#);
    Ok(())
}
