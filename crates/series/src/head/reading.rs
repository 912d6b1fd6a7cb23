//! What queries read of the head: points straight into their buffers, and whether anything left the head meanwhile.

use std::sync::atomic::Ordering::SeqCst;

use super::{Head, place};
use crate::chunk::Point;
use crate::index::SeriesId;

impl Head {
    /// Appends the points of one series in windows that begin from `first` to `last`: rising in time.
    pub(crate) fn points_into(&self, id: SeriesId, first: i64, last: i64, out: &mut Vec<Point>) {
        let (shard, slot) = place(id);
        let slots = self.shards[shard].read();
        let Some(slot) = slots.get(slot) else { return };
        let wanted = |start: i64| (first..=last).contains(&start);
        let from = out.len();
        let mut late: Vec<Point> = Vec::new();
        for part in slot.older().iter().filter(|part| wanted(part.start_ms)) {
            part.chunk.points_into(part.start_ms, out);
            late.extend(&part.late);
        }
        if slot.chunk.count() > 0 && wanted(slot.start_ms) {
            slot.chunk.points_into(slot.start_ms, out);
            late.extend(slot.late());
        }
        out.extend(&late);
        if !late.is_empty() || !slot.older().is_empty() {
            // An older window may have been opened after a newer one.
            out[from..].sort_by_key(|point| point.0);
        }
    }

    /// The newest point of one series in its newest window.
    pub(crate) fn newest(&self, id: SeriesId) -> Option<Point> {
        let (shard, slot) = place(id);
        let slots = self.shards[shard].read();
        let slot = slots.get(slot).filter(|slot| slot.chunk.count() > 0)?;
        if slot.older().iter().any(|part| part.start_ms > slot.start_ms) {
            return None;
        }
        // Late points are older than the chunk's last one.
        let (at, value) = slot.chunk.last();
        Some((slot.start_ms + i64::from(at), value))
    }

    /// How often windows have been forgotten. Counted before the first point goes.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(SeqCst)
    }

    /// The starts of all windows, oldest first.
    pub(crate) fn starts(&self) -> Vec<i64> {
        self.windows.lock().keys().copied().collect()
    }
}
