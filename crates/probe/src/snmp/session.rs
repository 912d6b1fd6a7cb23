//! Session: requests to one agent and their answers, in any version. Knows no object and decides nothing about them.
//!
//! Every wait is bounded by `patience`, every request by `tries`. The socket is the environment's, so its address policy
//! holds here too.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::env::{Env, Failure};
use crate::secret::Secret;
use crate::snmp::ber::BerError;
use crate::snmp::message::{Body, Message, Payload, Scoped, V3, community_message, parse_message};
use crate::snmp::pdu::{ErrorStatus, Kind, Pdu, VarBind};
use crate::snmp::usm::{Engine, User, UsmError};
use crate::snmp::{Oid, Value};

/// How an agent is to be spoken to.
#[derive(Clone, Debug)]
pub enum Security {
    /// Version 1: no counters of 64 bits, no bulk.
    V1(Secret),
    /// Version 2c.
    V2c(Secret),
    /// Version 3.
    V3 {
        /// The user and its passwords.
        user: User,
        /// The context; mostly empty.
        context: String,
    },
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SnmpError {
    /// Nothing came within the time of all tries.
    #[error(
        "{peer} gave no answer to {tries} SNMP requests; is SNMP allowed from here, and are the version and {credential} right?"
    )]
    Silent {
        /// Who was asked.
        peer: SocketAddr,
        /// How often.
        tries: u32,
        /// What may be wrong, agents do not answer a wrong one.
        credential: &'static str,
    },
    /// The network said no.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// What came is no SNMP.
    #[error("{peer} answers, and it is not SNMP: {why}")]
    NotSnmp {
        /// Who answered.
        peer: SocketAddr,
        /// What is wrong with it.
        why: BerError,
    },
    /// The agent answers with an error.
    #[error("{peer} refuses the request: {status}")]
    Refused {
        /// Who answered.
        peer: SocketAddr,
        /// Why.
        status: ErrorStatus,
        /// Which object, counted from 1; 0 is none.
        index: i64,
    },
    /// Version 3: the agent says why it does not take our messages.
    #[error("{peer} {why}")]
    Reported {
        /// Who answered.
        peer: SocketAddr,
        /// Its reason and what to do, completing "the agent …".
        why: String,
    },
    /// Version 3: the answer is not to be believed.
    #[error("{peer} answers, but {why}")]
    Untrusted {
        /// Who answered.
        peer: SocketAddr,
        /// What is wrong with the answer.
        why: UsmError,
    },
}

impl From<SnmpError> for Failure {
    fn from(error: SnmpError) -> Failure {
        match error {
            SnmpError::Io { doing, error } => Failure::from_io(&doing, &error),
            other => Failure::Peer(other.to_string()),
        }
    }
}

/// The largest answer that is taken: what fits into a datagram.
const MAX_SIZE: i64 = 65_507;

/// A conversation with one agent.
pub struct Session<'a> {
    env: &'a Env,
    peer: SocketAddr,
    speech: Speech,
    patience: Duration,
    tries: u32,
    next_id: i32,
    requests: u64,
}

enum Speech {
    Community { version: i64, community: Secret },
    Users { engine: Box<Engine>, context: Vec<u8> },
}

/// What the answer to one datagram was.
enum Heard {
    Answer(Pdu),
    /// The engine told its name or its clock: ask again.
    Again,
}

impl<'a> Session<'a> {
    /// A conversation that has not begun; nothing is sent. `patience` is the time that one try may take.
    pub fn new(env: &'a Env, peer: SocketAddr, security: Security, patience: Duration, tries: u32) -> Session<'a> {
        // Not secret, but not to be guessed by who cannot see our datagrams.
        let seed = RandomState::new().build_hasher().finish();
        let speech = match security {
            Security::V1(community) => Speech::Community { version: 0, community },
            Security::V2c(community) => Speech::Community { version: 1, community },
            Security::V3 { user, context } => {
                Speech::Users { engine: Box::new(Engine::unknown(user, seed)), context: context.into_bytes() }
            }
        };
        let next_id = (seed >> 33) as i32 & 0x3fff_ffff;
        Session { env, peer, speech, patience, tries: tries.max(1), next_id, requests: 0 }
    }

    /// Who is asked.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How many datagrams were sent.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether the agent can be asked for many objects at once.
    pub fn has_bulk(&self) -> bool {
        !matches!(self.speech, Speech::Community { version: 0, .. })
    }

    /// These objects, each with its value or with why there is none.
    ///
    /// # Errors
    /// Why there is no answer. In version 1 an object that does not exist is no error here either.
    pub async fn get(&mut self, oids: &[Oid]) -> Result<Vec<VarBind>, SnmpError> {
        let mut missing: Vec<usize> = Vec::new();
        loop {
            let asked: Vec<Oid> =
                oids.iter().enumerate().filter(|(at, _)| !missing.contains(at)).map(|(_, oid)| oid.clone()).collect();
            let mut answer = match asked.is_empty() {
                true => Vec::new(),
                false => match self.ask(Kind::Get, asked, 0).await {
                    Ok(pdu) => pdu.objects,
                    // Version 1 refuses the whole request for one missing object, and names it.
                    Err(SnmpError::Refused { status: ErrorStatus::NO_SUCH_NAME, index, .. }) if index > 0 => {
                        let left = (0..oids.len()).filter(|at| !missing.contains(at));
                        let nth = usize::try_from(index - 1).unwrap_or_default();
                        match left.clone().nth(nth).or_else(|| left.clone().next()) {
                            Some(at) => missing.push(at),
                            None => return Ok(Vec::new()),
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            answer.truncate(oids.len());
            for at in &missing {
                answer.push(VarBind { oid: oids[*at].clone(), value: Value::NoSuchInstance });
            }
            return Ok(answer);
        }
    }

    /// What comes next after each of these; in version 1 [`ErrorStatus::NO_SUCH_NAME`] names the one that is the last.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get_next(&mut self, oids: Vec<Oid>) -> Result<Vec<VarBind>, SnmpError> {
        self.ask(Kind::GetNext, oids, 0).await.map(|pdu| pdu.objects)
    }

    /// The next `repetitions` objects after each of these, the first after each, then the second after each.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get_bulk(&mut self, oids: Vec<Oid>, repetitions: u32) -> Result<Vec<VarBind>, SnmpError> {
        self.ask(Kind::GetBulk, oids, i64::from(repetitions)).await.map(|pdu| pdu.objects)
    }

    async fn ask(&mut self, kind: Kind, oids: Vec<Oid>, repetitions: i64) -> Result<Pdu, SnmpError> {
        // A name, a clock, and perhaps the clock once more; who asks for more than that is not to be served for ever.
        const LEARNINGS: u32 = 4;
        let mut learnings = 0;
        let mut tries = 0;
        loop {
            self.next_id = (self.next_id + 1) & 0x3fff_ffff;
            let mut pdu = Pdu::request(kind, self.next_id, oids.iter().cloned());
            pdu.error_index = repetitions;
            match self.once(&pdu).await {
                Ok(Heard::Answer(answer)) if answer.error_status == ErrorStatus::NONE => return Ok(answer),
                Ok(Heard::Answer(answer)) => {
                    let (status, index) = (answer.error_status, answer.error_index);
                    return Err(SnmpError::Refused { peer: self.peer, status, index });
                }
                Ok(Heard::Again) if learnings < LEARNINGS => learnings += 1,
                Ok(Heard::Again) => {
                    let why = "does not agree with its own clock; it asks for another one again and again".to_owned();
                    return Err(SnmpError::Reported { peer: self.peer, why });
                }
                Err(SnmpError::Silent { .. }) if tries + 1 < self.tries => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// One datagram and what comes back.
    async fn once(&mut self, pdu: &Pdu) -> Result<Heard, SnmpError> {
        let now = self.env.clock.monotonic();
        let id = pdu.request_id;
        let datagram = match &mut self.speech {
            Speech::Community { version, community } => community_message(*version, community.reveal().as_bytes(), pdu),
            Speech::Users { engine, context } => {
                let pdu = if engine.is_unknown() { Pdu::request(Kind::Get, id, []) } else { pdu.clone() };
                let scoped = Scoped { engine: engine.id().to_vec(), name: context.clone(), pdu };
                engine.seal(id, &scoped, MAX_SIZE, now)
            }
        };
        self.requests += 1;
        let caught: Mutex<Option<Result<Message, BerError>>> = Mutex::new(None);
        let is_answer = |bytes: &[u8]| {
            let read = parse_message(bytes);
            let ours = read.as_ref().map_or(true, |message| is_answer_to(message, id));
            if ours {
                *caught.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
            }
            ours
        };
        let exchange = self.env.net.exchange(self.peer, &datagram, &is_answer);
        let bytes = match tokio::time::timeout(self.patience, exchange).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                let doing = format!("asking {} over SNMP", self.peer);
                return Err(SnmpError::Io { doing, error });
            }
            Err(_) => {
                let credential = match &self.speech {
                    Speech::Community { .. } => "community",
                    Speech::Users { engine, .. } if engine.is_unknown() => "user",
                    // It told its name, so it is there, and it does not understand what follows.
                    Speech::Users { .. } => "the privacy algorithm and password",
                };
                return Err(SnmpError::Silent { peer: self.peer, tries: self.tries, credential });
            }
        };
        let message = caught.into_inner().unwrap_or_else(PoisonError::into_inner);
        let message = message.unwrap_or_else(|| parse_message(&bytes));
        match message.map_err(|why| SnmpError::NotSnmp { peer: self.peer, why })? {
            Message::Community { body: Body::Pdu(answer), .. } => Ok(Heard::Answer(answer)),
            Message::Community { .. } => Err(SnmpError::Reported { peer: self.peer, why: "sent a trap".to_owned() }),
            Message::V3(message) => self.hear(&bytes, message),
        }
    }

    /// A message of version 3: an answer, a report that teaches us something, or one that says no.
    fn hear(&mut self, datagram: &[u8], message: V3) -> Result<Heard, SnmpError> {
        let peer = self.peer;
        let now = self.env.clock.monotonic();
        let Speech::Users { engine, .. } = &mut self.speech else {
            return Err(SnmpError::Reported { peer, why: "answers in version 3, which was not asked".to_owned() });
        };
        let clock = (u32::try_from(message.boots).unwrap_or(0), u32::try_from(message.time).unwrap_or(0));
        let report = match &message.payload {
            Payload::Plain(scoped) if scoped.pdu.kind == Kind::Report => {
                scoped.pdu.objects.first().map(|object| object.oid.clone())
            }
            _ => None,
        };
        if engine.is_unknown() && !message.engine.is_empty() && report.is_some() {
            engine.meet_with(&self.env.keyring, &message.engine, clock.0, clock.1, now);
            return Ok(Heard::Again);
        }
        match report {
            None => match engine.open(datagram, &message, now) {
                Ok(scoped) if scoped.pdu.kind == Kind::Report => {
                    let oid = scoped.pdu.objects.first().map(|object| object.oid.clone()).unwrap_or_default();
                    Err(SnmpError::Reported { peer, why: reason(&oid) })
                }
                Ok(scoped) => Ok(Heard::Answer(scoped.pdu)),
                Err(why) => Err(SnmpError::Untrusted { peer, why }),
            },
            Some(oid) if oid.arcs().starts_with(NOT_IN_TIME_WINDOW) => {
                // Only the engine itself may set its clock.
                engine.check_digest(datagram, &message).map_err(|why| SnmpError::Untrusted { peer, why })?;
                engine.set_clock(clock.0, clock.1, now);
                Ok(Heard::Again)
            }
            Some(oid) => Err(SnmpError::Reported { peer, why: reason(&oid) }),
        }
    }
}

fn is_answer_to(message: &Message, id: i32) -> bool {
    match message {
        Message::Community { body: Body::Pdu(pdu), .. } => pdu.kind == Kind::Response && pdu.request_id == id,
        Message::Community { .. } => false,
        Message::V3(message) => message.id == id,
    }
}

const USM_STATS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1];
const NOT_IN_TIME_WINDOW: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1, 2];

/// What a report's counter means (RFC 3414, section 5), and what to do about it.
fn reason(oid: &Oid) -> String {
    let which = oid.arcs().strip_prefix(USM_STATS).and_then(|rest| rest.first());
    match which {
        Some(1) => "does not offer that level of security for this user; use another authentication or privacy",
        Some(2) => "finds our clock of it wrong",
        Some(3) => "does not know this user; check the user name",
        Some(4) => "has another engine than it said",
        Some(5) => "does not accept our digest; check the authentication algorithm and password",
        Some(6) => "cannot decrypt our request; check the privacy algorithm and password",
        _ => return format!("refuses the request with a report about {oid}"),
    }
    .to_owned()
}
