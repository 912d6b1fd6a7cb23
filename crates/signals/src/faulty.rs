//! An engine that fails as often as a test wants. Only for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use series::formats::{Batch, Metadata};
use series::metrics::{SeriesExemplars, Span};
use series::promql::{Answer, Limits, Query};
use series::{Appended, Counted, Engine, Labels, Matcher, Metrics, MetricsError};

/// An engine; counts and imports fail at first.
pub(crate) struct Faulty {
    inner: Arc<Engine>,
    /// How many fail.
    away: usize,
    asked: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(engine: Engine, away: usize) -> Self {
        Self { inner: Arc::new(engine), away, asked: AtomicUsize::new(0) }
    }

    /// How many counts and imports there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }

    fn fails(&self) -> bool {
        self.asked.fetch_add(1, Relaxed) < self.away
    }
}

#[async_trait]
impl Metrics for Faulty {
    async fn write(&self, of: u64, batch: Batch) -> Result<Appended, MetricsError> {
        self.inner.write(of, batch).await
    }

    async fn instant(&self, of: u64, query: Query, at: i64, limits: Limits) -> Result<Answer, MetricsError> {
        self.inner.instant(of, query, at, limits).await
    }

    async fn range(&self, of: u64, query: Query, at: (i64, i64, i64), most: Limits) -> Result<Answer, MetricsError> {
        self.inner.range(of, query, at, most).await
    }

    async fn series(&self, of: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<Labels>, MetricsError> {
        self.inner.series(of, sets, time).await
    }

    async fn label_names(&self, of: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<String>, MetricsError> {
        self.inner.label_names(of, sets, time).await
    }

    async fn label_values(
        &self,
        of: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: Span,
    ) -> Result<Vec<String>, MetricsError> {
        self.inner.label_values(of, name, sets, time).await
    }

    async fn metadata(&self, of: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError> {
        self.inner.metadata(of, family).await
    }

    async fn exemplars(&self, of: u64, query: Query, time: Span) -> Result<Vec<SeriesExemplars>, MetricsError> {
        self.inner.exemplars(of, query, time).await
    }

    /// Fails for good.
    async fn count(&self, of: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        if self.fails() {
            return Err(MetricsError::Refused { engine: "e".to_owned(), reason: "too many samples".to_owned() });
        }
        self.inner.count(of, sets, time).await
    }

    async fn delete(&self, of: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<(), MetricsError> {
        self.inner.delete(of, sets, time).await
    }

    /// Fails for a while.
    async fn import(&self, of: u64, batch: Batch) -> Result<Appended, MetricsError> {
        if self.fails() {
            return Err(MetricsError::Away { engine: "e".to_owned(), reason: "no route".to_owned() });
        }
        self.inner.import(of, batch).await
    }
}
