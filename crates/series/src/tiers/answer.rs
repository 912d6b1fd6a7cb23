//! Answers from a tier: which one a query can have, and what its function comes to over intervals.
//!
//! Windows are moved back to the last full interval, so that an answer is exactly that of the samples at that moment.

use std::fs::File;
use std::sync::Arc;

use super::interval::{Column, Interval, thin};
use super::{Period, Tier};
use crate::index::SeriesId;
use crate::labels::{Labels, stale_marker};
use crate::matcher::Matcher;
use crate::promql::{Told, change_of, damaged};
use crate::store::Store;
use crate::visit::{Buffers, Found, Wanted};

/// Bytes of intervals that a batch of series may have in memory.
const BATCH_BYTES: i64 = 16 << 20;

/// What is asked of a tier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) tenant: u64,
    pub(crate) matchers: &'a [Matcher],
    /// Where the windows end, rising.
    pub(crate) ends: &'a [i64],
    pub(crate) step_ms: i64,
    /// How long the windows are; 0 for the newest sample.
    pub(crate) range_ms: i64,
    /// How old the newest sample may be.
    pub(crate) lookback_ms: i64,
    pub(crate) function: Option<&'static str>,
}

/// The function of an interval that stands for a whole window; none where there is no value.
type Of = fn(&Interval, (i64, i64)) -> Option<f64>;

/// What a function needs and does, if intervals are enough for it.
fn function(name: &str) -> Option<(&'static [Column], Of)> {
    use Column::{Count, Excess, First, Last, Max, Min, Sum, Times};
    let ends: &'static [Column] = &[Count, First, Last, Times];
    let rises: &'static [Column] = &[Count, First, Last, Excess, Times];
    Some(match name {
        "count_over_time" => (&[Count], |one, _| Some(one.count)),
        "present_over_time" => (&[Count], |_, _| Some(1.0)),
        "sum_over_time" => (&[Count, Sum], |one, _| Some(one.sum)),
        "avg_over_time" => (&[Count, Sum], |one, _| Some(one.sum / one.count)),
        "min_over_time" => (&[Count, Min], |one, _| Some(one.min)),
        "max_over_time" => (&[Count, Max], |one, _| Some(one.max)),
        "first_over_time" => (&[Count, First], |one, _| Some(one.first)),
        "last_over_time" => (&[Count, Last], |one, _| Some(one.last)),
        "rate" => (rises, |one, window| change_of(one, window, true, true)),
        "increase" => (rises, |one, window| change_of(one, window, true, false)),
        "delta" => (ends, |one, window| change_of(one, window, false, false)),
        _ => return None,
    })
}

/// A stretch of the time, from just after its start to its end, and where its intervals come from.
enum Stretch {
    Period(Arc<Period>),
    Samples(i64, i64),
}

impl Store {
    /// Calls `each` with the labels of a series, its value at each end (the stale marker where there is none) and the intervals that
    /// it took. None when the samples are to be read.
    pub(crate) fn answer_thinned<E>(
        &self,
        ask: &Ask<'_>,
        each: &mut dyn FnMut(Labels, Vec<f64>, usize) -> Result<(), E>,
    ) -> Result<Option<Told>, E> {
        let Some((tier, stretches)) = self.choose(ask) else { return Ok(None) };
        let (found, _lease) = {
            let index = self.index.read();
            (index.select(ask.tenant, ask.matchers), index.lease())
        };
        // Intervals know of floats alone.
        if found.iter().any(|(_, id)| self.head.natives.holds(*id)) {
            return Ok(None);
        }
        let Some((from, to)) = reach(ask, tier.interval_ms) else { return Ok(None) };
        let series_bytes = (to - from) / tier.interval_ms * size_of::<Interval>() as i64;
        let batch = usize::try_from((BATCH_BYTES / series_bytes.max(1)).clamp(4, 512)).unwrap_or(4);
        let mut told = Told::default();
        let mut buffers = Buffers::default();
        for batch in found.chunks(batch) {
            let mut intervals = vec![Vec::new(); batch.len()];
            for stretch in &stretches {
                self.gather_stretch(stretch, batch, (ask, &tier), &mut buffers, &mut intervals, &mut told);
            }
            for ((labels, _), intervals) in batch.iter().zip(&intervals) {
                let values = values_of(ask, tier.interval_ms, intervals);
                if values.iter().any(|value| !crate::labels::is_stale(*value)) {
                    each(labels.clone(), values, intervals.len())?;
                }
            }
        }
        told.infos.push(describe(&tier, &stretches));
        Ok(Some(told))
    }

    /// The coarsest tier that can answer and has something of the time, and what the time is made of.
    fn choose(&self, ask: &Ask<'_>) -> Option<(Tier, Vec<Stretch>)> {
        let enough = |name| function(name).is_some();
        if ask.step_ms <= 0 || !ask.function.is_none_or(enough) {
            return None;
        }
        let periods = self.tiers.periods.read();
        let mut tiers: Vec<_> = self.options.tiers.iter().zip(periods.iter()).collect();
        tiers.sort_by_key(|(tier, _)| std::cmp::Reverse(tier.interval_ms));
        for (tier, periods) in tiers {
            let fits = ask.range_ms % tier.interval_ms == 0 && ask.step_ms >= tier.interval_ms;
            let Some((from, to)) = reach(ask, tier.interval_ms).filter(|_| fits) else { continue };
            let mut stretches = Vec::new();
            let mut covered = from;
            for (start, period) in periods.range(tier.period_of(from.saturating_add(1))..to) {
                if *start > covered {
                    stretches.push(Stretch::Samples(covered, *start));
                }
                stretches.push(Stretch::Period(period.clone()));
                covered = start.saturating_add(tier.span_ms());
            }
            if stretches.is_empty() {
                continue;
            }
            if covered < to {
                stretches.push(Stretch::Samples(covered, to));
            }
            return Some((*tier, stretches));
        }
        None
    }

    fn gather_stretch(
        &self,
        stretch: &Stretch,
        batch: &[(Labels, SeriesId)],
        (ask, tier): (&Ask<'_>, &Tier),
        buffers: &mut Buffers,
        intervals: &mut [Vec<Interval>],
        told: &mut Told,
    ) {
        let period = match stretch {
            Stretch::Samples(from, to) => {
                return self.thin_samples(ask.tenant, batch, (*from, *to), tier, (buffers, intervals), told);
            }
            Stretch::Period(period) => period,
        };
        let columns = match ask.function.and_then(function) {
            Some((columns, _)) => columns,
            None => &[Column::Count, Column::Last, Column::Times],
        };
        let time = (period.start_ms, period.start_ms.saturating_add(tier.span_ms()));
        for (n, one) in batch.iter().enumerate() {
            let before = intervals[n].len();
            if period.intervals(self, one.1, columns, buffers, &mut intervals[n]).is_some() {
                self.take_out_cut(ask.tenant, &one.0, period, &mut intervals[n], before);
                continue;
            }
            // Not in it, or damaged there: the samples, if they are still kept.
            intervals[n].truncate(before);
            self.thin_samples(
                ask.tenant,
                std::slice::from_ref(one),
                time,
                tier,
                (buffers, &mut intervals[n..=n]),
                told,
            );
            if period.has(one.1) && intervals[n].len() == before {
                told.warnings.push(damaged(&one.0, time.0, time.1));
            }
        }
    }

    /// Appends the intervals of the samples from just after one time to another.
    fn thin_samples(
        &self,
        tenant: u64,
        batch: &[(Labels, SeriesId)],
        (from_ms, to_ms): (i64, i64),
        tier: &Tier,
        (buffers, into): (&mut Buffers, &mut [Vec<Interval>]),
        told: &mut Told,
    ) {
        let wanted = Wanted { from_ms: from_ms.saturating_add(1), to_ms, newest: false };
        let done: Result<(), std::convert::Infallible> =
            self.visit_batch(tenant, batch, wanted, buffers, &mut |n, found| {
                match found {
                    Found::Points(_, rows, _) => thin(rows, tier.interval_ms, &mut into[n]),
                    Found::Careful(data) => {
                        let lost = data.lost.iter().map(|(from, to)| damaged(&data.labels, *from, *to));
                        told.warnings.extend(lost);
                        told.warnings.extend((!data.histograms.is_empty()).then(|| not_thinned(&data.labels)));
                        thin(&data.points, tier.interval_ms, &mut into[n]);
                    }
                }
                Ok(())
            });
        let Ok(()) = done;
    }
}

/// From just after what to where intervals are needed: multiples of the interval.
fn reach(ask: &Ask<'_>, interval_ms: i64) -> Option<(i64, i64)> {
    let full = |at: i64| at.div_euclid(interval_ms).checked_mul(interval_ms);
    let (first, last) = (full(*ask.ends.first()?)?, full(*ask.ends.last()?)?);
    let back = if ask.function.is_some() { ask.range_ms } else { full(ask.lookback_ms)?.checked_add(interval_ms)? };
    let from = first.checked_sub(back)?;
    (back > 0 && from < last).then_some((from, last))
}

/// The value at each end.
fn values_of(ask: &Ask<'_>, interval_ms: i64, intervals: &[Interval]) -> Vec<f64> {
    let of = ask.function.and_then(function).map(|(_, of)| of);
    let (mut first, mut end) = (0, 0);
    let value = |at: &i64| {
        let at = at.div_euclid(interval_ms) * interval_ms;
        while end < intervals.len() && intervals[end].end_ms <= at {
            end += 1;
        }
        let Some(of) = of else {
            let newest = intervals[..end].last().filter(|one| !one.ended && one.last_ms > at - ask.lookback_ms);
            return newest.map(|one| one.last);
        };
        while first < end && intervals[first].end_ms <= at - ask.range_ms {
            first += 1;
        }
        let (one, rest) = intervals[first..end].split_first()?;
        let mut whole = *one;
        rest.iter().for_each(|later| whole.add(later));
        of(&whole, (at - ask.range_ms, at))
    };
    ask.ends.iter().map(value).map(|value| value.unwrap_or_else(stale_marker)).collect()
}

fn not_thinned(labels: &Labels) -> String {
    format!(
        "native histograms of {labels:?} are not in this answer, which is of thinned-out samples: ask with a narrower step"
    )
}

fn describe(tier: &Tier, stretches: &[Stretch]) -> String {
    let periods = stretches.iter().filter(|s| matches!(s, Stretch::Period(_))).count();
    let on_the_way = if periods < stretches.len() { "; what it does not have was thinned on the way" } else { "" };
    let seconds = tier.interval_ms / 1000;
    format!("answered from the tier of {seconds} s, as of the last full interval at each step{on_the_way}")
}

impl Period {
    fn has(&self, id: SeriesId) -> bool {
        self.count.place(id).is_some()
    }

    /// Appends the intervals of a series with these columns; none when it is not in the period, or cannot be read.
    pub(crate) fn intervals(
        &self,
        store: &Store,
        id: SeriesId,
        columns: &[Column],
        buffers: &mut Buffers,
        out: &mut Vec<Interval>,
    ) -> Option<()> {
        let before = out.len();
        self.count.place(id)?;
        let interval_ms = self.count.header.span_ms / super::INTERVALS;
        for (n, column) in columns.iter().enumerate() {
            let block = self.column(store, *column)?;
            let file = File::open(&block.path).ok()?;
            buffers.read_one(block, &file, id)?;
            if n == 0 {
                out.extend(buffers.rows.iter().map(|(end_ms, _)| Interval::unknown(*end_ms)));
            }
            if buffers.rows.len() != out.len() - before {
                return None;
            }
            for (one, (end_ms, value)) in out[before..].iter_mut().zip(&buffers.rows) {
                if one.end_ms != *end_ms {
                    return None;
                }
                column.put(one, *value, interval_ms);
            }
        }
        Some(())
    }
}
