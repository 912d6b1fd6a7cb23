//! Rules back into a file of Prometheus, such that it says of each rule what its record says.

use kernel::Dur;
use std::collections::BTreeMap;

use super::{Group, RuleFile, RuleNode};
use crate::rule::Rule;

/// What a file says of a group as a whole. Rules of one group that differ in it can only be written as several groups.
type Whole = (Dur, Option<u32>, Option<Dur>);

/// Rules as a file of Prometheus: by group, in order of position; rules without a group are groups of their own. Labels stand with
/// each rule, which older Prometheus reads too; a look back is written only where there is one, since only newer ones know it.
///
/// # Errors
/// YAML that cannot be written: a defect.
pub fn export(rules: &[(String, Rule)]) -> Result<String, yaml_serde::Error> {
    let mut groups: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
    for (key, rule) in rules {
        groups.entry(rule.group.clone().unwrap_or_else(|| key.clone())).or_default().push(rule);
    }
    let mut file = RuleFile::default();
    let taken: Vec<String> = groups.keys().cloned().collect();
    for (name, mut rules) in groups {
        rules.sort_by_key(|rule| rule.position);
        let mut wholes: Vec<(Whole, Vec<&Rule>)> = Vec::new();
        for rule in rules {
            let whole = (rule.interval, rule.limit, rule.query_offset);
            match wholes.iter_mut().find(|(known, _)| *known == whole) {
                Some((_, rules)) => rules.push(rule),
                None => wholes.push((whole, vec![rule])),
            }
        }
        for (number, (whole, rules)) in wholes.into_iter().enumerate() {
            file.groups.push(group(free(&name, number, &taken), whole, &rules));
        }
    }
    yaml_serde::to_string(&file)
}

/// The name of the nth part of a group.
fn free(name: &str, number: usize, taken: &[String]) -> String {
    if number == 0 {
        return name.to_owned();
    }
    let mut free = format!("{name}-{}", number + 1);
    while taken.contains(&free) {
        free.push('+');
    }
    free
}

fn group(name: String, (interval, limit, query_offset): Whole, rules: &[&Rule]) -> Group {
    let node = |rule: &&Rule| RuleNode {
        alert: rule.record.is_none().then(|| rule.title.clone()),
        record: rule.record.clone(),
        expr: rule.expression.clone(),
        hold: rule.for_at_least.map(written),
        keep_firing_for: rule.keep_firing_for.map(written),
        labels: rule.labels.clone(),
        annotations: annotations(rule),
    };
    Group {
        name,
        interval: Some(written(interval)),
        query_offset: query_offset.map(written),
        limit,
        labels: BTreeMap::new(),
        rules: rules.iter().map(node).collect(),
    }
}

/// What the page says is a summary there, when there is none of its own.
fn annotations(rule: &Rule) -> BTreeMap<String, String> {
    let mut all = rule.annotations.clone();
    if let Some(say) = &rule.say {
        all.entry("summary".into()).or_insert_with(|| say.clone());
    }
    all
}

fn written(span: Dur) -> String {
    kernel::clock::format_duration(span.0)
}
