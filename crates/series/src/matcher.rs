//! Which series a read means: Prometheus's four matchers, with its rule that a missing label is an empty one.

use regex::{Regex, RegexBuilder};

use crate::error::SeriesError;
use crate::labels::Labels;

/// An expression may compile to at most this many bytes.
const EXPRESSION_BYTES: usize = 1 << 20;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `=~`: the whole value matches the expression.
    Re,
    /// `!~`
    Nre,
}

/// One condition on one label. Linear in time: expressions have no backtracking.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    compiled: Option<Regex>,
}

fn compile(expression: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression).size_limit(EXPRESSION_BYTES).dfa_size_limit(EXPRESSION_BYTES).build()
}

impl Matcher {
    /// A matcher. Expressions are anchored at both ends and `.` matches a newline, as in Prometheus.
    ///
    /// # Errors
    /// [`SeriesError::Expression`] when it is not a regular expression, or too large.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> crate::Result<Self> {
        let value = value.into();
        let compiled = match op {
            MatchOp::Eq | MatchOp::Ne => None,
            // By itself first: `)|(` has a meaning only inside our anchors, and another one than its author's.
            MatchOp::Re | MatchOp::Nre => {
                let anchored = compile(&value).and_then(|_| compile(&format!("^(?s:{value})$")));
                let error =
                    |e: regex::Error| SeriesError::Expression { expression: value.clone(), reason: e.to_string() };
                Some(anchored.map_err(error)?)
            }
        };
        Ok(Self { name: name.into(), op, value, compiled })
    }

    /// `name = value`, which cannot fail.
    pub fn eq(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Eq, value: value.into(), compiled: None }
    }

    /// The label it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with, as given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a series with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.get(&self.name).unwrap_or_default())
    }

    /// Whether a value of its label is meant; a missing label is an empty one.
    pub(crate) fn matches_value(&self, found: &str) -> bool {
        match (self.op, &self.compiled) {
            (MatchOp::Eq, _) => found == self.value,
            (MatchOp::Ne, _) => found != self.value,
            (MatchOp::Re, Some(re)) => re.is_match(found),
            (MatchOp::Nre, Some(re)) => !re.is_match(found),
            (MatchOp::Re | MatchOp::Nre, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_mean_what_they_mean_in_prometheus() {
        let labels = Labels::metric("up", &[("job", "web"), ("note", "a\nb")]).unwrap();
        let table = [
            ("job", MatchOp::Eq, "web", true, "equal"),
            ("job", MatchOp::Eq, "we", false, "not a prefix"),
            ("job", MatchOp::Ne, "db", true, "not equal"),
            ("gone", MatchOp::Eq, "", true, "a missing label is empty"),
            ("gone", MatchOp::Ne, "", false, "a missing label is empty"),
            ("gone", MatchOp::Ne, "x", true, "a missing label is not x"),
            ("job", MatchOp::Re, "w.b|x", true, "expression"),
            ("job", MatchOp::Re, "we", false, "anchored at the end"),
            ("job", MatchOp::Re, "eb", false, "anchored at the start"),
            ("job", MatchOp::Re, "a|web", true, "the anchors hold for all alternatives"),
            ("gone", MatchOp::Re, ".*", true, "missing matches anything"),
            ("gone", MatchOp::Re, ".+", false, "missing is not something"),
            ("note", MatchOp::Re, "a.b", true, "a dot matches a newline"),
            ("job", MatchOp::Nre, "web", false, "not like"),
            ("job", MatchOp::Nre, "w", true, "not like, anchored"),
        ];
        for (name, op, value, expected, why) in table {
            assert_eq!(Matcher::new(name, op, value).unwrap().matches(&labels), expected, "{why}");
        }
    }

    #[test]
    fn a_bad_or_huge_expression_is_refused() {
        assert!(Matcher::new("a", MatchOp::Re, "(").is_err());
        assert!(Matcher::new("a", MatchOp::Re, "((a{1000}){1000}){1000}").is_err());
        assert!(Matcher::new("a", MatchOp::Re, ")|(").is_err(), "the anchoring group cannot be closed from inside");
    }
}
