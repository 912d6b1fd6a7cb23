//! Which codec for which values: bytes a sample, and what writing and reading costs. `cargo bench -p series --bench codec`.
//!
//! Each chunk has 480 values, two hours of one in fifteen seconds. `head` is XOR coding as in memory, `pco` is that crate alone on the
//! floats (level 6), `sealed` is what a sealed file keeps.

mod world;

use pco::ChunkConfig;
use series::{head_values, sealed_values, unsealed_values};
use world::{Kind, Rng, Series, cpu_seconds};

const VALUES: usize = 480;
const CHUNKS: usize = 400;

fn main() {
    let kinds = [
        ("constant", Kind::Constant),
        ("seconds, counter of hundredths", Kind::Seconds(0.8)),
        ("bytes, counter", Kind::Counter(250_000.0)),
        ("segments, counter", Kind::Counter(30.0)),
        ("bursts, counter", Kind::Burst),
        ("memory, gauge of pages", Kind::Memory),
        ("temperature, gauge of hundredths", Kind::Gauge),
        ("noise, float", Kind::Noise),
    ];
    println!("load {}", world::load());
    println!(
        "{:<34} {:>7} {:>7} {:>7}  {:<10} {:>9} {:>9} {:>9}",
        "B a value", "head", "pco", "sealed", "codec", "pco ns", "write ns", "read ns"
    );
    let samples = (VALUES * CHUNKS) as f64;
    for (name, kind) in kinds {
        let mut rng = Rng(7);
        let chunks: Vec<Vec<f64>> = (0..CHUNKS)
            .map(|_| {
                let labels = series::Labels::metric("m", &[]).expect("labels");
                let mut series = Series { labels, kind, value: rng.below(1 << 31) as f64 };
                (0..VALUES).map(|_| series.step(&mut rng)).collect()
            })
            .collect();
        let head: usize = chunks.iter().map(|c| head_values(c).len()).sum();
        let start = cpu_seconds();
        let config = ChunkConfig::default().with_compression_level(6);
        let alone = |c: &Vec<f64>| pco::standalone::simple_compress(c, &config).map_or(0, |b| b.len());
        let pco: usize = chunks.iter().map(alone).sum();
        let pco_ns = (cpu_seconds() - start) * 1e9 / samples;
        let start = cpu_seconds();
        let sealed: Vec<_> = (0..10).flat_map(|_| &chunks).map(|c| sealed_values(c)).collect();
        let write_ns = (cpu_seconds() - start) * 1e8 / samples;
        let start = cpu_seconds();
        let read: usize = sealed.iter().filter_map(|(_, b)| unsealed_values(b, VALUES)).map(|v| v.len()).sum();
        let read_ns = (cpu_seconds() - start) * 1e8 / samples;
        assert_eq!(read, 10 * VALUES * CHUNKS, "what is written is read");
        let bytes: usize = sealed.iter().map(|(_, b)| b.len()).sum::<usize>() / 10;
        println!(
            "{name:<34} {:>7.3} {:>7.3} {:>7.3}  {:<10} {pco_ns:>9.1} {write_ns:>9.1} {read_ns:>9.1}",
            head as f64 / samples,
            pco as f64 / samples,
            bytes as f64 / samples,
            sealed[0].0,
        );
    }
}
