//! The seam through which everybody writes and asks measurements: an [`Engine`] here, or another program far away that
//! speaks Prometheus's protocols. Whoever writes rules, pages or dashboards sees only this and does not notice which it is.
//!
//! It must never give a tenant another tenant's series, and never say that something is stored before it is on a disk.

mod layer;
mod opening;
mod quick;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;

use async_trait::async_trait;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::SeriesError;
use crate::formats::{Batch, Exemplar, Metadata};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::promql::{Answer, EngineSource, Limits, Query, QueryError, Select, Settings, SharedSource, json};
use crate::visit::Found;
use crate::writer::Appended;

pub use layer::Layer;
pub use opening::{Opener, Opening};
pub(crate) use quick::FEW_FILES;
use quick::When;

/// Why a query or a look-up has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The evaluation failed, or a limit was reached.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] SeriesError),
    /// The engine far away cannot be reached or does not answer; asking again later may help.
    #[error("{engine} does not answer: {reason}")]
    Away {
        /// Its address, without credentials.
        engine: String,
        /// What happened.
        reason: String,
    },
    /// The engine far away refused.
    #[error("{engine} refuses: {reason}")]
    Refused {
        /// Its address, without credentials.
        engine: String,
        /// What it said.
        reason: String,
    },
    /// The work ended without an answer.
    #[error("the evaluation was ended")]
    Ended,
}

impl MetricsError {
    /// True when the same may succeed later as it is.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Away { .. } | Self::Ended => true,
            Self::Store(error) => error.is_retryable() || matches!(error, SeriesError::TooManyDeletes { .. }),
            Self::Query(_) | Self::Refused { .. } => false,
        }
    }
}

/// From and to, Unix milliseconds, both included.
pub type Span = (i64, i64);

/// All of time.
pub(crate) const EVER: Span = (i64::MIN, i64::MAX);

/// Exemplars of one series.
#[derive(Clone, Debug)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Its exemplars in order of time; `series` of each is 0.
    pub exemplars: Vec<Exemplar>,
}

/// Series as a list of JSON objects, label names and values each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesList {
    /// The list, behind what it was to be written behind.
    pub json: Vec<u8>,
    /// There are more.
    pub cut: bool,
}

impl SeriesList {
    /// Of the first `most` of these, or of all when that is 0, behind a `beginning`.
    ///
    /// # Errors
    /// What `each` says.
    pub(crate) fn of<T>(
        beginning: &[u8],
        all: &[T],
        most: usize,
        each: impl FnMut(&mut Vec<u8>, &T) -> io::Result<()>,
    ) -> io::Result<Self> {
        let first = &all[..if most == 0 { all.len() } else { all.len().min(most) }];
        // What most series take, and an end.
        let mut json = Vec::with_capacity(beginning.len() + 64 + 128 * first.len());
        json.extend_from_slice(beginning);
        json::list(&mut json, first, each)?;
        Ok(Self { json, cut: first.len() < all.len() })
    }
}

/// How much some matchers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Series that have samples in the time.
    pub series: u64,
    /// Samples of theirs in the time, native histograms included.
    pub samples: u64,
}

/// Measurements of all tenants, wherever they are kept.
#[async_trait]
pub trait Metrics: Send + Sync + 'static {
    /// Stores a decoded body and answers after it is on disk; see [`Engine::append_batch`].
    ///
    /// # Errors
    /// Nothing of it counts as stored; it may be sent again.
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError>;

    /// The answer at one moment.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError>;

    /// The answers to many queries at one moment, in their order. An engine that can reads once what they share.
    async fn instants(
        &self,
        tenant: u64,
        queries: Vec<Query>,
        at_ms: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            answers.push(self.instant(tenant, query, at_ms, limits.clone()).await);
        }
        answers
    }

    /// The answers from, to, every so many milliseconds.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn range(
        &self,
        tenant: u64,
        query: Query,
        times: (i64, i64, i64),
        limits: Limits,
    ) -> Result<Answer, MetricsError>;

    /// Series that fit any of the sets of matchers (all series when there is no set) and have samples in the time, in order.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn series(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<Labels>, MetricsError>;

    /// The same as JSON, the first `most` of them; 0 for all. They are written behind the `beginning` of an answer.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn series_json(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: Span,
        most: usize,
        beginning: &'static [u8],
    ) -> Result<SeriesList, MetricsError> {
        let found = self.series(tenant, sets, time).await?;
        let list = SeriesList::of(beginning, &found, most, |out, labels| json::pairs(out, labels.iter()));
        Ok(list.expect("memory takes all that is written"))
    }

    /// Their label names, sorted.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn label_names(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<String>, MetricsError>;

    /// The values of one of their labels, sorted.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn label_values(
        &self,
        tenant: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: Span,
    ) -> Result<Vec<String>, MetricsError>;

    /// Type, unit and help of the families, or of one.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn metadata(&self, tenant: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError>;

    /// Exemplars of the series that the selectors of a query name.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn exemplars(&self, tenant: u64, query: Query, time: Span) -> Result<Vec<SeriesExemplars>, MetricsError>;

    /// How many series and samples any of the sets of matchers means in a time. Reads all of them.
    ///
    /// # Errors
    /// [`MetricsError`].
    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError>;

    /// Deletes what any of the sets of matchers means in a time, for good; see [`Engine::delete`]. Done again it deletes what has come
    /// since, and nothing twice.
    ///
    /// # Errors
    /// [`MetricsError::Refused`] by an engine far away that cannot. Some sets may be deleted after another error: ask again.
    async fn delete(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<(), MetricsError>;

    /// Stores samples of any age that is kept; see [`Engine::import`]. An engine far away gets them as it gets all others, and
    /// decides by itself how old they may be.
    ///
    /// # Errors
    /// Some of it may be stored; it may be sent again.
    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError>;
}

#[async_trait]
impl Metrics for std::sync::Arc<Engine> {
    async fn write(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        Ok(self.append_batch(tenant, batch).await?)
    }

    async fn instant(&self, tenant: u64, query: Query, at_ms: i64, limits: Limits) -> Result<Answer, MetricsError> {
        ask(self, tenant, query, When::At(at_ms), limits).await
    }

    async fn instants(
        &self,
        tenant: u64,
        queries: Vec<Query>,
        at_ms: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        let (engine, count) = (self.clone(), queries.len());
        let work = move || {
            let source = EngineSource { engine: &engine, tenant };
            let shared = SharedSource::new(&source);
            let ask = |query: &Query| Ok(query.instant(&shared, at_ms, &Settings::default(), &limits)?);
            queries.iter().map(ask).collect::<Vec<Result<Answer, MetricsError>>>()
        };
        let ended = || (0..count).map(|_| Err(MetricsError::Ended)).collect();
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| ended())
    }

    async fn range(
        &self,
        tenant: u64,
        query: Query,
        times: (i64, i64, i64),
        limits: Limits,
    ) -> Result<Answer, MetricsError> {
        ask(self, tenant, query, When::Range(times), limits).await
    }

    /// Of samples that are sealed, the whole time of their file counts.
    async fn series(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<Labels>, MetricsError> {
        let all = move |engine: &Engine| {
            let mut all: Vec<Labels> =
                of(&sets).into_iter().flat_map(|set| engine.series_in(tenant, set, time)).collect();
            if sets.len() > 1 {
                all.sort_unstable();
                all.dedup();
            }
            all
        };
        beside(self, all).await
    }

    async fn series_json(
        &self,
        tenant: u64,
        sets: Vec<Vec<Matcher>>,
        time: Span,
        most: usize,
        beginning: &'static [u8],
    ) -> Result<SeriesList, MetricsError> {
        if let Some(list) = quick::series_json(self, tenant, &sets, time, most, beginning) {
            return Ok(list);
        }
        beside(self, move |engine| engine.series_json(tenant, &of(&sets), time, most, beginning)).await
    }

    async fn label_names(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Vec<String>, MetricsError> {
        if let Some(names) = quick::label_names(self, tenant, &sets, time) {
            return Ok(names);
        }
        let names = move |engine: &Engine| {
            union(of(&sets).into_iter().flat_map(|set| engine.label_names_in(tenant, set, time)))
        };
        beside(self, names).await
    }

    async fn label_values(
        &self,
        tenant: u64,
        name: String,
        sets: Vec<Vec<Matcher>>,
        time: Span,
    ) -> Result<Vec<String>, MetricsError> {
        if let Some(values) = quick::label_values(self, tenant, &name, &sets, time) {
            return Ok(values);
        }
        let values = move |engine: &Engine| {
            union(of(&sets).into_iter().flat_map(|set| engine.label_values_in(tenant, &name, set, time)))
        };
        beside(self, values).await
    }

    async fn metadata(&self, tenant: u64, family: Option<String>) -> Result<Vec<Metadata>, MetricsError> {
        Ok(Engine::metadata(self, tenant, family.as_deref()))
    }

    async fn exemplars(&self, tenant: u64, query: Query, time: Span) -> Result<Vec<SeriesExemplars>, MetricsError> {
        let sets = query.expr().selectors();
        let sets: Vec<&[Matcher]> = sets.iter().map(|selector| selector.matchers.as_slice()).collect();
        Ok(Engine::exemplars(self, tenant, &sets, time))
    }

    async fn count(&self, tenant: u64, sets: Vec<Vec<Matcher>>, time: Span) -> Result<Counted, MetricsError> {
        beside(self, move |engine: &Engine| counted(engine, tenant, &sets, time)).await
    }

    async fn delete(&self, tenant: u64, sets: Vec<Vec<Matcher>>, (from_ms, to_ms): Span) -> Result<(), MetricsError> {
        let delete = move |engine: &Engine| {
            sets.iter().try_for_each(|matchers| Engine::delete(engine, tenant, matchers, from_ms, to_ms))
        };
        Ok(beside(self, delete).await??)
    }

    async fn import(&self, tenant: u64, batch: Batch) -> Result<Appended, MetricsError> {
        Ok(beside(self, move |engine: &Engine| Engine::import(engine, tenant, batch)).await??)
    }
}

/// Small questions are answered at once, the others where they hold up nobody.
async fn ask(
    engine: &std::sync::Arc<Engine>,
    tenant: u64,
    query: Query,
    when: When,
    limits: Limits,
) -> Result<Answer, MetricsError> {
    if let Some(answer) = quick::answered(engine, tenant, &query, when, &limits) {
        return Ok(answer);
    }
    Ok(beside(engine, move |engine| when.ask(&query, &EngineSource { engine, tenant }, &limits)).await??)
}

/// A series that several sets mean counts once.
fn counted(engine: &Engine, tenant: u64, sets: &[Vec<Matcher>], (from_ms, to_ms): Span) -> Counted {
    let (mut all, mut met) = (Counted::default(), HashSet::new());
    for matchers in sets {
        let what = Select {
            matchers,
            from_ms,
            to_ms,
            step_ms: 0,
            range_ms: 0,
            function: None,
            newest: false,
            most_samples: u64::MAX,
            along: None,
        };
        let visited = engine.visit(tenant, &what, &mut |found| {
            let (labels, samples) = match found {
                Found::Points(labels, points, _) => (labels, points.len()),
                Found::Careful(data) => (data.labels, data.points.len() + data.histograms.len()),
            };
            if samples > 0 && (sets.len() == 1 || met.insert(labels)) {
                all.series += 1;
                all.samples += samples as u64;
            }
            Ok::<(), Infallible>(())
        });
        match visited {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }
    all
}

/// Look-ups of a tenant with many series take a while: they are done where they hold up nobody.
async fn beside<T: Send + 'static>(
    engine: &std::sync::Arc<Engine>,
    work: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Result<T, MetricsError> {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || work(&engine)).await.map_err(|_| MetricsError::Ended)
}

/// The sets, or the one that means every series.
fn of(sets: &[Vec<Matcher>]) -> Vec<&[Matcher]> {
    if sets.is_empty() { vec![&[]] } else { sets.iter().map(Vec::as_slice).collect() }
}

fn union(names: impl Iterator<Item = String>) -> Vec<String> {
    let all: std::collections::BTreeSet<String> = names.collect();
    all.into_iter().collect()
}
