//! Session: signing in and running one command, over keys that are agreed on. Every loop and every buffer has its limit; what
//! the server says about us is told, and no secret of ours.

use zeroize::Zeroizing;

use super::cipher::{CIPHERS, Direction, MACS, Way};
use super::exchange::{Exchanged, NEWKEYS, SENT, common, next_payload};
use super::key::PrivateKey;
use super::message::{Message, parse_message, parse_questions};
use super::packet::{PACKET_LIMIT_BYTES, packet, string};
use crate::dialog::Dialog;
use crate::env::{Failure, Ran};
use crate::outcome::excerpt;
use crate::secret::Secret;

/// The most that a command may write, complaints included.
pub const OUTPUT_LIMIT_BYTES: usize = 256 << 10;
/// Messages that say nothing, one after the other, before we stop listening.
const MAX_IDLE: usize = 200;

const SERVICE_REQUEST: u8 = 5;
const USERAUTH_REQUEST: u8 = 50;
const INFO_RESPONSE: u8 = 61;
const REQUEST_FAILURE: u8 = 82;
const CHANNEL_OPEN: u8 = 90;
const CHANNEL_EOF: u8 = 96;
const CHANNEL_REQUEST: u8 = 98;
const CHANNEL_FAILURE: u8 = 100;

/// Who signs in, and with what.
pub(super) enum Proof<'a> {
    Password(&'a Secret),
    Key(&'a PrivateKey),
}

/// A conversation that nobody else can read.
pub(super) struct Session<'a> {
    dialog: &'a mut Dialog,
    out: Direction,
    back: Direction,
    /// What signatures are over, so that they are worth nothing elsewhere.
    id: Vec<u8>,
    /// What the server calls our one channel.
    channel: [u8; 4],
}

impl<'a> Session<'a> {
    /// Turns to the agreed keys.
    pub(super) async fn begin(dialog: &'a mut Dialog, mut exchanged: Exchanged) -> Result<Session<'a>, Failure> {
        let offers = &exchanged.offers;
        let names =
            |ciphers: &[String], macs: &[String]| Some((common(CIPHERS, ciphers)?, common(MACS, macs).unwrap_or("")));
        let chosen = names(&offers.ciphers, &offers.macs).zip(names(&offers.ciphers_back, &offers.macs_back));
        let peer = dialog.peer().to_owned();
        let strange = |what: &[String]| {
            let theirs = excerpt(what.join(", ").as_bytes());
            Failure::Peer(format!("{peer} offers no cipher or checksum to sign in over, but {theirs}"))
        };
        let (there, here) = chosen.ok_or_else(|| strange(&offers.ciphers))?;
        dialog.say(&packet(&[NEWKEYS])).await?;
        let payload = next_payload(dialog, &mut exchanged.received).await?;
        if payload != [NEWKEYS] {
            return Err(Failure::Peer(format!("{peer} does not turn to the keys that were agreed on")));
        }
        let (sent, received) = if exchanged.strict { (0, 0) } else { (SENT + 1, exchanged.received) };
        let directions = Direction::new(&exchanged.secrets, Way::Out, there, sent).zip(Direction::new(
            &exchanged.secrets,
            Way::In,
            here,
            received,
        ));
        let (out, back) = directions.ok_or_else(|| strange(&exchanged.offers.macs))?;
        Ok(Session { dialog, out, back, id: exchanged.secrets.hash, channel: OUR_CHANNEL })
    }

    async fn say(&mut self, parts: &[&[u8]]) -> Result<(), Failure> {
        let payload = Zeroizing::new(parts.concat());
        let sealed = self.out.seal(&payload);
        self.dialog.say(&sealed).await
    }

    /// The next message that matters.
    async fn hear(&mut self) -> Result<Message, Failure> {
        const LONGEST_PROOF_BYTES: usize = 64;
        let peer = |session: &Session<'_>| session.dialog.peer().to_owned();
        for _ in 0..MAX_IDLE {
            let back = &self.back;
            let opened =
                self.dialog.next(4 + PACKET_LIMIT_BYTES + LONGEST_PROOF_BYTES, |bytes| back.open(bytes)).await?;
            self.back.opened(&opened);
            let damaged = || Failure::Peer(format!("{} says something damaged", peer(self)));
            match parse_message(&opened.payload).ok_or_else(damaged)? {
                Message::Nothing => {}
                Message::Wants { global: true } => self.say(&[&[REQUEST_FAILURE]]).await?,
                Message::Wants { global: false } => self.say(&[&[CHANNEL_FAILURE], &{ self.channel }]).await?,
                Message::BreaksOff(why) => {
                    return Err(Failure::Peer(format!("{} breaks off ({})", peer(self), excerpt(why.as_bytes()))));
                }
                Message::NewKeys => {
                    return Err(Failure::Peer(format!("{} wants new keys after so little was said", peer(self))));
                }
                message => return Ok(message),
            }
        }
        Err(Failure::Peer(format!("{} goes on without saying anything", peer(self))))
    }

    /// Signs in.
    ///
    /// # Errors
    /// [`Failure::Peer`] with what the server would take instead.
    pub(super) async fn sign_in(&mut self, user: &str, proof: &Proof<'_>) -> Result<(), Failure> {
        self.say(&[&[SERVICE_REQUEST], &string(b"ssh-userauth")]).await?;
        if self.hear().await? != Message::Accepted {
            return Err(self.odd("being asked to let somebody in"));
        }
        let ask = |way: &[u8]| {
            [&[USERAUTH_REQUEST][..], &string(user.as_bytes()), &string(b"ssh-connection"), &string(way)].concat()
        };
        let heard = match proof {
            Proof::Key(key) => {
                let named = [string(key.algorithm().as_bytes()), string(key.public())].concat();
                let request = [&ask(b"publickey")[..], &[1], &named].concat();
                let signature = key.sign(&[string(&self.id), request.clone()].concat());
                let signature = signature.ok_or_else(|| Failure::Local("the private key signs nothing".to_owned()))?;
                self.say(&[&request, &string(&signature)]).await?;
                self.hear().await?
            }
            Proof::Password(password) => {
                let words = Zeroizing::new(string(password.reveal().as_bytes()));
                self.say(&[&ask(b"password"), &[0], &words]).await?;
                match self.hear().await? {
                    // Where PAM asks, some servers know only questions.
                    Message::Refused { ways, .. }
                        if ways.iter().any(|way| way == "keyboard-interactive")
                            && !ways.iter().any(|way| way == "password") =>
                    {
                        self.say(&[&ask(b"keyboard-interactive"), &string(b""), &string(b"")]).await?;
                        self.answer_questions(&words).await?
                    }
                    heard => heard,
                }
            }
        };
        let peer = self.dialog.peer();
        match heard {
            Message::SignedIn => Ok(()),
            Message::Refused { partly: true, ways } => Err(Failure::Peer(format!(
                "{peer} wants more than one proof of {user:?} ({} besides), which a check cannot give",
                excerpt(ways.join(", ").as_bytes())
            ))),
            Message::Refused { ways, .. } => {
                let what = if matches!(proof, Proof::Key(_)) { "key" } else { "password" };
                let ways = excerpt(ways.join(", ").as_bytes());
                Err(Failure::Peer(format!("{peer} does not let {user:?} in with this {what} (it takes {ways})")))
            }
            Message::Asks(_) => Err(Failure::Peer(format!("{peer} wants a new password of {user:?}"))),
            _ => Err(self.odd("a proof of who we are")),
        }
    }

    /// Answers with the password where one thing is asked, and with nothing where nothing is.
    async fn answer_questions(&mut self, words: &[u8]) -> Result<Message, Failure> {
        let mut left = Some(words);
        for _ in 0..4 {
            let questions = match self.hear().await? {
                Message::Asks(questions) => questions,
                heard => return Ok(heard),
            };
            match parse_questions(&questions) {
                Some(0) => self.say(&[&[INFO_RESPONSE], &[0; 4]]).await?,
                Some(1) if let Some(words) = left.take() => self.say(&[&[INFO_RESPONSE], &[0, 0, 0, 1], words]).await?,
                _ => break,
            }
        }
        Err(Failure::Peer(format!("{} asks more than a password", self.dialog.peer())))
    }

    /// Runs the command, with nothing for it to read.
    pub(super) async fn run(&mut self, command: &str) -> Result<Ran, Failure> {
        let window = u32::try_from(OUTPUT_LIMIT_BYTES).expect("the limit is small").to_be_bytes();
        let largest = 32_768u32.to_be_bytes();
        self.say(&[&[CHANNEL_OPEN], &string(b"session"), &OUR_CHANNEL, &window, &largest]).await?;
        let peer = self.dialog.peer().to_owned();
        match self.hear().await? {
            Message::Opened { theirs } => self.channel = theirs.to_be_bytes(),
            Message::NotOpened(why) => {
                return Err(Failure::Peer(format!("{peer} opens no session ({})", excerpt(why.as_bytes()))));
            }
            _ => return Err(self.odd("being asked for a session")),
        }
        let channel = self.channel;
        self.say(&[&[CHANNEL_REQUEST], &channel, &string(b"exec"), &[1], &string(command.as_bytes())]).await?;
        match self.hear().await? {
            Message::Done => {}
            Message::NotDone => return Err(Failure::Peer(format!("{peer} does not run commands for this user"))),
            _ => return Err(self.odd("being asked to run a command")),
        }
        self.say(&[&[CHANNEL_EOF], &channel]).await?;
        self.collect(&peer).await
    }

    async fn collect(&mut self, peer: &str) -> Result<Ran, Failure> {
        let mut ran = Ran { code: None, stdout: Vec::new(), stderr: Vec::new(), cost: None };
        let (mut has_ended, mut is_silent) = (false, false);
        loop {
            match self.hear().await? {
                Message::Output(bytes) => ran.stdout.extend_from_slice(&bytes),
                Message::Complaint(bytes) => ran.stderr.extend_from_slice(&bytes),
                Message::Ended(code) => {
                    ran.code = Some(i32::try_from(code).unwrap_or(i32::MAX));
                    has_ended = true;
                }
                Message::Killed(_) => has_ended = true,
                Message::Silent => is_silent = true,
                Message::Closed => break,
                _ => return Err(self.odd("a command that runs")),
            }
            if ran.stdout.len() + ran.stderr.len() >= OUTPUT_LIMIT_BYTES {
                let most = OUTPUT_LIMIT_BYTES >> 10;
                return Err(Failure::Local(format!(
                    "the command on {peer} writes {most} KiB and more; let it write less"
                )));
            }
            if has_ended && is_silent {
                break;
            }
        }
        if !has_ended {
            return Err(Failure::Peer(format!("{peer} closes the session without saying how the command ended")));
        }
        Ok(ran)
    }

    fn odd(&self, after: &str) -> Failure {
        Failure::Peer(format!("{} answers something else than SSH has after {after}", self.dialog.peer()))
    }
}

/// What we call it.
const OUR_CHANNEL: [u8; 4] = [0; 4];
