//! Which label names and values there are: of all series, of some, and of those that are wanted for a reason of the caller's. It must never build the labels of a series to find out.

use super::{Index, ListId, SeriesId};
use crate::symbols::{BySymbol, Symbol};

/// Which series are wanted.
pub(crate) struct Wanted<F> {
    /// Only from the first number to the last; none when no series is.
    pub(crate) range: Option<(SeriesId, SeriesId)>,
    pub(crate) is: F,
}

impl<F: Fn(SeriesId) -> bool> Wanted<F> {
    pub(crate) fn has(&self, id: SeriesId) -> bool {
        self.range.is_some_and(|(first, last)| (first..=last).contains(&id)) && (self.is)(id)
    }
}

impl Index {
    /// The label names of all series of a tenant, sorted.
    pub(crate) fn names(&self, tenant: u64) -> Vec<String> {
        let Some(owner) = self.owner(tenant) else { return Vec::new() };
        let mut names: Vec<Symbol> = owner.postings.keys().copied().collect();
        self.texts(&mut names)
    }

    /// The values that one label has among them, sorted.
    pub(crate) fn values(&self, tenant: u64, name: &str) -> Vec<String> {
        let (Some(owner), Some(name)) = (self.owner(tenant), self.symbols.find(name)) else { return Vec::new() };
        let values = owner.postings.get(&name).map(|values| values.keys().copied().collect());
        self.texts(&mut values.unwrap_or_default())
    }

    /// How many label names a tenant's series have.
    pub(crate) fn names_count(&self, tenant: u64) -> usize {
        self.owner(tenant).map_or(0, |owner| owner.postings.len())
    }

    /// How many values a label of theirs has.
    pub(crate) fn values_count(&self, tenant: u64, name: &str) -> usize {
        let values =
            self.owner(tenant).zip(self.symbols.find(name)).and_then(|(owner, name)| owner.postings.get(&name));
        values.map_or(0, |values| values.len())
    }

    /// The label names of these series, sorted.
    pub(crate) fn names_of(&self, ids: &[SeriesId]) -> Vec<String> {
        let pairs = ids.iter().flat_map(|id| self.pairs_of(&self.entries[*id as usize]));
        let mut names: Vec<Symbol> = pairs.map(|(name, _)| *name).collect();
        self.texts(&mut names)
    }

    /// The values that one label has among these series, sorted.
    pub(crate) fn values_of(&self, ids: &[SeriesId], name: &str) -> Vec<String> {
        let Some(name) = self.symbols.find(name) else { return Vec::new() };
        let pairs = ids.iter().flat_map(|id| self.pairs_of(&self.entries[*id as usize]));
        let mut values: Vec<Symbol> = pairs.filter(|(n, _)| *n == name).map(|(_, value)| *value).collect();
        self.texts(&mut values)
    }

    /// The label names of those series of a tenant that are wanted, sorted. One of a name is enough: mostly few are looked at, and
    /// none is asked about twice.
    pub(crate) fn names_where(&self, tenant: u64, wanted: Wanted<impl Fn(SeriesId) -> bool>) -> Vec<String> {
        let Some(owner) = self.owner(tenant) else { return Vec::new() };
        let Wanted { range, is } = wanted;
        // It has as many names as labels, and would be asked about for each.
        let mut refused = vec![false; self.entries.len()];
        let mut is = |id: SeriesId| {
            let refused = &mut refused[id as usize];
            *refused = *refused || !is(id);
            !*refused
        };
        let mut has_any = |lists: &BySymbol<ListId>| lists.values().any(|list| self.any_of(*list, range, &mut is));
        let found = owner.postings.iter().filter(|(_, lists)| has_any(lists));
        self.texts(&mut found.map(|(name, _)| *name).collect())
    }

    /// The values that one label has among those series of a tenant that are wanted, sorted.
    pub(crate) fn values_where(
        &self,
        tenant: u64,
        name: &str,
        wanted: Wanted<impl Fn(SeriesId) -> bool>,
    ) -> Vec<String> {
        let lists = self.owner(tenant).zip(self.symbols.find(name)).and_then(|(owner, name)| owner.postings.get(&name));
        let found = lists.into_iter().flatten().filter(|(_, list)| self.any_of(**list, wanted.range, &wanted.is));
        self.texts(&mut found.map(|(value, _)| *value).collect())
    }

    fn any_of(&self, list: ListId, range: Option<(SeriesId, SeriesId)>, mut is: impl FnMut(SeriesId) -> bool) -> bool {
        let Some((first, last)) = range else { return false };
        let list = &self.lists[list as usize];
        let from = list.partition_point(|id| *id < first);
        list[from..].iter().take_while(|id| **id <= last).any(|id| is(*id))
    }

    fn texts(&self, symbols: &mut Vec<Symbol>) -> Vec<String> {
        symbols.sort_unstable();
        symbols.dedup();
        let mut texts: Vec<String> = symbols.iter().map(|s| self.symbols.text(*s).to_string()).collect();
        texts.sort_unstable();
        texts
    }
}
