//! The engine: a directory, a writer thread, and reads from any thread.

mod change;
mod lookup;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::admit::Met;
use crate::busy::Busy;
use crate::claim::Claim;
use crate::error::{SeriesError, io as at};
use crate::formats::{Batch, Limits};
use crate::labels::{Labels, Sample};
use crate::log::{Log, OpenLog, on_disk};
use crate::matcher::Matcher;
use crate::options::{Options, Recovery, Stats};
use crate::prepare::Prepared;
use crate::promql::{Select, Told};
use crate::read::SeriesData;
use crate::segments::segments;
use crate::snapshot::{SnapshotReport, prepare};
use crate::start::{read_blocks, read_log};
use crate::store::{Store, blocks_dir, wal_dir};
use crate::tiers::answer::Ask;
use crate::tiers::read_tiers;
use crate::verify::VerifyReport;
use crate::visit::{Found, Wanted};
use crate::writer::{Answer, Append, Appended, Job, Writer};

/// Requests that may wait for the writer.
const WAITING_JOBS: usize = 1024;

/// A time-series engine on one directory. Dropping it stops the writer; what was acknowledged is on disk at any time.
pub struct Engine {
    store: Arc<Store>,
    jobs: SyncSender<Job>,
    places: Arc<Semaphore>,
    answering: Busy,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Held as long as the engine lives, so that a second one is refused.
    lock: File,
}

impl Engine {
    /// Opens the engine in `dir`, which is created when missing. Reads the log, and repairs its torn end.
    ///
    /// Damage is no error: it is in the [`Recovery`], everything else is served.
    ///
    /// # Errors
    /// [`SeriesError::Locked`] when another engine has it open; [`SeriesError::Io`] when the directory cannot be used.
    pub fn open(dir: &Path, options: Options) -> crate::Result<(Self, Recovery)> {
        Claim::take(dir)?.open(options)
    }

    /// [`open`](Self::open), of a directory that nobody else can open.
    pub(crate) fn open_claimed(claim: Claim, options: Options) -> crate::Result<(Self, Recovery)> {
        Self::open_on(claim, options, on_disk())
    }

    /// The same, with the log on a disk of the caller's.
    pub(crate) fn open_on(claim: Claim, mut options: Options, disk: OpenLog) -> crate::Result<(Self, Recovery)> {
        let Claim { dir, lock } = claim;
        let dir = dir.as_path();
        options.max_waiting_samples = options.max_waiting_samples.max(WAITING_JOBS);
        options.max_request_samples = options.max_request_samples.min(options.max_waiting_samples);
        remove_parts(&wal_dir(dir))?;
        remove_parts(&blocks_dir(dir))?;
        let mut recovery = Recovery::default();
        let store = Arc::new(Store::new(dir, options));
        read_blocks(&store, &mut recovery)?;
        read_tiers(&store, &mut recovery)?;
        let read = read_log(&store, &mut recovery)?;
        recovery.blocks = store.blocks.read().len();
        recovery.series = store.index.read().len();
        let options = &store.options;
        let log = Log::new(wal_dir(dir), read, options.wal_segment_bytes, disk);
        let places = Arc::new(Semaphore::new(options.max_waiting_samples));
        let tended_ms = store.now_ms();
        let (jobs, waiting) = sync_channel(WAITING_JOBS + 16);
        let writer = Writer { store: store.clone(), log, met: Met::default(), task: None, tended_ms, copy_rests: 0..0 };
        let thread = std::thread::Builder::new()
            .name("series-writer".into())
            .spawn(move || writer.run(&waiting))
            .map_err(at("start the writer for", dir))?;
        let answering = Busy::default();
        Ok((Self { store, jobs, places, answering, thread: Mutex::new(Some(thread)), lock }, recovery))
    }

    /// Stores samples and returns after the fsync that covers them, which waiting callers share.
    ///
    /// A repeat of a stored sample is accepted and changes nothing, so a request can be sent again after any error. Samples
    /// may come in any order within [`Options::accept_late_ms`]. Those that are not taken are listed with their reason.
    ///
    /// # Errors
    /// Nothing of the request counts as stored when the disk refuses ([`SeriesError::Io`]), when it is too large
    /// ([`SeriesError::TooMany`]), when the tenant is too fast ([`SeriesError::TooFast`]: send it again later) or when the engine is closing ([`SeriesError::Stopped`]).
    pub async fn append(&self, tenant: u64, samples: Vec<Sample>) -> crate::Result<Appended> {
        let mut batch = Batch::new(Limits::NONE);
        for sample in &samples {
            let begun = batch.begin_series(&sample.labels);
            begun.and_then(|()| batch.point(sample.at_ms, sample.value)).expect("there is no limit");
        }
        self.append_batch(tenant, batch).await
    }

    /// Stores the samples of a decoded body, as [`append`](Self::append) does. The quick way in: series that are known are found
    /// by their bytes. Native histograms are samples as floats are; a series may have both by turns. Exemplars and metadata are
    /// kept with them, and are on disk when it returns too.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn append_batch(&self, tenant: u64, mut batch: Batch) -> crate::Result<Appended> {
        let limit = self.store.options.max_request_samples;
        if batch.samples() > limit {
            return Err(SeriesError::TooMany { given: batch.samples(), limit });
        }
        self.within_rate(tenant, batch.samples())?;
        loop {
            // Small requests weigh as much as their place in the queue, so that the queue itself never overflows.
            let weight = batch.samples().max(self.store.options.max_waiting_samples.div_ceil(WAITING_JOBS));
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            let place = self.places.clone().acquire_many_owned(weight).await.map_err(|_| SeriesError::Stopped)?;
            let request = Prepared::new(&self.store, tenant, &mut batch);
            let (reply, answer) = oneshot::channel();
            let job = Job::Append(Append { request, reply, _place: place });
            self.jobs.try_send(job).map_err(|_| SeriesError::Stopped)?;
            match answer.await.map_err(|_| SeriesError::Stopped)?? {
                Answer::Appended(appended) => return Ok(appended),
                Answer::LookAgain(points, beside) => {
                    batch.points = points;
                    beside.give_back(&mut batch);
                }
            }
        }
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

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many threads answer small questions on the spot.
    pub(crate) fn answering(&self) -> &Busy {
        &self.answering
    }

    /// Cores that queries are answered on.
    pub(crate) fn cores(&self) -> usize {
        self.store.options.query_threads
    }

    /// Whether it is soon found out that the matchers mean `most` series at most; waits for nobody.
    pub(crate) fn means_few(&self, tenant: u64, matchers: &[Matcher], most: usize) -> bool {
        self.store.index.try_read().is_some_and(|index| index.means_few(tenant, matchers, most))
    }

    /// Whether the samples of a time are in so many files at most, none of which must be looked through first.
    pub(crate) fn is_at_hand(&self, (from_ms, to_ms): (i64, i64), most_files: usize) -> bool {
        let files = self.store.blocks_in(from_ms, to_ms);
        files.len() <= most_files && files.iter().all(|file| file.is_laid_out())
    }

    /// Whether a query of that step may be answered from thinned-out samples.
    pub(crate) fn may_thin(&self, step_ms: i64) -> bool {
        self.store.options.tiers.iter().any(|tier| step_ms >= tier.interval_ms)
    }

    /// As [`select`](Self::select), series by series.
    pub(crate) fn visit<E>(
        &self,
        tenant: u64,
        what: &Select<'_>,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let wanted = Wanted { from_ms: what.from_ms, to_ms: what.to_ms, newest: what.newest };
        self.store.visit(tenant, what.matchers, wanted, what.along, each)
    }

    /// The values of a function at some moments from thinned-out samples; none when the samples are to be read.
    pub(crate) fn thinned<E>(
        &self,
        ask: &Ask<'_>,
        each: &mut dyn FnMut(Labels, Vec<f64>, usize) -> Result<(), E>,
    ) -> Result<Option<Told>, E> {
        self.store.answer_thinned(ask, each)
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
        let counters = &self.store.counters;
        let wal = segments(&self.store.wal_dir()).unwrap_or_default();
        let (head_samples, head_bytes) = self.store.head.size();
        let (blocks, block_bytes) = {
            let blocks = self.store.blocks.read();
            (blocks.len(), blocks.values().map(|b| b.header.file_bytes()).sum())
        };
        let (series, active_series) = {
            let index = self.store.index.read();
            (index.len(), index.all_active())
        };
        Stats {
            series,
            active_series,
            head_samples,
            head_bytes,
            blocks,
            block_bytes,
            wal_bytes: wal.iter().filter_map(|(_, path)| Some(fs::metadata(path).ok()?.len())).sum(),
            accepted: counters.accepted.load(Relaxed),
            repeated: counters.repeated.load(Relaxed),
            refused: counters.refused.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            refused_by: counters.refused_by(),
            refused_exemplars: counters.refused_exemplars.load(Relaxed),
            waiting_deletes: self.store.cuts.read().len(),
            disk_errors: counters.disk_errors.load(Relaxed),
            damaged_reads: counters.damaged_reads.load(Relaxed),
            newest_ms: self.store.head.newest_ms(),
        }
    }
}

impl Engine {
    /// Ends writing, and leaves the head behind in the form that the next start reads fastest. Whoever appends afterwards is
    /// told [`SeriesError::Stopped`]; reading goes on. Blocks for as long as that takes. Dropping an engine does the same; a
    /// program whose tasks still hold it when it ends calls this.
    pub fn close(&self) {
        // The writer may be gone already, which is as good.
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
        // In so many words: a process that was just started may hold the open file for a moment longer than we do.
        let _ = self.lock.unlock();
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

#[cfg(test)]
mod tests;
