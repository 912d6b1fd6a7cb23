//! Rate: how many packets may go out now. Pure: it is told the time.

use std::time::Duration;

/// A bucket that fills at a rate and holds a tenth of a second's worth, 64 at most.
#[derive(Clone, Debug)]
pub struct Rate {
    per_second: Option<f64>,
    filled: f64,
    at: Duration,
}

impl Rate {
    /// The most that goes out at once.
    pub const BATCH: usize = 64;

    /// So many a second; `None` is as fast as it goes.
    pub fn new(per_second: Option<f64>, now: Duration) -> Rate {
        let per_second = per_second.filter(|rate| rate.is_finite() && *rate > 0.0);
        Rate { per_second, filled: 1.0, at: now }
    }

    /// How many may go now.
    pub fn allowed(&mut self, now: Duration) -> usize {
        let Some(rate) = self.per_second else { return Rate::BATCH };
        let room = (rate / 10.0).clamp(1.0, Rate::BATCH as f64);
        self.filled = (self.filled + now.saturating_sub(self.at).as_secs_f64() * rate).min(room);
        self.at = now;
        self.filled as usize
    }

    /// So many went.
    pub fn spend(&mut self, count: usize) {
        if self.per_second.is_some() {
            self.filled -= count as f64;
        }
    }

    /// How long until the next may go.
    pub fn wait(&self) -> Duration {
        match self.per_second {
            Some(rate) if self.filled < 1.0 => Duration::from_secs_f64(((1.0 - self.filled) / rate).min(60.0)),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_the_rate_is_kept_however_often_it_is_asked() {
        for (rate, step_micros) in [(500.0, 100), (500.0, 7000), (3.0, 10_000), (20_000.0, 1000)] {
            let mut now = Duration::from_secs(100);
            let mut gate = Rate::new(Some(rate), now);
            let mut sent = 0;
            while now < Duration::from_secs(110) {
                let count = gate.allowed(now);
                gate.spend(count);
                sent += count;
                now += Duration::from_micros(step_micros);
            }
            let wanted = rate * 10.0;
            assert!((sent as f64 - wanted).abs() <= wanted * 0.02 + 2.0, "{rate}: {sent} in ten seconds");
        }
        assert_eq!(Rate::new(None, Duration::ZERO).allowed(Duration::ZERO), Rate::BATCH);
    }

    #[test]
    fn the_wait_ends_when_one_may_go() {
        let now = Duration::from_secs(1);
        let mut gate = Rate::new(Some(10.0), now);
        let count = gate.allowed(now);
        gate.spend(count);
        let later = now + gate.wait() + Duration::from_micros(1);
        assert_eq!(gate.allowed(later), 1);
    }
}
