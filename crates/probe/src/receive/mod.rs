//! Receive: what other systems send us, decoded. Bytes in, plain values out; listens on nothing and stores nothing.
//!
//! A decoder is total: any bytes give a value or an error that says what was wrong, within bounded memory. It takes no clock:
//! where a message has no time, or only part of one, the value says so and whoever received it decides.
//!
//! No other crate listens with these decoders yet: only their tests and measurements call them.

pub mod alertmanager;
pub mod cloudevents;
pub mod collectd;
pub mod fluent;
pub mod gelf;
pub mod inventory;
pub mod loki;
pub mod netflow;
pub mod netflow_fields;
pub mod otlp_logs;
pub mod pagerduty;
pub(crate) mod protobuf;
pub mod sflow;
pub mod syslog;
pub mod zabbix;

use std::io::Read;

/// Unpacks zlib or gzip, at most `limit` bytes; anything else is given as it is. Packed data say so in their first bytes.
///
/// # Errors
/// When it is damaged or too long.
pub fn unpack(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let most = limit as u64 + 1;
    let read = match bytes {
        [0x1f, 0x8b, ..] => flate2::read::MultiGzDecoder::new(bytes).take(most).read_to_end(&mut plain),
        [0x78, second, ..] if (0x7800 | u16::from(*second)) % 31 == 0 => {
            flate2::read::ZlibDecoder::new(bytes).take(most).read_to_end(&mut plain)
        }
        _ => bytes.take(most).read_to_end(&mut plain),
    };
    match read {
        Err(why) => Err(format!("the content cannot be unpacked ({why})")),
        Ok(_) if plain.len() > limit => Err(format!("the content has more than {limit} bytes")),
        Ok(_) => Ok(plain),
    }
}

/// Takes numbers and bytes off the front; every method gives `None` when there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_up_to_a_limit() {
        let text = vec![b'a'; 10_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        for packed in [gzip.finish().unwrap(), zlib.finish().unwrap(), text.clone()] {
            assert_eq!(unpack(&packed, 10_000).unwrap(), text);
            assert!(unpack(&packed, 9_999).unwrap_err().contains("more than 9999"));
        }
        assert!(unpack(&[0x1f, 0x8b, 1, 2], 100).is_err());
    }
}
