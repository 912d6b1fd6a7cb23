//! A consistent copy for a backup: the sealed files as they are, and the head as a log segment. The copy opens as an engine.

use std::fs::{self, File};
use std::path::Path;

use serde::Serialize;

use crate::durable::sync_dir;
use crate::error::{SeriesError, io as at};
use crate::store::{Store, blocks_dir, wal_dir};
use crate::tiers::all_files;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotReport {
    /// Files of the copy.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Makes the folders of a copy; refuses one that holds something already.
pub(crate) fn prepare(dir: &Path) -> crate::Result<()> {
    for sub in [wal_dir(dir), blocks_dir(dir)] {
        fs::create_dir_all(&sub).map_err(at("create", &sub))?;
        if fs::read_dir(&sub).map_err(at("list", &sub))?.next().is_some() {
            let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "the folder for the copy is not empty");
            return Err(SeriesError::Io { action: "copy to", path: sub, source });
        }
    }
    Ok(())
}

impl Store {
    /// Copies the sealed files and syncs everything. The caller holds a pin, so none of them is removed meanwhile, but for those of
    /// a tier's period that is given up: what the copy has of it is no period, and is made anew there too.
    pub(crate) fn copy_blocks(&self, dir: &Path, blocks: &[std::path::PathBuf]) -> crate::Result<SnapshotReport> {
        let target = blocks_dir(dir);
        for path in blocks {
            let Some(name) = path.file_name() else { continue };
            let copy = target.join(name);
            copy_file(path, &copy)?;
        }
        sync_dir(&target)?;
        let mut report = SnapshotReport { files: 0, bytes: 0 };
        for path in all_files(&self.dir)? {
            let copy = dir.join(path.strip_prefix(&self.dir).unwrap_or(&path));
            let folder = copy.parent().unwrap_or(dir);
            fs::create_dir_all(folder).map_err(at("create", folder))?;
            match copy_file(&path, &copy) {
                // Given up meanwhile, to be made anew: here as well.
                Err(_) if !path.exists() => continue,
                copied => copied?,
            }
            sync_dir(folder)?;
            report.files += 1;
            report.bytes += fs::metadata(&copy).map_err(at("copy", &path))?.len();
        }
        for sub in [wal_dir(dir), target] {
            for entry in fs::read_dir(&sub).map_err(at("list", &sub))? {
                let data = entry.and_then(|e| e.metadata()).map_err(at("list", &sub))?;
                report.files += 1;
                report.bytes += data.len();
            }
        }
        Ok(report)
    }
}

/// Gives a sealed file a second name, which costs nothing and is as good: they never change. Across file systems it is a copy.
fn copy_file(path: &Path, copy: &Path) -> crate::Result<()> {
    if fs::hard_link(path, copy).is_err() {
        fs::copy(path, copy).map_err(at("copy", path))?;
        File::open(copy).and_then(|f| f.sync_all()).map_err(at("sync", copy))?;
    }
    Ok(())
}
