//! Where a query's samples come from: any store that can select series by matchers within a time.

use std::sync::Arc;

use super::error::QueryError;
use super::metric::Metric;
use crate::engine::Engine;
use crate::error::SeriesError;
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::read::SeriesData;
use crate::tiers::answer::Ask;
use crate::visit::Found;

/// What a query wants to read.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// All of them must mean the series.
    pub matchers: &'a [Matcher],
    /// First Unix millisecond wanted.
    pub from_ms: i64,
    /// Last Unix millisecond wanted.
    pub to_ms: i64,
    /// The step of the query, in milliseconds; 0 for one moment. A store with down-sampled tiers may choose by it.
    pub step_ms: i64,
    /// The window that a range function looks at, in milliseconds; 0 without one.
    pub range_ms: i64,
    /// The function that the samples go to directly, if any: `rate` needs other samples than `max_over_time`.
    pub function: Option<&'static str>,
    /// Only the newest of the samples counts, so the others need not be read.
    pub newest: bool,
    /// More samples than these make the query fail, so a store may stop reading there.
    pub most_samples: u64,
    /// What a store that reads on several cores may do with each series where it is read.
    pub along: Option<Along<'a>>,
}

/// Makes of the floats of a series what the query wants of them, a value a step, when that needs nothing of the query itself; empty
/// when no step has a value.
#[derive(Clone, Copy)]
pub struct Along<'a>(pub &'a MakesValues<'a>);

/// Floats, in Unix milliseconds and value, to values.
pub type MakesValues<'a> = dyn Fn(&[(i64, f64)]) -> Option<Vec<f64>> + Sync + 'a;

impl std::fmt::Debug for Along<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Along")
    }
}

/// Samples of one series. Stale markers are among the floats, and a stale histogram has one as its sum.
#[derive(Clone, Debug, Default)]
pub struct SeriesSamples {
    /// Which series.
    pub metric: Metric,
    /// Unix milliseconds and value, rising in time.
    pub floats: Vec<(i64, f64)>,
    /// Unix milliseconds and histogram, rising in time; no time is also among the floats.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
    /// What [`Select::along`] has made of the floats, if it was asked and could.
    pub made: Option<Vec<f64>>,
}

/// What a store has found.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// In order of labels, each series once, none without samples.
    pub series: Vec<SeriesSamples>,
    /// What people should know: stretches that cannot be read.
    pub warnings: Vec<String>,
}

/// What a store has to say beside the series.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What people should know: stretches that cannot be read.
    pub warnings: Vec<String>,
    /// What people may like to know: which samples were chosen.
    pub infos: Vec<String>,
}

/// Takes one series after another. What it leaves in there is used again.
pub type Each<'a> = dyn FnMut(&mut SeriesSamples) -> Result<(), QueryError> + 'a;

/// Takes the labels of a series, its values, and how many intervals they were made of.
pub type EachThinned<'a> = dyn FnMut(Metric, Vec<f64>, usize) -> Result<(), QueryError> + 'a;

/// A store that can be queried.
pub trait Source {
    /// The samples of all series that are meant.
    ///
    /// # Errors
    /// The store's own; the query fails with it.
    fn select(&self, what: &Select<'_>) -> Result<Selected, SeriesError>;

    /// The same, series by series, in order of labels: what an evaluation uses. A store that does not have all samples in memory
    /// anyway should never have more of them than one series' for it.
    ///
    /// # Errors
    /// The store's own and those of `each`; the query fails with it.
    fn visit(&self, what: &Select<'_>, each: &mut Each<'_>) -> Result<Told, QueryError> {
        let selected = self.select(what)?;
        for mut series in selected.series {
            each(&mut series)?;
        }
        Ok(Told { warnings: selected.warnings, infos: Vec::new() })
    }

    /// What the function of `what` comes to at each of `ends`, from thinned-out samples: the values of each series, the stale marker
    /// where there is none. `None`, before any series is given, when the samples are to be read. What was chosen is told.
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    fn thinned(
        &self,
        _what: &Select<'_>,
        _ends: &[i64],
        _each: &mut EachThinned<'_>,
    ) -> Result<Option<Told>, QueryError> {
        Ok(None)
    }
}

/// One tenant of an engine as a source.
#[derive(Clone, Copy)]
pub struct EngineSource<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// Whose series are read; a query never sees another's.
    pub tenant: u64,
}

impl Source for EngineSource<'_> {
    fn select(&self, what: &Select<'_>) -> Result<Selected, SeriesError> {
        let found = self.engine.select(self.tenant, what.matchers, what.from_ms, what.to_ms)?;
        let mut selected = Selected::default();
        for data in found {
            selected.series.extend(careful(data, &mut selected.warnings));
        }
        Ok(selected)
    }

    fn visit(&self, what: &Select<'_>, each: &mut Each<'_>) -> Result<Told, QueryError> {
        let mut told = Told::default();
        let mut scratch = SeriesSamples::default();
        self.engine.visit(self.tenant, what, &mut |found| match found {
            Found::Points(labels, rows, made) => {
                scratch.metric = Metric::from(labels);
                scratch.made = made;
                std::mem::swap(&mut scratch.floats, rows);
                let taken = each(&mut scratch);
                std::mem::swap(&mut scratch.floats, rows);
                scratch.histograms.clear();
                taken
            }
            Found::Careful(data) => {
                let careful = careful(data, &mut told.warnings);
                careful.map_or(Ok(()), |mut series| each(&mut series))
            }
        })?;
        Ok(told)
    }

    fn thinned(&self, what: &Select<'_>, ends: &[i64], each: &mut EachThinned<'_>) -> Result<Option<Told>, QueryError> {
        let ask = Ask {
            tenant: self.tenant,
            matchers: what.matchers,
            ends,
            step_ms: what.step_ms,
            range_ms: what.range_ms,
            lookback_ms: ends.first().map_or(0, |first| first.saturating_sub(what.from_ms).saturating_add(1)),
            function: what.function,
        };
        self.engine.thinned(&ask, &mut |labels, values, intervals| each(Metric::from(labels), values, intervals))
    }
}

/// What is said of samples that cannot be read.
pub(crate) fn damaged(labels: &Labels, from_ms: i64, to_ms: i64) -> String {
    format!("samples of {labels:?} from {from_ms} to {to_ms} ms are damaged and left out")
}

/// A series that was read with care, if it has samples; what it has lost is told.
fn careful(data: SeriesData, warnings: &mut Vec<String>) -> Option<SeriesSamples> {
    for (from, to) in &data.lost {
        warnings.push(damaged(&data.labels, *from, *to));
    }
    let metric = Metric::from(data.labels);
    let series = SeriesSamples { metric, floats: data.points, histograms: data.histograms, made: None };
    (!series.floats.is_empty() || !series.histograms.is_empty()).then_some(series)
}

/// Series held in memory, for tests of rules and of the evaluation itself.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    series: std::collections::BTreeMap<Metric, SeriesSamples>,
}

impl MemorySource {
    /// Adds a float. A sample at or before the last one of its series is put in its place; of two at one time the later
    /// call wins.
    pub fn push(&mut self, metric: &Metric, at_ms: i64, value: f64) {
        let floats = &mut self.entry(metric).floats;
        match floats.binary_search_by_key(&at_ms, |(at, _)| *at) {
            Ok(place) => floats[place].1 = value,
            Err(place) => floats.insert(place, (at_ms, value)),
        }
    }

    /// Adds a histogram after those the series has, with the hint that storage would give it.
    pub fn push_histogram(&mut self, metric: &Metric, at_ms: i64, mut histogram: Histogram) {
        let series = self.entry(metric);
        // A float in between ends the chunk, so that nothing is known of the histogram before.
        let last_float = series.floats.last().map_or(i64::MIN, |(at, _)| *at);
        let before = series.histograms.last().filter(|(at, _)| *at > last_float).map(|(_, h)| h.as_ref());
        histogram.hint = histogram.hint_after(before);
        series.histograms.push((at_ms, Arc::new(histogram)));
    }

    fn entry(&mut self, metric: &Metric) -> &mut SeriesSamples {
        let new = || SeriesSamples { metric: metric.clone(), ..SeriesSamples::default() };
        self.series.entry(metric.clone()).or_insert_with(new)
    }
}

fn within<T: Clone>(samples: &[(i64, T)], from_ms: i64, to_ms: i64) -> Vec<(i64, T)> {
    let first = samples.partition_point(|(at, _)| *at < from_ms);
    let end = samples.partition_point(|(at, _)| *at <= to_ms);
    samples[first..end.max(first)].to_vec()
}

impl Source for MemorySource {
    fn select(&self, what: &Select<'_>) -> Result<Selected, SeriesError> {
        let meant = |series: &&SeriesSamples| what.matchers.iter().all(|matcher| series.metric.is_meant_by(matcher));
        let cut = |series: &SeriesSamples| SeriesSamples {
            metric: series.metric.clone(),
            floats: within(&series.floats, what.from_ms, what.to_ms),
            histograms: within(&series.histograms, what.from_ms, what.to_ms),
            made: None,
        };
        let found = self.series.values().filter(meant).map(cut);
        let series = found.filter(|s| !s.floats.is_empty() || !s.histograms.is_empty()).collect();
        Ok(Selected { series, warnings: Vec::new() })
    }
}
