//! Session: signing in to a management controller (RAKP) and asking it, encrypted and proven (RMCP+, IPMI 2.0 chapter 13).
//!
//! Datagrams get lost and controllers are slow, so every question is asked up to three times within the check's time.

use std::time::Duration;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt};
use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;

use crate::env::{Datagrams, Failure, addresses, random};
use crate::ipmi::packet::{self, Packet, parse_packet};
use crate::ipmi::sensor::{self, Read, Sensor, parse_sensor};
use crate::params::Family;
use crate::protocol::Cx;
use crate::secret::{Secret, same};
use crate::target::parse_host_port;

/// The cipher suites that are spoken; the others have no encryption or no proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Suite {
    /// RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    #[default]
    #[serde(rename = "17")]
    S17,
    /// RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    #[serde(rename = "3")]
    S3,
}

impl Suite {
    fn hash(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        const ANY: &str = "any length of key will do";
        match self {
            Suite::S3 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect(ANY);
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
            Suite::S17 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY);
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    fn proof_bytes(self) -> usize {
        if self == Suite::S3 { 12 } else { 16 }
    }

    fn key_bytes(self) -> usize {
        if self == Suite::S3 { 20 } else { 32 }
    }
}

/// Datagrams to one controller.
pub(super) struct Talk {
    peer: String,
    socket: Box<dyn Datagrams>,
    patience: Duration,
}

const TRIES: u32 = 3;
/// Whatever a controller does, its list of sensors ends.
const MAX_RECORDS: usize = 1000;

impl Talk {
    pub(super) async fn begin(cx: &Cx<'_>, port: u16, family: Family) -> Result<Talk, Failure> {
        let target = parse_host_port(cx.target.as_bytes()).map_err(Failure::Local)?;
        let found = addresses(cx, &target.host, family).await?;
        let peer = std::net::SocketAddr::new(found[0], target.port.unwrap_or(port));
        cx.trace.phase("exchange", "waiting for the controller's answer");
        let socket = cx.env.net.datagrams(peer).await;
        let socket = socket.map_err(|error| Failure::from_io(&format!("asking {peer} over IPMI"), &error))?;
        let patience = (cx.timeout / (TRIES + 1)).min(Duration::from_secs(2));
        Ok(Talk { peer: cx.target.to_owned(), socket, patience })
    }

    /// Sends the datagram until something that `read` takes comes back.
    async fn exchange<T>(&mut self, datagram: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Failure> {
        let doing = format!("asking {} over IPMI", self.peer);
        for _ in 0..TRIES {
            self.socket.send(datagram).await.map_err(|error| Failure::from_io(&doing, &error))?;
            let answer = tokio::time::timeout(self.patience, async {
                loop {
                    let bytes = self.socket.receive().await?;
                    if let Some(found) = read(&bytes) {
                        return Ok::<T, std::io::Error>(found);
                    }
                }
            });
            match answer.await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => return Err(Failure::from_io(&doing, &error)),
                Err(_) => {}
            }
        }
        Err(Failure::Peer(format!("{} does not answer over IPMI ({TRIES} tries)", self.peer)))
    }

    /// Whether the controller speaks IPMI 2.0; asked by everybody, told to everybody.
    pub(super) async fn capabilities(&mut self) -> Result<bool, Failure> {
        let request = packet::plain(&packet::request(6, 0, 0x38, &[0x8e, 2]));
        let data = self
            .exchange(&request, |bytes| match parse_packet(bytes, 0) {
                Ok(Packet::Plain(message)) => packet::answer(&message, 6, 0, 0x38).map(<[u8]>::to_vec),
                _ => None,
            })
            .await?;
        match data[..] {
            [0, _, support, _, extended, ..] => Ok(support & 0x80 != 0 && extended & 2 != 0),
            _ => Err(Failure::Peer(format!("{} refuses to tell what it speaks", self.peer))),
        }
    }

    /// A step of signing in: its answer, whose first bytes are a tag and a status.
    async fn step(&mut self, kind: u8, content: &[u8], least: usize) -> Result<Vec<u8>, Failure> {
        let datagram = packet::step(kind, content);
        let tag = content[0];
        let answer = self
            .exchange(&datagram, |bytes| match parse_packet(bytes, 0) {
                Ok(Packet::Payload { kind: answered, content, .. })
                    if answered == kind + 1 && content.first() == Some(&tag) && content.len() > 1 =>
                {
                    Some(content)
                }
                _ => None,
            })
            .await?;
        if answer[1] != 0 {
            let why = match answer[1] {
                0x01 | 0x0b => "it has no session left for us",
                0x04..=0x07 | 0x10 | 0x11 => "it does not speak this cipher suite; try another one",
                0x09 | 0x0a => "the user may not do this",
                0x0d | 0x0f => "it does not know the user, or the password is wrong",
                _ => "see table 13-15 of IPMI 2.0",
            };
            return Err(Failure::Peer(format!("{} does not let us in (status {:#04x}: {why})", self.peer, answer[1])));
        }
        if answer.len() < least {
            return Err(Failure::Peer(format!("{} answers too shortly while we sign in", self.peer)));
        }
        Ok(answer)
    }

    /// Signs in as a user, with the right to look and no more.
    pub(super) async fn open<'a>(
        &'a mut self,
        suite: Suite,
        user: &str,
        password: &Secret,
    ) -> Result<Session<'a>, Failure> {
        const USER_BY_NAME: u8 = 0x12; // look only, and the name alone decides
        let dice = random::<20>()?;
        let (ours, random_m) = dice.split_at(4);
        let (auth, integrity) = if suite == Suite::S3 { (1, 1) } else { (3, 4) };
        let mut ask = vec![1, 2, 0, 0];
        ask.extend(ours);
        for (kind, algorithm) in [(0, auth), (1, integrity), (2, 1)] {
            ask.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
        }
        let answer = self.step(0x10, &ask, 36).await?;
        let theirs = answer[8..12].to_vec();
        let who = [&[USER_BY_NAME, u8::try_from(user.len()).unwrap_or(0)][..], user.as_bytes()].concat();
        let name = [&[USER_BY_NAME, 0, 0, who[1]][..], user.as_bytes()].concat();
        let answer =
            self.step(0x12, &[&[2, 0, 0, 0][..], &theirs, random_m, &name].concat(), 40 + suite.key_bytes()).await?;
        let (random_c, guid, proof) = (&answer[8..24], &answer[24..40], &answer[40..]);
        let key = password.reveal().as_bytes();
        let expected = suite.hash(key, &[ours, &theirs, random_m, random_c, guid, &who].concat());
        if !same(proof, &expected) {
            return Err(Failure::Peer(format!("{} and we have different passwords for {user:?}", self.peer)));
        }
        let proof = suite.hash(key, &[random_c, ours, &who].concat());
        let session_key = suite.hash(key, &[random_m, random_c, &who].concat());
        let answer = self.step(0x14, &[&[3, 0, 0, 0][..], &theirs, &proof].concat(), 8 + suite.proof_bytes()).await?;
        let expected = suite.hash(&session_key, &[random_m, &theirs[..], guid].concat());
        if !same(&answer[8..], &expected[..suite.proof_bytes()]) {
            return Err(Failure::Peer(format!("{} does not prove that it is the controller", self.peer)));
        }
        let number = |bytes: &[u8]| u32::from_le_bytes(*bytes.first_chunk().expect("four bytes are taken above"));
        Ok(Session {
            proof_key: suite.hash(&session_key, &[1; 20]),
            cipher: Aes128::new_from_slice(&suite.hash(&session_key, &[2; 20])[..16]).expect("it has sixteen bytes"),
            ours: number(ours),
            theirs: number(&theirs),
            suite,
            sequence: 0,
            talk: self,
        })
    }
}

/// An open session.
pub(super) struct Session<'a> {
    talk: &'a mut Talk,
    suite: Suite,
    ours: u32,
    theirs: u32,
    sequence: u32,
    proof_key: Vec<u8>,
    cipher: Aes128,
}

impl Session<'_> {
    /// Asks; the answer without its completion code. One that refuses is a failure.
    pub(super) async fn ask(&mut self, function: u8, command: u8, data: &[u8]) -> Result<Vec<u8>, Failure> {
        let answer = self.ask_raw(function, 0, command, data).await?;
        match answer.split_first() {
            Some((0, data)) => Ok(data.to_vec()),
            code => {
                let code = code.map_or(0, |(code, _)| *code);
                let peer = &self.talk.peer;
                Err(Failure::Peer(format!("{peer} refuses command {function:#04x}/{command:#04x} (code {code:#04x})")))
            }
        }
    }

    async fn ask_raw(&mut self, function: u8, unit: u8, command: u8, data: &[u8]) -> Result<Vec<u8>, Failure> {
        self.sequence += 1;
        let number = u8::try_from(self.sequence & 0x3f).unwrap_or(0);
        let mut message = packet::request(function, number, command, data);
        if unit != 0 {
            message[1] |= unit;
            message[2] = message[2].wrapping_sub(unit);
        }
        let sealed = packet::sealed(self.theirs, self.sequence, &encrypt(&self.cipher, random()?, &message));
        let proof = self.suite.hash(&self.proof_key, &sealed);
        let datagram = packet::datagram(&sealed, &proof[..self.suite.proof_bytes()]);
        let (suite, ours, key, cipher) = (self.suite, self.ours, self.proof_key.clone(), self.cipher.clone());
        let read = move |bytes: &[u8]| {
            let Ok(Packet::Payload { kind: 0, encrypted: true, proven: true, session, content, signed }) =
                parse_packet(bytes, suite.proof_bytes())
            else {
                return None;
            };
            let expected = suite.hash(&key, &signed.0);
            if session != ours || !same(&signed.1, &expected[..suite.proof_bytes()]) {
                return None; // Not from our controller, or damaged.
            }
            packet::answer(&decrypt(&cipher, &content)?, function, number, command).map(<[u8]>::to_vec)
        };
        self.talk.exchange(&datagram, read).await
    }

    /// Ends the session; what the controller says to that does not matter.
    pub(super) async fn close(&mut self) {
        let theirs = self.theirs.to_le_bytes();
        let _ = self.ask_raw(6, 0, 0x3c, &theirs).await;
    }
}

/// AES-CBC behind its vector; the text is filled up with 1, 2, 3 … and how many of these there are.
fn encrypt(cipher: &Aes128, vector: [u8; 16], plain: &[u8]) -> Vec<u8> {
    let mut text = plain.to_vec();
    let fill = (16 - (text.len() + 1) % 16) % 16;
    text.extend((1..=fill).map(|at| u8::try_from(at).unwrap_or(0)));
    text.push(u8::try_from(fill).unwrap_or(0));
    let mut before = vector;
    let mut bytes = vector.to_vec();
    for chunk in text.as_chunks::<16>().0 {
        let mut block = Array(std::array::from_fn(|at| chunk[at] ^ before[at]));
        cipher.encrypt_block(&mut block);
        before = block.0;
        bytes.extend(before);
    }
    bytes
}

fn decrypt(cipher: &Aes128, bytes: &[u8]) -> Option<Vec<u8>> {
    let (vector, secret) = bytes.split_first_chunk::<16>()?;
    let mut before = *vector;
    let mut plain = Vec::new();
    let (chunks, rest) = secret.as_chunks::<16>();
    for chunk in chunks {
        let mut block = Array(*chunk);
        cipher.decrypt_block(&mut block);
        plain.extend(block.0.iter().zip(before).map(|(byte, mask)| byte ^ mask));
        before = *chunk;
    }
    let fill = usize::from(plain.pop()?);
    let length = plain.len().checked_sub(fill).filter(|_| rest.is_empty() && fill < 16)?;
    plain.truncate(length);
    Some(plain)
}

/// Every sensor of the repository that can be read, with what it reads now.
pub(super) async fn sensors(session: &mut Session<'_>) -> Result<Vec<(Sensor, Read)>, Failure> {
    let mut found = Vec::new();
    let mut next = 0u16;
    for _ in 0..MAX_RECORDS {
        let (record, after) = record(session, next).await?;
        if let Some(sensor) = parse_sensor(&record) {
            let answer = session.ask_raw(4, sensor.unit_of_owner, 0x2d, &[sensor.number]).await?;
            // A sensor that refuses is one that is not fitted.
            if let Some((0, data)) = answer.split_first()
                && let Some(read) = sensor::read(&sensor, data)
            {
                found.push((sensor, read));
            }
        }
        if after == 0xffff || after == next {
            return Ok(found);
        }
        next = after;
    }
    let peer = &session.talk.peer;
    Err(Failure::Peer(format!("{peer} lists more than {MAX_RECORDS} sensors")))
}

/// One record in pieces that every controller can send, and the number of the next.
async fn record(session: &mut Session<'_>, id: u16) -> Result<(Vec<u8>, u16), Failure> {
    const PIECE: usize = 16;
    let [low, high] = id.to_le_bytes();
    // Pieces need a reservation, which is lost whenever the repository changes.
    let reservation = session.ask(0x0a, 0x22, &[]).await?;
    let (first, second) = (reservation.first().copied().unwrap_or(0), reservation.get(1).copied().unwrap_or(0));
    let head = session.ask(0x0a, 0x23, &[first, second, low, high, 0, 5]).await?;
    let short = || Failure::Peer("the controller's record of a sensor is too short".to_owned());
    let (next, mut record) =
        head.split_first_chunk::<2>().map(|(next, bytes)| (*next, bytes.to_vec())).ok_or_else(short)?;
    let length = 5 + usize::from(*record.get(4).ok_or_else(short)?);
    while record.len() < length {
        let at = u8::try_from(record.len()).map_err(|_| short())?;
        let count = u8::try_from((length - record.len()).min(PIECE)).unwrap_or(0);
        let piece = session.ask(0x0a, 0x23, &[first, second, low, high, at, count]).await?;
        let bytes = piece.get(2..).filter(|bytes| !bytes.is_empty()).ok_or_else(short)?;
        record.extend(bytes);
    }
    Ok((record, u16::from_le_bytes(next)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encrypted_is_read(plain in proptest::collection::vec(any::<u8>(), 0..60), key: [u8; 16], vector: [u8; 16]) {
            let cipher = Aes128::new_from_slice(&key).unwrap();
            let secret = encrypt(&cipher, vector, &plain);
            prop_assert_eq!(secret.len() % 16, 0);
            prop_assert_eq!(decrypt(&cipher, &secret), Some(plain));
        }

        #[test]
        fn no_secret_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decrypt(&Aes128::new_from_slice(&[7; 16]).unwrap(), &bytes);
        }
    }
}
