//! The queue on disk: write requests that wait until the engine far away has taken them.
//!
//! One thread appends for everybody with one sync for all that wait; each shard's sender reads behind it at its own pace.
//! It must never answer before the sync, never drop what it has answered for, and never grow past its limit: a full queue
//! refuses, which the sender of the samples sees.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{mpsc, oneshot, watch};
use xxhash_rust::xxh3::xxh3_64;

use super::frame::{self, Found};

/// How many senders share the series among them.
pub const SHARDS: usize = 4;
/// A file of the queue is closed when it is longer than this, or than an eighth of the queue's limit.
const SEGMENT_BYTES: u64 = 16 << 20;
/// What one sync covers at most.
const GROUP_BYTES: usize = 8 << 20;
/// What a reader takes from a file at once.
const READ_BYTES: u64 = 512 << 10;

/// A place in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file's number.
    pub segment: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// Why the queue took nothing. All of it may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The limit is reached; it takes again when the engine far away has taken some.
    #[error("the queue is full: {bytes} of {limit} bytes wait to be sent")]
    Full {
        /// Bytes on disk.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk refused.
    #[error("the queue could not be written: {reason}")]
    Disk {
        /// What the system said.
        reason: String,
    },
    /// The process is ending.
    #[error("the queue has been closed")]
    Closed,
}

struct Job {
    records: Vec<u8>,
    reply: oneshot::Sender<Result<(), QueueError>>,
}

/// What readers and the writer share.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    limit_bytes: u64,
    bytes: AtomicU64,
    damaged_bytes: AtomicU64,
}

/// The queue. Dropping it ends its thread after what waits for it is written.
pub struct Queue {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    durable: watch::Receiver<Position>,
    /// Held as long as the queue lives, so that a second process is refused.
    _lock: File,
}

impl Queue {
    /// Opens the queue in `dir`, which is made when missing. What waits from before is sent first.
    ///
    /// # Errors
    /// The folder cannot be used, or another process has it.
    pub fn open(dir: &Path, limit_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
        lock.try_lock().map_err(|_| io::Error::other(format!("{} is in use by another process", dir.display())))?;
        let known = segments(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            limit_bytes,
            bytes: AtomicU64::new(known.iter().map(|(_, path)| length(path)).sum()),
            damaged_bytes: AtomicU64::new(0),
        });
        // Always a new file: the end of the last one may be torn, and nobody appends to that.
        let start = Position { segment: known.last().map_or(1, |(n, _)| n + 1), offset: 0 };
        let (told, durable) = watch::channel(start);
        let (jobs, waiting) = mpsc::channel(256);
        let file = new_segment(dir, start.segment)?;
        let writer = Writer { shared: shared.clone(), at: start, file, told };
        std::thread::Builder::new().name("relay-queue".into()).spawn(move || writer.run(waiting))?;
        Ok(Self { shared, jobs, durable, _lock: lock })
    }

    /// Appends framed records and returns after the sync that covers them.
    ///
    /// # Errors
    /// [`QueueError`]; nothing of it counts as queued.
    pub async fn append(&self, records: Vec<u8>) -> Result<(), QueueError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { records, reply }).await.map_err(|_| QueueError::Closed)?;
        answer.await.map_err(|_| QueueError::Closed)?
    }

    /// A reader of one shard's records from there on, or from the oldest file that is still there.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn reader(&self, shard: u8, from: Place) -> io::Result<Reader> {
        let oldest = segments(&self.shared.dir)?.first().map_or(from.done.segment, |(n, _)| *n);
        let at = if from.done.segment < oldest { Position { segment: oldest, offset: 0 } } else { from.done };
        Ok(Reader { shared: self.shared.clone(), durable: self.durable.clone(), shard, at, begun: from.begun })
    }

    /// Behind everything that is on disk.
    pub fn durable(&self) -> Position {
        *self.durable.borrow()
    }

    /// Bytes on disk, and how many there may be.
    pub fn size(&self) -> (u64, u64) {
        (self.shared.bytes.load(Relaxed), self.shared.limit_bytes)
    }

    /// Bytes that were no record when they were to be sent: damaged, or torn by a crash before they were acknowledged.
    pub fn damaged_bytes(&self) -> u64 {
        self.shared.damaged_bytes.load(Relaxed)
    }

    /// Removes the files that every shard has passed.
    pub fn forget_before(&self, slowest: Position) {
        for (number, path) in segments(&self.shared.dir).unwrap_or_default() {
            let bytes = length(&path);
            if number < slowest.segment && fs::remove_file(&path).is_ok() {
                self.shared.bytes.fetch_sub(bytes, Relaxed);
            }
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    at: Position,
    file: File,
    told: watch::Sender<Position>,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        while let Some(first) = waiting.blocking_recv() {
            let (mut group, mut bytes) = (vec![first], 0);
            while bytes < GROUP_BYTES
                && let Ok(job) = waiting.try_recv()
            {
                bytes += job.records.len();
                group.push(job);
            }
            self.write(group);
        }
    }

    /// Writes what there is room for, syncs once, and answers everybody.
    fn write(&mut self, group: Vec<Job>) {
        let (mut bytes, limit) = (self.shared.bytes.load(Relaxed), self.shared.limit_bytes);
        let (mut all, mut taken) = (Vec::new(), Vec::new());
        for job in group {
            if bytes + job.records.len() as u64 > limit {
                drop(job.reply.send(Err(QueueError::Full { bytes, limit })));
                continue;
            }
            bytes += job.records.len() as u64;
            all.extend_from_slice(&job.records);
            taken.push(job.reply);
        }
        if taken.is_empty() {
            return;
        }
        let outcome = self.append(&all).map_err(|error| QueueError::Disk { reason: error.to_string() });
        for reply in taken {
            drop(reply.send(outcome.clone()));
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(bytes, self.at.offset).and_then(|()| self.file.sync_data()) {
            // What is behind the last sync is unknown from now on: it is cut off, and the next write begins a new file.
            drop(self.file.set_len(self.at.offset));
            self.begin_segment()?;
            return Err(error);
        }
        self.shared.bytes.fetch_add(bytes.len() as u64, Relaxed);
        self.at.offset += bytes.len() as u64;
        self.told.send_replace(self.at);
        if self.at.offset >= SEGMENT_BYTES.min(self.shared.limit_bytes / 8).max(1) {
            // A failure here is met again, and told, by the next write.
            if let Err(error) = self.begin_segment() {
                tracing::warn!(%error, "the relay's queue could not begin a new file");
            }
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let next = Position { segment: self.at.segment + 1, offset: 0 };
        self.file = new_segment(&self.shared.dir, next.segment)?;
        self.at = next;
        self.told.send_replace(next);
        Ok(())
    }
}

fn new_segment(dir: &Path, number: u64) -> io::Result<File> {
    let path = dir.join(format!("{number:012}.relay"));
    let file = File::options().create(true).write(true).truncate(true).open(path)?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".relay")?.parse().ok());
        found.extend(number.map(|n| (n, path)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Requests to be sent together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// One or several requests of version 1, one behind the other, which is one request again; not compressed.
    pub request: Vec<u8>,
    /// Samples and histograms in it.
    pub samples: u64,
    /// Where to go on when it is done with.
    pub end: Position,
}

/// Reads one shard's records in order.
pub struct Reader {
    shared: Arc<Shared>,
    durable: watch::Receiver<Position>,
    shard: u8,
    at: Position,
    /// Where the first batch ends: it may have been sent already, and what is sent again must be just that.
    begun: Position,
}

impl Reader {
    /// Where it goes on.
    pub fn place(&self) -> Place {
        Place { done: self.at, begun: self.begun.max(self.at) }
    }

    /// Waits until there is something behind the place that was read last. False when the queue has been closed.
    pub async fn more(&mut self) -> bool {
        let at = self.at;
        self.durable.wait_for(|durable| *durable > at).await.is_ok()
    }

    /// The next requests of this shard, up to about so many samples. Blocks its thread for a read. Empty when what was there
    /// is other shards'; the place moves on all the same.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next(&mut self, max_samples: u64) -> io::Result<Waiting> {
        let durable = *self.durable.borrow();
        let durable = if self.at < self.begun { durable.min(self.begun) } else { durable };
        let mut out = Waiting::default();
        while self.at < durable && out.samples < max_samples {
            let path = self.shared.dir.join(format!("{:012}.relay", self.at.segment));
            let limit = if self.at.segment < durable.segment { length(&path) } else { durable.offset };
            if self.at.offset >= limit {
                if self.at.segment >= durable.segment {
                    break;
                }
                self.at = Position { segment: self.at.segment + 1, offset: 0 };
                continue;
            }
            self.read(&path, limit, max_samples, &mut out)?;
        }
        out.end = self.at;
        Ok(out)
    }

    fn read(&mut self, path: &Path, limit: u64, max_samples: u64, out: &mut Waiting) -> io::Result<()> {
        let file = File::open(path)?;
        let mut bytes = read_at(&file, self.at.offset, limit.min(self.at.offset + READ_BYTES))?;
        let mut at = 0;
        while at < bytes.len() && out.samples < max_samples {
            let next = match frame::take(&bytes, at) {
                Found::Whole(record, next) => {
                    if usize::from(record.shard) % SHARDS == usize::from(self.shard) {
                        self.add(record, out);
                    }
                    at = next;
                    continue;
                }
                Found::Short(needed) if self.at.offset + (at + needed) as u64 <= limit => {
                    if at > 0 {
                        break; // Read again from here.
                    }
                    bytes = read_at(&file, self.at.offset, self.at.offset + needed as u64)?;
                    continue;
                }
                Found::Damaged(next) => next,
                Found::Short(_) => next_piece(&bytes, at),
            };
            // Each shard meets the same damage; one of them counts it.
            if self.shard == 0 {
                self.shared.damaged_bytes.fetch_add((next - at) as u64, Relaxed);
                tracing::warn!(file = %path.display(), offset = self.at.offset + at as u64, bytes = next - at,
                    "a stretch of the relay's queue is damaged, or was torn by a crash; it is left out");
            }
            at = next;
        }
        self.at.offset += at as u64;
        Ok(())
    }

    fn add(&self, record: frame::Record<'_>, out: &mut Waiting) {
        // Its checksum holds, so this fails only for what another version wrote.
        match snap::raw::Decoder::new().decompress_vec(record.request) {
            Ok(mut request) => {
                out.request.append(&mut request);
                out.samples += u64::from(record.samples).max(1);
            }
            Err(error) => {
                self.shared.damaged_bytes.fetch_add(record.request.len() as u64, Relaxed);
                tracing::warn!(%error, "a record of the relay's queue is not compressed as it says; it is left out");
            }
        }
    }
}

fn next_piece(bytes: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while next < bytes.len() && !matches!(frame::take(bytes, next), Found::Whole(..)) {
        next += 1;
    }
    next
}

fn read_at(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (to - from) as usize];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// How far a shard has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Everything before is done with.
    pub done: Position,
    /// Everything before may have been sent.
    pub begun: Position,
}

/// How far each shard has come, on disk. Losing it costs repeats, never samples.
pub struct Cursors {
    path: PathBuf,
    /// The places, one a shard.
    pub at: [Place; SHARDS],
}

impl Cursors {
    /// Reads them; a file that is missing or damaged means the beginning.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("cursors");
        let read = fs::read(&path).ok().and_then(|bytes| parse_cursors(&bytes));
        Self { path, at: read.unwrap_or_default() }
    }

    /// Writes them: as a whole or not at all, so that a kill leaves the old ones.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn save(&self) -> io::Result<()> {
        let mut bytes = Vec::new();
        for at in self.at.iter().flat_map(|place| [place.done, place.begun]) {
            bytes.extend_from_slice(&at.segment.to_le_bytes());
            bytes.extend_from_slice(&at.offset.to_le_bytes());
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        let part = self.path.with_extension("part");
        fs::write(&part, &bytes)?;
        fs::rename(&part, &self.path)
    }
}

/// The places in a file of cursors, when it is whole.
pub fn parse_cursors(bytes: &[u8]) -> Option<[Place; SHARDS]> {
    let (content, sum) = bytes.split_last_chunk::<8>()?;
    if xxh3_64(content) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (numbers, rest) = content.as_chunks::<8>();
    let mut out = [Place::default(); SHARDS];
    if !rest.is_empty() || numbers.len() != 4 * SHARDS {
        return None;
    }
    let position =
        |pair: &[[u8; 8]]| Position { segment: u64::from_le_bytes(pair[0]), offset: u64::from_le_bytes(pair[1]) };
    for (place, four) in out.iter_mut().zip(numbers.chunks(4)) {
        *place = Place { done: position(&four[..2]), begun: position(&four[2..]) };
    }
    Some(out)
}

#[cfg(test)]
mod tests;
