//! Failure: why nothing could be measured, and whose doing that is. It alone maps errors to states.

use std::io;

use crate::env::Refused;
use crate::env::route::ProxyTrouble;
use crate::outcome::{Outcome, State};
use crate::params::ParamError;
use crate::tls::explain;

/// A check that came to no measurement.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request cannot be run as written: UNKNOWN.
    #[error("the check is set up wrongly: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Params(Vec<ParamError>),
    /// This machine or its surroundings refused, which says nothing about the peer: UNKNOWN. The sentence says what to do.
    #[error("{0}")]
    Local(String),
    /// The peer refused, hung up, or answered nonsense: CRITICAL.
    #[error("{0}")]
    Peer(String),
}

impl Failure {
    /// What an I/O error while `doing` something (`"connecting to [::1]:80"`) says, and about whom.
    pub fn from_io(doing: &str, error: &io::Error) -> Failure {
        use io::ErrorKind as Kind;
        if let Some(refused) = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
            return Failure::Local(refused.to_string());
        }
        if let Some(trouble) = error.get_ref().and_then(|inner| inner.downcast_ref::<ProxyTrouble>()) {
            return Failure::Local(trouble.to_string());
        }
        // What a peer has against us over TLS may come only after the handshake.
        if let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Failure::Peer(format!("{doing} failed: {}", explain(reason)));
        }
        if let Some(hint) = local_refusal(error) {
            return Failure::Local(format!("{doing} is not possible from here: {hint}"));
        }
        let why = match error.kind() {
            Kind::ConnectionRefused => "connection refused".to_owned(),
            Kind::ConnectionReset | Kind::BrokenPipe => "the peer hung up (connection reset)".to_owned(),
            Kind::UnexpectedEof => "the peer hung up (end of stream)".to_owned(),
            Kind::HostUnreachable | Kind::NetworkUnreachable => "no route to the host".to_owned(),
            Kind::TimedOut => "no answer (timeout of the operating system)".to_owned(),
            _ => error.to_string(),
        };
        Failure::Peer(format!("{doing} failed: {why}"))
    }

    /// The failure as the answer of a check.
    pub fn into_outcome(self) -> Outcome {
        let state = match self {
            Failure::Params(_) | Failure::Local(_) => State::Unknown,
            Failure::Peer(_) => State::Critical,
        };
        Outcome::new(state, self.to_string())
    }
}

/// What to do about an error that this machine itself makes; `None` when the peer or the way to it made it.
fn local_refusal(error: &io::Error) -> Option<&'static str> {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Some("permission denied; a firewall rule or security policy of this machine forbids it");
    }
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return Some("this machine has no address or no free local port for it");
    }
    match error.raw_os_error()? {
        EMFILE | ENFILE => Some("too many open files; raise LimitNOFILE of the service"),
        ENOMEM | ENOBUFS => Some("this machine is out of memory for sockets"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_trouble_is_unknown_and_the_peers_is_critical() {
        for (error, state) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), State::Critical),
            (io::Error::from(io::ErrorKind::ConnectionReset), State::Critical),
            (io::Error::from_raw_os_error(113), State::Critical), // EHOSTUNREACH: the way there is broken
            (io::Error::from(io::ErrorKind::PermissionDenied), State::Unknown),
            (io::Error::from_raw_os_error(24), State::Unknown), // EMFILE
            (io::Error::from_raw_os_error(99), State::Unknown), // EADDRNOTAVAIL
        ] {
            let outcome = Failure::from_io("connecting to [::1]:80", &error).into_outcome();
            assert_eq!(outcome.state, state, "{error:?}");
            assert!(outcome.summary.starts_with("connecting to [::1]:80 "), "{}", outcome.summary);
        }
    }
}
