//! The index of a sealed file: who is in it, and where. Texts once, series in order so that each names only what differs
//! from the one before: some ten bytes a series.
//!
//! Three kinds of frames: texts (sorted, each by what it shares with the one before), columns of times, series. They are written
//! twice; a damaged frame is read from the other copy, and told of.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use crate::block::{HEADER_BYTES, Header, Place, parse_name, read_at};
use crate::error::{Damage, DamageKind, io as at};
use crate::frame;
use crate::head::WINDOW_MS;
use crate::index::{Index, KeyHash, SeriesId};
use crate::key;
use crate::labels::Labels;
use crate::symbols::Symbol;
use crate::wire::{Put, Take};

const TAG_TEXTS: u8 = 0x12;
const TAG_COLUMNS: u8 = 0x13;
const TAG_SERIES: u8 = 0x14;
/// A frame is closed when its payload is longer than this.
const FRAME_BYTES: usize = 256 << 10;
/// Series that are hashed at once, and how many times as many ahead.
const HASHED: usize = 4096;
const HASHED_AHEAD: usize = 8;

/// A column of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Kept in the index.
    Short { count: u32, bytes: Box<[u8]> },
    /// Kept among the chunks.
    Long { count: u32, offset: u32, length: u32 },
}

impl Column {
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Short { count, .. } | Self::Long { count, .. } => *count as usize,
        }
    }
}

/// A series in the index of a file.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    tenant: u64,
    /// Its labels, in [`Contents::pairs`].
    pairs: Range<usize>,
    pub(crate) place: Place,
}

/// What reading the index of a sealed file gave.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) header: Header,
    pub(crate) columns: Vec<Column>,
    texts: Texts,
    /// Names and values of labels by their ranks among the texts.
    pairs: Vec<(u32, u32)>,
    pub(crate) series: Vec<Listed>,
    pub(crate) damaged: Vec<Damage>,
}

impl Contents {
    /// The numbers of the series, new ones where the index does not know them. They have points nowhere yet.
    pub(crate) fn intern(&self, index: &mut Index) -> Vec<SeriesId> {
        index.make_room(self.series.len(), self.pairs.len());
        let (seed, mut ids) = (index.seed(), Vec::with_capacity(self.series.len()));
        let mut symbols: Vec<Option<Symbol>> = vec![None; self.texts.all.len()];
        let mut labels = Vec::new();
        let mut add = |series: &Listed, hash| {
            ids.push(index.find(hash).unwrap_or_else(|| {
                let mut symbol =
                    |rank: u32| *symbols[rank as usize].get_or_insert_with(|| index.symbol(self.texts.bytes_of(rank)));
                let pairs = &self.pairs[series.pairs.clone()];
                labels.clear();
                labels.extend(pairs.iter().map(|(name, value)| (symbol(*name), symbol(*value))));
                index.insert(series.tenant, hash, &labels)
            }));
        };
        std::thread::scope(|scope| {
            let (send, arriving) = sync_channel(HASHED_AHEAD);
            let hash = move || {
                let mut some = Vec::with_capacity(HASHED);
                self.hashes(seed, |_, hash| {
                    some.push(hash);
                    if some.len() == HASHED {
                        // Nobody stops listening before the last.
                        let _ = send.send(std::mem::replace(&mut some, Vec::with_capacity(HASHED)));
                    }
                });
                let _ = send.send(some);
            };
            // Hashing is half of the work, for a core that has nothing to do.
            let many = self.series.len() > HASHED;
            let ahead = many.then(|| std::thread::Builder::new().name("series-hash".into()).spawn_scoped(scope, hash));
            match ahead {
                Some(Ok(_)) => {
                    self.series.iter().zip(arriving.into_iter().flatten()).for_each(|(s, hash)| add(s, hash))
                }
                _ => self.hashes(seed, |series, hash| add(series, hash)),
            }
        });
        ids
    }

    /// The numbers of the series; none when the index does not know them all.
    pub(crate) fn find(&self, index: &Index) -> Option<Vec<SeriesId>> {
        let mut ids = Vec::with_capacity(self.series.len());
        self.hashes(index.seed(), |_, hash| ids.extend(index.find(hash)));
        (ids.len() == self.series.len()).then_some(ids)
    }

    /// Calls `each` with every series and the hash of its key, which is made from that of the series before.
    fn hashes(&self, seed: u64, mut each: impl FnMut(&Listed, KeyHash)) {
        let (mut key, mut ends, mut before): (Vec<u8>, Vec<usize>, &[(u32, u32)]) = (Vec::new(), Vec::new(), &[]);
        for series in &self.series {
            let pairs = &self.pairs[series.pairs.clone()];
            let alike = pairs.iter().zip(before).take_while(|(a, b)| a == b).count();
            ends.truncate(alike);
            key.truncate(ends.last().copied().unwrap_or(0));
            for (name, value) in &pairs[alike..] {
                key::put_pair(&mut key, self.texts.bytes_of(*name), self.texts.bytes_of(*value));
                ends.push(key.len());
            }
            debug_assert!(key::is_canonical(&key), "it is what the engine would have written");
            each(series, Index::hash(seed, series.tenant, &key));
            before = pairs;
        }
    }
}

struct Frames {
    tag: u8,
    payload: Vec<u8>,
    out: Vec<u8>,
}

impl Frames {
    fn begin(&mut self, tag: u8) {
        self.end();
        self.tag = tag;
        self.payload.push(tag);
    }

    /// Closes the frame when it is long enough; true when a new one was begun.
    fn turn(&mut self) -> bool {
        let full = self.payload.len() >= FRAME_BYTES;
        if full {
            self.begin(self.tag);
        }
        full
    }

    fn end(&mut self) {
        if self.payload.len() > 1 {
            frame::put(&mut self.out, &self.payload);
        }
        self.payload.clear();
    }
}

/// The index of a file with these columns and series, which are in order of tenant and labels.
pub(crate) fn encode_index(index: &Index, columns: &[Column], series: &[(SeriesId, Place)]) -> Vec<u8> {
    let pairs_of = |id: SeriesId| index.pairs(id).unwrap_or((0, &[]));
    let text = |symbol: Symbol| index.symbols().text(symbol).as_bytes();
    let mut symbols: Vec<Symbol> =
        series.iter().flat_map(|(id, _)| pairs_of(*id).1).flat_map(|(name, value)| [*name, *value]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols.sort_unstable_by_key(|symbol| text(*symbol));
    let ranks: HashMap<Symbol, u64> = symbols.iter().enumerate().map(|(rank, symbol)| (*symbol, rank as u64)).collect();
    let mut frames = Frames { tag: TAG_TEXTS, payload: Vec::new(), out: Vec::new() };
    frames.begin(TAG_TEXTS);
    let mut before: &[u8] = &[];
    for symbol in &symbols {
        let text = text(*symbol);
        if frames.turn() {
            before = &[];
        }
        let shared = text.iter().zip(before).take_while(|(a, b)| a == b).count();
        frames.payload.put_u64(shared as u64);
        frames.payload.put_bytes(&text[shared..]);
        before = text;
    }
    frames.begin(TAG_COLUMNS);
    for column in columns {
        match column {
            Column::Short { count, bytes } => {
                frames.payload.put_u64(u64::from(*count) << 1);
                frames.payload.put_bytes(bytes);
            }
            Column::Long { count, offset, length } => {
                frames.payload.put_u64(u64::from(*count) << 1 | 1);
                frames.payload.put_u64(u64::from(*offset));
                frames.payload.put_u64(u64::from(*length));
            }
        }
        frames.turn();
    }
    frames.begin(TAG_SERIES);
    let mut before: (u64, &[(Symbol, Symbol)]) = (0, &[]);
    let mut end = 0;
    for (id, place) in series {
        if frames.turn() {
            before = (0, &[]);
            end = 0;
        }
        let (tenant, pairs) = pairs_of(*id);
        let alike = if tenant == before.0 { pairs.iter().zip(before.1).take_while(|(a, b)| a == b).count() } else { 0 };
        frames.payload.put_i64(tenant.wrapping_sub(before.0) as i64);
        frames.payload.put_u64(alike as u64);
        frames.payload.put_u64((pairs.len() - alike) as u64);
        for (name, value) in &pairs[alike..] {
            frames.payload.put_u64(ranks[name]);
            frames.payload.put_u64(ranks[value]);
        }
        frames.payload.put_u64(u64::from(place.offset - end));
        frames.payload.put_u64(u64::from(place.length));
        frames.payload.put_u64(u64::from(place.column));
        (before, end) = ((tenant, pairs), place.offset + place.length);
    }
    frames.end();
    frames.out
}

/// An index that is being read.
#[derive(Default)]
struct Reading {
    texts: Texts,
    columns: Vec<Column>,
    pairs: Vec<(u32, u32)>,
    series: Vec<Listed>,
}

/// The texts of labels.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    /// Rising, so that names are in order where their ranks are.
    all: Vec<Text>,
}

impl Texts {
    fn bytes_of(&self, rank: u32) -> &[u8] {
        &self.bytes[self.all[rank as usize].at.clone()]
    }
}

/// A text of labels: where it is, and what it can be.
#[derive(Debug)]
struct Text {
    at: Range<usize>,
    is_name: bool,
    is_value: bool,
}

impl Text {
    fn of(at: Range<usize>, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        Self {
            at,
            is_name: text.is_some_and(Labels::is_name),
            is_value: text.is_some() && Labels::is_value_length(bytes.len()),
        }
    }
}

impl Reading {
    fn contents(self, header: Header, damaged: Vec<Damage>) -> Contents {
        let Self { texts, columns, pairs, series } = self;
        Contents { header, columns, texts, pairs, series, damaged }
    }

    fn frame(&mut self, payload: &[u8]) -> Option<()> {
        let mut take = Take(payload);
        match take.byte()? {
            TAG_TEXTS => self.texts(&mut take),
            TAG_COLUMNS => self.columns(&mut take),
            TAG_SERIES => self.series(&mut take),
            _ => None,
        }
    }

    fn texts(&mut self, take: &mut Take<'_>) -> Option<()> {
        let Texts { bytes: all_bytes, all } = &mut self.texts;
        let mut before = 0..0;
        while !take.is_empty() {
            let shared = usize::try_from(take.u64()?).ok().filter(|n| *n <= before.len())?;
            let rest = take.bytes()?;
            let from = all_bytes.len();
            all_bytes.extend_from_within(before.start..before.start + shared);
            all_bytes.extend_from_slice(rest);
            before = from..all_bytes.len();
            let bytes = &all_bytes[before.clone()];
            if all.last().is_some_and(|last| all_bytes[last.at.clone()] >= *bytes) {
                return None;
            }
            all.push(Text::of(before.clone(), bytes));
        }
        Some(())
    }

    fn columns(&mut self, take: &mut Take<'_>) -> Option<()> {
        while !take.is_empty() {
            let head = take.u64()?;
            let count = u32::try_from(head >> 1).ok()?;
            self.columns.push(if head & 1 == 0 {
                Column::Short { count, bytes: take.bytes()?.into() }
            } else {
                Column::Long { count, offset: take.u32()?, length: take.u32()? }
            });
        }
        Some(())
    }

    fn series(&mut self, take: &mut Take<'_>) -> Option<()> {
        let (mut tenant, mut end): (u64, u32) = (0, 0);
        let mut before = 0..0;
        while !take.is_empty() {
            tenant = tenant.wrapping_add(take.i64()? as u64);
            let alike = usize::try_from(take.u64()?).ok().filter(|n| *n <= before.len())?;
            let from = self.pairs.len();
            self.pairs.extend_from_within(before.start..before.start + alike);
            for _ in 0..take.u64()? {
                let all = &self.texts.all;
                let rank = |take: &mut Take<'_>| take.u32().filter(|rank| (*rank as usize) < all.len());
                let (name, value) = (rank(take)?, rank(take)?);
                // Only what the engine would have written names a series.
                let rises = self.pairs[from..].last().is_none_or(|before| before.0 < name);
                if !rises || !all[name as usize].is_name || !all[value as usize].is_value {
                    return None;
                }
                self.pairs.push((name, value));
            }
            before = from..self.pairs.len();
            if !Labels::is_count(before.len()) {
                return None;
            }
            let offset = end.checked_add(take.u32()?)?;
            let length = take.u32()?;
            end = offset.checked_add(length)?;
            let column = take.u32().filter(|c| (*c as usize) < self.columns.len())?;
            self.series.push(Listed { tenant, pairs: before.clone(), place: Place { offset, length, column } });
        }
        Some(())
    }
}

/// Reads who is in a sealed file and where. What is damaged is told; what the other copy has is no loss.
///
/// # Errors
/// [`SeriesError::Io`](crate::SeriesError::Io) when the file cannot be opened.
pub(crate) fn contents(path: &Path, shown: &str) -> crate::Result<Contents> {
    let (start_ms, generation) = path.file_name().and_then(|n| parse_name(n.to_str()?)).unwrap_or_default();
    let file = File::open(path).map_err(at("open", path))?;
    let bytes = file.metadata().map_err(at("open", path))?.len();
    let mut damaged = Vec::new();
    let mut tell = |offset, length, kind| damaged.push(Damage { file: shown.into(), offset, length, kind });
    let named = |h: &Header| (h.start_ms, h.generation) == (start_ms, generation);
    let header_at = |offset: u64| read_at(&file, offset, HEADER_BYTES).and_then(|b| Header::read(&b)).filter(named);
    let header = header_at(0).or_else(|| {
        tell(0, HEADER_BYTES as u64, DamageKind::Checksum);
        header_at(bytes.checked_sub(HEADER_BYTES as u64)?)
    });
    let Some(header) = header else {
        tell(0, bytes, DamageKind::Meaning);
        // A file that cannot be read replaces nothing and covers no log: what it held is then merely held twice.
        let unknown = Header {
            start_ms,
            span_ms: WINDOW_MS,
            generation,
            replaces: 0,
            log_upto: 0,
            chunk_bytes: 0,
            index_bytes: 0,
            samples: 0,
        };
        return Ok(Reading::default().contents(unknown, damaged));
    };
    if header.file_bytes() != bytes {
        tell(bytes.min(header.file_bytes()), bytes.abs_diff(header.file_bytes()), DamageKind::Unreadable);
    }
    let mut reading = Reading::default();
    read_copies(&file, &header, &mut reading, &mut tell);
    let within = |p: &Place| u64::from(p.offset) + u64::from(p.length) <= header.index_at();
    reading.series.retain(|s| within(&s.place));
    Ok(reading.contents(header, damaged))
}

/// Frame by frame from the first copy, and from the second where the first is damaged.
fn read_copies(file: &File, header: &Header, into: &mut Reading, tell: &mut impl FnMut(u64, u64, DamageKind)) {
    let length = header.index_bytes as usize;
    let first = read_at(file, header.index_at(), length);
    let mut second: Option<Option<Vec<u8>>> = None;
    let mut at = 0;
    while at < length {
        let place = header.index_at() + at as u64;
        let whole = first.as_ref().and_then(|bytes| frame::take(&bytes[at..]));
        let payload = match whole {
            Some(payload) => payload,
            None => {
                tell(place, 0, DamageKind::Checksum);
                let copy = second.get_or_insert_with(|| read_at(file, header.index_at() + header.index_bytes, length));
                match copy.as_ref().and_then(|bytes| frame::take(&bytes[at..])) {
                    Some(payload) => payload,
                    None => return tell(place, (length - at) as u64, DamageKind::Unreadable),
                }
            }
        };
        if into.frame(payload).is_none() {
            tell(place, payload.len() as u64, DamageKind::Meaning);
        }
        at += frame::HEADER + payload.len();
    }
}

/// What a full check of a sealed file found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) chunks: u64,
    pub(crate) samples: u64,
    pub(crate) damaged: Vec<Damage>,
}

/// Reads a sealed file to its last byte.
///
/// # Errors
/// [`SeriesError::Io`](crate::SeriesError::Io) when the file cannot be opened.
pub(crate) fn check(path: &Path, shown: &str) -> crate::Result<Checked> {
    let contents = contents(path, shown)?;
    let file = File::open(path).map_err(at("open", path))?;
    let header = contents.header;
    let mut checked = Checked { damaged: contents.damaged, ..Checked::default() };
    let mut tell = |offset: u64, length: u64, kind| {
        checked.damaged.push(Damage { file: shown.into(), offset, length, kind });
    };
    // The copies that reading had no need of.
    let last = header.file_bytes() - HEADER_BYTES as u64;
    if read_at(&file, last, HEADER_BYTES).is_none_or(|b| b != header.framed()) {
        tell(last, HEADER_BYTES as u64, DamageKind::Checksum);
    }
    let copy = |n: u64| read_at(&file, header.index_at() + n * header.index_bytes, header.index_bytes as usize);
    if copy(0).is_none() || copy(0) != copy(1) {
        tell(header.index_at(), 2 * header.index_bytes, DamageKind::Checksum);
    }
    let mut covered = HEADER_BYTES as u64;
    for series in &contents.series {
        let place = series.place;
        let (offset, length) = (u64::from(place.offset), u64::from(place.length));
        covered += length;
        match crate::block::read_samples(&file, header.start_ms, &contents.columns, place) {
            Ok(samples) => {
                checked.chunks += 1;
                checked.samples += samples.len() as u64;
            }
            Err(kind) => tell(offset, length, kind),
        }
    }
    covered += contents
        .columns
        .iter()
        .map(|c| if let Column::Long { length, .. } = c { u64::from(*length) } else { 0 })
        .sum::<u64>();
    if (covered != header.index_at() || checked.samples != header.samples) && checked.damaged.is_empty() {
        let (offset, length) = (header.index_at(), 2 * header.index_bytes);
        checked.damaged.push(Damage { file: shown.into(), offset, length, kind: DamageKind::Meaning });
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            start_ms: 0,
            span_ms: 1,
            generation: 1,
            replaces: 0,
            log_upto: 0,
            chunk_bytes: 0,
            index_bytes: 0,
            samples: 0,
        }
    }

    /// What a file of these series says of them.
    fn told(index: &Index, series: &[(SeriesId, Place)]) -> Contents {
        let columns = [Column::Short { count: 1, bytes: Box::new([2, 0]) }];
        let bytes = encode_index(index, &columns, series);
        let (mut reading, mut at) = (Reading::default(), 0);
        while at < bytes.len() {
            let payload = frame::take(&bytes[at..]).unwrap();
            reading.frame(payload).unwrap();
            at += frame::HEADER + payload.len();
        }
        reading.contents(header(), Vec::new())
    }

    #[test]
    fn few_series_and_many_are_named_as_by_their_keys() {
        for count in [0, 1, 100, HASHED + 1, 3 * HASHED] {
            let mut index = Index::default();
            let labels = |n: usize| {
                let (host, cpu) = (format!("host-{:03}", n / 8), (n % 8).to_string());
                Labels::metric("cpu", &[("cpu", &cpu), ("host", &host), ("job", "node")]).unwrap()
            };
            let named = |index: &mut Index, n: usize| {
                let key = key::of(&labels(n));
                let tenant = 1 + (n as u64 * 7 / count.max(1) as u64);
                (tenant, index.intern(tenant, Index::hash(index.seed(), tenant, &key), &key))
            };
            let mut all: Vec<_> = (0..count).map(|n| (named(&mut index, n), n)).collect();
            all.sort_by_key(|((tenant, _), n)| (*tenant, labels(*n)));
            let places: Vec<_> = all
                .iter()
                .enumerate()
                .map(|(n, ((_, id), _))| (*id, Place { offset: n as u32 * 3, length: 3, column: 0 }))
                .collect();
            let contents = told(&index, &places);
            let ids: Vec<_> = places.iter().map(|(id, _)| *id).collect();
            assert_eq!(contents.find(&index).as_ref(), Some(&ids));
            assert_eq!(contents.intern(&mut index), ids, "they are known");
            let mut other = Index::default();
            assert_eq!(contents.find(&other).is_some(), count == 0);
            let new = contents.intern(&mut other);
            for (((_, id), n), new) in all.iter().zip(&new) {
                assert_eq!(other.labels_of(*new), index.labels_of(*id), "{n} of {count}");
            }
            assert_eq!(contents.find(&other), Some(new.clone()));
            for (((tenant, id), n), new) in all.iter().zip(&new).step_by(97) {
                let by_host = [crate::matcher::Matcher::eq("host", labels(*n).get("host").unwrap())];
                let found = |index: &Index| index.select(*tenant, &by_host).len();
                assert_eq!(found(&other), found(&index), "{id} {new}");
                assert_eq!(named(&mut other, *n).1, *new, "the key means the same");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_nearly_an_index_names_only_what_the_engine_would_have_written(
            count in 1_usize..40,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut index = Index::default();
            let places: Vec<_> = (0..count).map(|n| {
                let labels = Labels::metric("up", &[("host", &format!("h{n:02}")), ("job", "node")]).unwrap();
                let key = key::of(&labels);
                (index.intern(7, Index::hash(index.seed(), 7, &key), &key), Place { offset: n as u32, length: 1, column: 0 })
            }).collect();
            let bytes = encode_index(&index, &[Column::Short { count: 1, bytes: Box::new([2, 0]) }], &places);
            let (mut reading, mut at) = (Reading::default(), 0);
            while at < bytes.len() {
                let mut payload = frame::take(&bytes[at..]).unwrap().to_vec();
                at += frame::HEADER + payload.len();
                for (place, byte) in &changes {
                    let place = place.index(payload.len());
                    payload[place] = *byte;
                }
                reading.frame(&payload);
            }
            let series = reading.series.len();
            // Each key is looked at here, as in all that is built with assertions.
            let contents = reading.contents(header(), Vec::new());
            prop_assert_eq!(contents.intern(&mut Index::default()).len(), series);
            prop_assert!(contents.find(&index).is_none_or(|found| found.len() == series));
        }

        #[test]
        fn reading_any_frame_never_panics(frames in prop::collection::vec((0x12_u8..0x15, any::<Vec<u8>>()), 0..5)) {
            let mut reading = Reading::default();
            for (tag, bytes) in frames {
                reading.frame(&[&[tag], bytes.as_slice()].concat());
            }
        }
    }
}
