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
        batches.extend(histograms(names, std::mem::take(&mut self.natives)));
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
}

/// Native histograms in a batch of their own.
fn histograms(names: &Arc<Vec<u8>>, natives: Vec<Native>) -> Option<Batch> {
    if natives.is_empty() {
        return None;
    }
    let roster = Roster::new(names.clone(), natives.iter().map(|native| native.key)).ok()?;
    let mut exemplars = Vec::new();
    let mut points = Vec::with_capacity(natives.len());
    for (series, native) in natives.into_iter().enumerate() {
        let placed = |e: Exemplar| Exemplar { series, at_ms: e.at_ms.or(Some(native.at_ms)), ..e };
        exemplars.extend(native.exemplars.into_iter().map(placed));
        points.push((native.at_ms, native.histogram));
    }
    let mut batch = Batch::of_histograms(&Arc::new(roster), points).ok()?;
    batch.exemplars = exemplars;
    Some(batch)
}
