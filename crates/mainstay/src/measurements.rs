//! Links the ways of measurements to the rest: limits and listeners from the options, the engine behind its seam. Nothing is
//! decided about a sample here.

use anyhow::Context;
use api::App;
use kernel::{Kernel, TenantId};
use serde_json::Value;
use series::Metrics;
use signals::listen::{Bound, Listen, Protocol, Source};
use signals::scrape::duration;
use signals::{Parts, RulesView, Settings, Signals, number};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use watch::rules::Rules;

use crate::elsewhere::Linked;
use crate::listen;
use crate::options::{Kept, Limit, Serve};

/// Whoever may read checks may read measurements, and whoever may feed checks may hand them in.
const MEASURED: &str = "check";

/// What the rules show to who asks as of a Prometheus.
struct Seen(Rules);

impl RulesView for Seen {
    fn rules(&self, tenant: TenantId) -> Value {
        self.0.rules_json(tenant)
    }

    fn alerts(&self, tenant: TenantId) -> Value {
        self.0.alerts_json(tenant)
    }
}

/// Shortest time that samples are kept: a day's file is thinned out only when the day is over.
const SHORTEST_RETENTION_MS: i64 = 2 * 86_400_000;

/// Active series a tenant may have when nothing is said: some 500 MB of memory.
const SERIES: u64 = 2_000_000;

/// The engine's options from those of the server.
///
/// # Errors
/// A size that is none, or a retention in which nothing could be thinned out.
pub fn options(kept: &Kept) -> anyhow::Result<series::Options> {
    let retention_ms = i64::try_from(kept.measurements_retention.0.as_millis()).unwrap_or(i64::MAX);
    anyhow::ensure!(
        retention_ms >= SHORTEST_RETENTION_MS,
        "--measurements-retention: measurements are kept for at least 2d; give a longer time, or a --measurements-size"
    );
    let mut options = series::Options { retention_ms, ..series::Options::default() };
    if let Some(size) = &kept.measurements_size {
        let bytes = duration::parse_bytes(size);
        options.retention_bytes = bytes.map_err(|why| anyhow::anyhow!("--measurements-size: {why}"))?;
    }
    // A tier is made of samples that are still kept.
    for tier in &mut options.tiers {
        tier.after_ms = tier.after_ms.min(retention_ms / 2);
        tier.retention_ms = tier.retention_ms.max(retention_ms);
    }
    options.max_series = whole(of_all(&kept.series_limit).unwrap_or(SERIES));
    options.max_samples_per_second = of_all(&kept.samples_limit).unwrap_or(options.max_samples_per_second);
    Ok(options)
}

fn of_all(limits: &[Limit]) -> Option<u64> {
    limits.iter().rev().find(|limit| limit.tenant.is_none()).map(|limit| limit.most)
}

/// A number of things that are counted in memory.
pub fn whole(most: u64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The ways in and out of an engine.
pub fn signals(data: &Path, metrics: Arc<dyn Metrics>, rules: Rules, linked: &Arc<Linked>, serve: &Serve) -> Signals {
    let settings = Settings {
        query_timeout: serve.query_timeout.0,
        query_samples: serve.query_samples,
        spool: data.join("incoming"),
        ..Settings::default()
    };
    Signals::new(Parts {
        metrics,
        clock: series::system_clock(),
        measured: MEASURED,
        rules: Some(Arc::new(Seen(rules))),
        targets: Some(linked.clone()),
        settings,
    })
}

/// Listeners that are switched on, bound before anything is served, so that a taken port keeps the server from starting.
pub struct Listeners {
    grpc: Option<TcpListener>,
    pushes: Vec<Bound>,
}

/// Binds what the options switch on.
///
/// # Errors
/// An address is taken, a tenant is not named or not known, or gRPC would be readable on the way.
pub async fn bind(kernel: &Kernel, serve: &Serve) -> anyhow::Result<Listeners> {
    let grpc = match serve.otlp_grpc_listen {
        None => None,
        Some(address) => {
            if !address.ip().is_loopback() && serve.tls_certificate.is_none() && !serve.insecure_http {
                anyhow::bail!(
                    "--otlp-grpc-listen {address} is reachable from other machines and tokens would travel readable: give --tls-certificate and --tls-key, or --insecure-http if you know why"
                );
            }
            Some(listen::bind(address).await.context("--otlp-grpc-listen")?)
        }
    };
    let statsd = Protocol::StatsD { flush: serve.statsd_flush.0 };
    let wanted = [
        ("--graphite-listen", serve.graphite_listen, Protocol::Graphite),
        ("--statsd-listen", serve.statsd_listen, statsd),
    ];
    let mut pushes = Vec::new();
    for (flag, address, protocol) in wanted {
        if let Some(address) = address {
            let tenant = tenant(kernel, serve, flag)?;
            let sources = if serve.push_from.is_empty() { Source::LOOPBACK.to_vec() } else { serve.push_from.clone() };
            let bound = Listen { protocol, address, tenant: number(tenant), sources }.bind().await;
            pushes.push(bound.with_context(|| format!("cannot listen on {flag} {address}"))?);
        }
    }
    Ok(Listeners { grpc, pushes })
}

/// The tenant whose samples they are. Their senders know no token, so somebody has to say it.
fn tenant(kernel: &Kernel, serve: &Serve, flag: &str) -> anyhow::Result<TenantId> {
    let Some(wanted) = &serve.push_tenant else {
        anyhow::bail!(
            "{flag}: its senders prove nothing; say whose measurements they are with --push-tenant {}",
            kernel.tenant_key(TenantId::HOME)
        );
    };
    known(kernel, wanted, "--push-tenant")
}

/// The tenant that an option names.
///
/// # Errors
/// There is none of that name.
pub fn known(kernel: &Kernel, key: &str, flag: &str) -> anyhow::Result<TenantId> {
    if kernel.tenant_key(TenantId::HOME) == *key {
        return Ok(TenantId::HOME);
    }
    kernel.tenant(key).with_context(|| format!("{flag}: there is no tenant {key:?}"))
}

/// What this server is called in its own measurements: the machine's name, which stays when it listens elsewhere, and which alerts
/// find the machine by.
fn this_machine(own: SocketAddr) -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    if name.is_empty() { own.to_string() } else { name.into_owned() }
}

impl Listeners {
    /// Serves them, and keeps Mainstay's own metrics.
    ///
    /// # Errors
    /// The system does not say where a listener listens.
    pub fn serve(
        self,
        app: &App,
        signals: &Signals,
        tls: Option<Arc<rustls::ServerConfig>>,
        own: SocketAddr,
    ) -> anyhow::Result<()> {
        if let Some(listener) = self.grpc {
            tracing::info!(address = %listener.local_addr()?, "OTLP over gRPC is listened for");
            let router = signals::grpc::router(app.clone(), signals.clone());
            tokio::spawn(listen::serve(listener, router, tls));
        }
        for bound in self.pushes {
            tracing::info!(address = %bound.address()?, "pushes without a token are listened for");
            tokio::spawn(bound.serve(signals.clone()));
        }
        let page = app.metrics.clone();
        tokio::spawn(signals::own::keep(signals.clone(), number(TenantId::HOME), this_machine(own), page));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(retention: &str, size: Option<&str>, series: &[&str]) -> Kept {
        let limits = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a limit")).collect();
        Kept {
            measurements_retention: retention.parse().expect("a time"),
            measurements_size: size.map(str::to_owned),
            series_limit: limits(series),
            samples_limit: limits(&["acme=5"]),
        }
    }

    #[test]
    fn limits_of_one_tenant_leave_those_of_all_as_they_are() {
        let made = |texts: &[&str]| options(&kept("400d", None, texts)).expect("options");
        assert_eq!(made(&[]).max_series, 2_000_000);
        assert_eq!(made(&["acme=7"]).max_series, 2_000_000);
        assert_eq!(made(&["9", "acme=7"]).max_series, 9);
        assert_eq!(made(&[]).max_samples_per_second, u64::MAX);
        assert!("a=b".parse::<Limit>().expect_err("no number").contains("neither a number nor TENANT=NUMBER"));
    }

    #[test]
    fn samples_are_thinned_out_before_they_go() {
        for days in ["2d", "3d", "6d", "30d", "4000d"] {
            let options = options(&kept(days, Some("50GB"), &[])).expect("options");
            assert_eq!(options.retention_bytes, 50 << 30, "as Prometheus counts");
            for tier in options.tiers {
                assert!(tier.after_ms < options.retention_ms && tier.retention_ms >= options.retention_ms, "{days}");
            }
        }
        assert!(options(&kept("36h", None, &[])).err().expect("too short").to_string().contains("at least 2d"));
        let odd = options(&kept("9d", Some("many"), &[])).err().expect("no size").to_string();
        assert!(odd.starts_with("--measurements-size: "), "{odd}");
    }
}
