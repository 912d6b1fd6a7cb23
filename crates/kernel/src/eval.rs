//! A predicate evaluated on one record in memory: for rules of classes, stream filters and policy; the store does it for lists.
//!
//! Links and full text cannot be seen from one record alone: they answer `None`, and whoever asks decides what that means.

use serde_json::Value;

use crate::clock::parse_duration;
use crate::query::{Column, Compare, Operand, Predicate};
use crate::record::Record;
use crate::shape::Word;

/// Whether `record` matches; `None` when it cannot be told from the record alone.
pub fn matches(predicate: &Predicate, record: &Record) -> Option<bool> {
    Some(match predicate {
        Predicate::All => true,
        Predicate::And(all) => {
            let mut unsure = false;
            for p in all {
                match matches(p, record) {
                    Some(false) => return Some(false),
                    Some(true) => {}
                    None => unsure = true,
                }
            }
            return (!unsure).then_some(true);
        }
        Predicate::Or(any) => {
            let mut unsure = false;
            for p in any {
                match matches(p, record) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => unsure = true,
                }
            }
            return (!unsure).then_some(false);
        }
        Predicate::Not(inner) => return matches(inner, record).map(|m| !m),
        Predicate::In(column, operands) => {
            let value = value_of(record, column);
            operands.iter().any(|o| equal(column, &value, o))
        }
        Predicate::Like(column, pattern) => value_of(record, column).as_str().is_some_and(|v| like(v, pattern)),
        Predicate::Cmp(column, compare, operand) => ordered(column, &value_of(record, column), *compare, operand),
        Predicate::Present(column) => !value_of(record, column).is_null(),
        Predicate::Contains(column, operands) => match value_of(record, column) {
            Value::Array(items) => items.iter().any(|i| operands.iter().any(|o| equal(column, i, o))),
            _ => false,
        },
        Predicate::Ids(ids) => ids.contains(&record.id),
        Predicate::Linked { .. } | Predicate::Words(_) => return None,
    })
}

pub(crate) fn value_of(record: &Record, column: &Column) -> Value {
    match column {
        Column::Key => record.key.clone().into(),
        Column::State => record.state.clone().into(),
        Column::Open => record.open.into(),
        Column::Title => record.title.clone().into(),
        Column::Owner => record.owner.clone().into(),
        Column::Health => record.health.as_ref().map(|h| h.state.as_str()).into(),
        Column::Version => record.version.into(),
        Column::Created => record.created.as_micros().into(),
        Column::Updated => record.updated.as_micros().into(),
        Column::StateSince => record.state_since.as_micros().into(),
        Column::Field { path, word, .. } => {
            let mut names = path.split('.');
            let first = names.next().and_then(|n| record.fields.get(n)).cloned().unwrap_or(Value::Null);
            let value = names.fold(first, |v, n| v.get(n).cloned().unwrap_or(Value::Null));
            match (word, value.as_str()) {
                (Word::Time, Some(text)) => crate::clock::Time::parse(text).map(|t| t.as_micros()).into(),
                (Word::Duration, Some(text)) => {
                    parse_duration(text).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).into()
                }
                _ => value,
            }
        }
    }
}

fn equal(column: &Column, value: &Value, operand: &Operand) -> bool {
    match operand {
        Operand::Text(t) => value
            .as_str()
            .is_some_and(|v| if *column == Column::Title { v.to_lowercase() == t.to_lowercase() } else { v == t }),
        Operand::Int(n) => value.as_i64() == Some(*n) || value.as_f64() == Some(*n as f64),
        Operand::Float(n) => value.as_f64() == Some(*n),
        Operand::Bool(b) => value.as_bool() == Some(*b),
    }
}

fn ordered(_: &Column, value: &Value, compare: Compare, operand: &Operand) -> bool {
    let order = match operand {
        Operand::Text(t) => value.as_str().map(|v| v.cmp(t.as_str())),
        Operand::Int(n) => {
            value.as_i64().map(|v| v.cmp(n)).or_else(|| value.as_f64().and_then(|v| v.partial_cmp(&(*n as f64))))
        }
        Operand::Float(n) => value.as_f64().and_then(|v| v.partial_cmp(n)),
        Operand::Bool(b) => value.as_bool().map(|v| v.cmp(b)),
    };
    order.is_some_and(|o| match compare {
        Compare::Lt => o.is_lt(),
        Compare::Le => o.is_le(),
        Compare::Gt => o.is_gt(),
        Compare::Ge => o.is_ge(),
    })
}

/// `*` stands for any text; without regard to case.
pub fn like(value: &str, pattern: &str) -> bool {
    let (value, pattern) = (value.to_lowercase(), pattern.to_lowercase());
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return value == pattern };
    let Some(mut rest) = value.strip_prefix(first) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (value, pattern, fits) in [
            ("nginx.service", "nginx*", true),
            ("nginx", "*gin*", true),
            ("nginx", "*y", false),
            ("aba", "ab*ba", false),
        ] {
            assert_eq!(like(value, pattern), fits, "{value} {pattern}");
        }
    }
}
