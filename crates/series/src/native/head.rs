//! The native histograms of the head: few series have any, so they are beside the floats and cost those nothing.
//!
//! As there, a series has a part for each window, and what comes out of order waits in a row of its own until there is enough
//! of it. Whatever is here is in the log too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::{RwLock, RwLockReadGuard};

use crate::head::{Inserted, WINDOW_MS, window_start};
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::native::{NativePoint, Rows, merge_natives, same};

/// Histograms out of order that wait before they are woven into the others.
const LATE: usize = 64;

/// The histograms of one series in one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct NativePart {
    pub(crate) start_ms: i64,
    pub(crate) rows: Rows,
    /// Sorted; none has the time of one in `rows`.
    pub(crate) late: Vec<NativePoint>,
}

type BySeries = HashMap<SeriesId, Vec<NativePart>>;

/// All histograms that are not sealed.
#[derive(Debug, Default)]
pub(crate) struct NativeHead {
    series: RwLock<BySeries>,
    /// How many series there are, so that who has none need not ask for the lock.
    count: AtomicUsize,
}

impl NativePart {
    /// All of them, rising in time.
    pub(crate) fn points(&self) -> Vec<NativePoint> {
        let points = self.rows.points(self.start_ms);
        if self.late.is_empty() { points } else { merge_natives(vec![points, self.late.clone()]) }
    }

    fn of(start_ms: i64, points: &[NativePoint]) -> Self {
        let mut rows = Rows::default();
        points.iter().for_each(|(at, h)| rows.push(at - start_ms, h));
        Self { start_ms, rows, late: Vec::new() }
    }

    pub(crate) fn count(&self) -> u64 {
        u64::from(self.rows.count()) + self.late.len() as u64
    }

    fn at(&self, at_ms: i64) -> Option<Histogram> {
        let (at, (first, last)) = (at_ms - self.start_ms, self.rows.span());
        if self.rows.count() > 0 && at == last {
            return Some(self.rows.last());
        }
        if let Ok(found) = self.late.binary_search_by_key(&at_ms, |p| p.0) {
            return Some(self.late[found].1.clone());
        }
        if self.rows.count() == 0 || !(first..last).contains(&at) {
            return None;
        }
        self.rows.points(self.start_ms).into_iter().find(|(found, _)| *found == at_ms).map(|(_, h)| h)
    }

    fn insert(&mut self, at_ms: i64, histogram: &Histogram) -> Inserted {
        let at = at_ms - self.start_ms;
        if self.rows.count() == 0 || at > self.rows.span().1 {
            self.rows.push(at, histogram);
            return Inserted::New;
        }
        if let Some(old) = self.at(at_ms) {
            return outcome(&old, histogram);
        }
        let place = self.late.partition_point(|p| p.0 < at_ms);
        self.late.insert(place, (at_ms, histogram.clone()));
        if self.late.len() >= LATE {
            *self = Self::of(self.start_ms, &self.points());
        }
        Inserted::New
    }

    fn heap(&self) -> usize {
        size_of::<Self>() + self.rows.heap() + self.late.iter().map(|(_, h)| 8 + h.size()).sum::<usize>()
    }
}

fn outcome(old: &Histogram, new: &Histogram) -> Inserted {
    if same(old, new) { Inserted::Repeated } else { Inserted::Conflict }
}

/// Looks before a change.
pub(crate) struct NativeProbes<'a>(Option<RwLockReadGuard<'a, BySeries>>);

impl NativeProbes<'_> {
    fn part(&self, id: SeriesId, at_ms: i64) -> Option<&NativePart> {
        let start = window_start(at_ms);
        self.0.as_ref()?.get(&id)?.iter().find(|part| part.start_ms == start)
    }

    /// What inserting it would come to; none when the series has no histograms in the head.
    pub(crate) fn probe(&self, id: SeriesId, at_ms: i64, histogram: &Histogram) -> Option<Inserted> {
        self.0.as_ref()?.get(&id)?;
        let old = self.part(id, at_ms).and_then(|part| part.at(at_ms));
        Some(old.map_or(Inserted::New, |old| outcome(&old, histogram)))
    }

    /// Whether the series has a histogram at this time.
    #[inline]
    pub(crate) fn has(&self, id: SeriesId, at_ms: i64) -> bool {
        self.0.is_some() && self.part(id, at_ms).is_some_and(|part| part.at(at_ms).is_some())
    }
}

impl NativeHead {
    /// Whether the series has any.
    pub(crate) fn holds(&self, id: SeriesId) -> bool {
        self.count.load(Relaxed) > 0 && self.series.read().contains_key(&id)
    }

    pub(crate) fn probes(&self) -> NativeProbes<'_> {
        NativeProbes((self.count.load(Relaxed) > 0).then(|| self.series.read()))
    }

    /// The second answer says that the window is new for the series.
    pub(crate) fn insert(&self, id: SeriesId, at_ms: i64, histogram: &Histogram) -> (Inserted, bool) {
        let mut series = self.series.write();
        let parts = series.entry(id).or_default();
        let start = window_start(at_ms);
        let place = parts.partition_point(|part| part.start_ms < start);
        let new = parts.get(place).is_none_or(|part| part.start_ms != start);
        if new {
            parts.insert(place, NativePart { start_ms: start, ..NativePart::default() });
        }
        let inserted = parts[place].insert(at_ms, histogram);
        self.count.store(series.len(), Relaxed);
        (inserted, new)
    }

    /// Takes a whole window in, as the log keeps it; true when the series had none of it.
    pub(crate) fn adopt(&self, id: SeriesId, part: NativePart) -> bool {
        {
            let mut series = self.series.write();
            let parts = series.entry(id).or_default();
            let place = parts.partition_point(|known| known.start_ms < part.start_ms);
            if parts.get(place).is_none_or(|known| known.start_ms != part.start_ms) {
                parts.insert(place, part);
                self.count.store(series.len(), Relaxed);
                return true;
            }
        }
        for (at_ms, histogram) in part.points() {
            self.insert(id, at_ms, &histogram);
        }
        false
    }

    /// The windows of one series that begin from `first` to `last`, oldest first.
    pub(crate) fn parts(&self, id: SeriesId, first: i64, last: i64) -> Vec<(i64, Vec<NativePoint>)> {
        let probes = self.probes();
        let parts = probes.0.as_ref().and_then(|series| series.get(&id)).map_or(&[][..], Vec::as_slice);
        let wanted = parts.iter().filter(|part| (first..=last).contains(&part.start_ms));
        wanted.map(|part| (part.start_ms, part.points())).collect()
    }

    /// Whether a series has some in a window that is wanted.
    pub(crate) fn has_in(&self, id: SeriesId, wanted: impl Fn(i64) -> bool) -> bool {
        let probes = self.probes();
        let parts = probes.0.as_ref().and_then(|series| series.get(&id));
        parts.is_some_and(|parts| parts.iter().any(|part| wanted(part.start_ms)))
    }

    /// The series that have histograms in a window.
    pub(crate) fn series_in(&self, start_ms: i64) -> Vec<SeriesId> {
        let series = self.series.read();
        let held = series.iter().filter(|(_, parts)| parts.iter().any(|part| part.start_ms == start_ms));
        held.map(|(id, _)| *id).collect()
    }

    /// Forgets a window; the series that had histograms in it.
    pub(crate) fn drop_window(&self, start_ms: i64) -> Vec<SeriesId> {
        let mut series = self.series.write();
        let mut dropped = Vec::new();
        series.retain(|id, parts| {
            let before = parts.len();
            parts.retain(|part| part.start_ms != start_ms);
            if parts.len() < before {
                dropped.push(*id);
            }
            !parts.is_empty()
        });
        self.count.store(series.len(), Relaxed);
        dropped
    }

    /// Forgets what one series has from `from_ms` to `to_ms`; how many windows it has less.
    pub(crate) fn cut(&self, id: SeriesId, from_ms: i64, to_ms: i64) -> usize {
        let mut series = self.series.write();
        let Some(parts) = series.get_mut(&id) else { return 0 };
        let before = parts.len();
        parts.retain_mut(|part| {
            if part.start_ms > to_ms || part.start_ms.saturating_add(WINDOW_MS) <= from_ms {
                return true;
            }
            let mut points = part.points();
            points.retain(|(at, _)| !(from_ms..=to_ms).contains(at));
            *part = NativePart::of(part.start_ms, &points);
            !points.is_empty()
        });
        let gone = before - parts.len();
        if parts.is_empty() {
            series.remove(&id);
        }
        self.count.store(series.len(), Relaxed);
        gone
    }

    /// Calls `each` with every window of every series.
    pub(crate) fn each(&self, mut each: impl FnMut(SeriesId, &NativePart)) {
        for (id, parts) in &*self.series.read() {
            parts.iter().for_each(|part| each(*id, part));
        }
    }

    /// Histograms, and bytes of memory that they take.
    pub(crate) fn size(&self) -> (u64, u64) {
        let (mut count, mut bytes) = (0, 0);
        self.each(|_, part| {
            count += part.count();
            bytes += part.heap() as u64;
        });
        (count, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::testing::{assert_same, row};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_of_arrival_gives_the_same_histograms(row in row(), seed in any::<u64>(), cut in any::<prop::sample::Index>()) {
            let head = NativeHead::default();
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by_key(|i| (*i as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            for i in order {
                let (at, h) = &row[i];
                let probed = head.probes().probe(3, *at, h);
                let (inserted, _) = head.insert(3, *at, h);
                prop_assert_eq!(inserted, Inserted::New);
                prop_assert!(probed.is_none_or(|p| p == Inserted::New));
                prop_assert_eq!(head.probes().probe(3, *at, h), Some(Inserted::Repeated));
                prop_assert!(head.probes().has(3, *at));
            }
            let all = |head: &NativeHead| -> Vec<NativePoint> {
                head.parts(3, i64::MIN, i64::MAX).into_iter().flat_map(|(_, points)| points).collect()
            };
            assert_same(&all(&head), &row);
            let upto = row[cut.index(row.len())].0;
            head.cut(3, i64::MIN, upto);
            let left: Vec<NativePoint> = row.into_iter().filter(|(at, _)| *at > upto).collect();
            assert_same(&all(&head), &left);
        }
    }

    #[test]
    fn another_histogram_at_the_same_time_is_a_conflict_and_the_first_stays() {
        let head = NativeHead::default();
        let one = Histogram { count: 1.0, positive: vec![(0, 1.0)], ..Histogram::default() };
        let two = Histogram { count: 2.0, positive: vec![(0, 2.0)], ..Histogram::default() };
        assert_eq!(head.insert(1, 5, &one), (Inserted::New, true));
        assert_eq!(head.insert(1, 5, &two), (Inserted::Conflict, false));
        assert_eq!(head.insert(1, 5 + WINDOW_MS, &two), (Inserted::New, true));
        assert_eq!(head.size().0, 2);
        assert_eq!(head.drop_window(0), [1]);
        assert_eq!(head.series_in(WINDOW_MS), [1]);
        assert_eq!(head.drop_window(WINDOW_MS), [1]);
        assert!(head.probes().0.is_none(), "who has none costs nothing");
    }
}
