//! Net: names, connections, datagrams and echoes. Holds no protocol; sockets of `probe` are opened here and nowhere else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use surge_ping::{Client, ICMP, PingIdentifier, PingSequence, SurgeError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::sync::{OnceCell, Semaphore};

use crate::env::Failure;
use crate::env::egress::plain;
use crate::env::hops::{Hops, RawHops};
use crate::params::Family;
use crate::protocol::Cx;

/// A connection: bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Datagrams to and from one peer, over one socket: for protocols that keep a session.
#[async_trait]
pub trait Datagrams: Send + Sync {
    /// Sends one.
    ///
    /// # Errors
    /// What the operating system said.
    async fn send(&self, datagram: &[u8]) -> io::Result<()>;

    /// The next one that comes from that peer.
    ///
    /// # Errors
    /// What the operating system said.
    async fn receive(&self) -> io::Result<Vec<u8>>;
}

#[async_trait]
impl Datagrams for tokio::net::UdpSocket {
    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        tokio::net::UdpSocket::send(self, datagram).await.map(|_| ())
    }

    async fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 1 << 16];
        let length = self.recv(&mut buffer).await?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// The network. No method has a time limit of its own unless it says so: the caller drops the future.
#[async_trait]
pub trait Net: Send + Sync {
    /// The addresses of a host name (or the address itself), in the system's order of preference; never empty.
    ///
    /// # Errors
    /// [`Failure::Peer`] when there is no such name, [`Failure::Local`] when nobody could be asked.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure>;

    /// A TCP connection.
    ///
    /// # Errors
    /// What the operating system said.
    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>>;

    /// A connection to a socket in the file system.
    ///
    /// # Errors
    /// What the operating system said.
    async fn connect_socket(&self, _path: &Path) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends one datagram to everybody behind that interface, from and to these ports, and waits for the first answer
    /// that `is_answer` accepts. IPv4 only, since only DHCP needs it.
    ///
    /// # Errors
    /// What the operating system said; low ports and interfaces need rights.
    async fn shout(
        &self,
        _interface: &str,
        _ports: (u16, u16),
        _datagram: &[u8],
        _is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A socket for datagrams to and from that peer alone.
    ///
    /// # Errors
    /// What the operating system said.
    async fn datagrams(&self, _peer: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sockets for echoes to that address that only go so far, or for datagrams to a port of it, and for what is said of them on
    /// the way.
    ///
    /// # Errors
    /// [`Failure::Local`] when this process may not have one, with what to do about it.
    fn hops(&self, _peer: IpAddr, _port: Option<u16>) -> Result<Box<dyn Hops>, Failure> {
        Err(Failure::Local("nothing can be sent hop by hop this way; leave proxy out".to_owned()))
    }

    /// Whether the address policy lets checks reach that address; a network without one lets them reach all.
    ///
    /// # Errors
    /// [`Refused`](crate::env::Refused), inside an I/O error.
    fn permits(&self, _address: IpAddr) -> io::Result<()> {
        Ok(())
    }

    /// The same network, spoken to from that address of this machine; `None` where that cannot be chosen.
    fn bound_to(&self, _source: IpAddr) -> Option<Arc<dyn Net>> {
        None
    }

    /// Sends one datagram and waits for the first one from that peer which `is_answer` accepts; as much as a datagram holds.
    ///
    /// # Errors
    /// What the operating system said.
    async fn exchange(
        &self,
        peer: SocketAddr,
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>>;

    /// One ICMP echo with that many bytes of payload. The time until its reply, or `None` when none came `within`.
    ///
    /// # Errors
    /// [`Failure::Local`] when this process may not send echoes, with what to do about it.
    async fn ping(&self, peer: IpAddr, payload_bytes: usize, within: Duration) -> Result<Option<Duration>, Failure>;
}

/// The addresses of the host that the check may use, at least one.
pub(crate) async fn addresses(cx: &Cx<'_>, host: &str, family: Family) -> Result<Vec<IpAddr>, Failure> {
    cx.trace.phase("dns", "looking up the name");
    let mut found = cx.env.net.resolve(host).await?;
    found.retain(|address| match family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    });
    if found.is_empty() {
        let wanted = if family == Family::Ipv4 { "IPv4" } else { "IPv6" };
        return Err(Failure::Peer(format!("{host} has no {wanted} address")));
    }
    Ok(found)
}

/// Connects to the first address of the host that answers, each getting a fair share of the time that is left, so that
/// one dead address of several costs time and not the check.
pub(crate) async fn dial(
    cx: &Cx<'_>,
    host: &str,
    port: u16,
    family: Family,
) -> Result<(Box<dyn Stream>, SocketAddr), Failure> {
    const MAX_ADDRESSES: usize = 4;
    let mut found = addresses(cx, host, family).await?;
    found.truncate(MAX_ADDRESSES);
    cx.trace.phase("connect", "connecting");
    let mut failure = None;
    for (index, address) in found.iter().enumerate() {
        let peer = SocketAddr::new(*address, port);
        let left = found.len() - index;
        let attempt = cx.env.net.connect(peer);
        let connected = if left == 1 {
            attempt.await // The check's own timeout bounds it and tells of it.
        } else {
            let share = cx.remaining() / u32::try_from(left).unwrap_or(u32::MAX);
            tokio::time::timeout(share, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected {
            Ok(stream) => return Ok((stream, peer)),
            // The first address is the preferred one, so its failure is the one to tell.
            Err(error) => failure = failure.or(Some(Failure::from_io(&format!("connecting to {peer}"), &error))),
        }
    }
    Err(failure.expect("at least one address was tried"))
}

/// The operating system's network.
pub(crate) struct RealNet {
    /// `getaddrinfo` blocks a thread for as long as its resolver is silent; so many at once must not eat the pool.
    lookups: Semaphore,
    echo_v4: OnceCell<Client>,
    echo_v6: OnceCell<Client>,
    echoes: AtomicU16,
    /// The address of this machine to speak from; the system's choice when there is none.
    source: Option<IpAddr>,
}

impl Default for RealNet {
    fn default() -> Self {
        RealNet {
            lookups: Semaphore::new(64),
            echo_v4: OnceCell::new(),
            echo_v6: OnceCell::new(),
            echoes: AtomicU16::new(0),
            source: None,
        }
    }
}

impl RealNet {
    async fn socket(&self, peer: SocketAddr) -> io::Result<tokio::net::UdpSocket> {
        let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let source = self.source_for(peer.ip())?.unwrap_or(any);
        let socket = tokio::net::UdpSocket::bind((source, 0)).await?;
        socket.connect(peer).await?; // From now on only that peer's datagrams and refusals arrive.
        Ok(socket)
    }

    /// The address to speak from to that peer.
    fn source_for(&self, peer: IpAddr) -> io::Result<Option<IpAddr>> {
        match self.source {
            Some(source) if source.is_ipv4() != plain(peer).is_ipv4() => Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("{source} and {peer} are not of one address family"),
            )),
            source => Ok(source),
        }
    }
}

#[async_trait]
impl Net for RealNet {
    // The system's own resolver, so that the answer is what every other program on this machine would get: /etc/hosts,
    // search domains and changed settings included.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let _turn = self.lookups.acquire().await.map_err(|_| Failure::Local("name lookups have ended".to_owned()))?;
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| lookup_failure(host, &error))?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for peer in found {
            if !addresses.contains(&peer.ip()) {
                addresses.push(peer.ip());
            }
        }
        if addresses.is_empty() {
            return Err(Failure::Peer(format!("the name {host} has no address")));
        }
        Ok(addresses)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where probe opens connections")]
    async fn connect(&self, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let stream = match self.source_for(peer.ip())? {
            None => tokio::net::TcpStream::connect(peer).await?,
            Some(source) => {
                let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(peer).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    async fn connect_socket(&self, path: &Path) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
    }

    async fn datagrams(&self, peer: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        Ok(Box::new(self.socket(peer).await?))
    }

    async fn shout(
        &self,
        interface: &str,
        (from, to): (u16, u16),
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, from)).await?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.send_to(datagram, (Ipv4Addr::BROADCAST, to)).await?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).await?;
            if is_answer(&buffer[..length]) {
                buffer.truncate(length);
                return Ok(buffer);
            }
        }
    }

    fn hops(&self, peer: IpAddr, port: Option<u16>) -> Result<Box<dyn Hops>, Failure> {
        let opened = self.source_for(peer).and_then(|source| RawHops::open(peer, source, port));
        match opened {
            Ok(hops) => Ok(Box::new(hops)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure::Local(
                "this process may not hear what routers say; give it CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in its \
                 unit)"
                    .to_owned(),
            )),
            Err(error) => Err(Failure::from_io(&format!("opening a socket for ICMP to {peer}"), &error)),
        }
    }

    fn bound_to(&self, source: IpAddr) -> Option<Arc<dyn Net>> {
        Some(Arc::new(RealNet { source: Some(source), ..RealNet::default() }))
    }

    async fn exchange(
        &self,
        peer: SocketAddr,
        datagram: &[u8],
        is_answer: &(dyn for<'a> Fn(&'a [u8]) -> bool + Sync),
    ) -> io::Result<Vec<u8>> {
        let socket = self.socket(peer).await?;
        socket.send(datagram).await?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = socket.recv(&mut buffer).await?;
            if is_answer(&buffer[..length]) {
                buffer.truncate(length);
                return Ok(buffer);
            }
        }
    }

    async fn ping(&self, peer: IpAddr, payload_bytes: usize, within: Duration) -> Result<Option<Duration>, Failure> {
        let (cell, kind) = match peer {
            IpAddr::V4(_) => (&self.echo_v4, ICMP::V4),
            IpAddr::V6(_) => (&self.echo_v6, ICMP::V6),
        };
        let client = cell
            .get_or_try_init(|| async {
                let config = surge_ping::Config::builder().kind(kind);
                let source = self.source_for(peer)?.map(|source| SocketAddr::new(source, 0));
                Client::new(&match source {
                    Some(source) => config.bind(source).build(),
                    None => config.build(),
                })
            })
            .await
            .map_err(|error| echo_failure(&error))?;
        // The kernel replaces the identifier on unprivileged sockets, so the sequence alone must tell echoes apart.
        let sequence = PingSequence(self.echoes.fetch_add(1, Ordering::Relaxed));
        let identifier = PingIdentifier(u16::try_from(std::process::id() & 0xffff).unwrap_or_default());
        let mut pinger = client.pinger(peer, identifier).await;
        pinger.timeout(within);
        match pinger.ping(sequence, &vec![0x4d; payload_bytes]).await {
            Ok((_, round_trip)) => Ok(Some(round_trip)),
            Err(SurgeError::Timeout { .. }) => Ok(None),
            Err(SurgeError::IOError(error)) => match error.kind() {
                // No way there now is the same to the user as no reply.
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Ok(None),
                _ => Err(Failure::from_io(&format!("sending an echo to {peer}"), &error)),
            },
            Err(error) => Err(Failure::Local(format!("sending an echo to {peer} failed: {error}"))),
        }
    }
}

fn echo_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Failure::Local(
            "this process may not send ICMP echoes; give it CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in its unit) \
             or widen net.ipv4.ping_group_range to its group"
                .to_owned(),
        );
    }
    Failure::Local(format!("this machine opens no ICMP socket: {error}"))
}

/// The standard library keeps of getaddrinfo's code only its sentence; processes here never change their locale.
fn lookup_failure(host: &str, error: &io::Error) -> Failure {
    let text = error.to_string();
    let why = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    if why.contains("Temporary failure") || why.contains("System error") || error.raw_os_error().is_some() {
        return Failure::Local(format!(
            "the name {host} could not be looked up from here ({why}); check /etc/resolv.conf and the name server"
        ));
    }
    Failure::Peer(format!("the name {host} does not resolve ({why})"))
}
