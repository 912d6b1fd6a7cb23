//! What a test of rules finds, and that Debian's promtool finds the same in the same files.

use super::super::file;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

fn report(name: &str) -> Report {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let suite = parse(&text).unwrap();
    let mut taken = BTreeSet::new();
    let mut rules = Vec::new();
    for path in &suite.rule_files {
        let text = std::fs::read_to_string(folder().join(path)).unwrap();
        rules.extend(file::import(&text, &mut taken).unwrap().into_iter().map(|i| i.rule));
    }
    run(&suite, &rules).unwrap()
}

/// Runs Debian's promtool on a test file: whether it was content, and what it said.
fn promtool(name: &str) -> (bool, String) {
    #[expect(clippy::disallowed_methods, reason = "the real peer, which ends by itself")]
    let output = std::process::Command::new("promtool").args(["test", "rules", name]).current_dir(folder()).output();
    let output = output.expect("promtool is not installed: apt-get install prometheus");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn promtool_comes_to_the_same_verdict_on_every_file() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with("_test.yml"))
        .collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let ours = report(&name);
        let (theirs, said) = promtool(&name);
        assert_eq!(ours.failed.is_empty(), theirs, "{name}: ours {:#?}\ntheirs: {said}", ours.failed);
        assert_eq!(theirs, !name.starts_with("wrong"), "{name} {said}");
    }
}

#[test]
fn a_difference_shows_what_is_missing_and_what_is_too_much() {
    let report = report("wrong_annotation_test.yml");
    assert_eq!(report.looked_at, 1);
    let text = report.failed[0].to_string();
    assert!(text.contains("alert InstanceDown at 10m"), "{text}");
    assert!(text.contains("- {alertname=") && text.contains("+ {alertname="), "{text}");
}

#[test]
fn a_mistake_in_a_test_file_is_told_with_its_line() {
    for (text, line, message) in [
        ("tests:\n- interval: 1m\n  input_serie: []\n", 3, "did you mean input_series?"),
        ("tests:\n- input_series:\n  - series: up\n    values: 1 z\n", 3, "\"z\""),
        ("tests:\n- promql_expr_test:\n  - expr: up >\n    eval_time: 1m\n", 3, "parse error"),
        ("group_eval_order: [a, a]\n", 1, "stands in the order twice"),
        ("evaluation_interval: 5\n", 1, "has no unit"),
    ] {
        let fault = parse(text).unwrap_err();
        assert!(fault.line == line && fault.message.contains(message), "{text}: {fault:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(tests:|- input_series:|  - series: up|    values: 1x9|  alert_rule_test:|    eval_time: 5m|\\{|\\}|\\[|\n|  |\\PC){0,30}") {
        drop(parse(&text));
    }
}
