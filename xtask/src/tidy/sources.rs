//! Sources: what Rust files must say, and what must not be in them.

use super::Finding;
use super::lexer::Kind;
use super::tree::Tree;

/// How a piece of SQL begins. Upper case only: a sentence may begin with "Select".
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "CREATE UNIQUE ",
    "CREATE VIRTUAL ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "DROP INDEX ",
    "PRAGMA ",
    "VACUUM",
    "BEGIN IMMEDIATE",
    "WITH RECURSIVE ",
];

/// Classes of the domains. Left out are those whose word has a plain meaning of its own in the kernel (rule, run, action,
/// policy, prefix, address, review, schedule, database, release).
const DOMAIN_CLASSES: &[&str] = &[
    "host",
    "network-device",
    "endpoint",
    "application",
    "cluster",
    "cloud-resource",
    "container",
    "service",
    "site",
    "rack",
    "vlan",
    "circuit",
    "software",
    "licence",
    "certificate",
    "check",
    "alert",
    "silence",
    "maintenance-window",
    "dashboard",
    "incident",
    "problem",
    "known-error",
    "runbook",
    "runbook-run",
    "on-call-schedule",
    "escalation-policy",
    "notification",
    "request",
    "catalogue-item",
    "article",
    "survey",
    "announcement",
    "deployment",
    "project",
    "backup-policy",
    "restore-test",
    "continuity-plan",
    "drill",
    "finding",
    "risk",
    "access-review",
    "capacity-plan",
    "forecast",
    "supplier",
    "contract",
    "opportunity",
    "proposal",
    "service-level",
    "complaint",
    "improvement-action",
    "audit",
];

/// SQL outside the store could leave out the tenant, and would have to be written twice, for both databases.
pub fn sql_is_in_the_store(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.krate().is_some_and(|krate| krate != "store")) {
        for token in source.outside_tests().filter(|token| token.kind == Kind::Text) {
            if SQL.iter().any(|start| token.text.trim_start().starts_with(start)) {
                let message = "SQL text outside crates/store: ask for what you need through the kernel's Backend";
                findings.push(Finding::new(&source.path, token.line, message));
            }
        }
    }
    findings
}

/// The kernel treats all classes alike: one that it knows by name would be an exception that no YAML class can have.
pub fn the_kernel_names_no_domain(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.krate() == Some("kernel")) {
        for token in source.outside_tests().filter(|token| token.kind == Kind::Text) {
            if DOMAIN_CLASSES.contains(&token.text.as_str()) {
                let message = format!("the kernel names the class \"{}\": let the class definition say it", token.text);
                findings.push(Finding::new(&source.path, token.line, message));
            }
        }
    }
    findings
}

/// A stranger who opens a file first wants to know what it is for, and what it must never do.
pub fn a_module_says_what_it_is_for(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let header = source.tokens.first().filter(|token| token.text.starts_with("//!"));
        let says_something = header.is_some_and(|token| token.text.trim_start_matches("//!").trim().contains(' '));
        if !says_something {
            let message = "no header: begin with `//!` and a sentence on what the module is for and must never do";
            findings.push(Finding::new(&source.path, 1, message));
        }
    }
    findings
}

/// What is left for later belongs in an issue, where somebody looks; in the code it only excuses.
pub fn nothing_is_left_for_later(tree: &Tree) -> Vec<Finding> {
    // In pieces, so that this file does not find itself.
    const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
    const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
    let mut findings = Vec::new();
    for source in &tree.sources {
        for pair in source.tokens.windows(2) {
            if MACROS.iter().any(|name| pair[0].is_word(name)) && pair[1].is_sign('!') {
                let message = format!("`{}!` left in the code: finish it, or take it out", pair[0].text);
                findings.push(Finding::new(&source.path, pair[0].line, message));
            }
        }
        for comment in source.tokens.iter().filter(|token| token.kind == Kind::Comment) {
            let mut words = comment.text.split(|c: char| !c.is_alphanumeric());
            if let Some(mark) = words.find(|word| MARKS.contains(word)) {
                let message = format!("{mark} in a comment: do it, or open an issue and say here what holds today");
                findings.push(Finding::new(&source.path, comment.line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&Tree) -> Vec<Finding>;

    fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::sample(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_rule_finds_its_bad_example_and_nothing_else() {
        let table: &[(Rule, &str, &str, &[usize], &str)] = &[
            (sql_is_in_the_store, "crates/api/src/a.rs", "\n let q = \"SELECT * FROM record\";", &[2], "a query"),
            (sql_is_in_the_store, "crates/api/src/a.rs", "let q = r#\"\n  DELETE FROM x\"#;", &[1], "in raw text"),
            (sql_is_in_the_store, "crates/store/src/a.rs", "\"SELECT 1\"", &[], "at home"),
            (sql_is_in_the_store, "crates/api/src/a.rs", "// SELECT 1\n\"Select a site\"", &[], "comment and sentence"),
            (sql_is_in_the_store, "crates/api/tests/it/main.rs", "\"SELECT 1\"", &[], "a test's bait"),
            (the_kernel_names_no_domain, "crates/kernel/src/a.rs", "f(\"incident\")", &[1], "a class of respond"),
            (the_kernel_names_no_domain, "crates/kernel/src/a.rs", "f(\"an incident\") // \"incident\"", &[], "prose"),
            (the_kernel_names_no_domain, "crates/respond/src/a.rs", "f(\"incident\")", &[], "its own"),
            (the_kernel_names_no_domain, "crates/kernel/src/a.rs", "#[cfg(test)] mod t { \"host\" }", &[], "a test"),
            (a_module_says_what_it_is_for, "crates/x/src/a.rs", "use std::fmt;", &[1], "no header"),
            (a_module_says_what_it_is_for, "crates/x/src/a.rs", "//! store", &[1], "a name is not a sentence"),
            (a_module_says_what_it_is_for, "crates/x/src/a.rs", "//! Store: records on disk.", &[], "a header"),
            (nothing_is_left_for_later, "crates/x/src/a.rs", "fn f() {\n todo!() }", &[2], "unfinished"),
            (nothing_is_left_for_later, "crates/x/src/a.rs", concat!("// FIX", "ME: soon"), &[1], "a mark"),
            (nothing_is_left_for_later, "crates/x/src/a.rs", "let todo = 1; // todo list", &[], "a word"),
        ];
        for (rule, path, text, expected, why) in table {
            assert_eq!(lines(*rule, path, text), *expected, "{why}");
        }
    }
}
