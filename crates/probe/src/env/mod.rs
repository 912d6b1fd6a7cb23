//! Env: everything a check touches outside itself, as traits. [`Env::real`] is the only place with the real things.
//!
//! Nothing here decides whether what was seen is good; it only says, in [`Failure`], whose fault it is that nothing
//! could be seen.

mod clock;
mod failure;
mod host;
mod net;
mod trust;

use std::sync::Arc;

pub use clock::Clock;
pub use failure::Failure;
pub use host::{Host, Ran, RawProcess, Space};
pub use net::{Net, Stream};
pub(crate) use net::{addresses, dial};
pub use trust::Trust;
pub(crate) use trust::parse_server_name;

use crate::snmp::Keyring;

/// The world as checks see it: cheap to clone, shared by all of them.
///
/// It belongs to the tokio runtime in which it is first used (the ICMP socket's reader runs there).
#[derive(Clone)]
pub struct Env {
    /// Names, connections, datagrams, echoes.
    pub net: Arc<dyn Net>,
    /// Files under `/proc` and `/sys`, file systems, commands of this machine.
    pub host: Arc<dyn Host>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which certificate authorities are trusted.
    pub trust: Arc<Trust>,
    /// Keys of SNMP version 3 that were made from passwords.
    pub(crate) keyring: Arc<Keyring>,
}

impl Env {
    /// The real network, machine and clock, and the system's certificate authorities.
    pub fn real() -> Env {
        Env::new(Arc::new(net::RealNet::default()), Arc::new(host::RealHost), Arc::new(clock::RealClock::default()))
    }

    /// A world made of these; for tests and for wrappers (an address policy around a [`Net`]).
    pub fn new(net: Arc<dyn Net>, host: Arc<dyn Host>, clock: Arc<dyn Clock>) -> Env {
        Env { net, host, trust: Arc::new(Trust::new(clock.clone())), keyring: Arc::default(), clock }
    }
}
