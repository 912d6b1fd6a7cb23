//! Pace: when a check comes again. Pure arithmetic on times since some fixed moment.
//!
//! Every check has a place of its own on its interval's grid, made from its id, so that many checks of one interval are
//! spread over it and stay spread: a slow answer or a restart does not push them together.

use std::time::Duration;

/// How often a check is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The usual time from one question to the next, at least a millisecond.
    pub interval: Duration,
    /// The first question comes within this time (and within the interval), so that people see a new check's state soon.
    pub first_within: Duration,
    /// Answers that fail in a row stretch the interval, doubling it from the third on, up to this; `None` never does.
    pub back_off: Option<Duration>,
}

impl Pace {
    /// That interval; the first question within three seconds; no back-off.
    pub const fn every(interval: Duration) -> Pace {
        Pace { interval, first_within: Duration::from_secs(3), back_off: None }
    }

    fn step(&self) -> Duration {
        self.interval.max(Duration::from_millis(1))
    }

    /// Where on its grid the check with that id stands: less than the interval.
    pub(crate) fn phase(&self, id: u128) -> Duration {
        share(id, self.step())
    }

    /// When the check is asked for the first time.
    pub(crate) fn first(&self, id: u128, now: Duration) -> Duration {
        now + share(id, self.first_within.min(self.step()))
    }

    /// When it comes again after a question that was due at `due`, and how many of its turns are left out because they
    /// are over. Always after `now`, and at least half an interval after `due`.
    pub(crate) fn next(&self, id: u128, due: Duration, now: Duration, failures: u32) -> (Duration, u64) {
        let step = self.step();
        let wanted = self.on_grid(id, due + self.stretched(failures) - step / 2);
        if wanted > now {
            return (wanted, 0);
        }
        let next = self.on_grid(id, now + Duration::from_nanos(1));
        let left_out = (next - wanted).as_nanos() / step.as_nanos();
        (next, u64::try_from(left_out).unwrap_or(u64::MAX))
    }

    /// The interval after so many failures in a row.
    fn stretched(&self, failures: u32) -> Duration {
        const PATIENCE: u32 = 2;
        let step = self.step();
        let Some(longest) = self.back_off.filter(|longest| *longest > step) else { return step };
        let doublings = failures.saturating_sub(PATIENCE).min(20);
        step.saturating_mul(1 << doublings).min(longest)
    }

    /// The first point of the grid that is not before `at`.
    fn on_grid(&self, id: u128, at: Duration) -> Duration {
        let (step, phase, at) = (self.step().as_nanos(), self.phase(id).as_nanos(), at.as_nanos());
        let turns = at.saturating_sub(phase).div_ceil(step);
        let nanos = phase + turns * step;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A part of the span that depends on the id alone: ids that follow each other come out far apart.
fn share(id: u128, span: Duration) -> Duration {
    let mixed = mix((id as u64) ^ mix((id >> 64) as u64));
    let nanos = (u128::from(mixed) * span.as_nanos()) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn checks_of_one_interval_are_spread_over_it() {
        let pace = Pace::every(MINUTE);
        let mut per_second = [0; 60];
        for id in 0..6000 {
            per_second[pace.phase(id).as_secs() as usize] += 1;
        }
        assert!(per_second.iter().all(|count| (50..160).contains(count)), "{per_second:?}");
    }

    #[test]
    fn an_answer_that_takes_long_costs_turns_and_no_order() {
        let pace = Pace::every(MINUTE);
        let due = pace.on_grid(7, MINUTE * 10);
        assert_eq!(pace.next(7, due, due + Duration::from_secs(1), 0), (due + MINUTE, 0));
        assert_eq!(pace.next(7, due, due + Duration::from_secs(59), 0), (due + MINUTE, 0));
        assert_eq!(pace.next(7, due, due + Duration::from_secs(150), 0), (due + MINUTE * 3, 2));
    }

    #[test]
    fn failures_in_a_row_stretch_the_interval_where_that_is_wanted() {
        let pace = Pace { back_off: Some(MINUTE * 10), ..Pace::every(MINUTE) };
        let due = pace.on_grid(7, MINUTE * 10);
        for (failures, minutes) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 4), (5, 8), (6, 10), (400, 10)] {
            assert_eq!(pace.next(7, due, due, failures).0, due + MINUTE * minutes, "{failures}");
            assert_eq!(Pace::every(MINUTE).next(7, due, due, failures).0, due + MINUTE, "{failures}");
        }
    }

    proptest! {
        #[test]
        fn the_next_turn_is_on_the_grid_and_neither_early_nor_double(
            id: u128, interval_ms in 1u64..100_000, due_ms in 0u64..1_000_000, late_ms in 0u64..1_000_000,
        ) {
            let pace = Pace::every(Duration::from_millis(interval_ms));
            let due = Duration::from_millis(due_ms);
            let now = due + Duration::from_millis(late_ms);
            let (next, _) = pace.next(id, due, now, 0);
            prop_assert!(next > now);
            prop_assert!(next >= due + pace.interval / 2);
            prop_assert!(next <= now.max(due + pace.interval / 2) + pace.interval);
            prop_assert_eq!(next.as_nanos() % pace.interval.as_nanos(), pace.phase(id).as_nanos());
        }
    }
}
