//! OID: the name of an object, as numbers. Knows no MIB; names of objects are in the profiles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An object identifier: at most [`Oid::MAX_ARCS`] numbers. Ordered as agents walk: by numbers, a prefix first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Vec<u32>);

impl Oid {
    /// The most numbers in one identifier (RFC 3416, section 4.1).
    pub const MAX_ARCS: usize = 128;

    /// The identifier of those numbers; what is beyond [`Oid::MAX_ARCS`] is cut.
    pub fn new(arcs: &[u32]) -> Oid {
        Oid(arcs[..arcs.len().min(Oid::MAX_ARCS)].to_vec())
    }

    /// Its numbers.
    pub fn arcs(&self) -> &[u32] {
        &self.0
    }

    /// Whether it is `root` or below it.
    pub fn is_below(&self, root: &Oid) -> bool {
        self.0.starts_with(&root.0)
    }

    /// What comes after `root`: the index of a table's row. None when it is not below.
    pub fn after(&self, root: &Oid) -> Option<&[u32]> {
        self.0.strip_prefix(root.0.as_slice())
    }

    /// The identifier with more numbers at its end.
    #[must_use]
    pub fn with(&self, more: &[u32]) -> Oid {
        let mut arcs = self.0.clone();
        arcs.extend_from_slice(&more[..more.len().min(Oid::MAX_ARCS.saturating_sub(arcs.len()))]);
        Oid(arcs)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, arc) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            write!(f, "{arc}")?;
        }
        Ok(())
    }
}

impl FromStr for Oid {
    type Err = String;

    /// Reads `1.3.6.1.2.1.1.1.0`, with or without a dot before it.
    fn from_str(text: &str) -> Result<Oid, String> {
        let wrong = || format!("{text:?} is no OID; write numbers with dots, for example 1.3.6.1.2.1.1.3.0");
        let arcs: Vec<u32> = text
            .strip_prefix('.')
            .unwrap_or(text)
            .split('.')
            .map(|arc| arc.parse::<u32>().map_err(|_| wrong()))
            .collect::<Result<_, _>>()?;
        if arcs.len() < 2 || arcs.len() > Oid::MAX_ARCS || arcs[0] > 2 || (arcs[0] < 2 && arcs[1] > 39) {
            return Err(wrong());
        }
        Ok(Oid(arcs))
    }
}

impl Serialize for Oid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Oid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_read_as_they_are_written() {
        for text in ["1.3.6.1.2.1.1.1.0", "0.0", "2.999.1", "1.3.6.1.4.1.4294967295"] {
            assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
        }
        assert_eq!(".1.3.6".parse::<Oid>().unwrap(), Oid::new(&[1, 3, 6]));
        for text in ["", "1", "1.", "1..3", "3.1", "1.40", "1.3.x", "1.3.4294967296", "1.-3"] {
            assert!(text.parse::<Oid>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_comes_first_and_has_its_rows_below() {
        let table: Oid = "1.3.6.1.2.1.2.2.1.2".parse().unwrap();
        let row = table.with(&[10]);
        assert!(table < row && row < "1.3.6.1.2.1.2.2.1.3".parse().unwrap());
        assert_eq!(row.after(&table), Some(&[10][..]));
        assert_eq!("1.3.6.1.2.1.2.2.1.20".parse::<Oid>().unwrap().after(&table), None, "2 is no prefix of 20");
    }
}
