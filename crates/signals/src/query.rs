//! Queries: at one moment, over a stretch, exemplars, and a query laid out anew. Each is bounded in samples, memory, time and
//! number; one whose client hangs up is stopped.

use axum::Extension;
use axum::response::Response;
use serde_json::{Value as Json, json};
use series::promql::{Answer, Cancel, Limits, Query, SampleValue, Tally, Value, json};
use std::sync::atomic::Ordering::Relaxed;

use crate::answer::{Pieces, Refusal, Remarks, cut, data, envelope};
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
    let many = found.iter().map(|series| 8 + series.exemplars.len() * 4).sum();
    Ok(envelope(many, Remarks::default(), move |out| {
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
    let (mut query, limit) = (query(asked)?, asked.limit("limit")?);
    let settings = signals.settings();
    let timeout = asked.timeout(settings.query_timeout)?;
    if let Some(ms) = asked.duration("lookback_delta")?.filter(|ms| *ms > 0) {
        query = query.looking_back(ms);
    }
    let stats = asked.text("stats").map(|text| Stats { each_step: text == "all", tally: Tally::default() });
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
        tally: stats.as_ref().map(|stats| stats.tally.clone()),
        ..Limits::default()
    };
    let metrics = signals.metrics();
    let (found, start, step) = match when {
        When::At(at) => (metrics.instant(who.tenant, query, at, limits).await, at, 0),
        When::Range(from, to, step) => (metrics.range(who.tenant, query, (from, to, step), limits).await, from, step),
    };
    watched.done = true;
    let counters = signals.counters();
    Counters::add(if found.is_ok() { &counters.queries } else { &counters.queries_failed }, 1);
    let Answer { mut value, warnings, infos, samples } = found?;
    let mut remarks = Remarks { warnings, infos };
    match &mut value {
        Value::Vector(all) => cut(all, limit, &mut remarks),
        Value::Matrix(all) => cut(all, limit, &mut remarks),
        Value::Scalar { .. } | Value::Text { .. } => {}
    }
    let many = texts(&value).saturating_add(stats.as_ref().map_or(0, |stats| stats.tally.steps().len()));
    let stats = stats.map(|stats| stats.shown(samples, (start, step), (queued, signals.now_ms() - begun)));
    let write = move |out: &mut Pieces| {
        // A large answer that is read slowly keeps its place until it is gone.
        let _place = place;
        json::result(out, &value, stats.as_ref())
    };
    Ok(envelope(many, remarks, write).await)
}

/// About how many small things an answer is made of.
fn texts(value: &Value) -> usize {
    let of_histogram = |histogram: &series::Histogram| 8 + 4 * histogram.buckets().count();
    match value {
        Value::Scalar { .. } | Value::Text { .. } => 1,
        Value::Vector(all) => all
            .iter()
            .map(|sample| match &sample.value {
                SampleValue::Float(_) => 8,
                SampleValue::Histogram(histogram) => of_histogram(histogram),
            })
            .sum(),
        Value::Matrix(all) => all
            .iter()
            .map(|one| 8 + one.floats.len() + one.histograms.iter().map(|(_, h)| of_histogram(h)).sum::<usize>())
            .sum(),
    }
}

/// What a query has cost, for those who ask.
struct Stats {
    /// Also by step.
    each_step: bool,
    tally: Tally,
}

impl Stats {
    /// As far as we know it: when it waited, when it ran (milliseconds), what it looked at, and how much of the limit it used up.
    fn shown(self, samples: u64, (start_ms, step_ms): (i64, i64), (queued_ms, total_ms): (i64, i64)) -> Json {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let running = (total_ms - queued_ms).max(0);
        let steps = self.tally.steps();
        // An engine elsewhere may not say what each step looked at.
        let total = if steps.is_empty() { samples } else { steps.iter().sum() };
        let mut counted = json!({"totalQueryableSamples": total, "peakSamples": samples});
        if self.each_step && !steps.is_empty() {
            let at = |step: usize| start_ms.saturating_add(step_ms.saturating_mul(step as i64));
            let all: Vec<Json> = steps.iter().enumerate().map(|(n, count)| json!([seconds(at(n)), count])).collect();
            counted["totalQueryableSamplesPerStep"] = all.into();
        }
        json!({
            "timings": {
                "evalTotalTime": seconds(running),
                "execQueueTime": seconds(queued_ms.max(0)),
                "execTotalTime": seconds(total_ms.max(0)),
            },
            "samples": counted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_step_looked_at_is_told_to_those_who_ask_for_all() {
        let tally = Tally::default();
        let shown = |each_step| Stats { each_step, tally: tally.clone() }.shown(9, (1_500, 500), (10, 250));
        assert_eq!(shown(true)["samples"], json!({"totalQueryableSamples": 9, "peakSamples": 9}), "nobody counted");
        tally.set(vec![2, 3]);
        assert_eq!(shown(false)["samples"], json!({"totalQueryableSamples": 5, "peakSamples": 9}));
        assert_eq!(shown(true)["samples"]["totalQueryableSamplesPerStep"], json!([[1.5, 2], [2.0, 3]]));
        let timings = json!({"evalTotalTime": 0.24, "execQueueTime": 0.01, "execTotalTime": 0.25});
        assert_eq!(shown(true)["timings"], timings);
    }
}
