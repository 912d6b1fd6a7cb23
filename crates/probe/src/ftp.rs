//! FTP: does the server greet, encrypt, let us in, and is a file there? Opens no data connection and changes nothing.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialog::{Dialog, Measured, Security, one_line_problem, problems};
use crate::env::Failure;
use crate::outcome::{Outcome, State, in_words};
use crate::params::{Family, ParamError, Span, ordered};
use crate::protocol::{Check, Cx};
use crate::reply::{Reply, parse_reply};
use crate::secret::Secret;

/// Parameters of `ftp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ftp {
    /// When to speak over TLS: off, starttls (AUTH TLS) or on (from the first byte, port 990).
    tls: Security,
    /// User name to sign in with, for example anonymous.
    user: Option<String>,
    /// Password of the user; an empty one when left out.
    password: Option<Secret>,
    /// File that must be there. Needs a user.
    file: Option<String>,
    /// WARNING when the file was changed at least this long ago.
    warn_age: Option<Span>,
    /// CRITICAL when the file was changed at least this long ago.
    critical_age: Option<Span>,
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

impl Default for Ftp {
    fn default() -> Self {
        Ftp {
            tls: Security::Off,
            user: None,
            password: None,
            file: None,
            warn_age: None,
            critical_age: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

const PORT: u16 = 21;
const TLS_PORT: u16 = 990;
const REPLY_LIMIT_BYTES: usize = 64 << 10;

impl Check for Ftp {
    const NAME: &'static str = "ftp";
    const TITLE: &'static str = "FTP";
    const HELP: &'static str =
        "Greets a file server; where wanted goes over to TLS, signs in, and asks for the size and age of a file.";
    const TARGET: &'static str = "host and port, for example ftp.example.org; port 21, or 990 with tls on";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(one_line_problem("user", self.user.as_deref()));
        problems.extend(one_line_problem("password", self.password.as_ref().map(Secret::reveal)));
        problems.extend(one_line_problem("file", self.file.as_deref()));
        if self.user.is_none() && (self.password.is_some() || self.file.is_some()) {
            problems.push(ParamError::new("user", "is needed with a password or a file"));
        }
        if self.file.is_none() && (self.warn_age.is_some() || self.critical_age.is_some()) {
            problems.push(ParamError::new("file", "is needed to judge an age"));
        }
        problems.extend(ordered(("warn_age", "critical_age"), self.warn_age, self.critical_age, |a, b| a > b));
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
        if self.tls == Security::StartTls {
            ask(&mut dialog, "AUTH TLS", "to go over to TLS").await?;
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        let mut file = None;
        if let Some(user) = &self.user {
            cx.trace.phase("auth", "waiting to be let in");
            sign_in(&mut dialog, user, self.password.as_ref()).await?;
        }
        if let Some(name) = &self.file {
            cx.trace.phase("file", "waiting to be told of the file");
            // In the type I a size is one of bytes.
            ask(&mut dialog, "TYPE I", "binary files").await?;
            let size = ask(&mut dialog, &format!("SIZE {name}"), &format!("the size of {name}")).await?;
            let changed = ask(&mut dialog, &format!("MDTM {name}"), &format!("the age of {name}")).await?;
            file = Some(parse_file(&size, &changed).map_err(|why| Failure::Peer(format!("{} {why}", dialog.peer())))?);
        }
        let measured = dialog.measured(cx);
        let _ = dialog.say(b"QUIT\r\n").await; // Its goodbye is not waited for.
        Ok(decide(self, &greeting, file, cx.env.clock.now(), &measured))
    }
}

async fn sign_in(dialog: &mut Dialog, user: &str, password: Option<&Secret>) -> Result<(), Failure> {
    dialog.say(format!("USER {user}\r\n").as_bytes()).await?;
    let reply = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await?;
    match reply.code {
        230 | 232 => return Ok(()), // Let in without a password.
        331 => {}
        _ => return Err(refused(dialog, &format!("the user {user:?}"), &reply)),
    }
    let password = password.map_or("", Secret::reveal);
    ask(dialog, &format!("PASS {password}"), &format!("the user {user:?}")).await.map(|_| ())
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

/// A file as the server tells of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct File {
    /// Its size.
    pub bytes: u64,
    /// When it was changed.
    pub changed: Timestamp,
}

/// From the replies to SIZE and MDTM (RFC 3659): `213 1204` and `213 20261121080000`.
///
/// # Errors
/// The end of a sentence about the peer.
pub fn parse_file(size: &Reply, changed: &Reply) -> Result<File, String> {
    let bytes = size.lines[0].trim().parse().map_err(|_| format!("tells no size, but {}", size.shown()))?;
    let digits = changed.lines[0].trim().split('.').next().unwrap_or_default();
    let time = DateTime::strptime("%Y%m%d%H%M%S", digits).ok().and_then(|time| time.to_zoned(TimeZone::UTC).ok());
    let changed = time.ok_or_else(|| format!("tells no time of change, but {}", changed.shown()))?.timestamp();
    Ok(File { bytes, changed })
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Ftp, greeting: &Reply, file: Option<File>, now: Timestamp, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let times = (want.warn_time, want.critical_time);
    let (Some(file), Some(name)) = (file, &want.file) else {
        let sentence = match &want.user {
            Some(user) => format!("{peer} lets the user {user:?} in"),
            None => format!("{peer} greets with {}", greeting.shown()),
        };
        return measured.outcome("ftp", State::Ok, &sentence, times);
    };
    let age = now.duration_since(file.changed).as_secs_f64().max(0.0);
    let state = State::when_above(age, want.warn_age.map(Span::seconds), want.critical_age.map(Span::seconds));
    let sentence = format!("{peer} has {name}, {} bytes, changed {} ago", file.bytes, in_words(age));
    measured.outcome("ftp", state, &sentence, times).with("ftp_file_bytes", file.bytes as f64, "bytes").with(
        "ftp_file_age_seconds",
        age,
        "seconds",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(text: &str) -> Reply {
        Reply { code: 213, lines: vec![text.into()] }
    }

    #[test]
    fn the_age_of_a_file_decides() {
        let now = "2026-11-21T09:00:00Z".parse().unwrap();
        let file = parse_file(&reply("1204"), &reply("20261121080000.123")).unwrap();
        for (params, state, part) in [
            (json!({"file": "a"}), State::Ok, "has a, 1204 bytes, changed 60 min ago"),
            (json!({"file": "a", "warn_age": "1h"}), State::Warning, "1204 bytes"),
            (json!({"file": "a", "critical_age": "30m"}), State::Critical, "1204 bytes"),
        ] {
            let want: Ftp = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "f:21".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, &reply("ready"), Some(file), now, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn a_size_or_time_that_is_none_is_told() {
        assert!(parse_file(&reply("many"), &reply("20261121080000")).unwrap_err().contains("tells no size"));
        assert!(parse_file(&reply("1"), &reply("20261341080000")).unwrap_err().contains("time of change"));
        assert!(parse_file(&reply("1"), &reply("")).is_err());
    }
}
