//! NetFlow 5 and 9, and IPFIX: datagrams of flows. Versions 9 and 10 describe their records by templates that come now and
//! then; [`Templates`] keeps them, a fixed number for each exporter.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::receive::Reader;
use crate::receive::netflow_fields::set;
pub use crate::receive::netflow_fields::{Clock, Field, Flow};

/// What one datagram told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// 5, 9 or 10 (IPFIX).
    pub version: u16,
    /// Which observation domain or engine of the exporter.
    pub domain: u32,
    /// The exporter's count; a gap says that datagrams were lost.
    pub sequence: u32,
    /// The flows.
    pub flows: Vec<Flow>,
    /// Sets of records whose template was not told yet.
    pub untold: u32,
    /// One packet in so many was looked at (version 5 only); 0 or 1 when all were.
    pub sampling: u16,
}

/// The templates of one exporter.
#[derive(Debug, Default)]
pub struct Templates {
    known: HashMap<(u32, u16), Vec<Field>>,
}

impl Templates {
    /// The most templates of one exporter; more are not taken.
    pub const MAX: usize = 4096;
    /// The most fields of one template.
    pub const MAX_FIELDS: usize = 500;
}

/// Reads one datagram, and learns its templates.
///
/// # Errors
/// A sentence on what is wrong with it. Templates before the damage are kept.
pub fn parse_datagram(bytes: &[u8], templates: &mut Templates) -> Result<Export, String> {
    let mut reader = Reader(bytes);
    match reader.u16() {
        Some(5) => five(reader).ok_or_else(|| "the NetFlow 5 datagram is shorter than it says".to_owned()),
        Some(version @ (9 | 10)) => templated(version, reader, templates),
        Some(other) => Err(format!("version {other} of NetFlow is not known (5, 9 and 10 are)")),
        None => Err("the datagram is too short".to_owned()),
    }
}

fn five(mut reader: Reader<'_>) -> Option<Export> {
    let count = reader.u16()?;
    let uptime_millis = u64::from(reader.u32()?);
    let export_millis = u64::from(reader.u32()?) * 1000 + u64::from(reader.u32()?) / 1_000_000;
    let clock = Clock { export_millis, uptime_millis };
    let sequence = reader.u32()?;
    let domain = u32::from(reader.u16()?);
    const RATE: u16 = 0x3fff;
    let sampling = reader.u16()? & RATE;
    let mut flows = Vec::with_capacity(usize::from(count).min(bytes_allow(&reader, 48)));
    for _ in 0..count {
        flows.push(five_record(&mut reader, clock)?);
    }
    Some(Export { version: 5, domain, sequence, flows, untold: 0, sampling })
}

fn bytes_allow(reader: &Reader<'_>, record_bytes: usize) -> usize {
    reader.0.len() / record_bytes
}

fn five_record(reader: &mut Reader<'_>, clock: Clock) -> Option<Flow> {
    let source = Ipv4Addr::from(reader.array::<4>()?);
    let destination = Ipv4Addr::from(reader.array::<4>()?);
    reader.take(4)?; // The next router.
    let (input, output) = (u32::from(reader.u16()?), u32::from(reader.u16()?));
    let (packets, bytes) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
    let (start, end) = (reader.u32()?, reader.u32()?);
    let (source_port, destination_port) = (reader.u16()?, reader.u16()?);
    reader.take(1)?;
    let (tcp_flags, protocol, tos) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let (source_as, destination_as) = (u32::from(reader.u16()?), u32::from(reader.u16()?));
    reader.take(4)?; // Masks and padding.
    Some(Flow {
        source: Some(source.into()),
        destination: Some(destination.into()),
        source_port,
        destination_port,
        protocol,
        tcp_flags,
        tos,
        bytes,
        packets,
        input,
        output,
        start_millis: Some(clock.at_uptime(start)),
        end_millis: Some(clock.at_uptime(end)),
        source_as,
        destination_as,
    })
}

fn templated(version: u16, mut reader: Reader<'_>, templates: &mut Templates) -> Result<Export, String> {
    let is_ipfix = version == 10;
    let short = || "the datagram is shorter than its head".to_owned();
    let length = reader.u16().ok_or_else(short)?; // Of bytes in IPFIX, of records in version 9.
    let mut export = Export { version, ..Export::default() };
    let mut clock = Clock::default();
    if !is_ipfix {
        clock.uptime_millis = u64::from(reader.u32().ok_or_else(short)?);
    }
    clock.export_millis = u64::from(reader.u32().ok_or_else(short)?) * 1000;
    export.sequence = reader.u32().ok_or_else(short)?;
    export.domain = reader.u32().ok_or_else(short)?;
    if is_ipfix {
        const HEAD_BYTES: usize = 16;
        let body = usize::from(length).checked_sub(HEAD_BYTES).and_then(|length| reader.take(length));
        reader = Reader(body.ok_or_else(|| "the IPFIX message is shorter than it says".to_owned())?);
    }
    // A set's head is all that must be there; version 9 pads the end with zeros.
    while reader.0.len() >= 4 {
        let (number, length) = reader.u16().zip(reader.u16()).ok_or_else(short)?;
        let body = usize::from(length).checked_sub(4).and_then(|length| reader.take(length));
        let body = body.ok_or_else(|| format!("the set {number} is shorter than it says"))?;
        match (is_ipfix, number) {
            (false, 0) | (true, 2) => {
                learn(body, is_ipfix, export.domain, templates).ok_or("a template is damaged")?;
            }
            (_, 256..) => match templates.known.get(&(export.domain, number)) {
                Some(fields) => records(body, fields, clock, &mut export.flows),
                None => export.untold += 1,
            },
            _ => {} // Templates of options: what they describe is no flow.
        }
    }
    Ok(export)
}

fn learn(body: &[u8], is_ipfix: bool, domain: u32, templates: &mut Templates) -> Option<()> {
    let mut reader = Reader(body);
    while reader.0.len() >= 4 {
        let (number, count) = (reader.u16()?, usize::from(reader.u16()?));
        if number < 256 {
            return Some(()); // Padding.
        }
        if count == 0 {
            templates.known.remove(&(domain, number)); // It is withdrawn.
            continue;
        }
        if count > Templates::MAX_FIELDS {
            return None;
        }
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let (number, length) = (reader.u16()?, reader.u16()?);
            let has_enterprise = is_ipfix && number & 0x8000 != 0;
            let enterprise = if has_enterprise { reader.u32()? } else { 0 };
            fields.push(Field { number: if has_enterprise { number & 0x7fff } else { number }, enterprise, length });
        }
        if templates.known.len() < Templates::MAX || templates.known.contains_key(&(domain, number)) {
            templates.known.insert((domain, number), fields);
        }
    }
    Some(())
}

/// Reads records until what is left is too short for one; that is padding.
fn records(body: &[u8], fields: &[Field], clock: Clock, flows: &mut Vec<Flow>) {
    const VARIABLE: u16 = 65_535;
    // A record takes at least a byte a field, or the template would describe records without end.
    let least: usize =
        fields.iter().map(|field| if field.length == VARIABLE { 1 } else { usize::from(field.length) }).sum();
    if least == 0 {
        return;
    }
    let mut reader = Reader(body);
    while reader.0.len() >= least {
        let mut flow = Flow::default();
        for field in fields {
            let length = if field.length == VARIABLE { variable(&mut reader) } else { Some(usize::from(field.length)) };
            let Some(bytes) = length.and_then(|length| reader.take(length)) else { return };
            set(&mut flow, *field, bytes, clock);
        }
        if flow.source.is_some() || flow.destination.is_some() {
            flows.push(flow);
        }
    }
}

fn variable(reader: &mut Reader<'_>) -> Option<usize> {
    match reader.u8()? {
        255 => reader.u16().map(usize::from),
        length => Some(usize::from(length)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nine(sets: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0, 9, 0, 1];
        for number in [60_000u32, 1_795_000_000, 7, 1] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend(sets.concat());
        bytes
    }

    fn a_set(number: u16, body: &[u8]) -> Vec<u8> {
        [&number.to_be_bytes(), &(body.len() as u16 + 4).to_be_bytes(), body].concat()
    }

    #[test]
    fn a_template_explains_the_records_that_follow() {
        let template = a_set(0, &[1, 0, 0, 3, 0, 8, 0, 4, 0, 1, 0, 4, 0, 22, 0, 4]);
        let records =
            a_set(256, &[192, 0, 2, 1, 0, 0, 3, 232, 0, 0, 0xea, 0, 192, 0, 2, 2, 0, 0, 0, 1, 0, 0, 0xea, 0x60, 0]);
        let mut templates = Templates::default();
        let early = parse_datagram(&nine(std::slice::from_ref(&records)), &mut templates).unwrap();
        assert_eq!((early.flows.len(), early.untold), (0, 1));
        let export = parse_datagram(&nine(&[template, records]), &mut templates).unwrap();
        assert_eq!((export.flows.len(), export.untold, export.sequence), (2, 0, 7));
        assert_eq!((export.flows[0].source, export.flows[0].bytes), (Some("192.0.2.1".parse().unwrap()), 1000));
        assert_eq!(export.flows[0].start_millis, Some(1_795_000_000_000 - 96));
        assert_eq!(export.flows[1].start_millis, Some(1_795_000_000_000));
    }

    #[test]
    fn damage_is_told_and_no_template_makes_work_without_end() {
        let mut templates = Templates::default();
        for (bytes, part) in [
            (vec![0], "too short"),
            (vec![0, 7, 0, 0], "version 7"),
            ([vec![0, 5, 0, 1], vec![0; 20]].concat(), "shorter than it says"),
            (nine(&[vec![1, 0, 0, 99, 0]]), "the set 256 is shorter"),
        ] {
            assert!(parse_datagram(&bytes, &mut templates).unwrap_err().contains(part), "{bytes:?}");
        }
        let nothing = a_set(0, &[1, 0, 0, 1, 0, 8, 0, 0]); // a field of no bytes
        let export = parse_datagram(&nine(&[nothing, a_set(256, &[0; 1000])]), &mut templates).unwrap();
        assert_eq!(export.flows.len(), 0);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in proptest::sample::select(vec![5u8, 9, 10]), set in 0u16..300) {
            let mut templates = Templates::default();
            let _ = parse_datagram(&bytes, &mut templates);
            let _ = parse_datagram(&[&[0, version], bytes.as_slice()].concat(), &mut templates);
            let _ = parse_datagram(&nine(&[a_set(set, &bytes), a_set(256, &bytes)]), &mut templates);
        }
    }
}
