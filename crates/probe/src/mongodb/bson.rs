//! BSON and the frame around it (OP_MSG): from JSON to bytes for our questions, from bytes to JSON for answers. Total.

use serde_json::{Map, Value};

use crate::dialog::Parsed;
use crate::outcome::hex;

const OP_MSG: u32 = 2013;
const HEADER_BYTES: usize = 16;
const MAX_BYTES: usize = 4 << 20;
const MAX_DEPTH: u8 = 32;

/// A command in its frame. Whole numbers become 32-bit ones, `{"$binary": text}` becomes binary.
pub(super) fn message(id: u32, words: &Value) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0]; // no flags; a section with one document
    document(&mut body, words);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    for number in [u32::try_from(HEADER_BYTES + body.len()).unwrap_or(0), id, 0, OP_MSG] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}

fn document(bytes: &mut Vec<u8>, fields: &Value) {
    let begin = bytes.len();
    bytes.extend([0; 4]);
    for (name, value) in fields.as_object().into_iter().flatten() {
        let binary = value.get("$binary").and_then(Value::as_str);
        let kind: u8 = match value {
            Value::Object(_) if binary.is_some() => 0x05,
            Value::Object(_) => 0x03,
            Value::String(_) => 0x02,
            Value::Bool(_) => 0x08,
            Value::Number(_) => 0x10,
            _ => 0x0a,
        };
        bytes.push(kind);
        bytes.extend(name.bytes().filter(|byte| *byte != 0));
        bytes.push(0);
        match value {
            Value::Object(_) => match binary {
                Some(text) => {
                    bytes.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
                    bytes.push(0);
                    bytes.extend(text.as_bytes());
                }
                None => document(bytes, value),
            },
            Value::String(text) => {
                bytes.extend(u32::try_from(text.len() + 1).unwrap_or(0).to_le_bytes());
                bytes.extend(text.as_bytes());
                bytes.push(0);
            }
            Value::Bool(flag) => bytes.push(u8::from(*flag)),
            Value::Number(number) => {
                let number = number.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default();
                bytes.extend(number.to_le_bytes());
            }
            _ => {}
        }
    }
    bytes.push(0);
    let length = u32::try_from(bytes.len() - begin).unwrap_or(0);
    bytes[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads one answer in its frame.
///
/// # Errors
/// When it is none, as the end of a sentence about the peer.
pub fn parse_message(bytes: &[u8]) -> Parsed<Value> {
    let wrong = || "does not speak MongoDB's protocol".to_owned();
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = number(0) as usize;
    if number(12) != OP_MSG || !(HEADER_BYTES + 10..=MAX_BYTES).contains(&length) {
        return Err(wrong());
    }
    let Some(message) = bytes.get(HEADER_BYTES..length) else { return Ok(None) };
    // Flags, then a section of kind 0; a checksum may follow.
    let (flags, section) = message.split_first_chunk::<5>().ok_or_else(wrong)?;
    if flags[4] != 0 {
        return Err(wrong());
    }
    parse_document(section).map(|document| Some((document, length))).ok_or_else(wrong)
}

/// Reads a document: numbers as numbers, texts and binary as text, dates as milliseconds, identifiers in hexadecimal.
/// `None` when it is damaged, nested more than 32 deep, or of a kind that is not known.
pub fn parse_document(bytes: &[u8]) -> Option<Value> {
    let length = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    fields(bytes.get(4..length)?, false, 0)
}

/// The fields until the closing zero.
fn fields(mut rest: &[u8], is_array: bool, depth: u8) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut found = Map::new();
    let mut items = Vec::new();
    loop {
        let (kind, after) = rest.split_first()?;
        if *kind == 0 {
            return Some(if is_array { Value::Array(items) } else { Value::Object(found) });
        }
        let end = after.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&after[..end]).into_owned();
        rest = &after[end + 1..];
        let value = value(*kind, &mut rest, depth)?;
        if is_array {
            items.push(value);
        } else {
            found.insert(name, value);
        }
    }
}

fn value(kind: u8, rest: &mut &[u8], depth: u8) -> Option<Value> {
    Some(match kind {
        0x01 => Value::from(f64::from_le_bytes(array(rest)?)),
        0x02 | 0x0d | 0x0e => {
            let length = usize::try_from(u32::from_le_bytes(array(rest)?)).ok()?;
            Value::from(String::from_utf8_lossy(take(rest, length)?.strip_suffix(&[0])?).into_owned())
        }
        0x03 | 0x04 => {
            let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
            fields(take(rest, length)?.get(4..)?, kind == 0x04, depth + 1)?
        }
        0x05 => {
            let length = usize::try_from(u32::from_le_bytes(array(rest)?)).ok()?;
            take(rest, 1)?;
            Value::from(String::from_utf8_lossy(take(rest, length)?).into_owned())
        }
        0x06 | 0x0a | 0x7f | 0xff => Value::Null,
        0x07 => Value::from(hex(&array::<12>(rest)?, "")),
        0x08 => Value::from(take(rest, 1)? != [0]),
        0x09 | 0x12 => Value::from(i64::from_le_bytes(array(rest)?)),
        0x0b => {
            for _ in 0..2 {
                let end = rest.iter().position(|byte| *byte == 0)?;
                take(rest, end + 1)?;
            }
            Value::Null
        }
        0x10 => Value::from(i32::from_le_bytes(array(rest)?)),
        0x11 => Value::from(u64::from_le_bytes(array(rest)?)),
        0x13 => {
            take(rest, 16)?; // a decimal of 128 bits: nothing that is asked for
            Value::Null
        }
        _ => return None,
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_is_what_another_library_would_write() {
        // bson.encode({"hello": 1, "$db": "admin"}) of PyMongo.
        let expected = b"\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00";
        let written = message(7, &json!({"hello": 1, "$db": "admin"}));
        assert_eq!(&written[21..], expected);
        assert_eq!(written[..4], u32::try_from(written.len()).unwrap().to_le_bytes());
        let (read, length) = parse_message(&written).unwrap().unwrap();
        assert_eq!((read, length), (json!({"hello": 1, "$db": "admin"}), written.len()));
        assert_eq!(parse_message(&written[..20]), Ok(None));
    }

    #[test]
    fn every_kind_that_servers_send_is_read() {
        // PyMongo's bson.encode of a document with a float, a nested one, an array, binary, an identifier, true, a date,
        // null, a 64-bit number and a timestamp.
        let document = b"\x7f\x00\x00\x00\x01f\x00\x00\x00\x00\x00\x00\x00\xf8?\x03d\x00\x0c\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x00\
            \x04l\x00\x13\x00\x00\x00\x100\x00\x01\x00\x00\x00\x101\x00\x02\x00\x00\x00\x00\x05b\x00\x02\x00\x00\x00\x00hi\
            \x07i\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x08t\x00\x01\x09w\x00\xe8\x03\x00\x00\x00\x00\x00\x00\
            \x0an\x00\x12g\x00\x00\x00\x00\x00\x01\x00\x00\x00\x11s\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00";
        let mut document = document.to_vec();
        let length = u32::try_from(document.len()).unwrap().to_le_bytes();
        document[..4].copy_from_slice(&length);
        let expected = json!({"f": 1.5, "d": {"a": 1}, "l": [1, 2], "b": "hi", "i": "0102030405060708090a0b0c", "t": true,
            "w": 1000, "n": null, "g": 4_294_967_296_i64, "s": 8_589_934_593_u64});
        assert_eq!(parse_document(&document), Some(expected));
        assert_eq!(parse_document(&document[..document.len() - 1]), None);
    }

    #[test]
    fn a_document_cannot_nest_without_end() {
        let mut nested = vec![0u8];
        for _ in 0..2000 {
            let mut outer = vec![0x03, b'a', 0];
            outer.extend(u32::try_from(nested.len() + 4).unwrap().to_le_bytes());
            outer.extend(&nested);
            outer.push(0);
            nested = outer;
        }
        let mut bytes = u32::try_from(nested.len() + 4).unwrap().to_le_bytes().to_vec();
        bytes.extend(nested);
        assert_eq!(parse_document(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_document(&bytes);
            let mut framed = (u32::try_from(bytes.len() + 16).unwrap()).to_le_bytes().to_vec();
            framed.extend([0; 8]);
            framed.extend(OP_MSG.to_le_bytes());
            framed.extend(&bytes);
            if let Ok(Some((_, length))) = parse_message(&framed) { prop_assert!(length <= framed.len()); }
        }
    }
}
