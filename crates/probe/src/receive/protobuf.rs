//! Protobuf: fields off the wire, for the few messages that are decoded here by hand. Total; copies nothing.

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    /// A number of any length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// A text, bytes, or a message inside.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Wire<'a> {
        Wire(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number of at most ten bytes.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(at * 7).ok()?)?;
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    /// Bytes with their length before them.
    pub(crate) fn delimited(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next field with its number. Groups, long gone, are none.
    pub(crate) fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => Field::Bytes(self.delimited()?),
            5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// A message of two texts, numbered 1 and 2: how labels are written.
pub(crate) fn pair(bytes: &[u8]) -> Option<(String, String)> {
    let mut pair = (String::new(), String::new());
    let mut wire = Wire::new(bytes);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Bytes(text)) => pair.0 = String::from_utf8_lossy(text).into_owned(),
            (2, Field::Bytes(text)) => pair.1 = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    Some(pair)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_read_as_they_were_written() {
        let mut wire = Wire::new(&[0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 0, 0, 0]);
        assert_eq!(wire.field(), Some((1, Field::Varint(150))));
        assert_eq!(wire.field(), Some((2, Field::Bytes(b"hi"))));
        assert_eq!(wire.field(), Some((3, Field::Fixed32(1))));
        assert!(wire.is_empty() && wire.field().is_none());
        assert_eq!(Wire::new(&[0xff; 11]).varint(), None);
        assert_eq!(Wire::new(&[0x12, 0x7f, 0]).field(), None);
    }

    proptest! {
        #[test]
        fn no_wire_panics_and_every_field_takes_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut wire = Wire::new(&bytes);
            let mut count = 0;
            while wire.field().is_some() { count += 1; }
            prop_assert!(count <= bytes.len());
        }
    }
}
