//! The local agent: looks at this machine and keeps it as records.

use edge::RealSystem;
use edge::discover::{Discovery, Tables};
use kernel::session::{Actor, ActorKind};
use kernel::{Kernel, Record, Session, TenantId};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Between two quick looks.
const LIVE: Duration = Duration::from_secs(5);
/// Quick looks between two whole ones: ten minutes.
const WHOLE: u32 = 120;

/// Looks until the future is dropped. `host` is filled with the key of this machine's record.
pub async fn watch_this_machine(kernel: Kernel, host: Arc<OnceLock<String>>) {
    let actor = Actor::new(ActorKind::Agent, "local");
    // The local agent is Mainstay itself on its own machine: it acts as a controller does, and is named as what it is.
    let session = Session::own_agent(actor, TenantId::HOME);
    let mut discovery = Discovery::default();
    let mut record: Option<Record> = None;
    let mut before = Tables::new();
    let mut round = 0u32;
    loop {
        let whole = round.is_multiple_of(WHOLE) || record.is_none();
        let looked = tokio::task::spawn_blocking(move || {
            let all = whole.then(|| discovery.look_all(&RealSystem));
            let live = (!whole).then(|| discovery.look_ports_and_processes(&RealSystem));
            (discovery, all, live)
        })
        .await;
        let Ok((back, all, live)) = looked else {
            tracing::error!("looking at this machine failed; it is tried again");
            discovery = Discovery::default();
            tokio::time::sleep(LIVE).await;
            continue;
        };
        discovery = back;
        if let Some(seen) = all {
            match know::machine::keep(&kernel, &session, &seen).await {
                Ok(found) => {
                    drop(host.set(found.key.clone()));
                    if let Err(error) = know::agent::keep(&kernel, &session, &found, &seen.cannot_see).await {
                        tracing::warn!(%error, "could not keep what the agent cannot see");
                    }
                    record = Some(found);
                    before = seen.tables;
                }
                Err(error) => tracing::warn!(%error, "could not keep what was seen of this machine"),
            }
        } else if let (Some(seen), Some(found)) = (live, &record) {
            if let Err(error) = know::machine::keep_live(&kernel, &session, found, &seen, &before).await {
                tracing::warn!(%error, "could not keep what runs on this machine");
            }
            before.extend(seen.tables);
        }
        round = round.wrapping_add(1);
        tokio::time::sleep(LIVE).await;
    }
}
