//! Links the ways of measurements to the rest: limits and listeners from the options, the engine behind its seam. Nothing is
//! decided about a sample here.

use anyhow::Context;
use api::App;
use kernel::{Kernel, TenantId};
use serde_json::Value;
use series::Metrics;
use signals::listen::{Bound, Listen, Protocol, Source};
use signals::{Parts, RulesView, Settings, Signals, number};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use watch::rules::Rules;

use crate::elsewhere::Linked;
use crate::listen;
use crate::options::Serve;

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
    if kernel.tenant_key(TenantId::HOME) == *wanted {
        return Ok(TenantId::HOME);
    }
    kernel.tenant(wanted).with_context(|| format!("--push-tenant: there is no tenant {wanted:?}"))
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
        tokio::spawn(signals::own::keep(signals.clone(), number(TenantId::HOME), own.to_string(), page));
        Ok(())
    }
}
