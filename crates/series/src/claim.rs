//! A directory of measurements that nobody else may open any more, before anything of it is read: what makes opening it fail at
//! once is known here, and about how long the rest will take. It changes nothing in the directory but to make it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::block::{HEADER_BYTES, Header, read_at};
use crate::engine::Engine;
use crate::error::{SeriesError, io as at};
use crate::options::{Options, Recovery};
use crate::segments::segments;
use crate::store::{blocks_dir, wal_dir};
use crate::tiers::files_in;

/// An index is read so many times as slowly as a log, byte by byte: 36 and 75 ms for 5 and 48 MB of one hour of 100,000 series.
const INDEX_WEIGHT: u64 = 4;

/// The claim. Dropping it gives the directory back.
pub struct Claim {
    pub(crate) dir: PathBuf,
    /// Held as long as the claim, and then the engine, lives.
    pub(crate) lock: File,
}

impl Claim {
    /// Claims `dir`, which is created when missing.
    ///
    /// # Errors
    /// [`SeriesError::Locked`] when another engine has it open; [`SeriesError::Io`] when the directory cannot be used.
    pub fn take(dir: &Path) -> crate::Result<Self> {
        for sub in [dir, &wal_dir(dir), &blocks_dir(dir)] {
            fs::create_dir_all(sub).map_err(at("create", sub))?;
        }
        Ok(Self { dir: dir.to_path_buf(), lock: lock(dir)? })
    }

    /// Whether opening it reads no more than so many bytes of log, or what takes as long. Looks at no more files than that needs.
    ///
    /// # Errors
    /// [`SeriesError::Io`] when the directory cannot be listed.
    pub fn is_read_with(&self, log_bytes: u64, options: &Options) -> crate::Result<bool> {
        let mut left = Some(log_bytes);
        for (_, path) in segments(&wal_dir(&self.dir))? {
            left = left.and_then(|left| left.checked_sub(fs::metadata(path).map_or(0, |found| found.len())));
        }
        let tiers = options.tiers.iter().map(|tier| tier.counts_dir(&self.dir));
        for folder in std::iter::once(blocks_dir(&self.dir)).chain(tiers) {
            for (_, path) in files_in(&folder)? {
                let Some(before) = left else { return Ok(false) };
                left = before.checked_sub(index_bytes(&path).saturating_mul(INDEX_WEIGHT));
            }
        }
        Ok(left.is_some())
    }

    /// Opens the engine; see [`Engine::open`].
    ///
    /// # Errors
    /// [`SeriesError::Io`] when the directory cannot be used.
    pub fn open(self, options: Options) -> crate::Result<(Engine, Recovery)> {
        Engine::open_claimed(self, options)
    }
}

/// Bytes of a sealed file's index; of one whose header cannot be read, the whole file's.
fn index_bytes(path: &Path) -> u64 {
    let Ok(file) = File::open(path) else { return 0 };
    let header = read_at(&file, 0, HEADER_BYTES).and_then(|bytes| Header::read(&bytes));
    header.map_or_else(|| file.metadata().map_or(0, |found| found.len()), |header| header.index_bytes)
}

fn lock(dir: &Path) -> crate::Result<File> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(SeriesError::Locked { path: dir.to_path_buf() }),
        Err(fs::TryLockError::Error(source)) => Err(at("lock", &path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Labels, Sample};

    #[tokio::test]
    async fn a_claim_keeps_others_out_and_knows_how_much_there_is_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(dir.path()).unwrap();
        assert!(matches!(Engine::open(dir.path(), Options::default()), Err(SeriesError::Locked { .. })));
        let options = Options::default();
        assert!(claim.is_read_with(0, &options).unwrap(), "there is nothing");
        let (engine, _) = claim.open(Options::default()).unwrap();
        let now = (options.clock)();
        let sample = |n: usize, at_ms| Sample {
            labels: Labels::new([("__name__", "up"), ("n", &n.to_string())]).unwrap(),
            at_ms,
            value: 1.0,
        };
        engine.append(1, (0..500).map(|n| sample(n, now)).collect()).await.unwrap();
        drop(engine);
        let claim = Claim::take(dir.path()).unwrap();
        let log: u64 = segments(&wal_dir(dir.path())).unwrap().iter().map(|(_, at)| at.metadata().unwrap().len()).sum();
        assert!(
            log > 0 && claim.is_read_with(log, &options).unwrap() && !claim.is_read_with(log - 1, &options).unwrap()
        );
        let name = crate::block::file_name(&Header {
            start_ms: 0,
            span_ms: 7_200_000,
            generation: 1,
            replaces: 0,
            log_upto: 0,
            chunk_bytes: 0,
            index_bytes: 100,
            samples: 0,
        });
        fs::write(blocks_dir(dir.path()).join(name), [7; 1000]).unwrap();
        // A header that cannot be read: the whole file may be index.
        assert!(claim.is_read_with(log + 4000, &options).unwrap());
        assert!(!claim.is_read_with(log + 3999, &options).unwrap());
    }
}
