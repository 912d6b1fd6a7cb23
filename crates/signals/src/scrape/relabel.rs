//! Relabelling: rules that keep, drop and rewrite a set of labels, with Prometheus's documented meaning. Pure: no clock, no network.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::text::{Text, Texts};

/// Labels while they are being rewritten, in order of name. An empty value is no label.
pub type LabelSet = BTreeMap<String, String>;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Prometheus's")]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

/// One rule, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Rule {
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
    action: Action,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    source_labels: Texts,
    separator: Option<Text>,
    regex: Option<Text>,
    modulus: Option<u64>,
    target_label: Option<Text>,
    replacement: Option<Text>,
    action: Option<Text>,
}

impl TryFrom<Raw> for Rule {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let word = raw.action.map_or_else(|| "replace".to_owned(), |a| a.0.to_ascii_lowercase());
        let known = ACTIONS.iter().find(|(name, _)| *name == word);
        let action = known
            .map(|(_, action)| *action)
            .ok_or_else(|| super::text::unknown("relabel action", &word, ACTIONS.iter().map(|(name, _)| *name)))?;
        let names_only = matches!(action, Action::LabelDrop | Action::LabelKeep | Action::LabelMap);
        let equality = matches!(action, Action::KeepEqual | Action::DropEqual);
        let needs_target =
            equality || matches!(action, Action::Replace | Action::HashMod | Action::Lowercase | Action::Uppercase);
        if needs_target && raw.target_label.as_ref().is_none_or(|t| t.0.is_empty()) {
            return Err(format!("a relabel rule with action {word} needs target_label"));
        }
        if action == Action::HashMod && raw.modulus.unwrap_or(0) == 0 {
            return Err("a relabel rule with action hashmod needs a modulus above 0".to_owned());
        }
        if equality && (raw.regex.is_some() || raw.replacement.is_some() || raw.modulus.is_some()) {
            return Err(format!("a relabel rule with action {word} takes source_labels and target_label only"));
        }
        if names_only && !raw.source_labels.0.is_empty() {
            return Err(format!(
                "a relabel rule with action {word} looks at names of labels: it takes no source_labels"
            ));
        }
        let expression = raw.regex.map_or_else(|| "(.*)".to_owned(), |r| r.0);
        Ok(Self {
            source_labels: raw.source_labels.0,
            separator: raw.separator.map_or_else(|| ";".to_owned(), |s| s.0),
            regex: anchored(&expression)?,
            modulus: raw.modulus.unwrap_or(0),
            target_label: raw.target_label.map(|t| t.0).unwrap_or_default(),
            replacement: raw.replacement.map_or_else(|| "$1".to_owned(), |r| r.0),
            action,
        })
    }
}

/// An expression that the whole of a value must fit.
fn anchored(expression: &str) -> Result<Regex, String> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
    // By itself first: `)|(` has a meaning only inside our anchors, and another one than its author's.
    let made = build(expression).and_then(|_| build(&format!("^(?s:{expression})$")));
    made.map_err(|error| format!("{expression:?} is no regular expression that can be used: {error}"))
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn set(labels: &mut LabelSet, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

/// Applies the rules in order. False: what has these labels is dropped.
pub fn apply(labels: &mut LabelSet, rules: &[Rule]) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    fn apply(&self, labels: &mut LabelSet) -> bool {
        let sources: Vec<&str> =
            self.source_labels.iter().map(|name| labels.get(name).map_or("", String::as_str)).collect();
        let value = sources.join(&self.separator);
        let target = || labels.get(&self.target_label).map_or("", String::as_str);
        match self.action {
            Action::Keep => return self.regex.is_match(&value),
            Action::Drop => return !self.regex.is_match(&value),
            Action::KeepEqual => return target() == value,
            Action::DropEqual => return target() != value,
            Action::Replace => self.replace(labels, &value),
            Action::Lowercase => set(labels, &self.target_label, value.to_lowercase()),
            Action::Uppercase => set(labels, &self.target_label, value.to_uppercase()),
            Action::HashMod => set(labels, &self.target_label, (hash(&value) % self.modulus).to_string()),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
            Action::LabelMap => {
                let found: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| self.regex.is_match(name))
                    .map(|(name, value)| {
                        (self.regex.replace(name, self.replacement.as_str()).into_owned(), value.clone())
                    })
                    .collect();
                found.into_iter().for_each(|(name, value)| set(labels, &name, value));
            }
        }
        true
    }

    fn replace(&self, labels: &mut LabelSet, value: &str) {
        let Some(found) = self.regex.captures(value) else { return };
        let (mut name, mut made) = (String::new(), String::new());
        found.expand(&self.target_label, &mut name);
        if is_label_name(&name) {
            found.expand(&self.replacement, &mut made);
            set(labels, &name, made);
        }
    }
}

/// The last eight bytes of the MD5 sum, so that a shard here is the shard that Prometheus would take.
fn hash(value: &str) -> u64 {
    use md5::Digest;
    let sum = md5::Md5::digest(value.as_bytes());
    sum.iter().skip(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> LabelSet {
        let pairs = text.split(',').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap());
        pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    fn shown(labels: &LabelSet) -> String {
        labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",")
    }

    /// Rule, labels before, labels after (`-`: dropped), and what is shown.
    #[test]
    fn every_action_means_what_prometheus_says_it_means() {
        let table = [
            (
                "{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}",
                "a=foo,b=bar",
                "a=foo,b=bar,d=choo-choo",
                "replace",
            ),
            (
                "{source_labels: [a, b], regex: '(f.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}",
                "a=foo,b=bar",
                "a=bfoobam,b=bar",
                "sources are joined by ;",
            ),
            (
                "{source_labels: [a, b], separator: '', regex: foobar, target_label: c, replacement: x}",
                "a=foo,b=bar",
                "a=foo,b=bar,c=x",
                "an own separator",
            ),
            (
                "{source_labels: [a], regex: 'oo', target_label: d, replacement: x}",
                "a=foo",
                "a=foo",
                "anchored at both ends",
            ),
            (
                "{source_labels: [a], regex: 'x|fo', target_label: d, replacement: x}",
                "a=foo",
                "a=foo",
                "the anchors hold for all alternatives",
            ),
            ("{source_labels: [a], target_label: d}", "a=foo", "a=foo,d=foo", "the defaults copy"),
            ("{target_label: d, replacement: x}", "a=foo", "a=foo,d=x", "no source is an empty text, which fits (.*)"),
            (
                "{source_labels: [a], regex: '(.*)', target_label: a, replacement: ''}",
                "a=foo,b=c",
                "b=c",
                "an empty value removes",
            ),
            (
                "{source_labels: [a], regex: 'f.*', target_label: '${1}'}",
                "a=foo",
                "a=foo",
                "a name that would be empty is not set",
            ),
            (
                "{source_labels: [a], regex: '(f).*', target_label: '$1x', replacement: y}",
                "a=foo",
                "a=foo",
                "$1x is the group named 1x",
            ),
            (
                "{source_labels: [a], regex: '(f).*', target_label: '${1}x', replacement: y}",
                "a=foo",
                "a=foo,fx=y",
                "${1}x is the first group and an x",
            ),
            (
                "{source_labels: [a], regex: '(.).*', target_label: d, replacement: '$$${1}'}",
                "a=foo",
                "a=foo,d=$f",
                "two dollars are one",
            ),
            (
                "{source_labels: [a], regex: 'a.b', target_label: d, replacement: y}",
                "a=a\nb",
                "a=a\nb,d=y",
                "a dot fits a line break",
            ),
            ("{source_labels: [a], regex: 'f.*', action: keep}", "a=foo", "a=foo", "keep what fits"),
            ("{source_labels: [a], regex: 'x', action: keep}", "a=foo", "-", "keep drops the rest"),
            ("{source_labels: [gone], regex: '', action: keep}", "a=foo", "a=foo", "a missing label is empty"),
            ("{source_labels: [a], regex: 'f.*', action: DROP}", "a=foo", "-", "drop, in any case of letters"),
            ("{source_labels: [a], regex: 'f', action: drop}", "a=foo", "a=foo", "drop, anchored"),
            ("{source_labels: [a], target_label: b, action: keepequal}", "a=x,b=x", "a=x,b=x", "equal is kept"),
            ("{source_labels: [a], target_label: b, action: keepequal}", "a=x,b=y", "-", "unequal is not"),
            ("{source_labels: [a], target_label: b, action: dropequal}", "a=x,b=x", "-", "equal is dropped"),
            ("{source_labels: [a], target_label: b, action: dropequal}", "a=x,b=y", "a=x,b=y", "unequal is not"),
            (
                "{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}",
                "c=baz",
                "c=baz,d=976",
                "Prometheus's own test",
            ),
            (
                "{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}",
                "c=foo\nbar",
                "c=foo\nbar,d=734",
                "Prometheus's own test",
            ),
            (
                "{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}",
                "a=foo,b1=bar,b2=baz",
                "a=foo,b1=bar,b2=baz,bar_b1=bar,bar_b2=baz",
                "labelmap copies",
            ),
            (
                "{regex: '__meta_(my.*)', action: labelmap}",
                "__meta_my_bar=aaa,__other=b",
                "__meta_my_bar=aaa,__other=b,my_bar=aaa",
                "labelmap with the defaults",
            ),
            ("{regex: 'b.*', action: labeldrop}", "a=1,b1=2,b2=3,cb=4", "a=1,cb=4", "labeldrop, anchored"),
            ("{regex: 'b.*', action: labelkeep}", "a=1,b1=2,b2=3", "b1=2,b2=3", "labelkeep"),
            ("{source_labels: [a], target_label: a, action: lowercase}", "a=FoO", "a=foo", "lowercase"),
            ("{source_labels: [a], target_label: b, action: uppercase}", "a=bar", "a=bar,b=BAR", "uppercase"),
            (
                "{source_labels: [a], regex: 1, target_label: b, replacement: 2}",
                "a=1",
                "a=1,b=2",
                "numbers are taken as text",
            ),
        ];
        for (rule, before, after, why) in table {
            let rule: Rule = yaml_serde::from_str(rule).unwrap_or_else(|e| panic!("{rule}: {e}"));
            let mut set = labels(before);
            let kept = apply(&mut set, &[rule]);
            assert_eq!(if kept { shown(&set) } else { "-".to_owned() }, after, "{why}");
        }
    }

    #[test]
    fn a_rule_that_cannot_work_is_refused_with_the_reason() {
        for (rule, why) in [
            ("{action: replase}", "did you mean replace?"),
            ("{source_labels: [a], regex: '('}", "target_label"),
            ("{regex: '(', action: labeldrop}", "no regular expression"),
            ("{regex: ')|(', action: labeldrop}", "no regular expression"),
            ("{source_labels: [a], target_label: b, action: hashmod}", "modulus"),
            ("{source_labels: [a], target_label: b, regex: x, action: keepequal}", "only"),
            ("{source_labels: [a], regex: x, action: labelkeep}", "no source_labels"),
            ("{sourcelabels: [a]}", "unknown field"),
        ] {
            let error = yaml_serde::from_str::<Rule>(rule).unwrap_err().to_string();
            assert!(error.contains(why), "{rule}: {error}");
        }
    }

    #[test]
    fn rules_work_one_behind_the_other_and_a_drop_ends_it() {
        let rules: Vec<Rule> = yaml_serde::from_str(
            "[{source_labels: [a], target_label: b}, {source_labels: [b], regex: foo, action: drop}, {target_label: c, replacement: x}]",
        )
        .unwrap();
        let mut set = labels("a=foo");
        assert!(!apply(&mut set, &rules));
        assert_eq!(shown(&set), "a=foo,b=foo");
    }
}
