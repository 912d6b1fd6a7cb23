//! The head: recent points in memory, by window of two hours. Whatever is here is in the log too.

use std::collections::{BTreeMap, HashMap};

use crate::chunk::{Chunk, Point, merge};
use crate::index::SeriesId;

/// The length of a window, and so of what one sealed file holds: two hours.
pub(crate) const WINDOW_MS: i64 = 2 * 3_600_000;

/// Out-of-order points that wait before they are woven into the compressed ones.
const LATE_POINTS: usize = 256;

/// The start of the window that a time falls in.
pub(crate) fn window_start(at_ms: i64) -> i64 {
    at_ms.div_euclid(WINDOW_MS).saturating_mul(WINDOW_MS)
}

/// The points of one series in one window.
#[derive(Debug)]
pub(crate) struct HeadSeries {
    chunk: Chunk,
    /// Points that came out of order, sorted; none has the time of one in `chunk`.
    late: Vec<Point>,
}

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    New,
    /// The very same point is there already.
    Repeated,
    /// Another value is there at this time, and stays.
    Conflict,
}

impl HeadSeries {
    fn start(point: Point) -> Self {
        Self { chunk: Chunk::start(point), late: Vec::new() }
    }

    /// The value at exactly this time. Quick for the newest; older ones cost decoding the window.
    fn at(&self, at_ms: i64) -> Option<f64> {
        let (last_ms, last) = self.chunk.last();
        if at_ms >= last_ms {
            return (at_ms == last_ms).then_some(last);
        }
        if let Ok(found) = self.late.binary_search_by_key(&at_ms, |p| p.0) {
            return Some(self.late[found].1);
        }
        if at_ms < self.chunk.first_ms() {
            return None;
        }
        let points = self.chunk.points();
        let found = points.binary_search_by_key(&at_ms, |p| p.0).ok()?;
        Some(points[found].1)
    }

    fn insert(&mut self, point: Point) -> Inserted {
        if point.0 > self.chunk.last().0 {
            self.chunk.push(point);
            return Inserted::New;
        }
        match self.at(point.0) {
            Some(value) => Inserted::of(value, point.1),
            None => {
                let place = self.late.partition_point(|p| p.0 < point.0);
                self.late.insert(place, point);
                if self.late.len() >= LATE_POINTS {
                    self.weave();
                }
                Inserted::New
            }
        }
    }

    fn weave(&mut self) {
        if let Some(chunk) = Chunk::of(&self.points()) {
            *self = Self { chunk, late: Vec::new() };
        }
    }

    /// All points, rising in time.
    pub(crate) fn points(&self) -> Vec<Point> {
        if self.late.is_empty() { self.chunk.points() } else { merge(vec![self.chunk.points(), self.late.clone()]) }
    }

    fn count(&self) -> u64 {
        u64::from(self.chunk.count()) + self.late.len() as u64
    }

    fn bytes(&self) -> usize {
        self.chunk.capacity() + self.late.capacity() * size_of::<Point>()
    }
}

impl Inserted {
    /// What a point with `new` is where `old` stands: bits decide, since NaN is not equal to itself.
    pub(crate) fn of(old: f64, new: f64) -> Self {
        if old.to_bits() == new.to_bits() { Self::Repeated } else { Self::Conflict }
    }
}

/// Two hours of all series.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) series: HashMap<SeriesId, HeadSeries>,
    /// When its first and its last point arrived, by our clock.
    opened_ms: i64,
    touched_ms: i64,
}

impl Window {
    /// Whether it is over and settled, so that sealing it now will rarely have to be repeated for a straggler.
    fn settled(&self, start: i64, now_ms: i64, seal_after_ms: i64) -> bool {
        let over = now_ms >= start.saturating_add(WINDOW_MS).saturating_add(seal_after_ms);
        let quiet = now_ms >= self.touched_ms.saturating_add(seal_after_ms);
        let open_long = now_ms >= self.opened_ms.saturating_add(seal_after_ms.saturating_mul(6));
        over && (quiet || open_long)
    }
}

/// All windows that are not sealed.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) windows: BTreeMap<i64, Window>,
    pub(crate) newest_ms: i64,
}

impl Head {
    /// What inserting this point would come to.
    pub(crate) fn probe(&self, id: SeriesId, (at_ms, value): Point) -> Inserted {
        let series = self.windows.get(&window_start(at_ms)).and_then(|w| w.series.get(&id));
        series.and_then(|s| s.at(at_ms)).map_or(Inserted::New, |old| Inserted::of(old, value))
    }

    /// Inserts a point. The second answer says that the series is new in its window.
    pub(crate) fn insert(&mut self, id: SeriesId, point: Point, now_ms: i64) -> (Inserted, bool) {
        let start = window_start(point.0);
        let fresh = || Window { series: HashMap::new(), opened_ms: now_ms, touched_ms: now_ms };
        let window = self.windows.entry(start).or_insert_with(fresh);
        window.touched_ms = now_ms;
        self.newest_ms = self.newest_ms.max(point.0);
        match window.series.entry(id) {
            std::collections::hash_map::Entry::Occupied(mut series) => (series.get_mut().insert(point), false),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(HeadSeries::start(point));
                (Inserted::New, true)
            }
        }
    }

    /// The windows that can be sealed now, oldest first.
    pub(crate) fn settled(&self, now_ms: i64, seal_after_ms: i64) -> Vec<i64> {
        let settled = self.windows.iter().filter(|(start, w)| w.settled(**start, now_ms, seal_after_ms));
        settled.map(|(start, _)| *start).collect()
    }

    pub(crate) fn samples(&self) -> u64 {
        self.windows.values().flat_map(|w| w.series.values()).map(HeadSeries::count).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.windows.values().flat_map(|w| w.series.values()).map(|s| s.bytes() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_of_arrival_gives_the_same_points(arrivals in prop::collection::vec((0_i64..600, 0_u8..3), 1..900)) {
            let mut head = Head::default();
            let mut expected = BTreeMap::new();
            for (at, value) in arrivals {
                let value = f64::from(value);
                let known = expected.get(&at).copied();
                let outcome = known.map_or(Inserted::New, |old| Inserted::of(old, value));
                prop_assert_eq!(head.probe(7, (at, value)), outcome);
                prop_assert_eq!(head.insert(7, (at, value), 0).0, outcome);
                expected.entry(at).or_insert(value);
            }
            let points = head.windows[&0].series[&7].points();
            prop_assert_eq!(points, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_window_is_sealed_when_it_is_over_and_quiet() {
        let mut head = Head::default();
        head.insert(1, (10, 1.0), 10);
        let minute = 60_000;
        let table = [
            (WINDOW_MS, false, "just over: stragglers may come"),
            (WINDOW_MS + 10 * minute, true, "over for ten minutes"),
        ];
        for (now, sealed, why) in table {
            assert_eq!(!head.settled(now, 10 * minute).is_empty(), sealed, "{why}");
        }
        let now = WINDOW_MS * 10;
        head.insert(2, (20 + WINDOW_MS, 1.0), now);
        assert_eq!(head.settled(now, 10 * minute), [0], "a back-filled window waits for the rest of it");
        assert_eq!(head.settled(now + 10 * minute, 10 * minute), [0, WINDOW_MS]);
    }

    #[test]
    fn times_before_the_epoch_have_a_window_too() {
        assert_eq!(window_start(-1), -WINDOW_MS);
        assert_eq!(window_start(0), 0);
    }
}
