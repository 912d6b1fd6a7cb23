//! Reads the measurements of the data directory. What takes a moment is read when everything else is served already, and whoever wants
//! measurements waits for it; what takes longer is read before. It must never let a sample in, or a question be answered, before
//! the limits of tenants hold.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use kernel::{Kernel, TenantId};
use series::{Claim, Engine, Opener};
use signals::number;

use crate::measurements::{known, whole};
use crate::options::Kept;

/// Log that is read within a second, even sample by sample on a slow machine. Nobody may have to wait longer: checks and rules would
/// stand still meanwhile, and a dashboard would hold its connections.
const MOMENT: u64 = 64 << 20;

/// Measurements that are read, or will be in a moment.
pub enum Reading {
    /// They are there.
    Read(Arc<Engine>),
    /// They are to be read when everything else is served.
    Soon(Box<ToRead>, Opener),
}

impl Reading {
    /// Reads them now if that takes longer than a moment.
    ///
    /// # Errors
    /// Their directory cannot be used.
    pub async fn begin(measurements: ToRead, opener: Opener) -> anyhow::Result<Self> {
        if measurements.claim.is_read_with(MOMENT, &measurements.options)? {
            return Ok(Self::Soon(Box::new(measurements), opener));
        }
        let engine = measurements.read().await?;
        opener.opened(engine.clone());
        Ok(Self::Read(engine))
    }

    /// Reads them unless they are there; whoever waits for them goes on then.
    ///
    /// # Errors
    /// Their directory cannot be used: the program has to end.
    pub async fn end(self) -> anyhow::Result<Arc<Engine>> {
        match self {
            Self::Read(engine) => Ok(engine),
            Self::Soon(measurements, opener) => {
                let engine = measurements.read().await?;
                opener.opened(engine.clone());
                Ok(engine)
            }
        }
    }
}

/// What a limit is of.
#[derive(Clone, Copy)]
enum Which {
    Series,
    Samples,
}

/// Measurements that are to be read.
pub struct ToRead {
    claim: Claim,
    options: series::Options,
    /// Limits of tenants of their own.
    limits: Vec<(TenantId, Which, u64)>,
}

impl ToRead {
    /// Claims what will be read, and reads nothing yet.
    ///
    /// # Errors
    /// Their directory cannot be used, or a limit names a tenant that is not known.
    pub fn claim(data: &Path, options: series::Options, kernel: &Kernel, kept: &Kept) -> anyhow::Result<Self> {
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
        let claim = Claim::take(&data.join("series")).context("the measurements cannot be read")?;
        Ok(Self { claim, options, limits })
    }

    async fn read(self) -> anyhow::Result<Arc<Engine>> {
        let Self { claim, options, limits } = self;
        let opened = tokio::task::spawn_blocking(move || claim.open(options)).await?;
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
        Ok(Arc::new(engine))
    }
}
