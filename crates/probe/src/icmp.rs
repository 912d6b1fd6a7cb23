//! ICMP: does the host answer echoes, how many, how fast? Sends a few, one after the other; sweeps live elsewhere.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::env::{Failure, addresses};
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::target::parse_host_port;

/// Parameters of `icmp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Icmp {
    /// How many echoes are sent, 1 to 20.
    count: u8,
    /// How long to wait between a reply and the next echo.
    pause: Span,
    /// Bytes of payload in each echo, 0 to 1400.
    payload_bytes: u16,
    /// WARNING from this share of echoes without a reply, in percent.
    warn_loss_percent: f64,
    /// CRITICAL from this share of echoes without a reply, in percent.
    critical_loss_percent: f64,
    /// WARNING when replies took at least this long on average.
    warn_time: Option<Span>,
    /// CRITICAL when replies took at least this long on average.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Icmp {
    fn default() -> Self {
        Icmp {
            count: 3,
            pause: Span::millis(100),
            payload_bytes: 56,
            warn_loss_percent: 30.0,
            critical_loss_percent: 80.0,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

impl Check for Icmp {
    const NAME: &'static str = "icmp";
    const TITLE: &'static str = "ICMP echo (ping)";
    const HELP: &'static str = "Sends a few echoes and judges the share that is lost and the average round trip.";
    const TARGET: &'static str = "a host name or address, for example web-1.example.org";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        match parse_host_port(target.as_bytes()) {
            Err(message) => problems.push(ParamError::new("target", message)),
            Ok(parsed) if parsed.port.is_some() => {
                problems.push(ParamError::new("target", format!("{target:?} names a port; echoes have none")));
            }
            Ok(_) => {}
        }
        if !(1..=20).contains(&self.count) {
            problems.push(ParamError::new("count", format!("{} is not between 1 and 20", self.count)));
        }
        if self.payload_bytes > 1400 {
            problems
                .push(ParamError::new("payload_bytes", format!("{} is not between 0 and 1400", self.payload_bytes)));
        }
        let losses = (Some(self.warn_loss_percent), Some(self.critical_loss_percent));
        problems.extend(ordered(("warn_loss_percent", "critical_loss_percent"), losses.0, losses.1, |a, b| a > b));
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, self.family).await?;
        let peer = found[0];
        cx.trace.phase("echo", "waiting for echo replies");
        // Every echo gets its share of the time, so that lost ones are counted before the check's timeout ends it.
        let pauses = self.pause.0 * u32::from(self.count - 1);
        let share = cx.remaining().mul_f64(0.9).saturating_sub(pauses) / u32::from(self.count);
        let mut replies = Vec::new();
        for number in 0..self.count {
            if number > 0 {
                tokio::time::sleep(self.pause.0).await;
            }
            replies.push(cx.env.net.ping(peer, usize::from(self.payload_bytes), share).await?);
        }
        Ok(decide(self, cx.target, &replies))
    }
}

/// The whole judgement; `None` is an echo without a reply.
pub fn decide(want: &Icmp, peer: &str, replies: &[Option<Duration>]) -> Outcome {
    let times: Vec<f64> = replies.iter().flatten().map(Duration::as_secs_f64).collect();
    let loss = 100.0 * (replies.len() - times.len()) as f64 / replies.len().max(1) as f64;
    let lost = State::when_above(loss, Some(want.warn_loss_percent), Some(want.critical_loss_percent));
    if times.is_empty() {
        // Without a single reply no threshold makes it fine.
        let silent = format!("{peer} answered none of {} echoes", replies.len());
        return Outcome::new(State::Critical, silent).with("icmp_loss_percent", loss, "percent");
    }
    let average = times.iter().sum::<f64>() / times.len() as f64;
    let worst = times.iter().copied().fold(0.0, f64::max);
    let slow = State::when_above(average, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds));
    let summary =
        format!("{peer} answered {} of {} echoes, {} on average", times.len(), replies.len(), in_words(average));
    Outcome::new(lost.max(slow), summary)
        .with("icmp_loss_percent", loss, "percent")
        .with("icmp_round_trip_seconds", average, "seconds")
        .with("icmp_round_trip_max_seconds", worst, "seconds")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn loss_and_time_decide() {
        let ms = |millis: u64| Some(Duration::from_millis(millis));
        for (params, replies, state, part) in [
            (json!({}), vec![ms(1), ms(2), ms(3)], State::Ok, "3 of 3 echoes, 2.0 ms"),
            (json!({}), vec![ms(1), None, ms(3)], State::Warning, "2 of 3 echoes"),
            (json!({}), vec![None, None, None], State::Critical, "none of 3"),
            (json!({"critical_loss_percent": 100.0}), vec![None, None], State::Critical, "none of 2"),
            (
                json!({"warn_loss_percent": 1000.0, "critical_loss_percent": 1000.0}),
                vec![None],
                State::Critical,
                "none of 1",
            ),
            (json!({"warn_time": "10ms"}), vec![ms(10)], State::Warning, "10.0 ms"),
            (json!({"warn_time": "10ms", "critical_time": "20ms"}), vec![ms(30), ms(10)], State::Critical, "20.0 ms"),
        ] {
            let want: Icmp = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, "web-1", &replies);
            assert_eq!(outcome.state, state, "{params} {replies:?}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}
