//! Env: everything a check touches outside itself, as traits. [`Env::real`] is the only place with the real things.
//!
//! Nothing here decides whether what was seen is good; it only says, in [`Failure`], whose fault it is that nothing
//! could be seen.

mod clock;
mod egress;
mod failure;
mod hops;
mod host;
mod identity;
mod net;
mod policies;
mod random;
pub(crate) mod route;
mod trust;

use std::sync::Arc;

pub use clock::Clock;
pub use egress::{ADDRESS_POLICY_OF, Egress, Range, Refused};
pub use failure::Failure;
pub use hops::Hops;
pub use host::{Cost, Host, Piece, Ran, RawProcess, Space};
pub use net::{Datagrams, Net, Stream};
pub(crate) use net::{addresses, dial};
pub use policies::{Policies, parse_policies};
pub(crate) use random::random;
pub use trust::Trust;
pub(crate) use trust::parse_server_name;

use crate::logfile::Places;
use crate::snmp::Keyring;
use crate::starter::Starter;

/// The world as checks see it: cheap to clone, shared by all of them.
///
/// It belongs to the tokio runtime in which it is first used (the ICMP socket's reader runs there).
#[derive(Clone)]
pub struct Env {
    /// Names, connections, datagrams, echoes, behind the address policy.
    pub net: Arc<dyn Net>,
    /// Files under `/proc` and `/sys`, file systems, commands of this machine.
    pub host: Arc<dyn Host>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which certificate authorities are trusted.
    pub trust: Arc<Trust>,
    /// Keys of SNMP version 3 that were made from passwords.
    pub(crate) keyring: Arc<Keyring>,
    /// How far log files were read; begins empty with each start.
    pub(crate) places: Arc<Places>,
    /// So that nobody outside puts one together without a policy.
    _made_here: (),
}

impl Env {
    /// The real network, machine and clock, and the system's certificate authorities. Every address may be reached, as
    /// suits a command line; a server adds [`Env::behind`].
    pub fn real() -> Env {
        Env::new(
            Arc::new(net::RealNet::default()),
            Arc::new(host::RealHost::default()),
            Arc::new(clock::RealClock::default()),
        )
    }

    /// A world made of these; for tests.
    pub fn new(net: Arc<dyn Net>, host: Arc<dyn Host>, clock: Arc<dyn Clock>) -> Env {
        let trust = Arc::new(Trust::new(clock.clone()));
        let (keyring, places) = (Arc::default(), Arc::default());
        Env { net, host, trust, clock, keyring, places, _made_here: () }
    }

    /// The same world, whose commands that small process starts: for a server.
    #[must_use]
    pub fn started_by(self, starter: Arc<Starter>) -> Env {
        Env { host: Arc::new(host::RealHost { starter: Some(starter) }), ..self }
    }

    /// The same world behind an address policy: what it refuses, no check reaches. Policies add up.
    #[must_use]
    pub fn behind(self, egress: Egress) -> Env {
        let net = Arc::new(egress::Guarded { inner: self.net, egress: Arc::new(egress) });
        Env { net, ..self }
    }
}
