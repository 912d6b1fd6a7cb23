//! Neighbours: hardware addresses of hosts on the same link, and who made them, by the list that Debian's `ieee-data` brings.
//! The list is read when it is there; nothing of it is inside Mainstay.

use std::collections::HashMap;
use std::net::IpAddr;

use super::addresses::Addresses;
use crate::outcome::hex;

/// Where Debian puts the list.
pub(crate) const LIST: &str = "/usr/share/ieee-data/oui.csv";
/// Where the kernel shows whom it has spoken to.
pub(crate) const TABLE: &str = "/proc/net/arp";

/// Makers by the first three bytes of their addresses.
#[derive(Clone, Debug, Default)]
pub struct Manufacturers {
    names: HashMap<[u8; 3], Box<str>>,
}

impl Manufacturers {
    /// Who made the device with that address; `None` when it is not known, or the address was made up by its software.
    pub fn of(&self, hardware: [u8; 6]) -> Option<&str> {
        let is_local = hardware[0] & 0b10 != 0;
        if is_local {
            return None;
        }
        self.names.get(&[hardware[0], hardware[1], hardware[2]]).map(AsRef::as_ref)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Reads the list of makers: `MA-L,002272,American Micro-Fuel Device Corp.,…`, a line each, texts in quotes where needed.
/// Lines that are none are passed over.
pub fn parse_manufacturers(bytes: &[u8]) -> Manufacturers {
    const MAX_LINES: usize = 200_000;
    let text = String::from_utf8_lossy(bytes);
    let names = text.lines().take(MAX_LINES).filter_map(|line| {
        let (_, rest) = line.split_once(',')?;
        let (prefix, rest) = rest.split_once(',')?;
        let bits = u32::from_str_radix(prefix, 16).ok().filter(|_| prefix.len() == 6)?;
        let [_, a, b, c] = bits.to_be_bytes();
        let name = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => rest.split(',').next()?,
        };
        Some(([a, b, c], name.trim().chars().take(80).collect::<String>().into_boxed_str()))
    });
    Manufacturers { names: names.collect() }
}

/// Reads the kernel's table of neighbours (`/proc/net/arp`): addresses with the hardware address behind them.
pub fn parse_neighbours(bytes: &[u8]) -> Vec<(IpAddr, [u8; 6])> {
    let text = String::from_utf8_lossy(bytes);
    let most = usize::try_from(Addresses::MOST).unwrap_or(usize::MAX);
    let entries = text.lines().skip(1).take(most).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hardware = hardware_address(words.get(3)?)?;
        Some((words.first()?.parse().ok()?, hardware)).filter(|_| hardware != [0; 6])
    });
    entries.collect()
}

fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = parts.next().filter(|part| part.len() == 2).and_then(|part| u8::from_str_radix(part, 16).ok())?;
    }
    parts.next().is_none().then_some(bytes)
}

/// As people write it: `00:22:72:01:02:03`.
pub(crate) fn shown(hardware: [u8; 6]) -> String {
    hex(&hardware, ":")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_maker_is_found_by_the_first_three_bytes() {
        let list = b"Registry,Assignment,Organization Name,Organization Address\n\
            MA-L,002272,American Micro-Fuel Device Corp.,2181 Buchanan Loop Ferndale WA US 98248 \n\
            MA-L,00D0EF,\"IGT, Inc.\",9295 PROTOTYPE DRIVE RENO NV US 89511 \nnonsense\n";
        let makers = parse_manufacturers(list);
        assert_eq!(makers.len(), 2);
        assert_eq!(makers.of([0, 0x22, 0x72, 1, 2, 3]), Some("American Micro-Fuel Device Corp."));
        assert_eq!(makers.of([0, 0xd0, 0xef, 1, 2, 3]), Some("IGT, Inc."));
        assert_eq!(makers.of([2, 0x22, 0x72, 1, 2, 3]), None, "made up by software");
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = b"IP address       HW type     Flags       HW address            Mask     Device\n\
            192.0.2.1        0x1         0x2         00:22:72:01:02:03     *        eth0\n\
            192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        let seen = parse_neighbours(table);
        assert_eq!(seen, [("192.0.2.1".parse().unwrap(), [0, 0x22, 0x72, 1, 2, 3])]);
        assert_eq!(shown(seen[0].1), "00:22:72:01:02:03");
    }

    proptest! {
        #[test]
        fn no_table_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_manufacturers(&bytes).len(), parse_neighbours(&bytes));
        }
    }
}
