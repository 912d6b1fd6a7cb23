//! Straight lines through samples: `deriv`, `predict_linear`; and `double_exponential_smoothing`.

use super::Evaluator;
use super::window::Windows;
use crate::promql::column::{Cell, Line};
use crate::promql::error::{QueryError, execution};
use crate::promql::kahan::Kahan;
use crate::promql::value::plain_float;

/// Slope by second, and value at the given time, of the line nearest to all samples.
fn regression(floats: &[(i64, f64)], at_ms: i64) -> (f64, f64) {
    let first = floats[0].1;
    if floats.iter().all(|(_, value)| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [mut x, mut y, mut xy, mut xx] = [Kahan::default(); 4];
    let mut count = 0.0;
    for (time, value) in floats {
        count += 1.0;
        let time = time.saturating_sub(at_ms) as f64 / 1000.0;
        x.add(time);
        y.add(*value);
        xy.add(time * value);
        xx.add(time * time);
    }
    let [x, y, xy, xx] = [x, y, xy, xx].map(|sum| sum.sum + sum.lost);
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

impl Evaluator<'_> {
    pub(super) fn deriv(&self, windows: Windows) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| {
            self.ignored(window, span);
            let [first, _, ..] = window.floats else { return Ok(Cell::Absent) };
            Ok(Cell::Float(regression(window.floats, first.0).0))
        })
    }

    pub(super) fn predict_linear(&self, windows: Windows<'_>, ahead: &[f64]) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| {
            self.ignored(window, span);
            if window.floats.len() < 2 {
                return Ok(Cell::Absent);
            }
            let (slope, now) = regression(window.floats, window.at_ms);
            Ok(Cell::Float(slope * ahead[window.step] + now))
        })
    }

    pub(super) fn smoothing(
        &self,
        windows: Windows<'_>,
        smooth: &[f64],
        trend: &[f64],
    ) -> Result<Vec<Line>, QueryError> {
        let span = windows.span;
        self.slide(windows, true, |window| {
            let (sf, tf) = (smooth[window.step], trend[window.step]);
            for (factor, name, short) in [(sf, "smoothing", "sf"), (tf, "trend", "tf")] {
                if factor <= 0.0 || factor >= 1.0 {
                    let given = plain_float(factor);
                    return execution(format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {given}"));
                }
            }
            self.ignored(window, span);
            let [first, second, ..] = window.floats else { return Ok(Cell::Absent) };
            let (mut before, mut level, mut slope) = (0.0, first.1, second.1 - first.1);
            for (place, (_, value)) in window.floats.iter().enumerate().skip(1) {
                if place > 1 {
                    slope = tf * (level - before) + (1.0 - tf) * slope;
                }
                let next = sf * value + (1.0 - sf) * (level + slope);
                (before, level) = (level, next);
            }
            Ok(Cell::Float(level))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::regression;

    #[test]
    fn a_line_is_found_again() {
        let floats: Vec<(i64, f64)> = (0..10).map(|i| (i * 1000, 3.0 + 0.5 * i as f64)).collect();
        let (slope, at) = regression(&floats, 20_000);
        assert!((slope - 0.5).abs() < 1e-12 && (at - 13.0).abs() < 1e-12);
        assert_eq!(regression(&[(0, 7.0), (1000, 7.0)], 0), (0.0, 7.0));
    }
}
