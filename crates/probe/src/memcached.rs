//! Memcached: does the server answer, and are its statistics as expected? Speaks the text protocol; stores nothing.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Parsed, parse_line, problems};
use crate::env::Failure;
use crate::facts::{Conditions, Facts, MAX_FACTS, judge, with_named};
use crate::outcome::{Outcome, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};

/// Parameters of `memcached`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memcached {
    /// Statistics and what they must be: {"curr_connections": "< 900", "evictions": 0}.
    stats: Conditions,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

const PORT: u16 = 11211;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

impl Check for Memcached {
    const NAME: &'static str = "memcached";
    const TITLE: &'static str = "Memcached";
    const HELP: &'static str = "Reads the server's statistics and judges them.";
    const TARGET: &'static str = "host and port, for example cache-1.example.org; port 11211 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        problems(target, None, (self.warn_time, self.critical_time))
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        cx.trace.phase("exchange", "waiting for the statistics");
        dialog.say(b"stats\r\n").await?;
        let stats = dialog.next(ANSWER_LIMIT_BYTES, parse_stats).await?;
        Ok(decide(self, &stats, &dialog.measured(cx)))
    }
}

/// Reads the answer to `stats`: lines `STAT name value`, then `END`.
///
/// # Errors
/// When a line is neither, as the end of a sentence about the peer.
pub fn parse_stats(bytes: &[u8]) -> Parsed<Facts> {
    let mut facts = Facts::new();
    let mut at = 0;
    while let Some((line, length)) = parse_line(&bytes[at..])? {
        at += length;
        if line == b"END" {
            return Ok(Some((facts, at)));
        }
        let text = String::from_utf8_lossy(&line);
        if text.starts_with("ERROR") || text.starts_with("CLIENT_ERROR") || text.starts_with("SERVER_ERROR") {
            return Err(format!("refuses to tell its statistics ({})", excerpt(&line)));
        }
        let pair = text.strip_prefix("STAT ").and_then(|pair| pair.split_once(' '));
        let Some((name, value)) = pair else {
            return Err(format!("does not speak the memcached protocol: it said {}", excerpt(&line)));
        };
        if facts.len() < MAX_FACTS {
            facts.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(None)
}

/// The whole judgement.
pub fn decide(want: &Memcached, stats: &Facts, measured: &Measured) -> Outcome {
    let number = |name: &str| stats.get(name).and_then(|value| value.parse::<f64>().ok());
    let (state, end) = judge(&want.stats, stats);
    let version = stats.get("version").map_or("of unknown version", String::as_str);
    let sentence = format!("{} answers ({version}){end}", measured.peer);
    let mut outcome = measured.outcome("memcached", state, &sentence, (want.warn_time, want.critical_time));
    for (name, reading, unit) in [
        ("uptime", "memcached_uptime_seconds", "seconds"),
        ("curr_connections", "memcached_connections_count", ""),
        ("curr_items", "memcached_items_count", ""),
        ("bytes", "memcached_memory_bytes", "bytes"),
        ("limit_maxbytes", "memcached_memory_limit_bytes", "bytes"),
        ("evictions", "memcached_evictions_total", ""),
        ("get_hits", "memcached_hits_total", ""),
        ("get_misses", "memcached_misses_total", ""),
    ] {
        if let Some(value) = number(name) {
            outcome = outcome.with(reading, value, unit);
        }
    }
    with_named(outcome, "memcached", &want.stats, stats)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::outcome::State;

    #[test]
    fn statistics_decide() {
        let (stats, _) = parse_stats(b"STAT version 1.6.18\r\nSTAT evictions 7\r\nEND\r\n").unwrap().unwrap();
        for (params, state, part) in [
            (json!({}), State::Ok, "answers (1.6.18)"),
            (json!({"stats": {"evictions": 0}}), State::Critical, "evictions is \"7\", where 0 is expected"),
            (json!({"critical_time": "1ms"}), State::Critical, "2.0 ms"),
        ] {
            let want: Memcached = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "a:1".into(), seconds: 0.002, certificate_left_days: None };
            let outcome = decide(&want, &stats, &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("memcached_evictions_total"), Some(7.0));
        }
    }

    #[test]
    fn only_statistics_are_read() {
        assert_eq!(parse_stats(b"STAT a 1\r\nSTAT b"), Ok(None));
        assert!(parse_stats(b"ERROR\r\n").unwrap_err().contains("refuses"));
        assert!(parse_stats(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err().contains("does not speak"));
    }

    proptest! {
        #[test]
        fn no_statistics_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "(STAT \\PC{0,9}\r\n){0,3}") {
            let _ = parse_stats(&bytes);
            let _ = parse_stats(text.as_bytes());
        }
    }
}
