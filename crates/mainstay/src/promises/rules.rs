//! Rules from a written value to an alert, an incident and back, on the real store and the real measurements engine.

use super::{World, fields};
use kernel::act::{Act, Create, Target};
use kernel::controller::{Controller, Cx};
use kernel::read::ListAsk;
use kernel::{Record, Session, TenantId, Time};
use serde_json::{Value, json};
use series::formats::Batch;
use series::promql::{Limits, Query};
use series::{Labels, Metrics, Sample};
use std::sync::Arc;
use std::time::Duration;

mod running;
mod slow;

use watch::rules::hold::{Heed, Hold};
use watch::rules::{Heard, Outside, Rules};

/// A world with measurements and rules.
struct Watched {
    world: World,
    metrics: Arc<Heard>,
    rules: Rules,
    _folder: tempfile::TempDir,
}

fn engine(folder: &std::path::Path, world: &World) -> Arc<series::Engine> {
    let clock = world.clock.clone();
    let now: series::Clock = Arc::new(move || kernel::Clock::now(&clock).as_millis());
    let options = series::Options { clock: now, ..series::Options::default() };
    Arc::new(series::Engine::open(folder, options).unwrap().0)
}

impl Watched {
    async fn new() -> Self {
        let world = World::new().await;
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Heard::new(Arc::new(engine(folder.path(), &world))));
        let rules = started(&world, &metrics);
        Self { world, metrics, rules, _folder: folder }
    }

    async fn push(&self, name: &str, host: &str, value: f64) {
        let labels = Labels::metric(name, &[("host", host)]).unwrap();
        let sample = Sample { labels, at_ms: self.world.kernel.now().as_millis(), value };
        let written = self.metrics.write(1, Batch::of(&[sample])).await.unwrap();
        assert!(written.refused.is_empty(), "{written:?}");
    }

    async fn rule(&self, key: &str, given: Value) -> Record {
        let session = self.world.admin_again();
        let rule = self.world.kernel.act(&session, Create::of("rule", given).keyed(key)).await.unwrap();
        self.rules.hold(&rule).await.unwrap();
        rule
    }

    /// So many seconds later all rules are evaluated.
    async fn later(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
        self.rules.evaluate_now(&self.rules.ids()).await;
    }

    async fn all(&self, class: &str) -> Vec<Record> {
        let ask = ListAsk { limit: 100, sort: "created".into(), ..Default::default() };
        self.world.kernel.list(&Session::system(TenantId::HOME), class, &ask).await.unwrap().records
    }

    async fn look(&self, controller: &dyn Controller, record: &Record) {
        let session = Session::controller(controller.name(), TenantId::HOME);
        let cx = Cx { kernel: self.world.kernel.clone(), session, tenant: TenantId::HOME };
        controller.reconcile(&cx, record.id).await.unwrap();
    }
}

fn started(world: &World, metrics: &Arc<Heard>) -> Rules {
    let rules =
        Rules::new(world.kernel.clone(), metrics.unheard(), signals::number, Outside::default(), Time::from_micros(0));
    metrics.tell(rules.clone());
    rules
}

impl World {
    fn admin_again(&self) -> Session {
        Session::system(TenantId::HOME)
    }
}

/// An answer as it goes out.
fn shown(value: &series::promql::Value) -> Value {
    let mut out = Vec::new();
    series::promql::json::result(&mut out, value, None).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn high_load() -> Value {
    json!({"title": "HighLoad", "expression": "load > 4", "for_at_least": "1m", "severity": "critical",
        "labels": {"team": "ops"}, "annotations": {"summary": "{{ $labels.host }} has {{ $value }}"}})
}

#[tokio::test]
async fn a_value_too_high_for_long_enough_is_an_alert_and_an_incident_and_a_good_one_ends_it() {
    let w = Watched::new().await;
    let session = w.world.admin_again();
    w.world.kernel.act(&session, Create::of("host", json!({"name": "web-1"})).keyed("web-1")).await.unwrap();
    w.rule("high-load", high_load()).await;
    w.push("load", "web-1", 9.5).await;
    w.later(1).await;
    assert!(w.all("alert").await.is_empty(), "it waits for a minute");
    w.push("load", "web-1", 9.5).await;
    w.later(60).await;
    let alert = w.all("alert").await.remove(0);
    assert_eq!((alert.state.as_str(), alert.text("severity"), alert.text("about")), ("firing", "critical", "web-1"));
    assert_eq!((alert.text("summary"), alert.title.as_str()), ("web-1 has 9.5", "HighLoad: web-1"));
    assert_eq!(alert.text("from"), "high-load");
    assert_eq!(alert.get("labels").unwrap(), &json!({"alertname": "HighLoad", "host": "web-1", "team": "ops"}));
    w.look(&respond::fold::Fold, &alert).await;
    assert_eq!(w.all("incident").await.len(), 1);

    w.push("load", "web-1", 1.0).await;
    w.later(1).await;
    assert_eq!(w.all("alert").await[0].state, "resolved");
    w.push("load", "web-1", 9.0).await;
    w.later(1).await;
    w.push("load", "web-1", 9.0).await;
    w.later(61).await;
    let alerts = w.all("alert").await;
    assert_eq!(
        (alerts.len(), alerts[0].state.as_str(), alerts[0].int("count")),
        (1, "firing", Some(2)),
        "the same alert"
    );
}

#[tokio::test]
async fn no_data_ends_nothing_and_is_told() {
    let w = Watched::new().await;
    let rule = w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    w.later(1).await;
    let evaluation =
        async || w.world.kernel.get_id(&w.world.admin_again(), rule.id).await.unwrap().text("evaluation").to_owned();
    assert_eq!(evaluation().await, "unknown", "there is nothing to look at");
    w.push("load", "a", 9.0).await;
    w.push("load", "b", 1.0).await;
    w.later(1).await;
    assert_eq!(evaluation().await, "ok");
    assert_eq!(w.all("alert").await.len(), 1);
    // Ten minutes without a value of it; the other one goes on.
    w.world.clock.advance(Duration::from_secs(600));
    w.push("load", "b", 1.0).await;
    w.later(1).await;
    let alert = w.all("alert").await.remove(0);
    assert_eq!(alert.state, "firing");
    assert!(alert.get("unknown_since").is_some(), "{:?}", alert.fields);
    assert!(w.rules.alerts_json(TenantId::HOME)["alerts"][0]["unknownSince"].is_string());
    w.push("load", "a", 1.0).await;
    w.later(1).await;
    let alert = w.all("alert").await.remove(0);
    assert_eq!((alert.state.as_str(), alert.get("unknown_since")), ("resolved", None));
}

#[tokio::test]
async fn missing_data_is_an_alert_where_the_rule_says_so() {
    let w = Watched::new().await;
    w.rule("heartbeat", json!({"title": "Heartbeat", "expression": "beat < 1", "no_data": "alert"})).await;
    w.later(1).await;
    let alert = w.all("alert").await.remove(0);
    assert_eq!((alert.state.as_str(), alert.get("labels").unwrap()["reason"].as_str()), ("firing", Some("no data")));
    w.push("beat", "a", 1.0).await;
    w.later(1).await;
    assert_eq!(w.all("alert").await[0].state, "resolved");
}

#[tokio::test]
async fn what_waits_and_what_fires_survives_a_restart() {
    let w = Watched::new().await;
    let rule = w.rule("high-load", high_load()).await;
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    w.later(40).await;
    // Another process: nothing is known but what is on disk.
    let again = started(&w.world, &Arc::new(Heard::new(w.metrics.clone())));
    again.hold(&rule).await.unwrap();
    let waiting =
        |rules: &Rules| rules.state_of(rule.id).unwrap().instances.values().next().map(|i| (i.phase, i.since_ms));
    assert!(waiting(&again).is_some());
    assert_eq!(waiting(&again), waiting(&w.rules));
    w.world.clock.advance(Duration::from_secs(21));
    again.evaluate_now(&again.ids()).await;
    assert_eq!(w.all("alert").await.len(), 1, "61 seconds, 20 of them before");
    let third = started(&w.world, &Arc::new(Heard::new(w.metrics.clone())));
    third.hold(&rule).await.unwrap();
    third.evaluate_now(&third.ids()).await;
    assert_eq!(
        (w.all("alert").await.len(), w.all("alert").await[0].int("count")),
        (1, Some(1)),
        "it fires on, and only once"
    );
}

#[tokio::test]
async fn how_long_an_alert_is_only_kept_survives_a_restart() {
    let w = Watched::new().await;
    let given = json!({"title": "HighLoad", "expression": "load > 4", "keep_firing_for": "1m"});
    let rule = w.rule("high-load", given).await;
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    w.push("load", "a", 1.0).await;
    w.later(1).await;
    assert_eq!(w.all("alert").await[0].state, "firing", "it is kept");
    w.later(40).await;
    let again = started(&w.world, &Arc::new(Heard::new(w.metrics.clone())));
    again.hold(&rule).await.unwrap();
    w.world.clock.advance(Duration::from_secs(21));
    again.evaluate_now(&again.ids()).await;
    assert_eq!(w.all("alert").await[0].state, "resolved", "61 seconds, 40 of them before");
}

#[tokio::test]
async fn a_rule_that_looks_back_takes_the_present_for_what_was_then() {
    let w = Watched::new().await;
    w.rule("late", json!({"title": "Late", "expression": "load > 4", "query_offset": "1m"})).await;
    w.rule("sum", json!({"title": "sum", "record": "load:sum", "expression": "sum(load)", "query_offset": "1m"})).await;
    w.push("load", "a", 9.0).await;
    let written = w.world.kernel.now().as_millis();
    w.later(1).await;
    assert!(w.all("alert").await.is_empty(), "a minute ago there was nothing");
    w.later(59).await;
    let alert = w.all("alert").await.remove(0);
    assert_eq!(alert.text("started_at"), w.world.kernel.now().to_string(), "it is an alert of now");
    let matchers = series::Matcher::eq(series::NAME, "load:sum");
    let asked = Query::parse("load:sum[5m]").unwrap();
    let answer = w.metrics.instant(1, asked, written, Limits::default()).await.unwrap();
    let shown = shown(&answer.value);
    let times = shown["result"][0]["values"].as_array().map(Vec::len);
    assert_eq!(times, Some(1), "and what is recorded stands where it was seen: {shown}");
    assert_eq!(w.metrics.series(1, vec![vec![matchers]], (i64::MIN, i64::MAX)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rule_that_cannot_be_written_down_holds_up_no_other() {
    let w = Watched::new().await;
    let gone = w.rule("gone", json!({"title": "Gone", "expression": "load > 4"})).await;
    for n in 0..3 {
        w.rule(&format!("there-{n}"), json!({"title": "There", "expression": "load > 4"})).await;
    }
    w.push("load", "a", 1.0).await;
    w.later(1).await;
    // Its record goes, and nobody has told the engine yet.
    let delete = Act::Delete { target: Target::Id(gone.id), expect: None };
    w.world.kernel.act(&w.world.admin_again(), delete).await.unwrap();
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    let alerts = w.all("alert").await;
    let from: std::collections::BTreeSet<&str> = alerts.iter().map(|alert| alert.text("from")).collect();
    assert_eq!(from, ["there-0", "there-1", "there-2"].into());
    assert!(w.rules.state_of(gone.id).unwrap().instances.is_empty(), "it is decided again next time");
}

#[tokio::test]
async fn a_rule_whose_alerts_cannot_be_written_down_does_not_say_that_all_is_well() {
    let w = Watched::new().await;
    let rule = w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    let evaluation =
        async || w.world.kernel.get_id(&w.world.admin_again(), rule.id).await.unwrap().text("evaluation").to_owned();
    w.push("load", "a", 1.0).await;
    w.later(1).await;
    assert_eq!(evaluation().await, "ok");
    let refusing = w.world.refuse_entries("alert");
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    w.later(1).await;
    assert_eq!((evaluation().await.as_str(), w.all("alert").await.len()), ("error", 0));
    drop(refusing);
    w.later(1).await;
    assert_eq!((evaluation().await.as_str(), w.all("alert").await.len()), ("ok", 1));
}

#[tokio::test]
async fn a_rule_reads_what_another_records_in_the_same_round() {
    let w = Watched::new().await;
    w.rule(
        "sum",
        json!({"title": "sum", "record": "all:load:sum", "expression": "sum(load)", "labels": {"of": "all"}}),
    )
    .await;
    w.rule("too-much", json!({"title": "TooMuch", "expression": "all:load:sum > 10"})).await;
    w.push("load", "a", 6.0).await;
    w.push("load", "b", 6.0).await;
    w.later(1).await;
    assert_eq!(w.all("alert").await.len(), 1);
    let asked = async |text: &str| {
        let now = w.world.kernel.now().as_millis();
        let answer = w.metrics.instant(1, Query::parse(text).unwrap(), now, Limits::default()).await.unwrap();
        shown(&answer.value)["result"].clone()
    };
    assert_eq!(asked("all:load:sum").await[0]["metric"]["of"], "all");
    assert_eq!(asked("ALERTS{alertstate=\"firing\"}").await[0]["metric"]["alertname"], "TooMuch");
    w.push("load", "a", 1.0).await;
    w.later(1).await;
    assert_eq!(asked("ALERTS").await, json!([]), "its series has ended with it");
    let shown = w.rules.rules_json(TenantId::HOME);
    let names: Vec<&str> =
        shown["groups"].as_array().unwrap().iter().map(|g| g["rules"][0]["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["recording", "alerting"]);
}

#[tokio::test]
async fn somebody_who_resolves_what_still_holds_sees_it_again_and_ends_what_is_unknown() {
    let w = Watched::new().await;
    w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    let resolve = async || {
        w.world.clock.advance(Duration::from_secs(1));
        let alert = w.all("alert").await.remove(0);
        let act = Act::Transition {
            target: Target::Id(alert.id),
            name: "resolve".into(),
            fields: fields(json!({})),
            note: None,
            expect: None,
        };
        let alert = w.world.kernel.act(&w.world.admin_again(), act).await.unwrap();
        w.look(&Heed(w.rules.clone()), &alert).await;
        w.all("alert").await.remove(0).state
    };
    assert_eq!(resolve().await, "firing");
    w.later(600).await;
    assert_eq!(resolve().await, "resolved");
    w.later(1).await;
    assert_eq!(w.all("alert").await[0].state, "resolved", "and it stays so");
}

#[tokio::test]
async fn an_unknown_alert_that_somebody_ends_is_over_only_when_that_is_written_down() {
    let w = Watched::new().await;
    let rule = w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    w.later(600).await;
    let alert = w.all("alert").await.remove(0);
    let act = Act::Transition {
        target: Target::Id(alert.id),
        name: "resolve".into(),
        fields: fields(json!({})),
        note: None,
        expect: None,
    };
    w.world.kernel.act(&w.world.admin_again(), act).await.unwrap();
    let heed = Heed(w.rules.clone());
    let session = Session::controller(heed.name(), TenantId::HOME);
    let cx = Cx { kernel: w.world.kernel.clone(), session, tenant: TenantId::HOME };
    let held = || w.rules.state_of(rule.id).unwrap().instances.len();
    let refusing = w.world.refuse("INSERT ON private");
    assert!(heed.reconcile(&cx, alert.id).await.is_err());
    assert_eq!(held(), 1, "a restart would find it");
    drop(refusing);
    heed.reconcile(&cx, alert.id).await.unwrap();
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn a_rule_that_goes_takes_its_alerts_with_it() {
    let w = Watched::new().await;
    let rule = w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    let delete = Act::Delete { target: Target::Id(rule.id), expect: None };
    w.world.kernel.act(&w.world.admin_again(), delete).await.unwrap();
    w.look(&Hold(w.rules.clone()), &rule).await;
    assert_eq!((w.rules.len(), w.all("alert").await[0].state.as_str()), (0, "resolved"));
}

#[tokio::test]
async fn another_definition_gives_up_what_it_does_not_see() {
    let w = Watched::new().await;
    let rule = w.rule("high-load", json!({"title": "HighLoad", "expression": "load > 4"})).await;
    w.push("load", "a", 9.0).await;
    w.later(1).await;
    let change = Act::Update {
        target: Target::Id(rule.id),
        fields: fields(json!({"expression": "other > 4"})),
        owner: None,
        expect: None,
    };
    let rule = w.world.kernel.act(&w.world.admin_again(), change).await.unwrap();
    w.rules.hold(&rule).await.unwrap();
    w.later(1).await;
    assert_eq!(w.all("alert").await[0].state, "resolved");
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_refused_at_its_field() {
    let w = Watched::new().await;
    for (given, field) in [
        (json!({"title": "x", "expression": "up >"}), "expression"),
        (json!({"title": "x", "expression": "up", "annotations": {"summary": "{{ $labels.x"}}), "annotations.summary"),
        (json!({"title": "x", "expression": "up", "record": "a-b"}), "record"),
        (json!({"title": "x", "expression": "up", "record": "a", "for_at_least": "1m"}), "for_at_least"),
    ] {
        let refused = w.world.kernel.act(&w.world.admin_again(), Create::of("rule", given)).await.unwrap_err();
        assert!(refused.to_string().starts_with(field), "{refused}");
    }
}

#[tokio::test]
async fn a_replay_lists_what_would_have_fired_as_if_it_had_been_evaluated_then() {
    use series::promql::Cancel;
    use watch::rules::compile::Compiled;
    use watch::rules::replay::{Past, replay};
    let w = Watched::new().await;
    let start = w.world.kernel.now().as_millis();
    // Six hours; the load of `a` is high for ten minutes of each hour, and an hour of it is missing.
    for minute in 0..360 {
        if !(180..240).contains(&minute) {
            w.push("load", "a", if minute % 60 < 10 { 9.0 } else { 1.0 }).await;
        }
        w.push("load", "b", 1.0).await;
        w.world.clock.advance(Duration::from_secs(60));
    }
    let record = w.rule("high-load", high_load()).await;
    let rule = Compiled::new(&serde_json::from_value(Value::Object(record.fields)).unwrap()).unwrap();
    let past = Past { from_ms: start, to_ms: start + 360 * 60_000, step_ms: 30_000 };
    let mut told = Vec::new();
    let result = replay(&*w.metrics, 1, &rule, past, &Cancel::default(), &mut |done| told.push(done)).await.unwrap();
    let minutes: Vec<i64> = result.fired.iter().map(|f| (f.fired_ms - start) / 60_000).collect();
    assert_eq!(minutes, [1, 61, 121, 241, 301]);
    assert!(result.fired.iter().all(|f| f.pages && f.seconds == 540 && f.value == Some(9.0)), "{:?}", result.fired);
    assert_eq!((result.evaluations, told.last()), (721, Some(&1.0)));
    assert!(w.all("alert").await.is_empty(), "it changes nothing");
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(replay(&*w.metrics, 1, &rule, past, &cancel, &mut |_| {}).await.is_err());
}
