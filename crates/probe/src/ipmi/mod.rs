//! IPMI: is the hardware of a server healthy, by its management controller? RMCP+ sessions (IPMI 2.0) over UDP; reads only.

mod packet;
mod sensor;
mod session;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use packet::{Packet, parse_packet};
pub use sensor::{Sensor, parse_sensor};
pub use session::Suite;

use crate::env::Failure;
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::target::parse_host_port;
use crate::web::Findings;

/// Parameters of `ipmi`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ipmi {
    /// User name, at most 16 characters. Only whether the controller is there is asked when left out.
    user: Option<String>,
    /// Password of the user, at most 20 bytes.
    password: Option<Secret>,
    /// Cipher suite: 17 (SHA-256) or 3 (SHA-1, for older controllers).
    suite: Suite,
    /// Whether the server must be switched on or off: any, on or off.
    power: Power,
    /// Whether sensors are read, too: some controllers take seconds for theirs.
    sensors: bool,
    /// WARNING when the event log is at least so full, in percent.
    warn_log_percent: f64,
    /// WARNING when everything together took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when everything together took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Ipmi {
    fn default() -> Self {
        Ipmi {
            user: None,
            password: None,
            suite: Suite::default(),
            power: Power::Any,
            sensors: true,
            warn_log_percent: 90.0,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// Whether a server is switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Either.
    #[default]
    Any,
    /// It must be on.
    On,
    /// It must be off.
    Off,
}

const PORT: u16 = 623;

impl Check for Ipmi {
    const NAME: &'static str = "ipmi";
    const TITLE: &'static str = "IPMI";
    const HELP: &'static str =
        "Signs in to a management controller (RMCP+) and judges power, chassis, sensors and how full the event log is.";
    const TARGET: &'static str = "host and port, for example bmc-1.example.org; port 623 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_host_port(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("password", "and user come together"));
        }
        if self.user.as_ref().is_some_and(|user| user.len() > 16) {
            problems.push(ParamError::new("user", "has at most 16 characters in IPMI"));
        }
        if self.password.as_ref().is_some_and(|password| password.reveal().len() > 20) {
            problems.push(ParamError::new("password", "has at most 20 bytes in IPMI"));
        }
        if self.power != Power::Any && self.user.is_none() {
            problems.push(ParamError::new("power", "is told to users only"));
        }
        problems.extend(ordered(("warn_time", "critical_time"), self.warn_time, self.critical_time, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut talk = session::Talk::begin(cx, PORT, self.family).await?;
        let mut seen = Seen { peer: cx.target.to_owned(), ..Seen::default() };
        let (Some(user), Some(password)) = (&self.user, &self.password) else {
            seen.speaks_2 = talk.capabilities().await?;
            seen.seconds = cx.trace.elapsed().as_secs_f64();
            return Ok(decide(self, &seen));
        };
        cx.trace.phase("sign_in", "waiting for the controller to let us in");
        let mut session = talk.open(self.suite, user, password).await?;
        cx.trace.phase("exchange", "waiting for the controller's answer");
        let read = self.read(&mut session, &mut seen).await;
        session.close().await; // A controller has few sessions, so this one is ended whatever came of it.
        read?;
        seen.speaks_2 = true;
        seen.seconds = cx.trace.elapsed().as_secs_f64();
        Ok(decide(self, &seen))
    }
}

impl Ipmi {
    async fn read(&self, session: &mut session::Session<'_>, seen: &mut Seen) -> Result<(), Failure> {
        let chassis = session.ask(0x00, 0x01, &[]).await?;
        if let [power, _, misc, ..] = chassis[..] {
            seen.chassis = Some(Chassis {
                on: power & 1 != 0,
                overload: power & 2 != 0,
                fault: power & 0x18 != 0,
                intrusion: misc & 1 != 0,
                drive_fault: misc & 4 != 0,
                fan_fault: misc & 8 != 0,
            });
        }
        if let Ok(log) = session.ask(0x0a, 0x40, &[]).await
            && let [_, count_low, count_high, free_low, free_high, ..] = log[..]
        {
            let entries = u16::from_le_bytes([count_low, count_high]);
            // The last free bytes are written as 0xffff where there are at least so many.
            seen.log = Some((entries, u16::from_le_bytes([free_low, free_high])));
        }
        if self.sensors {
            seen.sensors = session::sensors(session).await?;
        }
        Ok(())
    }
}

/// What the chassis says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the bits of one answer")]
pub struct Chassis {
    /// It is switched on.
    pub on: bool,
    /// It was switched off for taking too much power.
    pub overload: bool,
    /// Its power supply has a fault.
    pub fault: bool,
    /// It was opened.
    pub intrusion: bool,
    /// A drive has a fault.
    pub drive_fault: bool,
    /// A fan or the cooling has a fault.
    pub fan_fault: bool,
}

/// What a controller told.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its name as the target has it.
    pub peer: String,
    /// Whether it speaks IPMI 2.0.
    pub speaks_2: bool,
    /// The chassis; `None` when nobody signed in.
    pub chassis: Option<Chassis>,
    /// Entries of the event log, and free bytes.
    pub log: Option<(u16, u16)>,
    /// Sensors with what they read.
    pub sensors: Vec<(Sensor, sensor::Read)>,
    /// Seconds that it took.
    pub seconds: f64,
}

const LOG_ENTRY_BYTES: f64 = 16.0;

/// The whole judgement.
pub fn decide(want: &Ipmi, seen: &Seen) -> Outcome {
    let mut findings = Findings::default();
    match State::when_above(seen.seconds, want.warn_time.map(Span::seconds), want.critical_time.map(Span::seconds)) {
        State::Ok => {}
        slow => findings.add(slow, "it is slow"),
    }
    if !seen.speaks_2 {
        findings.add(State::Warning, "it speaks only IPMI 1.5, which protects no password");
    }
    let mut what = "answers".to_owned();
    if let Some(chassis) = seen.chassis {
        what = format!("is switched {}", if chassis.on { "on" } else { "off" });
        if (want.power == Power::On && !chassis.on) || (want.power == Power::Off && chassis.on) {
            findings.add(State::Critical, format!("it must be {}", if chassis.on { "off" } else { "on" }));
        }
        for (bad, state, text) in [
            (chassis.overload, State::Critical, "it takes too much power"),
            (chassis.fault, State::Critical, "its power supply has a fault"),
            (chassis.drive_fault, State::Critical, "a drive has a fault"),
            (chassis.fan_fault, State::Critical, "a fan has a fault"),
            (chassis.intrusion, State::Warning, "the chassis is open"),
        ] {
            if bad {
                findings.add(state, text);
            }
        }
    }
    let mut log_percent = None;
    if let Some((entries, free)) = seen.log {
        let used = f64::from(entries) * LOG_ENTRY_BYTES;
        let percent = if free == u16::MAX { 0.0 } else { 100.0 * used / (used + f64::from(free)).max(1.0) };
        if percent >= want.warn_log_percent {
            findings.add(State::Warning, format!("the event log is {percent:.0} % full"));
        }
        log_percent = Some((entries, percent));
    }
    for (sensor, read) in &seen.sensors {
        match read.state {
            State::Ok => {}
            state => findings.add(state, format!("{} is {}", sensor.name, read.words(sensor))),
        }
    }
    let (state, end) = findings.verdict();
    let sensors = if seen.sensors.is_empty() { String::new() } else { format!(", {} sensors", seen.sensors.len()) };
    let took = in_words(seen.seconds);
    let mut outcome = Outcome::new(state, format!("{} {what}{sensors}{end}, {took}", seen.peer)).with(
        "ipmi_response_seconds",
        seen.seconds,
        "seconds",
    );
    if let Some(chassis) = seen.chassis {
        outcome = outcome.with("ipmi_power_on", f64::from(u8::from(chassis.on)), "");
    }
    if let Some((entries, percent)) = log_percent {
        outcome = outcome.with("ipmi_log_entries_count", f64::from(entries), "").with(
            "ipmi_log_used_percent",
            percent,
            "percent",
        );
    }
    for (sensor, read) in &seen.sensors {
        if let Some(value) = read.value {
            outcome = outcome.with_labels("ipmi_sensor", value, sensor.unit, &[("name", &sensor.name)]);
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn power_chassis_log_and_sensors_decide() {
        let on = Chassis { on: true, ..Chassis::default() };
        let well = Seen { peer: "bmc".into(), speaks_2: true, chassis: Some(on), seconds: 0.1, ..Seen::default() };
        let fan = Sensor { number: 1, name: "Fan 1".into(), unit: "rpm", ..Sensor::default() };
        let slow = sensor::Read { value: Some(300.0), state: State::Critical, trouble: "" };
        for (params, seen, state, part) in [
            (json!({}), well.clone(), State::Ok, "bmc is switched on"),
            (json!({"power": "off"}), well.clone(), State::Critical, "it must be off"),
            (json!({}), Seen { speaks_2: false, chassis: None, ..well.clone() }, State::Warning, "only IPMI 1.5"),
            (
                json!({}),
                Seen { chassis: Some(Chassis { drive_fault: true, ..on }), ..well.clone() },
                State::Critical,
                "a drive has a fault",
            ),
            (json!({}), Seen { log: Some((95, 80)), ..well.clone() }, State::Warning, "the event log is 95 % full"),
            (json!({}), Seen { log: Some((95, 0xffff)), ..well.clone() }, State::Ok, "switched on"),
            (json!({}), Seen { sensors: vec![(fan, slow)], ..well.clone() }, State::Critical, "Fan 1 is 300 rpm"),
            (json!({"critical_time": "50ms"}), well.clone(), State::Critical, "it is slow"),
        ] {
            let want: Ipmi = serde_json::from_value(params.clone()).unwrap();
            let outcome = decide(&want, &seen);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}
