//! Clock: the time as a parameter.

use std::time::Duration;

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time of day, for certificates and NTP.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, never going back, for measuring how long things take.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clock.
pub(crate) struct RealClock {
    origin: tokio::time::Instant,
}

impl Default for RealClock {
    // tokio's Instant, since that one stands still when a test pauses the time.
    #[expect(clippy::disallowed_methods, reason = "the one place where probe reads the monotonic clock")]
    fn default() -> Self {
        RealClock { origin: tokio::time::Instant::now() }
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where probe reads the time of day")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}
