//! What one evaluation of an alerting rule costs: 1,000 rules over 50,000 series of the measurements engine, asked in rounds as
//! the rules' loop asks them. CPU is that of the whole process, so what the engine's threads do is in it.

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
const SERIES_A_RULE: usize = 50;
/// Minutes of measurements that are there, one every fifteen seconds.
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
        text.push_str(&format!("  - alert: High{n}\n    expr: load{{part=\"p{n}\"}} > 0.99\n    for: 1m\n"));
    }
    let imported = file::import(&text, &mut Default::default()).expect("a rule file");
    imported.iter().map(|one| Compiled::new(&one.rule).expect("a rule")).collect()
}

async fn filled(engine: &Arc<series::Engine>, now_ms: i64) {
    for step in 0..MINUTES * 4 {
        let at_ms = now_ms - (MINUTES * 4 - step) * 15_000;
        let sample = |n: usize| {
            let (part, host) = (format!("p{}", n % RULES), format!("h{n}"));
            let labels = Labels::metric("load", &[("part", &part), ("host", &host)]).expect("labels");
            Sample { labels, at_ms, value: ((n as i64 * 31 + step * 7) % 100) as f64 / 100.0 }
        };
        let samples: Vec<Sample> = (0..RULES * SERIES_A_RULE).map(sample).collect();
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
    println!("{RULES} rules, {} series, {ROUNDS} rounds, {alerts} alerts seen", RULES * SERIES_A_RULE);
    println!("figure: CPU per alert-rule evaluation | {each:.4} ms | {:.4} ms | {kept}", PROMETHEUS_MS / 10.0);
    drop(engine);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
