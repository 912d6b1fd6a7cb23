//! How many threads do something at this moment. It must never be left too high: whoever began ends when the guard is dropped.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicUsize);

/// One of them, and how many there were when it began, itself included.
pub(crate) struct OneBusy<'a>(&'a Busy, usize);

impl Busy {
    /// Begins one.
    pub(crate) fn begin(&self) -> OneBusy<'_> {
        OneBusy(self, self.0.fetch_add(1, Relaxed) + 1)
    }

    /// Begins one, when there are fewer than `most`.
    pub(crate) fn begin_within(&self, most: usize) -> Option<OneBusy<'_>> {
        Some(self.begin()).filter(|one| one.1 <= most)
    }
}

impl OneBusy<'_> {
    /// Cores that nobody else is busy on.
    pub(crate) fn idle_of(&self, cores: usize) -> usize {
        cores.saturating_sub(self.1)
    }
}

impl Drop for OneBusy<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}
