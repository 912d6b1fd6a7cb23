//! Fields of flows: the numbers that NetFlow 9 and IPFIX give them, as far as they are kept, and templates. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One flow: who spoke to whom, how much, and when. What an exporter did not tell is zero or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// Where it went.
    pub destination: Option<IpAddr>,
    /// Port it came from.
    pub source_port: u16,
    /// Port it went to.
    pub destination_port: u16,
    /// 6 is TCP, 17 UDP, 1 ICMP.
    pub protocol: u8,
    /// The flags of all its TCP packets together.
    pub tcp_flags: u8,
    /// Type of service.
    pub tos: u8,
    /// Bytes, as counted by the exporter (without its sampling).
    pub bytes: u64,
    /// Packets, likewise.
    pub packets: u64,
    /// The interface it came in by (ifIndex).
    pub input: u32,
    /// The interface it went out by (ifIndex).
    pub output: u32,
    /// Its first packet, in milliseconds since 1970.
    pub start_millis: Option<u64>,
    /// Its last packet, in milliseconds since 1970.
    pub end_millis: Option<u64>,
    /// Autonomous system of the source.
    pub source_as: u32,
    /// Autonomous system of the destination.
    pub destination_as: u32,
}

/// A field of a template: its number, the enterprise that gave it (0 for the standard), and its length in bytes (65,535 in
/// IPFIX: it is told with each value).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's number.
    pub number: u16,
    /// Who gave the number.
    pub enterprise: u32,
    /// How long it is.
    pub length: u16,
}

/// When the exporter's clock stood where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// The export, in milliseconds since 1970.
    pub export_millis: u64,
    /// The exporter's uptime then, in milliseconds; times of flows are often told in it.
    pub uptime_millis: u64,
}

impl Clock {
    /// The moment, in milliseconds since 1970, at which the uptime was that.
    pub(super) fn at_uptime(self, uptime_millis: u32) -> u64 {
        // The uptime is told in 32 bits, and wraps after 49 days; a flow is younger than that.
        let ago = (self.uptime_millis as u32).wrapping_sub(uptime_millis);
        self.export_millis.saturating_sub(u64::from(ago))
    }
}

/// Puts the value of a field into the flow; a field that is not kept is passed over.
pub(super) fn set(flow: &mut Flow, field: Field, bytes: &[u8], clock: Clock) {
    if field.enterprise != 0 {
        return;
    }
    let number = || bytes.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let small = || u32::try_from(number()).unwrap_or(u32::MAX);
    let port = || u16::try_from(number()).unwrap_or(u16::MAX);
    let byte = || bytes.last().copied().unwrap_or_default();
    match field.number {
        1 | 85 => flow.bytes = number(),
        2 | 86 => flow.packets = number(),
        4 => flow.protocol = byte(),
        5 => flow.tos = byte(),
        6 => flow.tcp_flags = byte(),
        7 => flow.source_port = port(),
        8 => flow.source = address(bytes),
        10 => flow.input = small(),
        11 => flow.destination_port = port(),
        12 => flow.destination = address(bytes),
        14 => flow.output = small(),
        16 => flow.source_as = small(),
        17 => flow.destination_as = small(),
        21 => flow.end_millis = Some(clock.at_uptime(small())),
        22 => flow.start_millis = Some(clock.at_uptime(small())),
        27 => flow.source = address(bytes),
        28 => flow.destination = address(bytes),
        150 => flow.start_millis = Some(number().saturating_mul(1000)),
        151 => flow.end_millis = Some(number().saturating_mul(1000)),
        152 => flow.start_millis = Some(number()),
        153 => flow.end_millis = Some(number()),
        154 | 156 => flow.start_millis = Some(ntp_millis(number())),
        155 | 157 => flow.end_millis = Some(ntp_millis(number())),
        _ => {}
    }
}

/// Microseconds and nanoseconds are told as NTP tells the time.
fn ntp_millis(stamp: u64) -> u64 {
    const FROM_1900_TO_1970_SECONDS: u64 = 2_208_988_800;
    let seconds = (stamp >> 32).saturating_sub(FROM_1900_TO_1970_SECONDS);
    seconds * 1000 + (((stamp & 0xffff_ffff) * 1000) >> 32)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes).into()),
        16 => bytes.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_that_wrapped_is_still_a_moment_ago() {
        let clock = Clock { export_millis: 1_000_000, uptime_millis: 5 };
        assert_eq!(clock.at_uptime(5), 1_000_000);
        assert_eq!(clock.at_uptime(u32::MAX), 1_000_000 - 6);
        assert_eq!(ntp_millis(((2_208_988_800 + 7) << 32) | (1 << 31)), 7500);
    }
}
