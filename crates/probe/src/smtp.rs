//! SMTP: does the mail server greet, encrypt, let us in and take mail? Sends a mail only when asked to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Security, one_line_problem, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::reply::{Reply, parse_reply};
use crate::secret::Secret;

/// Parameters of `smtp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The name to introduce ourselves with (EHLO).
    hello: String,
    /// When to speak over TLS: off, starttls (must be offered) or on (from the first byte, port 465).
    tls: Security,
    /// User name to sign in with (AUTH PLAIN or LOGIN, whichever is offered).
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Sender to name, for example monitor@example.org. The empty sender of bounces when left out.
    sender: String,
    /// Recipient that must be accepted. No mail is sent unless send_mail is true.
    recipient: Option<String>,
    /// Whether to send the recipient a real mail of a few lines.
    send_mail: bool,
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

impl Default for Smtp {
    fn default() -> Self {
        Smtp {
            hello: "localhost".to_owned(),
            tls: Security::Off,
            user: None,
            password: None,
            sender: String::new(),
            recipient: None,
            send_mail: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 25;
const TLS_PORT: u16 = 465;
const REPLY_LIMIT_BYTES: usize = 64 << 10;

impl Check for Smtp {
    const NAME: &'static str = "smtp";
    const TITLE: &'static str = "SMTP";
    const HELP: &'static str = "Greets a mail server; where wanted goes over to TLS, signs in, asks whether a recipient is accepted, and sends a test mail.";
    const TARGET: &'static str = "host and port, for example mail.example.org:587; port 25, or 465 with tls on";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("hello", Some(&self.hello)));
        problems.extend(one_line_problem("sender", Some(&self.sender)));
        problems.extend(one_line_problem("recipient", self.recipient.as_deref()));
        for (field, address) in [("sender", Some(&self.sender)), ("recipient", self.recipient.as_ref())] {
            if address.is_some_and(|address| address.contains(['<', '>', ' '])) {
                problems.push(ParamError::new(field, "is an address alone, for example monitor@example.org"));
            }
        }
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("user", "and password are given together"));
        }
        if self.send_mail && self.recipient.is_none() {
            problems.push(ParamError::new("send_mail", "needs a recipient"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let port = if self.tls == Security::On { TLS_PORT } else { PORT };
        let mut dialog = Dialog::open(cx, port, self.family).await?;
        if self.tls == Security::On {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("greeting", "waiting for the greeting");
        let greeting = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await?;
        if !greeting.is_done() {
            return Err(refused(&dialog, "the conversation", &greeting));
        }
        let mut offers = self.hello(&mut dialog).await?;
        if self.tls == Security::StartTls {
            if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
                return Err(Failure::Peer(format!("{} does not offer STARTTLS", dialog.peer())));
            }
            ask(&mut dialog, "STARTTLS", "to go over to TLS").await?;
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
            cx.trace.phase("greeting", "waiting for the greeting");
            offers = self.hello(&mut dialog).await?;
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            cx.trace.phase("auth", "waiting to be let in");
            sign_in(&mut dialog, &offers, user, password).await?;
        }
        let mut accepted = None;
        if let Some(recipient) = &self.recipient {
            cx.trace.phase("mail", "waiting for the mail to be accepted");
            accepted = Some(self.mail(&mut dialog, recipient, cx.env.clock.now()).await?);
        }
        let measured = dialog.measured(cx);
        // Whether it says goodbye is its own business: the measurement is done.
        let _ = dialog.say(b"QUIT\r\n").await;
        Ok(decide(self, &greeting, accepted.as_ref(), &measured))
    }
}

impl Smtp {
    /// EHLO, and what the server offers.
    async fn hello(&self, dialog: &mut Dialog) -> Result<Vec<String>, Failure> {
        let reply = ask(dialog, &format!("EHLO {}", self.hello), "EHLO").await?;
        Ok(reply.lines.into_iter().skip(1).collect())
    }

    /// The envelope, and the mail itself where it is wanted. Gives the last reply.
    async fn mail(&self, dialog: &mut Dialog, recipient: &str, now: Timestamp) -> Result<Reply, Failure> {
        ask(dialog, &format!("MAIL FROM:<{}>", self.sender), "the sender").await?;
        let accepted = ask(dialog, &format!("RCPT TO:<{recipient}>"), "the recipient").await?;
        if !self.send_mail {
            ask(dialog, "RSET", "to begin anew").await?;
            return Ok(accepted);
        }
        dialog.say(b"DATA\r\n").await?;
        let go_on = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await?;
        if go_on.code != 354 {
            return Err(refused(dialog, "the mail", &go_on));
        }
        dialog.say(self.text(recipient, now).as_bytes()).await?;
        let taken = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await?;
        if taken.is_done() { Ok(taken) } else { Err(refused(dialog, "the mail", &taken)) }
    }

    /// The test mail. No line of it begins with a dot but the last one.
    fn text(&self, recipient: &str, now: Timestamp) -> String {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let from = if self.sender.is_empty() { "MAILER-DAEMON" } else { &self.sender };
        format!(
            "From: <{from}>\r\nTo: <{recipient}>\r\nSubject: Test mail of a Mainstay check\r\nDate: {date}\r\n\
             Message-ID: <{}.check@{}>\r\nAuto-Submitted: auto-generated\r\n\r\n\
             This mail was sent by a check that tries whether mail is accepted. It needs no answer.\r\n.\r\n",
            now.as_nanosecond(),
            self.hello
        )
    }
}

/// Sends a command and wants it done.
async fn ask(dialog: &mut Dialog, command: &str, what: &str) -> Result<Reply, Failure> {
    dialog.say(format!("{command}\r\n").as_bytes()).await?;
    let reply = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await?;
    if reply.is_done() { Ok(reply) } else { Err(refused(dialog, what, &reply)) }
}

fn refused(dialog: &Dialog, what: &str, reply: &Reply) -> Failure {
    Failure::Peer(format!("{} refuses {what} ({})", dialog.peer(), reply.shown()))
}

async fn sign_in(dialog: &mut Dialog, offers: &[String], user: &str, password: &Secret) -> Result<(), Failure> {
    let ways: Vec<String> = offers
        .iter()
        .filter_map(|offer| offer.strip_prefix("AUTH ").or_else(|| offer.strip_prefix("AUTH=")))
        .flat_map(|ways| ways.split_whitespace().map(str::to_ascii_uppercase))
        .collect();
    let knows = |way: &str| ways.iter().any(|known| known == way);
    let steps = if knows("PLAIN") {
        let proof = STANDARD.encode(format!("\0{user}\0{}", password.reveal()));
        vec![format!("AUTH PLAIN {proof}")]
    } else if knows("LOGIN") {
        vec!["AUTH LOGIN".to_owned(), STANDARD.encode(user), STANDARD.encode(password.reveal())]
    } else {
        let offered = if ways.is_empty() { "none at all".to_owned() } else { ways.join(", ") };
        return Err(Failure::Peer(format!(
            "{} offers no way to sign in that is known here (PLAIN, LOGIN), but {offered}",
            dialog.peer()
        )));
    };
    for (index, step) in steps.iter().enumerate() {
        dialog.say(format!("{step}\r\n").as_bytes()).await?;
        let reply = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await?;
        let wanted = if index + 1 == steps.len() { 235 } else { 334 };
        if reply.code != wanted {
            return Err(refused(dialog, &format!("the user {user:?}"), &reply));
        }
    }
    Ok(())
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Smtp, greeting: &Reply, accepted: Option<&Reply>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let sentence = match (&want.recipient, accepted) {
        (Some(recipient), Some(reply)) if want.send_mail => {
            format!("{peer} took a mail for {recipient} ({})", reply.shown())
        }
        (Some(recipient), Some(_)) => format!("{peer} accepts mail for {recipient}"),
        _ if want.user.is_some() => format!("{peer} lets the user in"),
        _ => format!("{peer} greets with {}", greeting.shown()),
    };
    measured.outcome("smtp", State::Ok, &sentence, (want.warn_time, want.critical_time))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_went_well_is_told_with_its_time() {
        let greeting = Reply { code: 220, lines: vec!["mail.example.org ESMTP".into()] };
        let taken = Reply { code: 250, lines: vec!["OK id=1".into()] };
        for (params, accepted, seconds, state, part) in [
            (json!({}), None, 0.1, State::Ok, "greets with \"220 mail.example.org ESMTP\""),
            (json!({"recipient": "a@b"}), Some(&taken), 0.1, State::Ok, "accepts mail for a@b"),
            (json!({"recipient": "a@b", "send_mail": true}), Some(&taken), 0.1, State::Ok, "took a mail for a@b"),
            (json!({"warn_time": "1s"}), None, 1.5, State::Warning, "1.5 s"),
        ] {
            let want: Smtp = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "m:25".into(), seconds, certificate_left_days: None };
            let outcome = decide(&want, &greeting, accepted, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn an_address_cannot_smuggle_a_command() {
        for (params, field) in [
            (json!({"recipient": "a@b>\r\nDATA"}), "recipient"),
            (json!({"sender": "a@b> SIZE=1"}), "sender"),
            (json!({"hello": "x\r\nQUIT"}), "hello"),
            (json!({"send_mail": true}), "send_mail"),
            (json!({"user": "mia"}), "user"),
        ] {
            let want: Smtp = serde_json::from_value(params.clone()).unwrap();
            assert_eq!(want.problems("m:25")[0].field, field, "{params}");
        }
    }
}
