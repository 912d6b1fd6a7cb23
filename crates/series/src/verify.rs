//! Reads everything on disk and checks every checksum: for `verify`, for the slow scrub, and after a scare.

use std::fs::{self, File};
use std::path::Path;

use serde::Serialize;

use crate::block;
use crate::decode::Closely;
use crate::error::{Damage, DamageKind, io as at};
use crate::replay::{Counted, replay};
use crate::segments::{Lengths, segments};
use crate::store::{Store, blocks_dir, shown, wal_dir};
use crate::tiers::all_files;

/// What a full check of the disk found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Files read.
    pub files: usize,
    /// Chunks whose checksum and content hold.
    pub chunks: u64,
    /// Samples in them; samples of the log are counted too.
    pub samples: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that does not hold.
    pub damaged: Vec<Damage>,
}

impl VerifyReport {
    /// True when nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty()
    }
}

/// One line for the whole, then one for each damaged piece.
impl std::fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { files, chunks, samples, bytes, damaged } = self;
        write!(
            f,
            "measurements: {files} files, {bytes} bytes, {chunks} chunks, {samples} samples, {} damaged",
            damaged.len()
        )?;
        for Damage { file, offset, length, kind } in damaged {
            write!(f, "\n  {file}: {length} bytes at {offset}: {kind}")?;
        }
        Ok(())
    }
}

/// Checks every file of a directory that no engine need have open: for `verify` on a stopped server. Changes nothing.
///
/// # Errors
/// [`SeriesError::Io`](crate::SeriesError::Io) when a folder cannot be listed. A file that cannot be read is damage.
pub fn verify_directory(dir: &Path) -> crate::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let folder = blocks_dir(dir);
    let mut paths = Vec::new();
    // An engine that has sealed nothing yet, and a copy of it, have no blocks.
    if folder.exists() {
        for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
            paths.push(entry.map_err(at("list", &folder))?.path());
        }
    }
    paths.retain(|path| path.file_name().and_then(|n| block::parse_name(n.to_str()?)).is_some());
    paths.sort();
    paths.append(&mut all_files(dir)?);
    for path in paths {
        report.file(dir, &path, 0);
    }
    report.log(dir, End::Settled)?;
    Ok(report)
}

/// Whether the log is being written while it is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// No: an end that is not complete is what a kill left, or damage, and is told.
    Settled,
    /// Yes: the end may be half there. It is judged at the next start.
    Moving,
}

impl Store {
    /// Reads all files and checks them against their checksums and against what the engine believes is in them.
    pub(crate) fn verify(&self) -> crate::Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let _pin = self.pin();
        let blocks: Vec<_> = self.blocks.read().values().cloned().collect();
        for known in blocks {
            report.file(&self.dir, &known.path, known.header.file_bytes());
        }
        for path in all_files(&self.dir)? {
            let before = report.damaged.len();
            report.file(&self.dir, &path, 0);
            // Given up meanwhile, to be made anew: the samples are there.
            if !path.exists() {
                report.damaged.truncate(before);
            }
        }
        report.log(&self.dir, End::Moving)?;
        Ok(report)
    }
}

impl VerifyReport {
    fn file(&mut self, dir: &Path, path: &Path, length: u64) {
        let file = shown(dir, path);
        self.files += 1;
        match crate::contents::check(path, &file) {
            Ok(checked) => {
                self.bytes += fs::metadata(path).map_or(0, |m| m.len());
                self.chunks += checked.chunks;
                self.samples += checked.samples;
                self.damaged.extend(checked.damaged);
            }
            Err(_) => self.damaged.push(Damage { file, offset: 0, length, kind: DamageKind::Unreadable }),
        }
    }

    fn log(&mut self, dir: &Path, end: End) -> crate::Result<()> {
        let folder = wal_dir(dir);
        let mut listed = Lengths::or_damage(&folder, &mut self.damaged);
        let mut seen = Vec::new();
        for (number, path) in segments(&folder)? {
            match File::open(&path) {
                Ok(file) => {
                    let (bytes, mut damaged) = self.segment(&shown(dir, &path), file).map_err(at("read", &path))?;
                    listed.judge(number, bytes, &mut damaged);
                    let told = |d: &Damage| end == End::Settled || d.kind != DamageKind::TornTail;
                    self.damaged.extend(damaged.into_iter().filter(told));
                    seen.push(number);
                }
                // The writer cut the log meanwhile; what it held is sealed.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(at("open", &path)(e)),
            }
        }
        if end == End::Moving {
            // What was removed meanwhile was taken off the list before.
            let now = Lengths::or_damage(&folder, &mut Vec::new());
            listed.0.retain(|number, _| now.0.contains_key(number));
        }
        self.damaged.extend(listed.missing(&seen));
        Ok(())
    }

    /// Its length and what is damaged of it.
    fn segment(&mut self, shown: &str, file: File) -> std::io::Result<(u64, Vec<Damage>)> {
        let mut counted = Counted::default();
        let (bytes, damaged) = replay(shown, file, Closely::Yes, &mut counted)?;
        self.files += 1;
        self.bytes += bytes;
        self.samples += counted.samples;
        Ok((bytes, damaged))
    }
}
