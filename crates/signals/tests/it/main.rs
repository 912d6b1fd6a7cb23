//! Measurements against real peers: Debian's Prometheus, VictoriaMetrics and node exporter, each started here on loopback.

#![expect(clippy::unwrap_used, reason = "these are tests: where something is not as it should be, they end")]

mod kill;
mod peers;
mod queries;
mod relay;
mod scrape;
mod trust;
mod web;
