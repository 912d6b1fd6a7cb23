//! IMAP: does the server greet, encrypt, let us in, and how many messages are in a mailbox? Changes no message.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Parsed, Security, one_line_problem, parse_line, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `imap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Imap {
    /// When to speak over TLS: off, starttls or on (from the first byte, port 993).
    tls: Security,
    /// User name to sign in with.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Mailbox whose messages are counted, for example INBOX. Needs a user.
    mailbox: Option<String>,
    /// WARNING when the mailbox has at least so many messages.
    warn_messages: Option<u64>,
    /// CRITICAL when the mailbox has at least so many messages.
    critical_messages: Option<u64>,
    /// Whether the server's certificate must be valid for the name.
    verify: bool,
    /// Certificate authorities to trust instead of the system's, as PEM text.
    ca: Option<String>,
    /// WARNING when the whole conversation took at least this long.
    warn_time: Option<Span>,
    /// CRITICAL when the whole conversation took at least this long.
    critical_time: Option<Span>,
    /// Address family to use: any, ipv4 or ipv6.
    family: Family,
}

impl Default for Imap {
    fn default() -> Self {
        Imap {
            tls: Security::Off,
            user: None,
            password: None,
            mailbox: None,
            warn_messages: None,
            critical_messages: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 143;
const TLS_PORT: u16 = 993;
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

impl Check for Imap {
    const NAME: &'static str = "imap";
    const TITLE: &'static str = "IMAP";
    const HELP: &'static str =
        "Greets a mailbox server; where wanted goes over to TLS, signs in, and counts the messages of a mailbox.";
    const TARGET: &'static str = "host and port, for example mail.example.org; port 143, or 993 with tls on";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("user", self.user.as_deref()));
        problems.extend(one_line_problem("password", self.password.as_ref().map(Secret::reveal)));
        problems.extend(one_line_problem("mailbox", self.mailbox.as_deref()));
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("user", "and password are given together"));
        }
        if self.mailbox.is_some() && self.user.is_none() {
            problems.push(ParamError::new("mailbox", "needs a user and a password"));
        }
        let names = ("warn_messages", "critical_messages");
        problems.extend(ordered(names, self.warn_messages, self.critical_messages, |a, b| a > b));
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let port = if self.tls == Security::On { TLS_PORT } else { PORT };
        let mut dialog = Dialog::open(cx, port, self.family).await?;
        if self.tls == Security::On {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("greeting", "waiting for the greeting");
        let greeting = dialog.next(ANSWER_LIMIT_BYTES, parse_greeting).await?;
        if self.tls == Security::StartTls {
            ask(&mut dialog, "STARTTLS", "to go over to TLS").await?;
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        let mut counts = None;
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            cx.trace.phase("auth", "waiting to be let in");
            let command = format!("LOGIN {} {}", quoted(user), quoted(password.reveal()));
            ask(&mut dialog, &command, &format!("the user {user:?}")).await?;
        }
        if let Some(mailbox) = &self.mailbox {
            cx.trace.phase("mailbox", "waiting for the mailbox");
            let command = format!("STATUS {} (MESSAGES UNSEEN)", quoted(mailbox));
            let answer = ask(&mut dialog, &command, &format!("to tell of the mailbox {mailbox:?}")).await?;
            counts = answer.untagged.iter().find_map(|line| parse_status(line.as_bytes()));
            if counts.is_none() {
                return Err(Failure::Peer(format!("{} tells nothing of the mailbox {mailbox:?}", dialog.peer())));
            }
        }
        let measured = dialog.measured(cx);
        let _ = dialog.say(b"z LOGOUT\r\n").await; // Its goodbye is not waited for.
        Ok(decide(self, &greeting, counts, &measured))
    }
}

/// Sends a command and wants OK.
async fn ask(dialog: &mut Dialog, command: &str, what: &str) -> Result<Answer, Failure> {
    dialog.say(format!("{TAG} {command}\r\n").as_bytes()).await?;
    let answer = dialog.next(ANSWER_LIMIT_BYTES, parse_answer).await?;
    if answer.is_ok {
        return Ok(answer);
    }
    Err(Failure::Peer(format!("{} refuses {what} ({})", dialog.peer(), excerpt(answer.text.as_bytes()))))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One command is sent at a time, so all have the same tag.
const TAG: &str = "a";

/// The answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// True for OK; false for NO and BAD.
    pub is_ok: bool,
    /// What stands after the tag.
    pub text: String,
    /// The lines before, without their star.
    pub untagged: Vec<String>,
}

/// Reads the greeting: `* OK text`.
///
/// # Errors
/// When the server refuses or says something else, as the end of a sentence about it.
pub fn parse_greeting(bytes: &[u8]) -> Parsed<String> {
    if !b"* ".starts_with(&bytes[..bytes.len().min(2)]) {
        return Err(format!("does not speak IMAP: it said {}", excerpt(bytes)));
    }
    let Some((line, length)) = parse_line(bytes)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&line[2..]).into_owned();
    match text.split(' ').next() {
        Some("OK" | "PREAUTH") => Ok(Some((text, length))),
        _ => Err(format!("refuses the conversation ({})", excerpt(&line))),
    }
}

/// Reads lines until the one with the tag.
///
/// # Errors
/// When the line with the tag says none of OK, NO and BAD.
pub fn parse_answer(bytes: &[u8]) -> Parsed<Answer> {
    let mut untagged = Vec::new();
    let mut at = 0;
    while let Some((line, length)) = parse_line(&bytes[at..])? {
        at += length;
        let text = String::from_utf8_lossy(&line).into_owned();
        if let Some(rest) = text.strip_prefix("* ") {
            untagged.push(rest.to_owned());
        } else if let Some(rest) = text.strip_prefix(TAG).and_then(|rest| rest.strip_prefix(' ')) {
            let is_ok = match rest.split(' ').next() {
                Some("OK") => true,
                Some("NO" | "BAD") => false,
                _ => return Err(format!("answers neither OK nor NO: {}", excerpt(&line))),
            };
            return Ok(Some((Answer { is_ok, text: rest.to_owned(), untagged }, at)));
        } else if untagged.len() > 1000 {
            return Err("answers with more than 1,000 lines".to_owned());
        }
    }
    Ok(None)
}

/// How many messages a mailbox has, and how many of them are unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub messages: u64,
    /// Those that nobody has read.
    pub unseen: u64,
}

/// Reads `STATUS "INBOX" (MESSAGES 3 UNSEEN 1)`; `None` when it is something else.
pub fn parse_status(bytes: &[u8]) -> Option<Counts> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix("STATUS ")?;
    let (_, list) = text.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    let words: Vec<&str> = list.split_whitespace().collect();
    let value = |name: &str| words.chunks_exact(2).find(|pair| pair[0].eq_ignore_ascii_case(name))?[1].parse().ok();
    Some(Counts { messages: value("MESSAGES")?, unseen: value("UNSEEN")? })
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Imap, greeting: &str, counts: Option<Counts>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let mut state = State::Ok;
    let sentence = match (&want.mailbox, counts) {
        (Some(mailbox), Some(counts)) => {
            let bounds = (want.warn_messages.map(|n| n as f64), want.critical_messages.map(|n| n as f64));
            state = State::when_above(counts.messages as f64, bounds.0, bounds.1);
            format!("{peer} has {} messages in {mailbox}, {} of them unseen", counts.messages, counts.unseen)
        }
        _ if want.user.is_some() => format!("{peer} lets the user in"),
        _ => format!("{peer} greets with {}", excerpt(greeting.as_bytes())),
    };
    let outcome = measured.outcome("imap", state, &sentence, (want.warn_time, want.critical_time));
    match counts {
        Some(counts) => outcome.with("imap_messages_count", counts.messages as f64, "").with(
            "imap_unseen_count",
            counts.unseen as f64,
            "",
        ),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_count_of_messages_decides() {
        let counts = Counts { messages: 12, unseen: 3 };
        for (params, counts, state, part) in [
            (json!({}), None, State::Ok, "greets with \"OK ready\""),
            (json!({"mailbox": "INBOX"}), Some(counts), State::Ok, "12 messages in INBOX, 3 of them unseen"),
            (json!({"mailbox": "INBOX", "warn_messages": 12}), Some(counts), State::Warning, "12 messages"),
            (json!({"mailbox": "INBOX", "critical_messages": 5}), Some(counts), State::Critical, "12 messages"),
        ] {
            let want: Imap = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "m:143".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "OK ready", counts, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn answers_read_as_they_were_sent() {
        let (answer, length) = parse_answer(b"* CAPABILITY IMAP4rev1\r\na OK done\r\n* x").unwrap().unwrap();
        assert_eq!((answer.is_ok, answer.untagged.len(), length), (true, 1, 35));
        assert!(!parse_answer(b"a NO [AUTHENTICATIONFAILED] no\r\n").unwrap().unwrap().0.is_ok);
        assert!(parse_answer(b"a MAYBE\r\n").is_err());
        assert_eq!(parse_status(b"STATUS \"a (b)\" (MESSAGES 3 UNSEEN 1)"), Some(Counts { messages: 3, unseen: 1 }));
        assert_eq!(parse_status(b"STATUS INBOX (MESSAGES x UNSEEN 1)"), None);
        assert!(parse_greeting(b"* BYE full\r\n").unwrap_err().contains("refuses"));
        assert!(parse_greeting(b"+OK pop\r\n").unwrap_err().contains("does not speak IMAP"));
        assert_eq!(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[*a] (OK|STATUS|NO) [(]?\\PC{0,20}[)]?\r\n") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = (parse_greeting(bytes), parse_answer(bytes), parse_status(bytes));
            }
        }
    }
}
