//! Samples of long ago: past the log and the head, straight into sealed files, a file for each day of a request.
//!
//! For who moves here with years of measurements. The rules are those of every sample (a repeat changes nothing, the first of two
//! stays), but for the age: anything that retention keeps is taken. What is thinned out already is made anew with it as long as all
//! of its samples are there; where they are not, a sample is refused and its period named. A file is complete before it has its name, and nothing
//! is acknowledged before the last one has; after a kill between two of them the request can be sent again.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::sync::atomic::AtomicU64;

use crate::admit::within_limits;
use crate::block::{self, NotWritten};
use crate::chunk::Point;
use crate::error::{Refusal, SeriesError, io as at};
use crate::formats::Batch;
use crate::histogram::Histogram;
use crate::index::{Index, SeriesId};
use crate::key;
use crate::metrics::Span;
use crate::native::{NativePoint, Samples, same};
use crate::seal::{DAY_MS, day_of, in_order};
use crate::store::{Store, count};
use crate::writer::{Appended, Refused};

/// A sample of the request: its place there, its time and what was measured.
#[derive(Debug)]
struct Sent {
    index: usize,
    at_ms: i64,
    what: What,
}

#[derive(Debug)]
enum What {
    Float(f64),
    Histogram(Histogram),
}

impl What {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => same(a, b),
            _ => false,
        }
    }
}

/// A request to import: by day, then by key.
#[derive(Debug, Default)]
pub(crate) struct Import {
    tenant: u64,
    days: BTreeMap<i64, BTreeMap<Vec<u8>, Vec<Sent>>>,
    outcome: Appended,
}

impl Import {
    /// Sorts a batch out. What can be refused without looking at what is stored is refused here.
    pub(crate) fn of(store: &Store, tenant: u64, mut batch: Batch) -> Self {
        let mut import = Self { tenant, ..Self::default() };
        let (now_ms, floats) = (store.now_ms(), batch.points.len());
        let natives = std::mem::take(&mut batch.histograms);
        let keys: Vec<Result<Vec<u8>, Refusal>> =
            (0..batch.series.len()).map(|series| known_key(store, tenant, batch.key(series))).collect();
        let mut index = 0;
        for (series, key) in keys.iter().enumerate() {
            for (at_ms, value) in batch.points_of(series) {
                import.add(store, now_ms, key, Sent { index, at_ms: *at_ms, what: What::Float(*value) });
                index += 1;
            }
        }
        let nobody = Err(Refusal::Labels { reason: "the histogram belongs to no series".into() });
        for (place, point) in natives.into_iter().enumerate() {
            let (index, at_ms) = (floats + place, point.at_ms);
            match point.histogram.settled() {
                Ok(histogram) => {
                    let key = keys.get(point.series).unwrap_or(&nobody);
                    import.add(store, now_ms, key, Sent { index, at_ms, what: What::Histogram(histogram) });
                }
                Err(error) => import.refuse(index, Refusal::Histogram { reason: error.to_string() }),
            }
        }
        import
    }

    fn refuse(&mut self, index: usize, reason: Refusal) {
        self.outcome.refused.push(Refused { index, reason });
    }

    fn add(&mut self, store: &Store, now_ms: i64, key: &Result<Vec<u8>, Refusal>, sent: Sent) {
        let (age, keeps) = (now_ms.saturating_sub(sent.at_ms), store.options.retention_ms);
        let outside = if age > keeps {
            Some(Refusal::TooOld { late_ms: age - keeps, accept_late_ms: keeps })
        } else if age < -store.options.accept_ahead_ms {
            Some(Refusal::TooFarAhead { ahead_ms: age.saturating_neg() })
        } else {
            None
        };
        match (key, outside) {
            (Err(reason), _) => self.refuse(sent.index, reason.clone()),
            (_, Some(reason)) => self.refuse(sent.index, reason),
            (Ok(key), None) => {
                let day = self.days.entry(day_of(sent.at_ms)).or_default();
                match day.get_mut(key) {
                    Some(row) => row.push(sent),
                    None => drop(day.insert(key.clone(), vec![sent])),
                }
            }
        }
    }
}

/// The canonical key of a series that may be stored.
fn known_key(store: &Store, tenant: u64, raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let labels = key::labels(raw).map_err(|error| Refusal::Labels { reason: error.to_string() })?;
    let key = key::of(&labels);
    if store.index.read().find(Index::hash(store.seed, tenant, &key)).is_none() {
        within_limits(&key, &store.limits(tenant))?;
    }
    Ok(key)
}

impl Store {
    /// Does it. Called by who alone changes anything, while no file is being made.
    pub(crate) fn import(&self, import: Import) -> crate::Result<Appended> {
        let Import { tenant, days, mut outcome } = import;
        for (day, series) in days {
            self.import_day(tenant, day, series, &mut outcome)?;
        }
        outcome.refused.sort_by_key(|refused| refused.index);
        count(&self.counters.accepted, outcome.accepted as u64);
        self.counters.count_refused(&outcome.refused);
        Ok(outcome)
    }

    fn import_day(
        &self,
        tenant: u64,
        day: i64,
        series: BTreeMap<Vec<u8>, Vec<Sent>>,
        outcome: &mut Appended,
    ) -> crate::Result<()> {
        let mut rows: HashMap<SeriesId, Vec<Sent>> = HashMap::with_capacity(series.len());
        {
            let mut index = self.index.write();
            for (key, row) in series {
                rows.insert(index.intern(tenant, Index::hash(self.seed, tenant, &key), &key), row);
            }
        }
        let ids: BTreeSet<SeriesId> = rows.keys().copied().collect();
        let written = self.write_day(day, &ids, rows, outcome);
        self.index.write().doom_unheld(ids.into_iter());
        written
    }

    /// Writes what of it is new as one file.
    fn write_day(
        &self,
        day: i64,
        ids: &BTreeSet<SeriesId>,
        mut rows: HashMap<SeriesId, Vec<Sent>>,
        outcome: &mut Appended,
    ) -> crate::Result<()> {
        let mut new: HashMap<SeriesId, Samples> = HashMap::new();
        let mut stored = self.stored(day, ids)?;
        let last = day.saturating_add(DAY_MS - 1);
        // Found out when it is first asked for: that reads files, and what is only repeated touches none.
        let touched = OnceCell::new();
        let touched = || touched.get_or_init(|| self.touched_periods(day, last));
        for (id, row) in &mut rows {
            let known = stored.remove(id).unwrap_or_default();
            let closed = |at_ms| touched().closed(at_ms);
            let fresh = news(std::mem::take(row), known, closed, outcome, &self.counters.repeated);
            if !fresh.is_empty() {
                new.insert(*id, fresh);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        // Before the samples are there: killed in between, a period is made anew of what it was made of.
        self.give_up_periods(touched(), |from, to| new.values().any(|samples| samples.has_in(from, to)))?;
        self.try_periods_again(day, last);
        // It stands beside the day's other files until they are made one: it replaces none, and covers nothing of the log.
        let header = block::Header { replaces: 0, ..self.new_header(day, DAY_MS) };
        let order = in_order(&self.index.read(), &new.keys().copied().collect());
        match block::write(&self.blocks_dir(), header, &self.index, &order, |id| {
            Some(new.remove(&id).unwrap_or_default())
        }) {
            Ok(block) => {
                self.add_block(block);
                Ok(())
            }
            Err(NotWritten::Disk(error)) => Err(error),
            Err(NotWritten::Source) => Err(SeriesError::Stopped),
        }
    }

    /// What these series have on a day, in files and in the head.
    fn stored(&self, day: i64, ids: &BTreeSet<SeriesId>) -> crate::Result<HashMap<SeriesId, Samples>> {
        let last = day.saturating_add(DAY_MS - 1);
        let mut parts: HashMap<SeriesId, Vec<Samples>> = HashMap::new();
        for block in self.blocks_in(day, last) {
            let file = File::open(&block.path).map_err(at("open", &block.path))?;
            for id in ids {
                // What cannot be read is lost, so what is sent again in its place is welcome.
                let Some(Ok(mut samples)) = block.place(*id).map(|place| block.samples(&file, place)) else { continue };
                self.cuts_of_id(&self.index.read(), *id).apply(&block, &mut samples);
                parts.entry(*id).or_default().push(samples);
            }
        }
        for id in ids {
            let floats = self.head.parts(*id, day, last).into_iter().map(|(_, points)| points.into());
            let natives = self.head.natives.parts(*id, day, last).into_iter();
            let natives = natives.map(|(_, histograms)| Samples { floats: Vec::new(), histograms });
            parts.entry(*id).or_default().extend(floats.chain(natives));
        }
        Ok(parts.into_iter().map(|(id, parts)| (id, Samples::merged(parts))).collect())
    }
}

/// What of a row is not stored yet and can be, rising in time.
fn news(
    row: Vec<Sent>,
    stored: Samples,
    closed: impl Fn(i64) -> Option<Span>,
    outcome: &mut Appended,
    repeated: &AtomicU64,
) -> Samples {
    let floats = stored.floats.into_iter().map(|(at, value)| (at, What::Float(value)));
    let natives = stored.histograms.into_iter().map(|(at, h)| (at, What::Histogram(h)));
    let known: HashMap<i64, What> = floats.chain(natives).collect();
    let mut fresh: BTreeMap<i64, What> = BTreeMap::new();
    for Sent { index, at_ms, what } in row {
        match known.get(&at_ms).or_else(|| fresh.get(&at_ms)) {
            Some(old) if old.is(&what) => {
                outcome.accepted += 1;
                count(repeated, 1);
            }
            Some(_) => outcome.refused.push(Refused { index, reason: Refusal::Conflict { at_ms } }),
            None => match closed(at_ms) {
                Some((from_ms, to_ms)) => {
                    outcome.refused.push(Refused { index, reason: Refusal::Thinned { from_ms, to_ms } });
                }
                None => {
                    outcome.accepted += 1;
                    fresh.insert(at_ms, what);
                }
            },
        }
    }
    let (mut floats, mut histograms): (Vec<Point>, Vec<NativePoint>) = (Vec::new(), Vec::new());
    for (at_ms, what) in fresh {
        match what {
            What::Float(value) => floats.push((at_ms, value)),
            What::Histogram(histogram) => histograms.push((at_ms, histogram)),
        }
    }
    Samples { floats, histograms }
}
