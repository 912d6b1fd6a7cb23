//! Unit tests of rules, in the format of `promtool test rules`: series to load, times to look, alerts and values to expect.
//!
//! A test has its own little world in memory; nothing live is asked. Here missing data ends an alert, as in Prometheus, so that
//! a file means the same in both programs.

mod format;
mod run;

use std::fmt;

pub use format::{Suite, parse};
pub use run::run;

/// What did not come out as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The test: its name, or its place in the file from 1.
    pub test: String,
    /// What was looked at, and when.
    pub what: String,
    /// Expected, by line; missing ones begin with `-`, unexpected ones with `+`.
    pub difference: Vec<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.test, self.what)?;
        self.difference.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// How the tests of a file went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many things were looked at.
    pub looked_at: usize,
    /// What was not as expected.
    pub failed: Vec<Failed>,
}

#[cfg(test)]
mod tests;
