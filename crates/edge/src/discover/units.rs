//! Units of systemd, by one call of `systemctl show`, where systemd is process 1. Starts and stops nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::ports::Port;
use super::{CannotSee, Table};
use crate::parse::systemctl;
use crate::system::{RunLimits, System};

/// The call, which is also the key of recorded answers.
pub(super) const SHOW: [&str; 8] = [
    "systemctl",
    "show",
    "--all",
    "--no-pager",
    "--property=Id,Description,LoadState,ActiveState,SubState,UnitFileState,Type,MainPID,Listen,Triggers",
    "*.service",
    "*.socket",
    "*.timer",
];

const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(10), output_bytes: 8 << 20 };

/// One loaded unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    pub description: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `running`, `exited`, `dead`, `listening` …
    pub sub: String,
    /// `enabled`, `static`, `disabled`, `masked` …
    pub enabled: String,
    /// `simple`, `notify`, `oneshot` … of a service.
    pub kind: String,
    pub main_pid: Option<u32>,
    /// `0.0.0.0:22 (Stream)`, a line each, of a socket unit.
    listen: Vec<String>,
    /// The service that a socket or a timer starts.
    triggers: Option<String>,
}

impl Unit {
    /// Whether it is to run all the time: an enabled service that is not done when it has run once.
    pub fn is_application(&self, name: &str) -> bool {
        name.ends_with(".service")
            && matches!(self.enabled.as_str(), "enabled" | "enabled-runtime")
            && self.kind != "oneshot"
    }
}

/// All loaded units by name; none where there is no systemd, which is told.
pub(super) fn look(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Option<BTreeMap<String, Unit>> {
    if super::line(sys, "/proc/1/comm").is_none_or(|name| name != "systemd") {
        cannot_see.push(CannotSee {
            what: "units".into(),
            why: "systemd is not process 1 here".into(),
            remedy: "none needed: applications are found by their ports and processes".into(),
        });
        return None;
    }
    match sys.run(&SHOW, LIMITS) {
        Ok(ran) if ran.code == Some(0) => Some(units(&ran.stdout)),
        Ok(ran) => {
            let code = ran.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            cannot_see.push(blind(format!("systemctl ended with {code}")));
            None
        }
        Err(error) => {
            cannot_see.push(blind(format!("systemctl: {error}")));
            None
        }
    }
}

fn blind(why: String) -> CannotSee {
    CannotSee {
        what: "units".into(),
        why,
        remedy: "run `systemctl show '*.service'` as the agent's user and mend what it says".into(),
    }
}

fn units(bytes: &[u8]) -> BTreeMap<String, Unit> {
    systemctl::blocks(bytes)
        .into_iter()
        .filter(|block| block.get("LoadState").is_some_and(|state| state == "loaded"))
        .filter_map(|mut block| {
            let mut take = |name: &str| block.remove(name).unwrap_or_default();
            let name = take("Id");
            let listen = take("Listen").lines().map(str::to_owned).collect();
            let triggers = take("Triggers").split(' ').next().filter(|name| !name.is_empty()).map(str::to_owned);
            let main_pid = take("MainPID").parse().ok().filter(|pid| *pid != 0);
            let unit = Unit {
                description: take("Description"),
                active: take("ActiveState"),
                sub: take("SubState"),
                enabled: take("UnitFileState"),
                kind: take("Type"),
                main_pid,
                listen,
                triggers,
            };
            (!name.is_empty()).then_some((name, unit))
        })
        .collect()
}

/// The table: a row for each loaded unit. Process numbers are left out, since a restart is told by ports and processes already.
pub(super) fn table(units: &BTreeMap<String, Unit>) -> Table {
    units
        .iter()
        .map(|(name, unit)| {
            let row = json!({
                "description": unit.description,
                "active": unit.active,
                "sub": unit.sub,
                "enabled": unit.enabled,
                "type": if unit.kind.is_empty() { None } else { Some(&unit.kind) },
                "triggers": unit.triggers,
            });
            (name.clone(), row)
        })
        .collect()
}

/// The unit behind a port: its process's, or, while systemd itself waits on the port, the service that the socket unit will start.
pub(super) fn of_port(units: &BTreeMap<String, Unit>, port: &Port, process_unit: Option<&str>) -> Option<String> {
    if let Some(unit) = process_unit {
        return Some(unit.to_owned());
    }
    if port.owner.is_some_and(|pid| pid != 1) {
        return None;
    }
    let end = format!(":{}", port.port);
    let kind = match port.protocol {
        crate::parse::sockets::Protocol::Tcp => "(Stream)",
        crate::parse::sockets::Protocol::Udp => "(Datagram)",
    };
    units
        .values()
        .find(|unit| {
            unit.listen.iter().any(|line| {
                line.split_once(' ').is_some_and(|(address, how)| {
                    how == kind && (address.ends_with(&end) || address == port.port.to_string())
                })
            })
        })
        .and_then(|unit| unit.triggers.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"Type=notify\nMainPID=612\nId=nginx.service\nDescription=A high performance web server\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n\nType=oneshot\nMainPID=0\nId=e2scrub_reap.service\nDescription=Remove Stale Online ext4 Metadata Check Snapshots\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\n\nId=ghost.service\nLoadState=not-found\nActiveState=inactive\n\nListen=0.0.0.0:22 (Stream)\nListen=[::]:22 (Stream)\nId=ssh.socket\nLoadState=loaded\nActiveState=active\nSubState=listening\nUnitFileState=enabled\nTriggers=ssh.service\n";

    #[test]
    fn a_unit_that_only_runs_once_is_no_application() {
        let units = units(ANSWER);
        let applications: Vec<_> =
            units.iter().filter(|(name, unit)| unit.is_application(name)).map(|(name, _)| name.as_str()).collect();
        assert_eq!(applications, ["nginx.service"]);
        assert!(!units.contains_key("ghost.service"), "named by others, but there is no such unit");
        assert_eq!(units["nginx.service"].main_pid, Some(612));
    }

    #[test]
    fn a_port_that_systemd_holds_belongs_to_the_service_it_starts() {
        let units = units(ANSWER);
        let port = |port, owner| Port {
            protocol: crate::parse::sockets::Protocol::Tcp,
            address: std::net::Ipv4Addr::UNSPECIFIED.into(),
            port,
            uid: 0,
            owner,
        };
        assert_eq!(of_port(&units, &port(22, Some(1)), None).as_deref(), Some("ssh.service"));
        assert_eq!(of_port(&units, &port(22, Some(99)), None), None, "a process of its own");
        assert_eq!(of_port(&units, &port(2222, Some(1)), None), None);
        assert_eq!(of_port(&units, &port(80, Some(612)), Some("nginx.service")).as_deref(), Some("nginx.service"));
    }
}
