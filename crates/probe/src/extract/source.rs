//! Source: answers as rows: SNMP tables and objects, JSON, JMX beans, SQL answers and texts. Values are brought into the
//! form that the profile asks for; what cannot be is nothing, never an error.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound;

use serde_json::Value as Json;

use crate::extract::device::identity;
use crate::extract::expr::{Scope, Val};
use crate::extract::schema::{ColumnSpec, Form, Source};
use crate::extract::validate::oid_of;
use crate::outcome::hex;
use crate::snmp::value::text_of;
use crate::snmp::{Oid, Value, VarBind};

/// The most rows that one source gives.
pub const MAX_ROWS: usize = 100_000;

/// What a device or program answered.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Objects of an SNMP agent.
    Snmp(&'a Snapshot),
    /// A JSON document: of a web interface, or the beans of a Java program.
    Json(&'a Json),
    /// A text.
    Text(&'a str),
    /// The rows of an SQL answer, each a map of its columns.
    Rows(&'a [serde_json::Map<String, Json>]),
}

/// Objects of an agent by their names.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(BTreeMap<Oid, Value>);

impl Snapshot {
    /// Adds objects; those that do not exist are left out.
    pub fn add(&mut self, objects: impl IntoIterator<Item = VarBind>) {
        self.0.extend(
            objects.into_iter().filter(|object| object.value.is_present()).map(|object| (object.oid, object.value)),
        );
    }

    /// What the object holds.
    pub fn get(&self, oid: &Oid) -> Option<&Value> {
        self.0.get(oid)
    }

    /// Everything below.
    pub fn below<'a>(&'a self, root: &'a Oid) -> impl Iterator<Item = (&'a Oid, &'a Value)> {
        self.0.range((Bound::Excluded(root), Bound::Unbounded)).take_while(|(oid, _)| oid.is_below(root))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The numbers that stand for the device's own identity in a profile's OID (`identity.1.3`). No object is below 0.0
/// (SNMPv2-SMI, `zeroDotZero`), so it cannot be taken for one.
const IDENTITY: [u32; 2] = [0, 0];

/// An OID as profiles write it: numbers, or `identity` and what comes below it.
pub(super) fn parse_place(text: &str) -> Result<Oid, String> {
    match text.strip_prefix("identity.") {
        Some(below) => format!("0.0.{below}").parse().map_err(|_| {
            format!("{text:?} is no OID; after identity come numbers with dots, for example identity.1.3")
        }),
        None => text.parse(),
    }
}

/// Where a profile's OID is on a device of which the snapshot has the identity; nowhere when it must be below an identity
/// that the device does not say.
pub(super) fn placed(oid: Oid, snapshot: &Snapshot) -> Option<Oid> {
    match oid.arcs().strip_prefix(&IDENTITY) {
        Some(below) => Some(identity(snapshot)?.with(below)),
        None => Some(oid),
    }
}

/// A row: its index and its cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) index: Vec<u32>,
    /// The index as text; for rows that are not SNMP's, their number.
    pub(super) key: String,
    cells: BTreeMap<String, Val>,
    origins: BTreeMap<String, Oid>,
}

impl Row {
    /// Where the column's value came from, when that has a name.
    pub(super) fn origin(&self, column: &str) -> Option<&Oid> {
        self.origins.get(column)
    }
}

impl Scope for Row {
    fn value(&self, name: &str) -> Val {
        if let Some(value) = self.cells.get(name) {
            return value.clone();
        }
        match name.strip_prefix("index") {
            Some("") => Val::Text(self.key.clone()),
            Some(".last") => self.index.last().map_or(Val::Null, |part| Val::Num(f64::from(*part))),
            Some(part) => {
                let nth = part.strip_prefix('.').and_then(|nth| nth.parse::<usize>().ok()).filter(|nth| *nth > 0);
                nth.and_then(|nth| self.index.get(nth - 1)).map_or(Val::Null, |part| Val::Num(f64::from(*part)))
            }
            None => Val::Null,
        }
    }
}

/// Every root that must be read for this source from an agent of which the snapshot has the identity.
pub(super) fn roots(source: &Source, snapshot: &Snapshot) -> Vec<Oid> {
    let places = source.columns.values().filter_map(|column| oid_of(source, &column.0.at.0));
    places.filter_map(|oid| placed(oid, snapshot)).collect()
}

/// The source's rows in that answer; none when the answer is of another kind.
pub(super) fn rows(source: &Source, input: Input<'_>) -> Vec<Row> {
    let mut rows = match input {
        Input::Snmp(snapshot) if source.table.is_some() => table(source, snapshot),
        Input::Snmp(snapshot) if !source.scalars.is_empty() => scalars(source, snapshot),
        Input::Json(document) if source.json.is_some() => json(source, document),
        Input::Json(document) if source.jmx.is_some() => beans(source, document),
        Input::Rows(rows) if source.sql.is_some() => answers(source, rows),
        Input::Text(text) if source.text.is_some() => matches(source, text),
        _ => Vec::new(),
    };
    // In the order of their names, so that none can build on one that comes later; two rounds let them build on each other.
    for row in &mut rows {
        for _ in 0..2 {
            for (name, calculation) in &source.derive {
                let value = calculation.expr.value(row);
                row.cells.insert(name.clone(), value);
            }
        }
    }
    rows
}

fn table(source: &Source, snapshot: &Snapshot) -> Vec<Row> {
    let mut rows: BTreeMap<Vec<u32>, Row> = BTreeMap::new();
    for (name, column) in &source.columns {
        let Some(root) = oid_of(source, &column.0.at.0).and_then(|oid| placed(oid, snapshot)) else { continue };
        for (oid, value) in snapshot.below(&root) {
            let index = oid.after(&root).unwrap_or_default();
            if rows.len() >= MAX_ROWS && !rows.contains_key(index) {
                break;
            }
            let row = rows.entry(index.to_vec()).or_default();
            row.cells.insert(name.clone(), cell(&column.0, value));
            row.origins.insert(name.clone(), oid.clone());
        }
    }
    rows.into_iter()
        .map(|(index, mut row)| {
            row.key = Oid::new(&index).to_string();
            for (name, part) in index_parts(&source.index, &index) {
                row.cells.insert(name, part);
            }
            row.index = index;
            row
        })
        .collect()
}

fn scalars(source: &Source, snapshot: &Snapshot) -> Vec<Row> {
    let mut row = Row { key: "0".to_owned(), ..Row::default() };
    for (name, column) in &source.scalars {
        let Some(oid) = oid_of(source, &column.0.at.0).and_then(|oid| placed(oid, snapshot)) else { continue };
        if let Some(value) = snapshot.get(&oid) {
            row.cells.insert(name.clone(), cell(&column.0, value));
            row.origins.insert(name.clone(), oid);
        }
    }
    if row.cells.is_empty() { Vec::new() } else { vec![row] }
}

/// The parts of an index, read as the profile says (RFC 2578, section 7.7).
fn index_parts(kinds: &[String], index: &[u32]) -> Vec<(String, Val)> {
    let mut rest = index;
    let mut parts = Vec::new();
    for kind in kinds {
        let (name, kind) = kind.split_once(':').unwrap_or((kind, "number"));
        let counted = || rest.first().and_then(|length| usize::try_from(*length).ok()).map(|length| (1, length));
        let (skip, length): (usize, usize) = match kind {
            "text" | "oid" => counted().unwrap_or((0, 0)),
            "ipv4" => (0, 4),
            "ipv6" => (0, 16),
            "mac" => (0, 6),
            "rest" => (0, rest.len()),
            _ => (0, 1),
        };
        let Some(part) = rest.get(skip..skip.saturating_add(length)) else { break };
        let bytes: Vec<u8> = part.iter().map(|arc| *arc as u8).collect();
        let value = match kind {
            "text" => Val::Text(text_of(&bytes)),
            "ipv4" | "ipv6" => address(&bytes).map_or(Val::Null, Val::Text),
            "mac" => Val::Text(hex(&bytes, ":")),
            "oid" | "rest" => Val::Text(Oid::new(part).to_string()),
            _ => part.first().map_or(Val::Null, |arc| Val::Num(f64::from(*arc))),
        };
        parts.push((name.to_owned(), value));
        rest = &rest[skip + length..];
    }
    parts
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

fn cell(spec: &ColumnSpec, value: &Value) -> Val {
    let plain = match (spec.form, value) {
        (Form::Mac, Value::Octets(bytes)) if bytes.len() == 6 => Val::Text(hex(bytes, ":")),
        (Form::Mac, Value::Octets(bytes)) => written_mac(&text_of(bytes)),
        (Form::Address, Value::Octets(bytes)) => address(bytes).map_or_else(|| Val::Text(text_of(bytes)), Val::Text),
        (Form::Hex, Value::Octets(bytes)) => Val::Text(hex(bytes, "")),
        (Form::Date, Value::Octets(bytes)) => date(bytes),
        (Form::Bits, Value::Octets(bytes)) => {
            Val::Num(bytes.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) as f64)
        }
        (Form::Text, Value::Octets(bytes)) => Val::Text(String::from_utf8_lossy(bytes).into_owned()),
        (_, Value::Octets(bytes)) => Val::Text(text_of(bytes)),
        (_, Value::Null) => Val::Null,
        (_, other) => other.number().map_or_else(|| Val::Text(other.to_string()), Val::Num),
    };
    shaped(spec, plain)
}

/// What the profile asks of a value, whatever it came from.
fn shaped(spec: &ColumnSpec, value: Val) -> Val {
    let mut value = value;
    if let Val::Text(text) = &value
        && text.contains(['\0', '\r', '\n'])
    {
        value = Val::Text(text.trim_matches(['\0', '\r', '\n', ' ']).to_owned());
    }
    if !spec.absent.is_empty() {
        let written = value.to_string();
        if spec.absent.iter().any(|absent| absent.0 == written.trim()) {
            return Val::Null;
        }
    }
    if let Some(pattern) = &spec.pattern {
        let text = value.to_string();
        let Some(found) = pattern.0.captures(&text) else { return Val::Null };
        value = found.get(1).or_else(|| found.get(0)).map_or(Val::Null, |part| Val::Text(part.as_str().to_owned()));
    }
    if spec.form == Form::Number {
        value = first_number(&value.to_string()).map_or(Val::Null, Val::Num);
    }
    if let Some(scale) = spec.scale {
        value = value.number().map_or(Val::Null, |number| Val::Num(tidy(number * scale)));
    }
    if !spec.map.is_empty() {
        let written = value.to_string();
        if let Some((_, word)) = spec.map.iter().find(|(key, _)| key.0 == written) {
            return Val::Text(word.clone());
        }
    }
    value
}

/// A product without the noise that binary fractions leave: 231 × 0.1 is 23.1.
pub(super) fn tidy(number: f64) -> f64 {
    let rounded = (number * 1e9).round() / 1e9;
    if number.abs() < 1e6 && rounded.is_finite() { rounded } else { number }
}

fn first_number(text: &str) -> Option<f64> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[start..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |end| start + end);
    let number: f64 = text[start..end].trim_end_matches('.').parse().ok()?;
    Some(if text[..start].ends_with('-') { -number } else { number })
}

fn written_mac(text: &str) -> Val {
    let parts: Vec<&str> = text.split([':', '-', ' ', '.']).collect();
    let plain: String =
        if parts.len() == 6 { parts.iter().map(|part| format!("{part:0>2}")).collect() } else { parts.concat() };
    if plain.len() != 12 || !plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Val::Null;
    }
    let pairs: Vec<&str> = (0..6).map(|at| &plain[2 * at..2 * at + 2]).collect();
    Val::Text(pairs.join(":").to_lowercase())
}

/// DateAndTime (RFC 2579): eight or eleven bytes.
fn date(bytes: &[u8]) -> Val {
    let [year_high, year_low, month, day, hour, minute, second, _, ..] = bytes else { return Val::Null };
    if *month == 0 || *month > 12 || *day == 0 || *day > 31 {
        return Val::Null;
    }
    let year = u16::from_be_bytes([*year_high, *year_low]);
    Val::Text(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

fn of_json(value: &Json) -> Val {
    match value {
        Json::Null => Val::Null,
        Json::Bool(truth) => Val::Text(truth.to_string()),
        Json::Number(number) => number.as_f64().map_or(Val::Null, Val::Num),
        Json::String(text) => Val::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Val::Text(value.to_string()),
    }
}

fn json(source: &Source, document: &Json) -> Vec<Row> {
    let Some(path) = &source.json else { return Vec::new() };
    let found = path.0.query(document).all().into_iter().take(MAX_ROWS);
    found.enumerate().map(|(nth, row)| described(source, nth, |at| within(row, at))).collect()
}

fn answers(source: &Source, rows: &[serde_json::Map<String, Json>]) -> Vec<Row> {
    let found = rows.iter().take(MAX_ROWS).enumerate();
    found
        .map(|(nth, given)| {
            let mut row = described(source, nth, |at| given.get(at).map(of_json));
            if source.columns.is_empty() {
                row.cells = given.iter().map(|(name, value)| (name.clone(), of_json(value))).collect();
            }
            row
        })
        .collect()
}

fn described(source: &Source, nth: usize, find: impl Fn(&str) -> Option<Val>) -> Row {
    let cells = source
        .columns
        .iter()
        .filter_map(|(name, column)| find(&column.0.at.0).map(|value| (name.clone(), shaped(&column.0, value))));
    Row { key: nth.to_string(), cells: cells.collect(), ..Row::default() }
}

/// A value inside a row: a name, or names with dots, or a JSON path that begins with `$`.
fn within(row: &Json, at: &str) -> Option<Val> {
    if at.starts_with('$') {
        let path = serde_json_path::JsonPath::parse(at).ok()?;
        return path.query(row).first().map(of_json);
    }
    if let Some(value) = row.get(at) {
        return Some(of_json(value));
    }
    at.split('.').try_fold(row, |inner, name| inner.get(name)).map(of_json)
}

/// Beans as Hadoop and others show them under `/jmx` (a list of maps with their names), and as Jolokia does (a map of them).
fn beans(source: &Source, document: &Json) -> Vec<Row> {
    let Some(pattern) = &source.jmx else { return Vec::new() };
    let mut found: Vec<(&str, &Json)> = Vec::new();
    if let Some(list) = document.get("beans").and_then(Json::as_array) {
        found.extend(list.iter().filter_map(|bean| Some((bean.get("name")?.as_str()?, bean))));
    } else if let Some(map) = document.get("value").and_then(Json::as_object) {
        found.extend(map.iter().map(|(name, bean)| (name.as_str(), bean)));
    }
    let mut rows = Vec::new();
    for (name, bean) in found.into_iter().take(MAX_ROWS) {
        let Some(keys) = bean_keys(pattern, name) else { continue };
        let mut row = described(source, rows.len(), |at| within(bean, at));
        row.key = name.to_owned();
        row.cells.extend(keys.into_iter().map(|(key, value)| (format!("bean.{key}"), Val::Text(value))));
        rows.push(row);
    }
    rows
}

/// The properties of a bean's name when it fits the pattern: `domain:key=value,key=*,*`.
fn bean_keys(pattern: &str, name: &str) -> Option<Vec<(String, String)>> {
    let (wanted_domain, wanted) = pattern.split_once(':')?;
    let (domain, properties) = name.split_once(':')?;
    if !fits(wanted_domain, domain) {
        return None;
    }
    let have: Vec<(&str, &str)> = properties.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let mut open = false;
    let mut asked = 0;
    for pair in wanted.split(',') {
        if pair == "*" {
            open = true;
            continue;
        }
        let (key, value) = pair.split_once('=')?;
        if !have.iter().any(|(have_key, have_value)| *have_key == key && fits(value, have_value)) {
            return None;
        }
        asked += 1;
    }
    if !open && asked != have.len() {
        return None;
    }
    let mut keys: Vec<(String, String)> =
        have.into_iter().map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect();
    keys.push(("domain".to_owned(), domain.to_owned()));
    Some(keys)
}

/// Whether a text fits a pattern with stars, in time linear in their lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn matches(source: &Source, text: &str) -> Vec<Row> {
    let Some(pattern) = &source.text else { return Vec::new() };
    let found = pattern.0.captures_iter(text).take(MAX_ROWS).enumerate();
    found
        .map(|(nth, captures)| {
            let group = |name: &str| captures.name(name).map(|part| Val::Text(part.as_str().to_owned()));
            let mut row = described(source, nth, group);
            for name in pattern.0.capture_names().flatten() {
                if let Some(value) = group(name) {
                    row.cells.entry(name.to_owned()).or_insert(value);
                }
            }
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_index_are_read_as_their_mib_says() {
        let kinds: Vec<String> = ["port", "name:text", "peer:ipv4", "left:rest"].map(str::to_owned).to_vec();
        let parts = index_parts(&kinds, &[7, 3, 97, 98, 99, 192, 0, 2, 1, 5, 6]);
        let text = |text: &str| Val::Text(text.to_owned());
        let values: Vec<Val> = parts.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [Val::Num(7.0), text("abc"), text("192.0.2.1"), text("5.6")]);
        assert_eq!(index_parts(&kinds, &[7, 300, 1]).len(), 1, "a length that lies ends the reading");
    }

    #[test]
    fn what_is_below_an_identity_is_nowhere_without_one() {
        let (place, other) = (parse_place("identity.1.3").unwrap(), parse_place("1.3.6.1.2").unwrap());
        let system = |value: Value| {
            let mut snapshot = Snapshot::default();
            snapshot.add([VarBind { oid: "1.3.6.1.2.1.1.2.0".parse().unwrap(), value }]);
            snapshot
        };
        for (snapshot, expected) in [
            (system(Value::Oid("1.3.6.1.4.1.9".parse().unwrap())), Some("1.3.6.1.4.1.9.1.3")),
            (system(Value::Oid(Oid::default())), None),
            (system(Value::Null), None),
            (Snapshot::default(), None),
        ] {
            let expected: Option<Oid> = expected.map(|oid| oid.parse().unwrap());
            assert_eq!(placed(place.clone(), &snapshot), expected);
            assert_eq!(placed(other.clone(), &snapshot), Some(other.clone()), "what stands elsewhere does not move");
        }
    }

    #[test]
    fn beans_are_chosen_by_pattern() {
        let name = "Hadoop:service=NameNode,name=RpcActivityForPort8020";
        for (pattern, fits) in [
            ("Hadoop:service=NameNode,name=RpcActivity*", true),
            ("Hadoop:service=*,name=Rpc*Port*", true),
            ("Hadoop:name=Rpc*,*", true),
            ("Hadoop:service=NameNode", false),
            ("java*:service=NameNode,name=*", false),
            ("*:*", true),
        ] {
            assert_eq!(bean_keys(pattern, name).is_some(), fits, "{pattern}");
        }
    }

    #[test]
    fn numbers_and_addresses_are_found_in_texts() {
        assert_eq!(first_number("temp -3.5 C"), Some(-3.5));
        assert_eq!(first_number("none"), None);
        assert_eq!(written_mac("0:1b:21:a:b:c"), Val::Text("00:1b:21:0a:0b:0c".into()));
        assert_eq!(written_mac("001b.210a.0b0c"), Val::Text("00:1b:21:0a:0b:0c".into()));
        assert_eq!(written_mac("whatever"), Val::Null);
    }
}
