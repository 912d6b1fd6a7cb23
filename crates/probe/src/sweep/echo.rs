//! Echo: ICMP echo requests and replies on the wire (RFC 792, RFC 4443). Bytes in, value out.

use std::time::Duration;

/// An echo reply that answers one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Which sweep's echo it was.
    pub token: u64,
    /// Which of its addresses.
    pub index: u32,
    /// When it was sent.
    pub sent: Duration,
}

/// Bytes of a request: 8 of ICMP, then token, index and time, then padding up to the 56 bytes that pings usually carry.
pub(crate) const ECHO_BYTES: usize = 64;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Writes a request. Its checksum is for IPv4; in IPv6 the kernel makes it.
pub(crate) fn write_echo(packet: &mut [u8; ECHO_BYTES], is_v6: bool, echo: &Echo) {
    *packet = [0; ECHO_BYTES];
    packet[0] = if is_v6 { REQUEST_V6 } else { REQUEST_V4 };
    packet[4..6].copy_from_slice(&((echo.token >> 48) as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&(echo.index as u16).to_be_bytes());
    packet[8..16].copy_from_slice(&echo.token.to_be_bytes());
    packet[16..20].copy_from_slice(&echo.index.to_be_bytes());
    packet[20..28].copy_from_slice(&u64::try_from(echo.sent.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
    if !is_v6 {
        let sum = checksum(packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Reads a reply to an echo of ours, with or without its IPv4 header, which a raw socket shows and another does not.
/// `None` for everything else.
pub fn parse_echo(bytes: &[u8]) -> Option<Echo> {
    // The first byte of an IPv4 header is 0x45 or more; replies begin with 0 or 129.
    let icmp = match bytes.first()? {
        first if first >> 4 == 4 => bytes.get(usize::from(first & 0xf) * 4..)?,
        _ => bytes,
    };
    if !matches!(icmp.first()?, &REPLY_V4 | &REPLY_V6) {
        return None;
    }
    let token = u64::from_be_bytes(icmp.get(8..16)?.try_into().ok()?);
    let index = u32::from_be_bytes(icmp.get(16..20)?.try_into().ok()?);
    let sent = Duration::from_nanos(u64::from_be_bytes(icmp.get(20..28)?.try_into().ok()?));
    Some(Echo { token, index, sent })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_carries_a_checksum_that_fits() {
        let mut packet = [0; ECHO_BYTES];
        write_echo(
            &mut packet,
            false,
            &Echo { token: 0xfeed_f00d_dead_beef, index: 70_000, sent: Duration::from_secs(9) },
        );
        assert_eq!(checksum(&packet), 0, "over the whole with its sum, it is zero");
        assert_eq!(parse_echo(&packet), None, "a request is no reply");
    }

    proptest! {
        #[test]
        fn a_reply_tells_which_request_it_answers(token: u64, index: u32, nanos: u64, is_v6: bool, header in 0usize..2) {
            let echo = Echo { token, index, sent: Duration::from_nanos(nanos) };
            let mut packet = [0; ECHO_BYTES];
            write_echo(&mut packet, is_v6, &echo);
            packet[0] = if is_v6 { REPLY_V6 } else { REPLY_V4 };
            let mut bytes = Vec::new();
            if header == 1 && !is_v6 {
                bytes.extend([0x46; 24]);
            }
            bytes.extend(packet);
            prop_assert_eq!(parse_echo(&bytes), Some(echo));
        }

        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_echo(&bytes);
        }
    }
}
