//! SNMP, versions 1, 2c and 3.
//!
//! Written by hand because the crates there are (`snmp2`, `csnmp`, `rasn-snmp`) bring their own sockets, past the address
//! policy of [`env`](mod@crate::env), or leave out the walk and the user-based security model.
//!
//! Mainstay reads: nothing here sends a SET.

mod ber;
mod check;
mod inspect;
mod message;
mod notification;
mod oid;
mod pdu;
mod session;
mod usm;
pub(crate) mod value;
mod walk;

pub use ber::BerError;
pub use check::{Snmp, Version};
pub use inspect::{Inspection, System, identify, inspect};
pub use message::{Body, Message, Payload, Scoped, V3, community_message, parse_message};
pub use notification::{Notification, NotificationError, parse_notification, parse_notification_v3};
pub use oid::Oid;
pub use pdu::{ErrorStatus, Kind, Pdu, TrapV1, VarBind};
pub use session::{Security, Session, SnmpError};
pub use usm::{Auth, CipherError, Engine, Key, Keyring, Privacy, User, UsmError};
pub use value::Value;
pub use walk::{Cut, Limits, Walk, walk};
