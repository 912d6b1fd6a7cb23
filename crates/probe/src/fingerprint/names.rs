//! Names: what a host calls itself, over NetBIOS, mDNS and SNMP: one datagram each, a second at most, no answer is no error.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::library::Fingerprints;
use super::mdns::{Announced, parse_announcement, services_question};
use super::netbios::{NetbiosStatus, parse_status, status_question};
use crate::env::Env;
use crate::extract::{Device, Library};
use crate::secret::Secret;
use crate::snmp::{Security, Session, identify};

/// What a host calls itself, wherever it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Over NetBIOS.
    pub netbios: Option<NetbiosStatus>,
    /// Over mDNS.
    pub mdns: Option<Announced>,
    /// Over SNMP.
    pub snmp: Option<SnmpSaid>,
}

/// What an SNMP agent says of its device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnmpSaid {
    /// What the administrator called it (`sysName`).
    pub name: String,
    /// Its description, the first 200 characters (`sysDescr`).
    pub description: String,
    /// What kind it is (`sysObjectID`).
    pub identity: String,
    /// Vendor, operating system, and facts, as far as the profiles or the register of makers know them.
    pub device: Device,
}

/// Asks over NetBIOS.
pub async fn ask_netbios(env: &Env, host: IpAddr, patience: Duration) -> Option<NetbiosStatus> {
    const NUMBER: u16 = 0x4d53;
    let question = status_question(NUMBER);
    let is_answer = |bytes: &[u8]| bytes.starts_with(&NUMBER.to_be_bytes()) && parse_status(bytes).is_ok();
    let asked = env.net.exchange(SocketAddr::new(host, 137), &question, &is_answer);
    let bytes = tokio::time::timeout(patience, asked).await.ok()?.ok()?;
    parse_status(&bytes).ok()
}

/// Asks over mDNS, the device alone.
pub async fn ask_mdns(env: &Env, host: IpAddr, patience: Duration) -> Option<Announced> {
    let question = services_question(host);
    let is_answer = |bytes: &[u8]| parse_announcement(bytes).is_ok();
    let asked = env.net.exchange(SocketAddr::new(host, 5353), &question, &is_answer);
    let bytes = tokio::time::timeout(patience, asked).await.ok()?.ok()?;
    parse_announcement(&bytes).ok().filter(|announced| *announced != Announced::default())
}

/// Asks over SNMP version 2c what the device is, in about three times that time at most.
pub async fn ask_snmp(env: &Env, peer: SocketAddr, community: &Secret, patience: Duration) -> Option<SnmpSaid> {
    let security = Security::V2c(community.clone());
    let mut session = Session::new(env, peer, security, patience, 1);
    let asked = identify(&mut session, Library::own());
    let (mut device, system) = tokio::time::timeout(patience * 3, asked).await.ok()?.ok()?;
    if device.vendor.is_empty() {
        device.vendor = Fingerprints::own().maker(&system.identity).unwrap_or_default().to_owned();
    }
    let line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>();
    Some(SnmpSaid {
        name: line(&system.name),
        description: line(&system.description),
        identity: system.identity.to_string(),
        device,
    })
}
