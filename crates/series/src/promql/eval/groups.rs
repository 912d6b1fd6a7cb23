//! Finding series of equal labels, where only some labels count. No labels are copied to compare them.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3;

use crate::labels::NAME;
use crate::promql::ast::{Grouping, Matching};
use crate::promql::metric::Metric;

/// Which labels count.
#[derive(Clone, Copy)]
pub(super) struct Counting<'a> {
    labels: &'a [String],
    /// True: only these labels; false: all others but the name.
    only: bool,
}

impl<'a> Counting<'a> {
    pub(super) fn grouping(grouping: &'a Grouping) -> Self {
        Self { labels: &grouping.labels, only: !grouping.without }
    }

    pub(super) fn matching(matching: &'a Matching) -> Self {
        Self { labels: &matching.labels, only: matching.on }
    }

    pub(super) fn counts(self, name: &str) -> bool {
        let listed = self.labels.iter().any(|label| label == name);
        if self.only { listed } else { !listed && name != NAME }
    }

    /// The labels that count, as labels of their own.
    pub(super) fn of(self, metric: &Metric) -> Metric {
        metric.filtered(|name| self.counts(name))
    }

    fn same(self, a: &Metric, b: &Metric) -> bool {
        a.iter().filter(|(name, _)| self.counts(name)).eq(b.iter().filter(|(name, _)| self.counts(name)))
    }
}

/// Numbers the groups that series belong to.
pub(super) struct Groups<'a> {
    counting: Counting<'a>,
    by_hash: HashMap<u64, Vec<usize>>,
    /// Some series of each group.
    examples: Vec<Metric>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(counting: Counting<'a>) -> Self {
        Self { counting, by_hash: HashMap::new(), examples: Vec::new() }
    }

    fn hash(&self, metric: &Metric) -> u64 {
        let mut hasher = Xxh3::new();
        metric.feed(|name| self.counting.counts(name), &mut hasher);
        hasher.digest()
    }

    /// The group of a series, if it has one already.
    pub(super) fn find(&self, metric: &Metric) -> Option<usize> {
        let candidates = self.by_hash.get(&self.hash(metric))?;
        candidates.iter().copied().find(|group| self.counting.same(&self.examples[*group], metric))
    }

    /// The group of a series, a new one if need be.
    pub(super) fn place(&mut self, metric: &Metric) -> usize {
        let hash = self.hash(metric);
        let candidates = self.by_hash.entry(hash).or_default();
        let found = candidates.iter().copied().find(|group| self.counting.same(&self.examples[*group], metric));
        found.unwrap_or_else(|| {
            candidates.push(self.examples.len());
            self.examples.push(metric.clone());
            self.examples.len() - 1
        })
    }

    /// The labels of a group.
    pub(super) fn labels(&self, group: usize) -> Metric {
        self.counting.of(&self.examples[group])
    }
}
