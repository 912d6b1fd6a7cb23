//! Tells the rules what is written by anybody but themselves: a [`Metrics`] around another one.

use async_trait::async_trait;
use series::formats::Batch;
use series::{Appended, Layer, Metrics, MetricsError};
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
impl Layer for Heard {
    async fn inner(&self) -> &dyn Metrics {
        &*self.inner
    }

    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        let Some(rules) = self.rules.get() else { return self.inner.write(tenant, batch).await };
        // Before it is handed on, since the engine takes the batch apart; awake only after it is on disk.
        let readers = rules.readers(tenant, &batch);
        let written = self.inner.write(tenant, batch).await?;
        rules.wake(readers, &BTreeSet::new());
        Ok(written)
    }

    // What is of long ago wakes no rule, and what was deleted is no news that cannot wait.
}
