//! From many targets to the engine: what comes within a moment is handed over together, so that one sync covers it. Nobody waits for
//! a scrape to be on disk, so a moment costs nothing but that moment.
//!
//! It must never let a slow disk fill the memory: who hands in waits when too much is waiting.

use std::sync::Arc;
use std::time::Duration;

use series::formats::Batch;
use series::{Appended, Metrics, MetricsError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::target::Target;

/// How long the first waits for others.
const MOMENT: Duration = Duration::from_millis(50);
/// Samples that do not wait for others.
const ENOUGH: usize = 50_000;
/// Batches that may wait.
const WAITING: usize = 256;

/// A batch, and where it was fetched.
type Parcel = (Arc<Target>, Batch);

/// The way to the engine.
#[derive(Clone)]
pub(crate) struct Post(mpsc::Sender<Parcel>);

impl Post {
    /// Opens it, with a task that carries.
    pub(crate) fn open(tasks: &mut JoinSet<()>, metrics: Arc<dyn Metrics>, tenant: u64) -> Self {
        let (to, from) = mpsc::channel(WAITING);
        tasks.spawn(carry(from, metrics, tenant));
        Self(to)
    }

    /// Hands in what was fetched from a target.
    pub(crate) async fn hand_in(&self, target: Arc<Target>, batch: Batch) {
        // The carrier ends with the process only.
        drop(self.0.send((target, batch)).await);
    }
}

async fn carry(mut from: mpsc::Receiver<Parcel>, metrics: Arc<dyn Metrics>, tenant: u64) {
    while let Some(first) = from.recv().await {
        let mut samples = first.1.samples();
        let mut together = vec![first];
        // On one end of the time, whatever comes meanwhile.
        let moment = tokio::time::sleep(MOMENT);
        tokio::pin!(moment);
        while samples < ENOUGH {
            tokio::select! {
                () = &mut moment => break,
                next = from.recv() => match next {
                    Some(next) => {
                        samples += next.1.samples();
                        together.push(next);
                    }
                    None => break,
                },
            }
        }
        let written = together.into_iter().map(|(target, batch)| {
            let metrics = &metrics;
            async move { (target, metrics.write(tenant, batch).await) }
        });
        for (target, written) in futures::future::join_all(written).await {
            tell(&target, written);
        }
    }
}

fn tell(target: &Target, written: Result<Appended, MetricsError>) {
    match written {
        Ok(appended) if appended.refused.is_empty() => {}
        Ok(appended) => tracing::debug!(
            url = %target.url, refused = appended.refused.len(), first = ?appended.refused.first(),
            "some samples of a scrape were not taken"
        ),
        Err(error) => tracing::warn!(%error, url = %target.url, "a scrape could not be stored"),
    }
}
