//! StatsD: does a server of metrics take what it is sent? Metrics go out over UDP and nobody says that they came, so it is
//! looked for where the server shows it.
//!
//! Three proofs, since the programs that speak StatsD have no question in common. `admin` is the administrative interface of
//! the first one (statsd by Etsy, and those that copied it): its health, its statistics and the gauge that was sent. `page` is
//! a page of metrics, as statsd_exporter, Telegraf, collectd and others have one. `sent` proves least: the port is open.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialog::{Dialog, Measured, Parsed, parse_line, problems};
use crate::env::{Failure, addresses, random};
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
    /// Name of the gauge that is sent; its value is new each time. One check's own: two checks that send the same gauge to
    /// one server overwrite each other's value, and neither finds its own.
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
/// All gauges of a server, and all of a page.
const GAUGES_LIMIT_BYTES: usize = 16 << 20;
const PAGE_LIMIT_BYTES: usize = 16 << 20;
/// How long to wait before the gauge is looked for again, at first.
const AGAIN: Duration = Duration::from_millis(100);
/// How long in the end.
const AGAIN_AT_MOST: Duration = Duration::from_secs(1);
/// What a look should be left at least.
const LOOK: Duration = Duration::from_millis(200);

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
        let value = u32::from_be_bytes(random()?) % 1_000_000;
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
        let mut pause = AGAIN;
        loop {
            dialog.say(b"gauges\n").await?;
            // What was looked through for the end is not looked through again: the answer may be long.
            let mut seen = 0;
            let whole = |bytes: &[u8]| {
                let end = end_of_gauges(bytes, seen);
                seen = bytes.len().saturating_sub(GAUGES_END.len() - 1);
                Ok(end.map(|end| (gauge_in(&bytes[..end], &self.metric), end + GAUGES_END.len())))
            };
            if dialog.next(GAUGES_LIMIT_BYTES, whole).await? == Some(f64::from(value)) {
                return Ok(true);
            }
            if !wait(cx, &mut pause).await {
                return Ok(false);
            }
        }
    }

    async fn find_on_page(&self, cx: &Cx<'_>, page: &str, value: u32) -> Result<bool, Failure> {
        let url = parse_web_address(page.as_bytes()).map_err(Failure::Local)?;
        let mut pause = AGAIN;
        loop {
            let answer = Ask::get(url.clone()).at_most(PAGE_LIMIT_BYTES).well(cx).await?;
            cx.trace.phase("arrival", "waiting for the gauge to arrive");
            if shows(&answer.body, &self.metric, value).map_err(|why| Failure::Peer(format!("{page} {why}")))? {
                return Ok(true);
            }
            if !wait(cx, &mut pause).await {
                return Ok(false);
            }
        }
    }
}

/// Waits before the next look, twice as long each time; false, and no wait, when there is no time for another look.
async fn wait(cx: &Cx<'_>, pause: &mut Duration) -> bool {
    let left = cx.remaining().saturating_sub(LOOK);
    if left.is_zero() {
        return false;
    }
    tokio::time::sleep((*pause).min(left)).await; // polls: the gauge is there, within the check's time
    *pause = (*pause * 2).min(AGAIN_AT_MOST);
    true
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

/// Ends the answer to `gauges`.
const GAUGES_END: &[u8] = b"END\n\n";

/// Reads the value of one gauge off the answer to `gauges`: an object as JavaScript shows it, `{ 'a.b': 1, c: 2.5 }` on one
/// line or several, then `END` and an empty line. The value is `None` when the gauge is not among them.
///
/// # Errors
/// Never: what is no gauge is passed over.
pub fn parse_gauge(bytes: &[u8], wanted: &str) -> Parsed<Option<f64>> {
    Ok(end_of_gauges(bytes, 0).map(|end| (gauge_in(&bytes[..end], wanted), end + GAUGES_END.len())))
}

/// Where the end of the answer begins, which is not before `from`.
fn end_of_gauges(bytes: &[u8], from: usize) -> Option<usize> {
    Some(from + bytes.get(from..)?.windows(GAUGES_END.len()).position(|part| part == GAUGES_END)?)
}

fn gauge_in(bytes: &[u8], wanted: &str) -> Option<f64> {
    let text = String::from_utf8_lossy(bytes);
    let inside = text.trim().trim_start_matches('{').trim_end_matches('}');
    inside.split([',', '\n']).find_map(|pair| {
        let (name, value) = pair.trim().rsplit_once(':')?;
        (name.trim().trim_matches(['\'', '"']) == wanted).then(|| value.trim().parse().ok())?
    })
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
            assert_eq!(parse_gauge(text.as_bytes(), name), Ok(Some((Some(value), text.len()))), "{text}");
            assert_eq!(parse_gauge(text.as_bytes(), "other"), Ok(Some((None, text.len()))), "{text}");
        }
        assert_eq!(parse_gauge(b"{ a: 1 }\nEN", "a"), Ok(None));
    }

    /// An administrative interface that shows so many other gauges, and ours in its `nth` answer, in pieces of `piece` bytes.
    async fn interface(others: usize, nth: usize, piece: usize) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let others: Vec<String> = (0..others).map(|at| format!("  'shop.basket.size.{at:06}': {at}")).collect();
            for answer in 1.. {
                let mut asked = [0; 7];
                if stream.read_exact(&mut asked).await.is_err() {
                    return;
                }
                let ours = if answer >= nth { ",\n  'mainstay.check': 42" } else { "" };
                let said = format!("{{\n{}{ours}\n}}\nEND\n\n", others.join(",\n"));
                for part in said.as_bytes().chunks(piece) {
                    stream.write_all(part).await.unwrap();
                }
            }
        });
        port
    }

    async fn looked_for(port: u16, timeout: Duration) -> Result<bool, Failure> {
        let env = crate::Env::real();
        let trace = crate::trace::Trace::new(env.clock.clone());
        let cx = Cx { env: &env, target: "m", timeout, trace: &trace };
        let mut dialog = Dialog::dial(&cx, "127.0.0.1", port, Family::Any).await?;
        Statsd::default().find_by_admin(&cx, &mut dialog, 42).await
    }

    #[tokio::test]
    async fn a_gauge_is_looked_for_however_little_time_is_left() {
        assert!(looked_for(interface(1, 1, 1000).await, Duration::ZERO).await.unwrap());
        assert!(!looked_for(interface(1, 2, 1000).await, Duration::ZERO).await.unwrap(), "and once is enough then");
        assert!(looked_for(interface(1, 3, 1000).await, Duration::from_secs(60)).await.unwrap(), "else it is again");
    }

    #[tokio::test]
    async fn a_server_of_many_gauges_is_well() {
        // 7 MB, whose end is found in whatever pieces it comes.
        let port = interface(200_000, 1, 4093).await;
        assert!(looked_for(port, Duration::from_secs(60)).await.unwrap());
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
                let _ = (parse_health(bytes), parse_stats(bytes), parse_gauge(bytes, "a"));
            }
        }
    }
}
