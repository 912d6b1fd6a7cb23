//! Value: what an object holds, in SNMP's own types, and how it reads as text and as a number.

use std::fmt;
use std::net::Ipv4Addr;

use crate::outcome::hex;
use crate::snmp::Oid;
use crate::snmp::ber::{self, BerError, Reader, Writer};

/// What an agent says an object holds. Bytes are what a device sent: never trusted, never markup.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// INTEGER: 32 bits, signed; a few agents send more.
    Integer(i64),
    /// OCTET STRING: text or bytes.
    Octets(Vec<u8>),
    /// NULL.
    Null,
    /// OBJECT IDENTIFIER.
    Oid(Oid),
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// A counter that wraps at 32 bits.
    Counter32(u32),
    /// A level that does not wrap (also Unsigned32).
    Gauge32(u32),
    /// Hundredths of a second.
    Ticks(u32),
    /// A counter that wraps at 64 bits.
    Counter64(u64),
    /// A number with a fraction, wrapped as net-snmp does.
    Float(f64),
    /// Other opaque bytes.
    Opaque(Vec<u8>),
    /// There is no such object.
    NoSuchObject,
    /// There is such an object, and not that row.
    NoSuchInstance,
    /// The walk has come to the agent's end.
    EndOfMibView,
}

const FLOAT: &[u8] = &[0x9f, 0x78, 0x04];
const DOUBLE: &[u8] = &[0x9f, 0x79, 0x08];

impl Value {
    /// Whether there is an object at all.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView)
    }

    /// The value as a number: numbers, ticks in hundredths of a second, and texts that are numbers.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Integer(value) => Some(*value as f64),
            Value::Counter32(value) | Value::Gauge32(value) | Value::Ticks(value) => Some(f64::from(*value)),
            Value::Counter64(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Octets(bytes) => {
                let text = std::str::from_utf8(bytes).ok()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
                text.parse::<f64>().ok().filter(|value| value.is_finite())
            }
            _ => None,
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Value, BerError> {
        let (tag, content, _) = reader.any()?;
        Ok(match tag {
            ber::INTEGER => Value::Integer(ber::signed(content)?),
            ber::OCTET_STRING => Value::Octets(content.to_vec()),
            ber::NULL => Value::Null,
            ber::OID => Value::Oid(ber::oid(content)?),
            0x40 => match content {
                [a, b, c, d] => Value::Address(Ipv4Addr::new(*a, *b, *c, *d)),
                _ => Value::Octets(content.to_vec()),
            },
            0x41 => Value::Counter32(ber::unsigned32(content)?),
            0x42 | 0x47 => Value::Gauge32(ber::unsigned32(content)?),
            0x43 => Value::Ticks(ber::unsigned32(content)?),
            0x44 => opaque(content),
            0x46 => Value::Counter64(ber::unsigned(content)?),
            0x80 => Value::NoSuchObject,
            0x81 => Value::NoSuchInstance,
            0x82 => Value::EndOfMibView,
            found => return Err(BerError::Tag { wanted: ber::OCTET_STRING, found }),
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Value::Integer(value) => writer.integer(*value),
            Value::Octets(bytes) => writer.octets(bytes),
            Value::Null => writer.value(ber::NULL, &[]),
            Value::Oid(oid) => writer.oid(oid),
            Value::Address(address) => writer.value(0x40, &address.octets()),
            Value::Counter32(value) => writer.unsigned(0x41, u64::from(*value)),
            Value::Gauge32(value) => writer.unsigned(0x42, u64::from(*value)),
            Value::Ticks(value) => writer.unsigned(0x43, u64::from(*value)),
            Value::Counter64(value) => writer.unsigned(0x46, *value),
            Value::Float(value) => writer.value(0x44, &[DOUBLE, &value.to_be_bytes()].concat()),
            Value::Opaque(bytes) => writer.value(0x44, bytes),
            Value::NoSuchObject => writer.value(0x80, &[]),
            Value::NoSuchInstance => writer.value(0x81, &[]),
            Value::EndOfMibView => writer.value(0x82, &[]),
        }
    }
}

fn opaque(content: &[u8]) -> Value {
    let float = content.strip_prefix(FLOAT).and_then(|bytes| bytes.try_into().ok()).map(f32::from_be_bytes);
    let double = content.strip_prefix(DOUBLE).and_then(|bytes| bytes.try_into().ok()).map(f64::from_be_bytes);
    match float.map(f64::from).or(double) {
        Some(value) => Value::Float(value),
        None => Value::Opaque(content.to_vec()),
    }
}

/// The value as people read it: text where the bytes are text, else bytes as `00 1b 21`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(value) => value.fmt(f),
            Value::Octets(bytes) => text_of(bytes).fmt(f),
            Value::Null => Ok(()),
            Value::Oid(oid) => oid.fmt(f),
            Value::Address(address) => address.fmt(f),
            Value::Counter32(value) | Value::Gauge32(value) | Value::Ticks(value) => value.fmt(f),
            Value::Counter64(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Opaque(bytes) => hex(bytes, " ").fmt(f),
            Value::NoSuchObject => f.write_str("no such object"),
            Value::NoSuchInstance => f.write_str("no such instance"),
            Value::EndOfMibView => f.write_str("end of view"),
        }
    }
}

/// Bytes as text where they are text (UTF-8, else Latin-1 of printable letters), else in hexadecimal. Zero bytes at the
/// end, which C programs send along, are left out.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = &bytes[..end];
    let is_text = |text: &str| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text(text) => return text.to_owned(),
        Ok(_) => {}
        Err(_) => {
            let latin: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            let plain = bytes.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ').count();
            if is_text(&latin) && plain * 4 >= bytes.len() * 3 {
                return latin;
            }
        }
    }
    hex(bytes, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_expect() {
        for (value, text, number) in [
            (Value::Octets(b"eth0\0\0".to_vec()), "eth0", None),
            (Value::Octets(vec![0, 0x1b, 0x21]), "00 1b 21", None),
            (Value::Octets("Büro".as_bytes().to_vec()), "Büro", None),
            (Value::Octets(b"B\xfcro Nord".to_vec()), "Büro Nord", None),
            (Value::Octets(b" 42.5 ".to_vec()), " 42.5 ", Some(42.5)),
            (Value::Ticks(4200), "4200", Some(4200.0)),
            (Value::Oid(Oid::new(&[1, 3, 6])), "1.3.6", None),
            (Value::Octets(b"inf".to_vec()), "inf", None),
        ] {
            assert_eq!(value.to_string(), text);
            assert_eq!(value.number(), number, "{text}");
        }
    }

    #[test]
    fn numbers_with_fractions_come_wrapped() {
        let bytes = [0x44, 0x07, 0x9f, 0x78, 0x04, 0x42, 0x28, 0x00, 0x00];
        assert_eq!(Value::read(&mut Reader::new(&bytes)), Ok(Value::Float(42.0)));
        assert!(matches!(Value::read(&mut Reader::new(&bytes[..8])), Err(BerError::Truncated)));
    }
}
