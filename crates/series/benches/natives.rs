//! Native histograms: what storing, sealing and reading them costs, and their bytes. `cargo bench -p series --bench natives`.
//!
//! Two thousand series of sixteen buckets, a scrape in fifteen seconds for two hours, a hundred observations in each.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use series::formats::{Batch, remote_write};
use series::{Engine, Histogram, Labels, Options};
use world::{Rng, cpu_seconds};

const SERIES: usize = 2_000;
const SCRAPES: i64 = 480;
const BUCKETS: usize = 16;
const HOUR: i64 = 3_600_000;
const START_MS: i64 = 243_055 * 2 * HOUR;

fn latency() -> Histogram {
    let positive = (-10..).take(BUCKETS).map(|index| (index, 0.0)).collect();
    Histogram { schema: 3, zero_threshold: 2_f64.powi(-128), positive, ..Histogram::default() }
}

/// A hundred observations, most of them in the middle.
fn observe(histogram: &mut Histogram, rng: &mut Rng) {
    for _ in 0..100 {
        let place = (0..4).map(|_| rng.below(5)).sum::<u64>() as usize % BUCKETS;
        histogram.positive[place].1 += 1.0;
        histogram.count += 1.0;
        histogram.sum += rng.below(100_000) as f64 / 1e6;
    }
}

fn main() {
    let clock = Arc::new(AtomicI64::new(START_MS + 2 * HOUR));
    let told = clock.clone();
    let options = Options { clock: Arc::new(move || told.load(Relaxed)), ..Options::default() };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (engine, _) = Engine::open(dir.path(), options).expect("an engine");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let labels: Vec<Labels> =
        (0..SERIES).map(|n| Labels::metric("latency", &[("pod", &n.to_string())]).expect("labels")).collect();
    let (mut rng, mut state) = (Rng(42), vec![latency(); SERIES]);
    let (mut append, mut wire, total) = (0.0, 0, (SERIES as i64 * SCRAPES) as f64);
    for scrape in 0..SCRAPES {
        let mut batch = Batch::default();
        for (labels, histogram) in labels.iter().zip(&mut state) {
            observe(histogram, &mut rng);
            batch.begin_series(labels).expect("it is taken");
            batch.histogram(START_MS + scrape * 15_000, histogram.clone()).expect("it is taken");
            wire += if scrape == 0 { remote_write::encode_histogram(START_MS, histogram).len() } else { 0 };
        }
        let before = cpu_seconds();
        let answer = runtime.block_on(engine.append_batch(1, batch)).expect("the disk takes it");
        append += cpu_seconds() - before;
        assert_eq!(answer.accepted, SERIES);
    }
    let stats = engine.stats();
    println!("load {}", world::load());
    println!("stored: {:.0} ns of CPU each", append * 1e9 / total);
    println!("first scrape as remote write: {:.1} B each, without labels", wire as f64 / SERIES as f64);
    println!("log {:.1} B, head {:.1} B each", stats.wal_bytes as f64 / total, stats.head_bytes as f64 / total);
    clock.store(START_MS + 5 * HOUR, Relaxed);
    let before = cpu_seconds();
    engine.flush().expect("sealed");
    let stats = engine.stats();
    let sealed = (cpu_seconds() - before) * 1e9 / total;
    println!("sealed {:.2} B each, {sealed:.0} ns of CPU", stats.block_bytes as f64 / total);
    let before = cpu_seconds();
    let found = engine.select(1, &[], i64::MIN, i64::MAX).expect("a read");
    assert_eq!(found.iter().map(|s| s.histograms.len()).sum::<usize>() as f64, total);
    println!("read: {:.0} ns of CPU each", (cpu_seconds() - before) * 1e9 / total);
}
