//! The write-ahead log: what is acknowledged, in order, in segments. It is written by one thread and read at start.
//!
//! Each segment defines the series it mentions, once, so a segment needs no other, and a sample of a known series takes some
//! six bytes. A write or sync that fails closes the segment: after a failed fsync nobody knows what the file holds, so nothing
//! more is put behind it. Now and then the head is written as one segment that replaces those before it, so that a start
//! reads little. [`replay`](crate::replay) reads segments; [`segments`](crate::segments) knows which there are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chunk::Point;
use crate::durable::sync_dir;
use crate::error::io as at;
use crate::frame;
use crate::head_copy::{HeadCopy, write_head};
use crate::index::SeriesId;
use crate::record::Record;
use crate::segments::{Lengths, segment_name, segments};
use crate::start::ReadLog;
use crate::wire::{Put, Take};

/// Version 3 has records beside floats, 4 names a series by what it shares with the one before; 2 and 3 are read as they are.
pub(crate) const VERSION: u64 = 4;
pub(crate) const OLDEST_VERSION: u64 = 2;
pub(crate) const TAG_VERSION: u8 = 0;
pub(crate) const TAG_SERIES: u8 = 1;
pub(crate) const TAG_SAMPLES: u8 = 2;
pub(crate) const TAG_CHUNK: u8 = 3;
/// Tags 4 to 8 are those of [`record`](crate::record).
pub(crate) const TAG_ALIKE: u8 = 9;
/// In the byte before a sample: how many bytes of the value follow, in the low four bits; its time is that of the sample before; its
/// series is the one after.
pub(crate) const VALUE_BYTES: u8 = 0x0f;
pub(crate) const SAME_TIME: u8 = 0x10;
pub(crate) const NEXT_SERIES: u8 = 0x20;

/// The log is long when it is longer than this part of the last copy of the head,
const COPY_PARTS: u64 = 4;
/// but never below so many bytes, which a start reads in a tenth of a second.
const SHORT_BYTES: u64 = 4 << 20;
/// Segments that a start reads without much ado.
const FEW_SEGMENTS: usize = 16;

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSample {
    pub(crate) id: SeriesId,
    pub(crate) point: Point,
}

/// Who a series is, for the segment that has not defined it yet: appends its key and gives its tenant.
pub(crate) type PutKey<'a> = &'a dyn Fn(SeriesId, &mut Vec<u8>) -> Option<u64>;

struct Segment {
    path: PathBuf,
    file: Box<dyn LogFile>,
    /// Bytes that are synced.
    length: u64,
}

/// The log, open for writing.
pub(crate) struct Log {
    dir: PathBuf,
    open: OpenLog,
    /// The number of the newest segment, open or closed.
    number: u64,
    segment: Option<Segment>,
    segment_bytes: u64,
    defined: Defined,
    /// Bytes written since the head was last written as a whole.
    since_checkpoint: u64,
    /// Bytes of the head when it was.
    copied: u64,
    /// How long each segment is at least.
    lengths: Lengths,
    /// The list of the lengths on the disk says less than it could.
    list_is_behind: bool,
}

/// Which series the open segment has defined: the count of the segment by series, so that a new one forgets them all at once.
#[derive(Default)]
pub(crate) struct Defined {
    in_segment: Vec<u32>,
    segment: u32,
    /// Defined by what is being written.
    new: Vec<SeriesId>,
}

impl Defined {
    /// Of the only segment that there is.
    pub(crate) fn of_one() -> Self {
        Self { segment: 1, ..Self::default() }
    }

    /// True when this segment does not know the series yet; from now on it does.
    #[inline]
    pub(crate) fn define(&mut self, id: SeriesId) -> bool {
        let place = id as usize;
        if self.in_segment.len() <= place {
            self.in_segment.resize(place + 1, 0);
        }
        if self.in_segment[place] == self.segment {
            return false;
        }
        self.in_segment[place] = self.segment;
        self.new.push(id);
        true
    }

    /// What was to be written was not.
    fn take_back(&mut self) {
        for id in self.new.drain(..) {
            self.in_segment[id as usize] = 0;
        }
    }
}

impl Log {
    /// A log that goes on after what was read of it. Opens no file before the first write.
    pub(crate) fn new(dir: PathBuf, read: ReadLog, segment_bytes: u64, open: OpenLog) -> Self {
        let (defined, number) = (Defined::default(), read.newest);
        let (since_checkpoint, copied) = (read.singly, read.copied);
        let (lengths, list_is_behind) = (read.lengths, read.list_is_behind);
        let segment = None;
        Self { dir, open, number, segment, segment_bytes, defined, since_checkpoint, copied, lengths, list_is_behind }
    }

    /// A number now means another series than before.
    pub(crate) fn renamed(&mut self, id: SeriesId) {
        if let Some(segment) = self.defined.in_segment.get_mut(id as usize) {
            *segment = 0;
        }
    }

    /// Writes and syncs all samples and records; when it returns an error, none of them counts as written.
    pub(crate) fn commit(
        &mut self,
        samples: &[LogSample],
        records: &[Record<'_>],
        key: PutKey<'_>,
    ) -> crate::Result<()> {
        let mut segment = match self.segment.take() {
            Some(segment) if segment.length < self.segment_bytes => segment,
            _ => self.begin()?,
        };
        let mut bytes = encode(samples, &mut self.defined, key);
        put_records(records, &mut self.defined, key, &mut bytes);
        if let Err(error) = segment.file.append(&bytes) {
            let error = at("write", &segment.path)(error);
            self.defined.take_back();
            if self.cut_back(&mut segment) {
                self.segment = Some(segment);
            }
            return Err(error);
        }
        if let Err(error) = segment.file.sync() {
            self.defined.take_back();
            self.cut_back(&mut segment);
            return Err(at("sync", &segment.path)(error));
        }
        segment.length += bytes.len() as u64;
        self.lengths.0.insert(self.number, segment.length);
        self.list_is_behind = true;
        self.since_checkpoint += bytes.len() as u64;
        self.defined.new.clear();
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
        // What is in the list is on the disk, the name included.
        let written = file.append(&head).and_then(|()| file.sync()).map_err(at("write", &path));
        self.lengths.0.insert(number, head.len() as u64);
        if let Err(error) = written.and_then(|()| sync_dir(&self.dir)).and_then(|()| self.list()) {
            // Else a full disk would be filled with empty segments, one an attempt.
            let _ = fs::remove_file(&path);
            self.lengths.0.remove(&number);
            return Err(error);
        }
        self.number = number;
        self.defined.segment += 1;
        self.defined.new.clear();
        Ok(Segment { path, file, length: head.len() as u64 })
    }

    fn list(&mut self) -> crate::Result<()> {
        self.lengths.write(&self.dir)?;
        self.list_is_behind = false;
        Ok(())
    }

    /// Brings the list up to date: what is in it is missed when it is gone.
    ///
    /// # Errors
    /// The disk refuses; the list that there is stays.
    pub(crate) fn keep_list(&mut self) -> crate::Result<()> {
        if self.list_is_behind { self.list() } else { Ok(()) }
    }

    /// The number of the newest segment, which no later one falls below.
    pub(crate) fn newest(&self) -> u64 {
        self.number
    }

    /// Bytes that a start would have to read beside the last copy of the head.
    pub(crate) fn since_checkpoint(&self) -> u64 {
        self.since_checkpoint
    }

    /// Whether a start would spend much of its time on what is behind the last copy of the head: a byte of that takes it more
    /// than twice as long as one of the copy.
    pub(crate) fn is_long(&self) -> bool {
        self.since_checkpoint > (self.copied / COPY_PARTS).max(SHORT_BYTES)
    }

    /// Whether there are many segments, of which a start opens each: every start leaves one.
    pub(crate) fn is_in_pieces(&self) -> bool {
        segments(&self.dir).is_ok_and(|all| all.len() > FEW_SEGMENTS)
    }

    /// Closes the segment that is open and says the number of the newest.
    pub(crate) fn close_segment(&mut self) -> u64 {
        self.segment = None;
        self.number
    }

    /// Writes the whole head as a segment of its own and removes all segments before it. Atomic by a rename.
    pub(crate) fn checkpoint(&mut self, head: HeadCopy<'_>) -> crate::Result<()> {
        let old = self.close_segment();
        let number = old + 1;
        let path = self.dir.join(segment_name(number));
        let lengths = write_head(&path, head)?.map(|length| (number, length));
        self.copied = lengths.map_or(0, |(_, length)| length);
        // First, so that what is removed next is not missed.
        let before = std::mem::replace(&mut self.lengths, Lengths(lengths.into_iter().collect()));
        if let Err(error) = self.list() {
            let _ = fs::remove_file(&path);
            self.lengths = before;
            return Err(error);
        }
        self.number = number;
        self.since_checkpoint = 0;
        for (number, path) in segments(&self.dir)?.into_iter().filter(|(n, _)| *n <= old) {
            fs::remove_file(&path).map_err(at("remove", &path))?;
            tracing::debug!(number, "log segment removed: its samples are sealed or in the copy of the head");
        }
        sync_dir(&self.dir)
    }
}

pub(crate) fn version_frame() -> Vec<u8> {
    let mut payload = vec![TAG_VERSION];
    payload.put_u64(VERSION);
    let mut framed = Vec::new();
    frame::put(&mut framed, &payload);
    framed
}

/// The version that a segment whose first frame has this payload says it has.
pub(crate) fn version_in(payload: &[u8]) -> Option<u64> {
    let mut take = Take(payload);
    (take.byte()? == TAG_VERSION).then(|| take.u64()).flatten()
}

/// The key that a frame has named last: the next one is written as what differs from it.
#[derive(Default)]
pub(crate) struct LastKey {
    key: Vec<u8>,
    next: Vec<u8>,
}

impl LastKey {
    /// Names a series in the frame that is being made.
    pub(crate) fn put_series(&mut self, out: &mut Vec<u8>, id: SeriesId, key: PutKey<'_>) {
        self.next.clear();
        // A series that nobody knows any more has no samples either; told of as orphaned if it ever had.
        let Some(tenant) = key(id, &mut self.next) else { return };
        let shared = shared(&self.key, &self.next);
        out.push(TAG_ALIKE);
        out.put_u64(u64::from(id));
        out.put_u64(tenant);
        out.put_u64(shared as u64);
        out.put_bytes(&self.next[shared..]);
        std::mem::swap(&mut self.key, &mut self.next);
    }

    /// A new frame begins, which can be read without the one before.
    pub(crate) fn begin_frame(&mut self) {
        self.key.clear();
    }
}

/// How many bytes two texts begin with together.
fn shared(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).take_while(|(a, b)| a == b).count() * 8;
    words + a[words..].iter().zip(&b[words..]).take_while(|(a, b)| a == b).count()
}

/// The samples as frames: in each first the series that the segment has not defined yet, then samples up to its end.
fn encode(samples: &[LogSample], defined: &mut Defined, key: PutKey<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() * 8 + 64);
    let (mut series, mut body) = (Vec::new(), Vec::with_capacity(samples.len() * 8));
    let (mut last_id, mut last_ms) = (0, 0);
    let mut last_key = LastKey::default();
    for sample in samples {
        if defined.define(sample.id) {
            last_key.put_series(&mut series, sample.id, key);
        }
        put_sample(&mut body, sample, last_id, last_ms);
        (last_id, last_ms) = (sample.id, sample.point.0);
        if series.len() + body.len() >= FRAME_BYTES {
            put_frame(&mut out, &mut series, &mut body);
            last_key.begin_frame();
            (last_id, last_ms) = (0, 0);
        }
    }
    if !body.is_empty() {
        put_frame(&mut out, &mut series, &mut body);
    }
    out
}

/// The records as frames, each with the series that it needs and the segment has not defined yet.
fn put_records(records: &[Record<'_>], defined: &mut Defined, key: PutKey<'_>, out: &mut Vec<u8>) {
    let (mut payload, mut last_key) = (Vec::new(), LastKey::default());
    for record in records {
        if let Some(id) = record.series().filter(|id| defined.define(*id)) {
            last_key.put_series(&mut payload, id, key);
        }
        record.put(&mut payload);
        if payload.len() >= FRAME_BYTES {
            frame::put(out, &payload);
            last_key.begin_frame();
            payload.clear();
        }
    }
    if !payload.is_empty() {
        frame::put(out, &payload);
    }
}

fn put_frame(out: &mut Vec<u8>, series: &mut Vec<u8>, body: &mut Vec<u8>) {
    series.push(TAG_SAMPLES);
    series.append(body);
    frame::put(out, series);
    series.clear();
}

#[inline]
fn put_sample(out: &mut Vec<u8>, sample: &LogSample, last_id: SeriesId, last_ms: i64) {
    // Numbers that people count are short in their high bytes; the low ones are zero and left out.
    let bytes = sample.point.1.to_bits().to_be_bytes();
    let length = 8 - (sample.point.1.to_bits().trailing_zeros() / 8) as usize;
    let same_time = if sample.point.0 == last_ms { SAME_TIME } else { 0 };
    let next = if sample.id == last_id.wrapping_add(1) { NEXT_SERIES } else { 0 };
    out.push(length as u8 | same_time | next);
    if next == 0 {
        out.put_i64(i64::from(sample.id) - i64::from(last_id));
    }
    if same_time == 0 {
        out.put_i64(sample.point.0.wrapping_sub(last_ms));
    }
    out.extend_from_slice(&bytes[..length]);
}
