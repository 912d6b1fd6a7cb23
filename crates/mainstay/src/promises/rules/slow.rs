//! Rules whose questions take long, or whose answers come when the rule is another one already.

use super::running::{running, until};
use super::*;
use series::promql::{Answer, QueryError};
use series::{Layer, MetricsError};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use tokio::sync::Semaphore;

/// Measurements that answer questions about `slow` only when they are let.
struct Slow {
    inner: Arc<dyn Metrics>,
    /// How many questions have come to the gate.
    asked: AtomicUsize,
    gate: Semaphore,
    /// Asked many at once, it has no time left after the first of those.
    tires: bool,
    /// It takes nothing in.
    is_full: AtomicBool,
}

#[async_trait::async_trait]
impl Layer for Slow {
    async fn inner(&self) -> &dyn Metrics {
        &*self.inner
    }

    async fn write(&self, tenant: u64, batch: Batch) -> Result<series::Appended, MetricsError> {
        if self.is_full.load(Relaxed) {
            return Err(MetricsError::Ended);
        }
        self.inner.write(tenant, batch).await
    }

    async fn instant(&self, tenant: u64, query: Query, at: i64, limits: Limits) -> Result<Answer, MetricsError> {
        if query.text().contains("slow") {
            self.asked.fetch_add(1, Relaxed);
            drop(self.gate.acquire().await);
        }
        self.inner.instant(tenant, query, at, limits).await
    }

    async fn instants(
        &self,
        of: u64,
        queries: Vec<Query>,
        at: i64,
        limits: Limits,
    ) -> Vec<Result<Answer, MetricsError>> {
        let (mut tired, can_tire) = (false, self.tires && queries.len() > 1);
        let mut answers = Vec::new();
        for query in queries {
            tired |= can_tire && query.text().contains("slow");
            answers.push(match tired {
                true => Err(QueryError::Timeout.into()),
                false => Layer::instant(self, of, query, at, limits.clone()).await,
            });
        }
        answers
    }
}

/// A world whose rules ask so, with the gate closed.
async fn slowly(tires: bool) -> (Watched, Arc<Slow>) {
    let mut w = Watched::new().await;
    let (asked, gate, is_full) = (AtomicUsize::new(0), Semaphore::new(0), AtomicBool::new(false));
    let slow = Arc::new(Slow { inner: w.metrics.unheard(), asked, gate, tires, is_full });
    let kernel = w.world.kernel.clone();
    w.rules = Rules::new(kernel, slow.clone(), signals::number, Outside::default(), Time::from_micros(0));
    (w, slow)
}

/// Evaluates all rules; the gate is opened when so many questions wait at it and the rest was done.
async fn evaluated(w: &Watched, slow: &Slow, waiting: usize, meanwhile: impl AsyncFnOnce()) {
    let rules = w.rules.clone();
    let evaluating = tokio::spawn(async move { rules.evaluate_now(&rules.ids()).await });
    until("all of them ask", async || slow.asked.load(Relaxed) >= waiting).await;
    meanwhile().await;
    slow.gate.add_permits(1000);
    evaluating.await.unwrap();
}

#[tokio::test]
async fn a_slow_rule_holds_up_no_other_and_is_not_evaluated_twice_at_a_time() {
    let (w, slow) = slowly(false).await;
    let _running = running(&w).await;
    w.rule("slow", json!({"title": "Slow", "expression": "slow > 1", "interval": "100ms"})).await;
    until("it is asked", async || slow.asked.load(Relaxed) > 0).await;
    w.rule("quick", json!({"title": "Quick", "expression": "load > 4", "interval": "100ms"})).await;
    until("the other is evaluated", async || w.rules.counters.evaluated.load(Relaxed) >= 5).await;
    let latest = async |key: &str| {
        let rules = w.all("rule").await;
        w.rules.latest(rules.iter().find(|rule| rule.key == key).unwrap().id).get("last_evaluated").cloned()
    };
    assert!(latest("slow").await.is_none() && latest("quick").await.is_some());
    slow.gate.add_permits(1000);
    until("it is evaluated too", async || latest("slow").await.is_some()).await;
}

#[tokio::test]
async fn a_question_that_takes_all_the_time_costs_its_neighbours_no_alert() {
    let (w, slow) = slowly(true).await;
    w.rule("a", json!({"title": "Slow", "expression": "slow > 1"})).await;
    w.rule("b", json!({"title": "Quick", "expression": "load > 4"})).await;
    w.push("slow", "a", 9.0).await;
    w.push("load", "a", 9.0).await;
    slow.gate.add_permits(1000);
    w.later(1).await;
    let alerts = w.all("alert").await;
    let from: std::collections::BTreeSet<&str> = alerts.iter().map(|alert| alert.text("from")).collect();
    assert_eq!(from, ["a", "b"].into(), "asked alone, each has its own time");
    assert_eq!(w.rules.counters.failed.load(Relaxed), 0);
}

#[tokio::test]
async fn texts_that_ask_are_filled_in_beside_each_other() {
    let (w, slow) = slowly(false).await;
    for key in ["one", "two"] {
        let text = "{{ range query \"slow\" }}{{ . | value }}{{ end }}";
        w.rule(key, json!({"title": "HighLoad", "expression": "load > 4", "annotations": {"summary": text}})).await;
    }
    w.push("slow", "a", 7.0).await;
    w.push("load", "a", 9.0).await;
    evaluated(&w, &slow, 2, async || {}).await;
    let alerts = w.all("alert").await;
    assert_eq!(alerts.iter().map(|alert| alert.text("summary")).collect::<Vec<_>>(), ["7", "7"]);
}

#[tokio::test]
async fn a_rule_that_is_edited_while_it_is_evaluated_has_its_new_texts() {
    let (w, slow) = slowly(false).await;
    let given = json!({"title": "Slow", "expression": "slow > 1", "annotations": {"summary": "old"}});
    let rule = w.rule("slow", given).await;
    w.push("slow", "a", 9.0).await;
    evaluated(&w, &slow, 1, async || {
        let act = Act::Update {
            target: Target::Id(rule.id),
            fields: fields(json!({"annotations": {"summary": "new"}})),
            owner: None,
            expect: None,
        };
        let edited = w.world.kernel.act(&w.world.admin_again(), act).await.unwrap();
        w.rules.hold(&edited).await.unwrap();
    })
    .await;
    w.push("slow", "a", 9.0).await;
    w.later(1).await;
    assert_eq!(w.rules.alerts_json(TenantId::HOME)["alerts"][0]["annotations"]["summary"], "new");
}

#[tokio::test]
async fn the_series_of_an_alert_is_ended_even_if_that_could_not_be_written_at_first() {
    let (w, measurements) = slowly(false).await;
    w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    let shown = async || {
        let (query, now) = (Query::parse("ALERTS").unwrap(), w.world.kernel.now().as_millis());
        let answer = w.metrics.unheard().instant(1, query, now, Limits::default()).await.unwrap();
        super::shown(&answer.value)["result"].as_array().map(Vec::len)
    };
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    assert_eq!(shown().await, Some(1));
    w.push("load", "a", 1.0).await;
    measurements.is_full.store(true, Relaxed);
    w.later(1).await;
    assert_eq!((w.all("alert").await[0].state.as_str(), shown().await), ("resolved", Some(1)));
    measurements.is_full.store(false, Relaxed);
    w.later(1).await;
    assert_eq!(shown().await, Some(0));
}
