//! Frames: how every file here is cut into pieces that can be checked one by one.
//!
//! `magic (4) · length (4) · xxh3 of length and payload (8) · payload`. A damaged frame does not hide the ones after it: the scan
//! looks for the next magic whose checksum holds. Nothing here knows what a payload means.

use xxhash_rust::xxh3::Xxh3Default;

use crate::error::{Damage, DamageKind};

const MAGIC: [u8; 4] = *b"\xf5MsF";
/// Bytes before the payload.
pub(crate) const HEADER: usize = 16;
/// No payload is longer; a length beyond it is damage.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

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

/// The payload of the frame at the start of `bytes`, when it is whole and its checksum holds.
pub(crate) fn take(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length);
    if length as usize > MAX_PAYLOAD {
        return None;
    }
    let payload = rest.get(..length as usize)?;
    (checksum(length, payload) == u64::from_le_bytes(*sum)).then_some(payload)
}

/// A file, cut into what is whole and what is not.
#[derive(Debug, Default)]
pub(crate) struct Scan<'a> {
    /// Offset and payload of each whole frame, in order.
    pub(crate) whole: Vec<(u64, &'a [u8])>,
    /// Offset and length of each damaged stretch, in order. One that reaches the end may be a write that was cut short.
    pub(crate) damaged: Vec<(u64, u64)>,
    /// The damaged end is as long as its own header says: bytes in it are wrong, rather than missing.
    end_is_complete: bool,
}

impl Scan<'_> {
    /// The damaged stretches as damage to `file`; one at the end is [`DamageKind::TornTail`] when bytes are missing.
    pub(crate) fn damage(&self, file: &str, length: u64) -> Vec<Damage> {
        let cut_short = !self.end_is_complete;
        let kind = |at_end: bool| if at_end && cut_short { DamageKind::TornTail } else { DamageKind::Checksum };
        self.damaged
            .iter()
            .map(|(offset, len)| Damage {
                file: file.into(),
                offset: *offset,
                length: *len,
                kind: kind(offset + len == length),
            })
            .collect()
    }
}

/// Cuts `bytes` into frames. Whole files cost one pass; only inside damage is each magic tried, one checksum each.
pub(crate) fn scan(bytes: &[u8]) -> Scan<'_> {
    let mut found = Scan::default();
    let (mut at, mut bad_since) = (0, None);
    while at < bytes.len() {
        if let Some(payload) = take(&bytes[at..]) {
            if let Some(start) = bad_since.take() {
                found.damaged.push((start as u64, (at - start) as u64));
            }
            found.whole.push((at as u64, payload));
            at += HEADER + payload.len();
            continue;
        }
        bad_since.get_or_insert(at);
        at += 1;
        at += bytes[at..].windows(MAGIC.len()).position(|w| w == MAGIC).unwrap_or(bytes.len() - at);
    }
    if let Some(start) = bad_since {
        let end = &bytes[start..];
        let length = end.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk::<4>());
        found.end_is_complete = length.is_some_and(|l| u32::from_le_bytes(*l) as usize + HEADER == end.len());
        found.damaged.push((start as u64, (bytes.len() - start) as u64));
    }
    found
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

    #[test]
    fn every_cut_keeps_the_frames_before_it() {
        let payloads: [&[u8]; 4] = [b"one", b"", b"three is longer", b"4"];
        let bytes = file(&payloads);
        let mut ends = vec![0];
        for payload in payloads {
            ends.push(ends[ends.len() - 1] + HEADER + payload.len());
        }
        for cut in 0..=bytes.len() {
            let found = scan(&bytes[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(found.whole.len(), whole, "cut at {cut}");
            assert_eq!(found.damaged.is_empty(), ends.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_costs_its_own_frame_and_is_seen() {
        let payloads: [&[u8]; 3] = [b"first", b"second", b"third"];
        let good = file(&payloads);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = scan(&bytes);
            assert_eq!(found.whole.len(), 2, "bit {bit}");
            assert_eq!(found.damaged.len(), 1, "bit {bit}");
            assert!(found.whole.iter().all(|(_, p)| payloads.contains(p)), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn scanning_anything_never_panics(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let mut mixed = file(&[&bytes]);
            mixed.insert(cut.index(mixed.len()), 0xf5);
            let covered: u64 = scan(&mixed).damaged.iter().map(|d| d.1).sum::<u64>()
                + scan(&mixed).whole.iter().map(|(_, p)| (HEADER + p.len()) as u64).sum::<u64>();
            prop_assert_eq!(covered, mixed.len() as u64, "every byte is either whole or told of");
        }
    }
}
