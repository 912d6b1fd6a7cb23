//! Signals: the ways by which measurements come in and go out: Prometheus's HTTP API, remote write, OTLP, pushes, scrapes.
//!
//! It speaks protocols and asks [`series::Metrics`]; it keeps nothing itself, and does not know whether the engine is in this
//! process or another program. It must never answer 2xx before the engine says that the samples are on disk, and never
//! show a tenant what belongs to another.

pub mod relay;
pub mod scrape;
mod tenant;

pub use tenant::number;
