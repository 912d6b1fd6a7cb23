//! OTLP logs: log records as OpenTelemetry sends them, in protobuf or in JSON. Total; bounded by the limits here.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::outcome::hex;
use crate::receive::protobuf::{Field, Wire};
use crate::receive::unpack;

/// One record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Nanoseconds since 1970 when it happened; 0 when that is not known.
    pub time_nanoseconds: u64,
    /// Nanoseconds since 1970 when it was seen.
    pub observed_nanoseconds: u64,
    /// 1 (trace) to 24 (fatal); 0 when not told.
    pub severity: u8,
    /// The severity in the source's own words.
    pub severity_text: String,
    /// What it says; structures as JSON.
    pub body: String,
    /// What is told of it.
    pub attributes: BTreeMap<String, String>,
    /// What is told of whoever sent it.
    pub resource: BTreeMap<String, String>,
    /// Which part of the program said it.
    pub scope: String,
    /// The trace that it belongs to, in hexadecimal; empty when it belongs to none.
    pub trace: String,
    /// The span that it belongs to, in hexadecimal.
    pub span: String,
}

/// The most bytes of an export, unpacked.
pub const EXPORT_LIMIT_BYTES: usize = 32 << 20;
/// The most records of an export.
pub const MAX_RECORDS: usize = 100_000;
const MAX_ATTRIBUTES: usize = 128;
const MAX_DEPTH: u8 = 16;

/// Reads an export: JSON when the type of content says so, else protobuf. Either may be packed with gzip.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_export(content_type: &str, body: &[u8]) -> Result<Vec<Record>, String> {
    let plain = unpack(body, EXPORT_LIMIT_BYTES)?;
    if content_type.contains("json") { parse_json(&plain) } else { parse_protobuf(&plain) }
}

/// Reads an export in protobuf.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_protobuf(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let wrong = || "the export is no protobuf of log records".to_owned();
    let mut records = Vec::new();
    for resource_logs in parts(bytes, 1).ok_or_else(wrong)? {
        let mut resource = BTreeMap::new();
        for one in parts(resource_logs, 1).ok_or_else(wrong)? {
            resource = attributes(one, 1).ok_or_else(wrong)?;
        }
        for scope_logs in parts(resource_logs, 2).ok_or_else(wrong)? {
            let mut scope = String::new();
            for one in parts(scope_logs, 1).ok_or_else(wrong)? {
                scope = parts(one, 1).ok_or_else(wrong)?.last().map(|name| text(name)).unwrap_or_default();
            }
            for record in parts(scope_logs, 2).ok_or_else(wrong)? {
                if records.len() == MAX_RECORDS {
                    return Err(format!("the export has more than {MAX_RECORDS} records"));
                }
                let record = record_of(record).ok_or_else(wrong)?;
                records.push(Record { resource: resource.clone(), scope: scope.clone(), ..record });
            }
        }
    }
    Ok(records)
}

/// The contents of every field of that number that is a message or a text.
fn parts(bytes: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (number, Field::Bytes(content)) if number == wanted => found.push(content),
            _ => {}
        }
    }
    Some(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn record_of(bytes: &[u8]) -> Option<Record> {
    let mut record = Record { attributes: attributes(bytes, 6)?, ..Record::default() };
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Fixed64(time)) => record.time_nanoseconds = time,
            (2, Field::Varint(severity)) => record.severity = u8::try_from(severity).unwrap_or(0),
            (3, Field::Bytes(words)) => record.severity_text = text(words),
            (5, Field::Bytes(value)) => record.body = shown(&any_value(value, 0)?),
            (9, Field::Bytes(id)) => record.trace = hex(id, ""),
            (10, Field::Bytes(id)) => record.span = hex(id, ""),
            (11, Field::Fixed64(time)) => record.observed_nanoseconds = time,
            _ => {}
        }
    }
    Some(record)
}

fn attributes(bytes: &[u8], number: u64) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for pair in parts(bytes, number)?.into_iter().take(MAX_ATTRIBUTES) {
        let (name, value) = pair_of(pair, 0)?;
        found.insert(name, shown(&value));
    }
    Some(found)
}

fn pair_of(bytes: &[u8], depth: u8) -> Option<(String, Value)> {
    let mut pair = (String::new(), Value::Null);
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Bytes(name)) => pair.0 = text(name),
            (2, Field::Bytes(value)) => pair.1 = any_value(value, depth)?,
            _ => {}
        }
    }
    Some(pair)
}

/// A value of any kind (`AnyValue`).
fn any_value(bytes: &[u8], depth: u8) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut value = Value::Null;
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        value = match wire.field()? {
            (1, Field::Bytes(words)) => Value::from(text(words)),
            (2, Field::Varint(flag)) => Value::from(flag != 0),
            (3, Field::Varint(number)) => Value::from(number.cast_signed()),
            (4, Field::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
            (5, Field::Bytes(list)) => {
                Value::Array(parts(list, 1)?.into_iter().map(|one| any_value(one, depth + 1)).collect::<Option<_>>()?)
            }
            (6, Field::Bytes(map)) => {
                Value::Object(parts(map, 1)?.into_iter().map(|one| pair_of(one, depth + 1)).collect::<Option<_>>()?)
            }
            (7, Field::Bytes(content)) => Value::from(STANDARD.encode(content)),
            _ => value,
        };
    }
    Some(value)
}

/// Texts as they are, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Reads an export in JSON, whose numbers of 64 bits are texts and whose identifiers are hexadecimal.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_json(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let json: Value = serde_json::from_slice(bytes).map_err(|why| format!("the export is no JSON ({why})"))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if !json["resourceLogs"].is_array() {
        return Err("the export has no \"resourceLogs\"".to_owned());
    }
    let mut records = Vec::new();
    for resource_logs in list(&json["resourceLogs"]) {
        let resource = json_attributes(&resource_logs["resource"]["attributes"]);
        for scope_logs in list(&resource_logs["scopeLogs"]) {
            let scope = scope_logs["scope"]["name"].as_str().unwrap_or_default();
            for record in list(&scope_logs["logRecords"]) {
                if records.len() == MAX_RECORDS {
                    return Err(format!("the export has more than {MAX_RECORDS} records"));
                }
                let words = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let id = |name: &str| words(name).to_ascii_lowercase();
                records.push(Record {
                    time_nanoseconds: json_number(&record["timeUnixNano"]),
                    observed_nanoseconds: json_number(&record["observedTimeUnixNano"]),
                    severity: u8::try_from(json_number(&record["severityNumber"])).unwrap_or(0),
                    severity_text: words("severityText"),
                    body: shown(&json_any(&record["body"])),
                    attributes: json_attributes(&record["attributes"]),
                    resource: resource.clone(),
                    scope: scope.to_owned(),
                    trace: id("traceId"),
                    span: id("spanId"),
                });
            }
        }
    }
    Ok(records)
}

fn json_number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

fn json_attributes(list: &Value) -> BTreeMap<String, String> {
    let pairs = list.as_array().into_iter().flatten().take(MAX_ATTRIBUTES);
    pairs.filter_map(|pair| Some((pair["key"].as_str()?.to_owned(), shown(&json_any(&pair["value"]))))).collect()
}

/// A value of any kind; JSON itself bounds its depth.
fn json_any(value: &Value) -> Value {
    let Some((kind, value)) = value.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match (kind.as_str(), value) {
        ("intValue", Value::String(number)) => number.parse::<i64>().map_or(Value::Null, Value::from),
        ("arrayValue", list) => list["values"].as_array().into_iter().flatten().map(json_any).collect(),
        ("kvlistValue", map) => map["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair["key"].as_str()?.to_owned(), json_any(&pair["value"]))))
            .collect(),
        (_, value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(field: u8, content: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn export() -> Vec<u8> {
        let pair = |name: &[u8], value: &[u8]| [message(1, name), message(2, value)].concat();
        let mut record = [&[0x09][..], &1_700_000_000_000_000_001u64.to_le_bytes(), &[0x10, 17]].concat();
        record.extend(message(3, b"ERROR"));
        record.extend(message(5, &message(1, b"disk full")));
        record.extend(message(6, &pair(b"code", &[0x18, 5])));
        record.extend(message(9, &[0xab; 2]));
        let scope = message(1, &message(1, b"store"));
        let resource = message(1, &message(1, &pair(b"service.name", &message(1, b"shop"))));
        message(1, &[resource, message(2, &[scope, message(2, &record)].concat())].concat())
    }

    #[test]
    fn both_forms_say_the_same() {
        let json = br#"{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeLogs": [{"scope": {"name": "store"}, "logRecords": [{"timeUnixNano": "1700000000000000001", "severityNumber": 17,
            "severityText": "ERROR", "body": {"stringValue": "disk full"}, "traceId": "ABAB",
            "attributes": [{"key": "code", "value": {"intValue": "5"}}]}]}]}]}"#;
        let from_json = parse_export("application/json", json).unwrap();
        assert_eq!(parse_export("application/x-protobuf", &export()).unwrap(), from_json);
        assert_eq!((from_json[0].body.as_str(), from_json[0].trace.as_str()), ("disk full", "abab"));
        assert_eq!(from_json[0].attributes["code"], "5");
    }

    #[test]
    fn structures_become_json_and_do_not_nest_without_end() {
        let json = br#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"kvlistValue": {"values": [
            {"key": "a", "value": {"arrayValue": {"values": [{"intValue": 1}, {"boolValue": true}]}}}]}}}]}]}]}"#;
        assert_eq!(parse_json(json).unwrap()[0].body, r#"{"a":[1,true]}"#);
        let mut value = message(1, b"x");
        for _ in 0..20 {
            value = message(5, &message(1, &value));
        }
        assert_eq!(any_value(&value, 0), None);
        assert!(parse_export("application/json", b"{}").is_err());
        assert!(parse_export("application/x-protobuf", b"\x0a\x7f").is_err());
    }

    proptest! {
        #[test]
        fn no_export_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..60, byte: u8) {
            let _ = (parse_protobuf(&bytes), parse_json(&bytes), parse_export("json", &bytes));
            let mut damaged = export();
            damaged[at] = byte;
            let _ = parse_protobuf(&damaged);
        }
    }
}
