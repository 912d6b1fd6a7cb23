//! Device: from what an agent says of itself to vendor, operating system, model, version and serial, by data alone.
//!
//! No device is named in Rust: the list is `profiles/os/*.yaml`, its first entry that fits is taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::extract::schema::{Fault, Key, Oids, Text, read};
use crate::extract::source::{Snapshot, placed};
use crate::params::near_names;
use crate::snmp::{Oid, Value};

/// What kind of device it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// The short name of its operating system: `nxos`. Empty when it is not known.
    pub os: String,
    /// Who makes it.
    pub vendor: String,
    /// What it is for: `network`, `server`, `printer`, `power`, …
    pub class: String,
    /// `version`, `hardware`, `serial`, as far as they are known.
    pub facts: BTreeMap<String, String>,
}

/// One entry of the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The short name.
    pub os: String,
    /// Who makes it.
    #[serde(default)]
    pub vendor: String,
    /// What it is for.
    #[serde(default)]
    pub class: String,
    /// Its identity is one of these, or below.
    #[serde(default)]
    pub oid: Oids,
    /// Its description matches.
    #[serde(default)]
    pub descr: Option<Text>,
    /// It has one of these objects, or something below.
    #[serde(default)]
    pub has: Oids,
    /// An object holds what matches.
    #[serde(default)]
    pub holds: Option<Holds>,
    /// Where its facts are.
    #[serde(default)]
    pub facts: BTreeMap<String, Vec<FactSource>>,
}

/// An object and what it must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// The object.
    pub oid: Oid,
    /// What its text must match.
    #[serde(rename = "match")]
    pub pattern: Text,
}

/// Where one fact may be; the first that has it is taken.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactSource {
    /// Objects, or columns whose first row is taken. Several are put together with a blank between.
    pub get: Oids,
    /// A part of the description: the first group, or all that matches.
    pub descr: Option<Text>,
    /// A part of what was found so.
    #[serde(rename = "match")]
    pub pattern: Option<Text>,
    /// What it is made into; `$1` is the first group.
    pub put: Option<String>,
    /// Words for values.
    pub map: BTreeMap<Key, String>,
    /// Words for identities.
    pub identity: BTreeMap<Key, String>,
    /// Always the same.
    pub always: Option<String>,
}

/// Where an agent describes itself.
pub const SYS_DESCR: &str = "1.3.6.1.2.1.1.1.0";
/// Where an agent says what it is.
pub const SYS_OBJECT_ID: &str = "1.3.6.1.2.1.1.2.0";

/// The facts that an entry may name.
pub const FACTS: &[&str] = &["version", "hardware", "serial"];

/// Reads a list of operating systems.
///
/// # Errors
/// Every mistake with file and line.
pub fn parse_list(file: &str, text: &str) -> Result<Vec<Entry>, Vec<Fault>> {
    let entries: Vec<Entry> = read(file, text)?;
    let mut faults = Vec::new();
    for entry in &entries {
        let line = text.lines().position(|line| line.trim_start_matches("- ").trim() == format!("os: {}", entry.os));
        let mut say = |message: String| {
            faults.push(Fault { file: file.to_owned(), line: line.map_or(1, |at| at + 1), message });
        };
        if entry.oid.0.is_empty() && entry.descr.is_none() && entry.has.0.is_empty() && entry.holds.is_none() {
            say(format!("{} would fit every device; say oid, descr, has or holds", entry.os));
        }
        for fact in entry.facts.keys().filter(|fact| !FACTS.contains(&fact.as_str())) {
            let near = near_names(fact, FACTS.iter().copied());
            let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            say(format!("there is no fact {fact:?}{hint}"));
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

impl Entry {
    /// Whether what every agent tells fits; whether it has the rest must still be asked.
    fn fits_system(&self, identity: &Oid, descr: &str) -> bool {
        let oid = self.oid.0.is_empty() || self.oid.0.iter().any(|root| identity.is_below(root));
        let text = self.descr.as_ref().is_none_or(|pattern| pattern.0.is_match(descr));
        oid && text
    }

    fn fits(&self, snapshot: &Snapshot) -> bool {
        let has = self.has.0.is_empty()
            || self.has.0.iter().any(|root| snapshot.get(root).is_some() || snapshot.below(root).next().is_some());
        let holds = self.holds.as_ref().is_none_or(|holds| {
            snapshot.get(&holds.oid).is_some_and(|value| holds.pattern.0.is_match(&value.to_string()))
        });
        has && holds
    }
}

/// The identity and the description in a snapshot.
pub fn system(snapshot: &Snapshot) -> (Oid, String) {
    let description = SYS_DESCR.parse().ok().and_then(|oid: Oid| snapshot.get(&oid)).map(ToString::to_string);
    (identity(snapshot).cloned().unwrap_or_default(), description.unwrap_or_default())
}

/// The identity in a snapshot; `None` of an agent that says none.
pub(super) fn identity(snapshot: &Snapshot) -> Option<&Oid> {
    match snapshot.get(&SYS_OBJECT_ID.parse().ok()?) {
        Some(Value::Oid(identity)) if !identity.arcs().is_empty() => Some(identity),
        _ => None,
    }
}

/// What must be asked of a device of which the snapshot has description and identity, to tell what it is.
pub fn questions(entries: &[Entry], snapshot: &Snapshot) -> Vec<Oid> {
    let (identity, descr) = system(snapshot);
    let candidates = entries.iter().filter(|entry| entry.fits_system(&identity, &descr));
    let mut asked = Vec::new();
    for entry in candidates {
        asked.extend(entry.has.0.iter().cloned());
        asked.extend(entry.holds.iter().map(|holds| holds.oid.clone()));
        if entry.has.0.is_empty() && entry.holds.is_none() {
            break;
        }
    }
    asked
}

/// The entry that fits first.
pub fn detect<'e>(entries: &'e [Entry], snapshot: &Snapshot) -> Option<&'e Entry> {
    let (identity, descr) = system(snapshot);
    entries.iter().find(|entry| entry.fits_system(&identity, &descr) && entry.fits(snapshot))
}

/// The objects and columns that its facts are in, on a device of which the snapshot has the identity.
pub fn fact_roots(entry: &Entry, snapshot: &Snapshot) -> Vec<Oid> {
    let places = entry.facts.values().flatten().flat_map(|source| source.get.0.iter().cloned());
    places.filter_map(|oid| placed(oid, snapshot)).collect()
}

/// What kind of device it is, with its facts.
pub fn describe(entry: Option<&Entry>, snapshot: &Snapshot) -> Device {
    let Some(entry) = entry else { return Device::default() };
    let (identity, descr) = system(snapshot);
    let facts = entry.facts.iter().filter_map(|(name, sources)| {
        let text = sources.iter().find_map(|source| source.text(&identity, &descr, snapshot))?;
        Some((name.clone(), text))
    });
    Device { os: entry.os.clone(), vendor: entry.vendor.clone(), class: entry.class.clone(), facts: facts.collect() }
}

impl FactSource {
    fn text(&self, identity: &Oid, descr: &str, snapshot: &Snapshot) -> Option<String> {
        if let Some(always) = &self.always {
            return Some(always.clone());
        }
        if !self.identity.is_empty() {
            let word = self.identity.iter().find(|(root, _)| root.0.parse::<Oid>().is_ok_and(|root| *identity == root));
            return word.map(|(_, word)| word.clone());
        }
        let found = if self.get.0.is_empty() {
            descr.to_owned()
        } else {
            let texts: Option<Vec<String>> =
                self.get.0.iter().map(|oid| first(snapshot, &placed(oid.clone(), snapshot)?)).collect();
            texts?.join(" ")
        };
        let found = match self.descr.as_ref().or(self.pattern.as_ref()) {
            None => found,
            Some(pattern) => {
                let captures = pattern.0.captures(&found)?;
                match &self.put {
                    None => captures.get(1).or_else(|| captures.get(0))?.as_str().to_owned(),
                    Some(put) => {
                        let mut text = String::new();
                        captures.expand(put, &mut text);
                        text
                    }
                }
            }
        };
        let found = found.trim();
        let word = self.map.iter().find(|(key, _)| key.0 == found).map_or(found, |(_, word)| word.as_str());
        Some(word.to_owned()).filter(|word| !word.is_empty())
    }
}

/// What the object holds, or the first row of the column that has something.
fn first(snapshot: &Snapshot, oid: &Oid) -> Option<String> {
    let exact = snapshot.get(oid).map(ToString::to_string);
    let text = exact
        .or_else(|| snapshot.below(oid).map(|(_, value)| value.to_string()).find(|text| !text.trim().is_empty()))?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
