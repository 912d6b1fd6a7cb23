//! How much a query may cost, and who may stop it. Asked within every loop over samples; reads only the clock it is given.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::error::QueryError;
use crate::options::Clock;

/// Stops a query from another thread. Cheap to clone; all clones are one token.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops the query at its next look, which is within some thousand samples.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it has been stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How many samples each step of a query has looked at, for whoever wants to know. Cheap to clone; all clones are one tally.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Vec<u64>>>);

impl Tally {
    /// A number for each step, in order; nothing before the query is answered.
    pub fn steps(&self) -> Vec<u64> {
        self.0.lock().clone()
    }

    /// Says it: whoever answers the query does.
    pub fn set(&self, steps: Vec<u64>) {
        *self.0.lock() = steps;
    }
}

/// What one query may cost.
#[derive(Clone)]
pub struct Limits {
    /// Samples read and values produced on the way, counted together. Default 50 million.
    pub max_samples: u64,
    /// Estimated bytes of both. Default 1 GiB.
    pub max_bytes: u64,
    /// Steps of a range query. Default 11,000, as in Prometheus.
    pub max_steps: u64,
    /// When the query must be done, in Unix milliseconds of `clock`; `None`: whenever.
    pub deadline_ms: Option<i64>,
    /// The clock that the deadline is of.
    pub clock: Clock,
    /// Who may stop it.
    pub cancel: Cancel,
    /// Who wants to know what each step looked at; counting costs a little.
    pub tally: Option<Tally>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_samples: 50_000_000,
            max_bytes: 1 << 30,
            max_steps: 11_000,
            deadline_ms: None,
            clock: crate::options::system_clock(),
            cancel: Cancel::default(),
            tally: None,
        }
    }
}

/// The clock and the token are looked at once in so many units of work.
const LOOK_EVERY: u64 = 8192;

/// What a running query has cost so far.
pub(super) struct Budget<'a> {
    limits: &'a Limits,
    samples: Cell<u64>,
    bytes: Cell<u64>,
    unseen: Cell<u64>,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, samples: Cell::new(0), bytes: Cell::new(0), unseen: Cell::new(0) }
    }

    /// Pays for samples read or values produced, before they are made.
    pub(super) fn take(&self, samples: usize, bytes: usize) -> Result<(), QueryError> {
        self.samples.set(self.samples.get().saturating_add(samples as u64));
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
        if self.samples.get() > self.limits.max_samples {
            return Err(QueryError::TooManySamples { limit: self.limits.max_samples });
        }
        if self.bytes.get() > self.limits.max_bytes {
            return Err(QueryError::TooMuchMemory { limit: self.limits.max_bytes });
        }
        self.work(samples)
    }

    /// Pays for a new column of `steps` values.
    pub(super) fn column(&self, steps: usize) -> Result<(), QueryError> {
        self.take(steps, steps.saturating_mul(8).saturating_add(64))
    }

    /// Notes work that holds no memory, and looks at clock and token now and then.
    #[inline]
    pub(super) fn work(&self, units: usize) -> Result<(), QueryError> {
        let unseen = self.unseen.get().saturating_add(units as u64).saturating_add(1);
        self.unseen.set(unseen);
        if unseen < LOOK_EVERY { Ok(()) } else { self.look() }
    }

    /// Looks at clock and token.
    pub(super) fn look(&self) -> Result<(), QueryError> {
        self.unseen.set(0);
        if self.limits.cancel.is_cancelled() {
            return Err(QueryError::Cancelled);
        }
        match self.limits.deadline_ms {
            Some(deadline) if (self.limits.clock)() > deadline => Err(QueryError::Timeout),
            _ => Ok(()),
        }
    }

    /// Samples counted so far.
    pub(super) fn samples(&self) -> u64 {
        self.samples.get()
    }

    /// Who wants to know what each step looked at.
    pub(super) fn tally(&self) -> Option<&Tally> {
        self.limits.tally.as_ref()
    }

    /// Samples that may still be read.
    pub(super) fn samples_left(&self) -> u64 {
        self.limits.max_samples.saturating_sub(self.samples.get())
    }
}
