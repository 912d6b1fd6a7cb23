//! Backups of the data directory: taken while everything runs, checked whole before anything is put back.
//!
//! A backup is a directory: the database, whatever files the caller adds, and `manifest.json` written last, with the size and
//! SHA-256 of each. A directory without a manifest is no backup. PostgreSQL's data is backed up by PostgreSQL's own means.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use kernel::clock::Time;
use rusqlite::backup::StepResult;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::conn::{Conn, DbError};
use crate::layout::{LAYOUT, known_classes};
use crate::lock::Lock;
use crate::sqlite::{Sqlite, told};
use crate::store::{FILE, OpenError, Store};
use crate::verify::{Anchor, Report, everything, heads};

const MANIFEST: &str = "manifest.json";
/// Where a restore gathers its files before any of them takes its place.
pub(crate) const STAGED: &str = "restoring";

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the database in it.
    pub layout: i64,
    /// When it was taken.
    pub taken: Time,
    /// The newest entry of each tenant's journal.
    pub heads: Vec<Anchor>,
    /// Its files.
    pub files: Vec<BackupFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Its path in the backup and in the data directory, with `/`.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// Why a backup was not taken or not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database said no.
    #[error("the database could not be copied: {0}")]
    Database(String),
    /// With PostgreSQL there is nothing of ours to copy.
    #[error("the data is in PostgreSQL: back it up with pg_dump or by its base backups")]
    NotOurs,
    /// The directory is not empty.
    #[error("{} is not empty: choose another directory, or say that it is to be replaced", .0.display())]
    NotEmpty(PathBuf),
    /// It is not a whole backup.
    #[error("the backup in {} is not whole ({what}); nothing was restored: use another backup", dir.display())]
    Damaged {
        /// Which.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer Mainstay took it.
    #[error(
        "the backup was taken by a newer Mainstay (layout {found}; this one knows up to {known}); nothing was restored: use that version"
    )]
    Newer {
        /// Its layout.
        found: i64,
        /// Layout known.
        known: i64,
    },
    /// The data directory is in use.
    #[error(transparent)]
    Open(#[from] OpenError),
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    move |source| BackupError::File { path: path.to_owned(), source }
}

fn database(error: DbError) -> BackupError {
    BackupError::Database(error.to_string())
}

impl Store {
    /// Takes a backup into an empty or new directory while everything runs. `extra` are files to take along: (path of the file, path in
    /// the backup). Blocks its thread: call it from one that may wait.
    ///
    /// # Errors
    /// A sentence; the directory has no manifest then, and is not a backup.
    pub fn backup(&self, to: &Path, extra: &[(PathBuf, String)], now: Time) -> Result<Manifest, BackupError> {
        let from = self.dir.as_deref().ok_or(BackupError::NotOurs)?;
        fs::create_dir_all(to).map_err(file_error(to))?;
        if fs::read_dir(to).map_err(file_error(to))?.next().is_some() {
            return Err(BackupError::NotEmpty(to.to_owned()));
        }
        let copy = to.join(FILE);
        copy_database(&from.join(FILE), &copy)?;
        let mut conn = Sqlite::reader(&copy, 8192, None).map_err(database)?;
        let conn: &mut dyn Conn = &mut conn;
        let heads = heads(conn).map_err(database)?;
        let mut files = vec![copied(&copy, FILE)?];
        for (source, path) in extra {
            let path =
                inside(path).ok_or_else(|| BackupError::Database(format!("\"{path}\" is not a path in a backup")))?;
            let target = to.join(&path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(file_error(parent))?;
            }
            fs::copy(source, &target).map_err(file_error(source))?;
            files.push(copied(&target, &path)?);
        }
        let manifest = Manifest { layout: LAYOUT, taken: now, heads, files };
        let path = to.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| BackupError::Database(e.to_string()))?;
        File::create(&path)
            .and_then(|mut f| f.write_all(&text).and_then(|()| f.sync_all()))
            .map_err(file_error(&path))?;
        File::open(to).and_then(|d| d.sync_all()).map_err(file_error(to))?;
        Ok(manifest)
    }
}

fn copy_database(from: &Path, to: &Path) -> Result<(), BackupError> {
    let source = Sqlite::reader(from, 8192, None).map_err(database)?;
    let mut target = rusqlite::Connection::open(to).map_err(|e| database(told(e)))?;
    let backup = rusqlite::backup::Backup::new(&source.db, &mut target).map_err(|e| database(told(e)))?;
    // All pages in one step: one snapshot, so writes meanwhile neither wait nor begin the copy anew.
    match backup.step(-1).map_err(|e| database(told(e)))? {
        StepResult::Done => {}
        _ => return Err(BackupError::Database("the database stayed busy".into())),
    }
    drop(backup);
    target.execute_batch("PRAGMA journal_mode = DELETE").map_err(|e| database(told(e)))?;
    target.close().map_err(|(_, e)| database(told(e)))
}

/// A path that stays inside the directory it is joined to.
fn inside(path: &str) -> Option<String> {
    let plain = !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
    (plain && path != MANIFEST && path != FILE).then(|| path.to_owned())
}

fn copied(path: &Path, name: &str) -> Result<BackupFile, BackupError> {
    let mut file = File::open(path).map_err(file_error(path))?;
    file.sync_all().map_err(file_error(path))?;
    let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut block).map_err(file_error(path))?;
        if n == 0 {
            break;
        }
        bytes += n as u64;
        hash.update(&block[..n]);
    }
    Ok(BackupFile { path: name.to_owned(), bytes, sha256: hex::encode(hash.finalize()) })
}

/// Looks at a backup without restoring it: every file against the manifest, every row of the database against its seal, the journal
/// against its chain.
///
/// # Errors
/// What is wrong with it.
pub fn check_backup(dir: &Path) -> Result<(Manifest, Report), BackupError> {
    let damaged = |what: String| BackupError::Damaged { dir: dir.to_owned(), what };
    let text = fs::read(dir.join(MANIFEST)).map_err(|e| damaged(format!("its manifest: {e}")))?;
    let layout = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|v| v.get("layout")?.as_i64());
    if let Some(found) = layout.filter(|l| *l > LAYOUT) {
        return Err(BackupError::Newer { found, known: LAYOUT });
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged(format!("its manifest: {e}")))?;
    if !manifest.files.iter().any(|f| f.path == FILE) {
        return Err(damaged("its manifest names no database".into()));
    }
    for file in &manifest.files {
        if file.path != FILE && inside(&file.path).is_none() {
            return Err(damaged(format!("\"{}\" would be outside of the data directory", file.path)));
        }
        let found = copied(&dir.join(&file.path), &file.path).map_err(|e| damaged(e.to_string()))?;
        if found != *file {
            return Err(damaged(format!("{} is not what was backed up", file.path)));
        }
    }
    let report = check_database(&dir.join(FILE), &manifest).map_err(|e| damaged(e.to_string()))?;
    if !report.is_whole() {
        let first = report
            .database
            .first()
            .cloned()
            .or_else(|| report.damaged.first().map(|d| format!("{} {}", d.table, d.key)));
        return Err(damaged(first.or_else(|| report.chains.first().map(|c| c.why.clone())).unwrap_or_default()));
    }
    Ok((manifest, report))
}

fn check_database(path: &Path, manifest: &Manifest) -> Result<Report, DbError> {
    let mut conn = Sqlite::reader(path, 8192, None)?;
    let conn: &mut dyn Conn = &mut conn;
    let found = conn.first("SELECT value FROM meta WHERE name = 'layout'", &[], |row| row.int(0))?;
    if found != Some(manifest.layout) {
        return Err(DbError::Damaged("the layout of the database is not that of the manifest".into()));
    }
    let classes = known_classes(conn)?;
    everything(conn, &classes, &manifest.heads)
}

/// Puts a backup into a data directory, once all of it has been found whole. A directory with data in it is refused unless `replace`;
/// what it replaces is then kept in `before-restore` inside it.
///
/// # Errors
/// A sentence; the data directory is as it was then.
pub fn restore(backup: &Path, data: &Path, replace: bool) -> Result<Manifest, BackupError> {
    let (manifest, _) = check_backup(backup)?;
    let lock = Lock::take(data)?;
    let old: Vec<PathBuf> = fs::read_dir(data)
        .map_err(file_error(data))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.file_name().is_some_and(|n| n != "lock" && n != STAGED))
        .collect();
    if !old.is_empty() && !replace {
        return Err(BackupError::NotEmpty(data.to_owned()));
    }
    let staged = data.join(STAGED);
    let _ = fs::remove_dir_all(&staged); // Left by a restore that was cut off.
    for file in &manifest.files {
        let target = staged.join(&file.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(file_error(parent))?;
        }
        fs::copy(backup.join(&file.path), &target).map_err(file_error(&target))?;
        if copied(&target, &file.path)? != *file {
            return Err(BackupError::Damaged {
                dir: backup.to_owned(),
                what: format!("{} changed while it was restored", file.path),
            });
        }
    }
    let kept = data.join("before-restore");
    if replace {
        set_aside(data, &kept, &manifest)?;
    }
    for file in &manifest.files {
        let target = data.join(&file.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(file_error(parent))?;
        }
        fs::rename(staged.join(&file.path), &target).map_err(file_error(&target))?;
    }
    fs::remove_dir_all(&staged).map_err(file_error(&staged))?;
    File::open(data).and_then(|d| d.sync_all()).map_err(file_error(data))?;
    drop(lock);
    Ok(manifest)
}

/// Moves what a restore replaces into `kept`, the log of SQLite with its database.
fn set_aside(data: &Path, kept: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let _ = fs::remove_dir_all(kept); // Of the restore before this one.
    let logs = [format!("{FILE}-wal"), format!("{FILE}-shm")];
    for path in manifest.files.iter().map(|f| &f.path).chain(&logs) {
        let (from, to) = (data.join(path), kept.join(path));
        if !from.exists() {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(file_error(parent))?;
        }
        fs::rename(&from, &to).map_err(file_error(&from))?;
    }
    Ok(())
}
