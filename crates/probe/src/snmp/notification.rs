//! Notification: traps and informs of every version, decoded into one form. Decodes only: it opens no port, keeps nothing,
//! and an inform's acknowledgement is bytes for the caller to send.

use std::time::Duration;

use crate::snmp::message::{Body, Message, Scoped, community_message, parse_message};
use crate::snmp::pdu::{ErrorStatus, Kind, Pdu, VarBind};
use crate::snmp::usm::{Engine, UsmError};
use crate::snmp::{Oid, Value};

/// Something that a device tells on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// What happened: `1.3.6.1.6.3.1.1.5.3` is "link down". Traps of version 1 are named as RFC 3584 says.
    pub name: Oid,
    /// Hundredths of a second since the device started.
    pub uptime: u32,
    /// The objects it is about, without the uptime and the name.
    pub objects: Vec<VarBind>,
    /// 1, 2 (2c) or 3.
    pub version: u8,
    /// The community, for versions 1 and 2c.
    pub community: Vec<u8>,
    /// The user, for version 3.
    pub user: Vec<u8>,
    /// The address that the device says it has (version 1), which may differ from where the datagram came from.
    pub agent: Option<std::net::Ipv4Addr>,
    /// What kind of device it says it is, when it does.
    pub enterprise: Option<Oid>,
    /// What to send back, when the device waits for it (an inform).
    pub acknowledgement: Option<Vec<u8>>,
}

/// Why a datagram is no notification that can be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotificationError {
    /// It is not SNMP.
    #[error("it is not SNMP: {0}")]
    NotSnmp(#[from] crate::snmp::BerError),
    /// It is SNMP and tells nothing: a request or an answer.
    #[error("it is a request or an answer, not a trap")]
    NotATrap,
    /// Version 3 without a user that is known here.
    #[error("it is of version 3 and its user {0:?} is not known here")]
    UnknownUser(String),
    /// Version 3, and not to be believed.
    #[error("{0}")]
    Untrusted(#[from] UsmError),
}

const UPTIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];
const TRAP_NAME: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
const TRAP_ENTERPRISE: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 3, 0];

/// Decodes a trap or inform of version 1 or 2c.
///
/// # Errors
/// Why it is none.
pub fn parse_notification(datagram: &[u8]) -> Result<Notification, NotificationError> {
    match parse_message(datagram)? {
        Message::Community { community, body: Body::TrapV1(trap), .. } => Ok(Notification {
            name: trap.notification(),
            uptime: trap.uptime,
            version: 1,
            community,
            user: Vec::new(),
            agent: Some(trap.agent),
            enterprise: Some(trap.enterprise),
            objects: trap.objects,
            acknowledgement: None,
        }),
        Message::Community { version, community, body: Body::Pdu(pdu) } => {
            let acknowledgement = (pdu.kind == Kind::Inform)
                .then(|| community_message(version, &community, &Pdu { kind: Kind::Response, ..pdu.clone() }));
            let version = if version == 0 { 1 } else { 2 };
            let told = tell(pdu, version)?;
            Ok(Notification { community, acknowledgement, ..told })
        }
        Message::V3(message) => {
            Err(NotificationError::UnknownUser(String::from_utf8_lossy(&message.user).into_owned()))
        }
    }
}

/// Decodes a trap of version 3 from an engine whose user is known here; `engine_of` gives it by the name of the sender's
/// engine and of its user.
///
/// A trap's clock is its sender's, which nobody here has asked for: the first one that comes sets it, and from then on an
/// old one is refused.
///
/// # Errors
/// Why it is none, or not to be believed.
pub fn parse_notification_v3<'e>(
    datagram: &[u8],
    now: Duration,
    engine_of: impl FnOnce(&[u8], &[u8]) -> Option<&'e mut Engine>,
) -> Result<Notification, NotificationError> {
    let Message::V3(message) = parse_message(datagram)? else { return parse_notification(datagram) };
    let unknown = || NotificationError::UnknownUser(String::from_utf8_lossy(&message.user).into_owned());
    let engine = engine_of(&message.engine, &message.user).ok_or_else(unknown)?;
    if engine.is_unknown() {
        let boots = u32::try_from(message.boots).unwrap_or_default();
        let time = u32::try_from(message.time).unwrap_or_default();
        engine.meet(&message.engine, boots, time, now);
        if let Err(why) = engine.check_digest(datagram, &message) {
            // A forged one must not set the clock.
            engine.forget();
            return Err(why.into());
        }
    }
    let Scoped { engine: context_engine, name, pdu } = engine.open(datagram, &message, now)?;
    let acknowledgement = (pdu.kind == Kind::Inform).then(|| {
        let answer = Pdu { kind: Kind::Response, error_status: ErrorStatus::NONE, error_index: 0, ..pdu.clone() };
        engine.seal(message.id, &Scoped { engine: context_engine, name, pdu: answer }, 65_507, now)
    });
    let told = tell(pdu, 3)?;
    Ok(Notification { user: message.user, acknowledgement, ..told })
}

fn tell(pdu: Pdu, version: u8) -> Result<Notification, NotificationError> {
    if !matches!(pdu.kind, Kind::Trap | Kind::Inform) {
        return Err(NotificationError::NotATrap);
    }
    let mut told = Notification {
        name: Oid::default(),
        uptime: 0,
        objects: Vec::new(),
        version,
        community: Vec::new(),
        user: Vec::new(),
        agent: None,
        enterprise: None,
        acknowledgement: None,
    };
    for object in pdu.objects {
        match (object.oid.arcs(), &object.value) {
            (arcs, Value::Ticks(ticks)) if arcs == UPTIME => told.uptime = *ticks,
            (arcs, Value::Oid(name)) if arcs == TRAP_NAME => told.name = name.clone(),
            (arcs, Value::Oid(enterprise)) if arcs == TRAP_ENTERPRISE => told.enterprise = Some(enterprise.clone()),
            _ => told.objects.push(object),
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inform() -> Pdu {
        let object = |oid: &[u32], value| VarBind { oid: Oid::new(oid), value };
        Pdu {
            kind: Kind::Inform,
            request_id: 99,
            error_status: ErrorStatus::NONE,
            error_index: 0,
            objects: vec![
                object(&UPTIME, Value::Ticks(4200)),
                object(&TRAP_NAME, Value::Oid("1.3.6.1.6.3.1.1.5.3".parse().unwrap())),
                object(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 1, 7], Value::Integer(7)),
            ],
        }
    }

    #[test]
    fn an_inform_is_told_and_acknowledged_with_what_it_said() {
        let told = parse_notification(&community_message(1, b"public", &inform())).unwrap();
        assert_eq!((told.name.to_string().as_str(), told.uptime, told.version), ("1.3.6.1.6.3.1.1.5.3", 4200, 2));
        assert_eq!(told.objects.len(), 1);
        let answer = parse_message(&told.acknowledgement.unwrap()).unwrap();
        let Message::Community { body: Body::Pdu(answer), .. } = answer else { panic!("{answer:?}") };
        assert_eq!(answer, Pdu { kind: Kind::Response, ..inform() });
    }

    #[test]
    fn a_request_is_no_trap() {
        let request = Pdu { kind: Kind::Get, ..inform() };
        let told = parse_notification(&community_message(1, b"public", &request));
        assert_eq!(told, Err(NotificationError::NotATrap));
    }

    proptest! {
        #[test]
        fn no_datagram_panics(at in 0usize..200, byte: u8) {
            let mut bytes = community_message(1, b"public", &inform());
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = parse_notification(&bytes);
        }
    }
}
