//! What one evaluation of an alerting rule costs: 1,000 rules of five kinds over 50,000 series of the measurements engine, asked in
//! rounds as the rules' loop asks them. CPU is that of the whole process, so what the engine's threads do is in it. `bench/rules` shows
//! the same rules in the whole program beside Prometheus.

use series::formats::Batch;
use series::promql::Limits;
use series::{Labels, Metrics, Sample};
use std::sync::Arc;
use watch::rules::Outside;
use watch::rules::compile::Compiled;
use watch::rules::file;
use watch::rules::see::{self, Answers};
use watch::rules::state::{Data, Look, State, decide};

const RULES: usize = 1_000;
const HOSTS: usize = 50;
/// Series of one host.
const SERIES: usize = 1_000;
/// Minutes of measurements that are there, one every five seconds.
const MINUTES: i64 = 30;
const ROUNDS: i64 = 20;
/// Prometheus 2.42 on the same machine, in milliseconds of CPU for each evaluation; a tenth of it is the goal.
const PROMETHEUS_MS: f64 = 0.94;

/// CPU that this process has used, in milliseconds.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    let after = stat.rsplit_once(") ").expect("the name in parentheses").1;
    let fields: Vec<f64> = after.split(' ').map(|f| f.parse().unwrap_or_default()).collect();
    // utime and stime, in hundredths of a second.
    (fields[11] + fields[12]) * 10.0
}

fn rules() -> Vec<Compiled> {
    let mut text = String::from("groups:\n- name: bench\n  rules:\n");
    for n in 0..RULES {
        let (host, mount, unit) = (n % HOSTS, n % 10, n % 60);
        let expression = match n % 5 {
            0 => format!("avail_bytes{{instance=\"h{host}\",mount=\"/srv/{mount}\"}} / size_bytes < 0.00001"),
            1 => format!("rate(receive_errs_total{{instance=\"h{host}\"}}[30s]) > 5"),
            2 => format!("load1{{instance=\"h{host}\"}} > {}", 50 + n),
            3 => format!("sum by(instance)(rate(cpu_seconds_total{{instance=\"h{host}\",mode!=\"idle\"}}[30s])) > 50"),
            _ => format!("unit_state{{instance=\"h{host}\",name=\"unit-{unit}\",state=\"failed\"}} == 1"),
        };
        text.push_str(&format!("  - alert: A{n}\n    expr: '{expression}'\n    for: 1m\n"));
    }
    let imported = file::import(&text, &mut Default::default()).expect("a rule file");
    imported.iter().map(|one| Compiled::new(&one.rule).expect("a rule")).collect()
}

/// The series of one host, each with what it grows by in five seconds.
fn series_of(host: usize) -> Vec<(Labels, f64)> {
    let mut all = Vec::with_capacity(SERIES);
    let host = format!("h{host}");
    let mut add = |name: &str, more: &[(&str, &str)], step: f64| {
        let labels = [("instance", host.as_str()), ("job", "n")].into_iter().chain(more.iter().copied());
        all.push((Labels::metric(name, &labels.collect::<Vec<_>>()).expect("labels"), step));
    };
    add("load1", &[], 0.01);
    for n in 0..10 {
        let (device, mount) = (format!("eth{n}"), format!("/srv/{n}"));
        add("receive_errs_total", &[("device", &device)], 0.0);
        add("avail_bytes", &[("mount", &mount)], 4096.0);
        add("size_bytes", &[("mount", &mount)], 0.0);
        for mode in ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"] {
            add("cpu_seconds_total", &[("cpu", &n.to_string()), ("mode", mode)], 0.07);
        }
    }
    for n in 0..60 {
        for state in ["activating", "active", "deactivating", "failed", "inactive"] {
            add("unit_state", &[("name", &format!("unit-{n}")), ("state", state)], 0.0);
        }
    }
    for n in 0..SERIES - 411 {
        add(&format!("other_{n}"), &[], 1.0);
    }
    all
}

async fn filled(engine: &Arc<series::Engine>, now_ms: i64) {
    let series: Vec<(Labels, f64)> = (0..HOSTS).flat_map(series_of).collect();
    assert_eq!(series.len(), HOSTS * SERIES);
    for step in 0..MINUTES * 12 {
        let at_ms = now_ms - (MINUTES * 12 - step) * 5_000;
        let sample =
            |(labels, grows): &(Labels, f64)| Sample { labels: labels.clone(), at_ms, value: step as f64 * grows };
        let samples: Vec<Sample> = series.iter().map(sample).collect();
        engine.write(1, Batch::of(&samples)).await.expect("it is stored");
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::temp_dir().join(format!("mainstay-rules-bench-{}", std::process::id()));
    let engine = Arc::new(series::Engine::open(&folder, series::Options::default()).expect("an engine").0);
    let now_ms = (series::system_clock())();
    filled(&engine, now_ms).await;
    let rules = rules();
    let mut states: Vec<State> = rules.iter().map(|_| State::default()).collect();
    let (before, mut alerts) = (cpu_ms(), 0);
    for round in 0..ROUNDS {
        let at_ms = now_ms - (ROUNDS - round) * 1_000;
        let queries = rules.iter().map(|rule| rule.query.clone()).collect();
        let answers = engine.instants(1, queries, at_ms, Limits::default()).await;
        for ((rule, state), answer) in rules.iter().zip(&mut states).zip(answers) {
            let answer = answer.expect("an answer");
            let holds = see::sightings(rule, &answer, at_ms, &Outside::default(), &Answers::new()).expect("alerts");
            decide(state, Look::Seen { holds, data: Data::Always, recovered: None }, &rule.terms, at_ms);
            alerts += state.instances.len();
        }
    }
    let each = (cpu_ms() - before) / (ROUNDS as f64 * RULES as f64);
    let kept = if each <= PROMETHEUS_MS / 10.0 { "kept" } else { "missed" };
    println!(
        "{RULES} rules, {} series, {MINUTES} minutes of them, {ROUNDS} rounds, {alerts} alerts seen",
        HOSTS * SERIES
    );
    println!(
        "figure: CPU of the answer to an alert-rule and its decision | {each:.4} ms | {:.4} ms | {kept}",
        PROMETHEUS_MS / 10.0
    );
    drop(engine);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
