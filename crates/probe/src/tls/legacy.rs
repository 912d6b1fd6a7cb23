//! Legacy: does a peer still answer a greeting in TLS 1.0 or 1.1? Says hello and hangs up; no library here speaks these any more.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::env::{Failure, random};
use crate::protocol::Cx;

/// The versions that nobody should speak any more (RFC 8996).
pub(super) const OLD: [(&str, u8); 2] = [("TLS 1.0", 1), ("TLS 1.1", 2)];

/// Cipher suites of that time, from RSA with 3DES to elliptic curves with AES.
const SUITES: [u16; 10] = [0xc013, 0xc014, 0xc009, 0xc00a, 0x0033, 0x0039, 0x002f, 0x0035, 0x000a, 0xc012];

/// Whether the peer answers a greeting in that version with one in it.
pub(super) async fn accepts(cx: &Cx<'_>, peer: SocketAddr, name: &str, minor: u8) -> Result<bool, Failure> {
    let hello = hello(minor, random()?, name);
    let connected = cx.env.net.connect(peer).await;
    let mut stream = connected.map_err(|error| Failure::from_io(&format!("connecting to {peer}"), &error))?;
    let answer = tokio::time::timeout(cx.remaining().min(Duration::from_secs(3)), async {
        stream.write_all(&hello).await?;
        let mut answer = vec![0; 11];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    });
    // Silence and a hang-up are refusals like an alert.
    Ok(matches!(answer.await, Ok(Ok(bytes)) if parse_hello(&bytes) == Some(minor)))
}

/// The minor version of a server's greeting: 1 for TLS 1.0, 2 for 1.1. `None` when it is none.
pub fn parse_hello(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [22, 3, _, _, _, 2, _, _, _, 3, minor, ..] => Some(*minor),
        _ => None,
    }
}

fn hello(minor: u8, random: [u8; 32], name: &str) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).unwrap_or(0).to_be_bytes();
    let with_length = |bytes: &[u8]| [&short(bytes.len())[..], bytes].concat();
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, content: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(with_length(content));
    };
    // A name, where it is one: addresses are not sent.
    if name.parse::<std::net::IpAddr>().is_err() {
        let entry = [&[0][..], &with_length(name.trim_end_matches('.').as_bytes())].concat();
        extension(0, &with_length(&entry));
    }
    extension(10, &with_length(&[0, 23, 0, 24, 0, 29])); // curves
    extension(11, &[1, 0]); // points as they are
    let suites: Vec<u8> = SUITES.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let body = [&[3, minor][..], &random, &[0], &with_length(&suites), &[1, 0], &with_length(&extensions)].concat();
    let handshake = [&[1, 0][..], &with_length(&body)].concat();
    [&[22, 3, 1][..], &with_length(&handshake)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_as_long_as_it_says() {
        let bytes = hello(1, [7; 32], "shop.example.org");
        assert_eq!(bytes.len() - 5, usize::from(u16::from_be_bytes([bytes[3], bytes[4]])));
        assert_eq!(bytes.len() - 9, usize::from(u16::from_be_bytes([bytes[7], bytes[8]])));
        assert!(bytes.windows(16).any(|part| part == b"shop.example.org"));
        assert!(!hello(1, [7; 32], "192.0.2.1").windows(9).any(|part| part == b"192.0.2.1"));
    }

    #[test]
    fn only_a_greeting_is_one() {
        assert_eq!(parse_hello(&[22, 3, 1, 0, 60, 2, 0, 0, 56, 3, 1]), Some(1));
        assert_eq!(parse_hello(&[21, 3, 1, 0, 2, 2, 70, 0, 0, 0, 0]), None, "an alert");
        assert_eq!(parse_hello(b"HTTP/1.1 400 Bad Request"), None);
    }
}
