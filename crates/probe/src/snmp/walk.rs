//! Walk: the columns of tables, read to their end, whatever the agent does: one that loops, never ends, goes backwards or
//! is slow costs a bounded number of requests, objects and bytes.

use std::time::Duration;

use crate::snmp::pdu::{ErrorStatus, VarBind};
use crate::snmp::session::{Session, SnmpError};
use crate::snmp::{Oid, Value};

/// What a walk may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most objects that are kept.
    pub objects: usize,
    /// The most bytes of values and names that are kept, roughly.
    pub bytes: usize,
    /// How long it may take. What was read until then is kept.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { objects: 200_000, bytes: 32 << 20, time: Duration::from_secs(60) }
    }
}

/// Why a walk ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// An agent must count upwards; this one came back to where it was, or before.
    #[error("the agent goes in circles: {after} is followed by {found}")]
    Circle {
        /// What was asked for.
        after: Oid,
        /// What came.
        found: Oid,
    },
    /// Where there is more to read, the agent answers with an error.
    #[error("the agent does not tell what follows {after}: {status}")]
    Refused {
        /// What was asked for.
        after: Oid,
        /// What it answered.
        status: ErrorStatus,
    },
    /// More objects than are kept.
    #[error("the agent has more than {0} objects here")]
    Objects(usize),
    /// More bytes than are kept.
    #[error("the agent has more than {0} bytes here")]
    Bytes(usize),
    /// It took longer than it may.
    #[error("the walk was not at its end after {0:?}")]
    Time(Duration),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// The objects, column by column in order of their rows.
    pub objects: Vec<VarBind>,
    /// Why some of them may be missing.
    pub cut: Vec<Cut>,
}

/// So many objects are asked for at once: with usual values, an answer that every agent can put into one datagram.
const AT_ONCE: usize = 60;
/// Columns that are walked side by side.
const SIDE_BY_SIDE: usize = 10;

struct Column<'r> {
    root: &'r Oid,
    last: Oid,
    found: Vec<VarBind>,
    open: bool,
}

/// Reads everything below each of these roots.
///
/// # Errors
/// Why there is no answer. What an agent does wrong within a table is no error: it is told in [`Walk::cut`].
pub async fn walk(
    session: &mut Session<'_>,
    roots: &[Oid],
    limits: Limits,
    clock: &dyn crate::env::Clock,
) -> Result<Walk, SnmpError> {
    let mut run = Run { cut: Vec::new(), objects: 0, bytes: 0, limits, began: clock.monotonic() };
    let mut objects = Vec::new();
    for group in roots.chunks(SIDE_BY_SIDE) {
        let mut columns: Vec<Column<'_>> =
            group.iter().map(|root| Column { root, last: root.clone(), found: Vec::new(), open: true }).collect();
        run.side_by_side(session, &mut columns, clock).await?;
        objects.extend(columns.into_iter().flat_map(|column| column.found));
        if run.is_over() {
            break;
        }
    }
    Ok(Walk { objects, cut: run.cut })
}

struct Run {
    cut: Vec<Cut>,
    objects: usize,
    bytes: usize,
    limits: Limits,
    began: Duration,
}

impl Run {
    /// True when a limit of the whole walk was reached.
    fn is_over(&self) -> bool {
        self.cut.iter().any(|cut| !matches!(cut, Cut::Circle { .. } | Cut::Refused { .. }))
    }

    async fn side_by_side(
        &mut self,
        session: &mut Session<'_>,
        columns: &mut [Column<'_>],
        clock: &dyn crate::env::Clock,
    ) -> Result<(), SnmpError> {
        // The first question is small: most tables of most devices are empty or short.
        let mut repetitions = (AT_ONCE / columns.len().max(1)).clamp(1, 20);
        // True once the agent has refused without a word about which column it is.
        let mut one_by_one = false;
        loop {
            let mut open: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].open).collect();
            if one_by_one {
                open.truncate(1);
            }
            if open.is_empty() || self.is_over() {
                return Ok(());
            }
            if clock.monotonic().saturating_sub(self.began) > self.limits.time {
                self.cut.push(Cut::Time(self.limits.time));
                return Ok(());
            }
            let asked: Vec<Oid> = open.iter().map(|at| columns[*at].last.clone()).collect();
            let answer = if session.has_bulk() {
                session.get_bulk(asked, repetitions as u32).await
            } else {
                session.get_next(asked).await
            };
            match answer {
                Ok(objects) if objects.is_empty() => return Ok(()),
                Ok(objects) => {
                    let full = objects.len() >= open.len() * repetitions;
                    self.take(columns, &open, objects);
                    if full {
                        repetitions = (repetitions * 2).min(AT_ONCE.max(2 * AT_ONCE / open.len()));
                    }
                }
                Err(SnmpError::Refused { status: ErrorStatus::NO_SUCH_NAME, index, .. }) => {
                    // Version 1: the column at that place has no more rows.
                    let at =
                        usize::try_from(index.saturating_sub(1)).ok().and_then(|at| open.get(at)).unwrap_or(&open[0]);
                    columns[*at].open = false;
                }
                Err(SnmpError::Refused { status: ErrorStatus::TOO_BIG, .. } | SnmpError::Silent { .. })
                    if repetitions > 1 && self.objects > 0 || repetitions > 4 =>
                {
                    // Some agents say that it is too much; some say nothing at all, or a firewall drops the pieces.
                    repetitions = (repetitions / 4).max(1);
                }
                Err(SnmpError::Refused { peer, status, index }) if status != ErrorStatus::TOO_BIG => {
                    // An agent that stumbles over one row tells the rows before it, and the other columns.
                    if repetitions > 1 {
                        repetitions = 1;
                    } else if !self.leave(columns, &open, status, index) {
                        one_by_one = true;
                    }
                    // One that has told nothing and refuses everything refuses us.
                    if self.objects == 0 && self.cut.len() == columns.len() {
                        return Err(SnmpError::Refused { peer, status, index });
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves the column that was refused, the `index`-th of those asked for; false when that is none of them, so that nobody
    /// knows which one it is.
    fn leave(&mut self, columns: &mut [Column<'_>], open: &[usize], status: ErrorStatus, index: i64) -> bool {
        let named = usize::try_from(index.saturating_sub(1)).ok().and_then(|at| open.get(at)).copied();
        let Some(at) = named.or_else(|| (open.len() == 1).then(|| open[0])) else { return false };
        self.cut.push(Cut::Refused { after: columns[at].last.clone(), status });
        columns[at].open = false;
        true
    }

    /// Sorts an answer into its columns: the n-th object belongs to the n-th open column, round and round.
    fn take(&mut self, columns: &mut [Column<'_>], open: &[usize], objects: Vec<VarBind>) {
        for (nth, object) in objects.into_iter().enumerate() {
            let column = &mut columns[open[nth % open.len()]];
            if !column.open {
                continue;
            }
            if object.value == Value::EndOfMibView || !object.oid.is_below(column.root) {
                column.open = false;
                continue;
            }
            if object.oid <= column.last {
                self.cut.push(Cut::Circle { after: column.last.clone(), found: object.oid });
                column.open = false;
                continue;
            }
            self.objects += 1;
            self.bytes += size_of::<VarBind>() + 4 * object.oid.arcs().len() + content_bytes(&object.value);
            if self.objects > self.limits.objects {
                self.cut.push(Cut::Objects(self.limits.objects));
                return;
            }
            if self.bytes > self.limits.bytes {
                self.cut.push(Cut::Bytes(self.limits.bytes));
                return;
            }
            column.last = object.oid.clone();
            if object.value.is_present() {
                column.found.push(object);
            }
        }
    }
}

fn content_bytes(value: &Value) -> usize {
    match value {
        Value::Octets(bytes) | Value::Opaque(bytes) => bytes.len(),
        Value::Oid(oid) => 4 * oid.arcs().len(),
        _ => 0,
    }
}
