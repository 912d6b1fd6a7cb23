//! How much evaluations on arrival may take: a tenth of a core over time, and a little more at once after a pause.
//!
//! Whoever writes without a pause cannot keep the machine busy with rules, and who writes now and then never waits.

use kernel::Time;
use std::time::Duration;

/// Time in which the allowance grows by one unit.
const SHARE: i64 = 10;
/// What may be taken at once, in microseconds.
const MOST_US: i64 = 200_000;

/// What is left, and since when that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    left_us: i64,
    since: Time,
}

impl Allowance {
    /// All of it.
    pub(super) fn full(now: Time) -> Self {
        Self { left_us: MOST_US, since: now }
    }

    fn at(&self, now: Time) -> i64 {
        let grown = now.as_micros().saturating_sub(self.since.as_micros()).max(0) / SHARE;
        self.left_us.saturating_add(grown).min(MOST_US)
    }

    /// So long was taken. What was taken beyond everything is forgiven, so that nobody waits for longer than two seconds.
    pub(super) fn spend(&mut self, took: Duration, now: Time) {
        let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        *self = Self { left_us: self.at(now).saturating_sub(took).max(-MOST_US), since: now };
    }

    /// How long until there is some; nothing when there is.
    pub(super) fn wait(&self, now: Time) -> Duration {
        let missing = (1 - self.at(now)).max(0).unsigned_abs();
        Duration::from_micros(missing * SHARE.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_micros(ms * 1000)
    }

    #[test]
    fn a_tenth_is_allowed_over_time_and_some_at_once() {
        let mut allowance = Allowance::full(at(0));
        allowance.spend(Duration::from_millis(150), at(0));
        assert!(allowance.wait(at(0)).is_zero(), "some is left");
        allowance.spend(Duration::from_millis(100), at(0));
        assert_eq!(allowance.wait(at(0)).as_millis(), 500, "50 ms too much are 500 ms of waiting");
        assert!(allowance.wait(at(501)).is_zero());
        allowance.spend(Duration::from_secs(3600), at(501));
        assert_eq!(allowance.wait(at(501)).as_secs(), 2, "and never longer than that");
        // Second after second: what is taken stays at a tenth.
        let (mut now, mut taken) = (at(10_000), Duration::ZERO);
        while now < at(70_000) {
            if allowance.wait(now).is_zero() {
                allowance.spend(Duration::from_millis(20), now);
                taken += Duration::from_millis(20);
            }
            now = now.plus(Duration::from_millis(20));
        }
        assert!((6_000..=6_220).contains(&taken.as_millis()), "{taken:?} of a minute");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut allowance = Allowance::full(at(1000));
        allowance.spend(Duration::from_millis(300), at(1000));
        assert_eq!(allowance.wait(at(0)), allowance.wait(at(1000)));
    }
}
