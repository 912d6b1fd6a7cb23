//! Lag: how late questions were begun, as a histogram that any thread can add to and read. Reads no clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of [`LagFigures::buckets`], in seconds.
pub const BOUNDS_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Finer than what is shown, for quantiles: eight steps a doubling, from 64 µs to over an hour.
const STEPS: usize = 8;
const DOUBLINGS: usize = 26;
const SMALLEST_MICROS: u64 = 64;

/// The histogram. 208 counters of 8 bytes, and a sum.
#[derive(Debug)]
pub struct Lag {
    fine: [AtomicU64; STEPS * DOUBLINGS],
    micros: AtomicU64,
}

impl Default for Lag {
    fn default() -> Lag {
        Lag { fine: [const { AtomicU64::new(0) }; STEPS * DOUBLINGS], micros: AtomicU64::new(0) }
    }
}

/// What the histogram says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LagFigures {
    /// Questions counted.
    pub count: u64,
    /// How late they were together, in seconds.
    pub sum_seconds: f64,
    /// The lag that half of them did not exceed, in seconds; at most an eighth too high.
    pub p50_seconds: f64,
    /// The lag that 99 of 100 did not exceed, in seconds.
    pub p99_seconds: f64,
    /// The largest lag, in seconds.
    pub max_seconds: f64,
    /// How many were at most as late as each of [`BOUNDS_SECONDS`]; what is above the last is in `count` alone.
    pub buckets: Vec<u64>,
}

impl Lag {
    /// Counts one question that was so late.
    pub fn add(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.fine[place(micros)].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn figures(&self) -> LagFigures {
        let counts: Vec<u64> = self.fine.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let at_most = |share: f64| {
            let wanted = ((count as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            counts.iter().position(|more| {
                seen += more;
                seen >= wanted
            })
        };
        let seconds = |at: Option<usize>| at.map_or(0.0, |at| upper_micros(at) as f64 / 1e6);
        let buckets = BOUNDS_SECONDS.iter().map(|bound| {
            let fit = |at: &usize| upper_micros(*at) as f64 / 1e6 <= *bound * 1.0001;
            (0..counts.len()).take_while(fit).map(|at| counts[at]).sum()
        });
        LagFigures {
            count,
            sum_seconds: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
            p50_seconds: seconds(at_most(0.5)),
            p99_seconds: seconds(at_most(0.99)),
            max_seconds: seconds(counts.iter().rposition(|count| *count > 0)),
            buckets: buckets.collect(),
        }
    }

    /// Forgets what was counted.
    pub fn reset(&self) {
        for count in &self.fine {
            count.store(0, Ordering::Relaxed);
        }
        self.micros.store(0, Ordering::Relaxed);
    }
}

/// The counter for a lag.
fn place(micros: u64) -> usize {
    if micros < SMALLEST_MICROS {
        return 0;
    }
    let doubling = (micros / SMALLEST_MICROS).ilog2() as usize;
    let base = SMALLEST_MICROS << doubling;
    let step = (micros - base) / (base / STEPS as u64);
    (1 + doubling * STEPS + step as usize).min(STEPS * DOUBLINGS - 1)
}

/// What a counter's lags are below.
fn upper_micros(at: usize) -> u64 {
    if at == 0 {
        return SMALLEST_MICROS;
    }
    let (doubling, step) = ((at - 1) / STEPS, (at - 1) % STEPS);
    let base = SMALLEST_MICROS << doubling;
    base + base / STEPS as u64 * (step as u64 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_quantiles_are_those_of_what_was_counted() {
        let lag = Lag::default();
        assert_eq!(lag.figures(), LagFigures { buckets: vec![0; BOUNDS_SECONDS.len()], ..LagFigures::default() });
        for ms in 1..=1000 {
            lag.add(Duration::from_millis(ms));
        }
        let figures = lag.figures();
        assert_eq!(figures.count, 1000);
        assert!((0.5..0.57).contains(&figures.p50_seconds), "{figures:?}");
        assert!((0.99..1.12).contains(&figures.p99_seconds), "{figures:?}");
        assert!((1.0..1.13).contains(&figures.max_seconds), "{figures:?}");
        assert!((figures.sum_seconds - 500.5).abs() < 0.01);
        assert!(figures.buckets.is_sorted());
        lag.reset();
        assert_eq!(lag.figures().count, 0);
    }

    proptest! {
        #[test]
        fn every_lag_is_below_its_counters_bound_and_not_far(micros in 0u64..3_600_000_000) {
            let upper = upper_micros(place(micros));
            prop_assert!(micros < upper);
            prop_assert!(upper <= SMALLEST_MICROS.max(micros + micros / 4));
        }

        #[test]
        fn no_lag_is_too_long_to_count(micros: u64) {
            prop_assert!(place(micros) < STEPS * DOUBLINGS);
        }
    }
}
