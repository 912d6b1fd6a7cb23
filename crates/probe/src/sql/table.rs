//! Table: the rows of an answer, the conditions on them and the readings they become. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::dialog::Measured;
use crate::facts::{Conditions, Facts, first_broken};
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{ParamError, Span};

/// The rows of an answer as texts; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The first rows, at most [`Table::MAX_ROWS`], each as long as `columns`.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows there were.
    pub count: u64,
}

impl Table {
    /// The most rows that are kept.
    pub const MAX_ROWS: usize = 1000;
    /// The most bytes of an answer that are read.
    pub const MAX_BYTES: usize = 16 << 20;

    /// Adds a row, and keeps it when there is room.
    pub fn push(&mut self, row: Vec<Option<String>>) {
        self.count += 1;
        if self.rows.len() < Table::MAX_ROWS {
            self.rows.push(row);
        }
    }
}

/// What a query is expected to say.
pub struct Wanted<'a> {
    /// The check's name, which the readings begin with.
    pub protocol: &'static str,
    /// On the columns of the first row.
    pub columns: &'a Conditions,
    /// On the number of rows.
    pub rows: Option<&'a Condition>,
    /// When it is slow.
    pub times: (Option<Span>, Option<Span>),
}

/// What is wrong with a query, before anybody is asked.
pub(crate) fn query_problem(query: Option<&str>, columns: &Conditions, rows: Option<&Condition>) -> Option<ParamError> {
    let Some(query) = query else {
        let judged = !columns.is_empty() || rows.is_some();
        return judged.then(|| ParamError::new("query", "is needed to judge rows or columns"));
    };
    (query.trim().is_empty() || query.len() > 64 << 10 || query.contains('\0'))
        .then(|| ParamError::new("query", "is one statement of at most 64 KiB"))
}

/// The whole judgement. Numbers of each row become readings that carry the row's texts as labels. Without a table nothing
/// was asked but to be let in.
pub fn decide(want: &Wanted<'_>, version: &str, table: Option<&Table>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let Some(table) = table else {
        let sentence = format!("{peer} ({version}) lets the user in");
        return measured.outcome(want.protocol, State::Ok, &sentence, want.times);
    };
    let first: Facts = match table.rows.first() {
        Some(row) => {
            let cells = table.columns.iter().zip(row);
            cells.filter_map(|(name, cell)| Some((name.clone(), cell.clone()?))).collect()
        }
        None => Facts::new(),
    };
    let counted = want.rows.filter(|condition| !condition.holds(&Value::from(table.count)));
    let (state, sentence) = if let Some(condition) = counted {
        (State::Critical, format!("{peer} answers with {} rows, where {condition} is expected", table.count))
    } else if let Some(broken) = first_broken(want.columns, &first) {
        (State::Critical, format!("{peer}: {broken}"))
    } else {
        let shown = match (first.values().next(), first.len()) {
            (Some(value), 1) => excerpt(value.as_bytes()),
            _ => format!("{} rows", table.count),
        };
        (State::Ok, format!("{peer} ({version}) answers with {shown}"))
    };
    let outcome = measured.outcome(want.protocol, state, &sentence, want.times);
    let outcome = outcome.with(&format!("{}_rows_count", want.protocol), table.count as f64, "");
    with_values(outcome, &format!("{}_value", want.protocol), table)
}

fn with_values(mut outcome: Outcome, name: &str, table: &Table) -> Outcome {
    const MAX_READINGS: usize = 1000;
    const MAX_LABEL_CHARS: usize = 200;
    for row in &table.rows {
        let cells = || table.columns.iter().zip(row).filter_map(|(name, cell)| Some((name.as_str(), cell.as_deref()?)));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let texts: BTreeMap<&str, String> = cells()
            .filter(|(_, text)| number(text).is_none())
            .map(|(name, text)| (name, text.chars().take(MAX_LABEL_CHARS).collect()))
            .collect();
        for (column, text) in cells() {
            let Some(value) = number(text).filter(|_| outcome.readings.len() < MAX_READINGS) else { continue };
            let mut labels = vec![("column", column)];
            labels.extend(texts.iter().map(|(name, text)| (*name, text.as_str())));
            outcome = outcome.with_labels(name, value, "", &labels);
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_and_columns_decide_and_numbers_become_readings() {
        let text = |text: &str| Some(text.to_owned());
        let mut table = Table { columns: vec!["queue".into(), "depth".into()], ..Table::default() };
        table.push(vec![text("mail"), text("12")]);
        table.push(vec![text("page"), None]);
        for (columns, rows, state, part) in [
            (json!({}), None, State::Ok, "answers with 2 rows"),
            (json!({"depth": "< 20"}), Some("2"), State::Ok, "2 rows"),
            (json!({"depth": "< 10"}), None, State::Critical, "depth is \"12\", where < 10 is expected"),
            (json!({}), Some("< 2"), State::Critical, "answers with 2 rows, where < 2 is expected"),
            (json!({"age": "1"}), None, State::Critical, "age is not among its values"),
        ] {
            let columns: Conditions = serde_json::from_value(columns).unwrap();
            let rows: Option<Condition> = rows.map(|rows| serde_json::from_value(json!(rows)).unwrap());
            let want = Wanted { protocol: "sql", columns: &columns, rows: rows.as_ref(), times: (None, None) };
            let measured = Measured { peer: "d:1".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "15", Some(&table), &measured);
            assert_eq!(outcome.state, state, "{}", outcome.summary);
            assert!(outcome.summary.contains(part), "{}", outcome.summary);
            let read = outcome.readings.iter().find(|reading| reading.name == "sql_value").unwrap();
            assert_eq!(
                (read.value, read.labels["queue"].as_str(), read.labels["column"].as_str()),
                (12.0, "mail", "depth")
            );
        }
    }
}
