//! CloudEvents 1.0 over HTTP: structured, batched, and with the attributes in headers.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Together with `source` its name: the same pair is the same event.
    pub id: String,
    /// Who tells.
    pub source: String,
    /// What kind of thing happened: `com.example.object.deleted`.
    pub kind: String,
    /// What it is about, within the source.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// What the data are: `application/json`.
    pub content_type: Option<String>,
    /// Attributes of others' making.
    pub extensions: BTreeMap<String, String>,
    /// What was told.
    pub data: Data,
}

/// The data of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// There are none.
    None,
    /// JSON.
    Json(Value),
    /// Anything else.
    Bytes(Vec<u8>),
}

const MAX_BATCH: usize = 1000;
const MAX_EXTENSIONS: usize = 100;

/// Reads a request's events. `headers` are name and value; names may be written in any way.
///
/// # Errors
/// A sentence on what is missing or wrong.
pub fn parse_request(headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<Event>, String> {
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value);
    let content_type = header("content-type").unwrap_or_default().to_ascii_lowercase();
    let wrong = |why: serde_json::Error| format!("the body is no JSON ({why})");
    if content_type.starts_with("application/cloudevents-batch") {
        let batch: Vec<Map<String, Value>> = serde_json::from_slice(body).map_err(wrong)?;
        if batch.len() > MAX_BATCH {
            return Err(format!("a batch has more than {MAX_BATCH} events"));
        }
        return batch.into_iter().map(structured).collect();
    }
    if content_type.starts_with("application/cloudevents") {
        return Ok(vec![structured(serde_json::from_slice(body).map_err(wrong)?)?]);
    }
    binary(headers, header("content-type"), body).map(|event| vec![event])
}

fn structured(mut object: Map<String, Value>) -> Result<Event, String> {
    let data = match (object.remove("data"), object.remove("data_base64")) {
        (Some(_), Some(_)) => return Err("an event has both data and data_base64".to_owned()),
        (Some(data), None) => Data::Json(data),
        (None, Some(Value::String(text))) => {
            Data::Bytes(STANDARD.decode(text).map_err(|_| "data_base64 is not base64".to_owned())?)
        }
        (None, Some(_)) => return Err("data_base64 is no text".to_owned()),
        (None, None) => Data::None,
    };
    let attributes = object.into_iter().filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    });
    event(attributes.collect(), data)
}

fn binary(headers: &[(&str, &str)], content_type: Option<&str>, body: &[u8]) -> Result<Event, String> {
    let mut attributes: BTreeMap<String, String> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().strip_prefix("ce-")?.to_owned(), unquoted(value))))
        .collect();
    if attributes.is_empty() {
        return Err("the request is no CloudEvent: neither its content type nor its headers say so".to_owned());
    }
    let is_json =
        content_type.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("json")));
    let data = match body {
        [] => Data::None,
        body if is_json => {
            Data::Json(serde_json::from_slice(body).map_err(|why| format!("the data are no JSON ({why})"))?)
        }
        body => Data::Bytes(body.to_vec()),
    };
    attributes.extend(content_type.map(|kind| ("datacontenttype".to_owned(), kind.to_owned())));
    event(attributes, data)
}

/// Header values carry what is not ASCII as `%C3%BC`.
fn unquoted(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn event(mut attributes: BTreeMap<String, String>, data: Data) -> Result<Event, String> {
    let mut needed = |name: &str| {
        let given = attributes.remove(name).filter(|text| !text.is_empty());
        given.ok_or_else(|| format!("an event lacks its {name}"))
    };
    let version = needed("specversion")?;
    if version != "1.0" {
        return Err(format!("version {version:?} of CloudEvents is not known (\"1.0\" is)"));
    }
    let (id, source, kind) = (needed("id")?, needed("source")?, needed("type")?);
    let time = match attributes.remove("time") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| format!("{text:?} is no time"))?),
    };
    Ok(Event {
        id,
        source,
        kind,
        subject: attributes.remove("subject"),
        time,
        content_type: attributes.remove("datacontenttype"),
        extensions: attributes.into_iter().take(MAX_EXTENSIONS).collect(),
        data,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-11-21T08:00:00Z","ext":7,"data":{"a":1}}"#;

    #[test]
    fn all_three_modes_are_understood() {
        let kind = ("Content-Type", "application/cloudevents+json; charset=utf-8");
        let one = parse_request(&[kind], EVENT.as_bytes()).unwrap().remove(0);
        assert_eq!((one.id.as_str(), one.kind.as_str(), one.extensions["ext"].as_str()), ("1", "t", "7"));
        assert_eq!(one.data, Data::Json(json!({"a": 1})));
        let batch = format!("[{EVENT},{EVENT}]");
        let kind = ("content-type", "application/cloudevents-batch+json");
        assert_eq!(parse_request(&[kind], batch.as_bytes()).unwrap().len(), 2);
        let headers = [
            ("ce-specversion", "1.0"),
            ("CE-ID", "2"),
            ("ce-source", "/caf%C3%A9"),
            ("ce-type", "t"),
            ("Content-Type", "text/plain"),
        ];
        let one = parse_request(&headers, b"hello").unwrap().remove(0);
        assert_eq!((one.source.as_str(), one.data), ("/café", Data::Bytes(b"hello".to_vec())));
        for (headers, body, part) in [
            (vec![], "x", "no CloudEvent"),
            (vec![kind], "{}", "no JSON"),
            (vec![("content-type", "application/cloudevents+json")], "{}", "lacks its specversion"),
            (vec![("ce-specversion", "0.3")], "", "version \"0.3\""),
        ] {
            assert!(parse_request(&headers, body.as_bytes()).unwrap_err().contains(part), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_request_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), value in "\\PC{0,20}") {
            for kind in ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"] {
                let _ = parse_request(&[("content-type", kind), ("ce-id", &value)], &bytes);
            }
        }
    }
}
