//! sFlow 5: samples of packets and counters of interfaces. Datagrams stand alone; there is nothing to learn.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::receive::Reader;

/// What one datagram told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The exporter, as it calls itself.
    pub agent: IpAddr,
    /// Which of its parts.
    pub sub_agent: u32,
    /// The exporter's count; a gap says that datagrams were lost.
    pub sequence: u32,
    /// Packets that were looked at.
    pub packets: Vec<Packet>,
    /// Counters of interfaces.
    pub counters: Vec<Counters>,
}

/// One packet that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// One in so many packets is looked at; this one stands for as many.
    pub rate: u32,
    /// The interface it came in by (ifIndex).
    pub input: u32,
    /// The interface it goes out by (ifIndex).
    pub output: u32,
    /// Its length on the wire.
    pub bytes: u32,
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: Option<IpAddr>,
    /// 6 is TCP, 17 UDP; 0 when it is not of IP.
    pub protocol: u8,
    /// Port it came from, with TCP and UDP.
    pub source_port: u16,
    /// Port it goes to, with TCP and UDP.
    pub destination_port: u16,
}

/// The counters of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// ifIndex.
    pub interface: u32,
    /// Bits in a second.
    pub speed_bits: u64,
    /// ifAdminStatus and ifOperStatus.
    pub is_up: (bool, bool),
    /// Bytes in and out.
    pub bytes: (u64, u64),
    /// Packets to one receiver, in and out.
    pub packets: (u32, u32),
    /// Packets that were dropped, in and out.
    pub discards: (u32, u32),
    /// Packets with errors, in and out.
    pub errors: (u32, u32),
}

/// Reads one datagram. Samples and records of kinds that are not known are passed over by their length.
///
/// # Errors
/// When it is not of version 5, or shorter than it says.
pub fn parse_datagram(bytes: &[u8]) -> Result<Datagram, String> {
    let mut reader = Reader(bytes);
    match reader.u32() {
        Some(5) => whole(reader).ok_or_else(|| "the sFlow datagram is shorter than it says".to_owned()),
        Some(other) => Err(format!("version {other} of sFlow is not known (5 is)")),
        None => Err("the datagram is too short".to_owned()),
    }
}

fn whole(mut reader: Reader<'_>) -> Option<Datagram> {
    let agent = match reader.u32()? {
        1 => Ipv4Addr::from(reader.array::<4>()?).into(),
        2 => Ipv6Addr::from(reader.array::<16>()?).into(),
        _ => return None,
    };
    let (sub_agent, sequence) = (reader.u32()?, reader.u32()?);
    reader.u32()?; // The agent's uptime.
    let mut datagram = Datagram { agent, sub_agent, sequence, packets: Vec::new(), counters: Vec::new() };
    for _ in 0..reader.u32()? {
        let kind = reader.u32()?;
        let length = usize::try_from(reader.u32()?).ok()?;
        let body = Reader(reader.take(length)?);
        match kind {
            1 | 3 => datagram.packets.extend(flow_sample(body, kind == 3)?),
            2 | 4 => counter_sample(body, kind == 4, &mut datagram.counters)?,
            _ => {}
        }
    }
    Some(datagram)
}

fn flow_sample(mut reader: Reader<'_>, is_expanded: bool) -> Option<Option<Packet>> {
    reader.take(if is_expanded { 12 } else { 8 })?; // Count and source.
    let rate = reader.u32()?;
    reader.take(8)?; // Pool and drops.
    let mut interface = || {
        if is_expanded {
            reader.u32()?;
        }
        reader.u32()
    };
    let (input, output) = (interface()?, interface()?);
    let mut found = None;
    for _ in 0..reader.u32()? {
        const RAW_HEADER: u32 = 1;
        let kind = reader.u32()?;
        let length = usize::try_from(reader.u32()?).ok()?;
        let body = reader.take(length)?;
        if kind == RAW_HEADER {
            found = raw_header(Reader(body)).map(|packet| Packet { rate, input, output, ..packet });
        }
    }
    Some(found)
}

fn raw_header(mut reader: Reader<'_>) -> Option<Packet> {
    const ETHERNET: u32 = 1;
    let (protocol, bytes) = (reader.u32()?, reader.u32()?);
    reader.u32()?; // Bytes that were stripped.
    let length = usize::try_from(reader.u32()?).ok()?;
    let header = reader.take(length)?;
    let mut packet = Packet { bytes, ..Packet::default() };
    match protocol {
        ETHERNET => drop(ethernet(Reader(header), &mut packet)),
        11 => drop(ipv4(Reader(header), &mut packet)),
        12 => drop(ipv6(Reader(header), &mut packet)),
        _ => {}
    }
    Some(packet)
}

/// As far as the header goes: it is cut off after some bytes, so what is missing is left out.
fn ethernet(mut reader: Reader<'_>, packet: &mut Packet) -> Option<()> {
    reader.take(12)?;
    let mut kind = reader.u16()?;
    for _ in 0..2 {
        if matches!(kind, 0x8100 | 0x88a8) {
            reader.take(2)?; // Which virtual network.
            kind = reader.u16()?;
        }
    }
    match kind {
        0x0800 => ipv4(reader, packet),
        0x86dd => ipv6(reader, packet),
        _ => None,
    }
}

fn ipv4(mut reader: Reader<'_>, packet: &mut Packet) -> Option<()> {
    let head_bytes = usize::from(reader.u8()? & 0x0f) * 4;
    reader.take(8)?;
    packet.protocol = reader.u8()?;
    reader.take(2)?;
    packet.source = Some(Ipv4Addr::from(reader.array::<4>()?).into());
    packet.destination = Some(Ipv4Addr::from(reader.array::<4>()?).into());
    reader.take(head_bytes.checked_sub(20)?)?;
    ports(reader, packet)
}

fn ipv6(mut reader: Reader<'_>, packet: &mut Packet) -> Option<()> {
    reader.take(6)?;
    packet.protocol = reader.u8()?;
    reader.take(1)?;
    packet.source = Some(Ipv6Addr::from(reader.array::<16>()?).into());
    packet.destination = Some(Ipv6Addr::from(reader.array::<16>()?).into());
    ports(reader, packet)
}

fn ports(mut reader: Reader<'_>, packet: &mut Packet) -> Option<()> {
    if matches!(packet.protocol, 6 | 17 | 132) {
        packet.source_port = reader.u16()?;
        packet.destination_port = reader.u16()?;
    }
    Some(())
}

fn counter_sample(mut reader: Reader<'_>, is_expanded: bool, counters: &mut Vec<Counters>) -> Option<()> {
    reader.take(if is_expanded { 12 } else { 8 })?;
    for _ in 0..reader.u32()? {
        const INTERFACE: u32 = 1;
        let kind = reader.u32()?;
        let length = usize::try_from(reader.u32()?).ok()?;
        let body = reader.take(length)?;
        if kind == INTERFACE {
            counters.push(interface_counters(Reader(body))?);
        }
    }
    Some(())
}

fn interface_counters(mut reader: Reader<'_>) -> Option<Counters> {
    let interface = reader.u32()?;
    reader.u32()?; // Type.
    let speed_bits = reader.u64()?;
    reader.u32()?; // Direction.
    let status = reader.u32()?;
    let (in_bytes, in_packets) = (reader.u64()?, reader.u32()?);
    reader.take(8)?; // Multicast and broadcast.
    let (in_discards, in_errors) = (reader.u32()?, reader.u32()?);
    reader.u32()?; // Of unknown protocols.
    let (out_bytes, out_packets) = (reader.u64()?, reader.u32()?);
    reader.take(8)?;
    let (out_discards, out_errors) = (reader.u32()?, reader.u32()?);
    Some(Counters {
        interface,
        speed_bits,
        is_up: (status & 1 != 0, status & 2 != 0),
        bytes: (in_bytes, out_bytes),
        packets: (in_packets, out_packets),
        discards: (in_discards, out_discards),
        errors: (in_errors, out_errors),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn sample(kind: u32, body: &[u8]) -> Vec<u8> {
        [words(&[kind, body.len() as u32]), body.to_vec()].concat()
    }

    fn datagram(samples: &[Vec<u8>]) -> Vec<u8> {
        [words(&[5, 1, 0xc000_0201, 0, 42, 1000, samples.len() as u32]), samples.concat()].concat()
    }

    #[test]
    fn packets_and_counters_are_read() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[0x81, 0, 0, 7, 0x08, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        frame.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0, 80, 0, 0]);
        let raw = [words(&[1, 1518, 4, frame.len() as u32]), frame].concat();
        let flow = [words(&[9, 3, 512, 0, 0, 3, 4, 1]), sample(1, &raw)].concat();
        let mut interface =
            words(&[3, 6, 0, 1_000_000_000, 1, 3, 0, 5000, 40, 0, 0, 1, 2, 0, 0, 6000, 50, 0, 0, 3, 4, 0]);
        interface.truncate(88);
        let counters = [words(&[9, 3, 1]), sample(1, &interface)].concat();
        let read = parse_datagram(&datagram(&[sample(1, &flow), sample(77, b"abcd"), sample(2, &counters)])).unwrap();
        assert_eq!((read.agent, read.sequence), ("192.0.2.1".parse().unwrap(), 42));
        let packet = &read.packets[0];
        assert_eq!((packet.rate, packet.bytes, packet.input, packet.output), (512, 1518, 3, 4));
        assert_eq!((packet.destination, packet.protocol), (Some("192.0.2.2".parse().unwrap()), 6));
        assert_eq!((packet.source_port, packet.destination_port), (12_345, 80));
        let one = &read.counters[0];
        assert_eq!((one.interface, one.bytes, one.errors, one.is_up), (3, (5000, 6000), (2, 4), (true, true)));
        assert!(parse_datagram(&words(&[4])).unwrap_err().contains("version 4"));
        assert!(parse_datagram(&words(&[5, 1, 1, 0, 0, 0, 1])).unwrap_err().contains("shorter"));
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u32..5) {
            let _ = parse_datagram(&bytes);
            let _ = parse_datagram(&datagram(&[sample(kind, &bytes)]));
            let flow = [words(&[9, 3, 512, 0, 0, 3, 4, 1]), sample(1, &bytes)].concat();
            let _ = parse_datagram(&datagram(&[sample(1, &flow)]));
            let _ = ethernet(Reader(&bytes), &mut Packet::default());
        }
    }
}
