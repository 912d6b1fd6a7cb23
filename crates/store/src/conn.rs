//! The driver seam: values, rows and connections as the SQL above sees them, the same for SQLite and PostgreSQL.
//!
//! Everything is synchronous and runs on threads of the store's own. Nothing here knows a table. Text is written with `?1` markers;
//! the PostgreSQL driver turns them into `$1`, so `?` never stands for anything else.

use std::borrow::Cow;

use kernel::clock::Time;
use kernel::error::StoreError;
use kernel::ids::{Id, TenantId};

/// A value that is bound or read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Val<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
}

macro_rules! val_from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl<'a> From<$from> for Val<'a> {
            fn from($value: $from) -> Self { $to }
        })*
    };
}

val_from! {
    i64 => |n| Val::Int(n);
    u32 => |n| Val::Int(i64::from(n));
    bool => |b| Val::Int(i64::from(b));
    f64 => |n| Val::Real(n);
    Time => |t| Val::Int(t.as_micros());
    TenantId => |t| Val::Int(t.0);
    &'a str => |t| Val::Text(Cow::Borrowed(t));
    &'a String => |t| Val::Text(Cow::Borrowed(t));
    String => |t| Val::Text(Cow::Owned(t));
    &'a [u8] => |b| Val::Blob(Cow::Borrowed(b));
    Vec<u8> => |b| Val::Blob(Cow::Owned(b));
    &'a Id => |id| Val::Blob(Cow::Borrowed(id.bytes()));
    Id => |id| Val::Blob(Cow::Owned(id.bytes().to_vec()));
}

impl From<u64> for Val<'_> {
    /// Counters, versions and sequences: far below the range of the column.
    fn from(n: u64) -> Self {
        Val::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl<'a, T: Into<Val<'a>>> From<Option<T>> for Val<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Val::Null, Into::into)
    }
}

/// What went wrong in a database.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The disk, or the connection to the database, failed: what was not acknowledged may or may not be there.
    #[error("{0}")]
    Lost(String),
    /// The time limit of a question.
    #[error("stopped by its time limit")]
    Stopped,
    /// The file is not what SQLite wrote, or a value is not of its column's type.
    #[error("{0}")]
    Damaged(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl DbError {
    /// As callers of the store see it; `limit_ms` is the time limit that a stopped question had.
    pub(crate) fn told(self, limit_ms: u64) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            Self::Stopped => StoreError::TooSlow { limit_ms },
            Self::Damaged(what) => StoreError::Damaged { what },
            Self::Lost(why) | Self::Other(why) => StoreError::Database(why),
        }
    }
}

/// Why a piece of work did not succeed: refused by a rule of the store, or failed in the database.
#[derive(Debug)]
pub(crate) enum Fault {
    Refused(StoreError),
    Db(DbError),
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    pub(crate) fn told(self, limit_ms: u64) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Db(error) => error.told(limit_ms),
        }
    }
}

/// One row of an answer.
pub(crate) trait Row {
    /// The value in column `i`.
    fn get(&self, i: usize) -> Result<Val<'_>, DbError>;
}

fn wrong_type(i: usize, wanted: &str) -> DbError {
    DbError::Damaged(format!("a row whose column {i} is not {wanted}"))
}

impl dyn Row + '_ {
    pub(crate) fn int(&self, i: usize) -> Result<i64, DbError> {
        self.opt_int(i)?.ok_or_else(|| wrong_type(i, "a number"))
    }

    pub(crate) fn opt_int(&self, i: usize) -> Result<Option<i64>, DbError> {
        match self.get(i)? {
            Val::Null => Ok(None),
            Val::Int(n) => Ok(Some(n)),
            _ => Err(wrong_type(i, "a number")),
        }
    }

    /// A number that cannot be negative.
    pub(crate) fn count(&self, i: usize) -> Result<u64, DbError> {
        u64::try_from(self.int(i)?).map_err(|_| wrong_type(i, "a count"))
    }

    pub(crate) fn text(&self, i: usize) -> Result<Cow<'_, str>, DbError> {
        self.opt_text(i)?.ok_or_else(|| wrong_type(i, "text"))
    }

    pub(crate) fn string(&self, i: usize) -> Result<String, DbError> {
        self.text(i).map(Cow::into_owned)
    }

    pub(crate) fn opt_text(&self, i: usize) -> Result<Option<Cow<'_, str>>, DbError> {
        match self.get(i)? {
            Val::Null => Ok(None),
            Val::Text(t) => Ok(Some(t)),
            _ => Err(wrong_type(i, "text")),
        }
    }

    pub(crate) fn opt_string(&self, i: usize) -> Result<Option<String>, DbError> {
        Ok(self.opt_text(i)?.map(Cow::into_owned))
    }

    pub(crate) fn blob(&self, i: usize) -> Result<Vec<u8>, DbError> {
        match self.get(i)? {
            Val::Blob(b) => Ok(b.into_owned()),
            _ => Err(wrong_type(i, "bytes")),
        }
    }

    pub(crate) fn id(&self, i: usize) -> Result<Id, DbError> {
        match self.get(i)? {
            Val::Blob(b) => Id::from_bytes(&b).ok_or_else(|| wrong_type(i, "an id")),
            _ => Err(wrong_type(i, "an id")),
        }
    }

    pub(crate) fn opt_id(&self, i: usize) -> Result<Option<Id>, DbError> {
        match self.get(i)? {
            Val::Null => Ok(None),
            _ => self.id(i).map(Some),
        }
    }

    pub(crate) fn time(&self, i: usize) -> Result<Time, DbError> {
        self.int(i).map(Time::from_micros)
    }

    pub(crate) fn opt_time(&self, i: usize) -> Result<Option<Time>, DbError> {
        Ok(self.opt_int(i)?.map(Time::from_micros))
    }

    pub(crate) fn tenant(&self, i: usize) -> Result<TenantId, DbError> {
        self.int(i).map(TenantId)
    }
}

/// Called for each row of an answer; `false` ends it early.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&dyn Row) -> Result<bool, DbError>;

/// A connection.
pub(crate) trait Conn: Send {
    /// Which database it speaks to.
    fn dialect(&self) -> Dialect;
    /// Runs a statement; answers how many rows it changed.
    fn exec(&mut self, sql: &str, args: &[Val<'_>]) -> Result<u64, DbError>;
    /// Runs a question.
    fn query(&mut self, sql: &str, args: &[Val<'_>], each: Each<'_>) -> Result<(), DbError>;
    /// Runs statements without arguments.
    fn batch(&mut self, sql: &str) -> Result<(), DbError>;
}

impl dyn Conn + '_ {
    /// All rows of an answer, each through `read`.
    pub(crate) fn all<T>(
        &mut self,
        sql: &str,
        args: &[Val<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        let mut rows = Vec::new();
        self.query(sql, args, &mut |row| {
            rows.push(read(row)?);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// The first row of an answer.
    pub(crate) fn first<T>(
        &mut self,
        sql: &str,
        args: &[Val<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        let mut found = None;
        self.query(sql, args, &mut |row| {
            found = Some(read(row)?);
            Ok(false)
        })?;
        Ok(found)
    }
}

/// Asks several questions of one moment. With SQLite this also spares the locks that each question by itself would take.
pub(crate) fn at_one_moment<T>(
    conn: &mut dyn Conn,
    ask: impl FnOnce(&mut dyn Conn) -> Result<T, Fault>,
) -> Result<T, Fault> {
    conn.batch(if conn.dialect() == Dialect::Sqlite { "BEGIN" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ" })?;
    let answer = ask(conn);
    let ended = conn.batch("ROLLBACK");
    let answer = answer?;
    ended?;
    Ok(answer)
}

/// Where the two databases differ in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Fills the type words of a table definition.
    pub(crate) fn ddl(self, text: &str) -> String {
        let words: [(&str, &str); 6] = match self {
            Self::Sqlite => [
                ("{NUM}", "INTEGER PRIMARY KEY"),
                ("{INT}", "INTEGER"),
                ("{REAL}", "REAL"),
                ("{TEXT}", "TEXT"),
                ("{BLOB}", "BLOB"),
                ("{KEYED}", "WITHOUT ROWID"),
            ],
            Self::Postgres => [
                ("{NUM}", "BIGINT PRIMARY KEY"),
                ("{INT}", "BIGINT"),
                ("{REAL}", "DOUBLE PRECISION"),
                ("{TEXT}", "TEXT COLLATE \"C\""),
                ("{BLOB}", "BYTEA"),
                ("{KEYED}", ""),
            ],
        };
        words.iter().fold(text.to_owned(), |text, (word, means)| text.replace(word, means))
    }

    /// Lower case of a text expression, over all of Unicode.
    pub(crate) fn lower(self, expression: &str) -> String {
        match self {
            Self::Sqlite => format!("ms_lower({expression})"),
            Self::Postgres => format!("lower({expression} COLLATE \"und-x-icu\")"),
        }
    }
}
