//! MongoDB: does a server answer `hello`, in the role that is expected, and are its figures so? Reads; writes nothing.
//!
//! Proven on recorded answers: no server of it can be installed where the tests run. Its documents are checked against
//! those of another library, and the proof of the password against the numbers of RFC 7677.

mod bson;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use bson::{parse_document, parse_message};

use crate::dialog::{Dialog, Measured, one_line_problem, problems};
use crate::env::{Failure, random};
use crate::facts::{Conditions, Facts, MAX_FACTS, judge, with_named};
use crate::outcome::{Outcome, State, excerpt};
use crate::params::{Family, ParamError, Span};
use crate::protocol::{Check, Cx};
use crate::scram;
use crate::secret::Secret;

/// Parameters of `mongodb`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mongodb {
    /// The role that the server must have: any, primary, secondary, standalone or router.
    role: Role,
    /// Name of the replica set that it must belong to.
    replica_set: Option<String>,
    /// User name (SCRAM-SHA-256). Only `hello` is asked when left out.
    user: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Database that the user is known in.
    auth_database: String,
    /// Figures of serverStatus and what they must be, with dots between the parts: {"connections.current": "< 500"}.
    /// They need a user that may read them.
    values: Conditions,
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

impl Default for Mongodb {
    fn default() -> Self {
        Mongodb {
            role: Role::Any,
            replica_set: None,
            user: None,
            password: None,
            auth_database: "admin".to_owned(),
            values: Conditions::new(),
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
    /// Whatever it is; but one that is neither is told.
    #[default]
    Any,
    /// It takes the writes of a replica set.
    Primary,
    /// It follows a primary.
    Secondary,
    /// It is alone.
    Standalone,
    /// It passes questions on to shards.
    Router,
}

const PORT: u16 = 27017;
const MESSAGE_LIMIT_BYTES: usize = 4 << 20;

impl Check for Mongodb {
    const NAME: &'static str = "mongodb";
    const TITLE: &'static str = "MongoDB";
    const HELP: &'static str = "Greets a server with hello, judges its role and replica set, and where wanted signs in and judges serverStatus. Proven on recorded answers.";
    const TARGET: &'static str = "host and port, for example mongo-1.example.org; port 27017 when none is named";

    fn problems(&self, target: &str) -> Vec<ParamError> {
        let mut problems = problems(target, self.ca.as_deref(), (self.warn_time, self.critical_time));
        if self.user.is_some() != self.password.is_some() {
            problems.push(ParamError::new("password", "and user come together"));
        }
        problems.extend(one_line_problem("user", self.user.as_deref()));
        if !self.values.is_empty() && self.user.is_none() {
            problems.push(ParamError::new("values", "need a user that may read them"));
        }
        problems
    }

    async fn run<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Outcome, Failure> {
        let mut dialog = Dialog::open(cx, PORT, self.family).await?;
        if self.tls {
            dialog = dialog.secure(cx, self.verify, self.ca.as_deref()).await?;
        }
        cx.trace.phase("exchange", "waiting for the server's answer");
        let hello = command(&mut dialog, 1, &json!({"hello": 1, "$db": "admin"})).await?;
        let mut status = Value::Null;
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            self.sign_in(&mut dialog, user, password).await?;
            if !self.values.is_empty() {
                status = command(&mut dialog, 9, &json!({"serverStatus": 1, "$db": "admin"})).await?;
            }
        }
        Ok(decide(self, &hello, &flat(&status), &dialog.measured(cx)))
    }
}

impl Mongodb {
    async fn sign_in(&self, dialog: &mut Dialog, user: &str, password: &Secret) -> Result<(), Failure> {
        let nonce = STANDARD_NO_PAD.encode(random::<18>()?);
        let peer = dialog.peer().to_owned();
        let first = format!("n,,n={},r={nonce}", scram::name(user));
        let start = json!({"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": {"$binary": first},
            "options": {"skipEmptyExchange": true}, "$db": self.auth_database});
        let challenge = command(dialog, 2, &start).await?;
        let payload = challenge["payload"].as_str().unwrap_or_default();
        let last = scram::answer_as(scram::SHA_256, user, &nonce, password.reveal(), payload.as_bytes())
            .map_err(|why| Failure::Peer(format!("{peer} {why}")))?;
        let proof = json!({"saslContinue": 1, "conversationId": challenge["conversationId"],
            "payload": {"$binary": last.message}, "$db": self.auth_database});
        let done = command(dialog, 3, &proof).await?;
        if done["payload"].as_str() != Some(last.expected.as_str()) {
            return Err(Failure::Peer(format!(
                "{peer} does not prove that it knows the password; is it the right server?"
            )));
        }
        Ok(())
    }
}

/// Sends a command and reads its document. One that failed is told with the server's words.
async fn command(dialog: &mut Dialog, id: u32, words: &Value) -> Result<Value, Failure> {
    dialog.say(&bson::message(id, words)).await?;
    let answer = dialog.next(MESSAGE_LIMIT_BYTES, parse_message).await?;
    if answer["ok"].as_f64() == Some(1.0) {
        return Ok(answer);
    }
    let name = words.as_object().and_then(|words| words.keys().next()).map(String::as_str).unwrap_or_default();
    let what = if name.starts_with("sasl") { "the user" } else { name };
    let why = answer["errmsg"].as_str().unwrap_or("without a reason");
    Err(Failure::Peer(format!("{} refuses {what} ({})", dialog.peer(), excerpt(why.as_bytes()))))
}

/// The figures of a document with dots between the parts of their names.
fn flat(document: &Value) -> Facts {
    let mut facts = Facts::new();
    let mut waiting = vec![(String::new(), document)];
    while let Some((name, value)) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    waiting.push((if name.is_empty() { field.clone() } else { format!("{name}.{field}") }, value));
                }
            }
            Value::Array(_) | Value::Null => {}
            Value::String(text) => _ = facts.insert(name, text.clone()),
            other => _ = facts.insert(name, other.to_string()),
        }
        if facts.len() >= MAX_FACTS {
            break;
        }
    }
    facts
}

/// The whole judgement.
pub fn decide(want: &Mongodb, hello: &Value, status: &Facts, measured: &Measured) -> Outcome {
    let peer = &measured.peer;
    let is = |field: &str| hello[field] == true;
    let set = hello["setName"].as_str();
    let (role, name) = if hello["msg"] == "isdbgrid" {
        (Some(Role::Router), "router")
    } else if is("isWritablePrimary") || is("ismaster") {
        if set.is_some() { (Some(Role::Primary), "primary") } else { (Some(Role::Standalone), "standalone") }
    } else if is("secondary") {
        (Some(Role::Secondary), "secondary")
    } else if is("arbiterOnly") {
        (Some(Role::Any), "arbiter")
    } else {
        (None, "neither primary nor secondary (starting, recovering or removed)")
    };
    let set_of = set.map(|set| format!(" of {set}")).unwrap_or_default();
    let (state, end) = if role.is_none() || (want.role != Role::Any && role != Some(want.role)) {
        let wanted = serde_json::to_value(want.role).unwrap_or_default();
        let wanted = wanted.as_str().filter(|_| want.role != Role::Any);
        (State::Critical, wanted.map(|wanted| format!(", where {wanted} is expected")).unwrap_or_default())
    } else if want.replica_set.is_some() && want.replica_set.as_deref() != set {
        (State::Critical, format!(", where the replica set {} is expected", want.replica_set.as_deref().unwrap_or("")))
    } else {
        judge(&want.values, status)
    };
    let wire = hello["maxWireVersion"].as_f64();
    let sentence = format!("{peer} is {name}{set_of}{end}");
    let mut outcome = measured.outcome("mongodb", state, &sentence, (want.warn_time, want.critical_time));
    if let Some(wire) = wire {
        outcome = outcome.with("mongodb_wire_version", wire, "");
    }
    if let Some(hosts) = hello["hosts"].as_array() {
        outcome = outcome.with("mongodb_replica_set_members_count", hosts.len() as f64, "");
    }
    with_named(outcome, "mongodb", &want.values, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_set_and_figures_decide() {
        let primary = json!({"isWritablePrimary": true, "setName": "rs0", "hosts": ["a", "b", "c"], "maxWireVersion": 21, "ok": 1.0});
        let alone = json!({"isWritablePrimary": true, "ok": 1.0});
        let secondary = json!({"isWritablePrimary": false, "secondary": true, "setName": "rs0", "ok": 1.0});
        let starting = json!({"isWritablePrimary": false, "secondary": false, "setName": "rs0"});
        for (params, hello, state, part) in [
            (json!({}), &primary, State::Ok, "is primary of rs0"),
            (json!({"role": "primary"}), &secondary, State::Critical, "is secondary of rs0, where primary is expected"),
            (json!({"role": "standalone"}), &alone, State::Ok, "is standalone"),
            (json!({}), &starting, State::Critical, "neither primary nor secondary"),
            (json!({}), &json!({"isWritablePrimary": true, "msg": "isdbgrid"}), State::Ok, "is router"),
            (json!({"replica_set": "rs1"}), &primary, State::Critical, "the replica set rs1 is expected"),
            (
                json!({"values": {"connections.current": "< 5"}}),
                &primary,
                State::Critical,
                "connections.current is \"7\"",
            ),
        ] {
            let want: Mongodb = serde_json::from_value(params.clone()).unwrap();
            let measured = Measured { peer: "m:27017".into(), seconds: 0.1, certificate_left_days: None };
            let status = flat(&json!({"connections": {"current": 7}, "host": "m", "x": [1]}));
            let outcome = decide(&want, hello, &status, &measured);
            assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
        }
    }
}
