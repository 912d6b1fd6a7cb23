//! Something around measurements that does one thing more, or fails for a test: what it leaves alone goes on as it is.
//!
//! It must never answer a question from itself that the measurements inside would answer otherwise.

use async_trait::async_trait;

use super::{Counted, Metrics, MetricsError, SeriesExemplars, SeriesList, Span};
use crate::formats::{Batch, Metadata};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::promql::{Answer, Limits, Query};
use crate::writer::Appended;

/// [`Metrics`] around others. The calls here are those that some layer changes; each forwards unless it is written anew.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// The measurements inside, waited for if they are not there yet.
    async fn inner(&self) -> &dyn Metrics;

    /// See [`Metrics::write`].
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        self.inner().await.write(tenant, batch).await
    }

    /// See [`Metrics::import`].
    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        self.inner().await.import(tenant, batch).await
    }

    /// See [`Metrics::instant`].
    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError> {
        self.inner().await.instant(tenant, query, at_ms, limits).await
    }

    /// See [`Metrics::instants`].
    async fn instants(
        &self,
        tenant: u64,
        queries: Vec<Query>,
        at_ms: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        self.inner().await.instants(tenant, queries, at_ms, limits).await
    }

    /// See [`Metrics::count`].
    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        self.inner().await.count(tenant, sets, time).await
    }
}

#[async_trait]
impl<L: Layer> Metrics for L {
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        Layer::write(self, tenant, batch).await
    }

    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        Layer::import(self, tenant, batch).await
    }

    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError> {
        Layer::instant(self, tenant, query, at_ms, limits).await
    }

    async fn instants(
        &self,
        tenant: u64,
        queries: Vec<Query>,
        at_ms: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        Layer::instants(self, tenant, queries, at_ms, limits).await
    }

    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        Layer::count(self, tenant, sets, time).await
    }

    async fn range(
        &self,
        tenant: u64,
        query: Query,
        times: (i64, i64, i64),
        limits: Limits,
    ) -> Result<Answer, MetricsError> {
        self.inner().await.range(tenant, query, times, limits).await
    }

    async fn series(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<Labels>, MetricsError> {
        self.inner().await.series(tenant, sets, time).await
    }

    async fn series_json(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: Span,
        most: usize,
        beginning: &'static [u8],
    ) -> Result<SeriesList, MetricsError> {
        self.inner().await.series_json(tenant, sets, time, most, beginning).await
    }

    async fn label_names(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<String>, MetricsError> {
        self.inner().await.label_names(tenant, sets, time).await
    }

    async fn label_values(
        &self,
        tenant: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: Span,
    ) -> Result<Vec<String>, MetricsError> {
        self.inner().await.label_values(tenant, name, sets, time).await
    }

    async fn metadata(&self, tenant: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError> {
        self.inner().await.metadata(tenant, family).await
    }

    async fn exemplars(&self, tenant: u64, query: Query, time: Span) -> Result<Vec<SeriesExemplars>, MetricsError> {
        self.inner().await.exemplars(tenant, query, time).await
    }

    async fn delete(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<(), MetricsError> {
        self.inner().await.delete(tenant, sets, time).await
    }
}
