//! MySQL packets: greeting, errors, columns and rows of the text protocol. Bytes in, value out.

use crate::dialog::Parsed;
use crate::sql::Table;

/// Reads one packet: its number and its payload.
///
/// # Errors
/// When it is longer than anything that is asked for, as the end of a sentence about the peer.
pub fn parse_packet(bytes: &[u8]) -> Parsed<(u8, Vec<u8>)> {
    let Some(&[a, b, c, number]) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    if length == 0 || length > Table::MAX_BYTES {
        return Err("does not speak the MySQL protocol".to_owned());
    }
    let Some(payload) = bytes.get(4..4 + length) else { return Ok(None) };
    Ok(Some(((number, payload.to_vec()), 4 + length)))
}

/// Reads the first packet, which is short and has the number 0: what other protocols begin with is told at once.
///
/// # Errors
/// As [`parse_packet`].
pub fn parse_first_packet(bytes: &[u8]) -> Parsed<(u8, Vec<u8>)> {
    if bytes.get(1).is_some_and(|byte| *byte > 0x10) || bytes.iter().skip(2).take(2).any(|byte| *byte != 0) {
        return Err("does not speak the MySQL protocol".to_owned());
    }
    parse_packet(bytes)
}

/// A packet with that payload, shorter than 16 MiB.
pub(super) fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("what is sent is short").to_le_bytes();
    [&length[..3], &[number], payload].concat()
}

/// How a server greets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its version in its own words: `8.0.36`, `5.5.5-10.11.6-MariaDB`.
    pub version: String,
    /// True when it can go over to TLS.
    pub offers_tls: bool,
    /// What a proof of the password is made with.
    pub challenge: Vec<u8>,
    /// The way to prove it.
    pub plugin: String,
}

/// Reads the payload of the greeting (protocol version 10).
///
/// # Errors
/// The end of a sentence about the peer.
pub fn parse_greeting(payload: &[u8]) -> Result<Greeting, String> {
    const SSL: u32 = 0x800;
    let wrong = || "does not speak the MySQL protocol (version 10)".to_owned();
    let rest = payload.strip_prefix(&[10]).ok_or_else(wrong)?;
    let end = rest.iter().position(|byte| *byte == 0).ok_or_else(wrong)?;
    let version = String::from_utf8_lossy(&rest[..end]).chars().take(100).collect();
    // Thread id (4), challenge (8), filler (1), flags (2), character set (1), status (2), flags (2), length (1), reserved (10).
    let rest = &rest[end + 1..];
    let first = rest.get(4..12).ok_or_else(wrong)?;
    let flag = |at: usize| rest.get(at).copied().map(u32::from).unwrap_or_default();
    let flags = flag(13) | flag(14) << 8 | flag(18) << 16 | flag(19) << 24;
    let tail = rest.get(31..).unwrap_or_default();
    // The second part has twelve bytes and a NUL.
    let second = tail.get(..12).unwrap_or_default();
    let plugin = tail.get(13..).unwrap_or_default();
    let plugin = plugin.split(|byte| *byte == 0).next().unwrap_or_default();
    let plugin = if plugin.is_empty() { "mysql_native_password".into() } else { String::from_utf8_lossy(plugin) };
    Ok(Greeting {
        version,
        offers_tls: flags & SSL != 0,
        challenge: [first, second].concat(),
        plugin: plugin.chars().take(100).collect(),
    })
}

/// Reads an error packet: `1045 (28000): Access denied …`; `None` when the payload is none.
pub fn parse_error(payload: &[u8]) -> Option<String> {
    let rest = payload.strip_prefix(&[0xff])?;
    let (code, rest) = rest.split_first_chunk::<2>()?;
    let code = u16::from_le_bytes(*code);
    let text = match rest.strip_prefix(b"#") {
        Some(rest) if rest.len() >= 5 => {
            format!("({}): {}", String::from_utf8_lossy(&rest[..5]), String::from_utf8_lossy(&rest[5..]))
        }
        _ => String::from_utf8_lossy(rest).into_owned(),
    };
    Some(format!("{code} {text}"))
}

/// Reads the request to prove the password in another way: plugin and challenge.
pub(super) fn parse_switch(payload: &[u8]) -> Option<(String, Vec<u8>)> {
    let rest = payload.strip_prefix(&[0xfe])?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let plugin = String::from_utf8_lossy(&rest[..end]).chars().take(100).collect();
    let challenge = &rest[end + 1..];
    Some((plugin, challenge.strip_suffix(&[0]).unwrap_or(challenge).to_vec()))
}

/// Reads how many columns an answer has, 1 to 4096; `None` when it is something else.
pub fn parse_columns(payload: &[u8]) -> Option<usize> {
    let mut rest = payload;
    let count = take_number(&mut rest)??;
    usize::try_from(count).ok().filter(|count| rest.is_empty() && (1..=4096).contains(count))
}

/// The name of a column: the fifth text of its definition.
pub(super) fn parse_column_name(payload: &[u8]) -> Option<String> {
    let mut rest = payload;
    for _ in 0..4 {
        take_text(&mut rest)??;
    }
    Some(String::from_utf8_lossy(take_text(&mut rest)??).into_owned())
}

/// Reads a row of so many columns.
pub fn parse_row(payload: &[u8], columns: usize) -> Option<Vec<Option<String>>> {
    let mut rest = payload;
    let cell = |rest: &mut &[u8]| Some(take_text(rest)?.map(|text| String::from_utf8_lossy(text).into_owned()));
    let row = (0..columns).map(|_| cell(&mut rest)).collect::<Option<Vec<_>>>()?;
    rest.is_empty().then_some(row)
}

/// Whether the packet ends the rows.
pub(super) fn is_end(payload: &[u8]) -> bool {
    payload.first() == Some(&0xfe) && payload.len() < 9
}

/// Takes a number of variable length: `Some(None)` is NULL, `None` is damage.
fn take_number(bytes: &mut &[u8]) -> Option<Option<u64>> {
    let (first, rest) = bytes.split_first()?;
    let width = match first {
        0..=0xfa => {
            *bytes = rest;
            return Some(Some(u64::from(*first)));
        }
        0xfb => {
            *bytes = rest;
            return Some(None);
        }
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xff => return None,
    };
    let digits = rest.get(..width)?;
    *bytes = &rest[width..];
    Some(Some(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit))))
}

/// Takes a text with its length before it: `Some(None)` is NULL, `None` is damage.
fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Some(length) = take_number(bytes)? else { return Some(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len())?;
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    Some(Some(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_read_as_they_were_sent() {
        assert_eq!(parse_packet(&packet(3, b"abc")), Ok(Some(((3, b"abc".to_vec()), 7))));
        assert_eq!(parse_packet(b"\x03\0\0\0ab"), Ok(None));
        assert!(parse_first_packet(b"HTTP/1.1").is_err());
        assert_eq!(parse_error(b"\xff\x15\x04#28000Access denied").as_deref(), Some("1045 (28000): Access denied"));
        assert_eq!(parse_row(b"\x01a\xfb\x00", 3), Some(vec![Some("a".into()), None, Some(String::new())]));
        assert_eq!(parse_row(b"\x05a", 1), None);
        assert_eq!(parse_columns(b"\x02"), Some(2));
        assert_eq!(parse_columns(b"\xfb"), None);
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), columns in 0usize..10) {
            let _ = (parse_packet(&bytes), parse_first_packet(&bytes), parse_greeting(&bytes), parse_error(&bytes), parse_switch(&bytes));
            let _ = (parse_columns(&bytes), parse_column_name(&bytes), parse_row(&bytes, columns));
            let mut greeting = vec![10];
            greeting.extend_from_slice(&bytes);
            let _ = parse_greeting(&greeting);
        }
    }
}
