//! A machine as an agent sees it, kept as records: the host, what runs on it, and the checks that a new one begins with.
//!
//! Facts are declared once, when the machine is first met; from then on they are observations, and a difference is drift. What is no
//! longer seen is never deleted: its checks say that it is down. Only what listened for a while on a port that the system hands out,
//! and that nobody has made anything of, is retired when it has been gone for long. Matching goes from the surest sign to the weakest, so that a record
//! that a person made is found again instead of being doubled.

use edge::discover::{Application, Live, Snapshot, Tables};
use kernel::act::{Act, Create, Target};
use kernel::error::ActError;
use kernel::link::Side;
use kernel::observation::{FIELDS, Look};
use kernel::read::ListAsk;
use kernel::{ClassDef, HealthState, Id, Kernel, Record, Session, Time};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How often what was discovered is checked.
const INTERVAL: &str = "5s";
/// Between a failure and the question whether it was one.
const RETRY: &str = "1s";
/// State of what is in use.
const ACTIVE: &str = "active";
/// First of the ports that Linux hands out for a while.
const EPHEMERAL: u16 = 32_768;
/// So long it must have been down before what only passed by is retired.
const PASSED_AFTER: Duration = Duration::from_secs(600);

/// Keeps a whole look; answers the host's record.
///
/// # Errors
/// What the kernel refuses.
pub async fn keep(kernel: &Kernel, session: &Session, seen: &Snapshot) -> Result<Record, ActError> {
    let class = kernel.registry().need("host")?;
    let fact = |name: &str| seen.facts.get(name).and_then(Value::as_str).unwrap_or_default();
    let host = match find_host(kernel, session, fact("machine_id"), fact("hostname")).await? {
        Some(host) => host,
        None => meet(kernel, session, &class, seen).await?,
    };
    let (mut fields, mut others) = (Vec::new(), Vec::new());
    for (name, value) in &seen.facts {
        let rows = if class.field(name).is_some() { &mut fields } else { &mut others };
        rows.push((name.clone(), value.clone()));
    }
    let source = source_of(session);
    let whole = |table: &str, rows| Look { table: table.into(), source: source.clone(), rows, whole: true };
    let mut looks = vec![whole(FIELDS, fields), whole("facts", others)];
    looks.extend(tables(&seen.tables, &source));
    kernel.act(session, Act::Observe { target: Target::Id(host.id), looks }).await?;
    applications(kernel, session, &host, &seen.applications).await?;
    Ok(host)
}

/// Keeps a quick look at what changes when something starts or stops.
///
/// # Errors
/// What the kernel refuses.
pub async fn keep_live(
    kernel: &Kernel,
    session: &Session,
    host: &Record,
    seen: &Live,
    before: &Tables,
) -> Result<(), ActError> {
    let changed: Tables = seen
        .tables
        .iter()
        .filter(|(name, table)| before.get(*name) != Some(table))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect();
    if !changed.is_empty() {
        let looks = tables(&changed, &source_of(session));
        kernel.act(session, Act::Observe { target: Target::Id(host.id), looks }).await?;
    }
    applications(kernel, session, host, &seen.applications).await
}

fn source_of(session: &Session) -> String {
    session.actor().to_string()
}

fn tables(all: &Tables, source: &str) -> Vec<Look> {
    all.iter()
        .map(|(name, rows)| Look {
            table: name.clone(),
            source: source.to_owned(),
            rows: rows.iter().map(|(item, value)| (item.clone(), value.clone())).collect(),
            whole: true,
        })
        .collect()
}

async fn find_host(
    kernel: &Kernel,
    session: &Session,
    machine_id: &str,
    hostname: &str,
) -> Result<Option<Record>, ActError> {
    if !machine_id.is_empty() {
        let ask = ListAsk { filter: format!("machine_id:\"{machine_id}\""), limit: 1, ..ListAsk::default() };
        if let Some(host) = kernel.list(session, "host", &ask).await?.records.into_iter().next() {
            return Ok(Some(host));
        }
    }
    // A host that a person wrote down before the agent came: the same name, and no other machine's fingerprint.
    match kernel.get(session, "host", &kernel::ids::key_from(hostname)).await {
        Ok(host) if host.get("machine_id").is_none() => {
            let fields = Map::from_iter([("machine_id".to_owned(), Value::from(machine_id))]);
            let act = Act::Update { target: Target::Id(host.id), fields, owner: None, expect: Some(host.version) };
            Ok(Some(if machine_id.is_empty() { host } else { kernel.act(session, act).await? }))
        }
        Ok(_) | Err(ActError::Unknown { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A machine that was never seen before: its record, declared as it is now, and its first checks.
async fn meet(kernel: &Kernel, session: &Session, class: &ClassDef, seen: &Snapshot) -> Result<Record, ActError> {
    let hostname = seen.facts.get("hostname").and_then(Value::as_str).unwrap_or("this-machine");
    let mut fields: Map<String, Value> =
        seen.facts.iter().filter(|(n, _)| class.field(n).is_some()).map(|(n, v)| (n.clone(), v.clone())).collect();
    fields.insert("name".into(), hostname.into());
    let key = free_key(kernel, session, &kernel::ids::key_from(hostname), "host").await?;
    let id = Id::new(kernel.now());
    let create = Create { kind: "host".into(), key: Some(key.clone()), fields, id: Some(id), ..Create::default() };
    let mut acts = vec![Act::Create(create)];
    for (protocol, title, interval) in
        [("load", "Load", "30s"), ("memory", "Memory", "30s"), ("disk", "Disk space", "30s")]
    {
        let check_key = free_key(kernel, session, &format!("{key}-{protocol}"), "check").await?;
        let fields = json!({"title": format!("{title} of {hostname}"), "protocol": protocol, "interval": interval, "timeout": "5s", "on": key});
        acts.push(Create::of("check", fields).keyed(check_key).into());
    }
    kernel.acts(session, acts, None).await?.record()
}

/// A key that is not taken: the wished one, or with a number behind it.
async fn free_key(kernel: &Kernel, session: &Session, wished: &str, fallback: &str) -> Result<String, ActError> {
    let wished = if kernel::ids::is_key(wished) { wished.to_owned() } else { fallback.to_owned() };
    for number in 1..1000 {
        let key = if number == 1 { wished.clone() } else { format!("{wished}-{number}") };
        if kernel.backend().by_key(session.tenant(), &key).await?.is_none() {
            return Ok(key);
        }
    }
    Err(ActError::KeyTaken(wished))
}

async fn applications(kernel: &Kernel, session: &Session, host: &Record, seen: &[Application]) -> Result<(), ActError> {
    let mut known = running_on(kernel, session, host).await?;
    for application in seen {
        match matching(&known, application) {
            Some(at) => {
                let record = known.swap_remove(at);
                refresh(kernel, session, &record, application).await?;
            }
            None if application.running => meet_application(kernel, session, host, application).await?,
            None => {} // An enabled unit that is down and was never up is no application yet.
        }
    }
    for record in known.iter().filter(|record| has_passed(record, kernel.now())) {
        retire(kernel, session, record).await?;
    }
    Ok(())
}

/// Whether an application that is not seen now only passed by: a program of somebody's session, a test, a tunnel.
fn has_passed(record: &Record, now: Time) -> bool {
    let gone =
        record.health.as_ref().is_some_and(|h| h.state == HealthState::Down && h.since.plus(PASSED_AFTER) <= now);
    // The first version is the one that was discovered: nobody has changed it.
    gone && record.version == 1 && record.state == ACTIVE && is_passing_record(record)
}

fn is_passing_record(record: &Record) -> bool {
    let ports = record.get("ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ephemeral = |p: &Value| p.get("port").and_then(Value::as_u64).is_some_and(|p| p >= u64::from(EPHEMERAL));
    !ports.is_empty() && ports.iter().all(ephemeral) && record.text("unit").is_empty()
}

/// Retires what has passed by, with the checks that were made for it; not what something depends on.
async fn retire(kernel: &Kernel, session: &Session, record: &Record) -> Result<(), ActError> {
    let mut acts = Vec::new();
    for neighbour in kernel.backend().neighbours(session.tenant(), record.id).await? {
        match (neighbour.name.as_str(), neighbour.direction, neighbour.other.kind.as_str()) {
            ("runs-on", Side::Out, _) | (_, Side::In, "alert" | "incident") => {}
            ("on", Side::In, "check") => {
                acts.push(Act::Delete { target: Target::Id(neighbour.other.id), expect: None });
            }
            _ => return Ok(()),
        }
    }
    let note = "it listened only on ports that the system hands out for a while, and has been gone for ten minutes";
    acts.push(Act::Transition {
        target: Target::Id(record.id),
        name: "retire".into(),
        fields: Map::new(),
        note: Some(note.into()),
        expect: None,
    });
    kernel.acts(session, acts, None).await?;
    Ok(())
}

/// Applications whose `runs-on` leads to the host.
async fn running_on(kernel: &Kernel, session: &Session, host: &Record) -> Result<Vec<Record>, ActError> {
    let mut all = Vec::new();
    for neighbour in kernel.backend().neighbours(session.tenant(), host.id).await? {
        let runs = neighbour.name == "runs-on" && neighbour.direction == Side::In;
        if runs
            && matches!(neighbour.other.kind.as_str(), "application" | "database")
            && let Some(record) = kernel.backend().get(session.tenant(), neighbour.other.id).await?
            // What comes back after it was retired as passing is met anew.
            && (record.state == ACTIVE || !is_passing_record(&record))
        {
            all.push(record);
        }
    }
    Ok(all)
}

/// The record that an application seen is: by identity, by unit, by a port it is declared on, by the name of its process.
pub fn matching(known: &[Record], seen: &Application) -> Option<usize> {
    let ports = |record: &Record| -> Vec<u64> {
        let list = record.get("ports").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|p| p.get("port").and_then(Value::as_u64)).collect()
    };
    let process = seen.process.as_deref().unwrap_or_default();
    let named = |r: &Record| r.text("process") == process || r.text("name") == process;
    let unknown = |r: &&Record| r.get("identity").is_none();
    let by_identity = known.iter().position(|r| r.text("identity") == seen.identity);
    let by_unit = || known.iter().position(|r| seen.unit.as_deref().is_some_and(|u| r.text("unit") == u));
    let by_port = || {
        known
            .iter()
            .position(|r| unknown(&r) && ports(r).iter().any(|p| seen.ports.iter().any(|s| u64::from(s.port) == *p)))
    };
    let by_name = || known.iter().position(|r| unknown(&r) && !process.is_empty() && named(r) && ports(r).is_empty());
    by_identity.or_else(by_unit).or_else(by_port).or_else(by_name)
}

/// What is seen of a known application; declared fields stay as they are, only the identity is learnt.
async fn refresh(kernel: &Kernel, session: &Session, record: &Record, seen: &Application) -> Result<(), ActError> {
    if record.get("identity").is_none() && record.kind.as_str() == "application" {
        let fields = Map::from_iter([("identity".to_owned(), Value::from(seen.identity.clone()))]);
        kernel.act(session, Act::Update { target: Target::Id(record.id), fields, owner: None, expect: None }).await?;
    }
    let source = source_of(session);
    let rows = observed(seen);
    let known = kernel.backend().observations(session.tenant(), record.id, Some(FIELDS), "", None, 100).await?;
    let same =
        rows.iter().all(|(item, value)| known.iter().any(|o| o.item == *item && o.value == *value && o.gone.is_none()));
    if !same {
        let look = Look { table: FIELDS.into(), source, rows, whole: true };
        kernel.act(session, Act::Observe { target: Target::Id(record.id), looks: vec![look] }).await?;
    }
    Ok(())
}

fn observed(seen: &Application) -> Vec<(String, Value)> {
    let fields = json!({"process": seen.process, "unit": seen.unit, "user": seen.user, "exe": seen.exe, "package": seen.package, "release": seen.version, "ports": ports_of(seen)});
    let Value::Object(fields) = fields else { return Vec::new() };
    fields.into_iter().filter(|(_, v)| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty())).collect()
}

fn ports_of(seen: &Application) -> Vec<Value> {
    seen.ports
        .iter()
        .map(|p| json!({"protocol": p.protocol, "address": p.address.to_string(), "port": p.port}))
        .collect()
}

async fn meet_application(
    kernel: &Kernel,
    session: &Session,
    host: &Record,
    seen: &Application,
) -> Result<(), ActError> {
    let mut fields: Map<String, Value> = observed(seen).into_iter().collect();
    fields.insert("name".into(), seen.title.clone().into());
    fields.insert("identity".into(), seen.identity.clone().into());
    let key = free_key(kernel, session, &kernel::ids::key_from(&seen.key_hint), "application").await?;
    let create = Create { kind: "application".into(), key: Some(key.clone()), fields, ..Create::default() };
    let mut acts = vec![Act::Create(create.linked("runs-on", host.id))];
    if let Some((protocol, target)) = first_check(seen) {
        let check = free_key(kernel, session, &format!("{key}-{protocol}"), "check").await?;
        let fields = json!({"title": format!("{} on {}", seen.title, host.title), "protocol": protocol, "target": target, "interval": INTERVAL, "timeout": "3s", "retries": 1, "retry_interval": RETRY, "severity": severity(seen), "on": key});
        acts.push(Create::of("check", fields).keyed(check).into());
    }
    kernel.acts(session, acts, None).await?;
    Ok(())
}

/// How bad it is when it is down: what listens on nothing but ports that the system hands out for a while is nobody's service, and
/// nobody is woken for it.
fn severity(seen: &Application) -> &'static str {
    let passing = !seen.ports.is_empty() && seen.ports.iter().all(|p| p.port >= EPHEMERAL) && seen.unit.is_none();
    if passing { "minor" } else { "major" }
}

/// How to see that it works, from what is known: its first TCP port, else its unit, else its process.
pub fn first_check(seen: &Application) -> Option<(&'static str, String)> {
    if let Some(port) = seen.ports.iter().find(|p| p.protocol == "tcp") {
        let address = match port.address {
            std::net::IpAddr::V4(a) if a.is_unspecified() => "127.0.0.1".to_owned(),
            std::net::IpAddr::V6(a) if a.is_unspecified() => "[::1]".to_owned(),
            std::net::IpAddr::V4(a) => a.to_string(),
            std::net::IpAddr::V6(a) => format!("[{a}]"),
        };
        return Some(("tcp", format!("{address}:{}", port.port)));
    }
    if let Some(unit) = &seen.unit {
        return Some(("systemd", unit.clone()));
    }
    seen.process.as_ref().map(|p| ("process", p.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Kind, TenantId, Time};

    fn application(identity: &str, unit: Option<&str>, port: u16) -> Application {
        serde_json::from_value(json!({
            "identity": identity, "key_hint": "nginx", "title": "nginx", "process": "nginx", "unit": unit, "user": null,
            "ports": [{"protocol": "tcp", "address": "0.0.0.0", "port": port}], "pids": [1], "exe": null, "package": null, "version": null,
            "started": null, "running": true, "restart_needed": false, "evidence": []
        }))
        .unwrap()
    }

    fn record(fields: Value) -> Record {
        let now = Time::from_micros(0);
        let Value::Object(fields) = fields else { panic!() };
        Record {
            id: Id::new(now),
            tenant: TenantId::HOME,
            kind: Kind::new("application"),
            key: "x".into(),
            state: "in-use".into(),
            open: true,
            state_since: now,
            title: "x".into(),
            owner: None,
            health: None,
            version: 1,
            created: now,
            updated: now,
            deleted: false,
            fields,
        }
    }

    #[test]
    fn what_a_person_wrote_down_is_found_again_by_the_surest_sign() {
        let seen = application("unit:nginx.service", Some("nginx.service"), 80);
        for (known, found, why) in [
            (json!({"name": "a", "identity": "unit:nginx.service"}), true, "the same identity"),
            (json!({"name": "a", "unit": "nginx.service"}), true, "declared with its unit"),
            (
                json!({"name": "shop", "ports": [{"protocol": "tcp", "address": "0.0.0.0", "port": 80}]}),
                true,
                "declared on its port",
            ),
            (json!({"name": "nginx"}), true, "declared by its name alone"),
            (json!({"name": "nginx", "identity": "other"}), false, "another instance"),
            (
                json!({"name": "nginx", "ports": [{"protocol": "tcp", "address": "0.0.0.0", "port": 81}]}),
                false,
                "declared on another port",
            ),
        ] {
            assert_eq!(matching(&[record(known)], &seen).is_some(), found, "{why}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(first_check(&application("a", None, 8080)), Some(("tcp", "127.0.0.1:8080".into())));
    }
}
