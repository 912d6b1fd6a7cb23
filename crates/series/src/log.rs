//! The write-ahead log: what is acknowledged, in order, in segments. It is written by one thread and read at start.
//!
//! Each segment defines the series it mentions, so a segment needs no other. A write or sync that fails closes the segment:
//! after a failed fsync nobody knows what the file holds, so nothing more is put behind it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chunk::{Chunk, Point, decode};
use crate::error::{Damage, DamageKind, io as at};
use crate::frame::{self, Torn};
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::wire::{Put, Take};

const VERSION: u64 = 1;
const TAG_VERSION: u8 = 0;
const TAG_SERIES: u8 = 1;
const TAG_SAMPLE: u8 = 2;
const TAG_CHUNK: u8 = 3;

/// A frame is closed when its payload is longer than this.
const FRAME_BYTES: usize = 1 << 20;

/// A file that a log is written to. A trait so that a test can be the disk that is full.
pub(crate) trait LogFile: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl LogFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// How segments are created.
pub(crate) type OpenLog = Arc<dyn Fn(&Path) -> io::Result<Box<dyn LogFile>> + Send + Sync>;

/// Segments as files of the real disk.
pub(crate) fn on_disk() -> OpenLog {
    Arc::new(|path| Ok(Box::new(OpenOptions::new().append(true).create_new(true).open(path)?)))
}

/// A point on its way into the log.
#[derive(Clone, Debug)]
pub(crate) struct LogSample {
    pub(crate) id: SeriesId,
    pub(crate) point: Point,
}

/// Who a series is, for the segment that has not defined it yet.
pub(crate) type WhoIs<'a> = &'a dyn Fn(SeriesId) -> Option<(u64, Labels)>;

struct Segment {
    path: PathBuf,
    file: Box<dyn LogFile>,
    /// Bytes that are synced.
    length: u64,
    defined: HashSet<SeriesId>,
}

/// The log, open for writing.
pub(crate) struct Log {
    dir: PathBuf,
    open: OpenLog,
    /// The number of the newest segment, open or closed.
    number: u64,
    segment: Option<Segment>,
    segment_bytes: u64,
}

impl Log {
    /// A log that goes on after segment `newest`. Opens no file before the first write.
    pub(crate) fn new(dir: PathBuf, newest: u64, segment_bytes: u64, open: OpenLog) -> Self {
        Self { dir, open, number: newest, segment: None, segment_bytes }
    }

    /// Writes and syncs all samples; when it returns an error, none of them counts as written.
    pub(crate) fn commit(&mut self, samples: &[LogSample], who: WhoIs<'_>) -> crate::Result<()> {
        let mut segment = match self.segment.take() {
            Some(segment) if segment.length < self.segment_bytes => segment,
            _ => self.begin()?,
        };
        let (bytes, defined) = encode(samples, &segment.defined, who);
        if let Err(error) = segment.file.append(&bytes) {
            let error = at("write", &segment.path)(error);
            if self.cut_back(&mut segment) {
                self.segment = Some(segment);
            }
            return Err(error);
        }
        if let Err(error) = segment.file.sync() {
            self.cut_back(&mut segment);
            return Err(at("sync", &segment.path)(error));
        }
        segment.length += bytes.len() as u64;
        segment.defined.extend(defined);
        self.segment = Some(segment);
        Ok(())
    }

    /// Takes back what was written since the last sync. When even that fails it is a torn end, which the next start
    /// reports and removes.
    fn cut_back(&self, segment: &mut Segment) -> bool {
        let cut = segment.file.cut(segment.length);
        if let Err(error) = &cut {
            tracing::warn!(%error, path = %segment.path.display(), "could not cut a log after a failed write");
        }
        cut.is_ok()
    }

    fn begin(&mut self) -> crate::Result<Segment> {
        let number = self.number + 1;
        let path = self.dir.join(segment_name(number));
        let mut file = (self.open)(&path).map_err(at("create", &path))?;
        let head = version_frame();
        let written = file.append(&head).map_err(at("write", &path)).and_then(|()| sync_dir(&self.dir));
        if let Err(error) = written {
            // Else a full disk would be filled with empty segments, one an attempt.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.number = number;
        Ok(Segment { path, file, length: head.len() as u64, defined: HashSet::new() })
    }

    /// The number of the newest segment, which no later one falls below.
    pub(crate) fn newest(&self) -> u64 {
        self.number
    }

    /// Closes the segment that is open and says the number of the newest.
    pub(crate) fn close_segment(&mut self) -> u64 {
        self.segment = None;
        self.number
    }

    /// Writes the whole head as a segment of its own and removes all segments before it. Atomic by a rename.
    pub(crate) fn checkpoint<'a>(&mut self, head: impl Iterator<Item = HeadPiece<'a>>) -> crate::Result<()> {
        let old = self.close_segment();
        let number = old + 1;
        let path = self.dir.join(segment_name(number));
        if write_head(&path, head)? == 0 {
            fs::remove_file(&path).map_err(at("remove", &path))?;
        }
        self.number = number;
        for (number, path) in segments(&self.dir)?.into_iter().filter(|(n, _)| *n <= old) {
            fs::remove_file(&path).map_err(at("remove", &path))?;
            tracing::debug!(number, "log segment removed: its samples are sealed");
        }
        sync_dir(&self.dir)
    }
}

/// One series of one window of the head: number, tenant, labels, points.
pub(crate) type HeadPiece<'a> = (SeriesId, u64, &'a Labels, Vec<Point>);

/// Writes the head as one segment at `path`; says how many series it holds.
pub(crate) fn write_head<'a>(path: &Path, head: impl Iterator<Item = HeadPiece<'a>>) -> crate::Result<usize> {
    let part = path.with_extension("part");
    let mut out = io::BufWriter::new(File::create(&part).map_err(at("create", &part))?);
    out.write_all(&version_frame()).map_err(at("write", &part))?;
    let mut count = 0;
    for (id, tenant, labels, points) in head {
        let Some(chunk) = Chunk::of(&points) else { continue };
        let mut payload = Vec::new();
        put_series(&mut payload, id, tenant, labels);
        payload.push(TAG_CHUNK);
        payload.put_u64(u64::from(id));
        payload.put_u64(u64::from(chunk.count()));
        payload.put_bytes(chunk.bytes());
        let mut framed = Vec::with_capacity(payload.len() + frame::HEADER);
        frame::put(&mut framed, &payload);
        out.write_all(&framed).map_err(at("write", &part))?;
        count += 1;
    }
    let file = out.into_inner().map_err(|e| at("write", &part)(e.into_error()))?;
    file.sync_all().map_err(at("sync", &part))?;
    fs::rename(&part, path).map_err(at("rename", &part))?;
    sync_dir(path.parent().unwrap_or(path))?;
    Ok(count)
}

fn version_frame() -> Vec<u8> {
    let mut payload = vec![TAG_VERSION];
    payload.put_u64(VERSION);
    let mut framed = Vec::new();
    frame::put(&mut framed, &payload);
    framed
}

fn put_series(out: &mut Vec<u8>, id: SeriesId, tenant: u64, labels: &Labels) {
    out.push(TAG_SERIES);
    out.put_u64(u64::from(id));
    put_identity(out, tenant, labels);
}

/// Tenant and labels; sealed files write them in the same way.
pub(crate) fn put_identity(out: &mut Vec<u8>, tenant: u64, labels: &Labels) {
    out.put_u64(tenant);
    out.put_u64(labels.iter().len() as u64);
    for (name, value) in labels.iter() {
        out.put_bytes(name.as_bytes());
        out.put_bytes(value.as_bytes());
    }
}

pub(crate) fn take_identity(take: &mut Take<'_>) -> Option<(u64, Labels)> {
    let tenant = take.u64()?;
    let count = take.u64()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((take.text()?, take.text()?));
    }
    Some((tenant, Labels::new(pairs).ok()?))
}

fn encode(samples: &[LogSample], known: &HashSet<SeriesId>, who: WhoIs<'_>) -> (Vec<u8>, Vec<SeriesId>) {
    let mut out = Vec::with_capacity(samples.len() * 14 + frame::HEADER);
    let mut payload = Vec::new();
    let mut defined = Vec::new();
    let mut fresh = HashSet::new();
    let mut previous_ms = 0_i64;
    for sample in samples {
        if !known.contains(&sample.id)
            && fresh.insert(sample.id)
            && let Some((tenant, labels)) = who(sample.id)
        {
            put_series(&mut payload, sample.id, tenant, &labels);
            defined.push(sample.id);
        }
        payload.push(TAG_SAMPLE);
        payload.put_u64(u64::from(sample.id));
        payload.put_i64(sample.point.0.wrapping_sub(previous_ms));
        payload.put_fixed(sample.point.1.to_bits());
        previous_ms = sample.point.0;
        if payload.len() >= FRAME_BYTES {
            frame::put(&mut out, &payload);
            payload.clear();
            previous_ms = 0;
        }
    }
    if !payload.is_empty() {
        frame::put(&mut out, &payload);
    }
    (out, defined)
}

/// What reading one segment gave.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Points by series, in the order in which they were written.
    pub(crate) series: Vec<(u64, Labels, Vec<Point>)>,
    pub(crate) damaged: Vec<Damage>,
}

/// Reads the bytes of one segment. Never panics; what is damaged is told and left out.
pub(crate) fn replay(file: &str, bytes: &[u8]) -> Replayed {
    let scan = frame::scan(bytes);
    let mut damaged = scan.damage(file, bytes.len() as u64, Torn::Possible);
    let mut reader = Reader::default();
    for (offset, payload) in scan.whole {
        if let Err(kind) = reader.frame(payload) {
            let length = (payload.len() + frame::HEADER) as u64;
            damaged.push(Damage { file: file.into(), offset, length, kind });
        }
    }
    damaged.sort_by_key(|d| d.offset);
    Replayed { series: reader.series, damaged }
}

#[derive(Default)]
struct Reader {
    series: Vec<(u64, Labels, Vec<Point>)>,
    places: HashMap<SeriesId, usize>,
}

impl Reader {
    /// Everything of one frame that has a meaning; the error says that something in it has none.
    fn frame(&mut self, payload: &[u8]) -> Result<(), DamageKind> {
        let mut take = Take(payload);
        let mut previous_ms = 0_i64;
        let mut outcome = Ok(());
        while !take.is_empty() {
            match self.entry(&mut take, &mut previous_ms) {
                Some(true) => {}
                Some(false) => outcome = Err(DamageKind::Orphaned),
                None => return Err(DamageKind::Meaning),
            }
        }
        outcome
    }

    /// Reads one entry. `Some(false)` when it belongs to a series that is not defined.
    fn entry(&mut self, take: &mut Take<'_>, previous_ms: &mut i64) -> Option<bool> {
        match take.byte()? {
            TAG_VERSION => (take.u64()? == VERSION).then_some(true),
            TAG_SERIES => {
                let id = take.u32()?;
                let (tenant, labels) = take_identity(take)?;
                self.places.insert(id, self.series.len());
                self.series.push((tenant, labels, Vec::new()));
                Some(true)
            }
            TAG_SAMPLE => {
                let id = take.u32()?;
                *previous_ms = previous_ms.wrapping_add(take.i64()?);
                let value = f64::from_bits(take.fixed()?);
                Some(self.add(id, &[(*previous_ms, value)]))
            }
            TAG_CHUNK => {
                let id = take.u32()?;
                let count = take.u32()?;
                let points = decode(take.bytes()?, count)?;
                Some(self.add(id, &points))
            }
            _ => None,
        }
    }

    fn add(&mut self, id: SeriesId, points: &[Point]) -> bool {
        let Some((_, _, kept)) = self.places.get(&id).and_then(|place| self.series.get_mut(*place)) else {
            return false;
        };
        kept.extend_from_slice(points);
        true
    }
}

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.wal")
}

/// The segments in a folder, oldest first.
pub(crate) fn segments(dir: &Path) -> crate::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let path = entry.map_err(at("list", dir))?.path();
        let number = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".wal")?.parse().ok());
        found.extend(number.map(|n| (n, path)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes a folder's entries durable: a file whose name is not synced is not there after a power cut.
pub(crate) fn sync_dir(dir: &Path) -> crate::Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(at("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn replaying_anything_never_panics(bytes in any::<Vec<u8>>()) {
            let mut framed = Vec::new();
            frame::put(&mut framed, &bytes);
            replay("raw", &bytes);
            replay("framed", &framed);
        }
    }

    #[test]
    fn samples_of_a_series_whose_definition_is_lost_are_told_of_and_not_guessed() {
        let labels = Labels::metric("up", &[]).unwrap();
        let who = |id| Some((u64::from(id), labels.clone()));
        let sample = |id, at| LogSample { id, point: (at, 1.0) };
        let (first, defined) = encode(&[sample(1, 10)], &HashSet::new(), &who);
        let (second, _) = encode(&[sample(1, 20), sample(2, 20)], &defined.into_iter().collect(), &who);
        let whole = replay("f", &[first, second.clone()].concat());
        assert_eq!((whole.series.len(), whole.damaged.len()), (2, 0));
        let partly = replay("f", &second);
        assert_eq!(partly.series.iter().map(|s| s.0).collect::<Vec<_>>(), [2], "the other series is still read");
        assert_eq!(partly.damaged[0].kind, DamageKind::Orphaned);
    }
}
