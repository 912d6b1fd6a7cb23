//! BER: the part of ASN.1's encoding that SNMP uses. Never recurses, never reads beyond its bytes, allocates nothing that
//! is larger than what it was given.

use crate::snmp::Oid;

/// Why bytes are no BER, or not the BER that was expected here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// Fewer bytes than a length promised.
    #[error("the message ends in the middle of a value")]
    Truncated,
    /// A form of length that SNMP does not use: indefinite, or over four bytes.
    #[error("a length is written in a form that SNMP does not use")]
    Length,
    /// Another type than the one that belongs here.
    #[error("a value of type 0x{found:02x} is where 0x{wanted:02x} belongs")]
    Tag {
        /// The type byte that belongs here.
        wanted: u8,
        /// The type byte that is there.
        found: u8,
    },
    /// A number that is empty, or larger than its type.
    #[error("a number does not fit its type")]
    Number,
    /// An object identifier that is empty, broken off, or too long.
    #[error("an object identifier is not valid")]
    Oid,
    /// Well-formed, and still not SNMP.
    #[error("{0}")]
    Other(&'static str),
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Takes values from the front of some bytes, and knows where in the whole message it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value's type, its content, and where in the message the content begins.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8], usize), BerError> {
        let [tag, first, after @ ..] = self.rest else { return Err(BerError::Truncated) };
        if tag & 0x1f == 0x1f {
            return Err(BerError::Other("a type is written in more than one byte"));
        }
        let (length, header) = match first {
            0..=0x7f => (usize::from(*first), 2),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let bytes = after.get(..count).ok_or(BerError::Truncated)?;
                (bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)), 2 + count)
            }
            _ => return Err(BerError::Length),
        };
        let end = header.checked_add(length).ok_or(BerError::Length)?;
        let content = self.rest.get(header..end).ok_or(BerError::Truncated)?;
        let start = self.at + header;
        self.rest = &self.rest[end..];
        self.at += end;
        Ok((*tag, content, start))
    }

    /// The content of the next value, which must be of that type.
    pub(crate) fn expect(&mut self, wanted: u8) -> Result<(&'a [u8], usize), BerError> {
        let (found, content, start) = self.any()?;
        if found == wanted { Ok((content, start)) } else { Err(BerError::Tag { wanted, found }) }
    }

    /// A reader of the next value's content, which must be of that type.
    pub(crate) fn enter(&mut self, wanted: u8) -> Result<Reader<'a>, BerError> {
        self.expect(wanted).map(|(rest, at)| Reader { rest, at })
    }

    pub(crate) fn integer(&mut self) -> Result<i64, BerError> {
        signed(self.expect(INTEGER)?.0)
    }

    pub(crate) fn octets(&mut self) -> Result<&'a [u8], BerError> {
        self.expect(OCTET_STRING).map(|(content, _)| content)
    }

    pub(crate) fn oid(&mut self) -> Result<Oid, BerError> {
        oid(self.expect(OID)?.0)
    }
}

/// A signed number of at most eight bytes.
pub(crate) fn signed(content: &[u8]) -> Result<i64, BerError> {
    match content {
        [] => Err(BerError::Number),
        [first, ..] if content.len() <= 8 => {
            let sign = if first & 0x80 == 0 { 0 } else { -1 };
            Ok(content.iter().fold(sign, |sum, byte| sum << 8 | i64::from(*byte)))
        }
        _ => Err(BerError::Number),
    }
}

/// An unsigned number of at most 64 bits. Some agents leave out the zero byte before a high bit, so none is asked for.
pub(crate) fn unsigned(content: &[u8]) -> Result<u64, BerError> {
    let digits = content.iter().position(|byte| *byte != 0).map_or(&content[..0], |first| &content[first..]);
    if content.is_empty() || digits.len() > 8 {
        return Err(BerError::Number);
    }
    Ok(digits.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// An unsigned number of 32 bits.
pub(crate) fn unsigned32(content: &[u8]) -> Result<u32, BerError> {
    let value = unsigned(content)?;
    // A negative number in a counter is what agents with a signed variable send: its low 32 bits are the count.
    let negative = content.len() > 4 && content[0] == 0xff;
    u32::try_from(value).or(if negative { Ok(value as u32) } else { Err(BerError::Number) })
}

/// An object identifier's content.
pub(crate) fn oid(content: &[u8]) -> Result<Oid, BerError> {
    if content.is_empty() {
        // `zeroDotZero` of agents that write nothing for it.
        return Ok(Oid::new(&[0, 0]));
    }
    let mut arcs = Vec::with_capacity(content.len() + 1);
    let mut arc: u64 = 0;
    let mut open = false;
    for byte in content {
        arc = arc << 7 | u64::from(byte & 0x7f);
        open = byte & 0x80 != 0;
        if arc > u64::from(u32::MAX) + 80 || arcs.len() >= Oid::MAX_ARCS {
            return Err(BerError::Oid);
        }
        if open {
            continue;
        }
        if arcs.is_empty() {
            let first = (arc / 40).min(2);
            arcs.push(first as u32);
            arc -= first * 40;
        }
        arcs.push(u32::try_from(arc).map_err(|_| BerError::Oid)?);
        arc = 0;
    }
    if open { Err(BerError::Oid) } else { Ok(Oid::new(&arcs)) }
}

/// Puts values at the end of a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A value of that type with that content.
    pub(crate) fn value(&mut self, tag: u8, content: &[u8]) {
        self.bytes.push(tag);
        match content.len() {
            length @ 0..=0x7f => self.bytes.push(length as u8),
            length => {
                let digits = length.to_be_bytes();
                let first = digits.iter().position(|byte| *byte != 0).unwrap_or(digits.len() - 1);
                self.bytes.push(0x80 | (digits.len() - first) as u8);
                self.bytes.extend_from_slice(&digits[first..]);
            }
        }
        self.bytes.extend_from_slice(content);
    }

    /// A value that is made of others.
    pub(crate) fn group(&mut self, tag: u8, fill: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        fill(&mut inner);
        self.value(tag, &inner.bytes);
    }

    /// Bytes that are BER already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn integer(&mut self, value: i64) {
        let digits = value.to_be_bytes();
        let needless = (0..7)
            .take_while(|at| {
                let next_is_negative = digits[at + 1] & 0x80 != 0;
                digits[*at] == if next_is_negative { 0xff } else { 0 } && next_is_negative == (value < 0)
            })
            .count();
        self.value(INTEGER, &digits[needless..]);
    }

    pub(crate) fn unsigned(&mut self, tag: u8, value: u64) {
        let mut digits = [0; 9];
        digits[1..].copy_from_slice(&value.to_be_bytes());
        let needless = (0..8).take_while(|at| digits[*at] == 0 && digits[at + 1] & 0x80 == 0).count();
        self.value(tag, &digits[needless..]);
    }

    pub(crate) fn octets(&mut self, content: &[u8]) {
        self.value(OCTET_STRING, content);
    }

    pub(crate) fn oid(&mut self, oid: &Oid) {
        let arcs = oid.arcs();
        let (first, second, rest) = match arcs {
            [first, second, rest @ ..] => (*first, *second, rest),
            [first] => (*first, 0, &[][..]),
            [] => (0, 0, &[][..]),
        };
        let mut content = Vec::with_capacity(arcs.len() + 4);
        base128(u64::from(first) * 40 + u64::from(second), &mut content);
        for arc in rest {
            base128(u64::from(*arc), &mut content);
        }
        self.value(OID, &content);
    }
}

fn base128(value: u64, to: &mut Vec<u8>) {
    let septets = (1..10).find(|count| value >> (7 * count) == 0).unwrap_or(10);
    for at in (0..septets).rev() {
        let septet = (value >> (7 * at)) as u8 & 0x7f;
        to.push(if at == 0 { septet } else { septet | 0x80 });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_sloppy_agents_are_read_as_meant() {
        for (content, value) in [
            (&[0x00, 0xff, 0xff, 0xff, 0xff][..], Ok(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff], Ok(u32::MAX)), // no zero byte before the high bit
            (&[0xff, 0xff, 0xff, 0xff, 0xfe], Ok(u32::MAX - 1)), // a signed variable, sent as it is
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 7], Ok(7)),  // padding
            (&[0x01, 0, 0, 0, 0], Err(BerError::Number)),
            (&[], Err(BerError::Number)),
        ] {
            assert_eq!(unsigned32(content), value, "{content:?}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [
            &[0x30][..],
            &[0x30, 0x05, 1, 2],
            &[0x30, 0x80, 0, 0],                   // indefinite
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], // 4 GiB
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x1f, 0x81, 0x01, 0],
        ] {
            assert!(Reader::new(bytes).any().is_err(), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0x04, 0x82, 0, 1, 9]).octets(), Ok(&[9][..]), "needlessly long, as some agents write");
    }

    #[test]
    fn an_identifier_without_end_is_refused() {
        assert_eq!(oid(&[0x2b, 0x86]), Err(BerError::Oid));
        assert_eq!(oid(&[0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(BerError::Oid));
        assert_eq!(oid(&[0x2b; 200]), Err(BerError::Oid));
        assert_eq!(oid(&[0x88, 0x37, 0x03]).map(|oid| oid.to_string()), Ok("2.999.3".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: i64, natural: u64, arcs in proptest::collection::vec(any::<u32>(), 0..60),
                                   text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut writer = Writer::default();
            let name = Oid::new(&[1, 3]).with(&arcs);
            writer.group(SEQUENCE, |inner| {
                inner.integer(number);
                inner.unsigned(0x46, natural);
                inner.oid(&name);
                inner.octets(&text);
            });
            let bytes = writer.into_bytes();
            let mut whole = Reader::new(&bytes);
            let mut reader = whole.enter(SEQUENCE).unwrap();
            prop_assert_eq!(reader.integer().unwrap(), number);
            prop_assert_eq!(unsigned(reader.expect(0x46).unwrap().0).unwrap(), natural);
            prop_assert_eq!(reader.oid().unwrap(), name);
            let (read, at) = reader.expect(OCTET_STRING).unwrap();
            prop_assert_eq!(read, &text[..]);
            prop_assert_eq!(&bytes[at..at + read.len()], &text[..], "the place is told rightly");
            prop_assert!(reader.is_empty() && whole.is_empty());
        }
    }
}
