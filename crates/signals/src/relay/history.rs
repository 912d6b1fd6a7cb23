//! What an owner does to measurements that an engine elsewhere keeps: count them, delete them by its administration interface.
//!
//! It must never ask an engine to delete that might take away more than was meant: some take the interface's path and do not look at
//! its times. So it is asked only of one that says of itself that the interface is switched on, in the way Prometheus says it.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value as Json;
use series::metrics::Span;
use series::promql::{Expr, ExprKind, Limits, Query, SampleValue, Selector, Value};
use series::{Counted, Matcher, MetricsError};

use super::Remote;
use super::reading::{seconds, unscoped};
use super::tenancy::scoped_set;

/// How long a delete, or the question whether it can be asked for, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a delete waits for what was written before it to be taken.
const TURN: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The setting by which Prometheus says that it can delete.
const SWITCH: &str = "web.enable-admin-api";
/// Unix milliseconds before which, and the year 3000 after which, a bound is none.
const EVER: Span = (0, 32_503_680_000_000);
/// A sample may be ahead of the clock here.
const AHEAD_MS: i64 = 86_400_000;

/// A set of matchers as people write it.
fn shown(matchers: &[Matcher]) -> String {
    let selector = Selector { matchers: matchers.to_vec(), ..Selector::default() };
    Expr { kind: ExprKind::Selector(Box::new(selector)), span: series::promql::Span::default() }.to_string()
}

impl Remote {
    /// Counted by the engine elsewhere, within its own limits. Of sets that overlap, samples count several times.
    pub(super) async fn ask_count(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        (from_ms, to_ms): Span,
    ) -> Result<Counted, MetricsError> {
        let limits = Limits::default();
        let from_ms = from_ms.max(EVER.0);
        let to_ms = to_ms.min((limits.clock)().saturating_add(AHEAD_MS)).max(from_ms);
        let found: Vec<Json> = self.look_up("/api/v1/series", tenant, &sets, (from_ms, to_ms)).await?;
        let mut all = Counted { series: found.len() as u64, samples: 0 };
        for matchers in &sets {
            // A window does not hold its first moment.
            let text = format!("sum(count_over_time({}[{}ms]))", shown(matchers), to_ms.abs_diff(from_ms) + 1);
            let query = Query::parse(&text).map_err(series::promql::QueryError::from)?;
            if let Value::Vector(found) = self.ask_instant(tenant, &query, to_ms, &limits).await?.value {
                let of = |value: &SampleValue| if let SampleValue::Float(many) = value { *many as u64 } else { 0 };
                all.samples += found.iter().map(|sample| of(&sample.value)).sum::<u64>();
            }
        }
        Ok(all)
    }

    /// Deletes by the engine's own interface, or says why that cannot be.
    pub(super) async fn ask_delete(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        (from_ms, to_ms): Span,
    ) -> Result<(), MetricsError> {
        let mut form = Vec::new();
        for matchers in &sets {
            form.push(("match[]", scoped_set(matchers, tenant).map_err(|error| unscoped(&error))?));
        }
        if from_ms > EVER.0 {
            form.push(("start", seconds(from_ms)));
        }
        if to_ms < EVER.1 {
            form.push(("end", seconds(to_ms)));
        }
        self.can_delete().await?;
        self.turn().await?;
        let peer = &self.sending.peer;
        let (status, body) = peer.ask("/api/v1/admin/tsdb/delete_series", &form, PATIENCE, 1 << 16).await?;
        if status.is_success() {
            return Ok(());
        }
        let text =
            format!("it answered {status} to a delete: {}", super::answer::short(&String::from_utf8_lossy(&body)));
        Err(if status.is_server_error() { peer.away(text) } else { peer.refused(text) })
    }

    /// Whether the engine says that its interface is there and switched on.
    async fn can_delete(&self) -> Result<(), MetricsError> {
        let peer = &self.sending.peer;
        let (status, body) = peer.look("/api/v1/status/flags", PATIENCE, 1 << 20).await?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(peer.away(format!("it answered {status}")));
        }
        let said: Json = serde_json::from_slice(&body).unwrap_or_default();
        match said.pointer("/data").and_then(|flags| flags.get(SWITCH)).and_then(Json::as_str) {
            Some("true") => Ok(()),
            Some(_) => Err(peer.refused(format!("its interface to delete is switched off: start it with --{SWITCH}"))),
            None => Err(peer.refused(
                "it does not say that it can delete a stretch of time of some series: delete there, by its own means"
                    .to_owned(),
            )),
        }
    }

    /// Waits until everything that was written before has been taken: else it would come after the delete and stay.
    async fn turn(&self) -> Result<(), MetricsError> {
        let written = self.sending.queue.durable();
        let is_through = || self.sending.cursors.lock().at.iter().all(|place| place.done >= written);
        let waited = tokio::time::timeout(TURN, async {
            while !is_through() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        let still = "samples that were written before still wait to be sent there".to_owned();
        waited.await.map_err(|_| self.sending.peer.away(still))
    }
}
