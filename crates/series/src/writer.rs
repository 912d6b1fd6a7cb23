//! The writer thread: the only one that changes anything. It takes what waits, admits it, logs it with one sync, applies it,
//! and answers; now and then it seals what is over and removes what is too old.
//!
//! Nothing is visible to a reader, and nobody is told "accepted", before the sync that covers it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::admit::{Admission, Decided, Met};
use crate::chunk::Point;
use crate::cut::Cut;
use crate::error::{Refusal, SeriesError};
use crate::import::Import;
use crate::index::Place;
use crate::log::Log;
use crate::prepare::{Beside, LogHistogram, Prepared};
use crate::record::Record;
use crate::store::{Store, count};

/// Samples that one sync covers, at most.
const GROUP_SAMPLES: usize = 65_536;
/// How often sealing and retention are looked at, in milliseconds.
const TEND_EVERY_MS: i64 = 30_000;
/// A log shorter than this is read again at the next start rather than copied at the end.
const SHORT_LOG_BYTES: u64 = 1 << 20;
/// How many times as long as it took a copy of the head rests before the next one, and how long it took at least.
const COPY_RESTS: i64 = 20;
const SHORT_COPY_MS: i64 = 50;
/// Deletes that may wait for sealed files to be made anew: each is looked at by every read of such a file.
const MOST_CUTS: usize = 1_000;

/// What became of one request to append.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// Samples (floats and native histograms) that are on disk, those included that were there already.
    pub accepted: usize,
    /// Exemplars that are on disk, those included that were there already. Those that were not taken are only counted.
    pub exemplars: usize,
    /// Samples that were not taken, each with its reason.
    pub refused: Vec<Refused>,
}

/// One sample that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its place in the request, from 0: first the floats, then the histograms.
    pub index: usize,
    /// Why.
    pub reason: Refusal,
}

/// What the writer says to a request.
pub(crate) enum Answer {
    Appended(Appended),
    /// A series was forgotten between the look-up and the writer: look again. What was sent is given back.
    LookAgain(Vec<Point>, Beside),
}

/// A caller's samples, waiting.
pub(crate) struct Append {
    pub(crate) request: Prepared,
    pub(crate) reply: oneshot::Sender<crate::Result<Answer>>,
    /// Gives the place in the queue back when it is dropped.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// Everything that the writer is asked to do.
pub(crate) enum Job {
    Append(Append),
    Tend(SyncSender<crate::Result<()>>),
    Import(Import, SyncSender<crate::Result<Appended>>),
    Delete(Cut, SyncSender<crate::Result<()>>),
    Snapshot(std::path::PathBuf, SyncSender<crate::Result<Vec<std::path::PathBuf>>>),
    Stop,
}

/// The thread's own state.
pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) log: Log,
    pub(crate) met: Met,
    /// The file that is being made, if one is.
    pub(crate) task: Option<crate::seal::Task>,
    pub(crate) tended_ms: i64,
    /// A time in which the head is not copied because the log is long, only because it is too long.
    pub(crate) copy_rests: Range<i64>,
}

impl Writer {
    /// Runs until it is told to stop or nobody can tell it anything any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(self.patience()) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return self.stop(),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Append(first)) => {
                    if self.group(first, jobs) {
                        return self.stop();
                    }
                }
                Ok(other) => self.other(other),
            }
            self.tend_when_due();
        }
    }

    /// How long to wait for a job before looking at what else is due: a copy of the head that rests need not wait for one.
    fn patience(&self) -> Duration {
        let rests_ms = self.copy_rests.end.saturating_sub(self.store.now_ms());
        let wait_ms = if self.log.is_long() { rests_ms.clamp(SHORT_COPY_MS, TEND_EVERY_MS) } else { TEND_EVERY_MS };
        Duration::from_millis(wait_ms as u64)
    }

    /// Leaves the head behind in the form that the next start reads fastest. Nothing acknowledged depends on it.
    fn stop(&mut self) {
        if let Err(error) = self.end_task() {
            tracing::warn!(%error, "could not seal at the end; it is tried again after the next start");
        }
        if (self.log.since_checkpoint() > SHORT_LOG_BYTES || self.log.is_in_pieces())
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "could not copy the head at the end; the next start reads the log instead");
        }
        self.keep_list();
    }

    /// Takes everything that waits behind `first`, up to a limit, and writes it as one group. True when told to stop.
    fn group(&mut self, first: Append, jobs: &Receiver<Job>) -> bool {
        let mut samples = first.request.weight();
        let mut group = vec![first];
        let mut next = None;
        while samples < GROUP_SAMPLES {
            match jobs.try_recv() {
                Ok(Job::Append(append)) => {
                    samples += append.request.weight();
                    group.push(append);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.write(group, samples);
        match next {
            Some(Job::Stop) => return true,
            Some(other) => self.other(other),
            None => {}
        }
        false
    }

    fn other(&mut self, job: Job) {
        match job {
            Job::Tend(reply) => drop(reply.send(self.tend())),
            Job::Snapshot(dir, reply) => drop(reply.send(self.end_task().and_then(|()| self.snapshot(&dir)))),
            Job::Import(import, reply) => {
                drop(reply.send(self.end_task().and_then(|()| self.store.import(import))));
            }
            Job::Delete(cut, reply) => drop(reply.send(self.end_task().and_then(|()| self.delete(cut)))),
            Job::Append(append) => {
                let samples = append.request.weight();
                self.write(vec![append], samples);
            }
            Job::Stop => {}
        }
    }

    fn tend_when_due(&mut self) {
        let mut due = false;
        if let Some(task) = &self.task {
            if !task.is_finished() {
                return;
            }
            if let Err(error) = self.end_task() {
                return tell(&error);
            }
            due = true;
        }
        if self.copy_is_due()
            && let Err(error) = self.checkpoint()
        {
            tell(&error);
        }
        // A clock that was set back makes it due at once.
        let now = self.store.now_ms();
        due |= !(self.tended_ms..self.tended_ms.saturating_add(TEND_EVERY_MS)).contains(&now);
        if due {
            self.keep_list();
            if let Err(error) = self.tend_beside() {
                tell(&error);
            }
        }
    }

    fn keep_list(&mut self) {
        if let Err(error) = self.log.keep_list() {
            tracing::warn!(%error, "could not say how long the log is: should its end be lost, nobody would see it");
        }
    }

    /// Whether the head is to be copied, so that a start after a kill reads little sample by sample. Copying holds up who
    /// writes, so after each it rests for a multiple of the time that it took.
    fn copy_is_due(&self) -> bool {
        self.log.since_checkpoint() > self.store.options.wal_checkpoint_bytes
            || (self.log.is_long() && !self.copy_rests.contains(&self.store.now_ms()))
    }

    fn write(&mut self, mut group: Vec<Append>, samples: usize) {
        let now = self.store.now_ms();
        let store = self.store.clone();
        let mut admission = Admission::new(&store, now, &mut self.met, samples);
        let outcomes: Vec<Option<Appended>> = group.iter_mut().map(|a| admission.admit(&mut a.request)).collect();
        let mut decided = admission.decided();
        let written = if decided.is_empty() { Ok(()) } else { self.log_and_apply(&mut decided, now) };
        let counters = &self.store.counters;
        match written {
            Ok(()) => {
                count(&counters.repeated, decided.repeated);
                for (append, outcome) in group.into_iter().zip(outcomes) {
                    let Append { request, reply, _place } = append;
                    // Before the answer, so that a caller who has it finds its place in the queue free.
                    drop(_place);
                    let answer = match outcome {
                        Some(appended) => {
                            count(&counters.accepted, appended.accepted as u64);
                            counters.count_refused(&appended.refused);
                            Answer::Appended(appended)
                        }
                        None => Answer::LookAgain(request.points, request.beside),
                    };
                    // A caller that has gone away does not need the answer.
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(error) => {
                count(&counters.disk_errors, 1);
                for append in group {
                    let _ = append.reply.send(Err(copy(&error)));
                }
            }
        }
    }

    fn log_and_apply(&mut self, decided: &mut Decided, now: i64) -> crate::Result<()> {
        let first_new = {
            let index = self.store.index.read();
            let new_ids: Vec<_> = (0..decided.new.len()).map(|n| index.next(n)).collect();
            let mut places: hashbrown::HashTable<(u32, u32)> = hashbrown::HashTable::with_capacity(new_ids.len());
            let spread = |id: u32| u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for (place, id) in new_ids.iter().enumerate() {
                self.log.renamed(*id);
                places.insert_unique(spread(*id), (*id, place as u32), |(id, _)| spread(*id));
            }
            let key = |id: u32, out: &mut Vec<u8>| match places.find(spread(id), |(other, _)| *other == id) {
                Some((_, place)) => {
                    let (tenant, fresh) = &decided.new[*place as usize];
                    out.extend_from_slice(&fresh.key);
                    Some(*tenant)
                }
                None => index.put_key(id, out),
            };
            // Only this thread changes the index, so readers are not held up by the sync.
            self.log.commit(&decided.admitted, &records(decided), &key)?;
            new_ids
        };
        count(&self.store.counters.syncs, 1);
        if let Some(task) = &mut self.task {
            task.meet(&decided.admitted, &decided.histograms);
        }
        if !decided.new.is_empty() {
            let mut index = self.store.index.write();
            for ((tenant, fresh), id) in decided.new.iter().zip(&first_new) {
                let given = index.intern(*tenant, fresh.hash, &fresh.key);
                debug_assert_eq!(given, *id, "numbers are given in the order of admission");
            }
        }
        let mut change = self.store.head.change();
        for sample in &decided.admitted {
            change.insert(sample.id, sample.point);
        }
        for LogHistogram { id, at_ms, histogram } in &decided.histograms {
            change.insert_native(*id, *at_ms, histogram);
        }
        let opened = change.done(now);
        if !opened.is_empty() {
            let mut index = self.store.index.write();
            opened.into_iter().for_each(|id| index.hold(id, Place::Head));
        }
        if !first_new.is_empty() {
            self.store.index.write().doom_unheld(first_new.into_iter());
        }
        for (tenant, told) in std::mem::take(&mut decided.metadata) {
            self.store.families.keep(tenant, told, self.store.limits(tenant).max_families);
        }
        for (tenant, one) in std::mem::take(&mut decided.exemplars) {
            self.store.exemplars.keep(tenant, one, self.store.limits(tenant).max_exemplars);
        }
        Ok(())
    }

    /// Writes the whole head as one segment in place of the log so far, so that a start reads that instead.
    pub(crate) fn checkpoint(&mut self) -> crate::Result<()> {
        let store = self.store.clone();
        let (cuts, began) = (store.needed_cuts(), store.now_ms());
        let copied = store.with_head_copy(&cuts, |head| self.log.checkpoint(head));
        let ended = store.now_ms();
        // Also when the disk refuses: it is not filled again and again.
        let took_ms = ended.saturating_sub(began).max(SHORT_COPY_MS);
        self.copy_rests = ended..ended.saturating_add(took_ms.saturating_mul(COPY_RESTS));
        copied?;
        // Only now that no log tells of the others: until then every new file is of a later generation than they mean.
        *store.cuts.write() = cuts;
        Ok(())
    }

    /// Deletes what is stored now. No file is being made meanwhile, so that each is either older than the cut or made after it.
    fn delete(&mut self, mut cut: Cut) -> crate::Result<()> {
        if self.store.cuts.read().len() >= MOST_CUTS {
            return Err(SeriesError::TooManyDeletes { limit: MOST_CUTS });
        }
        cut.upto = self.store.newest_generation();
        self.log.commit(&[], &[Record::Cut(&cut)], &|_, _| None)?;
        count(&self.store.counters.syncs, 1);
        self.store.cut(cut);
        Ok(())
    }
}

/// What the log is to hold of a group beside floats.
fn records(decided: &Decided) -> Vec<Record<'_>> {
    let histograms = decided.histograms.iter();
    let histograms = histograms.map(|h| Record::Histogram { id: h.id, at_ms: h.at_ms, histogram: &h.histogram });
    let metadata = decided.metadata.iter().map(|(tenant, told)| Record::Metadata { tenant: *tenant, told });
    let exemplars = decided.exemplars.iter().map(|(tenant, one)| Record::Exemplar { tenant: *tenant, one });
    histograms.chain(metadata).chain(exemplars).collect()
}

fn tell(error: &SeriesError) {
    tracing::warn!(%error, cause = ?std::error::Error::source(error), "could not seal or copy the head; it is tried again");
}

/// The same error for each caller of a group.
fn copy(error: &SeriesError) -> SeriesError {
    match error {
        SeriesError::Io { action, path, source } => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            SeriesError::Io { action, path: path.clone(), source }
        }
        _ => SeriesError::Stopped,
    }
}
