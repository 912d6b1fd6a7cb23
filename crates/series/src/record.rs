//! What the log keeps beside floats: histograms, and what is said about series. One record each, in frames of their own.
//!
//! A record of a series names it by its number, which the segment defines before it; everything else says itself whose it
//! is. [`replay`](crate::replay) reads them.

use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::native::{NativePart, put_single};
use crate::wire::Put;

pub(crate) const TAG_HISTOGRAM: u8 = 4;
pub(crate) const TAG_HISTOGRAMS: u8 = 5;

/// One record on its way into the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    /// A histogram of a series.
    Histogram { id: SeriesId, at_ms: i64, histogram: &'a Histogram },
    /// Those of a window, as the head has them.
    Histograms { id: SeriesId, part: &'a NativePart },
}

impl Record<'_> {
    /// The series that must be defined before it.
    pub(crate) fn series(&self) -> Option<SeriesId> {
        match self {
            Self::Histogram { id, .. } | Self::Histograms { id, .. } => Some(*id),
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Histogram { id, at_ms, histogram } => {
                out.push(TAG_HISTOGRAM);
                out.put_u64(u64::from(*id));
                out.put_i64(*at_ms);
                put_single(histogram, out);
            }
            Self::Histograms { id, part } => {
                out.push(TAG_HISTOGRAMS);
                out.put_u64(u64::from(*id));
                out.put_i64(part.start_ms);
                part.rows.put(out);
                out.put_u64(part.late.len() as u64);
                for (at_ms, histogram) in &part.late {
                    out.put_i64(at_ms.wrapping_sub(part.start_ms));
                    put_single(histogram, out);
                }
            }
        }
    }
}
