//! What a rule would have fired in the past: the same life of alerts, over answers for many moments at once.
//!
//! It writes nothing and changes no rule. The past is asked in stretches, so that progress is seen and an end is heeded; label
//! texts that need a query are left as they stand.

use serde::Serialize;
use series::promql::{Answer, Cancel, Limits, MatrixSeries, Value};
use series::{Metrics, MetricsError};
use std::collections::{BTreeMap, BTreeSet};

use super::compile::Compiled;
use super::see::{self, Answers, Outside, Unseen};
use super::state::{Data, Event, Instance, LabelSet, Look, Phase, State, decide};
use crate::severity::Severity;

/// Moments asked at once: below the limit that engines set, and small enough to end soon.
const STRETCH: i64 = 2_000;
/// Alerts that are listed at most.
const LISTED: usize = 10_000;

/// The time that is replayed, Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// From.
    pub from_ms: i64,
    /// To.
    pub to_ms: i64,
    /// From one evaluation to the next: the rule's interval, or longer for a coarser picture.
    pub step_ms: i64,
}

/// An alert that would have fired.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fired {
    /// Its labels.
    pub labels: LabelSet,
    /// Since when the condition held, Unix milliseconds.
    pub since_ms: i64,
    /// When it fired.
    pub fired_ms: i64,
    /// When it was over; `None`: it was not yet.
    pub until_ms: Option<i64>,
    /// How long it fired, in seconds, up to the end of what was replayed.
    pub seconds: i64,
    /// The value when it fired.
    pub value: Option<f64>,
    /// For how much of that there was no data, in seconds.
    pub unknown_seconds: i64,
    /// Whether it is bad enough for an incident, and so for a page.
    pub pages: bool,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// In order of firing.
    pub fired: Vec<Fired>,
    /// There were more.
    pub more: bool,
    /// Evaluations.
    pub evaluations: i64,
    /// Those among them for which there was no data at all.
    pub without_data: i64,
    /// Alerts that began to wait and did not fire.
    pub waited_only: usize,
}

/// Why a replay came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The measurements have no answer.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// It makes no sense.
    #[error("{0}")]
    Wrong(String),
}

/// Replays a rule. `progress` is told how much is done, from 0 to 1, after each stretch; `cancel` ends it within one.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(
    metrics: &dyn Metrics,
    tenant: u64,
    rule: &Compiled,
    past: Past,
    cancel: &Cancel,
    progress: &mut (dyn FnMut(f64) + Send),
) -> Result<Replayed, ReplayError> {
    if rule.record().is_some() {
        return Err(ReplayError::Wrong("a recording rule fires nothing".into()));
    }
    if past.step_ms <= 0 || past.to_ms < past.from_ms {
        return Err(ReplayError::Wrong("the end is before the beginning, or the step is not longer than 0".into()));
    }
    let mut play = Play { rule, state: State::default(), open: BTreeMap::new(), result: Replayed::default() };
    let mut from = past.from_ms;
    while from <= past.to_ms {
        let to = (from + past.step_ms * (STRETCH - 1)).min(past.to_ms);
        let asked = (from - rule.offset_ms, to - rule.offset_ms, past.step_ms);
        let moments = |answer| Moments::of(answer, asked, rule.offset_ms);
        let limits = Limits { cancel: cancel.clone(), ..Limits::default() };
        let holds = moments(metrics.range(tenant, rule.query.clone(), asked, limits.clone()).await?);
        let data = match rule.presence.clone() {
            Some(query) => Some(moments(metrics.range(tenant, query, asked, limits.clone()).await?)),
            None => None,
        };
        let recovered = match rule.recovery.clone() {
            Some(query) => Some(moments(metrics.range(tenant, query, asked, limits).await?)),
            None => None,
        };
        let mut at = from;
        while at <= to {
            play.moment(at, &holds, data.as_ref(), recovered.as_ref())?;
            at += past.step_ms;
        }
        from = at;
        progress(((from - past.from_ms) as f64 / (past.to_ms - past.from_ms).max(1) as f64).min(1.0));
        tokio::task::yield_now().await;
    }
    Ok(play.finish(past.to_ms))
}

/// Whether an alert of this severity opens an incident, and so pages; milder ones are only listed.
pub fn pages(severity: Severity) -> bool {
    matches!(severity, Severity::Major | Severity::Critical)
}

/// An answer over a stretch of time, read moment by moment.
struct Moments {
    series: Vec<MatrixSeries>,
    /// By moment, which series have a value, and where it stands among theirs.
    at: BTreeMap<i64, Vec<(usize, f64)>>,
}

impl Moments {
    /// An answer about other times, which stands for those so much later.
    fn of(answer: Answer, (from, to, step): (i64, i64, i64), later: i64) -> Self {
        let mut at: BTreeMap<i64, Vec<(usize, f64)>> = BTreeMap::new();
        let series = match answer.value {
            Value::Matrix(series) => series,
            // A scalar of a range is a matrix; a single one stands for each moment.
            Value::Scalar { value, .. } => {
                let times = (0..).map(|n| from + n * step).take_while(|at| *at <= to);
                let floats: Vec<_> = times.map(|at| (at, value)).collect();
                vec![MatrixSeries { metric: Default::default(), floats: floats.into(), histograms: Vec::new() }]
            }
            Value::Text { .. } | Value::Vector(_) => Vec::new(),
        };
        for (place, one) in series.iter().enumerate() {
            for (ms, value) in one.floats.iter() {
                at.entry(ms + later).or_default().push((place, value));
            }
            for (ms, histogram) in &one.histograms {
                at.entry(*ms + later).or_default().push((place, histogram.count));
            }
        }
        Self { series, at }
    }

    fn label_sets(&self, at_ms: i64) -> BTreeSet<LabelSet> {
        let here = self.at.get(&at_ms).into_iter().flatten();
        here.map(|(place, _)| see::label_set(&self.series[*place].metric)).collect()
    }

    /// The answer of one moment.
    fn answer(&self, at_ms: i64) -> Answer {
        use series::promql::{SampleValue, VectorSample};
        let here = self.at.get(&at_ms).into_iter().flatten();
        let sample = |(place, value): &(usize, f64)| VectorSample {
            metric: self.series[*place].metric.clone(),
            at_ms,
            value: SampleValue::Float(*value),
        };
        Answer { value: Value::Vector(here.map(sample).collect()), warnings: Vec::new(), infos: Vec::new(), samples: 0 }
    }
}

struct Play<'a> {
    rule: &'a Compiled,
    state: State,
    /// What fires, by fingerprint: its place in the list, and since when it is unknown.
    open: BTreeMap<String, (usize, Option<i64>)>,
    result: Replayed,
}

impl Play<'_> {
    fn moment(
        &mut self,
        at_ms: i64,
        holds: &Moments,
        data: Option<&Moments>,
        recovered: Option<&Moments>,
    ) -> Result<(), ReplayError> {
        self.result.evaluations += 1;
        self.result.without_data += i64::from(data.is_some_and(|data| !data.at.contains_key(&at_ms)));
        // Most moments of most rules: nothing holds, and nothing held.
        if self.state.instances.is_empty() && !holds.at.contains_key(&at_ms) {
            self.state.evaluated_ms = Some(at_ms);
            return Ok(());
        }
        let seen = see::sightings(self.rule, &holds.answer(at_ms), at_ms, &Outside::default(), &Answers::new());
        let look = match seen {
            Ok(holds) => Look::Seen {
                holds,
                data: data.map_or(Data::Always, |data| Data::Of(data.label_sets(at_ms))),
                recovered: recovered.map(|r| r.label_sets(at_ms)),
            },
            Err(Unseen::Twice(_)) => Look::Failed,
            Err(Unseen::Needs(query)) => {
                return Err(ReplayError::Wrong(format!("a label of the rule asks {query}, which cannot be replayed")));
            }
        };
        let events = decide(&mut self.state, look, &self.rule.terms, at_ms);
        for event in events {
            self.note(event, at_ms);
        }
        Ok(())
    }

    fn note(&mut self, event: Event, at_ms: i64) {
        match event {
            Event::Pending(_) => {}
            Event::Dropped(_) => self.result.waited_only += 1,
            Event::Fired(key) => {
                let Some(instance) = self.state.instances.get(&key) else { return };
                if self.result.fired.len() == LISTED {
                    self.result.more = true;
                    return;
                }
                self.open.insert(key, (self.result.fired.len(), None));
                self.result.fired.push(fired(instance, self.rule.rule.severity, at_ms));
            }
            Event::Resolved(key, _) => {
                if let Some((place, since)) = self.open.remove(&key) {
                    self.result.fired[place].until_ms = Some(at_ms);
                    close(&mut self.result.fired[place], since, at_ms);
                }
            }
            Event::Lost(key) => {
                if let Some((_, since)) = self.open.get_mut(&key) {
                    *since = Some(at_ms);
                }
            }
            Event::Found(key) => {
                if let Some((place, since)) = self.open.get_mut(&key)
                    && let Some(since) = since.take()
                {
                    self.result.fired[*place].unknown_seconds += (at_ms - since) / 1000;
                }
            }
        }
    }

    fn finish(mut self, to_ms: i64) -> Replayed {
        for (place, since) in self.open.into_values() {
            close(&mut self.result.fired[place], since, to_ms);
        }
        self.result
    }
}

fn close(fired: &mut Fired, unknown_since: Option<i64>, at_ms: i64) {
    fired.seconds = (at_ms - fired.fired_ms) / 1000;
    fired.unknown_seconds += unknown_since.map_or(0, |since| (at_ms - since) / 1000);
}

fn fired(instance: &Instance, severity: Severity, at_ms: i64) -> Fired {
    debug_assert!(instance.phase == Phase::Firing, "only what fires is listed");
    Fired {
        labels: instance.labels.clone(),
        since_ms: instance.since_ms,
        fired_ms: at_ms,
        until_ms: None,
        seconds: 0,
        value: instance.value.is_finite().then_some(instance.value),
        unknown_seconds: 0,
        pages: pages(severity),
    }
}
