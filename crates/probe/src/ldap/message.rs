//! Message: what a directory server answers (RFC 4511). Bytes in, value out; and our own questions.

use crate::asn1::{
    BOOLEAN, ENUMERATED, INTEGER, OCTETS, SEQUENCE, SET, as_number, group, number, parse_value, take, take_of, value,
};
use crate::dialog::Parsed;
use crate::facts::Facts;

/// The most bytes of one message.
pub const MESSAGE_LIMIT_BYTES: usize = 1 << 20;

/// One message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An entry that the search found: its name and its attributes, the values of each joined by commas.
    Entry(String, Facts),
    /// The end of what was asked: the code (0 is well) and the server's words.
    Done(u8, String),
    /// Anything else, such as a pointer to another server.
    Other,
}

/// Reads one message.
///
/// # Errors
/// When it is none of LDAP, as the end of a sentence about the peer.
pub fn parse_message(bytes: &[u8]) -> Parsed<Message> {
    let wrong = || "does not speak LDAP".to_owned();
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Err(wrong());
    }
    let Some(((_, content), length)) = parse_value(bytes, MESSAGE_LIMIT_BYTES)? else { return Ok(None) };
    let mut rest = content.as_slice();
    take_of(&mut rest, INTEGER).ok_or_else(wrong)?;
    let (tag, body) = take(&mut rest).ok_or_else(wrong)?;
    let message = match tag {
        0x64 => entry(body).ok_or_else(wrong)?,
        0x61 | 0x65 | 0x78 => done(body).ok_or_else(wrong)?, // Of a bind, a search, an extension.
        _ => Message::Other,
    };
    Ok(Some((message, length)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(mut body: &[u8]) -> Option<Message> {
    let code = as_number(take_of(&mut body, ENUMERATED)?).and_then(|code| u8::try_from(code).ok())?;
    take_of(&mut body, OCTETS)?; // The part of the name that was found.
    Some(Message::Done(code, text(take_of(&mut body, OCTETS)?)))
}

fn entry(mut body: &[u8]) -> Option<Message> {
    const MAX_ATTRIBUTES: usize = 500;
    let name = text(take_of(&mut body, OCTETS)?);
    let mut list = take_of(&mut body, SEQUENCE)?;
    let mut facts = Facts::new();
    while !list.is_empty() {
        let mut attribute = take_of(&mut list, SEQUENCE)?;
        let key = text(take_of(&mut attribute, OCTETS)?);
        let mut set = take_of(&mut attribute, SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(text(take_of(&mut set, OCTETS)?));
        }
        if facts.len() < MAX_ATTRIBUTES {
            facts.insert(key, values.join(", "));
        }
    }
    Some(Message::Entry(name, facts))
}

/// The result codes that people meet, in words.
pub(super) fn code_in_words(code: u8) -> &'static str {
    match code {
        1 => "operations error",
        2 => "protocol error",
        3 => "time limit exceeded",
        4 => "size limit exceeded",
        7 => "this way to sign in is not supported",
        8 => "a stronger way to sign in is required",
        13 => "confidentiality is required",
        32 => "no such object",
        34 => "the name is written wrongly",
        48 => "this way to sign in is not appropriate",
        49 => "invalid credentials",
        50 => "insufficient access rights",
        51 => "the server is busy",
        52 => "the server is unavailable",
        53 => "the server is unwilling to perform",
        _ => "refused",
    }
}

fn message(id: u32, operation: Vec<u8>) -> Vec<u8> {
    group(SEQUENCE, &[number(INTEGER, id), operation])
}

/// A simple bind; anonymous with empty name and password.
pub(super) fn bind(id: u32, name: &str, password: &str) -> Vec<u8> {
    message(id, group(0x60, &[number(INTEGER, 3), value(OCTETS, name.as_bytes()), value(0x80, password.as_bytes())]))
}

/// The request to go over to TLS.
pub(super) fn start_tls(id: u32) -> Vec<u8> {
    message(id, group(0x77, &[value(0x80, b"1.3.6.1.4.1.1466.20037")]))
}

/// A search below `base`, for at most so many entries.
pub(super) fn search(id: u32, base: &str, scope: u32, filter: Vec<u8>, attributes: &[&str], limit: u32) -> Vec<u8> {
    let names: Vec<Vec<u8>> = attributes.iter().map(|name| value(OCTETS, name.as_bytes())).collect();
    let parts = [
        value(OCTETS, base.as_bytes()),
        number(ENUMERATED, scope),
        number(ENUMERATED, 0), // Aliases are not followed.
        number(INTEGER, limit),
        number(INTEGER, 0),
        value(BOOLEAN, &[0]),
        filter,
        group(SEQUENCE, &names),
    ];
    message(id, group(0x63, &parts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_and_results_are_read() {
        let entry = message(
            2,
            group(
                0x64,
                &[
                    value(OCTETS, b"uid=mia"),
                    group(
                        SEQUENCE,
                        &[group(
                            SEQUENCE,
                            &[value(OCTETS, b"cn"), group(SET, &[value(OCTETS, b"a"), value(OCTETS, b"b")])],
                        )],
                    ),
                ],
            ),
        );
        let facts = Facts::from([("cn".to_owned(), "a, b".to_owned())]);
        assert_eq!(parse_message(&entry), Ok(Some((Message::Entry("uid=mia".into(), facts), entry.len()))));
        let done = message(2, group(0x61, &[number(ENUMERATED, 49), value(OCTETS, b""), value(OCTETS, b"no")]));
        assert_eq!(parse_message(&done), Ok(Some((Message::Done(49, "no".into()), done.len()))));
        assert_eq!(parse_message(&done[..5]), Ok(None));
        assert!(parse_message(b"HTTP/1.1").is_err());
        assert!(parse_message(&bind(1, "a", "b")).is_ok());
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), tag in proptest::sample::select(vec![0x61u8, 0x64, 0x65, 0x78])) {
            let _ = parse_message(&bytes);
            let _ = parse_message(&message(1, value(tag, &bytes)));
        }
    }
}
