//! How long to wait before the next attempt. A pure function, so the whole schedule can be read in a test.

use std::time::Duration;

/// Seconds after the first, second … failed attempt.
const STEPS: [u64; 7] = [2, 5, 15, 30, 60, 120, 300];

/// The wait after `attempt` failed attempts (1 is the first), with up to a fifth more or less, never above five minutes.
///
/// `seed` spreads pages that failed together; the same page and attempt always wait as long. A page is never given up
/// here: that is the outbox's deadline.
pub fn backoff(attempt: u32, seed: u64) -> Duration {
    let step = STEPS[(attempt.max(1) as usize - 1).min(STEPS.len() - 1)] * 1000;
    let spread = step / 5;
    let jitter = mix(seed ^ u64::from(attempt).rotate_left(32)) % (2 * spread + 1);
    Duration::from_millis((step - spread + jitter).min(300_000))
}

/// SplitMix64's finisher: neighbouring seeds give unrelated numbers.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempts_come_quickly_and_none_waits_longer_than_five_minutes() {
        let table = [(0, 2), (1, 2), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (7, 300), (8, 300), (u32::MAX, 300)];
        for (attempt, seconds) in table {
            for seed in 0..1000 {
                let wait = backoff(attempt, seed).as_millis();
                let (low, high) = (seconds * 800, (seconds * 1200).min(300_000));
                assert!((low..=high).contains(&wait), "attempt {attempt}: {wait} ms is not about {seconds} s");
            }
        }
    }

    #[test]
    fn pages_that_failed_together_do_not_come_back_together_and_each_is_repeatable() {
        let waits: std::collections::BTreeSet<_> = (0..100).map(|seed| backoff(5, seed)).collect();
        assert!(waits.len() > 90, "{} different waits", waits.len());
        assert_eq!(backoff(3, 42), backoff(3, 42));
    }
}
