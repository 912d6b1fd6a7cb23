//! Which applications run here: what listens on a port, what an enabled unit runs, and what daemons stay without either.
//!
//! A pure function of what was seen. No product is known here by name: an application is called what its program is called, and packs
//! say later what that means.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ports::Port;
use super::processes::{Details, LONG_LIVED, Process, Processes};
use super::units::Unit;

/// A program that runs to serve somebody; a master and its workers are one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Application {
    /// The same after every restart: match on this first. Opaque.
    pub identity: String,
    /// A readable key, unique within one look: `nginx`, `nginx-8080`, `tcp-2024`. Another look may give an instance another one.
    pub key_hint: String,
    /// What people call it.
    pub title: String,
    /// Name of the process, as the kernel has it; none when it does not run or cannot be seen.
    pub process: Option<String>,
    /// The systemd unit that runs it.
    pub unit: Option<String>,
    /// The account it runs as.
    pub user: Option<String>,
    /// Where it listens, sorted.
    pub ports: Vec<Listening>,
    /// Its processes, the eldest first; those in a session of their own (one for each client) are not counted.
    pub pids: Vec<u32>,
    /// The file it runs.
    pub exe: Option<PathBuf>,
    /// The package that brought the file.
    pub package: Option<String>,
    /// The version of that package.
    pub version: Option<String>,
    /// Since when it runs, RFC 3339.
    pub started: Option<String>,
    /// Whether something of it runs: an enabled unit may be down, and a port may be open while its process is not visible.
    pub running: bool,
    /// The file was replaced while it runs, as an upgrade does: it needs a restart.
    pub restart_needed: bool,
    /// Why it is taken for an application, in words.
    pub evidence: Vec<String>,
}

/// A port that an application listens on.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listening {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Local address; `0.0.0.0` or `::` when it listens on all.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}

impl Application {
    /// Fills package and version from who owns which file.
    pub(super) fn package_from(&mut self, owners: &BTreeMap<PathBuf, (String, String)>) {
        if let Some((package, version)) = self.exe.as_ref().and_then(|exe| owners.get(exe)) {
            self.package = Some(package.clone());
            self.version = Some(version.clone());
        }
    }
}

/// What was seen.
pub(super) struct Evidence<'a> {
    pub ports: &'a [Port],
    pub processes: &'a Processes,
    pub units: &'a BTreeMap<String, Unit>,
    /// Identities told before: they need no patience.
    pub known: &'a BTreeSet<String>,
    pub patience: Duration,
}

/// One application in the making.
#[derive(Default)]
struct Draft<'a> {
    roots: BTreeSet<u32>,
    ports: Vec<&'a Port>,
    unit: Option<String>,
    evidence: BTreeSet<String>,
}

/// All applications, in the order of their key hints.
pub(super) fn derive(seen: &Evidence<'_>) -> Vec<Application> {
    let mut drafts: BTreeMap<String, Draft<'_>> = BTreeMap::new();
    for port in seen.ports {
        let root = port.owner.and_then(|pid| root(seen.processes, pid));
        let details = root.and_then(|root| root.details.as_deref());
        let unit = super::units::of_port(seen.units, port, details.and_then(|details| details.unit.as_deref()));
        let identity = match (&unit, root, details) {
            (Some(unit), ..) => format!("unit:{unit}"),
            (None, Some(root), Some(details)) => identity(root, details),
            _ => format!("port:{}/{}", port.protocol.name(), port.port),
        };
        let too_young = root.is_some_and(|root| seen.processes.age(root) < seen.patience);
        if too_young && unit.is_none() && !seen.known.contains(&identity) {
            continue;
        }
        let draft = drafts.entry(identity).or_default();
        draft.roots.extend(root.map(|root| root.pid).filter(|pid| *pid != 1 || unit.is_none()));
        draft.evidence.insert(format!("listens on {}", port.item()));
        draft.ports.push(port);
        draft.unit = unit;
    }
    for (name, unit) in seen.units.iter().filter(|(name, unit)| unit.is_application(name)) {
        let draft = drafts.entry(format!("unit:{name}")).or_default();
        draft.unit = Some(name.clone());
        draft.roots.extend(unit.main_pid.filter(|pid| seen.processes.by_pid.contains_key(pid)));
        draft.evidence.insert(format!("unit {name} is enabled and {}", unit.active));
    }
    for process in seen.processes.by_pid.values().filter(|process| is_daemon(seen.processes, process)) {
        let Some(details) = &process.details else { continue };
        let draft = drafts.entry(identity(process, details)).or_default();
        draft.roots.insert(process.pid);
        draft.evidence.insert("a long-lived daemon of the system".to_owned());
    }
    let applications = drafts.into_iter().map(|(identity, draft)| application(seen, identity, draft)).collect();
    with_key_hints(applications)
}

/// The eldest process of the same name above `pid`: the master of a worker.
fn root(seen: &Processes, pid: u32) -> Option<&Process> {
    let mut process = seen.by_pid.get(&pid)?;
    // A parent is older than its child, so this ends; the bound holds even if the kernel were to say otherwise.
    for _ in 0..64 {
        match seen.by_pid.get(&process.parent) {
            Some(parent) if parent.pid != 1 && parent.name == process.name && parent.details.is_some() => {
                process = parent
            }
            _ => break,
        }
    }
    Some(process)
}

fn identity(process: &Process, details: &Details) -> String {
    if let Some(unit) = &details.unit {
        return format!("unit:{unit}");
    }
    let program = details.exe.as_ref().map_or_else(|| process.name.clone(), |exe| exe.to_string_lossy().into_owned());
    format!("exe:{program}#{}", details.arguments_hash)
}

/// A process that the system keeps without a port and without a unit: as cron in a container. Programs for administrators live in
/// `sbin`; a shell that somebody left behind does not.
fn is_daemon(seen: &Processes, process: &Process) -> bool {
    process.parent == 1
        && process.session == process.pid
        && !process.terminal
        && seen.age(process) >= LONG_LIVED
        && process.details.as_ref().and_then(|details| details.exe.as_ref()).is_some_and(|exe| {
            exe.starts_with("/usr/sbin") || exe.starts_with("/sbin") || exe.starts_with("/usr/local/sbin")
        })
}

fn application(seen: &Evidence<'_>, identity: String, draft: Draft<'_>) -> Application {
    let mut pids: Vec<u32> = Vec::new();
    for process in seen.processes.by_pid.values() {
        let family = root(seen.processes, process.pid).is_some_and(|root| {
            draft.roots.contains(&root.pid) && (root.session == process.session || root.pid == process.pid)
        });
        if family {
            pids.push(process.pid);
        }
    }
    pids.sort_by_key(|pid| (!draft.roots.contains(pid), *pid));
    let main = pids.first().and_then(|pid| seen.processes.by_pid.get(pid));
    let details = main.and_then(|process| process.details.as_deref());
    let mut ports: Vec<Listening> = draft
        .ports
        .iter()
        .map(|port| Listening { protocol: port.protocol.name().to_owned(), address: port.address, port: port.port })
        .collect();
    ports.sort();
    let restart_needed = details.is_some_and(|details| details.replaced);
    let mut evidence: Vec<String> = draft.evidence.into_iter().collect();
    if restart_needed {
        evidence.push("its file was replaced since it started".to_owned());
    }
    if main.is_none() && !ports.is_empty() {
        evidence.push("its process cannot be seen".to_owned());
    }
    let of_unit = draft.unit.as_deref().map(|unit| unit.trim_end_matches(".service").to_owned());
    let title = of_unit
        .or_else(|| details.map(|details| details.title.clone()))
        .or_else(|| main.map(|process| process.name.clone()))
        .or_else(|| ports.first().map(|port| format!("{} port {}", port.protocol, port.port)))
        .unwrap_or_else(|| identity.clone());
    Application {
        identity,
        key_hint: String::new(),
        title,
        process: main.map(|process| process.name.clone()),
        unit: draft.unit,
        user: details.map(|details| seen.processes.user(details.uid)),
        running: main.is_some() || !ports.is_empty(),
        ports,
        pids,
        exe: details.and_then(|details| details.exe.clone()),
        package: None,
        version: None,
        started: main.and_then(|process| seen.processes.start_time(process)),
        restart_needed,
        evidence,
    }
}

/// Gives each a readable key: the title, and for a second instance its lowest port or, without one, its number.
fn with_key_hints(mut applications: Vec<Application>) -> Vec<Application> {
    let lowest = |application: &Application| application.ports.iter().map(|port| port.port).min();
    // Those without a port come last, so that the first instance keeps the plain name.
    applications.sort_by_key(|application| (slug(application), lowest(application).is_none(), lowest(application)));
    let mut taken = BTreeSet::new();
    for application in &mut applications {
        let plain = slug(application);
        let with_port = lowest(application).map(|port| format!("{plain}-{port}"));
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        application.key_hint = std::iter::once(plain.clone())
            .chain(with_port)
            .chain(numbered)
            .find(|key| !taken.contains(key))
            .expect("numbers do not end");
        taken.insert(application.key_hint.clone());
    }
    applications.sort_by(|a, b| a.key_hint.cmp(&b.key_hint));
    applications
}

/// Lower-case letters, digits and dashes; a port that nobody is seen to hold is called after itself.
fn slug(application: &Application) -> String {
    if application.identity.starts_with("port:")
        && let Some(port) = application.ports.first()
    {
        return format!("{}-{}", port.protocol, port.port);
    }
    let mut slug = String::new();
    for character in application.title.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "application".to_owned() } else { slug.to_owned() }
}
