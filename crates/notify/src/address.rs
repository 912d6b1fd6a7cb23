//! What kind of address an IP address is, however it is written or wrapped. Pure: a table, and its test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The Internet.
    Public,
    /// This machine.
    Loopback,
    /// A network of our own: RFC 1918, carrier-grade NAT, unique local.
    Private,
    /// The link itself.
    LinkLocal,
    /// A cloud's metadata service, which hands credentials to whoever asks. Never a place to send anything.
    Metadata,
    /// Many machines at once.
    Multicast,
    /// Nobody, or "this host": `0.0.0.0` and `::` reach the loopback on Linux.
    Unspecified,
    /// Documentation, benchmarks, tunnels, the future: nothing that a message could be meant for.
    Reserved,
}

/// The kind of an address. An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, ISATAP) is judged as itself.
pub fn classify(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressKind {
    // Clouds' metadata: most of them; containers on AWS; Alibaba; Oracle; Azure's wire server.
    const METADATA: [[u8; 4]; 6] = [
        [169, 254, 169, 254],
        [169, 254, 170, 2],
        [169, 254, 170, 23],
        [100, 100, 100, 200],
        [192, 0, 0, 192],
        [168, 63, 129, 16],
    ];
    if METADATA.contains(&address.octets()) {
        return AddressKind::Metadata;
    }
    match address.octets() {
        [0, ..] => AddressKind::Unspecified,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [192, 168, ..] => AddressKind::Private,
        [172, b, ..] if b & 0xf0 == 16 => AddressKind::Private,
        [100, b, ..] if b & 0xc0 == 64 => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Reserved,
        [198, 18 | 19, ..] => AddressKind::Reserved,
        [224..=239, ..] => AddressKind::Multicast,
        [240..=255, ..] => AddressKind::Reserved,
        _ => AddressKind::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressKind {
    if address.is_unspecified() {
        return AddressKind::Unspecified;
    }
    if address.is_loopback() {
        return AddressKind::Loopback;
    }
    let s = address.segments();
    let inner = || classify_v4(Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7])));
    match s {
        // Mapped ::ffff:a.b.c.d, translated ::ffff:0:a.b.c.d, and the old compatible ::a.b.c.d.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => inner(),
        // NAT64: the well-known prefix leads to the IPv4 address at its end.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => inner(),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => AddressKind::Metadata,
        [a, ..] if a & 0xfe00 == 0xfc00 => AddressKind::Private,
        [a, ..] if a & 0xffc0 == 0xfe80 => AddressKind::LinkLocal,
        [a, ..] if a & 0xffc0 == 0xfec0 => AddressKind::Private,
        [a, ..] if a & 0xff00 == 0xff00 => AddressKind::Multicast,
        // 6to4 and Teredo wrap an IPv4 address that a relay would reach; protocol assignments; documentation.
        [0x2002, ..] | [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] => AddressKind::Reserved,
        [0x3fff, b, ..] if b & 0xf000 == 0 => AddressKind::Reserved,
        // ISATAP has the IPv4 address at its end, behind any prefix.
        [_, _, _, _, 0 | 0x0200, 0x5efe, ..] if inner() != AddressKind::Public => inner(),
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::AddressKind::*;
    use super::*;

    #[test]
    fn every_kind_of_address_is_known_at_both_its_ends() {
        let table = [
            ("8.8.8.8", Public),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("100.100.100.200", Metadata),
            ("126.255.255.255", Public),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("128.0.0.0", Public),
            ("168.63.129.16", Metadata),
            ("169.253.255.255", Public),
            ("169.254.0.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("169.255.0.0", Public),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.0.0.1", Reserved),
            ("192.0.0.192", Metadata),
            ("192.0.2.1", Reserved),
            ("192.88.99.1", Reserved),
            ("192.167.255.255", Public),
            ("192.168.0.1", Private),
            ("192.169.0.0", Public),
            ("198.17.255.255", Public),
            ("198.18.0.1", Reserved),
            ("198.20.0.0", Public),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("223.255.255.255", Public),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::2", Unspecified),
            ("::127.0.0.1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:8.8.8.8", Public),
            ("::ffff:0:127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("64:ff9b::a9fe:a9fe", Metadata),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b:1::1", Reserved),
            ("100::1", Reserved),
            ("2001::1", Reserved),
            ("2001:0:7f00:1::", Reserved),
            ("2001:db8::1", Reserved),
            ("2001:4860:4860::8888", Public),
            ("2002:7f00:1::1", Reserved),
            ("2002:808:808::1", Reserved),
            ("2606:4700::1", Public),
            ("2606:4700::5efe:127.0.0.1", Loopback),
            ("2606:4700::200:5efe:10.0.0.1", Private),
            ("3fff:0fff::1", Reserved),
            ("3fff:1000::1", Public),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            ("fc00::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::253", Private),
            ("fdff:ffff::1", Private),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Multicast),
            ("ff0e::1", Multicast),
        ];
        for (address, expected) in table {
            assert_eq!(classify(address.parse().unwrap()), expected, "{address}");
        }
    }
}
