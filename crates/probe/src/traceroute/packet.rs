//! Packet: echoes and datagrams whose way ends early, and what those on the way say about it (RFC 792, RFC 4443). Bytes in, value
//! out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sweep::checksum;

/// Bytes of an echo.
const PROBE_BYTES: usize = 40;

const ICMP_V4: u8 = 1;
const ICMP_V6: u8 = 58;

const REPLY_V4: u8 = 0;
const UNREACHABLE_V4: u8 = 3;
const REQUEST_V4: u8 = 8;
const EXCEEDED_V4: u8 = 11;
const UNREACHABLE_V6: u8 = 1;
const EXCEEDED_V6: u8 = 3;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// An echo request. Two bytes of it undo the sequence number's part of the checksum: routers that share packets out among
/// several ways by their first bytes then send all of them the same way.
pub(super) fn probe(is_v6: bool, identifier: u16, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0; PROBE_BYTES];
    packet[0] = if is_v6 { REQUEST_V6 } else { REQUEST_V4 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[8..10].copy_from_slice(&(!sequence).to_be_bytes());
    if !is_v6 {
        // In IPv6 the kernel makes it.
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// The least bytes that a datagram carries.
const DATAGRAM_BYTES: u16 = 32;
/// Numbers of a round, as sequence numbers count them and as lengths do.
const ROUND: u16 = 256;
const LENGTHS: u16 = 64;

/// What a datagram carries. Its length is the only thing about it that whoever throws it away quotes for certain and that
/// neither shares packets out among ways nor is changed on them: it says which one it was. At most 64 hops and 10 rounds keep it
/// below what every way takes whole.
pub(super) fn datagram(sequence: u16) -> Vec<u8> {
    let (round, hop) = (sequence / ROUND, sequence % ROUND);
    vec![0; usize::from(DATAGRAM_BYTES + round * LENGTHS + hop.saturating_sub(1))]
}

/// The sequence number that a length of header and content stands for.
fn sequence_of(length: u16) -> Option<u16> {
    const HEADER: u16 = 8;
    let number = length.checked_sub(HEADER + DATAGRAM_BYTES)?;
    (number / LENGTHS).checked_mul(ROUND)?.checked_add(number % LENGTHS + 1)
}

/// What somebody says about an echo or a datagram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whose it was: the number of an echo, the port that a datagram came from.
    pub identifier: u16,
    /// Which one.
    pub sequence: u16,
    /// The port that a datagram was sent to; `None` for an echo.
    pub port: Option<u16>,
    /// Where it was sent to, as whoever threw it away quotes it; a reply comes from there and quotes nothing.
    pub destination: Option<IpAddr>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived, and was answered.
    Answered,
    /// It was only to come so far.
    Ended,
    /// It does not go on, and why, as the end of a sentence: "says that …".
    Refused(&'static str),
}

/// Reads what a raw socket for ICMP hears; IPv4 shows its header there and IPv6 does not. `None` for all that is not about an
/// echo or a datagram.
pub fn parse_heard(is_v6: bool, bytes: &[u8]) -> Option<Heard> {
    let icmp = if is_v6 { bytes } else { after_header(bytes)? };
    let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
    let fate = match (is_v6, kind) {
        (false, REPLY_V4) | (true, REPLY_V6) => {
            let (identifier, sequence) = numbers(icmp)?;
            return Some(Heard { identifier, sequence, port: None, destination: None, fate: Fate::Answered });
        }
        (false, EXCEEDED_V4) | (true, EXCEEDED_V6) if code == 0 => Fate::Ended,
        (false, UNREACHABLE_V4) => Fate::Refused(match code {
            0 | 6 | 11 => "there is no way to the network",
            1 | 7 | 12 => "the host is not there",
            4 => "the packet is too large",
            9 | 10 | 13 => "it is forbidden to go there",
            _ => "it cannot be reached",
        }),
        (true, UNREACHABLE_V6) => Fate::Refused(match code {
            0 => "there is no way to the network",
            1 | 5 => "it is forbidden to go there",
            3 => "the host is not there",
            _ => "it cannot be reached",
        }),
        _ => return None,
    };
    let quoted = icmp.get(8..)?;
    const UDP: u8 = 17;
    let (destination, kind, thrown): (IpAddr, _, _) = if is_v6 {
        let (header, rest) = quoted.split_first_chunk::<40>()?;
        let destination: [u8; 16] = *header[24..].first_chunk()?;
        (Ipv6Addr::from(destination).into(), header[6], rest)
    } else {
        let rest = after_header(quoted)?;
        let destination: [u8; 4] = *quoted.get(16..)?.first_chunk()?;
        (Ipv4Addr::from(destination).into(), quoted[9], rest)
    };
    let destination = Some(destination);
    if kind == UDP {
        let &[a, b, c, d, e, f] = thrown.first_chunk::<6>()?;
        let [from, to, length] = [[a, b], [c, d], [e, f]].map(u16::from_be_bytes);
        return Some(Heard { identifier: from, sequence: sequence_of(length)?, port: Some(to), destination, fate });
    }
    let (icmp, request) = if is_v6 { (ICMP_V6, REQUEST_V6) } else { (ICMP_V4, REQUEST_V4) };
    if kind != icmp || *thrown.first()? != request {
        return None;
    }
    let (identifier, sequence) = numbers(thrown)?;
    Some(Heard { identifier, sequence, port: None, destination, fate })
}

/// What comes after a header of IPv4.
fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let first = *bytes.first()?;
    let length = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || length < 20 {
        return None;
    }
    bytes.get(length..)
}

fn numbers(icmp: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = icmp.get(4..8)?.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of IPv4 to 192.0.2.7 with two words of options.
    fn header() -> Vec<u8> {
        let mut header = vec![0x47, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 10, 0, 0, 1, 192, 0, 2, 7];
        header.extend([0; 8]);
        header
    }

    #[test]
    fn every_answer_is_told_apart() {
        let asked = probe(false, 7, 42);
        let mut reply = asked.clone();
        reply[0] = REPLY_V4;
        let about =
            |kind: u8, code: u8| [header(), vec![kind, code, 0, 0, 0, 0, 0, 0], header(), asked[..8].to_vec()].concat();
        for (bytes, fate) in [
            ([header(), reply].concat(), Some(Fate::Answered)),
            (about(EXCEEDED_V4, 0), Some(Fate::Ended)),
            (about(EXCEEDED_V4, 1), None), // its pieces came too late: says nothing about the way
            (about(UNREACHABLE_V4, 13), Some(Fate::Refused("it is forbidden to go there"))),
            (about(5, 0), None),                        // a redirect
            ([header(), asked.clone()].concat(), None), // our own request, as loopback shows it
        ] {
            let heard = parse_heard(false, &bytes);
            assert_eq!(heard.map(|heard| heard.fate), fate, "{bytes:?}");
            if let Some(heard) = heard {
                assert_eq!((heard.identifier, heard.sequence), (7, 42));
                let quoted = heard.fate != Fate::Answered;
                assert_eq!(heard.destination, quoted.then(|| "192.0.2.7".parse().unwrap()));
            }
        }
        let heard = parse_heard(true, &[vec![EXCEEDED_V6, 0, 0, 0, 0, 0, 0, 0], six(58), probe(true, 7, 42)].concat());
        let heard = heard.unwrap();
        assert_eq!(heard.destination, Some("2001:db8::7".parse().unwrap()));
        assert_eq!((heard.sequence, heard.fate, heard.port), (42, Fate::Ended, None));
    }

    #[test]
    fn a_datagram_is_known_again_by_its_length() {
        for sequence in [1, 64, 3 * ROUND + 7, 9 * ROUND + 64] {
            let length = u16::try_from(datagram(sequence).len() + 8).unwrap();
            assert!(length < 1000);
            let ports = [33_000u16, 33_434, length, 0].map(u16::to_be_bytes).concat();
            let mut four = header();
            four[9] = 17;
            let four = [header(), vec![UNREACHABLE_V4, 3, 0, 0, 0, 0, 0, 0], four, ports.clone()].concat();
            let six = [vec![UNREACHABLE_V6, 4, 0, 0, 0, 0, 0, 0], six(17), ports].concat();
            for heard in [parse_heard(false, &four).unwrap(), parse_heard(true, &six).unwrap()] {
                assert_eq!((heard.identifier, heard.sequence, heard.port), (33_000, sequence, Some(33_434)));
                assert_eq!(heard.fate, Fate::Refused("it cannot be reached"));
            }
        }
        assert_eq!(sequence_of(39), None); // shorter than any of ours
    }

    /// A header of IPv6 to 2001:db8::7, before a packet of that kind.
    fn six(kind: u8) -> Vec<u8> {
        let mut six = vec![0x60, 0, 0, 0, 0, 40, kind, 1];
        six.extend([0; 16]);
        six.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six
    }

    #[test]
    fn every_echo_has_the_same_checksum() {
        let sum = |sequence| probe(false, 7, sequence)[2..4].to_vec();
        assert_eq!(checksum(&probe(false, 7, 9)), 0);
        assert!((0..100).all(|sequence| sum(sequence) == sum(0)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..90), is_v6: bool, kind in proptest::sample::select(vec![0u8, 1, 3, 11, 129])) {
            let _ = parse_heard(is_v6, &bytes);
            bytes.insert(0, kind);
            let _ = parse_heard(is_v6, &[header(), bytes].concat());
        }
    }
}
