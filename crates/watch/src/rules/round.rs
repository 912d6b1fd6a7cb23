//! One round: the rules that are due, asked together, decided one by one, written down together.
//!
//! Rules of one moment share what they read. A rule that reads what another one of the round records comes after it, when that
//! is written. A rule whose alerts could not be written down keeps the state it had, and is decided again next time.

use futures::future::join_all;
use kernel::{Id, TenantId, Time};
use series::formats::Batch;
use series::promql::Answer;
use series::{Labels, MetricsError, Sample};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::asking::{Present, Question, beside};
use super::compile::Compiled;
use super::engine::Rules;
use super::hear::Heard;
use super::see;
use super::state::{Event, Health, LabelSet, Look, Missing, State, decide};

/// A rule on its way through a round.
pub(super) struct Turn {
    pub(super) id: Id,
    pub(super) tenant: TenantId,
    pub(super) key: Arc<str>,
    pub(super) definition: Arc<str>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) state: State,
    pub(super) changed: bool,
    pub(super) texts: BTreeMap<String, LabelSet>,
    written: Vec<Labels>,
    /// What its record says of its evaluation.
    pub(super) told: Health,
    pub(super) samples: u64,
    /// The rules whose writing has led to this turn.
    after: BTreeSet<Id>,
}

/// What a rule says as series.
struct Said {
    id: Id,
    samples: Vec<Sample>,
    /// Which of the series are ended by that.
    ended: Vec<Labels>,
    /// The rule, and those whose writing has led to its turn: what it says wakes none of them.
    after: BTreeSet<Id>,
}

/// What a rule's turn has come to.
pub(super) struct Judged {
    pub(super) turn: Turn,
    /// What it remembers from now on; none when that could not be written down, and it keeps what it had.
    pub(super) state: Option<State>,
    pub(super) events: Vec<Event>,
    /// A restart must find what it remembers.
    pub(super) lasting: bool,
    pub(super) health: Health,
    pub(super) error: Option<String>,
    /// The question had no answer.
    failed: bool,
    /// The series that it records; none when it has none to tell, or raises alerts.
    records: Option<Vec<(Labels, f64)>>,
}

/// At the end of a round, whatever came of it, its rules are free again.
struct Over<'a> {
    rules: &'a Rules,
    ids: &'a [Id],
    round: u64,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.rules.board.lock().end(self.ids, self.round);
    }
}

impl Rules {
    /// Evaluates the rules of a round at the present moment; how long was asked for that.
    pub(super) async fn round(&self, round: u64, ids: &[Id]) -> Duration {
        let _over = Over { rules: self, ids, round };
        let mut tenants: BTreeMap<TenantId, Vec<Turn>> = BTreeMap::new();
        for turn in self.turns(round, ids) {
            tenants.entry(turn.tenant).or_default().push(turn);
        }
        let rounds = tenants.into_iter().map(|(tenant, turns)| self.of_tenant(tenant, turns, round));
        join_all(rounds).await.into_iter().sum()
    }

    fn turns(&self, round: u64, ids: &[Id]) -> Vec<Turn> {
        let board = self.board.lock();
        let turn = |id: &Id| {
            let held = board.get(*id).filter(|held| held.round == Some(round))?;
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
                told: held.told,
                samples: held.samples,
                after: held.after.clone(),
            })
        };
        ids.iter().filter_map(turn).collect()
    }

    async fn of_tenant(&self, tenant: TenantId, turns: Vec<Turn>, round: u64) -> Duration {
        let mut asked = Duration::ZERO;
        for layer in layers(turns) {
            asked += self.layer(tenant, layer, round).await;
        }
        asked
    }

    /// Rules of which none reads what another records.
    async fn layer(&self, tenant: TenantId, turns: Vec<Turn>, round: u64) -> Duration {
        self.board.lock().calm(turns.iter().map(|turn| turn.id));
        let begun = self.kernel.now();
        let present = Present::new(self, tenant, begun.as_millis());
        let question = |turn: &Turn| Question {
            query: turn.compiled.query.clone(),
            at_ms: present.at_ms.saturating_sub(turn.compiled.offset_ms),
            samples: turn.samples,
        };
        let answers = present.ask(turns.iter().map(question).collect()).await;
        let mut judged = present.judge(turns, answers).await;
        self.write_down(tenant, &mut judged).await;
        let said = self.put_back(judged, begun, round);
        // Some of them may have been woken meanwhile, and are free now.
        self.changed.notify_one();
        self.tell(tenant, said).await;
        present.asked()
    }

    /// Writes what rules say, and wakes who reads it.
    async fn tell(&self, tenant: TenantId, mut said: Vec<Said>) {
        said.retain(|one| !one.samples.is_empty());
        if said.is_empty() {
            return;
        }
        let tenant = (self.number)(tenant);
        let readers: Vec<BTreeSet<Id>> = said.iter().map(|one| self.readers_of(tenant, &one.samples)).collect();
        let samples: Vec<Sample> = said.iter_mut().flat_map(|one| std::mem::take(&mut one.samples)).collect();
        match self.metrics.write(tenant, Batch::of(&samples)).await {
            Ok(_) => said.iter().zip(readers).for_each(|(one, ids)| self.wake(ids, &one.after)),
            Err(error) => {
                tracing::warn!(%error, "what rules say could not be kept as series");
                // What is over must still be ended: next time.
                let mut board = self.board.lock();
                for Said { id, ended, .. } in said {
                    board.get_mut(id).into_iter().for_each(|held| held.written.extend(ended.iter().cloned()));
                }
            }
        }
    }

    /// Puts the rules of a layer back; what they say as series.
    fn put_back(&self, judged: Vec<Judged>, begun: Time, round: u64) -> Vec<Said> {
        let at_ms = begun.as_millis();
        let took = self.kernel.now().since(begun) / u32::try_from(judged.len()).unwrap_or(u32::MAX).max(1);
        let failed = judged.iter().filter(|one| one.health == Health::Error).count();
        self.counters.evaluated.fetch_add(judged.len() as u64, Relaxed);
        self.counters.failed.fetch_add(failed as u64, Relaxed);
        let micros = took.as_micros().saturating_mul(judged.len() as u128);
        self.counters.micros.fetch_add(u64::try_from(micros).unwrap_or(u64::MAX), Relaxed);
        let done: Vec<(Judged, Said)> = judged.into_iter().map(|one| one.done(at_ms)).collect();
        let mut all = Vec::with_capacity(done.len());
        let mut board = self.board.lock();
        for (Judged { turn, state, health, error, .. }, said) in done {
            all.push(said);
            let state = state.unwrap_or(turn.state);
            let end_ms = state.next_end(&turn.compiled.terms, at_ms);
            // Another definition may have come meanwhile; it goes on from what this one made of the alerts.
            let Some(held) = board.get_mut(turn.id) else { continue };
            if held.round == Some(round) {
                held.round = None;
            }
            let same = *held.definition == *turn.definition;
            held.changed = turn.changed || !same;
            (held.state, held.written) = (state, turn.written);
            if same {
                // Another definition says it in other words.
                held.texts = turn.texts;
            }
            (held.health, held.told, held.error) = (health, turn.told, error);
            (held.last, held.took, held.samples) = (Some(begun), took, turn.samples);
            board.plan_end(turn.id, end_ms);
        }
        all
    }
}

impl Present<'_> {
    /// What the answers make of the rules.
    async fn judge(&self, turns: Vec<Turn>, answers: Vec<Result<Answer, MetricsError>>) -> Vec<Judged> {
        let (mut alerting, mut answered, mut all) = (Vec::new(), Vec::new(), Vec::with_capacity(turns.len()));
        for (mut turn, answer) in turns.into_iter().zip(answers) {
            turn.samples = answer.as_ref().map_or(turn.samples, |answer| answer.samples);
            if turn.compiled.record().is_some() {
                all.push(recorded(turn, answer, self.at_ms));
            } else {
                alerting.push(turn);
                answered.push(answer);
            }
        }
        let heard = self.hear(&alerting, answered).await;
        all.extend(
            beside(alerting.into_iter().zip(heard).map(|(turn, heard)| self.decide(turn, heard)).collect()).await,
        );
        all
    }

    /// One alerting rule.
    async fn decide(&self, mut turn: Turn, heard: Heard) -> Judged {
        let mut terms = turn.compiled.terms;
        if turn.changed {
            // Alerts that another definition made are not this one's to keep.
            terms.missing = Missing::Resolves;
        }
        let failed = matches!(heard.look, Look::Failed);
        let mut state = turn.state.clone();
        let events = decide(&mut state, heard.look, &terms, self.at_ms);
        let fired: BTreeSet<&String> =
            events.iter().filter_map(|e| if let Event::Fired(key) = e { Some(key) } else { None }).collect();
        let wanted = state.instances.iter().filter(|(key, _)| !turn.texts.contains_key(*key) || fired.contains(key));
        let wanted: Vec<_> = wanted.map(|(key, i)| (key.clone(), i.series.clone(), i.value)).collect();
        if !wanted.is_empty() {
            turn.texts.extend(self.texts(&turn.compiled, wanted.into_iter(), heard.answers).await);
        }
        let lasting = !events.is_empty() || (turn.changed && !failed) || state.keeps_otherwise(&turn.state);
        let Heard { health, error, .. } = heard;
        Judged { turn, state: Some(state), events, lasting, health, error, failed, records: None }
    }
}

impl Judged {
    /// It could not be written down.
    pub(super) fn undo(&mut self, error: &kernel::ActError) {
        tracing::warn!(rule = %self.turn.key, %error, "alerts could not be written down; they will be next time");
        self.state = None;
        self.records = None;
        (self.health, self.error) = (Health::Error, Some(format!("alerts could not be written down: {error}")));
    }

    /// Its record says now how its evaluation went.
    pub(super) fn told(&mut self) {
        self.turn.told = self.health;
    }

    /// After it was written down: what the rule says now.
    fn done(mut self, at_ms: i64) -> (Self, Said) {
        let at_ms = at_ms.saturating_sub(self.turn.compiled.offset_ms);
        let mut after = std::mem::take(&mut self.turn.after);
        after.insert(self.turn.id);
        let mut said = Said { id: self.turn.id, samples: Vec::new(), ended: Vec::new(), after };
        if self.turn.compiled.record().is_some() {
            if let Some(records) = self.records.take() {
                said.say(&mut self.turn.written, records, at_ms);
            }
        } else if let Some(state) = &self.state {
            self.turn.changed &= self.failed;
            self.turn.texts.retain(|key, _| state.instances.contains_key(key));
            said.say(&mut self.turn.written, see::alert_series(state), at_ms);
        }
        (self, said)
    }
}

impl Said {
    /// Adds what is so now, and ends the series of what was `written` before and is not.
    fn say(&mut self, written: &mut Vec<Labels>, now: Vec<(Labels, f64)>, at_ms: i64) {
        let same = now.len() == written.len() && now.iter().zip(&*written).all(|((labels, _), was)| labels == was);
        if !same {
            let said: BTreeSet<&Labels> = now.iter().map(|(labels, _)| labels).collect();
            self.ended = written.iter().filter(|labels| !said.contains(labels)).cloned().collect();
            let end = |labels: &Labels| Sample { labels: labels.clone(), at_ms, value: series::stale_marker() };
            self.samples.extend(self.ended.iter().map(end));
            *written = now.iter().map(|(labels, _)| labels.clone()).collect();
        }
        self.samples.extend(now.into_iter().map(|(labels, value)| Sample { labels, at_ms, value }));
    }
}

/// One recording rule.
fn recorded(turn: Turn, answer: Result<Answer, MetricsError>, at_ms: i64) -> Judged {
    let (limit, idle) = (turn.compiled.terms.limit, turn.compiled.idle_samples);
    let answer = answer.map_err(|e| e.to_string());
    let found = answer.and_then(|answer| Ok((see::recorded(&turn.compiled, &answer, at_ms)?, answer.samples)));
    let found = found.and_then(|(recorded, samples)| match recorded.len() {
        count if count > limit => Err(format!("{count} series are more than its limit")),
        _ => Ok((recorded, samples)),
    });
    let (health, error, records) = match found {
        Ok((recorded, samples)) => {
            let health = if recorded.is_empty() && samples <= idle { Health::Unknown } else { Health::Ok };
            (health, None, Some(recorded.into_iter().map(|s| (s.labels, s.value)).collect()))
        }
        Err(reason) => (Health::Error, Some(reason), None),
    };
    let failed = health == Health::Error;
    Judged { turn, state: None, events: Vec::new(), lasting: false, health, error, failed, records }
}

/// Rules in the order of their groups, each in the first layer after those that record what it reads.
fn layers(mut turns: Vec<Turn>) -> Vec<Vec<Turn>> {
    turns.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut layers: Vec<Vec<Turn>> = Vec::new();
    let mut recorded: HashMap<String, usize> = HashMap::new();
    for turn in turns {
        let reads = &turn.compiled.reads;
        let last = match reads.any {
            true => recorded.values().max(),
            false => reads.names.iter().filter_map(|name| recorded.get(name)).max(),
        };
        let place = last.map_or(0, |last| last + 1);
        if let Some(name) = turn.compiled.record() {
            let known = recorded.entry(name.to_owned()).or_insert(place);
            *known = place.max(*known);
        }
        if place == layers.len() {
            layers.push(Vec::new());
        }
        layers[place].push(turn);
    }
    layers
}

fn order(turn: &Turn) -> (bool, &Option<String>, u32, &str) {
    // Recording rules first: what reads them should see what they say now.
    (turn.compiled.record().is_none(), &turn.compiled.rule.group, turn.compiled.rule.position, &turn.key)
}
