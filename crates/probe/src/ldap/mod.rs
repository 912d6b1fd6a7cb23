//! LDAP: does the directory let us in, and does a search find what it should? Changes nothing.

mod filter;
mod message;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use filter::parse_filter;
pub use message::{Message, parse_message};

use crate::dialog::{Dialog, Measured, Security, problems};
use crate::env::Failure;
use crate::facts::{Conditions, Facts, first_broken, with_named};
use crate::http::Condition;
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::secret::Secret;

/// Parameters of `ldap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ldap {
    /// When to speak over TLS: off, starttls or on (from the first byte, port 636).
    tls: Security,
    /// Distinguished name to sign in with, for example "uid=monitor,ou=people,dc=example,dc=org". Nobody when left out.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Where to search, for example "ou=people,dc=example,dc=org"; "" is the server's own entry. No search when left out.
    base: Option<String>,
    /// How far to search: base, one (level) or sub (tree).
    scope: Scope,
    /// What to search for (RFC 4515).
    filter: String,
    /// Attributes of the first entry and what they must be: {"mail": "~ @example.org$"}.
    attributes: Conditions,
    /// How many entries there must be, for example 1 or ">= 3". At least one when left out; at most 1,000 are counted.
    entries: Option<Condition>,
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

impl Default for Ldap {
    fn default() -> Self {
        Ldap {
            tls: Security::Off,
            user: None,
            password: None,
            base: None,
            scope: Scope::Sub,
            filter: "(objectClass=*)".to_owned(),
            attributes: Conditions::new(),
            entries: None,
            verify: true,
            ca: None,
            warn_time: None,
            critical_time: None,
            family: Family::Any,
        }
    }
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Only the entry itself.
    Base,
    /// The entries right below.
    One,
    /// The entry and everything below.
    Sub,
}

const PORT: u16 = 389;
const TLS_PORT: u16 = 636;
const MAX_ENTRIES: u32 = 1000;
const SIZE_LIMIT_EXCEEDED: u8 = 4;

impl Check for Ldap {
    const NAME: &'static str = "ldap";
    const TITLE: &'static str = "LDAP";
    const HELP: &'static str =
        "Signs in to a directory; where wanted over TLS, and with a search whose entries are counted and judged.";
    const TARGET: &'static str = "host and port, for example ldap.example.org; port 389, or 636 with tls on";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        problems.extend(parse_filter(self.filter.as_bytes()).err().map(|why| ParamError::new("filter", why)));
        // An empty password would be an anonymous sign-in that looks like a good one (RFC 4513, section 5.1.2).
        let password = self.password.as_ref().is_some_and(|password| !password.reveal().is_empty());
        if self.user.is_some() != password {
            problems.push(ParamError::new("user", "and a password that is not empty are given together"));
        }
        if self.base.is_none() && (self.entries.is_some() || !self.attributes.is_empty()) {
            problems.push(ParamError::new("base", "is needed to search"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let port = if self.tls == Security::On { TLS_PORT } else { PORT };
        let mut dialog = Dialog::open(cx, port, self.family).await?;
        if self.tls == Security::On {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        if self.tls == Security::StartTls {
            cx.trace.phase("tls", "waiting to go over to TLS");
            dialog.say(&message::start_tls(1)).await?;
            done(&mut dialog, "to go over to TLS", false).await?;
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("bind", "waiting to be let in");
        let user = self.user.as_deref().unwrap_or_default();
        let password = self.password.as_ref().map_or("", Secret::reveal);
        dialog.say(&message::bind(2, user, password)).await?;
        let who = if user.is_empty() { "anonymous users".to_owned() } else { format!("the user {user:?}") };
        done(&mut dialog, &who, false).await?;
        let mut found = None;
        if let Some(base) = &self.base {
            cx.trace.phase("search", "waiting for what the search finds");
            let filter = parse_filter(self.filter.as_bytes()).map_err(Failure::Local)?;
            let scope = match self.scope {
                Scope::Base => 0,
                Scope::One => 1,
                Scope::Sub => 2,
            };
            let names: Vec<&str> = self.attributes.keys().map(String::as_str).collect();
            // "1.1" asks for no attribute at all.
            let names = if names.is_empty() { vec!["1.1"] } else { names };
            dialog.say(&message::search(3, base, scope, filter, &names, MAX_ENTRIES)).await?;
            found = Some(done(&mut dialog, &format!("to search below {base:?}"), true).await?);
        }
        let measured = dialog.measured(cx);
        let _ = dialog.say(&[0x30, 0x05, 0x02, 0x01, 0x04, 0x42, 0x00]).await; // An unbind, which is not answered.
        Ok(decide(self, found.as_ref(), &measured))
    }
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many entries.
    pub count: u64,
    /// Name and attributes of the first.
    pub first: Option<(String, Facts)>,
}

/// Reads until the operation is done.
async fn done(dialog: &mut Dialog, what: &str, is_search: bool) -> Result<Found, Failure> {
    let mut found = Found::default();
    // A server need not keep to the limit that it is given.
    for _ in 0..2 * MAX_ENTRIES {
        match dialog.next(message::MESSAGE_LIMIT_BYTES + 8, parse_message).await? {
            Message::Entry(name, facts) => {
                found.count += 1;
                found.first.get_or_insert((name, facts));
            }
            Message::Done(0, _) => return Ok(found),
            Message::Done(SIZE_LIMIT_EXCEEDED, _) if is_search && found.count > 0 => return Ok(found),
            Message::Done(code, words) => {
                let words = if words.is_empty() { String::new() } else { format!(": {}", excerpt(words.as_bytes())) };
                let why = format!("{}, code {code}{words}", message::code_in_words(code));
                return Err(Failure::Peer(format!("{} refuses {what} ({why})", dialog.peer())));
            }
            Message::Other => {}
        }
    }
    Err(Failure::Peer(format!("{} does not come to an end with its answer", dialog.peer())))
}

/// The whole judgement of a conversation that went as it should.
pub fn decide(want: &Ldap, found: Option<&Found>, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let times = (want.warn_time, want.critical_time);
    let Some(found) = found else {
        let who = want.user.as_deref().map_or("anybody".to_owned(), |user| format!("the user {user:?}"));
        return measured.outcome("ldap", State::Ok, &format!("{peer} lets {who} in"), times);
    };
    let nothing = Facts::new();
    let facts = found.first.as_ref().map_or(&nothing, |(_, facts)| facts);
    let enough = match &want.entries {
        Some(condition) => condition.holds(&Value::from(found.count)),
        None => found.count > 0,
    };
    let (state, sentence) = if !enough {
        let expected = want.entries.as_ref().map_or("at least one".to_owned(), ToString::to_string);
        (
            State::Critical,
            format!("{peer} finds {} entries for {}, where {expected} is expected", found.count, want.filter),
        )
    } else if let Some(broken) = first_broken(&want.attributes, facts) {
        let name = found.first.as_ref().map_or("", |(name, _)| name.as_str());
        (State::Critical, format!("{peer} finds {}: {broken}", excerpt(name.as_bytes())))
    } else {
        (State::Ok, format!("{peer} finds {} entries for {}", found.count, want.filter))
    };
    let outcome = measured.outcome("ldap", state, &sentence, times).with("ldap_entries_count", found.count as f64, "");
    with_named(outcome, "ldap", &want.attributes, facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_and_attributes_decide() {
        let facts = Facts::from([("mail".to_owned(), "mia@example.org".to_owned())]);
        let one = Found { count: 1, first: Some(("uid=mia".into(), facts)) };
        for (params, found, state, part) in [
            (json!({}), None, State::Ok, "lets anybody in"),
            (json!({"base": ""}), Some(&one), State::Ok, "finds 1 entries"),
            (json!({"base": ""}), Some(&Found::default()), State::Critical, "finds 0 entries"),
            (json!({"base": "", "entries": 0}), Some(&Found::default()), State::Ok, "finds 0 entries"),
            (json!({"base": "", "entries": ">= 2"}), Some(&one), State::Critical, "where >= 2 is expected"),
            (json!({"base": "", "attributes": {"mail": "~ @example.com$"}}), Some(&one), State::Critical, "mail is"),
        ] {
            let want: Ldap = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "l:389".into(), seconds: 0.1, certificate_left_days: None };
            let outcome = decide(&want, found, &measured);
            assert_eq!(outcome.state, state, "{params}");
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }

    #[test]
    fn an_empty_password_is_not_taken_for_a_sign_in() {
        let want: Ldap = serde_json::from_value(json!({"user": "uid=mia", "password": ""})).unwrap();
        assert_eq!(want.problems("l:389")[0].field, "user");
    }
}
