//! GELF: log messages as Graylog's senders write them, whole, packed, or in chunks over UDP.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::receive::unpack;

/// The most bytes of a message, unpacked.
pub const MESSAGE_LIMIT_BYTES: usize = 1 << 20;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who sent it.
    pub host: String,
    /// What it says.
    pub text: String,
    /// More of it, such as a stack trace.
    pub full_text: Option<String>,
    /// Seconds since 1970; `None` when it does not say.
    pub time_seconds: Option<f64>,
    /// 0 (emergency) to 7 (debug), as syslog counts; 1 (alert) when it does not say.
    pub level: u8,
    /// Its own fields, without their underscore.
    pub fields: BTreeMap<String, Value>,
}

/// Reads a message, packed or not, that is no chunk. A NUL at its end (as over TCP) is allowed.
///
/// # Errors
/// A sentence on what is wrong with it.
pub fn parse_message(bytes: &[u8]) -> Result<Message, String> {
    const MAX_FIELDS: usize = 500;
    let plain = unpack(bytes, MESSAGE_LIMIT_BYTES)?;
    let plain = plain.strip_suffix(&[0]).unwrap_or(&plain);
    let value: Value = serde_json::from_slice(plain).map_err(|why| format!("the message is no JSON ({why})"))?;
    let object = value.as_object().ok_or("the message is no JSON object")?;
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| match object.get(name) {
        Some(Value::String(text)) => text.parse::<f64>().ok(), // Some senders put it into quotes.
        other => other.and_then(Value::as_f64),
    };
    let fields = object.iter().filter_map(|(name, value)| Some((name.strip_prefix('_')?.to_owned(), value.clone())));
    Ok(Message {
        host: text("host").filter(|host| !host.is_empty()).ok_or("the message names no host")?,
        text: text("short_message").ok_or("the message has no short_message")?,
        full_text: text("full_message"),
        time_seconds: number("timestamp").filter(|seconds| seconds.is_finite() && *seconds > 0.0),
        level: number("level").filter(|level| (0.0..=7.0).contains(level)).map_or(1, |level| level as u8),
        fields: fields.take(MAX_FIELDS).collect(),
    })
}

/// One part of a message that did not fit into a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Which message.
    pub id: [u8; 8],
    /// Which part of it, from 0.
    pub number: u8,
    /// How many parts there are, 1 to 128.
    pub count: u8,
    /// The part.
    pub content: &'a [u8],
}

/// Reads a datagram that is a chunk; `None` when it is a whole message.
///
/// # Errors
/// When it begins as a chunk and is none.
pub fn parse_chunk(bytes: &[u8]) -> Result<Option<Chunk<'_>>, String> {
    const MAGIC: [u8; 2] = [0x1e, 0x0f];
    const MAX_CHUNKS: u8 = 128;
    let Some(rest) = bytes.strip_prefix(&MAGIC) else { return Ok(None) };
    let (id, rest) = rest.split_first_chunk::<8>().ok_or("the chunk is too short")?;
    let ([number, count], content) = rest.split_first_chunk::<2>().ok_or("the chunk is too short")?;
    if *count == 0 || *count > MAX_CHUNKS || number >= count {
        return Err(format!("the chunk is number {number} of {count}, which cannot be"));
    }
    Ok(Some(Chunk { id: *id, number: *number, count: *count, content }))
}

/// What came of a message, by the number of the part.
type Parts = Vec<Option<Vec<u8>>>;

/// Puts chunks together. It holds so many unfinished messages and no more: a new one takes the place of the oldest, so a
/// sender that loses parts costs a fixed amount of memory.
#[derive(Debug, Default)]
pub struct Chunks {
    unfinished: VecDeque<([u8; 8], Parts)>,
}

impl Chunks {
    /// The most messages that wait for more chunks.
    pub const MAX_UNFINISHED: usize = 64;

    /// Takes a chunk, and gives the message when it is whole.
    ///
    /// # Errors
    /// When the chunk does not belong to its message, or the message is too long.
    pub fn add(&mut self, chunk: &Chunk<'_>) -> Result<Option<Vec<u8>>, String> {
        let known = self.unfinished.iter().position(|(id, _)| *id == chunk.id);
        let at = known.unwrap_or_else(|| {
            if self.unfinished.len() == Chunks::MAX_UNFINISHED {
                self.unfinished.pop_front();
            }
            self.unfinished.push_back((chunk.id, vec![None; usize::from(chunk.count)]));
            self.unfinished.len() - 1
        });
        let parts = &mut self.unfinished[at].1;
        let held: usize = parts.iter().flatten().map(Vec::len).sum();
        if parts.len() != usize::from(chunk.count) || held + chunk.content.len() > MESSAGE_LIMIT_BYTES {
            self.unfinished.remove(at);
            return Err("the chunk does not fit to those before it".to_owned());
        }
        parts[usize::from(chunk.number)] = Some(chunk.content.to_vec());
        if parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole = parts.iter().flatten().flatten().copied().collect();
        self.unfinished.remove(at);
        Ok(Some(whole))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &[u8] = br#"{"version":"1.1","host":"web-1","short_message":"it broke","full_message":"at line 1",
        "timestamp":1385053862.3072,"level":3,"_user":42,"_where":"shop"}"#;

    #[test]
    fn messages_are_read_with_their_own_fields() {
        let message = parse_message(MESSAGE).unwrap();
        assert_eq!((message.host.as_str(), message.text.as_str(), message.level), ("web-1", "it broke", 3));
        assert_eq!(message.time_seconds, Some(1_385_053_862.307_2));
        assert_eq!(message.fields["user"], 42);
        for (wrong, part) in
            [("[]", "no JSON object"), ("{}", "no host"), (r#"{"host":"a"}"#, "short_message"), ("x", "no JSON")]
        {
            assert!(parse_message(wrong.as_bytes()).unwrap_err().contains(part), "{wrong}");
        }
    }

    #[test]
    fn chunks_come_together_in_any_order_and_memory_is_bounded() {
        let mut chunks = Chunks::default();
        let part = |id: u8, number: u8, content: &'static [u8]| Chunk { id: [id; 8], number, count: 2, content };
        assert_eq!(chunks.add(&part(1, 1, b"def")), Ok(None));
        assert_eq!(chunks.add(&part(1, 1, b"def")), Ok(None));
        assert_eq!(chunks.add(&part(1, 0, b"abc")), Ok(Some(b"abcdef".to_vec())));
        for id in 0..=255 {
            assert_eq!(chunks.add(&part(id, 0, b"x")), Ok(None));
        }
        assert_eq!(chunks.unfinished.len(), Chunks::MAX_UNFINISHED);
        assert!(chunks.add(&Chunk { id: [255; 8], number: 0, count: 3, content: b"" }).is_err());
        assert_eq!(parse_chunk(MESSAGE), Ok(None));
        assert!(parse_chunk(b"\x1e\x0f12345678\x02\x02").is_err());
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_message(&bytes);
            let chunk = [&[0x1e, 0x0f], bytes.as_slice()].concat();
            if let Ok(Some(chunk)) = parse_chunk(&chunk) {
                let _ = Chunks::default().add(&chunk);
            }
        }
    }
}
