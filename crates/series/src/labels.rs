//! What names a series: labels; and a sample of one. Values only: no index, no file.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";

const MAX_LABELS: usize = 64;
const MAX_NAME_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 4096;

/// Prometheus's marker for "this series has ended": one particular NaN.
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Prometheus's NaN that is a value.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The value that says that a series has ended here. Any other NaN is a measured NaN.
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// True for the stale marker alone, not for other NaN.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// A measured value as it is kept: any NaN becomes Prometheus's ordinary one, so that nobody who measures can end a series.
pub fn measured(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}

/// Sorted pairs of name and value, each name once, none empty. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

/// Why pairs of text are not labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// A name is empty or holds a control character.
    #[error("a label name is empty or holds a control character: {name:?}")]
    Name {
        /// The name.
        name: String,
    },
    /// The same name twice.
    #[error("label {name:?} is given twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A series with no label at all names nothing.
    #[error("a series needs at least one label with a value")]
    Empty,
    /// The bytes are not labels, or not UTF-8.
    #[error("the labels are not UTF-8 text in pairs")]
    Text,
    /// More labels, or longer ones, than are taken.
    #[error("too large: at most {MAX_LABELS} labels, names of {MAX_NAME_BYTES} and values of {MAX_VALUE_BYTES} bytes")]
    TooLarge,
}

impl Labels {
    /// Labels from pairs in any order. A pair with an empty value is the same as no pair, as in Prometheus.
    ///
    /// # Errors
    /// [`LabelsError`] names what is wrong.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelsError> {
        let mut kept: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.as_ref(), value.as_ref());
            if kept.len() == MAX_LABELS || name.len() > MAX_NAME_BYTES || value.len() > MAX_VALUE_BYTES {
                return Err(LabelsError::TooLarge);
            }
            if !Self::is_name(name) {
                return Err(LabelsError::Name { name: name.chars().take(64).collect() });
            }
            if !value.is_empty() {
                kept.push((name.into(), value.into()));
            }
        }
        kept.sort_unstable();
        if let Some(pair) = kept.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsError::Twice { name: pair[0].0.to_string() });
        }
        if kept.is_empty() {
            return Err(LabelsError::Empty);
        }
        Ok(Self(kept.into()))
    }

    pub(crate) fn is_name(name: &str) -> bool {
        !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control)
    }

    /// Whether a label that is kept can have a value of so many bytes: one without any is no label.
    pub(crate) fn is_value_length(bytes: usize) -> bool {
        (1..=MAX_VALUE_BYTES).contains(&bytes)
    }

    pub(crate) fn is_count(labels: usize) -> bool {
        (1..=MAX_LABELS).contains(&labels)
    }

    /// Labels that are known to be sorted, each name once, none empty.
    pub(crate) fn of_sorted(pairs: impl Iterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        Self(pairs.collect())
    }

    /// A metric by its name, with further labels.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn metric(name: &str, others: &[(&str, &str)]) -> Result<Self, LabelsError> {
        Self::new(std::iter::once((NAME, name)).chain(others.iter().copied()))
    }

    /// The value of one label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// The metric's name; empty when there is none.
    pub fn name(&self) -> &str {
        self.get(NAME).unwrap_or_default()
    }

    /// All pairs in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut set = f.debug_map();
        for (name, value) in self.iter().filter(|(name, _)| *name != NAME) {
            set.entry(&format_args!("{name}"), &value);
        }
        set.finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let pairs = std::collections::BTreeMap::<String, String>::deserialize(from)?;
        Self::new(pairs).map_err(serde::de::Error::custom)
    }
}

/// One measured value of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which series, its name included as [`NAME`].
    pub labels: Labels,
    /// When it was measured, Unix milliseconds.
    pub at_ms: i64,
    /// What was measured, in the unit that the name says.
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_pairs_in_another_order_are_the_same_series() {
        let one = Labels::new([("b", "2"), ("a", "1"), ("empty", "")]).unwrap();
        let two = Labels::new([("a", "1"), ("b", "2")]).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.get("b"), Some("2"));
        assert_eq!(one.get("empty"), None);
    }

    #[test]
    fn what_cannot_name_a_series_is_refused() {
        let long = "x".repeat(5000);
        let many: Vec<(String, &str)> = (0..65).map(|i| (format!("l{i}"), "v")).collect();
        let table: [(Vec<(&str, &str)>, &str); 5] = [
            (vec![], "nothing"),
            (vec![("a", "")], "only an empty value"),
            (vec![("", "v")], "empty name"),
            (vec![("a\n", "v")], "control character in a name"),
            (vec![("a", "1"), ("a", "2")], "twice"),
        ];
        for (pairs, why) in table {
            assert!(Labels::new(pairs).is_err(), "{why}");
        }
        assert_eq!(Labels::new([("a", long.as_str())]), Err(LabelsError::TooLarge));
        assert_eq!(Labels::new(many), Err(LabelsError::TooLarge));
    }

    #[test]
    fn only_the_one_nan_means_stale() {
        assert!(is_stale(stale_marker()));
        assert!(!is_stale(f64::NAN));
        assert!(stale_marker().is_nan());
    }
}
