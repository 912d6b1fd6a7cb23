//! The values of a sealed chunk: several codecs are tried, and the smallest result is kept.
//!
//! Measured with `cargo bench -p series --bench codec`, bytes a value of chunks of 480 (XOR as in the head / `pco` alone / what is
//! kept here): constants 0.14 / 0.06 / 0.02, a counter of hundredths 6.4 / 1.53 / 1.36, of bytes 4.2 / 2.97 / 2.71, of segments
//! 3.9 / 1.14 / 1.09, in bursts 0.45 / 0.23 / 0.19, a gauge of pages 4.8 / 3.35 / 3.36, of hundredths 6.1 / 1.09 / 0.90, noise 7.4 / 6.88 / 6.85;
//! 20 to 160 ns of CPU a value to write and 5 to 10 to read, on a busy machine. So: numbers that people measure are
//! mostly whole, or whole hundredths, and such a chunk is kept as whole numbers, as differences, packed into as many bits as the
//! largest needs, or by [`pco`], which wins where differences come in clusters. What is not decimal is XOR-coded as in the head,
//! or by `pco`. Any bits come back exactly. Decoding never panics and never takes more memory than `count` values need.

use std::ops::Range;

use pco::{ChunkConfig, DecompressorScratch, DeltaSpec, ModeSpec, PagingSpec};

use crate::bits::{BitReader, BitWriter, Bits};
use crate::chunk::{put_values, take_values};
use crate::wire::{Put, Take};

/// All values have the same bits.
const CONSTANT: u8 = 0;
/// Whole numbers times a power of ten: differences packed.
const PACKED: u8 = 1;
/// The same where most differences are zero: which are not, then those packed.
const SPARSE: u8 = 2;
/// The same, differences by pco.
const PCO_WHOLE: u8 = 3;
/// Floating-point numbers, XOR-coded.
const XOR: u8 = 4;
/// Floating-point numbers by pco.
const PCO_FLOAT: u8 = 5;

/// Digits after the point that still count as decimal.
const MAX_DIGITS: usize = 6;
const POWERS: [f64; MAX_DIGITS + 1] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
/// Whole numbers beyond this are not all exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Below this many values pco's own head is larger than what it saves.
const PCO_FROM: usize = 48;
/// And below this many bits a value there is nothing to save.
const PCO_FROM_BITS: usize = 3;
const PCO_LEVEL: usize = 6;

/// Writes values with whatever codec makes them smallest.
pub(crate) fn put(values: &[f64], out: &mut Vec<u8>) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.push(CONSTANT);
        out.put_fixed(first.to_bits());
        return;
    }
    let mut best = match Decimal::of(values) {
        Some(decimal) => decimal.smallest(),
        None => {
            let mut xor = vec![XOR];
            put_values(values, &mut xor);
            xor
        }
    };
    if best[0] == XOR && worth_pco(values.len(), best.len()) {
        let mut floats = vec![PCO_FLOAT];
        let config = ChunkConfig::default().with_compression_level(PCO_LEVEL);
        if put_pco(values, config, &mut floats) && floats.len() < best.len() {
            best = floats;
        }
    }
    out.append(&mut best);
}

fn worth_pco(values: usize, bytes: usize) -> bool {
    values >= PCO_FROM && bytes * 8 > values * PCO_FROM_BITS
}

/// Reads what [`put`] wrote; none when it is not `count` values.
pub(crate) fn take(bytes: &[u8], count: usize) -> Option<Vec<f64>> {
    let mut values = Vec::new();
    Taker::default().take_some(bytes, count, 0..count, &mut values)?;
    Some(values)
}

/// Reads chunk after chunk, in memory that is used again: pco asks for 12 kB for each.
#[derive(Default)]
pub(crate) struct Taker {
    scratch: Option<DecompressorScratch>,
    deltas: Vec<i64>,
}

impl Taker {
    /// As [`take`], of the values in these places alone, in the place of what `out` held.
    pub(crate) fn take_some(
        &mut self,
        bytes: &[u8],
        count: usize,
        some: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Option<()> {
        out.clear();
        if count == 0 {
            return bytes.is_empty().then_some(());
        }
        let some = some.start.min(count)..some.end.min(count);
        let (codec, rest) = bytes.split_first()?;
        match *codec {
            CONSTANT => out.resize(some.len(), f64::from_bits(Take(rest).fixed()?)),
            PACKED | SPARSE | PCO_WHOLE => self.take_decimal(*codec, rest, count, some, out)?,
            XOR => take_values(rest, count, &some, out)?,
            PCO_FLOAT => {
                take_pco(rest, count, &mut self.scratch, out)?;
                out.truncate(some.end);
                out.drain(..some.start);
            }
            _ => return None,
        }
        Some(())
    }

    fn take_decimal(
        &mut self,
        codec: u8,
        bytes: &[u8],
        count: usize,
        some: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Option<()> {
        let mut take = Take(bytes);
        let digits = usize::from(take.byte()?);
        let power = *POWERS.get(digits)?;
        let others_count = usize::try_from(take.u64()?).ok().filter(|n| *n <= count)?;
        let mut others = Vec::with_capacity(others_count);
        let mut place = 0_usize;
        for _ in 0..others_count {
            place = place.checked_add(usize::try_from(take.u64()?).ok()?).filter(|p| *p < count)?;
            others.push((place, take.fixed()?));
        }
        let first = take.i64()?;
        let deltas = &mut self.deltas;
        deltas.clear();
        // A count that the bytes cannot have takes no memory: each codec says so before the first value.
        match codec {
            PACKED => unpack(&mut take, count - 1, |delta| deltas.push(delta))?,
            SPARSE => {
                let map = take.piece((count - 1).div_ceil(8))?;
                let moves = |at: usize| map[at / 8] >> (7 - at % 8) & 1 == 1;
                let moving = (0..count - 1).filter(|at| moves(*at)).count();
                unpack(&mut take, moving, |delta| {
                    while deltas.len() < count - 1 && !moves(deltas.len()) {
                        deltas.push(0);
                    }
                    deltas.push(delta);
                })?;
                deltas.resize(count - 1, 0);
            }
            _ => take_pco(take.0, count - 1, &mut self.scratch, deltas)?,
        }
        if !some.is_empty() {
            // The value in a place is the first and all differences up to there.
            let mut number = deltas[..some.start].iter().fold(first, |sum, delta| sum.wrapping_add(*delta));
            out.reserve(some.len());
            out.push(from_whole(number, power));
            out.extend(deltas[some.start..some.end - 1].iter().map(|delta| {
                number = number.wrapping_add(*delta);
                from_whole(number, power)
            }));
        }
        for (place, bits) in others {
            if some.contains(&place) {
                out[place - some.start] = f64::from_bits(bits);
            }
        }
        Some(())
    }
}

/// Values as whole numbers.
struct Decimal {
    digits: usize,
    whole: Vec<i64>,
    /// Places and bits of values that are no such number (NaN, the stale marker, minus zero); `whole` repeats its neighbour there.
    others: Vec<(usize, u64)>,
}

fn whole(value: f64, digits: usize) -> Option<i64> {
    let scaled = (value * POWERS[digits]).round();
    if scaled.is_nan() || scaled.abs() >= EXACT {
        return None;
    }
    // By way of the whole number, which has no minus zero.
    let number = scaled as i64;
    (from_whole(number, POWERS[digits]).to_bits() == value.to_bits()).then_some(number)
}

fn from_whole(number: i64, power: f64) -> f64 {
    number as f64 / power
}

impl Decimal {
    fn of(values: &[f64]) -> Option<Self> {
        let mut digits = 0;
        let mut others = 0;
        for value in values {
            match (digits..=MAX_DIGITS).find(|d| whole(*value, *d).is_some()) {
                Some(needed) => digits = needed,
                None => others += 1,
            }
            if others > values.len() / 16 + 1 {
                return None;
            }
        }
        let mut found = Self { digits, whole: Vec::with_capacity(values.len()), others: Vec::new() };
        for (place, value) in values.iter().enumerate() {
            match whole(*value, digits) {
                Some(number) => found.whole.push(number),
                None => {
                    found.whole.push(found.whole.last().copied().unwrap_or(0));
                    found.others.push((place, value.to_bits()));
                }
            }
        }
        (found.others.len() <= values.len() / 16 + 1).then_some(found)
    }

    fn head(&self, codec: u8) -> Vec<u8> {
        let mut out = vec![codec, self.digits as u8];
        out.put_u64(self.others.len() as u64);
        let mut before = 0;
        for (place, bits) in &self.others {
            out.put_u64((place - before) as u64);
            out.put_fixed(*bits);
            before = *place;
        }
        out.put_i64(self.whole[0]);
        out
    }

    fn smallest(&self) -> Vec<u8> {
        let deltas: Vec<i64> = self.whole.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        let moving: Vec<i64> = deltas.iter().copied().filter(|d| *d != 0).collect();
        let (all, some) = (Span::of(&deltas), Span::of(&moving));
        let packed_bits = all.width as usize * deltas.len();
        let sparse_bits = deltas.len() + some.width as usize * moving.len();
        let mut best = if packed_bits <= sparse_bits {
            let mut out = self.head(PACKED);
            all.put(&deltas, &mut out);
            out
        } else {
            let mut out = self.head(SPARSE);
            let mut map = BitWriter::default();
            deltas.iter().for_each(|d| map.put(u64::from(*d != 0), 1));
            out.extend_from_slice(&map.to_bytes());
            some.put(&moving, &mut out);
            out
        };
        if worth_pco(deltas.len(), best.len()) {
            let mut out = self.head(PCO_WHOLE);
            let config = ChunkConfig::default()
                .with_compression_level(PCO_LEVEL)
                .with_mode_spec(ModeSpec::Classic)
                .with_delta_spec(DeltaSpec::NoOp);
            if put_pco(&deltas, config, &mut out) && out.len() < best.len() {
                best = out;
            }
        }
        best
    }
}

/// How far numbers lie apart.
struct Span {
    least: i64,
    width: u32,
}

impl Span {
    fn of(numbers: &[i64]) -> Self {
        let least = numbers.iter().copied().min().unwrap_or(0);
        let most = numbers.iter().copied().max().unwrap_or(0);
        Self { least, width: 64 - (most.wrapping_sub(least) as u64).leading_zeros() }
    }

    fn put(&self, numbers: &[i64], out: &mut Vec<u8>) {
        out.put_i64(self.least);
        out.push(self.width as u8);
        let mut bits = BitWriter::default();
        numbers.iter().for_each(|n| bits.put(n.wrapping_sub(self.least) as u64, self.width));
        out.extend_from_slice(&bits.to_bytes());
    }
}

/// Calls `each` with `count` packed numbers; none, perhaps after some calls, when there are fewer.
#[inline]
fn unpack(take: &mut Take<'_>, count: usize, mut each: impl FnMut(i64)) -> Option<()> {
    let (least, width) = (take.i64()?, u32::from(take.byte()?));
    let bytes = take.0;
    if width > 64 || count as u64 * u64::from(width) > bytes.len() as u64 * 8 {
        return None;
    }
    // As many as can be read by eight bytes at once, of which up to seven bits are the neighbour's.
    let quick = if width <= 57 { (bytes.len().saturating_sub(7) * 8).checked_div(width as usize) } else { Some(0) };
    let quick = quick.unwrap_or(count).min(count);
    let mut at = 0_usize;
    for _ in 0..quick {
        let word = match bytes.get(at / 8..at / 8 + 8) {
            Some(eight) => u64::from_be_bytes(eight.try_into().ok()?),
            None if width == 0 => 0,
            None => return None,
        };
        let number = (word << (at % 8)).checked_shr(64 - width).unwrap_or(0);
        each(least.wrapping_add(number as i64));
        at += width as usize;
    }
    let mut bits = BitReader::new(bytes);
    bits.skip(at);
    for _ in quick..count {
        each(least.wrapping_add(bits.take(width)? as i64));
    }
    Some(())
}

/// Appends numbers as pco writes them, without the head of its own file format. False when it refuses them.
fn put_pco<T: pco::data_types::Number>(numbers: &[T], config: ChunkConfig, out: &mut Vec<u8>) -> bool {
    let config = config.with_paging_spec(PagingSpec::Exact(vec![numbers.len()]));
    let file = pco::wrapped::FileCompressor::default();
    let write = |out: &mut Vec<u8>| -> pco::errors::PcoResult<()> {
        file.write_header(&mut *out)?;
        let mut chunk = file.chunk_compressor(numbers, &config)?;
        chunk.write_meta(&mut *out)?;
        chunk.write_page(0, &mut *out)?;
        Ok(())
    };
    write(out).is_ok()
}

/// Reads `count` numbers in the place of what `out` held.
fn take_pco<T: pco::data_types::Number>(
    bytes: &[u8],
    count: usize,
    scratch: &mut Option<DecompressorScratch>,
    out: &mut Vec<T>,
) -> Option<()> {
    let (file, rest) = pco::wrapped::FileDecompressor::new(bytes).ok()?;
    let (chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let scratch = scratch.get_or_insert_with(DecompressorScratch::default);
    let mut page = chunk.page_decompressor_with_scratch(rest, count, scratch).ok()?;
    // A page of numbers that are all alike takes no bits, so the count is all that there is; it was checked by the caller.
    out.clear();
    out.resize(count, T::default());
    let progress = page.read(out).ok()?;
    (progress.n_processed == count).then_some(())
}

/// Values as a sealed file keeps them: codec, and bytes. For the bench, which compares codecs.
#[doc(hidden)]
pub fn sealed_values(values: &[f64]) -> (&'static str, Vec<u8>) {
    let mut bytes = Vec::new();
    put(values, &mut bytes);
    (codec_name(&bytes), bytes)
}

/// Values as the head keeps them. For the bench.
#[doc(hidden)]
pub fn head_values(values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_values(values, &mut bytes);
    bytes
}

/// Reads what [`sealed_values`] made. For the bench.
#[doc(hidden)]
pub fn unsealed_values(bytes: &[u8], count: usize) -> Option<Vec<f64>> {
    take(bytes, count)
}

fn codec_name(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(&CONSTANT) => "constant",
        Some(&PACKED) => "packed",
        Some(&SPARSE) => "sparse",
        Some(&PCO_WHOLE) => "pco whole",
        Some(&XOR) => "xor",
        Some(&PCO_FLOAT) => "pco float",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::stale_marker;
    use proptest::prelude::*;

    fn back(values: &[f64]) -> &'static str {
        let mut bytes = Vec::new();
        put(values, &mut bytes);
        let found: Vec<u64> = take(&bytes, values.len()).unwrap().iter().map(|v| v.to_bits()).collect();
        assert_eq!(found, values.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        codec_name(&bytes)
    }

    fn noise(i: u64) -> u64 {
        (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).wrapping_mul(2_654_435_761) >> 16 & 0xffff
    }

    /// Places of which the last may be far behind the last value.
    fn places() -> impl Strategy<Value = Range<usize>> {
        (0_usize..700, 0_usize..700).prop_map(|(from, length)| from..from + length)
    }

    const KINDS: u64 = 7;

    /// A value of each kind of data that has a codec of its own, some of them with a hole.
    fn kind_of(kind: u64, seed: u64, i: u64) -> f64 {
        let noise = noise(i ^ seed);
        match kind {
            0 => 7.0,
            1 => (i * 7 + noise % 3) as f64,
            2 => (i / 50 * 1_000) as f64,
            3 => (noise as f64).sqrt(),
            4 => (i * 1_000 + if noise.is_multiple_of(20) { 900_000 } else { noise % 4 }) as f64,
            5 => 100.0 + ((noise % 8) as f64).sqrt(),
            _ if noise.is_multiple_of(40) => stale_marker(),
            _ => noise as f64 / 100.0,
        }
    }

    #[test]
    fn the_kinds_of_data_are_of_all_codecs() {
        let of = |kind: u64, count: u64| back(&(0..count).map(|i| kind_of(kind, 1, i)).collect::<Vec<_>>());
        let found: std::collections::BTreeSet<_> = (0..KINDS).flat_map(|kind| [of(kind, 20), of(kind, 500)]).collect();
        assert_eq!(found.len(), 6, "{found:?}");
    }

    #[test]
    fn each_kind_of_data_has_its_codec_and_comes_back() {
        let table: [(&str, Vec<f64>); 6] = [
            ("constant", vec![f64::NAN; 100]),
            ("packed", (0..100).map(|i| (i * 7 + i % 3) as f64).collect()),
            ("sparse", (0..300).map(|i| f64::from(i / 50 * 1_000)).collect()),
            ("packed", (0..40_u64).map(|i| (2_000 + noise(i)) as f64 / 100.0).collect()),
            ("xor", (0..20_u64).map(|i| (noise(i) as f64).sqrt()).collect()),
            ("packed", (0..30).map(|i| if i == 29 { stale_marker() } else { f64::from(i) }).collect()),
        ];
        for (codec, values) in table {
            assert_eq!(back(&values), codec, "{values:?}");
        }
        let clusters: Vec<f64> = (0..2_000_u64)
            .scan(0, |sum, i| {
                *sum += if noise(i).is_multiple_of(20) { 1_000_000 } else { noise(i) % 4 };
                Some(*sum as f64)
            })
            .collect();
        assert_eq!(back(&clusters), "pco whole");
    }

    proptest! {
        #[test]
        fn any_bits_come_back_exactly(raw in prop::collection::vec(any::<u64>(), 1..200)) {
            back(&raw.iter().map(|v| f64::from_bits(*v)).collect::<Vec<_>>());
        }

        #[test]
        fn numbers_of_people_come_back_exactly(
            raw in prop::collection::vec(prop_oneof![8 => any::<i32>().prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(-0.0), 1 => Just(1e300)], 1..200),
            digits in 0_usize..8,
        ) {
            back(&raw.iter().map(|v| v / 10_f64.powi(digits as i32)).collect::<Vec<_>>());
        }

        #[test]
        fn taking_anything_never_panics(
            bytes in any::<Vec<u8>>(), codec in 0_u8..7, count in 0_usize..3000, some in places()
        ) {
            let with_codec = [&[codec], bytes.as_slice()].concat();
            let mut taker = Taker::default();
            for bytes in [&bytes, &with_codec] {
                take(bytes, count);
                let _ = taker.take_some(bytes, count, some.clone(), &mut Vec::new());
            }
        }

        #[test]
        fn some_of_many_chunks_are_what_all_of_each_are(
            chunks in prop::collection::vec((0..KINDS, prop_oneof![1_usize..40, 1_usize..600], any::<u64>(), places()), 1..12),
            garbage in any::<Vec<u8>>(),
        ) {
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let (mut taker, mut found) = (Taker::default(), Vec::new());
            for (kind, count, seed, some) in chunks {
                let values: Vec<f64> = (0..count as u64).map(|i| kind_of(kind, seed, i)).collect();
                let mut bytes = Vec::new();
                put(&values, &mut bytes);
                let all = some.start.min(count)..some.end.min(count);
                prop_assert!(taker.take_some(&bytes, count, some, &mut found).is_some());
                prop_assert_eq!(bits(&found), bits(&values[all]), "{}", codec_name(&bytes));
                // What was half read leaves nothing to the next.
                let _ = taker.take_some(&[&bytes[..1], &garbage].concat(), count, 0..count, &mut found);
                let _ = taker.take_some(&bytes[..bytes.len() / 2], count, 0..count, &mut found);
            }
        }
    }
}
