//! How much evaluations on arrival may take: a tenth of a core over time, and a little more at once after a pause.
//!
//! Whoever writes without a pause cannot keep the machine busy with rules, and who writes now and then never waits. A rule that is
//! due asks for no allowance and takes none of it, so that nobody waits for longer than for its interval.

use kernel::Time;
use std::time::Duration;

/// Time in which the allowance grows by one unit.
const SHARE: i64 = 10;
/// What may be taken at once, in microseconds.
const MOST_US: i64 = 200_000;
/// What must be waited for at most, in microseconds: six seconds of work are a minute of waiting.
const OWED_US: i64 = 6_000_000;

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

    /// So long was taken. What a slow rule took beyond all that is forgiven, so that nobody waits for longer than a minute.
    pub(super) fn spend(&mut self, took: Duration, now: Time) {
        let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        *self = Self { left_us: self.at(now).saturating_sub(took).max(-OWED_US), since: now };
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
        assert_eq!(allowance.wait(at(501)).as_secs(), 60, "and never longer than that");
    }

    #[test]
    fn what_is_taken_minute_after_minute_stays_at_a_tenth_however_slow_the_rules_are() {
        for (question_ms, why) in [(20, "quick rules"), (1_000, "slow ones"), (5_000, "very slow ones")] {
            let (mut allowance, mut now, mut taken) = (Allowance::full(at(0)), at(0), Duration::ZERO);
            let question = Duration::from_millis(question_ms);
            while now < at(600_000) {
                if allowance.wait(now).is_zero() {
                    now = now.plus(question);
                    allowance.spend(question, now);
                    taken += question;
                } else {
                    now = now.plus(Duration::from_millis(20));
                }
            }
            let most = 60_000 + u128::from(question_ms) + 240;
            assert!((58_000..=most).contains(&taken.as_millis()), "{why}: {taken:?} of ten minutes");
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut allowance = Allowance::full(at(1000));
        allowance.spend(Duration::from_millis(300), at(1000));
        assert_eq!(allowance.wait(at(0)), allowance.wait(at(1000)));
    }
}
