//! PostgreSQL messages: what a server of version 3 of the protocol says. Bytes in, value out.

use md5::{Digest, Md5};

use crate::dialog::Parsed;
use crate::outcome::hex;
use crate::sql::Table;

/// One message: its type and what it carries.
pub type Message = (u8, Vec<u8>);

/// Reads one message.
///
/// # Errors
/// When it cannot be one, as the end of a sentence about the peer.
pub fn parse_message(bytes: &[u8]) -> Parsed<Message> {
    const TYPES: &[u8] = b"RSKZNETDCIAGHWdcv123nst";
    // Besides "no such thing": the text that servers too old for our version send.
    let wrong = || "does not speak the PostgreSQL protocol".to_owned();
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !TYPES.contains(kind) {
        return Err(wrong());
    }
    let Some(length) = bytes.get(1..5).and_then(|length| length.first_chunk::<4>()) else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(4..=Table::MAX_BYTES).contains(&length) {
        return Err(wrong());
    }
    let Some(content) = bytes.get(5..1 + length) else { return Ok(None) };
    Ok(Some(((*kind, content.to_vec()), 1 + length)))
}

/// Reads an error's fields: `28P01: password authentication failed …`; `None` when it is damaged.
pub fn parse_error(content: &[u8]) -> Option<String> {
    let (mut code, mut words) = (String::new(), String::new());
    for field in content.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
        let text = String::from_utf8_lossy(&field[1..]).into_owned();
        match field[0] {
            b'C' => code = text,
            b'M' => words = text,
            _ => {}
        }
    }
    (!code.is_empty()).then(|| format!("{code}: {words}"))
}

/// Reads the columns' names; `None` when the message is damaged.
pub fn parse_columns(content: &[u8]) -> Option<Vec<String>> {
    const AFTER_NAME_BYTES: usize = 18;
    let (count, mut rest) = content.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        columns.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = rest.get(end + 1 + AFTER_NAME_BYTES..)?;
    }
    Some(columns)
}

/// Reads a row; `None` when the message is damaged.
pub fn parse_row(content: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = content.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        rest = after;
        if length == -1 {
            row.push(None);
            continue;
        }
        let length = usize::try_from(length).ok()?;
        row.push(Some(String::from_utf8_lossy(rest.get(..length)?).into_owned()));
        rest = &rest[length..];
    }
    Some(row)
}

/// What the server wants to be told before it lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing more.
    Nothing,
    /// The password itself.
    Password,
    /// The password hashed with this salt.
    Md5([u8; 4]),
    /// A proof by one of these mechanisms.
    Sasl(Vec<String>),
    /// The next step of such a proof.
    SaslStep(Vec<u8>),
    /// Nothing more, and this is the server's own proof.
    SaslDone(Vec<u8>),
    /// Something that is not known here, with its number.
    Other(u32),
}

/// Reads what a message of type R wants; `None` when it is damaged.
pub fn parse_wants(content: &[u8]) -> Option<Wants> {
    let (number, rest) = content.split_first_chunk::<4>()?;
    Some(match u32::from_be_bytes(*number) {
        0 => Wants::Nothing,
        3 => Wants::Password,
        5 => Wants::Md5(*rest.first_chunk::<4>()?),
        10 => {
            let names = rest.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Wants::Sasl(names.take(20).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
        }
        11 => Wants::SaslStep(rest.to_vec()),
        12 => Wants::SaslDone(rest.to_vec()),
        other => Wants::Other(other),
    })
}

/// Name and value of a setting that the server tells (a message of type S).
pub(super) fn parse_setting(content: &[u8]) -> Option<(String, String)> {
    let mut parts = content.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    Some((parts.next()?, parts.next()?))
}

/// The password as the type `md5` wants it.
pub(super) fn md5_proof(user: &str, password: &str, salt: [u8; 4]) -> String {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize(), "");
    format!("md5{}", hex(&Md5::new().chain_update(inner).chain_update(salt).finalize(), ""))
}

/// A message of that type; the first one of a conversation has none.
pub(super) fn message(kind: Option<u8>, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).expect("what is sent is short").to_be_bytes();
    kind.into_iter().chain(length).chain(content.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_read_as_they_were_written() {
        let bytes = message(Some(b'Z'), b"I");
        assert_eq!(parse_message(&bytes), Ok(Some(((b'Z', b"I".to_vec()), 6))));
        assert_eq!(parse_message(&bytes[..4]), Ok(None));
        assert!(parse_message(b"HTTP/1.1 400").is_err());
        assert_eq!(parse_error(b"SFATAL\0C28P01\0Mno\0\0").as_deref(), Some("28P01: no"));
        assert_eq!(parse_row(b"\0\x02\xff\xff\xff\xff\0\0\0\x01a"), Some(vec![None, Some("a".into())]));
        assert_eq!(parse_wants(b"\0\0\0\x0aSCRAM-SHA-256\0\0"), Some(Wants::Sasl(vec!["SCRAM-SHA-256".into()])));
        assert_eq!(md5_proof("mia", "hunter2", [1, 2, 3, 4]).len(), 35);
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (parse_message(&bytes), parse_error(&bytes), parse_columns(&bytes), parse_row(&bytes));
            let _ = (parse_wants(&bytes), parse_setting(&bytes));
        }
    }
}
