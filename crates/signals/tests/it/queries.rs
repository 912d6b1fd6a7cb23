//! Queries beside a real Prometheus that has the same samples: how many of them each step looks at, and how far back it looks.

use std::sync::Arc;

use serde_json::Value as Json;
use series::formats::{Limits, remote_write};
use series::promql::{self, EngineSource, Query, Settings, Tally};
use series::{Engine, Labels, system_clock};

use crate::peers::{self, Peer};

/// Samples come every fifteen seconds, seven seconds past: no window that the queries have begins or ends at one, since Prometheus 2
/// counts the left edge of a window to it.
const EVERY_MS: i64 = 15_000;
const STEP_MS: i64 = 30_000;

struct Worlds {
    engine: Arc<Engine>,
    peer: Peer,
    /// Half a second past a minute, an hour after the first sample; the last came five minutes before.
    end_ms: i64,
    _dir: tempfile::TempDir,
}

impl Worlds {
    async fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = peers::free_port();
        let config = "global: {scrape_interval: 1h}\n";
        let peer = peers::prometheus_told(dir.path(), port, config, &[more]).await;
        let end_ms = system_clock()().div_euclid(60_000) * 60_000 - 60_000 + 500;
        let all: Vec<(Labels, Vec<(i64, f64)>)> = (0..3_u32)
            .map(|host| {
                let labels = Labels::metric("load_total", &[("host", &format!("h{host}"))]).unwrap();
                let at = |n: i64| end_ms - 500 - 3_600_000 + n * EVERY_MS + 7_000;
                // One of them is not there all the time.
                let there = (0..220).filter(|n| host != 2 || !(40..120).contains(n));
                (labels, there.map(|n| (at(n), f64::from(host) + n as f64)).collect())
            })
            .collect();
        let body = remote_write::encode(all.iter().map(|(labels, points)| (labels, points.as_slice())));
        let engine = Engine::open(&dir.path().join("series"), series::Options::default()).unwrap().0;
        let batch = remote_write::decode(remote_write::Version::One, &body, Limits::default()).unwrap();
        assert_eq!(engine.append_batch(1, batch).await.unwrap().refused, []);
        peers::write(&peer, &body).await;
        Self { engine: Arc::new(engine), peer, end_ms, _dir: dir }
    }

    async fn theirs(&self, path: &str, more: &[(&str, String)]) -> Json {
        let url = url::Url::parse_with_params(&format!("{}{path}", self.peer.url), more).unwrap();
        let said = peers::get(url.as_str()).await.unwrap_or_else(|| panic!("{url}"));
        serde_json::from_str::<Json>(&said).unwrap()["data"].take()
    }

    fn ours(&self, query: Query, times: Option<(i64, i64)>) -> (Json, Vec<u64>) {
        let source = EngineSource { engine: &self.engine, tenant: 1 };
        let tally = Tally::default();
        let limits = promql::Limits { tally: Some(tally.clone()), ..Default::default() };
        let answer = match times {
            None => query.instant(&source, self.end_ms, &Settings::default(), &limits),
            Some((from, to)) => query.range(&source, (from, to, STEP_MS), &Settings::default(), &limits),
        };
        let mut out = Vec::new();
        promql::json::result(&mut out, &answer.unwrap().value, None).unwrap();
        (serde_json::from_slice(&out).unwrap(), tally.steps())
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[tokio::test]
async fn each_step_is_told_to_look_at_as_many_samples_as_prometheus_says() {
    let worlds = Worlds::start("--enable-feature=promql-per-step-stats").await;
    let times = (worlds.end_ms - 2_700_000, worlds.end_ms);
    for text in [
        "load_total",
        "rate(load_total[1m])",
        "sum by (host) (increase(load_total[5m])) + on (host) load_total offset 2m",
        "timestamp(load_total)",
        "load_total @ end()",
        "max_over_time(load_total[3m] @ start())",
        "max_over_time(rate(load_total[1m])[5m:30s])",
        "topk(1, load_total) > 3",
        "absent(load_total{host=\"h2\"})",
        "quantile_over_time(0.5, load_total{host!~\"h1\"}[2m])",
        "vector(time())",
    ] {
        let range = [
            ("query", text.to_owned()),
            ("start", seconds(times.0)),
            ("end", seconds(times.1)),
            ("step", (STEP_MS / 1000).to_string()),
            ("stats", "all".to_owned()),
        ];
        let said = worlds.theirs("/api/v1/query_range", &range).await;
        let (_, ours) = worlds.ours(Query::parse(text).unwrap(), Some(times));
        assert_eq!(each_step(&said), ours, "{text}");
        assert_eq!(said["stats"]["samples"]["totalQueryableSamples"], ours.iter().sum::<u64>(), "{text}");
    }
    for text in ["load_total offset 6m", "load_total[10m]", "load_total[10m:1m]", "sum(rate(load_total[7m]))"] {
        let at = [("query", text.to_owned()), ("time", seconds(worlds.end_ms)), ("stats", "all".to_owned())];
        let said = worlds.theirs("/api/v1/query", &at).await;
        let (_, ours) = worlds.ours(Query::parse(text).unwrap(), None);
        assert_eq!(each_step(&said), ours, "{text}");
        assert!(ours[0] > 0, "{text}");
    }
}

fn each_step(said: &Json) -> Vec<u64> {
    let all = said["stats"]["samples"]["totalQueryableSamplesPerStep"].as_array();
    all.unwrap_or_else(|| panic!("{said}")).iter().map(|step| step[1].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_query_looks_back_as_far_as_it_is_told_as_prometheus_does() {
    let mut points = Vec::new();
    for lookback_ms in [10_000, 60_000, 900_000] {
        // That of Debian's does not know the parameter, but says the same of all queries.
        let worlds = Worlds::start(&format!("--query.lookback-delta={}s", lookback_ms / 1000)).await;
        let times = (worlds.end_ms - 3_000_000, worlds.end_ms);
        let text = "load_total";
        let range = [
            ("query", text.to_owned()),
            ("start", seconds(times.0)),
            ("end", seconds(times.1)),
            ("step", (STEP_MS / 1000).to_string()),
        ];
        let said = worlds.theirs("/api/v1/query_range", &range).await;
        let (ours, _) = worlds.ours(Query::parse(text).unwrap().looking_back(lookback_ms), Some(times));
        assert_eq!(said["result"], ours["result"], "{lookback_ms} ms");
        let all = ours["result"].as_array().unwrap();
        points.push(all.iter().map(|s| s["values"].as_array().unwrap().len()).sum::<usize>());
    }
    assert!(points[0] < points[1] && points[1] < points[2], "{points:?}");
}
