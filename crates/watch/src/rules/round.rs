//! One round: the rules that are due, asked together, decided one by one.
//!
//! Rules of one moment share what they read. A rule that reads what another one of the round records comes after it, when that
//! is written. A rule whose alerts could not be written down keeps the state it had, and is decided again next time.

use kernel::{Id, Session, TenantId, Time};
use series::formats::Batch;
use series::promql::{Answer, Limits, Query};
use series::{Labels, MetricsError, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::compile::Compiled;
use super::engine::Rules;
use super::see::{self, Answers, Outside, Unseen};
use super::state::{Data, Event, Health, LabelSet, Look, Missing, Sighting, State, decide};
use super::template::MAX_QUERIES;
use super::{keep, publish};
use crate::rule::NoData;

/// What one query of a rule may take.
const PATIENCE_MS: i64 = 20_000;

/// A rule on its way through a round.
struct Turn {
    id: Id,
    tenant: TenantId,
    key: String,
    definition: String,
    compiled: Arc<Compiled>,
    state: State,
    changed: bool,
    texts: BTreeMap<String, LabelSet>,
    written: BTreeSet<Labels>,
    health: Health,
}

/// What the questions of a rule came to.
struct Heard {
    look: Look,
    health: Health,
    error: Option<String>,
    /// For texts: the whole labels of a series by those without its name.
    answers: Answers,
}

impl Rules {
    /// Evaluates rules at the present moment.
    pub(super) async fn round(&self, ids: &[Id]) {
        let turns: Vec<Turn> = {
            let mut board = self.board.lock();
            let turn = |id: &Id| {
                let held = board.held.get_mut(id)?;
                held.busy = true;
                Some(Turn {
                    id: *id,
                    tenant: held.tenant,
                    key: held.key.clone(),
                    definition: held.definition.clone(),
                    compiled: held.compiled.clone(),
                    state: held.state.clone(),
                    changed: held.changed,
                    texts: held.texts.clone(),
                    written: held.written.clone(),
                    health: held.health,
                })
            };
            ids.iter().filter_map(turn).collect()
        };
        let mut tenants: BTreeMap<TenantId, Vec<Turn>> = BTreeMap::new();
        for turn in turns {
            tenants.entry(turn.tenant).or_default().push(turn);
        }
        for (tenant, turns) in tenants {
            for layer in layers(turns) {
                self.layer(tenant, layer).await;
            }
        }
    }

    /// Rules of which none reads what another records.
    async fn layer(&self, tenant: TenantId, turns: Vec<Turn>) {
        let begun = self.kernel.now();
        let at_ms = begun.as_millis();
        let answers = self.ask(tenant, turns.iter().map(|t| t.compiled.query.clone()).collect(), at_ms).await;
        let asking = self.kernel.now().since(begun).as_micros();
        self.counters.asking_micros.fetch_add(u64::try_from(asking).unwrap_or(u64::MAX), Relaxed);
        let mut samples = Vec::new();
        let count = turns.len() as u32;
        let mut recorded = BTreeSet::new();
        for (mut turn, answer) in turns.into_iter().zip(answers) {
            let (health, error) = if turn.compiled.record().is_some() {
                recorded.extend(turn.compiled.record().map(str::to_owned));
                record(&mut turn, answer, at_ms, &mut samples)
            } else {
                self.alert(&mut turn, answer, at_ms, &mut samples).await
            };
            self.put_back(turn, health, error, begun, count).await;
        }
        if let Err(error) = self.write(tenant, samples).await {
            tracing::warn!(%error, "what rules say could not be kept as series");
        }
        self.on_written_by_rules(tenant, &recorded);
    }

    async fn ask(&self, tenant: TenantId, queries: Vec<Query>, at_ms: i64) -> Vec<Result<Answer, MetricsError>> {
        if queries.is_empty() {
            return Vec::new();
        }
        let limits = Limits::default();
        let deadline_ms = Some((limits.clock)().saturating_add(PATIENCE_MS));
        self.metrics.instants((self.number)(tenant), queries, at_ms, Limits { deadline_ms, ..limits }).await
    }

    async fn ask_one(&self, tenant: TenantId, query: &Query, at_ms: i64) -> Result<Answer, String> {
        let answer = self.ask(tenant, vec![query.clone()], at_ms).await.pop();
        answer.unwrap_or(Err(MetricsError::Ended)).map_err(|e| e.to_string())
    }

    async fn write(&self, tenant: TenantId, samples: Vec<Sample>) -> Result<(), MetricsError> {
        if !samples.is_empty() {
            self.metrics.write((self.number)(tenant), Batch::of(&samples)).await?;
        }
        Ok(())
    }

    /// Rules that read what was just recorded follow at once; what a rule records never wakes the rule itself.
    fn on_written_by_rules(&self, tenant: TenantId, names: &BTreeSet<String>) {
        if !names.is_empty() {
            self.on_written(tenant, names.iter().map(String::as_str));
        }
    }

    /// One alerting rule: what it sees, what that means, and what is written down of it.
    async fn alert(
        &self,
        turn: &mut Turn,
        answer: Result<Answer, MetricsError>,
        at_ms: i64,
        samples: &mut Vec<Sample>,
    ) -> (Health, Option<String>) {
        let heard = match answer {
            Ok(answer) => self.hear(turn, &answer, at_ms).await,
            Err(error) => Heard::failed(error.to_string()),
        };
        let mut terms = turn.compiled.terms;
        if turn.changed {
            // Alerts that another definition made are not this one's to keep.
            terms.missing = Missing::Resolves;
        }
        let failed = matches!(heard.look, Look::Failed);
        let mut state = turn.state.clone();
        let events = decide(&mut state, heard.look, &terms, at_ms);
        self.fill_texts(turn, &state, &events, heard.answers, at_ms).await;
        if !events.is_empty() || (turn.changed && !failed) {
            let written = self.write_down(turn, &state, &events).await;
            if let Err(error) = written {
                tracing::warn!(rule = turn.key, %error, "alerts could not be written down; they will be next time");
                return (Health::Error, Some(format!("alerts could not be written down: {error}")));
            }
        }
        turn.changed &= failed;
        turn.state = state;
        turn.texts.retain(|key, _| turn.state.instances.contains_key(key));
        say(turn, see::alert_series(&turn.state), at_ms, samples);
        (heard.health, heard.error)
    }

    async fn write_down(&self, turn: &Turn, state: &State, events: &[Event]) -> Result<(), kernel::ActError> {
        let about = publish::About { key: &turn.key, rule: &turn.compiled.rule, texts: &turn.texts };
        publish::publish(&self.kernel, turn.tenant, &about, state, events).await?;
        keep::store(&self.kernel, turn.id, &turn.definition, state).await
    }

    /// What a rule sees: for what its condition holds and, when something is no longer among it, for what there is data.
    async fn hear(&self, turn: &Turn, answer: &Answer, at_ms: i64) -> Heard {
        let compiled = &turn.compiled;
        let mut answers = Answers::new();
        let holds = loop {
            match see::sightings(compiled, answer, at_ms, &self.outside, &answers) {
                Ok(holds) => break holds,
                Err(Unseen::Needs(query)) if answers.len() < MAX_QUERIES => {
                    self.answer_text(turn.tenant, query, &mut answers, at_ms).await;
                }
                Err(Unseen::Needs(query)) => return Heard::failed(format!("a label asks too much: {query}")),
                Err(Unseen::Twice(labels)) => {
                    return Heard::failed(format!("two series would be the alert {labels:?}"));
                }
            }
        };
        if holds.len() > compiled.terms.limit {
            return Heard::failed(format!(
                "{} alerts are more than its limit of {}",
                holds.len(),
                compiled.terms.limit
            ));
        }
        let holds = match self.in_scope(turn, holds).await {
            Ok(holds) => holds,
            Err(reason) => return Heard::failed(reason),
        };
        let misses = turn.state.misses(&holds);
        let blind = holds.is_empty() && answer.samples <= compiled.idle_samples;
        let data = match &compiled.presence {
            Some(query) if misses || blind => match self.ask_one(turn.tenant, query, at_ms).await {
                Ok(answer) => Data::Of(see::label_sets(&answer)),
                Err(reason) => return Heard::failed(reason),
            },
            _ => Data::Always,
        };
        let recovered = match &compiled.recovery {
            Some(query) if misses => match self.ask_one(turn.tenant, query, at_ms).await {
                Ok(answer) => Some(see::label_sets(&answer)),
                Err(reason) => return Heard::failed(reason),
            },
            _ => None,
        };
        let nothing = blind && matches!(&data, Data::Of(there) if there.is_empty());
        let health = if nothing { Health::Unknown } else { Health::Ok };
        let (holds, data) = with_no_data(compiled, holds, data, nothing);
        Heard { look: Look::Seen { holds, data, recovered }, health, error: None, answers }
    }

    /// Only those whose record the rule's scope means.
    async fn in_scope(&self, turn: &Turn, holds: Vec<Sighting>) -> Result<Vec<Sighting>, String> {
        let Some(scope) = turn.compiled.rule.scope.as_deref().filter(|s| !s.trim().is_empty()) else {
            return Ok(holds);
        };
        let session = Session::controller(publish::NAME, turn.tenant);
        let mut kept = Vec::with_capacity(holds.len());
        for sighting in holds {
            if publish::is_in_scope(&self.kernel, &session, &sighting.labels, scope).await.map_err(|e| e.to_string())? {
                kept.push(sighting);
            }
        }
        Ok(kept)
    }

    /// Answers a query that a text asks.
    async fn answer_text(&self, tenant: TenantId, query: String, answers: &mut Answers, at_ms: i64) {
        let found = match Query::parse(&query) {
            Ok(parsed) => self.ask_one(tenant, &parsed, at_ms).await.map(|answer| see::series_of(&answer)),
            Err(error) => Err(error.to_string()),
        };
        answers.insert(query, found);
    }

    /// Fills the texts of alerts in that are new, that begin to fire, or that a restart has forgotten.
    async fn fill_texts(&self, turn: &mut Turn, state: &State, events: &[Event], mut answers: Answers, at_ms: i64) {
        let fires = |key: &String| events.iter().any(|e| matches!(e, Event::Fired(k) if k == key));
        let wanted: Vec<String> =
            state.instances.keys().filter(|key| !turn.texts.contains_key(*key) || fires(key)).cloned().collect();
        for key in wanted {
            let Some(instance) = state.instances.get(&key) else { continue };
            let texts = loop {
                match texts(&turn.compiled, &instance.series, instance.value, at_ms, &self.outside, &answers) {
                    Ok(texts) => break texts,
                    Err(query) if answers.len() < MAX_QUERIES => {
                        self.answer_text(turn.tenant, query, &mut answers, at_ms).await;
                    }
                    Err(query) => break LabelSet::from([("error".into(), format!("it asks too much: {query}"))]),
                }
            };
            turn.texts.insert(key, texts);
        }
    }

    /// Puts a rule back, and tells its record when its health is another.
    async fn put_back(&self, turn: Turn, health: Health, error: Option<String>, begun: Time, share: u32) {
        let took = self.kernel.now().since(begun) / share.max(1);
        self.counters.evaluated.fetch_add(1, Relaxed);
        self.counters.failed.fetch_add(u64::from(health == Health::Error), Relaxed);
        self.counters.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        if health != turn.health {
            let told = publish::health(&self.kernel, turn.tenant, turn.id, health, error.as_deref()).await;
            if let Err(error) = told {
                tracing::warn!(rule = turn.key, %error, "the health of a rule could not be written down");
            }
        }
        let mut board = self.board.lock();
        // Another definition may have come meanwhile; it goes on from what this one made of the alerts.
        let Some(held) = board.held.get_mut(&turn.id) else { return };
        held.busy = false;
        let same = held.definition == turn.definition;
        held.changed = turn.changed || !same;
        (held.state, held.texts, held.written) = (turn.state, turn.texts, turn.written);
        (held.health, held.error, held.last, held.took) = (health, error, Some(begun), took);
    }
}

impl Heard {
    fn failed(error: String) -> Self {
        Self { look: Look::Failed, health: Health::Error, error: Some(error), answers: Answers::new() }
    }
}

/// One recording rule.
fn record(
    turn: &mut Turn,
    answer: Result<Answer, MetricsError>,
    at_ms: i64,
    samples: &mut Vec<Sample>,
) -> (Health, Option<String>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Health::Error, Some(error.to_string())),
    };
    match see::recorded(&turn.compiled, &answer, at_ms) {
        Ok(recorded) if recorded.len() > turn.compiled.terms.limit => {
            (Health::Error, Some(format!("{} series are more than its limit", recorded.len())))
        }
        Ok(recorded) => {
            let health = if recorded.is_empty() && answer.samples <= turn.compiled.idle_samples {
                Health::Unknown
            } else {
                Health::Ok
            };
            say(turn, recorded.into_iter().map(|s| (s.labels, s.value)).collect(), at_ms, samples);
            (health, None)
        }
        Err(reason) => (Health::Error, Some(reason)),
    }
}

/// Adds what a rule says now, and ends the series of what it no longer says.
fn say(turn: &mut Turn, now: Vec<(Labels, f64)>, at_ms: i64, samples: &mut Vec<Sample>) {
    let said: BTreeSet<Labels> = now.iter().map(|(labels, _)| labels.clone()).collect();
    let ended = turn.written.difference(&said).map(|labels| (labels.clone(), series::stale_marker()));
    let all = ended.chain(now).map(|(labels, value)| Sample { labels, at_ms, value });
    samples.extend(all);
    turn.written = said;
}

/// Missing data is itself an alert, where the rule says so.
fn with_no_data(compiled: &Compiled, mut holds: Vec<Sighting>, data: Data, nothing: bool) -> (Vec<Sighting>, Data) {
    if compiled.rule.no_data != NoData::Alert {
        return (holds, data);
    }
    if nothing {
        let labels = LabelSet::from([
            (see::ALERT_NAME.into(), compiled.rule.title.clone()),
            ("reason".into(), "no data".into()),
        ]);
        holds.push(Sighting { labels, series: LabelSet::new(), value: f64::NAN });
    }
    let data = match data {
        Data::Of(mut there) if !nothing => {
            // The alert about missing data has no labels of a series: it is over when there is any.
            there.insert(LabelSet::new());
            Data::Of(there)
        }
        other => other,
    };
    (holds, data)
}

/// The texts of an alert.
fn texts(
    compiled: &Compiled,
    series: &LabelSet,
    value: f64,
    at_ms: i64,
    outside: &Outside,
    answers: &Answers,
) -> Result<LabelSet, String> {
    let with = see::fill(series.clone(), value, at_ms, outside, answers);
    let mut texts = LabelSet::new();
    for (name, template) in &compiled.annotations {
        texts.insert(name.clone(), see::filled(template, &with)?);
    }
    if let Some(say) = &compiled.say {
        texts.insert(publish::SAY.into(), see::filled(say, &with)?);
    }
    Ok(texts)
}

/// Rules in the order of their groups, cut before each that reads what one before it in the same cut records.
fn layers(mut turns: Vec<Turn>) -> Vec<Vec<Turn>> {
    turns.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut layers: Vec<(BTreeSet<String>, Vec<Turn>)> = Vec::new();
    for turn in turns {
        let follows =
            |(recorded, _): &(BTreeSet<String>, Vec<Turn>)| recorded.iter().any(|n| turn.compiled.reads.has(n));
        // After the last layer that records what it reads.
        let place = layers.iter().rposition(follows).map_or(0, |at| at + 1);
        if place == layers.len() {
            layers.push((BTreeSet::new(), Vec::new()));
        }
        layers[place].0.extend(turn.compiled.record().map(str::to_owned));
        layers[place].1.push(turn);
    }
    layers.into_iter().map(|(_, turns)| turns).collect()
}

fn order(turn: &Turn) -> (bool, &Option<String>, u32, &String) {
    // Recording rules first: what reads them should see what they say now.
    (turn.compiled.record().is_none(), &turn.compiled.rule.group, turn.compiled.rule.position, &turn.key)
}
