//! Links measurements that are kept elsewhere and measurements that are fetched: the relay and the scraper from the options. Nothing is
//! decided about a sample here, and no credential is shown.

use anyhow::Context;
use api::app::Probe;
use async_trait::async_trait;
use kernel::TenantId;
use series::Metrics;
use signals::relay::{Address, Credential, Options, Remote, Tls};
use signals::scrape::{Parts, Scraper, duration};
use std::path::Path;
use std::sync::Arc;

use crate::options::{Elsewhere, Serve};

/// Where measurements are, and what fetches them.
pub struct Linked {
    /// Where everybody writes and asks.
    pub metrics: Arc<dyn Metrics>,
    /// The relay, when measurements are kept elsewhere.
    pub relay: Option<Arc<Remote>>,
    /// The scraper, when there is something to scrape.
    pub scraper: Option<Arc<Scraper>>,
}

/// Opens the relay and starts the scraper, as far as the options name them.
///
/// # Errors
/// An address, a file or the queue's folder cannot be used.
pub fn link(data: &Path, serve: &Serve, engine: &Arc<series::Engine>) -> anyhow::Result<Linked> {
    let relay = relay(data, &serve.elsewhere)?.map(Arc::new);
    let metrics: Arc<dyn Metrics> = match &relay {
        Some(remote) => remote.clone(),
        None => Arc::new(engine.clone()),
    };
    let scraper = match &serve.elsewhere.scrape {
        None => None,
        Some(file) => Some(Arc::new(Scraper::start(Parts {
            file: file.clone(),
            metrics: metrics.clone(),
            env: probe::Env::real(),
            clock: series::system_clock(),
            tenant: signals::number(TenantId::HOME),
        })?)),
    };
    Ok(Linked { metrics, relay, scraper })
}

fn relay(data: &Path, given: &Elsewhere) -> anyhow::Result<Option<Remote>> {
    let Some(url) = &given.metrics else { return Ok(None) };
    let mut address = Address::parse(url, given.metrics_write.as_deref())?;
    if let Some(file) = &given.metrics_credentials {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("--metrics-credentials {}", file.display()))?;
        let read = Credential::parse(&text);
        address.credential =
            Some(read.map_err(|why| anyhow::anyhow!("--metrics-credentials {} {why}", file.display()))?);
    }
    let authorities = match &given.metrics_ca {
        None => None,
        Some(file) => Some(std::fs::read(file).with_context(|| format!("--metrics-ca {}", file.display()))?),
    };
    let bytes = duration::parse_bytes(&given.metrics_queue);
    let options = Options {
        tls: Tls { authorities, ..Tls::default() },
        queue_bytes: bytes.map_err(|why| anyhow::anyhow!("--metrics-queue: {why}"))?,
        ..Options::new(address)
    };
    Ok(Some(Remote::open(&data.join("relay"), options)?))
}

impl Linked {
    /// What readiness asks of them.
    pub fn probes(&self) -> Vec<Box<dyn Probe>> {
        self.relay.iter().map(|remote| Box::new(Far(remote.clone())) as Box<dyn Probe>).collect()
    }

    /// Their own figures in the exposition format.
    pub fn own_metrics(&self) -> String {
        let mut out = self.relay.as_ref().map_or_else(String::new, |remote| remote.own_metrics());
        if let Some(scraper) = &self.scraper {
            let (targets, up) = scraper.counts();
            let wrong = u8::from(scraper.fault().is_some());
            out.push_str(&format!(
                "# TYPE mainstay_scrape_targets gauge\nmainstay_scrape_targets {targets}\n\
                 # TYPE mainstay_scrape_targets_up gauge\nmainstay_scrape_targets_up {up}\n\
                 # TYPE mainstay_scrape_configuration_wrong gauge\nmainstay_scrape_configuration_wrong {wrong}\n"
            ));
        }
        out
    }
}

/// The engine elsewhere, as readiness sees it.
struct Far(Arc<Remote>);

#[async_trait]
impl Probe for Far {
    fn name(&self) -> &'static str {
        "metrics"
    }

    async fn ready(&self) -> Result<(), String> {
        self.0.ready().await
    }
}
