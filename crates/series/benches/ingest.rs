//! Ingest of remote write, from the compressed body to the fsync. `cargo bench -p series --bench ingest`.
//!
//! `--case 10k|100k|1m|1h` runs one case, whose memory is then its own; without it all run one after the other.
//! `--serve PORT --dir DIR` is a server for the comparison with other programs: `POST /api/v1/write` appends, `POST /flush` seals
//! everything as if its time were over, and the query routes of Prometheus answer.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use series::formats::{Limits, remote_write};
use series::{Engine, Options};
use world::{Rng, argument, cpu_seconds, status_mib};

/// Series in one request, as Prometheus sends.
const REQUEST: usize = 2_000;
const CALLERS: usize = 4;
const HOUR: i64 = 3_600_000;

fn main() {
    match argument("--serve") {
        Some(port) => serve(&port),
        None => {
            for (name, series, samples) in
                [("10k", 10_000, 240), ("100k", 100_000, 40), ("1m", 1_000_000, 4), ("1h", 100_000, 240)]
            {
                if argument("--case").is_none_or(|wanted| wanted == name) {
                    case(name, series, samples);
                }
            }
        }
    }
}

fn options(clock: Arc<AtomicI64>) -> Options {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let began = std::time::Instant::now();
    // It goes on while a case runs: what the engine does now and then is measured with it.
    let clock = Arc::new(move || clock.load(Relaxed) + began.elapsed().as_millis() as i64);
    Options {
        clock,
        max_series: 10_000_000,
        max_request_samples: 1_000_000,
        max_waiting_samples: 1_000_000,
        ..Options::default()
    }
}

/// Times in the middle of a window, so that a case is in one.
fn start_ms() -> i64 {
    243_055 * 2 * HOUR + 60_000
}

/// Requests by caller: all of a series come from one, as a sender's shards do it.
fn bodies(series: usize, samples: usize) -> Vec<Vec<Vec<u8>>> {
    let mut rng = Rng(42);
    let mut all = world::machines(series, &mut rng);
    let mut out = vec![Vec::new(); CALLERS];
    for n in 0..samples {
        for (part, chunk) in all.chunks_mut(REQUEST).enumerate() {
            let at = start_ms() + n as i64 * 15_000 + (part as i64 * 7_919) % 15_000;
            let points: Vec<_> = chunk.iter_mut().map(|s| [(at, s.step(&mut rng))]).collect();
            out[part % CALLERS]
                .push(remote_write::encode(chunk.iter().zip(&points).map(|(s, p)| (&s.labels, p.as_slice()))));
        }
    }
    out
}

fn case(name: &str, series: usize, samples: usize) {
    let bodies = Arc::new(bodies(series, samples));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Arc::new(AtomicI64::new(start_ms() + HOUR));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let (engine, _) = Engine::open(dir.path(), options(clock.clone())).expect("an engine");
    let engine = Arc::new(engine);
    let (before, rest) = (cpu_seconds(), status_mib("VmRSS:"));
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let began = std::time::Instant::now();
    runtime.block_on(async {
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(call(engine.clone(), bodies.clone(), caller))).collect();
        for caller in callers {
            caller.await.expect("a caller");
        }
    });
    let (cpu, wall, total) = (cpu_seconds() - before, began.elapsed().as_secs_f64(), (series * samples) as f64);
    let stats = engine.stats();
    assert_eq!(stats.accepted as f64, total, "everything is acknowledged");
    println!(
        "{name}: {series} series x {samples}: {:.0} samples a CPU-second, {:.0} a second, {:.1} samples a sync x1000, load {}",
        total / cpu,
        total / wall,
        total / stats.syncs as f64 / 1000.0,
        world::load()
    );
    println!(
        "{name}: memory of engine and queue {:.0} MiB (bodies before it: {rest:.0}), head {:.2} B a sample, log {:.2} B a sample",
        status_mib("VmRSS:") - rest,
        stats.head_bytes as f64 / total,
        stats.wal_bytes as f64 / total
    );
    reopen(name, dir.path(), engine, &clock, total);
}

/// A start from what a kill at this moment leaves.
fn after_a_kill(name: &str, dir: &std::path::Path, clock: &Arc<AtomicI64>, total: f64) {
    let killed = tempfile::tempdir().expect("a temporary folder");
    let log = killed.path().join("wal");
    std::fs::create_dir(&log).expect("a folder");
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir.join("wal")).expect("a folder") {
        let path = entry.expect("an entry").path();
        bytes.push((path.clone(), std::fs::copy(&path, log.join(path.file_name().expect("a name"))).expect("a copy")));
    }
    bytes.sort();
    let mib: Vec<_> = bytes.into_iter().map(|(_, bytes)| format!("{:.1}", bytes as f64 / f64::from(1 << 20))).collect();
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let began = std::time::Instant::now();
    let (opened, recovery) = Engine::open(killed.path(), options(clock.clone())).expect("an engine");
    println!(
        "{name}: start to ready after a kill: {} ms, segments of {} MiB",
        began.elapsed().as_millis(),
        mib.join(" + ")
    );
    assert_eq!((recovery.samples as f64 >= total, recovery.damaged.len()), (true, 0));
    drop(opened);
}

fn reopen(name: &str, dir: &std::path::Path, engine: Arc<Engine>, clock: &Arc<AtomicI64>, total: f64) {
    after_a_kill(name, dir, clock, total);
    let copy = tempfile::tempdir().expect("a temporary folder");
    engine.snapshot_to(copy.path()).expect("a copy");
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let began = std::time::Instant::now();
    let (opened, recovery) = Engine::open(copy.path(), options(clock.clone())).expect("an engine");
    println!("{name}: start to ready with everything in the head: {} ms", began.elapsed().as_millis());
    assert_eq!((recovery.samples as f64, recovery.damaged.len()), (total, 0));
    drop(opened);
    let before = cpu_seconds();
    clock.store(start_ms() + 5 * HOUR, Relaxed);
    engine.flush().expect("sealed");
    let stats = engine.stats();
    println!(
        "{name}: sealed {:.3} B a sample with index, {:.0} ns of CPU a sample; {} samples left in the head",
        stats.block_bytes as f64 / total,
        (cpu_seconds() - before) * 1e9 / total,
        stats.head_samples
    );
    drop(engine);
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let began = std::time::Instant::now();
    drop(Engine::open(dir, options(clock.clone())).expect("an engine"));
    println!("{name}: start to ready when sealed: {} ms", began.elapsed().as_millis());
}

async fn call(engine: Arc<Engine>, bodies: Arc<Vec<Vec<Vec<u8>>>>, caller: usize) {
    for body in &bodies[caller] {
        let batch = remote_write::decode(remote_write::Version::One, body, Limits::default()).expect("a body");
        let sent = batch.samples();
        let answer = engine.append_batch(1, batch).await.expect("the disk takes it");
        assert_eq!(answer.accepted, sent);
    }
}

fn serve(port: &str) {
    let dir = argument("--dir").expect("--dir DIR");
    let ahead = Arc::new(AtomicI64::new(0));
    let (real, later) = (series::system_clock(), ahead.clone());
    let clock = Arc::new(move || real() + later.load(Relaxed));
    let options = Options { clock, ..options(Arc::default()) };
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let began = std::time::Instant::now();
    let (engine, recovery) = Engine::open(std::path::Path::new(&dir), options).expect("an engine");
    println!("ready after {} ms: {recovery:?}", began.elapsed().as_millis());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    world::front::Front { engine, runtime, ahead }.serve(port);
}
