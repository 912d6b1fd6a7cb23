//! What a scrape costs. `cargo run --release -p signals --example scrape_cost` reads one page of 1,000 series again and again, from its
//! compressed bytes to the batches for the engine, and says the CPU time of each part. It must measure what the server runs, and no copy of it.
//!
//! `--config FILE --dir DIR --seconds N` scrapes what the file says into an engine in the folder, and says the CPU time of a
//! scrape: the same file given to a Prometheus beside it is the comparison.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use series::{Engine, Labels, Matcher, Options, system_clock};
use signals::scrape::page::{Cache, Format, Reading, Tail};
use signals::scrape::{Parts, Scraper, parsers};

fn main() {
    match argument("--config") {
        Some(config) => scrape(&config),
        None => page(),
    }
}

fn argument(name: &str) -> Option<String> {
    let mut all = std::env::args().skip_while(|word| word != name);
    all.next()?;
    all.next()
}

/// CPU seconds of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
    let rest = stat.rsplit_once(')').expect("a name in parentheses").1;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}

fn page() {
    let mut text = String::new();
    for family in 0..100 {
        text.push_str(&format!("# HELP node_thing_{family}_total What it counts, said in a sentence.\n# TYPE node_thing_{family}_total counter\n"));
        for n in 0..10 {
            text.push_str(&format!(
                "node_thing_{family}_total{{cpu=\"{n}\",mode=\"system\",device=\"/dev/sda{n}\"}} {}.25\n",
                family * 977 + n
            ));
        }
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let prepare = |labels: &Labels| Ok(Some(labels.iter().flat_map(|(n, v)| format!("{n}{v}").into_bytes()).collect()));
    const ROUNDS: u32 = 5000;
    let (mut cache, mut plain) = (Cache::default(), Vec::new());
    let begun = cpu_seconds();
    for _ in 0..ROUNDS {
        plain = parsers::unpack(&packed).expect("packed above");
    }
    let unpacked = cpu_seconds();
    let plain = std::str::from_utf8(&plain).expect("text");
    for round in 0..ROUNDS {
        let how = Reading {
            format: Format::Text,
            at_ms: i64::from(round),
            own_times: true,
            sample_limit: 0,
            prepare: &prepare,
        };
        cache.read(plain, &how).expect("a page");
        assert_eq!(cache.take(Tail::default()).len(), 1, "a page is a batch");
    }
    let read = cpu_seconds();
    let ms = |seconds: f64| seconds * 1000.0 / f64::from(ROUNDS);
    println!(
        "{} bytes, {} packed: unpack {:.3} CPU-ms, read {:.3} CPU-ms",
        text.len(),
        packed.len(),
        ms(unpacked - begun),
        ms(read - unpacked)
    );
}

fn scrape(config: &str) {
    let dir = PathBuf::from(argument("--dir").expect("--dir DIR"));
    let seconds: u64 = argument("--seconds").map_or(20, |n| n.parse().expect("a number"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine =
            Arc::new(Engine::open(&dir, Options { max_series: 1 << 22, ..Options::default() }).expect("a folder").0);
        let parts = Parts {
            file: config.into(),
            metrics: Arc::new(engine.clone()),
            env: probe::Env::real(),
            clock: system_clock(),
            tenant: 1,
        };
        let scraper = Scraper::start(parts).unwrap_or_else(|error| panic!("{error}"));
        // polls: the first scrapes fill the caches and are not counted.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let scrapes = || {
            let found = engine.select(1, &[Matcher::eq(series::NAME, "up")], 0, i64::MAX).expect("an engine");
            found.iter().map(|s| s.points.len()).sum::<usize>()
        };
        let (before, begun) = (scrapes(), cpu_seconds());
        tokio::time::sleep(Duration::from_secs(seconds)).await; // polls: it is a measurement of so long.
        let (spent, done) = (cpu_seconds() - begun, scrapes() - before);
        let (targets, up) = scraper.counts();
        println!("{targets} targets, {up} up: {done} scrapes, {:.3} CPU-ms each", spent * 1000.0 / done as f64);
    });
}
