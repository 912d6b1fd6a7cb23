//! Packet: the bytes of RMCP, of a session's header and of the messages in it. Pure; knows no key.

/// What is inside a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A message outside of any session, as IPMI 1.5 has it.
    Plain(Vec<u8>),
    /// A payload of IPMI 2.0.
    Payload {
        /// Which kind: 0 a message, 0x11 to 0x15 steps of signing in.
        kind: u8,
        /// Whether it is encrypted.
        encrypted: bool,
        /// Whether it is followed by a proof.
        proven: bool,
        /// The session that it belongs to, by our own number; 0 before there is one.
        session: u32,
        /// The payload.
        content: Vec<u8>,
        /// From the session's header to the end of what the proof is over, and the proof.
        signed: (Vec<u8>, Vec<u8>),
    },
}

const RMCP: [u8; 4] = [6, 0, 0xff, 7];

/// Reads a datagram whose proof, where it has one, is that many bytes long.
///
/// # Errors
/// When it is no IPMI, as the end of a sentence about the peer.
pub fn parse_packet(bytes: &[u8], proof_bytes: usize) -> Result<Packet, String> {
    let wrong = || "does not speak IPMI over RMCP".to_owned();
    let rest = bytes.strip_prefix(&RMCP).ok_or_else(wrong)?;
    match rest.first() {
        Some(0) => {
            let (head, content) = rest.split_first_chunk::<10>().ok_or_else(wrong)?;
            let content = content.get(..usize::from(head[9])).ok_or_else(wrong)?;
            Ok(Packet::Plain(content.to_vec()))
        }
        Some(6) => {
            let (head, after) = rest.split_first_chunk::<12>().ok_or_else(wrong)?;
            let length = usize::from(u16::from_le_bytes([head[10], head[11]]));
            let content = after.get(..length).ok_or_else(wrong)?.to_vec();
            let proven = head[1] & 0x40 != 0;
            let mut signed = (Vec::new(), Vec::new());
            if proven {
                let end =
                    rest.len().checked_sub(proof_bytes).filter(|end| *end >= 12 + length + 2).ok_or_else(wrong)?;
                signed = (rest[..end].to_vec(), rest[end..].to_vec());
            }
            Ok(Packet::Payload {
                kind: head[1] & 0x3f,
                encrypted: head[1] & 0x80 != 0,
                proven,
                session: u32::from_le_bytes([head[2], head[3], head[4], head[5]]),
                content,
                signed,
            })
        }
        _ => Err(wrong()),
    }
}

/// A message outside of any session.
pub(super) fn plain(message: &[u8]) -> Vec<u8> {
    let mut bytes = RMCP.to_vec();
    bytes.extend([0; 9]);
    bytes.push(u8::try_from(message.len()).unwrap_or(0));
    bytes.extend(message);
    bytes
}

/// A step of signing in.
pub(super) fn step(kind: u8, content: &[u8]) -> Vec<u8> {
    [&RMCP[..], &header(kind, 0, 0, content)].concat()
}

/// A payload of a session, without the RMCP before it and the proof behind it, filled up as the proof wants it.
pub(super) fn sealed(session: u32, sequence: u32, encrypted: &[u8]) -> Vec<u8> {
    let mut bytes = header(0xc0, session, sequence, encrypted);
    let fill = (4 - (bytes.len() + 2) % 4) % 4;
    bytes.extend(std::iter::repeat_n(0xff, fill));
    bytes.push(u8::try_from(fill).unwrap_or(0));
    bytes.push(7);
    bytes
}

/// The datagram of a payload and its proof.
pub(super) fn datagram(sealed: &[u8], proof: &[u8]) -> Vec<u8> {
    [&RMCP[..], sealed, proof].concat()
}

fn header(kind: u8, session: u32, sequence: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![6, kind];
    bytes.extend(session.to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(u16::try_from(content.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(content);
    bytes
}

/// A request to the controller, with its two checksums.
pub(super) fn request(function: u8, number: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x20, function << 2];
    bytes.push(checksum(&bytes));
    let body = [&[0x81, number << 2, command][..], data].concat();
    bytes.extend(&body);
    bytes.push(checksum(&body));
    bytes
}

/// The data of an answer to that request, its completion code first; `None` when it is the answer to something else.
pub(super) fn answer(bytes: &[u8], function: u8, number: u8, command: u8) -> Option<&[u8]> {
    let [0x81, net, _, _, sequence, answered, data @ .., _] = bytes else { return None };
    let fits = net >> 2 == function + 1 && sequence >> 2 == number && *answered == command;
    (fits && !data.is_empty() && checksum(bytes) == checksum(&bytes[..3])).then_some(data)
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_framed_as_the_standard_shows_it() {
        // Get Channel Authentication Capabilities, as every tool begins.
        let bytes = plain(&request(6, 0, 0x38, &[0x8e, 4]));
        let expected = [6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0, 0x38, 0x8e, 4, 0xb5];
        assert_eq!(bytes, expected);
        assert_eq!(parse_packet(&bytes, 0), Ok(Packet::Plain(expected[14..].to_vec())));
    }

    #[test]
    fn an_answer_belongs_to_its_request() {
        let mut bytes = vec![0x81, 7 << 2];
        bytes.push(checksum(&bytes));
        let body = [0x20, 3 << 2, 0x38, 0, 1, 2];
        bytes.extend(body);
        bytes.push(checksum(&body));
        assert_eq!(answer(&bytes, 6, 3, 0x38), Some(&[0, 1, 2][..]));
        assert_eq!(answer(&bytes, 6, 4, 0x38), None);
        bytes[8] ^= 1;
        assert_eq!(answer(&bytes, 6, 3, 0x38), None, "a damaged one is none");
    }

    #[test]
    fn a_sealed_payload_ends_where_its_proof_begins() {
        for length in 0..20 {
            let inside = vec![1; length];
            let sealed = sealed(7, 1, &inside);
            assert!(sealed.len().is_multiple_of(4));
            let Ok(Packet::Payload { content, signed, proven, encrypted, session, .. }) =
                parse_packet(&datagram(&sealed, &[9; 12]), 12)
            else {
                panic!("it is a payload");
            };
            assert!(proven && encrypted && session == 7);
            assert_eq!((content, signed), (inside, (sealed, vec![9; 12])));
        }
    }

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), proof in 0usize..40) {
            let _ = parse_packet(&bytes, proof);
            let _ = parse_packet(&[&RMCP[..], &bytes].concat(), proof);
            let _ = answer(&bytes, 6, 0, 1);
        }
    }
}
