//! SQLite under the driver seam: how connections are opened, which functions they have, and what its error codes mean to us.
//!
//! One connection writes and checkpoints; the others only read. The functions registered here stand in indexes: their answers
//! must never change. One that has to is given a new name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use crate::conn::{Conn, DbError, Dialect, Each, Row, Val};

/// The first SQLite without the WAL-reset corruption: 3.51.3.
const MIN_VERSION: i32 = 3_051_003;
/// Pages of 8 KiB in the write-ahead log after which it is checkpointed: 32 MiB.
const CHECKPOINT_PAGES: u32 = 4096;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS_PER_LOOK: i32 = 4000;

/// A connection to SQLite.
pub(crate) struct Sqlite {
    pub(crate) db: Connection,
    deadline: Arc<AtomicU64>,
    limit: Option<Duration>,
    start: Instant,
}

impl Sqlite {
    /// The connection that writes. `cache_kib` bounds its page cache.
    pub(crate) fn writer(path: &Path, cache_kib: u32) -> Result<Self, DbError> {
        if rusqlite::version_number() < MIN_VERSION {
            return Err(DbError::Other(format!(
                "SQLite {} has a bug that corrupts databases; 3.51.3 or later is needed",
                rusqlite::version()
            )));
        }
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(told)?;
        let pragmas = format!(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA mmap_size = 0; \
             PRAGMA cache_size = -{cache_kib}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = 67108864; \
             PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = ON; PRAGMA cell_size_check = ON; PRAGMA busy_timeout = 5000;"
        );
        Self::set_up(db, &pragmas, None)
    }

    /// A connection that only reads; a question longer than `limit` is stopped.
    pub(crate) fn reader(path: &Path, cache_kib: u32, limit: Option<Duration>) -> Result<Self, DbError> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(told)?;
        Self::set_up(
            db,
            &format!(
                "PRAGMA mmap_size = 0; PRAGMA cache_size = -{cache_kib}; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA busy_timeout = 5000;"
            ),
            limit,
        )
    }

    fn set_up(mut db: Connection, pragmas: &str, limit: Option<Duration>) -> Result<Self, DbError> {
        db.execute_batch(pragmas).map_err(told)?;
        db.set_prepared_statement_cache_capacity(512);
        functions(&db).map_err(told)?;
        #[expect(clippy::disallowed_methods, reason = "a question's time limit is of real time")]
        let start = Instant::now();
        let deadline = Arc::new(AtomicU64::new(u64::MAX));
        if limit.is_some() {
            let deadline = deadline.clone();
            db.progress_handler(
                STEPS_PER_LOOK,
                Some(move || micros(start.elapsed()) > deadline.load(Ordering::Relaxed)),
            )
            .map_err(told)?;
        }
        Ok(Self { db, deadline, limit, start })
    }

    fn arm(&self) {
        if let Some(limit) = self.limit {
            self.deadline.store(micros(self.start.elapsed() + limit), Ordering::Relaxed);
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn functions(db: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("ms_lower", 1, flags, |args| {
        Ok(args.get_raw(0).as_str_or_null().unwrap_or(None).map(str::to_lowercase))
    })?;
    db.create_scalar_function("ms_time", 1, flags, |args| {
        Ok(args
            .get_raw(0)
            .as_str_or_null()
            .unwrap_or(None)
            .and_then(kernel::clock::Time::parse)
            .map(kernel::clock::Time::as_micros))
    })?;
    db.create_scalar_function("ms_span", 1, flags, |args| {
        let span = args.get_raw(0).as_str_or_null().unwrap_or(None).and_then(|t| kernel::clock::parse_duration(t).ok());
        Ok(span.and_then(|s| i64::try_from(s.as_millis()).ok()))
    })
}

impl ToSql for Val<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Val::Null => ValueRef::Null,
            Val::Int(n) => ValueRef::Integer(*n),
            Val::Real(n) => ValueRef::Real(*n),
            Val::Text(t) => ValueRef::Text(t.as_bytes()),
            Val::Blob(b) => ValueRef::Blob(b),
        }))
    }
}

impl Row for rusqlite::Row<'_> {
    fn get(&self, i: usize) -> Result<Val<'_>, DbError> {
        Ok(match self.get_ref(i).map_err(told)? {
            ValueRef::Null => Val::Null,
            ValueRef::Integer(n) => Val::Int(n),
            ValueRef::Real(n) => Val::Real(n),
            ValueRef::Text(t) => {
                Val::from(std::str::from_utf8(t).map_err(|_| DbError::Damaged("a text that is not UTF-8".into()))?)
            }
            ValueRef::Blob(b) => Val::from(b),
        })
    }
}

impl Conn for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn exec(&mut self, sql: &str, args: &[Val<'_>]) -> Result<u64, DbError> {
        let mut statement = self.db.prepare_cached(sql).map_err(told)?;
        statement.execute(rusqlite::params_from_iter(args)).map(|n| n as u64).map_err(told)
    }

    fn query(&mut self, sql: &str, args: &[Val<'_>], each: Each<'_>) -> Result<(), DbError> {
        self.arm();
        let mut statement = self.db.prepare_cached(sql).map_err(told)?;
        let mut rows = statement.query(rusqlite::params_from_iter(args)).map_err(told)?;
        while let Some(row) = rows.next().map_err(told)? {
            if !each(row)? {
                break;
            }
        }
        Ok(())
    }

    fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        self.db.execute_batch(sql).map_err(told)
    }
}

/// What an error of SQLite means to the store.
pub(crate) fn told(error: rusqlite::Error) -> DbError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DbError::Full,
        Some(ErrorCode::OperationInterrupted) => DbError::Stopped,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            DbError::Damaged(format!("the database file ({text})"))
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => DbError::Lost(text),
        _ => DbError::Other(text),
    }
}
