//! Cipher: packets of a conversation whose keys are agreed on, one direction of it (RFC 4253, RFC 5647, OpenSSH's PROTOCOL).
//!
//! The primitives are ring's and RustCrypto's; here is only how SSH lays them out. A packet is opened before anything in it
//! is believed, and only its length is looked at earlier. It must never give out a payload whose proof did not fit.

use aes::cipher::{Array, BlockCipherEncrypt};
use aes::{Aes128, Aes256};
use hmac::KeyInit;
use ring::aead::chacha20_poly1305_openssh as chacha;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{digest, hmac as mac};
use zeroize::Zeroizing;

use super::packet::{PACKET_LIMIT_BYTES, u32_bytes};
use crate::dialog::Parsed;

/// Ciphers that are spoken, the preferred first. GCM comes before ChaCha20, which a server without strict key exchange
/// lets others cut packets out of (CVE-2023-48795).
pub(super) const CIPHERS: &str =
    "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";
/// Proofs that are spoken with ciphers that bring none.
pub(super) const MACS: &str =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1";

/// What both sides know alone, and what every key is made from.
pub(super) struct Secrets {
    /// The agreed key, written as a number with its length.
    pub(super) shared: Zeroizing<Vec<u8>>,
    /// The exchange hash; it is also the conversation's name, which signatures of users are over.
    pub(super) hash: Vec<u8>,
    /// What keys are made with.
    pub(super) algorithm: &'static digest::Algorithm,
}

impl Secrets {
    /// The key of that letter (RFC 4253, section 7.2), of so many bytes.
    fn key(&self, letter: u8, length: usize) -> Zeroizing<Vec<u8>> {
        let first = [self.shared.as_slice(), &self.hash, &[letter], &self.hash].concat();
        let mut key = Zeroizing::new(digest::digest(self.algorithm, &Zeroizing::new(first)).as_ref().to_vec());
        while key.len() < length {
            let more = Zeroizing::new([self.shared.as_slice(), &self.hash, &key].concat());
            key.extend_from_slice(digest::digest(self.algorithm, &more).as_ref());
        }
        key.truncate(length);
        key
    }
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From us to the server.
    Out,
    /// From the server to us.
    In,
}

/// One direction of a conversation: its keys, and how far it has come.
pub struct Direction {
    how: How,
    /// Packets so far, as both sides count them.
    sequence: u32,
}

enum How {
    Gcm { key: LessSafeKey, vector: [u8; 12] },
    ChaCha { seal: chacha::SealingKey, open: chacha::OpeningKey },
    Counter { cipher: Aes, counter: u128, key: mac::Key, proof_bytes: usize, order: Order },
}

enum Aes {
    Short(Aes128),
    Long(Aes256),
}

/// What a proof is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// What was encrypted; the length stands in the clear.
    Sealed,
    /// What is inside; the length is encrypted, too.
    Plain,
}

/// A packet that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it says; at least one byte.
    pub payload: Vec<u8>,
    /// How many bytes are encrypted in it.
    sealed_bytes: usize,
}

const TAG_BYTES: usize = 16;

impl Direction {
    /// A direction with the cipher and the proof of these names, which must be among ours. `sequence` is how many packets
    /// went this way before.
    pub(super) fn new(secrets: &Secrets, way: Way, (cipher, proof): (&str, &str), sequence: u32) -> Option<Direction> {
        let [vector, key, proof_key] = if way == Way::Out { *b"ACE" } else { *b"BDF" };
        let short = cipher.starts_with("aes128");
        let key = |length| secrets.key(key, length);
        let how = match cipher {
            "aes256-gcm@openssh.com" | "aes128-gcm@openssh.com" => {
                let algorithm = if short { &AES_128_GCM } else { &AES_256_GCM };
                let key = UnboundKey::new(algorithm, &key(algorithm.key_len())).ok()?;
                let vector = *secrets.key(vector, 12).first_chunk()?;
                How::Gcm { key: LessSafeKey::new(key), vector }
            }
            "chacha20-poly1305@openssh.com" => {
                let key = key(chacha::KEY_LEN);
                let key = key.first_chunk()?;
                How::ChaCha { seal: chacha::SealingKey::new(key), open: chacha::OpeningKey::new(key) }
            }
            "aes256-ctr" | "aes128-ctr" => {
                let cipher = if short {
                    Aes::Short(Aes128::new_from_slice(&key(16)).ok()?)
                } else {
                    Aes::Long(Aes256::new_from_slice(&key(32)).ok()?)
                };
                let (algorithm, proof_bytes) = match proof.trim_end_matches("-etm@openssh.com") {
                    "hmac-sha2-256" => (mac::HMAC_SHA256, 32),
                    "hmac-sha2-512" => (mac::HMAC_SHA512, 64),
                    "hmac-sha1" => (mac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, 20),
                    _ => return None,
                };
                let order = if proof.ends_with("-etm@openssh.com") { Order::Sealed } else { Order::Plain };
                let key = mac::Key::new(algorithm, &secrets.key(proof_key, proof_bytes));
                let counter = u128::from_be_bytes(*secrets.key(vector, 16).first_chunk()?);
                How::Counter { cipher, counter, key, proof_bytes, order }
            }
            _ => return None,
        };
        Some(Direction { how, sequence })
    }

    /// The packet that says this.
    pub(super) fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.padded(payload);
        let plain_bytes = bytes.len() - 4;
        match &self.how {
            How::Gcm { key, vector } => {
                let (length, inside) = bytes.split_at_mut(4);
                let nonce = Nonce::assume_unique_for_key(*vector);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*length), inside);
                bytes.extend_from_slice(tag.expect("a packet is shorter than GCM allows").as_ref());
            }
            How::ChaCha { seal, .. } => {
                let mut tag = [0; TAG_BYTES];
                seal.seal_in_place(self.sequence, &mut bytes, &mut tag);
                bytes.extend_from_slice(&tag);
            }
            How::Counter { cipher, counter, key, order: Order::Sealed, .. } => {
                cipher.apply(*counter, &mut bytes[4..]);
                let tag = mac::sign(key, &[&self.sequence.to_be_bytes()[..], &bytes].concat());
                bytes.extend_from_slice(tag.as_ref());
            }
            How::Counter { cipher, counter, key, order: Order::Plain, .. } => {
                let tag = mac::sign(key, &[&self.sequence.to_be_bytes()[..], &bytes].concat());
                cipher.apply(*counter, &mut bytes);
                bytes.extend_from_slice(tag.as_ref());
            }
        }
        let sealed_bytes = plain_bytes + if self.hides_length() { 4 } else { 0 };
        self.advance(sealed_bytes);
        bytes
    }

    /// Length, padding and payload in the clear, as this direction wants them laid out.
    fn padded(&self, payload: &[u8]) -> Vec<u8> {
        let block = if matches!(self.how, How::ChaCha { .. }) { 8 } else { 16 };
        let counted =
            payload.len() + 1 + if matches!(self.how, How::Counter { order: Order::Plain, .. }) { 4 } else { 0 };
        let mut padding = block - counted % block;
        if padding < 4 {
            padding += block;
        }
        let mut bytes = u32_bytes(payload.len() + 1 + padding).to_vec();
        bytes.push(u8::try_from(padding).expect("at most nineteen"));
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len() + padding, 0);
        bytes
    }

    /// Whether the length is encrypted as a part of the blocks.
    fn hides_length(&self) -> bool {
        matches!(self.how, How::Counter { order: Order::Plain, .. })
    }

    /// Opens the packet at the front; changes nothing, so that it can be tried again with more bytes.
    ///
    /// # Errors
    /// When the length cannot be or the proof does not fit, as the end of a sentence about the peer.
    pub fn open(&self, bytes: &[u8]) -> Parsed<Opened> {
        let forged = || "sends a packet that was changed on its way".to_owned();
        let Some(head) = self.length(bytes) else { return Ok(None) };
        let length = u32::from_be_bytes(head) as usize;
        if !(8..=PACKET_LIMIT_BYTES).contains(&length) {
            return Err("sends a packet whose length cannot be".to_owned());
        }
        let (end, proof_bytes) = (4 + length, self.proof_bytes());
        let Some(packet) = bytes.get(..end + proof_bytes) else { return Ok(None) };
        let (sealed, proof) = packet.split_at(end);
        let mut plain = sealed.to_vec();
        let sequence = self.sequence.to_be_bytes();
        match &self.how {
            How::Gcm { key, vector } => {
                let mut inside = packet[4..].to_vec();
                let nonce = Nonce::assume_unique_for_key(*vector);
                key.open_in_place(nonce, Aad::from(head), &mut inside).map_err(|_| forged())?;
                plain[4..].copy_from_slice(&inside[..length]);
            }
            How::ChaCha { open, .. } => {
                let tag = proof.first_chunk().ok_or_else(forged)?;
                open.open_in_place(self.sequence, &mut plain, tag).map_err(|_| forged())?;
            }
            How::Counter { cipher, counter, key, order, .. } => {
                if *order == Order::Sealed {
                    mac::verify(key, &[&sequence[..], sealed].concat(), proof).map_err(|_| forged())?;
                    cipher.apply(*counter, &mut plain[4..]);
                } else {
                    cipher.apply(*counter, &mut plain);
                    mac::verify(key, &[&sequence[..], &plain].concat(), proof).map_err(|_| forged())?;
                }
            }
        }
        let sealed_bytes = length + if self.hides_length() { 4 } else { 0 };
        let payload = length.checked_sub(usize::from(plain[4]) + 1).filter(|length| *length > 0);
        let payload = payload.ok_or("sends a packet with more padding than packet")?;
        Ok(Some((Opened { payload: plain[5..5 + payload].to_vec(), sealed_bytes }, end + proof_bytes)))
    }

    /// Goes on to the packet after this one.
    pub(super) fn opened(&mut self, opened: &Opened) {
        self.advance(opened.sealed_bytes);
    }

    /// The length of the packet at the front, in the clear; `None` while too little of it is there.
    fn length(&self, bytes: &[u8]) -> Option<[u8; 4]> {
        let head: [u8; 4] = *bytes.first_chunk()?;
        match &self.how {
            How::ChaCha { open, .. } => Some(open.decrypt_packet_length(self.sequence, head)),
            How::Counter { cipher, counter, order: Order::Plain, .. } => {
                let mut block: [u8; 16] = *bytes.first_chunk()?;
                cipher.apply(*counter, &mut block);
                block.first_chunk().copied()
            }
            _ => Some(head),
        }
    }

    fn proof_bytes(&self) -> usize {
        match self.how {
            How::Counter { proof_bytes, .. } => proof_bytes,
            _ => TAG_BYTES,
        }
    }

    fn advance(&mut self, sealed_bytes: usize) {
        self.sequence = self.sequence.wrapping_add(1);
        match &mut self.how {
            How::Gcm { vector, .. } => {
                // The first four bytes stay, the other eight count (RFC 5647, section 7.1).
                let (_, count) = vector.split_last_chunk_mut::<8>().expect("a vector has twelve bytes");
                *count = u64::from_be_bytes(*count).wrapping_add(1).to_be_bytes();
            }
            How::Counter { counter, .. } => *counter = counter.wrapping_add((sealed_bytes / 16) as u128),
            How::ChaCha { .. } => {}
        }
    }
}

impl Aes {
    /// Counter mode (RFC 4344): the same both ways. A last block that is not whole takes as much of the stream as it needs.
    fn apply(&self, counter: u128, bytes: &mut [u8]) {
        for (index, block) in bytes.chunks_mut(16).enumerate() {
            let mut stream = Array::from(counter.wrapping_add(index as u128).to_be_bytes());
            match self {
                Aes::Short(cipher) => cipher.encrypt_block(&mut stream),
                Aes::Long(cipher) => cipher.encrypt_block(&mut stream),
            }
            block.iter_mut().zip(stream.iter()).for_each(|(byte, stream)| *byte ^= stream);
        }
    }
}

/// A direction from the server to us with keys that everybody knows, for whoever tests what strangers send.
pub fn known_direction(cipher: &str) -> Option<Direction> {
    let secrets = Secrets { shared: Zeroizing::new(vec![7; 36]), hash: vec![9; 32], algorithm: &digest::SHA256 };
    Direction::new(&secrets, Way::In, (cipher, "hmac-sha2-256"), 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(cipher: &str, proof: &str) -> (Direction, Direction) {
        let secrets = || Secrets { shared: Zeroizing::new(vec![1; 36]), hash: vec![2; 32], algorithm: &digest::SHA256 };
        let one = || Direction::new(&secrets(), Way::Out, (cipher, proof), 3).unwrap();
        (one(), one())
    }

    #[test]
    fn every_cipher_and_proof_reads_what_it_wrote_and_nothing_that_was_changed() {
        for cipher in CIPHERS.split(',') {
            for proof in MACS.split(',') {
                let (mut out, mut back) = both(cipher, proof);
                for length in [1usize, 3, 11, 12, 16, 200, 5000] {
                    let sealed = out.seal(&vec![5; length]);
                    let half = back.open(&sealed[..sealed.len() - 1]);
                    assert_eq!(half, Ok(None), "{cipher} {proof} {length}");
                    let mut changed = sealed.clone();
                    *changed.last_mut().unwrap() ^= 1;
                    assert!(back.open(&changed).unwrap_err().contains("changed"), "{cipher} {proof}");
                    let mut changed = sealed.clone();
                    changed[20.min(sealed.len() - 1)] ^= 1;
                    assert!(back.open(&changed).is_err(), "{cipher} {proof}");
                    let (opened, taken) = back.open(&sealed).unwrap().unwrap();
                    assert_eq!((opened.payload.len(), taken), (length, sealed.len()), "{cipher} {proof}");
                    back.opened(&opened);
                    assert!(back.open(&sealed).is_err(), "{cipher} {proof}: a packet is taken once");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..5) {
            let cipher = CIPHERS.split(',').nth(at).unwrap();
            let _ = known_direction(cipher).unwrap().open(&bytes);
        }
    }
}
