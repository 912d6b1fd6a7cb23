//! A real Prometheus scrapes a real node_exporter and writes to us: both give the same answers, also to promtool.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::http::{Http, escaped};
use crate::server::{Place, Server};
use crate::world::{self, until};

const PROMETHEUS: &str = "/usr/bin/prometheus";
const NODE_EXPORTER: &str = "/usr/bin/prometheus-node-exporter";
const PROMTOOL: &str = "/usr/bin/promtool";

/// Questions that both must answer alike.
const QUERIES: [&str; 22] = [
    "up",
    "node_cpu_seconds_total",
    "node_memory_MemAvailable_bytes",
    "{job=\"node\",__name__=~\"node_load.*\"}",
    "sum by (mode) (node_cpu_seconds_total)",
    "avg without (cpu) (node_cpu_seconds_total)",
    "rate(node_cpu_seconds_total[5s])",
    "increase(node_network_receive_bytes_total[6s])",
    "irate(node_context_switches_total[10s])",
    "topk(3, node_filesystem_size_bytes)",
    "quantile(0.9, node_cpu_seconds_total)",
    "node_memory_MemTotal_bytes - node_memory_MemFree_bytes",
    "node_filesystem_avail_bytes / node_filesystem_size_bytes",
    "count by (__name__) ({job=\"node\"})",
    "max_over_time(node_load1[8s])",
    "stddev_over_time(node_memory_MemFree_bytes[8s])",
    "delta(node_memory_MemFree_bytes[8s])",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "absent(no_such_metric)",
    "sort_desc(sum by (device) (node_disk_reads_completed_total))",
    "node_load1 > bool 0",
    "max_over_time(rate(node_context_switches_total[4s])[6s:1s])",
];

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        world::kill_hard(&mut self.0);
    }
}

fn start(program: &str, words: &[String], log: &Path) -> Peer {
    let said = fs::File::create(log).expect("a log");
    let again = said.try_clone().expect("a handle");
    let child = world::command(program).args(words).stdin(Stdio::null()).stdout(said).stderr(again).spawn();
    Peer(child.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {program}'s package")))
}

/// A series by its labels, and its points: Unix seconds and value.
type Series = (String, Vec<(f64, f64)>);

/// The result of a question: series with their points, in order of labels.
fn asked(http: &Http, path: &str) -> Result<Vec<Series>, String> {
    let answer = http.ask("GET", path, &Value::Null).map_err(|e| e.to_string())?;
    let said = answer.json();
    let list = said["data"]["result"].as_array().ok_or_else(|| format!("{path}: {}", answer.text()))?;
    let number = |v: &Value| v.as_f64().or_else(|| v.as_str()?.parse().ok()).expect("a number");
    let mut all: Vec<_> = list
        .iter()
        .map(|series| {
            let labels: std::collections::BTreeMap<String, Value> =
                serde_json::from_value(series["metric"].clone()).expect("labels");
            let points = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
            (format!("{labels:?}"), points.iter().map(|p| (number(&p[0]), number(&p[1]))).collect::<Vec<_>>())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn same(ours: &[Series], theirs: &[Series]) -> bool {
    let near = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| {
            a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().zip(&b.1).all(|(p, q)| p.0 == q.0 && near(p.1, q.1))
        })
}

#[test]
fn prometheus_writes_to_us_and_both_answer_alike() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let token = server.http.token.clone().expect("it was just made");
    let (node, port) = (world::free_port(), world::free_port());
    let config = place.beside("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: node\n  static_configs: [{{ targets: [\"127.0.0.1:{node}\"] }}]\n\
         remote_write:\n- url: http://{}/prometheus/api/v1/write\n  basic_auth: {{ username: prometheus, password: {token} }}\n  \
         queue_config: {{ batch_send_deadline: 300ms }}\n",
        server.http.address
    );
    fs::write(&config, text).expect("a configuration");
    let _exporter =
        start(NODE_EXPORTER, &[format!("--web.listen-address=127.0.0.1:{node}")], &place.beside("node.log"));
    let words = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", place.beside("tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let log = place.beside("prometheus.log");
    let _prometheus = start(PROMETHEUS, &words, &log);
    let theirs = Http { address: ([127, 0, 0, 1], port).into(), token: None };
    // Twelve scrapes, and then a moment between two of them, at which no window begins or ends with a sample.
    let at = until(Duration::from_secs(90), "twelve scrapes are with us", || {
        let found = asked(
            &server.http,
            &format!("/prometheus/api/v1/query?query={}", escaped("timestamp(up) + 0 * count_over_time(up[1m])")),
        )?;
        let count =
            asked(&server.http, &format!("/prometheus/api/v1/query?query={}", escaped("count_over_time(up[1m])")))?;
        let last = found.first().and_then(|s| s.1.first()).map(|p| p.1).ok_or("no sample yet")?;
        let count = count.first().and_then(|s| s.1.first()).map_or(0.0, |p| p.1);
        if count >= 12.0 {
            Ok(last - 0.5)
        } else {
            Err(format!("{count} of 12; {}", fs::read_to_string(&log).unwrap_or_default()))
        }
    });
    for query in QUERIES {
        for (ours, path) in [
            ("/prometheus", format!("/api/v1/query?time={at:.3}&query={}", escaped(query))),
            (
                "/prometheus",
                format!("/api/v1/query_range?start={:.3}&end={at:.3}&step=1&query={}", at - 5.0, escaped(query)),
            ),
        ] {
            until(Duration::from_secs(20), "both answer alike", || {
                let (a, b) = (asked(&server.http, &format!("{ours}{path}"))?, asked(&theirs, &path)?);
                // A moment ago the last scrape may still have been on its way to us.
                if same(&a, &b) && !b.is_empty() { Ok(()) } else { Err(format!("{path}\nours {a:?}\ntheirs {b:?}")) }
            });
        }
    }
    let with_token = format!("http://prometheus:{token}@{}/prometheus", server.http.address);
    let plain = format!("http://127.0.0.1:{port}");
    let (begin, at) = (format!("{:.3}", at - 4.0), format!("{at:.3}"));
    promtool_says_the_same(&with_token, &plain, &begin, &at);
}

/// promtool's own words, of both.
fn promtool_says_the_same(ours: &str, theirs: &str, begin: &str, at: &str) {
    let told = |words: &[&str]| {
        let output = world::run(PROMTOOL, words);
        assert!(output.status.success(), "promtool {words:?}: {}", world::text(&output));
        let text = String::from_utf8(output.stdout).expect("text");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let (from, to) = (format!("--start={begin}"), format!("--end={at}"));
    let time = format!("--time={at}");
    let questions: [(&[&str], &[&str]); 4] = [
        (&["query", "instant", &time], &["node_load1"]),
        (&["query", "range", &from, &to, "--step=1s"], &["max by (mode) (node_cpu_seconds_total)"]),
        (&["query", "series", "--match=node_network_up", &from, &to], &[]),
        (&["query", "labels", &from, &to], &["job"]),
    ];
    for (words, rest) in questions {
        let of = |server| [words, &[server], rest].concat();
        let (a, b) = (told(&of(ours)), told(&of(theirs)));
        // We keep metrics of our own beside what Prometheus writes.
        let a = a.lines().filter(|line| *line != "mainstay").collect::<Vec<_>>().join("\n");
        assert!(!b.is_empty(), "promtool {words:?} says nothing");
        assert_eq!(a, b, "promtool {words:?}");
    }
}
