//! PDU: one request, answer or notification, and the objects it is about (RFC 3416; traps of version 1: RFC 1157).

use std::fmt;
use std::net::Ipv4Addr;

use crate::snmp::ber::{self, BerError, Reader, Writer};
use crate::snmp::{Oid, Value};

/// What a PDU is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for these objects.
    Get,
    /// Asks for those that come next.
    GetNext,
    /// Answers.
    Response,
    /// Sets objects. Mainstay never sends one.
    Set,
    /// Asks for many that come next.
    GetBulk,
    /// Tells something and wants to hear that it arrived.
    Inform,
    /// Tells something.
    Trap,
    /// Says why a message of version 3 was not taken.
    Report,
}

impl Kind {
    fn of(tag: u8) -> Option<Kind> {
        Some(match tag {
            0xa0 => Kind::Get,
            0xa1 => Kind::GetNext,
            0xa2 => Kind::Response,
            0xa3 => Kind::Set,
            0xa5 => Kind::GetBulk,
            0xa6 => Kind::Inform,
            0xa7 => Kind::Trap,
            0xa8 => Kind::Report,
            _ => return None,
        })
    }

    fn tag(self) -> u8 {
        match self {
            Kind::Get => 0xa0,
            Kind::GetNext => 0xa1,
            Kind::Response => 0xa2,
            Kind::Set => 0xa3,
            Kind::GetBulk => 0xa5,
            Kind::Inform => 0xa6,
            Kind::Trap => 0xa7,
            Kind::Report => 0xa8,
        }
    }
}

/// An object and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct VarBind {
    /// Its name.
    pub oid: Oid,
    /// What it holds; [`Value::Null`] in requests.
    pub value: Value,
}

/// Why an agent did not answer a request (RFC 3416, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorStatus(
    /// The number; 0 is none.
    pub i64,
);

impl ErrorStatus {
    /// No error.
    pub const NONE: ErrorStatus = ErrorStatus(0);
    /// The answer would not fit into a message.
    pub const TOO_BIG: ErrorStatus = ErrorStatus(1);
    /// Version 1: there is no such object.
    pub const NO_SUCH_NAME: ErrorStatus = ErrorStatus(2);
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 19] = [
            "noError",
            "tooBig",
            "noSuchName",
            "badValue",
            "readOnly",
            "genErr",
            "noAccess",
            "wrongType",
            "wrongLength",
            "wrongEncoding",
            "wrongValue",
            "noCreation",
            "inconsistentValue",
            "resourceUnavailable",
            "commitFailed",
            "undoFailed",
            "authorizationError",
            "notWritable",
            "inconsistentName",
        ];
        match usize::try_from(self.0).ok().and_then(|at| NAMES.get(at)) {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// A request, answer or notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Pdu {
    /// What it is for.
    pub kind: Kind,
    /// What ties an answer to its request.
    pub request_id: i32,
    /// Why there is no answer; in a [`Kind::GetBulk`], how many objects are asked for once only.
    pub error_status: ErrorStatus,
    /// Which object, counted from 1, has the error; in a [`Kind::GetBulk`], how many of each of the others.
    pub error_index: i64,
    /// The objects.
    pub objects: Vec<VarBind>,
}

impl Pdu {
    /// A request for these objects.
    pub fn request(kind: Kind, request_id: i32, oids: impl IntoIterator<Item = Oid>) -> Pdu {
        let objects = oids.into_iter().map(|oid| VarBind { oid, value: Value::Null }).collect();
        Pdu { kind, request_id, error_status: ErrorStatus::NONE, error_index: 0, objects }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Pdu, BerError> {
        let mut peek = *reader;
        let (tag, _, _) = peek.any()?;
        let kind = Kind::of(tag).ok_or(BerError::Other("this is no request, answer or notification of version 2"))?;
        let mut inner = reader.enter(tag)?;
        let request_id = inner.integer()? as i32;
        let error_status = ErrorStatus(inner.integer()?);
        let error_index = inner.integer()?;
        Ok(Pdu { kind, request_id, error_status, error_index, objects: objects(&mut inner)? })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.group(self.kind.tag(), |inner| {
            inner.integer(i64::from(self.request_id));
            inner.integer(self.error_status.0);
            inner.integer(self.error_index);
            write_objects(inner, &self.objects);
        });
    }
}

fn objects(reader: &mut Reader<'_>) -> Result<Vec<VarBind>, BerError> {
    let mut list = reader.enter(ber::SEQUENCE)?;
    let mut objects = Vec::new();
    while !list.is_empty() {
        let mut one = list.enter(ber::SEQUENCE)?;
        objects.push(VarBind { oid: one.oid()?, value: Value::read(&mut one)? });
    }
    Ok(objects)
}

fn write_objects(writer: &mut Writer, objects: &[VarBind]) {
    writer.group(ber::SEQUENCE, |list| {
        for object in objects {
            list.group(ber::SEQUENCE, |one| {
                one.oid(&object.oid);
                object.value.write(one);
            });
        }
    });
}

/// A trap of version 1, which has a form of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct TrapV1 {
    /// What kind of device sent it.
    pub enterprise: Oid,
    /// The address that it says it has.
    pub agent: Ipv4Addr,
    /// 0 cold start, 1 warm start, 2 link down, 3 link up, 4 authentication failure, 5 neighbour lost, 6 see `specific`.
    pub generic: i64,
    /// The enterprise's own number for what happened.
    pub specific: i64,
    /// Hundredths of a second since the device started.
    pub uptime: u32,
    /// The objects it is about.
    pub objects: Vec<VarBind>,
}

pub(crate) const TRAP_V1: u8 = 0xa4;

impl TrapV1 {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<TrapV1, BerError> {
        let mut inner = reader.enter(TRAP_V1)?;
        let enterprise = inner.oid()?;
        let agent = match Value::read(&mut inner)? {
            Value::Address(agent) => agent,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let generic = inner.integer()?;
        let specific = inner.integer()?;
        let uptime = Value::read(&mut inner)?.number().unwrap_or_default() as u32;
        Ok(TrapV1 { enterprise, agent, generic, specific, uptime, objects: objects(&mut inner)? })
    }

    /// The name that version 2 gives to what happened (RFC 3584, section 3.1).
    pub fn notification(&self) -> Oid {
        const SNMP_TRAPS: [u32; 9] = [1, 3, 6, 1, 6, 3, 1, 1, 5];
        match u32::try_from(self.generic) {
            Ok(generic @ 0..=5) => Oid::new(&SNMP_TRAPS).with(&[generic + 1]),
            _ => self.enterprise.with(&[0, u32::try_from(self.specific).unwrap_or_default()]),
        }
    }
}
