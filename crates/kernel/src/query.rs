//! Questions to the backend as data: what a filter compiles to, sort orders and cursors. No SQL: that is the store's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{Id, Kind};
use crate::shape::Word;

/// A column of a record that a predicate or a sort can name.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Key.
    Key,
    /// State of the life cycle.
    State,
    /// Whether the state is open.
    Open,
    /// Title.
    Title,
    /// Owner.
    Owner,
    /// Health word.
    Health,
    /// Version.
    Version,
    /// When created.
    Created,
    /// When last changed.
    Updated,
    /// Since when in the state.
    StateSince,
    /// A field, by its validated path (`snake_case`, dots between groups), its word and whether it has an index.
    Field {
        /// Path.
        path: String,
        /// What it holds.
        word: Word,
        /// Declared as indexed.
        indexed: bool,
    },
}

impl Column {
    /// Name as written in filters.
    pub fn name(&self) -> &str {
        match self {
            Self::Key => "key",
            Self::State => "state",
            Self::Open => "open",
            Self::Title => "title",
            Self::Owner => "owner",
            Self::Health => "health",
            Self::Version => "version",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::StateSince => "state_since",
            Self::Field { path, .. } => path,
        }
    }
}

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A value to compare with; times are microseconds, durations milliseconds, so that order is that of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Text.
    Text(String),
    /// A whole number, or a time in microseconds.
    Int(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Bool(bool),
}

/// What records must match.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Everything.
    All,
    /// All of these.
    And(Vec<Predicate>),
    /// Any of these.
    Or(Vec<Predicate>),
    /// Not this.
    Not(Box<Predicate>),
    /// One of these values. Text is compared without regard to case for titles, exactly elsewhere.
    In(Column, Vec<Operand>),
    /// A text that contains this, without regard to case (`*word*`).
    Like(Column, String),
    /// Ordered comparison.
    Cmp(Column, Compare, Operand),
    /// Has a value.
    Present(Column),
    /// A list field contains one of these.
    Contains(Column, Vec<Operand>),
    /// Has a link of this type (out: as source) to a record that matches.
    Linked {
        /// Link type; `None`: any.
        name: Option<String>,
        /// As source (`true`) or as target.
        out: bool,
        /// Classes of the other end; empty: any.
        kinds: Vec<Kind>,
        /// What the other end must match.
        inner: Box<Predicate>,
    },
    /// Has all of these words in its text.
    Words(Vec<String>),
    /// Is one of these records.
    Ids(Vec<Id>),
}

impl Predicate {
    /// Both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, p) | (p, Self::All) => p,
            (Self::And(mut all), Self::And(more)) => {
                all.extend(more);
                Self::And(all)
            }
            (Self::And(mut all), p) => {
                all.push(p);
                Self::And(all)
            }
            (p, q) => Self::And(vec![p, q]),
        }
    }

    /// Whether every part has an index to go by; a question without one says that it was slow.
    pub fn indexed(&self) -> bool {
        match self {
            Self::All | Self::Words(_) | Self::Ids(_) | Self::Linked { .. } => true,
            Self::And(all) => all.is_empty() || all.iter().any(Self::indexed),
            Self::Or(any) => any.iter().all(Self::indexed),
            Self::Not(_) | Self::Like(..) | Self::Contains(..) | Self::Present(_) => false,
            Self::In(column, _) | Self::Cmp(column, ..) => {
                matches!(
                    column,
                    Column::Key
                        | Column::State
                        | Column::Open
                        | Column::Owner
                        | Column::Health
                        | Column::Updated
                        | Column::Created
                        | Column::Field { indexed: true, .. }
                )
            }
        }
    }
}

/// One key of a sort order.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// By what.
    pub column: Column,
    /// Greatest or newest first.
    pub descending: bool,
}

/// A question for a page of records of one class.
#[derive(Clone, Debug)]
pub struct Query {
    /// The class.
    pub kind: Kind,
    /// What must match.
    pub predicate: Predicate,
    /// In which order; ties are broken by id in the direction of the first key.
    pub sort: SortKey,
    /// At most so many.
    pub limit: usize,
    /// After this place.
    pub after: Option<Cursor>,
}

/// A place in a sort order: the sort value and id of the last record of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The sort value as stored.
    #[serde(rename = "v")]
    pub value: Value,
    /// The id.
    #[serde(rename = "i")]
    pub id: Id,
}

impl Cursor {
    /// Opaque text for a URL.
    pub fn encode(&self) -> String {
        hex::encode(serde_json::to_vec(self).expect("a cursor is plain data"))
    }

    /// From that text.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > 4096 {
            return None;
        }
        serde_json::from_slice(&hex::decode(text).ok()?).ok()
    }
}

/// How many records match: exact up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Exact count, when it is at most the limit.
    pub exact: Option<u64>,
    /// At least so many.
    pub at_least: u64,
}
