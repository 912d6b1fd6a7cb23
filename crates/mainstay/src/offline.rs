//! Verify, anchor, backup, restore, dump: by the running server over its local socket, else on the data directory itself.

use anyhow::{Context, bail};
use cli::output;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Anchor, Report, Store};

use crate::onhost::local;
use crate::options::Data;

/// The database's file in the data directory, unless the records are in PostgreSQL.
pub const RECORDS: &str = "records.db";
/// The note of the newest backup in the data directory.
const LAST_BACKUP: &str = "last-backup.json";

/// Opens the store of a data directory that no server holds.
fn offline(data: &Data) -> anyhow::Result<Arc<Store>> {
    if !data.data.join(RECORDS).exists() {
        bail!("there is no {RECORDS} in {}: name the data directory with --data", data.data.display());
    }
    Ok(Store::open_sqlite(&data.data, store::Options::default())?)
}

/// Asks the running server; `None` when none runs here.
async fn asked(data: &Data, operation: &str, body: &Value) -> anyhow::Result<Option<Value>> {
    if !data.socket().exists() || std::os::unix::net::UnixStream::connect(data.socket()).is_err() {
        return Ok(None);
    }
    Ok(Some(local(data)?.json("POST", &format!("/api/v1/host/{operation}"), Some(body)).await?))
}

/// Chain, checksums and stores. Exit code 0 whole, 1 damaged.
///
/// # Errors
/// It cannot be read at all.
pub async fn verify(data: &Data, anchor: Option<&Path>) -> anyhow::Result<u8> {
    let anchors = match anchor {
        None => Vec::new(),
        Some(path) => {
            anchors(&std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)?
        }
    };
    let (text, whole) = match asked(data, "verify", &json!({"anchors": anchors})).await? {
        Some(answer) => (answer["text"].as_str().unwrap_or_default().to_owned(), answer["whole"] == true),
        None => {
            let store = offline(data)?;
            whole(&store, None, &data.data, &anchors).await?
        }
    };
    output::say(&text)?;
    Ok(u8::from(!whole))
}

/// Looks at everything and says what it found, and whether all is whole.
///
/// # Errors
/// Nothing can be read at all.
pub async fn whole(
    store: &Store,
    engine: Option<&series::Engine>,
    data: &Path,
    anchors: &[Anchor],
) -> anyhow::Result<(String, bool)> {
    let report = store.verify(anchors).await?;
    let mut text = shown(&report);
    let mut whole = report.is_whole();
    let folder = data.join("series");
    let measured = match engine {
        Some(engine) => Some(engine.verify()?),
        None if folder.exists() => Some(series::verify_directory(&folder)?),
        None => None,
    };
    if let Some(measured) = measured {
        text.push_str(&format!("{measured}\n"));
        whole &= measured.is_clean();
    }
    text.push_str(if whole {
        "whole"
    } else {
        "damaged: what is named above is not served; `mainstay restore` puts a backup in its place"
    });
    Ok((text, whole))
}

fn shown(report: &Report) -> String {
    let mut text =
        format!("records: {} rows, {} journal entries, {} damaged\n", report.rows, report.entries, report.damaged_rows);
    for row in &report.damaged {
        text.push_str(&format!("  {} {}\n", row.table, row.key));
    }
    for chain in &report.chains {
        text.push_str(&format!("  journal of tenant {}: wrong from #{}: {}\n", chain.tenant.0, chain.seq, chain.why));
    }
    for line in &report.database {
        text.push_str(&format!("  database: {line}\n"));
    }
    text
}

fn anchors(text: &str) -> anyhow::Result<Vec<Anchor>> {
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|line| {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let [tenant, seq, hash] = parts.as_slice() else { bail!("an anchor is TENANT SEQ HASH, not \"{line}\"") };
            Ok(Anchor { tenant: kernel::TenantId(tenant.parse()?), seq: seq.parse()?, hash: (*hash).to_owned() })
        })
        .collect()
}

/// Heads of the journal, one a line.
///
/// # Errors
/// It cannot be read.
pub async fn anchor(data: &Data) -> anyhow::Result<()> {
    let heads: Vec<Anchor> = match asked(data, "anchor", &json!({})).await? {
        Some(answer) => serde_json::from_value(answer["heads"].clone())?,
        None => offline(data)?.heads().await?,
    };
    for head in heads {
        output::say(&format!("{} {} {}", head.tenant.0, head.seq, head.hash))?;
    }
    Ok(())
}

/// A backup: by the server while it runs, else directly.
///
/// # Errors
/// The folder is not empty, or something cannot be written.
pub async fn backup(data: &Data, to: &Path) -> anyhow::Result<()> {
    let to = std::path::absolute(to)?;
    let text = match asked(data, "backup", &json!({"to": to})).await? {
        Some(answer) => answer["text"].as_str().unwrap_or_default().to_owned(),
        None => back_up(&*offline(data)?, None, &data.data, &to, kernel::Clock::now(&kernel::SystemClock::default()))?,
    };
    output::say(&text)?;
    Ok(())
}

/// The newest backup that was taken of a data directory.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LastBackup {
    /// When.
    pub taken: kernel::Time,
    /// Into which folder.
    pub to: PathBuf,
}

/// What is kept of the newest backup; `None` when none was taken.
///
/// # Errors
/// It cannot be read.
pub fn last_backup(data: &Path) -> anyhow::Result<Option<LastBackup>> {
    match std::fs::read(data.join(LAST_BACKUP)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Notes a backup that is whole. It stands as it is, noted or not, so a note that cannot be written is only logged.
fn note_backup(data: &Path, last: &LastBackup) {
    let fresh = data.join(LAST_BACKUP).with_extension("new");
    let text = serde_json::to_vec(last).expect("plain data");
    let noted = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, data.join(LAST_BACKUP)));
    if let Err(error) = noted {
        tracing::warn!(%error, "the backup could not be noted; mainstay doctor will not know of it");
    }
}

/// A backup into a new folder: records, measurements and policies, without the keys. Blocks its thread.
///
/// # Errors
/// The folder is not empty, or something cannot be written.
pub fn back_up(
    store: &Store,
    engine: Option<&series::Engine>,
    data: &Path,
    to: &Path,
    now: kernel::Time,
) -> anyhow::Result<String> {
    let staged = data.join("backup-series");
    drop(std::fs::remove_dir_all(&staged));
    let series = match engine {
        Some(engine) => {
            engine.snapshot_to(&staged)?;
            staged.clone()
        }
        None => data.join("series"),
    };
    let mut extra = Vec::new();
    files(&series, "series", &mut extra)?;
    files(&data.join("policies"), "policies", &mut extra)?;
    let taken = store.backup(to, &extra, now);
    drop(std::fs::remove_dir_all(&staged));
    let manifest = taken?;
    note_backup(data, &LastBackup { taken: now, to: to.to_owned() });
    let bytes: u64 = manifest.files.iter().map(|f| f.bytes).sum();
    Ok(format!(
        "backup in {}: {} files, {bytes} bytes. The keys in {} are not in it: keep them apart, without them no secret can be read",
        to.display(),
        manifest.files.len(),
        data.join("keys").display()
    ))
}

/// All files under a folder with their paths in the backup; a folder that is not there has none.
fn files(folder: &Path, name: &str, all: &mut Vec<(PathBuf, String)>) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(&entry.path(), &inner, all)?;
        } else {
            all.push((entry.path(), inner));
        }
    }
    Ok(())
}

/// From a backup into an empty data directory; with `replace`, what was there is kept beside.
///
/// # Errors
/// A damaged backup, or a directory that is not empty.
pub fn restore(data: &Data, from: &Path, replace: bool) -> anyhow::Result<()> {
    crate::server::data_directory(&data.data)?;
    let manifest = store::restore(from, &data.data, replace)?;
    output::say(&format!(
        "restored {} files, as of {}, into {}",
        manifest.files.len(),
        manifest.taken,
        data.data.display()
    ))?;
    Ok(())
}

/// Canonical text of everything.
///
/// # Errors
/// A server holds the directory, or it cannot be read.
pub async fn dump(data: &Data) -> anyhow::Result<()> {
    output::line(&offline(data)?.dump().await?)?;
    Ok(())
}
