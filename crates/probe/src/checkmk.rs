//! Checkmk agent: what an agent prints about its machine, in sections. Asks nothing, since the agent speaks unasked.
//!
//! Proven on recorded answers: the agent is in no archive where the tests run. What it encrypts (with a passphrase, or
//! once it is registered) is told as that, and not read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, OneOrMany, ParamError, Pattern, Span};
use crate::protocol::{Check, Cx};

/// Parameters of `checkmk`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Checkmk {
    /// Sections that must be there, for example "df" or ["df", "mem"].
    sections: OneOrMany,
    /// Sections and regular expressions that a line of each must match: {"systemd_units": "nginx.service.*running"}.
    lines: BTreeMap<String, Pattern>,
    /// WARNING when the whole output took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole output took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

const PORT: u16 = 6556;
const OUTPUT_LIMIT_BYTES: usize = 16 << 20;
const MAX_SECTIONS: usize = 2000;

impl Check for Checkmk {
    const NAME: &'static str = "checkmk";
    const TITLE: &'static str = "Checkmk agent";
    const HELP: &'static str =
        "Reads what an agent prints and judges which sections and lines are there. Proven on recorded answers.";
    const TARGET: &'static str = "host and port, for example web-1.example.org; port 6556 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        problems(target, None, (self.warn_time, self.critical_time))
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        cx.trace.phase("exchange", "waiting for the agent's output");
        let said = dialog.rest(OUTPUT_LIMIT_BYTES).await?;
        let measured = dialog.measured(cx);
        let sections = parse_output(&said).map_err(|why| Failure::Peer(format!("{} {why}", measured.peer)))?;
        Ok(decide(self, &sections, &measured))
    }
}

/// One section of an agent's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its name: `df`, `mem`, `check_mk`.
    pub name: String,
    /// The host that it is about where that is not the agent's own (piggybacked).
    pub host: Option<String>,
    /// What stands between its columns: a space unless the section says otherwise.
    pub separator: char,
    /// Its lines.
    pub lines: Vec<String>,
}

/// Reads an agent's output. Sections of one name and host are put together, as Checkmk does.
///
/// # Errors
/// When it is none, as the end of a sentence about the agent.
pub fn parse_output(bytes: &[u8]) -> Result<Vec<Section>, String> {
    if bytes.is_empty() {
        return Err("hung up without a word; is this machine among those that may ask (only_from)?".to_owned());
    }
    if !bytes.starts_with(b"<<<") {
        // Two digits say how it is encrypted; "16" says that TLS is wanted by a registered agent.
        let encrypted = bytes.len() > 2 && bytes[..2].iter().all(u8::is_ascii_digit);
        return Err(if encrypted {
            "answers encrypted, which is not read here; let it answer in the clear behind a tunnel".to_owned()
        } else {
            format!("does not speak as Checkmk's agents do: it said {}", excerpt(bytes))
        });
    }
    let text = String::from_utf8_lossy(bytes);
    let mut sections: Vec<Section> = Vec::new();
    let mut host = None;
    let mut current = None;
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("<<<<").and_then(|rest| rest.strip_suffix(">>>>")) {
            host = (!about.is_empty()).then(|| about.to_owned());
            current = None;
        } else if let Some(header) = line.strip_prefix("<<<").and_then(|rest| rest.strip_suffix(">>>")) {
            current = None;
            let (name, separator) = parse_header(header);
            if name.is_empty() {
                continue;
            }
            current = sections.iter().position(|section| section.name == name && section.host == host);
            if current.is_none() {
                if sections.len() == MAX_SECTIONS {
                    return Err(format!("has more than {MAX_SECTIONS} sections"));
                }
                sections.push(Section { name: name.to_owned(), host: host.clone(), separator, lines: Vec::new() });
                current = Some(sections.len() - 1);
            }
        } else if let Some(section) = current {
            sections[section].lines.push(line.to_owned());
        }
    }
    Ok(sections)
}

/// `df:sep(9):cached(…)` is a name and options, of which only the separator matters.
fn parse_header(header: &str) -> (&str, char) {
    let (name, options) = header.split_once(':').unwrap_or((header, ""));
    let separator = options.split(':').find_map(|option| option.strip_prefix("sep(")?.strip_suffix(')')?.parse().ok());
    (name, separator.and_then(char::from_u32).unwrap_or(' '))
}

/// The whole judgement.
pub fn decide(want: &Checkmk, sections: &[Section], measured: &Measured) -> Outcome {
    let own = |name: &str| sections.iter().find(|section| section.name == name && section.host.is_none());
    let told = |name: &str| {
        let lines = own("check_mk").into_iter().flat_map(|section| &section.lines);
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let missing = want.sections.0.iter().chain(want.lines.keys()).find(|name| own(name).is_none());
    let unmatched = want.lines.iter().find(|(name, pattern)| {
        own(name).is_some_and(|section| !section.lines.iter().any(|line| pattern.0.is_match(line.as_bytes())))
    });
    let (state, end) = match (missing, unmatched) {
        (Some(name), _) => (State::Critical, format!(", without the section {name}")),
        (None, Some((name, pattern))) => (State::Critical, format!(": no line of {name} matches {}", pattern.0)),
        (None, None) => (State::Ok, String::new()),
    };
    let version = told("Version").unwrap_or_else(|| "of unknown version".to_owned());
    let system = told("AgentOS").map(|system| format!(" on {system}")).unwrap_or_default();
    let sentence = format!("{}: agent {version}{system} prints {} sections{end}", measured.peer, sections.len());
    let mut outcome = measured.outcome("checkmk", state, &sentence, (want.warn_time, want.critical_time)).with(
        "checkmk_sections_count",
        sections.len() as f64,
        "",
    );
    let number = |name: &str, line: usize, column: usize| {
        own(name)?.lines.get(line)?.split_ascii_whitespace().nth(column)?.parse::<f64>().ok()
    };
    for (reading, value, unit) in [
        ("checkmk_uptime_seconds", number("uptime", 0, 0), "seconds"),
        ("checkmk_load_1m", number("cpu", 0, 0), ""),
        ("checkmk_processors_count", number("cpu", 0, 5), ""),
    ] {
        if let Some(value) = value {
            outcome = outcome.with(reading, value, unit);
        }
    }
    for line in own("mem").into_iter().flat_map(|section| &section.lines) {
        let mut words = line.split_ascii_whitespace();
        let kib = |words: &mut std::str::SplitAsciiWhitespace<'_>| words.next()?.parse::<f64>().ok();
        let reading = match words.next() {
            Some("MemTotal:") => "checkmk_memory_bytes",
            Some("MemAvailable:") => "checkmk_memory_available_bytes",
            _ => continue,
        };
        if let Some(kib) = kib(&mut words) {
            outcome = outcome.with(reading, kib * 1024.0, "bytes");
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const OUTPUT: &str = "<<<check_mk>>>\nVersion: 2.2.0p12\nAgentOS: linux\n<<<df_v2>>>\n/dev/vda1 ext4 100 50 50 50% /\n\
        <<<mem>>>\nMemTotal:        8192 kB\nMemAvailable:    4096 kB\n<<<cpu>>>\n0.50 0.40 0.30 1/200 12345 4\n\
        <<<uptime>>>\n86400.50 300000.00\n<<<>>>\nlost\n<<<<vm-1>>>>\n<<<esx:sep(124)>>>\na|b\n<<<<>>>>\n<<<df_v2>>>\nmore\n";

    #[test]
    fn sections_and_lines_decide() {
        for (params, state, part) in [
            (json!({}), State::Ok, "agent 2.2.0p12 on linux prints 6 sections"),
            (json!({"sections": ["df_v2", "mem"]}), State::Ok, "sections"),
            (json!({"sections": "mssql"}), State::Critical, "without the section mssql"),
            (json!({"sections": "esx"}), State::Critical, "without the section esx"), // that one is of another host
            (json!({"lines": {"df_v2": "ext4.* /$"}}), State::Ok, "sections"),
            (json!({"lines": {"df_v2": "xfs"}}), State::Critical, "no line of df_v2 matches xfs"),
        ] {
            let want: Checkmk = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "a:6556".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &parse_output(OUTPUT.as_bytes()).unwrap(), &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            for (reading, value) in [
                ("checkmk_uptime_seconds", 86_400.5),
                ("checkmk_load_1m", 0.5),
                ("checkmk_processors_count", 4.0),
                ("checkmk_memory_available_bytes", 4_194_304.0),
            ] {
                assert_eq!(outcome.reading(reading), Some(value), "{reading}");
            }
        }
    }

    #[test]
    fn sections_are_put_together_and_keep_their_separator() {
        let sections = parse_output(OUTPUT.as_bytes()).unwrap();
        let df = sections.iter().find(|section| section.name == "df_v2").unwrap();
        assert_eq!(df.lines, ["/dev/vda1 ext4 100 50 50 50% /", "more"]);
        let other = sections.iter().find(|section| section.name == "esx").unwrap();
        assert_eq!((other.host.as_deref(), other.separator), (Some("vm-1"), '|'));
        for (said, part) in
            [("", "only_from"), ("16", "does not speak"), ("03abc", "encrypted"), ("SSH-2.0", "does not speak")]
        {
            assert!(parse_output(said.as_bytes()).unwrap_err().contains(part), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_output_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "<<<([<>:a-b()0-9\n ]{0,9}>>>\n?){0,9}") {
            let _ = (parse_output(&bytes), parse_output(text.as_bytes()));
        }
    }
}
