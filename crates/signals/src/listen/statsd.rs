//! StatsD into the store: packets are summed up, and the sums stored every so often. Counters are running totals, so a flush that
//! the disk refuses loses no count.

use std::time::Duration;

use series::formats::statsd::Aggregate;
use tokio::sync::mpsc::Receiver;

use crate::intake::store as put;
use crate::state::{Counters, Signals};

/// Names that are held at most.
const NAMES: usize = 50_000;
/// A name that was not heard of for so long is forgotten, in milliseconds.
const IDLE_MS: i64 = 3_600_000;

/// Sums up and stores what comes until nobody can send any more; then once again.
pub async fn store(signals: Signals, tenant: u64, every: Duration, mut from: Receiver<Vec<u8>>) {
    let mut sums = Aggregate::new(NAMES, IDLE_MS);
    let mut rounds = tokio::time::interval(every.max(Duration::from_millis(100)));
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        tokio::select! {
            packet = from.recv() => match packet {
                Some(packet) => {
                    if let Some(why) = sums.receive(&packet, signals.now_ms()) {
                        tracing::debug!(why, "lines of StatsD were not taken");
                    }
                    continue;
                }
                None => return flush(&signals, tenant, &mut sums).await,
            },
            _ = rounds.tick() => flush(&signals, tenant, &mut sums).await,
        }
        Counters::add(&signals.counters().samples_refused, usize::try_from(sums.rejected - told).unwrap_or(usize::MAX));
        told = sums.rejected;
    }
}

async fn flush(signals: &Signals, tenant: u64, sums: &mut Aggregate) {
    let batch = match sums.flush(signals.now_ms(), signals.body_limits()) {
        Ok(batch) if batch.is_empty() => return,
        Ok(batch) => batch,
        Err(error) => return tracing::error!(%error, "the sums of StatsD are too many to be stored"),
    };
    if let Err(unfit) = put(signals, tenant, batch).await {
        tracing::error!(why = unfit.message, "a flush of StatsD was not stored; counters come with the next");
    }
}
