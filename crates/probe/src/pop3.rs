//! POP3: does the server greet, encrypt, let us in, and how much is in the mailbox? Fetches and deletes nothing.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Parsed, Security, one_line_problem, parse_line, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `pop3`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pop3 {
    /// When to speak over TLS: off, starttls or on (from the first byte, port 995).
    tls: Security,
    /// User name to sign in with; then the messages of the mailbox are counted.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
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

impl Default for Pop3 {
    fn default() -> Self {
        Pop3 {
            tls: Security::Off,
            user: None,
            password: None,
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

const PORT: u16 = 110;
const TLS_PORT: u16 = 995;
const LINE_LIMIT_BYTES: usize = 4096;

impl Check for Pop3 {
    const NAME: &'static str = "pop3";
    const TITLE: &'static str = "POP3";
    const HELP: &'static str =
        "Greets a mailbox server; where wanted goes over to TLS, signs in, and counts the messages.";
    const TARGET: &'static str = "host and port, for example mail.example.org; port 110, or 995 with tls on";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("user", self.user.as_deref()));
        problems.extend(one_line_problem("password", self.password.as_ref().map(Secret::reveal)));
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("user", "and password are given together"));
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
        let greeting = expect_ok(&mut dialog, "the conversation").await?;
        if self.tls == Security::StartTls {
            dialog.say(b"STLS\r\n").await?;
            expect_ok(&mut dialog, "to go over to TLS").await?;
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        let mut mailbox = None;
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            cx.trace.phase("auth", "waiting to be let in");
            let who = format!("the user {user:?}");
            dialog.say(format!("USER {user}\r\n").as_bytes()).await?;
            expect_ok(&mut dialog, &who).await?;
            dialog.say(format!("PASS {}\r\n", password.reveal()).as_bytes()).await?;
            expect_ok(&mut dialog, &who).await?;
            cx.trace.phase("mailbox", "waiting for the mailbox");
            dialog.say(b"STAT\r\n").await?;
            let said = expect_ok(&mut dialog, "to tell of the mailbox").await?;
            let parsed = parse_stat(said.as_bytes());
            let wrong = || format!("{} counts in no known way: {}", dialog.peer(), excerpt(said.as_bytes()));
            mailbox = Some(parsed.ok_or_else(|| Failure::Peer(wrong()))?);
        }
        let measured = dialog.measured(cx);
        let _ = dialog.say(b"QUIT\r\n").await; // Its goodbye is not waited for.
        Ok(decide(self, &greeting, mailbox, &measured))
    }
}

async fn expect_ok(dialog: &mut Dialog, what: &str) -> Result<String, Failure> {
    dialog
        .next(LINE_LIMIT_BYTES, parse_status)
        .await?
        .map_err(|why| Failure::Peer(format!("{} refuses {what} ({})", dialog.peer(), excerpt(why.as_bytes()))))
}

/// Reads one line: `Ok` for `+OK text`, `Err` for `-ERR text`.
///
/// # Errors
/// When it is neither, as the end of a sentence about the peer.
pub fn parse_status(bytes: &[u8]) -> Parsed<Result<String, String>> {
    let begins = |word: &[u8]| word.starts_with(&bytes[..bytes.len().min(word.len())]);
    if !begins(b"+OK") && !begins(b"-ERR") {
        return Err(format!("does not speak POP3: it said {}", excerpt(bytes)));
    }
    let Some((line, length)) = parse_line(bytes)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&line).into_owned();
    match (text.strip_prefix("+OK"), text.strip_prefix("-ERR")) {
        (Some(rest), _) => Ok(Some((Ok(rest.trim().to_owned()), length))),
        (_, Some(rest)) => Ok(Some((Err(rest.trim().to_owned()), length))),
        _ => Err(format!("does not speak POP3: it said {}", excerpt(&line))),
    }
}

/// What is in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// How many messages.
    pub messages: u64,
    /// How much they weigh together.
    pub bytes: u64,
}

/// Reads the text after +OK of STAT: `3 1204`.
pub fn parse_stat(bytes: &[u8]) -> Option<Mailbox> {
    let mut words = std::str::from_utf8(bytes).ok()?.split_whitespace();
    Some(Mailbox { messages: words.next()?.parse().ok()?, bytes: words.next()?.parse().ok()? })
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Pop3, greeting: &str, mailbox: Option<Mailbox>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let times = (want.warn_time, want.critical_time);
    let Some(mailbox) = mailbox else {
        let sentence = format!("{peer} greets with {}", excerpt(greeting.as_bytes()));
        return measured.outcome("pop3", State::Ok, &sentence, times);
    };
    let bounds = (want.warn_messages.map(|n| n as f64), want.critical_messages.map(|n| n as f64));
    let state = State::when_above(mailbox.messages as f64, bounds.0, bounds.1);
    measured
        .outcome("pop3", state, &format!("{peer} has {} messages in the mailbox", mailbox.messages), times)
        .with("pop3_messages_count", mailbox.messages as f64, "")
        .with("pop3_mailbox_bytes", mailbox.bytes as f64, "bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_count_of_messages_decides() {
        let mailbox = Some(Mailbox { messages: 12, bytes: 4096 });
        for (params, mailbox, state, part) in [
            (json!({}), None, State::Ok, "greets with \"ready\""),
            (json!({}), mailbox, State::Ok, "12 messages"),
            (json!({"warn_messages": 10}), mailbox, State::Warning, "12 messages"),
            (json!({"critical_messages": 10}), mailbox, State::Critical, "12 messages"),
        ] {
            let want: Pop3 = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "m:110".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, "ready", mailbox, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn lines_are_good_bad_or_of_another_protocol() {
        assert_eq!(parse_status(b"+OK ready\r\n"), Ok(Some((Ok("ready".into()), 11))));
        assert_eq!(parse_status(b"-ERR no\r\n"), Ok(Some((Err("no".into()), 9))));
        assert_eq!(parse_status(b"-E"), Ok(None));
        assert!(parse_status(b"* OK imap\r\n").is_err());
        assert_eq!(parse_stat(b"3 1204"), Some(Mailbox { messages: 3, bytes: 1204 }));
        assert_eq!(parse_stat(b"three"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[+]OK \\PC{0,20}\r\n") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = (parse_status(bytes), parse_stat(bytes));
            }
        }
    }
}
