//! Filter: search filters as people write them (RFC 4515), brought into the form of the protocol. Pure.

use crate::asn1::{OCTETS, SEQUENCE, group, value};

const MAX_DEPTH: usize = 16;
const MAX_BYTES: usize = 4096;

/// Reads `(&(objectClass=person)(uid=m*))`.
///
/// # Errors
/// A sentence that names the filter and what is wrong with it.
pub fn parse_filter(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a filter is text in UTF-8".to_owned())?;
    if text.len() > MAX_BYTES {
        return Err(format!("a filter has at most {MAX_BYTES} bytes"));
    }
    let mut rest = text;
    let wrong = |why: &str| format!("{text:?} is no filter: {why}; write for example (uid=mia)");
    let filter = one(&mut rest, 0).map_err(wrong)?;
    if rest.is_empty() { Ok(filter) } else { Err(wrong("something stands after its last bracket")) }
}

fn one(rest: &mut &str, depth: usize) -> Result<Vec<u8>, &'static str> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deeply");
    }
    *rest = rest.strip_prefix('(').ok_or("it lacks an opening bracket")?;
    let tag = match rest.as_bytes().first() {
        Some(b'&') => 0xa0,
        Some(b'|') => 0xa1,
        Some(b'!') => 0xa2,
        _ => return comparison(rest),
    };
    *rest = &rest[1..];
    let mut parts = Vec::new();
    while rest.starts_with('(') {
        parts.push(one(rest, depth + 1)?);
    }
    *rest = rest.strip_prefix(')').ok_or("it lacks a closing bracket")?;
    if tag == 0xa2 && parts.len() != 1 {
        return Err("! negates one filter");
    }
    Ok(group(tag, &parts))
}

fn comparison(rest: &mut &str) -> Result<Vec<u8>, &'static str> {
    let (inside, after) = rest.split_once(')').ok_or("it lacks a closing bracket")?;
    *rest = after;
    let (name, text) = inside.split_once('=').ok_or("a comparison lacks its =")?;
    let (name, tag) = match name.as_bytes().last() {
        Some(b'>') => (&name[..name.len() - 1], 0xa5),
        Some(b'<') => (&name[..name.len() - 1], 0xa6),
        Some(b'~') => (&name[..name.len() - 1], 0xa8),
        _ => (name, 0xa3),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.;".contains(&b));
    if !is_name {
        return Err("a comparison lacks the name of an attribute");
    }
    if tag == 0xa3 && text == "*" {
        return Ok(value(0x87, name.as_bytes()));
    }
    if tag == 0xa3 && text.contains('*') {
        return substrings(name, text);
    }
    Ok(group(tag, &[value(OCTETS, name.as_bytes()), value(OCTETS, &unescaped(text)?)]))
}

fn substrings(name: &str, text: &str) -> Result<Vec<u8>, &'static str> {
    let parts: Vec<&str> = text.split('*').collect();
    let last = parts.len() - 1;
    let mut pieces = Vec::new();
    for (index, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
        let tag = match index {
            0 => 0x80,
            index if index == last => 0x82,
            _ => 0x81,
        };
        pieces.push(value(tag, &unescaped(part)?));
    }
    if pieces.is_empty() {
        return Err("a pattern has only stars");
    }
    Ok(group(0xa4, &[value(OCTETS, name.as_bytes()), group(SEQUENCE, &pieces)]))
}

/// `\2a` stands for the byte 0x2a.
fn unescaped(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(byte.ok_or("a backslash is followed by two hexadecimal digits")?);
        rest = &after[2..];
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_become_what_the_protocol_wants() {
        for (text, bytes) in [
            ("(a=b)", b"\xa3\x06\x04\x01a\x04\x01b".as_slice()),
            ("(a=*)", b"\x87\x01a"),
            ("(a>=5)", b"\xa5\x06\x04\x01a\x04\x015"),
            ("(a=\\2a)", b"\xa3\x06\x04\x01a\x04\x01*"),
            ("(a=x*y*z)", b"\xa4\x0e\x04\x01a\x30\x09\x80\x01x\x81\x01y\x82\x01z"),
            ("(!(a=b))", b"\xa2\x08\xa3\x06\x04\x01a\x04\x01b"),
            ("(&(a=*)(|(b=*)(c=*)))", b"\xa0\x0b\x87\x01a\xa1\x06\x87\x01b\x87\x01c"),
        ] {
            assert_eq!(parse_filter(text.as_bytes()).unwrap(), bytes, "{text}");
        }
        for wrong in ["", "a=b", "(a=b", "(=b)", "(a)", "(a=b)x", "(!(a=b)(c=d))", "(a=\\zz)", "(a=**)", "((a=b))"] {
            assert!(parse_filter(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let deep = format!("{}(a=b){}", "(!".repeat(100), ")".repeat(100));
        assert!(parse_filter(deep.as_bytes()).unwrap_err().contains("too deeply"));
    }

    proptest! {
        #[test]
        fn no_filter_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[(][&|!]?([(]\\PC{0,5}=\\PC{0,5}[)]){0,3}[)]") {
            let _ = (parse_filter(&bytes), parse_filter(text.as_bytes()));
        }
    }
}
