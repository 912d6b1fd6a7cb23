//! The head as one segment of the log, in place of everything before it: windows as they are, and what is kept beside them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::chunk::{Chunk, Point};
use crate::durable::put_in_place;
use crate::error::io as at;
use crate::frame;
use crate::index::SeriesId;
use crate::log::{Defined, LastKey, PutKey, TAG_CHUNK, version_frame};
use crate::record::Record;
use crate::wire::Put;

/// So that damage to a copy of the head costs little of it.
const FRAME_BYTES: usize = 32 << 10;

/// Calls what it is given with each window of each series of the head: number, points, late points, start.
pub(crate) type EachPart<'a> = &'a dyn Fn(&mut dyn FnMut(SeriesId, &Chunk, &[Point], i64));

/// Calls what it is given with each record that belongs with the head.
pub(crate) type EachRecord<'a> = &'a dyn Fn(&mut dyn FnMut(Record<'_>));

/// All that a copy of the head holds.
#[derive(Clone, Copy)]
pub(crate) struct HeadCopy<'a> {
    /// What must be read before the windows.
    pub(crate) first: EachRecord<'a>,
    pub(crate) parts: EachPart<'a>,
    pub(crate) records: EachRecord<'a>,
    pub(crate) key: PutKey<'a>,
}

/// A copy that is being written. The first error is kept; nothing is written after it.
struct Writing<'a> {
    out: BufWriter<File>,
    defined: Defined,
    last_key: LastKey,
    payload: Vec<u8>,
    key: PutKey<'a>,
    count: usize,
    outcome: io::Result<()>,
}

/// Writes the head as one segment at `path`, and says how long that is. A head that holds nothing leaves no file.
pub(crate) fn write_head(path: &Path, head: HeadCopy<'_>) -> crate::Result<Option<u64>> {
    let (length, count) = put_in_place(path, |part| write_part(part, head))?;
    if count == 0 {
        fs::remove_file(path).map_err(at("remove", path))?;
        return Ok(None);
    }
    Ok(Some(length))
}

/// Its length, and how many windows and records it holds.
fn write_part(part: &Path, head: HeadCopy<'_>) -> crate::Result<(u64, usize)> {
    let out = BufWriter::with_capacity(1 << 20, File::create(part).map_err(at("create", part))?);
    let (defined, key) = (Defined::of_one(), head.key);
    let last_key = LastKey::default();
    let mut writing = Writing { out, defined, last_key, payload: Vec::new(), key, count: 0, outcome: Ok(()) };
    writing.outcome = writing.out.write_all(&version_frame());
    (head.first)(&mut |record| writing.record(&record));
    (head.parts)(&mut |id, chunk, late, start_ms| writing.chunk(id, chunk, late, start_ms));
    (head.records)(&mut |record| writing.record(&record));
    writing.flush();
    let Writing { out, count, outcome, .. } = writing;
    outcome.map_err(at("write", part))?;
    let file = out.into_inner().map_err(|e| at("write", part)(e.into_error()))?;
    let length = file.sync_all().and_then(|()| Ok(file.metadata()?.len())).map_err(at("sync", part))?;
    Ok((length, count))
}

impl Writing<'_> {
    fn define(&mut self, id: SeriesId) {
        if self.defined.define(id) {
            self.last_key.put_series(&mut self.payload, id, self.key);
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        if let Some(id) = record.series() {
            self.define(id);
        }
        record.put(&mut self.payload);
        self.turn();
    }

    fn chunk(&mut self, id: SeriesId, chunk: &Chunk, late: &[Point], start_ms: i64) {
        self.define(id);
        let out = &mut self.payload;
        out.push(TAG_CHUNK);
        out.put_u64(u64::from(id));
        out.put_i64(start_ms);
        chunk.put(out);
        out.put_u64(late.len() as u64);
        for (at_ms, value) in late {
            out.put_i64(at_ms.wrapping_sub(start_ms));
            out.put_fixed(value.to_bits());
        }
        self.turn();
    }

    fn turn(&mut self) {
        self.count += 1;
        if self.payload.len() >= FRAME_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.payload.is_empty() && self.outcome.is_ok() {
            let mut framed = Vec::with_capacity(self.payload.len() + frame::HEADER);
            frame::put(&mut framed, &self.payload);
            self.outcome = self.out.write_all(&framed);
        }
        self.payload.clear();
        self.last_key.begin_frame();
    }
}
