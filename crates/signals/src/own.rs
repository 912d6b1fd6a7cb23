//! Mainstay's own metrics, kept like everybody else's: the page that `/metrics` shows, stored every quarter of a minute.

use std::sync::Arc;
use std::time::Duration;

use series::formats::exposition;

use crate::batch::labelled;
use crate::intake::store;
use crate::state::Signals;

/// How often.
const EVERY: Duration = Duration::from_secs(15);

/// Stores what `page` says, in the exposition format, until it is dropped. `instance` is what this server is called.
pub async fn keep(signals: Signals, tenant: u64, instance: String, page: Arc<dyn Fn() -> String + Send + Sync>) {
    let labels = [("job".to_owned(), "mainstay".to_owned()), ("instance".to_owned(), instance)];
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let page = page();
        let batch =
            exposition::decode(page.as_bytes(), signals.now_ms(), signals.body_limits()).map_err(|e| e.to_string());
        let batch = batch.and_then(|batch| labelled(batch, &labels).map_err(|e| e.to_string()));
        let kept = match batch {
            Ok(batch) => store(&signals, tenant, batch).await.map(|_| ()).map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        if let Err(why) = kept {
            tracing::warn!(why, "Mainstay's own metrics were not kept");
        }
    }
}
