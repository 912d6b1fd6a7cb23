//! Zabbix: the frames of its protocol, and what senders and active agents say in them.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde::Deserialize;
use serde_json::Value;

/// The most bytes of a frame's content, packed or not.
pub const FRAME_LIMIT_BYTES: usize = 16 << 20;

/// Reads one frame: `ZBXD`, flags, length, content. Gives the content, unpacked, and the bytes that the frame takes; `None`
/// while more bytes are needed.
///
/// # Errors
/// When it cannot be one, as the end of a sentence about the peer.
pub fn parse_frame(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    const MAGIC: &[u8] = b"ZBXD";
    const COMPRESSED: u8 = 2;
    const LARGE: u8 = 4;
    if !MAGIC.starts_with(&bytes[..bytes.len().min(4)]) {
        return Err("does not speak the Zabbix protocol".to_owned());
    }
    let Some(flags) = bytes.get(4) else { return Ok(None) };
    if flags & 1 == 0 || flags & !(1 | COMPRESSED | LARGE) != 0 {
        return Err(format!("sends a Zabbix frame with unknown flags ({flags:#04x})"));
    }
    let width = if flags & LARGE != 0 { 8 } else { 4 };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let Some(lengths) = bytes.get(5..5 + 2 * width) else { return Ok(None) };
    let (length, unpacked) = (number(&lengths[..width]), number(&lengths[width..]));
    let limit = FRAME_LIMIT_BYTES as u64;
    if length > limit || (flags & COMPRESSED != 0 && unpacked > limit) {
        return Err(format!("sends a Zabbix frame of more than {} MiB", FRAME_LIMIT_BYTES >> 20));
    }
    let begin = 5 + 2 * width;
    let end = begin + usize::try_from(length).map_err(|error| error.to_string())?;
    let Some(content) = bytes.get(begin..end) else { return Ok(None) };
    if flags & COMPRESSED == 0 {
        return Ok(Some((content.to_vec(), end)));
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(content).take(unpacked + 1).read_to_end(&mut plain);
    if read.is_err() || plain.len() as u64 != unpacked {
        return Err("sends a Zabbix frame whose content cannot be unpacked".to_owned());
    }
    Ok(Some((plain, end)))
}

/// A frame with that content, not packed.
pub fn frame(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("an answer is short").to_le_bytes();
    [b"ZBXD\x01".as_slice(), &length, &[0; 4], content].concat()
}

/// One value that a sender or an active agent sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The host that it is about.
    pub host: String,
    /// The item's key. Empty where an agent names its item only by number.
    pub key: String,
    /// The item's number, where there is one.
    pub item: Option<u64>,
    /// The value as text.
    pub value: String,
    /// Seconds since 1970 and nanoseconds of its second; `None` when the sender gave none.
    pub time: Option<(i64, u32)>,
    /// True when the agent says that it cannot measure this; then the value is the reason.
    pub is_unsupported: bool,
}

/// What somebody asks of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Values, from `zabbix_sender` or an active agent.
    Values(Vec<Sent>),
    /// An agent wants to know what to measure: its host's name and the metadata it gives itself.
    Checks(String, Option<String>),
    /// An agent or proxy says that it is alive: its host's name.
    Heartbeat(String),
}

#[derive(Deserialize)]
struct Message {
    request: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    host_metadata: Option<String>,
    #[serde(default)]
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    itemid: Option<u64>,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    clock: Option<i64>,
    #[serde(default)]
    ns: Option<u32>,
    #[serde(default)]
    state: Option<u8>,
}

/// Reads the content of a frame that somebody sent to a server.
///
/// # Errors
/// A sentence on what is wrong with it.
pub fn parse_asked(content: &[u8]) -> Result<Asked, String> {
    let message: Message =
        serde_json::from_slice(content).map_err(|why| format!("the message is no request of Zabbix ({why})"))?;
    match message.request.as_str() {
        "sender data" | "agent data" => {
            let values = message.data.into_iter().map(|datum| sent(datum, &message.host));
            Ok(Asked::Values(values.collect::<Result<_, _>>()?))
        }
        "active checks" => Ok(Asked::Checks(message.host, message.host_metadata)),
        "active check heartbeat" | "proxy heartbeat" => Ok(Asked::Heartbeat(message.host)),
        other => Err(format!("the request {other:?} is not known")),
    }
}

fn sent(datum: Datum, host: &str) -> Result<Sent, String> {
    const UNSUPPORTED: u8 = 1;
    let key = datum.key.unwrap_or_default();
    if key.is_empty() && datum.itemid.is_none() {
        return Err("a value names neither a key nor an item".to_owned());
    }
    let host = datum.host.unwrap_or_else(|| host.to_owned());
    if host.is_empty() {
        return Err(format!("the value of {key:?} names no host"));
    }
    let value = match datum.value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let time = datum.clock.map(|clock| (clock, datum.ns.unwrap_or(0).min(999_999_999)));
    Ok(Sent { host, key, item: datum.itemid, value, time, is_unsupported: datum.state == Some(UNSUPPORTED) })
}

/// What a server answers to values, in the words that senders print.
pub fn answer_to_values(processed: usize, failed: usize, seconds: f64) -> Vec<u8> {
    let total = processed + failed;
    let info = format!("processed: {processed}; failed: {failed}; total: {total}; seconds spent: {seconds:.6}");
    frame(serde_json::json!({"response": "success", "info": info}).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_read_as_they_were_written_packed_or_not() {
        let plain = frame(b"hello");
        assert_eq!(parse_frame(&plain), Ok(Some((b"hello".to_vec(), plain.len()))));
        assert_eq!(parse_frame(&plain[..9]), Ok(None));
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(&[b'a'; 5000]).unwrap();
        let packed = packer.finish().unwrap();
        let head = |unpacked: u32| {
            let lengths = [(packed.len() as u32).to_le_bytes(), unpacked.to_le_bytes()].concat();
            [b"ZBXD\x03".as_slice(), &lengths, &packed].concat()
        };
        assert_eq!(parse_frame(&head(5000)).unwrap().unwrap().0, [b'a'; 5000]);
        assert!(parse_frame(&head(4999)).unwrap_err().contains("cannot be unpacked"));
        assert!(parse_frame(b"ZBXD\x01\xff\xff\xff\x7f\0\0\0\0").unwrap_err().contains("more than 16 MiB"));
        assert!(parse_frame(b"HTTP/1.1").is_err());
    }

    #[test]
    fn senders_and_active_agents_are_understood() {
        let sender = br#"{"request":"sender data","data":[{"host":"web-1","key":"queue","value":"12","clock":5,"ns":7},
            {"host":"web-1","key":"load","value":1.5}],"clock":9}"#;
        let Ok(Asked::Values(values)) = parse_asked(sender) else { panic!() };
        assert_eq!((values[0].value.as_str(), values[0].time), ("12", Some((5, 7))));
        assert_eq!((values[1].value.as_str(), values[1].time), ("1.5", None));
        let agent = br#"{"request":"agent data","session":"a","host":"web-1","version":"6.4","data":[
            {"id":1,"itemid":42,"value":"no such file","state":1,"clock":5}]}"#;
        let Ok(Asked::Values(values)) = parse_asked(agent) else { panic!() };
        assert!(values[0].is_unsupported && values[0].item == Some(42) && values[0].host == "web-1");
        let checks = br#"{"request":"active checks","host":"web-1","host_metadata":"linux"}"#;
        assert_eq!(parse_asked(checks), Ok(Asked::Checks("web-1".into(), Some("linux".into()))));
        for (wrong, part) in [
            (r#"{"request":"drop all"}"#, "not known"),
            (r#"{"request":"sender data","data":[{"host":"a","value":1}]}"#, "neither a key"),
            (r#"{"request":"sender data","data":[{"key":"a","value":1}]}"#, "no host"),
            ("[]", "no request"),
        ] {
            assert!(parse_asked(wrong.as_bytes()).unwrap_err().contains(part), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), flags in 0u8..8) {
            let _ = (parse_frame(&bytes), parse_asked(&bytes));
            let _ = parse_frame(&[b"ZBXD", [flags].as_slice(), &bytes].concat());
        }
    }
}
