//! Message: the envelope around a PDU in each version: a community, or version 3's header with its security parameters.
//!
//! Reads and writes bytes only. Whether a digest fits, and what an encrypted PDU says, is [`usm`](crate::snmp::usm).

use crate::snmp::ber::{self, BerError, Reader, Writer};
use crate::snmp::pdu::{Pdu, TRAP_V1, TrapV1};

/// What was found in an envelope.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Version 1 or 2c.
    Community {
        /// 0 is version 1, 1 is version 2c.
        version: i64,
        /// The password, more or less.
        community: Vec<u8>,
        /// What is inside.
        body: Body,
    },
    /// Version 3.
    V3(V3),
}

/// What is inside a message of version 1 or 2c.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The common form.
    Pdu(Pdu),
    /// Version 1's trap.
    TrapV1(TrapV1),
}

/// A message of version 3 with the parameters of the user-based security model (RFC 3412, RFC 3414).
#[derive(Clone, Debug, PartialEq)]
pub struct V3 {
    /// What ties an answer to its request.
    pub id: i32,
    /// The largest message that its sender takes, in bytes.
    pub max_size: i64,
    /// Whether it has a digest.
    pub authenticated: bool,
    /// Whether its PDU is encrypted.
    pub private: bool,
    /// Whether a report is wanted when it cannot be taken.
    pub reportable: bool,
    /// Which engine's clock and keys are meant.
    pub engine: Vec<u8>,
    /// How often that engine started.
    pub boots: i64,
    /// Seconds since then.
    pub time: i64,
    /// The user's name.
    pub user: Vec<u8>,
    /// The digest.
    pub digest: Vec<u8>,
    /// Where in the message the digest stands.
    pub digest_at: usize,
    /// What the encryption was begun with.
    pub salt: Vec<u8>,
    /// The PDU in the open, or encrypted.
    pub payload: Payload,
}

/// What version 3 carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// In the open.
    Plain(Scoped),
    /// Encrypted.
    Encrypted(Vec<u8>),
}

/// A PDU and the context it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Scoped {
    /// The engine that has the context.
    pub engine: Vec<u8>,
    /// The context's name; mostly empty.
    pub name: Vec<u8>,
    /// What is asked or said.
    pub pdu: Pdu,
}

const AUTHENTICATED: u8 = 1;
const PRIVATE: u8 = 2;
const REPORTABLE: u8 = 4;
const USER_BASED: i64 = 3;

/// Reads one datagram.
///
/// # Errors
/// What is wrong with it, completing "the peer's message is not SNMP: …".
pub fn parse_message(bytes: &[u8]) -> Result<Message, BerError> {
    let mut whole = Reader::new(bytes);
    let mut message = whole.enter(ber::SEQUENCE)?;
    match message.integer()? {
        version @ (0 | 1) => {
            let community = message.octets()?.to_vec();
            let (tag, _, _) = { message }.any()?;
            let body = if tag == TRAP_V1 {
                Body::TrapV1(TrapV1::read(&mut message)?)
            } else {
                Body::Pdu(Pdu::read(&mut message)?)
            };
            Ok(Message::Community { version, community, body })
        }
        3 => v3(&mut message).map(Message::V3),
        _ => Err(BerError::Other("a version of SNMP that does not exist")),
    }
}

fn v3(message: &mut Reader<'_>) -> Result<V3, BerError> {
    let mut header = message.enter(ber::SEQUENCE)?;
    let id = header.integer()? as i32;
    let max_size = header.integer()?;
    let flags = header.octets()?.first().copied().unwrap_or_default();
    if header.integer()? != USER_BASED {
        return Err(BerError::Other("a security model other than the user-based one"));
    }
    let mut security = message.enter(ber::OCTET_STRING)?.enter(ber::SEQUENCE)?;
    let engine = security.octets()?.to_vec();
    let boots = security.integer()?;
    let time = security.integer()?;
    let user = security.octets()?.to_vec();
    let (digest, digest_at) = security.expect(ber::OCTET_STRING)?;
    let salt = security.octets()?.to_vec();
    let private = flags & PRIVATE != 0;
    let payload =
        if private { Payload::Encrypted(message.octets()?.to_vec()) } else { Payload::Plain(Scoped::read(message)?) };
    Ok(V3 {
        id,
        max_size,
        authenticated: flags & AUTHENTICATED != 0,
        private,
        reportable: flags & REPORTABLE != 0,
        engine,
        boots,
        time,
        user,
        digest: digest.to_vec(),
        digest_at,
        salt,
        payload,
    })
}

impl Scoped {
    /// Reads a scoped PDU; what a cipher left behind it is not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Scoped, BerError> {
        Scoped::read(&mut Reader::new(bytes))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Scoped, BerError> {
        let mut inner = reader.enter(ber::SEQUENCE)?;
        let engine = inner.octets()?.to_vec();
        let name = inner.octets()?.to_vec();
        Ok(Scoped { engine, name, pdu: Pdu::read(&mut inner)? })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.group(ber::SEQUENCE, |inner| {
            inner.octets(&self.engine);
            inner.octets(&self.name);
            self.pdu.write(inner);
        });
        writer.into_bytes()
    }
}

/// A message of version 1 (0) or 2c (1).
pub fn community_message(version: i64, community: &[u8], pdu: &Pdu) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.group(ber::SEQUENCE, |message| {
        message.integer(version);
        message.octets(community);
        pdu.write(message);
    });
    writer.into_bytes()
}

impl V3 {
    /// The message, with the digest as it is here. `digest_at` is not looked at.
    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = 0;
        for (set, flag) in [(self.authenticated, AUTHENTICATED), (self.private, PRIVATE), (self.reportable, REPORTABLE)]
        {
            flags |= if set { flag } else { 0 };
        }
        let mut security = Writer::default();
        security.group(ber::SEQUENCE, |inner| {
            inner.octets(&self.engine);
            inner.integer(self.boots);
            inner.integer(self.time);
            inner.octets(&self.user);
            inner.octets(&self.digest);
            inner.octets(&self.salt);
        });
        let mut writer = Writer::default();
        writer.group(ber::SEQUENCE, |message| {
            message.integer(3);
            message.group(ber::SEQUENCE, |header| {
                header.integer(i64::from(self.id));
                header.integer(self.max_size);
                header.octets(&[flags]);
                header.integer(USER_BASED);
            });
            message.octets(&security.into_bytes());
            match &self.payload {
                Payload::Plain(scoped) => message.raw(&scoped.bytes()),
                Payload::Encrypted(bytes) => message.octets(bytes),
            }
        });
        writer.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snmp::pdu::{ErrorStatus, Kind, VarBind};
    use crate::snmp::{Oid, Value};

    fn pdu() -> Pdu {
        Pdu {
            kind: Kind::Response,
            request_id: -7,
            error_status: ErrorStatus::NONE,
            error_index: 0,
            objects: [Value::Integer(-1), Value::Octets(vec![7; 300]), Value::Counter64(u64::MAX), Value::EndOfMibView]
                .into_iter()
                .map(|value| VarBind { oid: Oid::new(&[1, 3, 6, 1, 2, 1, 1, 1, 0]), value })
                .collect(),
        }
    }

    #[test]
    fn every_version_is_read_as_it_is_written() {
        let bytes = community_message(1, b"public", &pdu());
        let Message::Community { version: 1, community, body: Body::Pdu(read) } = parse_message(&bytes).unwrap() else {
            panic!("another message")
        };
        assert_eq!((community.as_slice(), read), (&b"public"[..], pdu()));
        let mut written = V3 {
            id: 4711,
            max_size: 65_507,
            authenticated: true,
            private: false,
            reportable: true,
            engine: vec![0x80, 0, 0x1f, 0x88, 4],
            boots: 3,
            time: 100_000,
            user: b"mia".to_vec(),
            digest: vec![9; 24],
            digest_at: 0,
            salt: Vec::new(),
            payload: Payload::Plain(Scoped { engine: vec![1], name: b"vlan-7".to_vec(), pdu: pdu() }),
        };
        let bytes = written.bytes();
        let Message::V3(read) = parse_message(&bytes).unwrap() else { panic!("another message") };
        assert_eq!(&bytes[read.digest_at..read.digest_at + 24], &[9; 24]);
        written.digest_at = read.digest_at;
        assert_eq!(read, written);
    }

    #[test]
    fn what_is_no_snmp_is_refused() {
        for bytes in [&b""[..], b"GET / HTTP/1.1", &[0x30, 3, 2, 1, 2], &[0x30, 5, 2, 1, 1, 4, 0]] {
            assert!(parse_message(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics(at in 0usize..400, byte: u8, cut in 0usize..400,
                              noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_message(&noise);
            let mut bytes = community_message(1, b"public", &pdu());
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = parse_message(&bytes);
            let _ = parse_message(&bytes[..cut % length]);
        }
    }
}
