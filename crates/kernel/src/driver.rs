//! The driver of controllers and workers: tails the journal, merges wake-ups, keeps timers, scans, backs off, shows the last run.
//!
//! Events for speed, scans for truth: at start and every [`SCAN_EVERY`] all open records of the watched classes are looked at.
//! One task for each controller: a slow one delays no other. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::act::Kernel;
use crate::backend::{ControllerState, Touched};
use crate::clock::Time;
use crate::controller::{Controller, Cx, Next};
use crate::error::{ActError, StoreError};
use crate::ids::{Id, Kind, TenantId};
use crate::job::{Attempt, Lease, Worker, after};
use crate::session::Session;

/// How often everything is looked at, whether or not something changed.
pub const SCAN_EVERY: Duration = Duration::from_secs(300);
/// Wake-ups handled in one go.
const BATCH: usize = 256;
/// How often the state of a controller is kept at most; a kill costs a repeated look, which is harmless.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a job's lease holds without a heartbeat.
const LEASE: Duration = Duration::from_secs(15);
/// Jobs of one worker at the same time.
const JOBS_AT_ONCE: usize = 8;
/// Longest sleep of a worker with nothing to do.
const IDLE: Duration = Duration::from_secs(30);

/// Looks that are due: by time, and which entry woke it (0: timer or scan).
#[derive(Default)]
struct Due {
    now: BTreeMap<(TenantId, Id), u64>,
    timers: BTreeSet<(Time, TenantId, Id)>,
    at: BTreeMap<(TenantId, Id), Time>,
}

impl Due {
    fn wake(&mut self, tenant: TenantId, id: Id, seq: u64) {
        let cause = self.now.entry((tenant, id)).or_default();
        *cause = seq.max(*cause);
    }

    fn set_timer(&mut self, tenant: TenantId, id: Id, next: Next) {
        if let Some(old) = self.at.remove(&(tenant, id)) {
            self.timers.remove(&(old, tenant, id));
        }
        if let Next::At(time) = next {
            self.timers.insert((time, tenant, id));
            self.at.insert((tenant, id), time);
        }
    }

    fn take_expired(&mut self, now: Time) {
        while let Some((time, tenant, id)) = self.timers.first().copied().filter(|(t, ..)| *t <= now) {
            self.timers.remove(&(time, tenant, id));
            self.at.remove(&(tenant, id));
            self.wake(tenant, id, 0);
        }
    }

    fn next_timer(&self) -> Option<Time> {
        self.timers.first().map(|(t, ..)| *t)
    }
}

/// Runs one controller until the future is dropped.
pub async fn drive(kernel: Kernel, controller: Arc<dyn Controller>) {
    let mut state = load_state(&kernel, controller.name()).await;
    let mut head = kernel.head();
    let mut due = Due::default();
    let mut last_scan: Option<Time> = None;
    let mut kept = kernel.now();
    let kinds: Vec<Kind> = controller.watches().iter().map(|k| Kind::new(k)).collect();
    loop {
        let now = kernel.now();
        if last_scan.is_none_or(|t| now.since(t) >= SCAN_EVERY) {
            if let Err(error) = scan(&kernel, &*controller, &kinds, &mut due).await {
                tracing::warn!(controller = controller.name(), %error, "could not scan");
            }
            last_scan = Some(now);
        }
        head.borrow_and_update();
        match tail(&kernel, &kinds, &mut state, &mut due).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(controller = controller.name(), %error, "could not read the journal"),
        }
        due.take_expired(now);
        let batch: Vec<((TenantId, Id), u64)> = std::iter::from_fn(|| due.now.pop_first()).take(BATCH).collect();
        for ((tenant, id), cause) in batch {
            look(&kernel, &*controller, &mut state, &mut due, tenant, id, cause).await;
        }
        if kernel.now().since(kept) >= KEEP_EVERY {
            keep(&kernel, &state).await;
            kept = kernel.now();
        }
        if due.now.is_empty() {
            rest(&kernel, &mut head, &due).await;
        }
    }
}

async fn load_state(kernel: &Kernel, name: &str) -> ControllerState {
    match kernel.backend().controller(name).await {
        Ok(Some(state)) => state,
        // A new controller starts at the head: the scan shows it everything that stands.
        Ok(None) => ControllerState {
            name: name.to_owned(),
            cursor: kernel.backend().head().await.unwrap_or(0),
            ..ControllerState::default()
        },
        Err(error) => {
            tracing::warn!(controller = name, %error, "could not read its last state; it scans everything");
            ControllerState { name: name.to_owned(), ..ControllerState::default() }
        }
    }
}

/// Everything that was touched since the cursor.
async fn tail(kernel: &Kernel, kinds: &[Kind], state: &mut ControllerState, due: &mut Due) -> Result<(), StoreError> {
    loop {
        let touched: Vec<Touched> = kernel.backend().touched_after(kinds, state.cursor, BATCH).await?;
        for t in &touched {
            due.wake(t.tenant, t.id, t.seq);
            state.cursor = state.cursor.max(t.seq);
        }
        if touched.len() < BATCH {
            return Ok(());
        }
    }
}

async fn scan(kernel: &Kernel, controller: &dyn Controller, kinds: &[Kind], due: &mut Due) -> Result<(), StoreError> {
    for kind in kinds {
        let mut after = None;
        loop {
            let page = kernel.backend().scan(kind, None, !controller.scans_closed(), after, 1000).await?;
            for (tenant, id) in &page {
                due.wake(*tenant, *id, 0);
            }
            after = page.last().map(|(_, id)| *id);
            if page.len() < 1000 {
                break;
            }
        }
    }
    Ok(())
}

async fn look(
    kernel: &Kernel,
    controller: &dyn Controller,
    state: &mut ControllerState,
    due: &mut Due,
    tenant: TenantId,
    id: Id,
    cause: u64,
) {
    let session = Session::controller(controller.name(), tenant);
    let session = if cause > 0 { session.because(cause) } else { session };
    let cx = Cx { kernel: kernel.clone(), session, tenant };
    let now = kernel.now();
    state.runs += 1;
    state.last_run = Some(now);
    match controller.reconcile(&cx, id).await {
        Ok(looked) => {
            state.last_reason = looked.reason;
            state.last_error = None;
            due.set_timer(tenant, id, looked.next);
        }
        // Deleted meanwhile: nothing to keep.
        Err(ActError::Unknown { .. }) => due.set_timer(tenant, id, Next::OnChange),
        Err(error) => {
            tracing::warn!(controller = controller.name(), %id, %error, "a look failed; it is tried again in 5 s");
            state.last_error = Some(error.to_string());
            due.set_timer(tenant, id, Next::At(now.plus(Duration::from_secs(5))));
        }
    }
}

async fn keep(kernel: &Kernel, state: &ControllerState) {
    if let Err(error) = kernel.backend().keep_controller(state).await {
        tracing::warn!(controller = state.name, %error, "could not keep its state");
    }
}

/// Until the journal grows or the next timer is due.
async fn rest(kernel: &Kernel, head: &mut tokio::sync::watch::Receiver<u64>, due: &Due) {
    let now = kernel.now();
    let until = due.next_timer().map_or(SCAN_EVERY, |t| t.since(now)).min(SCAN_EVERY);
    let _ = tokio::time::timeout(until.max(Duration::from_millis(1)), head.changed()).await;
}

/// Runs one worker's jobs until the future is dropped.
pub async fn work(kernel: Kernel, worker: Arc<dyn Worker>, name: String) {
    let slots = Arc::new(tokio::sync::Semaphore::new(JOBS_AT_ONCE));
    let mut head = kernel.head();
    loop {
        head.borrow_and_update();
        let free = slots.available_permits();
        let lease = Lease { worker: name.clone(), now: kernel.now(), span: LEASE };
        let jobs = match kernel.backend().lease(worker.kinds(), &lease, free).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(worker = ?worker.kinds(), %error, "could not lease jobs");
                Vec::new()
            }
        };
        let got = jobs.len();
        for job in jobs {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (kernel, worker, lease) = (kernel.clone(), worker.clone(), lease.clone());
            tokio::spawn(async move {
                one_job(&kernel, &*worker, &lease, job).await;
                drop(slot);
            });
        }
        if got == free && free > 0 {
            continue;
        }
        let due = kernel.backend().next_due(worker.kinds()).await.unwrap_or(None);
        let wait = due.map_or(IDLE, |t| t.since(kernel.now())).clamp(Duration::from_millis(5), IDLE);
        let busy = slots.available_permits() < JOBS_AT_ONCE;
        let wait = if busy { wait.min(Duration::from_millis(200)) } else { wait };
        let _ = tokio::time::timeout(wait, head.changed()).await;
    }
}

async fn one_job(kernel: &Kernel, worker: &dyn Worker, lease: &Lease, job: crate::job::Job) {
    let attempt = match job.deadline {
        Some(deadline) if kernel.now() > deadline => Attempt::Refused("its deadline has passed".into()),
        _ => {
            let beat = async {
                loop {
                    tokio::time::sleep(LEASE / 3).await;
                    let lease = Lease { now: kernel.now(), ..lease.clone() };
                    if !kernel.backend().heartbeat(job.id, &lease).await.unwrap_or(true) {
                        return; // Lost: another worker has it; its fence refuses our result.
                    }
                }
            };
            tokio::select! {
                attempt = worker.work(kernel, &job) => attempt,
                () = beat => return,
            }
        }
    };
    let finish = after(&job, &attempt, kernel.now());
    let commit = crate::backend::Commit {
        tenant: job.tenant,
        steps: vec![crate::backend::Step::Finish(finish)],
        idempotency: None,
        now: kernel.now(),
    };
    if let Err(error) = kernel.backend().commit(commit).await {
        tracing::warn!(job = %job.id, kind = job.kind, %error, "could not keep the result; the job will be repeated");
    }
}
