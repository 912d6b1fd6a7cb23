//! The labels of a series during a query: those stored are shared, those made by the query are its own.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::labels::{Labels, NAME};
use crate::matcher::{MatchOp, Matcher};

/// A set of labels, in order of name; may be empty, unlike [`Labels`]. Cheap to clone.
#[derive(Clone)]
pub struct Metric(Repr);

type Pairs = Arc<[(Arc<str>, Arc<str>)]>;

#[derive(Clone)]
enum Repr {
    Stored(Labels),
    Made(Pairs),
}

impl Default for Metric {
    fn default() -> Self {
        Self::new(std::iter::empty::<(&str, &str)>())
    }
}

impl From<Labels> for Metric {
    fn from(labels: Labels) -> Self {
        Self(Repr::Stored(labels))
    }
}

impl Metric {
    /// Labels from pairs in any order; of a name given twice the last value stays, and an empty value is none.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut made: Vec<(Arc<str>, Arc<str>)> =
            pairs.into_iter().map(|(n, v)| (n.as_ref().into(), v.as_ref().into())).collect();
        made.reverse();
        made.sort_by(|a, b| a.0.cmp(&b.0));
        made.dedup_by(|a, b| a.0 == b.0);
        made.retain(|(_, value)| !value.is_empty());
        Self(Repr::Made(made.into()))
    }

    /// All pairs in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let (stored, made) = match &self.0 {
            Repr::Stored(labels) => (Some(labels.iter()), None),
            Repr::Made(pairs) => (None, Some(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())))),
        };
        Either { stored, made }
    }

    /// The value of one label; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        match &self.0 {
            Repr::Stored(labels) => labels.get(name).unwrap_or_default(),
            Repr::Made(pairs) => {
                let place = pairs.binary_search_by(|(n, _)| n.as_ref().cmp(name));
                place.map_or("", |at| &pairs[at].1)
            }
        }
    }

    /// The metric's name; empty when there is none.
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Only the labels that the condition keeps.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        let kept = self.iter().filter(|(name, _)| keep(name)).map(|(n, v)| (n.into(), v.into()));
        Self(Repr::Made(kept.collect()))
    }

    /// Without the metric's name.
    #[must_use]
    pub fn without_name(&self) -> Self {
        self.filtered(|name| name != NAME)
    }

    /// With one label set; an empty value removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        Self::new(self.iter().chain(std::iter::once((name, value))))
    }

    /// Feeds the labels that the condition keeps to a hasher, such that equal sets feed the same.
    pub(super) fn feed(&self, keep: impl Fn(&str) -> bool, to: &mut impl Hasher) {
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            to.write(name.as_bytes());
            to.write_u8(0xff);
            to.write(value.as_bytes());
            to.write_u8(0xff);
        }
    }

    /// Whether a matcher means it.
    pub fn is_meant_by(&self, matcher: &Matcher) -> bool {
        match &self.0 {
            Repr::Stored(labels) => matcher.matches(labels),
            Repr::Made(_) => {
                let labels = Labels::new(self.iter());
                labels.is_ok_and(|labels| matcher.matches(&labels))
            }
        }
    }
}

/// Whether a matcher also means series without the label.
pub(super) fn matches_empty(matcher: &Matcher) -> bool {
    match matcher.op() {
        MatchOp::Eq => matcher.value().is_empty(),
        MatchOp::Ne => !matcher.value().is_empty(),
        // Any label but the matcher's own shows what it says of a missing one.
        MatchOp::Re | MatchOp::Nre => {
            let other = if matcher.name() == "a" { "b" } else { "a" };
            Labels::new([(other, "x")]).is_ok_and(|labels| matcher.matches(&labels))
        }
    }
}

struct Either<A, B> {
    stored: Option<A>,
    made: Option<B>,
}

impl<'a, A, B> Iterator for Either<A, B>
where
    A: Iterator<Item = (&'a str, &'a str)>,
    B: Iterator<Item = (&'a str, &'a str)>,
{
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        match (&mut self.stored, &mut self.made) {
            (Some(stored), _) => stored.next(),
            (None, Some(made)) => made.next(),
            (None, None) => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match (&self.stored, &self.made) {
            (Some(stored), _) => stored.size_hint(),
            (None, Some(made)) => made.size_hint(),
            (None, None) => (0, Some(0)),
        }
    }
}

impl<'a, A, B> ExactSizeIterator for Either<A, B>
where
    A: ExactSizeIterator<Item = (&'a str, &'a str)>,
    B: ExactSizeIterator<Item = (&'a str, &'a str)>,
{
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Metric {}

impl PartialOrd for Metric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Metric {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.feed(|_| true, state);
    }
}

impl fmt::Display for Metric {
    /// As Prometheus prints labels within messages: all in braces, the name among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={}", super::parse::quoted(value.as_bytes()))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_made_labels_are_the_same_thing() {
        let stored = Metric::from(Labels::metric("up", &[("job", "a"), ("zone", "b")]).unwrap());
        let made = Metric::new([("zone", "x"), ("job", "a"), ("__name__", "up"), ("none", ""), ("zone", "b")]);
        assert_eq!(stored, made);
        assert_eq!(stored.cmp(&made), Ordering::Equal);
        assert_eq!(made.to_string(), r#"{__name__="up", job="a", zone="b"}"#);
        assert_eq!(stored.without_name().with("job", "").to_string(), r#"{zone="b"}"#);
    }

    #[test]
    fn a_matcher_that_means_missing_labels_is_known() {
        let table =
            [("", MatchOp::Eq, true), ("x", MatchOp::Eq, false), ("x", MatchOp::Ne, true), ("", MatchOp::Ne, false)];
        for (value, op, expected) in table {
            assert_eq!(matches_empty(&Matcher::new("a", op, value).unwrap()), expected, "{op:?} {value:?}");
        }
        assert!(matches_empty(&Matcher::new("a", MatchOp::Re, ".*").unwrap()));
        assert!(!matches_empty(&Matcher::new("a", MatchOp::Re, ".+").unwrap()));
        assert!(matches_empty(&Matcher::new("a", MatchOp::Nre, ".+").unwrap()));
    }
}
