//! Opening a store, and the two ways in: pieces of work for the writer, questions for the readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use kernel::error::StoreError;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::conn::{Conn, DbError, Dialect, Fault};
use crate::layout::{Classes, LAYOUT, known_classes, prepare};
use crate::lock::Lock;
use crate::readers::{ConnectReader, Readers};
use crate::sqlite::Sqlite;
use crate::writer::{Asked, Connect, Group, Intake, Ledger, QUEUE, Work, Writer};

/// The database's file in the data directory.
pub(crate) const FILE: &str = "records.db";
/// Questions that may wait for a reader; whoever comes then waits to be let in.
const QUESTIONS: usize = 256;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that read.
    pub readers: usize,
    /// A question that takes longer is stopped.
    pub query_limit: Duration,
    /// Page cache of the writer, in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, in KiB.
    pub reader_cache_kib: u32,
    /// Room on the disk that is given up when it is full, so that pages and sessions can still be written; 0 for none.
    pub ballast_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 3,
            query_limit: Duration::from_secs(5),
            writer_cache_kib: 32 * 1024,
            reader_cache_kib: 8 * 1024,
            ballast_bytes: 4 << 20,
        }
    }
}

/// Why a store was not opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be written.
    #[error("the data directory {} cannot be written ({source}): make it, or give it to the user that runs Mainstay", dir.display())]
    NotWritable {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another server has it.
    #[error("the data directory {} is in use by the Mainstay with process id {pid}: stop that one first, or use another directory", dir.display())]
    Locked {
        /// Which.
        dir: PathBuf,
        /// Whose.
        pid: String,
    },
    /// A newer Mainstay wrote it.
    #[error(
        "the data was written by a newer Mainstay (layout {found}; this one knows up to {known}): start that version again, or restore a backup from before the upgrade"
    )]
    Newer {
        /// Layout found.
        found: i64,
        /// Layout known.
        known: i64,
    },
    /// It is not what was written.
    #[error("the database in {} is damaged ({what}): restore it from a backup with `mainstay restore`", dir.display())]
    Damaged {
        /// Where.
        dir: PathBuf,
        /// What.
        what: String,
    },
    /// The database said something else.
    #[error("the database cannot be opened: {0}")]
    Database(String),
}

/// A store of records, links, journal, intervals, observations and jobs.
pub struct Store {
    /// The data directory, with SQLite.
    pub(crate) dir: Option<PathBuf>,
    /// Goes up before a write that may have changed a record, link or private value is answered.
    pub(crate) edition: Arc<AtomicU64>,
    work: Mutex<Option<mpsc::Sender<Box<dyn Work>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Option<Readers>,
    let_in: Semaphore,
    pub(crate) classes: Arc<RwLock<Classes>>,
    intake: Arc<Intake>,
    limit_ms: u64,
    connect_slow: ConnectReader,
    _lock: Option<Lock>,
}

/// A data directory that nobody else opens as long as this lives, or the store that is made of it.
pub struct Claim {
    dir: PathBuf,
    lock: Lock,
}

impl Claim {
    /// Takes a directory, which is made when it is not there.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process has it, [`OpenError::Damaged`] when a restore into it was cut off.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        let lock = Lock::take(dir)?;
        if dir.join(crate::backup::STAGED).exists() {
            return Err(OpenError::Damaged { dir: dir.to_owned(), what: "a restore into it was cut off".into() });
        }
        Ok(Self { dir: dir.to_owned(), lock })
    }
}

/// Any question to a table has the layout read.
const FIRST_LOOK: &str = "SELECT id FROM tenant LIMIT 1";

impl Store {
    /// Opens the SQLite store of a data directory, making it when there is none.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn open_sqlite(dir: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        Self::open_claimed(Claim::take(dir)?, options)
    }

    /// As [`open_sqlite`](Self::open_sqlite), in a directory that is claimed already.
    ///
    /// # Errors
    /// As there.
    pub fn open_claimed(claim: Claim, options: Options) -> Result<Arc<Self>, OpenError> {
        let Claim { dir, lock } = claim;
        let dir = dir.as_path();
        let path = dir.join(FILE);
        let opened = |error: DbError| match error {
            DbError::Damaged(what) => OpenError::Damaged { dir: dir.to_owned(), what },
            DbError::Full => {
                OpenError::NotWritable { dir: dir.to_owned(), source: std::io::ErrorKind::StorageFull.into() }
            }
            other => OpenError::Database(other.to_string()),
        };
        let mut conn: Box<dyn Conn> = Box::new(Sqlite::writer(&path, options.writer_cache_kib).map_err(opened)?);
        let found = migrate(&mut *conn).map_err(opened)?;
        if found > LAYOUT {
            return Err(OpenError::Newer { found, known: LAYOUT });
        }
        let classes = known_classes(&mut *conn).map_err(opened)?;
        let (reader_path, limit, cache) = (path.clone(), options.query_limit, options.reader_cache_kib);
        let connect_reader: ConnectReader =
            Arc::new(move || Ok(Box::new(Sqlite::reader(&reader_path, cache, Some(limit))?)));
        let slow_path = path.clone();
        let connect_slow: ConnectReader = Arc::new(move || Ok(Box::new(Sqlite::reader(&slow_path, cache, None)?)));
        let cache = options.writer_cache_kib;
        let connect: Connect = Box::new(move || Ok(Box::new(Sqlite::writer(&path, cache)?)));
        let start = Start {
            dialect: Dialect::Sqlite,
            dir: Some(dir.to_owned()),
            conn: Some(conn),
            connect,
            connect_reader,
            connect_slow,
            classes,
            lock: Some(lock),
            ballast: (options.ballast_bytes > 0).then(|| (dir.join("ballast"), options.ballast_bytes)),
        };
        Self::start(start, &options).map_err(|source| OpenError::NotWritable { dir: dir.to_owned(), source })
    }

    pub(crate) fn start(start: Start, options: &Options) -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let classes = Arc::new(RwLock::new(start.classes));
        let intake = Arc::new(Intake::default());
        let edition = Arc::new(AtomicU64::new(1));
        let writer = Writer {
            conn: start.conn,
            connect: start.connect,
            ledger: Ledger::default(),
            classes: classes.clone(),
            intake: intake.clone(),
            edition: edition.clone(),
            ballast: start.ballast,
            full_since: None,
            dialect: start.dialect,
        };
        let thread = std::thread::Builder::new().name("store-write".into()).spawn(move || writer.serve(receiver))?;
        let readers = Readers::start(options.readers.max(1), &start.connect_reader)?;
        // The first question will not have to wait for a connection, nor for the layout to be read.
        readers.ask(Box::new(|conn| conn.and_then(|conn| conn.first(FIRST_LOOK, &[], |_| Ok(()))).is_err()));
        Ok(Arc::new(Self {
            dir: start.dir,
            edition,
            work: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(thread)),
            readers: Some(readers),
            let_in: Semaphore::new(QUESTIONS),
            classes,
            intake,
            limit_ms: u64::try_from(options.query_limit.as_millis()).unwrap_or(u64::MAX),
            connect_slow: start.connect_slow,
            _lock: start.lock,
        }))
    }

    /// Has the writer do something, and waits until it is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        vital: bool,
        run: impl FnMut(&mut Group<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed =
            || StoreError::Closed(self.intake.closed.lock().clone().unwrap_or_else(|| "it is being shut down".into()));
        let sender = self.work.lock().clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let work = Asked { run, vital, result: None, reply };
        sender.send(Box::new(work)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Has a reader answer something.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Conn, &Classes) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Closed("it is being shut down".into());
        let _turn = self.let_in.acquire().await.map_err(|_| gone())?;
        let classes = self.classes.read().clone();
        let (reply, answer) = oneshot::channel();
        let question = move |conn: Result<&mut dyn Conn, DbError>| {
            let outcome = conn.map_err(Fault::from).and_then(|conn| ask(conn, &classes));
            let lost = matches!(outcome, Err(Fault::Db(DbError::Lost(_))));
            let _ = reply.send(outcome); // Nobody listens any more: the answer is not needed.
            lost
        };
        self.readers.as_ref().ok_or_else(gone)?.ask(Box::new(question));
        answer.await.map_err(|_| gone())?.map_err(|fault| self.told(fault))
    }

    /// Asks on a connection of its own, without a time limit, so that work that reads everything holds up no question.
    pub(crate) async fn read_slowly<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Conn, &Classes) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (connect, classes) = (self.connect_slow.clone(), self.classes.read().clone());
        let (reply, answer) = oneshot::channel();
        let work = move || {
            let outcome = connect().map_err(Fault::from).and_then(|mut conn| ask(&mut *conn, &classes));
            let _ = reply.send(outcome); // Nobody listens any more: the answer is not needed.
        };
        std::thread::Builder::new()
            .name("store-slow".into())
            .spawn(work)
            .map_err(|e| StoreError::Database(e.to_string()))?;
        let gone = |_| StoreError::Database("the work ended in a panic".into());
        answer.await.map_err(gone)?.map_err(|fault| self.told(fault))
    }

    fn told(&self, fault: Fault) -> StoreError {
        let error = fault.told(self.limit_ms);
        if let StoreError::Damaged { what } = &error {
            tracing::error!(what, "{error}");
        }
        error
    }

    /// Why no writes are taken, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        if let Some(why) = &*self.intake.closed.lock() {
            return Some(why.clone());
        }
        self.intake.full.lock().then(|| "the disk that holds the data directory is full: free some space".to_owned())
    }
}

impl Store {
    /// Ends writing, with SQLite bringing into the file what its log holds, so that the next start has no log to read. It waits for
    /// what is being written; what comes afterwards is refused, and reading goes on.
    pub fn close(&self) {
        *self.work.lock() = None;
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join(); // A writer that panicked has told so itself.
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.readers = None;
        self.close();
    }
}

/// What a backend brings to be started.
pub(crate) struct Start {
    pub(crate) dialect: Dialect,
    pub(crate) dir: Option<PathBuf>,
    /// The writer's first connection, if it has been made already.
    pub(crate) conn: Option<Box<dyn Conn>>,
    pub(crate) connect: Connect,
    pub(crate) connect_reader: ConnectReader,
    /// A reader's connection without a time limit.
    pub(crate) connect_slow: ConnectReader,
    pub(crate) classes: Classes,
    pub(crate) lock: Option<Lock>,
    pub(crate) ballast: Option<(PathBuf, u64)>,
}

/// Brings an older layout forward. Answers the layout found when it is newer than this program, else the present one.
pub(crate) fn migrate(conn: &mut dyn Conn) -> Result<i64, DbError> {
    let found = prepare(conn)?;
    if found > LAYOUT {
        return Ok(found);
    }
    for (to, sql) in MIGRATIONS.iter().filter(|(to, _)| *to > found && found > 0) {
        conn.batch("BEGIN")?;
        conn.batch(&conn.dialect().ddl(sql))?;
        conn.exec("UPDATE meta SET value = ?1 WHERE name = 'layout'", &[(*to).into()])?;
        conn.batch("COMMIT")?;
    }
    Ok(LAYOUT)
}

/// Steps from one layout to the next: the layout that each leads to, and its statements. Layout 1 is the first.
const MIGRATIONS: &[(i64, &str)] = &[];
