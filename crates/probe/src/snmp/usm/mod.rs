//! USM: the user-based security model of version 3 (RFC 3414): whose message it is, whether it is fresh, what it says.
//!
//! Holds what is known of one engine and one user; reads no clock and opens no socket. A digest that does not fit is
//! never looked behind.

mod cipher;
mod keys;

use std::time::Duration;

pub use cipher::{CipherError, Privacy};
pub use keys::{Auth, Key, Keyring};

use crate::secret::Secret;
use crate::snmp::ber::BerError;
use crate::snmp::message::{Payload, Scoped, V3};

/// A user and the passwords; no authentication means no privacy either.
#[derive(Clone, Debug)]
pub struct User {
    /// The name the agent knows.
    pub name: String,
    /// How messages are authenticated, and with which password.
    pub auth: Option<(Auth, Secret)>,
    /// How messages are encrypted, and with which password.
    pub privacy: Option<(Privacy, Secret)>,
}

/// Why a message of version 3 is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsmError {
    /// It has no digest, or encryption, where it must have them.
    #[error("the message is less protected than was agreed")]
    TooOpen,
    /// It is another engine's or another user's.
    #[error("the message is of another engine or user")]
    Stranger,
    /// The digest does not fit.
    #[error("the message's digest does not fit: the password or the algorithm is another")]
    Digest,
    /// It is over 150 seconds old: perhaps recorded, and sent again.
    #[error("the message is older than 150 seconds")]
    Stale,
    /// The encrypted part cannot be read.
    #[error("the message could not be decrypted: the privacy password or the algorithm is another")]
    Decryption,
    /// What was decrypted is no PDU.
    #[error("the message could not be decrypted: the privacy password or the algorithm is another ({0})")]
    Nonsense(BerError),
}

/// What is known of an engine: its name, its clock as we last heard it, and the user's keys there.
pub struct Engine {
    user: User,
    id: Vec<u8>,
    boots: u32,
    time: u32,
    /// When that was, on our own monotonic clock.
    heard: Duration,
    auth_key: Key,
    privacy_key: Key,
    count: u64,
}

/// How far a message's time may be from what we think it is, in seconds (RFC 3414, section 3.2).
const WINDOW_SECONDS: u32 = 150;

impl Engine {
    /// An engine of which nothing is known. `seed` is random, so that no salt comes twice.
    pub fn unknown(user: User, seed: u64) -> Engine {
        let (auth_key, privacy_key) = (Key::default(), Key::default());
        Engine { user, id: Vec::new(), boots: 0, time: 0, heard: Duration::ZERO, auth_key, privacy_key, count: seed }
    }

    /// Whether its name and clock are still to be asked for.
    pub fn is_unknown(&self) -> bool {
        self.id.is_empty()
    }

    /// The name of the engine.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// Learns the engine's name and makes the user's keys for it, which costs a million bytes of hashing a password.
    pub fn meet(&mut self, id: &[u8], boots: u32, time: u32, now: Duration) {
        self.meet_with(&Keyring::default(), id, boots, time, now);
    }

    /// As [`Engine::meet`], with master keys from the ring where they were made before.
    pub fn meet_with(&mut self, keyring: &Keyring, id: &[u8], boots: u32, time: u32, now: Duration) {
        if let Some((auth, password)) = &self.user.auth {
            let master = keyring.master_key(*auth, password.reveal().as_bytes());
            self.auth_key = auth.local_key(&master, id);
            if let Some((privacy, password)) = &self.user.privacy {
                let master = keyring.master_key(*auth, password.reveal().as_bytes());
                self.privacy_key = privacy.local_key(*auth, &master, id);
            }
        }
        self.id = id.to_vec();
        self.set_clock(boots, time, now);
    }

    /// Takes over the engine's clock, as it says.
    pub fn set_clock(&mut self, boots: u32, time: u32, now: Duration) {
        (self.boots, self.time, self.heard) = (boots, time, now);
    }

    /// Forgets the engine again: what was learned came from somebody else.
    pub fn forget(&mut self) {
        self.id.clear();
    }

    fn time_at(&self, now: Duration) -> u32 {
        let passed = now.saturating_sub(self.heard).as_secs();
        self.time.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// The datagram that carries this PDU to the engine, protected as the user demands.
    pub fn seal(&mut self, id: i32, scoped: &Scoped, max_size: i64, now: Duration) -> Vec<u8> {
        let known = !self.is_unknown();
        let (boots, time) = if known { (self.boots, self.time_at(now)) } else { (0, 0) };
        let mut message = V3 {
            id,
            max_size,
            authenticated: known && self.user.auth.is_some(),
            private: known && self.user.auth.is_some() && self.user.privacy.is_some(),
            reportable: true,
            engine: self.id.clone(),
            boots: i64::from(boots),
            time: i64::from(time),
            user: if known { self.user.name.as_bytes().to_vec() } else { Vec::new() },
            digest: Vec::new(),
            digest_at: 0,
            salt: Vec::new(),
            payload: Payload::Plain(scoped.clone()),
        };
        if let (true, Some((privacy, _))) = (message.private, &self.user.privacy) {
            self.count = self.count.wrapping_add(1);
            let (bytes, salt) = privacy.encrypt(&self.privacy_key, boots, time, self.count, &scoped.bytes());
            message.salt = salt.to_vec();
            message.payload = Payload::Encrypted(bytes);
        }
        let Some((auth, _)) = self.user.auth.as_ref().filter(|_| message.authenticated) else {
            return message.bytes();
        };
        message.digest = vec![0; auth.digest_bytes()];
        let mut bytes = message.bytes();
        let at = match crate::snmp::message::parse_message(&bytes) {
            Ok(crate::snmp::message::Message::V3(read)) => read.digest_at,
            _ => unreachable!("we wrote it"),
        };
        let digest = auth.digest(&self.auth_key, &bytes);
        bytes[at..at + digest.len()].copy_from_slice(&digest);
        bytes
    }

    /// What an answer says, once its digest, its freshness and its cipher were found to be right.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn open(&mut self, datagram: &[u8], message: &V3, now: Duration) -> Result<Scoped, UsmError> {
        if message.engine != self.id || message.user != self.user.name.as_bytes() {
            return Err(UsmError::Stranger);
        }
        if self.user.auth.is_some() != message.authenticated
            || (self.user.privacy.is_some() && self.user.auth.is_some()) != message.private
        {
            return Err(UsmError::TooOpen);
        }
        self.check_digest(datagram, message)?;
        if message.authenticated {
            self.check_time(message, now)?;
        }
        self.decrypted(message)
    }

    /// Whether the digest fits. True for a user without a password.
    ///
    /// # Errors
    /// [`UsmError::Digest`].
    pub fn check_digest(&self, datagram: &[u8], message: &V3) -> Result<(), UsmError> {
        let Some((auth, _)) = &self.user.auth else { return Ok(()) };
        let end = message.digest_at + message.digest.len();
        if message.digest.len() != auth.digest_bytes() || end > datagram.len() {
            return Err(UsmError::Digest);
        }
        let mut blank = datagram.to_vec();
        blank[message.digest_at..end].fill(0);
        let wanted = auth.digest(&self.auth_key, &blank);
        // Every byte is compared, so that the time taken tells nothing.
        let apart = wanted.iter().zip(&message.digest).fold(0, |apart, (a, b)| apart | (a ^ b));
        if apart == 0 { Ok(()) } else { Err(UsmError::Digest) }
    }

    fn check_time(&mut self, message: &V3, now: Duration) -> Result<(), UsmError> {
        let boots = u32::try_from(message.boots).unwrap_or_default();
        let time = u32::try_from(message.time).unwrap_or_default();
        let expected = self.time_at(now);
        if boots > self.boots || (boots == self.boots && time > expected) {
            self.set_clock(boots, time, now);
            return Ok(());
        }
        let is_stale = boots < self.boots || expected - time > WINDOW_SECONDS;
        if is_stale { Err(UsmError::Stale) } else { Ok(()) }
    }

    fn decrypted(&self, message: &V3) -> Result<Scoped, UsmError> {
        match (&message.payload, &self.user.privacy) {
            (Payload::Plain(scoped), _) => Ok(scoped.clone()),
            (Payload::Encrypted(bytes), Some((privacy, _))) => {
                let boots = u32::try_from(message.boots).unwrap_or_default();
                let time = u32::try_from(message.time).unwrap_or_default();
                let plain = privacy
                    .decrypt(&self.privacy_key, boots, time, &message.salt, bytes)
                    .map_err(|CipherError| UsmError::Decryption)?;
                Scoped::parse(&plain).map_err(UsmError::Nonsense)
            }
            (Payload::Encrypted(_), None) => Err(UsmError::Decryption),
        }
    }
}
