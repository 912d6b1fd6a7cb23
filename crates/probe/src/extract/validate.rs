//! Validate: what a well-formed profile says that cannot be meant: sources, columns and names that do not exist.

use crate::extract::schema::{Fault, Profile, Rule, Source, StateMap};
use crate::extract::source::parse_place;
use crate::params::near_names;
use crate::snmp::Oid;

/// Every mistake of meaning in a profile, with its line as far as the text tells.
pub(super) fn faults(file: &str, text: &str, profile: &Profile) -> Vec<Fault> {
    let mut found = Found { file, text, faults: Vec::new() };
    if profile.rules.is_empty() {
        found.say(&profile.profile, "a profile without rules finds nothing".to_owned());
    }
    for (name, source) in &profile.sources {
        found.source(name, source);
    }
    for rule in &profile.rules {
        found.rule(profile, rule);
    }
    found.faults
}

struct Found<'t> {
    file: &'t str,
    text: &'t str,
    faults: Vec<Fault>,
}

impl Found<'_> {
    /// A mistake at the first line that has that text in it.
    fn say(&mut self, place: &str, message: String) {
        // As a whole word: `fre` is not what stands in a line with `free`.
        let is_here = |line: &str| {
            line.match_indices(place)
                .any(|(at, _)| !line[at + place.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let line = self.text.lines().position(is_here).map_or(1, |at| at + 1);
        self.faults.push(Fault { file: self.file.to_owned(), line, message });
    }

    fn source(&mut self, name: &str, source: &Source) {
        let kinds = [
            source.table.is_some(),
            !source.scalars.is_empty(),
            source.json.is_some(),
            source.jmx.is_some(),
            source.sql.is_some(),
            source.text.is_some(),
        ];
        if kinds.iter().filter(|is| **is).count() != 1 {
            let message = format!("source {name} must have exactly one of table, scalars, json, jmx, sql and text");
            self.say(&format!("{name}:"), message);
        }
        for (column, spec) in source.columns.iter().chain(&source.scalars) {
            let at = &spec.0.at.0;
            if (source.table.is_some() || !source.scalars.is_empty()) && oid_of(source, at).is_none() {
                let message = format!("column {column} of {name} is at {at:?}, which is neither a number nor an OID");
                self.say(at, message);
            }
        }
        for (column, spec) in &source.columns {
            let at = &spec.0.at.0;
            if at.starts_with('$') {
                let wrong = crate::http::refuse_costly(at).err().or_else(|| {
                    let wrong = serde_json_path::JsonPath::parse(at).err()?;
                    Some(format!("column {column} is at {at:?}, which is no JSON path ({})", wrong.message()))
                });
                if let Some(message) = wrong {
                    self.say(at, message);
                }
            }
        }
        for part in &source.index {
            let kind = part.split_once(':').map_or("number", |(_, kind)| kind);
            if !INDEX_KINDS.contains(&kind) {
                let message = format!("{part:?} is no part of an index; its kind is one of {}", INDEX_KINDS.join(", "));
                self.say(part, message);
            }
        }
        let known = names_of(source);
        for calculation in source.derive.values() {
            self.names(&calculation.expr.names(), &known, &calculation.text);
        }
    }

    fn rule(&mut self, profile: &Profile, rule: &Rule) {
        let title = rule.item.as_deref().or(rule.fact.as_deref()).unwrap_or_default();
        if rule.item.is_some() == rule.fact.is_some() {
            self.say("rules", format!("a rule has either item or fact; one from {:?} has both or neither", rule.from));
        }
        let Some(source) = profile.sources.get(&rule.from) else {
            let near = near_names(&rule.from, profile.sources.keys().map(String::as_str));
            let message = format!("there is no source {:?}{}", rule.from, did_you_mean(&near));
            return self.say(&format!("from: {}", rule.from), message);
        };
        let mut known = names_of(source);
        for join in &rule.join {
            self.names(&join.on.names(), &known.clone(), &join.source);
            let Some(other) = profile.sources.get(&join.source) else {
                let near = near_names(&join.source, profile.sources.keys().map(String::as_str));
                let message = format!("there is no source {:?} to join{}", join.source, did_you_mean(&near));
                self.say(&format!("source: {}", join.source), message);
                continue;
            };
            let alias = join.alias.as_deref().unwrap_or(&join.source);
            known.extend(names_of(other).into_iter().map(|name| format!("{alias}.{name}")));
            if let Some(by) = &join.by {
                self.names(&[by.as_str()], &names_of(other), by);
            }
        }
        let templates = [&rule.key, &rule.name].into_iter().chain(rule.labels.values()).chain(rule.fields.values());
        for template in templates {
            self.names(&template.names(), &known, title);
        }
        for state in &rule.states {
            if let StateMap::Named(name) = &state.map
                && !profile.maps.contains_key(name)
            {
                let near = near_names(name, profile.maps.keys().map(String::as_str));
                let message = format!("there is no map {name:?} among the profile's maps{}", did_you_mean(&near));
                self.say(&format!("map: {name}"), message);
            }
        }
        let samples = rule
            .samples
            .iter()
            .flat_map(|sample| [Some(&sample.value), sample.condition.as_ref()].into_iter().flatten());
        let states =
            rule.states.iter().flat_map(|state| [Some(&state.value), state.condition.as_ref()].into_iter().flatten());
        for calculation in samples.chain(states).chain(&rule.condition) {
            self.names(&calculation.expr.names(), &known, &calculation.text);
        }
        for template in rule.samples.iter().flat_map(|sample| [&sample.name, &sample.unit]) {
            self.names(&template.names(), &known, title);
        }
    }

    fn names(&mut self, used: &[&str], known: &[String], place: &str) {
        for name in used {
            let is_index = name.strip_prefix("index.").is_some_and(|part| part == "last" || part.parse::<u8>().is_ok());
            if is_index || *name == "index" || known.iter().any(|one| one == name) {
                continue;
            }
            if name.rsplit_once('.').is_some_and(|(alias, _)| known.iter().any(|one| *one == format!("{alias}.*"))) {
                continue;
            }
            if known.iter().any(|one| one == "*") && !name.contains('.') {
                continue;
            }
            let near = near_names(name, known.iter().map(String::as_str));
            let message = format!("there is no column {name:?} here{}", did_you_mean(&near));
            let line_of =
                if self.text.contains(&format!("{{{name}}}")) { format!("{{{name}}}") } else { place.to_owned() };
            self.say(&line_of, message);
        }
    }
}

const INDEX_KINDS: &[&str] = &["number", "text", "ipv4", "ipv6", "mac", "oid", "rest"];

fn did_you_mean(near: &[&str]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

/// Every name that a row of the source has. `*` stands for any: answers of SQL have the columns that were asked for.
fn names_of(source: &Source) -> Vec<String> {
    let index = source.index.iter().map(|part| part.split(':').next().unwrap_or_default().to_owned());
    let mut names: Vec<String> =
        source.columns.keys().chain(source.scalars.keys()).chain(source.derive.keys()).cloned().chain(index).collect();
    if let Some(text) = &source.text {
        names.extend(text.0.capture_names().flatten().map(str::to_owned));
    }
    if source.sql.is_some() && source.columns.is_empty() {
        names.push("*".to_owned());
    }
    if let Some(bean) = &source.jmx {
        names.push("bean.domain".to_owned());
        names.push("bean.name".to_owned());
        let keys = bean.split_once(':').map_or("", |(_, keys)| keys).split(',');
        names.extend(keys.filter_map(|pair| pair.split_once('=')).map(|(key, _)| format!("bean.{key}")));
        if bean.contains(",*") || bean.ends_with(":*") {
            names.push("bean.*".to_owned());
        }
    }
    names
}

/// The OID that a column's place means: a whole one, one below the device's identity, or numbers below the table's entry.
pub(super) fn oid_of(source: &Source, at: &str) -> Option<Oid> {
    if at.starts_with("1.") || at.starts_with(".1.") || at.starts_with("identity.") {
        return parse_place(at).ok();
    }
    let arcs: Option<Vec<u32>> = at.split('.').map(|arc| arc.parse().ok()).collect();
    Some(source.table.as_ref()?.with(&arcs?))
}
