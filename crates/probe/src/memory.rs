//! Memory: how much is left for programs, and how far swap is used. Reads `/proc/meminfo`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::Failure;
use crate::outcome::{Outcome, State};
use crate::params::{ParamError, ordered};
use crate::protocol::{Check, Cx};

/// Parameters of `memory`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// WARNING below this share of memory that programs can still get, in percent.
    warn_available_percent: f64,
    /// CRITICAL below this share of memory that programs can still get, in percent.
    critical_available_percent: f64,
    /// WARNING from this share of swap in use, in percent. Swap is not judged when left out.
    warn_swap_percent: Option<f64>,
    /// CRITICAL from this share of swap in use, in percent. Swap is not judged when left out.
    critical_swap_percent: Option<f64>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            warn_available_percent: 10.0,
            critical_available_percent: 5.0,
            warn_swap_percent: None,
            critical_swap_percent: None,
        }
    }
}

impl Check for Memory {
    const NAME: &'static str = "memory";
    const TITLE: &'static str = "Memory";
    const HELP: &'static str = "The memory that programs can still get without swapping (MemAvailable: caches that can go are not counted as used), and swap.";
    const TARGET: &'static str = "empty: the machine it runs on";
    const LOCAL: bool = true;

    fn problems(&self, _target: &str) -> Vec<ParamError> {
        let available = (Some(self.warn_available_percent), Some(self.critical_available_percent));
        let names = ("warn_available_percent", "critical_available_percent");
        ordered(names, available.0, available.1, |a, b| a < b)
            .into_iter()
            .chain(ordered(
                ("warn_swap_percent", "critical_swap_percent"),
                self.warn_swap_percent,
                self.critical_swap_percent,
                |a, b| a > b,
            ))
            .collect()
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        const FILE: &str = "/proc/meminfo";
        cx.trace.phase("read", "reading /proc/meminfo");
        let bytes = cx
            .env
            .host
            .read(Path::new(FILE))
            .await
            .map_err(|error| Failure::Local(format!("{FILE} cannot be read: {error}")))?;
        let seen = parse_meminfo(&bytes)
            .ok_or_else(|| Failure::Local(format!("{FILE} does not tell MemAvailable (Linux 3.14 or newer does)")))?;
        Ok(decide(self, &seen))
    }
}

/// What `/proc/meminfo` says, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meminfo {
    /// All memory the kernel manages; never 0.
    pub total_bytes: u64,
    /// What programs can still get without swapping.
    pub available_bytes: u64,
    /// All swap; 0 where there is none.
    pub swap_total_bytes: u64,
    /// Unused swap.
    pub swap_free_bytes: u64,
}

/// Reads `/proc/meminfo`. `None` without a positive `MemTotal` and a `MemAvailable`.
pub fn parse_meminfo(bytes: &[u8]) -> Option<Meminfo> {
    let text = String::from_utf8_lossy(bytes);
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Meminfo {
        total_bytes: field("MemTotal").filter(|total| *total > 0)?,
        available_bytes: field("MemAvailable")?,
        swap_total_bytes: field("SwapTotal").unwrap_or(0),
        swap_free_bytes: field("SwapFree").unwrap_or(0),
    })
}

/// The whole judgement.
pub fn decide(want: &Memory, seen: &Meminfo) -> Outcome {
    let available = 100.0 * seen.available_bytes as f64 / seen.total_bytes as f64;
    let swap = (seen.swap_total_bytes > 0).then(|| {
        100.0 * seen.swap_total_bytes.saturating_sub(seen.swap_free_bytes) as f64 / seen.swap_total_bytes as f64
    });
    let memory_state =
        State::when_below(available, Some(want.warn_available_percent), Some(want.critical_available_percent));
    let swap_state =
        swap.map_or(State::Ok, |used| State::when_above(used, want.warn_swap_percent, want.critical_swap_percent));
    let mut summary =
        format!("{available:.1} % of {:.1} GiB memory available", seen.total_bytes as f64 / f64::from(1 << 30));
    if let Some(used) = swap {
        summary.push_str(&format!(", {used:.1} % of swap used"));
    }
    let outcome = Outcome::new(memory_state.max(swap_state), summary)
        .with("memory_available_percent", available, "percent")
        .with("memory_available_bytes", seen.available_bytes as f64, "bytes")
        .with("memory_total_bytes", seen.total_bytes as f64, "bytes");
    match swap {
        Some(used) => outcome.with("swap_used_percent", used, "percent"),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn machine(available: u64, swap_free: u64) -> Meminfo {
        Meminfo { total_bytes: 1000, available_bytes: available, swap_total_bytes: 100, swap_free_bytes: swap_free }
    }

    #[test]
    fn the_worse_of_memory_and_swap_decides() {
        for (params, seen, state) in [
            (json!({}), machine(500, 0), State::Ok), // swap is not judged unless asked
            (json!({}), machine(100, 100), State::Ok),
            (json!({}), machine(99, 100), State::Warning),
            (json!({}), machine(49, 100), State::Critical),
            (json!({"warn_swap_percent": 50.0}), machine(500, 50), State::Warning),
            (json!({"critical_swap_percent": 80.0}), machine(500, 10), State::Critical),
            (json!({"warn_swap_percent": 1.0}), Meminfo { swap_total_bytes: 0, ..machine(500, 0) }, State::Ok), // no swap
        ] {
            let want: Memory = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, &seen);
            assert_eq!(outcome.state, state, "{params} {seen:?}: {}", outcome.summary);
        }
    }

    #[test]
    fn meminfo_reads_as_the_kernel_writes_it() {
        let text = b"MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\nSwapTotal:   0 kB\nSwapFree:   0 kB\n";
        let seen = parse_meminfo(text).unwrap();
        assert_eq!((seen.total_bytes, seen.available_bytes), (16 << 20, 8 << 20));
        assert_eq!(parse_meminfo(b"MemTotal: 16384 kB\n"), None);
        assert_eq!(parse_meminfo(b"MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
    }

    proptest! {
        #[test]
        fn meminfo_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), numbers in any::<[u64; 4]>()) {
            let _ = parse_meminfo(&bytes);
            let text = format!("MemTotal: {} kB\nMemAvailable: {} kB\nSwapTotal: {} kB\nSwapFree: {}", numbers[0], numbers[1], numbers[2], numbers[3]);
            if let Some(seen) = parse_meminfo(text.as_bytes()) {
                decide(&Memory::default(), &seen);
            }
        }
    }
}
