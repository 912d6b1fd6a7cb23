//! Integers and texts as bytes, and back. Reading never panics and never trusts a length.

/// Appends little pieces to a buffer.
pub(crate) trait Put {
    fn put_u64(&mut self, value: u64);
    fn put_i64(&mut self, value: i64);
    fn put_fixed(&mut self, value: u64);
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    /// Seven bits a byte, lowest first; the high bit says that more follows.
    fn put_u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    /// Zigzag, so that small negative numbers are short too.
    fn put_i64(&mut self, value: i64) {
        self.put_u64(((value << 1) ^ (value >> 63)) as u64);
    }

    fn put_fixed(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u64(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }
}

/// Takes little pieces from a slice; `None` when it is too short or has no meaning.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        // Most are short.
        match self.0.split_first() {
            Some((first, rest)) if *first < 0x80 => {
                self.0 = rest;
                Some(u64::from(*first))
            }
            _ => self.long(),
        }
    }

    fn long(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Option<i64> {
        let raw = self.u64()?;
        Some(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.u64()?).ok()
    }

    pub(crate) fn fixed(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*head))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `length` bytes.
    pub(crate) fn piece(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(u in any::<u64>(), i in any::<i64>(), b in any::<Vec<u8>>()) {
            let mut buffer = Vec::new();
            buffer.put_u64(u);
            buffer.put_i64(i);
            buffer.put_bytes(&b);
            buffer.put_fixed(u);
            let mut take = Take(&buffer);
            prop_assert_eq!(take.u64(), Some(u));
            prop_assert_eq!(take.i64(), Some(i));
            prop_assert_eq!(take.bytes(), Some(b.as_slice()));
            prop_assert_eq!(take.fixed(), Some(u));
            prop_assert!(take.is_empty());
        }

        #[test]
        fn taking_from_anything_never_panics(b in any::<Vec<u8>>()) {
            let mut take = Take(&b);
            while take.u64().is_some() && take.bytes().is_some() && take.fixed().is_some() {}
        }
    }
}
