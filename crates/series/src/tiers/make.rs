//! Making periods of a tier, and removing those that are too old. A period is made of samples, or of the finer tier's intervals where
//! that has all of it; the file of the counts comes last, so that a kill before it leaves nothing that counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::interval::{Column, Interval, coarsen, thin};
use super::{Period, Tier, folder_of, header};
use crate::block::{self, NotWritten};
use crate::error::io as at;
use crate::index::{Place, SeriesId};
use crate::metrics::Span;
use crate::seal::in_order;
use crate::store::Store;
use crate::visit::{Buffers, Open, Wanted};

/// After so long no straggler comes for a period, whatever the tier says: those of the engine, and a window's.
const SETTLED_MS: i64 = 4 * 3_600_000;

/// What a period is made of.
enum Source {
    Samples(Vec<Open>),
    /// Periods of the finer tier, which it is made of entirely.
    Finer(Vec<Arc<Period>>),
}

impl Store {
    /// The oldest period that is due and has some of a time, by its tier and start.
    pub(crate) fn tier_to_make(&self, now_ms: i64, (from_ms, to_ms): Span) -> Option<(usize, i64)> {
        let periods = self.tiers.periods.read();
        let left = self.tiers.left.lock();
        let blocks = self.blocks_in(from_ms, to_ms);
        let times: Vec<(i64, i64)> = blocks.iter().map(|b| (b.header.start_ms, b.end_ms())).collect();
        let unsealed = self.head.starts();
        let settled = self.options.accept_late_ms.saturating_add(SETTLED_MS);
        for (number, tier) in self.options.tiers.iter().enumerate().filter(|(_, tier)| tier.is_sane()) {
            let span = tier.span_ms();
            let mut starts: BTreeSet<i64> = BTreeSet::new();
            for (start, end) in &times {
                let periods = (end.saturating_sub(*start) / span).min(1000) + 2;
                starts
                    .extend((0..periods).map(|n| tier.period_of(*start).saturating_add(n * span)).filter(|s| s < end));
            }
            if let Some(finer) = number.checked_sub(1).and_then(|finer| periods.get(finer)) {
                starts.extend(finer.keys().map(|start| tier.period_of(start.saturating_add(1))));
            }
            let due = |start: &i64| {
                let end = start.saturating_add(span);
                let old = end.saturating_add(tier.after_ms.max(settled)) <= now_ms;
                let kept = end.saturating_add(tier.retention_ms) > now_ms;
                let sealed = unsealed.iter().all(|window| *window > end);
                let new = periods.get(number).is_some_and(|p| !p.contains_key(start));
                let meant = *start < to_ms && from_ms <= end;
                meant && old && kept && sealed && new && !left.contains(&(number, *start))
            };
            if let Some(start) = starts.into_iter().find(due) {
                return Some((number, start));
            }
        }
        None
    }

    /// Makes a period and takes it in. A period that cannot be made is left until the next start.
    ///
    /// # Errors
    /// [`SeriesError::Io`](crate::SeriesError::Io) when the disk refuses.
    pub(crate) fn make_period(&self, number: usize, start_ms: i64) -> crate::Result<()> {
        let tier = self.options.tiers[number];
        let made = self.write_period(number, &tier, start_ms);
        match made {
            Ok(Some(period)) => {
                let mut index = self.index.write();
                period.count.series().for_each(|id| index.hold(id, Place::Block));
                drop(index);
                if let Some(periods) = self.tiers.periods.write().get_mut(number) {
                    periods.insert(start_ms, Arc::new(period));
                }
                Ok(())
            }
            Ok(None) | Err(NotWritten::Source) => {
                self.tiers.left.lock().insert((number, start_ms));
                Ok(())
            }
            Err(NotWritten::Disk(error)) => {
                self.tiers.left.lock().insert((number, start_ms));
                Err(error)
            }
        }
    }

    fn write_period(&self, number: usize, tier: &Tier, start_ms: i64) -> Result<Option<Period>, NotWritten> {
        let end_ms = start_ms.saturating_add(tier.span_ms());
        let (ids, finer) = self.material(number, tier, start_ms);
        if ids.is_empty() {
            return Ok(None);
        }
        let folder = folder_of(&self.dir, tier);
        let wanted = Wanted { from_ms: start_ms.saturating_add(1), to_ms: end_ms, newest: false };
        let made_of = self.newest_generation();
        let blocks = if finer.is_some() { Vec::new() } else { self.blocks_in(wanted.from_ms, wanted.to_ms) };
        let mut count = None;
        for column in Column::ALL.into_iter().rev() {
            let dir = &folder.join(column.name());
            std::fs::create_dir_all(dir).map_err(at("create", dir))?;
            let mut source = match &finer {
                Some(periods) => Source::Finer(periods.clone()),
                None => Source::Samples(self.open_for(&ids, wanted).ok_or(NotWritten::Source)?),
            };
            let (mut buffers, mut intervals, mut n) = (Buffers::default(), Vec::new(), 0);
            // Those of which something is damaged or no float, or deleted, are left out: their samples stay as they are.
            let block = block::write(dir, header(start_ms, tier, made_of), &self.index, &ids, |id| {
                intervals.clear();
                let found = self.intervals_of(&mut source, n, id, tier, wanted, (&mut buffers, &mut intervals));
                n += 1;
                if found.is_none() || self.is_cut_in(id, &blocks) {
                    intervals.clear();
                }
                Some(intervals.iter().map(|one| (one.end_ms, column.of(one, tier.interval_ms))).collect::<Vec<_>>())
            })?;
            count = Some(block);
        }
        Ok(count.map(|count| Period::new(start_ms, folder, count)))
    }

    /// The series that a period is of, in order, and the finer periods when they are all of it.
    fn material(&self, number: usize, tier: &Tier, start_ms: i64) -> (Vec<SeriesId>, Option<Vec<Arc<Period>>>) {
        let end_ms = start_ms.saturating_add(tier.span_ms());
        let finer = number.checked_sub(1).and_then(|finer| {
            let fine = self.options.tiers[finer].span_ms();
            let divides = tier.interval_ms % self.options.tiers[finer].interval_ms == 0 && tier.span_ms() % fine == 0;
            let periods = self.tiers.periods.read();
            let held: Vec<_> = periods.get(finer)?.range(start_ms..end_ms).map(|(_, p)| p.clone()).collect();
            // Days without a sample have no period.
            let has_samples = |from: i64| !self.blocks_in(from.saturating_add(1), from.saturating_add(fine)).is_empty();
            let starts = (0..tier.span_ms() / fine).map(|n| start_ms.saturating_add(n * fine));
            let complete =
                starts.into_iter().all(|s| periods.get(finer).is_some_and(|p| p.contains_key(&s)) || !has_samples(s));
            (divides && complete && !held.is_empty()).then_some(held)
        });
        let ids: BTreeSet<SeriesId> = match &finer {
            Some(periods) => periods.iter().flat_map(|p| p.count.series()).collect(),
            None => {
                let blocks = self.blocks_in(start_ms.saturating_add(1), end_ms);
                blocks.iter().flat_map(|b| b.series()).collect()
            }
        };
        (in_order(&self.index.read(), &ids), finer)
    }

    fn intervals_of(
        &self,
        source: &mut Source,
        n: usize,
        id: SeriesId,
        tier: &Tier,
        wanted: Wanted,
        (buffers, out): (&mut Buffers, &mut Vec<Interval>),
    ) -> Option<()> {
        match source {
            Source::Samples(files) => {
                self.of_files(n, files, wanted, buffers)?;
                thin(&buffers.rows, tier.interval_ms, out);
            }
            Source::Finer(periods) => {
                let mut fine = Vec::new();
                let named = self.index.read().labels_of(id);
                for period in periods {
                    let before = fine.len();
                    period.intervals(self, id, &Column::ALL, buffers, &mut fine)?;
                    if let Some((tenant, labels)) = &named {
                        self.take_out_cut(*tenant, labels, period, &mut fine, before);
                    }
                }
                coarsen(&fine, tier.interval_ms, out);
            }
        }
        Some(())
    }

    /// Removes the periods that are too old for their tier.
    ///
    /// # Errors
    /// [`SeriesError::Io`](crate::SeriesError::Io) when the disk refuses.
    pub(crate) fn expire_tiers(&self, now_ms: i64) -> crate::Result<()> {
        let mut gone = Vec::new();
        {
            let mut periods = self.tiers.periods.write();
            for (tier, periods) in self.options.tiers.iter().zip(periods.iter_mut()) {
                let newest = periods.keys().next_back().copied().unwrap_or(i64::MIN);
                // By the newest period as well as by the clock: one that was set ahead empties nothing.
                let oldest = now_ms.min(newest.saturating_add(tier.span_ms())).saturating_sub(tier.retention_ms);
                let kept = periods.split_off(&oldest.saturating_sub(tier.span_ms()));
                gone.extend(std::mem::replace(periods, kept).into_values());
            }
        }
        for period in &gone {
            let mut index = self.index.write();
            period.count.series().for_each(|id| index.release(id, Place::Block));
        }
        self.remove(gone.iter().flat_map(|period| period.paths()))
    }
}
