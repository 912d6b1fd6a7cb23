//! `mainstay doctor`: what is wrong with this installation, what is about to be, and what to do about it. It looks and mends nothing.

use cli::output;
use kernel::clock::format_duration;
use kernel::{Clock, SystemClock, Time};
use probe::env::ADDRESS_POLICY_OF;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

use crate::offline::{LastBackup, RECORDS, last_backup};
use crate::onhost::local;
use crate::options::Data;

/// A backup that is older is told.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// How a finding is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    /// As it should be.
    Ok,
    /// Something that only people can see to.
    Note,
    /// It works, and will be regretted.
    Warn,
    /// It does not work.
    Fault,
}

impl Say {
    fn checked(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Fault }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok   ",
            Self::Note => "note ",
            Self::Warn => "warn ",
            Self::Fault => "FAULT",
        }
    }
}

/// Prints a finding and, unless it is well, what to do; and whether it is a fault.
///
/// # Errors
/// It cannot be printed.
fn say(how: Say, what: &str, then: &str) -> Result<bool, cli::Failure> {
    let then = if how == Say::Ok || then.is_empty() { String::new() } else { format!("\n      {then}") };
    output::say(&format!("{} {what}{then}", how.word()))?;
    Ok(how == Say::Fault)
}

/// Says what is wrong with this installation; 1 when something is. A warning is no fault.
///
/// # Errors
/// Nothing can be said at all.
pub async fn doctor(data: &Data) -> anyhow::Result<u8> {
    let mut bad = false;
    let there = data.data.exists();
    let folder = format!("data directory {}", data.data.display());
    bad |= say(Say::checked(there), &folder, "mainstay up makes it; --data names another")?;
    if there {
        for (how, what, then) in backups(&data.data, SystemClock::default().now()) {
            bad |= say(how, &what, &then)?;
        }
    }
    match local(data) {
        Ok(client) => bad |= server(&client).await?,
        Err(error) => bad |= say(Say::Fault, "the server does not run here", &error.to_string())?,
    }
    Ok(u8::from(bad))
}

/// What the server says of itself; whether something is at fault.
async fn server(client: &cli::Client) -> anyhow::Result<bool> {
    let mut bad = false;
    match client.json("GET", "/readyz", None).await {
        Ok(ready) => {
            let version = ready.get("version").and_then(Value::as_str).unwrap_or_default();
            say(Say::Ok, &format!("server {version} is ready"), "")?;
        }
        Err(error) => bad |= say(Say::Fault, "the server is not ready", &error.to_string())?,
    }
    let channels = client.json("GET", "/api/v1/records/channel?filter=enabled%3Atrue&limit=1", None).await?;
    let any = channels.get("total").and_then(Value::as_u64).unwrap_or(0) > 0;
    let then = "nobody will be paged: add a channel, then mainstay channel test KEY";
    bad |= say(Say::checked(any), "a channel is there to page people", then)?;
    let unknown = client.json("GET", "/api/v1/records/check?filter=state%3AUNKNOWN&limit=20", None).await?;
    let records = unknown.get("records").and_then(Value::as_array).into_iter().flatten();
    let keys: Vec<&str> = records.filter_map(|r| r.get("key").and_then(Value::as_str)).collect();
    let then = format!("unknown: {}", keys.join(", "));
    bad |= say(Say::checked(keys.is_empty()), "every check has a fresh answer", &then)?;
    for (key, why) in kept_back(&unknown) {
        bad |= say(Say::Fault, &format!("check {key} is kept from its target"), &why)?;
    }
    for (well, what, then) in crate::asking::findings(&client.json("GET", "/api/v1/asking", None).await?) {
        bad |= say(if well { Say::Ok } else { Say::Warn }, &what, &then)?;
    }
    let agents = client.json("GET", "/api/v1/records/agent?limit=20", None).await?;
    for agent in agents.get("records").and_then(Value::as_array).into_iter().flatten() {
        for blind in agent["fields"]["cannot_see"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let what = format!("{} cannot see everything", agent["key"].as_str().unwrap_or_default());
            bad |= say(Say::Fault, &what, blind)?;
        }
    }
    let failed = client.json("GET", "/api/v1/records/notification?filter=state%3Afailed&limit=1", None).await?;
    let none = failed.get("total").and_then(Value::as_u64) == Some(0);
    let then = "mainstay get notification --filter state:failed";
    bad |= say(Say::checked(none), "no message failed to go out", then)?;
    let controllers = client.json("GET", "/api/v1/controllers", None).await?;
    for controller in controllers.get("controllers").and_then(Value::as_array).into_iter().flatten() {
        if let Some(error) = controller.get("last_error").and_then(Value::as_str) {
            let what = format!("controller {} failed", controller["name"].as_str().unwrap_or_default());
            bad |= say(Say::Fault, &what, error)?;
        }
    }
    Ok(bad)
}

/// Checks that the address policy keeps back, each with the rule that does.
fn kept_back(unknown: &Value) -> Vec<(String, String)> {
    let records = unknown["records"].as_array().into_iter().flatten();
    let said = records.map(|r| (r["key"].as_str().unwrap_or_default(), r["fields"]["last_summary"].as_str()));
    let kept = said.filter_map(|(key, why)| Some((key, why.filter(|why| why.contains(ADDRESS_POLICY_OF))?)));
    kept.map(|(key, why)| (key.to_owned(), why.to_owned())).collect()
}

/// Whether all of this could be had again after this machine is lost.
fn backups(data: &Path, now: Time) -> [(Say, String, String); 2] {
    let (how, what) = match last_backup(data) {
        _ if !data.join(RECORDS).exists() => {
            (Say::Note, format!("there is no {RECORDS} here: records in PostgreSQL are backed up by its own tools"))
        }
        Ok(last) => judged(last.as_ref(), now),
        Err(error) => (Say::Warn, format!("when the last backup was taken cannot be read: {error:#}")),
    };
    let keys = data.join("keys");
    [
        (how, what, "mainstay backup FOLDER, then copy it to another machine".to_owned()),
        (
            Say::Note,
            format!("no backup contains {}", keys.display()),
            "keep a copy of it apart from the backups: without it no secret can be read".to_owned(),
        ),
    ]
}

/// Whether the newest backup is fresh.
fn judged(last: Option<&LastBackup>, now: Time) -> (Say, String) {
    let Some(last) = last else { return (Say::Warn, "no backup of Mainstay's own data was ever taken".to_owned()) };
    let age = now.since(last.taken);
    let hours = format_duration(Duration::from_secs(age.as_secs() / 3600 * 3600));
    let to = last.to.display();
    if age <= FRESH {
        (Say::Ok, format!("the newest backup is less than a day old, in {to}"))
    } else {
        (Say::Warn, format!("the newest backup, in {to}, is {hours} old"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_asked_for_when_there_is_none_or_it_is_older_than_a_day() {
        let now = Time::parse("2026-11-21T12:00:00Z").unwrap();
        let taken = |ago: u64| LastBackup { taken: now.minus(Duration::from_secs(ago)), to: "/srv/backup/a".into() };
        for (last, how, named, why) in [
            (None, Say::Warn, "ever", "never"),
            (Some(taken(60)), Say::Ok, "/srv/backup/a", "a minute ago"),
            (Some(taken(24 * 3600)), Say::Ok, "/srv/backup/a", "a day ago"),
            (Some(taken(25 * 3600 + 59)), Say::Warn, "1d1h", "more than a day ago"),
            (Some(LastBackup { taken: now.plus(FRESH), to: "/x".into() }), Say::Ok, "/x", "the clock was set back"),
        ] {
            let (said, what) = judged(last.as_ref(), now);
            assert!(said == how && what.contains(named), "{why}: {said:?} {what}");
        }
    }
}
