//! Redfish: is the hardware of a server healthy, by its own management controller? Follows links from the root; writes nothing
//! but its own session.

mod session;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

pub use session::SignIn;

use self::session::Visit;
use crate::env::Failure;
use crate::http::{Answer, at_path, under};
use crate::outcome::{Outcome, State};
use crate::params::ParamError;
use crate::protocol::{Check, Cx};
use crate::target::parse_web_address;
use crate::web::{Access, Findings};

/// Parameters of `redfish`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Redfish {
    /// Whether the systems must be switched on or off: any, on or off.
    power: Power,
    /// Whether temperatures, fans and power supplies are read, too. They take two more questions a chassis, or one for each
    /// sensor where a controller knows only the newer way and tells no list at once.
    sensors: Sensors,
    /// How user and password are shown: basic (with each question), session (once, for a token that is given back at the end) or
    /// any (basic, and in a session where that is refused). Name session where a controller locks out after refused tries.
    sign_in: SignIn,
    /// How to get at it.
    #[serde(flatten)]
    access: Access,
}

/// Whether a system is switched on.
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

/// Whether sensors are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sensors {
    /// They are.
    #[default]
    Read,
    /// They are not.
    Skip,
}

const MAX_MEMBERS: usize = 16;
/// Sensors of one list.
const MAX_SENSORS: usize = 200;
/// Parts that a list is told in.
const MAX_PAGES: usize = 20;

impl Check for Redfish {
    const NAME: &'static str = "redfish";
    const TITLE: &'static str = "Redfish";
    const HELP: &'static str = "Asks a server's management controller for the health of systems, chassis, temperatures, fans and power supplies.";
    const TARGET: &'static str = "the web address of the controller, for example https://bmc-1.example.org/";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = self.access.problems(target);
        if self.sign_in == SignIn::Session && self.access.user.is_none() {
            problems.push(ParamError::new("sign_in", "session needs user and password"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let base = parse_web_address(cx.target.as_bytes()).map_err(Failure::Local)?;
        let mut visit = Visit::new(&self.access, self.sign_in, &base);
        let looked = self.look(cx, &base, &mut visit).await;
        let ended = visit.end(cx).await;
        let (mut seen, mut last) = looked?;
        seen.session_left = ended.err();
        last.total_seconds = cx.trace.elapsed().as_secs_f64();
        Ok(decide(self, &seen, &Answer { url: base, ..last }))
    }
}

/// How a controller tells a list.
#[derive(Clone, Copy)]
enum List {
    /// With its members in it, when asked to (`$expand`).
    AtOnce,
    /// As links to them.
    EachAlone,
}

impl Redfish {
    /// All that the controller tells, and its first answer.
    async fn look(&self, cx: &Cx<'_>, base: &Url, visit: &mut Visit<'_>) -> Result<(Seen, Answer), Failure> {
        let (root, answer) = visit.get(cx, under(base, "redfish/v1/")).await?;
        if root["RedfishVersion"].as_str().is_none() {
            return Err(Failure::Peer(format!("{} is no root of Redfish: it tells no version", answer.url)));
        }
        visit.begin(cx, &root).await?;
        let at_once = &root["ProtocolFeaturesSupported"]["ExpandQuery"];
        let list = if at_once["NoLinks"] == true { List::AtOnce } else { List::EachAlone };
        let mut seen = Seen::default();
        let systems = members(cx, visit, base, &root["Systems"], (List::EachAlone, MAX_MEMBERS)).await?;
        let chassis = members(cx, visit, base, &root["Chassis"], (List::EachAlone, MAX_MEMBERS)).await?;
        (seen.systems, seen.chassis) = (seen.whole(systems), seen.whole(chassis));
        if self.sensors == Sensors::Read {
            for chassis in seen.chassis.clone() {
                read_parts(cx, visit, base, &chassis, list, &mut seen).await;
            }
        }
        Ok((seen, answer))
    }
}

/// What a chassis tells of its parts: two documents in the older way, lists since 2020.
async fn read_parts(cx: &Cx<'_>, visit: &mut Visit<'_>, base: &Url, chassis: &Value, list: List, seen: &mut Seen) {
    let older = ["Thermal", "Power"].into_iter().filter_map(|part| link(&chassis[part]));
    let mut has_older = false;
    for path in older {
        has_older = true;
        // A controller may link what it does not serve; that is its bug and not the server's illness.
        match visit.get(cx, at_path(base, path)).await {
            Ok((json, _)) => seen.parts.push(json),
            Err(_) => seen.unread += 1,
        }
    }
    if has_older {
        return;
    }
    for (part, name) in [("ThermalSubsystem", "Fans"), ("PowerSubsystem", "PowerSupplies")] {
        let Some(path) = link(&chassis[part]) else { continue };
        let found = match visit.get(cx, at_path(base, path)).await {
            Ok((json, _)) => members(cx, visit, base, &json[name], (list, MAX_SENSORS)).await,
            Err(failure) => Err(failure),
        };
        seen.add(name, found);
    }
    let found = members(cx, visit, base, &chassis["Sensors"], (list, MAX_SENSORS)).await;
    seen.add("Sensors", found);
}

/// The members of a collection, each whole; at most so many, however many parts the collection is told in.
async fn members(
    cx: &Cx<'_>,
    visit: &mut Visit<'_>,
    base: &Url,
    collection: &Value,
    (list, most): (List, usize),
) -> Result<Members, Failure> {
    let mut found = Members::default();
    let mut next = link(collection).map(|path| at_path(base, path));
    if let (Some(url), List::AtOnce) = (&mut next, list) {
        url.set_query(Some("$expand=.($levels=1)"));
    }
    for _ in 0..MAX_PAGES {
        let Some(url) = next.take() else { return Ok(found) };
        let (page, _) = visit.get(cx, url).await?;
        for member in page["Members"].as_array().into_iter().flatten() {
            if found.read.len() >= most {
                return Ok(Members { is_cut: true, ..found });
            }
            // A link may carry annotations of its own, but only the thing itself has a name.
            if member["Name"].is_string() {
                found.read.push(member.clone());
            } else if let Some(path) = link(member) {
                found.read.push(visit.get(cx, at_path(base, path)).await?.0);
            } else {
                found.is_cut = true;
            }
        }
        let more = &page["Members@odata.nextLink"];
        next = own_path(more).map(|path| at_path(base, path));
        // One that leads elsewhere is not followed.
        found.is_cut |= next.is_none() && !more.is_null();
    }
    Ok(Members { is_cut: found.is_cut || next.is_some(), ..found })
}

/// What was read of a collection.
#[derive(Default)]
struct Members {
    read: Vec<Value>,
    /// Whether it has more than that.
    is_cut: bool,
}

/// Where a link leads, when it stays with the controller.
fn link(value: &Value) -> Option<&str> {
    own_path(&value["@odata.id"])
}

fn own_path(path: &Value) -> Option<&str> {
    path.as_str().filter(|path| path.starts_with('/') && !path.starts_with("//") && path.len() < 1000)
}

/// What a controller tells.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its systems.
    pub systems: Vec<Value>,
    /// Its chassis.
    pub chassis: Vec<Value>,
    /// What their Thermal and Power say, or lists of sensors, fans and power supplies of the same names.
    pub parts: Vec<Value>,
    /// How many of these lists could not be read, or have more in them than was read.
    pub unread: usize,
    /// Why the session that was opened could not be ended.
    pub session_left: Option<String>,
}

impl Seen {
    /// What was read of a list; one that has more is counted.
    fn whole(&mut self, members: Members) -> Vec<Value> {
        self.unread += usize::from(members.is_cut);
        members.read
    }

    /// A list of parts; one that could not be read is counted.
    fn add(&mut self, list: &str, found: Result<Members, Failure>) {
        match found {
            Ok(members) => {
                let read = self.whole(members);
                self.parts.push(json!({ list: read }));
            }
            Err(_) => self.unread += 1,
        }
    }
}

/// The whole judgement.
pub fn decide(want: &Redfish, seen: &Seen, answer: &Answer) -> Outcome {
    let mut findings = Findings::default();
    let wanted = match want.power {
        Power::Any => None,
        Power::On => Some("On"),
        Power::Off => Some("Off"),
    };
    for system in &seen.systems {
        let name = name(system);
        health(&mut findings, &name, system);
        for part in ["ProcessorSummary", "MemorySummary"] {
            health(&mut findings, &format!("{part} of {name}"), &system[part]);
        }
        let power = system["PowerState"].as_str().unwrap_or("unknown");
        if let Some(wanted) = wanted.filter(|wanted| *wanted != power) {
            findings.add(State::Critical, format!("{name} is {power}, not {wanted}"));
        }
    }
    for chassis in &seen.chassis {
        health(&mut findings, &name(chassis), chassis);
    }
    let mut readings = Vec::new();
    let mut unread = seen.unread;
    for part in &seen.parts {
        for (list, value, reading, unit) in [
            ("Temperatures", "ReadingCelsius", "redfish_temperature_celsius", "celsius"),
            ("Fans", "Reading", "redfish_fan_speed", ""),
            ("PowerSupplies", "LastPowerOutputWatts", "redfish_power_supply_watts", "watts"),
            ("PowerControl", "PowerConsumedWatts", "redfish_power_watts", "watts"),
            ("Sensors", "Reading", "redfish_sensor", ""),
        ] {
            let sensors = part[list].as_array().map_or(&[][..], Vec::as_slice);
            unread += usize::from(sensors.len() > MAX_SENSORS);
            for sensor in sensors.iter().take(MAX_SENSORS) {
                let name = name(sensor);
                health(&mut findings, &name, sensor);
                // A fan in the newer way: not each knows how often it turns.
                let speed = &sensor["SpeedPercent"];
                let (value, unit) = match (speed["SpeedRPM"].as_f64(), speed["Reading"].as_f64()) {
                    (Some(rpm), _) => (Some(rpm), "rpm"),
                    (None, Some(percent)) => (Some(percent), "percent"),
                    (None, None) if unit.is_empty() => {
                        (sensor[value].as_f64(), sensor["ReadingUnits"].as_str().unwrap_or_default())
                    }
                    (None, None) => (sensor[value].as_f64(), unit),
                };
                let (reading, unit) = match (list, unit) {
                    ("Sensors", "Cel") => ("redfish_temperature_celsius", "celsius"),
                    _ => (reading, unit),
                };
                readings.extend(value.map(|value| (reading, value, unit.to_lowercase(), name)));
            }
        }
    }
    if seen.systems.is_empty() && seen.chassis.is_empty() {
        findings.add(State::Warning, "it tells of no system and no chassis");
    }
    if unread > 0 {
        findings.add(State::Warning, format!("{unread} of its lists cannot be read whole"));
    }
    if let Some(why) = &seen.session_left {
        findings.add(State::Warning, format!("the session of this check is left open ({why})"));
    }
    let (state, end) = findings.verdict();
    let sentence = format!("{} tells of {} systems, {} chassis", answer.url, seen.systems.len(), seen.chassis.len());
    let well = if state == State::Ok { ", all healthy" } else { "" };
    let mut outcome = want.access.outcome("redfish", answer, state, &format!("{sentence}{well}{end}"));
    for (reading, value, unit, name) in readings {
        outcome = outcome.with_labels(reading, value, &unit, &[("name", &name)]);
    }
    outcome
}

fn name(thing: &Value) -> String {
    let named = ["Name", "MemberId", "Id"].iter().find_map(|key| thing[*key].as_str());
    named.unwrap_or("a part without a name").chars().take(60).collect()
}

/// What a status says. A part that is absent or switched off has no health.
fn health(findings: &mut Findings, name: &str, thing: &Value) {
    let status = &thing["Status"];
    if matches!(status["State"].as_str(), Some("Absent" | "Disabled")) {
        return;
    }
    let worst =
        [&status["Health"], &status["HealthRollup"]].iter().filter_map(|health| health.as_str()).max_by_key(|health| {
            match *health {
                "Critical" => 2,
                "Warning" => 1,
                _ => 0,
            }
        });
    match worst {
        Some("Critical") => findings.add(State::Critical, format!("{name} is in critical health")),
        Some("Warning") => findings.add(State::Warning, format!("{name} is in doubtful health")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web;

    #[test]
    fn parts_are_read_in_the_newer_way_too() {
        let parts = vec![
            json!({"Fans": [{"Name": "Bay 1", "SpeedPercent": {"Reading": 45, "SpeedRPM": 2200}, "Status": {"Health": "OK"}}]}),
            json!({"PowerSupplies": [{"Name": "PSU 1", "Status": {"Health": "Warning"}}]}),
            json!({"Sensors": [{"Name": "Inlet", "Reading": 22.5, "ReadingUnits": "Cel", "Status": {"Health": "OK"}},
                {"Name": "Input", "Reading": 230.1, "ReadingUnits": "V"}]}),
        ];
        let seen = Seen { systems: vec![json!({"Name": "web-1"})], parts, ..Seen::default() };
        let outcome = decide(&Redfish::default(), &seen, &web::answer("https://bmc/", ""));
        assert_eq!(outcome.state, State::Warning);
        assert!(outcome.summary.contains("PSU 1 is in doubtful health"), "{}", outcome.summary);
        let read = outcome.readings.iter().map(|one| (one.name.as_str(), one.value, one.unit.as_str()));
        let read: Vec<_> = read.filter(|(name, ..)| *name != "redfish_response_seconds").collect();
        let temperature = ("redfish_temperature_celsius", 22.5, "celsius");
        assert_eq!(read, [("redfish_fan_speed", 2200.0, "rpm"), temperature, ("redfish_sensor", 230.1, "v")]);
    }

    #[test]
    fn a_fan_without_a_count_of_its_turns_tells_its_share() {
        let fans = json!({"Fans": [{"Name": "Bay 1", "SpeedPercent": {"Reading": 45}}]});
        let seen = Seen { systems: vec![json!({"Name": "web-1"})], parts: vec![fans], ..Seen::default() };
        let outcome = decide(&Redfish::default(), &seen, &web::answer("https://bmc/", ""));
        let fan = outcome.readings.iter().find(|one| one.name == "redfish_fan_speed").unwrap();
        assert_eq!((fan.value, fan.unit.as_str()), (45.0, "percent"));
    }

    #[test]
    fn what_is_not_looked_at_is_never_green() {
        let many = |count: usize| json!({"Temperatures": vec![json!({"Name": "t", "ReadingCelsius": 40}); count]});
        for (parts, unread, state) in [
            (many(MAX_SENSORS), 0, State::Ok),
            (many(MAX_SENSORS + 1), 0, State::Warning),
            (many(1), 1, State::Warning),
        ] {
            let seen = Seen { systems: vec![json!({"Name": "web-1"})], parts: vec![parts], unread, ..Seen::default() };
            let outcome = decide(&Redfish::default(), &seen, &web::answer("https://bmc/", ""));
            assert_eq!(outcome.state, state, "{}", outcome.summary);
            let told = outcome.summary.contains("1 of its lists cannot be read whole");
            assert_eq!(told, state == State::Warning, "{}", outcome.summary);
        }
    }

    #[test]
    fn health_and_power_decide() {
        let system = |health: &str, power: &str| json!({"Name": "web-1", "Status": {"Health": health, "State": "Enabled"}, "PowerState": power});
        let thermal = json!({"Temperatures": [{"Name": "CPU1", "ReadingCelsius": 41, "Status": {"Health": "OK"}},
            {"Name": "gone", "Status": {"State": "Absent", "Health": "Critical"}}],
            "Fans": [{"Name": "Fan1", "Reading": 4200, "ReadingUnits": "RPM", "Status": {"Health": "Warning"}}]});
        for (params, system, parts, state, part) in [
            (json!({}), system("OK", "On"), vec![], State::Ok, "1 systems, 0 chassis, all healthy"),
            (json!({}), system("Critical", "On"), vec![], State::Critical, "web-1 is in critical health"),
            (json!({"power": "on"}), system("OK", "Off"), vec![], State::Critical, "web-1 is Off, not On"),
            (json!({}), system("OK", "On"), vec![thermal], State::Warning, "Fan1 is in doubtful health"),
        ] {
            let want: Redfish = serde_json::from_value(params.clone()).unwrap();
            let count = parts.len();
            let seen = Seen { systems: vec![system], parts, ..Seen::default() };
            let outcome = decide(&want, &seen, &web::answer("https://bmc/", ""));
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
            assert_eq!(outcome.reading("redfish_temperature_celsius").is_some(), count == 1);
        }
        assert_eq!(link(&json!({"@odata.id": "//evil.example/"})), None, "a link stays with its controller");
    }
}
