//! Series that are sent again and again in the same order, as those of a page that is fetched every few seconds: their names
//! stand once, and the engine looks their numbers up once.
//!
//! It must never give a number that has come to mean another series.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::batch::{Batch, HistogramPoint, Part};
use super::{FormatError, Limits};
use crate::chunk::Point;
use crate::histogram::Histogram;
use crate::index::{Lease, SeriesId};

/// Names of series in an order.
#[derive(Debug)]
pub struct Roster {
    text: Arc<Vec<u8>>,
    parts: Vec<Part>,
    found: Mutex<Option<Found>>,
}

/// The numbers of all of them, for as long as none is given up.
#[derive(Debug)]
struct Found {
    tenant: u64,
    /// Not held: numbers that rest must come back some day.
    lease: Weak<()>,
    ids: Arc<[SeriesId]>,
}

impl Roster {
    /// Series whose names are these stretches of a text: the labels as remote write carries them, in order of their names.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] when a stretch is not in the text.
    pub fn new(text: Arc<Vec<u8>>, keys: impl IntoIterator<Item = (u32, u32)>) -> Result<Self, FormatError> {
        let mut parts = Vec::new();
        for (first, (from, to)) in (0..).zip(keys) {
            if from > to || to as usize > text.len() {
                return Err(FormatError::Malformed { at: from as usize, reason: "a name that is in the text" });
            }
            parts.push(Part { from, to, first });
        }
        Ok(Self { text, parts, found: Mutex::default() })
    }

    /// How many series it names.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// True when it names none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn key(&self, part: Part) -> &[u8] {
        &self.text[part.from as usize..part.to as usize]
    }

    /// The numbers, when they were found under this lease.
    pub(crate) fn numbers(&self, tenant: u64, lease: &Lease) -> Option<Arc<[SeriesId]>> {
        let found = self.found.lock();
        let found = found.as_ref().filter(|found| found.tenant == tenant)?;
        std::ptr::eq(found.lease.as_ptr(), Arc::as_ptr(lease)).then(|| found.ids.clone())
    }

    /// Keeps the numbers that were found under a lease.
    pub(crate) fn remember(&self, tenant: u64, lease: &Lease, ids: Vec<SeriesId>) {
        *self.found.lock() = Some(Found { tenant, lease: Arc::downgrade(lease), ids: ids.into() });
    }
}

impl Batch {
    /// A point of each series of a roster, in its order.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] when they are not as many.
    pub fn of_roster(roster: &Arc<Roster>, points: Vec<Point>) -> Result<Self, FormatError> {
        if points.len() != roster.parts.len() {
            return Err(FormatError::Malformed { at: points.len(), reason: "a point for each series" });
        }
        let mut batch = Self::new(Limits::default());
        (batch.series, batch.points, batch.roster) = (roster.parts.clone(), points, Some(roster.clone()));
        Ok(batch)
    }

    /// A native histogram of each series of a roster, in its order, and no points.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] when they are not as many.
    pub fn of_histograms(roster: &Arc<Roster>, histograms: Vec<(i64, Histogram)>) -> Result<Self, FormatError> {
        if histograms.len() != roster.parts.len() {
            return Err(FormatError::Malformed { at: histograms.len(), reason: "a histogram for each series" });
        }
        let mut batch = Self::new(Limits::default());
        batch.series = roster.parts.iter().map(|part| Part { first: 0, ..*part }).collect();
        batch.roster = Some(roster.clone());
        let placed = histograms.into_iter().enumerate();
        batch.histograms =
            placed.map(|(series, (at_ms, histogram))| HistogramPoint { series, at_ms, histogram }).collect();
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use crate::labels::Labels;

    fn roster(names: &[&str]) -> Arc<Roster> {
        let (mut text, mut keys) = (Vec::new(), Vec::new());
        for name in names {
            let from = text.len() as u32;
            text.extend_from_slice(&key::of(&Labels::metric(name, &[("host", "a")]).unwrap()));
            keys.push((from, text.len() as u32));
        }
        Arc::new(Roster::new(Arc::new(text), keys).unwrap())
    }

    #[test]
    fn a_batch_of_a_roster_is_like_any_other() {
        let batch = Batch::of_roster(&roster(&["up", "load"]), vec![(1, 1.0), (2, 0.5)]).unwrap();
        let expected = [("up{host=a}".to_owned(), vec![(1, 1.0)]), ("load{host=a}".to_owned(), vec![(2, 0.5)])];
        assert_eq!(batch.shown(), expected);
        assert_eq!(batch.names().collect::<Vec<_>>(), ["up", "load"]);
        assert!(Batch::of_roster(&roster(&["up"]), Vec::new()).is_err());
        assert!(Roster::new(Arc::new(vec![1, 2]), [(1, 3)]).is_err());
    }

    #[test]
    fn numbers_hold_for_their_tenant_and_until_any_is_given_up() {
        let (roster, lease): (_, Lease) = (roster(&["up"]), Arc::new(()));
        assert!(roster.numbers(1, &lease).is_none(), "nothing was found yet");
        roster.remember(1, &lease, vec![7]);
        assert_eq!(roster.numbers(1, &lease).as_deref(), Some(&[7][..]));
        assert!(roster.numbers(2, &lease).is_none(), "another tenant's series is another");
        assert!(roster.numbers(1, &Arc::new(())).is_none(), "a number was given up meanwhile");
        assert_eq!(Arc::strong_count(&lease), 1, "it is not held");
    }
}
