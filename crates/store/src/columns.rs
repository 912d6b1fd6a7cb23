//! Columns of a question as SQL expressions, the same in the index and in the question, or no index would ever be used.
//!
//! Names of fields come from validated classes; they are checked again here, and what does not fit has no expression.

use serde_json::Value;
use std::time::Duration;

use kernel::clock::{Time, format_duration};
use kernel::ids::is_snake;
use kernel::query::Column;
use kernel::shape::Word;

use crate::conn::{DbError, Dialect, Row, Val};

/// What kind of value an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    Text,
    Int,
    Real,
    /// A list, map or group: comparable with nothing.
    Many,
}

/// What a column's expression gives.
pub(crate) fn gives(column: &Column) -> Gives {
    match column {
        Column::Key | Column::State | Column::Title | Column::Owner | Column::Health => Gives::Text,
        Column::Open | Column::Version | Column::Created | Column::Updated | Column::StateSince => Gives::Int,
        Column::Field { word, .. } => match word {
            Word::Text | Word::Enum | Word::Ref => Gives::Text,
            Word::Int | Word::Bool | Word::Time | Word::Duration | Word::Bytes => Gives::Int,
            Word::Float => Gives::Real,
            Word::List | Word::Map | Word::Group => Gives::Many,
        },
    }
}

/// Whether a column holds true or false.
pub(crate) fn is_bool(column: &Column) -> bool {
    matches!(column, Column::Open | Column::Field { word: Word::Bool, .. })
}

/// The segments of a field's path, when all are names.
fn segments(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = path.split('.').collect();
    parts.iter().all(|p| is_snake(p)).then_some(parts)
}

/// A field as JSON text (`->>`), of the table `alias` (with its dot, or empty).
fn field_text(path: &str, alias: &str, dialect: Dialect) -> Option<String> {
    let parts = segments(path)?;
    Some(match dialect {
        Dialect::Sqlite => format!("json_extract({alias}fields, '$.{}')", parts.join(".")),
        Dialect::Postgres => format!("({alias}fields::jsonb #>> '{{{}}}')", parts.join(",")),
    })
}

/// The elements of a list field as a table with one column `value`.
pub(crate) fn list_elements(path: &str, alias: &str, dialect: Dialect) -> Option<String> {
    let parts = segments(path)?;
    Some(match dialect {
        Dialect::Sqlite => format!(
            "json_each(CASE WHEN json_type({alias}fields, '$.{0}') = 'array' THEN json_extract({alias}fields, '$.{0}') ELSE '[]' END) AS e",
            parts.join(".")
        ),
        Dialect::Postgres => {
            let list = format!("{alias}fields::jsonb #> '{{{}}}'", parts.join(","));
            format!(
                "jsonb_array_elements_text(CASE WHEN jsonb_typeof({list}) = 'array' THEN {list} ELSE '[]'::jsonb END) AS e (value)"
            )
        }
    })
}

/// A column for comparisons: null when there is no value. `None` when the column cannot be compared.
pub(crate) fn equal_expression(column: &Column, alias: &str, dialect: Dialect) -> Option<String> {
    let plain = |name: &str| Some(format!("{alias}{name}"));
    match column {
        Column::Key => plain("key"),
        Column::State => plain("state"),
        Column::Open => plain("open"),
        Column::Title => plain("title"),
        Column::Owner => plain("owner"),
        Column::Health => plain("health"),
        Column::Version => plain("version"),
        Column::Created => plain("created"),
        Column::Updated => plain("updated"),
        Column::StateSince => plain("state_since"),
        Column::Field { path, word, .. } => {
            let text = field_text(path, alias, dialect)?;
            Some(match (word, dialect) {
                (Word::List | Word::Map | Word::Group, _) => return None,
                (Word::Time, _) => format!("ms_time({text})"),
                (Word::Duration, _) => format!("ms_span({text})"),
                (Word::Text | Word::Enum | Word::Ref, Dialect::Postgres) => format!("{text} COLLATE \"C\""),
                (Word::Float, Dialect::Postgres) => format!("ms_real({text})"),
                (_, Dialect::Postgres) => format!("ms_int({text})"),
                (_, Dialect::Sqlite) => text,
            })
        }
    }
}

/// A column for sorting: what has no value sorts before everything else.
pub(crate) fn sort_expression(column: &Column, alias: &str, dialect: Dialect) -> Option<String> {
    let expression = equal_expression(column, alias, dialect)?;
    if matches!(
        column,
        Column::Key
            | Column::State
            | Column::Open
            | Column::Title
            | Column::Version
            | Column::Created
            | Column::Updated
            | Column::StateSince
    ) {
        return Some(expression);
    }
    Some(match gives(column) {
        Gives::Text => format!("coalesce({expression}, '')"),
        Gives::Int => format!("coalesce({expression}, {})", i64::MIN + 1),
        Gives::Real => format!("coalesce({expression}, -1e308)"),
        Gives::Many => return None,
    })
}

/// A cursor's value as the sort expression gives it; `None` when it is of another type than the column.
pub(crate) fn sort_operand(column: &Column, value: &Value) -> Option<Val<'static>> {
    Some(match (gives(column), value) {
        (Gives::Text, Value::Null) => Val::from(String::new()),
        (Gives::Text, Value::String(t)) => Val::from(t.clone()),
        (Gives::Int, Value::Null) => Val::Int(i64::MIN + 1),
        (Gives::Int, Value::Bool(b)) => Val::from(*b),
        (Gives::Int, Value::Number(n)) => Val::Int(n.as_i64()?),
        (Gives::Real, Value::Null) => Val::Real(-1e308),
        (Gives::Real, Value::Number(n)) => Val::Real(n.as_f64()?),
        _ => return None,
    })
}

/// A column's value as surfaces show it.
pub(crate) fn shown(column: &Column, row: &dyn Row, i: usize) -> Result<Value, DbError> {
    let word = match column {
        Column::Created | Column::Updated | Column::StateSince => Some(Word::Time),
        Column::Field { word, .. } => Some(*word),
        _ => None,
    };
    Ok(match (row.get(i)?, word) {
        (Val::Null, _) => Value::Null,
        (Val::Int(n), _) if is_bool(column) => Value::Bool(n != 0),
        (Val::Int(n), Some(Word::Time)) => Value::from(Time::from_micros(n).to_string()),
        (Val::Int(n), Some(Word::Duration)) => {
            Value::from(format_duration(Duration::from_millis(n.max(0).unsigned_abs())))
        }
        (Val::Int(n), _) => Value::from(n),
        (Val::Real(n), _) => Value::from(n),
        (Val::Text(t), _) => Value::from(t.into_owned()),
        (Val::Blob(_), _) => return Err(DbError::Damaged("a value that is bytes where text was written".into())),
    })
}
