//! Sealed files: two hours of all series, written once, read by chunk, never changed.
//!
//! `header frame · a frame for each series (who it is, and its chunk) · index frame · trailer frame`. Every frame has its own
//! checksum, and a series' frame says who it is, so a file whose index is damaged is still read by its frames.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::chunk::{Chunk, Point, decode};
use crate::error::{Damage, DamageKind, io as at};
use crate::frame::{self, Torn};
use crate::head::WINDOW_MS;
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::log::{put_identity, sync_dir, take_identity};
use crate::wire::{Put, Take};

const VERSION: u64 = 1;
const TAG_HEADER: u8 = 0x10;
const TAG_SERIES: u8 = 0x11;
const TAG_INDEX: u8 = 0x12;
const TAG_TRAILER: u8 = 0x13;
const TRAILER_BYTES: u64 = (frame::HEADER + 9) as u64;

/// What a sealed file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Start of its window, Unix milliseconds.
    pub(crate) start_ms: i64,
    /// Files of one window are counted; a later one was sealed later.
    pub(crate) generation: u32,
    /// Generations up to this one are wholly contained in it; 0 when none is.
    pub(crate) replaces: u32,
    /// Log segments up to this number hold nothing of this window that is not in it.
    pub(crate) log_upto: u64,
}

/// Where the frame of one series is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// A sealed file, open for reading by chunk.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) bytes: u64,
    /// Sorted by series.
    places: Vec<(SeriesId, Place)>,
}

/// What reading a sealed file's table of contents gave.
pub(crate) struct Contents {
    pub(crate) header: Header,
    pub(crate) series: Table,
    pub(crate) bytes: u64,
    pub(crate) damaged: Vec<Damage>,
}

pub(crate) fn file_name(header: &Header) -> String {
    format!("{}.{}.blk", header.start_ms, header.generation)
}

/// Start and generation, from a file's name.
pub(crate) fn parse_name(name: &str) -> Option<(i64, u32)> {
    let (start, generation) = name.strip_suffix(".blk")?.split_once('.')?;
    Some((start.parse().ok()?, generation.parse().ok()?))
}

/// Writes a sealed file into `dir`, synced and renamed into place; its path and where each series is.
pub(crate) fn write<'a>(
    dir: &Path,
    header: Header,
    series: impl Iterator<Item = (SeriesId, u64, &'a Labels, Vec<Point>)>,
) -> crate::Result<Block> {
    let path = dir.join(file_name(&header));
    let part = path.with_extension("part");
    let written = write_part(&part, header, series);
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    let (places, bytes) = written?;
    std::fs::rename(&part, &path).map_err(at("rename", &part))?;
    sync_dir(dir)?;
    Ok(Block { path, header, bytes, places })
}

type Written = (Vec<(SeriesId, Place)>, u64);

fn write_part<'a>(
    part: &Path,
    header: Header,
    series: impl Iterator<Item = (SeriesId, u64, &'a Labels, Vec<Point>)>,
) -> crate::Result<Written> {
    let mut out = Framed { file: BufWriter::new(File::create(part).map_err(at("create", part))?), part, at: 0 };
    out.put(&header.encode())?;
    let (mut places, mut index) = (Vec::new(), vec![TAG_INDEX]);
    for (id, tenant, labels, points) in series {
        let Some(chunk) = Chunk::of(&points) else { continue };
        let mut payload = vec![TAG_SERIES];
        put_identity(&mut payload, tenant, labels);
        payload.put_u64(u64::from(chunk.count()));
        payload.put_bytes(chunk.bytes());
        let place = out.put(&payload)?;
        put_identity(&mut index, tenant, labels);
        index.put_u64(place.offset);
        index.put_u64(u64::from(place.length));
        places.push((id, place));
    }
    places.sort_unstable_by_key(|(id, _)| *id);
    // An index too large for a frame is left out; the file is then read by its frames.
    let index_at = if index.len() <= frame::MAX_PAYLOAD { out.put(&index)?.offset } else { 0 };
    let mut trailer = vec![TAG_TRAILER];
    trailer.put_fixed(index_at);
    out.put(&trailer)?;
    let bytes = out.at;
    let file = out.file.into_inner().map_err(|e| at("write", part)(e.into_error()))?;
    file.sync_all().map_err(at("sync", part))?;
    Ok((places, bytes))
}

struct Framed<'a> {
    file: BufWriter<File>,
    part: &'a Path,
    at: u64,
}

impl Framed<'_> {
    fn put(&mut self, payload: &[u8]) -> crate::Result<Place> {
        let mut framed = Vec::with_capacity(payload.len() + frame::HEADER);
        frame::put(&mut framed, payload);
        self.file.write_all(&framed).map_err(at("write", self.part))?;
        let place = Place { offset: self.at, length: framed.len() as u32 };
        self.at += framed.len() as u64;
        Ok(place)
    }
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut payload = vec![TAG_HEADER];
        payload.put_u64(VERSION);
        payload.put_i64(self.start_ms);
        payload.put_u64(u64::from(self.generation));
        payload.put_u64(u64::from(self.replaces));
        payload.put_u64(self.log_upto);
        payload
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut take = Take(payload);
        if take.byte()? != TAG_HEADER || take.u64()? != VERSION {
            return None;
        }
        Some(Self { start_ms: take.i64()?, generation: take.u32()?, replaces: take.u32()?, log_upto: take.u64()? })
    }
}

/// Reads who is in a sealed file and where. Damage to the index costs time, not data.
pub(crate) fn contents(path: &Path, shown: &str) -> crate::Result<Contents> {
    let (start_ms, generation) = path.file_name().and_then(|n| parse_name(n.to_str()?)).unwrap_or_default();
    let file = File::open(path).map_err(at("open", path))?;
    let bytes = file.metadata().map_err(at("open", path))?.len();
    if let Some((header, series)) = quick_contents(&file, bytes)
        && (header.start_ms, header.generation) == (start_ms, generation)
    {
        return Ok(Contents { header, series, bytes, damaged: Vec::new() });
    }
    let whole = std::fs::read(path).map_err(at("read", path))?;
    let scan = frame::scan(&whole);
    let mut damaged = scan.damage(shown, bytes, Torn::Impossible);
    // A header that cannot be read replaces nothing and covers no log: what it held is then merely held twice.
    let mut header = Header { start_ms, generation, replaces: 0, log_upto: 0 };
    let mut series = Vec::new();
    for (offset, payload) in scan.whole {
        let length = (payload.len() + frame::HEADER) as u32;
        match payload.first() {
            Some(&TAG_HEADER) => header = Header::decode(payload).filter(|h| h.start_ms == start_ms).unwrap_or(header),
            Some(&TAG_SERIES) => match take_series(payload) {
                Some((tenant, labels, _)) => series.push((tenant, labels, Place { offset, length })),
                None => {
                    let length = u64::from(length);
                    damaged.push(Damage { file: shown.into(), offset, length, kind: DamageKind::Meaning });
                }
            },
            _ => {}
        }
    }
    if damaged.is_empty() {
        damaged.push(Damage { file: shown.into(), offset: 0, length: bytes, kind: DamageKind::Meaning });
    }
    Ok(Contents { header, series, bytes, damaged })
}

/// Tenant, labels and place of each series.
type Table = Vec<(u64, Labels, Place)>;

fn quick_contents(file: &File, bytes: u64) -> Option<(Header, Table)> {
    let trailer_at = bytes.checked_sub(TRAILER_BYTES)?;
    let trailer = read_at(file, trailer_at, TRAILER_BYTES as usize)?;
    let mut take = Take(frame::take(&trailer)?);
    if take.byte()? != TAG_TRAILER {
        return None;
    }
    let index_at = take.fixed()?;
    let length = usize::try_from(trailer_at.checked_sub(index_at)?).ok()?;
    if index_at == 0 || length > frame::MAX_PAYLOAD + frame::HEADER {
        return None;
    }
    let index = read_at(file, index_at, length)?;
    let series = take_index(frame::take(&index)?, index_at)?;
    let head = read_at(file, 0, (frame::HEADER + 64).min(index_at as usize))?;
    Some((Header::decode(frame::take(&head)?)?, series))
}

fn take_index(payload: &[u8], before: u64) -> Option<Table> {
    let mut take = Take(payload);
    if take.byte()? != TAG_INDEX {
        return None;
    }
    let mut series = Vec::new();
    while !take.is_empty() {
        let (tenant, labels) = take_identity(&mut take)?;
        let place = Place { offset: take.u64()?, length: take.u32()? };
        if place.offset.checked_add(u64::from(place.length))? > before {
            return None;
        }
        series.push((tenant, labels, place));
    }
    Some(series)
}

fn read_at(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, offset).ok()?;
    Some(buffer)
}

/// Tenant, labels and points of one series' frame.
pub(crate) fn take_series(payload: &[u8]) -> Option<(u64, Labels, Vec<Point>)> {
    let mut take = Take(payload);
    if take.byte()? != TAG_SERIES {
        return None;
    }
    let (tenant, labels) = take_identity(&mut take)?;
    let count = take.u32()?;
    let points = decode(take.bytes()?, count)?;
    take.is_empty().then_some((tenant, labels, points))
}

/// What one whole frame of a sealed file is.
pub(crate) enum Frame {
    /// A series with this many points.
    Series(usize),
    /// The table of contents, with this many series.
    Index(usize),
    /// The header.
    Header,
    /// The trailer, which ends a file.
    End,
    /// Nothing that this version writes.
    Senseless,
}

pub(crate) fn frame_of(payload: &[u8]) -> Frame {
    let frame = match payload.first() {
        Some(&TAG_SERIES) => take_series(payload).map(|(_, _, points)| Frame::Series(points.len())),
        Some(&TAG_HEADER) => Header::decode(payload).map(|_| Frame::Header),
        Some(&TAG_INDEX) => take_index(payload, u64::MAX).map(|table| Frame::Index(table.len())),
        Some(&TAG_TRAILER) => Some(Frame::End),
        _ => None,
    };
    frame.unwrap_or(Frame::Senseless)
}

impl Block {
    /// A block from its contents, with the process's numbers for its series.
    pub(crate) fn new(path: PathBuf, header: Header, bytes: u64, mut places: Vec<(SeriesId, Place)>) -> Self {
        places.sort_unstable_by_key(|(id, _)| *id);
        Self { path, header, bytes, places }
    }

    /// The series that it holds.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.places.iter().map(|(id, _)| *id)
    }

    /// Where the frame of a series is.
    pub(crate) fn place(&self, id: SeriesId) -> Option<&Place> {
        let found = self.places.binary_search_by_key(&id, |(i, _)| *i).ok()?;
        Some(&self.places[found].1)
    }

    /// Last moment of its window, inclusive.
    pub(crate) fn end_ms(&self) -> i64 {
        self.header.start_ms.saturating_add(WINDOW_MS - 1)
    }
}

/// The points of the frame at `place`, when it is whole and is of this very series.
pub(crate) fn read_points(file: &File, place: &Place, tenant: u64, labels: &Labels) -> Result<Vec<Point>, DamageKind> {
    let framed = read_at(file, place.offset, place.length as usize).ok_or(DamageKind::Unreadable)?;
    let payload = frame::take(&framed).ok_or(DamageKind::Checksum)?;
    let (found_tenant, found_labels, points) = take_series(payload).ok_or(DamageKind::Meaning)?;
    if found_tenant == tenant && found_labels == *labels { Ok(points) } else { Err(DamageKind::Meaning) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parsing_anything_never_panics(bytes in any::<Vec<u8>>(), tag in 0x10_u8..0x14) {
            let tagged = [&[tag], bytes.as_slice()].concat();
            take_series(&tagged);
            take_index(&tagged, u64::MAX);
            Header::decode(&tagged);
        }
    }

    #[test]
    fn a_file_name_says_window_and_generation() {
        let header = Header { start_ms: -WINDOW_MS, generation: 3, replaces: 2, log_upto: 9 };
        assert_eq!(parse_name(&file_name(&header)), Some((-WINDOW_MS, 3)));
        assert_eq!(parse_name("7.blk"), None);
        assert_eq!(parse_name("7.1.part"), None);
        assert_eq!(Header::decode(&header.encode()), Some(header));
    }
}
