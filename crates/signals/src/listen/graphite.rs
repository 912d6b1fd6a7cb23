//! Graphite's lines into the store: gathered for a moment, so that many senders share an fsync. Wrong lines are counted.

use std::time::Duration;

use series::formats::graphite::decode;
use tokio::sync::mpsc::Receiver;

use crate::intake::store as put;
use crate::state::{Counters, Signals};

/// Bytes that are gathered at most before they are stored.
const GATHERED: usize = 1 << 20;
/// How long lines are gathered.
const MOMENT: Duration = Duration::from_millis(200);
/// How long the same lines are offered to a disk that refuses them before they are given up.
const AGAIN: u32 = 30;

/// Stores what comes until nobody can send any more.
pub async fn store(signals: Signals, tenant: u64, mut from: Receiver<Vec<u8>>) {
    while let Some(mut held) = from.recv().await {
        let mut moment = std::pin::pin!(tokio::time::sleep(MOMENT));
        while held.len() < GATHERED {
            let more = tokio::select! {
                () = &mut moment => break,
                more = from.recv() => more,
            };
            let Some(more) = more else { break };
            if !held.ends_with(b"\n") {
                held.push(b'\n');
            }
            held.extend(more);
        }
        keep(&signals, tenant, &held).await;
    }
}

async fn keep(signals: &Signals, tenant: u64, lines: &[u8]) {
    // A line that says no time is of when it came, however often it is offered.
    let now = signals.now_ms();
    for attempt in 1..=AGAIN {
        let batch = match decode(lines, now, signals.body_limits()) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::warn!(%error, "lines of Graphite were not taken");
                return Counters::add(
                    &signals.counters().samples_refused,
                    lines.iter().filter(|b| **b == b'\n').count(),
                );
            }
        };
        match put(signals, tenant, batch).await {
            Ok(stored) => {
                if stored.refused > 0 {
                    tracing::debug!(why = stored.why, "lines of Graphite were not taken");
                }
                return;
            }
            Err(unfit) if unfit.retry_after.is_some() && attempt < AGAIN => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(unfit) => {
                tracing::error!(why = unfit.message, "lines of Graphite are lost");
                return Counters::add(
                    &signals.counters().packets_dropped,
                    lines.iter().filter(|b| **b == b'\n').count(),
                );
            }
        }
    }
}
