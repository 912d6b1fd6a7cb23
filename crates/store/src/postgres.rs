//! PostgreSQL under the driver seam, by the synchronous client on threads of the store's own: the logic above is the same as for SQLite.
//!
//! A client runs a small event loop of its own, so it must be made, used and dropped outside of any other: never on a thread of the
//! server's runtime.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use postgres::{Client, NoTls, Statement};

use crate::conn::{Conn, DbError, Dialect, Each, Row, Val};
use crate::encryption::{self, Encryption};
use crate::layout::{Classes, LAYOUT, known_classes};
use crate::store::{OpenError, Options, Start, Store, migrate};

/// Statements kept prepared on a connection.
const PREPARED: usize = 500;
/// A server that stops in the middle of a transaction holds up the others for so long at most.
const STOPPED_MS: u32 = 10_000;

/// A connection to PostgreSQL.
pub(crate) struct Postgres {
    client: Client,
    prepared: HashMap<String, Statement>,
}

impl Postgres {
    /// The connection that writes: what is committed is on the server's disk.
    fn writer(url: &str) -> Result<Self, DbError> {
        Self::connect(
            url,
            &format!(
                "SET synchronous_commit = on; SET jit = off; SET idle_in_transaction_session_timeout = {STOPPED_MS}; SET client_min_messages = warning"
            ),
        )
    }

    /// A connection that only reads; a limit of zero is none.
    fn reader(url: &str, limit: Duration) -> Result<Self, DbError> {
        Self::connect(
            url,
            &format!(
                "SET default_transaction_read_only = on; SET jit = off; SET statement_timeout = {}",
                limit.as_millis()
            ),
        )
    }

    fn connect(url: &str, settings: &str) -> Result<Self, DbError> {
        let (mut config, encryption) = encryption::read(url).map_err(DbError::Other)?;
        config.application_name("mainstay").connect_timeout(Duration::from_secs(5));
        let mut client = match encryption {
            Encryption::Plain => config.connect(NoTls),
            Encryption::Tls(connector) => config.connect(*connector),
        }
        .map_err(told)?;
        client.batch_execute(settings).map_err(told)?;
        Ok(Self { client, prepared: HashMap::new() })
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, DbError> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        let statement = self.client.prepare(&dollar_marks(sql)).map_err(told)?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// `?1` becomes `$1`; no statement of ours has a question mark for anything else outside of quotes.
fn dollar_marks(sql: &str) -> String {
    let mut quoted = false;
    sql.chars()
        .map(|c| {
            quoted ^= c == '\'';
            if c == '?' && !quoted { '$' } else { c }
        })
        .collect()
}

impl ToSql for Val<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Val::Null => Ok(IsNull::Yes),
            Val::Int(n) if *ty == Type::INT4 => i32::try_from(*n)?.to_sql(ty, out),
            Val::Int(n) if *ty == Type::FLOAT8 => (*n as f64).to_sql(ty, out),
            Val::Int(n) => n.to_sql(ty, out),
            Val::Real(n) => n.to_sql(ty, out),
            Val::Text(t) => t.as_ref().to_sql(ty, out),
            Val::Blob(b) => b.as_ref().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Row for postgres::Row {
    fn get(&self, i: usize) -> Result<Val<'_>, DbError> {
        let wrong = |e: postgres::Error| DbError::Damaged(e.to_string());
        let column = self.columns().get(i).ok_or_else(|| DbError::Other(format!("no column {i}")))?;
        Ok(match *column.type_() {
            Type::INT8 => self.try_get::<_, Option<i64>>(i).map_err(wrong)?.into(),
            Type::INT4 => self.try_get::<_, Option<i32>>(i).map_err(wrong)?.map(i64::from).into(),
            Type::BOOL => self.try_get::<_, Option<bool>>(i).map_err(wrong)?.into(),
            Type::FLOAT8 => self.try_get::<_, Option<f64>>(i).map_err(wrong)?.into(),
            Type::TEXT | Type::VARCHAR | Type::NAME => self.try_get::<_, Option<&str>>(i).map_err(wrong)?.into(),
            Type::BYTEA => self.try_get::<_, Option<&[u8]>>(i).map_err(wrong)?.into(),
            ref other => return Err(DbError::Other(format!("a column of type {other}"))),
        })
    }
}

impl Conn for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn exec(&mut self, sql: &str, args: &[Val<'_>]) -> Result<u64, DbError> {
        let statement = self.statement(sql)?;
        let args: Vec<&(dyn ToSql + Sync)> = args.iter().map(|a| a as &(dyn ToSql + Sync)).collect();
        self.client.execute(&statement, &args).map_err(told)
    }

    fn query(&mut self, sql: &str, args: &[Val<'_>], each: Each<'_>) -> Result<(), DbError> {
        use postgres::fallible_iterator::FallibleIterator as _;
        let statement = self.statement(sql)?;
        let mut rows = self.client.query_raw(&statement, args).map_err(told)?;
        while let Some(row) = rows.next().map_err(told)? {
            if !each(&row)? {
                break;
            }
        }
        Ok(())
    }

    fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        self.client.batch_execute(sql).map_err(told)
    }
}

/// What an error of PostgreSQL means to the store.
fn told(error: postgres::Error) -> DbError {
    let Some(db) = error.as_db_error() else {
        let cause = error.source().map_or_else(String::new, |c| format!(": {c}"));
        return DbError::Lost(format!("{error}{cause}"));
    };
    let text = db.message().to_owned();
    match *db.code() {
        SqlState::DISK_FULL => DbError::Full,
        SqlState::QUERY_CANCELED => DbError::Stopped,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => DbError::Damaged(text),
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => DbError::Lost(text),
        _ => DbError::Other(text),
    }
}

impl Store {
    /// Opens a store in a PostgreSQL database, which may be empty. `url` is a connection string or `postgres://` URL.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn open_postgres(url: &str, options: Options) -> Result<Arc<Self>, OpenError> {
        let prepared = std::thread::scope(|scope| scope.spawn(|| look(url)).join());
        let (found, classes) = match prepared {
            Ok(looked) => looked
                .map_err(|e| OpenError::Database(format!("{e}: is PostgreSQL running, and is the address right?")))?,
            Err(_) => return Err(OpenError::Database("the look at PostgreSQL ended in a panic".into())),
        };
        if found > LAYOUT {
            return Err(OpenError::Newer { found, known: LAYOUT });
        }
        let (write_url, read_url, slow_url, limit) =
            (url.to_owned(), url.to_owned(), url.to_owned(), options.query_limit);
        let start = Start {
            dialect: Dialect::Postgres,
            dir: None,
            conn: None,
            connect: Box::new(move || Ok(Box::new(Postgres::writer(&write_url)?))),
            connect_reader: Arc::new(move || Ok(Box::new(Postgres::reader(&read_url, limit)?))),
            connect_slow: Arc::new(move || Ok(Box::new(Postgres::reader(&slow_url, Duration::ZERO)?))),
            classes,
            lock: None,
            ballast: None,
        };
        Self::start(start, &options).map_err(|e| OpenError::Database(e.to_string()))
    }
}

/// Makes or migrates the tables. The client is dropped on this thread.
fn look(url: &str) -> Result<(i64, Classes), DbError> {
    let mut conn: Box<dyn Conn> = Box::new(Postgres::writer(url)?);
    let found = migrate(&mut *conn)?;
    let classes = if found > LAYOUT { Classes::default() } else { known_classes(&mut *conn)? };
    Ok((found, classes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn marks_in_quotes_are_text() {
        assert_eq!(
            super::dollar_marks("SELECT '?1', ?1 WHERE a LIKE ?2 ESCAPE '!'"),
            "SELECT '?1', $1 WHERE a LIKE $2 ESCAPE '!'"
        );
    }
}
