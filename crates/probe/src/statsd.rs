//! StatsD: does a server of metrics take what it is sent? Metrics go out over UDP and nobody says that they came, so it is
//! looked for where the server shows it.
//!
//! Three proofs, since the programs that speak StatsD have no question in common. `admin` is the administrative interface of
//! the first one (statsd by Etsy, and those that copied it): its health, its statistics and the gauge that was sent. `page` is
//! a page of metrics, as statsd_exporter, Telegraf, collectd and others have one. `sent` proves least: the port is open.

use std::net::SocketAddr;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialog::{Dialog, Measured, Parsed, parse_line, problems};
use crate::env::{Failure, addresses};
use crate::facts::{Conditions, Facts, MAX_FACTS, judge, with_named};
use crate::http::Ask;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::prometheus::parse_page;
use crate::protocol::{Check, Cx};
use crate::target::{parse_host_port, parse_web_address};

/// Parameters of `statsd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Statsd {
    /// How it is proven that metrics arrive: admin (the administrative interface of statsd: health, statistics, the gauge
    /// that was sent), page (a page of metrics, such as statsd_exporter's) or sent (only that nobody refuses them).
    proof: Proof,
    /// Port of the administrative interface, over TCP on the same host.
    admin_port: u16,
    /// The web address of the page of metrics, for example http://metrics-1.example.org:9102/metrics.
    page: Option<String>,
    /// Name of the gauge that is sent; its value is new each time.
    metric: String,
    /// How metrics are sent: udp or tcp.
    transport: Transport,
    /// Statistics of the administrative interface and what they must be: {"messages.bad_lines_seen": 0}.
    stats: Conditions,
    /// WARNING when it took at least this long until the gauge was seen.
    warn_time: Option<Span>,
    /// CRITICAL when it took at least this long until the gauge was seen.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Statsd {
    fn default() -> Self {
        Statsd {
            proof: Proof::Admin,
            admin_port: 8126,
            page: None,
            metric: "mainstay.check".to_owned(),
            transport: Transport::Udp,
            stats: Conditions::default(),
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// How it is proven that metrics arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// By the administrative interface.
    #[default]
    Admin,
    /// By a page of metrics.
    Page,
    /// Not at all: nobody refuses them.
    Sent,
}

/// What metrics are sent over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection.
    Tcp,
}

const PORT: u16 = 8125;
const ANSWER_LIMIT_BYTES: usize = 1 << 20;
const PAGE_LIMIT_BYTES: usize = 16 << 20;
/// How long to wait before the gauge is looked for again.
const AGAIN: Duration = Duration::from_millis(100);

impl Check for Statsd {
    const NAME: &'static str = "statsd";
    const TITLE: &'static str = "StatsD";
    const HELP: &'static str = "Sends a gauge to a server of metrics and looks for it in its administrative interface or on its page of metrics; judges the server's health and statistics.";
    const TARGET: &'static str = "host and port that metrics are sent to, for example metrics-1.example.org; port 8125";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, None, (self.warn_time, self.critical_time));
        let mut wrong = |field: &str, message: &str| problems.push(ParamError::new(field, message));
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if self.metric.is_empty() || self.metric.len() > 200 || !is_name(&self.metric) {
            wrong("metric", "is a name of at most 200 letters, digits, dots, hyphens and underscores");
        }
        match (self.proof, &self.page) {
            (Proof::Page, None) => wrong("page", "is needed for the proof by a page of metrics"),
            (Proof::Page, Some(page)) => {
                if let Err(why) = parse_web_address(page.as_bytes()) {
                    wrong("page", &why);
                }
            }
            (_, Some(_)) => wrong("page", "belongs to the proof by a page of metrics; set proof to page"),
            _ => {}
        }
        if self.proof != Proof::Admin && !self.stats.is_empty() {
            wrong("stats", "are told by the administrative interface only; set proof to admin");
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let port = target.port.unwrap_or(PORT);
        let mut random = [0; 4];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| Failure::Local("this machine gives no random numbers".to_owned()))?;
        let value = u32::from_be_bytes(random) % 1_000_000;
        let line = format!("{}:{value}|g\n", self.metric);
        // An interface that cannot be reached is told before a metric is left behind.
        let mut admin = None;
        if self.proof == Proof::Admin {
            let mut dialog = Dialog::dial(cx, &target.host, self.admin_port, self.family).await?;
            cx.trace.phase("statistics", "waiting for the statistics");
            dialog.say(b"health\n").await?;
            let health = dialog.next(ANSWER_LIMIT_BYTES, parse_health).await?;
            dialog.say(b"stats\n").await?;
            let stats = dialog.next(ANSWER_LIMIT_BYTES, parse_stats).await?;
            admin = Some((dialog, health, stats));
        }
        self.send(cx, &target.host, port, &line).await?;
        cx.trace.phase("arrival", "waiting for the gauge to arrive");
        let mut seen = Seen { peer: target.with_port(port), ..Seen::default() };
        match (admin, &self.page) {
            (Some((mut dialog, health, stats)), _) => {
                seen.arrived = Some(self.find_by_admin(cx, &mut dialog, value).await?);
                (seen.health, seen.stats) = (Some(health), stats);
            }
            (None, Some(page)) => seen.arrived = Some(self.find_on_page(cx, page, value).await?),
            (None, None) => {}
        }
        let seconds = cx.trace.elapsed().as_secs_f64();
        Ok(decide(self, &seen, &Measured { peer: seen.peer.clone(), seconds, certificate_left_days: None }))
    }
}

impl Statsd {
    async fn send(&self, cx: &Cx<'_>, host: &str, port: u16, line: &str) -> Result<(), Failure> {
        if self.transport == Transport::Tcp {
            return Dialog::dial(cx, host, port, self.family).await?.say(line.as_bytes()).await;
        }
        let found = addresses(cx, host, self.family).await?;
        let peer = SocketAddr::new(found[0], port);
        cx.trace.phase("send", "sending the gauge");
        let refused = |error: std::io::Error| Failure::from_io(&format!("sending metrics to {peer}"), &error);
        let socket = cx.env.net.datagrams(peer).await.map_err(refused)?;
        socket.send(line.as_bytes()).await.map_err(refused)?;
        // Whoever does not listen says so a little later, and the next datagram hears it; the value is the same.
        if let Ok(answer) = tokio::time::timeout(AGAIN, socket.receive()).await {
            answer.map_err(refused)?;
        }
        socket.send(line.as_bytes()).await.map_err(refused)
    }

    async fn find_by_admin(&self, cx: &Cx<'_>, dialog: &mut Dialog, value: u32) -> Result<bool, Failure> {
        while cx.remaining() > 2 * AGAIN {
            dialog.say(b"gauges\n").await?;
            let gauges = dialog.next(ANSWER_LIMIT_BYTES, parse_gauges).await?;
            if gauges.get(&self.metric) == Some(&f64::from(value)) {
                return Ok(true);
            }
            tokio::time::sleep(AGAIN).await; // polls: the gauge is there, within the check's time
        }
        Ok(false)
    }

    async fn find_on_page(&self, cx: &Cx<'_>, page: &str, value: u32) -> Result<bool, Failure> {
        let url = parse_web_address(page.as_bytes()).map_err(Failure::Local)?;
        while cx.remaining() > 2 * AGAIN {
            let answer = Ask::get(url.clone()).at_most(PAGE_LIMIT_BYTES).well(cx).await?;
            cx.trace.phase("arrival", "waiting for the gauge to arrive");
            if shows(&answer.body, &self.metric, value).map_err(|why| Failure::Peer(format!("{page} {why}")))? {
                return Ok(true);
            }
            tokio::time::sleep(AGAIN).await; // polls: the gauge is there, within the check's time
        }
        Ok(false)
    }
}

/// Whether a page of metrics shows the gauge with that value: in a name, or in a label as collectd writes it.
fn shows(page: &[u8], metric: &str, value: u32) -> Result<bool, String> {
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let wanted = plain(metric);
    let samples = parse_page(page)?;
    Ok(samples.iter().filter(|sample| sample.value == f64::from(value)).any(|sample| {
        plain(&sample.name).contains(&wanted) || sample.labels.iter().any(|(_, text)| plain(text).contains(&wanted))
    }))
}

/// Reads the answer to `health`: `health: up`.
///
/// # Errors
/// When it is something else, as the end of a sentence about the peer.
pub fn parse_health(bytes: &[u8]) -> Parsed<String> {
    let Some((line, length)) = parse_line(bytes)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&line);
    match text.strip_prefix("health: ") {
        Some(word) => Ok(Some((word.trim().chars().take(40).collect(), length))),
        None => Err(format!("is no administrative interface of statsd: it said {}", excerpt(&line))),
    }
}

/// Reads the answer to `stats`: lines `messages.bad_lines_seen: 0`, then `END` and an empty line.
///
/// # Errors
/// When a line is something else, as the end of a sentence about the peer.
pub fn parse_stats(bytes: &[u8]) -> Parsed<Facts> {
    let mut facts = Facts::new();
    let mut at = 0;
    while let Some((line, length)) = parse_line(&bytes[at..])? {
        at += length;
        let text = String::from_utf8_lossy(&line);
        if text.trim() == "END" {
            return Ok(bytes[at..].starts_with(b"\n").then_some((facts, at + 1)));
        }
        let (name, value) =
            text.split_once(": ").ok_or_else(|| format!("tells no statistics: it said {}", excerpt(&line)))?;
        if facts.len() < MAX_FACTS {
            facts.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    Ok(None)
}

/// Reads the answer to `gauges`: an object as JavaScript shows it, `{ 'a.b': 1, c: 2.5 }` on one line or several, then `END`
/// and an empty line.
///
/// # Errors
/// Never: what is no gauge is passed over.
pub fn parse_gauges(bytes: &[u8]) -> Parsed<std::collections::BTreeMap<String, f64>> {
    let Some(end) = bytes.windows(5).position(|five| five == b"END\n\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let inside = text.trim().trim_start_matches('{').trim_end_matches('}');
    let gauges = inside.split([',', '\n']).filter_map(|pair| {
        let (name, value) = pair.trim().rsplit_once(':')?;
        let name = name.trim().trim_matches(['\'', '"']);
        Some((name.to_owned(), value.trim().parse::<f64>().ok()?))
    });
    Ok(Some((gauges.take(100_000).collect(), end + 5)))
}

/// What was seen of a server.
#[derive(Debug, Default)]
pub struct Seen {
    /// Where metrics were sent to.
    pub peer: String,
    /// What the administrative interface says of its health.
    pub health: Option<String>,
    /// Its statistics.
    pub stats: Facts,
    /// Whether the gauge was found; `None` where it could not be looked for.
    pub arrived: Option<bool>,
}

/// The whole judgement.
pub fn decide(want: &Statsd, seen: &Seen, measured: &Measured) -> Outcome {
    let peer = &seen.peer;
    let (judged, end) = judge(&want.stats, &seen.stats);
    let (state, sentence) = match (seen.health.as_deref(), seen.arrived) {
        (Some(health), _) if health != "up" => (State::Critical, format!("{peer} says that its health is {health:?}")),
        (_, Some(false)) => {
            let metric = &want.metric;
            (State::Critical, format!("{peer} takes no metrics: the gauge {metric} that was sent does not arrive"))
        }
        (_, Some(true)) => (judged, format!("{peer} takes metrics{end}")),
        (_, None) => (State::Ok, format!("{peer} does not refuse metrics (whether it takes them is not proven)")),
    };
    let outcome = measured.outcome("statsd", state, &sentence, (want.warn_time, want.critical_time));
    let number = |name: &str| seen.stats.get(name).and_then(|value| value.parse::<f64>().ok());
    let readings = [
        ("uptime", "statsd_uptime_seconds", "seconds"),
        ("messages.bad_lines_seen", "statsd_bad_lines_total", ""),
        ("messages.last_msg_seen", "statsd_last_message_seconds", "seconds"),
    ];
    let outcome = readings.into_iter().fold(outcome, |outcome, (name, reading, unit)| match number(name) {
        Some(value) => outcome.with(reading, value, unit),
        None => outcome,
    });
    with_named(outcome, "statsd", &want.stats, &seen.stats)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn health_statistics_and_arrival_decide() {
        let (stats, _) = parse_stats(b"uptime: 30\nmessages.bad_lines_seen: 2\nEND\n\n").unwrap().unwrap();
        let seen = |health: Option<&str>, arrived| Seen {
            peer: "m:8125".into(),
            health: health.map(str::to_owned),
            stats: stats.clone(),
            arrived,
        };
        for (params, seen, state, part) in [
            (json!({}), seen(Some("up"), Some(true)), State::Ok, "m:8125 takes metrics, 100.0 ms"),
            (json!({}), seen(Some("down"), Some(true)), State::Critical, "its health is \"down\""),
            (
                json!({}),
                seen(Some("up"), Some(false)),
                State::Critical,
                "the gauge mainstay.check that was sent does not",
            ),
            (
                json!({"stats": {"messages.bad_lines_seen": 0}}),
                seen(Some("up"), Some(true)),
                State::Critical,
                "bad_lines_seen is \"2\"",
            ),
            (json!({"proof": "sent"}), seen(None, None), State::Ok, "does not refuse metrics"),
            (json!({"critical_time": "50ms"}), seen(Some("up"), Some(true)), State::Critical, "takes metrics"),
        ] {
            let want: Statsd = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "m:8125".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &seen, &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("statsd_bad_lines_total"), Some(2.0));
        }
    }

    #[test]
    fn what_proves_nothing_is_refused() {
        for (params, field) in [
            (json!({"proof": "page"}), "page"),
            (json!({"proof": "page", "page": "here"}), "page"),
            (json!({"page": "http://m:9102/metrics"}), "page"),
            (json!({"proof": "sent", "stats": {"uptime": "> 1"}}), "stats"),
            (json!({"metric": "a:1|c\nb"}), "metric"),
        ] {
            let want: Statsd = serde_json::from_value(params.clone()).unwrap();
            assert_eq!(want.problems("m")[0].field, field, "{params}");
        }
    }

    #[test]
    fn gauges_are_read_as_javascript_shows_them() {
        for (text, name, value) in [
            ("{ 'a.b': 1, c: 2.5 }\nEND\n\n", "a.b", 1.0),
            ("{\n  'statsd.lag': 0.25,\n  c: 2.5\n}\nEND\n\n", "c", 2.5),
            ("{ 'a:b': -3 }\nEND\n\n", "a:b", -3.0),
        ] {
            let (gauges, length) = parse_gauges(text.as_bytes()).unwrap().unwrap();
            assert_eq!((gauges.get(name), length), (Some(&value), text.len()), "{text}");
        }
        assert_eq!(parse_gauges(b"{ a: 1 }\nEN"), Ok(None));
    }

    #[test]
    fn a_gauge_is_found_under_every_name_that_servers_give_it() {
        for page in [
            "mainstay_check 42\n",
            "statsd_mainstay_check 42\n",
            "collectd_statsd_gauge{statsd=\"mainstay.check\",instance=\"m\"} 42 1700000000000\n",
        ] {
            assert_eq!(shows(page.as_bytes(), "mainstay.check", 42), Ok(true), "{page}");
            assert_eq!(shows(page.as_bytes(), "mainstay.check", 43), Ok(false), "{page}");
            assert_eq!(shows(page.as_bytes(), "other.check", 42), Ok(false), "{page}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "(\\{ )?('?\\PC{0,6}'?: [0-9.-]{0,4},? ?\n?){0,4}(END\n\n)?") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = (parse_health(bytes), parse_stats(bytes), parse_gauges(bytes));
            }
        }
    }
}
