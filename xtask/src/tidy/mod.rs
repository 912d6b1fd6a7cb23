//! Tidy: the walls and house rules that no compiler checks, read from the sources and from `cargo metadata`.
//!
//! A rule is a function from the [`Tree`] to its findings, with its reason in its doc comment and a test on a bad
//! example. It never changes a file and never needs a build, so it runs in seconds, before anything else.

mod dependencies;
mod files;
mod lexer;
mod packages;
mod sources;
mod tests_rules;
mod traces;
mod tree;
mod walls;

pub use packages::Packages;

use anyhow::{Result, bail};
use std::fmt;
use tree::Tree;

/// One place that breaks a rule: where, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    walls::who_may_see_whom,
    walls::engines_live_where_they_belong,
    walls::sockets_are_at_the_rim,
    sources::sql_is_in_the_store,
    sources::the_kernel_names_no_domain,
    sources::a_module_says_what_it_is_for,
    sources::nothing_is_left_for_later,
    files::a_file_is_short,
    files::a_file_is_named_for_what_is_in_it,
    files::a_link_leads_somewhere,
    tests_rules::one_integration_binary_a_crate,
    tests_rules::no_test_is_switched_off,
    tests_rules::a_test_waits_for_a_condition,
    dependencies::each_dependency_is_explained,
    dependencies::each_dependency_is_used,
    dependencies::the_lock_holds_no_banned_crate,
    traces::no_trace_of_a_machine,
];

/// Runs every rule on the working tree and prints what they find.
///
/// # Errors
/// When anything is found, or the tree cannot be read.
pub fn run() -> Result<()> {
    let tree = Tree::read()?;
    for notice in files::files_that_ask_to_be_two(&tree) {
        println!("note: {notice}");
    }
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    println!("{} files, {} rules, {} findings", tree.files.len(), RULES.len(), findings.len());
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}
