//! Redis: does the server answer PING, in the role and with the figures that are expected? Reads only INFO, writes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialog::{Dialog, Measured, Parsed, problems};
use crate::env::Failure;
use crate::facts::{Conditions, Facts, MAX_FACTS, judge, with_named};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `redis`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// User name (ACL); the default user when left out.
    user: Option<String>,
    /// Password. None is sent when left out.
    password: Option<Secret>,
    /// The role that the server must have: any, master or replica. A replica must also be linked to its master.
    role: Role,
    /// Fields of INFO and what they must be: {"connected_clients": "< 1000", "rdb_last_bgsave_status": "ok"}.
    info: Conditions,
    /// Whether to speak over TLS.
    tls: bool,
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

impl Default for Redis {
    fn default() -> Self {
        Redis {
            user: None,
            password: None,
            role: Role::Any,
            info: Conditions::new(),
            tls: false,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// What a server is among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Either.
    #[default]
    Any,
    /// It takes writes.
    Master,
    /// It follows another.
    Replica,
}

const PORT: u16 = 6379;
const REPLY_LIMIT_BYTES: usize = 256 << 10;

impl Check for Redis {
    const NAME: &'static str = "redis";
    const TITLE: &'static str = "Redis";
    const HELP: &'static str =
        "Signs in, sends PING, reads INFO, and judges role and fields (also of servers that speak the same protocol).";
    const TARGET: &'static str = "host and port, for example cache-1.example.org; port 6379 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        if self.user.is_some() && self.password.is_none() {
            problems.push(ParamError::new("password", "is needed with a user"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("exchange", "waiting for the server's answer");
        if let Some(password) = &self.password {
            let mut words = vec!["AUTH"];
            words.extend(self.user.as_deref());
            words.push(password.reveal());
            dialog.say(&command(&words)).await?;
            if let Reply::Error(why) = dialog.next(REPLY_LIMIT_BYTES, parse_reply).await? {
                return Err(refused(&dialog, "the password", &why));
            }
        }
        dialog.say(&command(&["PING"])).await?;
        match dialog.next(REPLY_LIMIT_BYTES, parse_reply).await? {
            Reply::Text(pong) if pong == b"PONG" => {}
            Reply::Error(why) => return Err(refused(&dialog, "PING", &why)),
            other => {
                let said = format!("{} answers {other:?} to PING", dialog.peer());
                return Err(Failure::Peer(said));
            }
        }
        dialog.say(&command(&["INFO"])).await?;
        let info = match dialog.next(REPLY_LIMIT_BYTES, parse_reply).await? {
            Reply::Text(info) => parse_info(&info),
            Reply::Error(why) => return Err(refused(&dialog, "INFO", &why)),
            _ => Facts::new(),
        };
        Ok(decide(self, &info, &dialog.measured(cx)))
    }
}

fn refused(dialog: &Dialog, what: &str, why: &[u8]) -> Failure {
    Failure::Peer(format!("{} refuses {what} ({})", dialog.peer(), excerpt(why)))
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// One reply (RESP2). Lists are not asked for, so they are no reply here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A simple or a bulk text.
    Text(Vec<u8>),
    /// `-WRONGPASS …`
    Error(Vec<u8>),
    /// A number.
    Integer(i64),
    /// No value.
    Null,
}

/// Reads one reply.
///
/// # Errors
/// When the bytes are no reply, as the end of a sentence about the peer.
pub fn parse_reply(bytes: &[u8]) -> Parsed<Reply> {
    let wrong = || format!("does not speak the Redis protocol: it said {}", excerpt(bytes));
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !matches!(kind, b'+' | b'-' | b':' | b'$') {
        return Err(wrong());
    }
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = &bytes[1..end];
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    let reply = match kind {
        b'+' => Reply::Text(line.to_vec()),
        b'-' => Reply::Error(line.to_vec()),
        b':' => Reply::Integer(number().ok_or_else(wrong)?),
        _ => match number().ok_or_else(wrong)? {
            -1 => Reply::Null,
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= REPLY_LIMIT_BYTES);
                let (begin, length) = (end + 2, length.ok_or_else(wrong)?);
                let Some(text) = bytes.get(begin..begin + length + 2) else { return Ok(None) };
                let text = text.strip_suffix(b"\r\n").ok_or_else(wrong)?;
                return Ok(Some((Reply::Text(text.to_vec()), begin + length + 2)));
            }
        },
    };
    Ok(Some((reply, end + 2)))
}

/// The fields of INFO: lines `name:value`; headings and empty lines are left out.
pub fn parse_info(bytes: &[u8]) -> Facts {
    let text = String::from_utf8_lossy(bytes);
    let fields = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    fields.take(MAX_FACTS).map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// The whole judgement.
pub fn decide(want: &Redis, info: &Facts, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let field = |name: &str| info.get(name).map(String::as_str);
    let role = field("role").unwrap_or("unknown");
    let follows = role == "slave";
    let broken_link = follows && field("master_link_status") == Some("down");
    let (state, end) = match want.role {
        Role::Master if role != "master" => (State::Critical, format!(": its role is {role}, not master")),
        Role::Replica if !follows => (State::Critical, format!(": its role is {role}, not replica")),
        _ if broken_link => (State::Critical, ": its link to its master is down".to_owned()),
        _ => judge(&want.info, info),
    };
    let version = field("redis_version").unwrap_or("of unknown version");
    let sentence = format!("{peer} answers as {role} ({version}){end}");
    let mut outcome = measured.outcome("redis", state, &sentence, (want.warn_time, want.critical_time));
    for (name, reading, unit) in [
        ("connected_clients", "redis_clients_count", ""),
        ("used_memory", "redis_memory_bytes", "bytes"),
        ("maxmemory", "redis_memory_limit_bytes", "bytes"),
        ("uptime_in_seconds", "redis_uptime_seconds", "seconds"),
        ("instantaneous_ops_per_sec", "redis_commands_per_second", ""),
        ("connected_slaves", "redis_replicas_count", ""),
        ("evicted_keys", "redis_evicted_keys_total", ""),
    ] {
        if let Some(value) = field(name).and_then(|value| value.parse().ok()) {
            outcome = outcome.with(reading, value, unit);
        }
    }
    with_named(outcome, "redis", &want.info, info)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn role_link_and_fields_decide() {
        let master = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nconnected_clients:3\r\n";
        let cut_off = "role:slave\r\nmaster_link_status:down\r\n";
        for (params, info, state, part) in [
            (json!({}), master, State::Ok, "answers as master (7.0.15)"),
            (json!({"role": "replica"}), master, State::Critical, "its role is master, not replica"),
            (json!({"role": "master"}), cut_off, State::Critical, "its role is slave, not master"),
            (json!({}), cut_off, State::Critical, "link to its master is down"),
            (json!({"info": {"connected_clients": "< 3"}}), master, State::Critical, "connected_clients is \"3\""),
            (json!({"warn_time": "1ms"}), master, State::Warning, "2.0 ms"),
        ] {
            let want: Redis = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "a:1".into(), seconds: 0.002, certificate_left_days: None };
            let outcome = decide(&want, &parse_info(info.as_bytes()), &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn replies_read_as_they_were_sent() {
        assert_eq!(parse_reply(b"+PONG\r\n"), Ok(Some((Reply::Text(b"PONG".to_vec()), 7))));
        assert_eq!(parse_reply(b"-NOAUTH\r\n"), Ok(Some((Reply::Error(b"NOAUTH".to_vec()), 9))));
        assert_eq!(parse_reply(b"$2\r\nok\r\n+"), Ok(Some((Reply::Text(b"ok".to_vec()), 8))));
        assert_eq!(parse_reply(b"$-1\r\n"), Ok(Some((Reply::Null, 5))));
        assert_eq!(parse_reply(b"$5\r\nhal"), Ok(None));
        for wrong in ["HTTP/1.1 400\r\n", "$x\r\n", "$-2\r\n", "$99999999999\r\n", "$1\r\nabc"] {
            assert!(parse_reply(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[+$:*-]-?[0-9]{0,20}\r\n\\PC{0,9}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(Some((_, length))) = parse_reply(bytes) { prop_assert!(length <= bytes.len()); }
                let _ = parse_info(bytes);
            }
        }
    }
}
