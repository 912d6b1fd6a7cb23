//! Hops: sockets for packets that only go so far, and for what all those on the way say about them. Holds no protocol.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use async_trait::async_trait;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Packets to one address, of ICMP or in datagrams of UDP, which anybody on the way may answer by ICMP.
#[async_trait]
pub trait Hops: Send + Sync {
    /// Sends one that so many hops may pass on.
    ///
    /// # Errors
    /// What the operating system said.
    async fn send(&self, hops: u8, packet: &[u8]) -> io::Result<()>;

    /// The next packet of ICMP that reaches this machine, and from whom; IPv4 shows its header before it.
    ///
    /// # Errors
    /// What the operating system said.
    async fn receive(&self) -> io::Result<(IpAddr, Vec<u8>)>;

    /// The port that datagrams come from; `None` where packets of ICMP are sent.
    fn port(&self) -> Option<u16>;
}

/// A raw socket for what is heard: no other hears what routers say, without reading the kernel's queue of errors, which takes `unsafe`.
pub(super) struct RawHops {
    socket: UdpSocket,
    peer: IpAddr,
    /// What datagrams are sent from, and to which port.
    datagrams: Option<(UdpSocket, u16)>,
}

impl RawHops {
    /// For packets of ICMP, or for datagrams to that port.
    pub(super) fn open(peer: IpAddr, source: Option<IpAddr>, port: Option<u16>) -> io::Result<RawHops> {
        let (domain, protocol) =
            if peer.is_ipv6() { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        // To tokio any socket of datagrams is one of UDP; what is sent and read is not its business.
        let datagrams = match port {
            Some(port) => Some((datagrams(domain, source)?, port)),
            None => None,
        };
        Ok(RawHops { socket: UdpSocket::from_std(socket.into())?, peer, datagrams })
    }
}

/// A socket that is bound to no peer: it is not told of what routers say, and so goes on sending.
fn datagrams(domain: Domain, source: Option<IpAddr>) -> io::Result<UdpSocket> {
    let anywhere =
        if domain == Domain::IPV6 { IpAddr::from(Ipv6Addr::UNSPECIFIED) } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source.unwrap_or(anywhere), 0).into())?;
    UdpSocket::from_std(socket.into())
}

#[async_trait]
impl Hops for RawHops {
    async fn send(&self, hops: u8, packet: &[u8]) -> io::Result<()> {
        let (sender, port) = self.datagrams.as_ref().map_or((&self.socket, 0), |(sender, port)| (sender, *port));
        let socket = SockRef::from(sender);
        if self.peer.is_ipv6() {
            socket.set_unicast_hops_v6(u32::from(hops))?;
        } else {
            socket.set_ttl_v4(u32::from(hops))?;
        }
        sender.send_to(packet, (self.peer, port)).await.map(|_| ())
    }

    async fn receive(&self) -> io::Result<(IpAddr, Vec<u8>)> {
        let mut buffer = vec![0; 2048];
        let (length, from) = self.socket.recv_from(&mut buffer).await?;
        buffer.truncate(length);
        Ok((from.ip(), buffer))
    }

    fn port(&self) -> Option<u16> {
        let (sender, _) = self.datagrams.as_ref()?;
        sender.local_addr().ok().map(|own| own.port())
    }
}
