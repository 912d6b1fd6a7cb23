//! Files that are there whole or not at all, whenever the power goes.

use std::fs::{self, File};
use std::path::Path;

use crate::error::{SeriesError, io as at};

/// Puts a file in place: `write` makes and syncs it under the name that it is given, and only then it has its own. What
/// interrupted writes leave behind ends in `.part`, and is removed at the next start.
///
/// # Errors
/// What `write` says; [`SeriesError::Io`] when it cannot be renamed, or its name not be synced.
pub(crate) fn put_in_place<T, E: From<SeriesError>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let part = path.with_extension("part");
    let written = write(&part);
    if written.is_err() {
        // Else half a file would hold the room that a full disk lacks.
        let _ = fs::remove_file(&part);
    }
    let written = written?;
    fs::rename(&part, path).map_err(at("rename", &part))?;
    sync_dir(path.parent().unwrap_or(path))?;
    Ok(written)
}

/// Makes a folder's entries durable: a file whose name is not synced is not there after a power cut.
pub(crate) fn sync_dir(dir: &Path) -> crate::Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(at("sync", dir))
}
