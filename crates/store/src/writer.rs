//! The one writer: takes pieces of work from a bounded queue, runs up to 256 of them in one transaction, and answers them all when
//! it is on disk. Nothing is answered `Ok` before.
//!
//! Refusals are rare, so a group first runs without savepoints. A refusal that comes before its piece of work has written anything
//! costs nothing; any other undoes the group, which is then run again with a savepoint around each piece.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kernel::clock::Time;
use kernel::error::StoreError;
use kernel::ids::TenantId;
use kernel::journal::GENESIS;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};

use crate::conn::{Conn, DbError, Dialect, Fault, Val};
use crate::layout::{Classes, insert_sql, seal};

/// Pieces of work in one transaction.
const GROUP: usize = 256;
/// Pieces of work that may wait; whoever comes then waits to be let in.
pub(crate) const QUEUE: usize = 1024;
/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// Brings what SQLite's log holds into the file. A reader that is still at work is waited for, for this long.
const EMPTY_LOG: &str = "PRAGMA busy_timeout = 1000; PRAGMA wal_checkpoint(TRUNCATE)";

/// A piece of work for the writer.
pub(crate) trait Work: Send {
    /// Does it; may be called twice, the first time undone.
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), Fault>;
    /// Whether it must go on when the disk is full.
    fn vital(&self) -> bool;
    /// Tells the caller.
    fn done(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// Work that answers with a value.
pub(crate) struct Asked<F, T> {
    pub(crate) run: F,
    pub(crate) vital: bool,
    pub(crate) result: Option<T>,
    pub(crate) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&mut Group<'_>) -> Result<T, Fault> + Send> Work for Asked<F, T> {
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), Fault> {
        self.result = Some((self.run)(group)?);
        Ok(())
    }

    fn vital(&self) -> bool {
        self.vital
    }

    fn done(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let answer =
            outcome.and_then(|()| result.ok_or_else(|| StoreError::Database("the work gave no answer".into())));
        let _ = reply.send(answer); // Nobody listens any more: the write stands nevertheless.
    }
}

/// Counters and chain heads of the transaction; read when first needed, written once at its end.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    /// By tenant and name.
    counters: BTreeMap<i64, BTreeMap<String, Counter>>,
    heads: BTreeMap<TenantId, ChainHead>,
    /// When answered requests were last forgotten.
    pub(crate) purged: Option<Time>,
}

#[derive(Clone, Copy)]
struct Counter {
    value: i64,
    stored: Option<i64>,
}

#[derive(Clone, Copy)]
struct ChainHead {
    seq: u64,
    hash: [u8; 32],
    stored: Option<u64>,
}

/// A transaction in the making, as a piece of work sees it.
pub(crate) struct Group<'a> {
    conn: &'a mut dyn Conn,
    ledger: &'a mut Ledger,
    pub(crate) classes: Classes,
    wrote: bool,
    /// The piece of work leaves records, links and private values as they are.
    changes_no_record: bool,
    /// Classes changed: to be shown to readers once the transaction stands.
    new_classes: Option<Classes>,
}

impl Group<'_> {
    /// The connection, for reading.
    pub(crate) fn conn(&mut self) -> &mut dyn Conn {
        self.conn
    }

    /// The connection, for writing: from here on a refusal has something to undo.
    pub(crate) fn writing(&mut self) -> &mut dyn Conn {
        self.wrote = true;
        self.conn
    }

    /// Says that this piece of work leaves records, links and private values as they are, whatever else it writes; what others
    /// remember of those still stands after it.
    pub(crate) fn changes_no_record(&mut self) {
        self.changes_no_record = true;
    }

    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        self.ledger
    }

    /// Writes a row with its seal; answers how many rows that made.
    pub(crate) fn insert(&mut self, table: &str, sql: &str, values: &[Val<'_>]) -> Result<u64, DbError> {
        let mut all = values.to_vec();
        all.push(Val::Int(seal(table, values.iter())));
        self.writing().exec(sql, &all)
    }

    /// Replaces the classes; readers see them after the commit.
    pub(crate) fn set_classes(&mut self, classes: Classes) {
        self.classes = classes.clone();
        self.new_classes = Some(classes);
    }

    /// The next number of a counter, from 1. Tenant 0 stands for all of them.
    pub(crate) fn next(&mut self, tenant: i64, name: &str) -> Result<i64, DbError> {
        self.wrote = true;
        let counters = self.ledger.counters.entry(tenant).or_default();
        let counter = match counters.get_mut(name) {
            Some(counter) => counter,
            None => {
                let sql = "SELECT value FROM counter WHERE tenant = ?1 AND name = ?2";
                let stored = self.conn.first(sql, &[tenant.into(), name.into()], |row| row.int(0))?;
                counters.entry(name.to_owned()).or_insert(Counter { value: stored.unwrap_or(0), stored })
            }
        };
        counter.value += 1;
        Ok(counter.value)
    }

    /// The hash of a tenant's newest entry.
    pub(crate) fn chain_head(&mut self, tenant: TenantId) -> Result<[u8; 32], DbError> {
        if let Some(head) = self.ledger.heads.get(&tenant) {
            return Ok(head.hash);
        }
        let stored = self.conn.first("SELECT seq, hash FROM chain WHERE tenant = ?1", &[tenant.into()], |row| {
            Ok((row.count(0)?, row.blob(1)?))
        })?;
        let head = match stored {
            None => ChainHead { seq: 0, hash: GENESIS, stored: None },
            Some((seq, hash)) => {
                let hash = hash
                    .try_into()
                    .map_err(|_| DbError::Damaged(format!("the journal head of tenant {}", tenant.0)))?;
                ChainHead { seq, hash, stored: Some(seq) }
            }
        };
        self.ledger.heads.insert(tenant, head);
        Ok(head.hash)
    }

    /// A tenant's newest entry.
    pub(crate) fn set_chain_head(&mut self, tenant: TenantId, seq: u64, hash: [u8; 32]) {
        self.wrote = true;
        let stored = self.ledger.heads.get(&tenant).and_then(|h| h.stored);
        self.ledger.heads.insert(tenant, ChainHead { seq, hash, stored });
    }
}

impl Ledger {
    /// At the start of a transaction. With PostgreSQL other servers write too: the lock on this row is what puts all groups in one
    /// order, and nothing remembered from before it counts.
    fn open(&mut self, conn: &mut dyn Conn) -> Result<(), DbError> {
        if conn.dialect() == Dialect::Postgres {
            self.counters.clear();
            self.heads.clear();
            conn.batch("SELECT value FROM meta WHERE name = 'layout' FOR UPDATE")?;
        }
        Ok(())
    }

    /// At the end of a transaction: what has moved is written.
    fn close(&mut self, conn: &mut dyn Conn) -> Result<(), DbError> {
        let counters = self.counters.iter_mut().flat_map(|(t, all)| all.iter_mut().map(move |(n, c)| (t, n, c)));
        for (tenant, name, counter) in counters.filter(|(.., c)| c.stored != Some(c.value)) {
            let values = [Val::from(*tenant), Val::from(name.as_str()), Val::from(counter.value)];
            upsert(conn, "counter", &["tenant", "name", "value"], 2, &values, counter.stored.is_some())?;
            counter.stored = Some(counter.value);
        }
        for (tenant, head) in &mut self.heads {
            if head.stored == Some(head.seq) || head.seq == 0 {
                continue;
            }
            let values = [Val::from(*tenant), Val::from(head.seq), Val::from(&head.hash[..])];
            upsert(conn, "chain", &["tenant", "seq", "hash"], 1, &values, head.stored.is_some())?;
            head.stored = Some(head.seq);
        }
        Ok(())
    }
}

/// Inserts a sealed row, or replaces the one with the same `keys` first columns.
pub(crate) fn upsert(
    conn: &mut dyn Conn,
    table: &str,
    columns: &[&str],
    keys: usize,
    values: &[Val<'_>],
    exists: bool,
) -> Result<(), DbError> {
    let mut all = values.to_vec();
    all.push(Val::Int(seal(table, values.iter())));
    if !exists {
        conn.exec(&insert_sql(table, columns), &all)?;
        return Ok(());
    }
    let sets: Vec<String> = columns.iter().enumerate().skip(keys).map(|(i, c)| format!("{c} = ?{}", i + 1)).collect();
    let wheres: Vec<String> = columns.iter().enumerate().take(keys).map(|(i, c)| format!("{c} = ?{}", i + 1)).collect();
    conn.exec(
        &format!("UPDATE {table} SET {}, sum = ?{} WHERE {}", sets.join(", "), columns.len() + 1, wheres.join(" AND ")),
        &all,
    )?;
    Ok(())
}

/// Whether writes are taken, as others see it.
#[derive(Default)]
pub(crate) struct Intake {
    /// Why not, for ever.
    pub(crate) closed: Mutex<Option<String>>,
    /// Because the disk is full.
    pub(crate) full: Mutex<bool>,
}

/// Makes a new connection for the writer; asked again when a connection to PostgreSQL is lost.
pub(crate) type Connect = Box<dyn FnMut() -> Result<Box<dyn Conn>, DbError> + Send>;

/// The writer's own state.
pub(crate) struct Writer {
    pub(crate) conn: Option<Box<dyn Conn>>,
    pub(crate) connect: Connect,
    pub(crate) ledger: Ledger,
    pub(crate) classes: Arc<RwLock<Classes>>,
    pub(crate) intake: Arc<Intake>,
    /// See [`Backend::edition`](kernel::backend::Backend::edition).
    pub(crate) edition: Arc<AtomicU64>,
    /// The file that is given up when the disk is full, and its size.
    pub(crate) ballast: Option<(PathBuf, u64)>,
    pub(crate) full_since: Option<Instant>,
    pub(crate) dialect: Dialect,
}

/// What became of a group.
enum Ended {
    /// Committed; each piece of work with its own outcome.
    Stands(Vec<Result<(), StoreError>>),
    /// To be run again with savepoints.
    Again,
    /// Nothing of it stands.
    Failed(DbError),
}

/// What a group changed that others remember.
#[derive(Default)]
struct Changed {
    /// The classes, if they are others now.
    classes: Option<Classes>,
    /// A record, link or private value, perhaps.
    records: bool,
}

impl Writer {
    /// Serves the queue until it closes.
    pub(crate) fn serve(mut self, mut queue: mpsc::Receiver<Box<dyn Work>>) {
        if let Some((path, bytes)) = &self.ballast {
            let _ = lay_ballast(path, *bytes); // A disk without room for it is found to be full soon enough.
        }
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            self.handle(group);
        }
        if let Some(conn) = self.conn.as_mut().filter(|conn| conn.dialect() == Dialect::Sqlite)
            && let Err(error) = conn.batch(EMPTY_LOG)
        {
            tracing::debug!(%error, "the log of the database stays; the next start reads it");
        }
    }

    fn handle(&mut self, mut group: Vec<Box<dyn Work>>) {
        if let Some(why) = self.intake.closed.lock().clone() {
            return answer_all(group, &StoreError::Closed(why));
        }
        if self.full_since.is_some() {
            group = self.refuse_while_full(group);
        }
        if group.is_empty() {
            return;
        }
        let mut ended = self.attempt(&mut group, false);
        if matches!(ended, Ended::Again) {
            ended = self.attempt(&mut group, true);
        }
        match ended {
            Ended::Stands(outcomes) => {
                for (work, outcome) in group.into_iter().zip(outcomes) {
                    work.done(outcome);
                }
            }
            Ended::Again => answer_all(group, &StoreError::Database("a group could not be ordered".into())),
            Ended::Failed(error) => self.failed(group, error),
        }
    }

    /// One transaction over the whole group.
    fn attempt(&mut self, group: &mut [Box<dyn Work>], careful: bool) -> Ended {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => match (self.connect)() {
                Ok(conn) => conn,
                Err(error) => return Ended::Failed(error),
            },
        };
        let before = self.ledger.clone();
        let mut changed = Changed::default();
        let ended = self.transaction(&mut *conn, group, careful, &mut changed);
        if changed.records {
            self.edition.fetch_add(1, Ordering::Release); // Also when it failed: whether it stands is not always known.
        }
        if matches!(ended, Ended::Stands(_)) {
            if let Some(classes) = changed.classes {
                *self.classes.write() = classes;
            }
        } else {
            let undone = conn.batch("ROLLBACK");
            self.ledger = before;
            if self.dialect == Dialect::Postgres
                && (undone.is_err() || matches!(ended, Ended::Failed(DbError::Lost(_))))
            {
                return ended; // The connection is gone with what it had begun; the next group makes another.
            }
        }
        self.conn = Some(conn);
        ended
    }

    fn transaction(
        &mut self,
        conn: &mut dyn Conn,
        group: &mut [Box<dyn Work>],
        careful: bool,
        changed: &mut Changed,
    ) -> Ended {
        let begin = if self.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        if let Err(error) = conn.batch(begin).and_then(|()| self.ledger.open(conn)) {
            return Ended::Failed(error);
        }
        let mut outcomes = Vec::with_capacity(group.len());
        for work in group {
            let before = careful.then(|| self.ledger.clone());
            if careful && let Err(error) = conn.batch("SAVEPOINT work") {
                return Ended::Failed(error);
            }
            let classes = changed.classes.clone().unwrap_or_else(|| self.classes.read().clone());
            let mut view = Group {
                conn: &mut *conn,
                ledger: &mut self.ledger,
                classes,
                wrote: false,
                changes_no_record: false,
                new_classes: None,
            };
            let outcome = work.run(&mut view);
            let (wrote, new_classes) = (view.wrote, view.new_classes.take());
            changed.records |= !view.changes_no_record;
            match (outcome, before) {
                (Ok(()), _) => {
                    changed.classes = new_classes.or(changed.classes.take());
                    outcomes.push(Ok(()));
                }
                (Err(Fault::Db(error @ (DbError::Full | DbError::Lost(_)))), _) => return Ended::Failed(error),
                (Err(Fault::Refused(error)), None) if !wrote => outcomes.push(Err(error)),
                (Err(_), None) => return Ended::Again,
                (Err(fault), Some(before)) => {
                    if let Err(error) = conn.batch("ROLLBACK TO SAVEPOINT work") {
                        return Ended::Failed(error);
                    }
                    self.ledger = before;
                    outcomes.push(Err(fault.told(0)));
                }
            }
            if careful && let Err(error) = conn.batch("RELEASE SAVEPOINT work") {
                return Ended::Failed(error);
            }
        }
        match self.ledger.close(conn).and_then(|()| conn.batch("COMMIT")) {
            Ok(()) => Ended::Stands(outcomes),
            Err(error) => Ended::Failed(error),
        }
    }

    /// Nothing of the group stands: who asked is told, and what that means for those who come next is decided.
    fn failed(&mut self, mut group: Vec<Box<dyn Work>>, error: DbError) {
        match error {
            DbError::Full => {
                if self.full_since.is_none() {
                    tracing::error!(
                        "the disk that holds the data directory is full: only pages, sessions and jobs are written until there is room"
                    );
                    if let Some((ballast, _)) = &self.ballast {
                        let _ = std::fs::remove_file(ballast);
                    }
                }
                let first = self.full_since.is_none();
                self.full_since = Some(now());
                *self.intake.full.lock() = true;
                let (vital, rest): (Vec<_>, Vec<_>) = group.drain(..).partition(|w| w.vital());
                answer_all(rest, &StoreError::Full);
                if first && !vital.is_empty() {
                    self.handle(vital); // Once more, into the room that the ballast gave.
                } else {
                    answer_all(vital, &StoreError::Full);
                }
            }
            DbError::Lost(why) if self.dialect == Dialect::Sqlite => {
                tracing::error!(error = why, "the disk failed a write; nothing more is written until a restart");
                *self.intake.closed.lock() = Some(why.clone());
                answer_all(group, &StoreError::Closed(why));
            }
            error => answer_all(group, &error.told(0)),
        }
    }

    /// While the disk is full only vital work is tried, and now and then whether there is room again.
    fn refuse_while_full(&mut self, group: Vec<Box<dyn Work>>) -> Vec<Box<dyn Work>> {
        if self.full_since.is_some_and(|t| t.elapsed() >= FULL_RETRY) {
            if self.ballast.as_ref().is_none_or(|(path, bytes)| lay_ballast(path, *bytes).is_ok()) {
                tracing::info!("there is room on the disk again; everything is written as before");
                self.full_since = None;
                *self.intake.full.lock() = false;
                return group;
            }
            self.full_since = Some(now());
        }
        let (vital, rest): (Vec<_>, Vec<_>) = group.into_iter().partition(|w| w.vital());
        answer_all(rest, &StoreError::Full);
        vital
    }
}

#[expect(clippy::disallowed_methods, reason = "how long ago the disk was found full is a matter of real time")]
fn now() -> Instant {
    Instant::now()
}

/// Takes room on the disk that can be given back. Fails when there is none, and leaves nothing then.
fn lay_ballast(path: &std::path::Path, bytes: u64) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|m| m.len() == bytes) {
        return Ok(());
    }
    let laid = File::create(path).and_then(|mut file| {
        let block = [0x5a_u8; 65536];
        for _ in 0..bytes.div_ceil(block.len() as u64) {
            file.write_all(&block)?;
        }
        file.set_len(bytes)?;
        file.sync_all()
    });
    if laid.is_err() {
        let _ = std::fs::remove_file(path);
    }
    laid
}

fn answer_all(group: Vec<Box<dyn Work>>, error: &StoreError) {
    for work in group {
        work.done(Err(match error {
            StoreError::Full => StoreError::Full,
            StoreError::Closed(why) => StoreError::Closed(why.clone()),
            other => StoreError::Database(other.to_string()),
        }));
    }
}

#[cfg(test)]
mod tests;
