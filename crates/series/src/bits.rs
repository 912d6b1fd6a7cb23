//! Bits in, bits out, highest first. Nothing here knows what they mean.

/// A growing row of bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits still free in the last byte, 0 to 7.
    free: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `value`; `count` is at most 64.
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64, "a word has 64 bits");
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = left.min(self.free);
            let piece = (value >> (left - now)) & ((1 << now) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (piece << (self.free - now)) as u8;
            }
            self.free -= now;
            left -= now;
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Reads bits from a slice; `None` at its end.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 64.
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        let mut value = 0_u64;
        let mut left = count.min(64);
        while left > 0 {
            let byte = *self.bytes.get(self.at / 8)?;
            let free = 8 - (self.at % 8) as u32;
            let now = left.min(free);
            let piece = (u64::from(byte) >> (free - now)) & ((1 << now) - 1);
            // At 64 bits the shift is of an empty value: `now` is at most 8.
            value = (value << now) | piece;
            self.at += now as usize;
            left -= now;
        }
        Some(value)
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back_in_order(pieces in prop::collection::vec((any::<u64>(), 0_u32..=64), 0..50)) {
            let mut writer = BitWriter::default();
            for (value, count) in &pieces {
                writer.put(*value, *count);
            }
            let mut reader = BitReader::new(writer.bytes());
            for (value, count) in &pieces {
                let mask = if *count == 64 { u64::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(reader.take(*count), Some(value & mask));
            }
        }
    }
}
