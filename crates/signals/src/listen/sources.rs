//! From where a listener takes what it is sent: addresses and networks. Nothing is looked up.

use std::net::IpAddr;
use std::str::FromStr;

/// An address, or a network in the form `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    address: IpAddr,
    bits: u8,
}

/// The text is no address and no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no network such as 10.0.0.0/8")]
pub struct SourceError(String);

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = || SourceError(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(whole), str::parse).map_err(|_| wrong())?;
        if bits > whole { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl Source {
    /// Every loopback address.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), bits: 8 },
        Self { address: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), bits: 128 },
    ];

    /// Whether an address is in it. An IPv4 address that came over IPv6 is the IPv4 address.
    pub fn holds(&self, address: IpAddr) -> bool {
        let number = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, true),
            IpAddr::V6(v6) => (v6.to_bits(), false),
        };
        let ((ours, four), (theirs, also)) = (number(self.address), number(address));
        let apart = (ours ^ theirs).leading_zeros();
        four == also && apart >= u32::from(self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, address, held) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fd00::1", true),
            ("fd00::/8", "fe00::1", false),
            ("fd00::5", "fd00::5", true),
        ] {
            let source: Source = network.parse().expect("a network");
            assert_eq!(source.holds(address.parse().expect("an address")), held, "{network} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "1.2.3.4/", "1.2.3.4/-1"] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
        assert!(Source::LOOPBACK.iter().any(|s| s.holds("127.0.0.53".parse().expect("an address"))));
    }
}
