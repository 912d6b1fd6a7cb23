//! Giving up periods into which samples of long ago are to go, so that they are made anew with them.
//!
//! Only a period whose samples are all still there may be given up; until it is made anew those samples answer in its place.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use super::Period;
use super::interval::Column;
use crate::block::{Place, read_times};
use crate::error::io as at;
use crate::index;
use crate::log::sync_dir;
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

    /// Whether each of a period's intervals lies in the time of a sealed file; none when that cannot be read. Files go
    /// whole, the oldest first, so what there is of a time is all that there was.
    fn files_cover(&self, period: &Period) -> Option<bool> {
        let (layout, start_ms) = (period.count().layout()?, period.start_ms);
        let file = File::open(&period.count().path).ok()?;
        let interval_ms = period.count().header.span_ms / super::INTERVALS;
        let files = self.blocks_in(start_ms, period.end_ms());
        let mut at_edges = BTreeSet::new();
        for column in 0..layout.columns.len() as u32 {
            let place = Place { offset: 0, length: 0, column };
            for end in read_times(&file, start_ms, &layout.columns, place).ok()? {
                if files.iter().any(|b| b.header.start_ms < end && b.end_ms() > end - interval_ms) {
                    continue;
                }
                // Its last moment may be the first of a file.
                if !files.iter().any(|b| b.header.start_ms == end) {
                    return Some(false);
                }
                at_edges.insert(end);
            }
        }
        let mut buffers = Buffers::default();
        let mut intervals = Vec::new();
        for id in if at_edges.is_empty() { Vec::new() } else { period.count().series().collect() } {
            intervals.clear();
            period.intervals(self, id, &[Column::Count, Column::Times], &mut buffers, &mut intervals)?;
            if intervals.iter().any(|one| at_edges.contains(&one.end_ms) && one.first_ms < one.end_ms) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Gives up those periods that one of these times is in: they are made anew when the writer next looks.
    ///
    /// # Errors
    /// [`SeriesError::Io`](crate::SeriesError::Io) when the disk refuses.
    pub(crate) fn give_up_periods(&self, touched: &Touched, times: &[i64]) -> crate::Result<()> {
        for (tier, period) in &touched.open {
            if !times.iter().any(|at| period.start_ms < *at && *at <= period.end_ms()) {
                continue;
            }
            if let Some(periods) = self.tiers.periods.write().get_mut(*tier) {
                periods.remove(&period.start_ms);
            }
            {
                let mut index = self.index.write();
                period.count().series().for_each(|id| index.release(id, index::Place::Block));
            }
            // At once, whoever reads it: with it, a start after a kill would take the period for one that has everything.
            let path = period.path(Column::Count);
            std::fs::remove_file(&path).map_err(at("remove", &path))?;
            sync_dir(path.parent().unwrap_or(&path))?;
            self.remove(period.paths().into_iter().skip(1))?;
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
