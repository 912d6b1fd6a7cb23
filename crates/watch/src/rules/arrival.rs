//! Tells the rules what is written by anybody but themselves: a [`Metrics`] around another one.

use async_trait::async_trait;
use series::formats::{Batch, Metadata};
use series::promql::{Answer, Limits, Query};
use series::{Appended, Counted, Labels, Matcher, Metrics, MetricsError, SeriesExemplars, SeriesList};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::engine::Rules;

/// Measurements whose writing wakes rules. Every question goes on as it is.
#[derive(Clone)]
pub struct Heard {
    inner: Arc<dyn Metrics>,
    rules: Arc<OnceLock<Rules>>,
}

impl Heard {
    /// Around these measurements; no rule is woken until [`tell`](Self::tell).
    pub fn new(inner: Arc<dyn Metrics>) -> Self {
        Self { inner, rules: Arc::default() }
    }

    /// The measurements themselves, for the rules: what they write wakes nobody but whom they wake.
    pub fn unheard(&self) -> Arc<dyn Metrics> {
        self.inner.clone()
    }

    /// From now on these rules are told what is written.
    pub fn tell(&self, rules: Rules) {
        drop(self.rules.set(rules));
    }
}

#[async_trait]
impl Metrics for Heard {
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        let Some(rules) = self.rules.get() else { return self.inner.write(tenant, batch).await };
        // Before it is handed on, since the engine takes the batch apart; awake only after it is on disk.
        let readers = rules.readers(tenant, &batch);
        let written = self.inner.write(tenant, batch).await?;
        rules.wake(readers, &BTreeSet::new());
        Ok(written)
    }

    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError> {
        self.inner.instant(tenant, query, at_ms, limits).await
    }

    async fn instants(
        &self,
        tenant: u64,
        queries: Vec<Query>,
        at_ms: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        self.inner.instants(tenant, queries, at_ms, limits).await
    }

    async fn range(
        &self,
        tenant: u64,
        query: Query,
        times: (i64, i64, i64),
        limits: Limits,
    ) -> Result<Answer, MetricsError> {
        self.inner.range(tenant, query, times, limits).await
    }

    async fn series(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: (i64, i64),
    ) -> Result<Vec<Labels>, MetricsError> {
        self.inner.series(tenant, sets, time).await
    }

    async fn series_json(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: (i64, i64),
        most: usize,
    ) -> Result<SeriesList, MetricsError> {
        self.inner.series_json(tenant, sets, time, most).await
    }

    async fn label_names(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: (i64, i64),
    ) -> Result<Vec<String>, MetricsError> {
        self.inner.label_names(tenant, sets, time).await
    }

    async fn label_values(
        &self,
        tenant: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: (i64, i64),
    ) -> Result<Vec<String>, MetricsError> {
        self.inner.label_values(tenant, name, sets, time).await
    }

    async fn metadata(&self, tenant: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError> {
        self.inner.metadata(tenant, family).await
    }

    async fn exemplars(
        &self,
        tenant: u64,
        query: Query,
        time: (i64, i64),
    ) -> Result<Vec<SeriesExemplars>, MetricsError> {
        self.inner.exemplars(tenant, query, time).await
    }

    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: (i64, i64)) -> Result<Counted, MetricsError> {
        self.inner.count(tenant, sets, time).await
    }

    /// Rules look again at their own times: what was deleted is no news that cannot wait.
    async fn delete(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: (i64, i64)) -> Result<(), MetricsError> {
        self.inner.delete(tenant, sets, time).await
    }

    /// What is of long ago wakes no rule.
    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        self.inner.import(tenant, batch).await
    }
}
