//! Giving up periods into which samples of long ago are to go, so that they are made anew with them.
//!
//! Only a period whose samples are all still there may be given up; until it is made anew those samples answer in its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

use super::Period;
use super::interval::{Column, Interval};
use crate::block::{Place, read_times};
use crate::durable::sync_dir;
use crate::error::io as at;
use crate::index;
use crate::seal::DAY_MS;
use crate::store::Store;
use crate::visit::Buffers;

/// The periods of all tiers that have some of a time.
#[derive(Default)]
pub(crate) struct Touched {
    /// Those that can be made anew, with the number of their tier.
    open: Vec<(usize, Arc<Period>)>,
    /// First (exclusive) and last moment of those that cannot.
    closed: Vec<(i64, i64)>,
}

impl Touched {
    /// The period that a sample of this time could not be added to.
    pub(crate) fn closed(&self, at_ms: i64) -> Option<(i64, i64)> {
        self.closed.iter().find(|(from, to)| *from < at_ms && at_ms <= *to).copied()
    }
}

impl Store {
    /// The periods that samples from `from_ms` to `to_ms` would be in.
    pub(crate) fn touched_periods(&self, from_ms: i64, to_ms: i64) -> Touched {
        let mut touched = Touched::default();
        let all: Vec<(usize, Arc<Period>)> = {
            let tiers = self.tiers.periods.read();
            let numbered = tiers.iter().enumerate();
            numbered.flat_map(|(tier, periods)| periods.values().map(move |p| (tier, p.clone()))).collect()
        };
        for (tier, period) in all.into_iter().filter(|(_, p)| p.start_ms < to_ms && from_ms <= p.end_ms()) {
            if self.has_samples_of(&period) {
                touched.open.push((tier, period));
            } else {
                touched.closed.push((period.start_ms, period.end_ms()));
            }
        }
        touched
    }

    /// Whether the samples that a period was made of are there, and stay long enough for it to be made anew.
    fn has_samples_of(&self, period: &Period) -> bool {
        let kept_from = self.now_ms().saturating_sub(self.options.retention_ms).saturating_add(DAY_MS);
        period.start_ms >= kept_from && self.files_cover(period).unwrap_or(false)
    }

    /// Whether the first sample of each of a period's intervals lies in the time of a sealed file; none when that cannot be
    /// read. Files go whole, with all whose times meet theirs, the oldest first: what there is of a time is all that there
    /// was, and so is what there is behind it.
    fn files_cover(&self, period: &Period) -> Option<bool> {
        let (layout, start_ms) = (period.count().layout()?, period.start_ms);
        let file = File::open(&period.count().path).ok()?;
        let interval_ms = period.count().header.span_ms / super::INTERVALS;
        let files = self.blocks_in(start_ms, period.end_ms());
        // Intervals of which files have the end and not the beginning, and where in them those begin.
        let mut at_edges = BTreeMap::new();
        for column in 0..layout.columns.len() as u32 {
            let place = Place { offset: 0, length: 0, column };
            for end in read_times(&file, start_ms, &layout.columns, place).ok()? {
                let begin = end - interval_ms + 1;
                let within = files.iter().filter(|b| b.header.start_ms <= end && b.end_ms() >= begin);
                let Some(first) = within.map(|b| b.header.start_ms).min() else { return Some(false) };
                if first > begin {
                    at_edges.insert(end, first);
                }
            }
        }
        let mut buffers = Buffers::default();
        let mut intervals = Vec::new();
        for id in if at_edges.is_empty() { Vec::new() } else { period.count().series().collect() } {
            intervals.clear();
            period.intervals(self, id, &[Column::Count, Column::Times], &mut buffers, &mut intervals)?;
            let lacks = |one: &Interval| at_edges.get(&one.end_ms).is_some_and(|first| one.first_ms < *first);
            if intervals.iter().any(lacks) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Gives up those periods into which something is to go: they are made anew when the writer next looks. `goes` says
    /// whether anything is from a moment to another, both included.
    ///
    /// # Errors
    /// [`SeriesError::Io`](crate::SeriesError::Io) when the disk refuses.
    pub(crate) fn give_up_periods(&self, touched: &Touched, goes: impl Fn(i64, i64) -> bool) -> crate::Result<()> {
        for (tier, period) in &touched.open {
            if !goes(period.start_ms.saturating_add(1), period.end_ms()) {
                continue;
            }
            // The counts first: with them, a start after a kill would take the period for one that has everything. All at once,
            // whoever reads them: later, one of the same names may have been made. Who cannot read them reads samples.
            for (n, path) in period.paths().into_iter().enumerate() {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(at("remove", &path)(error)),
                    _ if n == 0 => sync_dir(path.parent().unwrap_or(&path))?,
                    _ => {}
                }
            }
            if let Some(periods) = self.tiers.periods.write().get_mut(*tier) {
                periods.remove(&period.start_ms);
            }
            let mut index = self.index.write();
            period.count().series().for_each(|id| index.release(id, index::Place::Block));
        }
        Ok(())
    }

    /// Periods of this time that could not be made may be possible now.
    pub(crate) fn try_periods_again(&self, from_ms: i64, to_ms: i64) {
        let tiers = &self.options.tiers;
        let end = |tier: usize, start: i64| tiers.get(tier).map_or(start, |t| start.saturating_add(t.span_ms()));
        self.tiers.left.lock().retain(|(tier, start)| *start >= to_ms || end(*tier, *start) < from_ms);
    }
}
