//! What an owner does to what is stored: limits, deletes, and samples of long ago.

use std::sync::atomic::Ordering::Relaxed;

use super::Engine;
use crate::cut::Cut;
use crate::error::SeriesError;
use crate::formats::Batch;
use crate::import::Import;
use crate::matcher::Matcher;
use crate::options::TenantLimits;
use crate::store::{RATE, count};
use crate::writer::{Appended, Job};

impl Engine {
    /// Gives one tenant limits of its own, or with `None` those of all others again. Not kept on disk: the owner says them
    /// after each start.
    pub fn set_limits(&self, tenant: u64, limits: Option<TenantLimits>) {
        let mut own = self.store.own_limits.write();
        match limits {
            Some(limits) => drop(own.insert(tenant, limits)),
            None => drop(own.remove(&tenant)),
        }
    }

    /// What a tenant may have and do now.
    pub fn limits(&self, tenant: u64) -> TenantLimits {
        self.store.limits(tenant)
    }

    /// Refuses a request whole when its tenant is too fast.
    pub(super) fn within_rate(&self, tenant: u64, samples: usize) -> crate::Result<()> {
        let limit = self.store.limits(tenant).max_samples_per_second;
        if limit == u64::MAX || samples == 0 {
            return Ok(());
        }
        self.store.rates.take(tenant, samples, limit, self.store.now_ms()).map_err(|retry_after_ms| {
            count(&self.store.counters.refused, samples as u64);
            self.store.counters.refused_by[RATE].fetch_add(samples as u64, Relaxed);
            SeriesError::TooFast { limit, retry_after_ms }
        })
    }

    /// Stores samples of any age that retention keeps, straight in sealed files: for who brings the measurements of years from
    /// elsewhere. They are on disk when it returns, and a request can be sent again after any error. Each request makes a file for
    /// every day it has samples of, so bring them in order of time and many at once. Where samples are thinned out already the
    /// thinned-out ones are made anew with these; where that cannot be, because the samples that they were made of are gone, each is
    /// refused with the period ([`Refusal::Thinned`](crate::Refusal::Thinned)). Metadata of the batch is left out, as
    /// are exemplars. Blocks its thread meanwhile, and for its time holds up those who append.
    ///
    /// # Errors
    /// [`SeriesError::TooMany`] beyond [`Options::max_request_samples`](crate::Options::max_request_samples);
    /// [`SeriesError::Io`] when the disk refuses: some days may be stored then.
    pub fn import(&self, tenant: u64, batch: Batch) -> crate::Result<Appended> {
        let limit = self.store.options.max_request_samples;
        if batch.samples() > limit {
            return Err(SeriesError::TooMany { given: batch.samples(), limit });
        }
        let import = Import::of(&self.store, tenant, batch);
        self.ask(|reply| Job::Import(import, reply))
    }

    /// Deletes what the series that every matcher means have from `from_ms` to `to_ms`, both included, with their exemplars. It
    /// is gone for every reader when this returns, and stays so after a kill; its room on disk comes back when the files are
    /// made anew. What arrives later is kept, whatever its time. Blocks its thread meanwhile.
    ///
    /// # Errors
    /// [`SeriesError::Io`] when the disk refuses: nothing is deleted then. [`SeriesError::TooManyDeletes`] when a thousand wait
    /// already.
    pub fn delete(&self, tenant: u64, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> crate::Result<()> {
        let cut = Cut { tenant, matchers: matchers.to_vec(), from_ms, to_ms, upto: 0 };
        self.ask(|reply| Job::Delete(cut, reply))
    }
}
