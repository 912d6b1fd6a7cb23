//! Agent: an SNMP agent in memory that plays a recording. It answers whole datagrams, so all of our own code is between it
//! and what is found; it opens no socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use probe::env::{Failure, Net, Stream};
use probe::snmp::{Body, Kind, Message, Oid, Pdu, Value, VarBind, community_message, parse_message};

/// A recorded device.
pub struct Agent(BTreeMap<Oid, Value>);

impl Agent {
    /// Reads a recording in snmpsim's form: lines of `OID|TYPE|VALUE`. Lines that are none are left out.
    pub fn parse(bytes: &[u8]) -> Agent {
        let mut objects = BTreeMap::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let mut parts = line.splitn(3, |byte| *byte == b'|');
            let (Some(oid), Some(kind), Some(content)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let oid = std::str::from_utf8(oid).ok().and_then(|oid| oid.trim().parse::<Oid>().ok());
            let kind = std::str::from_utf8(kind).unwrap_or_default();
            if let (Some(oid), Some(value)) = (oid, value(kind, content)) {
                objects.insert(oid, value);
            }
        }
        Agent(objects)
    }

    /// The datagram that answers this one, when it is a request of version 1 or 2c.
    pub fn reply(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        match parse_message(datagram).ok()? {
            Message::Community { version, community, body: Body::Pdu(request) } => {
                Some(community_message(version, &community, &self.answer(&request)))
            }
            _ => None,
        }
    }

    fn next(&self, oid: &Oid) -> VarBind {
        match self.0.range((Bound::Excluded(oid), Bound::Unbounded)).next() {
            Some((oid, value)) => VarBind { oid: oid.clone(), value: value.clone() },
            None => VarBind { oid: oid.clone(), value: Value::EndOfMibView },
        }
    }

    fn answer(&self, request: &Pdu) -> Pdu {
        let asked = request.objects.iter().map(|object| &object.oid);
        let objects: Vec<VarBind> = match request.kind {
            Kind::Get => asked
                .map(|oid| VarBind {
                    oid: oid.clone(),
                    value: self.0.get(oid).cloned().unwrap_or(Value::NoSuchInstance),
                })
                .collect(),
            Kind::GetNext => asked.map(|oid| self.next(oid)).collect(),
            _ => {
                let mut last: Vec<Oid> = asked.cloned().collect();
                let mut objects = Vec::new();
                for _ in 0..request.error_index.clamp(0, 100) {
                    for oid in &mut last {
                        let next = self.next(oid);
                        *oid = next.oid.clone();
                        objects.push(next);
                    }
                }
                objects
            }
        };
        let error_status = probe::snmp::ErrorStatus::NONE;
        Pdu { kind: Kind::Response, request_id: request.request_id, error_status, error_index: 0, objects }
    }
}

fn value(kind: &str, content: &[u8]) -> Option<Value> {
    let (kind, bytes) = match kind.strip_suffix('x') {
        Some(kind) => (kind, unhex(content)?),
        None => (kind, content.to_vec()),
    };
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    let natural = || text.parse::<i128>().ok();
    Some(match kind {
        "2" => Value::Integer(natural()? as i64),
        "4" => Value::Octets(bytes),
        "5" => Value::Null,
        "6" => text.parse().map_or(Value::Oid(Oid::default()), Value::Oid),
        "64" => match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(four) if text.parse::<Ipv4Addr>().is_err() => Value::Address(four.into()),
            _ => Value::Address(text.parse().ok()?),
        },
        "65" => Value::Counter32(natural()? as u32),
        "66" => Value::Gauge32(natural()? as u32),
        "67" => Value::Ticks(natural()? as u32),
        "68" => Value::Opaque(bytes),
        "70" => Value::Counter64(natural()? as u64),
        _ => return None,
    })
}

fn unhex(content: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = content.iter().copied().filter(|byte| byte.is_ascii_hexdigit()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[async_trait]
impl Net for Agent {
    async fn resolve(&self, _host: &str) -> Result<Vec<IpAddr>, Failure> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }

    async fn connect(&self, _peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    async fn exchange(
        &self,
        _peer: SocketAddr,
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        let bytes = self.reply(datagram).ok_or(io::ErrorKind::InvalidData)?;
        is_answer(&bytes);
        Ok(bytes)
    }

    async fn ping(&self, _peer: IpAddr, _bytes: usize, _within: Duration) -> Result<Option<Duration>, Failure> {
        Ok(None)
    }
}
