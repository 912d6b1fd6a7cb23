//! Packet: what an SSH server says before anything is encrypted (RFC 4253, RFC 5656, RFC 8731). Bytes in, value out.

use crate::dialog::{Parsed, parse_line};
use crate::outcome::excerpt;

/// The largest packet that a server must be able to send (RFC 4253, section 6.1).
pub const PACKET_LIMIT_BYTES: usize = 35_000;

/// Reads the identification: `SSH-2.0-OpenSSH_9.2p1 Debian-2`, after at most 50 other lines.
///
/// # Errors
/// When the peer does not speak SSH 2, as the end of a sentence about it.
pub fn parse_identification(bytes: &[u8]) -> Parsed<String> {
    let mut at = 0;
    for number in 0..50 {
        if number == 0 && !b"SSH-".starts_with(&bytes[..bytes.len().min(4)]) && bytes.contains(&0) {
            break;
        }
        let Some((line, length)) = parse_line(&bytes[at..])? else { return Ok(None) };
        at += length;
        if line.starts_with(b"SSH-") {
            if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
                return Err(format!("speaks only an old version of SSH: {}", excerpt(&line)));
            }
            let text = String::from_utf8(line).ok().filter(|text| text.len() <= 253);
            return text.map(|text| Some((text, at))).ok_or_else(|| "names its version in no readable way".to_owned());
        }
        if line.starts_with(b"HTTP/") {
            break;
        }
    }
    Err(format!("does not speak SSH: it said {}", excerpt(bytes)))
}

/// Reads one packet in the clear and gives its payload, at least one byte.
///
/// # Errors
/// When the lengths do not fit, as the end of a sentence about the peer.
pub fn parse_packet(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let Some(&[a, b, c, d, padding]) = bytes.first_chunk::<5>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let payload = length.checked_sub(usize::from(padding) + 1).filter(|payload| *payload > 0);
    let Some(payload) = payload.filter(|_| length <= PACKET_LIMIT_BYTES) else {
        return Err("sends a packet whose length cannot be".to_owned());
    };
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    Ok(Some((bytes[5..5 + payload].to_vec(), 4 + length)))
}

/// A packet with that payload, padded to a multiple of eight bytes.
pub(super) fn packet(payload: &[u8]) -> Vec<u8> {
    let mut padding = 8 - (payload.len() + 5) % 8;
    if padding < 4 {
        padding += 8;
    }
    let mut bytes = u32_bytes(payload.len() + padding + 1).to_vec();
    bytes.push(u8::try_from(padding).expect("at most eleven"));
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// A length as SSH writes it. What we send is always short.
pub(super) fn u32_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("what is sent is short").to_be_bytes()
}

/// A text or blob with its length before it.
pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32_bytes(bytes.len()), bytes].concat()
}

/// A positive number with its length before it: no leading zeros, but one where the first bit is set.
pub(super) fn mpint(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let sign: &[u8] = if significant.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    string(&[sign, significant].concat())
}

/// Takes a text with its length before it off the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > rest.len() {
        return None;
    }
    let (taken, rest) = rest.split_at(length);
    *bytes = rest;
    Some(taken)
}

/// What a server offers (SSH_MSG_KEXINIT), each list in its order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Ways to agree on keys.
    pub key_exchanges: Vec<String>,
    /// Types of host keys.
    pub host_keys: Vec<String>,
    /// Ciphers from the client to the server.
    pub ciphers: Vec<String>,
    /// Ciphers from the server to the client.
    pub ciphers_back: Vec<String>,
    /// Checksums from the client to the server.
    pub macs: Vec<String>,
    /// Checksums from the server to the client.
    pub macs_back: Vec<String>,
}

pub(super) const KEXINIT: u8 = 20;

/// Reads the payload of SSH_MSG_KEXINIT; `None` when it is something else or damaged.
pub fn parse_offers(payload: &[u8]) -> Option<Offers> {
    let (kind, rest) = payload.split_first()?;
    let mut rest = rest.get(16..).filter(|_| *kind == KEXINIT)?;
    let mut names = || {
        let list = std::str::from_utf8(take(&mut rest)?).ok()?;
        Some(list.split(',').filter(|name| !name.is_empty()).take(200).map(str::to_owned).collect::<Vec<_>>())
    };
    let (key_exchanges, host_keys) = (names()?, names()?);
    let (ciphers, ciphers_back, macs, macs_back) = (names()?, names()?, names()?, names()?);
    Some(Offers { key_exchanges, host_keys, ciphers, ciphers_back, macs, macs_back })
}

/// The server's half of the key exchange (SSH_MSG_KEX_ECDH_REPLY).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// The host key as it is fingerprinted.
    pub host_key: Vec<u8>,
    /// The server's public value for this conversation.
    pub public: Vec<u8>,
    /// The signature that proves that the peer has the host key: type and value.
    pub signature: (String, Vec<u8>),
}

/// Reads the payload of SSH_MSG_KEX_ECDH_REPLY; `None` when it is something else or damaged.
pub fn parse_server_key(payload: &[u8]) -> Option<ServerKey> {
    const REPLY: u8 = 31;
    let (kind, mut rest) = payload.split_first()?;
    if *kind != REPLY {
        return None;
    }
    let (host_key, public) = (take(&mut rest)?.to_vec(), take(&mut rest)?.to_vec());
    let mut signature = take(&mut rest)?;
    let name = String::from_utf8(take(&mut signature)?.to_vec()).ok()?;
    Some(ServerKey { host_key, public, signature: (name, take(&mut signature)?.to_vec()) })
}

/// What a server says when it breaks off (SSH_MSG_DISCONNECT); `None` for every other payload.
pub fn parse_disconnect(payload: &[u8]) -> Option<String> {
    let mut rest = payload.strip_prefix(&[1])?.get(4..)?;
    Some(String::from_utf8_lossy(take(&mut rest)?).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_identification_may_stand_after_other_lines() {
        let said = b"a notice\r\nSSH-2.0-OpenSSH_9.2p1 Debian\r\n";
        assert_eq!(parse_identification(said).unwrap().unwrap(), ("SSH-2.0-OpenSSH_9.2p1 Debian".into(), said.len()));
        assert_eq!(parse_identification(b"SSH-2.0-half"), Ok(None));
        assert!(parse_identification(b"SSH-1.5-old\n").unwrap_err().contains("old version"));
        assert!(parse_identification(b"HTTP/1.1 400 Bad\r\n").unwrap_err().contains("does not speak SSH"));
        assert!(parse_identification(&b"x\n".repeat(50)).unwrap_err().contains("does not speak SSH"));
    }

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        for length in 1..40 {
            let payload = vec![7; length];
            let bytes = packet(&payload);
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(parse_packet(&bytes), Ok(Some((payload, bytes.len()))));
            assert_eq!(parse_packet(&bytes[..bytes.len() - 1]), Ok(None));
        }
        assert!(parse_packet(&[0xff; 9]).is_err());
        assert!(parse_packet(&[0, 0, 0, 1, 1]).is_err());
    }

    #[test]
    fn numbers_have_no_leading_zero_but_a_sign() {
        assert_eq!(mpint(&[0, 0, 0x7f]), [0, 0, 0, 1, 0x7f]);
        assert_eq!(mpint(&[0x80, 1]), [0, 0, 0, 3, 0, 0x80, 1]);
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in proptest::sample::select(vec![1u8, 20, 31])) {
            let _ = (parse_identification(&bytes), parse_packet(&bytes));
            let mut payload = vec![kind];
            payload.extend_from_slice(&bytes);
            let _ = (parse_offers(&payload), parse_server_key(&payload), parse_disconnect(&payload));
        }
    }
}
