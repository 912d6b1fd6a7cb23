//! Figures: how the asking of checks goes, as numbers and as Mainstay's own metrics. Reads; changes nothing.

use probe::schedule::{self, BOUNDS_SECONDS, LagFigures};
use std::fmt::Write;

/// How the asking goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// What the schedule does.
    pub asking: schedule::Figures,
    /// Changes of state recorded.
    pub changes: u64,
}

impl Figures {
    /// The same in the exposition format.
    pub fn exposition(&self) -> String {
        let asking = &self.asking;
        let mut out = String::new();
        for (name, kind, help, value) in [
            ("mainstay_checks", "gauge", "Checks that are held.", asking.held as u64),
            ("mainstay_checks_in_flight", "gauge", "Questions that wait for their answer.", asking.in_flight as u64),
            (
                "mainstay_checks_waiting",
                "gauge",
                "Checks whose time has come and that wait for a budget or for room.",
                asking.waiting as u64,
            ),
            ("mainstay_checks_asked_total", "counter", "Questions begun.", asking.asked),
            (
                "mainstay_checks_left_out_total",
                "counter",
                "Turns left out since the one before had not ended.",
                asking.left_out,
            ),
            ("mainstay_check_changes_total", "counter", "Changes of state recorded.", self.changes),
        ] {
            // Writing into a text cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
        histogram(&mut out, "mainstay_check_lag_seconds", "How late questions were begun.", &asking.lag);
        out
    }
}

fn histogram(out: &mut String, name: &str, help: &str, lag: &LagFigures) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} histogram\n");
    for (bound, count) in BOUNDS_SECONDS.iter().zip(&lag.buckets) {
        let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let (count, sum) = (lag.count, lag.sum_seconds);
    let _ = write!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe::schedule::Lag;
    use std::time::Duration;

    #[test]
    fn the_lag_is_a_histogram_whose_buckets_add_up() {
        let lag = Lag::default();
        [0, 3, 700, 90_000].into_iter().for_each(|ms| lag.add(Duration::from_millis(ms)));
        let asking = schedule::Figures { held: 7, asked: 4, lag: lag.figures(), ..Default::default() };
        let text = Figures { asking, changes: 2 }.exposition();
        for line in [
            "mainstay_checks 7",
            "mainstay_checks_asked_total 4",
            "mainstay_check_changes_total 2",
            "mainstay_check_lag_seconds_bucket{le=\"0.001\"} 1",
            "mainstay_check_lag_seconds_bucket{le=\"0.005\"} 2",
            "mainstay_check_lag_seconds_bucket{le=\"1\"} 3",
            "mainstay_check_lag_seconds_bucket{le=\"60\"} 3",
            "mainstay_check_lag_seconds_bucket{le=\"+Inf\"} 4",
            "mainstay_check_lag_seconds_count 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }
}
