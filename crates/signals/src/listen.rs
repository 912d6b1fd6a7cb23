//! Listeners for senders that know no token: Graphite's lines and StatsD, over TCP and UDP. Whose samples they are and from where
//! they may come is said when they are switched on. They answer nothing, so what is lost in a crash is what a sender of these
//! protocols always risks: a few seconds. Everything that is dropped is counted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};

use crate::state::{Counters, Signals};

mod graphite;
mod sources;
mod statsd;

pub use sources::{Source, SourceError};

/// Connections at the same time, of each listener.
const CONNECTIONS: usize = 256;
/// A line longer than this is no line of these protocols; its connection is closed.
const LONGEST_LINE: usize = 16 << 10;
/// Bytes read from a connection at once.
const READ: usize = 64 << 10;
/// Pieces that may wait to be stored; then connections wait, and packets are dropped.
const WAITING: usize = 1024;
/// A connection that says nothing for so long is closed.
const SILENCE: Duration = Duration::from_secs(600);

/// Which protocol is listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Graphite's plaintext lines.
    Graphite,
    /// StatsD, summed up and stored every so often.
    StatsD {
        /// How often.
        flush: Duration,
    },
}

/// A listener that is switched on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// What is spoken.
    pub protocol: Protocol,
    /// Where, over TCP and UDP.
    pub address: SocketAddr,
    /// Whose samples they are, by the engine's number.
    pub tenant: u64,
    /// Who may send.
    pub sources: Vec<Source>,
}

/// A bound listener.
pub struct Bound {
    listen: Listen,
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Listen {
    /// Takes the port, over TCP and UDP.
    ///
    /// # Errors
    /// The address is taken or may not be used.
    pub async fn bind(self) -> io::Result<Bound> {
        let tcp = TcpListener::bind(self.address).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?).await?;
        Ok(Bound { listen: self, tcp, udp })
    }
}

impl Bound {
    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Listens until it is dropped.
    pub async fn serve(self, signals: Signals) {
        let (to, from) = mpsc::channel(WAITING);
        let door = Door { signals: signals.clone(), sources: self.listen.sources.into(), to };
        let store = async {
            match self.listen.protocol {
                Protocol::Graphite => graphite::store(signals, self.listen.tenant, from).await,
                Protocol::StatsD { flush } => statsd::store(signals, self.listen.tenant, flush, from).await,
            }
        };
        tokio::join!(connections(self.tcp, door.clone()), packets(self.udp, door), store);
    }
}

/// What stands between the sockets and the store.
#[derive(Clone)]
struct Door {
    signals: Signals,
    sources: Arc<[Source]>,
    to: mpsc::Sender<Vec<u8>>,
}

impl Door {
    fn lets_in(&self, from: IpAddr) -> bool {
        let allowed = self.sources.iter().any(|source| source.holds(from));
        if !allowed {
            Counters::add(&self.signals.counters().senders_refused, 1);
        }
        allowed
    }
}

async fn packets(socket: UdpSocket, door: Door) {
    let mut buffer = vec![0; READ];
    loop {
        // An error is that of an earlier answer that could not be delivered; we send none.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if door.lets_in(from.ip()) && door.to.try_send(buffer[..length].to_vec()).is_err() {
            Counters::add(&door.signals.counters().packets_dropped, 1);
        }
    }
}

async fn connections(listener: TcpListener, door: Door) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let failures = AtomicUsize::new(0);
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file descriptors, or a client that left: neither may end the listener.
            failures.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if door.lets_in(from.ip()) {
            let door = door.clone();
            tokio::spawn(async move {
                if let Err(error) = lines(stream, &door).await {
                    tracing::debug!(%error, %from, "a connection of a sender ended badly");
                }
                drop(slot);
            });
        }
    }
}

/// Hands on whole lines, as many as there are; waits when the store does not keep up, and so does the sender then.
async fn lines(mut stream: TcpStream, door: &Door) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        held.reserve(READ);
        let read = tokio::time::timeout(SILENCE, stream.read_buf(&mut held)).await.unwrap_or(Ok(0))?;
        let end = match read {
            0 => held.len(),
            _ => held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        };
        let rest = held.split_off(end);
        if !held.is_empty() && door.to.send(std::mem::take(&mut held)).await.is_err() {
            return Ok(());
        }
        held = rest;
        if read == 0 {
            return Ok(());
        }
        if held.len() > LONGEST_LINE {
            Counters::add(&door.signals.counters().samples_refused, 1);
            return Err(io::Error::other("a line is too long"));
        }
    }
}
