//! Jobs as rows: enqueued with the change that asks for them, leased with a fence, finished once.

use kernel::clock::Time;
use kernel::error::StoreError;
use kernel::ids::{Id, TenantId};
use kernel::job::{Job, JobDraft, JobFinish, JobState, Lease};

use crate::conn::{Conn, DbError, Fault, Row, Val};
use crate::layout::{insert_sql, sealed};
use crate::writer::{Group, upsert};

const COLUMNS: &[&str] = &[
    "id",
    "tenant",
    "kind",
    "args",
    "state",
    "run_at",
    "deadline",
    "attempts",
    "max_attempts",
    "cause",
    "created",
    "fence",
    "lease_until",
    "worker",
    "last",
    "idempotency",
    "due",
];
const SELECT: &str = "SELECT id, tenant, kind, args, state, run_at, deadline, attempts, max_attempts, cause, created, fence, lease_until, worker, last, idempotency, due, sum FROM job";
/// A job whose workers die at every attempt is given up this many attempts past its own limit.
const DEATHS: u32 = 5;

/// A job with what is not told of it.
struct Stored {
    job: Job,
    worker: Option<String>,
    idempotency: Option<String>,
}

impl Stored {
    /// When somebody has to look at it next.
    fn due(&self) -> Option<Time> {
        match self.job.state {
            JobState::Waiting => Some(self.job.run_at),
            JobState::Running => self.job.lease_until,
            JobState::Done | JobState::Failed => None,
        }
    }

    fn write(&self, group: &mut Group<'_>) -> Result<(), DbError> {
        let job = &self.job;
        let args = job.args.to_string();
        let values = [
            (&job.id).into(),
            job.tenant.into(),
            (&job.kind).into(),
            Val::from(args),
            job.state.as_str().into(),
            job.run_at.into(),
            job.deadline.into(),
            job.attempts.into(),
            job.max_attempts.into(),
            job.cause.into(),
            job.created.into(),
            job.fence.into(),
            job.lease_until.into(),
            self.worker.as_deref().into(),
            job.last.as_deref().into(),
            self.idempotency.as_deref().into(),
            self.due().into(),
        ];
        upsert(group.writing(), "job", COLUMNS, 1, &values, true)
    }
}

fn read(row: &dyn Row) -> Result<Stored, DbError> {
    let damaged = || {
        DbError::Damaged(format!(
            "job {}",
            row.id(0).map_or_else(|_| "of an unknown id".to_owned(), |id| id.to_string())
        ))
    };
    if !sealed("job", row, COLUMNS.len()).unwrap_or(false) {
        return Err(damaged());
    }
    let small = |i: usize| row.int(i).and_then(|n| u32::try_from(n).map_err(|_| damaged()));
    let job = Job {
        id: row.id(0)?,
        tenant: row.tenant(1)?,
        kind: row.string(2)?,
        args: serde_json::from_str(&row.text(3)?).map_err(|_| damaged())?,
        state: JobState::parse(&row.text(4)?).ok_or_else(damaged)?,
        run_at: row.time(5)?,
        deadline: row.opt_time(6)?,
        attempts: small(7)?,
        max_attempts: small(8)?,
        cause: row.count(9)?,
        created: row.time(10)?,
        fence: row.count(11)?,
        lease_until: row.opt_time(12)?,
        last: row.opt_string(14)?,
    };
    Ok(Stored { job, worker: row.opt_string(13)?, idempotency: row.opt_string(15)? })
}

/// Rows of an answer without the damaged ones, which are told of in the log and by `verify`.
fn whole(conn: &mut dyn Conn, sql: &str, args: &[Val<'_>]) -> Result<Vec<Stored>, DbError> {
    let mut jobs = Vec::new();
    conn.query(sql, args, &mut |row| {
        match read(row) {
            Ok(stored) => jobs.push(stored),
            Err(error) => tracing::error!(%error, "{error} is damaged and is not done; run `mainstay verify`"),
        }
        Ok(true)
    })?;
    Ok(jobs)
}

/// Enqueues a job; `false` when its idempotency key is known in the tenant.
pub(crate) fn enqueue(
    group: &mut Group<'_>,
    tenant: TenantId,
    draft: &JobDraft,
    cause: u64,
    now: Time,
) -> Result<bool, DbError> {
    let args = draft.args.to_string();
    let values = [
        (&draft.id).into(),
        tenant.into(),
        (&draft.kind).into(),
        Val::from(args),
        JobState::Waiting.as_str().into(),
        draft.run_at.into(),
        draft.deadline.into(),
        Val::Int(0),
        draft.max_attempts.into(),
        cause.into(),
        now.into(),
        Val::Int(0),
        Val::Null,
        Val::Null,
        Val::Null,
        draft.idempotency.as_deref().into(),
        draft.run_at.into(),
    ];
    let sql = format!("{} ON CONFLICT DO NOTHING", insert_sql("job", COLUMNS));
    Ok(group.insert("job", &sql, &values)? == 1)
}

fn one(conn: &mut dyn Conn, id: &Id) -> Result<Option<Stored>, DbError> {
    conn.first(&format!("{SELECT} WHERE id = ?1"), &[id.into()], read)
}

/// Ends an attempt, if the lease under which it ran still holds.
pub(crate) fn finish(group: &mut Group<'_>, finish: &JobFinish) -> Result<(), Fault> {
    let stored =
        one(group.conn(), &finish.id)?.filter(|s| s.job.fence == finish.fence && s.job.state == JobState::Running);
    let mut stored = stored.ok_or(StoreError::LeaseLost(finish.id))?;
    stored.job.state = finish.to;
    stored.job.run_at = finish.run_at;
    stored.job.last = Some(finish.said.clone());
    stored.job.lease_until = None;
    stored.worker = None;
    stored.write(group)?;
    Ok(())
}

/// Leases jobs that are due, oldest first.
pub(crate) fn lease(group: &mut Group<'_>, kinds: &[String], lease: &Lease, limit: usize) -> Result<Vec<Job>, Fault> {
    if kinds.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let marks: Vec<String> = (0..kinds.len()).map(|i| format!("?{}", i + 3)).collect();
    let mut args: Vec<Val<'_>> = vec![lease.now.into(), (limit as u64).into()];
    args.extend(kinds.iter().map(Val::from));
    let sql = format!(
        "{SELECT} WHERE kind IN ({}) AND due IS NOT NULL AND due <= ?1 ORDER BY due, id LIMIT ?2",
        marks.join(", ")
    );
    let due = whole(group.conn(), &sql, &args)?;
    let mut leased = Vec::new();
    for mut stored in due {
        if stored.job.state == JobState::Running
            && stored.job.attempts >= stored.job.max_attempts.saturating_add(DEATHS)
        {
            stored.job.state = JobState::Failed;
            stored.job.last = Some(format!("given up: whoever did it died {} times", stored.job.attempts));
            stored.write(group)?;
            continue;
        }
        stored.job.state = JobState::Running;
        stored.job.attempts += 1;
        stored.job.fence += 1;
        stored.job.lease_until = Some(lease.now.plus(lease.span));
        stored.worker = Some(lease.worker.clone());
        stored.write(group)?;
        leased.push(stored.job);
    }
    Ok(leased)
}

/// Extends a lease; `false` when it was lost.
pub(crate) fn heartbeat(group: &mut Group<'_>, id: &Id, lease: &Lease) -> Result<bool, Fault> {
    let Some(mut stored) = one(group.conn(), id)? else { return Ok(false) };
    if stored.job.state != JobState::Running || stored.worker.as_deref() != Some(&lease.worker) {
        return Ok(false);
    }
    stored.job.lease_until = Some(lease.now.plus(lease.span));
    stored.write(group)?;
    Ok(true)
}

/// Jobs, newest first.
pub(crate) fn list(
    conn: &mut dyn Conn,
    tenant: Option<TenantId>,
    state: Option<&str>,
    limit: usize,
) -> Result<Vec<Job>, DbError> {
    let mut sql = format!("{SELECT} WHERE TRUE");
    let mut args: Vec<Val<'_>> = Vec::new();
    if let Some(tenant) = tenant {
        args.push(tenant.into());
        sql.push_str(&format!(" AND tenant = ?{}", args.len()));
    }
    if let Some(state) = state {
        args.push(state.into());
        sql.push_str(&format!(" AND state = ?{}", args.len()));
    }
    args.push((limit as u64).into());
    sql.push_str(&format!(" ORDER BY created DESC, id DESC LIMIT ?{}", args.len()));
    Ok(whole(conn, &sql, &args)?.into_iter().map(|s| s.job).collect())
}

/// When the next job of these kinds is due.
pub(crate) fn next_due(conn: &mut dyn Conn, kinds: &[String]) -> Result<Option<Time>, DbError> {
    let mut next: Option<Time> = None;
    for kind in kinds {
        let due = conn.first(
            "SELECT due FROM job WHERE kind = ?1 AND due IS NOT NULL ORDER BY due LIMIT 1",
            &[kind.into()],
            |row| row.time(0),
        )?;
        next = next.into_iter().chain(due).min();
    }
    Ok(next)
}
