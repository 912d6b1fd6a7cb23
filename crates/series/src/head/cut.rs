//! Takes samples out of the head: for who deletes. What is left is as if they had never come.

use super::{Head, WINDOW_MS, place};
use crate::index::SeriesId;

impl Head {
    /// Forgets what one series has from `from_ms` to `to_ms`, both included; how many windows, of floats and of histograms,
    /// it has less.
    pub(crate) fn cut(&self, id: SeriesId, from_ms: i64, to_ms: i64) -> usize {
        let mut gone = self.natives.cut(id, from_ms, to_ms);
        let (shard, slot) = place(id);
        let mut slots = self.shards[shard].write();
        let Some(slot) = slots.get_mut(slot) else { return gone };
        let own = (slot.chunk.count() > 0).then_some(slot.start_ms);
        let starts: Vec<i64> = slot.older().iter().map(|part| part.start_ms).chain(own).collect();
        for start in starts {
            let outside = start > to_ms || start.saturating_add(WINDOW_MS) <= from_ms;
            let Some(part) = slot.window(start).filter(|_| !outside) else { continue };
            let (mut points, count) = (part.points(), part.points().len());
            points.retain(|(at, _)| !(from_ms..=to_ms).contains(at));
            if points.len() == count {
                continue;
            }
            slot.drop_window(start);
            gone += usize::from(points.is_empty());
            for point in points {
                slot.insert(point);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Point;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn what_is_left_is_as_if_the_rest_had_never_come(
            arrivals in prop::collection::vec(-WINDOW_MS..2 * WINDOW_MS, 1..300),
            cuts in prop::collection::vec((-2 * WINDOW_MS..3 * WINDOW_MS, 0..2 * WINDOW_MS), 1..4),
            more in prop::collection::vec(-WINDOW_MS..2 * WINDOW_MS, 0..50),
        ) {
            let head = Head::default();
            let (mut expected, mut held) = (BTreeMap::new(), 0);
            let put = |expected: &mut BTreeMap<i64, f64>, at: i64| {
                let mut change = head.change();
                change.insert(5, (at, at as f64));
                expected.insert(at, at as f64);
                change.done(0).len()
            };
            arrivals.into_iter().for_each(|at| held += put(&mut expected, at));
            for (from, length) in cuts {
                held -= head.cut(5, from, from + length);
                expected.retain(|at, _| !(from..=from + length).contains(at));
            }
            more.into_iter().for_each(|at| held += put(&mut expected, at));
            let parts = head.parts(5, i64::MIN, i64::MAX);
            prop_assert_eq!(parts.len(), held, "windows are counted right");
            let points: Vec<Point> = parts.into_iter().flat_map(|(_, points)| points).collect();
            prop_assert_eq!(points, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
