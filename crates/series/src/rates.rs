//! How many samples a second each tenant may send: a bucket that fills with time and that requests are taken from.
//!
//! A request is taken whole while there is anything in the bucket, and what it takes too much is a debt. So none is too large
//! to be ever taken, and the limit holds over time. The clock is the engine's; one that is set back only stops the filling.

use std::collections::HashMap;

use parking_lot::Mutex;

/// How many seconds of its rate a tenant that was silent may send at once.
const BURST_SECONDS: f64 = 10.0;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    samples: f64,
    at_ms: i64,
}

/// The buckets of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    buckets: Mutex<HashMap<u64, Bucket>>,
}

impl Rates {
    /// Takes `samples` of a tenant that may send `a_second`.
    ///
    /// # Errors
    /// When the bucket is empty: in how many milliseconds it is not.
    pub(crate) fn take(&self, tenant: u64, samples: usize, a_second: u64, now_ms: i64) -> Result<(), u64> {
        let rate = a_second as f64;
        let full = rate * BURST_SECONDS;
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(tenant).or_insert(Bucket { samples: full, at_ms: now_ms });
        let passed_ms = now_ms.saturating_sub(bucket.at_ms).max(0);
        bucket.samples = (bucket.samples + rate * passed_ms as f64 / 1000.0).min(full);
        bucket.at_ms = now_ms;
        if bucket.samples > 0.0 {
            bucket.samples -= samples as f64;
            return Ok(());
        }
        let missing_ms = (1.0 - bucket.samples) * 1000.0 / rate;
        Err(if missing_ms.is_finite() { missing_ms.ceil() as u64 } else { u64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_its_rate_over_time() {
        let rates = Rates::default();
        let mut taken = 0;
        // A minute, ten times a second, twice as much as is allowed.
        for tick in 0..600 {
            taken += if rates.take(1, 200, 1_000, tick * 100).is_ok() { 200 } else { 0 };
        }
        assert!((69_000..=71_000).contains(&taken), "a minute's worth and the burst: {taken}");
        assert!(rates.take(2, 200, 1_000, 0).is_ok(), "another tenant has its own");
    }

    #[test]
    fn a_large_request_is_a_debt_and_the_answer_says_when_it_is_paid() {
        let rates = Rates::default();
        assert_eq!(rates.take(1, 30_000, 1_000, 0), Ok(()));
        assert_eq!(rates.take(1, 1, 1_000, 0), Err(20_001));
        assert_eq!(rates.take(1, 1, 1_000, 20_001), Ok(()));
        assert!(rates.take(1, 1, 0, 20_001).is_err_and(|ms| ms > 0), "no rate at all");
    }

    #[test]
    fn a_clock_set_back_gives_nothing_and_takes_nothing() {
        let rates = Rates::default();
        assert_eq!(rates.take(1, 20_000, 1_000, 100_000), Ok(()));
        assert_eq!(rates.take(1, 1, 1_000, 50_000), Err(10_001));
        assert_eq!(rates.take(1, 1, 1_000, 60_001), Ok(()), "time goes on from where the clock is now");
    }
}
