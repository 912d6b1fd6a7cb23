//! Plugin: runs a monitoring plugin as Nagios does and believes its exit code; reads its performance data as readings.
//!
//! No shell, and no program but those that stand in the folders for plugins: a check is not a way to run anything at all.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, Ran};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::ParamError;
use crate::protocol::{Check, Cx};

/// Parameters of `plugin`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plugin {
    /// Arguments, each as the plugin gets it: ["-H", "db-1", "-w", "5"]. They can be seen by every user of the machine,
    /// so passwords do not belong here.
    arguments: Vec<String>,
}

/// Where plugins stand; the first folder that has the name is taken.
const FOLDERS: &[&str] =
    &["/etc/mainstay/plugins", "/usr/local/lib/nagios/plugins", "/usr/lib/nagios/plugins", "/usr/lib64/nagios/plugins"];

impl Check for Plugin {
    const NAME: &'static str = "plugin";
    const TITLE: &'static str = "Monitoring plugin";
    const HELP: &'static str = "Runs a plugin of Nagios' kind from this machine's folders for plugins; its exit code is the state, its performance data become readings.";
    const TARGET: &'static str =
        "the plugin's name, for example check_http; it stands in /etc/mainstay/plugins or /usr/lib/nagios/plugins";
    const LOCAL: bool = true;

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        let is_name = target.starts_with(|c: char| c.is_ascii_alphanumeric())
            && target.len() <= 100
            && target.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !is_name {
            problems.push(ParamError::new("target", format!("{target:?} is no plugin's name, for example check_http")));
        }
        let total: usize = self.arguments.iter().map(|argument| argument.len() + 1).sum();
        if self.arguments.len() > 200 || total > 64 << 10 || self.arguments.iter().any(|text| text.contains('\0')) {
            problems.push(ParamError::new("arguments", "are at most 200, of 64 KiB together, without NUL"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        cx.trace.phase("run", "waiting for the plugin to end");
        let programs: Vec<String> = FOLDERS.iter().map(|folder| format!("{folder}/{}", cx.target)).collect();
        let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        // The check's own timeout comes first, and says so.
        match cx.env.host.run_first(&programs, &arguments, cx.timeout).await {
            Ok(ran) => Ok(decide(cx.target, &ran)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (name, folders) = (cx.target, FOLDERS.join(", "));
                Err(Failure::Local(format!("there is no plugin {name} on this machine; put it into one of {folders}")))
            }
            Err(error) => Err(Failure::Local(format!("{} was not run to its end: {error}", cx.target))),
        }
    }
}

/// What a plugin wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The first line, without performance data.
    pub summary: String,
    /// The other lines, without performance data.
    pub details: String,
    /// Performance data, in the order of the output.
    pub performance: Vec<Performance>,
}

/// One value of the performance data: `'disk /'=42GB;80;90;0;100`.
#[derive(Clone, Debug, PartialEq)]
pub struct Performance {
    /// Its label.
    pub label: String,
    /// The value in `unit`: milliseconds are already seconds, kilobytes bytes.
    pub value: f64,
    /// `seconds`, `bytes`, `percent`, or empty; a counter has `total`.
    pub unit: &'static str,
    /// `warn`, `critical`, `min` and `max` where they are plain numbers, in the same unit.
    pub bounds: BTreeMap<&'static str, f64>,
}

/// Reads a plugin's output: `TEXT | PERFORMANCE`, then more lines, of which the last part may be performance data again.
pub fn parse_output(bytes: &[u8]) -> Output {
    const MAX_LINES: usize = 1000;
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().take(MAX_LINES);
    let (summary, first) = split(lines.next().unwrap_or_default());
    let mut data = first.to_owned();
    let mut details = Vec::new();
    let mut in_data = false;
    for line in lines {
        if in_data {
            data.push(' ');
            data.push_str(line);
            continue;
        }
        let (words, more) = split(line);
        details.push(words);
        if line.contains('|') {
            in_data = true;
            data.push(' ');
            data.push_str(more);
        }
    }
    let details = details.join("\n").trim().to_owned();
    Output { summary: summary.trim().to_owned(), details, performance: parse_performance(data.as_bytes()) }
}

fn split(line: &str) -> (&str, &str) {
    line.split_once('|').unwrap_or((line, ""))
}

/// Reads performance data. What cannot be read is left out: a plugin's slip must not cost its other values.
pub fn parse_performance(bytes: &[u8]) -> Vec<Performance> {
    const MAX_VALUES: usize = 500;
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    while !rest.is_empty() && found.len() < MAX_VALUES {
        let Some((label, after)) = take_label(rest) else { break };
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (words, after) = after.split_at(end);
        rest = after.trim_start();
        found.extend(one_value(label, words));
    }
    found
}

/// The label before `=`, with its quotes taken off (two quotes stand for one).
fn take_label(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let (label, rest) = text.split_once('=')?;
        return Some((label.trim().to_owned(), rest));
    };
    let mut label = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('\'')?;
        label.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                label.push('\'');
                rest = after;
            }
            None => return Some((label, after.strip_prefix('=')?)),
        }
    }
}

fn one_value(label: String, words: &str) -> Option<Performance> {
    let mut parts = words.split(';');
    let first = parts.next()?;
    let end = first.find(|c: char| !(c.is_ascii_digit() || "+-.,eE".contains(c))).unwrap_or(first.len());
    let (mut number, mut symbol) = first.split_at(end);
    // "5E" is five of the unit E, and no half-written power of ten.
    if let Some(shorter) = number.strip_suffix(['e', 'E']) {
        symbol = &first[shorter.len()..];
        number = shorter;
    }
    let value = number.replace(',', ".").parse::<f64>().ok().filter(|value| value.is_finite())?;
    let (unit, scale) = match symbol {
        "s" => ("seconds", 1.0),
        "ms" => ("seconds", 1e-3),
        "us" | "µs" => ("seconds", 1e-6),
        "ns" => ("seconds", 1e-9),
        "%" => ("percent", 1.0),
        "B" => ("bytes", 1.0),
        "KB" | "kB" => ("bytes", 1e3),
        "MB" => ("bytes", 1e6),
        "GB" => ("bytes", 1e9),
        "TB" => ("bytes", 1e12),
        "KiB" => ("bytes", 1024.0),
        "MiB" => ("bytes", 1_048_576.0),
        "GiB" => ("bytes", 1_073_741_824.0),
        "TiB" => ("bytes", 1_099_511_627_776.0),
        "c" => ("total", 1.0),
        _ => ("", 1.0),
    };
    let bounds = ["warn", "critical", "min", "max"].into_iter().zip(parts);
    let bounds = bounds.filter_map(|(name, text)| Some((name, text.trim().parse::<f64>().ok()? * scale)));
    (!label.is_empty()).then(|| Performance { label, value: value * scale, unit, bounds: bounds.collect() })
}

/// The outcome with a reading for each value of the performance data.
pub(crate) fn with_performance(mut outcome: Outcome, name: &str, performance: &[Performance]) -> Outcome {
    for one in performance {
        outcome = outcome.with_labels(name, one.value, one.unit, &[("label", &one.label)]);
    }
    outcome
}

/// The state that an exit code means; `None` for one that means nothing.
pub(crate) fn state_of(code: i32) -> Option<State> {
    Some(match code {
        0 => State::Ok,
        1 => State::Warning,
        2 => State::Critical,
        3 => State::Unknown,
        _ => return None,
    })
}

/// The plugin's own judgement, where it gave one, and its words.
pub(crate) fn own_judgement(name: &str, ran: &Ran, output: &Output) -> (State, String) {
    let complaint = if ran.stderr.is_empty() { String::new() } else { format!(" ({})", excerpt(&ran.stderr)) };
    let said =
        if output.summary.is_empty() { format!("{name} said nothing{complaint}") } else { output.summary.clone() };
    match (ran.code, ran.code.and_then(state_of)) {
        // Without a word an OK may be the exit code of something else.
        (_, Some(State::Ok)) if output.summary.is_empty() => (State::Unknown, said),
        (_, Some(state)) => (state, said),
        (Some(code), None) => {
            (State::Unknown, format!("{name} ended with the code {code}, which means nothing (0 to 3 do): {said}"))
        }
        (None, None) => (State::Unknown, format!("{name} was ended by a signal: {said}")),
    }
}

/// The whole judgement: the plugin's own, with its readings.
pub fn decide(name: &str, ran: &Ran) -> Outcome {
    let output = parse_output(&ran.stdout);
    let (state, said) = own_judgement(name, ran, &output);
    let outcome = Outcome::new(state, said);
    let outcome = match ran.cost {
        Some(cost) => outcome.with("plugin_cpu_seconds", cost.cpu.as_secs_f64(), "seconds").with(
            "plugin_memory_bytes",
            cost.memory_bytes as f64,
            "bytes",
        ),
        None => outcome,
    };
    with_performance(outcome, "plugin_value", &output.performance)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn ran(code: Option<i32>, stdout: &str) -> Ran {
        Ran { code, stdout: stdout.into(), ..Ran::default() }
    }

    #[test]
    fn the_exit_code_is_the_state() {
        for (code, stdout, state, part) in [
            (Some(0), "DISK OK - free space\n", State::Ok, "DISK OK - free space"),
            (Some(1), "WARN | a=1", State::Warning, "WARN"),
            (Some(2), "gone", State::Critical, "gone"),
            (Some(3), "usage", State::Unknown, "usage"),
            (Some(0), "", State::Unknown, "said nothing"),
            (Some(127), "x", State::Unknown, "the code 127"),
            (None, "x", State::Unknown, "ended by a signal"),
        ] {
            let outcome = decide("check_x", &ran(code, stdout));
            assert_eq!(outcome.state, state, "{code:?}");
            assert!(outcome.summary.contains(part), "{}", outcome.summary);
        }
    }

    #[test]
    fn output_of_several_lines_is_read_as_the_guidelines_say() {
        let text = "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n/ 15272 MB (77%);\n\
            /boot 68 MB (69%);\n/home 69357 MB (27%); | /boot=68MB;88;93;0;98\n'/home dir'=69357MB;253404\nit''s=1";
        let output = parse_output(text.as_bytes());
        assert_eq!(output.summary, "DISK OK - free space: / 3326 MB (56%);");
        assert_eq!(output.details.lines().count(), 3);
        let labels: Vec<&str> = output.performance.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(labels, ["/", "/boot", "/home dir", "it''s"]);
        assert_eq!((output.performance[0].value, output.performance[0].unit), (2.643e9, "bytes"));
        assert_eq!(output.performance[0].bounds["critical"], 5.958e9);
    }

    #[test]
    fn values_carry_their_units() {
        for (text, value, unit) in [
            ("time=12.5ms", 0.0125, "seconds"),
            ("load=1,5", 1.5, ""),
            ("used=-3%", -3.0, "percent"),
            ("in=12c", 12.0, "total"),
            ("n=1.5e3", 1500.0, ""),
            ("big=2KiB;1:;@3:4", 2048.0, "bytes"),
        ] {
            let found = parse_performance(text.as_bytes());
            assert!((found[0].value - value).abs() < 1e-9, "{text}: {found:?}");
            assert_eq!(found[0].unit, unit, "{text}");
        }
        for nothing in ["", "=1", "a=U", "a", "'a", "a=;1"] {
            assert!(parse_performance(nothing.as_bytes()).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn only_a_name_is_a_plugin() {
        let want: Plugin = serde_json::from_value(json!({})).unwrap();
        for wrong in ["", "/bin/sh", "../../../bin/sh", "check x", "-c", ".hidden"] {
            assert_eq!(want.problems(wrong)[0].field, "target", "{wrong}");
        }
        assert!(want.problems("check_http").is_empty());
    }

    proptest! {
        #[test]
        fn no_output_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "\\PC{0,9}[|]( ?'?\\PC{1,5}'?=[0-9.,eE]{0,6}[a-zA-Z%]{0,3};){0,4}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = (parse_output(bytes), parse_performance(bytes));
            }
        }
    }
}
