//! Loki push: streams of log lines with labels, as JSON or as snappy-packed protobuf. Total; bounded by the limits here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::receive::protobuf::{Field, Wire, pair};
use crate::receive::unpack;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub time_nanoseconds: i64,
    /// The line.
    pub line: String,
    /// What is told of this line alone (structured metadata).
    pub metadata: BTreeMap<String, String>,
}

/// Lines of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// What tells it from others.
    pub labels: BTreeMap<String, String>,
    /// Its lines, as they were sent.
    pub entries: Vec<Entry>,
}

/// The most bytes of a push, unpacked.
pub const PUSH_LIMIT_BYTES: usize = 32 << 20;
/// The most lines of a push.
pub const MAX_ENTRIES: usize = 100_000;
const MAX_LABELS: usize = 64;

/// Reads a push: protobuf when the type of content says so, else JSON (which may be packed with gzip).
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_push(content_type: &str, body: &[u8]) -> Result<Vec<Stream>, String> {
    if content_type.contains("protobuf") { parse_protobuf(body) } else { parse_json(body) }
}

/// Reads a push in JSON: `{"streams": [{"stream": {…}, "values": [["nanoseconds", "line"], …]}]}`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_json(body: &[u8]) -> Result<Vec<Stream>, String> {
    let body = unpack(body, PUSH_LIMIT_BYTES)?;
    let json: Value = serde_json::from_slice(&body).map_err(|why| format!("the push is no JSON ({why})"))?;
    let list = json["streams"].as_array().ok_or("the push has no \"streams\"")?;
    let mut count = 0;
    let mut streams = Vec::new();
    for one in list {
        let labels = texts(&one["stream"]).ok_or("a stream has no labels, or one that is no text")?;
        let values = one["values"].as_array().ok_or("a stream has no \"values\"")?;
        count += values.len();
        if count > MAX_ENTRIES {
            return Err(format!("the push has more than {MAX_ENTRIES} lines"));
        }
        let entries = values.iter().map(|value| entry(value).ok_or("a line is no pair of time and text"));
        streams.push(Stream { labels, entries: entries.collect::<Result<_, _>>()? });
    }
    Ok(streams)
}

fn entry(value: &Value) -> Option<Entry> {
    let pair = value.as_array()?;
    Some(Entry {
        time_nanoseconds: pair.first()?.as_str()?.parse().ok()?,
        line: pair.get(1)?.as_str()?.to_owned(),
        metadata: pair.get(2).map_or(Some(BTreeMap::new()), texts)?,
    })
}

fn texts(value: &Value) -> Option<BTreeMap<String, String>> {
    let object = value.as_object().filter(|object| object.len() <= MAX_LABELS)?;
    object.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Reads a push in protobuf, packed with snappy's block format.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_protobuf(body: &[u8]) -> Result<Vec<Stream>, String> {
    let length =
        snap::raw::decompress_len(body).map_err(|why| format!("the push is not packed with snappy ({why})"))?;
    if length > PUSH_LIMIT_BYTES {
        return Err(format!("the push has more than {PUSH_LIMIT_BYTES} bytes"));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body);
    let plain = plain.map_err(|why| format!("the push is not packed with snappy ({why})"))?;
    let mut streams = Vec::new();
    let mut count = 0;
    let mut wire = Wire::new(&plain);
    while !wire.is_empty() {
        let field = wire.field().ok_or("the push is no protobuf")?;
        if let (1, Field::Bytes(stream)) = field {
            streams.push(stream_of(stream, &mut count)?);
        }
    }
    Ok(streams)
}

fn stream_of(bytes: &[u8], count: &mut usize) -> Result<Stream, String> {
    let wrong = || "a stream of the push is damaged".to_owned();
    let mut stream = Stream::default();
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field().ok_or_else(wrong)? {
            (1, Field::Bytes(labels)) => stream.labels = parse_labels(&String::from_utf8_lossy(labels))?,
            (2, Field::Bytes(entry)) => {
                *count += 1;
                if *count > MAX_ENTRIES {
                    return Err(format!("the push has more than {MAX_ENTRIES} lines"));
                }
                stream.entries.push(entry_of(entry).ok_or_else(wrong)?);
            }
            _ => {}
        }
    }
    Ok(stream)
}

fn entry_of(bytes: &[u8]) -> Option<Entry> {
    let mut entry = Entry { time_nanoseconds: 0, line: String::new(), metadata: BTreeMap::new() };
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Bytes(time)) => entry.time_nanoseconds = nanoseconds(time)?,
            (2, Field::Bytes(line)) => entry.line = String::from_utf8_lossy(line).into_owned(),
            (3, Field::Bytes(label)) if entry.metadata.len() < MAX_LABELS => {
                let (name, value) = pair(label)?;
                entry.metadata.insert(name, value);
            }
            _ => {}
        }
    }
    Some(entry)
}

fn nanoseconds(bytes: &[u8]) -> Option<i64> {
    let (mut seconds, mut rest) = (0i64, 0i64);
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Varint(value)) => seconds = value.cast_signed(),
            (2, Field::Varint(value)) => rest = value.cast_signed(),
            _ => {}
        }
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(rest)
}

/// Reads labels as protobuf has them: `{job="nginx", host="web-1"}`.
///
/// # Errors
/// A sentence that names the text.
pub fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = || format!("{} are no labels", crate::outcome::excerpt(text.as_bytes()));
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(wrong)?;
    // A name before the brace is what a selector of samples has; labels alone are read the same way.
    let selector = format!("labels{{{inside}}}");
    let labels = crate::prometheus::labels_of(&selector).ok_or_else(wrong)?;
    Ok(labels.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(field: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 2];
        let mut length = content.len();
        while length > 127 {
            bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).unwrap());
        bytes.extend(content);
        bytes
    }

    #[test]
    fn both_forms_say_the_same() {
        let json = br#"{"streams": [{"stream": {"job": "a \"b\"", "host": "web-1"},
            "values": [["1700000000000000001", "GET /", {"trace": "x"}], ["1700000000000000002", "POST /"]]}]}"#;
        let from_json = parse_push("application/json", json).unwrap();
        let mut stream = message(1, br#"{job="a \"b\"", host="web-1"}"#);
        // 1,700,000,000 seconds and a nanosecond or two.
        for (nano, line, more) in [(1u8, &b"GET /"[..], true), (2, b"POST /", false)] {
            let time = [0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x10, nano];
            let mut entry = message(1, &time);
            entry.extend(message(2, line));
            if more {
                entry.extend(message(3, &[message(1, b"trace"), message(2, b"x")].concat()));
            }
            stream.extend(message(2, &entry));
        }
        let packed = snap::raw::Encoder::new().compress_vec(&message(1, &stream)).unwrap();
        assert_eq!(parse_push("application/x-protobuf", &packed).unwrap(), from_json);
        assert_eq!(from_json[0].labels["job"], "a \"b\"");
        assert_eq!(from_json[0].entries[1].time_nanoseconds, 1_700_000_000_000_000_002);
    }

    #[test]
    fn what_is_no_push_is_refused_within_bounds() {
        for (kind, body) in [
            ("application/json", &b"[]"[..]),
            ("application/json", br#"{"streams": [{"stream": {"a": 1}, "values": []}]}"#),
            ("application/json", br#"{"streams": [{"stream": {}, "values": [[1, "a"]]}]}"#),
            ("application/x-protobuf", b"plain"),
            // Says that it is four gigabytes when unpacked.
            ("application/x-protobuf", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
        ] {
            assert!(parse_push(kind, body).is_err(), "{body:?}");
        }
        for wrong in ["", "job", "{job}", "{job=\"a\"", "{job=\"a\"}x"] {
            assert!(parse_labels(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_push_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "\\{[a-c=\",{} ]{0,20}\\}") {
            let _ = (parse_json(&bytes), parse_protobuf(&bytes), parse_labels(&text));
            let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
            let _ = parse_protobuf(&packed);
        }
    }
}
