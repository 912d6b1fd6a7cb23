//! Traceroute: which way do packets to a host take, where are they lost, and how long is each part? IPv4 and IPv6.
//!
//! Echoes, or datagrams of UDP, are sent that only one, two, three … hops pass on; whoever throws one away says so. A router may say
//! nothing, or nothing when it has much to do, so only what is lost at the host itself is judged. It needs CAP_NET_RAW.

mod packet;
mod walk;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use packet::{Fate, Heard, parse_heard};
pub use walk::{Hop, Way};

use self::walk::Pace;
use crate::env::{Failure, Range, addresses};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `traceroute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traceroute {
    /// How many hops are gone at most, 1 to 64.
    max_hops: u8,
    /// What is sent: icmp (echoes) or udp (datagrams, where echoes are kept back on the way, or go another way).
    by: Means,
    /// The port that datagrams go to, with by udp. One on which nobody listens: only then the host answers.
    port: u16,
    /// How many echoes or datagrams each hop gets, 1 to 10. A host answers only so many datagrams: Linux six at once, and then one a
    /// second.
    count: u8,
    /// How long a hop has to answer. Less where the check's time is too short for it.
    wait: Span,
    /// Addresses or ranges that the way must go through, else CRITICAL: ["192.0.2.1", "10.0.0.0/8"].
    through: Vec<Range>,
    /// Addresses or ranges that the way must not go through, else CRITICAL.
    not_through: Vec<Range>,
    /// WARNING when the host is at least so many hops away.
    warn_hops: Option<u8>,
    /// CRITICAL when the host is at least so many hops away.
    critical_hops: Option<u8>,
    /// WARNING from this share of them that the host does not answer, in percent.
    warn_loss_percent: f64,
    /// CRITICAL from this share of them that the host does not answer, in percent.
    critical_loss_percent: f64,
    /// WARNING when the host's replies took at least this long on average.
    warn_time: Option<Span>,
    /// CRITICAL when the host's replies took at least this long on average.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// Echoes.
    #[default]
    Icmp,
    /// Datagrams that nobody takes.
    Udp,
}

impl Default for Traceroute {
    fn default() -> Self {
        Traceroute {
            max_hops: 30,
            by: Means::Icmp,
            port: 33_434,
            count: 3,
            wait: Span::millis(1000),
            through: Vec::new(),
            not_through: Vec::new(),
            warn_hops: None,
            critical_hops: None,
            warn_loss_percent: 30.0,
            critical_loss_percent: 80.0,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

impl Check for Traceroute {
    const NAME: &'static str = "traceroute";
    const TITLE: &'static str = "Traceroute (path by ICMP or UDP)";
    const HELP: &'static str = "Follows the way to a host hop by hop, with round trip and loss of each, and judges whether it arrives, how far it is and whom it goes through.";
    const TARGET: &'static str = "a host name or address, for example web-1.example.org";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String| problems.push(ParamError::new(field, message));
        match parse_host_port(target.as_bytes()) {
            Err(message) => wrong("target", message),
            Ok(parsed) if parsed.port.is_some() => wrong(
                "target",
                format!("{target:?} names a port; echoes have none, and that of datagrams is the parameter port"),
            ),
            Ok(_) => {}
        }
        if !(1..=64).contains(&self.max_hops) {
            wrong("max_hops", format!("{} is not between 1 and 64", self.max_hops));
        }
        if self.port == 0 {
            wrong("port", "must not be 0".to_owned());
        }
        if !(1..=10).contains(&self.count) {
            wrong("count", format!("{} is not between 1 and 10", self.count));
        }
        let losses = (Some(self.warn_loss_percent), Some(self.critical_loss_percent));
        problems.extend(ordered(("warn_loss_percent", "critical_loss_percent"), losses.0, losses.1, |a, b| a > b));
        problems.extend(ordered(("warn_hops", "critical_hops"), self.warn_hops, self.critical_hops, |a, b| a > b));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, self.family).await?;
        cx.trace.phase("path", "waiting for the hops to answer");
        let port = (self.by == Means::Udp).then_some(self.port);
        let pace = Pace { max_hops: self.max_hops, count: self.count, wait: self.wait.0, port };
        let way = walk::walk(cx, found[0], pace).await?;
        Ok(decide(self, cx.target, &way))
    }
}

/// The whole judgement.
pub fn decide(want: &Traceroute, peer: &str, way: &Way) -> Outcome {
    let last = way.last_heard();
    let Some(distance) = way.distance else {
        let sentence = match (way.refused, last) {
            (Some((from, hop, why)), _) => {
                let before = if way.is_placed(hop) { "" } else { " or before" };
                format!("{peer} is not reached: {from} (hop {hop}{before}) says that {why}")
            }
            (None, Some((from, hop))) => {
                let tried = way.hops.len();
                format!("{peer} is not reached in {tried} hops; the last that answers is {from} (hop {hop})")
            }
            (None, None) => format!("{peer} is not reached, and nobody on the way answers"),
        };
        return with_hops(
            Outcome::new(State::Critical, sentence).with("traceroute_loss_percent", 100.0, "percent"),
            way,
        );
    };
    let host = &way.hops[distance - 1];
    let (average, loss) = (host.average_seconds().unwrap_or_default(), host.loss_percent());
    let passes = |range: &Range| way.hops.iter().flat_map(|hop| &hop.from).any(|from| range.holds(*from));
    let missed = want.through.iter().find(|range| !passes(range));
    let met = want.not_through.iter().find(|range| passes(range));
    let strays = match (missed, met) {
        (Some(range), _) => Some(format!("; it does not go through {range}")),
        (None, Some(range)) => Some(format!("; it goes through {range}")),
        (None, None) => None,
    };
    let hops = f64::from(u8::try_from(distance).unwrap_or(u8::MAX));
    let state = [
        State::when_above(hops, want.warn_hops.map(f64::from), want.critical_hops.map(f64::from)),
        State::when_above(loss, Some(want.warn_loss_percent), Some(want.critical_loss_percent)),
        State::when_above(average, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds)),
        if strays.is_some() { State::Critical } else { State::Ok },
    ];
    let state = state.into_iter().max().unwrap_or(State::Ok);
    let lost = if loss > 0.0 { format!(", {loss:.0} % lost") } else { String::new() };
    let plural = if distance == 1 { "hop" } else { "hops" };
    let sentence =
        format!("{peer} is {distance} {plural} away, {}{lost}{}", in_words(average), strays.unwrap_or_default());
    let outcome = Outcome::new(state, sentence)
        .with("traceroute_hops_count", hops, "")
        .with("traceroute_loss_percent", loss, "percent")
        .with("traceroute_round_trip_seconds", average, "seconds");
    with_hops(outcome, way)
}

/// Readings of each hop that answered.
fn with_hops(mut outcome: Outcome, way: &Way) -> Outcome {
    for (number, hop) in (1usize..).zip(&way.hops) {
        let Some((from, average)) = hop.from.first().zip(hop.average_seconds()) else { continue };
        if way.refused.is_some_and(|(_, refused, _)| refused == number && !way.is_placed(number)) {
            continue;
        }
        let labels = [("hop", format!("{number}")), ("address", from.to_string())];
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        outcome = outcome.with_labels("traceroute_hop_round_trip_seconds", average, "seconds", &labels).with_labels(
            "traceroute_hop_loss_percent",
            hop.loss_percent(),
            "percent",
            &labels,
        );
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn hop(from: &str, sent: u32, millis: &[u64]) -> Hop {
        let from = if from.is_empty() { Vec::new() } else { vec![from.parse().unwrap()] };
        Hop { from, sent, times: millis.iter().map(|millis| Duration::from_millis(*millis)).collect() }
    }

    #[test]
    fn arriving_distance_loss_time_and_the_way_decide() {
        let hops = || vec![hop("10.0.0.1", 3, &[1, 1, 1]), hop("", 3, &[]), hop("192.0.2.7", 3, &[10, 20])];
        let there = Way { hops: hops(), distance: Some(3), refused: None };
        let lost = Way { hops: hops()[..2].to_vec(), distance: None, refused: None };
        let refused =
            Way { refused: Some(("10.0.0.1".parse().unwrap(), 1, "it is forbidden to go there")), ..lost.clone() };
        let refused_late = Way {
            hops: vec![hop("", 3, &[]), hop("", 3, &[]), hop("10.0.0.1", 3, &[1])],
            distance: None,
            refused: Some(("10.0.0.1".parse().unwrap(), 3, "it is forbidden to go there")),
        };
        let of_refused = decide(&Traceroute::default(), "web", &refused_late);
        assert!(of_refused.readings.iter().all(|reading| !reading.labels.contains_key("hop")), "{of_refused:?}");
        let nobody = Way { hops: vec![hop("", 3, &[])], distance: None, refused: None };
        for (params, way, state, part) in [
            (json!({"warn_loss_percent": 50.0}), &there, State::Ok, "web is 3 hops away, 15.0 ms, 33 % lost"),
            (json!({}), &there, State::Warning, "33 % lost"),
            (json!({"warn_loss_percent": 50.0, "warn_hops": 3}), &there, State::Warning, "3 hops"),
            (json!({"warn_loss_percent": 50.0, "critical_hops": 3}), &there, State::Critical, "3 hops"),
            (json!({"critical_time": "15ms"}), &there, State::Critical, "15.0 ms"),
            (json!({"through": ["10.0.0.0/8"]}), &there, State::Warning, "lost"),
            (
                json!({"through": ["10.0.0.0/8", "10.9.0.1"]}),
                &there,
                State::Critical,
                "does not go through 10.9.0.1/32",
            ),
            (json!({"not_through": ["10.0.0.0/8"]}), &there, State::Critical, "; it goes through 10.0.0.0/8"),
            (json!({}), &lost, State::Critical, "not reached in 2 hops; the last that answers is 10.0.0.1 (hop 1)"),
            (json!({}), &refused, State::Critical, "10.0.0.1 (hop 1) says that it is forbidden to go there"),
            (json!({}), &refused_late, State::Critical, "10.0.0.1 (hop 3 or before) says that it is forbidden"),
            (json!({}), &nobody, State::Critical, "nobody on the way answers"),
        ] {
            let want: Traceroute = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, "web", way);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
        let outcome = decide(&Traceroute::default(), "web", &there);
        let of_hops = outcome.readings.iter().filter(|reading| reading.name == "traceroute_hop_loss_percent");
        let of_hops: Vec<_> = of_hops.map(|reading| (reading.labels["hop"].as_str(), reading.value)).collect();
        assert_eq!(of_hops[0], ("1", 0.0));
        assert_eq!((of_hops.len(), of_hops[1].0), (2, "3"));
    }

    #[test]
    fn bounds_are_told_before_anybody_is_asked() {
        for (params, field) in [
            (json!({"max_hops": 0}), "max_hops"),
            (json!({"count": 11}), "count"),
            (json!({"by": "udp", "port": 0}), "port"),
            (json!({"warn_hops": 9, "critical_hops": 3}), "critical_hops"),
        ] {
            let want: Traceroute = serde_json::from_value(params).unwrap();
            assert_eq!(want.problems("web")[0].field, field);
        }
        assert_eq!(Traceroute::default().problems("web:80")[0].field, "target");
    }
}
