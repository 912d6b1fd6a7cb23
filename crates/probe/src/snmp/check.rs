//! The check `snmp`: does an agent answer, and do objects hold what they must?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::env::{Failure, addresses};
use crate::extract::{Library, Wanted};
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt, in_words};
use crate::params::{Family, ParamError};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;
use crate::snmp::{Auth, Inspection, Limits, Oid, Privacy, Security, Session, User, Value, VarBind, inspect};
use crate::target::parse_host_port;

/// Parameters of `snmp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Snmp {
    /// Version of SNMP: 1, 2c or 3.
    version: Version,
    /// Community of versions 1 and 2c; "public" when none is given.
    community: Option<Secret>,
    /// User of version 3.
    user: Option<String>,
    /// How messages of version 3 are authenticated: md5, sha, sha224, sha256, sha384 or sha512.
    auth: Auth,
    /// Password of the authentication; without one, messages are not authenticated.
    auth_password: Option<Secret>,
    /// How messages of version 3 are encrypted: des, aes128, aes192, aes256, aes192-cisco or aes256-cisco.
    privacy: Privacy,
    /// Password of the encryption; without one, messages are not encrypted.
    privacy_password: Option<Secret>,
    /// Context of version 3; mostly empty.
    context: String,
    /// Objects and what each must hold: {"1.3.6.1.2.1.1.3.0": "> 6000"}.
    /// Operators: == != < <= > >= and ~ for a regular expression.
    oids: BTreeMap<String, Condition>,
    /// What is read of the device: its role, such as "core-switch", "server" or "ups"; "auto" for all that fits it; or a
    /// profile such as "if-mib".
    profile: Option<String>,
    /// How often a request is sent again when no answer comes, 0 to 10.
    retries: u8,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Snmp {
    fn default() -> Self {
        Snmp {
            version: Version::V2c,
            community: None,
            user: None,
            auth: Auth::Sha,
            auth_password: None,
            privacy: Privacy::Aes128,
            privacy_password: None,
            context: String::new(),
            oids: BTreeMap::new(),
            profile: None,
            retries: 2,
            family: Family::Any,
        }
    }
}

/// Which version is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// Version 1.
    #[serde(rename = "1")]
    V1,
    /// Version 2c.
    #[serde(rename = "2c")]
    V2c,
    /// Version 3.
    #[serde(rename = "3")]
    V3,
}

const PORT: u16 = 161;
const SYS_DESCR: &str = "1.3.6.1.2.1.1.1.0";
const SYS_UPTIME: &str = "1.3.6.1.2.1.1.3.0";
const SYS_NAME: &str = "1.3.6.1.2.1.1.5.0";
const MAX_OIDS: usize = 50;

impl Check for Snmp {
    const NAME: &'static str = "snmp";
    const TITLE: &'static str = "SNMP";
    const HELP: &'static str = "Asks a device's agent in version 1, 2c or 3, and judges what its objects hold.";
    const TARGET: &'static str = "a device, for example 192.0.2.1; port 161 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = Vec::new();
        problems.extend(parse_host_port(target.as_bytes()).err().map(|why| ParamError::new("target", why)));
        for oid in self.oids.keys() {
            problems.extend(oid.parse::<Oid>().err().map(|why| ParamError::new("oids", why)));
        }
        if self.oids.len() > MAX_OIDS {
            problems.push(ParamError::new("oids", format!("a check asks for at most {MAX_OIDS} objects")));
        }
        if self.retries > 10 {
            problems.push(ParamError::new("retries", format!("{} is not between 0 and 10", self.retries)));
        }
        problems.extend(self.profile_problem());
        problems.extend(self.credential_problem());
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut session = self.session(cx).await?;
        let peer = session.peer();
        if let Some(name) = &self.profile {
            let wanted = Library::own().wanted(name).map_err(Failure::Local)?;
            return look(cx, &mut session, wanted).await;
        }
        let asked: Vec<Oid> = if self.oids.is_empty() {
            [SYS_DESCR, SYS_UPTIME, SYS_NAME].iter().filter_map(|oid| oid.parse().ok()).collect()
        } else {
            self.oids.keys().filter_map(|oid| oid.parse().ok()).collect()
        };
        let answer = session.get(&asked).await?;
        Ok(if self.oids.is_empty() { describe(peer, &answer) } else { decide(self, peer, &answer) })
    }
}

impl Snmp {
    fn credential_problem(&self) -> Option<ParamError> {
        let short = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.reveal().len() < 8);
        if self.version != Version::V3 {
            let given = self.user.is_some() || self.auth_password.is_some() || self.privacy_password.is_some();
            return given.then(|| ParamError::new("version", "a user and passwords belong to version 3"));
        }
        if self.user.as_deref().is_none_or(str::is_empty) {
            return Some(ParamError::new("user", "version 3 needs the name of a user"));
        }
        if self.community.is_some() {
            return Some(ParamError::new("community", "version 3 has users, not communities"));
        }
        if self.privacy_password.is_some() && self.auth_password.is_none() {
            return Some(ParamError::new("auth_password", "encrypted messages are always authenticated too"));
        }
        for (field, secret) in [("auth_password", &self.auth_password), ("privacy_password", &self.privacy_password)] {
            if short(secret) {
                return Some(ParamError::new(field, "passwords of SNMP have at least 8 characters (RFC 3414)"));
            }
        }
        None
    }

    fn profile_problem(&self) -> Option<ParamError> {
        let name = self.profile.as_deref()?;
        if !self.oids.is_empty() {
            return Some(ParamError::new("profile", "a check has either oids or a profile"));
        }
        Library::own().wanted(name).err().map(|why| ParamError::new("profile", why))
    }

    /// A conversation with the device, and what it is called there.
    async fn session<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Session<'a>, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, self.family).await?;
        let peer = SocketAddr::new(found[0], target.port.unwrap_or(PORT));
        cx.trace.phase("exchange", "waiting for the SNMP agent");
        let community = || self.community.clone().unwrap_or_else(|| Secret::new("public"));
        let security = match self.version {
            Version::V1 => Security::V1(community()),
            Version::V2c => Security::V2c(community()),
            Version::V3 => Security::V3 {
                user: User {
                    name: self.user.clone().unwrap_or_default(),
                    auth: self.auth_password.clone().map(|password| (self.auth, password)),
                    privacy: self.privacy_password.clone().map(|password| (self.privacy, password)),
                },
                context: self.context.clone(),
            },
        };
        let tries = u32::from(self.retries) + 1;
        // Less than the check's own time by a tenth, so that the silence is told by us and not by the clock.
        let patience = (cx.remaining() * 9 / 10 / tries).min(MAX_PATIENCE);
        Ok(Session::new(cx.env, peer, security, patience, tries))
    }
}

/// The longest that one try waits; agents that take longer do not answer at all.
const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// The most readings that one check gives.
const MAX_READINGS: usize = 10_000;

/// Reads what is wanted of the device, within the time that is left.
async fn look<'a>(cx: &'a Cx<'a>, session: &mut Session<'a>, wanted: Wanted<'_>) -> Result<Outcome, Failure> {
    // An agent without end must not give us more to think about than the time allows; real ones are slower than this.
    const OBJECTS_A_SECOND: f64 = 10_000.0;
    let most = Limits::default().objects;
    let objects = ((cx.timeout.as_secs_f64() * OBJECTS_A_SECOND) as usize).min(most);
    let limits = Limits { time: cx.remaining() * 8 / 10, objects, ..Limits::default() };
    cx.trace.phase("walk", "walking the agent's tables");
    let seen = inspect(session, Library::own(), wanted, limits, cx.env.clock.as_ref()).await?;
    Ok(judge(session.peer(), &seen))
}

/// The judgement of an inspection: the worst of what its profiles found; what was found becomes readings.
fn judge(peer: SocketAddr, seen: &Inspection) -> Outcome {
    let items = &seen.found.items;
    let standings = || items.iter().flat_map(|item| item.states.iter().map(move |standing| (item, standing)));
    let worst = standings().map(|(_, standing)| standing.state).max().unwrap_or(State::Ok);
    let troubles: Vec<String> = standings()
        .filter(|(_, standing)| standing.state == worst && worst != State::Ok)
        .take(5)
        .map(|(item, standing)| format!("{} {}: {} is {}", item.kind, item.name, standing.name, standing.word))
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        *counts.entry(&item.kind).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let what = if seen.device.os.is_empty() { "a device".to_owned() } else { seen.device.os.clone() };
    let mut but = seen.cut.first().map(|cut| format!("; not all was read: {cut}")).unwrap_or_default();
    if !seen.missing.is_empty() {
        but.push_str(&format!("; it tells no {}, which its role has", seen.missing.join(" and no ")));
    }
    let summary = match (troubles.as_slice(), seen.cut.first()) {
        // Whether it has something is not known then.
        ([], Some(cut)) if items.is_empty() => {
            format!("{peer} answers, and tells nothing of what was asked for: {cut}")
        }
        ([], None) if items.is_empty() => format!("{peer} answers, and has nothing of what was asked for{but}"),
        ([], _) => format!("{peer} ({what}): {}{but}", counts.join(", ")),
        (troubles, _) => format!("{peer} ({what}): {}{but}", troubles.join("; ")),
    };
    let state = match worst {
        State::Ok if items.is_empty() && !seen.cut.is_empty() => State::Critical,
        State::Ok if items.is_empty() || !but.is_empty() => State::Warning,
        worst => worst,
    };
    let samples = items.iter().flat_map(|item| item.samples.iter().map(move |sample| (item, sample)));
    samples.take(MAX_READINGS).fold(Outcome::new(state, summary), |outcome, (item, sample)| {
        let labels = [(item.kind.as_str(), item.name.as_str()), ("key", item.key.as_str())];
        outcome.with_labels(&sample.name, sample.value, &sample.unit, &labels)
    })
}

/// What a device says of itself, when nothing is asked of it but an answer.
fn describe(peer: SocketAddr, answer: &[VarBind]) -> Outcome {
    let find = |oid: &str| answer.iter().find(|object| object.oid.to_string() == oid).map(|object| &object.value);
    let name = find(SYS_NAME).filter(|value| value.is_present()).map(ToString::to_string).unwrap_or_default();
    let what = find(SYS_DESCR).filter(|value| value.is_present()).map(ToString::to_string).unwrap_or_default();
    let uptime = find(SYS_UPTIME).and_then(Value::number).map(|ticks| ticks / 100.0);
    let up = uptime.map(|seconds| format!(", up {}", in_words(seconds))).unwrap_or_default();
    let name = if name.trim().is_empty() { peer.to_string() } else { name };
    let outcome = Outcome::new(State::Ok, format!("{name} answers{up}: {what}"));
    match uptime {
        Some(seconds) => outcome.with("snmp_uptime_seconds", seconds, "seconds"),
        None => outcome,
    }
}

/// The judgement: every object must be there and hold what it must.
pub(crate) fn decide(want: &Snmp, peer: SocketAddr, answer: &[VarBind]) -> Outcome {
    let mut troubles = Vec::new();
    let mut readings = Vec::new();
    for (text, condition) in &want.oids {
        let Ok(oid) = text.parse::<Oid>() else { continue };
        let Some(value) = answer.iter().find(|object| object.oid == oid).map(|object| &object.value) else {
            troubles.push(format!("{oid} was not answered"));
            continue;
        };
        if !value.is_present() {
            troubles.push(format!("there is no object {oid}"));
            continue;
        }
        readings.extend(value.number().map(|number| (oid.to_string(), number)));
        let seen = value.number().map_or_else(|| json!(value.to_string()), |number| json!(number));
        let as_text = json!(value.to_string());
        if !condition.holds(&seen) && !condition.holds(&as_text) {
            troubles.push(format!("{oid} is {}, not {condition}", excerpt(value.to_string().as_bytes())));
        }
    }
    let state = if troubles.is_empty() { State::Ok } else { State::Critical };
    let summary = match troubles.as_slice() {
        [] => format!("{peer} answers, and {} objects are as they must be", want.oids.len()),
        troubles => format!("{peer}: {}", troubles.join("; ")),
    };
    readings.iter().fold(Outcome::new(state, summary), |outcome, (oid, number)| {
        outcome.with_labels("snmp_value", *number, "", &[("oid", oid)])
    })
}
