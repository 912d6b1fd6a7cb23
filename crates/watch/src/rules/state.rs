//! The life of a rule's alerts: what a rule saw before, what it sees now, and the time make what it holds from now on.
//!
//! Pure: no clock, no store, no query. The same function decides live, in unit tests of rules and when a rule is replayed
//! over the past. It must never let missing data or a failed evaluation end what fires.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Names and values, in order of name.
pub type LabelSet = BTreeMap<String, String>;

/// What a rule promises, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the condition must hold before an alert fires.
    pub hold_ms: i64,
    /// How long an alert goes on after the condition last held.
    pub keep_ms: i64,
    /// Alerts of one rule at most; more fail the evaluation.
    pub limit: usize,
    /// What it means that a series is no longer there.
    pub missing: Missing,
    /// After how long without data an alert is given up; `None`: never.
    pub forget_ms: Option<i64>,
    /// A pause between two evaluations after which a waiting alert begins anew; `None`: however long.
    pub outage_ms: Option<i64>,
}

/// What it means that the series of an alert is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is known: what fires keeps firing.
    Unknown,
    /// The condition does not hold, as Prometheus has it.
    Resolves,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The condition holds, but not for long enough yet.
    Pending,
    /// It is an alert.
    Firing,
}

impl Phase {
    /// As Prometheus writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One series for which the condition holds, or held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its labels, those of the rule and `alertname` among them.
    pub labels: LabelSet,
    /// The labels of the series itself, without the metric's name.
    pub series: LabelSet,
    /// Where it stands.
    pub phase: Phase,
    /// Since when the condition holds, Unix milliseconds.
    pub since_ms: i64,
    /// Since when it fires.
    pub fired_ms: Option<i64>,
    /// When the condition was last seen to hold.
    pub held_ms: i64,
    /// Since when it fires only because of `keep_firing_for`.
    pub kept_since_ms: Option<i64>,
    /// Since when there is no data to say whether the condition holds.
    pub unknown_since_ms: Option<i64>,
    /// The value that was seen last.
    #[serde(with = "as_text")]
    pub value: f64,
}

/// JSON has no NaN.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// How the latest evaluation of a rule went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not evaluated yet, or there was nothing to look at.
    #[default]
    Unknown,
    /// It had an answer.
    Ok,
    /// It failed.
    Error,
}

impl Health {
    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// All that a rule remembers between two evaluations. What is written to disk is this and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Alerts by what makes them the same, see [`fingerprint`].
    pub instances: BTreeMap<String, Instance>,
    /// When it was last evaluated.
    pub evaluated_ms: Option<i64>,
}

/// One series for which the condition holds now.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Labels of the alert.
    pub labels: LabelSet,
    /// Labels of the series without its name.
    pub series: LabelSet,
    /// Its value.
    pub value: f64,
}

/// For which series there is data at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// The condition has an answer whatever is there, such as `absent(…)`.
    Always,
    /// There is data of these, whether or not the condition holds for them.
    Of(BTreeSet<LabelSet>),
}

/// What one evaluation saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// It had an answer.
    Seen {
        /// For what the condition holds.
        holds: Vec<Sighting>,
        /// For what there is data.
        data: Data,
        /// What has recovered, when the rule says itself what recovery is.
        recovered: Option<BTreeSet<LabelSet>>,
    },
    /// It had none.
    Failed,
}

/// What became of an alert; each happens once.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The condition holds; it waits.
    Pending(String),
    /// It fires.
    Fired(String),
    /// It is well again.
    Resolved(String, Instance),
    /// It waited, and the condition no longer holds.
    Dropped(String),
    /// There is no data any more; it stays as it is.
    Lost(String),
    /// There is data again.
    Found(String),
}

/// What makes an alert of a rule the same alert: its labels.
pub fn fingerprint(labels: &LabelSet) -> String {
    let mut bytes = Vec::with_capacity(labels.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
    for (name, value) in labels {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0xff);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0xff);
    }
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))
}

impl State {
    /// Whether something that the rule holds is not among what was seen, so that it must be asked why.
    pub fn misses(&self, holds: &[Sighting]) -> bool {
        if self.instances.is_empty() {
            return false;
        }
        let seen: BTreeSet<&LabelSet> = holds.iter().map(|s| &s.labels).collect();
        self.instances.values().any(|instance| !seen.contains(&instance.labels))
    }

    /// When the next wait is over, later than `now_ms`: an alert fires, is no longer kept, or is given up, if nothing changes.
    pub fn next_end(&self, terms: &Terms, now_ms: i64) -> Option<i64> {
        let ends = self.instances.values().flat_map(|instance| {
            let fires = instance.phase == Phase::Pending && instance.unknown_since_ms.is_none();
            [
                fires.then(|| instance.since_ms.saturating_add(terms.hold_ms)),
                instance.kept_since_ms.map(|since| since.saturating_add(terms.keep_ms)),
                instance.unknown_since_ms.zip(terms.forget_ms).map(|(since, forget)| since.saturating_add(forget)),
            ]
        });
        ends.flatten().filter(|end| *end > now_ms).min()
    }

    /// Whether an alert is kept since another time than before, which no [`Event`] tells and a restart must find.
    pub fn keeps_otherwise(&self, before: &Self) -> bool {
        let kept = |state: &Self, key: &String| state.instances.get(key).and_then(|instance| instance.kept_since_ms);
        self.instances.iter().any(|(key, instance)| instance.kept_since_ms != kept(before, key))
    }
}

/// Brings a rule's state up to `now_ms`, and tells what changed. More sightings than the limit are a failed evaluation.
pub fn decide(state: &mut State, look: Look, terms: &Terms, now_ms: i64) -> Vec<Event> {
    let mut events = Vec::new();
    begin_anew_after_an_outage(state, terms, now_ms, &mut events);
    state.evaluated_ms = Some(now_ms);
    let (holds, data, recovered) = match look {
        Look::Seen { holds, data, recovered } if holds.len() <= terms.limit => (holds, data, recovered),
        Look::Seen { .. } | Look::Failed => {
            state.instances.iter_mut().for_each(|(key, instance)| lose(key, instance, now_ms, &mut events));
            return events;
        }
    };
    let mut seen = BTreeSet::new();
    for sighting in holds {
        let key = fingerprint(&sighting.labels);
        hold(state, &key, sighting, terms, now_ms, &mut events);
        seen.insert(key);
    }
    let rest: Vec<String> = state.instances.keys().filter(|key| !seen.contains(*key)).cloned().collect();
    for key in rest {
        let Some(instance) = state.instances.get_mut(&key) else { continue };
        let known = match &data {
            Data::Always => true,
            Data::Of(there) => terms.missing == Missing::Resolves || there.contains(&instance.series),
        };
        if !known {
            lose(&key, instance, now_ms, &mut events);
            let given_up = instance.unknown_since_ms.zip(terms.forget_ms).is_some_and(|(s, f)| now_ms - s >= f);
            if given_up {
                end(state, key, &mut events);
            }
            continue;
        }
        find(&key, instance, &mut events);
        let recovers = recovered.as_ref().is_none_or(|r| r.contains(&instance.series));
        if instance.phase == Phase::Pending || (recovers && is_over(instance, terms, now_ms)) {
            end(state, key, &mut events);
        }
    }
    events
}

/// Nobody knows what was while nobody looked: what waited waits from the beginning.
fn begin_anew_after_an_outage(state: &mut State, terms: &Terms, now_ms: i64, events: &mut Vec<Event>) {
    let long = state.evaluated_ms.zip(terms.outage_ms).is_some_and(|(last, most)| now_ms - last > most);
    if !long {
        return;
    }
    let waiting = state.instances.iter().filter(|(_, i)| i.phase == Phase::Pending).map(|(key, _)| key.clone());
    for key in waiting.collect::<Vec<_>>() {
        end(state, key, events);
    }
}

/// The condition holds for this series.
fn hold(state: &mut State, key: &str, sighting: Sighting, terms: &Terms, now_ms: i64, events: &mut Vec<Event>) {
    let new = !state.instances.contains_key(key);
    let instance = state.instances.entry(key.to_owned()).or_insert_with(|| Instance {
        labels: sighting.labels,
        series: sighting.series,
        phase: Phase::Pending,
        since_ms: now_ms,
        fired_ms: None,
        held_ms: now_ms,
        kept_since_ms: None,
        unknown_since_ms: None,
        value: sighting.value,
    });
    // A gap as long as the wait itself says nothing about the time in between.
    let blind = instance.unknown_since_ms.is_some_and(|since| now_ms - since >= terms.hold_ms);
    if instance.phase == Phase::Pending && blind {
        instance.since_ms = now_ms;
    }
    find(key, instance, events);
    instance.value = sighting.value;
    instance.held_ms = now_ms;
    instance.kept_since_ms = None;
    if instance.phase == Phase::Pending && now_ms - instance.since_ms >= terms.hold_ms {
        instance.phase = Phase::Firing;
        instance.fired_ms = Some(now_ms);
        events.push(Event::Fired(key.to_owned()));
    } else if new {
        events.push(Event::Pending(key.to_owned()));
    }
}

/// Whether `keep_firing_for` is over too.
fn is_over(instance: &mut Instance, terms: &Terms, now_ms: i64) -> bool {
    if terms.keep_ms == 0 {
        return true;
    }
    let since = *instance.kept_since_ms.get_or_insert(now_ms);
    now_ms - since >= terms.keep_ms
}

fn lose(key: &str, instance: &mut Instance, now_ms: i64, events: &mut Vec<Event>) {
    if instance.unknown_since_ms.is_none() {
        instance.unknown_since_ms = Some(now_ms);
        events.push(Event::Lost(key.to_owned()));
    }
}

fn find(key: &str, instance: &mut Instance, events: &mut Vec<Event>) {
    if instance.unknown_since_ms.take().is_some() {
        events.push(Event::Found(key.to_owned()));
    }
}

fn end(state: &mut State, key: String, events: &mut Vec<Event>) {
    match state.instances.remove(&key) {
        Some(instance) if instance.phase == Phase::Firing => events.push(Event::Resolved(key, instance)),
        Some(_) => events.push(Event::Dropped(key)),
        None => {}
    }
}

#[cfg(test)]
mod tests;
