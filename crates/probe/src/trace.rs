//! Trace: which phase a check is in and what each one took, so that a timeout can say what it was waiting for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::env::Clock;

/// The phases of one running check. Interior mutability, since a timeout reads it after the check's future is dropped.
pub(crate) struct Trace {
    clock: Arc<dyn Clock>,
    begun: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    current: Option<Phase>,
    timings: BTreeMap<String, f64>,
}

#[derive(Clone, Copy)]
struct Phase {
    name: &'static str,
    doing: &'static str,
    since: Duration,
}

impl Trace {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Trace {
        let begun = clock.monotonic();
        Trace { clock, begun, inner: Mutex::default() }
    }

    /// Ends the phase before and begins this one. `doing` completes the sentence "no answer within 5 s while …".
    /// A phase that comes again (a redirect) adds to its time.
    pub(crate) fn phase(&self, name: &'static str, doing: &'static str) {
        let since = self.clock.monotonic();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        close(&mut inner, since);
        inner.current = Some(Phase { name, doing, since });
    }

    /// Seconds that the phase took so far; 0 when it never began.
    pub(crate) fn seconds(&self, name: &str) -> f64 {
        let now = self.clock.monotonic();
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let running = inner.current.filter(|phase| phase.name == name);
        inner.timings.get(name).copied().unwrap_or(0.0)
            + running.map_or(0.0, |phase| now.saturating_sub(phase.since).as_secs_f64())
    }

    /// Seconds since the check began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.begun)
    }

    /// What the check is doing now.
    pub(crate) fn doing(&self) -> Option<&'static str> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).current.map(|phase| phase.doing)
    }

    /// Ends the last phase and gives every phase's seconds, with `total`.
    pub(crate) fn finish(&self) -> BTreeMap<String, f64> {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        close(&mut inner, now);
        let mut timings = std::mem::take(&mut inner.timings);
        timings.insert("total".to_owned(), now.saturating_sub(self.begun).as_secs_f64());
        timings
    }
}

fn close(inner: &mut Inner, now: Duration) {
    if let Some(phase) = inner.current.take() {
        *inner.timings.entry(phase.name.to_owned()).or_default() += now.saturating_sub(phase.since).as_secs_f64();
    }
}
