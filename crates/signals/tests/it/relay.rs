//! One suite for every place where measurements can be: the engine in this process, Prometheus, VictoriaMetrics.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use series::formats::{Batch, Limits as BodyLimits, exposition};
use series::promql::{Answer, Limits, Query, SampleValue, Value};
use series::{Engine, Labels, MatchOp, Matcher, Metrics, MetricsError, system_clock};
use signals::relay::{Address, Options, Remote};

use crate::peers::{self, Kind, Peer, until};
use crate::web;

pub fn batch(page: &str) -> Batch {
    exposition::decode(page.as_bytes(), system_clock()(), BodyLimits::default()).unwrap()
}

fn query(text: &str) -> Query {
    Query::parse(text).unwrap()
}

/// An instant vector as `labels → value`.
pub fn vector(answer: Answer) -> BTreeMap<String, f64> {
    let Value::Vector(all) = answer.value else { panic!("a vector: {answer:?}") };
    let one = |s: series::promql::VectorSample| {
        let labels: Vec<_> = s.metric.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let SampleValue::Float(value) = s.value else { panic!("a float") };
        (labels.join(","), value)
    };
    all.into_iter().map(one).collect()
}

async fn ask(metrics: &dyn Metrics, tenant: u64, text: &str, at_ms: i64) -> BTreeMap<String, f64> {
    let answer = metrics.instant(tenant, query(text), at_ms, Limits::default()).await;
    vector(answer.unwrap_or_else(|e| panic!("{text}: {e}")))
}

pub fn remote(dir: &Path, url: &str) -> Remote {
    Remote::open(dir, Options::new(Address::parse(url, None).unwrap())).unwrap()
}

/// What every place of measurements promises.
async fn suite(metrics: &dyn Metrics) {
    let now = system_clock()();
    let start = now - 120_000;
    let page = |factor: i64| {
        let lines = (0..8).flat_map(|i| {
            let at = start + i * 15_000;
            ["200", "500"].map(|code| format!("http_total{{job=\"a b\",code=\"{code}\"}} {} {at}\n", (i + 1) * factor))
        });
        lines.collect::<String>() + &format!("up{{job=\"a b\"}} {factor} {}\n", start + 105_000)
    };
    let written = metrics.write(1, batch(&page(10))).await.unwrap();
    assert_eq!((written.accepted, written.refused.len()), (17, 0));
    metrics.write(12, batch(&page(1000))).await.unwrap();
    metrics.write(12, batch(&format!("secret_total{{whose=\"twelve\"}} 1 {}\n", start + 105_000))).await.unwrap();
    let at = start + 105_000;
    // The relay's way to the other side takes a moment; what is in the queue is not in the answer.
    until("what was written is there", async || {
        let counted = async |tenant, text: &str| {
            let found = metrics.instant(tenant, query(text), at, Limits::default()).await.ok()?;
            vector(found).values().next().copied()
        };
        let all = counted(1, "sum(count_over_time(http_total[5m])) + sum(count_over_time(up[5m]))").await? == 17.0
            && counted(12, "sum(count_over_time(http_total[5m])) + sum(count_over_time(secret_total[5m]))").await?
                == 17.0;
        all.then_some(())
    })
    .await;
    let both = |value: f64| {
        BTreeMap::from([
            ("__name__=http_total,code=200,job=a b".to_owned(), value),
            ("__name__=http_total,code=500,job=a b".to_owned(), value),
        ])
    };
    assert_eq!(ask(metrics, 1, "http_total", at).await, both(80.0));
    assert_eq!(ask(metrics, 12, "http_total", at).await, both(8000.0));
    assert_eq!(ask(metrics, 1, "sum(http_total)", at).await.values().next(), Some(&160.0));
    assert!(ask(metrics, 1, "secret_total", at).await.is_empty());
    assert!(ask(metrics, 1, r#"{__name__=~"secret.*"}"#, at).await.is_empty());
    assert_eq!(
        ask(metrics, 1, "sum(http_total) or secret_total", at).await.values().copied().collect::<Vec<_>>(),
        [160.0]
    );
    let shares = ask(metrics, 1, "sum by (job, code) (http_total) / ignoring (x) http_total", at).await;
    assert_eq!(shares.values().copied().collect::<Vec<_>>(), [1.0, 1.0], "a side that lost its labels finds the other");
    let joined = ask(metrics, 1, "http_total * on (job) group_left () up", at).await;
    assert_eq!(joined.values().copied().collect::<Vec<_>>(), [800.0, 800.0]);
    assert_eq!(
        ask(metrics, 1, "absent(secret_total{whose=\"twelve\"})", at).await,
        BTreeMap::from([("whose=twelve".to_owned(), 1.0)])
    );
    ranges(metrics, start).await;
    look_ups(metrics, (start, now)).await;
    let refused =
        metrics.instant(1, query("http_total * on (job) up * on (job) http_total"), at, Limits::default()).await;
    assert!(refused.is_err(), "many on both sides");
}

async fn ranges(metrics: &dyn Metrics, start: i64) {
    let times = (start, start + 105_000, 15_000);
    let answer = metrics.range(1, query("sum(http_total)"), times, Limits::default()).await.unwrap();
    let Value::Matrix(all) = answer.value else { panic!("a matrix") };
    let expected: Vec<(i64, f64)> = (0..8).map(|i| (start + i * 15_000, (i + 1) as f64 * 20.0)).collect();
    assert_eq!(all[0].floats, expected.into());
    let steps = metrics.range(1, query("up"), (start, start + 105_000, 1), Limits::default()).await;
    assert!(matches!(steps, Err(MetricsError::Query(_))), "too many steps");
    let scalar = metrics.instant(1, query("1 + 2"), start, Limits::default()).await.unwrap();
    assert!(matches!(scalar.value, Value::Scalar { value: 3.0, .. }), "{scalar:?}");
}

async fn look_ups(metrics: &dyn Metrics, (start, now): (i64, i64)) {
    let time = (start - 3_600_000, now + 60_000);
    let by = |name: &str, op, value: &str| vec![Matcher::new(name, op, value).unwrap()];
    let up = Labels::metric("up", &[("job", "a b")]).unwrap();
    assert_eq!(
        metrics.series(1, vec![by("__name__", MatchOp::Eq, "up")], time).await.unwrap(),
        std::slice::from_ref(&up)
    );
    let two = vec![by("__name__", MatchOp::Eq, "up"), by("code", MatchOp::Re, "5..")];
    assert_eq!(metrics.series(1, two, time).await.unwrap().len(), 2);
    assert_eq!(metrics.series(1, Vec::new(), time).await.unwrap().len(), 3);
    assert_eq!(metrics.series(7, Vec::new(), time).await.unwrap(), []);
    assert_eq!(metrics.label_names(1, Vec::new(), time).await.unwrap(), ["__name__", "code", "job"]);
    assert_eq!(
        metrics.label_names(1, vec![by("__name__", MatchOp::Eq, "up")], time).await.unwrap(),
        ["__name__", "job"]
    );
    let values =
        async |tenant, name: &str, sets| metrics.label_values(tenant, name.to_owned(), sets, time).await.unwrap();
    assert_eq!(values(1, "__name__", Vec::new()).await, ["http_total", "up"]);
    assert_eq!(values(12, "__name__", Vec::new()).await, ["http_total", "secret_total", "up"]);
    assert_eq!(values(1, "code", vec![by("code", MatchOp::Ne, "200")]).await, ["500"]);
    assert!(values(1, "whose", Vec::new()).await.is_empty());
}

#[tokio::test]
async fn the_engine_in_this_process_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(dir.path(), series::Options::default()).unwrap();
    suite(&Arc::new(engine)).await;
}

async fn peer_keeps_the_promises(kind: Kind) {
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let _peer = peers::engine(kind, dir.path(), port).await;
    let remote = remote(&dir.path().join("relay"), &format!("http://127.0.0.1:{port}"));
    suite(&remote).await;
    remote.ready().await.unwrap();
    assert_eq!(remote.delivered(), (35, 0), "everything is taken, nothing twice");
    let page = "# HELP told_total How often\n# TYPE told_total counter\ntold_total 1\n";
    remote.write(1, batch(page)).await.unwrap();
    assert_eq!(remote.metadata(1, Some("told_total".into())).await.unwrap()[0].help, "How often");
    assert!(remote.metadata(12, None).await.unwrap().is_empty(), "what is told of a family is its tenant's");
    let time = (0, system_clock()() + 1000);
    assert!(remote.exemplars(1, query("told_total"), time).await.unwrap().is_empty());
}

#[tokio::test]
async fn prometheus_keeps_the_promises() {
    peer_keeps_the_promises(Kind::Prometheus).await;
}

#[tokio::test]
async fn victoria_metrics_keeps_the_promises() {
    peer_keeps_the_promises(Kind::VictoriaMetrics).await;
}

/// While the other side is gone everything is acknowledged and kept; when it is back, all of it arrives, in order.
async fn peer_is_cut_off_for_a_while(kind: Kind) {
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let url = format!("http://127.0.0.1:{port}");
    let peer: Peer = peers::engine(kind, dir.path(), port).await;
    let remote = remote(&dir.path().join("relay"), &url);
    let begin = system_clock()() - 60_000;
    let write = async |n: i64| {
        let page: String = (0..50).map(|i| format!("cut_total{{i=\"{i}\"}} {n} {}\n", begin + n * 100)).collect();
        remote.write(1, batch(&page)).await.unwrap();
    };
    for n in 0..20 {
        write(n).await;
    }
    peer.end();
    for n in 20..200 {
        write(n).await;
    }
    until("readiness tells of it", async || remote.ready().await.err()).await;
    let asked = remote.instant(1, query("cut_total"), begin, Limits::default()).await;
    assert!(matches!(asked, Err(MetricsError::Away { .. })), "{asked:?}");
    let _peer = peers::engine(kind, dir.path(), port).await;
    for n in 200..220 {
        write(n).await;
    }
    until("everything has arrived", async || {
        let found =
            remote.instant(1, query("count_over_time(cut_total[2m])"), begin + 22_000, Limits::default()).await.ok()?;
        let all = vector(found);
        (all.len() == 50 && all.values().all(|count| *count == 220.0)).then_some(())
    })
    .await;
    remote.ready().await.unwrap();
    assert_eq!(remote.delivered().1, 0, "nothing was dropped");
    assert!(remote.own_metrics().contains("mainstay_relay_sent_samples_total 11000\n"), "{}", remote.own_metrics());
}

#[tokio::test]
async fn prometheus_is_cut_off_for_a_while() {
    peer_is_cut_off_for_a_while(Kind::Prometheus).await;
}

#[tokio::test]
async fn victoria_metrics_is_cut_off_for_a_while() {
    peer_is_cut_off_for_a_while(Kind::VictoriaMetrics).await;
}

#[tokio::test]
async fn what_the_other_side_refuses_is_dropped_alone_and_counted() {
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let _peer = peers::engine(Kind::Prometheus, dir.path(), port).await;
    let remote = remote(&dir.path().join("relay"), &format!("http://127.0.0.1:{port}"));
    let now = system_clock()();
    remote.write(1, batch(&format!("old 1 {now}\n"))).await.unwrap();
    until("the first is there", async || (remote.delivered().0 == 1).then_some(())).await;
    // Prometheus takes no body that has one sample older than what its series has.
    let mut page: String = (0..100).map(|i| format!("new{{i=\"{i}\"}} 1 {now}\n")).collect();
    page.push_str(&format!("old 2 {}\n", now - 60_000));
    remote.write(1, batch(&page)).await.unwrap();
    until("all but one are taken", async || (remote.delivered() == (101, 1)).then_some(())).await;
    assert_eq!(ask(&remote, 1, "count(new)", now).await.values().next(), Some(&100.0));
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_again_when_there_is_room() {
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let options = Options {
        queue_bytes: 40_000,
        ..Options::new(Address::parse(&format!("http://127.0.0.1:{port}"), None).unwrap())
    };
    let remote = Remote::open(&dir.path().join("relay"), options).unwrap();
    let now = system_clock()();
    let mut taken = 0;
    let refused = loop {
        match remote.write(1, batch(&format!("full{{n=\"{taken}\"}} 1 {now}\n"))).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(refused.to_string().contains("the queue is full"), "{refused}");
    assert!(remote.own_metrics().contains("mainstay_relay_refused_samples_total 1\n"));
    assert!(remote.ready().await.is_err());
    let _peer = peers::engine(Kind::VictoriaMetrics, dir.path(), port).await;
    until("there is room again", async || {
        remote.write(1, batch(&format!("full{{n=\"last\"}} 1 {now}\n"))).await.ok().map(drop)
    })
    .await;
    until("everything that was acknowledged is there", async || {
        let found = remote.instant(1, query("count(full)"), now, Limits::default()).await.ok()?;
        (vector(found).values().next() == Some(&(f64::from(taken) + 1.0))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_of_version_two_is_spoken_to_in_version_two_and_patience_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let web = web::Web::start(|request, nth| match nth {
        _ if !request.head.contains("authorization: Basic bWlhOmh1bnRlcjI=") => web::Answer::status(401),
        0 => web::Answer::status(503).header("retry-after", "1"),
        _ => web::Answer::status(204).header("x-prometheus-remote-write-samples-written", "1"),
    })
    .await;
    let url = format!("http://mia:hunter2@{}", web.address);
    let remote = remote(&dir.path().join("relay"), &url);
    remote.write(3, batch("two{a=\"b\"} 5 77\n")).await.unwrap();
    let begun = system_clock()();
    until("it was sent again", async || (remote.delivered().0 == 1).then_some(())).await;
    assert!(system_clock()() - begun >= 900, "not before it was asked for");
    let requests = web.requests();
    let last = requests.last().unwrap();
    assert!(last.head.contains("proto=io.prometheus.write.v2.Request"), "{}", last.head);
    let read = series::formats::remote_write::decode(
        series::formats::remote_write::Version::Two,
        &last.body,
        BodyLimits::default(),
    )
    .unwrap();
    let one = read.series().next().unwrap();
    assert_eq!(one.labels.unwrap().get("mainstay_tenant"), Some("3"));
    assert_eq!(one.points, [(77, 5.0)]);
    let away = remote.instant(3, query("two"), 0, Limits::default()).await.unwrap_err();
    assert!(!format!("{away} {away:?}").contains("hunter2"), "{away}");
}

/// Writes some samples of two tenants and answers when they are there.
async fn filled(remote: &Remote) -> i64 {
    let start = system_clock()() - 60_000;
    let page: String = (0..4).map(|i| format!("gone{{n=\"1\"}} {i} {0}\nstays 1 {0}\n", start + i * 1000)).collect();
    for tenant in [1, 2] {
        remote.write(tenant, batch(&page)).await.unwrap();
    }
    for tenant in [1, 2] {
        until("what was written is there", async || {
            let counted = remote.count(tenant, sets("{__name__=~\".+\"}"), (start, start + 5000)).await.ok()?;
            (counted.samples == 8 && counted.series == 2).then_some(())
        })
        .await;
    }
    start
}

fn sets(selector: &str) -> Vec<Vec<Matcher>> {
    match &query(selector).expr().kind {
        series::promql::ExprKind::Selector(selector) => vec![selector.matchers.clone()],
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_prometheus_that_deletes_does_it_for_one_tenant_and_the_time_that_is_meant() {
    let (folder, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let peer = peers::prometheus_that_deletes(folder.path(), peers::free_port()).await;
    let remote = remote(dir.path(), &peer.url);
    let start = filled(&remote).await;
    let (meant, all) = (sets("gone"), (start, start + 5000));
    let before = remote.count(1, meant.clone(), (start, start + 1000)).await.unwrap();
    assert_eq!((before.series, before.samples), (1, 2));
    remote.delete(1, meant.clone(), (start, start + 1000)).await.unwrap();
    assert_eq!(remote.count(1, meant.clone(), all).await.unwrap().samples, 2, "two of four are of another time");
    assert_eq!(remote.count(1, sets("stays"), all).await.unwrap().samples, 4, "another series");
    assert_eq!(remote.count(2, meant, all).await.unwrap().samples, 4, "another tenant");
}

#[tokio::test]
async fn an_engine_that_does_not_say_that_it_deletes_a_stretch_of_time_is_not_asked_to() {
    for kind in [Kind::Prometheus, Kind::VictoriaMetrics] {
        let (folder, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let peer = peers::engine(kind, folder.path(), peers::free_port()).await;
        let remote = remote(dir.path(), &peer.url);
        let start = filled(&remote).await;
        let error = remote.delete(1, sets("gone"), (start, start + 1000)).await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, MetricsError::Refused { .. }) && said.contains("delete"), "{kind:?}: {said}");
        assert_eq!(remote.count(1, sets("gone"), (start, start + 5000)).await.unwrap().samples, 4, "{kind:?}");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_know_us_is_told_with_what_to_mend_and_gets_everything_when_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let knows = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = knows.clone();
    let web = web::Web::start(move |_, _| match told.load(std::sync::atomic::Ordering::SeqCst) {
        false => web::Answer::status(401),
        true => web::Answer::status(204).header("x-prometheus-remote-write-samples-written", "1"),
    })
    .await;
    let remote = remote(&dir.path().join("relay"), &format!("http://{}", web.address));
    remote.write(1, batch("kept 1 77\n")).await.unwrap();
    until("what is wrong is told", async || {
        let why = remote.ready().await.unwrap_err();
        let all = ["401", "--metrics-credentials", "wait on disk"].iter().all(|word| why.contains(word));
        all.then_some(())
    })
    .await;
    assert_eq!(remote.delivered(), (0, 0), "nothing is dropped");
    knows.store(true, std::sync::atomic::Ordering::SeqCst);
    until("it is there", async || (remote.delivered() == (1, 0)).then_some(())).await;
}
