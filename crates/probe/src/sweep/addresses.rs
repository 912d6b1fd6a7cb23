//! Addresses: the list that a sweep asks, from what people write, less what is excluded. Pure text and numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses in order, each once. Ranges, so that a million of them cost as much as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    blocks: Vec<Block>,
}

/// A run of addresses of one family. Sorted by family and first address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    is_v6: bool,
    first: u128,
    last: u128,
}

impl Addresses {
    /// The most addresses of one sweep: a million, a /12 of IPv4.
    pub const MOST: u64 = 1 << 20;

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.blocks.iter().map(Block::len).fold(0, u64::saturating_add)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The address at that place, counted from 0.
    pub fn get(&self, mut at: u64) -> Option<IpAddr> {
        for block in &self.blocks {
            if at < block.len() {
                return Some(block.address(block.first + u128::from(at)));
            }
            at -= block.len();
        }
        None
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.blocks.iter().flat_map(|block| (block.first..=block.last).map(|bits| block.address(bits)))
    }

    /// Whether that address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (is_v6, bits) = bits_of(address);
        self.blocks.iter().any(|block| block.is_v6 == is_v6 && (block.first..=block.last).contains(&bits))
    }

    /// These without those.
    #[must_use]
    pub fn without(&self, excluded: &Addresses) -> Addresses {
        let mut blocks = self.blocks.clone();
        for hole in &excluded.blocks {
            blocks = blocks.into_iter().flat_map(|block| block.minus(hole)).collect();
        }
        Addresses { blocks }
    }

    fn of(mut blocks: Vec<Block>) -> Addresses {
        blocks.sort_unstable();
        let mut merged: Vec<Block> = Vec::with_capacity(blocks.len());
        for block in blocks {
            match merged.last_mut() {
                Some(before) if before.is_v6 == block.is_v6 && block.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(block.last);
                }
                _ => merged.push(block),
            }
        }
        Addresses { blocks: merged }
    }
}

impl Block {
    fn len(&self) -> u64 {
        u64::try_from(self.last - self.first).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn address(&self, bits: u128) -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) if !self.is_v6 => IpAddr::V4(Ipv4Addr::from(bits)),
            _ => IpAddr::V6(Ipv6Addr::from(bits)),
        }
    }

    fn minus(self, hole: &Block) -> Vec<Block> {
        if self.is_v6 != hole.is_v6 || hole.last < self.first || hole.first > self.last {
            return vec![self];
        }
        let before = (hole.first > self.first).then(|| Block { last: hole.first - 1, ..self });
        let after = (hole.last < self.last).then(|| Block { first: hole.last + 1, ..self });
        before.into_iter().chain(after).collect()
    }
}

/// Reads a list of what people write: `192.0.2.0/24`, `192.0.2.7`, `192.0.2.10-192.0.2.20`, `192.0.2.10-20`,
/// `2001:db8::/112`; parted by blanks, commas or lines, `#` begins a comment.
///
/// The first and last address of an IPv4 network up to /30 are left out: they name the network and everybody in it.
///
/// # Errors
/// A sentence that names the text that is no address, or says that there are too many.
pub fn parse_addresses(bytes: &[u8]) -> Result<Addresses, String> {
    const MAX_WORDS: usize = 100_000;
    let text = std::str::from_utf8(bytes).map_err(|_| "a list of addresses is text in UTF-8".to_owned())?;
    let mut blocks = Vec::new();
    for line in text.lines() {
        let words = line.split('#').next().unwrap_or_default();
        for word in words.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()) {
            blocks.push(block(word)?);
            if blocks.len() > MAX_WORDS {
                return Err(format!("a list has at most {MAX_WORDS} entries; write networks instead of addresses"));
            }
        }
    }
    let addresses = Addresses::of(blocks);
    if addresses.len() > Addresses::MOST {
        let shown = if addresses.len() == u64::MAX { "far too many".to_owned() } else { addresses.len().to_string() };
        return Err(format!("{shown} addresses are more than the {} of one sweep; sweep in parts", Addresses::MOST));
    }
    Ok(addresses)
}

fn block(word: &str) -> Result<Block, String> {
    let wrong = || {
        format!("{word:?} is no address; write for example 192.0.2.0/24, 192.0.2.7, 192.0.2.10-20 or 2001:db8::/112")
    };
    if let Some((address, bits)) = word.split_once('/') {
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        return network(address, bits).ok_or_else(wrong);
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        let (is_v6, first) = bits_of(address);
        return Ok(Block { is_v6, first, last: first });
    }
    let (first, last) = word.split_once('-').ok_or_else(wrong)?;
    let first: IpAddr = first.parse().map_err(|_| wrong())?;
    let last = match (last.parse::<IpAddr>(), first, last.parse::<u8>()) {
        (Ok(last), ..) => last,
        (Err(_), IpAddr::V4(first), Ok(octet)) => {
            let [a, b, c, _] = first.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, octet))
        }
        _ => return Err(wrong()),
    };
    let ((is_v6, first), (last_is_v6, last)) = (bits_of(first), bits_of(last));
    if is_v6 != last_is_v6 || last < first {
        return Err(format!("{word:?} ends before it begins"));
    }
    Ok(Block { is_v6, first, last })
}

fn network(address: IpAddr, bits: u32) -> Option<Block> {
    let (is_v6, address) = bits_of(address);
    let width = if is_v6 { 128 } else { 32 };
    let host_bits = u32::checked_sub(width, bits)?;
    let hosts = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
    let (first, last) = (address & !hosts, address | hosts);
    let edge = u128::from(!is_v6 && host_bits >= 2);
    Some(Block { is_v6, first: first + edge, last: last - edge })
}

fn bits_of(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (false, u128::from(u32::from(address))),
        IpAddr::V6(address) => (true, u128::from(address)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<String> {
        parse_addresses(text.as_bytes()).unwrap().iter().map(|address| address.to_string()).collect()
    }

    #[test]
    fn lists_read_as_people_write_them() {
        for (text, addresses) in [
            ("192.0.2.0/30", vec!["192.0.2.1", "192.0.2.2"]),
            ("192.0.2.5/30", vec!["192.0.2.5", "192.0.2.6"]), // as `ip addr` shows a network
            ("192.0.2.0/31", vec!["192.0.2.0", "192.0.2.1"]),
            ("192.0.2.7/32,192.0.2.7", vec!["192.0.2.7"]),
            ("192.0.2.9-11", vec!["192.0.2.9", "192.0.2.10", "192.0.2.11"]),
            ("192.0.2.255-192.0.3.1", vec!["192.0.2.255", "192.0.3.0", "192.0.3.1"]),
            ("# racks\n2001:db8::/127 # two\n::1", vec!["::1", "2001:db8::", "2001:db8::1"]),
            ("", vec![]),
        ] {
            assert_eq!(read(text), addresses, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (text, part) in [
            ("192.0.2.0/33", "\"192.0.2.0/33\" is no address"),
            ("web-1", "\"web-1\" is no address"),
            ("192.0.2.9-3", "ends before it begins"),
            ("192.0.2.9-::1", "ends before it begins"),
            ("10.0.0.0/8", "16777214 addresses are more than"),
            ("2001:db8::/32", "far too many addresses"),
            ("::/0", "far too many addresses"),
        ] {
            let error = parse_addresses(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn who_is_excluded_is_not_asked() {
        let all = parse_addresses(b"192.0.2.0/29 2001:db8::/126").unwrap();
        let without = all.without(&parse_addresses(b"192.0.2.3-4 192.0.2.6 2001:db8::2").unwrap());
        let left: Vec<String> = without.iter().map(|address| address.to_string()).collect();
        assert_eq!(left, ["192.0.2.1", "192.0.2.2", "192.0.2.5", "2001:db8::", "2001:db8::1", "2001:db8::3"]);
        assert!(all.without(&all).is_empty());
    }

    proptest! {
        #[test]
        fn no_list_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "([0-9a-f:.]{1,20}[-/,]?){1,4}") {
            let _ = (parse_addresses(&bytes), parse_addresses(text.as_bytes()));
        }

        #[test]
        fn each_address_is_there_once_and_found_by_its_place(
            ranges in proptest::collection::vec((0u32..500, 0u32..60), 1..6), holes in proptest::collection::vec((0u32..500, 0u32..60), 0..6),
        ) {
            let text = |ranges: &[(u32, u32)]| ranges.iter().map(|(first, more)| {
                format!("{}-{} ", Ipv4Addr::from(*first), Ipv4Addr::from(first + more))
            }).collect::<String>();
            let (all, out) = (parse_addresses(text(&ranges).as_bytes()).unwrap(), parse_addresses(text(&holes).as_bytes()).unwrap());
            let left = all.without(&out);
            let by_hand: std::collections::BTreeSet<IpAddr> = all.iter().filter(|address| !out.contains(*address)).collect();
            prop_assert_eq!(left.iter().collect::<Vec<_>>(), by_hand.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(left.len(), by_hand.len() as u64);
            for (at, address) in left.iter().enumerate() {
                prop_assert_eq!(left.get(at as u64), Some(address));
            }
            prop_assert_eq!(left.get(left.len()), None);
        }
    }
}
