//! What a step writes, kept within a limit: the beginning and the end, since causes stand at the one and errors at the other.
//!
//! Everything is read, whatever is kept: a program whose pipe is full would wait for ever.

use std::collections::VecDeque;

/// Bytes of one stream, within a limit.
#[derive(Debug)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
    half: usize,
}

impl Kept {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), left_out: 0, half: limit / 2 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.half.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// The text, and whether something was left out. What is not UTF-8 is replaced.
    pub fn into_text(self) -> (String, bool) {
        let tail: Vec<u8> = self.tail.into();
        if self.left_out == 0 {
            let whole = [self.head, tail].concat();
            return (String::from_utf8_lossy(&whole).into_owned(), false);
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        (format!("{head}\n… {} bytes left out …\n{tail}", self.left_out), true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut kept = Kept::new(8);
        kept.push(b"0123456789abcdef");
        assert_eq!(kept.into_text(), ("0123\n… 8 bytes left out …\ncdef".to_owned(), true));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_it_came(pieces in proptest::collection::vec("[a-z]{0,20}", 0..10)) {
            let whole = pieces.concat();
            let mut kept = Kept::new(32);
            for piece in &pieces {
                kept.push(piece.as_bytes());
            }
            let (text, truncated) = kept.into_text();
            prop_assert_eq!(truncated, whole.len() > 32);
            if truncated {
                prop_assert!(text.starts_with(&whole[..16]) && text.ends_with(&whole[whole.len() - 16..]));
            } else {
                prop_assert_eq!(text, whole);
            }
        }
    }
}
