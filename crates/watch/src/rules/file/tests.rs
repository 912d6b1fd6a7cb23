//! Files that people have, and the mistakes that they make.

use super::*;
use proptest::prelude::*;

const FILE: &str = r#"
# A comment.
groups:
  - name: node
    interval: 15s
    limit: 50
    rules:
      - alert: HighLoad
        expr: |
          sum by (instance) (node_load1)
            > 4
        for: 10m
        keep_firing_for: 5m
        labels: { severity: critical, tier: 1 }
        annotations:
          summary: "{{ $labels.instance }} is busy: {{ $value }}"
      - record: instance:load:sum
        expr: sum by (instance) (node_load1)
      - alert: HighLoad
        expr: node_load1 > 8
"#;

fn import_one(text: &str) -> Result<Vec<Imported>, Vec<FileFault>> {
    import(text, &mut BTreeSet::new())
}

#[test]
fn a_file_becomes_rules_with_all_that_it_says() {
    let all = import_one(FILE).unwrap();
    let shown: Vec<_> = all.iter().map(|i| (i.key.as_str(), i.line, i.rule.position)).collect();
    assert_eq!(shown, [("node-highload", 8, 0), ("node-instance:load:sum", 17, 1), ("node-highload-2", 19, 2)]);
    let first = &all[0].rule;
    assert_eq!(first.expression, "sum by (instance) (node_load1)\n  > 4");
    assert_eq!((first.for_at_least, first.keep_firing_for), (Some(Dur::seconds(600)), Some(Dur::seconds(300))));
    assert_eq!((first.interval, first.limit, first.severity), (Dur::seconds(15), Some(50), Severity::Critical));
    assert_eq!(first.labels["tier"], "1");
    assert_eq!(all[1].rule.record.as_deref(), Some("instance:load:sum"));
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_was_meant() {
    let rule = |body: &str| format!("groups:\n- name: a\n  rules:\n  - alert: X\n{body}");
    for (text, line, message) in [
        (rule("    exprr: up\n"), 5, "did you mean expr?"),
        (rule("    expr: up >\n"), 5, "expr: parse error at byte 4"),
        (rule("    expr: up\n    for: 5\n"), 6, "for: \"5\" has no unit"),
        (rule("    expr: up\n    for: soon\n"), 6, "for: \"soon\" is not a duration"),
        (rule("    expr: up\n    annotations:\n      summary: \"{{ $labels.x \"\n"), 7, "annotations.summary: line 1"),
        (rule("    expr: up[5m]\n"), 5, "expr: is a range vector"),
        (rule("    expr: up\n    record: b\n"), 6, "only one of record and alert"),
        (rule("    labels: {}\n"), 4, "expr: parse error"),
        (rule("    expr: up\n  - record: 1x\n    expr: up\n"), 6, "record: \"1x\" is not the name"),
        (rule("    expr: up\n- name: a\n"), 6, "group \"a\" stands in the file twice"),
        ("groups: [".into(), 2, ""),
    ] {
        let faults = import_one(&text).unwrap_err();
        let fault = &faults[0];
        assert!(fault.line == line && fault.message.contains(message), "{text}\ngives {fault:?}");
    }
}

#[test]
fn rules_written_back_are_the_rules_that_were_read() {
    let all = import_one(FILE).unwrap();
    let records: Vec<_> = all.iter().map(|i| (i.key.clone(), i.rule.clone())).collect();
    let text = export(&records).unwrap();
    let again: Vec<_> = import_one(&text).unwrap().into_iter().map(|i| (i.key, i.rule)).collect();
    assert_eq!(again, records, "{text}");
}

#[test]
fn what_a_group_says_of_all_its_rules_goes_in_and_out() {
    let text = "groups:\n- name: late\n  interval: 10s\n  query_offset: 1m\n  limit: 7\n  labels: { team: ops, tier: low }\n  rules:\n  \
                - alert: X\n    expr: up == 0\n    keep_firing_for: 5m\n    labels: { tier: high }\n  - record: a:b\n    expr: up\n";
    let all = import_one(text).unwrap();
    let (alert, record) = (&all[0].rule, &all[1].rule);
    assert_eq!((alert.query_offset, alert.limit), (Some(Dur::seconds(60)), Some(7)));
    assert_eq!((alert.labels["team"].as_str(), alert.labels["tier"].as_str()), ("ops", "high"), "a rule's own counts");
    assert_eq!((record.query_offset, record.labels["tier"].as_str()), (alert.query_offset, "low"));
    let records: Vec<_> = all.iter().map(|i| (i.key.clone(), i.rule.clone())).collect();
    let again = import_one(&export(&records).unwrap()).unwrap();
    assert_eq!(again.into_iter().map(|i| (i.key, i.rule)).collect::<Vec<_>>(), records);
    // A record has been changed: a file says an interval of a whole group only.
    let mut changed = records.clone();
    changed[1].1.interval = Dur::seconds(30);
    let again = import_one(&export(&changed).unwrap()).unwrap();
    let shown: Vec<_> =
        again.iter().map(|i| (i.rule.group.as_deref().unwrap(), i.rule.interval, i.rule.limit)).collect();
    assert_eq!(shown, [("late", Dur::seconds(10), Some(7)), ("late-2", Dur::seconds(30), Some(7))]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(groups:|- name: a|  rules:|  - alert: X|    expr: up|    for: 5m|\\{|\\}|\\[|\n|  |\\PC){0,30}") {
        drop(import_one(&text));
    }
}
