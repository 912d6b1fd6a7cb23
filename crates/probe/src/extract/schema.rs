//! Schema: what an extraction profile may say in YAML, and every mistake in one told with its file, its line and the
//! nearest name that would have been right. Reads text; looks at no device.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json_path::JsonPath;

use crate::extract::expr::{Expr, pattern};
use crate::extract::source::parse_place;
use crate::extract::template::Template;
use crate::outcome::State;
use crate::params::{OneOrMany, near_names};
use crate::snmp::Oid;

/// The largest profile, in bytes.
pub const MAX_PROFILE_BYTES: usize = 256 << 10;

/// A mistake in a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct Fault {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// How to read one kind of answers: where the rows come from, and what becomes of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, unique among the profiles.
    pub profile: String,
    /// What it reads, for people.
    pub title: String,
    /// Which devices it is for; all that is said must hold. Without it, it is for all.
    #[serde(default)]
    pub when: When,
    /// Where rows come from, by name.
    #[serde(default)]
    pub sources: BTreeMap<String, Source>,
    /// What values of states mean, by a name, where several rules say the same.
    #[serde(default)]
    pub maps: BTreeMap<String, BTreeMap<Key, Meaning>>,
    /// What becomes of them.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// Which devices a profile is for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// One of these operating systems, as the detection names them.
    pub os: OneOrMany,
    /// Below one of these identities.
    pub sysobjectid: Oids,
    /// The description matches.
    pub sysdescr: Option<Text>,
}

/// Where rows come from. Exactly one of `table`, `scalars`, `json`, `jmx`, `sql` and `text`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// SNMP: the table's entry, which its columns are below: numbers, or `identity.1.3` for one below the device's own
    /// identity, as vendors have it who give each model a tree of the same form.
    #[serde(deserialize_with = "table_place")]
    pub table: Option<Oid>,
    /// SNMP: single objects by name.
    pub scalars: BTreeMap<String, Column>,
    /// JSON: the path whose matches are the rows.
    pub json: Option<Path>,
    /// JMX: the pattern of the beans that are the rows: `Hadoop:service=NameNode,name=*`.
    pub jmx: Option<String>,
    /// SQL: the question whose answer's rows are the rows.
    pub sql: Option<String>,
    /// Text: the regular expression whose matches are the rows; named groups are columns.
    pub text: Option<Text>,
    /// SNMP: names of the index's parts, in order: `name`, `name:text`, `name:ipv4`, `name:mac`, `name:oid`, `name:rest`.
    pub index: Vec<String>,
    /// Columns by name.
    pub columns: BTreeMap<String, Column>,
    /// Columns that are calculated from the others.
    pub derive: BTreeMap<String, Calculation>,
}

/// One column, and what is done to its values.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnSpec {
    /// SNMP: its number in the table, or its whole OID. Others: its path or name.
    pub at: At,
    /// How bytes are read.
    #[serde(rename = "as")]
    pub form: Form,
    /// Only this part of the text: the first group, or all that matches. No match: no value.
    #[serde(rename = "match")]
    pub pattern: Option<Text>,
    /// Words for values; other values stay.
    pub map: BTreeMap<Key, String>,
    /// What numbers are multiplied with.
    pub scale: Option<f64>,
    /// Values that mean "none".
    pub absent: Vec<Key>,
}

/// One column, in short (`size: 5`) or in full.
#[derive(Clone, Debug)]
pub struct Column(pub ColumnSpec);

/// Where a column is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At(pub String);

/// How the bytes of a value are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// As they are.
    #[default]
    Plain,
    /// As text, even if it looks like bytes or a number.
    Text,
    /// The first number in a text: `23.5 °C`.
    Number,
    /// `00:1b:21:…`.
    Mac,
    /// An address of version 4 or 6.
    Address,
    /// `001b21…`.
    Hex,
    /// A moment (DateAndTime).
    Date,
    /// Bits as a number, the first one highest.
    Bits,
}

/// What becomes of each row: an item that was discovered, or a fact of the device.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The kind of item: `port`, `disk`, `sensor`.
    pub item: Option<String>,
    /// The device's fact: `version`, `serial`, `hardware`.
    pub fact: Option<String>,
    /// Which source's rows.
    pub from: String,
    /// Rows of other sources that belong to each.
    pub join: Vec<Join>,
    /// Which rows; without it, all.
    #[serde(rename = "where")]
    pub condition: Option<Calculation>,
    /// Only when no other rule found an item of this kind, or this fact.
    pub fallback: Fallback,
    /// What tells items apart; the row's index when it is not said.
    pub key: Template,
    /// What people call it, or the fact's text.
    pub name: Template,
    /// Only this part of the fact.
    #[serde(rename = "match")]
    pub pattern: Option<Text>,
    /// What tells its measurements apart.
    pub labels: BTreeMap<String, Template>,
    /// What else is known of it.
    pub fields: BTreeMap<String, Template>,
    /// What is measured.
    pub samples: Vec<SampleRule>,
    /// How it stands.
    pub states: Vec<StateRule>,
}

/// When a rule is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// Always.
    #[default]
    Never,
    /// Only when nothing else found any.
    Kind,
}

/// A row of another source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The other source.
    pub source: String,
    /// The name before its columns: `entity.name`. Its own name when it is not said.
    #[serde(rename = "as")]
    pub alias: Option<String>,
    /// The index that its row has.
    pub on: Template,
    /// Another column of it that has that value, instead of its index.
    pub by: Option<String>,
}

/// A number that is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleRule {
    /// Its name, unit last: `storage_used_bytes`.
    pub name: Template,
    /// Its unit.
    #[serde(default)]
    pub unit: Template,
    /// Its value.
    pub value: Calculation,
    /// Only for these rows.
    #[serde(default, rename = "where")]
    pub condition: Option<Calculation>,
    /// Whether it only grows.
    #[serde(default)]
    pub counter: Counter,
}

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counter {
    /// It goes up and down.
    #[default]
    No,
    /// It only grows, and wraps at 64 bits.
    Bits64,
    /// It only grows, and wraps at 32 bits.
    Bits32,
}

/// How something stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateRule {
    /// Its name: `link`, `fan`.
    pub name: Template,
    /// What is looked at.
    pub value: Calculation,
    /// Only for these rows.
    #[serde(default, rename = "where")]
    pub condition: Option<Calculation>,
    /// What each value means, or the name of one of the profile's maps; another value is UNKNOWN.
    pub map: StateMap,
}

/// What values mean: said here, or by the name of one of the profile's maps.
#[derive(Clone, Debug)]
pub enum StateMap {
    /// Said here.
    Own(BTreeMap<Key, Meaning>),
    /// The profile's map of that name.
    Named(String),
}

/// A word and a state: `[up, ok]`. Without the state, it is told and never alarms.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// The word.
    pub word: String,
    /// The state.
    pub state: State,
}

/// An expression, a pattern, a path, OIDs and a map's key, as YAML writes them.
#[derive(Clone, Debug)]
pub struct Calculation {
    /// The text.
    pub text: String,
    /// What it means.
    pub expr: Expr,
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Text(pub regex::Regex);

/// A JSON path.
#[derive(Clone, Debug)]
pub struct Path(pub JsonPath);

/// One OID or several.
#[derive(Clone, Debug, Default)]
pub struct Oids(pub Vec<Oid>);

/// A key of a map: a number or a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub String);

impl Profile {
    /// Reads the profiles of a file: documents that are parted by `---`.
    ///
    /// # Errors
    /// Every mistake in any of them, with its line in the file.
    pub fn parse_all(file: &str, text: &str) -> Result<Vec<Profile>, Vec<Fault>> {
        let mut profiles = Vec::new();
        let mut faults = Vec::new();
        let mut before = 0;
        for document in text.split("\n---\n") {
            match Profile::parse(file, document) {
                Ok(profile) => profiles.push(profile),
                Err(found) => {
                    faults.extend(found.into_iter().map(|fault| Fault { line: fault.line + before, ..fault }));
                }
            }
            before += document.lines().count() + 1;
        }
        if faults.is_empty() { Ok(profiles) } else { Err(faults) }
    }

    /// Reads a profile. `file` is its name in messages.
    ///
    /// # Errors
    /// Every mistake; one of form hides those of meaning.
    pub fn parse(file: &str, text: &str) -> Result<Profile, Vec<Fault>> {
        let profile: Profile = read(file, text)?;
        let faults = crate::extract::validate::faults(file, text, &profile);
        if faults.is_empty() { Ok(profile) } else { Err(faults) }
    }

    /// Whether any of it is asked of an SNMP agent.
    pub fn is_snmp(&self) -> bool {
        self.sources.values().any(|source| source.table.is_some() || !source.scalars.is_empty())
    }

    /// What the values of that map mean; nothing is in a map that does not exist, which [`Profile::parse`] refuses.
    pub fn meaning<'p>(&'p self, map: &'p StateMap, value: &str) -> Option<&'p Meaning> {
        let meanings = match map {
            StateMap::Own(meanings) => meanings,
            StateMap::Named(name) => self.maps.get(name)?,
        };
        meanings.iter().find(|(key, _)| key.0 == value).map(|(_, meaning)| meaning)
    }
}

/// Reads what stands in a file of profiles, roles or operating systems.
///
/// # Errors
/// It is too long, uses what could make it grow, or is not of that form.
pub(super) fn read<T: de::DeserializeOwned>(file: &str, text: &str) -> Result<T, Vec<Fault>> {
    let fault = |line, message| vec![Fault { file: file.to_owned(), line, message }];
    if text.len() > MAX_PROFILE_BYTES {
        return Err(fault(1, format!("this is longer than {MAX_PROFILE_BYTES} bytes; part it into several files")));
    }
    // Anchors would let a few bytes become gigabytes, and nobody needs them here.
    if let Some(line) = text.lines().position(has_anchor) {
        return Err(fault(line + 1, "anchors (&) and aliases (*) are not used here".to_owned()));
    }
    yaml_serde::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        fault(line, with_suggestion(&error.to_string()))
    })
}

fn has_anchor(line: &str) -> bool {
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start_matches(['-', ' ', '[', '{']);
    let mut chars = value.chars();
    matches!(chars.next(), Some('&' | '*')) && chars.next().is_some_and(char::is_alphanumeric)
}

/// Serde's sentence with "did you mean" for an unknown field, and without the place that the fault tells already.
fn with_suggestion(message: &str) -> String {
    let message = without_place(message);
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        [wrong, known @ ..] if message.contains("unknown field") || message.contains("unknown variant") => {
            let near = near_names(wrong, known.iter().copied());
            match near.as_slice() {
                [] => message.to_owned(),
                near => format!("{message}; did you mean {}?", near.join(" or ")),
            }
        }
        // The commonest way to lose half an expression.
        _ if message.contains("is missing") && message.contains('(') => {
            format!("{message}; within {{ }} an expression with a comma stands in quotes")
        }
        _ => message.to_owned(),
    }
}

/// `… at line 3 column 12` without its end: in a file of several profiles that line is not the file's.
fn without_place(message: &str) -> &str {
    let Some((before, place)) = message.rsplit_once(" at line ") else { return message };
    let is_place =
        place.split(" column ").all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_place { before } else { message }
}

/// Reads a text and makes something of it.
macro_rules! from_text {
    ($type:ty, $make:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = deserializer.deserialize_any(AsText)?;
                let make: fn(String) -> Result<$type, String> = $make;
                make(text).map_err(de::Error::custom)
            }
        }
    };
}

from_text!(Key, |text| Ok(Key(text)));
from_text!(At, |text| Ok(At(text)));
from_text!(Text, |text| pattern(&text).map(Text));
from_text!(Calculation, |text| Expr::parse(&text).map(|expr| Calculation { text, expr }));
from_text!(Path, |text| {
    crate::http::refuse_costly(&text)?;
    JsonPath::parse(&text).map(Path).map_err(|error| format!("{text:?} is no JSON path ({})", error.message()))
});

/// A text, or a number or truth value as it is written.
struct AsText;

impl Visitor<'_> for AsText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<String, E> {
        Ok(truth.to_string())
    }
}

impl<'de> Deserialize<'de> for Oids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = OneOrMany::deserialize(deserializer)?.0;
        texts.iter().map(|text| parse_place(text)).collect::<Result<_, _>>().map(Oids).map_err(de::Error::custom)
    }
}

fn table_place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Oid>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_place(&text).map(Some).map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for Meaning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = OneOrMany::deserialize(deserializer)?.0;
        let state = match texts.get(1).map(String::as_str) {
            None | Some("ok") => State::Ok,
            Some("warning") => State::Warning,
            Some("critical") => State::Critical,
            Some("unknown") => State::Unknown,
            Some(other) => {
                return Err(de::Error::custom(format!("{other:?} is none of ok, warning, critical and unknown")));
            }
        };
        let word = texts.into_iter().next().ok_or_else(|| de::Error::custom("a state needs a word: [up, ok]"))?;
        Ok(Meaning { word, state })
    }
}

impl<'de> Deserialize<'de> for StateMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = StateMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of values, or the name of one of the profile's maps")
            }

            fn visit_str<E>(self, name: &str) -> Result<StateMap, E> {
                Ok(StateMap::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StateMap, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(StateMap::Own)
            }
        }
        deserializer.deserialize_any(Both)
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's number, path or name, or a map that says more about it")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Column, E> {
                Ok(Column(ColumnSpec { at: At(number.to_string()), ..ColumnSpec::default() }))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Column, E> {
                Ok(Column(ColumnSpec { at: At(number.to_string()), ..ColumnSpec::default() }))
            }

            fn visit_str<E>(self, text: &str) -> Result<Column, E> {
                Ok(Column(ColumnSpec { at: At(text.to_owned()), ..ColumnSpec::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Column, A::Error> {
                ColumnSpec::deserialize(MapAccessDeserializer::new(map)).map(Column)
            }
        }
        deserializer.deserialize_any(Both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "profile: x
title: X
sources:
  disks:
    table: 1.3.6.1.4.1.2021.9.1
    columns:
      path: 2
      free: { at: 7, scale: 1024 }
rules:
  - item: storage
    from: disks
    name: \"{path}\"
    samples:
      - { name: storage_free_bytes, unit: bytes, value: free }
";

    #[test]
    fn a_profile_without_mistakes_is_read() {
        let profile = Profile::parse("x.yaml", GOOD).unwrap();
        assert_eq!((profile.sources.len(), profile.rules.len()), (1, 1));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_the_name_that_was_meant() {
        for (from, to, line, part) in [
            ("    from: disks", "    form: disks", 11, "did you mean from?"),
            ("columns:", "colums:", 6, "did you mean columns?"),
            ("from: disks", "from: disk", 11, "there is no source \"disk\"; did you mean disks?"),
            ("value: free", "value: fre * 2", 14, "there is no column \"fre\" here; did you mean free?"),
            ("{path}", "{pth}", 12, "did you mean path?"),
            ("value: free", "value: free *", 14, "something is missing at the end"),
            ("1.3.6.1.4.1.2021.9.1", "one.two", 5, "is no OID"),
            ("path: 2", "path: two", 7, "neither a number nor an OID"),
            ("item: storage", "fact: version\n    item: storage", 9, "either item or fact"),
            ("    table: 1.3.6.1.4.1.2021.9.1\n", "    sql: SELECT 1\n    table: 1.3.6.1\n", 4, "exactly one of"),
            ("profile: x", "profile: &a x", 1, "anchors (&) and aliases"),
            ("scale: 1024", "skale: 1024", 8, "did you mean scale?"),
            ("title: X\n", "title: X\nmaps: { health: { 1: [fine, great] } }\n", 3, "none of ok, warning, critical"),
            (
                "value: free }\n",
                "value: free }\n    states: [{ name: s, value: free, map: helth }]\nmaps: { health: { 1: [fine, ok] } }\n",
                15,
                "there is no map \"helth\" among the profile's maps; did you mean health?",
            ),
            ("1.3.6.1.4.1.2021.9.1", "identity.one", 5, "after identity come numbers"),
            ("value: free }", "value: max(free, 1) }", 14, "with a comma stands in quotes"),
        ] {
            let faults = Profile::parse("x.yaml", &GOOD.replace(from, to)).unwrap_err();
            let told = faults[0].to_string();
            assert!(told.starts_with(&format!("x.yaml:{line}: ")) && told.contains(part), "{to}: {told}");
        }
    }

    #[test]
    fn every_profile_of_a_file_is_read_and_lines_are_those_of_the_file() {
        let second = GOOD.replace("profile: x", "profile: y");
        let both = format!("{GOOD}---\n{second}");
        assert_eq!(Profile::parse_all("x.yaml", &both).unwrap().len(), 2);
        let wrong = format!("{GOOD}---\n{}", second.replace("value: free", "value: fre"));
        let faults = Profile::parse_all("x.yaml", &wrong).unwrap_err();
        assert_eq!(faults[0].line, 14 + 15, "{faults:?}");
    }
}
