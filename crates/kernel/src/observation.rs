//! Observations: what a source last saw, beside what is declared; the difference is drift.
//!
//! A plain observation is of a field (table [`FIELDS`], item = the field's name). Sources that see whole tables (packages, ports,
//! users) use further tables, one item a row. A value that changes leaves its old row behind as history.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Time;

/// The table that holds observations of declared fields.
pub const FIELDS: &str = "fields";

/// One thing seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Which table: [`FIELDS`], or a table of the source such as `packages`.
    pub table: String,
    /// Which row: a field's name, a package's name.
    pub item: String,
    /// Who saw it.
    pub source: String,
    /// What was seen.
    pub value: Value,
    /// When this value was first seen.
    pub first_seen: Time,
    /// When it was last seen.
    pub last_seen: Time,
    /// When it was found to be gone.
    pub gone: Option<Time>,
}

/// A whole look of one source at one table: rows that are absent are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Which table.
    pub table: String,
    /// Who looked.
    pub source: String,
    /// What was seen: item to value.
    pub rows: Vec<(String, Value)>,
    /// Absent rows are gone (a full look); otherwise they are left as they are.
    pub whole: bool,
}

/// A declared field whose observed value differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The field.
    pub field: String,
    /// What the record says.
    pub declared: Value,
    /// What was seen last.
    pub observed: Value,
    /// By whom.
    pub source: String,
    /// When it was last seen.
    pub last_seen: Time,
}

/// Which side of a drift to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptSide {
    /// The record is right: the difference is expected until the source sees something else.
    Declared,
    /// The source is right: its value becomes the declared one.
    Observed,
}

/// Declared fields that differ from the freshest observation of them; a field that nobody declared does not drift.
pub fn drift(declared: &Map<String, Value>, observations: &[Observation]) -> Vec<Drift> {
    let mut newest: Vec<&Observation> = Vec::new();
    for seen in observations.iter().filter(|o| o.table == FIELDS && o.gone.is_none()) {
        match newest.iter_mut().find(|o| o.item == seen.item) {
            Some(known) if known.last_seen < seen.last_seen => *known = seen,
            Some(_) => {}
            None => newest.push(seen),
        }
    }
    newest
        .into_iter()
        .filter_map(|seen| {
            let value = declared.get(&seen.item).filter(|v| !v.is_null())?;
            (*value != seen.value).then(|| Drift {
                field: seen.item.clone(),
                declared: value.clone(),
                observed: seen.value.clone(),
                source: seen.source.clone(),
                last_seen: seen.last_seen,
            })
        })
        .collect()
}

/// The table in which an accepted difference is kept: the observed value that is expected.
pub const ACCEPTED: &str = "accepted";

/// Drift that nobody has accepted.
pub fn open_drift(declared: &Map<String, Value>, observations: &[Observation]) -> Vec<Drift> {
    drift(declared, observations)
        .into_iter()
        .filter(|d| {
            !observations
                .iter()
                .any(|o| o.table == ACCEPTED && o.item == d.field && o.value == d.observed && o.gone.is_none())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_freshest_source_decides_and_an_accepted_difference_is_quiet() {
        let seen = |table: &str, source: &str, value: &str, at: i64| Observation {
            table: table.into(),
            item: "os_version".into(),
            source: source.into(),
            value: value.into(),
            first_seen: Time::from_micros(at),
            last_seen: Time::from_micros(at),
            gone: None,
        };
        let declared: Map<String, Value> = [("os_version".to_owned(), Value::from("12"))].into_iter().collect();
        let mut all = vec![seen(FIELDS, "scan", "12", 1), seen(FIELDS, "agent", "13", 2)];
        assert_eq!(open_drift(&declared, &all).len(), 1, "the agent looked later and saw 13");
        all.push(seen(ACCEPTED, "person:ana", "13", 3));
        assert!(open_drift(&declared, &all).is_empty(), "ana expects 13");
        all[1].value = "14".into();
        assert_eq!(open_drift(&declared, &all).len(), 1, "14 is news again");
        assert!(open_drift(&Map::new(), &all).is_empty(), "what nobody declared does not drift");
    }
}
