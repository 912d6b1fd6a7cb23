//! Questions to the engine elsewhere: bound to their tenant, asked within their time, and their answers or refusals as values.

use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;
use series::metrics::Span;
use series::promql::{Answer, Cancel, Limits, Query, QueryError, SampleValue, Type, Value, VectorSample};
use series::{Matcher, MetricsError, SeriesExemplars};

use super::Remote;
use super::answer::{self, AnswerError, short};
use super::tenancy::{LABEL, ScopeError, scoped, scoped_set};

/// A question without a limit of its own ends after this.
const PATIENCE: Duration = Duration::from_secs(120);
/// An answer is never longer than this, whatever the limits say.
const ANSWER_BYTES: u64 = 512 << 20;
/// How often a question looks whether its asker has gone away.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Milliseconds as the API takes them.
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

pub(super) fn unscoped(error: &ScopeError) -> MetricsError {
    QueryError::Execution(error.to_string()).into()
}

/// What a query wants beside its answer. Engines call a look-back by either name.
fn wishes(query: &Query, limits: &Limits) -> Vec<(&'static str, String)> {
    let lookback = query.lookback_ms().map(|ms| format!("{ms}ms"));
    let names = ["lookback_delta", "max_lookback"];
    let mut form: Vec<_> = names.into_iter().filter_map(|name| Some((name, lookback.clone()?))).collect();
    if limits.tally.is_some() {
        form.push(("stats", "all".to_owned()));
    }
    form
}

impl Remote {
    /// A question with the limits of its asker.
    async fn ask(
        &self,
        path: &str,
        mut form: Vec<(&str, String)>,
        limits: &Limits,
    ) -> Result<(StatusCode, Vec<u8>), MetricsError> {
        let left = limits.deadline_ms.map_or(PATIENCE, |deadline| {
            Duration::from_millis(u64::try_from(deadline - (limits.clock)()).unwrap_or(0))
        });
        if left.is_zero() {
            return Err(QueryError::Timeout.into());
        }
        // Some engines keep answers, and move times to have more use of them; what is asked for is wanted as it is.
        form.extend([("nocache", "1".to_owned()), ("timeout", format!("{}ms", left.as_millis().max(1)))]);
        let max_bytes = usize::try_from(limits.max_bytes.min(ANSWER_BYTES)).unwrap_or(usize::MAX);
        tokio::select! {
            answer = self.sending.peer.ask(path, &form, left.min(PATIENCE), max_bytes) => answer,
            () = gone(&limits.cancel) => Err(QueryError::Cancelled.into()),
        }
    }

    pub(super) async fn ask_instant(
        &self,
        tenant: u64,
        query: &Query,
        at_ms: i64,
        limits: &Limits,
    ) -> Result<Answer, MetricsError> {
        let text = scoped(query, tenant).map_err(|error| unscoped(&error))?;
        let mut form = vec![("query", text), ("time", seconds(at_ms)), self.second_wall(tenant)];
        form.extend(wishes(query, limits));
        let (status, body) = self.ask("/api/v1/query", form, limits).await?;
        let mut answer = self.answered(status, &body, tenant, limits)?;
        // Some engines answer a number with a vector that has no labels.
        if let (Type::Scalar, Value::Vector(all)) = (query.expr().value_type(), &answer.value)
            && let [VectorSample { value: SampleValue::Float(value), .. }] = all.as_slice()
        {
            answer.value = Value::Scalar { at_ms, value: *value };
        }
        Ok(answer)
    }

    pub(super) async fn ask_range(
        &self,
        tenant: u64,
        query: &Query,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        limits: &Limits,
    ) -> Result<Answer, MetricsError> {
        if step_ms <= 0 || end_ms < start_ms {
            let reason = format!("from {start_ms} to {end_ms} every {step_ms} ms");
            return Err(QueryError::Range { reason }.into());
        }
        if start_ms.abs_diff(end_ms) / step_ms.unsigned_abs() + 1 > limits.max_steps {
            let reason = format!("exceeded maximum resolution of {} points per timeseries", limits.max_steps);
            return Err(QueryError::Range { reason }.into());
        }
        let text = scoped(query, tenant).map_err(|error| unscoped(&error))?;
        let times = [("start", seconds(start_ms)), ("end", seconds(end_ms)), ("step", seconds(step_ms))];
        let mut form = vec![("query", text), self.second_wall(tenant)];
        form.extend(times);
        form.extend(wishes(query, limits));
        let (status, body) = self.ask("/api/v1/query_range", form, limits).await?;
        self.answered(status, &body, tenant, limits)
    }

    /// Engines that know this parameter hold every selector to it once more; others do not look at it.
    fn second_wall(&self, tenant: u64) -> (&'static str, String) {
        ("extra_filters[]", format!("{{{LABEL}=\"{tenant}\"}}"))
    }

    fn answered(&self, status: StatusCode, body: &[u8], tenant: u64, limits: &Limits) -> Result<Answer, MetricsError> {
        let answer = match answer::query(body, tenant) {
            Ok(answer) => answer,
            Err(error) => return Err(self.no_answer(status, body, &error)),
        };
        let answer = answer.map_err(|(kind, text)| self.failed(status, &kind, text))?;
        if let Some(tally) = &limits.tally {
            tally.set(answer::steps(body));
        }
        // A value that is no series cannot be a tenant's.
        debug_assert!(
            !matches!(&answer.value, Value::Vector(all) if all.iter().any(|s| !s.metric.get(LABEL).is_empty()))
        );
        Ok(answer)
    }

    /// The engine's own error as ours.
    fn failed(&self, status: StatusCode, kind: &str, text: String) -> MetricsError {
        match kind {
            "execution" => QueryError::Execution(text).into(),
            "timeout" => QueryError::Timeout.into(),
            "canceled" => QueryError::Cancelled.into(),
            "unavailable" | "internal" => self.sending.peer.away(short(&text).into_owned()),
            // Other engines give the status here.
            _ if status == StatusCode::UNPROCESSABLE_ENTITY => QueryError::Execution(text).into(),
            _ if status.is_server_error() => self.sending.peer.away(short(&text).into_owned()),
            _ => self.sending.peer.refused(short(&text).into_owned()),
        }
    }

    fn no_answer(&self, status: StatusCode, body: &[u8], error: &AnswerError) -> MetricsError {
        if status.is_success() {
            return self.sending.peer.away(error.to_string());
        }
        let text = format!("it answered {status}: {}", short(&String::from_utf8_lossy(body)));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            self.sending.peer.away(text)
        } else {
            self.sending.peer.refused(text)
        }
    }

    /// Series, names or values that fit any of the sets.
    pub(super) async fn look_up<T: DeserializeOwned + Default>(
        &self,
        path: &str,
        tenant: u64,
        sets: &[Vec<Matcher>],
        (from_ms, to_ms): Span,
    ) -> Result<T, MetricsError> {
        let all = [Vec::new()];
        let mut form = vec![self.second_wall(tenant)];
        for set in if sets.is_empty() { &all } else { sets } {
            form.push(("match[]", scoped_set(set, tenant).map_err(|error| unscoped(&error))?));
        }
        // Times at the ends of the world mean no bound, and are more than some engines can read.
        if from_ms > 0 {
            form.push(("start", seconds(from_ms)));
        }
        if to_ms < 32_503_680_000_000 {
            form.push(("end", seconds(to_ms)));
        }
        let (status, body) = self.ask(path, form, &Limits::default()).await?;
        let reply = answer::reply::<T>(&body).map_err(|error| self.no_answer(status, &body, &error))?;
        match reply.status.as_str() {
            "success" => Ok(reply.data.unwrap_or_default()),
            _ => Err(self.failed(status, &reply.error_type, reply.error)),
        }
    }

    pub(super) async fn values_of(
        &self,
        tenant: u64,
        name: &str,
        sets: &[Vec<Matcher>],
        time: Span,
    ) -> Result<Vec<String>, MetricsError> {
        if name == LABEL {
            return Ok(Vec::new());
        }
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty();
        let mut found: Vec<String> = if plain {
            self.look_up(&format!("/api/v1/label/{name}/values"), tenant, sets, time).await?
        } else {
            // Engines differ about such names in a path: their series tell it as well.
            let all: Vec<std::collections::BTreeMap<String, String>> =
                self.look_up("/api/v1/series", tenant, sets, time).await?;
            all.into_iter().filter_map(|mut metric| metric.remove(name)).collect()
        };
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    pub(super) async fn ask_exemplars(
        &self,
        tenant: u64,
        query: &Query,
        (from_ms, to_ms): Span,
    ) -> Result<Vec<SeriesExemplars>, MetricsError> {
        let text = scoped(query, tenant).map_err(|error| unscoped(&error))?;
        let form =
            vec![("query", text), ("start", seconds(from_ms)), ("end", seconds(to_ms)), self.second_wall(tenant)];
        let (status, body) = self.ask("/api/v1/query_exemplars", form, &Limits::default()).await?;
        answer::exemplars(&body, tenant).map_err(|error| self.no_answer(status, &body, &error))
    }
}

/// Ends when the asker has gone away.
async fn gone(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
