//! Type, unit and help of metric families, by tenant. The last word counts; the family that nobody has told of for longest
//! goes when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::formats::{Metadata, MetricKind};

/// Longer texts are cut: they are for people.
const NAME_BYTES: usize = 256;
const UNIT_BYTES: usize = 64;
const HELP_BYTES: usize = 1024;

#[derive(Debug, Default)]
struct OfTenant {
    by_name: BTreeMap<Arc<str>, (Metadata, u64)>,
    /// By when it was last told of.
    by_age: BTreeMap<u64, Arc<str>>,
    tellings: u64,
}

/// What is known of all families.
#[derive(Debug, Default)]
pub(crate) struct Families {
    tenants: Mutex<HashMap<u64, OfTenant>>,
}

fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
}

impl OfTenant {
    /// Makes a known family the youngest.
    fn refresh(&mut self, name: &Arc<str>) {
        let Some((_, age)) = self.by_name.get_mut(name) else { return };
        self.by_age.remove(age);
        self.tellings += 1;
        *age = self.tellings;
        self.by_age.insert(*age, name.clone());
    }
}

impl Families {
    /// What of it is not known yet, in the form in which it is kept. What says nothing is left out.
    pub(crate) fn news(&self, tenant: u64, told: Vec<Metadata>) -> Vec<Metadata> {
        if told.is_empty() {
            return told;
        }
        let mut tenants = self.tenants.lock();
        let known = tenants.entry(tenant).or_default();
        let settled = told.into_iter().filter_map(|mut told| {
            cut(&mut told.family, NAME_BYTES);
            cut(&mut told.unit, UNIT_BYTES);
            cut(&mut told.help, HELP_BYTES);
            let silent = told.kind == MetricKind::Unknown && told.unit.is_empty() && told.help.is_empty();
            (!silent && !told.family.is_empty()).then_some(told)
        });
        let mut news: Vec<Metadata> = Vec::new();
        for told in settled {
            match known.by_name.get_key_value(told.family.as_str()) {
                Some((name, (old, _))) if *old == told => {
                    let name = name.clone();
                    known.refresh(&name);
                }
                _ => news.push(told),
            }
        }
        news
    }

    /// Keeps what is told, and at most `most` families of the tenant.
    pub(crate) fn keep(&self, tenant: u64, told: Metadata, most: usize) {
        let mut tenants = self.tenants.lock();
        let known = tenants.entry(tenant).or_default();
        let name: Arc<str> = told.family.as_str().into();
        known.by_name.entry(name.clone()).and_modify(|(old, _)| old.clone_from(&told)).or_insert((told, 0));
        known.refresh(&name);
        while known.by_name.len() > most {
            let Some((_, oldest)) = known.by_age.pop_first() else { break };
            known.by_name.remove(&oldest);
        }
    }

    /// All families of a tenant in order of name, or the one that is named.
    pub(crate) fn of(&self, tenant: u64, family: Option<&str>) -> Vec<Metadata> {
        let tenants = self.tenants.lock();
        let Some(known) = tenants.get(&tenant) else { return Vec::new() };
        match family {
            Some(family) => known.by_name.get(family).map(|(told, _)| told.clone()).into_iter().collect(),
            None => known.by_name.values().map(|(told, _)| told.clone()).collect(),
        }
    }

    /// Calls `each` with tenant and family, those first that were told of first.
    pub(crate) fn each(&self, mut each: impl FnMut(u64, &Metadata)) {
        for (tenant, known) in &*self.tenants.lock() {
            let told = known.by_age.values().filter_map(|name| known.by_name.get(name));
            told.for_each(|(told, _)| each(*tenant, told));
        }
    }
}

const KINDS: [MetricKind; 8] = [
    MetricKind::Unknown,
    MetricKind::Counter,
    MetricKind::Gauge,
    MetricKind::Histogram,
    MetricKind::GaugeHistogram,
    MetricKind::Summary,
    MetricKind::Info,
    MetricKind::StateSet,
];

/// The number of a kind in the log.
pub(crate) fn kind_number(kind: MetricKind) -> u8 {
    KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u8
}

/// The kind of a number; none when there is no such.
pub(crate) fn kind_of(number: u8) -> Option<MetricKind> {
    KINDS.get(usize::from(number)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(family: &str, help: &str) -> Metadata {
        Metadata { family: family.into(), kind: MetricKind::Counter, unit: "seconds".into(), help: help.into() }
    }

    #[test]
    fn the_last_word_counts_and_the_longest_silent_family_goes() {
        let families = Families::default();
        let say = |family: &str, help: &str| {
            let news = families.news(1, vec![told(family, help)]);
            let count = news.len();
            news.into_iter().for_each(|told| families.keep(1, told, 2));
            count
        };
        assert_eq!((say("a", "x"), say("b", "x"), say("a", "x")), (1, 1, 0), "a repeat is no news");
        assert_eq!(say("a", "y"), 1);
        assert_eq!(say("c", "x"), 1);
        assert_eq!(families.of(1, None), [told("a", "y"), told("c", "x")], "b was silent for longest");
        assert_eq!(families.of(1, Some("c")), [told("c", "x")]);
        assert!(families.of(2, None).is_empty(), "another tenant's");
        assert!(families.news(1, vec![Metadata { family: "d".into(), ..Metadata::default() }]).is_empty());
        let long = families.news(1, vec![told("e", &"ü".repeat(2_000))]);
        assert_eq!(long[0].help.len(), HELP_BYTES, "for people");
    }

    #[test]
    fn every_kind_has_a_number() {
        for kind in KINDS {
            assert_eq!(kind_of(kind_number(kind)), Some(kind));
        }
        assert_eq!(kind_of(8), None);
    }
}
