//! Fewer points for the same picture: the lowest and the highest of each slice of time. Nothing is averaged away.

/// At most about `most` of `points` (Unix milliseconds and value, rising in time): the lowest and the highest of each of
/// `most / 2` equal slices of the time asked for. A spike is never lost and a gap stays a gap.
pub fn thinned(points: Vec<(i64, f64)>, (from_ms, to_ms): (i64, i64), most: usize) -> Vec<(i64, f64)> {
    if points.len() <= most.max(2) {
        return points;
    }
    let slices = (most / 2).max(1) as i128;
    let span = (i128::from(to_ms) - i128::from(from_ms) + 1).max(1);
    let slice = |at: i64| (i128::from(at) - i128::from(from_ms)) * slices / span;
    let mut kept = Vec::with_capacity(most + 2);
    for group in points.chunk_by(|a, b| slice(a.0) == slice(b.0)) {
        let order = |a: &&(i64, f64), b: &&(i64, f64)| a.1.total_cmp(&b.1);
        let numbers = || group.iter().filter(|(_, value)| !value.is_nan());
        match (numbers().min_by(order), numbers().max_by(order)) {
            (Some(low), Some(high)) if low.0 != high.0 => {
                let (first, second) = if low.0 < high.0 { (low, high) } else { (high, low) };
                kept.extend([*first, *second]);
            }
            (Some(only), _) => kept.push(*only),
            _ => kept.push(group[0]),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_survives_and_the_points_stay_in_order() {
        let mut points: Vec<(i64, f64)> = (0..10_000).map(|i| (i * 1000, 1.0)).collect();
        points[7_777].1 = 99.0;
        points[3_333].1 = -99.0;
        for most in [2, 10, 600, 3_000] {
            let kept = thinned(points.clone(), (0, 10_000_000), most);
            assert!(kept.len() <= most + 2, "{} of {most}", kept.len());
            assert!(kept.contains(&(7_777_000, 99.0)) && kept.contains(&(3_333_000, -99.0)), "at {most}");
            assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order at {most}");
        }
        let nothing: Vec<(i64, f64)> = (0..100).map(|i| (i, f64::NAN)).collect();
        assert_eq!(thinned(nothing, (i64::MIN, i64::MAX), 10).len(), 1, "a slice without a number keeps one point");
    }
}
