//! Sealed files: some hours of all series, written once, read by chunk, never changed.
//!
//! ```text
//! header · chunks (values, and long columns of times) · index · the index again · header again
//! ```
//! A chunk has a checksum of four bytes before it, seeded with its place. Header and index are frames, each with a checksum of
//! its own, and are there twice: one damaged byte anywhere costs at most one chunk. The [`contents`](crate::contents) are the index.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use crate::contents::{Column, Contents, Listed, contents, encode_index};
use crate::durable::put_in_place;
use crate::error::{DamageKind, io as at};
use crate::frame;
use crate::index::{Index, SeriesId};
use crate::native::{Samples, put_samples, take_samples};
use crate::times;
use crate::wire::{Put, Take};

const VERSION: u8 = 2;
const TAG_HEADER: u8 = 0x10;
/// Bytes of a header with its frame.
pub(crate) const HEADER_BYTES: usize = frame::HEADER + 2 + 8 * 8;
/// Bytes of the checksum before a chunk.
const SUM: usize = 4;
/// Points that one series may have in one file: a day of one a millisecond.
const MAX_POINTS: usize = 86_400_000;

/// What a sealed file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Start of its time, Unix milliseconds.
    pub(crate) start_ms: i64,
    /// How long its time is, in milliseconds.
    pub(crate) span_ms: i64,
    /// Files are counted; a later one was written later.
    pub(crate) generation: u32,
    /// Files of its time with generations up to this one are wholly contained in it; 0 when none is.
    pub(crate) replaces: u32,
    /// Log segments up to this number hold nothing of its time that is not in it.
    pub(crate) log_upto: u64,
    /// Bytes of the chunks.
    pub(crate) chunk_bytes: u64,
    /// Bytes of one index.
    pub(crate) index_bytes: u64,
    /// Samples in it.
    pub(crate) samples: u64,
}

/// Where the chunk of one series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) length: u32,
    /// Which column of times it has.
    pub(crate) column: u32,
}

/// A sealed file, to be read by chunk.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// Its series in the order of the file, as differences.
    ids: Box<[u8]>,
    /// Where everything is; read from the file again when it was let go.
    layout: Mutex<Option<Arc<Layout>>>,
    /// It was asked for since it was last thought of letting it go.
    asked: AtomicBool,
    /// Nothing was found damaged when it was opened, so what is listed is all that it holds.
    pub(crate) is_whole: bool,
}

/// Where in a file everything is.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    /// Sorted by series.
    places: Vec<(SeriesId, Place)>,
}

/// A place that no file has: reading there says that the file cannot be read.
const NOWHERE: Place = Place { offset: u32::MAX, length: u32::MAX, column: 0 };

pub(crate) fn file_name(header: &Header) -> String {
    format!("{}.{}.blk", header.start_ms, header.generation)
}

/// Start and generation, from a file's name.
pub(crate) fn parse_name(name: &str) -> Option<(i64, u32)> {
    let (start, generation) = name.strip_suffix(".blk")?.split_once('.')?;
    Some((start.parse().ok()?, generation.parse().ok()?))
}

/// Why a file was not written.
pub(crate) enum NotWritten {
    /// The points of a series could not be had: for the caller to say why.
    Source,
    Disk(crate::SeriesError),
}

impl From<crate::SeriesError> for NotWritten {
    fn from(error: crate::SeriesError) -> Self {
        Self::Disk(error)
    }
}

/// Writes a sealed file into `dir`, synced and renamed into place. `ids` are in order of tenant and labels; `samples` gives what
/// each has, rising in time, and none when it cannot.
pub(crate) fn write<S: Into<Samples>>(
    dir: &Path,
    header: Header,
    index: &RwLock<Index>,
    ids: &[SeriesId],
    samples: impl FnMut(SeriesId) -> Option<S>,
) -> Result<Block, NotWritten> {
    let path = dir.join(file_name(&header));
    let mut block = put_in_place(&path, |part| write_part(part, header, index, ids, samples))?;
    block.path = path;
    Ok(block)
}

/// A file that is being written.
struct Making<'a> {
    file: BufWriter<File>,
    part: &'a Path,
    at: u64,
    columns: Vec<Column>,
    by_hash: HashTable<(u128, u32)>,
}

fn write_part<S: Into<Samples>>(
    part: &Path,
    mut header: Header,
    index: &RwLock<Index>,
    ids: &[SeriesId],
    mut samples: impl FnMut(SeriesId) -> Option<S>,
) -> Result<Block, NotWritten> {
    let file = File::create(part).map_err(at("create", part))?;
    let file = BufWriter::with_capacity(1 << 20, file);
    let mut making = Making { file, part, at: 0, columns: Vec::new(), by_hash: HashTable::new() };
    making.put(&[0; HEADER_BYTES])?;
    let (mut listed, mut payload) = (Vec::new(), Vec::new());
    for id in ids {
        let samples: Samples = samples(*id).ok_or(NotWritten::Source)?.into();
        if samples.is_empty() {
            continue;
        }
        let column = making.column(&samples.times(), header.start_ms)?;
        payload.clear();
        put_samples(&samples, &mut payload);
        let (offset, length) = making.chunk(&payload)?;
        header.samples += samples.len() as u64;
        listed.push((*id, Place { offset, length, column }));
    }
    header.chunk_bytes = making.at - HEADER_BYTES as u64;
    // Only now, and for a moment: new series are waiting for it.
    let encoded = encode_index(&index.read(), &making.columns, &listed);
    header.index_bytes = encoded.len() as u64;
    making.put(&encoded)?;
    making.put(&encoded)?;
    let framed = header.framed();
    making.put(&framed)?;
    let Making { mut file, columns, .. } = making;
    file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&framed)).map_err(at("write", part))?;
    let file = file.into_inner().map_err(|e| at("write", part)(e.into_error()))?;
    file.sync_all().map_err(at("sync", part))?;
    Ok(Block::of(part.to_path_buf(), header, columns, listed, true))
}

impl Making<'_> {
    fn put(&mut self, bytes: &[u8]) -> crate::Result<()> {
        self.file.write_all(bytes).map_err(at("write", self.part))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Appends a piece with its checksum; offset and length of the whole.
    fn chunk(&mut self, payload: &[u8]) -> crate::Result<(u32, u32)> {
        let too_large = || at("write", self.part)(std::io::ErrorKind::FileTooLarge.into());
        let offset = u32::try_from(self.at).map_err(|_| too_large())?;
        let length = u32::try_from(payload.len() + SUM).map_err(|_| too_large())?;
        self.put(&sum(offset, payload))?;
        self.put(payload)?;
        Ok((offset, length))
    }

    /// The column of these times, which another series may have brought.
    fn column(&mut self, at_ms: &[i64], start_ms: i64) -> crate::Result<u32> {
        let mut bytes = Vec::new();
        times::put(at_ms.iter().copied(), start_ms, &mut bytes);
        let hash = xxh3_128(&bytes);
        if let Some((_, column)) = self.by_hash.find(hash as u64, |(other, _)| *other == hash) {
            return Ok(*column);
        }
        let column = self.columns.len() as u32;
        let count = at_ms.len() as u32;
        let new = if bytes.len() <= times::SHORT_BYTES {
            Column::Short { count, bytes: bytes.into() }
        } else {
            let (offset, length) = self.chunk(&bytes)?;
            Column::Long { count, offset, length }
        };
        self.columns.push(new);
        self.by_hash.insert_unique(hash as u64, (hash, column), |(hash, _)| *hash as u64);
        Ok(column)
    }
}

/// The checksum of a chunk: of its place too, so that a chunk in the wrong place is no chunk.
fn sum(offset: u32, payload: &[u8]) -> [u8; SUM] {
    (xxh3_64_with_seed(payload, u64::from(offset)) as u32).to_le_bytes()
}

impl Header {
    pub(crate) fn framed(&self) -> Vec<u8> {
        let mut payload = vec![TAG_HEADER, VERSION];
        let numbers = [
            self.start_ms as u64,
            self.span_ms as u64,
            u64::from(self.generation),
            u64::from(self.replaces),
            self.log_upto,
            self.chunk_bytes,
            self.index_bytes,
            self.samples,
        ];
        numbers.into_iter().for_each(|number| payload.put_fixed(number));
        let mut framed = Vec::with_capacity(HEADER_BYTES);
        frame::put(&mut framed, &payload);
        framed
    }

    /// The header in these bytes, when they begin with one that is whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut take = Take(frame::take(bytes)?);
        if take.byte()? != TAG_HEADER || take.byte()? != VERSION {
            return None;
        }
        let header = Self {
            start_ms: take.fixed()? as i64,
            span_ms: take.fixed()? as i64,
            generation: u32::try_from(take.fixed()?).ok()?,
            replaces: u32::try_from(take.fixed()?).ok()?,
            log_upto: take.fixed()?,
            chunk_bytes: take.fixed()?,
            index_bytes: take.fixed()?,
            samples: take.fixed()?,
        };
        let sane = header.span_ms > 0 && header.chunk_bytes < 1 << 40 && header.index_bytes < 1 << 32;
        (sane && take.is_empty()).then_some(header)
    }

    /// How long the whole file is.
    pub(crate) fn file_bytes(&self) -> u64 {
        2 * HEADER_BYTES as u64 + self.chunk_bytes + 2 * self.index_bytes
    }

    /// Where the first index begins.
    pub(crate) fn index_at(&self) -> u64 {
        HEADER_BYTES as u64 + self.chunk_bytes
    }
}

pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    // A length that a damaged file claims takes no memory before the file is seen to have it.
    let known = file.metadata().ok()?.len();
    offset.checked_add(length as u64).filter(|end| *end <= known)?;
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, offset).ok()?;
    Some(buffer)
}

/// The payload of a chunk, when it is whole.
fn read_chunk(file: &File, offset: u32, length: u32) -> Result<Vec<u8>, DamageKind> {
    let mut bytes = read_at(file, u64::from(offset), length as usize).ok_or(DamageKind::Unreadable)?;
    if bytes.len() < SUM || bytes[..SUM] != sum(offset, &bytes[SUM..]) {
        return Err(DamageKind::Checksum);
    }
    bytes.drain(..SUM);
    Ok(bytes)
}

/// The payload of a chunk that is in memory with its checksum, when it is whole.
#[inline]
pub(crate) fn payload_of(offset: u32, bytes: &[u8]) -> Option<&[u8]> {
    let (known, payload) = bytes.split_at_checked(SUM)?;
    (*known == sum(offset, payload)).then_some(payload)
}

/// The times that a chunk has, from wherever its column is.
pub(crate) fn read_times(file: &File, start_ms: i64, columns: &[Column], place: Place) -> Result<Vec<i64>, DamageKind> {
    let column = columns.get(place.column as usize).ok_or(DamageKind::Meaning)?;
    let times = match column {
        Column::Short { count, bytes } => times::take(bytes, start_ms, *count as usize),
        Column::Long { count, offset, length } => {
            times::take(&read_chunk(file, *offset, *length)?, start_ms, (*count as usize).min(MAX_POINTS))
        }
    };
    times.filter(|t| t.len() == column.count()).ok_or(DamageKind::Meaning)
}

/// What a chunk holds.
pub(crate) fn read_samples(
    file: &File,
    start_ms: i64,
    columns: &[Column],
    place: Place,
) -> Result<Samples, DamageKind> {
    let times = read_times(file, start_ms, columns, place)?;
    let payload = read_chunk(file, place.offset, place.length)?;
    take_samples(&payload, times).ok_or(DamageKind::Meaning)
}

impl Block {
    /// A block from its contents, with the process's numbers for its series.
    pub(crate) fn new(path: PathBuf, contents: Contents, ids: Vec<SeriesId>) -> Self {
        let Contents { header, columns, series, damaged, .. } = contents;
        let listed = ids.into_iter().zip(series).map(|(id, Listed { place, .. })| (id, place)).collect();
        Self::of(path, header, columns, listed, damaged.is_empty())
    }

    /// A block of series that are listed in the order of the file.
    fn of(path: PathBuf, header: Header, columns: Vec<Column>, listed: Vec<(SeriesId, Place)>, is_whole: bool) -> Self {
        let (mut ids, mut before) = (Vec::with_capacity(listed.len()), 0);
        for (id, _) in &listed {
            ids.put_i64(i64::from(*id) - before);
            before = i64::from(*id);
        }
        let layout = Mutex::new(Some(Arc::new(Layout::new(columns, listed))));
        Self { path, header, ids: ids.into(), layout, asked: AtomicBool::new(true), is_whole }
    }

    /// The series that it holds.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        let (mut take, mut before) = (Take(&self.ids), 0_i64);
        std::iter::from_fn(move || {
            before += take.i64()?;
            // They were numbers of series when they were written down.
            Some(before as SeriesId)
        })
    }

    /// Where everything is; none when the file can no longer be read as it was.
    pub(crate) fn layout(&self) -> Option<Arc<Layout>> {
        self.asked.store(true, Relaxed);
        let mut held = self.layout.lock();
        if held.is_none() {
            let Contents { columns, series, .. } = contents(&self.path, "").ok()?;
            let listed: Vec<_> = self.series().zip(series).map(|(id, Listed { place, .. })| (id, place)).collect();
            *held = (listed.len() == self.series().count()).then(|| Arc::new(Layout::new(columns, listed)));
        }
        held.clone()
    }

    /// Whether it is known already where everything is; waits for nobody.
    pub(crate) fn is_laid_out(&self) -> bool {
        self.layout.try_lock().is_some_and(|held| held.is_some())
    }

    /// Bytes of memory that knowing where everything is takes now.
    pub(crate) fn layout_bytes(&self) -> usize {
        let column = |column: &Column| {
            size_of::<Column>() + if let Column::Short { bytes, .. } = column { bytes.len() } else { 0 }
        };
        self.layout.lock().as_ref().map_or(0, |layout| {
            layout.places.len() * size_of::<(SeriesId, Place)>() + layout.columns.iter().map(column).sum::<usize>()
        })
    }

    /// Lets go where everything is, unless it was asked for since the last time.
    pub(crate) fn rest(&self) {
        if !self.asked.swap(false, Relaxed) {
            *self.layout.lock() = None;
        }
    }

    /// Where the chunk of a series is.
    pub(crate) fn place(&self, id: SeriesId) -> Option<Place> {
        match self.layout() {
            Some(layout) => layout.place(id),
            None => self.series().any(|held| held == id).then_some(NOWHERE),
        }
    }

    /// The samples of a series, when its chunk is whole.
    pub(crate) fn samples(&self, file: &File, place: Place) -> Result<Samples, DamageKind> {
        let layout = self.layout().ok_or(DamageKind::Unreadable)?;
        read_samples(file, self.header.start_ms, &layout.columns, place)
    }

    /// Last moment of its time, inclusive.
    pub(crate) fn end_ms(&self) -> i64 {
        self.header.start_ms.saturating_add(self.header.span_ms - 1)
    }
}

impl Layout {
    fn new(columns: Vec<Column>, mut places: Vec<(SeriesId, Place)>) -> Self {
        places.sort_unstable_by_key(|(id, _)| *id);
        Self { columns, places }
    }

    /// The lowest and the highest number of a series; none when there is no series.
    pub(crate) fn range(&self) -> Option<(SeriesId, SeriesId)> {
        Some((self.places.first()?.0, self.places.last()?.0))
    }

    /// Where the chunk of a series is.
    pub(crate) fn place(&self, id: SeriesId) -> Option<Place> {
        // Numbers mostly have no gaps, and then a series is as far from the first as its number says.
        let (first, last) = self.range()?;
        if id > last {
            return None;
        }
        match self.places.get(id.checked_sub(first)? as usize) {
            Some((there, place)) if *there == id => Some(*place),
            _ => {
                let found = self.places.binary_search_by_key(&id, |(i, _)| *i).ok()?;
                Some(self.places[found].1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_any_header_never_panics(bytes in any::<Vec<u8>>()) {
            let mut framed = Vec::new();
            frame::put(&mut framed, &[&[TAG_HEADER, VERSION], bytes.as_slice()].concat());
            Header::read(&framed);
            Header::read(&bytes);
        }
    }

    #[test]
    fn a_file_name_says_window_and_generation() {
        let header = Header {
            start_ms: -7_200_000,
            span_ms: 7_200_000,
            generation: 3,
            replaces: 2,
            log_upto: 9,
            chunk_bytes: 5,
            index_bytes: 6,
            samples: 7,
        };
        assert_eq!(parse_name(&file_name(&header)), Some((-7_200_000, 3)));
        assert_eq!(parse_name("7.blk"), None);
        assert_eq!(parse_name("7.1.part"), None);
        assert_eq!(header.framed().len(), HEADER_BYTES);
        assert_eq!(Header::read(&header.framed()), Some(header));
    }
}
