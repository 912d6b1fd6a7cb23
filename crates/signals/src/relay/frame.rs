//! The pieces of the queue's files: `magic (4) · length (4) · xxh3 of length and payload (8) · payload`, where the payload is
//! `shard (1) · samples (4) · a compressed write request`. Bytes in, value out. A damaged piece must never be sent, and
//! must not hide the whole ones behind it.

use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: [u8; 4] = *b"\xf5MsR";
/// Bytes before the payload.
const HEADER: usize = 16;
/// Bytes of the payload before the request.
const ABOUT: usize = 5;
/// No payload is longer; a length beyond it is damage.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// A write request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which sender takes it: all of a series' samples have the same.
    pub shard: u8,
    /// Samples and histograms in it.
    pub samples: u32,
    /// The request of version 1, in snappy.
    pub request: &'a [u8],
}

/// What is at a place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole record, and where the next piece begins.
    Whole(Record<'a>, usize),
    /// The bytes end before the piece does: at least so many are needed from its start.
    Short(usize),
    /// Damage. The next place that may begin a piece; the end of the bytes when there is none.
    Damaged(usize),
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(&length);
    hash.update(payload);
    hash.digest()
}

/// Appends a record.
pub fn put(out: &mut Vec<u8>, record: Record<'_>) {
    let start = out.len();
    let length = ((ABOUT + record.request.len()) as u32).to_le_bytes();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length);
    out.extend_from_slice(&[0; 8]);
    out.push(record.shard);
    out.extend_from_slice(&record.samples.to_le_bytes());
    out.extend_from_slice(record.request);
    let sum = checksum(length, &out[start + HEADER..]);
    out[start + 8..start + HEADER].copy_from_slice(&sum.to_le_bytes());
}

/// The piece that begins at `at`, which is within `bytes`.
pub fn take(bytes: &[u8], at: usize) -> Found<'_> {
    let rest = &bytes[at..];
    let Some(header) = rest.first_chunk::<HEADER>() else {
        let begun = rest.len() < MAGIC.len() && MAGIC.starts_with(rest) || rest.starts_with(&MAGIC);
        return if begun { Found::Short(HEADER) } else { Found::Damaged(next_magic(bytes, at)) };
    };
    let length = [header[4], header[5], header[6], header[7]];
    let payload_bytes = u32::from_le_bytes(length) as usize;
    if header[..4] != MAGIC || !(ABOUT..=MAX_PAYLOAD).contains(&payload_bytes) {
        return Found::Damaged(next_magic(bytes, at));
    }
    let Some(payload) = rest.get(HEADER..HEADER + payload_bytes) else { return Found::Short(HEADER + payload_bytes) };
    let mut sum = [0; 8];
    sum.copy_from_slice(&header[8..]);
    if checksum(length, payload) != u64::from_le_bytes(sum) {
        return Found::Damaged(next_magic(bytes, at));
    }
    let samples = u32::from_le_bytes([payload[1], payload[2], payload[3], payload[4]]);
    let record = Record { shard: payload[0], samples, request: &payload[ABOUT..] };
    Found::Whole(record, at + HEADER + payload_bytes)
}

fn next_magic(bytes: &[u8], at: usize) -> usize {
    let from = at + 1;
    let tail = bytes.get(from..).unwrap_or_default();
    tail.windows(MAGIC.len()).position(|w| w == MAGIC).map_or(bytes.len(), |skip| from + skip)
}

/// All whole records of a file that is complete, and how many bytes are none.
pub fn scan(bytes: &[u8]) -> (Vec<Record<'_>>, usize) {
    let (mut whole, mut damaged, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let next = match take(bytes, at) {
            Found::Whole(record, next) => {
                whole.push(record);
                at = next;
                continue;
            }
            Found::Damaged(next) => next,
            // A length that was damaged reaches beyond the end as well: what follows is looked at all the same.
            Found::Short(_) => next_magic(bytes, at),
        };
        damaged += next - at;
        at = next;
    }
    (whole, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(requests: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, request) in requests.iter().enumerate() {
            put(&mut out, Record { shard: at as u8, samples: 7 + at as u32, request });
        }
        out
    }

    #[test]
    fn every_flipped_bit_costs_its_own_record_and_is_seen() {
        let requests: [&[u8]; 3] = [b"first", b"", b"third"];
        let good = file(&requests);
        assert_eq!(scan(&good).0.len(), 3);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (whole, damaged) = scan(&bytes);
            assert_eq!(whole.len(), 2, "bit {bit}");
            assert!(damaged >= HEADER + ABOUT, "bit {bit}");
            assert!(whole.iter().all(|r| requests[r.shard as usize] == r.request), "bit {bit}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_keeps_the_records_before_the_cut() {
        let good = file(&[b"one", b"two two", b"three"]);
        let ends: Vec<usize> = (1..=3).map(|n| file(&[b"one".as_slice(), b"two two", b"three"][..n]).len()).collect();
        for cut in 0..=good.len() {
            let (whole, damaged) = scan(&good[..cut]);
            assert_eq!(whole.len(), ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
            assert_eq!(damaged > 0, cut != 0 && !ends.contains(&cut), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken(shard in any::<u8>(), samples in any::<u32>(), request in any::<Vec<u8>>()) {
            let record = Record { shard, samples, request: &request };
            let mut out = Vec::new();
            put(&mut out, record);
            prop_assert_eq!(take(&out, 0), Found::Whole(record, out.len()));
        }

        #[test]
        fn any_bytes_are_records_or_damage(bytes in any::<Vec<u8>>(), request in any::<Vec<u8>>()) {
            let mut mixed = bytes;
            put(&mut mixed, Record { shard: 1, samples: 2, request: &request });
            prop_assert!(scan(&mixed).0.iter().any(|r| r.request == request), "a whole record behind rubbish is found");
        }
    }
}
