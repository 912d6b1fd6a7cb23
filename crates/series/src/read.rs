//! Reads: which points a series has between two times. Damaged chunks are left out and named; nothing is guessed.

use std::fs::File;
use std::sync::Arc;

use serde::Serialize;

use crate::block::Block;
use crate::chunk::Point;
use crate::cut::CutsOf;
use crate::error::DamageKind;
use crate::head::{WINDOW_MS, window_start};
use crate::histogram::Histogram;
use crate::index::SeriesId;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::native::{NativePoint, Samples};
use crate::store::{Store, count, shown};

/// How often a read starts again because a file was replaced under it. Sealing happens once in hours.
const ATTEMPTS: usize = 5;

/// The points of one series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesData {
    /// Which series.
    pub labels: Labels,
    /// Unix milliseconds and value, rising in time.
    pub points: Vec<(i64, f64)>,
    /// Unix milliseconds and native histogram, rising in time; no time is also in `points`. Each says whether its counter
    /// went on since the one before. Not in the JSON: queries give them.
    #[serde(skip)]
    pub histograms: Vec<(i64, Arc<Histogram>)>,
    /// Stretches (first and last Unix millisecond) whose points are damaged on disk and therefore not in `points`.
    /// Empty is the rule; anything else must be shown as unknown, never as zero.
    pub lost: Vec<(i64, i64)>,
}

/// One series while its points are gathered: a part for each window, and for each file of it.
struct Gathered {
    labels: Labels,
    id: SeriesId,
    cuts: CutsOf,
    parts: Vec<((i64, u32), Samples)>,
    lost: Vec<(i64, i64)>,
}

/// One attempt to gather points.
#[derive(Default)]
struct Attempt {
    series: Vec<Gathered>,
    damaged: Vec<(Arc<Block>, DamageKind)>,
    /// A file of the list is gone: it was replaced or has expired since, or somebody has removed it.
    missing: bool,
}

/// Histograms with what each says of the one before it. A float in between ends what is known of that.
fn hinted(histograms: Vec<NativePoint>, floats: &[Point]) -> Vec<(i64, Arc<Histogram>)> {
    let mut out: Vec<(i64, Arc<Histogram>)> = Vec::with_capacity(histograms.len());
    for (at_ms, mut histogram) in histograms {
        let last_float =
            floats.partition_point(|p| p.0 < at_ms).checked_sub(1).map_or(i64::MIN, |place| floats[place].0);
        let before = out.last().filter(|(at, _)| *at > last_float).map(|(_, h)| h.as_ref());
        histogram.hint = histogram.hint_after(before);
        out.push((at_ms, Arc::new(histogram)));
    }
    out
}

impl Store {
    /// All series that the matchers mean which have points, or lost ones, from `from_ms` to `to_ms`, both included.
    pub(crate) fn select(&self, tenant: u64, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Vec<SeriesData> {
        // Held to the end: none of the numbers comes to mean another series meanwhile.
        let (found, _lease) = {
            let index = self.index.read();
            (index.select(tenant, matchers), index.lease())
        };
        self.select_these(tenant, &found, from_ms, to_ms)
    }

    /// Those of these series, whose numbers the caller holds, that have points or lost ones within the time.
    pub(crate) fn select_these(
        &self,
        tenant: u64,
        found: &[(Labels, SeriesId)],
        from_ms: i64,
        to_ms: i64,
    ) -> Vec<SeriesData> {
        let mut attempt = Attempt::default();
        for _ in 0..ATTEMPTS {
            attempt = self.gather(tenant, found, from_ms, to_ms);
            if !attempt.missing {
                break;
            }
        }
        for (block, kind) in &attempt.damaged {
            count(&self.counters.damaged_reads, 1);
            tracing::warn!(file = %shown(&self.dir, &block.path), ?kind, "a damaged chunk was left out of an answer");
        }
        let finish = |mut series: Gathered| {
            series.parts.sort_by_key(|(key, _)| *key);
            let mut samples = Samples::merged(series.parts.into_iter().map(|(_, samples)| samples).collect());
            samples.retain(|at| (from_ms..=to_ms).contains(&at));
            let histograms = hinted(samples.histograms, &samples.floats);
            SeriesData { labels: series.labels, points: samples.floats, histograms, lost: series.lost }
        };
        let found = attempt.series.into_iter().map(finish);
        found.filter(|s| !s.points.is_empty() || !s.histograms.is_empty() || !s.lost.is_empty()).collect()
    }

    fn gather(&self, tenant: u64, found: &[(Labels, SeriesId)], from_ms: i64, to_ms: i64) -> Attempt {
        if from_ms > to_ms {
            return Attempt::default();
        }
        // The head before the files: what is being sealed is seen on one of the two sides, or on both.
        let first = window_start(from_ms);
        let mut series: Vec<Gathered> =
            found.iter().map(|(labels, id)| self.of_head(tenant, labels.clone(), *id, first, to_ms)).collect();
        let (mut damaged, mut missing) = (Vec::new(), false);
        for block in self.blocks_in(from_ms, to_ms) {
            let wanted = |s: &Gathered| block.place(s.id).is_some();
            if !series.iter().any(wanted) {
                continue;
            }
            let file = File::open(&block.path);
            missing |= file.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
            for one in &mut series {
                let Some(place) = block.place(one.id) else { continue };
                let read = match &file {
                    Ok(file) => block.samples(file, place),
                    Err(_) => Err(DamageKind::Unreadable),
                };
                match read {
                    Ok(mut samples) => {
                        one.cuts.apply(&block, &mut samples);
                        one.parts.push(((block.header.start_ms, block.header.generation), samples));
                    }
                    Err(kind) => {
                        one.lost.push((block.header.start_ms.max(from_ms), block.end_ms().min(to_ms)));
                        damaged.push((block.clone(), kind));
                    }
                }
            }
        }
        Attempt { series, damaged, missing }
    }

    /// A series and its points in the head.
    fn of_head(&self, tenant: u64, labels: Labels, id: SeriesId, first: i64, to_ms: i64) -> Gathered {
        // After all files of its window: what was stored first wins.
        let floats = self.head.parts(id, first, to_ms).into_iter();
        let floats = floats.map(|(start, points)| ((start, u32::MAX), points.into()));
        let natives = self.head.natives.parts(id, first, to_ms).into_iter();
        let natives = natives.map(|(start, histograms)| {
            let floats = Vec::new();
            ((start, u32::MAX), Samples { floats, histograms })
        });
        let parts = floats.chain(natives).collect();
        let cuts = self.cuts_of(tenant, &labels);
        Gathered { labels, id, cuts, parts, lost: Vec::new() }
    }

    /// The newest point of each series within the last `within_ms`; a series that has ended is not there.
    pub(crate) fn latest(&self, tenant: u64, matchers: &[Matcher], within_ms: i64) -> Vec<(Labels, Point)> {
        let now = self.now_ms();
        let until = now.saturating_add(self.options.accept_ahead_ms).saturating_add(WINDOW_MS);
        let found = self.select(tenant, matchers, now.saturating_sub(within_ms), until).into_iter();
        let newest = found.filter_map(|s| Some((s.labels, *s.points.last()?)));
        newest.filter(|(_, point)| !crate::labels::is_stale(point.1)).collect()
    }
}
