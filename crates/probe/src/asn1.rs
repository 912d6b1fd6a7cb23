//! ASN.1: tags, lengths and values as LDAP, Kerberos and certificates write them (BER with definite lengths). Pure.

use crate::dialog::Parsed;

/// BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(crate) const BITS: u8 = 0x03;
/// OCTET STRING.
pub(crate) const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub(crate) const ENUMERATED: u8 = 0x0a;
/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// SET.
pub(crate) const SET: u8 = 0x31;

/// A value with its tag and length.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    if length < 0x80 {
        bytes.push(u8::try_from(length).expect("below 128"));
    } else {
        let digits = u32::try_from(length).expect("what is sent is short").to_be_bytes();
        let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
        bytes.push(0x80 | u8::try_from(digits.len()).expect("at most four"));
        bytes.extend_from_slice(digits);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// A value of several others.
pub(crate) fn group(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// A number that is not negative.
pub(crate) fn number(tag: u8, number: u32) -> Vec<u8> {
    let digits = number.to_be_bytes();
    let significant = &digits[digits.iter().take_while(|digit| **digit == 0).count().min(3)..];
    let sign: &[u8] = if significant[0] & 0x80 != 0 { &[0] } else { &[] };
    value(tag, &[sign, significant].concat())
}

/// Tag, where the content begins, and how long it is; `None` while more bytes are needed. Tags of one byte, lengths of at
/// most four.
fn head(bytes: &[u8]) -> Parsed<(u8, usize)> {
    let (Some(tag), Some(first)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err("sends a value whose tag is none of its protocol".to_owned());
    }
    if *first < 0x80 {
        return Ok(Some(((*tag, 2), usize::from(*first))));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err("sends a value whose length cannot be".to_owned());
    }
    let Some(digits) = bytes.get(2..2 + count) else { return Ok(None) };
    let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
    Ok(Some(((*tag, 2 + count), length)))
}

/// One whole value of a stream, of at most `limit` bytes: tag and content.
pub(crate) fn parse_value(bytes: &[u8], limit: usize) -> Parsed<(u8, Vec<u8>)> {
    let Some(((tag, begin), length)) = head(bytes)? else { return Ok(None) };
    if length > limit {
        return Err(format!("sends a message of more than {limit} bytes"));
    }
    let content = bytes.get(begin..begin + length);
    Ok(content.map(|content| ((tag, content.to_vec()), begin + length)))
}

/// Takes the next value off the front: tag and content.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let ((tag, begin), length) = head(bytes).ok()??;
    let content = bytes.get(begin..begin.checked_add(length)?)?;
    *bytes = &bytes[begin + length..];
    Some((tag, content))
}

/// Takes the next value when it has that tag.
pub(crate) fn take_of<'a>(bytes: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let (tag, content) = take(&mut rest)?;
    (tag == wanted).then(|| *bytes = rest)?;
    Some(content)
}

/// The same, with its tag and length: what a signature is made of.
pub(crate) fn take_whole<'a>(bytes: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    let before = *bytes;
    take_of(bytes, wanted)?;
    Some(&before[..before.len() - bytes.len()])
}

/// Takes the next value when it is a string of bits that fill whole bytes.
pub(crate) fn take_bits<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    take_of(bytes, BITS)?.strip_prefix(&[0])
}

/// The number that a content of one to eight bytes is.
pub(crate) fn as_number(content: &[u8]) -> Option<i64> {
    let first = *content.first()?;
    let start = if first & 0x80 != 0 { -1 } else { 0 };
    (content.len() <= 8).then(|| content.iter().fold(start, |number, byte| number << 8 | i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_long_values_read_as_they_were_written() {
        for wanted in [0, 1, 127, 128, 255, 256, 65_535, u32::MAX] {
            let bytes = number(INTEGER, wanted);
            assert_eq!(as_number(take_of(&mut bytes.as_slice(), INTEGER).unwrap()), Some(i64::from(wanted)));
        }
        for length in [0, 127, 128, 300, 70_000] {
            let bytes = value(OCTETS, &vec![7; length]);
            assert_eq!(parse_value(&bytes, 1 << 20), Ok(Some(((OCTETS, vec![7; length]), bytes.len()))));
        }
        assert_eq!(parse_value(&[0x30, 0x05, 1], 100), Ok(None));
        assert!(parse_value(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], 100).is_err());
        assert!(parse_value(&[0x30, 0x80], 100).is_err());
    }

    proptest! {
        #[test]
        fn no_value_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_value(&bytes, 1000);
            let mut rest = bytes.as_slice();
            while let Some((_, content)) = take(&mut rest) { let _ = as_number(content); }
        }
    }
}
