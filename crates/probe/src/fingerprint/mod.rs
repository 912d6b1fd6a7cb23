//! Fingerprint: what a service, a device or a name service says, and what it therefore is. All that is known of products is
//! data (`fingerprints/*.yaml`, `profiles/os/*.yaml`); nothing of it is in Rust.
//!
//! [`recognise`] decides from [`Evidence`] alone; [`look_at_port`] and the other askers gather it: each asks what the
//! protocol defines for anybody, once, changes nothing, and reads a bounded answer in a bounded time.

mod ask;
mod library;
mod mdns;
mod names;
mod netbios;
mod signature;

pub use ask::look_at_port;
pub use library::{Fingerprints, parse_bytes};
pub use mdns::{Announced, parse_announcement, services_question};
pub use names::{Named, SnmpSaid, ask_mdns, ask_netbios, ask_snmp};
pub use netbios::{NetbiosStatus, parse_status, status_question};
pub use signature::{Evidence, Page, Service, ShownCertificate, Signature, parse_signatures, recognise};
