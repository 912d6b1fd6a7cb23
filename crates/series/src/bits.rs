//! Bits in, bits out, highest first, a word at a time. Nothing here knows what they mean.

/// A growing row of bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BitWriter {
    /// Whole words.
    words: Vec<u64>,
    /// The bits after them, at the low end.
    rest: u64,
    /// How many bits `rest` has, 0 to 63.
    used: u8,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `value`; `count` is at most 64.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64, "a word has 64 bits");
        let value = if count == 64 { value } else { value & ((1 << count) - 1) };
        let free = 64 - u32::from(self.used);
        if count < free {
            self.rest = self.rest << count | value;
            self.used += count as u8;
            return;
        }
        let left = count - free;
        // `free` is 64 only when there is no rest, and then nothing of it is kept.
        self.words.push(self.rest.checked_shl(free).unwrap_or(0) | value.checked_shr(left).unwrap_or(0));
        self.rest = if left == 0 { 0 } else { value & (u64::MAX >> (64 - left)) };
        self.used = left as u8;
    }

    /// All bits so far as bytes, the last one filled up with zeros.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.words.len() * 8 + 8);
        for word in &self.words {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        if self.used > 0 {
            let last = self.rest << (64 - self.used);
            bytes.extend_from_slice(&last.to_be_bytes()[..usize::from(self.used).div_ceil(8)]);
        }
        bytes
    }

    /// A writer that goes on after the first `count` bits of `bytes`; none when there are fewer.
    pub(crate) fn resume(bytes: &[u8], count: u64) -> Option<Self> {
        if count > bytes.len() as u64 * 8 {
            return None;
        }
        let whole = (count / 64) as usize;
        let words = bytes[..whole * 8].as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word));
        // With room for some more: what is gone on with mostly is soon.
        let mut writer = Self { words: Vec::with_capacity(whole + whole / 8 + 2), rest: 0, used: 0 };
        writer.words.extend(words);
        let mut reader = BitReader::new(&bytes[whole * 8..]);
        let rest = (count % 64) as u32;
        writer.put(reader.take(rest)?, rest);
        Some(writer)
    }

    /// How many bits there are.
    pub(crate) fn len(&self) -> u64 {
        self.words.len() as u64 * 64 + u64::from(self.used)
    }

    /// The bytes that it holds in memory beside itself.
    pub(crate) fn heap(&self) -> usize {
        self.words.capacity() * 8
    }

    pub(crate) fn shrink(&mut self) {
        self.words.shrink_to_fit();
    }

    /// Reads what was written, without a copy.
    pub(crate) fn read(&self) -> WordReader<'_> {
        WordReader { of: self, at: 0 }
    }
}

/// Where bits come from.
pub(crate) trait Bits {
    /// The next `count` bits, at most 64; `None` at the end.
    fn take(&mut self, count: u32) -> Option<u64>;

    fn bit(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }
}

/// Reads a writer's words.
pub(crate) struct WordReader<'a> {
    of: &'a BitWriter,
    at: u64,
}

impl WordReader<'_> {
    /// The next 64 bits, highest first, with zeros after the end.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let (index, skip) = ((self.at / 64) as usize, (self.at % 64) as u32);
        let first = self.word(index) << skip;
        if skip == 0 { first } else { first | self.word(index + 1) >> (64 - skip) }
    }

    /// Goes on after so many more bits; none when there are fewer.
    #[inline]
    pub(crate) fn skip(&mut self, bits: u32) -> Option<()> {
        self.at += u64::from(bits);
        (self.at <= self.of.len()).then_some(())
    }

    #[inline]
    fn word(&self, index: usize) -> u64 {
        let of = self.of;
        match of.words.get(index) {
            Some(word) => *word,
            None if index > of.words.len() || of.used == 0 => 0,
            None => of.rest << (64 - of.used),
        }
    }
}

impl Bits for WordReader<'_> {
    #[inline]
    fn take(&mut self, count: u32) -> Option<u64> {
        let next = self.at + u64::from(count);
        if next > self.of.len() || count > 64 {
            return None;
        }
        let (index, skip) = ((self.at / 64) as usize, (self.at % 64) as u32);
        self.at = next;
        if count == 0 {
            return Some(0);
        }
        let mut window = self.word(index) << skip;
        if skip + count > 64 {
            window |= self.word(index + 1) >> (64 - skip);
        }
        Some(window >> (64 - count))
    }
}

/// Reads bits from a slice.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Goes on after so many more bits.
    pub(crate) fn skip(&mut self, bits: usize) {
        self.at += bits;
    }
}

impl Bits for BitReader<'_> {
    #[inline]
    fn take(&mut self, count: u32) -> Option<u64> {
        if count == 0 {
            return Some(0);
        }
        let next = self.at + count as usize;
        if next > self.bytes.len() * 8 || count > 64 {
            return None;
        }
        let (start, skip) = (self.at / 8, (self.at % 8) as u32);
        self.at = next;
        let mut word = [0_u8; 16];
        match self.bytes.get(start..start + 16) {
            Some(whole) => word.copy_from_slice(whole),
            None => {
                let end = &self.bytes[start..self.bytes.len().min(start + 16)];
                word[..end.len()].copy_from_slice(end);
            }
        }
        Some((u128::from_be_bytes(word) << skip >> (128 - count)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back_in_order(pieces in prop::collection::vec((any::<u64>(), 0_u32..=64), 0..50), cut in any::<prop::sample::Index>()) {
            let mut writer = BitWriter::default();
            for (value, count) in &pieces {
                writer.put(*value, *count);
            }
            let bytes = writer.to_bytes();
            let mut reader = BitReader::new(&bytes);
            let mut words = writer.read();
            for (value, count) in &pieces {
                let mask = if *count == 64 { u64::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(reader.take(*count), Some(value & mask));
                prop_assert_eq!(words.take(*count), Some(value & mask));
            }
            prop_assert_eq!(words.take(1), None);
            prop_assert_eq!(&BitWriter::resume(&bytes, writer.len()).unwrap(), &writer);
            let some = cut.index(writer.len() as usize + 1) as u64;
            let mut resumed = BitWriter::resume(&bytes, some).unwrap();
            prop_assert_eq!(resumed.len(), some);
            resumed.put(5, 3);
            prop_assert_eq!(resumed.to_bytes()[..some as usize / 8].to_vec(), bytes[..some as usize / 8].to_vec());
        }
    }
}
