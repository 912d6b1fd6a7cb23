//! `/proc/net/{tcp,tcp6,udp,udp6}`: sockets that wait for somebody (proc_net_tcp(5)). Which process holds them is found elsewhere, by inode.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, over IPv4 or IPv6.
    Tcp,
    /// UDP, over IPv4 or IPv6.
    Udp,
}

impl Protocol {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One waiting socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Transport.
    pub protocol: Protocol,
    /// Local address; unspecified when it waits on all.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// Who made it.
    pub uid: u32,
    /// What names it in `/proc/PID/fd`: `socket:[INODE]`. 0 when nobody holds it open any more.
    pub inode: u64,
}

/// TCP sockets in state LISTEN, and UDP sockets without a peer (their only sign of waiting).
#[must_use]
pub fn table(bytes: &[u8], protocol: Protocol) -> Vec<Socket> {
    super::lines(bytes).filter_map(|line| socket(&line, protocol)).collect()
}

/// Whether a TCP table read so far has come past its listening sockets: the kernel writes them first, and a busy server has a hundred
/// thousand others.
#[must_use]
pub fn past_listening(bytes: &[u8]) -> bool {
    // The last line may be cut; the one before it is whole.
    let mut lines = bytes.rsplit(|byte| *byte == b'\n').skip(1);
    let Some(line) = lines.next() else { return false };
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().nth(3).is_some_and(|state| state != "0A" && state != "st" && state != "tr")
}

fn socket(line: &str, protocol: Protocol) -> Option<Socket> {
    //  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt   uid  timeout inode
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, remote, state, _, _, _, uid, _, inode, ..] = fields.as_slice() else { return None };
    let waits = match protocol {
        Protocol::Tcp => *state == "0A",
        Protocol::Udp => *state == "07" && remote.ends_with(":0000"),
    };
    let (address, port) = endpoint(local)?;
    if !waits || port == 0 {
        return None;
    }
    Some(Socket { protocol, address, port, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
}

/// `0100007F:0050` or the same with 32 digits.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !address.is_ascii() {
        return None;
    }
    // Words of four bytes, each printed as a number of this machine's byte order while it holds network order.
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match address.len() {
        8 => Some((Ipv4Addr::from(word(0)?).into(), port)),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            Some((Ipv6Addr::from(bytes).into(), port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_are_found_and_connections_are_not() {
        let tcp = format!(
            "{HEAD}   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1077 1 000000000710af81 100 0 0 10 0\n   \
             1: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 4711 1 0 100 0 0 10 0\n   \
             2: 0100007F:0050 0100007F:C000 01 00000000:00000000 00:00000000 00000000    33        0 4712 1 0 100 0 0 10 0\n"
        );
        let told: Vec<_> = table(tcp.as_bytes(), Protocol::Tcp)
            .iter()
            .map(|s| (format!("{}:{}", s.address, s.port), s.inode))
            .collect();
        assert_eq!(told, [("0.0.0.0:2024".into(), 1077), ("127.0.0.1:80".into(), 4711)]);
        let six =
            "  0: 000080FE00000000FF00FC00010000FE:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 9 1\n";
        assert_eq!(table(six.as_bytes(), Protocol::Tcp)[0].address.to_string(), "fe80::fc:ff:fe00:1");
    }

    #[test]
    fn a_udp_socket_with_a_peer_is_a_client() {
        let udp = "  1: 00000000:0035 00000000:0000 07 0:0 00:0 0 0 0 5 2 0 0\n  2: 00000000:9999 08080808:0035 01 0:0 00:0 0 0 0 6 2 0 0\n";
        assert_eq!(table(udp.as_bytes(), Protocol::Udp).len(), 1);
    }

    #[test]
    fn reading_stops_after_the_listening_part() {
        let listen = "   0: 00000000:07E8 00000000:0000 0A 0:0 00:0 0 0 0 1077 1\n";
        let connected = "   2: 0100007F:0050 0100007F:C000 01 0:0 00:0 0 0 0 4712 1\n";
        assert!(!past_listening(HEAD.as_bytes()), "only the heading so far");
        assert!(!past_listening(format!("{HEAD}{listen}").as_bytes()));
        assert!(!past_listening(format!("{HEAD}{listen}   2: 0100").as_bytes()), "a cut line tells nothing");
        assert!(past_listening(format!("{HEAD}{listen}{connected}").as_bytes()));
    }
}
