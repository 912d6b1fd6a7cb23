//! Fluent forward: events as Fluentd and Fluent Bit send them, in all three modes, and the handshake before them where a
//! shared key is set.

mod handshake;

pub use handshake::{Greeting, Ping, parse_ping};
use serde_json::{Map, Number, Value};

use crate::receive::unpack;

/// The most bytes of one message, unpacked.
pub const MESSAGE_LIMIT_BYTES: usize = 16 << 20;
const MAX_DEPTH: usize = 32;

/// What one message carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where the events came from: `app.web`.
    pub tag: String,
    /// The events, in order.
    pub events: Vec<Event>,
    /// What the sender wants to hear back when all is kept: answer with [`acknowledge`].
    pub chunk: Option<String>,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Seconds since 1970 and nanoseconds of its second.
    pub time: (i64, u32),
    /// Its fields.
    pub record: Map<String, Value>,
}

/// Reads one message off a stream, and the bytes that it takes; `None` while more bytes are needed.
///
/// # Errors
/// A sentence on what is wrong: the stream cannot be read on.
pub fn parse_message(bytes: &[u8]) -> Result<Option<(Message, usize)>, String> {
    let mut rest = bytes;
    let value = match take_value(&mut rest, 0) {
        Ok(value) => value,
        Err(Short::More) if bytes.len() < MESSAGE_LIMIT_BYTES => return Ok(None),
        Err(Short::More) => return Err(format!("a message has more than {} MiB", MESSAGE_LIMIT_BYTES >> 20)),
        Err(Short::Wrong(why)) => return Err(why.to_owned()),
    };
    let taken = bytes.len() - rest.len();
    let Packed::List(mut parts) = value else { return Err("a message is no list".to_owned()) };
    let Some(Packed::Text(tag)) = parts.first() else { return Err("a message has no tag".to_owned()) };
    let tag = String::from_utf8_lossy(tag).into_owned();
    let has_option = matches!(parts.last(), Some(Packed::Map(_))) && parts.len() >= 3;
    let (events, option_at) = match parts.get_mut(1).map(|part| std::mem::replace(part, Packed::Json(Value::Null))) {
        Some(Packed::List(list)) => (list.into_iter().map(event).collect::<Option<Vec<_>>>(), 2),
        Some(Packed::Text(packed)) => (Some(packed_events(&packed)?), 2),
        Some(time) => {
            let record = parts.get_mut(2).map(|part| std::mem::replace(part, Packed::Json(Value::Null)));
            (record.and_then(|record| event(Packed::List(vec![time, record]))).map(|event| vec![event]), 3)
        }
        None => (None, 2),
    };
    let option = parts.get(option_at).filter(|_| has_option || option_at == 3).cloned().map(into_json);
    let chunk = option.and_then(|option| option.get("chunk").and_then(Value::as_str).map(str::to_owned));
    let events = events.ok_or_else(|| "an event is no pair of time and record".to_owned())?;
    Ok(Some((Message { tag, events, chunk }, taken)))
}

/// What a sender waits for when it named a chunk.
pub fn acknowledge(chunk: &str) -> Vec<u8> {
    let mut bytes = vec![0x81, 0xa3];
    bytes.extend_from_slice(b"ack");
    let length = u16::try_from(chunk.len()).unwrap_or(u16::MAX);
    bytes.push(0xda);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&chunk.as_bytes()[..usize::from(length)]);
    bytes
}

/// Events one after the other, perhaps packed with gzip.
fn packed_events(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let plain = unpack(bytes, MESSAGE_LIMIT_BYTES)?;
    let mut rest = plain.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let value = take_value(&mut rest, 0).map_err(|_| "the packed events are damaged".to_owned())?;
        events.push(event(value).ok_or("an event is no pair of time and record")?);
    }
    Ok(events)
}

fn event(value: Packed) -> Option<Event> {
    let Packed::List(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let time = match parts.next()? {
        Packed::Time(seconds, nanos) => (i64::from(seconds), nanos),
        Packed::Json(Value::Number(number)) => match number.as_i64() {
            Some(seconds) => (seconds, 0),
            None => {
                let seconds = number.as_f64()?;
                (seconds.floor() as i64, (seconds.fract().abs() * 1e9) as u32)
            }
        },
        _ => return None,
    };
    match into_json(parts.next()?) {
        Value::Object(record) => Some(Event { time, record }),
        _ => None,
    }
}

/// A value of MessagePack.
#[derive(Clone, Debug)]
enum Packed {
    Json(Value),
    /// Text or bytes: senders do not agree which is which.
    Text(Vec<u8>),
    List(Vec<Packed>),
    Map(Vec<(Packed, Packed)>),
    /// Fluentd's own type of time.
    Time(u32, u32),
}

fn into_json(value: Packed) -> Value {
    match value {
        Packed::Json(value) => value,
        Packed::Text(bytes) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
        Packed::List(list) => list.into_iter().map(into_json).collect(),
        Packed::Time(seconds, nanos) => Value::from(f64::from(seconds) + f64::from(nanos) / 1e9),
        Packed::Map(pairs) => {
            let named = |(name, value)| match into_json(name) {
                Value::String(name) => (name, into_json(value)),
                other => (other.to_string(), into_json(value)),
            };
            Value::Object(pairs.into_iter().map(named).collect())
        }
    }
}

/// Why no value was taken.
enum Short {
    More,
    Wrong(&'static str),
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Short> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Short::More)?;
    *bytes = rest;
    Ok(taken)
}

fn take_number(bytes: &mut &[u8], width: usize) -> Result<u64, Short> {
    Ok(take(bytes, width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take_length(bytes: &mut &[u8], width: usize) -> Result<usize, Short> {
    let length = usize::try_from(take_number(bytes, width)?).unwrap_or(usize::MAX);
    if length > MESSAGE_LIMIT_BYTES { Err(Short::Wrong("a message names a length that cannot be")) } else { Ok(length) }
}

fn take_value(bytes: &mut &[u8], depth: usize) -> Result<Packed, Short> {
    if depth > MAX_DEPTH {
        return Err(Short::Wrong("a message is nested too deeply"));
    }
    let float = |number: f64| Packed::Json(Number::from_f64(number).map_or(Value::Null, Value::Number));
    let head = take(bytes, 1)?[0];
    Ok(match head {
        0x00..=0x7f => Packed::Json(head.into()),
        0xe0..=0xff => Packed::Json((head as i8).into()),
        0x80..=0x8f => take_map(bytes, usize::from(head & 0x0f), depth)?,
        0x90..=0x9f => take_list(bytes, usize::from(head & 0x0f), depth)?,
        0xa0..=0xbf => Packed::Text(take(bytes, usize::from(head & 0x1f))?.to_vec()),
        0xc0 => Packed::Json(Value::Null),
        0xc2 => Packed::Json(false.into()),
        0xc3 => Packed::Json(true.into()),
        0xc4 | 0xd9 => take_text(bytes, 1)?,
        0xc5 | 0xda => take_text(bytes, 2)?,
        0xc6 | 0xdb => take_text(bytes, 4)?,
        0xca => float(f64::from(f32::from_bits(take_number(bytes, 4)? as u32))),
        0xcb => float(f64::from_bits(take_number(bytes, 8)?)),
        0xcc..=0xcf => Packed::Json(take_number(bytes, 1 << (head - 0xcc))?.into()),
        0xd0 => Packed::Json((take_number(bytes, 1)? as i8).into()),
        0xd1 => Packed::Json((take_number(bytes, 2)? as i16).into()),
        0xd2 => Packed::Json((take_number(bytes, 4)? as i32).into()),
        0xd3 => Packed::Json((take_number(bytes, 8)? as i64).into()),
        0xd4..=0xd8 => take_extension(bytes, 1 << (head - 0xd4))?,
        0xc7 => {
            let length = take_length(bytes, 1)?;
            take_extension(bytes, length)?
        }
        0xc8 => {
            let length = take_length(bytes, 2)?;
            take_extension(bytes, length)?
        }
        0xdc => {
            let count = take_length(bytes, 2)?;
            take_list(bytes, count, depth)?
        }
        0xdd => {
            let count = take_length(bytes, 4)?;
            take_list(bytes, count, depth)?
        }
        0xde => {
            let count = take_length(bytes, 2)?;
            take_map(bytes, count, depth)?
        }
        0xdf => {
            let count = take_length(bytes, 4)?;
            take_map(bytes, count, depth)?
        }
        0xc1 | 0xc9 => return Err(Short::Wrong("a message is no MessagePack that is used here")),
    })
}

fn take_text(bytes: &mut &[u8], width: usize) -> Result<Packed, Short> {
    let length = take_length(bytes, width)?;
    Ok(Packed::Text(take(bytes, length)?.to_vec()))
}

// Nothing is set aside for what a length promises: every value takes at least a byte of what really came.
fn take_list(bytes: &mut &[u8], count: usize, depth: usize) -> Result<Packed, Short> {
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(take_value(bytes, depth + 1)?);
    }
    Ok(Packed::List(list))
}

fn take_map(bytes: &mut &[u8], count: usize, depth: usize) -> Result<Packed, Short> {
    let mut pairs = Vec::new();
    for _ in 0..count {
        let name = take_value(bytes, depth + 1)?;
        // Written out as a name it would be quoted once a level, and be twice as long each time.
        if matches!(name, Packed::List(_) | Packed::Map(_)) {
            return Err(Short::Wrong("a message has a map or a list for a name"));
        }
        pairs.push((name, take_value(bytes, depth + 1)?));
    }
    Ok(Packed::Map(pairs))
}

fn take_extension(bytes: &mut &[u8], length: usize) -> Result<Packed, Short> {
    const EVENT_TIME: u8 = 0;
    let kind = take(bytes, 1)?[0];
    let content = take(bytes, length)?;
    match (kind, content) {
        (EVENT_TIME, [a, b, c, d, e, f, g, h]) => {
            Ok(Packed::Time(u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h])))
        }
        _ => Ok(Packed::Json(Value::Null)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // {"a": 1}
    const RECORD: &[u8] = b"\x81\xa1a\x01";

    #[test]
    fn all_three_modes_are_understood() {
        let time = b"\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07";
        let message = [b"\x93\xa3app".as_slice(), time, RECORD].concat();
        let pair = [b"\x92".as_slice(), time, RECORD].concat();
        let forward = [b"\x92\xa3app\x92".as_slice(), &pair, &pair].concat();
        let option = b"\x82\xa5chunk\xa2p8\xa4size\x01";
        let mut packed = [b"\x93\xa3app\xc4".as_slice(), &[pair.len() as u8], &pair].concat();
        packed.extend_from_slice(option);
        for (bytes, events, chunk) in [(message, 1, None), (forward, 2, None), (packed, 1, Some("p8"))] {
            let (read, taken) = parse_message(&bytes).unwrap().unwrap();
            assert_eq!((read.tag.as_str(), read.events.len(), read.chunk.as_deref()), ("app", events, chunk));
            assert_eq!((read.events[0].time, &read.events[0].record["a"]), ((5, 7), &Value::from(1)));
            assert_eq!(taken, bytes.len());
            for end in 0..bytes.len() {
                assert_eq!(parse_message(&bytes[..end]), Ok(None), "{end} of {}", bytes.len());
            }
        }
        assert_eq!(acknowledge("p8"), b"\x81\xa3ack\xda\x00\x02p8");
    }

    #[test]
    fn what_is_no_message_is_told() {
        for (bytes, part) in [
            (b"HTTP".as_slice(), "no list"),
            (b"\x90", "no tag"),
            (b"\x91\xa1a", "no pair"),
            (b"\xc1", "no MessagePack"),
            (b"\xdd\xff\xff\xff\xff", "a length that cannot be"),
            (&[0x91; 100], "nested too deeply"),
            (b"\x91\x81\x81\xa1a\xa1b\xa1c", "for a name"),
        ] {
            assert!(parse_message(bytes).unwrap_err().contains(part), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse_message(&bytes);
            let _ = parse_message(&[b"\x93\xa3app", bytes.as_slice()].concat());
            let _ = packed_events(&bytes);
        }
    }
}
