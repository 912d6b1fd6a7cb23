//! Finds the series of a batch, in the thread of the caller, before the writer sees it.

use crate::chunk::Point;
use crate::formats::{Batch, Exemplar, HistogramPoint, Metadata};
use crate::histogram::Histogram;
use crate::index::{Index, KeyHash, Lease, SeriesId};
use crate::key;
use crate::labels::LabelsError;
use crate::store::Store;

/// Whose the points are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Known(SeriesId),
    /// Not known when it was looked for: a place in [`Prepared::fresh`].
    Fresh(u32),
    /// Its labels name nothing: a place in [`Prepared::unnamed`].
    Unnamed(u32),
}

/// A series that was not known when it was looked for.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) hash: KeyHash,
    /// Canonical.
    pub(crate) key: Vec<u8>,
}

/// A native histogram on its way into the log.
#[derive(Clone, Debug)]
pub(crate) struct LogHistogram {
    pub(crate) id: SeriesId,
    pub(crate) at_ms: i64,
    pub(crate) histogram: Histogram,
}

/// What a batch has beside floats. Most have nothing of it.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) histograms: Vec<HistogramPoint>,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) metadata: Vec<Metadata>,
}

impl Beside {
    /// Takes it out of a batch; of the metadata only what is new.
    fn of(store: &Store, tenant: u64, batch: &mut Batch) -> Self {
        Self {
            histograms: std::mem::take(&mut batch.histograms),
            exemplars: std::mem::take(&mut batch.exemplars),
            metadata: store.families.news(tenant, std::mem::take(&mut batch.metadata)),
        }
    }

    /// Puts it back, when the series have to be looked up again.
    pub(crate) fn give_back(self, batch: &mut Batch) {
        (batch.histograms, batch.exemplars, batch.metadata) = (self.histograms, self.exemplars, self.metadata);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.exemplars.is_empty() && self.metadata.is_empty()
    }
}

/// A batch whose series are found.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) tenant: u64,
    pub(crate) points: Vec<Point>,
    /// Whose the points are, and how many they are.
    pub(crate) parts: Vec<(Who, u32)>,
    pub(crate) fresh: Vec<Fresh>,
    pub(crate) unnamed: Vec<LabelsError>,
    pub(crate) beside: Beside,
    /// The numbers in `parts` mean what they meant when it was taken.
    pub(crate) lease: Lease,
}

impl Prepared {
    /// What it costs the writer, in floats.
    pub(crate) fn weight(&self) -> usize {
        self.points.len() + 8 * self.beside.histograms.len() + self.beside.exemplars.len() + self.beside.metadata.len()
    }

    /// Looks up every series of `batch`. Known ones cost a hash and a probe each, and nothing when a roster has their numbers.
    pub(crate) fn new(store: &Store, tenant: u64, batch: &mut Batch) -> Self {
        if let Some(known) = Self::of_roster(store, tenant, batch) {
            return known;
        }
        let seed = store.seed;
        let count = batch.series.len();
        let hashes: Vec<KeyHash> = (0..count).map(|i| Index::hash(seed, tenant, batch.key(i))).collect();
        let (lease, mut found) = {
            let index = store.index.read();
            (index.lease(), hashes.iter().map(|hash| index.find(*hash)).collect::<Vec<_>>())
        };
        let (mut parts, mut fresh, mut unnamed) = (Vec::with_capacity(count), Vec::new(), Vec::new());
        for (i, known) in found.drain(..).enumerate() {
            let who = match known {
                Some(id) => Who::Known(id),
                None => look_closer(store, tenant, batch.key(i), hashes[i], &mut fresh, &mut unnamed),
            };
            parts.push((who, batch.points_of(i).len() as u32));
        }
        if let Some(roster) = &batch.roster {
            let ids = parts.iter().map(|(who, _)| if let Who::Known(id) = who { Some(*id) } else { None });
            if let Some(ids) = ids.collect() {
                roster.remember(tenant, &lease, ids);
            }
        }
        let points = std::mem::take(&mut batch.points);
        let beside = Beside::of(store, tenant, batch);
        Self { tenant, points, parts, fresh, unnamed, beside, lease }
    }

    /// A batch whose numbers were found before, and are still the same.
    fn of_roster(store: &Store, tenant: u64, batch: &mut Batch) -> Option<Self> {
        let roster = batch.roster.as_ref()?;
        let lease = store.index.read().lease();
        let ids = roster.numbers(tenant, &lease).filter(|ids| ids.len() == batch.series.len())?;
        // Each has a point, or none has: then they are histograms.
        let points = |series| batch.points_of(series).len() as u32;
        let parts = ids.iter().enumerate().map(|(series, id)| (Who::Known(*id), points(series))).collect();
        let points = std::mem::take(&mut batch.points);
        let beside = Beside::of(store, tenant, batch);
        Some(Self { tenant, points, parts, fresh: Vec::new(), unnamed: Vec::new(), beside, lease })
    }
}

/// A series that its bytes did not find: one that is new, whose sender does not sort its labels, or that cannot be named.
fn look_closer(
    store: &Store,
    tenant: u64,
    raw: &[u8],
    hash: KeyHash,
    fresh: &mut Vec<Fresh>,
    unnamed: &mut Vec<LabelsError>,
) -> Who {
    let mut new = |hash, key| {
        fresh.push(Fresh { hash, key });
        Who::Fresh(fresh.len() as u32 - 1)
    };
    if key::is_canonical(raw) {
        return new(hash, raw.to_vec());
    }
    match key::labels(raw) {
        Ok(labels) => {
            let key = key::of(&labels);
            let hash = Index::hash(store.seed, tenant, &key);
            // Under the lease that was taken before: numbers known now were so then, or are newer.
            match store.index.read().find(hash) {
                Some(id) => Who::Known(id),
                None => new(hash, key),
            }
        }
        Err(error) => {
            unnamed.push(error);
            Who::Unnamed(unnamed.len() as u32 - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::formats::Roster;
    use crate::labels::Labels;
    use crate::options::Options;

    #[test]
    fn the_numbers_that_a_roster_remembers_are_taken_for_floats_and_for_histograms() {
        let store = Store::new(std::path::Path::new("nowhere"), Options::default());
        let (mut text, mut keys) = (Vec::new(), Vec::new());
        for name in ["up", "load"] {
            let from = text.len() as u32;
            text.extend_from_slice(&key::of(&Labels::metric(name, &[]).unwrap()));
            keys.push((from, text.len() as u32));
        }
        let roster = Arc::new(Roster::new(Arc::new(text), keys).unwrap());
        let floats = || Batch::of_roster(&roster, vec![(1, 1.0), (2, 2.0)]).unwrap();
        let histograms = || Batch::of_histograms(&roster, vec![(1, Histogram::default()); 2]).unwrap();
        let found = |mut batch: Batch| {
            let prepared = Prepared::new(&store, 1, &mut batch);
            let parts = prepared.parts.into_iter();
            parts
                .map(|(who, points)| (if let Who::Known(id) = who { Some(id) } else { None }, points))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(histograms()), [(None, 0), (None, 0)], "nobody knows them yet");
        // As if they had been found: what is looked up would be something else.
        roster.remember(1, &store.index.read().lease(), vec![7, 8]);
        assert_eq!(found(floats()), [(Some(7), 1), (Some(8), 1)]);
        assert_eq!(found(histograms()), [(Some(7), 0), (Some(8), 0)]);
    }
}
