//! What a page comes to, as batches for the engine. As long as a page has the same series in the same order, only points are made
//! anew: the engine knows by the roster whose they are.

use std::sync::Arc;

use series::Histogram;
use series::formats::{Batch, Exemplar, Metadata, Roster};

use super::Key;

/// Samples of one batch: the engine takes twice as many at once.
const PIECE: usize = 50_000;

type Point = (i64, f64);

/// What stands behind the samples of every page: names of series, the same each time, and a point of each.
#[derive(Clone, Copy, Default)]
pub struct Tail<'a> {
    /// Labels as bytes.
    pub names: &'a [Vec<u8>],
    /// Their points.
    pub points: &'a [Point],
}

/// A series that is a native histogram.
pub(super) struct Native {
    /// Where its labels are.
    pub(super) key: Key,
    /// Unix milliseconds.
    pub(super) at_ms: i64,
    pub(super) histogram: Histogram,
    /// Their series is this one, whatever they say.
    pub(super) exemplars: Vec<Exemplar>,
}

/// A page, read.
#[derive(Default)]
pub(super) struct Sheet {
    /// Of the page's series that are kept, in its order.
    pub(super) points: Vec<Point>,
    /// Series that have ended.
    pub(super) ends: Vec<(Key, Point)>,
    /// Their series are places among the points.
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) metadata: Vec<Metadata>,
    /// They have no points.
    pub(super) natives: Vec<Native>,
    /// Of the page before, when it had the same series in the same order; empty otherwise.
    rosters: Vec<Arc<Roster>>,
    /// Of the native histograms of the page before, and where their labels are; none when the series have changed.
    natives_before: Option<(Vec<Key>, Arc<Roster>)>,
}

impl Sheet {
    /// Makes room for about so many samples.
    pub(super) fn expect(&mut self, samples: usize) {
        self.points.reserve_exact(samples + 8);
    }

    /// Begins a page.
    pub(super) fn clear(&mut self) {
        self.points.clear();
        self.ends.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.natives.clear();
    }

    /// The series are not those of the page before.
    pub(super) fn changed(&mut self) {
        self.rosters.clear();
        self.natives_before = None;
    }

    /// Makes batches of it. `keys` are stretches of `names`, of the page's series in order; `tail` those of what stands behind.
    pub(super) fn take(
        &mut self,
        names: &Arc<Vec<u8>>,
        keys: impl Iterator<Item = Key>,
        (tail, behind): (&[Key], &[Point]),
    ) -> Vec<Batch> {
        let mut points = std::mem::take(&mut self.points);
        points.extend(self.ends.iter().map(|(_, point)| *point));
        points.extend_from_slice(behind);
        if !self.ends.is_empty() || self.rosters.iter().map(|r| r.len()).sum::<usize>() != points.len() {
            let ends = self.ends.iter().map(|(key, _)| *key);
            let all: Vec<Key> = keys.chain(ends).chain(tail.iter().copied()).collect();
            let roster = |keys: &[Key]| Roster::new(names.clone(), keys.iter().copied()).map(Arc::new);
            self.rosters = all.chunks(PIECE).filter_map(|keys| roster(keys).ok()).collect();
        }
        let mut batches: Vec<Batch> = Vec::with_capacity(self.rosters.len());
        for roster in &self.rosters {
            let rest = points.split_off(roster.len().min(points.len()));
            batches.extend(Batch::of_roster(roster, std::mem::replace(&mut points, rest)));
        }
        for exemplar in self.exemplars.drain(..) {
            if let Some(batch) = batches.get_mut(exemplar.series / PIECE) {
                batch.exemplars.push(Exemplar { series: exemplar.series % PIECE, ..exemplar });
            }
        }
        batches.extend(self.histograms(names));
        if !self.metadata.is_empty() {
            if batches.is_empty() {
                batches.push(Batch::default());
            }
            batches[0].metadata = std::mem::take(&mut self.metadata);
        }
        if !self.ends.is_empty() {
            // The next page is without them.
            self.changed();
        }
        self.clear();
        batches
    }

    /// Native histograms in a batch of their own.
    fn histograms(&mut self, names: &Arc<Vec<u8>>) -> Option<Batch> {
        if self.natives.is_empty() {
            return None;
        }
        let same = |keys: &[Key]| keys.iter().eq(self.natives.iter().map(|native| &native.key));
        let roster = match self.natives_before.take().filter(|(keys, _)| same(keys)) {
            Some(before) => before,
            None => {
                let keys: Vec<Key> = self.natives.iter().map(|native| native.key).collect();
                let roster = Roster::new(names.clone(), keys.iter().copied()).ok()?;
                (keys, Arc::new(roster))
            }
        };
        let (_, roster) = self.natives_before.insert(roster);
        let mut exemplars = Vec::new();
        let mut points = Vec::with_capacity(self.natives.len());
        for (series, native) in self.natives.drain(..).enumerate() {
            let placed = |e: Exemplar| Exemplar { series, at_ms: e.at_ms.or(Some(native.at_ms)), ..e };
            exemplars.extend(native.exemplars.into_iter().map(placed));
            points.push((native.at_ms, native.histogram));
        }
        let mut batch = Batch::of_histograms(roster, points).ok()?;
        batch.exemplars = exemplars;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_the_same_series_as_before_are_of_the_same_roster() {
        let names = Arc::new(b"abc".to_vec());
        let mut sheet = Sheet::default();
        let mut roster_of = |names: &Arc<Vec<u8>>, keys: &[Key], at_ms: i64| {
            let native =
                |key: &Key| Native { key: *key, at_ms, histogram: Histogram::default(), exemplars: Vec::new() };
            sheet.natives.extend(keys.iter().map(native));
            let batches = sheet.take(names, std::iter::empty(), (&[], &[]));
            let times: Vec<_> = batches[0].histograms.iter().map(|one| (one.series, one.at_ms)).collect();
            assert_eq!(times, (0..keys.len()).map(|series| (series, at_ms)).collect::<Vec<_>>());
            sheet.natives_before.clone().expect("there were histograms").1
        };
        let first = roster_of(&names, &[(0, 1), (1, 2)], 1);
        let longer = Arc::new(b"abcd".to_vec());
        assert!(
            Arc::ptr_eq(&first, &roster_of(&longer, &[(0, 1), (1, 2)], 2)),
            "another series came, not one of these"
        );
        let turned = roster_of(&longer, &[(1, 2), (0, 1)], 3);
        assert!(!Arc::ptr_eq(&first, &turned), "they are not in this order");
        let more = roster_of(&longer, &[(1, 2), (0, 1), (3, 4)], 4);
        assert_eq!((turned.len(), more.len()), (2, 3), "one more is there");
    }
}
