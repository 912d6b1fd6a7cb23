//! What alerting rules see: for what their conditions hold and, where something is no longer among it, for what there is data.
//!
//! All second questions of a round are asked together, as the first ones are. A question without an answer is a failed evaluation,
//! which ends nothing.

use kernel::Session;
use series::MetricsError;
use series::promql::{Answer, Query};
use std::collections::{BTreeMap, BTreeSet};

use super::asking::{Present, Question, beside};
use super::compile::Compiled;
use super::publish;
use super::round::Turn;
use super::see::{self, Answers, Unseen};
use super::state::{Data, Health, LabelSet, Look, Sighting};
use super::template::MAX_QUERIES;
use crate::rule::NoData;

/// What the questions of a rule came to.
pub(super) struct Heard {
    pub(super) look: Look,
    pub(super) health: Health,
    pub(super) error: Option<String>,
    /// For texts: answers that labels have asked for already.
    pub(super) answers: Answers,
}

/// What the first answer shows, before it is known why something is not in it.
struct Sight {
    holds: Vec<Sighting>,
    answers: Answers,
    /// Something that the rule holds is not there.
    misses: bool,
    /// There was nothing to look at.
    blind: bool,
}

/// What is asked a second time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Data,
    Recovery,
}

/// Series by their labels, or why they are not known.
type Told = Result<BTreeSet<LabelSet>, String>;

impl Present<'_> {
    /// What these rules see, in their order.
    pub(super) async fn hear(&self, turns: &[Turn], answers: Vec<Result<Answer, MetricsError>>) -> Vec<Heard> {
        let sights = turns.iter().zip(answers).map(|(turn, answer)| self.sight(turn, answer));
        let sights = beside(sights.collect()).await;
        let mut told = self.ask_again(turns, &sights).await;
        let heard = |(place, (turn, sight)): (usize, (&Turn, Result<Sight, String>))| {
            let mut told = |about| told.remove(&(place, about));
            sight.and_then(|sight| heard(&turn.compiled, sight, told(About::Data), told(About::Recovery)))
        };
        let all = turns.iter().zip(sights).enumerate().map(heard);
        all.map(|heard| heard.unwrap_or_else(Heard::failed)).collect()
    }

    /// What the condition holds for.
    async fn sight(&self, turn: &Turn, answer: Result<Answer, MetricsError>) -> Result<Sight, String> {
        let answer = answer.map_err(|error| error.to_string())?;
        let compiled = &turn.compiled;
        let mut answers = Answers::new();
        let holds = loop {
            match see::sightings(compiled, &answer, self.at_ms, &self.rules.outside, &answers) {
                Ok(holds) => break holds,
                Err(Unseen::Needs(query)) if answers.len() < MAX_QUERIES => {
                    self.answer_text(query, &mut answers).await;
                }
                Err(Unseen::Needs(query)) => return Err(format!("a label asks too much: {query}")),
                Err(Unseen::Twice(labels)) => return Err(format!("two series would be the alert {labels:?}")),
            }
        };
        if holds.len() > compiled.terms.limit {
            return Err(format!("{} alerts are more than its limit of {}", holds.len(), compiled.terms.limit));
        }
        let holds = self.in_scope(compiled, holds).await?;
        let misses = turn.state.misses(&holds);
        let blind = holds.is_empty() && answer.samples <= compiled.idle_samples;
        Ok(Sight { holds, answers, misses, blind })
    }

    /// Only those whose record the rule's scope means.
    async fn in_scope(&self, rule: &Compiled, holds: Vec<Sighting>) -> Result<Vec<Sighting>, String> {
        let Some(scope) = rule.rule.scope.as_deref().filter(|s| !s.trim().is_empty()) else {
            return Ok(holds);
        };
        let session = Session::controller(publish::NAME, self.tenant);
        let mut kept = Vec::with_capacity(holds.len());
        for sighting in holds {
            let meant = publish::is_in_scope(&self.rules.kernel, &session, &sighting.labels, scope).await;
            if meant.map_err(|e| e.to_string())? {
                kept.push(sighting);
            }
        }
        Ok(kept)
    }

    /// Asks, where something is missing, for what there is data, and what has recovered.
    async fn ask_again(&self, turns: &[Turn], sights: &[Result<Sight, String>]) -> BTreeMap<(usize, About), Told> {
        let (mut questions, mut of) = (Vec::new(), Vec::new());
        for (place, (turn, sight)) in turns.iter().zip(sights).enumerate() {
            let Ok(sight) = sight else { continue };
            let compiled = &turn.compiled;
            let mut also = |about: About, query: &Option<Query>| {
                if let Some(query) = query.clone() {
                    let at_ms = self.at_ms.saturating_sub(compiled.offset_ms);
                    questions.push(Question { query, at_ms, samples: turn.samples });
                    of.push((place, about));
                }
            };
            if sight.misses || sight.blind {
                also(About::Data, &compiled.presence);
            }
            if sight.misses {
                also(About::Recovery, &compiled.recovery);
            }
        }
        let told = self.ask(questions).await.into_iter();
        of.into_iter().zip(told.map(|a| a.map(|a| see::label_sets(&a)).map_err(|e| e.to_string()))).collect()
    }

    /// Fills the texts of alerts in that are new, that begin to fire, or that a restart has forgotten.
    pub(super) async fn texts(
        &self,
        rule: &Compiled,
        wanted: impl Iterator<Item = (String, LabelSet, f64)>,
        mut answers: Answers,
    ) -> BTreeMap<String, LabelSet> {
        let mut filled = BTreeMap::new();
        for (key, series, value) in wanted {
            let texts = loop {
                let with = see::fill(series.clone(), value, self.at_ms, &self.rules.outside, &answers);
                match texts(rule, &with) {
                    Ok(texts) => break texts,
                    Err(query) if answers.len() < MAX_QUERIES => self.answer_text(query, &mut answers).await,
                    Err(query) => break LabelSet::from([("error".into(), format!("it asks too much: {query}"))]),
                }
            };
            filled.insert(key, texts);
        }
        filled
    }
}

impl Heard {
    fn failed(error: String) -> Self {
        Self { look: Look::Failed, health: Health::Error, error: Some(error), answers: Answers::new() }
    }
}

/// What a rule sees once everything is told.
fn heard(rule: &Compiled, sight: Sight, data: Option<Told>, recovered: Option<Told>) -> Result<Heard, String> {
    let Sight { holds, answers, blind, .. } = sight;
    let data = data.transpose()?.map_or(Data::Always, Data::Of);
    let recovered = recovered.transpose()?;
    let nothing = blind && matches!(&data, Data::Of(there) if there.is_empty());
    let health = if nothing { Health::Unknown } else { Health::Ok };
    let (holds, data) = with_no_data(rule, holds, data, nothing);
    Ok(Heard { look: Look::Seen { holds, data, recovered }, health, error: None, answers })
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
///
/// # Errors
/// The query that must be answered first.
fn texts(rule: &Compiled, with: &super::template::Fill<'_>) -> Result<LabelSet, String> {
    let mut texts = LabelSet::new();
    for (name, template) in &rule.annotations {
        texts.insert(name.clone(), see::filled(template, with)?);
    }
    if let Some(say) = &rule.say {
        texts.insert(publish::SAY.into(), see::filled(say, with)?);
    }
    Ok(texts)
}
