//! Fewer points for the same picture: the lowest and the highest of each slice of time.

use crate::chunk::Point;

/// At most about `max_points` of `points`: the lowest and the highest of each of `max_points / 2` equal slices of the time
/// asked for, in their own order. A spike is never lost and a gap stays a gap. Values that are NaN only stand where a slice has
/// nothing else.
pub(crate) fn decimate(points: Vec<Point>, from_ms: i64, to_ms: i64, max_points: usize) -> Vec<Point> {
    if points.len() <= max_points.max(2) {
        return points;
    }
    let slices = (max_points / 2).max(1) as i128;
    let span = i128::from(to_ms) - i128::from(from_ms) + 1;
    let slice = |at: i64| (i128::from(at) - i128::from(from_ms)) * slices / span.max(1);
    let mut kept = Vec::with_capacity(max_points + 2);
    for group in points.chunk_by(|a, b| slice(a.0) == slice(b.0)) {
        let (mut low, mut high) = (0, 0);
        for (i, (_, value)) in group.iter().enumerate() {
            if *value < group[low].1 || group[low].1.is_nan() {
                low = i;
            }
            if *value > group[high].1 || group[high].1.is_nan() {
                high = i;
            }
        }
        kept.push(group[low.min(high)]);
        if low != high {
            kept.push(group[low.max(high)]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_survives_any_thinning() {
        let mut points: Vec<Point> = (0..10_000).map(|i| (i * 1000, 1.0)).collect();
        points[7_777].1 = 99.0;
        points[3_333].1 = -99.0;
        for max in [2, 10, 600, 3_000] {
            let kept = decimate(points.clone(), 0, 10_000_000, max);
            assert!(kept.len() <= max + 2, "{} of {max}", kept.len());
            assert!(kept.contains(&(7_777_000, 99.0)) && kept.contains(&(3_333_000, -99.0)), "at {max}");
            assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order at {max}");
        }
    }

    #[test]
    fn few_points_and_extreme_times_are_left_alone() {
        let few = vec![(i64::MIN, 1.0), (i64::MAX, f64::NAN)];
        assert_eq!(decimate(few.clone(), i64::MIN, i64::MAX, 600).len(), 2);
        let many: Vec<Point> = (0..100).map(|i| (i, f64::NAN)).collect();
        let kept = decimate(many, i64::MIN, i64::MAX, 10);
        assert_eq!(kept.len(), 1, "a slice without a number keeps one of its NaN");
    }
}
