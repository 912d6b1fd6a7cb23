//! From many targets to the engine: what comes within a moment is handed over together, so that one sync covers it. Nobody waits for
//! a scrape to be on disk, so a moment costs nothing but that moment.
//!
//! It must never let a slow disk fill the memory: who hands in waits when too many samples are waiting.

use std::sync::Arc;
use std::time::Duration;

use series::formats::Batch;
use series::{Appended, Metrics, MetricsError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::target::Target;

/// How long the first waits for others. A sync costs about as much as storing one and a half pages of a thousand.
const MOMENT: Duration = Duration::from_millis(200);
/// Samples that do not wait for others.
const ENOUGH: usize = 50_000;
/// Samples that may wait; more of one batch wait alone.
const WAITING: u32 = 1_000_000;
/// Batches that may wait.
const WAITING_BATCHES: usize = 256;

/// A batch, where it was fetched, and the room that it takes.
struct Parcel {
    target: Arc<Target>,
    batch: Batch,
    room: OwnedSemaphorePermit,
}

/// The way to the engine.
#[derive(Clone)]
pub(crate) struct Post {
    to: mpsc::Sender<Parcel>,
    room: Arc<Semaphore>,
}

impl Post {
    /// Opens it, with a task that carries.
    pub(crate) fn open(tasks: &mut JoinSet<()>, metrics: Arc<dyn Metrics>, tenant: u64) -> Self {
        let (to, from) = mpsc::channel(WAITING_BATCHES);
        tasks.spawn(carry(from, metrics, tenant));
        Self { to, room: Arc::new(Semaphore::new(WAITING as usize)) }
    }

    /// Hands in what was fetched from a target.
    pub(crate) async fn hand_in(&self, target: Arc<Target>, batch: Batch) {
        let samples = u32::try_from(batch.samples()).unwrap_or(WAITING).clamp(1, WAITING);
        // Room is never closed, and the carrier ends with the process only.
        if let Ok(room) = self.room.clone().acquire_many_owned(samples).await {
            drop(self.to.send(Parcel { target, batch, room }).await);
        }
    }
}

async fn carry(mut from: mpsc::Receiver<Parcel>, metrics: Arc<dyn Metrics>, tenant: u64) {
    while let Some(first) = from.recv().await {
        let mut samples = first.batch.samples();
        let mut together = vec![first];
        // On one end of the time, whatever comes meanwhile.
        let moment = tokio::time::sleep(MOMENT);
        tokio::pin!(moment);
        while samples < ENOUGH {
            tokio::select! {
                () = &mut moment => break,
                next = from.recv() => match next {
                    Some(next) => {
                        samples += next.batch.samples();
                        together.push(next);
                    }
                    None => break,
                },
            }
        }
        let written = together.into_iter().map(|Parcel { target, batch, room }| {
            let metrics = &metrics;
            async move {
                let written = metrics.write(tenant, batch).await;
                drop(room);
                (target, written)
            }
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
