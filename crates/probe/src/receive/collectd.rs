//! Collectd: the values of its binary network protocol, unsigned and not encrypted.

use crate::receive::Reader;

/// The values of one list, with everything that names them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// The host.
    pub host: String,
    /// `cpu`, `df`, `interface` …
    pub plugin: String,
    /// Which one: `0`, `root`. May be empty.
    pub plugin_instance: String,
    /// What is measured: `percent`, `if_octets`.
    pub kind: String,
    /// Which of these: `idle`. May be empty.
    pub kind_instance: String,
    /// Seconds since 1970; 0 when it was not told.
    pub time_seconds: f64,
    /// Seconds between two of these; 0 when it was not told.
    pub interval_seconds: f64,
    /// The values, in the order of collectd's types.db.
    pub values: Vec<Value>,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Only grows, and begins anew when it wraps.
    Counter(u64),
    /// May go up and down.
    Gauge(f64),
    /// Goes up and down, and is told as its sum.
    Derive(i64),
    /// Is set to zero when it is read.
    Absolute(u64),
}

const HOST: u16 = 0x0000;
const TIME: u16 = 0x0001;
const PLUGIN: u16 = 0x0002;
const PLUGIN_INSTANCE: u16 = 0x0003;
const KIND: u16 = 0x0004;
const KIND_INSTANCE: u16 = 0x0005;
const VALUES: u16 = 0x0006;
const INTERVAL: u16 = 0x0007;
const TIME_FINE: u16 = 0x0008;
const INTERVAL_FINE: u16 = 0x0009;
const ENCRYPTED: u16 = 0x0210;

/// Reads one datagram. Names hold until the next of their kind, as the protocol wants it. Parts of kinds that are not known
/// (notifications, signatures) are passed over.
///
/// # Errors
/// When a part is damaged: what came before it is lost too, since datagrams are whole or wrong. Encrypted ones are refused.
pub fn parse_datagram(bytes: &[u8]) -> Result<Vec<List>, String> {
    const FINE: f64 = 1_073_741_824.0; // Parts of 2^-30 seconds.
    let mut reader = Reader(bytes);
    let mut named = List::default();
    let mut lists = Vec::new();
    while !reader.0.is_empty() {
        let damaged = || format!("the part at byte {} is damaged", bytes.len() - reader.0.len());
        let mut copy = Reader(reader.0);
        let (kind, length) = copy.u16().zip(copy.u16()).ok_or_else(damaged)?;
        let body = usize::from(length).checked_sub(4).and_then(|length| copy.take(length)).ok_or_else(damaged)?;
        let number = || body.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        match kind {
            HOST => named.host = text(body),
            PLUGIN => named.plugin = text(body),
            PLUGIN_INSTANCE => named.plugin_instance = text(body),
            KIND => named.kind = text(body),
            KIND_INSTANCE => named.kind_instance = text(body),
            TIME => named.time_seconds = number().ok_or_else(damaged)? as f64,
            TIME_FINE => named.time_seconds = number().ok_or_else(damaged)? as f64 / FINE,
            INTERVAL => named.interval_seconds = number().ok_or_else(damaged)? as f64,
            INTERVAL_FINE => named.interval_seconds = number().ok_or_else(damaged)? as f64 / FINE,
            VALUES => lists.push(List { values: values(body).ok_or_else(damaged)?, ..named.clone() }),
            ENCRYPTED => return Err("the datagram is encrypted, and no key is known for it".to_owned()),
            _ => {}
        }
        reader = copy;
    }
    Ok(lists)
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(&[0]).unwrap_or(body)).into_owned()
}

fn values(body: &[u8]) -> Option<Vec<Value>> {
    let mut reader = Reader(body);
    let count = usize::from(reader.u16()?);
    let kinds = reader.take(count)?;
    let mut values = Vec::with_capacity(count);
    for kind in kinds {
        let bytes = reader.array::<8>()?;
        values.push(match kind {
            0 => Value::Counter(u64::from_be_bytes(bytes)),
            1 => Value::Gauge(f64::from_le_bytes(bytes)), // The one number that is not in the network's order.
            2 => Value::Derive(i64::from_be_bytes(bytes)),
            3 => Value::Absolute(u64::from_be_bytes(bytes)),
            _ => return None,
        });
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes(), &(body.len() as u16 + 4).to_be_bytes(), body].concat()
    }

    #[test]
    fn names_hold_until_the_next_of_their_kind() {
        let one = [&[0, 1, 1], 1.5f64.to_le_bytes().as_slice()].concat();
        let two = [&[0, 2, 2, 0], (-3i64).to_be_bytes().as_slice(), &7u64.to_be_bytes()].concat();
        let datagram = [
            part(HOST, b"web-1\0"),
            part(TIME_FINE, &((5u64 << 30) | (1 << 29)).to_be_bytes()),
            part(PLUGIN, b"load\0"),
            part(KIND, b"load\0"),
            part(VALUES, &one),
            part(PLUGIN, b"interface\0"),
            part(0x7777, b"unknown"),
            part(VALUES, &two),
        ];
        let lists = parse_datagram(&datagram.concat()).unwrap();
        assert_eq!((lists[0].host.as_str(), lists[0].plugin.as_str(), lists[0].time_seconds), ("web-1", "load", 5.5));
        assert_eq!(lists[0].values, [Value::Gauge(1.5)]);
        assert_eq!((lists[1].host.as_str(), lists[1].plugin.as_str()), ("web-1", "interface"));
        assert_eq!(lists[1].values, [Value::Derive(-3), Value::Counter(7)]);
        assert!(parse_datagram(&[0, 0, 0, 3]).unwrap_err().contains("damaged"));
        assert!(parse_datagram(&part(ENCRYPTED, b"x")).unwrap_err().contains("encrypted"));
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0u16..12) {
            let _ = (parse_datagram(&bytes), parse_datagram(&part(kind, &bytes)));
        }
    }
}
