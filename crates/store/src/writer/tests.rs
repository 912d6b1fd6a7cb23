//! What the writer does when the disk does not: on SQLite whose commits fail as told.

use super::*;
use crate::conn::{Each, Row};
use crate::layout::known_classes;
use crate::sqlite::Sqlite;
use crate::store::migrate;
use std::sync::mpsc::sync_channel;

/// SQLite whose next commits fail as told.
struct Failing {
    inner: Sqlite,
    fails: Arc<Mutex<Vec<DbError>>>,
}

impl Conn for Failing {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
    fn exec(&mut self, sql: &str, args: &[Val<'_>]) -> Result<u64, DbError> {
        self.inner.exec(sql, args)
    }
    fn query(&mut self, sql: &str, args: &[Val<'_>], each: Each<'_>) -> Result<(), DbError> {
        self.inner.query(sql, args, each)
    }
    fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        let failure = if sql == "COMMIT" { self.fails.lock().pop() } else { None };
        failure.map_or_else(|| self.inner.batch(sql), Err)
    }
}

struct Desk {
    writer: Writer,
    fails: Arc<Mutex<Vec<DbError>>>,
    _dir: tempfile::TempDir,
}

impl Desk {
    fn new(ballast_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut inner = Sqlite::writer(&dir.path().join("db"), 1024).unwrap();
        migrate(&mut inner).unwrap();
        let classes = known_classes(&mut inner).unwrap();
        let fails = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer {
            conn: Some(Box::new(Failing { inner, fails: fails.clone() })),
            connect: Box::new(|| Err(DbError::Other("there is one already".into()))),
            ledger: Ledger::default(),
            classes: Arc::new(RwLock::new(classes)),
            intake: Arc::default(),
            edition: Arc::default(),
            ballast: Some((dir.path().join("ballast"), ballast_bytes)),
            full_since: None,
            dialect: Dialect::Sqlite,
        };
        Self { writer, fails, _dir: dir }
    }

    /// Has the writer count up in one group; `true` is vital work.
    fn count(&mut self, group: &[bool]) -> Vec<Result<i64, StoreError>> {
        let mut answers = Vec::new();
        let mut works: Vec<Box<dyn Work>> = Vec::new();
        for vital in group {
            let (reply, answer) = oneshot::channel();
            works.push(Box::new(Asked {
                run: |group: &mut Group<'_>| Ok(group.next(0, "test")?),
                vital: *vital,
                result: None,
                reply,
            }));
            answers.push(answer);
        }
        self.writer.handle(works);
        answers.into_iter().map(|a| a.blocking_recv().unwrap()).collect()
    }

    fn stored(&mut self) -> Option<i64> {
        let conn = self.writer.conn.as_mut().unwrap();
        conn.first("SELECT value FROM counter WHERE name = 'test'", &[], |row: &dyn Row| row.int(0)).unwrap()
    }
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_ever_again() {
    let mut desk = Desk::new(0);
    assert!(matches!(desk.count(&[false, true])[..], [Ok(1), Ok(2)]));
    desk.fails.lock().push(DbError::Lost("disk I/O error".into()));
    assert!(matches!(desk.count(&[false, true])[..], [Err(StoreError::Closed(_)), Err(StoreError::Closed(_))]));
    assert!(matches!(desk.count(&[true])[..], [Err(StoreError::Closed(_))]), "also when the disk seems to work again");
    assert_eq!(desk.stored(), Some(2));
}

#[test]
fn on_a_full_disk_vital_work_goes_on_in_the_room_that_was_kept_free() {
    let mut desk = Desk::new(1 << 20);
    let (path, bytes) = desk.writer.ballast.clone().unwrap();
    lay_ballast(&path, bytes).unwrap();
    desk.fails.lock().push(DbError::Full);
    assert!(matches!(desk.count(&[false, true])[..], [Err(StoreError::Full), Ok(1)]));
    assert!(!path.exists(), "the room was given up");
    assert!(matches!(desk.count(&[false, true])[..], [Err(StoreError::Full), Ok(2)]));
    assert_eq!(desk.stored(), Some(2));
    // There is room again: found out without a restart, at the latest a second later.
    desk.writer.full_since = desk.writer.full_since.and_then(|t| t.checked_sub(FULL_RETRY));
    assert!(matches!(desk.count(&[false])[..], [Ok(3)]));
    assert!(path.exists() && !*desk.writer.intake.full.lock());
}

#[test]
fn a_refusal_undoes_its_own_work_only() {
    let mut desk = Desk::new(0);
    let (told, outcomes) = sync_channel(8);
    let mut works: Vec<Box<dyn Work>> = Vec::new();
    for i in 0..6 {
        let told = told.clone();
        works.push(Box::new(Told {
            run: Box::new(move |group| {
                let n = group.next(0, "test")?;
                if i % 2 == 1 { Err(StoreError::KeyTaken(n.to_string()).into()) } else { Ok(()) }
            }),
            told: Box::new(move |ok| told.send((i, ok)).unwrap()),
        }));
    }
    desk.writer.handle(works);
    drop(told);
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), (0..6).map(|i| (i, i % 2 == 0)).collect::<Vec<_>>());
    assert_eq!(desk.stored(), Some(3), "refused work used up no numbers");
}

type Run = Box<dyn FnMut(&mut Group<'_>) -> Result<(), Fault> + Send>;

struct Told {
    run: Run,
    told: Box<dyn FnOnce(bool) + Send>,
}

impl Work for Told {
    fn run(&mut self, group: &mut Group<'_>) -> Result<(), Fault> {
        (self.run)(group)
    }
    fn vital(&self) -> bool {
        false
    }
    fn done(self: Box<Self>, outcome: Result<(), StoreError>) {
        (self.told)(outcome.is_ok());
    }
}
