//! Reads everything on disk and checks every checksum: for `verify`, for the slow scrub, and after a scare.

use std::fs;

use serde::Serialize;

use crate::block;
use crate::error::{Damage, DamageKind, io as at};
use crate::frame::{self, Torn};
use crate::log::{replay, segments};
use crate::store::{Store, shown};

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
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }
}

impl Store {
    /// Reads all files and checks them against their checksums and against what the engine believes is in them.
    pub(crate) fn verify(&self) -> crate::Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let _pin = self.pin();
        let blocks: Vec<_> = self.state.read().blocks.values().cloned().collect();
        for known in blocks {
            let file = shown(&self.dir, &known.path);
            match fs::read(&known.path) {
                Ok(bytes) => report.block(&file, &bytes, known.series().count()),
                Err(_) => {
                    let whole = Damage { file, offset: 0, length: known.bytes, kind: DamageKind::Unreadable };
                    report.damaged.push(whole);
                }
            }
        }
        let dir = self.wal_dir();
        for (_, path) in segments(&dir)? {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // The writer cut the log meanwhile; what it held is sealed.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(at("read", &path)(e)),
            };
            report.segment(&shown(&self.dir, &path), &bytes);
        }
        Ok(report)
    }
}

impl VerifyReport {
    fn block(&mut self, file: &str, bytes: &[u8], expected: usize) {
        let scan = frame::scan(bytes);
        self.files += 1;
        self.bytes += bytes.len() as u64;
        let before = self.damaged.len();
        self.damaged.extend(scan.damage(file, bytes.len() as u64, Torn::Impossible));
        let (mut found, mut ended) = (0, false);
        for (offset, payload) in scan.whole {
            match block::frame_of(payload) {
                block::Frame::Series(points) => {
                    found += 1;
                    self.chunks += 1;
                    self.samples += points as u64;
                }
                block::Frame::Other => {}
                block::Frame::End => ended = true,
                block::Frame::Senseless => {
                    let length = (payload.len() + frame::HEADER) as u64;
                    self.damaged.push(Damage { file: file.into(), offset, length, kind: DamageKind::Meaning });
                }
            }
        }
        // A file cut at a frame's end has whole frames only, and yet lacks some.
        if (found < expected || !ended) && self.damaged.len() == before {
            let length = bytes.len() as u64;
            self.damaged.push(Damage { file: file.into(), offset: length, length: 0, kind: DamageKind::Unreadable });
        }
    }

    fn segment(&mut self, file: &str, bytes: &[u8]) {
        let read = replay(file, bytes);
        self.files += 1;
        self.bytes += bytes.len() as u64;
        self.samples += read.series.iter().map(|s| s.2.len() as u64).sum::<u64>();
        // The end of a log that is being written may be half there; it is judged at the next start.
        self.damaged.extend(read.damaged.into_iter().filter(|d| d.kind != DamageKind::TornTail));
    }
}
