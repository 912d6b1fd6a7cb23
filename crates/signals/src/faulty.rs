//! An engine that fails as often as a test wants. Only for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use series::formats::Batch;
use series::metrics::Span;
use series::{Appended, Counted, Engine, Layer, Matcher, Metrics, MetricsError};

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
impl Layer for Faulty {
    async fn inner(&self) -> &dyn Metrics {
        &self.inner
    }

    /// Fails for good.
    async fn count(&self, of: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        if self.fails() {
            return Err(MetricsError::Refused { engine: "e".to_owned(), reason: "too many samples".to_owned() });
        }
        self.inner.count(of, sets, time).await
    }

    /// Fails for a while.
    async fn import(&self, of: u64, batch: Batch) -> Result<Appended, MetricsError> {
        if self.fails() {
            return Err(MetricsError::Away { engine: "e".to_owned(), reason: "no route".to_owned() });
        }
        self.inner.import(of, batch).await
    }
}
