//! What a query may cost, and that it stops when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use series::promql::{Cancel, Limits, MemorySource, Metric, Query, QueryError, Settings};

/// A hundred series of a thousand samples, one a second.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for series in 0..100 {
        let metric = Metric::new([("__name__", "load".to_owned()), ("host", series.to_string())]);
        for second in 0..1000_i64 {
            source.push(&metric, second * 1000, f64::from(series) + second as f64);
        }
    }
    source
}

fn ask(text: &str, limits: &Limits) -> Result<u64, QueryError> {
    let query = Query::parse(text).expect("a query");
    let answer = query.range(&source(), (0, 999_000, 1000), &Settings::default(), limits)?;
    Ok(answer.samples)
}

#[test]
fn a_query_beyond_its_limits_is_refused() {
    let all = Limits::default();
    let samples = ask("sum(load)", &all).expect("within limits");
    let enough = Limits { max_samples: samples, ..Limits::default() };
    assert_eq!(ask("sum(load)", &enough).expect("just within limits"), samples);
    let table = [
        (Limits { max_samples: samples - 1, ..Limits::default() }, "execution", "one sample more than allowed"),
        (Limits { max_bytes: 100_000, ..Limits::default() }, "execution", "memory"),
        (Limits { max_steps: 999, ..Limits::default() }, "bad_data", "steps"),
    ];
    for (limits, kind, why) in table {
        let error = ask("sum(load)", &limits).expect_err(why);
        assert_eq!(error.kind(), kind, "{why}: {error}");
    }
}

#[test]
fn a_subquery_cannot_ask_for_more_steps_than_memory() {
    let error = ask("max_over_time(vector(1)[1000y:1ms])", &Limits::default()).expect_err("too much");
    assert_eq!(error.kind(), "execution");
}

#[test]
fn a_cancelled_query_stops() {
    let cancel = Cancel::default();
    let limits = Limits { cancel: cancel.clone(), ..Limits::default() };
    assert!(ask("sum(load)", &limits).is_ok());
    cancel.cancel();
    assert!(matches!(ask("sum(load)", &limits), Err(QueryError::Cancelled)));
}

#[test]
fn a_query_stops_in_the_middle_when_it_is_cancelled_or_too_late() {
    // The clock goes on by a millisecond each time that the query looks at it.
    let looks = Arc::new(AtomicI64::new(0));
    let cancel = Cancel::default();
    let (count, token) = (looks.clone(), cancel.clone());
    let clock = Arc::new(move || {
        let now = count.fetch_add(1, SeqCst);
        if now == 20 {
            token.cancel();
        }
        now
    });
    let text = "sum(avg_over_time(load[5m]))";
    let limits = Limits { clock: clock.clone(), deadline_ms: Some(10), ..Limits::default() };
    assert!(matches!(ask(text, &limits), Err(QueryError::Timeout)));
    assert_eq!(looks.load(SeqCst), 12, "it looked until the deadline, and no further");
    let limits = Limits { clock, deadline_ms: Some(i64::MAX), cancel, ..Limits::default() };
    assert!(matches!(ask(text, &limits), Err(QueryError::Cancelled)));
    assert!(looks.load(SeqCst) <= 23, "it stopped at its next look");
}
