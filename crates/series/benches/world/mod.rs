//! What the benches share: made-up machines, and what the kernel says of this process.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod front;

/// Numbers that are the same in every run.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How a series moves. Shares as a node exporter's page has them: more than half never moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Constant,
    /// A counter of seconds, in hundredths.
    Seconds(f64),
    /// A counter of whole things, a rate a second, give or take a third.
    Counter(f64),
    /// A counter that moves one time in ten.
    Burst,
    /// Bytes in pages of 4096, up and down.
    Memory,
    /// A temperature in hundredths.
    Gauge,
    /// A float with every bit in use.
    Noise,
}

pub struct Series {
    pub labels: series::Labels,
    pub kind: Kind,
    pub value: f64,
}

impl Series {
    /// The value fifteen seconds later.
    pub fn step(&mut self, rng: &mut Rng) -> f64 {
        match self.kind {
            Kind::Constant => {}
            Kind::Seconds(rate) => {
                self.value = ((self.value + rate * 15.0 * (0.5 + rng.part())) * 100.0).round() / 100.0
            }
            Kind::Counter(rate) => self.value += (rate * 15.0 * (0.7 + 0.6 * rng.part())).floor(),
            Kind::Burst => self.value += if rng.below(10) == 0 { (15.0 * rng.part()).floor() } else { 0.0 },
            Kind::Memory => self.value = (self.value + (rng.below(20_001) as f64 - 10_000.0) * 4096.0).max(0.0),
            Kind::Gauge => self.value = ((self.value + rng.part() - 0.5) * 100.0).round() / 100.0,
            Kind::Noise => self.value = rng.part(),
        }
        self.value
    }
}

/// `count` series of made-up machines of a thousand series each.
pub fn machines(count: usize, rng: &mut Rng) -> Vec<Series> {
    (0..count)
        .map(|i| {
            let (machine, n) = (i / 1000, i % 1000);
            let (kind, name) = match n {
                0..580 => (Kind::Constant, "node_systemd_unit_state"),
                580..640 => (Kind::Seconds(0.8), "node_cpu_seconds_total"),
                640..720 => (Kind::Counter(250_000.0), "node_network_receive_bytes_total"),
                720..860 => (Kind::Counter(30.0), "node_netstat_segments_total"),
                860..900 => (Kind::Burst, "node_network_drop_total"),
                900..950 => (Kind::Memory, "node_memory_bytes"),
                _ => (Kind::Gauge, "node_hwmon_temp_celsius"),
            };
            let host = format!("host-{machine:05}.dc{}.example.net:9100", machine % 4);
            let (job, part) = (format!("job{}", machine % 10), format!("part-{n:03}"));
            let labels = [("instance", host.as_str()), ("job", &job), ("part", &part), ("type", "simple")];
            let labels = series::Labels::metric(name, &labels).expect("labels");
            Series { labels, kind, value: rng.below(1 << 31) as f64 }
        })
        .collect()
}

/// Seconds of CPU that this process has used, in all its threads.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = stat.rsplit_once(')').expect("a name in brackets").1;
    let fields: Vec<f64> = after.split_whitespace().skip(11).take(2).map(|f| f.parse().expect("a number")).collect();
    (fields[0] + fields[1]) / 100.0
}

/// A line of `/proc/self/status`, in MiB.
pub fn status_mib(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let found = status.lines().find_map(|l| l.strip_prefix(line)).expect("the line");
    found.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).expect("kilobytes") / 1024.0
}

pub fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").expect("Linux").split(' ').next().unwrap_or_default().into()
}

/// An argument `--name value`.
pub fn argument(name: &str) -> Option<String> {
    let mut all = std::env::args();
    all.find(|a| a == name)?;
    all.next()
}
