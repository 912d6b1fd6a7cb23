//! Measurements against real peers: Debian's Prometheus, VictoriaMetrics and node exporter, each started here on loopback.

mod kill;
mod peers;
mod relay;
mod scrape;
mod trust;
mod web;
