//! Shows what discovery sees of this machine, as JSON, and what looking costs in processor time.
//!
//! `cargo run -p edge --example look` prints the snapshot; `-- cost` prints the cost of each cadence instead.

use edge::RealSystem;
use edge::discover::{Discovery, look};

/// Processor time of this process so far, in microseconds.
fn used() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<u64>().ok()).unwrap_or_default() / 1000
}

fn main() {
    if std::env::args().nth(1).as_deref() != Some("cost") {
        println!("{}", serde_json::to_string_pretty(&look(&RealSystem)).expect("a snapshot is JSON"));
        return;
    }
    let mut discovery = Discovery::default();
    let start = used();
    discovery.look_all(&RealSystem);
    println!("first look_all: {} us", used() - start);
    let start = used();
    for _ in 0..10 {
        discovery.look_all(&RealSystem);
    }
    let all = (used() - start) / 10;
    let start = used();
    for _ in 0..100 {
        discovery.look_ports_and_processes(&RealSystem);
    }
    let live = (used() - start) / 100;
    // Every ten minutes and every five seconds.
    let share = all as f64 / 600e6 + live as f64 / 5e6;
    println!("look_all: {all} us; look_ports_and_processes: {live} us; together {:.3} % of a core", share * 100.0);
}
