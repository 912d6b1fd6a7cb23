//! Egress: which addresses checks may reach. Judged at the moment of connecting, on the address that is connected to.
//!
//! It stands around the network itself ([`Guarded`] is the only network an [`Env`](crate::Env) hands out), so no protocol
//! can go around it, and a name that resolves to something else the second time changes nothing: what was classified is
//! what is connected to. It must never look a name up.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::env::{Datagrams, Failure, Hops, Net, Stream};

/// The address policy of the checks that run in one place (a server, or the agent of a site).
///
/// An address may be reached when no range of `deny` holds it and, where `allow` names ranges, one of these does. An
/// address that stands for another one (IPv4 in IPv6, NAT64, 6to4, Teredo) is judged as both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Ranges that may be reached: "10.0.0.0/8", "2001:db8::/32", "192.0.2.7". Everything that is not denied when empty.
    pub allow: Vec<Range>,
    /// Ranges that are never reached.
    pub deny: Vec<Range>,
    /// Sockets in the file system that may be reached; every one when left out.
    pub sockets: Option<Vec<PathBuf>>,
    /// Whose policy it is, as refusals name it; the server's when empty.
    #[serde(skip)]
    pub place: String,
}

impl Egress {
    /// Everything may be reached: for a person at a command line, who could reach it anyway.
    pub fn open() -> Egress {
        Egress::default()
    }

    /// What a server starts with: everything but the addresses at which clouds hand out their credentials (169.254.0.0/16
    /// and their like) and sockets other than those of container engines. Private ranges are where its work is.
    pub fn server() -> Egress {
        Egress { deny: cloud_credentials(), sockets: Some(engines()), ..Egress::default() }
    }

    /// Whether that address may be reached.
    ///
    /// # Errors
    /// [`Refused`] with the rule that forbids it.
    pub fn permits(&self, address: IpAddr) -> Result<(), Refused> {
        let (meanings, count) = meanings(address);
        let holds = |range: &&Range| meanings[..count].iter().any(|meaning| range.holds(*meaning));
        if let Some(range) = self.deny.iter().find(holds) {
            return Err(self.refused(address.to_string(), format!("{range} is denied")));
        }
        if self.allow.is_empty() || self.allow.iter().any(|range| holds(&range)) {
            return Ok(());
        }
        let rule = format!("it is in none of the ranges allowed, {}", listed(&self.allow));
        Err(self.refused(address.to_string(), rule))
    }

    fn refused(&self, what: String, rule: String) -> Refused {
        let place = if self.place.is_empty() { "this server".to_owned() } else { self.place.clone() };
        Refused { what, rule, place }
    }

    /// What it says, in a sentence's words: `10.8.0.0/16 but not 10.8.9.0/24`.
    pub fn in_words(&self) -> String {
        let all = if self.allow.is_empty() { "every address".to_owned() } else { listed(&self.allow) };
        if self.deny.is_empty() { all } else { format!("{all} but not {}", listed(&self.deny)) }
    }

    /// Whether that socket may be reached. Its path is compared as it is written: no `..` and no detour is followed.
    ///
    /// # Errors
    /// [`Refused`] when it is not among those that are allowed.
    pub fn permits_socket(&self, path: &Path) -> Result<(), Refused> {
        match &self.sockets {
            Some(allowed) if !allowed.iter().any(|one| one == path) => {
                Err(self.refused(path.display().to_string(), "it is not among the sockets allowed".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// What every [`Refused`] says, so that it is known again in a sentence of somebody else.
pub const ADDRESS_POLICY_OF: &str = "address policy of";

/// Why an address was not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checks may not reach {what} from here: {rule} ({ADDRESS_POLICY_OF} {place})")]
pub struct Refused {
    /// The address or socket.
    pub what: String,
    /// The rule that forbids it.
    pub rule: String,
    /// Whose policy it is: `this server`, `site plant-2`.
    pub place: String,
}

/// The addresses at which clouds hand out credentials to whoever asks from inside.
pub(super) fn cloud_credentials() -> Vec<Range> {
    let all = ["169.254.0.0/16", "100.100.100.200", "168.63.129.16", "fd00:ec2::/32", "fe80::a9fe:a9fe"];
    all.iter().map(|text| text.parse().expect("written above")).collect()
}

/// Sockets of container engines.
pub(super) fn engines() -> Vec<PathBuf> {
    ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from).into()
}

/// Ranges for a sentence; a long list is cut.
fn listed(ranges: &[Range]) -> String {
    const SHOWN: usize = 8;
    let mut words: Vec<String> = ranges.iter().take(SHOWN).map(Range::to_string).collect();
    if ranges.len() > SHOWN {
        words.push(format!("and {} more", ranges.len() - SHOWN));
    }
    words.join(", ")
}

/// An address and all addresses that a packet to it may end at, and how many of the three those are. At least one.
fn meanings(address: IpAddr) -> ([IpAddr; 3], usize) {
    let IpAddr::V6(six) = address else { return ([address; 3], 1) };
    let segments = six.segments();
    let four = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let end = four(segments[6], segments[7]);
    let also = |other: IpAddr| ([address, other, other], 2);
    match segments {
        // Mapped and compatible; `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0xffff, ..] => ([end; 3], 1),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => also(end),
        [0, 0, 0, 0, 0, 0, 0, 0] => also(Ipv4Addr::UNSPECIFIED.into()),
        [0, 0, 0, 0, 0xffff, 0, ..] => also(end), // translated (RFC 2765)
        [0x64, 0xff9b, ..] => also(end),          // NAT64 (RFC 6052, RFC 8215)
        [0x2002, high, low, ..] => also(four(high, low)), // 6to4
        [0x2001, 0, server, client, ..] => {
            ([address, four(server, client), four(!segments[6], !segments[7])], 3) // Teredo
        }
        [.., 0x5efe, _, _] => also(end), // ISATAP
        _ => ([address; 3], 1),
    }
}

/// A range of addresses: an address and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    /// Whether the address is in it. An IPv4 range holds no IPv6 address, and the other way around.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(mine) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(mine) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let wrong = || format!("{text:?} is no range of addresses; write for example 10.0.0.0/8 or 192.0.2.7");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse::<u8>().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        };
        Ok(Range { address, bits })
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Range {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "address-range".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "an address, or addresses as 10.0.0.0/8" })
    }
}

/// The network behind its policy.
pub(crate) struct Guarded {
    pub(crate) inner: Arc<dyn Net>,
    pub(crate) egress: Arc<Egress>,
}

#[async_trait]
impl Net for Guarded {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        self.inner.resolve(host).await
    }

    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        self.permits(peer.ip())?;
        self.inner.connect(peer).await
    }

    async fn connect_socket(&self, path: &Path) -> io::Result<Box<dyn Stream>> {
        let permitted = self.egress.permits_socket(path);
        permitted.map_err(|refused| io::Error::new(io::ErrorKind::PermissionDenied, refused))?;
        self.inner.connect_socket(path).await
    }

    async fn exchange(
        &self,
        peer: SocketAddr,
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        self.permits(peer.ip())?;
        self.inner.exchange(peer, datagram, is_answer).await
    }

    async fn datagrams(&self, peer: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        self.permits(peer.ip())?;
        self.inner.datagrams(peer).await
    }

    async fn shout(
        &self,
        interface: &str,
        ports: (u16, u16),
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        self.permits(Ipv4Addr::BROADCAST.into())?;
        self.inner.shout(interface, ports, datagram, is_answer).await
    }

    async fn ping(&self, peer: IpAddr, payload_bytes: usize, within: Duration) -> Result<Option<Duration>, Failure> {
        self.egress.permits(peer).map_err(|refused| Failure::Local(refused.to_string()))?;
        self.inner.ping(peer, payload_bytes, within).await
    }

    fn hops(&self, peer: IpAddr, port: Option<u16>) -> Result<Box<dyn Hops>, Failure> {
        self.egress.permits(peer).map_err(|refused| Failure::Local(refused.to_string()))?;
        self.inner.hops(peer, port)
    }

    fn permits(&self, address: IpAddr) -> io::Result<()> {
        let denied = |refused| io::Error::new(io::ErrorKind::PermissionDenied, refused);
        self.egress.permits(address).map_err(denied)?;
        self.inner.permits(address)
    }

    fn bound_to(&self, source: IpAddr) -> Option<Arc<dyn Net>> {
        let inner = self.inner.bound_to(source)?;
        Some(Arc::new(Guarded { inner, egress: self.egress.clone() }))
    }
}

/// The IPv4 address that a mapped IPv6 address stands for, or the address itself.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => Ipv6Addr::to_ipv4_mapped(&six).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_reaches_its_network_and_no_clouds_credentials() {
        let egress = Egress::server();
        for reached in ["10.1.2.3", "192.168.0.1", "127.0.0.1", "::1", "2001:db8::7", "198.51.100.1", "::ffff:10.0.0.1"]
        {
            assert_eq!(egress.permits(reached.parse().unwrap()), Ok(()), "{reached}");
        }
        for refused in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:102:304::5601:5601", // Teredo hides it behind inverted bits
            "fe80::5efe:a9fe:a9fe",
            "::ffff:0:169.254.169.254",
        ] {
            let why = egress.permits(refused.parse().unwrap()).unwrap_err().to_string();
            assert!(why.contains("is denied"), "{refused}: {why}");
        }
        assert!(egress.permits_socket(Path::new("/run/docker.sock")).is_ok());
        assert!(egress.permits_socket(Path::new("/run/../run/docker.sock")).is_err());
        assert!(Egress::open().permits_socket(Path::new("/any")).is_ok());
    }

    #[test]
    fn a_site_may_be_held_to_its_own_ranges() {
        let egress: Egress =
            serde_json::from_value(json!({"allow": ["10.8.0.0/16", "fd08::/16"], "deny": ["10.8.9.0/24"]})).unwrap();
        for (address, reached) in [
            ("10.8.1.1", true),
            ("10.8.9.1", false), // what is denied stays denied
            ("10.9.1.1", false),
            ("fd08::1", true),
            ("fd09::1", false),
            ("::ffff:10.8.1.1", true),
            ("64:ff9b::10.8.1.1", true),
            ("::1", false),
        ] {
            assert_eq!(egress.permits(address.parse().unwrap()).is_ok(), reached, "{address}");
        }
        for wrong in ["10.0.0.0/33", "::/129", "10.0.0", "example.org", "10.0.0.0/-1", ""] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
        assert!("0.0.0.0/0".parse::<Range>().unwrap().holds("255.1.1.1".parse().unwrap()));
        assert!("::/0".parse::<Range>().unwrap().holds("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_form_of_a_denied_address_is_reached(bits: u32, prefix in 0u8..=32) {
            let four = Ipv4Addr::from(bits);
            let egress = Egress { deny: vec![Range { address: four.into(), bits: prefix }], ..Egress::open() };
            let [a, b, c, d] = four.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            prop_assert!(egress.permits(four.into()).is_err());
            prop_assert!(egress.permits(four.to_ipv6_mapped().into()).is_err());
            prop_assert!(egress.permits(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into()).is_err());
            prop_assert!(egress.permits(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into()).is_err());
            prop_assert!(egress.permits(Ipv6Addr::new(0x2001, 0, 1, 2, 0, 0, !high, !low).into()).is_err());
        }

        #[test]
        fn no_range_panics(text in "\\PC{0,30}", numbers in "[0-9a-f:./]{0,30}") {
            let _ = (text.parse::<Range>(), numbers.parse::<Range>());
        }
    }
}
