//! Signals: the ways by which measurements come in and go out: Prometheus's HTTP API, remote write, OTLP, pushes, scrapes.
//!
//! It speaks protocols and asks [`series::Metrics`]; it keeps nothing itself, and does not know whether the engine is in this
//! process or another program. It must never answer 2xx before the engine says that the samples are on disk, and never
//! show a tenant what belongs to another.

mod answer;
mod asked;
mod batch;
mod caller;
pub mod deletion;
pub mod export;
#[cfg(test)]
mod faulty;
pub mod grpc;
mod gunzip;
pub mod import;
mod influx;
mod intake;
pub mod listen;
mod lookups;
mod otlp;
pub mod own;
mod prometheus;
mod protobuf;
mod push;
mod query;
pub mod relay;
mod remote_write;
pub mod scrape;
mod selector;
mod state;
mod status;
mod tenant;
pub mod thin;
mod tree;
#[doc(hidden)]
pub mod untrusted;

use std::sync::Arc;

use kernel::controller::Controller;
use kernel::define::class;
use kernel::{Domain, Verb};

pub use selector::selector_of;
pub use state::{Counters, Parts, RulesView, Settings, Signals, TargetsView};
pub use tenant::number;

/// The records that tell what was done to measurements. Only administrators make them: what is gone stays gone.
pub fn domain() -> Domain {
    Domain {
        classes: vec![class::<deletion::SeriesDeletion>(Verb::Kernel), class::<import::SeriesImport>(Verb::Kernel)],
        lenses: Vec::new(),
    }
}

/// What does and ends what those records ask for.
pub fn controllers(signals: &Signals) -> Vec<Arc<dyn Controller>> {
    vec![Arc::new(deletion::Delete(signals.metrics().clone())), Arc::new(import::Orphans(signals.clone()))]
}

/// All operations on measurements. The router that serves them needs [`Signals`] as an extension.
pub fn operations() -> Vec<api::Operation> {
    let parts = [
        prometheus::operations(),
        remote_write::operations(),
        otlp::operations(),
        push::operations(),
        influx::operations(),
        export::operations(),
        import::operations(),
        deletion::operations(),
    ];
    parts.into_iter().flatten().collect()
}
