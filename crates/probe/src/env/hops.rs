//! Hops: a socket for echoes that only go so far, and for what all those on the way say about them. Holds no protocol.

use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Packets of ICMP to one address, which anybody on the way may answer.
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
}

/// A raw socket: no other hears what routers say, without reading the kernel's queue of errors, which takes `unsafe`.
pub(super) struct RawHops {
    socket: UdpSocket,
    peer: IpAddr,
}

impl RawHops {
    pub(super) fn open(peer: IpAddr, source: Option<IpAddr>) -> io::Result<RawHops> {
        let (domain, protocol) =
            if peer.is_ipv6() { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        // To tokio any socket of datagrams is one of UDP; what is sent and read is not its business.
        Ok(RawHops { socket: UdpSocket::from_std(socket.into())?, peer })
    }
}

#[async_trait]
impl Hops for RawHops {
    async fn send(&self, hops: u8, packet: &[u8]) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        if self.peer.is_ipv6() {
            socket.set_unicast_hops_v6(u32::from(hops))?;
        } else {
            socket.set_ttl_v4(u32::from(hops))?;
        }
        self.socket.send_to(packet, (self.peer, 0)).await.map(|_| ())
    }

    async fn receive(&self) -> io::Result<(IpAddr, Vec<u8>)> {
        let mut buffer = vec![0; 2048];
        let (length, from) = self.socket.recv_from(&mut buffer).await?;
        buffer.truncate(length);
        Ok((from.ip(), buffer))
    }
}
