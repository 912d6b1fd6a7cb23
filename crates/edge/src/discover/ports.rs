//! Ports that something listens on, TCP and UDP, IPv4 and IPv6, and which process holds them.
//!
//! To find a socket's process means reading every open file of every process, so it is done only for sockets not met before.
//! UDP sockets on the kernel's ephemeral ports are left out: they are clients that wait for an answer, and nothing tells them from servers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::json;

use super::processes::{Processes, proc};
use super::units::Unit;
use super::{CannotSee, Table};
use crate::parse::sockets::{self, Protocol, Socket};
use crate::system::System;

/// Most of a socket table that is read: some 100,000 UDP sockets, or listening TCP ones.
const TABLE_BYTES: usize = 16 << 20;

/// How often the holder of a socket is looked for before it is taken as not visible, until the next full look.
const TRIES: u8 = 2;

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub port: u16,
    pub uid: u32,
    /// The process that holds it: of a family that shares it, the eldest.
    pub owner: Option<u32>,
}

impl Port {
    /// `tcp/127.0.0.1:80`, `udp/[::]:53`.
    pub fn item(&self) -> String {
        format!("{}/{}", self.protocol.name(), SocketAddr::new(self.address, self.port))
    }
}

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Socket to process, with the start of the process: a number may come again.
    owners: HashMap<u64, (u32, u64)>,
    failures: HashMap<u64, u8>,
    /// Processes whose open files could not be read at the last search.
    hidden: usize,
}

impl Memory {
    /// Sockets whose process was not visible are searched for again.
    pub fn forget_failures(&mut self) {
        self.failures.clear();
    }

    pub fn look(&mut self, sys: &dyn System, seen: &Processes, cannot_see: &mut Vec<CannotSee>) -> Vec<Port> {
        let found = listening(sys, cannot_see);
        let inodes: BTreeSet<u64> = found.iter().map(|socket| socket.inode).filter(|inode| *inode != 0).collect();
        self.failures.retain(|inode, _| inodes.contains(inode));
        self.owners.retain(|inode, (pid, started)| {
            inodes.contains(inode) && seen.by_pid.get(pid).is_some_and(|process| process.started == *started)
        });
        let unknown: BTreeSet<u64> = inodes
            .into_iter()
            .filter(|inode| !self.owners.contains_key(inode))
            .filter(|inode| self.failures.get(inode).copied().unwrap_or_default() < TRIES)
            .collect();
        if !unknown.is_empty() {
            self.search(sys, seen, &unknown);
        }

        let mut ports: BTreeMap<String, Port> = BTreeMap::new();
        for socket in found {
            let owner = self.owners.get(&socket.inode).map(|(pid, _)| *pid);
            let Socket { protocol, address, port, uid, .. } = socket;
            let port = Port { protocol, address, port, uid, owner };
            // Several sockets may share a port (SO_REUSEPORT): one row, of one that is seen to be held.
            let row = ports.entry(port.item()).or_insert_with(|| port.clone());
            if row.owner.is_none() {
                *row = port;
            }
        }
        let ports: Vec<Port> = ports.into_values().collect();
        self.tell_blindness(sys, &ports, cannot_see);
        ports
    }

    /// Goes through the open files of all processes.
    fn search(&mut self, sys: &dyn System, seen: &Processes, unknown: &BTreeSet<u64>) {
        let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        self.hidden = 0;
        for pid in seen.by_pid.keys() {
            match held(sys, *pid) {
                Ok(inodes) => {
                    for inode in inodes.into_iter().filter(|inode| unknown.contains(inode)) {
                        holders.entry(inode).or_default().push(*pid);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.hidden += 1,
                Err(_) => {} // It has ended.
            }
        }
        for inode in unknown {
            match holders.get(inode).and_then(|pids| eldest(seen, pids)) {
                Some(pid) => {
                    let started = seen.by_pid.get(&pid).map(|process| process.started).unwrap_or_default();
                    self.owners.insert(*inode, (pid, started));
                    self.failures.remove(inode);
                }
                None => *self.failures.entry(*inode).or_default() += 1,
            }
        }
    }

    fn tell_blindness(&self, sys: &dyn System, ports: &[Port], cannot_see: &mut Vec<CannotSee>) {
        let blind: Vec<String> = ports.iter().filter(|port| port.owner.is_none()).map(Port::item).collect();
        if blind.is_empty() {
            return;
        }
        let (why, remedy) = match (self.hidden, sys.effective_uid()) {
            (0, _) => (
                "no process that the agent sees holds them: the kernel itself, or a process in another container"
                    .to_owned(),
                "run the agent on the host instead of in a container".to_owned(),
            ),
            (hidden, 0) => (
                format!("{hidden} processes let not even root read their open files"),
                "nothing, where they are protected on purpose; else give the agent CAP_SYS_PTRACE".to_owned(),
            ),
            (hidden, _) => (
                format!("the agent is not root, and the open files of {hidden} processes are not its to read"),
                "run the agent as root, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH".to_owned(),
            ),
        };
        cannot_see.push(CannotSee { what: format!("which processes own the ports {}", blind.join(", ")), why, remedy });
    }
}

/// Sockets that wait, on all four tables.
fn listening(sys: &dyn System, cannot_see: &mut Vec<CannotSee>) -> Vec<Socket> {
    let ephemeral = ephemeral_ports(sys);
    let mut found = Vec::new();
    for (file, protocol) in [
        ("/proc/net/tcp", Protocol::Tcp),
        ("/proc/net/tcp6", Protocol::Tcp),
        ("/proc/net/udp", Protocol::Udp),
        ("/proc/net/udp6", Protocol::Udp),
    ] {
        let enough = |bytes: &[u8]| protocol == Protocol::Tcp && sockets::past_listening(bytes);
        match sys.read_until(Path::new(file), TABLE_BYTES, &enough) {
            Ok(bytes) => found.extend(sockets::table(&bytes, protocol)),
            Err(error) if file.ends_with('6') && error.kind() == io::ErrorKind::NotFound => {} // A kernel without IPv6.
            Err(error) => cannot_see.push(CannotSee {
                what: format!("{} ports", protocol.name()),
                why: format!("{file}: {error}"),
                remedy: "let the agent read /proc/net".into(),
            }),
        }
    }
    found.retain(|socket| socket.protocol == Protocol::Tcp || !ephemeral.contains(&socket.port));
    found
}

/// Ports that the kernel gives to clients.
fn ephemeral_ports(sys: &dyn System) -> std::ops::RangeInclusive<u16> {
    let text = super::line(sys, "/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().filter_map(|end| end.parse().ok());
    let (from, to) = (ends.next().unwrap_or(32768), ends.next().unwrap_or(60999));
    from..=to
}

/// Sockets that a process holds.
fn held(sys: &dyn System, pid: u32) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for name in sys.list(&proc(pid, "fd"))? {
        match sys.read_link(&proc(pid, &format!("fd/{name}"))) {
            Ok(target) => inodes.extend(inode(&target)),
            // The list may be readable and its links not: then none of them is.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => {} // Closed since.
        }
    }
    Ok(inodes)
}

/// `socket:[4711]`.
fn inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Of several holders, the one the others got it from. Process 1 hands sockets to the services it starts, so it counts only when alone.
fn eldest(seen: &Processes, pids: &[u32]) -> Option<u32> {
    let heirs =
        |pid: &u32| seen.by_pid.get(pid).is_some_and(|process| !pids.contains(&process.parent) || process.parent == 1);
    let started = |pid: &u32| seen.by_pid.get(pid).map(|process| process.started);
    pids.iter()
        .copied()
        .filter(|pid| *pid != 1)
        .filter(heirs)
        .min_by_key(|pid| (started(pid), *pid))
        .or_else(|| pids.first().copied())
}

/// The table: a row for each protocol, address and port.
pub(super) fn table(ports: &[Port], seen: &Processes, units: &BTreeMap<String, Unit>) -> Table {
    ports
        .iter()
        .map(|port| {
            let process = port.owner.and_then(|pid| seen.by_pid.get(&pid));
            let details = process.and_then(|process| process.details.as_ref());
            let unit = super::units::of_port(units, port, details.and_then(|details| details.unit.as_deref()));
            let row = json!({
                "protocol": port.protocol.name(),
                "address": port.address,
                "port": port.port,
                "pid": port.owner,
                "process": process.map(|process| &process.name),
                "unit": unit,
                "user": seen.user(port.uid),
            });
            (port.item(), row)
        })
        .collect()
}
