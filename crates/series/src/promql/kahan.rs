//! Sums of floats in which small values are not lost beside large ones.

/// A running sum with what rounding took from it (Neumaier's variant of Kahan's summation).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kahan {
    /// The sum so far, rounded.
    pub(crate) sum: f64,
    /// What rounding took.
    pub(crate) lost: f64,
}

impl Kahan {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        self.lost = if total.is_infinite() {
            // Beyond infinity a compensation would be no number.
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.lost + ((self.sum - total) + value)
        } else {
            self.lost + ((value - total) + self.sum)
        };
        self.sum = total;
    }

    /// The sum with what rounding took.
    #[inline]
    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

/// A mean that adds up directly as long as that does not overflow, and goes on incrementally from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    running: Kahan,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// The mean of one value.
    pub(crate) fn new(first: f64) -> Self {
        Self { running: Kahan { sum: first, lost: 0.0 }, count: 1.0, incremental: false }
    }

    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.running;
            next.add(value);
            if !next.sum.is_infinite() {
                self.running = next;
                return;
            }
            self.incremental = true;
            self.running.sum /= self.count - 1.0;
            self.running.lost /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        self.running.sum *= share;
        self.running.lost *= share;
        self.running.add(value / self.count);
    }

    /// The mean.
    pub(crate) fn value(self) -> f64 {
        let Kahan { sum, lost } = self.running;
        if self.incremental { sum + lost } else { sum / self.count + lost / self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_large_ones() {
        let mut sum = Kahan::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn a_mean_of_huge_values_does_not_overflow() {
        let mut mean = Mean::new(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-12);
    }
}
