//! Walk: sending echoes or datagrams hop by hop and gathering who answers. In rounds: the first one finds how far the host is, and looks
//! only so far ahead as it must; the others ask the same hops again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use super::packet::{Fate, datagram, parse_heard, probe};
use crate::env::{Failure, Hops};
use crate::protocol::Cx;

/// One hop of the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hop {
    /// Who answered from there, the first one first; several where packets are shared out.
    pub from: Vec<IpAddr>,
    /// Echoes or datagrams that were to come so far.
    pub sent: u32,
    /// Round trips of those that were answered.
    pub times: Vec<Duration>,
}

impl Hop {
    /// The average round trip.
    pub fn average_seconds(&self) -> Option<f64> {
        let sum: f64 = self.times.iter().map(Duration::as_secs_f64).sum();
        (!self.times.is_empty()).then(|| sum / self.times.len() as f64)
    }

    /// The share of them that nobody answered.
    pub fn loss_percent(&self) -> f64 {
        100.0 * (1.0 - self.times.len() as f64 / f64::from(self.sent.max(1)))
    }
}

/// What was found of the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// The hops, the nearest first.
    pub hops: Vec<Hop>,
    /// How many hops the host is away; `None` when it was not reached.
    pub distance: Option<usize>,
    /// Who said that it does not go on, at which hop, and why.
    pub refused: Option<(IpAddr, usize, &'static str)>,
}

impl Way {
    /// Who was the last to answer, and at which hop.
    pub(super) fn last_heard(&self) -> Option<(IpAddr, usize)> {
        let heard = (1..).zip(&self.hops).filter_map(|(number, hop)| Some((*hop.from.first()?, number)));
        heard.last()
    }

    /// Whether it is certain that who answered at that hop is at that hop: a router that says that it does not go on says so of
    /// every echo that was to go further, and may have said nothing of the first ones.
    pub(super) fn is_placed(&self, hop: usize) -> bool {
        hop < 2 || self.hops.get(hop - 2).is_some_and(|before| !before.from.is_empty())
    }

    fn arrived(&mut self, hop: usize) {
        self.distance = Some(self.distance.map_or(hop, |known| known.min(hop)));
    }

    /// How far there is anything to ask.
    fn end(&self, max_hops: usize) -> usize {
        self.distance.or(self.refused.map(|(_, hop, _)| hop)).unwrap_or(max_hops)
    }
}

/// How long the first round waits before it looks one hop further.
const STRIDE: Duration = Duration::from_millis(10);
/// The same for datagrams. Each that comes to the host before its first answer is back takes one of the few answers that it
/// gives at once: Linux gives six, and then one a second.
const STRIDE_OF_DATAGRAMS: Duration = Duration::from_millis(50);

/// How far and how often.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub max_hops: u8,
    pub count: u8,
    pub wait: Duration,
    /// The port that datagrams go to; `None` for echoes.
    pub port: Option<u16>,
}

/// Walks to that address.
pub(super) async fn walk(cx: &Cx<'_>, peer: IpAddr, pace: Pace) -> Result<Way, Failure> {
    let Pace { max_hops, count, wait, port } = pace;
    let socket = cx.env.net.hops(peer, port)?;
    let first_stride = if port.is_some() { STRIDE_OF_DATAGRAMS } else { STRIDE };
    let mut walk = Walk {
        cx,
        peer,
        port,
        identifier: socket.port().unwrap_or_else(|| RandomState::new().build_hasher().finish() as u16),
        socket,
        sent: vec![vec![None; usize::from(max_hops)]; usize::from(count)],
        way: Way::default(),
    };
    for round in 0..count {
        // Every round gets its share of the time, so that lost echoes are counted before the check's timeout ends it.
        let share = cx.remaining().mul_f64(0.9) / u32::from(count - round);
        let until = cx.env.clock.monotonic() + share;
        let mut hop = 1;
        while usize::from(hop) <= walk.way.end(usize::from(max_hops)) && cx.env.clock.monotonic() < until {
            walk.send(round, hop).await?;
            let stride = if round == 0 { first_stride } else { Duration::from_millis(1) };
            walk.listen(round, cx.env.clock.monotonic() + stride).await?;
            hop += 1;
        }
        walk.listen(round, until.min(cx.env.clock.monotonic() + wait)).await?;
        if walk.way.distance.is_none() && walk.way.last_heard().is_none() {
            break; // Nobody at all: to ask them all again would only cost time.
        }
    }
    let end = walk.way.end(usize::from(max_hops));
    walk.way.hops.truncate(end);
    Ok(walk.way)
}

struct Walk<'a> {
    cx: &'a Cx<'a>,
    peer: IpAddr,
    /// The port that datagrams go to; `None` for echoes.
    port: Option<u16>,
    socket: Box<dyn Hops>,
    /// Tells ours from those of others.
    identifier: u16,
    /// When each went out, by round and hop; `None` before it did, and again when it was answered.
    sent: Vec<Vec<Option<Duration>>>,
    way: Way,
}

/// Numbers of a round: more than hops there can be.
const ROUND: u16 = 256;

impl Walk<'_> {
    async fn send(&mut self, round: u8, hop: u8) -> Result<(), Failure> {
        let sequence = u16::from(round) * ROUND + u16::from(hop);
        let packet = match self.port {
            Some(_) => datagram(sequence),
            None => probe(self.peer.is_ipv6(), self.identifier, sequence),
        };
        let at = usize::from(hop) - 1;
        self.sent[usize::from(round)][at] = Some(self.cx.env.clock.monotonic());
        if self.way.hops.len() <= at {
            self.way.hops.resize_with(at + 1, Hop::default);
        }
        self.way.hops[at].sent += 1;
        match self.socket.send(hop, &packet).await {
            Ok(()) => Ok(()),
            Err(error) => match error.kind() {
                // This machine itself knows no way, now: as good as lost.
                std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => Ok(()),
                _ => Err(Failure::from_io(&format!("sending to {}", self.peer), &error)),
            },
        }
    }

    /// Takes what comes until that moment, or until all echoes of the round are answered.
    async fn listen(&mut self, round: u8, until: Duration) -> Result<(), Failure> {
        while self.sent[usize::from(round)].iter().take(self.way.end(usize::MAX)).any(Option::is_some) {
            let left = until.saturating_sub(self.cx.env.clock.monotonic());
            if left.is_zero() {
                break;
            }
            let Ok(heard) = tokio::time::timeout(left, self.socket.receive()).await else { break };
            let (from, bytes) =
                heard.map_err(|error| Failure::from_io(&format!("listening for {}", self.peer), &error))?;
            self.take(from, &bytes);
        }
        Ok(())
    }

    fn take(&mut self, from: IpAddr, bytes: &[u8]) {
        let Some(heard) = parse_heard(self.peer.is_ipv6(), bytes) else { return };
        let is_ours = heard.identifier == self.identifier
            && heard.port == self.port
            && heard.destination.unwrap_or(from) == self.peer
            && (heard.fate != Fate::Answered || from == self.peer);
        let (round, hop) = (usize::from(heard.sequence / ROUND), usize::from(heard.sequence % ROUND));
        let place = self.sent.get_mut(round).and_then(|sent| sent.get_mut(hop.checked_sub(1)?));
        let Some(sent) = place.filter(|_| is_ours).and_then(Option::take) else { return };
        let Some(found) = self.way.hops.get_mut(hop - 1) else { return };
        found.times.push(self.cx.env.clock.monotonic().saturating_sub(sent));
        if !found.from.contains(&from) {
            found.from.push(from);
        }
        match heard.fate {
            Fate::Ended => {}
            // What was to go further is answered from there, too: the nearest one counts. A host answers a datagram by saying
            // that nobody takes it.
            Fate::Answered => self.way.arrived(hop),
            Fate::Refused(_) if self.port.is_some() && from == self.peer => self.way.arrived(hop),
            Fate::Refused(why) if self.way.refused.is_none_or(|(_, known, _)| hop < known) => {
                self.way.refused = Some((from, hop, why));
            }
            Fate::Refused(_) => {}
        }
    }
}
