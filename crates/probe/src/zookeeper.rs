//! ZooKeeper: does the server serve, in which mode, and are its figures as expected? Four-letter words; changes nothing.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, problems};
use crate::env::Failure;
use crate::facts::{Conditions, Facts, MAX_FACTS, judge, with_named};
use crate::outcome::{Outcome, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};

/// Parameters of `zookeeper`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Zookeeper {
    /// What the server tells and what it must be: {"mode": "~ leader|follower", "outstanding": "< 10"}. Names that begin
    /// with zk_ are asked for with mntr, which the server must allow (4lw.commands.whitelist); the others with srvr.
    values: Conditions,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

const PORT: u16 = 2181;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

impl Check for Zookeeper {
    const NAME: &'static str = "zookeeper";
    const TITLE: &'static str = "ZooKeeper";
    const HELP: &'static str = "Asks a server for its state (srvr, and mntr where wanted) and judges mode and figures.";
    const TARGET: &'static str = "host and port, for example zk-1.example.org; port 2181 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        problems(target, None, (self.warn_time, self.critical_time))
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let (mut facts, mut measured) = self.ask(cx, "srvr").await?;
        if self.values.keys().any(|name| name.starts_with("zk_")) {
            let (more, last) = self.ask(cx, "mntr").await?;
            facts.extend(more);
            measured = last;
        }
        Ok(decide(self, &facts, &measured))
    }
}

impl Zookeeper {
    /// One word over a connection of its own: the server ends it after its answer.
    async fn ask(&self, cx: &Cx<'_>, word: &str) -> Result<(Facts, Measured), Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        cx.trace.phase("exchange", "waiting for the server's state");
        dialog.say(word.as_bytes()).await?;
        let said = dialog.rest(ANSWER_LIMIT_BYTES).await?;
        let facts = parse_state(&said).map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?;
        Ok((facts, dialog.measured(cx)))
    }
}

/// Reads the answer to `srvr` (`Mode: leader`) or `mntr` (`zk_server_state<TAB>leader`). Names of srvr become small letters
/// with underscores.
///
/// # Errors
/// When the server does not serve or says something else, as the end of a sentence about it.
pub fn parse_state(bytes: &[u8]) -> Result<Facts, String> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("not currently serving requests") {
        return Err("is up, but serves no requests: it has no quorum".to_owned());
    }
    if text.contains("is not in the whitelist") || text.contains("is not executed") {
        return Err(format!("does not allow it: {}", excerpt(bytes)));
    }
    let mut facts = Facts::new();
    for line in text.lines().take(MAX_FACTS) {
        if let Some((name, value)) = line.split_once('\t') {
            facts.insert(name.to_owned(), value.trim().to_owned());
        } else if let Some((name, value)) = line.split_once(": ") {
            facts.insert(name.to_lowercase().replace([' ', '/'], "_"), value.trim().to_owned());
        }
    }
    let is_state = facts.contains_key("mode") || facts.contains_key("zk_version");
    if is_state { Ok(facts) } else { Err(format!("does not speak ZooKeeper's words: it said {}", excerpt(bytes))) }
}

/// The whole judgement.
pub fn decide(want: &Zookeeper, facts: &Facts, measured: &Measured) -> Outcome {
    let (state, end) = judge(&want.values, facts);
    let told = |name: &str| facts.get(name).map_or("unknown", String::as_str);
    let version = told("zookeeper_version").split(['-', ',']).next().unwrap_or_default().to_owned();
    let sentence = format!("{} serves as {} ({version}){end}", measured.peer, told("mode"));
    let mut outcome = measured.outcome("zookeeper", state, &sentence, (want.warn_time, want.critical_time));
    for (name, reading) in [
        ("connections", "zookeeper_connections_count"),
        ("outstanding", "zookeeper_outstanding_count"),
        ("node_count", "zookeeper_nodes_count"),
    ] {
        if let Some(value) = facts.get(name).and_then(|value| value.parse().ok()) {
            outcome = outcome.with(reading, value, "");
        }
    }
    with_named(outcome, "zookeeper", &want.values, facts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::outcome::State;

    const SRVR: &[u8] =
        b"Zookeeper version: 3.8.0--1, built on 2022-05-01\nLatency min/avg/max: 0/0.0/0\nReceived: 1\n\
        Connections: 1\nOutstanding: 0\nZxid: 0x0\nMode: standalone\nNode count: 5\n";

    #[test]
    fn mode_and_figures_decide() {
        for (params, state, part) in [
            (json!({}), State::Ok, "serves as standalone (3.8.0)"),
            (json!({"values": {"mode": "~ leader|follower"}}), State::Critical, "mode is \"standalone\""),
            (json!({"values": {"outstanding": "< 10"}}), State::Ok, "serves"),
        ] {
            let want: Zookeeper = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "z:2181".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &parse_state(SRVR).unwrap(), &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("zookeeper_nodes_count"), Some(5.0));
        }
    }

    #[test]
    fn a_server_that_does_not_serve_is_told_apart() {
        for (said, part) in [
            ("This ZooKeeper instance is not currently serving requests\n", "no quorum"),
            ("mntr is not executed because it is not in the whitelist.\n", "does not allow"),
            ("HTTP/1.1 400 Bad Request\r\n", "does not speak"),
            ("", "does not speak"),
        ] {
            assert!(parse_state(said.as_bytes()).unwrap_err().contains(part), "{said}");
        }
        assert_eq!(parse_state(b"zk_version\t3.8.0\nzk_server_state\tleader\n").unwrap()["zk_server_state"], "leader");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "(\\PC{0,9}: \\PC{0,9}\n){0,4}Mode: x\n") {
            let _ = (parse_state(&bytes), parse_state(text.as_bytes()));
        }
    }
}
