//! Queries: at one moment, over a stretch, exemplars, and a query laid out anew. Each is bounded in samples, memory, time and
//! number; one whose client hangs up is stopped.

use axum::Extension;
use axum::response::Response;
use serde_json::{Value as Json, json};
use series::promql::{Answer, Cancel, Limits, Query, Value, json};
use std::sync::atomic::Ordering::Relaxed;

use crate::answer::{Refusal, Remarks, cut, data, envelope};
use crate::asked::Asked;
use crate::caller::Reader;
use crate::state::{Counters, Signals};

/// The moment or the stretch asked about.
enum When {
    At(i64),
    Range(i64, i64, i64),
}

/// `/query`.
pub async fn instant(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let at = asked.time("time")?.unwrap_or_else(|| signals.now_ms());
    answered(&signals, &who, &asked, When::At(at)).await
}

/// `/query_range`.
pub async fn range(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let (from, to) = (asked.need_time("start")?, asked.need_time("end")?);
    if to < from {
        return Err(Refusal::parameter("end", "end timestamp must not be before start time"));
    }
    let step =
        asked.duration("step")?.ok_or_else(|| Refusal::parameter("step", "cannot parse \"\" to a valid duration"))?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Refusal::parameter("step", why));
    }
    if from.abs_diff(to) / step.unsigned_abs() > Limits::default().max_steps {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Refusal::bad_data(why));
    }
    answered(&signals, &who, &asked, When::Range(from, to, step)).await
}

/// `/format_query`.
pub async fn format(_: Reader, asked: Asked) -> Result<Response, Refusal> {
    Ok(data(query(&asked)?.formatted(), Remarks::default()).await)
}

/// `/parse_query`.
pub async fn parse(_: Reader, asked: Asked) -> Result<Response, Refusal> {
    Ok(data(crate::tree::tree(query(&asked)?.expr()), Remarks::default()).await)
}

/// `/query_exemplars`.
pub async fn exemplars(Extension(signals): Extension<Signals>, who: Reader, asked: Asked) -> Result<Response, Refusal> {
    let now = signals.now_ms();
    let span = (asked.time("start")?.unwrap_or(i64::MIN), asked.time("end")?.unwrap_or(now));
    if span.1 < span.0 {
        return Err(Refusal::parameter("end", "end timestamp must not be before start timestamp"));
    }
    let found = signals.metrics().exemplars(who.tenant, query(&asked)?, span).await?;
    Ok(envelope(Remarks::default(), move |out| {
        json::list(out, &found, |out, series| {
            use std::io::Write;
            out.write_all(b"{\"seriesLabels\":")?;
            json::pairs(out, series.labels.iter())?;
            out.write_all(b",\"exemplars\":")?;
            json::list(out, &series.exemplars, |out, exemplar| {
                out.write_all(b"{\"labels\":")?;
                json::pairs(out, exemplar.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
                write!(out, ",\"value\":\"{}\",\"timestamp\":", series::promql::json_float(exemplar.value))?;
                json::time(out, exemplar.at_ms.unwrap_or_default())?;
                out.write_all(b"}")
            })?;
            out.write_all(b"}")
        })
    })
    .await)
}

fn query(asked: &Asked) -> Result<Query, Refusal> {
    let text = asked.text("query").unwrap_or_default();
    Query::parse(text).map_err(|e| Refusal::parse("query", text, &e))
}

/// Stops the evaluation when it is dropped before its end: the connection is gone, and so is the handler.
struct Watched<'a> {
    cancel: Cancel,
    counters: &'a Counters,
    done: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.cancel.cancel();
            self.counters.queries_cancelled.fetch_add(1, Relaxed);
        }
    }
}

async fn answered(signals: &Signals, who: &Reader, asked: &Asked, when: When) -> Result<Response, Refusal> {
    let (query, limit) = (query(asked)?, asked.limit("limit")?);
    let settings = signals.settings();
    let timeout = asked.timeout(settings.query_timeout)?;
    let lookback = asked.duration("lookback_delta")?;
    let begun = signals.now_ms();
    let place = signals.query_place(timeout).await.ok_or_else(Refusal::busy)?;
    let queued = signals.now_ms() - begun;
    let mut watched = Watched { cancel: Cancel::default(), counters: signals.counters(), done: false };
    let limits = Limits {
        max_samples: settings.query_samples,
        max_bytes: settings.query_bytes,
        deadline_ms: Some(begun.saturating_add(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX))),
        clock: signals.clock().clone(),
        cancel: watched.cancel.clone(),
        ..Limits::default()
    };
    let metrics = signals.metrics();
    let found = match when {
        When::At(at) => metrics.instant(who.tenant, query, at, limits).await,
        When::Range(from, to, step) => metrics.range(who.tenant, query, (from, to, step), limits).await,
    };
    watched.done = true;
    let counters = signals.counters();
    Counters::add(if found.is_ok() { &counters.queries } else { &counters.queries_failed }, 1);
    let Answer { mut value, warnings, infos, samples } = found?;
    let mut remarks = Remarks { warnings, infos };
    if lookback.is_some_and(|ms| ms != series::promql::Settings::default().lookback_ms) {
        remarks.warnings.push("lookback_delta is not applied: samples are looked back at for 5m".into());
    }
    match &mut value {
        Value::Vector(all) => cut(all, limit, &mut remarks),
        Value::Matrix(all) => cut(all, limit, &mut remarks),
        Value::Scalar { .. } | Value::Text { .. } => {}
    }
    let stats = asked.text("stats").map(|_| stats(samples, queued, signals.now_ms() - begun));
    let write = move |out: &mut crate::answer::Pieces| {
        // A large answer that is read slowly keeps its place until it is gone.
        let _place = place;
        json::result(out, &value, stats.as_ref())
    };
    Ok(envelope(remarks, write).await)
}

/// As far as we know them: when it waited, when it ran, what it read.
fn stats(samples: u64, queued_ms: i64, total_ms: i64) -> Json {
    let seconds = |ms: i64| ms.max(0) as f64 / 1000.0;
    let running = total_ms - queued_ms;
    json!({
        "timings": {"evalTotalTime": seconds(running), "execQueueTime": seconds(queued_ms), "execTotalTime": seconds(total_ms)},
        "samples": {"totalQueryableSamples": samples},
    })
}
