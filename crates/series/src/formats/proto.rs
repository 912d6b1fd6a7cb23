//! Protocol buffers, read field by field from a slice: no code generated, no message built, no allocation.
//!
//! Unknown fields are skipped, as the standard says. Every length is checked against what is left. There is no recursion here.

use super::FormatError;

/// A message, and how far it has been read.
#[derive(Clone, Copy)]
pub(crate) struct Proto<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Proto<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A message that is a part of `bytes`, so that offsets count from the start of the whole.
    pub(crate) fn part(bytes: &'a [u8], from: usize, to: usize) -> Self {
        Self { bytes: &bytes[..to], at: from }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn broken(&self, reason: &'static str) -> FormatError {
        FormatError::Malformed { at: self.at, reason }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, FormatError> {
        if let Some(byte) = self.bytes.get(self.at)
            && *byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or_else(|| self.broken("a number is cut short"))?;
            self.at += 1;
            // The tenth byte has one bit of use; the rest is cut off, as decoders everywhere do.
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.broken("a number is longer than ten bytes"))
    }

    /// The end of the piece whose length comes next; reading stands at its start.
    #[inline]
    pub(crate) fn piece(&mut self) -> Result<usize, FormatError> {
        let length = self.varint()?;
        let end = usize::try_from(length).ok().and_then(|l| self.at.checked_add(l));
        end.filter(|end| *end <= self.bytes.len()).ok_or_else(|| self.broken("a piece is longer than the message"))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let found = *found.ok_or_else(|| self.broken("a fixed number is cut short"))?;
        self.at += N;
        Ok(found)
    }

    /// The next field's number and value; none at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Field<'a>)>, FormatError> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let end = self.piece()?;
                let from = std::mem::replace(&mut self.at, end);
                Field::Bytes(&self.bytes[from..end])
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(self.broken("a field of a kind that is not used")),
        };
        Ok(Some((tag >> 3, value)))
    }
}

impl<'a> Field<'a> {
    /// Text or a message within.
    pub(crate) fn bytes(self) -> Result<&'a [u8], FormatError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => {
                Err(FormatError::Malformed { at: 0, reason: "a field is a number where text or a message is expected" })
            }
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, FormatError> {
        let wrong = |_| FormatError::Malformed { at: 0, reason: "a text is not UTF-8" };
        std::str::from_utf8(self.bytes()?).map_err(wrong)
    }

    /// A number of any width, as its bits.
    pub(crate) fn bits(self) -> Result<u64, FormatError> {
        match self {
            Self::Varint(n) | Self::Fixed64(n) => Ok(n),
            Self::Fixed32(n) => Ok(u64::from(n)),
            Self::Bytes(_) => {
                Err(FormatError::Malformed { at: 0, reason: "a field is text where a number is expected" })
            }
        }
    }

    pub(crate) fn f64(self) -> Result<f64, FormatError> {
        self.bits().map(f64::from_bits)
    }

    /// A number written so that small negative ones are short.
    pub(crate) fn zigzag(self) -> Result<i64, FormatError> {
        self.bits().map(zigzag)
    }

    /// All numbers of a repeated field, packed or not: each is given to `each` as its bits.
    pub(crate) fn repeated(self, width: Width, mut each: impl FnMut(u64)) -> Result<(), FormatError> {
        let Self::Bytes(bytes) = self else {
            each(self.bits()?);
            return Ok(());
        };
        let mut rest = Proto::new(bytes);
        while !rest.is_empty() {
            each(match width {
                Width::Varint => rest.varint()?,
                Width::Eight => u64::from_le_bytes(rest.fixed()?),
            });
        }
        Ok(())
    }
}

/// How the numbers of a packed field are written.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Varint,
    Eight,
}

pub(crate) fn zigzag(raw: u64) -> i64 {
    ((raw >> 1) as i64) ^ -((raw & 1) as i64)
}

/// Decompresses a body of snappy's block format; its length is looked at before memory is taken.
pub(crate) fn snappy(body: &[u8], limit: usize) -> Result<Vec<u8>, FormatError> {
    let wrong = |e: snap::Error| FormatError::Compression { reason: e.to_string() };
    let length = snap::raw::decompress_len(body).map_err(wrong)?;
    super::within("bytes", length, limit.min(u32::MAX as usize / 2))?;
    let mut out = vec![0; length];
    let written = snap::raw::Decoder::new().decompress(body, &mut out).map_err(wrong)?;
    out.truncate(written);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_any_bytes_ends(bytes in any::<Vec<u8>>()) {
            let mut proto = Proto::new(&bytes);
            while let Ok(Some((_, field))) = proto.field() {
                let _ = field.repeated(Width::Varint, |_| {});
            }
            let _ = snappy(&bytes, 1 << 20);
        }
    }

    #[test]
    fn a_body_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let claims = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(snappy(&claims, 1000), Err(FormatError::TooLarge { limit: 1000, .. })));
    }
}
