//! Exemplars: a ring by tenant, from which the oldest goes when a new one comes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parking_lot::Mutex;

use crate::formats::Exemplar;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// Characters that the labels of one may have in all, as OpenMetrics has it.
const MAX_CHARACTERS: usize = 128;

/// An exemplar on its way into the log.
#[derive(Clone, Debug)]
pub(crate) struct LogExemplar {
    pub(crate) labels: Labels,
    pub(crate) at_ms: i64,
    pub(crate) exemplar: Exemplar,
}

#[derive(Debug, Default)]
struct Ring {
    /// In order of time.
    by_series: BTreeMap<Labels, VecDeque<(i64, Exemplar)>>,
    /// The series of each, in the order in which they came.
    order: VecDeque<Labels>,
}

/// The exemplars of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Exemplars {
    tenants: Mutex<HashMap<u64, Ring>>,
}

/// Whether its labels are as short as they have to be.
pub(crate) fn fits(exemplar: &Exemplar) -> bool {
    let characters = |text: &String| text.chars().count();
    exemplar.labels.iter().map(|(name, value)| characters(name) + characters(value)).sum::<usize>() <= MAX_CHARACTERS
}

fn same(a: &Exemplar, b: &Exemplar) -> bool {
    a.value.to_bits() == b.value.to_bits() && a.labels == b.labels
}

impl Ring {
    fn pop(&mut self) {
        let Some(series) = self.order.pop_front() else { return };
        if let Some(kept) = self.by_series.get_mut(&series) {
            kept.pop_front();
            if kept.is_empty() {
                self.by_series.remove(&series);
            }
        }
    }
}

impl Exemplars {
    /// Whether this very one is kept already.
    pub(crate) fn has(&self, tenant: u64, one: &LogExemplar) -> bool {
        let tenants = self.tenants.lock();
        let kept = tenants.get(&tenant).and_then(|ring| ring.by_series.get(&one.labels));
        kept.is_some_and(|kept| {
            let first = kept.partition_point(|(at, _)| *at < one.at_ms);
            let alike = kept.range(first..).take_while(|(at, _)| *at == one.at_ms);
            alike.into_iter().any(|(_, kept)| same(kept, &one.exemplar))
        })
    }

    /// Keeps one, and at most `most` of the tenant. A repeat changes nothing.
    pub(crate) fn keep(&self, tenant: u64, one: LogExemplar, most: usize) {
        if most == 0 || self.has(tenant, &one) {
            return;
        }
        let mut tenants = self.tenants.lock();
        let ring = tenants.entry(tenant).or_default();
        let LogExemplar { labels, at_ms, exemplar } = one;
        let kept = ring.by_series.entry(labels.clone()).or_default();
        let place = kept.partition_point(|(at, _)| *at <= at_ms);
        kept.insert(place, (at_ms, Exemplar { series: 0, at_ms: Some(at_ms), ..exemplar }));
        ring.order.push_back(labels);
        while ring.order.len() > most {
            ring.pop();
        }
    }

    /// Those of the series that any of the sets of matchers means, from `from_ms` to `to_ms`, in order of labels and time.
    pub(crate) fn select(
        &self,
        tenant: u64,
        sets: &[&[Matcher]],
        from_ms: i64,
        to_ms: i64,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let tenants = self.tenants.lock();
        let Some(ring) = tenants.get(&tenant) else { return Vec::new() };
        let meant = |labels: &Labels| sets.iter().any(|set| set.iter().all(|matcher| matcher.matches(labels)));
        let found = ring.by_series.iter().filter(|(labels, _)| meant(labels)).map(|(labels, kept)| {
            let wanted = kept.iter().filter(|(at, _)| (from_ms..=to_ms).contains(at));
            (labels.clone(), wanted.map(|(_, e)| e.clone()).collect::<Vec<_>>())
        });
        found.filter(|(_, exemplars)| !exemplars.is_empty()).collect()
    }

    /// Forgets those of the series that every matcher means, from `from_ms` to `to_ms`.
    pub(crate) fn cut(&self, tenant: u64, matchers: &[Matcher], from_ms: i64, to_ms: i64) {
        let mut tenants = self.tenants.lock();
        let Some(ring) = tenants.get_mut(&tenant) else { return };
        let mut left: HashMap<Labels, usize> = HashMap::new();
        ring.by_series.retain(|labels, kept| {
            if matchers.iter().all(|matcher| matcher.matches(labels)) {
                kept.retain(|(at, _)| !(from_ms..=to_ms).contains(at));
                left.insert(labels.clone(), kept.len());
            }
            !kept.is_empty()
        });
        // The youngest places of each stay, as many as it has exemplars.
        let mut order: Vec<Labels> = std::mem::take(&mut ring.order).into();
        order.reverse();
        order.retain(|labels| match left.get_mut(labels) {
            None => true,
            Some(0) => false,
            Some(count) => {
                *count -= 1;
                true
            }
        });
        order.reverse();
        ring.order = order.into();
    }

    /// Calls `each` with tenant, series and exemplars in the order in which they came, for the log's copy of the head.
    pub(crate) fn each(&self, mut each: impl FnMut(u64, &Labels, &[(i64, &Exemplar)])) {
        for (tenant, ring) in &*self.tenants.lock() {
            let order: Vec<&Labels> = ring.order.iter().collect();
            let mut told: HashMap<&Labels, usize> = HashMap::new();
            for run in order.chunk_by(|a, b| a == b) {
                let Some(kept) = ring.by_series.get(run[0]) else { continue };
                let first = told.entry(run[0]).or_default();
                let row: Vec<_> = kept.iter().skip(*first).take(run.len()).map(|(at, e)| (*at, e)).collect();
                *first += run.len();
                each(*tenant, run[0], &row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(host: &str, at_ms: i64, trace: &str) -> LogExemplar {
        let labels = Labels::metric("m", &[("host", host)]).unwrap();
        let exemplar = Exemplar { series: 3, labels: vec![("trace_id".into(), trace.into())], value: 1.0, at_ms: None };
        LogExemplar { labels, at_ms, exemplar }
    }

    fn found(kept: &Exemplars) -> Vec<(String, Vec<i64>)> {
        let all = kept.select(1, &[&[]], i64::MIN, i64::MAX).into_iter();
        all.map(|(l, e)| (l.get("host").unwrap().into(), e.iter().map(|e| e.at_ms.unwrap()).collect())).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let kept = Exemplars::default();
        for (host, at) in [("a", 1), ("b", 2), ("a", 3), ("a", 3), ("c", 4), ("b", 1)] {
            kept.keep(1, one(host, at, "x"), 4);
        }
        assert_eq!(found(&kept), [("a".into(), vec![3]), ("b".into(), vec![1, 2]), ("c".into(), vec![4])]);
        kept.keep(1, one("a", 3, "another trace"), 4);
        assert_eq!(found(&kept), [("a".into(), vec![3, 3]), ("b".into(), vec![2]), ("c".into(), vec![4])]);
        let b = Matcher::eq("host", "b");
        assert_eq!(kept.select(1, &[std::slice::from_ref(&b)], 0, 1), [], "outside of the time");
        assert_eq!(kept.select(1, &[&[b]], 2, 2).len(), 1);
        assert_eq!(kept.select(2, &[&[]], i64::MIN, i64::MAX), [], "another tenant's");
    }

    #[test]
    fn what_is_cut_leaves_room() {
        let kept = Exemplars::default();
        for (host, at) in [("a", 1), ("b", 2), ("a", 3)] {
            kept.keep(1, one(host, at, "x"), 3);
        }
        kept.cut(1, &[Matcher::eq("host", "a")], 2, 9);
        assert_eq!(found(&kept), [("a".into(), vec![1]), ("b".into(), vec![2])]);
        for at in 4..6 {
            kept.keep(1, one("c", at, "x"), 3);
        }
        assert_eq!(found(&kept).iter().map(|(_, e)| e.len()).sum::<usize>(), 3);
    }

    #[test]
    fn a_copy_forgets_in_the_same_order() {
        let (kept, copy) = (Exemplars::default(), Exemplars::default());
        let all = [("b", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5)];
        all.iter().for_each(|(host, at)| kept.keep(1, one(host, *at, "x"), 9));
        kept.each(|tenant, labels, row| {
            for (at_ms, exemplar) in row {
                copy.keep(
                    tenant,
                    LogExemplar { labels: labels.clone(), at_ms: *at_ms, exemplar: (*exemplar).clone() },
                    9,
                );
            }
        });
        for at in 10..15 {
            assert_eq!(found(&kept), found(&copy), "before {at}");
            kept.keep(1, one("z", at, "x"), 5);
            copy.keep(1, one("z", at, "x"), 5);
        }
        assert_eq!(found(&copy), [("z".into(), vec![10, 11, 12, 13, 14])]);
    }

    #[test]
    fn labels_are_short() {
        assert!(fits(&one("a", 1, &"ü".repeat(120)).exemplar));
        assert!(!fits(&one("a", 1, &"ü".repeat(121)).exemplar));
    }
}
