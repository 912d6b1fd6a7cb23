//! What rules ask the measurements: many questions at once, in as many parts as there is work for, and never more parts at a time than
//! the machine has use for.

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use kernel::{TenantId, Time};
use series::MetricsError;
use series::promql::{Answer, Limits, Query, QueryError};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::engine::Rules;
use super::see::{self, Answers};

/// What one query of a rule may take.
const PATIENCE_MS: i64 = 20_000;
/// For how long questions are asked again one by one, after others had used up their time.
const AGAIN: Duration = Duration::from_secs(60);
/// Rules that are looked at beside each other while they ask for more.
const BESIDE: usize = 32;
/// What any question weighs, besides the samples that it looks at.
const WEIGHT: u64 = 500;
/// Less is not worth another thread: some milliseconds.
const PART: u64 = 100_000;

/// A question, and about how many samples it looks at.
pub(super) struct Question {
    pub(super) query: Query,
    /// For which moment, Unix milliseconds.
    pub(super) at_ms: i64,
    pub(super) samples: u64,
}

/// The present of one round of one tenant's rules.
pub(super) struct Present<'a> {
    pub(super) rules: &'a Rules,
    pub(super) tenant: TenantId,
    /// Unix milliseconds.
    pub(super) at_ms: i64,
    asked_us: AtomicU64,
}

impl<'a> Present<'a> {
    pub(super) fn new(rules: &'a Rules, tenant: TenantId, at_ms: i64) -> Self {
        Self { rules, tenant, at_ms, asked_us: AtomicU64::new(0) }
    }

    /// How long was asked so far, all parts together.
    pub(super) fn asked(&self) -> Duration {
        Duration::from_micros(self.asked_us.load(Relaxed))
    }

    /// The answers, in the order of the questions.
    pub(super) async fn ask(&self, questions: Vec<Question>) -> Vec<Result<Answer, MetricsError>> {
        let mut placed: Vec<(usize, Question)> = questions.into_iter().enumerate().collect();
        placed.sort_by_key(|(_, question)| question.at_ms);
        let (places, questions): (Vec<usize>, Vec<Question>) = placed.into_iter().unzip();
        let parts = parts(questions, self.rules.cores).into_iter().map(|part| self.ask_part(part));
        let answers = join_all(parts).await.into_iter().flatten();
        let mut answers: Vec<_> = places.into_iter().zip(answers).collect();
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Questions about one moment.
    async fn ask_part(&self, part: Vec<Question>) -> Vec<Result<Answer, MetricsError>> {
        let Some(at_ms) = part.first().map(|question| question.at_ms) else { return Vec::new() };
        let rules = self.rules;
        // It is never closed.
        let _turn = rules.askers.acquire().await;
        let begun = rules.kernel.now();
        let queries: Vec<Query> = part.into_iter().map(|question| question.query).collect();
        let tenant = (rules.number)(self.tenant);
        let mut answers = rules.metrics.instants(tenant, queries.clone(), at_ms, patient()).await;
        if queries.len() > 1 {
            self.ask_singly(&queries, at_ms, begun, &mut answers).await;
        }
        let took = u64::try_from(rules.kernel.now().since(begun).as_micros()).unwrap_or(u64::MAX);
        self.asked_us.fetch_add(took, Relaxed);
        rules.counters.asking_micros.fetch_add(took, Relaxed);
        answers
    }

    /// Asks again, each with its own time, what had no answer in time: another question of the part may have used up all of it.
    async fn ask_singly(
        &self,
        queries: &[Query],
        at_ms: i64,
        begun: Time,
        answers: &mut [Result<Answer, MetricsError>],
    ) {
        let (rules, tenant) = (self.rules, (self.rules.number)(self.tenant));
        for (query, answer) in queries.iter().zip(answers) {
            let is_late = matches!(answer, Err(MetricsError::Query(QueryError::Timeout)));
            if is_late && rules.kernel.now().since(begun) < AGAIN {
                *answer = rules.metrics.instant(tenant, query.clone(), at_ms, patient()).await;
            }
        }
    }

    /// Answers a query that a text asks.
    pub(super) async fn answer_text(&self, query: String, answers: &mut Answers) {
        let found = match Query::parse(&query) {
            Ok(parsed) => {
                let question = Question { query: parsed, at_ms: self.at_ms, samples: 0 };
                let answer = self.ask(vec![question]).await.pop();
                answer.unwrap_or(Err(MetricsError::Ended)).map(|a| see::series_of(&a)).map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        answers.insert(query, found);
    }
}

/// The limits of a question that begins now.
fn patient() -> Limits {
    let limits = Limits::default();
    let deadline_ms = Some((limits.clock)().saturating_add(PATIENCE_MS));
    Limits { deadline_ms, ..limits }
}

/// Does all of that beside each other, some at a time; what comes of it, in order.
pub(super) async fn beside<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let placed = all.into_iter().enumerate().map(|(place, one)| async move { (place, one.await) });
    let mut done: Vec<(usize, T)> = stream::iter(placed).buffer_unordered(BESIDE).collect().await;
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, one)| one).collect()
}

/// Cuts questions into parts that stay in order, each about one moment, as many as there is work for. Neighbours, which share most of what
/// they read, stay together.
fn parts(questions: Vec<Question>, most: usize) -> Vec<Vec<Question>> {
    let weight = |question: &Question| question.samples.saturating_add(WEIGHT);
    let total: u64 = questions.iter().map(weight).fold(0, u64::saturating_add);
    let count = (total / PART).clamp(1, most.max(1) as u64);
    let share = total.div_ceil(count);
    let mut parts: Vec<(u64, Vec<Question>)> = Vec::new();
    for question in questions {
        let more = weight(&question);
        match parts.last_mut() {
            Some((sum, part)) if *sum < share && part.last().is_some_and(|last| last.at_ms == question.at_ms) => {
                *sum = sum.saturating_add(more);
                part.push(question);
            }
            _ => parts.push((more, vec![question])),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(at_ms: i64, samples: u64) -> Question {
        Question { query: Query::parse("up").unwrap(), at_ms, samples }
    }

    fn sizes(questions: Vec<Question>, most: usize) -> Vec<usize> {
        parts(questions, most).iter().map(Vec::len).collect()
    }

    #[tokio::test]
    async fn what_is_done_beside_each_other_keeps_its_order_and_waits_for_nobody() {
        let (release, released) = tokio::sync::oneshot::channel();
        let first: futures::future::BoxFuture<'_, usize> = Box::pin(async { released.await.unwrap() });
        let others = (1..100_usize).map(|n| Box::pin(async move { n }) as futures::future::BoxFuture<'_, usize>);
        let last: futures::future::BoxFuture<'_, usize> = Box::pin(async {
            release.send(0).unwrap();
            100
        });
        let all = beside([first].into_iter().chain(others).chain([last]).collect()).await;
        assert_eq!(all, (0..=100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_much_is_asked_in_parts_and_what_is_little_is_not() {
        let quiet = |count: usize| (0..count).map(|_| question(0, 10)).collect::<Vec<_>>();
        assert_eq!(sizes(quiet(100), 2), [100]);
        assert_eq!(sizes(quiet(1000), 2), [500, 500]);
        assert_eq!(sizes(quiet(1000), 1), [1000]);
        assert_eq!(sizes((0..4).map(|_| question(0, 1_000_000)).collect(), 2), [2, 2]);
        assert_eq!(sizes(vec![question(0, 1), question(5, 1), question(5, 1)], 2), [1, 2], "each is about one moment");
        assert!(sizes(Vec::new(), 2).is_empty());
    }
}
