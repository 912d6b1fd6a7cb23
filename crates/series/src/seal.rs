//! Sealing and retention: a window that is over becomes one file, the log is cut, files that are too old go.
//!
//! Every step is safe to be killed after. The file is complete before it has its name; it says which log segments it covers
//! and which files it replaces; only then are those removed. Files go by the newest *sample* as well as by the clock, so a
//! clock that was set ahead empties nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use crate::block::{self, Block, Header};
use crate::chunk::{Point, merge};
use crate::head::WINDOW_MS;
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::log::HeadPiece;
use crate::store::{State, Store};
use crate::writer::Writer;

type Sealed = BTreeMap<SeriesId, (u64, Labels, Vec<Vec<Point>>)>;

impl Writer {
    /// Seals what is over and settled, cuts the log when something was, removes what is too old.
    pub(crate) fn tend(&mut self) -> crate::Result<()> {
        let now = self.store.now_ms();
        self.tended_ms = now;
        let settled = self.store.state.read().head.settled(now, self.store.options.seal_after_ms);
        if !settled.is_empty() {
            let log_upto = self.log.close_segment();
            for start in &settled {
                self.seal(*start, log_upto)?;
            }
            let state = self.store.state.read();
            self.log.checkpoint(head_pieces(&state))?;
        }
        self.expire(now)
    }

    fn seal(&mut self, start: i64, log_upto: u64) -> crate::Result<()> {
        let store = self.store.clone();
        let (mut series, older) = sealed_series(&store.state.read(), start);
        let generation = older.iter().map(|b| b.header.generation).max().unwrap_or(0) + 1;
        // What cannot be read whole is not replaced: its good chunks stay readable where they are.
        let complete = older.iter().rev().all(|block| add_older(block, &mut series, &store));
        if !complete {
            series = sealed_series(&store.state.read(), start).0;
        }
        let replaces = if complete { generation - 1 } else { 0 };
        let header = Header { start_ms: start, generation, replaces, log_upto };
        let pieces = series.iter().map(|(id, (tenant, labels, parts))| (*id, *tenant, labels, merge(parts.clone())));
        let block = block::write(&store.blocks_dir(), header, pieces)?;
        let gone: Vec<_> = {
            let mut state = store.state.write();
            state.add_block(block);
            state.drop_window(start);
            let replaced = older.iter().filter(|_| complete).map(|b| (start, b.header.generation));
            replaced.filter_map(|key| state.drop_block(key)).collect()
        };
        store.remove(gone)
    }

    fn expire(&mut self, now: i64) -> crate::Result<()> {
        let expired: Vec<(i64, u32)> = {
            let state = self.store.state.read();
            let newest_sealed = state.blocks.values().next_back().map_or(i64::MIN, |b| b.end_ms());
            let newest = state.head.newest_ms.max(newest_sealed);
            let oldest_kept = now.min(newest).saturating_sub(self.store.options.retention_ms);
            state.blocks.iter().filter(|(_, b)| b.end_ms() < oldest_kept).map(|(key, _)| *key).collect()
        };
        let gone: Vec<_> = {
            let mut state = self.store.state.write();
            expired.into_iter().filter_map(|key| state.drop_block(key)).collect()
        };
        self.store.remove(gone)
    }

    /// Writes the head into `dir` and says which sealed files belong with it.
    pub(crate) fn snapshot(&mut self, dir: &Path) -> crate::Result<Vec<std::path::PathBuf>> {
        let state = self.store.state.read();
        // Above every number that a sealed file says it covers, else the copy would take it for sealed.
        let number = self.log.newest() + 1;
        crate::log::write_head(&dir.join(crate::log::segment_name(number)), head_pieces(&state))?;
        Ok(state.blocks.values().map(|b| b.path.clone()).collect())
    }
}

/// Everything in the head, as the log writes it.
fn head_pieces(state: &State) -> impl Iterator<Item = HeadPiece<'_>> {
    state.head.windows.values().flat_map(|window| &window.series).filter_map(|(id, series)| {
        let entry = state.index.entry(*id)?;
        Some((*id, entry.tenant, &entry.labels, series.points()))
    })
}

fn sealed_series(state: &State, start: i64) -> (Sealed, Vec<std::sync::Arc<Block>>) {
    let mut series = Sealed::new();
    for (id, held) in state.head.windows.get(&start).into_iter().flat_map(|w| &w.series) {
        if let Some(entry) = state.index.entry(*id) {
            series.insert(*id, (entry.tenant, entry.labels.clone(), vec![held.points()]));
        }
    }
    let older = state.blocks.range((start, 0)..=(start, u32::MAX)).map(|(_, b)| b.clone()).collect();
    (series, older)
}

/// Puts the points of an older file before those in `series`: what was stored first wins. False when it is damaged.
fn add_older(block: &Block, series: &mut Sealed, store: &Store) -> bool {
    let Ok(bytes) = fs::read(&block.path) else { return false };
    let scan = crate::frame::scan(&bytes);
    let Ok(file) = File::open(&block.path) else { return false };
    if !scan.damaged.is_empty() {
        return false;
    }
    for id in block.series() {
        let who = store.state.read().index.entry(id).map(|e| (e.tenant, e.labels.clone()));
        let (Some((tenant, labels)), Some(place)) = (who, block.place(id)) else { return false };
        let Ok(points) = block::read_points(&file, place, tenant, &labels) else { return false };
        series.entry(id).or_insert((tenant, labels, Vec::new())).2.insert(0, points);
    }
    true
}

/// The length of a window; sealed files are named by its start.
const _: () = assert!(WINDOW_MS == 7_200_000, "files on disk were cut at two hours");
