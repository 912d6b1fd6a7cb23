//! The texts of alerts: `{{ $labels.host }} is at {{ $value | humanizePercentage }}`, in the language of Prometheus's rule files.
//!
//! It is Go's template language as far as rule files use it, with Prometheus's functions. It asks nothing itself: a text that
//! needs a query says so ([`Failure::Needs`]), is given the answer, and is filled in again. Work and length are bounded, since
//! whoever may write a rule may write any text.

mod functions;
mod lex;
mod numbers;
mod parse;
mod run;

use std::collections::BTreeMap;

use crate::rules::state::LabelSet;

pub use numbers::{go_general, humanize, humanize_duration};

/// Bytes of a filled-in text at most.
pub const MAX_BYTES: usize = 64 << 10;
/// Steps of filling in at most.
const MAX_STEPS: usize = 100_000;
/// Queries of one text at most.
pub const MAX_QUERIES: usize = 16;

/// A text that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    source: String,
    nodes: Vec<parse::Node>,
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct TemplateError {
    /// Line in the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Why a text was not filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It needs the answer to a query first.
    #[error("needs the answer to {0}")]
    Needs(String),
    /// It cannot be filled in.
    #[error("{0}")]
    Wrong(String),
}

/// One series of the answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its labels, the name among them.
    pub labels: LabelSet,
    /// Its value.
    pub value: f64,
}

/// What a text is filled in with.
#[derive(Clone, Debug, Default)]
pub struct Fill<'a> {
    /// `$labels`
    pub labels: LabelSet,
    /// `$value`
    pub value: f64,
    /// `$externalLabels`
    pub external_labels: LabelSet,
    /// `$externalURL`
    pub external_url: &'a str,
    /// Now, Unix seconds.
    pub now: f64,
    /// Answers to queries asked so far; `Err` says why there is none.
    pub answers: BTreeMap<String, Result<Vec<Found>, String>>,
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// [`TemplateError`] with line and reason.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { source: text.to_owned(), nodes: parse::parse(text)? })
    }

    /// The text as given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text itself, when there is nothing to fill in.
    pub fn constant(&self) -> Option<&str> {
        match self.nodes.as_slice() {
            [] => Some(""),
            [parse::Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text, filled in.
    ///
    /// # Errors
    /// [`Failure::Needs`]: ask the query, put the answer into [`Fill::answers`], and call again.
    pub fn fill(&self, with: &Fill<'_>) -> Result<String, Failure> {
        run::run(&self.nodes, with)
    }
}

#[cfg(test)]
mod tests;
