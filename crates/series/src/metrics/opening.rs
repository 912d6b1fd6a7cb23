//! Measurements whose log is still being read: whoever asks or writes waits until they are there, and then it is as if they had
//! always been. So a server answers for everything else at once.
//!
//! It must never answer for an engine that is not there. Nor is it for long waits: whoever asks does not know that he waits, and his
//! time for the answer runs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::SetOnce;

use super::{Counted, Metrics, MetricsError, SeriesExemplars, SeriesList, Span};
use crate::engine::Engine;
use crate::formats::{Batch, Metadata};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::promql::{Answer, Limits, Query};
use crate::writer::Appended;

/// An engine that is there, or will be.
#[derive(Clone)]
pub struct Opening(Arc<SetOnce<Arc<Engine>>>);

/// Who says that the engine is there. Whoever cannot open it ends the program: those who wait are told nothing before that.
pub struct Opener(Arc<SetOnce<Arc<Engine>>>);

impl Opening {
    /// An engine that will be there when the other one says so.
    pub fn begin() -> (Self, Opener) {
        let place = Arc::new(SetOnce::new());
        (Self(place.clone()), Opener(place))
    }

    /// The engine, when it is there.
    pub fn opened(&self) -> Option<&Arc<Engine>> {
        self.0.get()
    }

    /// Waits for the engine.
    pub async fn engine(&self) -> &Arc<Engine> {
        self.0.wait().await
    }
}

impl Opener {
    /// The engine is there: all who wait go on.
    pub fn opened(self, engine: Arc<Engine>) {
        // There is one opener, so that nothing was said before.
        drop(self.0.set(engine));
    }
}

#[async_trait]
impl Metrics for Opening {
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        self.engine().await.write(tenant, batch).await
    }

    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError> {
        self.engine().await.instant(tenant, query, at_ms, limits).await
    }

    async fn instants(
        &self,
        tenant: u64,
        queries: Vec<Query>,
        at_ms: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        self.engine().await.instants(tenant, queries, at_ms, limits).await
    }

    async fn range(
        &self,
        tenant: u64,
        query: Query,
        times: (i64, i64, i64),
        limits: Limits,
    ) -> Result<Answer, MetricsError> {
        self.engine().await.range(tenant, query, times, limits).await
    }

    async fn series(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<Labels>, MetricsError> {
        self.engine().await.series(tenant, sets, time).await
    }

    async fn series_json(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: Span,
        most: usize,
    ) -> Result<SeriesList, MetricsError> {
        self.engine().await.series_json(tenant, sets, time, most).await
    }

    async fn label_names(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<String>, MetricsError> {
        self.engine().await.label_names(tenant, sets, time).await
    }

    async fn label_values(
        &self,
        tenant: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: Span,
    ) -> Result<Vec<String>, MetricsError> {
        self.engine().await.label_values(tenant, name, sets, time).await
    }

    async fn metadata(&self, tenant: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError> {
        Metrics::metadata(self.engine().await, tenant, family).await
    }

    async fn exemplars(&self, tenant: u64, query: Query, time: Span) -> Result<Vec<SeriesExemplars>, MetricsError> {
        Metrics::exemplars(self.engine().await, tenant, query, time).await
    }

    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        self.engine().await.count(tenant, sets, time).await
    }

    async fn delete(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<(), MetricsError> {
        Metrics::delete(self.engine().await, tenant, sets, time).await
    }

    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        Metrics::import(self.engine().await, tenant, batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Sample;
    use crate::options::Options;

    #[tokio::test]
    async fn who_asks_before_the_engine_is_there_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (opening, opener) = Opening::begin();
        assert!(opening.opened().is_none());
        let (asked, counted) = (opening.clone(), opening.clone());
        let asking =
            tokio::spawn(async move { asked.label_values(1, "__name__".into(), Vec::new(), super::super::EVER).await });
        let counting = tokio::spawn(async move { counted.count(1, vec![Vec::new()], super::super::EVER).await });
        tokio::task::yield_now().await;
        assert!(!asking.is_finished() && !counting.is_finished());
        let engine = Arc::new(Engine::open(dir.path(), Options::default()).unwrap().0);
        let now = crate::options::system_clock()();
        let labels = Labels::new([("__name__", "up")]).unwrap();
        engine.append(1, vec![Sample { labels, at_ms: now, value: 1.0 }]).await.unwrap();
        opener.opened(engine);
        assert_eq!(asking.await.unwrap().unwrap(), ["up"]);
        assert_eq!(counting.await.unwrap().unwrap().samples, 1);
    }
}
