//! One server for each data directory: a lock on a file that names who holds it. The system lets it go when the process ends, however.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::OpenError;

/// Held while the store is open.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a data directory, which is made when it is not there: for its owner alone.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let unwritable = |source: std::io::Error| OpenError::NotWritable { dir: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unwritable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid); // Without a pid the sentence says so.
                let pid = pid.trim();
                return Err(OpenError::Locked {
                    dir: dir.to_owned(),
                    pid: if pid.is_empty() { "unknown".into() } else { pid.to_owned() },
                });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(unwritable)?;
        Ok(Self { _file: file })
    }
}
