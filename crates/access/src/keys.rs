//! Key files: `keys/` in the data directory, 0700, each key 32 random bytes in a file of mode 0600, made at first use.
//!
//! They are not in the database and not in its backup: whoever has one of the two has nothing. A folder or file that others may
//! read is refused, as a key that somebody may have copied is none.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

use crate::random;

/// A key.
pub type Key = Zeroizing<[u8; 32]>;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others may read or write it.
    #[error(
        "{path} has mode {mode:o}, so others may read it: run `chmod {want:o} {path}`, and if others use this machine, change what it protects"
    )]
    Lax {
        /// Which.
        path: String,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        want: u32,
    },
    /// Not 32 bytes.
    #[error("{path} is not a key of 32 bytes; restore it from where your keys are kept")]
    Damaged {
        /// Which.
        path: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The folder of keys.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// Opens the folder, making it when it is not there.
    ///
    /// # Errors
    /// [`KeyError::Lax`] when others may enter it, or what the file system says.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(io(path, e)),
            _ => refuse_lax(path, 0o700)?,
        }
        Ok(Self(path.to_owned()))
    }

    /// The key of that name, made when it is not there.
    ///
    /// # Errors
    /// As [`Self::open`]; [`KeyError::Damaged`] when it is not a key.
    pub fn key(&self, name: &str) -> Result<Key, KeyError> {
        let path = self.0.join(format!("{name}.key"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let key = random::bytes::<32>();
                let written =
                    file.write_all(&*key).and_then(|()| file.sync_all()).and_then(|()| File::open(&self.0)?.sync_all());
                written.map_err(|e| io(&path, e))?;
                Ok(key)
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => read(&path),
            Err(e) => Err(io(&path, e)),
        }
    }
}

fn read(path: &Path) -> Result<Key, KeyError> {
    refuse_lax(path, 0o600)?;
    let mut key = Key::new([0; 32]);
    let mut file = File::open(path).map_err(|e| io(path, e))?;
    let damaged = || KeyError::Damaged { path: path.display().to_string() };
    file.read_exact(&mut *key).map_err(|_| damaged())?;
    let more = file.read(&mut [0]).map_err(|e| io(path, e))?;
    if more == 0 { Ok(key) } else { Err(damaged()) }
}

fn refuse_lax(path: &Path, want: u32) -> Result<(), KeyError> {
    let mode = fs::metadata(path).map_err(|e| io(path, e))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Lax { path: path.display().to_string(), mode, want }) }
}

fn io(path: &Path, source: std::io::Error) -> KeyError {
    KeyError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_the_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let keys = KeyFolder::open(&path).expect("opens");
        let key = keys.key("vault").expect("a key");
        assert_eq!(KeyFolder::open(&path).expect("opens").key("vault").expect("the same"), key);
        assert_ne!(keys.key("pepper").expect("another"), key);
        let mode = |p: &Path| fs::metadata(p).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("vault.key"))), (0o700, 0o600));
    }

    #[test]
    fn keys_that_others_may_read_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        KeyFolder::open(&path).expect("opens").key("vault").expect("a key");
        for (which, lax, strict) in [
            (path.join("vault.key"), 0o640, 0o600),
            (path.join("vault.key"), 0o604, 0o600),
            (path.clone(), 0o755, 0o700),
        ] {
            fs::set_permissions(&which, fs::Permissions::from_mode(lax)).expect("chmod");
            let error = KeyFolder::open(&path).and_then(|k| k.key("vault")).expect_err("refused");
            assert!(matches!(error, KeyError::Lax { .. }) && error.to_string().contains("chmod"), "{error}");
            fs::set_permissions(&which, fs::Permissions::from_mode(strict)).expect("chmod");
        }
        for content in [&b"short"[..], &[7; 33]] {
            fs::write(path.join("vault.key"), content).expect("writes");
            assert!(matches!(KeyFolder::open(&path).expect("opens").key("vault"), Err(KeyError::Damaged { .. })));
        }
    }
}
