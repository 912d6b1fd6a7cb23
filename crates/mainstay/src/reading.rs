//! Reads the measurements of the data directory, while everything else is served already: whoever wants measurements waits meanwhile,
//! and a log that takes longer than a moment is told by readiness. It must never let a sample in, or a question be answered,
//! before the limits of tenants hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use api::app::Probe;
use async_trait::async_trait;
use kernel::{Kernel, TenantId};
use series::{Engine, Opener, Opening};
use signals::number;

use crate::measurements::{known, whole};
use crate::options::Kept;

/// Measurements that are to be read from the data directory.
pub struct ToRead {
    dir: PathBuf,
    options: series::Options,
    /// Limits of tenants of their own.
    limits: Vec<(TenantId, Which, u64)>,
    /// Bytes of log.
    log: u64,
}

/// What a limit is of.
#[derive(Clone, Copy)]
enum Which {
    Series,
    Samples,
}

impl ToRead {
    /// What will be read, and nothing of it yet.
    ///
    /// # Errors
    /// A limit names a tenant that is not known.
    pub fn new(data: &Path, options: series::Options, kernel: &Kernel, kept: &Kept) -> anyhow::Result<Self> {
        let dir = data.join("series");
        let log = Engine::log_bytes(&dir);
        let mut limits = Vec::new();
        for (flag, which, own) in [
            ("--series-limit", Which::Series, &kept.series_limit),
            ("--samples-limit", Which::Samples, &kept.samples_limit),
        ] {
            for limit in own {
                let Some(key) = &limit.tenant else { continue };
                limits.push((known(kernel, key, flag)?, which, limit.most));
            }
        }
        Ok(Self { dir, options, limits, log })
    }

    /// Tells whether requests for them are answered, at once or soon.
    pub fn probe(&self, measured: &Opening) -> impl Probe + use<> {
        Measured { measured: measured.clone(), log: self.log }
    }

    /// Reads them; whoever waits for them goes on then.
    ///
    /// # Errors
    /// Their directory cannot be used. Damage is no error: it is told, and everything else is served.
    pub async fn read(self, opener: Opener) -> anyhow::Result<Arc<Engine>> {
        let Self { dir, options, limits, .. } = self;
        let opened = tokio::task::spawn_blocking(move || Engine::open(&dir, options)).await?;
        let (engine, recovery) = opened.context("the measurements cannot be read")?;
        for (tenant, which, most) in limits {
            let mut own = engine.limits(number(tenant));
            match which {
                Which::Series => own.max_series = whole(most),
                Which::Samples => own.max_samples_per_second = most,
            }
            engine.set_limits(number(tenant), Some(own));
        }
        if !recovery.damaged.is_empty() {
            tracing::error!(
                damaged = recovery.damaged.len(),
                "parts of the measurements are damaged and are not served; `mainstay verify` names them"
            );
        }
        let engine = Arc::new(engine);
        opener.opened(engine.clone());
        Ok(engine)
    }
}

/// Log that is read within a second, even sample by sample on a slow machine: whoever asks meanwhile hardly waits.
const SOON_READ: u64 = 64 << 20;

/// Measurements as readiness sees them.
struct Measured {
    measured: Opening,
    log: u64,
}

#[async_trait]
impl Probe for Measured {
    fn name(&self) -> &'static str {
        "measurements"
    }

    async fn ready(&self) -> Result<(), String> {
        if self.measured.opened().is_some() || self.log <= SOON_READ {
            return Ok(());
        }
        Err(format!("{} MiB of their log are being read; whoever asks for measurements waits", self.log >> 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_log_is_not_ready_before_it_is_read_and_a_short_one_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let (measured, opener) = Opening::begin();
        let long = Measured { measured: measured.clone(), log: SOON_READ + (1 << 20) };
        let short = Measured { measured, log: SOON_READ };
        assert_eq!(short.ready().await, Ok(()));
        let told = long.ready().await.unwrap_err();
        assert!(told.starts_with("65 MiB of their log are being read"), "{told}");
        let (engine, _) = Engine::open(&dir.path().join("series"), series::Options::default()).unwrap();
        opener.opened(Arc::new(engine));
        assert_eq!(long.ready().await, Ok(()));
    }
}
