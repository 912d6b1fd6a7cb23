//! What there is, rather than what was measured: series and their labels, types and units, exemplars.

use parking_lot::RwLockReadGuard;
use std::cell::Cell;
use std::io;

use super::Engine;
use crate::formats::Metadata;
use crate::head::{WINDOW_MS, window_start};
use crate::index::{Index, SeriesId, Wanted, Written};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::metrics::{EVER, FEW_FILES, SeriesExemplars, SeriesList, Span};
use crate::store::Store;

/// Names, values or series that are sorted on the spot.
const FEW_TEXTS: usize = 1000;
/// Bytes of them as JSON that are written on the spot.
const FEW_BYTES: usize = 256 << 10;
/// Series that are looked at on the spot to find them.
const FEW_LOOKS: usize = 5000;

impl Engine {
    /// The series that every matcher means, in order; without a matcher all of the tenant.
    pub fn series(&self, tenant: u64, matchers: &[Matcher]) -> Vec<Labels> {
        self.series_in(tenant, matchers, EVER)
    }

    /// The label names of those series, sorted.
    pub fn label_names(&self, tenant: u64, matchers: &[Matcher]) -> Vec<String> {
        self.label_names_in(tenant, matchers, EVER)
    }

    /// The values that label `name` has among those series, sorted.
    pub fn label_values(&self, tenant: u64, name: &str, matchers: &[Matcher]) -> Vec<String> {
        self.label_values_in(tenant, name, matchers, EVER)
    }

    /// As [`series`](Self::series), only those that have samples in a time: in a window of two hours that it touches while they
    /// are in the head, in a sealed file that it touches afterwards.
    pub fn series_in(&self, tenant: u64, matchers: &[Matcher], time: Span) -> Vec<Labels> {
        let index = self.store.index.read();
        let ids = self.store.ids_in(&index, tenant, matchers, time);
        index.in_order(ids).into_iter().map(|(labels, _)| labels).collect()
    }

    /// The series that any of the sets means in a time, in order, as JSON behind a `beginning`: the first of them, or all when `most` is 0. They are
    /// written from the index as they are, since labels by themselves would only be taken apart again.
    pub(crate) fn series_json(
        &self,
        tenant: u64,
        sets: &[&[Matcher]],
        time: Span,
        most: usize,
        beginning: &[u8],
    ) -> SeriesList {
        let index = self.store.index.read();
        let mut ids: Vec<_> = sets.iter().flat_map(|set| self.store.ids_in(&index, tenant, set, time)).collect();
        if sets.len() > 1 {
            ids.sort_unstable();
            ids.dedup();
        }
        index.sort(&mut ids);
        let mut last = Written::default();
        let list = SeriesList::of(beginning, &ids, most, |out, id| index.write(out, *id, &mut last));
        list.expect("memory takes all that is written")
    }

    /// The same of one set, when they are few, short and soon known.
    pub(crate) fn few_series_json(
        &self,
        tenant: u64,
        set: &[Matcher],
        time: Span,
        most: usize,
        beginning: &[u8],
    ) -> Option<SeriesList> {
        let index = self.few_to_look_at(time).filter(|index| index.means_few(tenant, set, FEW_TEXTS))?;
        let mut ids = self.store.ids_in(&index, tenant, set, time);
        index.sort(&mut ids);
        let mut last = Written::default();
        let list = SeriesList::of(beginning, &ids, most, |out, id| match out.len() {
            ..FEW_BYTES => index.write(out, *id, &mut last),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        });
        list.ok()
    }

    /// The label names of those series, sorted.
    pub fn label_names_in(&self, tenant: u64, matchers: &[Matcher], time: Span) -> Vec<String> {
        let index = self.store.index.read();
        if matchers.is_empty() {
            return self.store.all_names(&index, tenant, time, &Looks::any());
        }
        index.names_of(&self.store.ids_in(&index, tenant, matchers, time))
    }

    /// The values that label `name` has among those series, sorted.
    pub fn label_values_in(&self, tenant: u64, name: &str, matchers: &[Matcher], time: Span) -> Vec<String> {
        let index = self.store.index.read();
        if matchers.is_empty() {
            return self.store.all_values(&index, tenant, name, time, &Looks::any());
        }
        index.values_of(&self.store.ids_in(&index, tenant, matchers, time), name)
    }

    /// The label names of all series of a time, when there are few and that is soon known.
    pub(crate) fn few_label_names(&self, tenant: u64, time: Span) -> Option<Vec<String>> {
        let index = self.few_to_look_at(time)?;
        let looks = (index.names_count(tenant) <= FEW_TEXTS).then(Looks::few)?;
        let names = self.store.all_names(&index, tenant, time, &looks);
        looks.sufficed().then_some(names)
    }

    /// The values of one of their labels, when there are few and that is soon known.
    pub(crate) fn few_label_values(&self, tenant: u64, name: &str, time: Span) -> Option<Vec<String>> {
        let index = self.few_to_look_at(time)?;
        let looks = (index.values_count(tenant, name) <= FEW_TEXTS).then(Looks::few)?;
        let values = self.store.all_values(&index, tenant, name, time, &looks);
        looks.sufficed().then_some(values)
    }

    /// The index, when nobody changes it just now and few files are of that time, none of which must be looked through first.
    fn few_to_look_at(&self, time: Span) -> Option<RwLockReadGuard<'_, Index>> {
        self.is_at_hand(time, FEW_FILES).then(|| self.store.index.try_read()).flatten()
    }

    /// Type, unit and help of the tenant's families in order of name, or of the one that is named.
    pub fn metadata(&self, tenant: u64, family: Option<&str>) -> Vec<Metadata> {
        self.store.families.of(tenant, family)
    }

    /// Exemplars of the series that any of the sets of matchers means, in a time, in order of labels and time.
    pub fn exemplars(&self, tenant: u64, sets: &[&[Matcher]], (from_ms, to_ms): Span) -> Vec<SeriesExemplars> {
        let found = self.store.exemplars.select(tenant, sets, from_ms, to_ms).into_iter();
        found.map(|(labels, exemplars)| SeriesExemplars { labels, exemplars }).collect()
    }
}

/// How many series may still be looked at.
struct Looks(Cell<usize>);

impl Looks {
    fn any() -> Self {
        Self(Cell::new(usize::MAX))
    }

    fn few() -> Self {
        Self(Cell::new(FEW_LOOKS))
    }

    /// What is wanted, for as long as they last. Then any answer is a good one: what ends the search soonest, to be thrown away.
    fn at<'a, F: Fn(SeriesId) -> bool + 'a>(&'a self, wanted: Wanted<F>) -> Wanted<impl Fn(SeriesId) -> bool + 'a> {
        let Wanted { range, is } = wanted;
        let is = move |id| {
            self.0.set(self.0.get().saturating_sub(1));
            !self.sufficed() || is(id)
        };
        Wanted { range, is }
    }

    /// Whether what was found is to be used.
    fn sufficed(&self) -> bool {
        self.0.get() > 0
    }
}

impl Store {
    /// Whether a time holds everything, so that nobody need look where which series is.
    fn is_ever(&self, (from_ms, to_ms): Span) -> bool {
        let blocks = self.blocks.read();
        let from = blocks.values().map(|b| b.header.start_ms).chain(self.head.oldest_window()).min();
        let to = blocks.values().map(|b| b.end_ms()).max().unwrap_or(i64::MIN).max(self.head.newest_ms());
        from.is_none_or(|oldest| from_ms <= oldest) && to_ms >= to && self.cuts.read().is_empty()
    }

    /// The label names of all series of a tenant that have something in a time, sorted.
    fn all_names(&self, index: &Index, tenant: u64, time: Span, looks: &Looks) -> Vec<String> {
        if self.is_ever(time) {
            return index.names(tenant);
        }
        index.names_where(tenant, looks.at(self.within(index, time)))
    }

    /// The values of one of their labels, sorted.
    fn all_values(&self, index: &Index, tenant: u64, name: &str, time: Span, looks: &Looks) -> Vec<String> {
        if self.is_ever(time) {
            return index.values(tenant, name);
        }
        index.values_where(tenant, name, looks.at(self.within(index, time)))
    }

    /// The series that have something in the windows and files that a time touches.
    fn ids_in(&self, index: &Index, tenant: u64, matchers: &[Matcher], time: Span) -> Vec<SeriesId> {
        let mut ids = index.ids(tenant, matchers);
        if self.is_ever(time) {
            ids.retain(|id| index.is_held(*id));
            return ids;
        }
        let within = self.within(index, time);
        ids.retain(|id| within.has(*id));
        ids
    }

    /// The series that have something in the windows and files that a time touches.
    fn within<'a>(&'a self, index: &'a Index, (from_ms, to_ms): Span) -> Wanted<impl Fn(SeriesId) -> bool + 'a> {
        // Where things are is asked of each file once, not for each series.
        let files: Vec<_> = self.blocks_in(from_ms, to_ms).into_iter().map(|block| (block.layout(), block)).collect();
        let first = window_start(from_ms.max(i64::MIN + WINDOW_MS));
        let is_cut = !self.cuts.read().is_empty();
        let is_recent = self.head.has_window_in(first, to_ms);
        // Those that came and went at other times need not be looked at, as long as it is known which are in the files.
        let ranges: Option<Vec<_>> =
            files.iter().map(|(layout, _)| layout.as_ref().map(|layout| layout.range())).collect();
        let range = match ranges.filter(|_| !is_recent) {
            Some(ranges) => ranges.into_iter().flatten().reduce(|(a, b), (c, d)| (a.min(c), b.max(d))),
            None => Some((SeriesId::MIN, SeriesId::MAX)),
        };
        let sealed = move |id: SeriesId| {
            let mut holding = files.iter().filter(|(layout, block)| match layout {
                Some(layout) => layout.place(id).is_some(),
                None => block.place(id).is_some(),
            });
            if !is_cut {
                return holding.next().is_some();
            }
            let cuts = self.cuts_of_id(index, id);
            holding.any(|(_, block)| !cuts.all_gone(block))
        };
        // Of a file it is known at once, of the head only under a lock.
        let is = move |id| sealed(id) || (is_recent && index.is_active(id) && self.head.has_in(id, first, to_ms));
        Wanted { range, is }
    }
}
