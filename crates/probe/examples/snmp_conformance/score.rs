//! Score: what was found beside what was expected, row by row. A row is right when all that is compared fits.

use std::collections::BTreeMap;

use probe::extract::{Item, Sample};
use probe::snmp::Inspection;
use serde_json::Value;

/// Rows that are right, rows there are, and what was found beside them, for each table.
#[derive(Default)]
pub struct Score(pub BTreeMap<&'static str, Count>);

/// The counts of one table.
#[derive(Default)]
pub struct Count {
    /// Rows that are as expected.
    pub right: usize,
    /// Rows that are expected.
    pub expected: usize,
    /// Rows that were found, whether expected or not.
    pub found: usize,
}

/// What was expected of a device, in the recording's own words.
pub struct Expected<'e>(pub &'e Value);

impl<'e> Expected<'e> {
    /// What the device says it is (sysObjectID); empty where the recording does not say.
    pub fn identity(&self) -> String {
        let said = self.rows("os", "devices").and_then(|rows| rows.first()?["sysObjectID"].as_str());
        said.unwrap_or_default().trim_start_matches('.').to_owned()
    }

    /// The rows of a table; those of the later phase where they differ.
    fn rows(&self, module: &str, table: &str) -> Option<&'e Vec<Value>> {
        let module = self.0.get(module)?;
        let later = module.get("poller").and_then(|phase| phase.get(table)).and_then(Value::as_array);
        later.filter(|rows| !rows.is_empty()).or_else(|| module.get("discovery")?.get(table)?.as_array())
    }
}

/// Is told each row that is wrong: its table, the object it is about (empty where there is none), and the row.
pub type Miss<'m> = dyn FnMut(&'static str, &str, String) + 'm;

impl Score {
    /// Compares one device; tells `miss` each row that is wrong.
    pub fn add(&mut self, expected: &Expected<'_>, got: &Inspection, miss: &mut Miss<'_>) {
        self.facts(expected, got, miss);
        for (table, module, name, kind) in TABLES {
            let Some(rows) = expected.rows(module, name) else { continue };
            let is_of_kind = |item: &&Item| kind.is_empty() || kind.contains(&item.kind.as_str());
            let items: Vec<&Item> = got.found.items.iter().filter(is_of_kind).collect();
            let count = self.0.entry(table).or_default();
            count.found += match *table {
                "sensors" => items.iter().filter(|item| !is_elsewhere(item)).map(|item| item.samples.len()).sum(),
                "states" => items.iter().map(|item| item.states.len()).sum(),
                _ => items.len(),
            };
            for row in rows {
                if !is_of(table, row) {
                    continue;
                }
                count.expected += 1;
                if fits(table, row, &items) {
                    count.right += 1;
                } else {
                    let place = row["sensor_oid"].as_str().unwrap_or_default().trim_start_matches('.');
                    miss(table, place, row.to_string());
                }
            }
        }
    }

    fn facts(&mut self, expected: &Expected<'_>, got: &Inspection, miss: &mut Miss<'_>) {
        let Some(row) = expected.rows("os", "devices").and_then(|rows| rows.first()) else { return };
        for fact in ["os", "hardware", "version", "serial"] {
            let have = if fact == "os" { Some(&got.device.os) } else { got.device.facts.get(fact) };
            let count = self.0.entry(fact).or_default();
            count.found += usize::from(have.is_some_and(|have| !have.is_empty()));
            let Some(want) = row[fact].as_str().filter(|want| !want.trim().is_empty() && *want != "<private>") else {
                continue;
            };
            count.expected += 1;
            if have.is_some_and(|have| have.trim() == want.trim()) {
                count.right += 1;
            } else {
                let what = format!("want {want:?} have {have:?} {} {}", row["sysObjectID"], row["sysDescr"]);
                miss(fact, "", what);
            }
        }
    }
}

/// The kind of reason for which a row is wrong, without a word of the row itself.
pub fn cause(table: &str, place: &str, row: &str, got: &Inspection) -> &'static str {
    let row: Value = serde_json::from_str(row).unwrap_or_default();
    let origin_is =
        |origin: &Option<probe::snmp::Oid>| origin.as_ref().is_some_and(|origin| origin.to_string() == place);
    let items = &got.found.items;
    match table {
        "sensors" => {
            let unit = unit_of(row["sensor_class"].as_str().unwrap_or_default()).map(|(unit, _)| unit);
            let read: Vec<&Sample> =
                items.iter().flat_map(|item| &item.samples).filter(|sample| origin_is(&sample.origin)).collect();
            if read.iter().any(|sample| unit.is_none_or(|unit| base_unit(&sample.unit).0 == unit)) {
                "other value"
            } else if !read.is_empty() {
                "other unit"
            } else if items.iter().flat_map(|item| &item.states).any(|state| origin_is(&state.origin)) {
                "is a state"
            } else {
                "not read"
            }
        }
        "states" if items.iter().flat_map(|item| &item.states).any(|state| origin_is(&state.origin)) => "other value",
        "states" if items.iter().flat_map(|item| &item.samples).any(|sample| origin_is(&sample.origin)) => {
            "is a sample"
        }
        "states" => "not read",
        "ports" => {
            let ports = || items.iter().filter(|item| item.kind == "port");
            match ports().find(|item| Some(&item.key) == text(&row, "ifIndex").as_ref()) {
                None => "not read",
                Some(item) => port_difference(&row, item),
            }
        }
        _ => "wrong",
    }
}

/// The first field in which a port is not as expected.
fn port_difference(row: &Value, item: &Item) -> &'static str {
    const FIELDS: &[&str] = &[
        "ifDescr",
        "ifName",
        "ifAlias",
        "ifType",
        "ifMtu",
        "ifPhysAddress",
        "ifOperStatus",
        "ifAdminStatus",
        "ifSpeed",
    ];
    let alone = |field: &str| {
        let mut only = serde_json::Map::new();
        only.insert(field.to_owned(), row[field].clone());
        Value::Object(only)
    };
    FIELDS.iter().find(|field| !port_fits(&alone(field), item)).unwrap_or(&"several")
}

/// The tables: ours, where theirs is, and which kinds of items may hold its rows; none stands for all.
const TABLES: &[(&str, &str, &str, &[&str])] = &[
    ("ports", "ports", "ports", &["port"]),
    // What we call a thing is ours: a reading is right wherever it stands.
    ("sensors", "sensors", "sensors", &[]),
    ("states", "sensors", "sensors", &[]),
    ("wireless", "wireless", "wireless_sensors", &[]),
    ("processors", "processors", "processors", &["processor"]),
    ("memory", "mempools", "mempools", &["memory"]),
    ("storage", "storage", "storage", &["storage"]),
    ("supplies", "printer-supplies", "printer_supplies", &["supply"]),
    ("neighbours", "discovery-protocols", "links", &["neighbour"]),
    ("entities", "entity-physical", "entPhysical", &["entity"]),
    ("addresses", "ipv4-addresses", "ipv4_addresses", &["address"]),
    ("vlans", "vlans", "vlans", &["vlan"]),
];

/// Whether another table counts what is measured of it.
fn is_elsewhere(item: &Item) -> bool {
    ["port", "processor", "memory", "storage", "bridge-port"].contains(&item.kind.as_str())
}

fn is_of(table: &str, row: &Value) -> bool {
    let is_state = row["sensor_class"] == "state";
    match table {
        "sensors" => !is_state && row["sensor_deleted"] != 1,
        "states" => is_state && row["sensor_deleted"] != 1,
        "ports" => row["deleted"] != 1,
        _ => true,
    }
}

fn text(row: &Value, field: &str) -> Option<String> {
    match &row[field] {
        Value::String(text) if !text.is_empty() && text != "<private>" => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(row: &Value, field: &str) -> Option<f64> {
    row[field].as_f64().or_else(|| row[field].as_str()?.trim().parse().ok())
}

fn near(want: f64, have: f64) -> bool {
    (want - have).abs() <= 0.06 + want.abs() * 0.005
}

fn fits(table: &str, row: &Value, items: &[&Item]) -> bool {
    match table {
        "ports" => items.iter().any(|item| Some(&item.key) == text(row, "ifIndex").as_ref() && port_fits(row, item)),
        "sensors" => sensor_fits(row, items, "sensor_oid"),
        "states" => {
            let oid = row["sensor_oid"].as_str().unwrap_or_default().trim_start_matches('.');
            let states = items.iter().flat_map(|item| &item.states);
            // Where an agent sends a word, theirs is a number of their own choice.
            states.filter(|state| state.origin.as_ref().is_some_and(|origin| origin.to_string() == oid)).any(|state| {
                number(row, "sensor_current")
                    .is_none_or(|want| state.value.parse().map_or(true, |have: f64| have == want))
            })
        }
        "wireless" => wireless_fits(row, items),
        "processors" => items.iter().flat_map(|item| &item.samples).any(|sample| {
            has_origin(sample, row["processor_oid"].as_str())
                && number(row, "processor_usage").is_none_or(|want| (want - sample.value).abs() <= 1.0)
        }),
        "memory" => items.iter().any(|item| room_fits(row, item, "mempool_used", "mempool_total", "mempool_perc")),
        "storage" => items.iter().any(|item| {
            text(row, "storage_descr").is_none_or(|descr| letters(&descr) == letters(&item.name))
                && room_fits(row, item, "storage_used", "storage_size", "storage_perc")
        }),
        "supplies" => items.iter().any(|item| {
            text(row, "supply_descr").is_none_or(|descr| descr.trim() == item.name)
                && number(row, "supply_current").is_none_or(|want| {
                    item.samples.iter().any(|sample| sample.unit == "percent" && (want - sample.value).abs() <= 1.0)
                })
        }),
        "neighbours" => items.iter().any(|item| {
            same(row, "remote_hostname", item.fields.get("remote_name"))
                && text(row, "remote_port").is_none_or(|want| port_names(item).contains(&want.trim().to_owned()))
        }),
        "entities" => items.iter().any(|item| {
            Some(&item.key) == text(row, "entPhysicalIndex").as_ref()
                && [
                    ("entPhysicalClass", "class"),
                    ("entPhysicalName", "name"),
                    ("entPhysicalDescr", "descr"),
                    ("entPhysicalSerialNum", "serial"),
                    ("entPhysicalModelName", "model"),
                ]
                .iter()
                .all(|(field, ours)| same(row, field, item.fields.get(*ours)))
        }),
        "addresses" => items.iter().any(|item| {
            text(row, "ipv4_address").as_ref() == item.fields.get("address")
                && text(row, "ipv4_prefixlen").is_none_or(|want| item.fields.get("prefix") == Some(&want))
                && text(row, "ifIndex").is_none_or(|want| item.fields.get("port") == Some(&want))
        }),
        "vlans" => items.iter().any(|item| {
            text(row, "vlan_vlan").as_ref() == item.fields.get("number")
                && same(row, "vlan_name", item.fields.get("name"))
        }),
        _ => false,
    }
}

/// A name without its marks: a disk of two names is `a:b` here and `a(b):` there.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn same(row: &Value, field: &str, have: Option<&String>) -> bool {
    text(row, field).is_none_or(|want| want.trim().is_empty() || have.is_some_and(|have| have.trim() == want.trim()))
}

/// A neighbour's port as the recordings write it: its name or its description, perhaps with an address behind it.
fn port_names(item: &Item) -> Vec<String> {
    let get = |name: &str| item.fields.get(name).cloned().unwrap_or_default();
    let mut names = Vec::new();
    for name in [get("remote_port"), get("remote_port_descr"), get("remote_port").replace(':', "")] {
        for address in [get("remote_chassis"), get("remote_port")] {
            names.push(format!("{name} ({})", address.replace(':', "")));
        }
        names.push(name);
    }
    names
}

/// What of a port is compared, and how ours is called.
fn port_fits(row: &Value, item: &Item) -> bool {
    let field = |name: &str| item.fields.get(name);
    let state = |name: &str| item.states.iter().find(|state| state.name == name).map(|state| &state.word);
    let speed =
        item.samples.iter().find(|sample| sample.name == "port_speed_bits_per_second").map(|sample| sample.value);
    let mac = field("mac").map(|mac| mac.replace(':', ""));
    same(row, "ifDescr", field("descr").or(field("name")))
        && same(row, "ifName", field("name").or(field("descr")))
        && same(row, "ifAlias", field("alias").or(field("descr")).or(field("name")))
        && same(row, "ifType", field("type"))
        && same(row, "ifMtu", field("mtu"))
        && same(row, "ifPhysAddress", mac.as_ref())
        && same(row, "ifOperStatus", state("link"))
        && same(row, "ifAdminStatus", state("admin"))
        && number(row, "ifSpeed")
            .filter(|want| *want > 0.0)
            .is_none_or(|want| speed.is_some_and(|have| near(want, have)))
}

fn has_origin(sample: &Sample, oid: Option<&str>) -> bool {
    let oid = oid.unwrap_or_default().trim_start_matches('.');
    sample.origin.as_ref().is_some_and(|origin| origin.to_string() == oid)
}

fn sensor_fits(row: &Value, items: &[&Item], field: &str) -> bool {
    let class = unit_of(row["sensor_class"].as_str().unwrap_or_default());
    items.iter().flat_map(|item| &item.samples).any(|sample| {
        let (unit, factor) = base_unit(&sample.unit);
        let (wanted, in_base) = class.unwrap_or((unit, factor));
        has_origin(sample, row[field].as_str())
            && wanted == unit
            && number(row, "sensor_current").is_none_or(|want| near(want, sample.value * factor / in_base))
    })
}

fn wireless_fits(row: &Value, items: &[&Item]) -> bool {
    let oids: Vec<String> = match &row["sensor_oids"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        _ => Vec::new(),
    };
    items.iter().flat_map(|item| &item.samples).any(|sample| {
        oids.iter().any(|oid| has_origin(sample, Some(oid)))
            && number(row, "sensor_current").is_none_or(|want| near(want, sample.value))
    })
}

/// The base unit of a class of the recordings, and what theirs is in it; none where any will do.
fn unit_of(class: &str) -> Option<(&'static str, f64)> {
    Some(match class {
        "temperature" => ("celsius", 1.0),
        "voltage" => ("volts", 1.0),
        "current" => ("amperes", 1.0),
        "power" => ("watts", 1.0),
        "power_consumed" => ("watt-hours", 1000.0),
        "fanspeed" => ("rpm", 1.0),
        "frequency" => ("hertz", 1.0),
        "humidity" | "charge" | "load" | "percent" => ("percent", 1.0),
        "dbm" => ("dbm", 1.0),
        "runtime" => ("seconds", 60.0),
        _ => return None,
    })
}

/// The base unit of one of ours, and what it is in it.
fn base_unit(unit: &str) -> (&str, f64) {
    match unit {
        "minutes" => ("seconds", 60.0),
        "hours" => ("seconds", 3600.0),
        "kilowatt-hours" => ("watt-hours", 1000.0),
        "milliamperes" => ("amperes", 0.001),
        "kilohertz" => ("hertz", 1e3),
        "megahertz" => ("hertz", 1e6),
        other => (other, 1.0),
    }
}

fn room_fits(row: &Value, item: &Item, used: &str, size: &str, percent: &str) -> bool {
    let sample = |suffix: &str| item.samples.iter().find(|sample| sample.name.ends_with(suffix)).map(|s| s.value);
    let have_percent = sample("_used_percent")
        .or_else(|| Some(100.0 * sample("_used_bytes")? / sample("_size_bytes").filter(|size| *size > 0.0)?));
    let percent_fits =
        number(row, percent).is_some_and(|want| have_percent.is_some_and(|have| (want - have).abs() <= 1.0));
    let is_percent_only = number(row, size).is_none_or(|size| size == 100.0 || size == 0.0);
    if is_percent_only {
        return percent_fits;
    }
    let bytes = |want: Option<f64>, have: Option<f64>| match (want, have) {
        (Some(want), Some(have)) => near(want, have),
        (want, _) => want.is_none(),
    };
    bytes(number(row, used), sample("_used_bytes")) && bytes(number(row, size), sample("_size_bytes"))
}
