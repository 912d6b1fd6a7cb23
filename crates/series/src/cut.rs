//! Deletes: which samples of which series are gone, though sealed files still hold them.
//!
//! A cut holds for what was stored before it: for the head at once, for sealed files up to a generation. It is in the log, and
//! applied to every read of such a file until the file is made anew without what was cut.

use std::sync::Arc;

use crate::block::Block;
use crate::index::{Index, Place, SeriesId};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::native::Samples;
use crate::store::Store;
use crate::tiers::interval::Interval;
use crate::tiers::{INTERVALS, Period};

/// What was deleted.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) tenant: u64,
    /// All of them mean the series.
    pub(crate) matchers: Vec<Matcher>,
    /// First and last Unix millisecond that is gone.
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    /// Sealed files of this generation and older are meant.
    pub(crate) upto: u32,
}

impl Cut {
    pub(crate) fn means(&self, tenant: u64, labels: &Labels) -> bool {
        self.tenant == tenant && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    fn is(&self, other: &Self) -> bool {
        let plain = |cut: &Self| (cut.tenant, cut.from_ms, cut.to_ms, cut.upto, cut.matchers.len());
        let same = |(a, b): (&Matcher, &Matcher)| (a.name(), a.op(), a.value()) == (b.name(), b.op(), b.value());
        plain(self) == plain(other) && self.matchers.iter().zip(&other.matchers).all(same)
    }

    /// Whether it can mean anything in this file.
    fn touches(&self, block: &Block) -> bool {
        block.header.generation <= self.upto && block.header.start_ms <= self.to_ms && block.end_ms() >= self.from_ms
    }

    /// Whether it can mean anything in this period of a tier.
    fn touches_period(&self, period: &Period) -> bool {
        let count = period.count();
        let end_ms = period.start_ms.saturating_add(count.header.span_ms);
        u64::from(self.upto) >= period.made_of() && period.start_ms < self.to_ms && end_ms >= self.from_ms
    }

    /// Whether it means all of this file's time.
    fn covers(&self, block: &Block) -> bool {
        self.touches(block) && self.from_ms <= block.header.start_ms && self.to_ms >= block.end_ms()
    }
}

/// Those cuts that mean one series.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutsOf(Vec<Arc<Cut>>);

impl CutsOf {
    /// Takes out of a file's samples what was deleted.
    pub(crate) fn apply(&self, block: &Block, samples: &mut Samples) {
        for cut in self.0.iter().filter(|cut| cut.touches(block)) {
            samples.retain(|at| !(cut.from_ms..=cut.to_ms).contains(&at));
        }
    }

    /// Whether nothing of the file's samples of the series is left for sure.
    pub(crate) fn all_gone(&self, block: &Block) -> bool {
        self.0.iter().any(|cut| cut.covers(block))
    }
}

impl Store {
    /// The cuts that mean a series. Nearly always there are none at all.
    pub(crate) fn cuts_of(&self, tenant: u64, labels: &Labels) -> CutsOf {
        let cuts = self.cuts.read();
        CutsOf(cuts.iter().filter(|cut| cut.means(tenant, labels)).cloned().collect())
    }

    /// Whether any cut means a series.
    pub(crate) fn is_cut_of(&self, tenant: u64, labels: &Labels) -> bool {
        self.cuts.read().iter().any(|cut| cut.means(tenant, labels))
    }

    /// As [`cuts_of`](Self::cuts_of), by number.
    pub(crate) fn cuts_of_id(&self, index: &Index, id: SeriesId) -> CutsOf {
        if self.cuts.read().is_empty() {
            return CutsOf::default();
        }
        index.labels_of(id).map_or_else(CutsOf::default, |(tenant, labels)| self.cuts_of(tenant, &labels))
    }

    /// Takes it out of the head and remembers it for the files. Called by who alone changes anything.
    pub(crate) fn cut(&self, cut: Cut) {
        let ids = self.index.read().ids(cut.tenant, &cut.matchers);
        let gone: Vec<(SeriesId, usize)> =
            ids.into_iter().map(|id| (id, self.head.cut(id, cut.from_ms, cut.to_ms))).filter(|(_, n)| *n > 0).collect();
        if !gone.is_empty() {
            let mut index = self.index.write();
            gone.into_iter().for_each(|(id, count)| (0..count).for_each(|_| index.release(id, Place::Head)));
        }
        self.exemplars.cut(cut.tenant, &cut.matchers, cut.from_ms, cut.to_ms);
        let mut cuts = self.cuts.write();
        // A start may read one twice: from the log, and from the copy of the head that was to replace it.
        if !cuts.iter().any(|known| known.is(&cut)) {
            cuts.push(Arc::new(cut));
        }
    }

    /// Takes out those intervals of a period, from a place on, in which anything was deleted.
    pub(crate) fn take_out_cut(
        &self,
        tenant: u64,
        labels: &Labels,
        period: &Period,
        intervals: &mut Vec<Interval>,
        from: usize,
    ) {
        let interval_ms = period.count().header.span_ms / INTERVALS;
        let cuts = self.cuts.read();
        for cut in cuts.iter().filter(|cut| cut.touches_period(period) && cut.means(tenant, labels)) {
            let mut place = 0;
            intervals.retain(|one| {
                place += 1;
                let touched = one.end_ms >= cut.from_ms && one.end_ms - interval_ms < cut.to_ms;
                place <= from || !touched
            });
        }
    }

    /// Whether any cut that still waits means a series in a file.
    pub(crate) fn is_cut_in(&self, id: SeriesId, blocks: &[Arc<Block>]) -> bool {
        if self.cuts.read().is_empty() {
            return false;
        }
        let cuts = self.cuts_of_id(&self.index.read(), id);
        blocks.iter().any(|block| cuts.0.iter().any(|cut| cut.touches(block)))
    }

    /// Whether a file still holds something that was deleted.
    pub(crate) fn is_cut(&self, block: &Block) -> bool {
        let cuts = self.cuts.read();
        let touching: Vec<_> = cuts.iter().filter(|cut| cut.touches(block)).collect();
        if touching.is_empty() {
            return false;
        }
        let index = self.index.read();
        touching.iter().any(|cut| holds_any(&index, block, cut))
    }

    /// The cuts that some file still needs.
    pub(crate) fn needed_cuts(&self) -> Vec<Arc<Cut>> {
        let cuts = self.cuts.read().clone();
        if cuts.is_empty() {
            return cuts;
        }
        let blocks: Vec<_> = self.blocks.read().values().cloned().collect();
        let index = self.index.read();
        let periods: Vec<_> = self.tiers.periods.read().iter().flat_map(|tier| tier.values().cloned()).collect();
        let needed = |cut: &Cut| {
            blocks.iter().any(|block| cut.touches(block) && holds_any(&index, block, cut))
                || periods.iter().any(|period| cut.touches_period(period) && holds_any(&index, period.count(), cut))
        };
        cuts.into_iter().filter(|cut| needed(cut)).collect()
    }
}

fn holds_any(index: &Index, block: &Block, cut: &Cut) -> bool {
    index.ids(cut.tenant, &cut.matchers).into_iter().any(|id| block.place(id).is_some())
}
