//! Commands on a data directory: verify, anchor, backup, restore, dump. Those that only read work beside a running server.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::Path;
use store::Store;

use crate::onhost::local;
use crate::options::Data;

/// Opens the store of a data directory that no server holds.
fn offline(data: &Data) -> anyhow::Result<std::sync::Arc<Store>> {
    if !data.data.join("records.db").exists() {
        bail!("there is no records.db in {}: name the data directory with --data", data.data.display());
    }
    Ok(Store::open_sqlite(&data.data, store::Options::default())?)
}

/// Chain, checksums and stores. Exit code 0 clean, 1 damaged.
///
/// # Errors
/// It cannot be read at all.
pub fn verify(data: &Data, anchor: Option<&Path>) -> anyhow::Result<u8> {
    let anchors = match anchor {
        None => Vec::new(),
        Some(path) => anchors(&std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)?,
    };
    let report = store::verify_directory(&data.data, &anchors)?;
    print!("{report}");
    let series = data.data.join("series");
    let mut clean = report.is_clean();
    if series.exists() {
        let found = series::verify_directory(&series)?;
        println!("{found}");
        clean &= found.is_clean();
    }
    println!("{}", if clean { "clean" } else { "damaged: restore the records named above from a backup with `mainstay restore`" });
    Ok(u8::from(!clean))
}

fn anchors(text: &str) -> anyhow::Result<Vec<store::Anchor>> {
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|line| {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let [tenant, seq, hash] = parts.as_slice() else { bail!("an anchor is TENANT SEQ HASH, not \"{line}\"") };
            Ok(store::Anchor { tenant: kernel::TenantId(tenant.parse()?), seq: seq.parse()?, hash: (*hash).to_owned() })
        })
        .collect()
}

/// Heads of the journal.
///
/// # Errors
/// It cannot be read.
pub fn anchor(data: &Data) -> anyhow::Result<()> {
    for head in store::heads_of_directory(&data.data)? {
        println!("{} {} {}", head.tenant.0, head.seq, head.hash);
    }
    Ok(())
}

/// A backup: by the server while it runs, else directly.
///
/// # Errors
/// The folder exists, or something cannot be written.
pub async fn backup(data: &Data, to: &Path) -> anyhow::Result<()> {
    let to = std::path::absolute(to)?;
    if data.socket().exists() {
        let answer = local(data)?.json("POST", "/api/v1/host/backup", Some(&json!({"to": to}))).await?;
        println!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default());
        return Ok(());
    }
    let store = offline(data)?;
    println!("{}", crate::server::back_up(&store, None, &data.data, &to)?);
    Ok(())
}

/// From a backup into an empty data directory.
///
/// # Errors
/// A damaged backup, or a directory that is not empty.
pub fn restore(data: &Data, from: &Path) -> anyhow::Result<()> {
    let report = store::restore(from, &data.data)?;
    println!("{report}");
    Ok(())
}

/// Canonical text of everything.
///
/// # Errors
/// It cannot be read.
pub fn dump(data: &Data) -> anyhow::Result<()> {
    store::dump_directory(&data.data, &mut std::io::stdout().lock())?;
    Ok(())
}
