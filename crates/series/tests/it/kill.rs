//! Killed with signal 9 again and again while it writes: what was acknowledged is there, once, and nothing else is.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use series::promql::{EngineSource, Limits, Query, Settings, Value};
use series::{Engine, Options, Sample, Tier};

use crate::world::{SECOND, T0, labels};

const FOLDER: &str = "SERIES_KILL_FOLDER";
const SERIES: i64 = 40;
/// Requests are a minute apart by the engine's clock, so that windows are sealed and the log is cut under way.
const STEP: i64 = 60 * SECOND;

fn options(clock: &Arc<AtomicI64>) -> Options {
    let clock = clock.clone();
    // A copy of the head every few requests, days made one soon, and periods of 48 minutes thinned out after some hours.
    let tier = Tier { interval_ms: 10 * SECOND, after_ms: 0, retention_ms: i64::MAX };
    Options {
        tiers: vec![tier],
        accept_late_ms: 10 * STEP,
        clock: Arc::new(move || clock.load(SeqCst)),
        wal_checkpoint_bytes: 4_000,
        compact_after_ms: STEP,
        ..Options::default()
    }
}

fn request(n: i64) -> Vec<Sample> {
    let one = |series: i64| Sample {
        labels: labels("m", &series.to_string()),
        at_ms: T0 + n * STEP + series,
        value: (n * series) as f64,
    };
    (0..SERIES).map(one).collect()
}

/// Every point of every series, by request; the test fails when one is twice there, or wrong.
fn found(dir: &Path, now_ms: i64) -> BTreeMap<i64, usize> {
    let clock = Arc::new(AtomicI64::new(now_ms));
    let (engine, recovery) = Engine::open(dir, options(&clock)).expect("it opens after a kill");
    assert!(recovery.damaged.iter().all(|d| d.kind == series::DamageKind::TornTail), "{:?}", recovery.damaged);
    let mut requests = BTreeMap::new();
    for data in engine.select(1, &[], i64::MIN, i64::MAX).expect("a read") {
        assert_eq!(data.lost, []);
        assert!(data.points.windows(2).all(|w| w[0].0 < w[1].0), "no point is there twice");
        let series: i64 = data.labels.get("host").and_then(|h| h.parse().ok()).expect("a number");
        for (at_ms, value) in data.points {
            let n = (at_ms - T0 - series) / STEP;
            assert_eq!((at_ms, value), (T0 + n * STEP + series, (n * series) as f64), "as it was written");
            *requests.entry(n).or_default() += 1;
        }
    }
    assert!(engine.verify().expect("it can be checked").is_clean());
    // The child may be far ahead of what the parent has heard of it.
    let newest_ms = requests.keys().last().map_or(now_ms, |n| T0 + n * STEP);
    assert_eq!(
        thinned(&engine, newest_ms),
        requests.values().sum::<usize>() as f64,
        "tiers and samples have each point once"
    );
    requests
}

/// How many points there are, as far as a tier can tell: what it does not have is thinned from the samples.
fn thinned(engine: &Engine, now_ms: i64) -> f64 {
    let query = Query::parse("sum(count_over_time(m[1h]))").expect("a query");
    let source = EngineSource { engine, tenant: 1 };
    let times = (T0, now_ms + 2 * 60 * STEP, 60 * STEP);
    let answer = query.range(&source, times, &Settings::default(), &Limits::default()).expect("an answer");
    let Value::Matrix(series) = answer.value else { panic!("a matrix") };
    series.iter().flat_map(|s| s.floats.iter().map(|(_, value)| value)).sum()
}

/// The process that is killed: goes on where the folder says, and says what is acknowledged. Without a folder it writes a
/// little into one of its own.
#[test]
fn the_writer_that_is_killed_acknowledges_only_what_is_stored() {
    #[expect(clippy::disallowed_methods, reason = "the parent tells its child where to write")]
    let given = std::env::var(FOLDER).ok();
    let own = tempfile::tempdir().expect("a temporary folder");
    let (dir, first, last) = match &given {
        Some(text) => {
            let (first, dir) = text.split_once(' ').expect("where to begin, and the folder");
            (Path::new(dir).to_path_buf(), first.parse().expect("a number"), i64::MAX)
        }
        None => (own.path().to_path_buf(), 0, 300),
    };
    let clock = Arc::new(AtomicI64::new(T0 + first * STEP));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (engine, _) = Engine::open(&dir, options(&clock)).expect("it opens");
    for n in first..last {
        clock.store(T0 + n * STEP, SeqCst);
        let answer = runtime.block_on(engine.append(1, request(n))).expect("the disk takes it");
        assert_eq!(answer.accepted as i64, SERIES);
        if given.is_some() {
            println!("acknowledged {n}");
        }
    }
    drop(engine);
    assert_eq!(found(&dir, T0 + last * STEP).values().sum::<usize>() as i64, last * SERIES);
}

#[test]
fn torture_a_kill_at_any_time_loses_and_doubles_nothing() {
    #[expect(clippy::disallowed_methods, reason = "make torture asks for the long version")]
    let asked = std::env::var("MAINSTAY_TORTURE").ok();
    let rounds: i64 = asked.map_or(8, |asked| asked.parse().unwrap_or(200));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut next = 0_i64;
    for round in 0..rounds {
        let exe = std::env::current_exe().expect("this test");
        #[expect(clippy::disallowed_methods, reason = "only a process of its own can be killed")]
        let mut child = std::process::Command::new(exe)
            .args(["kill::the_writer_that_is_killed_acknowledges_only_what_is_stored", "--exact", "--nocapture"])
            .env(FOLDER, format!("{next} {}", dir.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut acknowledged = next - 1;
        for line in lines {
            let line = line.expect("text");
            let Some((_, n)) = line.split_once("acknowledged ") else { continue };
            acknowledged = n.trim().parse().expect("a number");
            // Another number of requests each time, so that the kill falls into every kind of work.
            if acknowledged >= next + 20 + (round * 37) % 90 {
                child.kill().expect("it is ours to kill");
                break;
            }
        }
        child.wait().expect("it is over");
        let requests = found(dir.path(), T0 + acknowledged * STEP);
        for n in 0..=acknowledged {
            assert_eq!(requests.get(&n).copied(), Some(SERIES as usize), "round {round}: request {n} was acknowledged");
        }
        // What was written and not yet answered may be there too, as a whole.
        assert!(requests.values().all(|count| *count == SERIES as usize), "round {round}: no request is there in part");
        next = requests.keys().last().copied().unwrap_or(-1) + 1;
    }
}
