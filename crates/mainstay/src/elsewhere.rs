//! Links measurements that are kept elsewhere and measurements that are fetched: the relay and the scraper from the options. Nothing is
//! decided about a sample here, and no credential is shown.

use anyhow::Context;
use api::app::Probe;
use async_trait::async_trait;
use kernel::TenantId;
use serde_json::{Value, json};
use series::Metrics;
use signals::TargetsView;
use signals::relay::{Address, Credential, Options, Remote, Tls};
use signals::scrape::{Parts, Scraper, duration};
use std::path::Path;
use std::sync::Arc;

use crate::options::{Elsewhere, Serve};

/// The relay and the scraper, as far as the options name them.
pub struct Linked {
    relay: Option<Arc<Remote>>,
    scraper: Option<Scraper>,
}

/// Opens the relay, when measurements are kept elsewhere.
///
/// # Errors
/// An address, a file or the queue's folder cannot be used.
pub fn relay(data: &Path, given: &Elsewhere) -> anyhow::Result<Option<Remote>> {
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
    /// Starts the scraper, when there is something to scrape.
    ///
    /// # Errors
    /// Its file cannot be used.
    pub fn start(
        relay: Option<Arc<Remote>>,
        metrics: Arc<dyn Metrics>,
        env: probe::Env,
        serve: &Serve,
    ) -> anyhow::Result<Self> {
        let Some(file) = serve.elsewhere.scrape.clone() else { return Ok(Self { relay, scraper: None }) };
        let clock = series::system_clock();
        let scraper = Scraper::start(Parts { file, metrics, env, clock, tenant: signals::number(TenantId::HOME) })?;
        Ok(Self { relay, scraper: Some(scraper) })
    }

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

impl TargetsView for Linked {
    fn targets(&self, tenant: TenantId) -> Value {
        // What is fetched is the home tenant's.
        match &self.scraper {
            Some(scraper) if tenant == TenantId::HOME => scraper.targets_json(None, None),
            _ => json!({"activeTargets": [], "droppedTargets": []}),
        }
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
