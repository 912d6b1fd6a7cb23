//! What changed between two looks: the raw material of a host's history. Compares values, judges nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tables;

/// One item that came, went or changed.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Change {
    /// Such as `packages`.
    pub table: String,
    /// Such as `openssl`.
    pub item: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Its value before; none when it came.
    pub before: Option<Value>,
    /// Its value now; none when it went.
    pub after: Option<Value>,
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is there now and was not.
    Added,
    /// It was there and is not.
    Removed,
    /// It has another value.
    Changed,
}

/// All changes from `old` to `new`, by table and item.
///
/// A table that one of them lacks was not *looked at* then (see [`CannotSee`](super::CannotSee)), so nothing is said about its items: a look that
/// failed must not read as ten thousand packages removed.
#[must_use]
pub fn diff(old: &Tables, new: &Tables) -> Vec<Change> {
    let mut changes = Vec::new();
    for (table, before) in old {
        let Some(after) = new.get(table) else { continue };
        let mut push = |item: &str, kind, before: Option<&Value>, after: Option<&Value>| {
            changes.push(Change {
                table: table.clone(),
                item: item.to_owned(),
                kind,
                before: before.cloned(),
                after: after.cloned(),
            });
        };
        let items: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for item in items {
            match (before.get(item), after.get(item)) {
                (None, Some(now)) => push(item, ChangeKind::Added, None, Some(now)),
                (Some(then), None) => push(item, ChangeKind::Removed, Some(then), None),
                (Some(then), Some(now)) if then != now => push(item, ChangeKind::Changed, Some(then), Some(now)),
                _ => {}
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_that_could_not_be_read_is_not_a_table_that_is_empty() {
        let old = Tables::from([("packages".into(), [("nginx".to_owned(), json!("1"))].into())]);
        assert!(diff(&old, &Tables::new()).is_empty());
        assert!(diff(&Tables::new(), &old).is_empty());
        let emptied = Tables::from([("packages".into(), [].into())]);
        assert_eq!(diff(&old, &emptied)[0].kind, ChangeKind::Removed);
    }

    proptest! {
        #[test]
        fn the_changes_lead_from_one_to_the_other(
            old in proptest::collection::btree_map("[a-e]", 0u8..3, 0..5),
            new in proptest::collection::btree_map("[a-e]", 0u8..3, 0..5),
        ) {
            let table = |from: &std::collections::BTreeMap<String, u8>| {
                Tables::from([("t".to_owned(), from.iter().map(|(item, value)| (item.clone(), json!(value))).collect())])
            };
            let mut replayed = table(&old);
            for change in diff(&table(&old), &table(&new)) {
                let rows = replayed.get_mut("t").expect("there from the start");
                match change.after {
                    Some(value) => rows.insert(change.item, value),
                    None => rows.remove(&change.item),
                };
            }
            prop_assert_eq!(replayed, table(&new));
        }
    }
}
