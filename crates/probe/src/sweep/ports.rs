//! Ports: which of these ports are open on which of these hosts? Connects and hangs up, at a polite rate, every host in
//! turn, so that none gets many connections at once.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;

use super::rate::Rate;
use crate::env::Env;

/// How a sweep of ports goes about.
#[derive(Clone, Copy, Debug)]
pub struct PortPlan {
    /// Connections begun in a second at most; `None` is as fast as it goes.
    pub per_second: Option<f64>,
    /// Connections being opened at once, at most.
    pub at_once: usize,
    /// How long one may take.
    pub patience: Duration,
}

impl Default for PortPlan {
    fn default() -> PortPlan {
        PortPlan { per_second: Some(500.0), at_once: 256, patience: Duration::from_secs(1) }
    }
}

/// What became of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// It was accepted, in that time.
    Open(Duration),
    /// It was refused: somebody is there.
    Closed,
    /// Nothing came back, or there is no way there.
    Silent,
}

/// One port of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Whose.
    pub peer: SocketAddr,
    /// How it is.
    pub state: PortState,
}

/// Tries each port of each host, the first port of all hosts first. `seen` is told of every one as it is known. Dropping
/// the future ends the sweep.
pub async fn port_sweep(
    env: &Env,
    hosts: &[IpAddr],
    ports: &[u16],
    plan: PortPlan,
    seen: &mut (dyn FnMut(Port) + Send),
) {
    let mut rate = Rate::new(plan.per_second, env.clock.monotonic());
    let mut flying: JoinSet<Port> = JoinSet::new();
    for port in ports {
        for host in hosts {
            while flying.len() >= plan.at_once.max(1) {
                take(flying.join_next().await, seen);
            }
            while rate.allowed(env.clock.monotonic()) == 0 {
                tokio::time::sleep(rate.wait()).await; // polite: the rate is kept
            }
            rate.spend(1);
            while let Some(done) = flying.try_join_next() {
                take(Some(done), seen);
            }
            let (env, peer) = (env.clone(), SocketAddr::new(*host, *port));
            flying.spawn(async move { attempt(&env, peer, plan.patience).await });
        }
    }
    while let Some(done) = flying.join_next().await {
        take(Some(done), seen);
    }
}

fn take(done: Option<Result<Port, tokio::task::JoinError>>, seen: &mut (dyn FnMut(Port) + Send)) {
    if let Some(Ok(port)) = done {
        seen(port);
    }
}

async fn attempt(env: &Env, peer: SocketAddr, patience: Duration) -> Port {
    let begun = env.clock.monotonic();
    let state = match tokio::time::timeout(patience, env.net.connect(peer)).await {
        Ok(Ok(_)) => PortState::Open(env.clock.monotonic().saturating_sub(begun)),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => PortState::Closed,
        _ => PortState::Silent,
    };
    Port { peer, state }
}
