//! Run: rows become items, samples, states and facts, as a profile's rules say. Pure: the same answer gives the same result.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::extract::expr::{Scope, Val};
use crate::extract::schema::{Calculation, Counter, Fallback, Profile, Rule, StateRule};
use crate::extract::source::{self, Input, Row, Snapshot, tidy};
use crate::outcome::State;
use crate::snmp::Oid;

/// Something that was found on a device or in a program: a port, a disk, a sensor, a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Item {
    /// What it is: `port`.
    pub kind: String,
    /// What tells it from others of its kind on this device, and stays the same.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What tells its measurements apart.
    pub labels: BTreeMap<String, String>,
    /// What else is known of it.
    pub fields: BTreeMap<String, String>,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// How it stands.
    pub states: Vec<Standing>,
    /// The profile that found it.
    pub profile: String,
}

/// A number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Its name, unit last.
    pub name: String,
    /// The number; always finite.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// Whether it only grows.
    pub counter: bool,
    /// The object that it was read from, so that it can be asked for alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Oid>,
}

/// How something stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// What: `link`.
    pub name: String,
    /// What the device said.
    pub value: String,
    /// The word for it.
    pub word: String,
    /// What that means.
    pub state: State,
    /// The object that it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Oid>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Extracted {
    /// The device's own facts: `version`, `serial`, `hardware`.
    pub facts: BTreeMap<String, String>,
    /// What was found on it, in the order of the rules.
    pub items: Vec<Item>,
}

/// The most items that are kept.
pub const MAX_ITEMS: usize = 50_000;

/// Every root that must be read for these profiles from an SNMP agent of which the snapshot has the identity, each once, in
/// order.
pub fn roots(profiles: &[&Profile], snapshot: &Snapshot) -> Vec<Oid> {
    let sources = profiles.iter().flat_map(|profile| profile.sources.values());
    let all: BTreeSet<Oid> = sources.flat_map(|source| source::roots(source, snapshot)).collect();
    all.into_iter().collect()
}

/// Every single object that must be read for these profiles from an SNMP agent of which the snapshot has the identity.
pub fn objects(profiles: &[&Profile], snapshot: &Snapshot) -> Vec<Oid> {
    let sources = profiles.iter().flat_map(|profile| profile.sources.values());
    let columns = sources.flat_map(|source| source.scalars.values());
    let places = columns.filter_map(|column| source::parse_place(&column.0.at.0).ok());
    let all: BTreeSet<Oid> = places.filter_map(|oid| source::placed(oid, snapshot)).collect();
    all.into_iter().collect()
}

/// What these profiles find in that answer. Rules that are a fallback come after all others.
pub fn extract(profiles: &[&Profile], input: Input<'_>) -> Extracted {
    let mut out = Extracted::default();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for round in [Fallback::Never, Fallback::Kind] {
        let kinds: BTreeSet<String> = out.items.iter().map(|item| item.kind.clone()).collect();
        for profile in profiles {
            let rules: Vec<&Rule> = profile.rules.iter().filter(|rule| rule.fallback == round).collect();
            if rules.is_empty() {
                continue;
            }
            let tables = Tables::read(profile, input);
            for rule in rules {
                let skip = round == Fallback::Kind && rule.item.as_ref().is_some_and(|kind| kinds.contains(kind));
                if !skip {
                    tables.apply(rule, &mut out, &mut seen);
                }
            }
        }
    }
    out
}

/// The rows of a profile's sources.
struct Tables<'p> {
    profile: &'p Profile,
    rows: BTreeMap<&'p str, Vec<Row>>,
    /// Where the row with that key is, for each source and the column that it is joined by; no column is the index.
    by_key: BTreeMap<(&'p str, Option<&'p str>), BTreeMap<String, usize>>,
}

/// A row and those that are joined to it.
struct Joined<'r> {
    row: &'r Row,
    others: Vec<(&'r str, Option<&'r Row>)>,
}

impl Scope for Joined<'_> {
    fn value(&self, name: &str) -> Val {
        if let Some((alias, column)) = name.split_once('.')
            && let Some((_, other)) = self.others.iter().find(|(known, _)| *known == alias)
        {
            return other.map_or(Val::Null, |row| row.value(column));
        }
        self.row.value(name)
    }
}

impl Joined<'_> {
    /// The object behind the first name of a calculation that has one.
    fn origin(&self, calculation: &Calculation) -> Option<Oid> {
        calculation.expr.names().into_iter().find_map(|name| {
            if let Some((alias, column)) = name.split_once('.')
                && let Some((_, Some(row))) = self.others.iter().find(|(known, _)| *known == alias)
            {
                return row.origin(column).cloned();
            }
            self.row.origin(name).filter(|_| self.row.value(name) != Val::Null).cloned()
        })
    }
}

impl<'p> Tables<'p> {
    fn read(profile: &'p Profile, input: Input<'_>) -> Tables<'p> {
        let rows: BTreeMap<&str, Vec<Row>> =
            profile.sources.iter().map(|(name, source)| (name.as_str(), source::rows(source, input))).collect();
        let mut by_key = BTreeMap::new();
        for join in profile.rules.iter().flat_map(|rule| &rule.join) {
            let found = rows.get(join.source.as_str()).map(Vec::as_slice).unwrap_or_default();
            let id = join.by.as_deref().unwrap_or("index");
            // The first row wins, as a table's order is its importance.
            let keyed = found.iter().enumerate().rev().map(|(at, row)| (row.value(id).to_string(), at)).collect();
            by_key.insert((join.source.as_str(), join.by.as_deref()), keyed);
        }
        Tables { profile, rows, by_key }
    }

    fn apply(&self, rule: &'p Rule, out: &mut Extracted, seen: &mut BTreeSet<(String, String)>) {
        let rows = self.rows.get(rule.from.as_str()).map(Vec::as_slice).unwrap_or_default();
        for row in rows {
            let mut joined = Joined { row, others: Vec::new() };
            for join in &rule.join {
                let alias = join.alias.as_deref().unwrap_or(&join.source);
                let other = join.on.text(&joined).and_then(|key| {
                    let keyed = self.by_key.get(&(join.source.as_str(), join.by.as_deref()))?;
                    self.rows.get(join.source.as_str())?.get(*keyed.get(&key)?)
                });
                joined.others.push((alias, other));
            }
            if rule.condition.as_ref().is_some_and(|condition| !condition.expr.value(&joined).is_something()) {
                continue;
            }
            match (&rule.item, &rule.fact) {
                (Some(kind), _) => {
                    let item = self.item(kind, rule, &joined);
                    if out.items.len() < MAX_ITEMS && seen.insert((kind.clone(), item.key.clone())) {
                        out.items.push(item);
                    }
                }
                (None, Some(fact)) if !out.facts.contains_key(fact) => {
                    let text = rule.name.text(&joined).and_then(|text| match &rule.pattern {
                        None => Some(text),
                        Some(pattern) => {
                            let found = pattern.0.captures(&text)?;
                            found.get(1).or_else(|| found.get(0)).map(|part| part.as_str().to_owned())
                        }
                    });
                    out.facts.extend(text.map(|text| (fact.clone(), text)));
                }
                _ => {}
            }
        }
    }

    fn item(&self, kind: &str, rule: &Rule, joined: &Joined<'_>) -> Item {
        let key = rule.key.text(joined).unwrap_or_else(|| joined.row.key.clone());
        let name = rule.name.text(joined).unwrap_or_else(|| key.clone());
        let texts = |templates: &BTreeMap<String, crate::extract::template::Template>| {
            templates.iter().filter_map(|(name, text)| Some((name.clone(), text.text(joined)?))).collect()
        };
        let samples = rule.samples.iter().filter_map(|sample| {
            if sample.condition.as_ref().is_some_and(|condition| !condition.expr.value(joined).is_something()) {
                return None;
            }
            Some(Sample {
                value: tidy(sample.value.expr.value(joined).number()?),
                name: sample.name.text(joined)?,
                unit: sample.unit.text(joined).unwrap_or_default(),
                counter: sample.counter != Counter::No,
                origin: joined.origin(&sample.value),
            })
        });
        let states = rule.states.iter().filter_map(|state| standing(self.profile, state, joined));
        Item {
            kind: kind.to_owned(),
            name,
            labels: texts(&rule.labels),
            fields: texts(&rule.fields),
            samples: first_of_each(samples, |sample| &sample.name),
            states: first_of_each(states, |standing| &standing.name),
            profile: self.profile.profile.clone(),
            key,
        }
    }
}

/// Only the first of each name: what comes after it is said for rows that do not have the first.
fn first_of_each<T>(all: impl Iterator<Item = T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for one in all {
        if !kept.iter().any(|before| name(before) == name(&one)) {
            kept.push(one);
        }
    }
    kept
}

fn standing(profile: &Profile, rule: &StateRule, joined: &Joined<'_>) -> Option<Standing> {
    if rule.condition.as_ref().is_some_and(|condition| !condition.expr.value(joined).is_something()) {
        return None;
    }
    let value = rule.value.expr.value(joined);
    if !value.is_something() {
        return None;
    }
    let value = value.to_string();
    let meaning = profile.meaning(&rule.map, &value);
    Some(Standing {
        name: rule.name.text(joined)?,
        word: meaning.map_or_else(|| value.clone(), |meaning| meaning.word.clone()),
        state: meaning.map_or(State::Unknown, |meaning| meaning.state),
        origin: joined.origin(&rule.value),
        value,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snmp::{Value, VarBind};

    fn snapshot(objects: &[(&str, Value)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.add(objects.iter().map(|(oid, value)| VarBind { oid: oid.parse().unwrap(), value: value.clone() }));
        snapshot
    }

    fn text(text: &str) -> Value {
        Value::Octets(text.as_bytes().to_vec())
    }

    fn profile(yaml: &str) -> Profile {
        Profile::parse("test.yaml", yaml).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn one_rule_finds_every_port_with_the_wide_counter_where_there_is_one() {
        let library = crate::extract::Library::own();
        let snapshot = snapshot(&[
            ("1.3.6.1.2.1.2.2.1.2.1", text("eth0")),
            ("1.3.6.1.2.1.2.2.1.10.1", Value::Counter32(7)),
            ("1.3.6.1.2.1.31.1.1.1.6.1", Value::Counter64(1 << 40)),
            ("1.3.6.1.2.1.2.2.1.8.1", Value::Integer(1)),
            ("1.3.6.1.2.1.2.2.1.2.2", text("eth1")),
            ("1.3.6.1.2.1.2.2.1.10.2", Value::Counter32(9)),
            ("1.3.6.1.2.1.2.2.1.6.2", Value::Octets(vec![0, 0x1b, 0x21, 1, 2, 3])),
        ]);
        let found = extract(&[library.profile("if-mib").unwrap()], Input::Snmp(&snapshot));
        let names: Vec<&str> = found.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        let octets: Vec<f64> = found.items.iter().map(|item| item.samples[0].value).collect();
        assert_eq!(octets, [(1u64 << 40) as f64, 9.0]);
        assert_eq!(found.items[0].samples[0].origin.as_ref().unwrap().to_string(), "1.3.6.1.2.1.31.1.1.1.6.1");
        assert_eq!((found.items[0].states[0].word.as_str(), found.items[0].states[0].state), ("up", State::Ok));
        assert_eq!(found.items[1].fields["mac"], "00:1b:21:01:02:03");
    }

    #[test]
    fn a_sensor_is_named_by_the_part_it_is_and_scaled_as_it_says() {
        let library = crate::extract::Library::own();
        let snapshot = snapshot(&[
            ("1.3.6.1.2.1.99.1.1.1.1.10", Value::Integer(8)),
            ("1.3.6.1.2.1.99.1.1.1.2.10", Value::Integer(8)), // milli
            ("1.3.6.1.2.1.99.1.1.1.3.10", Value::Integer(1)),
            ("1.3.6.1.2.1.99.1.1.1.4.10", Value::Integer(305_000)),
            ("1.3.6.1.2.1.99.1.1.1.5.10", Value::Integer(1)),
            ("1.3.6.1.2.1.47.1.1.1.1.7.10", text("Inlet")),
            ("1.3.6.1.2.1.99.1.1.1.1.11", Value::Integer(8)),
            ("1.3.6.1.2.1.99.1.1.1.4.11", Value::Integer(1)),
            ("1.3.6.1.2.1.99.1.1.1.5.11", Value::Integer(2)), // unavailable
        ]);
        let found = extract(&[library.profile("entity-sensor-mib").unwrap()], Input::Snmp(&snapshot));
        assert_eq!(found.items.len(), 1, "{found:?}");
        let item = &found.items[0];
        assert_eq!(
            (item.name.as_str(), item.samples[0].value, item.samples[0].unit.as_str()),
            ("Inlet", 30.5, "celsius")
        );
    }

    #[test]
    fn makers_scales_and_what_is_invalid_are_as_their_mibs_say() {
        // A power distribution that was set to Fahrenheit.
        let fahrenheit: &[(&str, i64)] =
            &[("1.3.6.1.4.1.534.6.6.7.1.2.1.9.0", 1), ("1.3.6.1.4.1.534.6.6.7.7.1.1.4.0.1", 770)];
        let celsius: &[(&str, i64)] =
            &[("1.3.6.1.4.1.534.6.6.7.1.2.1.9.0", 0), ("1.3.6.1.4.1.534.6.6.7.7.1.1.4.0.1", 250)];
        let no_power_meter: &[(&str, i64)] = &[("1.3.6.1.4.1.534.6.6.7.3.4.1.4.0.1.1", -1)];
        // A plant with 53.5 V, and a current that is invalid.
        let plant: &[(&str, i64)] =
            &[("1.3.6.1.4.1.6302.2.1.2.2.0", 53_500), ("1.3.6.1.4.1.6302.2.1.2.3.0", 2_147_483_647)];
        let no_phase: &[(&str, i64)] = &[("1.3.6.1.4.1.601.3.1.1.2.5.1.1.4.1.3", 1_999_999_999)];
        let inverter: &[(&str, i64)] = &[("1.3.6.1.4.1.935.10.2.1.2.2.1.9.1", 600)];
        for (name, objects, expected) in [
            ("eaton-epdu-mib", fahrenheit, &[("sensor_celsius", 25.0)][..]),
            ("eaton-epdu-mib", celsius, &[("sensor_celsius", 25.0)]),
            ("eaton-epdu-mib", no_power_meter, &[]),
            ("ees-power-mib", plant, &[("sensor_volts", 53.5)]),
            ("ssu2000-mib", no_phase, &[]),
            ("eaton-matrix-mib", inverter, &[("sensor_hertz", 60.0)]),
        ] {
            let objects: Vec<(&str, Value)> =
                objects.iter().map(|(oid, value)| (*oid, Value::Integer(*value))).collect();
            let profile = crate::extract::Library::own().profile(name).unwrap();
            let snapshot = snapshot(&objects);
            let found = extract(&[profile], Input::Snmp(&snapshot));
            let samples = found.items.iter().flat_map(|item| &item.samples);
            let told: Vec<(&str, f64)> = samples.map(|sample| (sample.name.as_str(), sample.value)).collect();
            assert_eq!(told, expected, "{name}: {found:?}");
        }
    }

    #[test]
    fn beans_rows_documents_and_texts_become_items_too() {
        let beans = json!({"beans": [
            {"name": "Hadoop:service=NameNode,name=FSNamesystem", "CapacityUsed": 7, "Heap": {"used": 3}},
            {"name": "Hadoop:service=NameNode,name=RpcActivityForPort8020", "CallQueueLength": 2},
            {"name": "Hadoop:service=NameNode,name=RpcActivityForPort8021", "CallQueueLength": 0},
        ]});
        let jmx = profile(
            "profile: jmx\ntitle: x\nsources:\n  rpc:\n    jmx: 'Hadoop:service=*,name=RpcActivityForPort*'\n    columns: { queue: CallQueueLength }\nrules:\n  - item: rpc\n    from: rpc\n    key: '{bean.name}'\n    samples: [{ name: rpc_queue, value: queue }]\n",
        );
        let found = extract(&[&jmx], Input::Json(&beans));
        let queues: Vec<(&str, f64)> =
            found.items.iter().map(|item| (item.key.as_str(), item.samples[0].value)).collect();
        assert_eq!(queues, [("RpcActivityForPort8020", 2.0), ("RpcActivityForPort8021", 0.0)]);

        let document =
            json!({"data": [{"tenant": "a", "quota": {"used": 5}}, {"tenant": "b", "quota": {"used": "6"}}]});
        let paths = profile(
            "profile: json\ntitle: x\nsources:\n  tenants:\n    json: $.data[*]\n    columns: { tenant: tenant, used: quota.used }\nrules:\n  - item: tenant\n    from: tenants\n    key: '{tenant}'\n    samples: [{ name: quota_used, value: used }]\n",
        );
        let found = extract(&[&paths], Input::Json(&document));
        assert_eq!(found.items.iter().map(|item| item.samples[0].value).collect::<Vec<_>>(), [5.0, 6.0]);

        let rows = [json!({"name": "shop", "lag": 12.5}), json!({"name": "mail", "lag": null})];
        let rows: Vec<_> = rows.iter().map(|row| row.as_object().unwrap().clone()).collect();
        let sql = profile(
            "profile: sql\ntitle: x\nsources:\n  replicas: { sql: 'SELECT name, lag FROM r' }\nrules:\n  - item: replica\n    from: replicas\n    key: '{name}'\n    samples: [{ name: lag_seconds, unit: seconds, value: lag }]\n",
        );
        let found = extract(&[&sql], Input::Rows(&rows));
        assert_eq!(found.items.len(), 2);
        assert_eq!(found.items[1].samples, [], "what is not told is not a zero");

        let lines = profile(
            "profile: text\ntitle: x\nsources:\n  keys: { text: '(?m)^db(?<db>[0-9]+):keys=(?<count>[0-9]+)' }\nrules:\n  - item: database\n    from: keys\n    key: '{db}'\n    samples: [{ name: keys, value: count }]\n",
        );
        let found = extract(&[&lines], Input::Text("# Keyspace\ndb0:keys=3,expires=0\ndb7:keys=40\n"));
        assert_eq!(
            found.items.iter().map(|item| (item.key.as_str(), item.samples[0].value)).collect::<Vec<_>>(),
            [("0", 3.0), ("7", 40.0)]
        );
    }

    #[test]
    fn a_fallback_is_asked_only_when_nothing_else_was_found() {
        let yaml = "profile: f\ntitle: x\nsources:\n  a: { table: 1.3.6.1.4.1.1.1, columns: { v: 1 } }\n  b: { table: 1.3.6.1.4.1.2.1, columns: { v: 1 } }\nrules:\n  - { item: cpu, from: b, fallback: kind, key: 'b{index}' }\n  - { item: cpu, from: a, key: 'a{index}' }\n";
        let profile = profile(yaml);
        let both = snapshot(&[("1.3.6.1.4.1.1.1.1.1", Value::Integer(1)), ("1.3.6.1.4.1.2.1.1.1", Value::Integer(1))]);
        let found = extract(&[&profile], Input::Snmp(&both));
        assert_eq!(found.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["a1"]);
        let one = snapshot(&[("1.3.6.1.4.1.2.1.1.1", Value::Integer(1))]);
        assert_eq!(extract(&[&profile], Input::Snmp(&one)).items[0].key, "b1");
    }

    #[test]
    fn a_value_that_nobody_explained_is_unknown_and_never_fine() {
        let yaml = "profile: s\ntitle: x\nsources:\n  a: { table: 1.3.6.1.4.1.1.1, columns: { v: 1 } }\nrules:\n  - item: fan\n    from: a\n    states: [{ name: fan, value: v, map: { 1: [spins, ok], 2: [stands, critical] } }]\n";
        let table = snapshot(&[("1.3.6.1.4.1.1.1.1.1", Value::Integer(2)), ("1.3.6.1.4.1.1.1.1.2", Value::Integer(9))]);
        let found = extract(&[&profile(yaml)], Input::Snmp(&table));
        let states: Vec<State> = found.items.iter().map(|item| item.states[0].state).collect();
        assert_eq!(states, [State::Critical, State::Unknown]);
    }

    #[test]
    fn rules_share_a_map_and_the_first_of_a_name_is_taken() {
        let yaml = "profile: s\ntitle: x\nmaps:\n  health: { 1: [fine, ok], 2: [broken, critical] }\nsources:\n  a: { table: 1.3.6.1.4.1.1.1, columns: { fan: 1, wide: 2, narrow: 3 } }\nrules:\n  - item: fan\n    from: a\n    samples:\n      - { name: octets, value: wide }\n      - { name: octets, value: narrow }\n    states: [{ name: fan, value: fan, map: health }]\n";
        let table = snapshot(&[
            ("1.3.6.1.4.1.1.1.1.1", Value::Integer(2)),
            ("1.3.6.1.4.1.1.1.2.1", Value::Counter64(7)),
            ("1.3.6.1.4.1.1.1.3.1", Value::Counter32(3)),
            ("1.3.6.1.4.1.1.1.1.2", Value::Integer(1)),
            ("1.3.6.1.4.1.1.1.3.2", Value::Counter32(5)),
        ]);
        let found = extract(&[&profile(yaml)], Input::Snmp(&table));
        let told: Vec<_> = found.items.iter().map(|item| (item.states[0].word.as_str(), &item.samples)).collect();
        assert_eq!(told.iter().map(|(word, _)| *word).collect::<Vec<_>>(), ["broken", "fine"]);
        let octets: Vec<Vec<f64>> =
            told.iter().map(|(_, samples)| samples.iter().map(|sample| sample.value).collect()).collect();
        assert_eq!(octets, [vec![7.0], vec![5.0]], "one series, never two with one name");
    }

    #[test]
    fn one_profile_reads_every_model_below_its_own_identity() {
        let yaml = "profile: g\ntitle: x\nsources:\n  outlets: { table: identity.1.3, columns: { on: 2 } }\n  unit: { scalars: { volts: identity.5.0 } }\nrules:\n  - { item: outlet, from: outlets, states: [{ name: outlet, value: on, map: { 1: [on, ok] } }] }\n  - { item: unit, from: unit, samples: [{ name: volts, value: volts }] }\n";
        let profile = profile(yaml);
        for model in ["1.3.6.1.4.1.28507.68", "1.3.6.1.4.1.28507.81"] {
            let identity: Oid = model.parse().unwrap();
            let said = snapshot(&[("1.3.6.1.2.1.1.2.0", Value::Oid(identity.clone()))]);
            assert_eq!(roots(&[&profile], &said), [identity.with(&[1, 3, 2])]);
            assert_eq!(objects(&[&profile], &said), [identity.with(&[5, 0])]);
            let answers = snapshot(&[
                ("1.3.6.1.2.1.1.2.0", Value::Oid(identity.clone())),
                (&format!("{model}.1.3.2.1"), Value::Integer(1)),
                (&format!("{model}.5.0"), Value::Integer(230)),
            ]);
            let found = extract(&[&profile], Input::Snmp(&answers));
            assert_eq!((found.items[0].states[0].word.as_str(), found.items[1].samples[0].value), ("on", 230.0));
            assert_eq!(found.items[1].samples[0].origin, Some(identity.with(&[5, 0])));
        }
        let silent = Snapshot::default();
        assert!(roots(&[&profile], &silent).is_empty() && objects(&[&profile], &silent).is_empty(), "nowhere else");
    }

    #[test]
    fn a_source_is_joined_by_its_index_and_by_a_column_at_once() {
        let yaml = "profile: j\ntitle: x\nsources:\n  a: { table: 1.3.6.1.4.1.1.1, columns: { to: 1 } }\n  parts: { table: 1.3.6.1.4.1.2.1, columns: { id: 1, name: 2 } }\nrules:\n  - item: link\n    from: a\n    join: [{ source: parts, as: own, on: '{index}' }, { source: parts, as: other, on: '{to}', by: id }]\n    name: '{own.name}-{other.name}'\n";
        let table = snapshot(&[
            ("1.3.6.1.4.1.1.1.1.1", Value::Integer(77)),
            ("1.3.6.1.4.1.2.1.1.1", Value::Integer(5)),
            ("1.3.6.1.4.1.2.1.2.1", text("left")),
            ("1.3.6.1.4.1.2.1.1.2", Value::Integer(77)),
            ("1.3.6.1.4.1.2.1.2.2", text("right")),
        ]);
        assert_eq!(extract(&[&profile(yaml)], Input::Snmp(&table)).items[0].name, "left-right");
    }
}
