//! ICMP: echoes to many addresses, sent in batches of one system call, replies read as they come. IPv4 and IPv6.
//!
//! It needs CAP_NET_RAW, or a `net.ipv4.ping_group_range` that has this process's group; it says so where it lacks both.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::addresses::Addresses;
use super::echo::{ECHO_BYTES, Echo, parse_echo, write_echo};
use super::rate::Rate;
use crate::env::{Clock, Env, Failure};

/// How a sweep goes about.
#[derive(Clone, Copy, Debug)]
pub struct EchoPlan {
    /// Echoes a second at most; `None` is as fast as it goes, which is rude to any network but loopback.
    pub per_second: Option<f64>,
    /// How long to wait for the last reply of a round.
    pub patience: Duration,
    /// How often who is silent is asked once more.
    pub again: u32,
}

impl Default for EchoPlan {
    fn default() -> EchoPlan {
        EchoPlan { per_second: Some(500.0), patience: Duration::from_secs(1), again: 1 }
    }
}

/// How long to wait when the interface's queue is full.
const FULL: Duration = Duration::from_millis(2);

/// Who replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replied {
    /// Who.
    pub address: IpAddr,
    /// How long it took.
    pub round_trip: Duration,
}

/// What came of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Who replied, in the order of the addresses.
    pub replied: Vec<Replied>,
    /// How many addresses were not asked, since the address policy keeps them back.
    pub kept_back: u64,
    /// What the policy says of the first of them.
    pub refusal: Option<String>,
}

/// Sends an echo to each address that the address policy lets it reach, and tells who replied. `progress` is told how many
/// echoes went out, and how many replies came, about ten times a second. Dropping the future ends the sweep.
///
/// # Errors
/// [`Failure::Local`] when this process may not send echoes, or the policy keeps back every address.
pub async fn echo_sweep(
    env: &Env,
    addresses: &Addresses,
    plan: EchoPlan,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Swept, Failure> {
    if addresses.len() > Addresses::MOST {
        return Err(Failure::Local(format!("a sweep has at most {} addresses", Addresses::MOST)));
    }
    let mut swept = Swept::default();
    let mut list: Vec<IpAddr> = addresses.iter().collect();
    // The sockets of a sweep are its own, so the policy is asked here and not by the network.
    list.retain(|address| match env.net.permits(*address) {
        Ok(()) => true,
        Err(refused) => {
            swept.kept_back += 1;
            swept.refusal.get_or_insert_with(|| refused.to_string());
            false
        }
    });
    if let Some(why) = swept.refusal.as_ref().filter(|_| list.is_empty()) {
        return Err(Failure::Local(why.clone()));
    }
    let clock = env.clock.as_ref();
    let token = RandomState::new().build_hasher().finish();
    let mut sweep = Sweep {
        clock,
        replies: vec![None; list.len()],
        list,
        token,
        sent: 0,
        replied: 0,
        told: clock.monotonic(),
        progress,
    };
    for is_v6 in [false, true] {
        let of_family: Vec<u32> =
            (0u32..).zip(&sweep.list).filter(|(_, a)| a.is_ipv6() == is_v6).map(|(at, _)| at).collect();
        if !of_family.is_empty() {
            let socket = open(is_v6, token).map_err(|error| refusal(&error))?;
            // To tokio any socket of datagrams is one of UDP; what is sent and read is not its business.
            let socket = UdpSocket::from_std(socket.into()).map_err(|error| refusal(&error))?;
            sweep.family(&socket, is_v6, of_family, plan).await?;
        }
    }
    (sweep.progress)(sweep.sent, sweep.replied);
    let all = sweep.list.iter().zip(&sweep.replies);
    let replied = all.filter_map(|(address, reply)| reply.map(|round_trip| Replied { address: *address, round_trip }));
    swept.replied = replied.collect();
    Ok(swept)
}

struct Sweep<'a> {
    clock: &'a dyn Clock,
    list: Vec<IpAddr>,
    replies: Vec<Option<Duration>>,
    token: u64,
    sent: u64,
    replied: u64,
    told: Duration,
    progress: &'a mut (dyn FnMut(u64, u64) + Send),
}

impl Sweep<'_> {
    async fn family(
        &mut self,
        socket: &UdpSocket,
        is_v6: bool,
        mut silent: Vec<u32>,
        plan: EchoPlan,
    ) -> Result<(), Failure> {
        let mut rate = Rate::new(plan.per_second, self.clock.monotonic());
        for _ in 0..=plan.again {
            let mut at = 0;
            while at < silent.len() {
                let now = self.clock.monotonic();
                let count = rate.allowed(now).min(silent.len() - at);
                if count > 0 {
                    let (went, refused) = self.send(socket, is_v6, &silent[at..at + count], now)?;
                    rate.spend(went);
                    self.sent += went as u64;
                    at += went + refused;
                    if went + refused == 0 {
                        self.listen(socket, FULL).await;
                    }
                }
                self.receive(socket);
                self.tell(now);
                let wait = rate.wait();
                if !wait.is_zero() {
                    self.listen(socket, wait).await;
                } else if self.sent.is_multiple_of(8 * Rate::BATCH as u64) || count == 0 {
                    tokio::task::yield_now().await; // Others run on this thread too, and a drop ends us here.
                }
            }
            let until = self.clock.monotonic() + plan.patience;
            loop {
                silent.retain(|index| self.replies[*index as usize].is_none());
                let left = until.saturating_sub(self.clock.monotonic());
                if silent.is_empty() || left.is_zero() {
                    break;
                }
                self.listen(socket, left).await;
            }
            if silent.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// One system call for a batch. How many went, and how many this machine refused to send.
    fn send(&self, socket: &UdpSocket, is_v6: bool, batch: &[u32], now: Duration) -> Result<(usize, usize), Failure> {
        let mut packets = [[0u8; ECHO_BYTES]; Rate::BATCH];
        for (packet, index) in packets.iter_mut().zip(batch) {
            write_echo(packet, is_v6, &Echo { token: self.token, index: *index, sent: now });
        }
        let peers: Vec<SocketAddrAny> =
            batch.iter().map(|index| SocketAddr::new(self.list[*index as usize], 0).as_any()).collect();
        let parts: Vec<[IoSlice<'_>; 1]> = packets[..batch.len()].iter().map(|packet| [IoSlice::new(packet)]).collect();
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = Vec::with_capacity(batch.len());
        controls.resize_with(batch.len(), SendAncillaryBuffer::default);
        let mut messages: Vec<MMsgHdr<'_>> = peers
            .iter()
            .zip(&parts)
            .zip(&mut controls)
            .map(|((peer, part), control)| MMsgHdr::new_with_addr(peer, part, control))
            .collect();
        match rustix::net::sendmmsg(socket, &mut messages, SendFlags::DONTWAIT) {
            Ok(count) => Ok((count, 0)),
            // The queue of the interface is full: what is on its way goes first.
            Err(error) if error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::NOBUFS => Ok((0, 0)),
            Err(error) if error == rustix::io::Errno::INTR => Ok((0, 0)),
            // No way to that one, or a rule against it: the others are asked.
            Err(_) => Ok((0, 1)),
        }
    }

    /// Reads what came. True when there is no more.
    fn receive(&mut self, socket: &UdpSocket) -> bool {
        let mut buffer = [0u8; 256];
        // A flood of strangers' packets must not keep us here.
        for _ in 0..4 * Rate::BATCH {
            let Ok((_, length, from)) = rustix::net::recvfrom(socket, &mut buffer, RecvFlags::DONTWAIT) else {
                return true;
            };
            let Some(echo) = parse_echo(&buffer[..length.min(256)]).filter(|echo| echo.token == self.token) else {
                continue;
            };
            let from = from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| from.ip());
            let at = echo.index as usize;
            // Only who was asked can answer.
            if self.list.get(at).copied() == from && from.is_some() && self.replies[at].is_none() {
                self.replies[at] = Some(self.clock.monotonic().saturating_sub(echo.sent));
                self.replied += 1;
            }
        }
        false
    }

    /// Waits for replies, at most so long.
    async fn listen(&mut self, socket: &UdpSocket, wait: Duration) {
        if let Ok(Ok(())) = tokio::time::timeout(wait, socket.readable()).await {
            // Only who says that nothing is left is woken by what comes next.
            let _ = socket.try_io(Interest::READABLE, || match self.receive(socket) {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            });
        }
        self.tell(self.clock.monotonic());
    }

    fn tell(&mut self, now: Duration) {
        if now.saturating_sub(self.told) >= Duration::from_millis(100) {
            self.told = now;
            (self.progress)(self.sent, self.replied);
        }
    }
}

/// A socket for echoes: one of the kernel's own for them where this process may have it, else a raw one with a filter.
fn open(is_v6: bool, token: u64) -> io::Result<Socket> {
    let (domain, protocol) = if is_v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let socket = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => socket,
        Err(_) => {
            let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
            let _ = socket.attach_filter(&filter(is_v6, token)); // Without it, more is read and thrown away.
            socket
        }
    };
    socket.set_nonblocking(true)?;
    let _ = socket.set_recv_buffer_size(4 << 20); // As much of it as the system allows.
    Ok(socket)
}

/// A program for the kernel: only echo replies with our token come through. A raw socket otherwise shows this machine's own
/// requests on loopback, and everybody else's replies.
fn filter(is_v6: bool, token: u64) -> [SockFilter; 7] {
    const LOAD_HEADER_LENGTH: u16 = 0xb1; // x = 4 * (the low half of byte k)
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const LOAD_WORD_AT_X: u16 = 0x40;
    const LOAD_X: u16 = 0x01;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let (begin, reply) = if is_v6 { (LOAD_X, 129) } else { (LOAD_HEADER_LENGTH, 0) };
    [
        SockFilter::new(begin, 0, 0, 0), // IPv6 shows no header: x is 0.
        SockFilter::new(LOAD_BYTE_AT_X, 0, 0, 0),
        SockFilter::new(EQUAL, 0, 3, reply),
        SockFilter::new(LOAD_WORD_AT_X, 0, 0, 8),
        SockFilter::new(EQUAL, 0, 1, (token >> 32) as u32),
        SockFilter::new(RETURN, 0, 0, 0xffff),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn refusal(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Failure::Local(
            "this process may not send ICMP echoes; give it CAP_NET_RAW, widen net.ipv4.ping_group_range to its group, \
             or look for hosts by their ports (--no-ping)"
                .to_owned(),
        );
    }
    Failure::Local(format!("this machine opens no ICMP socket: {error}"))
}
