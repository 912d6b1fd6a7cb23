//! Debian's Prometheus and Mainstay, given the same measurements and the same twenty rules, fire the same alerts.

use super::World;
use kernel::act::Create;
use kernel::{Session, TenantId, Time};
use serde_json::Value;
use series::formats::Batch;
use series::{Labels, Metrics, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use watch::rules::{Outside, Rules, file};

const MIXIN: &str = include_str!("../../../watch/tests/rules/mixin.yml");
/// Measurements of forty minutes, one every fifteen seconds.
const STEPS: i64 = 160;

type Point = (String, BTreeMap<String, String>, i64, f64);

/// What five machines and a shop say; each machine has another trouble.
fn measurements(end_ms: i64) -> Vec<Point> {
    let mut all = Vec::new();
    for step in 0..=STEPS {
        let at = end_ms - (STEPS - step) * 15_000;
        let t = step as f64 * 15.0;
        let mut put = |name: &str, labels: &[(&str, &str)], value: f64| {
            let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            all.push((name.to_owned(), labels, at, value));
        };
        for machine in 0..5_u32 {
            let instance = format!("m{machine}:9100");
            let on: &[(&str, &str)] = &[("instance", &instance), ("job", "node")];
            let with = |more: &[(&'static str, &'static str)]| [on, more].concat();
            let is = |number: u32, yes: f64, no: f64| if machine == number { yes } else { no };
            put("up", on, is(0, 0.0, 1.0));
            let disk = with(&[("fstype", "ext4"), ("mountpoint", "/")]);
            put("node_filesystem_avail_bytes", &disk, is(1, 3e9, is(2, 35e9 - t * 2e6, 70e9)));
            put("node_filesystem_size_bytes", &disk, 100e9);
            put("node_filesystem_readonly", &disk, 0.0);
            put("node_memory_MemAvailable_bytes", on, is(3, 0.5e9, 8e9));
            put("node_memory_MemTotal_bytes", on, 16e9);
            for cpu in ["0", "1"] {
                put("node_cpu_seconds_total", &with(&[("cpu", cpu), ("mode", "idle")]), t * is(4, 0.05, 0.9));
                put("node_cpu_seconds_total", &with(&[("cpu", cpu), ("mode", "user")]), t * is(4, 0.95, 0.1));
            }
            put("node_load1", on, is(4, 7.5, 0.3));
            put("node_network_receive_errs_total", on, t * is(2, 3.0, 0.0));
            put("node_network_receive_packets_total", on, t * f64::from(machine + 1) * 8.0);
            put("node_timex_offset_seconds", on, is(1, 0.06 + t * 1e-5, 0.001));
            put("node_boot_time_seconds", on, is(3, if step > STEPS / 2 { 2e9 } else { 1e9 }, 1e9));
            put("node_md_disks_required", &with(&[("device", "md0")]), 2.0);
            put("node_md_disks", &with(&[("device", "md0"), ("state", "active")]), is(0, 1.0, 2.0));
        }
        for (job, errors, slow) in [("shop", 0.08, 0.9), ("search", 0.01, 0.0), ("idle", 0.0, 0.0)] {
            let rate = if job == "idle" { 0.0 } else { 20.0 };
            put("http_requests_total", &[("job", job), ("code", "200")], t * rate * (1.0 - errors));
            put("http_requests_total", &[("job", job), ("code", "500")], t * rate * errors);
            for (le, share) in [("0.1", 1.0 - slow), ("0.5", 1.0 - slow / 2.0), ("1", 1.0), ("+Inf", 1.0)] {
                put("http_request_duration_seconds_bucket", &[("job", job), ("le", le)], t * rate * share);
            }
            put("queue_length", &[("job", job)], if job == "shop" { 200.0 + t / 10.0 } else { 5.0 });
        }
        put("probe_ssl_earliest_cert_expiry", &[("instance", "a")], end_ms as f64 / 1000.0 + 86400.0 * 3.0);
        put("probe_ssl_earliest_cert_expiry", &[("instance", "b")], end_ms as f64 / 1000.0 + 86400.0 * 90.0);
    }
    all
}

/// Labels of alerts that fire, as text.
fn firing(alerts: &Value) -> BTreeSet<String> {
    let all = alerts["alerts"].as_array().expect("a list of alerts").iter();
    all.filter(|alert| alert["state"] == "firing").map(|alert| sorted(&alert["labels"])).collect()
}

fn sorted(labels: &Value) -> String {
    let labels: BTreeMap<String, String> = serde_json::from_value(labels.clone()).expect("labels");
    format!("{labels:?}")
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "the peer evaluates its rules in its own time")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100)); // polls: what the peer says
}

fn get(port: u16, path: &str) -> Option<Value> {
    #[expect(clippy::disallowed_methods, reason = "the test speaks to its peer on loopback")]
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Runs Debian's Prometheus over the measurements; what fires there.
fn by_prometheus(folder: &Path, points: &[Point]) -> BTreeSet<String> {
    let mut by_name: BTreeMap<&str, Vec<&Point>> = BTreeMap::new();
    for point in points {
        by_name.entry(&point.0).or_default().push(point);
    }
    let mut text = String::new();
    for (name, points) in by_name {
        writeln!(text, "# TYPE {name} unknown").expect("text grows");
        for (_, labels, at_ms, value) in points {
            let labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
            writeln!(text, "{name}{{{}}} {value} {}", labels.join(","), *at_ms as f64 / 1000.0).expect("text grows");
        }
    }
    text.push_str("# EOF\n");
    std::fs::write(folder.join("data.om"), text).expect("a file");
    std::fs::write(folder.join("mixin.yml"), MIXIN).expect("a file");
    std::fs::write(folder.join("prometheus.yml"), "global: { evaluation_interval: 1s }\nrule_files: [mixin.yml]\n")
        .expect("a file");
    #[expect(clippy::disallowed_methods, reason = "the real peer, which ends by itself")]
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "data.om", "data"])
        .current_dir(folder)
        .output();
    let made = made.expect("promtool is not installed: apt-get install prometheus");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    #[expect(clippy::disallowed_methods, reason = "the real peer, ended with the test")]
    let started = Command::new("prometheus")
        .args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            &format!("--web.listen-address=127.0.0.1:{port}"),
        ])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _ends = Ends(started.expect("prometheus is not installed: apt-get install prometheus"));
    for _ in 0..400 {
        pause(); // every rule has to be evaluated
        let Some(rules) = get(port, "/api/v1/rules") else { continue };
        let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
        let all: Vec<Value> = groups.iter().flat_map(|g| g["rules"].as_array().cloned().unwrap_or_default()).collect();
        if all.len() == 20 && all.iter().all(|rule| rule["health"] == "ok") {
            // A few rounds more, as one rule reads what another has recorded.
            (0..25).for_each(|_| pause());
            return firing(&get(port, "/api/v1/alerts").expect("alerts")["data"]);
        }
    }
    panic!("Prometheus did not evaluate the rules within 40 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_fires_the_same_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new().await;
    #[expect(clippy::disallowed_methods, reason = "the peer has the clock of the machine")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    world.clock.set(Time::from_micros(i64::try_from(now).unwrap()));
    let end_ms = world.kernel.now().as_millis();
    let points = measurements(end_ms);
    let theirs = by_prometheus(folder.path(), &points);

    let (engine, _) = series::Engine::open(&folder.path().join("ours"), series::Options::default()).unwrap();
    let metrics: Arc<dyn Metrics> = Arc::new(Arc::new(engine));
    let sample = |(name, labels, at_ms, value): &Point| {
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([(series::NAME, name.as_str())]);
        Sample { labels: Labels::new(pairs).unwrap(), at_ms: *at_ms, value: *value }
    };
    let samples: Vec<Sample> = points.iter().map(sample).collect();
    let written = metrics.write(1, Batch::of(&samples)).await.unwrap();
    assert!(written.refused.is_empty(), "{written:?}");
    let rules = Rules::new(world.kernel.clone(), metrics, signals::number, Outside::default(), Time::from_micros(0));
    for one in file::import(MIXIN, &mut BTreeSet::new()).unwrap() {
        let mut given = serde_json::to_value(&one.rule).unwrap();
        given
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !["evaluation", "last_evaluated", "last_error"].contains(&name.as_str()));
        let create = Create::of("rule", given).keyed(one.key);
        let record = world.kernel.act(&Session::system(TenantId::HOME), create).await.unwrap();
        rules.hold(&record).await.unwrap();
    }
    rules.evaluate_now(&rules.ids()).await;
    let ours = firing(&rules.alerts_json(TenantId::HOME));
    assert_eq!(ours, theirs);
    let names: BTreeSet<&str> =
        ours.iter().filter_map(|a| a.split("alertname\": \"").nth(1)?.split('"').next()).collect();
    assert!(names.len() >= 15, "only {names:?} fire, so the comparison says little");
}
