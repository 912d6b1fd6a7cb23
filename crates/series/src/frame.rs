//! Frames: how every file here is cut into pieces that can be checked one by one.
//!
//! `magic (4) · length (4) · xxh3 of length and payload (8) · payload`. A damaged frame does not hide the ones after it: the reader
//! looks for the next magic whose checksum holds. Nothing here knows what a payload means.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: [u8; 4] = *b"\xf5MsF";
/// Bytes before the payload.
pub(crate) const HEADER: usize = 16;
/// No payload is longer; a length beyond it is damage.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;
/// Bytes read at once, unless a frame is longer.
const PIECE: usize = 1 << 20;
/// Bytes read at once at the beginning of a file.
const FIRST_PIECE: usize = 16 << 10;

/// The payload as a frame, appended to `out`.
pub(crate) fn put(out: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD, "the writer splits what is larger");
    let length = payload.len() as u32;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(length, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(length: u32, payload: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(&length.to_le_bytes());
    hash.update(payload);
    hash.digest()
}

/// How long the payload of the frame at the start of `bytes` says that it is; none when that cannot be.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.strip_prefix(&MAGIC)?.first_chunk::<4>()?) as usize;
    (length <= MAX_PAYLOAD).then_some(length)
}

/// The payload of the frame at the start of `bytes`, when it is whole and its checksum holds.
pub(crate) fn take(bytes: &[u8]) -> Option<&[u8]> {
    let length = length(bytes)?;
    let (sum, rest) = bytes.get(8..)?.split_first_chunk::<8>()?;
    let payload = rest.get(..length)?;
    (checksum(length as u32, payload) == u64::from_le_bytes(*sum)).then_some(payload)
}

/// A stretch of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A frame that is whole: where it begins, and its payload.
    Whole(u64, &'a [u8]),
    Damaged(Stretch),
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// It reaches the end of the file, and bytes are missing rather than wrong: a write that was cut short.
    pub(crate) is_cut_short: bool,
}

/// Reads a file frame by frame, a piece of it in memory at a time. Whole files cost one pass; only inside damage is each
/// magic tried, one checksum each.
pub(crate) struct Frames<R> {
    source: R,
    /// The piece: read up to `filled`, done with up to `at`.
    bytes: Vec<u8>,
    filled: usize,
    at: usize,
    /// Where in the file the piece begins.
    base: u64,
    ended: bool,
    /// Where damage began, and how long the frame is that its header promises.
    bad: Option<(u64, Option<u64>)>,
}

impl<R: Read> Frames<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, bytes: Vec::new(), filled: 0, at: 0, base: 0, ended: false, bad: None }
    }

    /// The next stretch; none at the end. Together they are the whole file, in order.
    pub(crate) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        loop {
            self.have(HEADER)?;
            if self.at == self.filled {
                return Ok(self.bad.take().map(|bad| Piece::Damaged(self.stretch(bad, true))));
            }
            let claimed = length(&self.bytes[self.at..self.filled]);
            if let Some(length) = claimed {
                self.have(HEADER + length)?;
            }
            let Some(length) = take(&self.bytes[self.at..self.filled]).map(<[u8]>::len) else {
                self.bad.get_or_insert((self.base + self.at as u64, claimed.map(|length| (HEADER + length) as u64)));
                self.skip()?;
                continue;
            };
            if let Some(bad) = self.bad.take() {
                return Ok(Some(Piece::Damaged(self.stretch(bad, false))));
            }
            let offset = self.base + self.at as u64;
            let payload = self.at + HEADER..self.at + HEADER + length;
            self.at = payload.end;
            return Ok(Some(Piece::Whole(offset, &self.bytes[payload])));
        }
    }

    /// What is damaged from there to here.
    fn stretch(&self, (offset, promised): (u64, Option<u64>), at_end: bool) -> Stretch {
        let length = self.base + self.at as u64 - offset;
        Stretch { offset, length, is_cut_short: at_end && promised != Some(length) }
    }

    /// Goes on to the next place where a frame may begin.
    fn skip(&mut self) -> io::Result<()> {
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..self.filled];
            if let Some(found) = rest.windows(MAGIC.len()).position(|window| window == MAGIC) {
                self.at += found;
                return Ok(());
            }
            // The first bytes of a magic may be the last of the piece.
            self.at += rest.len().saturating_sub(MAGIC.len() - 1);
            self.have(MAGIC.len())?;
            if self.filled - self.at < MAGIC.len() {
                self.at = self.filled;
                return Ok(());
            }
        }
    }

    /// Reads on until there are so many bytes from here, or the file ends.
    fn have(&mut self, wanted: usize) -> io::Result<()> {
        if self.ended || self.filled - self.at >= wanted {
            return Ok(());
        }
        // A short file needs no long piece: after many starts there are many of a few kilobytes.
        let was_full = self.filled == self.bytes.len();
        self.bytes.copy_within(self.at..self.filled, 0);
        (self.base, self.filled, self.at) = (self.base + self.at as u64, self.filled - self.at, 0);
        if was_full && self.bytes.len() < PIECE {
            self.bytes.resize((self.bytes.len() * 8).max(FIRST_PIECE), 0);
        }
        while !self.ended && self.filled < wanted {
            // A length that a damaged header claims takes no more memory than the file has.
            if self.filled == self.bytes.len() {
                self.bytes.resize(self.filled + PIECE, 0);
            }
            match self.source.read(&mut self.bytes[self.filled..]) {
                Ok(read) => {
                    self.filled += read;
                    self.ended = read == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for payload in payloads {
            put(&mut out, payload);
        }
        out
    }

    /// A file that is read in pieces of at most so many bytes.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(self.1);
            self.0.read(&mut into[..most])
        }
    }

    type Found = (Vec<(u64, Vec<u8>)>, Vec<Stretch>);

    /// All that is found, which is the same however the file is read.
    fn scan(bytes: &[u8]) -> Found {
        let of = |most| {
            let mut frames = Frames::new(Slowly(bytes, most));
            let (mut whole, mut damaged) = (Vec::new(), Vec::new());
            while let Some(piece) = frames.next().unwrap() {
                match piece {
                    Piece::Whole(offset, payload) => whole.push((offset, payload.to_vec())),
                    Piece::Damaged(stretch) => damaged.push(stretch),
                }
            }
            (whole, damaged)
        };
        let found = of(usize::MAX);
        assert_eq!(of(1), found);
        assert_eq!(of(7), found);
        found
    }

    #[test]
    fn every_cut_keeps_the_frames_before_it() {
        let payloads: [&[u8]; 4] = [b"one", b"", b"three is longer", b"4"];
        let bytes = file(&payloads);
        let mut ends = vec![0];
        for payload in payloads {
            ends.push(ends[ends.len() - 1] + HEADER + payload.len());
        }
        for cut in 0..=bytes.len() {
            let (whole, damaged) = scan(&bytes[..cut]);
            let before = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(whole.len(), before, "cut at {cut}");
            assert_eq!(damaged.is_empty(), ends.contains(&cut), "cut at {cut}");
            assert!(damaged.iter().all(|d| d.is_cut_short), "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_costs_its_own_frame_and_is_seen() {
        let payloads: [&[u8]; 3] = [b"first", b"second", b"third"];
        let good = file(&payloads);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (whole, damaged) = scan(&bytes);
            assert_eq!(whole.len(), 2, "bit {bit}");
            assert_eq!(damaged.len(), 1, "bit {bit}");
            assert!(whole.iter().all(|(_, p)| payloads.contains(&p.as_slice())), "bit {bit}");
        }
    }

    #[test]
    fn a_file_longer_than_a_piece_is_read_to_its_end() {
        let long = vec![7; PIECE + 5];
        let bytes = file(&[b"before", &long, b"after"]);
        let mut frames = Frames::new(bytes.as_slice());
        let mut lengths = Vec::new();
        while let Some(Piece::Whole(_, payload)) = frames.next().unwrap() {
            lengths.push(payload.len());
        }
        assert_eq!(lengths, [6, long.len(), 5]);
    }

    proptest! {
        #[test]
        fn reading_anything_never_panics(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let mut mixed = file(&[&bytes]);
            mixed.insert(cut.index(mixed.len()), 0xf5);
            let (whole, damaged) = scan(&mixed);
            let covered: u64 = damaged.iter().map(|d| d.length).sum::<u64>()
                + whole.iter().map(|(_, p)| (HEADER + p.len()) as u64).sum::<u64>();
            prop_assert_eq!(covered, mixed.len() as u64, "every byte is either whole or told of");
        }
    }
}
