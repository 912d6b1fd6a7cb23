//! Load: how many processes want to run, for each core. Reads two small files; knows nothing of which processes.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::Failure;
use crate::outcome::{Outcome, State};
use crate::params::{ParamError, ordered};
use crate::protocol::{Check, Cx};

/// Parameters of `load`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Which average is judged: 1m, 5m or 15m.
    window: Window,
    /// WARNING from this load for each core.
    warn_per_core: f64,
    /// CRITICAL from this load for each core.
    critical_per_core: f64,
}

impl Default for Load {
    fn default() -> Self {
        Load { window: Window::Five, warn_per_core: 2.0, critical_per_core: 4.0 }
    }
}

/// One of the kernel's three averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Window {
    /// The last minute.
    #[serde(rename = "1m")]
    One,
    /// The last five minutes.
    #[serde(rename = "5m")]
    Five,
    /// The last fifteen minutes.
    #[serde(rename = "15m")]
    Fifteen,
}

impl Check for Load {
    const NAME: &'static str = "load";
    const TITLE: &'static str = "Load";
    const HELP: &'static str = "The load average divided by the cores: above 1, processes wait for a core or a disk.";
    const TARGET: &'static str = "empty: the machine it runs on";
    const LOCAL: bool = true;

    fn problems(&self, _target: &str) -> Vec<ParamError> {
        let bounds = (Some(self.warn_per_core), Some(self.critical_per_core));
        ordered(("warn_per_core", "critical_per_core"), bounds.0, bounds.1, |a, b| a > b).into_iter().collect()
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        const AVERAGES: &str = "/proc/loadavg";
        const CORES: &str = "/sys/devices/system/cpu/online";
        cx.trace.phase("read", "reading /proc/loadavg");
        let read = async |path: &'static str| {
            cx.env
                .host
                .read(Path::new(path))
                .await
                .map_err(|error| Failure::Local(format!("{path} cannot be read: {error}")))
        };
        let averages = parse_load_average(&read(AVERAGES).await?)
            .ok_or_else(|| Failure::Local(format!("{AVERAGES} does not look as the kernel writes it")))?;
        let cores = parse_cpu_list(&read(CORES).await?)
            .ok_or_else(|| Failure::Local(format!("{CORES} does not look as the kernel writes it")))?;
        Ok(decide(self, averages, cores))
    }
}

/// The averages over 1, 5 and 15 minutes.
pub fn parse_load_average(bytes: &[u8]) -> Option<[f64; 3]> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut numbers =
        text.split_ascii_whitespace().map(|word| word.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0));
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// How many processors a list such as `0-3,8,10-11` names; never 0, at most 65,536.
pub fn parse_cpu_list(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut count = 0u32;
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
        count = count.checked_add(u32::from(last.checked_sub(first)?) + 1)?;
    }
    (1..=65_536).contains(&count).then_some(count)
}

/// The whole judgement.
pub fn decide(want: &Load, averages: [f64; 3], cores: u32) -> Outcome {
    let per_core = averages.map(|average| average / f64::from(cores));
    let (judged, minutes) = match want.window {
        Window::One => (per_core[0], 1),
        Window::Five => (per_core[1], 5),
        Window::Fifteen => (per_core[2], 15),
    };
    let state = State::when_above(judged, Some(want.warn_per_core), Some(want.critical_per_core));
    let cores_in_words = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    let summary = format!("load {judged:.2} per core over {minutes} min ({cores_in_words})");
    Outcome::new(state, summary)
        .with("load_1m_per_core", per_core[0], "")
        .with("load_5m_per_core", per_core[1], "")
        .with("load_15m_per_core", per_core[2], "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn load_is_judged_by_the_core_and_the_window() {
        let averages = [16.0, 8.0, 1.0];
        for (params, cores, state) in [
            (json!({}), 8, State::Ok),
            (json!({}), 4, State::Warning), // 2.0: the bound itself counts
            (json!({}), 2, State::Critical),
            (json!({"window": "1m"}), 8, State::Warning),
            (json!({"window": "15m"}), 1, State::Ok),
            (json!({"warn_per_core": 0.5}), 8, State::Warning),
        ] {
            let want: Load = serde_json::from_value(params.clone()).unwrap();
            assert_eq!(decide(&want, averages, cores).state, state, "{params} on {cores}");
        }
    }

    #[test]
    fn the_kernels_files_read_as_they_are_written() {
        assert_eq!(parse_load_average(b"0.52 1.58 10.59 2/597 12345\n"), Some([0.52, 1.58, 10.59]));
        for wrong in [b"".as_slice(), b"1 2", b"a b c", b"1 nan 3", b"-1 0 0"] {
            assert_eq!(parse_load_average(wrong), None);
        }
        for (text, cores) in
            [("0\n", Some(1)), ("0-3", Some(4)), ("0-3,8,10-11", Some(7)), ("", None), ("3-0", None), ("0-x", None)]
        {
            assert_eq!(parse_cpu_list(text.as_bytes()), cores, "{text}");
        }
    }

    proptest! {
        #[test]
        fn neither_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[0-9,. -]{0,40}") {
            let _ = (parse_load_average(&bytes), parse_cpu_list(&bytes));
            let _ = (parse_load_average(text.as_bytes()), parse_cpu_list(text.as_bytes()));
        }
    }
}
