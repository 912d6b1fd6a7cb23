//! The kernel's list of addresses as netlink messages (rtnetlink(7)), v4 and v6 alike: works without `ip` and without root.
//!
//! Bytes only; the socket is in [`RealSystem`](crate::RealSystem).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
/// `struct nlmsghdr`: length u32, type u16, flags u16, sequence u32, port u32.
const HEADER: usize = 16;
/// `struct ifaddrmsg`: family u8, prefix u8, flags u8, scope u8, interface index u32.
const ADDRESS: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The kernel's number of the interface, as in `/sys/class/net/NAME/ifindex`.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of the network prefix, in bits.
    pub prefix: u8,
}

/// The message that asks for all addresses of all interfaces.
#[must_use]
pub fn address_request() -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + ADDRESS);
    message.extend_from_slice(&((HEADER + ADDRESS) as u32).to_ne_bytes());
    message.extend_from_slice(&RTM_GETADDR.to_ne_bytes());
    message.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    message.extend_from_slice(&1u32.to_ne_bytes());
    message.extend_from_slice(&[0; 4 + ADDRESS]); // Port 0: the kernel; family 0: all.
    message
}

/// Whether a datagram of the answer ends the dump (or reports that there will be none).
#[must_use]
pub fn is_last(datagram: &[u8]) -> bool {
    messages(datagram).any(|(kind, _)| kind == NLMSG_DONE || kind == NLMSG_ERROR)
}

/// All addresses in a dump, sorted.
#[must_use]
pub fn addresses(dump: &[u8]) -> Vec<Address> {
    let mut found: Vec<Address> =
        messages(dump).filter(|(kind, _)| *kind == RTM_NEWADDR).filter_map(|(_, body)| address(body)).collect();
    found.sort();
    found.dedup();
    found
}

fn address(body: &[u8]) -> Option<Address> {
    let prefix = *body.get(1)?;
    let interface = u32_at(body, 4)?;
    let mut peer = None;
    let mut local = None;
    for (kind, value) in attributes(body.get(ADDRESS..)?) {
        match kind {
            // On a point-to-point link this is the other end, and IFA_LOCAL is ours.
            IFA_ADDRESS => peer = ip(value),
            IFA_LOCAL => local = ip(value),
            _ => {}
        }
    }
    Some(Address { interface, address: local.or(peer)?, prefix })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

/// Messages of a dump: type and body.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let kind = u16_at(rest, 4)?;
        let body = rest.get(HEADER..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// Attributes of a message: type and value.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16_at(rest, 0)? as usize;
        let kind = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Everything in netlink begins at a multiple of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the kernel writes it.
    fn message(kind: u16, interface: u32, prefix: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0, prefix, 0, 0];
        body.extend_from_slice(&interface.to_ne_bytes());
        for (kind, value) in attributes {
            body.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
            body.extend_from_slice(&kind.to_ne_bytes());
            body.extend_from_slice(value);
            body.resize(aligned(body.len()), 0);
        }
        let mut message = ((body.len() + HEADER) as u32).to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&[0; 10]);
        message.extend_from_slice(&body);
        message
    }

    #[test]
    fn addresses_of_both_families_are_found() {
        let mut v6 = [0; 16];
        v6[0] = 0xfd;
        v6[15] = 2;
        let mut dump = message(RTM_NEWADDR, 2, 24, &[(IFA_ADDRESS, &[10, 0, 0, 5]), (3, b"eth0\0")]);
        dump.extend(message(RTM_NEWADDR, 2, 64, &[(IFA_ADDRESS, &v6)]));
        dump.extend(message(RTM_NEWADDR, 3, 32, &[(IFA_ADDRESS, &[10, 9, 9, 1]), (IFA_LOCAL, &[10, 9, 9, 2])]));
        dump.extend(message(NLMSG_DONE, 0, 0, &[]));
        let told: Vec<String> =
            addresses(&dump).iter().map(|a| format!("{} {}/{}", a.interface, a.address, a.prefix)).collect();
        assert_eq!(told, ["2 10.0.0.5/24", "2 fd00::2/64", "3 10.9.9.2/32"], "a tunnel tells our end, not the other");
        assert!(is_last(&dump));
        assert!(!is_last(&dump[..40]), "more is to come");
    }

    proptest! {
        #[test]
        fn a_damaged_dump_never_panics(at in 0usize..200, value: u8) {
            let mut dump = message(RTM_NEWADDR, 2, 24, &[(IFA_ADDRESS, &[10, 0, 0, 5]), (3, b"eth0\0")]);
            dump.extend(dump.clone());
            let at = at % dump.len();
            dump[at] = value;
            let _ = addresses(&dump);
            let _ = is_last(&dump);
        }
    }
}
