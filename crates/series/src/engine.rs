//! The engine: a directory, a writer thread, and reads from any thread.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::block::{self, Block};
use crate::error::{Damage, DamageKind, SeriesError, io as at};
use crate::labels::{Labels, Sample};
use crate::log::{Log, OpenLog, on_disk, replay, segments};
use crate::matcher::Matcher;
use crate::options::{Options, Recovery, Stats};
use crate::read::SeriesData;
use crate::snapshot::{SnapshotReport, prepare};
use crate::store::{State, Store, blocks_dir, shown, wal_dir};
use crate::verify::VerifyReport;
use crate::writer::{Append, Appended, Job, Writer};

/// Requests that may wait for the writer.
const WAITING_JOBS: usize = 1024;

/// A time-series engine on one directory. Dropping it stops the writer; what was acknowledged is on disk at any time.
pub struct Engine {
    store: Arc<Store>,
    jobs: SyncSender<Job>,
    places: Arc<Semaphore>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Held as long as the engine lives, so that a second one is refused.
    _lock: File,
}

impl Engine {
    /// Opens the engine in `dir`, which is created when missing. Reads the log, and repairs its torn end.
    ///
    /// Damage is no error: it is in the [`Recovery`], everything else is served.
    ///
    /// # Errors
    /// [`SeriesError::Locked`] when another engine has it open; [`SeriesError::Io`] when the directory cannot be used.
    pub fn open(dir: &Path, options: Options) -> crate::Result<(Self, Recovery)> {
        Self::open_on(dir, options, on_disk())
    }

    /// [`open`](Self::open), with the log on a disk of the caller's.
    pub(crate) fn open_on(dir: &Path, mut options: Options, disk: OpenLog) -> crate::Result<(Self, Recovery)> {
        for sub in [dir, &wal_dir(dir), &blocks_dir(dir)] {
            fs::create_dir_all(sub).map_err(at("create", sub))?;
        }
        let lock = lock(dir)?;
        options.max_waiting_samples = options.max_waiting_samples.max(WAITING_JOBS);
        options.max_request_samples = options.max_request_samples.min(options.max_waiting_samples);
        remove_parts(&wal_dir(dir))?;
        remove_parts(&blocks_dir(dir))?;
        let mut recovery = Recovery::default();
        let mut state = State::default();
        read_blocks(dir, &mut state, &mut recovery)?;
        let newest = read_log(dir, &mut state, (options.clock)(), &mut recovery)?;
        recovery.blocks = state.blocks.len();
        recovery.series = state.index.len();
        let log = Log::new(wal_dir(dir), newest, options.wal_segment_bytes, disk);
        let places = Arc::new(Semaphore::new(options.max_waiting_samples));
        let tended_ms = (options.clock)();
        let store = Arc::new(Store::new(dir, options, state));
        let (jobs, waiting) = sync_channel(WAITING_JOBS + 16);
        let writer = Writer { store: store.clone(), log, tended_ms };
        let thread = std::thread::Builder::new()
            .name("series-writer".into())
            .spawn(move || writer.run(&waiting))
            .map_err(at("start the writer for", dir))?;
        Ok((Self { store, jobs, places, thread: Mutex::new(Some(thread)), _lock: lock }, recovery))
    }

    /// Stores samples and returns after the fsync that covers them, which waiting callers share.
    ///
    /// A repeat of a stored sample is accepted and changes nothing, so a request can be sent again after any error. Samples
    /// may come in any order within [`Options::accept_late_ms`]. Those that are not taken are listed with their reason.
    ///
    /// # Errors
    /// Nothing of the request counts as stored when the disk refuses ([`SeriesError::Io`]), when it is too large
    /// ([`SeriesError::TooMany`]) or when the engine is closing ([`SeriesError::Stopped`]).
    pub async fn append(&self, tenant: u64, samples: Vec<Sample>) -> crate::Result<Appended> {
        let limit = self.store.options.max_request_samples;
        if samples.len() > limit {
            return Err(SeriesError::TooMany { given: samples.len(), limit });
        }
        // Small requests weigh as much as their place in the queue, so that the queue itself never overflows.
        let weight = samples.len().max(self.store.options.max_waiting_samples.div_ceil(WAITING_JOBS));
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let place = self.places.clone().acquire_many_owned(weight).await.map_err(|_| SeriesError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let job = Job::Append(Append { tenant, samples, reply, _place: place });
        self.jobs.try_send(job).map_err(|_| SeriesError::Stopped)?;
        answer.await.map_err(|_| SeriesError::Stopped)?
    }

    /// The points of all series that every matcher means, from `from_ms` to `to_ms`, both included; in order of labels.
    ///
    /// # Errors
    /// None today; an engine on another machine will have some.
    pub fn select(
        &self,
        tenant: u64,
        matchers: &[Matcher],
        from_ms: i64,
        to_ms: i64,
    ) -> crate::Result<Vec<SeriesData>> {
        Ok(self.store.select(tenant, matchers, from_ms, to_ms))
    }

    /// As [`select`](Self::select), thinned for a picture: at most about `max_points` a series, lowest and highest kept.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn range(
        &self,
        tenant: u64,
        matchers: &[Matcher],
        from_ms: i64,
        to_ms: i64,
        max_points: usize,
    ) -> crate::Result<Vec<SeriesData>> {
        let mut found = self.store.select(tenant, matchers, from_ms, to_ms);
        for series in &mut found {
            let points = std::mem::take(&mut series.points);
            series.points = crate::decimate::decimate(points, from_ms, to_ms, max_points);
        }
        Ok(found)
    }

    /// The newest point of each series that every matcher means, if it is younger than `within_ms`. A series whose newest
    /// point is the stale marker has ended and is left out.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn latest(
        &self,
        tenant: u64,
        matchers: &[Matcher],
        within_ms: i64,
    ) -> crate::Result<Vec<(Labels, (i64, f64))>> {
        Ok(self.store.latest(tenant, matchers, within_ms))
    }

    /// The series that every matcher means, in order; without a matcher all of the tenant.
    pub fn series(&self, tenant: u64, matchers: &[Matcher]) -> Vec<Labels> {
        self.store.state.read().index.select(tenant, matchers).into_iter().map(|(labels, _)| labels).collect()
    }

    /// The label names of those series, sorted.
    pub fn label_names(&self, tenant: u64, matchers: &[Matcher]) -> Vec<String> {
        self.store.state.read().index.names(tenant, matchers)
    }

    /// The values that label `name` has among those series, sorted.
    pub fn label_values(&self, tenant: u64, name: &str, matchers: &[Matcher]) -> Vec<String> {
        self.store.state.read().index.values(tenant, name, matchers)
    }

    /// Reads every file and checks every checksum. Blocks its thread for as long as that takes.
    ///
    /// # Errors
    /// [`SeriesError::Io`] when a folder or a log segment cannot be read at all.
    pub fn verify(&self) -> crate::Result<VerifyReport> {
        self.store.verify()
    }

    /// Seals now what is over, cuts the log and removes what is too old; else the writer does so every half minute.
    /// Nothing acknowledged depends on it. Blocks its thread meanwhile.
    ///
    /// # Errors
    /// [`SeriesError::Io`] when the disk refuses; it is tried again later.
    pub fn flush(&self) -> crate::Result<()> {
        self.ask(Job::Tend)
    }

    /// Asks the writer and waits, blocking the thread.
    fn ask<T>(&self, job: impl FnOnce(SyncSender<crate::Result<T>>) -> Job) -> crate::Result<T> {
        let (reply, answer) = sync_channel(1);
        self.jobs.send(job(reply)).map_err(|_| SeriesError::Stopped)?;
        answer.recv().map_err(|_| SeriesError::Stopped)?
    }

    /// Writes a consistent copy into `dir`, which must be empty or missing; it opens as an engine. Appends go on meanwhile.
    /// Blocks its thread meanwhile.
    ///
    /// # Errors
    /// [`SeriesError::Io`] when the folder is not empty or the disk refuses.
    pub fn snapshot_to(&self, dir: &Path) -> crate::Result<SnapshotReport> {
        prepare(dir)?;
        let _pin = self.store.pin();
        let blocks = self.ask(|reply| Job::Snapshot(wal_dir(dir), reply))?;
        self.store.copy_blocks(dir, &blocks)
    }

    /// The engine's own figures.
    pub fn stats(&self) -> Stats {
        let state = self.store.state.read();
        let counters = &self.store.counters;
        let wal = segments(&self.store.wal_dir()).unwrap_or_default();
        Stats {
            series: state.index.len(),
            active_series: state.index.all_active(),
            head_samples: state.head.samples(),
            head_bytes: state.head.bytes(),
            blocks: state.blocks.len(),
            block_bytes: state.blocks.values().map(|b| b.bytes).sum(),
            wal_bytes: wal.iter().filter_map(|(_, path)| Some(fs::metadata(path).ok()?.len())).sum(),
            accepted: counters.accepted.load(Relaxed),
            repeated: counters.repeated.load(Relaxed),
            refused: counters.refused.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            disk_errors: counters.disk_errors.load(Relaxed),
            damaged_reads: counters.damaged_reads.load(Relaxed),
            newest_ms: state.head.newest_ms,
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The writer may be gone already, which is as good.
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

fn lock(dir: &Path) -> crate::Result<File> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(SeriesError::Locked { path: dir.to_path_buf() }),
        Err(fs::TryLockError::Error(source)) => Err(at("lock", &path)(source)),
    }
}

/// Removes what an interrupted write left behind: the log still has what it was to hold.
fn remove_parts(folder: &Path) -> crate::Result<()> {
    for entry in fs::read_dir(folder).map_err(at("list", folder))? {
        let path = entry.map_err(at("list", folder))?.path();
        if path.extension().is_some_and(|e| e == "part") {
            fs::remove_file(&path).map_err(at("remove", &path))?;
        }
    }
    Ok(())
}

/// Finds the sealed files, finishes what a kill interrupted, and fills the index.
fn read_blocks(dir: &Path, state: &mut State, recovery: &mut Recovery) -> crate::Result<()> {
    let folder = blocks_dir(dir);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
        let path = entry.map_err(at("list", &folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if let Some(key) = block::parse_name(name) {
            found.push((key, path));
        }
    }
    // Newest generation first, so that what it replaces is known before it is met.
    found.sort_unstable_by(|a, b| b.cmp(a));
    let mut replaced = (i64::MAX, 0);
    for ((start, generation), path) in found {
        if replaced.0 == start && generation <= replaced.1 {
            fs::remove_file(&path).map_err(at("remove", &path))?;
            continue;
        }
        let file = shown(dir, &path);
        let contents = match block::contents(&path, &file) {
            Ok(contents) => contents,
            Err(_) => {
                recovery.damaged.push(Damage { file, offset: 0, length: 0, kind: DamageKind::Unreadable });
                continue;
            }
        };
        if contents.damaged.is_empty() && contents.header.replaces > 0 {
            replaced = (start, contents.header.replaces);
        }
        recovery.damaged.extend(contents.damaged);
        let known = contents.series.into_iter().map(|(tenant, labels, p)| (state.index.intern(tenant, &labels), p));
        let places = known.collect();
        state.add_block(Block::new(path, contents.header, contents.bytes, places));
    }
    Ok(())
}

/// Replays the log into the head; the number that the next segment must be above.
fn read_log(dir: &Path, state: &mut State, now_ms: i64, recovery: &mut Recovery) -> crate::Result<u64> {
    // The log may be empty because everything was sealed. A number that a sealed file says it covers is never used
    // again: samples in such a segment would be taken for sealed ones.
    let mut newest = state.blocks.values().map(|b| b.header.log_upto).max().unwrap_or(0);
    for (number, path) in segments(&wal_dir(dir))? {
        newest = newest.max(number);
        let bytes = fs::read(&path).map_err(at("read", &path))?;
        let read = replay(&shown(dir, &path), &bytes);
        recovery.segments += 1;
        for torn in read.damaged.iter().filter(|d| d.kind == DamageKind::TornTail) {
            recovery.cut_bytes += torn.length;
            let file = File::options().write(true).open(&path).map_err(at("open", &path))?;
            file.set_len(torn.offset).and_then(|()| file.sync_all()).map_err(at("repair", &path))?;
        }
        recovery.damaged.extend(read.damaged);
        for (tenant, labels, points) in read.series {
            let points: Vec<_> = points.into_iter().filter(|p| !sealed(state, p.0, number)).collect();
            if points.is_empty() {
                continue;
            }
            let id = state.index.intern(tenant, &labels);
            recovery.samples += points.len() as u64;
            for point in points {
                state.insert(id, point, now_ms);
            }
        }
    }
    Ok(newest)
}

/// Whether a sealed file covers this moment for this log segment.
fn sealed(state: &State, at_ms: i64, segment: u64) -> bool {
    let start = crate::head::window_start(at_ms);
    state.blocks.range((start, 0)..=(start, u32::MAX)).any(|(_, b)| b.header.log_upto >= segment)
}

#[cfg(test)]
mod tests;
