//! Which rules read a series that was just written: found by its metric's name and by the values of labels that rules ask for.
//!
//! A page of one host wakes the rules about that host, not those about the ten thousand others. It may name a rule too
//! many, and never one too few.

use kernel::Id;
use series::NAME;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::presence::Want;

type Conditions = Arc<[(String, bool, String)]>;

/// Readers of one tenant's series.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By the metric's name; those that may read any metric are under the empty one.
    by_name: HashMap<String, OfName>,
}

/// Readers of the series of one name.
#[derive(Debug, Default)]
struct OfName {
    /// Those that ask for no particular value.
    any: BTreeSet<Id>,
    /// Those that do: by label, then value, with all that they ask for.
    by_label: BTreeMap<String, HashMap<String, Vec<(Id, Conditions)>>>,
}

impl Readers {
    /// From now on this rule reads what these selectors want.
    pub(super) fn add(&mut self, id: Id, wants: &[Want]) {
        for want in wants {
            let of_name = self.by_name.entry(want.name.clone()).or_default();
            let crowd = |label: &str, value: &str| {
                of_name.by_label.get(label).and_then(|values| values.get(value)).map_or(0, Vec::len)
            };
            let named = want.conditions.iter().filter(|(_, equal, value)| *equal && !value.is_empty());
            // Where fewest stand already, so that what few rules ask for is what tells them apart.
            match named.min_by_key(|(label, _, value)| crowd(label, value)) {
                None => {
                    of_name.any.insert(id);
                }
                Some((label, _, value)) => {
                    let values = of_name.by_label.entry(label.clone()).or_default();
                    values.entry(value.clone()).or_default().push((id, want.conditions.as_slice().into()));
                }
            }
        }
    }

    /// This rule reads nothing any more.
    pub(super) fn remove(&mut self, id: Id, wants: &[Want]) {
        for want in wants {
            let Some(of_name) = self.by_name.get_mut(&want.name) else { continue };
            of_name.any.remove(&id);
            for (label, _, value) in &want.conditions {
                let Some(values) = of_name.by_label.get_mut(label) else { continue };
                if let Some(entries) = values.get_mut(value) {
                    entries.retain(|(other, _)| *other != id);
                    if entries.is_empty() {
                        values.remove(value);
                    }
                }
                if values.is_empty() {
                    of_name.by_label.remove(label);
                }
            }
            if of_name.any.is_empty() && of_name.by_label.is_empty() {
                self.by_name.remove(&want.name);
            }
        }
    }

    /// The rules that read any of these series.
    pub(super) fn of<'a, P>(&self, written: impl Iterator<Item = P>) -> BTreeSet<Id>
    where
        P: Iterator<Item = (&'a str, &'a str)> + Clone,
    {
        let mut found = BTreeSet::new();
        if self.by_name.is_empty() {
            return found;
        }
        let unnamed = self.by_name.get("");
        let mut last: Option<(&str, Option<&OfName>)> = None;
        for pairs in written {
            let name = value_of(&pairs, NAME);
            let named = match last {
                Some((known, named)) if known == name => named,
                _ => {
                    let named = self.by_name.get(name);
                    found.extend([named, unnamed].into_iter().flatten().flat_map(|of_name| &of_name.any));
                    last = Some((name, named));
                    named
                }
            };
            for of_name in [named, unnamed].into_iter().flatten() {
                of_name.meet(&pairs, &mut found);
            }
        }
        found
    }
}

impl OfName {
    /// Adds the readers of one series.
    fn meet<'a>(&self, pairs: &(impl Iterator<Item = (&'a str, &'a str)> + Clone), found: &mut BTreeSet<Id>) {
        for (label, values) in &self.by_label {
            let Some(entries) = values.get(value_of(pairs, label)) else { continue };
            for (id, conditions) in entries {
                let fits = |(label, equal, value): &(String, bool, String)| (value_of(pairs, label) == value) == *equal;
                if !found.contains(id) && conditions.iter().all(fits) {
                    found.insert(*id);
                }
            }
        }
    }
}

/// The value of one label; empty when it is not there.
fn value_of<'a>(pairs: &(impl Iterator<Item = (&'a str, &'a str)> + Clone), label: &str) -> &'a str {
    pairs.clone().find(|(name, _)| *name == label).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::presence::Reads;
    use super::*;
    use kernel::Time;
    use proptest::prelude::*;
    use series::promql::Query;
    use series::{Labels, Matcher};

    fn wants(text: &str) -> Vec<Want> {
        Reads::of([Query::parse(text).unwrap().expr()]).wants
    }

    fn woken(readers: &Readers, series: &[Vec<(&str, &str)>]) -> BTreeSet<Id> {
        readers.of(series.iter().map(|pairs| pairs.iter().copied()))
    }

    fn ids(count: usize) -> Vec<Id> {
        (0..count).map(|n| Id::new(Time::from_micros(n as i64))).collect()
    }

    const RULES: [&str; 9] = [
        "up == 0",
        "up{host=\"a\"} == 0",
        "up{host=\"b\",job!=\"x\"} == 0",
        "up{job=\"x\"} / down{host=\"a\"}",
        "{host=\"b\"} > 1",
        "{host=~\"b.*\"} > 1",
        "absent(up{job=\"y\"})",
        "max_over_time(up{host!=\"a\"}[5m:])",
        "up{host=\"\"}",
    ];

    #[test]
    fn a_page_of_one_host_wakes_the_rules_about_it() {
        let (mut readers, ids) = (Readers::default(), ids(100));
        for (n, id) in ids.iter().enumerate() {
            // What all have in common stands first, and tells nobody apart.
            readers.add(*id, &wants(&format!("unit{{state=\"failed\",host=\"h{n}\"}} == 1")));
        }
        let one = [vec![("__name__", "unit"), ("host", "h7"), ("state", "failed")]];
        assert_eq!(woken(&readers, &one), BTreeSet::from([ids[7]]));
        let well = [vec![("__name__", "unit"), ("host", "h7"), ("state", "active")]];
        assert!(woken(&readers, &well).is_empty(), "no rule reads it");
        for (n, id) in ids.iter().enumerate() {
            readers.remove(*id, &wants(&format!("unit{{state=\"failed\",host=\"h{n}\"}} == 1")));
        }
        assert!(woken(&readers, &one).is_empty() && readers.by_name.is_empty(), "nothing is left of them");
    }

    proptest! {
        /// Whatever a selector of a rule means, its rule is woken by it.
        #[test]
        fn no_reader_is_forgotten(series in proptest::collection::vec((0usize..3, 0usize..3, 0usize..3), 1..6), gone in 0usize..RULES.len()) {
            let (mut readers, ids) = (Readers::default(), ids(RULES.len()));
            ids.iter().zip(RULES).for_each(|(id, text)| readers.add(*id, &wants(text)));
            readers.remove(ids[gone], &wants(RULES[gone]));
            let pairs = |(name, host, job): &(usize, usize, usize)| {
                let all = [("__name__", ["up", "down", "other"][*name]), ("host", ["a", "b", ""][*host]), ("job", ["x", "y", ""][*job])];
                all.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>()
            };
            let series: Vec<Vec<(&str, &str)>> = series.iter().map(pairs).collect();
            let found = woken(&readers, &series);
            for (place, text) in RULES.iter().enumerate() {
                let query = Query::parse(text).unwrap();
                let means = |matchers: &[Matcher]| series.iter().any(|pairs| {
                    let labels = Labels::new(pairs.iter().copied()).unwrap();
                    matchers.iter().all(|matcher| matcher.matches(&labels))
                });
                let reads = query.expr().selectors().iter().any(|selector| means(&selector.matchers));
                if place == gone {
                    prop_assert!(!found.contains(&ids[place]), "{}", text);
                } else if reads {
                    prop_assert!(found.contains(&ids[place]), "{} {:?}", text, series);
                }
            }
        }
    }
}
