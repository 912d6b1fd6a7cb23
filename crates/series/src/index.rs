//! Which series there are: labels to number and back, and the inverted index that answers matchers.
//!
//! Numbers live as long as the process and are never given twice, so a number in a log buffer cannot come to mean
//! another series.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::labels::Labels;
use crate::matcher::{MatchOp, Matcher};

/// A series, in this process only.
pub(crate) type SeriesId = u32;

/// A series and where it still has points.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) tenant: u64,
    pub(crate) labels: Labels,
    /// Windows of the head that hold it.
    pub(crate) head: u32,
    /// Sealed files that hold it.
    pub(crate) blocks: u32,
}

#[derive(Debug, Default)]
struct Tenant {
    by_labels: HashMap<Labels, SeriesId>,
    /// Name, then value, then the series that have it.
    postings: BTreeMap<Arc<str>, BTreeMap<Arc<str>, BTreeSet<SeriesId>>>,
    active: usize,
}

/// All series of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: HashMap<SeriesId, Entry>,
    tenants: HashMap<u64, Tenant>,
    next: SeriesId,
}

/// Where points of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Head,
    Block,
}

impl Index {
    /// The number of these labels, if they are known.
    pub(crate) fn find(&self, tenant: u64, labels: &Labels) -> Option<SeriesId> {
        self.tenants.get(&tenant)?.by_labels.get(labels).copied()
    }

    /// The number that the next new series will get.
    pub(crate) fn next(&self) -> SeriesId {
        self.next
    }

    /// The number of these labels, new if need be. A new one has points nowhere yet: see [`hold`](Self::hold).
    pub(crate) fn intern(&mut self, tenant: u64, labels: &Labels) -> SeriesId {
        if let Some(id) = self.find(tenant, labels) {
            return id;
        }
        let id = self.next;
        self.next += 1;
        let owner = self.tenants.entry(tenant).or_default();
        owner.by_labels.insert(labels.clone(), id);
        for (name, value) in labels.iter() {
            let values = match owner.postings.get_mut(name) {
                Some(values) => values,
                None => owner.postings.entry(name.into()).or_default(),
            };
            match values.get_mut(value) {
                Some(ids) => ids.insert(id),
                None => values.entry(value.into()).or_default().insert(id),
            };
        }
        self.entries.insert(id, Entry { tenant, labels: labels.clone(), head: 0, blocks: 0 });
        id
    }

    /// One more place holds points of this series.
    pub(crate) fn hold(&mut self, id: SeriesId, place: Place) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match place {
            Place::Block => entry.blocks += 1,
            Place::Head => {
                entry.head += 1;
                if entry.head == 1
                    && let Some(tenant) = self.tenants.get_mut(&entry.tenant)
                {
                    tenant.active += 1;
                }
            }
        }
    }

    /// One place less; a series that nothing holds is forgotten.
    pub(crate) fn release(&mut self, id: SeriesId, place: Place) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match place {
            Place::Block => entry.blocks = entry.blocks.saturating_sub(1),
            Place::Head => {
                entry.head = entry.head.saturating_sub(1);
                if entry.head == 0
                    && let Some(tenant) = self.tenants.get_mut(&entry.tenant)
                {
                    tenant.active -= 1;
                }
            }
        }
        if entry.head == 0 && entry.blocks == 0 {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: SeriesId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let Some(tenant) = self.tenants.get_mut(&entry.tenant) else { return };
        tenant.by_labels.remove(&entry.labels);
        for (name, value) in entry.labels.iter() {
            let Some(values) = tenant.postings.get_mut(name) else { continue };
            if let Some(ids) = values.get_mut(value) {
                ids.remove(&id);
                if ids.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                tenant.postings.remove(name);
            }
        }
        if tenant.by_labels.is_empty() {
            self.tenants.remove(&entry.tenant);
        }
    }

    pub(crate) fn entry(&self, id: SeriesId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Series of one tenant that have points in the head.
    pub(crate) fn active(&self, tenant: u64) -> usize {
        self.tenants.get(&tenant).map_or(0, |t| t.active)
    }

    /// Series of all tenants that have points in the head.
    pub(crate) fn all_active(&self) -> usize {
        self.tenants.values().map(|t| t.active).sum()
    }

    /// The series of one tenant that all matchers mean, in order of their labels. No matcher means all.
    pub(crate) fn select(&self, tenant: u64, matchers: &[Matcher]) -> Vec<(Labels, SeriesId)> {
        let Some(owner) = self.tenants.get(&tenant) else { return Vec::new() };
        let exact = |m: &&Matcher| m.op() == MatchOp::Eq && !m.value().is_empty();
        let none = BTreeSet::new();
        // The rarest exact value bounds the work; the other matchers are asked series by series.
        let rarest = matchers
            .iter()
            .filter(exact)
            .map(|m| owner.postings.get(m.name()).and_then(|values| values.get(m.value())).unwrap_or(&none))
            .min_by_key(|ids| ids.len());
        let wanted = |labels: &Labels| matchers.iter().all(|m| m.matches(labels));
        let mut found: Vec<(Labels, SeriesId)> = match rarest {
            Some(ids) => {
                let known = ids.iter().filter_map(|id| Some((&self.entries.get(id)?.labels, *id)));
                known.filter(|(labels, _)| wanted(labels)).map(|(labels, id)| (labels.clone(), id)).collect()
            }
            None => owner.by_labels.iter().filter(|(l, _)| wanted(l)).map(|(l, id)| (l.clone(), *id)).collect(),
        };
        found.sort_unstable();
        found
    }

    /// The label names of the series that all matchers mean, sorted.
    pub(crate) fn names(&self, tenant: u64, matchers: &[Matcher]) -> Vec<String> {
        if matchers.is_empty() {
            let owner = self.tenants.get(&tenant);
            return owner.map_or_else(Vec::new, |o| o.postings.keys().map(ToString::to_string).collect());
        }
        let found = self.select(tenant, matchers);
        let names: BTreeSet<&str> = found.iter().flat_map(|(labels, _)| labels.iter().map(|(name, _)| name)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The values that one label has among the series that all matchers mean, sorted.
    pub(crate) fn values(&self, tenant: u64, name: &str, matchers: &[Matcher]) -> Vec<String> {
        if matchers.is_empty() {
            let values = self.tenants.get(&tenant).and_then(|o| o.postings.get(name));
            return values.map_or_else(Vec::new, |v| v.keys().map(ToString::to_string).collect());
        }
        let found = self.select(tenant, matchers);
        let values: BTreeSet<&str> = found.iter().filter_map(|(labels, _)| labels.get(name)).collect();
        values.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str, job: &str) -> Labels {
        Labels::metric(name, &[("job", job)]).unwrap()
    }

    #[test]
    fn matchers_find_what_they_mean_and_only_of_their_tenant() {
        let mut index = Index::default();
        for (tenant, name, job) in [(1, "up", "web"), (1, "up", "db"), (1, "load", "web"), (2, "up", "web")] {
            let id = index.intern(tenant, &labels(name, job));
            index.hold(id, Place::Head);
        }
        let found = |tenant, m: &[Matcher]| index.select(tenant, m).into_iter().map(|(l, _)| l).collect::<Vec<_>>();
        assert_eq!(found(1, &[Matcher::eq("__name__", "up")]), [labels("up", "db"), labels("up", "web")]);
        assert_eq!(found(1, &[Matcher::eq("job", "web"), Matcher::eq("__name__", "up")]), [labels("up", "web")]);
        assert_eq!(found(2, &[]), [labels("up", "web")]);
        assert_eq!(found(3, &[]), []);
        assert_eq!(found(1, &[Matcher::eq("job", "none")]), []);
        assert_eq!(found(1, &[Matcher::eq("gone", "")]).len(), 3);
        assert_eq!(index.names(1, &[]), ["__name__", "job"]);
        assert_eq!(index.values(1, "job", &[Matcher::eq("__name__", "load")]), ["web"]);
        assert_eq!((index.active(1), index.active(2), index.all_active()), (3, 1, 4));
    }

    #[test]
    fn a_series_that_nothing_holds_is_forgotten_and_its_number_is_never_used_again() {
        let mut index = Index::default();
        let id = index.intern(1, &labels("up", "web"));
        index.hold(id, Place::Head);
        index.hold(id, Place::Block);
        index.release(id, Place::Head);
        assert_eq!((index.active(1), index.len()), (0, 1));
        index.release(id, Place::Block);
        assert_eq!(index.len(), 0);
        assert!(index.names(1, &[]).is_empty() && index.tenants.is_empty());
        assert_ne!(index.intern(1, &labels("up", "web")), id);
    }
}
