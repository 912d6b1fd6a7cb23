//! Discover: who is there and what serves there, in one go: echoes to all, connections to the ports of who answers, one
//! look at each open port, and one question over NetBIOS, mDNS and (with a community) SNMP. Asks; keeps nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::addresses::Addresses;
use super::icmp::{EchoPlan, echo_sweep};
use super::neighbours::{LIST, TABLE, parse_manufacturers, parse_neighbours, shown};
use super::ports::{PortPlan, PortState, port_sweep};
use crate::env::{Env, Failure};
use crate::fingerprint::{Named, Service, SnmpSaid, ask_mdns, ask_netbios, ask_snmp, look_at_port};
use crate::secret::Secret;

/// Ports that are looked at when none are named: what is commonly served, in order of how often it is worth knowing.
pub const USUAL_PORTS: &[u16] = &[
    443, 80, 22, 445, 3389, 8080, 8443, 25, 53, 139, 21, 23, 110, 143, 993, 389, 636, 3306, 5432, 1433, 1521, 6379,
    27017, 9200, 5672, 1883, 631, 9100, 554, 5900, 5060, 502, 8006, 9090, 3000, 6443, 10050,
];

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is asked.
    pub addresses: Addresses,
    /// Which ports are tried on who answers.
    pub ports: Vec<u16>,
    /// Packets a second at most, echoes and connections alike; `None` is as fast as it goes.
    pub per_second: Option<f64>,
    /// How long to wait for one answer.
    pub patience: Duration,
    /// False: no echoes; every address is tried on every port.
    pub ping: bool,
    /// False: open ports are not looked at any further, and nobody is asked for names.
    pub look: bool,
    /// The community of SNMP version 2c; nobody is asked over SNMP without one.
    pub community: Option<Secret>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Discovery {
    /// How many addresses were asked.
    pub addresses: u64,
    /// Who answered, in the order of addresses.
    pub hosts: Vec<Host>,
    /// What could not be seen, and why; sentences.
    pub notes: Vec<String>,
    /// How long it took, in seconds.
    pub took_seconds: f64,
}

/// A host that answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Host {
    /// Its address.
    pub address: IpAddr,
    /// What it calls itself, or empty.
    pub name: String,
    /// The round trip of its echo, in milliseconds, where it answered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// Its hardware address, where it is on the same link or says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// Who makes it; as SNMP says, else its services, else its hardware address.
    pub vendor: String,
    /// What it is for, where that is known: network, printer, power, camera, storage, server …
    pub class: String,
    /// Its operating system, where that is known.
    pub os: String,
    /// Its model, where that is known.
    pub model: String,
    /// Its open ports, in order.
    pub ports: Vec<Found>,
    /// Kinds of services that it announces over mDNS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub announces: Vec<String>,
    /// What its SNMP agent says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snmp: Option<SnmpSaid>,
}

/// An open port and what serves there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Its number.
    pub port: u16,
    /// What it is.
    #[serde(flatten)]
    pub service: Service,
}

/// Hosts and ports that are looked at closely at once.
const LOOKS: usize = 64;

/// What would be sent, in sentences, without sending it.
pub fn outline(plan: &Plan) -> Vec<String> {
    let (count, ports) = (plan.addresses.len(), plan.ports.len() as u64);
    let rate = plan.per_second.map_or("as fast as it goes".to_owned(), |rate| format!("{rate} a second at most"));
    let takes = |packets: u64| match plan.per_second {
        Some(rate) => format!(", about {}", crate::outcome::in_words(packets as f64 / rate)),
        None => String::new(),
    };
    let ends = plan.addresses.get(0).zip(plan.addresses.get(count.saturating_sub(1)));
    let range = ends.map(|(first, last)| format!(" ({first} to {last})")).unwrap_or_default();
    let mut lines = Vec::new();
    if plan.ping {
        lines.push(format!(
            "ICMP echo of 64 bytes to {count} addresses{range}, {rate}{}, once more to who is silent",
            takes(count)
        ));
        lines.push(format!(
            "TCP connections to {ports} ports of each host that answers, {rate}, up to {}{}",
            count * ports,
            takes(count * ports)
        ));
    } else {
        lines.push(format!(
            "TCP connections to {ports} ports of {count} addresses{range}, {rate}, {} in all{}",
            count * ports,
            takes(count * ports)
        ));
    }
    if plan.look {
        lines.push(
            "to each open port: one or two more connections that listen, ask what its protocol defines, or fetch /"
                .to_owned(),
        );
        lines.push("to each host: one datagram to NetBIOS (137) and one to mDNS (5353)".to_owned());
    }
    if plan.community.is_some() {
        lines.push(
            "to each host: SNMP version 2c reads of what the device is (161), with the community given".to_owned(),
        );
    }
    lines
}

/// Does all of it. `progress` is told what is being done, how much of it is done, and how much there is; dropping the future
/// ends it.
///
/// # Errors
/// Nobody could be asked at all: [`Failure::Local`] says why. What a host does is never an error.
pub async fn discover(
    env: &Env,
    plan: &Plan,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> Result<Discovery, Failure> {
    let begun = env.clock.monotonic();
    let mut found = Discovery { addresses: plan.addresses.len(), ..Discovery::default() };
    let mut trips: BTreeMap<IpAddr, Option<Duration>> = BTreeMap::new();
    if plan.ping {
        let echoes = EchoPlan { per_second: plan.per_second, patience: plan.patience, ..EchoPlan::default() };
        let total = plan.addresses.len();
        let mut tell = |sent: u64, _: u64| progress("echoes", sent.min(total), total);
        let swept = echo_sweep(env, &plan.addresses, echoes, &mut tell).await?;
        trips.extend(swept.replied.into_iter().map(|one| (one.address, Some(one.round_trip))));
        found.notes.extend(swept.refusal.map(|why| format!("{} addresses were not asked: {why}", swept.kept_back)));
    }
    let mut open: BTreeSet<SocketAddr> = BTreeSet::new();
    let asked: Vec<IpAddr> = if plan.ping { trips.keys().copied().collect() } else { plan.addresses.iter().collect() };
    let total = asked.len() as u64 * plan.ports.len() as u64;
    let mut done = 0;
    let ports = PortPlan { per_second: plan.per_second, patience: plan.patience, ..PortPlan::default() };
    let mut seen = |port: super::Port| {
        done += 1;
        progress("ports", done, total);
        match port.state {
            PortState::Silent => {}
            PortState::Closed => drop(trips.entry(port.peer.ip()).or_default()),
            PortState::Open(_) => {
                trips.entry(port.peer.ip()).or_default();
                open.insert(port.peer);
            }
        }
    };
    port_sweep(env, &asked, &plan.ports, ports, &mut seen).await;
    let (services, named) = if plan.look {
        (looks(env, &open, plan.patience, progress).await, names(env, &trips, plan, progress).await)
    } else {
        (
            open.iter().map(|peer| (*peer, Service { service: "unknown".to_owned(), ..Service::default() })).collect(),
            BTreeMap::new(),
        )
    };
    found.hosts = hosts(trips, services, named);
    neighbours(env, &mut found).await;
    found.took_seconds = env.clock.monotonic().saturating_sub(begun).as_secs_f64();
    Ok(found)
}

/// What serves at each open port.
async fn looks(
    env: &Env,
    open: &BTreeSet<SocketAddr>,
    patience: Duration,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> BTreeMap<SocketAddr, Service> {
    let turns = Arc::new(Semaphore::new(LOOKS));
    let mut tasks = JoinSet::new();
    for peer in open.iter().copied() {
        let (env, turns) = (env.clone(), turns.clone());
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (peer, look_at_port(&env, peer, patience).await)
        });
    }
    gather(tasks, "services", progress).await
}

/// What each host calls itself.
async fn names(
    env: &Env,
    hosts: &BTreeMap<IpAddr, Option<Duration>>,
    plan: &Plan,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> BTreeMap<IpAddr, Named> {
    const SNMP_PORT: u16 = 161;
    let turns = Arc::new(Semaphore::new(LOOKS));
    let mut tasks = JoinSet::new();
    for host in hosts.keys().copied() {
        let (env, turns, community, patience) = (env.clone(), turns.clone(), plan.community.clone(), plan.patience);
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let snmp = async {
                match &community {
                    Some(community) => ask_snmp(&env, SocketAddr::new(host, SNMP_PORT), community, patience).await,
                    None => None,
                }
            };
            let (netbios, mdns, snmp) =
                tokio::join!(ask_netbios(&env, host, patience), ask_mdns(&env, host, patience), snmp);
            (host, Named { netbios, mdns, snmp })
        });
    }
    gather(tasks, "names", progress).await
}

async fn gather<K: Ord + 'static, V: 'static>(
    mut tasks: JoinSet<(K, V)>,
    what: &str,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> BTreeMap<K, V> {
    let total = tasks.len() as u64;
    let mut all = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        all.extend(done.ok());
        progress(what, all.len() as u64, total);
    }
    all
}

/// Puts together what was seen of each host.
fn hosts(
    trips: BTreeMap<IpAddr, Option<Duration>>,
    services: BTreeMap<SocketAddr, Service>,
    mut named: BTreeMap<IpAddr, Named>,
) -> Vec<Host> {
    let mut hosts: BTreeMap<IpAddr, Host> = BTreeMap::new();
    for (address, trip) in trips {
        let named = named.remove(&address).unwrap_or_default();
        hosts.insert(address, host(address, trip, named));
    }
    for (peer, service) in services {
        let Some(host) = hosts.get_mut(&peer.ip()) else { continue };
        // A device's own pages tell what it is; a web server's maker is not the machine's.
        if !service.class.is_empty() && service.class != "server" {
            fill(&mut host.vendor, &service.vendor);
            fill(&mut host.class, &service.class);
        }
        for (fact, field) in [("os", &mut host.os), ("model", &mut host.model)] {
            fill(field, service.facts.get(fact).map_or("", String::as_str));
        }
        host.ports.push(Found { port: peer.port(), service });
    }
    hosts.into_values().collect()
}

fn host(address: IpAddr, trip: Option<Duration>, named: Named) -> Host {
    let mut host = Host {
        address,
        name: String::new(),
        round_trip_ms: trip.map(|trip| (trip.as_secs_f64() * 1e6).round() / 1e3),
        hardware: None,
        vendor: String::new(),
        class: String::new(),
        os: String::new(),
        model: String::new(),
        ports: Vec::new(),
        announces: Vec::new(),
        snmp: named.snmp,
    };
    if let Some(snmp) = &host.snmp {
        fill(&mut host.name, &snmp.name);
        fill(&mut host.vendor, &snmp.device.vendor);
        fill(&mut host.class, &snmp.device.class);
        let version = snmp.device.facts.get("version").map(|version| format!(" {version}")).unwrap_or_default();
        if !snmp.device.os.is_empty() {
            fill(&mut host.os, &format!("{}{version}", snmp.device.os));
        }
        fill(&mut host.model, snmp.device.facts.get("hardware").map_or("", String::as_str));
    }
    if let Some(mdns) = named.mdns {
        fill(&mut host.name, &mdns.name);
        fill(&mut host.model, &mdns.model);
        host.announces = mdns.services;
    }
    if let Some(netbios) = named.netbios {
        fill(&mut host.name, &netbios.name);
        host.hardware = netbios.hardware.map(shown);
    }
    host
}

fn fill(field: &mut String, text: &str) {
    if field.is_empty() {
        text.clone_into(field);
    }
}

/// Hardware addresses from the kernel's table, and makers where the list of them is installed.
async fn neighbours(env: &Env, found: &mut Discovery) {
    let table = env.host.read(Path::new(TABLE)).await.map(|bytes| parse_neighbours(&bytes)).unwrap_or_default();
    let table: BTreeMap<IpAddr, [u8; 6]> = table.into_iter().collect();
    let is_needed = found.hosts.iter().any(|host| table.contains_key(&host.address));
    if !is_needed {
        return;
    }
    let makers = match env.host.read(Path::new(LIST)).await {
        Ok(bytes) => parse_manufacturers(&bytes),
        Err(_) => {
            found.notes.push(format!("makers of network cards are not known: {LIST} is not there; install ieee-data"));
            parse_manufacturers(b"")
        }
    };
    for host in &mut found.hosts {
        if let Some(hardware) = table.get(&host.address) {
            host.hardware = Some(shown(*hardware));
            fill(&mut host.vendor, makers.of(*hardware).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::parse_addresses;

    #[test]
    fn what_would_be_sent_is_told_without_sending_it() {
        let plan = Plan {
            addresses: parse_addresses(b"192.0.2.0/24").unwrap(),
            ports: vec![22, 80],
            per_second: Some(127.0),
            patience: Duration::from_secs(1),
            ping: true,
            look: true,
            community: Some(Secret::new("hunter2")),
        };
        let lines = outline(&plan).join("\n");
        assert!(lines.contains("254 addresses (192.0.2.1 to 192.0.2.254), 127 a second at most, about 2 s"), "{lines}");
        assert!(lines.contains("2 ports of each host"), "{lines}");
        assert!(lines.contains("SNMP") && !lines.contains("hunter2"), "{lines}");
    }

    #[test]
    fn what_the_device_says_of_itself_goes_before_what_its_services_say() {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let service = |service: &str, vendor: &str, class: &str| Service {
            service: service.into(),
            vendor: vendor.into(),
            class: class.into(),
            ..Service::default()
        };
        let trips = BTreeMap::from([(address, None)]);
        let services = BTreeMap::from([
            (SocketAddr::new(address, 80), service("http", "F5", "")),
            (SocketAddr::new(address, 443), service("http", "MikroTik", "network")),
        ]);
        let seen = hosts(trips.clone(), services.clone(), BTreeMap::new());
        assert_eq!((seen[0].vendor.as_str(), seen[0].class.as_str(), seen[0].ports.len()), ("MikroTik", "network", 2));
        let snmp = SnmpSaid { name: "core-1".into(), ..SnmpSaid::default() };
        let named = Named {
            snmp: Some(SnmpSaid {
                device: crate::extract::Device { vendor: "Juniper".into(), ..Default::default() },
                ..snmp
            }),
            ..Named::default()
        };
        let seen = hosts(trips, services, BTreeMap::from([(address, named)]));
        assert_eq!((seen[0].vendor.as_str(), seen[0].name.as_str()), ("Juniper", "core-1"));
    }
}
