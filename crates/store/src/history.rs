//! Intervals: reading, and how they are written down.

use kernel::clock::Time;
use kernel::ids::{Id, TenantId};
use kernel::interval::Interval;
use kernel::record::HealthState;

use crate::conn::{Conn, DbError, Row, Val};
use crate::layout::sealed;

pub(crate) const INTERVAL_COLUMNS: &[&str] =
    &["tenant", "id", "subject", "state", "start", "ended", "cause", "reason", "corrected_by"];
pub(crate) const SELECT_INTERVAL: &str =
    "SELECT tenant, id, subject, state, start, ended, cause, reason, corrected_by, sum FROM interval_row";

pub(crate) fn interval_values<'a>(tenant: TenantId, subject: Id, interval: &'a Interval) -> [Val<'a>; 9] {
    [
        tenant.into(),
        (&interval.id).into(),
        subject.into(),
        interval.state.as_str().into(),
        interval.start.into(),
        interval.end.into(),
        interval.cause.into(),
        (&interval.reason).into(),
        interval.corrected_by.into(),
    ]
}

pub(crate) fn read_interval(row: &dyn Row) -> Result<Interval, DbError> {
    let damaged = || {
        DbError::Damaged(format!(
            "interval {}",
            row.id(1).map_or_else(|_| "of an unknown id".to_owned(), |id| id.to_string())
        ))
    };
    if !sealed("interval_row", row, INTERVAL_COLUMNS.len()).unwrap_or(false) {
        return Err(damaged());
    }
    Ok(Interval {
        id: row.id(1)?,
        subject: Some(row.id(2)?),
        state: HealthState::parse(&row.text(3)?).ok_or_else(damaged)?,
        start: row.time(4)?,
        end: row.opt_time(5)?,
        cause: row.count(6)?,
        reason: row.string(7)?,
        corrected_by: row.opt_id(8)?,
    })
}

/// Intervals of a subject that touch `from..to`, oldest first.
pub(crate) fn intervals(
    conn: &mut dyn Conn,
    tenant: TenantId,
    subject: &Id,
    from: Time,
    to: Time,
    limit: usize,
) -> Result<Vec<Interval>, DbError> {
    let sql = format!(
        "{SELECT_INTERVAL} WHERE tenant = ?1 AND subject = ?2 AND start < ?4 AND (ended IS NULL OR ended > ?3) ORDER BY start, id LIMIT ?5"
    );
    conn.all(&sql, &[tenant.into(), subject.into(), from.into(), to.into(), (limit as u64).into()], read_interval)
}

/// One interval.
pub(crate) fn interval(conn: &mut dyn Conn, tenant: TenantId, id: &Id) -> Result<Option<Interval>, DbError> {
    conn.first(&format!("{SELECT_INTERVAL} WHERE tenant = ?1 AND id = ?2"), &[tenant.into(), id.into()], read_interval)
}
