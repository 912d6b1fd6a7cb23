//! What inserting into the head would come to, asked before anything is written.

use parking_lot::RwLockReadGuard;

use super::{Head, Inserted, Slot, WINDOW_MS, place};
use crate::chunk::Point;
use crate::index::SeriesId;
use crate::native::NativeProbes;

impl Head {
    pub(crate) fn probes(&self) -> Probes<'_> {
        Probes { head: self, held: None, natives: self.natives.probes() }
    }
}

/// Looks before a change, with few locks.
pub(crate) struct Probes<'a> {
    head: &'a Head,
    held: Option<(usize, RwLockReadGuard<'a, Vec<Slot>>)>,
    pub(crate) natives: NativeProbes<'a>,
}

impl Probes<'_> {
    /// What inserting this point would come to; none when the series has no points in the head.
    #[inline]
    pub(crate) fn probe(&mut self, id: SeriesId, point: Point) -> Option<Inserted> {
        let (shard, slot) = place(id);
        if self.held.as_ref().is_none_or(|(held, _)| *held != shard) {
            self.held = None;
            self.held = Some((shard, self.head.shards[shard].read()));
        }
        let slot = self.held.as_ref().and_then(|(_, slots)| slots.get(slot))?;
        if slot.chunk.count() == 0 {
            return if slot.older().is_empty() { None } else { Some(slot.probe(point)) };
        }
        let at = point.0.wrapping_sub(slot.start_ms);
        // The next point of the running window, which nearly all are.
        if (0..WINDOW_MS).contains(&at) && at as u32 > slot.chunk.last().0 {
            return Some(Inserted::New);
        }
        Some(slot.probe(point))
    }
}
