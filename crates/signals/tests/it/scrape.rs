//! Scraping: the same configuration given to a real Prometheus and to us, and pages that misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use series::{Engine, Matcher, is_stale, system_clock};
use signals::scrape::{Parts, Scraper};

use crate::peers::{self, until};
use crate::web::{Answer, Web};

pub struct World {
    engine: Arc<Engine>,
    file: PathBuf,
    pub scraper: Scraper,
    _dir: tempfile::TempDir,
}

pub fn start(config: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("scrape.yml");
    std::fs::write(&file, config).unwrap();
    let engine = Arc::new(Engine::open(&dir.path().join("series"), series::Options::default()).unwrap().0);
    let parts = Parts {
        file: file.clone(),
        metrics: Arc::new(engine.clone()),
        env: probe::Env::real(),
        clock: system_clock(),
        tenant: 1,
    };
    World { scraper: Scraper::start(parts).unwrap_or_else(|e| panic!("{e}")), engine, file, _dir: dir }
}

impl World {
    /// The newest value of a series that is named by its metric and one label.
    fn newest(&self, metric: &str, label: (&str, &str)) -> Option<f64> {
        let matchers = [Matcher::eq(series::NAME, metric), Matcher::eq(label.0, label.1)];
        let found = self.engine.select(1, &matchers, 0, i64::MAX).unwrap();
        found.first().and_then(|s| s.points.last()).map(|(_, value)| *value)
    }

    pub async fn until_is(&self, metric: &str, label: (&str, &str), expected: f64) {
        until(&format!("{metric} is {expected}"), async || self.newest(metric, label).filter(|v| *v == expected)).await;
    }

    async fn until_stale(&self, metric: &str, label: (&str, &str)) {
        until(&format!("{metric} has ended"), async || self.newest(metric, label).filter(|v| is_stale(*v))).await;
    }
}

/// Waits until both have the same series, more than `least`. A Prometheus's own page grows while it works, so both are asked again and
/// again. Disks that other tests mount and unmount meanwhile would be seen by one of the two alone: hence no loop devices.
async fn until_same(peer: &peers::Peer, world: &World, least: usize) {
    let range = "start=0&end=99999999999";
    let mut last = String::new();
    let same = async || {
        let body = peers::get(&format!("{}/api/v1/series?match[]=%7B__name__!=%22%22%7D&{range}", peer.url)).await?;
        let read: serde_json::Value = serde_json::from_str(&body).ok()?;
        let theirs: BTreeSet<BTreeMap<String, String>> = serde_json::from_value(read["data"].clone()).unwrap();
        let all = world.engine.series(1, &[]);
        let ours: BTreeSet<BTreeMap<String, String>> =
            all.iter().map(|l| l.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()).collect();
        let apart =
            |a: &BTreeSet<_>, b: &BTreeSet<_>| a.difference(b).cloned().collect::<Vec<BTreeMap<String, String>>>();
        let (missing, more) = (apart(&theirs, &ours), apart(&ours, &theirs));
        last = format!(
            "{} series; missing {:?}; more {:?}",
            theirs.len(),
            missing.iter().take(3).collect::<Vec<_>>(),
            more.iter().take(3).collect::<Vec<_>>()
        );
        (missing.is_empty() && more.is_empty() && theirs.len() > least).then_some(theirs.len())
    };
    let mut same = same;
    let found = tokio::time::timeout(std::time::Duration::from_secs(25), until("the same series", &mut same)).await;
    assert!(found.is_ok(), "{last}");
}

#[tokio::test]
async fn the_same_configuration_gives_the_series_that_prometheus_has() {
    let exporter = peers::node_exporter().await;
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let node = exporter.url.strip_prefix("http://").unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - job_name: node\n  static_configs: [{{targets: ['{node}'], labels: {{site: a, job: host}}}}]\n  metric_relabel_configs:\n\
         \x20 - {{source_labels: [__name__], regex: 'go_.*|process_.*', action: drop}}\n  - {{regex: 'mode', replacement: 'cpu_mode', action: labelmap}}\n\
         \x20 - {{source_labels: [device], regex: '(/dev/)?loop.*', action: drop}}\n\
         \x20 - {{source_labels: [device], target_label: shard, modulus: 7, action: hashmod}}\n\
         - job_name: prometheus\n  honor_labels: true\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
         - job_name: other\n  params: {{'collect[]': [cpu, loadavg]}}\n  static_configs: [{{targets: ['{node}']}}]\n\
         - job_name: gone\n  static_configs: [{{targets: ['127.0.0.1:1']}}]\n"
    );
    let peer = peers::prometheus(dir.path(), port, &config).await;
    let world = start(&config);
    until_same(&peer, &world, 800).await;
    assert_eq!(world.scraper.counts(), (4, 3));
    let shown = world.scraper.targets_json(Some("active"), Some("gone"));
    assert_eq!(shown["activeTargets"][0]["health"], "down");
    assert!(shown["activeTargets"][0]["lastError"].as_str().unwrap().contains("onnection refused"), "{shown}");
    let theirs: serde_json::Value =
        serde_json::from_str(&peers::get(&format!("{}/api/v1/targets?state=active", peer.url)).await.unwrap()).unwrap();
    let ours = world.scraper.targets_json(Some("active"), None);
    type Told = (BTreeMap<String, String>, BTreeMap<String, String>, String, String);
    let told = |targets: &serde_json::Value| -> BTreeSet<Told> {
        let pairs = |labels: &serde_json::Value| serde_json::from_value(labels.clone()).unwrap();
        let one = |t: &serde_json::Value| {
            (
                pairs(&t["labels"]),
                pairs(&t["discoveredLabels"]),
                t["scrapeUrl"].to_string(),
                t["scrapeInterval"].to_string(),
            )
        };
        targets["activeTargets"].as_array().unwrap().iter().map(one).collect()
    };
    assert_eq!(told(&ours), told(&theirs["data"]));
}

/// A page of one native histogram that has classic buckets too.
const NATIVE: &[u8] = include_bytes!("../../../../fuzz/corpus/series_families/native");

#[tokio::test]
async fn protocol_buffers_give_the_series_and_the_native_histograms_that_prometheus_has() {
    let exporter = peers::node_exporter().await;
    let node = exporter.url.strip_prefix("http://").unwrap();
    let counted = Web::start(|request, _| {
        assert!(request.head.contains("application/vnd.google.protobuf"), "{}", request.head);
        let media = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        Answer::status(200).header("content-type", media).with_body(NATIVE)
    })
    .await;
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let jobs = format!(
        "scrape_configs:\n- job_name: all\n  static_configs: [{{targets: ['{node}', '127.0.0.1:{port}', '{}']}}]\n\
         \x20 metric_relabel_configs: [{{source_labels: [device], regex: '(/dev/)?loop.*', action: drop}}]\n",
        counted.address
    );
    // Prometheus 2 asks for them by a flag of its own.
    let theirs = format!("global: {{scrape_interval: 1s}}\n{jobs}");
    let peer = peers::prometheus_with(dir.path(), port, &theirs, "native-histograms").await;
    let world = start(&format!("global: {{scrape_interval: 1s, scrape_native_histograms: true}}\n{jobs}"));
    until_same(&peer, &world, 800).await;
    let asked = peers::get(&format!("{}/api/v1/query?query=lasted_seconds", peer.url)).await.unwrap();
    let theirs: serde_json::Value = serde_json::from_str(&asked).unwrap();
    let source = series::promql::EngineSource { engine: &world.engine, tenant: 1 };
    let query = series::promql::Query::parse("lasted_seconds").unwrap();
    let answer = query.instant(&source, system_clock()(), &Default::default(), &Default::default()).unwrap();
    let mut ours = Vec::new();
    series::promql::json::result(&mut ours, &answer.value, None).unwrap();
    let ours: serde_json::Value = serde_json::from_slice(&ours).unwrap();
    let (ours, theirs) = (&ours["result"][0]["histogram"][1], &theirs["data"]["result"][0]["histogram"][1]);
    assert_eq!((&ours["count"], &ours["sum"]), (&theirs["count"], &theirs["sum"]), "{asked}");
    assert_eq!(ours["count"], "4");
    // Rule, bounds and count of each bucket. Prometheus has the bounds from a table whose last digits are rounded otherwise.
    let numbers = |shown: &serde_json::Value| -> Vec<f64> {
        let all = shown["buckets"].as_array().unwrap().iter().flat_map(|bucket| bucket.as_array().unwrap());
        all.map(|part| part.as_f64().unwrap_or_else(|| part.as_str().unwrap().parse().unwrap())).collect()
    };
    let (ours, theirs) = (numbers(ours), numbers(theirs));
    assert_eq!((ours.len(), theirs.len()), (12, 12), "{asked}");
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-15 * b.abs().max(1.0)), "{ours:?} {theirs:?}");
}

#[tokio::test]
async fn one_bad_page_is_nobody_elses_business() {
    let good = Web::start(|_, nth| Answer::page(format!("good {nth}\n"))).await;
    let silent = Web::start(|_, _| Answer::silent()).await;
    let endless = Web::start(|_, _| Answer::page("a 1\n".repeat(1000)).endless()).await;
    let bomb = {
        use std::io::Write;
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..300).for_each(|_| out.write_all(&[b'\n'; 1 << 16]).unwrap());
        let packed = out.finish().unwrap();
        Web::start(move |_, _| Answer::page(packed.clone()).header("content-encoding", "gzip")).await
    };
    let config = format!(
        "global: {{scrape_interval: 300ms, body_size_limit: 1MB}}\nscrape_configs:\n- job_name: j\n  static_configs:\n  - targets: ['{}', '{}', '{}', '{}']\n",
        good.address, silent.address, endless.address, bomb.address
    );
    let world = start(&config);
    world.until_is("good", ("job", "j"), 5.0).await;
    for (bad, why) in [(&silent, "did not come within 300ms"), (&endless, "longer than"), (&bomb, "longer than")] {
        world.until_is("up", ("instance", &bad.address), 0.0).await;
        let shown = world.scraper.targets_json(None, None);
        let all = shown["activeTargets"].as_array().unwrap();
        let of = all.iter().find(|t| t["labels"]["instance"] == bad.address.as_str()).unwrap();
        assert!(of["lastError"].as_str().unwrap().contains(why), "{of}");
    }
    assert_eq!(world.newest("scrape_samples_scraped", ("instance", &good.address)), Some(1.0));
}

#[tokio::test]
async fn a_series_a_target_and_a_failing_page_end_and_come_back() {
    let stage = Arc::new(AtomicUsize::new(0));
    let told = stage.clone();
    let web = Web::start(move |request, _| {
        if !request.head.contains("authorization: Bearer t0k") {
            return Answer::status(401);
        }
        match told.load(Relaxed) {
            0 => Answer::page("a{job=\"own\"} 1\nb 1\n"),
            1 => Answer::page("a{job=\"own\"} 2\n"),
            2 => Answer::status(500),
            3 => Answer::page("a{job=\"own\"} 3\nnonsense{\n"),
            _ => Answer::page("a{job=\"own\"} 4\nb 4\n"),
        }
    })
    .await;
    let lists = tempfile::tempdir().unwrap();
    let list = lists.path().join("targets.json");
    std::fs::write(&list, format!("[{{\"targets\": [\"{}\"]}}]", web.address)).unwrap();
    std::fs::write(lists.path().join("token"), "t0k\n").unwrap();
    let config = format!(
        "scrape_configs:\n- job_name: j\n  scrape_interval: 200ms\n  authorization: {{credentials_file: {0}/token}}\n  file_sd_configs: [{{files: ['{0}/*.json'], refresh_interval: 200ms}}]\n",
        lists.path().display()
    );
    let world = start(&config);
    let j = ("job", "j");
    world.until_is("a", ("exported_job", "own"), 1.0).await;
    world.until_is("b", j, 1.0).await;
    stage.store(1, Relaxed);
    world.until_stale("b", j).await;
    world.until_is("a", j, 2.0).await;
    for wrong in [2, 3] {
        stage.store(wrong, Relaxed);
        world.until_stale("a", j).await;
        world.until_is("up", j, 0.0).await;
        stage.store(4, Relaxed);
        world.until_is("a", j, 4.0).await;
        world.until_is("up", j, 1.0).await;
    }
    let added = world.engine.select(1, &[Matcher::eq(series::NAME, "scrape_series_added")], 0, i64::MAX).unwrap();
    assert_eq!(
        added[0].points.iter().map(|p| p.1).sum::<f64>(),
        6.0,
        "two at first, and two after each of the failures"
    );
    std::fs::write(&list, "[]").unwrap();
    for series in ["a", "b", "up", "scrape_duration_seconds"] {
        world.until_stale(series, j).await;
    }
    assert_eq!(world.scraper.counts().0, 0);
}

#[tokio::test]
async fn a_changed_file_is_read_again_and_a_wrong_one_changes_nothing() {
    let web = Web::start(|request, _| match request.path() {
        "/list" => Answer::status(200).header("content-type", "application/json"),
        _ => Answer::page("a 1\nb 1\nc 1\n"),
    })
    .await;
    let config = |rest: &str| {
        format!(
            "scrape_configs:\n- job_name: j\n  scrape_interval: 200ms\n  static_configs: [{{targets: ['{}']}}]\n{rest}",
            web.address
        )
    };
    let world = start(&config(""));
    let j = ("job", "j");
    world.until_is("b", j, 1.0).await;
    std::fs::write(&world.file, config("  sample_limitt: 2\n")).unwrap();
    let fault = until("the fault is told", async || world.scraper.fault()).await;
    assert!(fault.contains("scrape.yml:5") && fault.contains("did you mean sample_limit?"), "{fault}");
    assert_eq!(world.scraper.counts().0, 1);
    std::fs::write(&world.file, config("  sample_limit: 2\n")).unwrap();
    world.until_is("up", j, 0.0).await;
    assert_eq!(world.scraper.fault(), None);
    std::fs::write(
        &world.file,
        config("  metric_relabel_configs: [{source_labels: [__name__], regex: a, action: keep}]\n"),
    )
    .unwrap();
    world.until_is("scrape_samples_post_metric_relabeling", j, 1.0).await;
    assert_eq!(world.newest("scrape_samples_scraped", j), Some(3.0));
    std::fs::write(&world.file, "scrape_configs: []\n").unwrap();
    world.until_stale("up", j).await;
}

#[tokio::test]
async fn targets_come_from_an_address_and_stay_when_it_fails() {
    let page = Web::start(|_, _| Answer::page("a 1\n")).await;
    let address = page.address.clone();
    let list = Web::start(move |_, nth| match nth {
        0 | 1 => Answer::status(200)
            .header("content-type", "application/json")
            .with_body(format!("[{{\"targets\":[\"{address}\"],\"labels\":{{\"__meta_dc\":\"x\"}}}}]")),
        _ => Answer::status(500),
    })
    .await;
    let world = start(&format!(
        "scrape_configs:\n- job_name: j\n  scrape_interval: 200ms\n  http_sd_configs: [{{url: 'http://{}/list', refresh_interval: 200ms}}]\n  relabel_configs: [{{source_labels: [__meta_dc], target_label: dc}}]\n",
        list.address
    ));
    world.until_is("a", ("dc", "x"), 1.0).await;
    until("the list has failed", async || (list.requests().len() > 4).then_some(())).await;
    assert_eq!(world.scraper.counts().0, 1);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::open(&dir.path().join("series"), series::Options::default()).unwrap().0);
    let parts = Parts {
        file: Path::new("/nowhere/scrape.yml").to_owned(),
        metrics: Arc::new(engine),
        env: probe::Env::real(),
        clock: system_clock(),
        tenant: 1,
    };
    let error = Scraper::start(parts).err().unwrap();
    assert!(error.to_string().starts_with("/nowhere/scrape.yml: cannot be read"), "{error}");
}
