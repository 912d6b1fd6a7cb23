//! The writer thread: the only one that changes anything. It takes what waits, admits it, logs it with one sync, applies it,
//! and answers; now and then it seals what is over and removes what is too old.
//!
//! Nothing is visible to a reader, and nobody is told "accepted", before the sync that covers it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::chunk::Point;
use crate::error::{Refusal, SeriesError};
use crate::head::Inserted;
use crate::index::SeriesId;
use crate::labels::{Labels, Sample};
use crate::log::{Log, LogSample};
use crate::store::{State, Store, count};

/// Samples that one sync covers, at most.
const GROUP_SAMPLES: usize = 65_536;
/// How often sealing and retention are looked at, in milliseconds.
const TEND_EVERY_MS: i64 = 30_000;

/// What became of one request to append.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// Samples that are on disk, those included that were there already.
    pub accepted: usize,
    /// Samples that were not taken, each with its reason.
    pub refused: Vec<Refused>,
}

/// One sample that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Why.
    pub reason: Refusal,
}

/// A caller's samples, waiting.
pub(crate) struct Append {
    pub(crate) tenant: u64,
    pub(crate) samples: Vec<Sample>,
    pub(crate) reply: oneshot::Sender<crate::Result<Appended>>,
    /// Gives the place in the queue back when it is dropped.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// Everything that the writer is asked to do.
pub(crate) enum Job {
    Append(Append),
    Tend(SyncSender<crate::Result<()>>),
    Snapshot(std::path::PathBuf, SyncSender<crate::Result<Vec<std::path::PathBuf>>>),
    Stop,
}

/// The thread's own state.
pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) log: Log,
    pub(crate) tended_ms: i64,
}

impl Writer {
    /// Runs until it is told to stop or nobody can tell it anything any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(Duration::from_millis(TEND_EVERY_MS as u64)) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Append(first)) => {
                    if self.group(first, jobs) {
                        return;
                    }
                }
                Ok(other) => self.other(other),
            }
            self.tend_when_due();
        }
    }

    /// Takes everything that waits behind `first`, up to a limit, and writes it as one group. True when told to stop.
    fn group(&mut self, first: Append, jobs: &Receiver<Job>) -> bool {
        let mut samples = first.samples.len();
        let mut group = vec![first];
        let mut next = None;
        while samples < GROUP_SAMPLES {
            match jobs.try_recv() {
                Ok(Job::Append(append)) => {
                    samples += append.samples.len();
                    group.push(append);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.write(group);
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
            Job::Snapshot(dir, reply) => drop(reply.send(self.snapshot(&dir))),
            Job::Append(append) => self.write(vec![append]),
            Job::Stop => {}
        }
    }

    fn tend_when_due(&mut self) {
        let now = self.store.now_ms();
        // A clock that was set back makes it due at once.
        if (self.tended_ms..self.tended_ms.saturating_add(TEND_EVERY_MS)).contains(&now) {
            return;
        }
        if let Err(error) = self.tend() {
            tracing::warn!(%error, cause = ?std::error::Error::source(&error), "could not seal; it is tried again");
        }
    }

    fn write(&mut self, group: Vec<Append>) {
        let now = self.store.now_ms();
        let mut admission = Admission::new(&self.store, now);
        let outcomes: Vec<Appended> = group.iter().map(|a| admission.admit(a.tenant, &a.samples)).collect();
        let (fresh, admitted, repeated) = admission.decided();
        let written = if admitted.is_empty() { Ok(()) } else { self.log_and_apply(&admitted, &fresh, now) };
        let counters = &self.store.counters;
        match written {
            Ok(()) => {
                count(&counters.repeated, repeated);
                for (append, appended) in group.into_iter().zip(outcomes) {
                    count(&counters.accepted, appended.accepted as u64);
                    count(&counters.refused, appended.refused.len() as u64);
                    // A caller that has gone away does not need the answer.
                    let _ = append.reply.send(Ok(appended));
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

    fn log_and_apply(&mut self, admitted: &[LogSample], fresh: &Fresh, now: i64) -> crate::Result<()> {
        {
            let state = self.store.state.read();
            let who = |id| match fresh.who.get(&id) {
                Some(known) => Some(known.clone()),
                None => state.index.entry(id).map(|e| (e.tenant, e.labels.clone())),
            };
            // Only this thread takes the write lock, so readers are not held up by the sync.
            self.log.commit(admitted, &who)?;
        }
        count(&self.store.counters.syncs, 1);
        let mut state = self.store.state.write();
        for (id, (tenant, labels)) in &fresh.who {
            let given = state.index.intern(*tenant, labels);
            debug_assert_eq!(given, *id, "numbers are given in the order of admission");
        }
        for sample in admitted {
            state.insert(sample.id, sample.point, now);
        }
        Ok(())
    }
}

/// Series that this group brings, by the number that they will get.
#[derive(Default)]
struct Fresh {
    ids: HashMap<(u64, Labels), SeriesId>,
    who: std::collections::BTreeMap<SeriesId, (u64, Labels)>,
    /// How many series of each tenant become active with this group.
    active: HashMap<u64, usize>,
    woken: std::collections::HashSet<SeriesId>,
}

/// Decides sample by sample; changes nothing that anyone else can see.
struct Admission<'a> {
    store: &'a Store,
    state: parking_lot::RwLockReadGuard<'a, State>,
    now_ms: i64,
    fresh: Fresh,
    /// Points of this group, so that repeats within it are seen.
    seen: HashMap<(SeriesId, i64), f64>,
    admitted: Vec<LogSample>,
    repeated: u64,
}

impl<'a> Admission<'a> {
    fn new(store: &'a Store, now_ms: i64) -> Self {
        let state = store.state.read();
        let (fresh, seen, admitted) = (Fresh::default(), HashMap::new(), Vec::new());
        Self { store, state, now_ms, fresh, seen, admitted, repeated: 0 }
    }

    /// What was decided; lets go of the state, which the writer is about to change.
    fn decided(self) -> (Fresh, Vec<LogSample>, u64) {
        (self.fresh, self.admitted, self.repeated)
    }

    fn admit(&mut self, tenant: u64, samples: &[Sample]) -> Appended {
        let mut outcome = Appended::default();
        for (index, sample) in samples.iter().enumerate() {
            match self.one(tenant, sample) {
                Ok(()) => outcome.accepted += 1,
                Err(reason) => outcome.refused.push(Refused { index, reason }),
            }
        }
        outcome
    }

    fn one(&mut self, tenant: u64, sample: &Sample) -> Result<(), Refusal> {
        let options = &self.store.options;
        let age = self.now_ms.saturating_sub(sample.at_ms);
        let accept_late_ms = options.accept_late_ms.min(options.retention_ms);
        if age > accept_late_ms {
            return Err(Refusal::TooOld { late_ms: age - accept_late_ms, accept_late_ms });
        }
        if age < -options.accept_ahead_ms {
            return Err(Refusal::TooFarAhead { ahead_ms: age.saturating_neg() });
        }
        let point = (sample.at_ms, sample.value);
        let known = self.state.index.find(tenant, &sample.labels);
        if let Some(id) = known {
            match self.state.head.probe(id, point) {
                Inserted::Repeated => {
                    self.repeated += 1;
                    return Ok(());
                }
                Inserted::Conflict => return Err(Refusal::Conflict { at_ms: sample.at_ms }),
                Inserted::New => {}
            }
        }
        let id = self.number(tenant, &sample.labels, known)?;
        self.once(id, point)
    }

    /// The number of the series, which counts against the tenant's limit when it was not active before.
    fn number(&mut self, tenant: u64, labels: &Labels, known: Option<SeriesId>) -> Result<SeriesId, Refusal> {
        if let Some(id) = known
            && (self.fresh.woken.contains(&id) || self.state.index.entry(id).is_some_and(|e| e.head > 0))
        {
            return Ok(id);
        }
        if known.is_none()
            && let Some(id) = self.fresh.ids.get(&(tenant, labels.clone()))
        {
            return Ok(*id);
        }
        let limit = self.store.options.max_series;
        let more = self.fresh.active.entry(tenant).or_default();
        if self.state.index.active(tenant) + *more >= limit {
            return Err(Refusal::TooManySeries { limit });
        }
        *more += 1;
        match known {
            Some(id) => {
                self.fresh.woken.insert(id);
                Ok(id)
            }
            None => {
                let id = self.state.index.next() + self.fresh.who.len() as SeriesId;
                self.fresh.ids.insert((tenant, labels.clone()), id);
                self.fresh.who.insert(id, (tenant, labels.clone()));
                Ok(id)
            }
        }
    }

    fn once(&mut self, id: SeriesId, point: Point) -> Result<(), Refusal> {
        match self.seen.get(&(id, point.0)).map(|old| Inserted::of(*old, point.1)) {
            Some(Inserted::Repeated) => self.repeated += 1,
            Some(_) => return Err(Refusal::Conflict { at_ms: point.0 }),
            None => {
                self.seen.insert((id, point.0), point.1);
                self.admitted.push(LogSample { id, point });
            }
        }
        Ok(())
    }
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
