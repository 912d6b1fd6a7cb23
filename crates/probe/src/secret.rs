//! Secret: a password or token that a check is given. It is never shown: not by `Debug`, not in JSON, not in a sentence.
//!
//! One that was entered for a destination goes to no other ([`misplaced`]), however the check was edited since.
//! [`Veiled`] is the last wall: a peer may say back what it was told, so the words of every outcome are searched for it,
//! also as base64, hexadecimal and JSON write it, and where a cut has left only its beginning.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::outcome::{Outcome, hex};
use crate::params::ParamError;
use crate::target::{parse_host_port, parse_web_address};

/// A password, token or shared secret. Wiped from memory when dropped.
///
/// As a parameter it is a text, or a text with the place it was entered for: `{"value": "…", "for": "db-1.example.org"}`
/// or, with a port, `"for": "db-1.example.org:5432"`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Equal, found out in a time that tells nothing of where they differ: for proofs that somebody could guess at.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |apart, (a, b)| apart | (a ^ b)) == 0
}

/// The names that parameters of this type have, in every protocol; `registry` tests that it is complete.
pub(crate) const NAMES: &[&str] = &[
    "auth_password",
    "client_key",
    "community",
    "passphrase",
    "password",
    "privacy_password",
    "private_key",
    "proxy_password",
    "secret",
    "token",
];

impl Secret {
    /// A secret of that text.
    pub fn new(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }

    /// The text itself, to be sent to the peer and nowhere else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A default is shown in a schema, and must not be one.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Value::deserialize(deserializer)?;
        match text_of(&given) {
            Some(text) if text.len() <= LONGEST_BYTES => Ok(Secret::new(text)),
            // The value stays unsaid.
            _ => Err(serde::de::Error::custom("must be a text of at most 16 KiB")),
        }
    }
}

/// Private keys are the longest.
const LONGEST_BYTES: usize = 16 << 10;

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", "x-secret": true })
    }
}

fn text_of(given: &Value) -> Option<&str> {
    match given {
        Value::String(text) => Some(text),
        Value::Object(bound) if bound.contains_key("for") => bound.get("value")?.as_str(),
        _ => None,
    }
}

/// Every secret among these parameters that was entered for another place than the one it would go to.
pub(crate) fn misplaced(target: &str, params: &Value) -> Vec<ParamError> {
    let mut errors = Vec::new();
    for name in NAMES {
        let Some(bound) = params.get(*name).and_then(|given| given.get("for")) else { continue };
        let goes_to = if *name == "proxy_password" {
            params.get("proxy").and_then(Value::as_str).unwrap_or_default()
        } else {
            target
        };
        let meant = bound.as_str().and_then(place);
        let actual = place(goes_to);
        let fits = match (&meant, &actual) {
            (Some((host, port)), Some((goes, at))) => host.eq_ignore_ascii_case(goes) && (port.is_none() || port == at),
            _ => false,
        };
        if !fits {
            let meant = bound.as_str().unwrap_or("another place");
            errors.push(ParamError::new(
                name,
                format!("was entered for {meant} and is sent nowhere else; enter it again"),
            ));
        }
    }
    errors
}

/// Host and port that a target names.
fn place(target: &str) -> Option<(String, Option<u16>)> {
    if let Ok(url) = parse_web_address(target.as_bytes()) {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        return Some((host, url.port_or_known_default()));
    }
    let named = parse_host_port(target.as_bytes()).ok()?;
    Some((named.host, named.port))
}

/// The parameters as they may be shown.
pub(crate) fn shown(params: &Value) -> Value {
    let mut shown = params.clone();
    for name in NAMES {
        if let Some(value) = shown.get_mut(*name).filter(|value| !value.is_null()) {
            *value = Value::from("(secret)");
        }
    }
    if let Some(headers) = shown.get_mut("send_headers").and_then(Value::as_object_mut) {
        for (_, value) in headers.iter_mut().filter(|(name, _)| is_credential(name)) {
            *value = Value::from("(secret)");
        }
    }
    shown
}

/// Whether a header of that name carries a credential.
pub(crate) fn is_credential(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    ["auth", "cookie", "token", "key", "secret", "password", "signature"].iter().any(|part| name.contains(part))
}

/// The secrets among a check's parameters, kept to take them out of what is said.
pub(crate) struct Veiled(Box<[String]>);

impl Veiled {
    /// Those of these parameters.
    pub(crate) fn of(params: &Value) -> Veiled {
        Veiled(forms(params).into())
    }

    /// Takes them out of the outcome's sentence and labels.
    pub(crate) fn veil(&self, outcome: &mut Outcome) {
        if self.0.is_empty() {
            return;
        }
        outcome.summary = self.hide(&outcome.summary);
        for value in outcome.readings.iter_mut().flat_map(|reading| reading.labels.values_mut()) {
            *value = self.hide(value);
        }
    }

    /// The text without any of them.
    pub(crate) fn hide(&self, text: &str) -> String {
        hide(text, &self.0)
    }
}

/// Every form in which a secret of these parameters may come back, the longest first.
fn forms(params: &Value) -> Vec<String> {
    let mut plain: Vec<&str> = NAMES.iter().filter_map(|name| text_of(params.get(*name)?)).collect();
    let headers = params.get("send_headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten().filter(|(name, _)| is_credential(name)) {
        let Some(value) = value.as_str() else { continue };
        plain.push(value);
        // The scheme is no secret, what follows it is one also when it comes back alone.
        plain.extend(value.split_once(' ').map(|(_, rest)| rest).filter(|_| name.len() > 3));
    }
    plain.retain(|secret| !secret.is_empty());
    let user = params.get("user").or_else(|| params.get("proxy_user")).and_then(Value::as_str).unwrap_or_default();
    let mut forms: Vec<String> = Vec::new();
    for secret in plain {
        let quoted = Value::from(secret).to_string();
        let debug = format!("{secret:?}");
        forms.extend([
            secret.to_owned(),
            quoted[1..quoted.len() - 1].to_owned(),
            debug[1..debug.len() - 1].to_owned(),
            STANDARD.encode(secret),
            STANDARD.encode(format!("{user}:{secret}")),
            STANDARD.encode(format!("\0{user}\0{secret}")),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            hex(secret.as_bytes(), ""),
        ]);
    }
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    forms
}

fn hide(text: &str, forms: &[String]) -> String {
    let mut text = text.to_owned();
    for form in forms {
        if text.contains(form.as_str()) {
            text = text.replace(form.as_str(), HIDDEN);
        }
        text = hide_beginning(text, form);
    }
    text
}

const HIDDEN: &str = "(secret)";

/// Hides the beginning of a secret that stands before a cut (`…`): what is shown of a peer's words is shortened first.
fn hide_beginning(text: String, secret: &str) -> String {
    const LEAST_CHARS: usize = 3;
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(cut) = rest.find('…') {
        let before = &rest[..cut];
        let begins = secret
            .char_indices()
            .skip(LEAST_CHARS)
            .map(|(at, _)| at)
            .filter(|at| before.ends_with(&secret[..*at]))
            .last();
        match begins {
            Some(length) => {
                hidden.push_str(&before[..cut - length]);
                hidden.push_str(HIDDEN);
            }
            None => hidden.push_str(before),
        }
        hidden.push('…');
        rest = &rest[cut + '…'.len_utf8()..];
    }
    hidden.push_str(rest);
    hidden
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::outcome::{State, excerpt};

    fn told(summary: &str, params: &Value) -> String {
        veiled(Outcome::new(State::Ok, summary), params).summary
    }

    fn veiled(mut outcome: Outcome, params: &Value) -> Outcome {
        Veiled::of(params).veil(&mut outcome);
        outcome
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = serde_json::from_value(json!("hunter2")).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
        for wrong in [json!(4711), json!(["4711"]), json!({"value": "4711"})] {
            let wrong = serde_json::from_value::<Secret>(wrong).unwrap_err();
            assert!(!wrong.to_string().contains("4711"), "{wrong}");
        }
    }

    #[test]
    fn what_a_peer_says_back_is_veiled() {
        let params = json!({"user": "mia", "password": "hunter2"});
        assert_eq!(told("it said \"no hunter2 here\"", &params), "it said \"no (secret) here\"");
        assert_eq!(told("mia", &json!({"user": "mia", "password": ""})), "mia");
        assert_eq!(told("Basic bWlhOmh1bnRlcjI=", &params), "Basic (secret)");
        assert_eq!(told("68756e74657232", &params), "(secret)");
        assert_eq!(told("it said \"PASS hunt…\"", &params), "it said \"PASS (secret)…\"");
        assert_eq!(told("a h…", &params), "a h…", "a letter or two tell nothing");
        let header =
            json!({"send_headers": {"Authorization": "Bearer abcdef", "X-Api-Key": "k-123", "Accept": "text/html"}});
        assert_eq!(told("abcdef, k-123, text/html", &header), "(secret), (secret), text/html");
        assert_eq!(shown(&header)["send_headers"]["Authorization"], "(secret)");
        assert_eq!(shown(&header)["send_headers"]["Accept"], "text/html");
        let outcome = Outcome::new(State::Ok, "").with_labels("a", 1.0, "", &[("said", "hunter2")]);
        assert_eq!(veiled(outcome, &params).readings[0].labels["said"], "(secret)");
    }

    #[test]
    fn a_secret_goes_only_where_it_was_entered_for() {
        let bound = |place: &str| json!({"password": {"value": "hunter2", "for": place}});
        for (target, place, goes) in [
            ("db-1.example.org", "db-1.example.org", true),
            ("DB-1.example.org:5432", "db-1.example.org", true),
            ("db-1.example.org:5432", "db-1.example.org:5432", true),
            ("db-1.example.org:5433", "db-1.example.org:5432", false),
            ("db-1.example.org.evil.example", "db-1.example.org", false),
            ("https://api.example.org/a", "api.example.org", true),
            ("https://api.example.org/a", "api.example.org:443", true),
            ("http://api.example.org/a", "api.example.org:443", false),
            ("https://[2001:db8::1]/", "2001:db8::1", true),
            ("https://evil.example/?api.example.org", "api.example.org", false),
            ("", "db-1.example.org", false),
        ] {
            assert_eq!(misplaced(target, &bound(place)).is_empty(), goes, "{target} {place}");
        }
        assert!(misplaced("anywhere", &json!({"password": "hunter2"})).is_empty());
        let way = json!({"proxy": "proxy:3128", "proxy_password": {"value": "x", "for": "proxy"}});
        assert!(misplaced("far.example", &way).is_empty());
        let secret: Secret = serde_json::from_value(json!({"value": "hunter2", "for": "a"})).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
    }

    proptest! {
        #[test]
        fn no_excerpt_shows_more_than_three_letters_of_a_secret(before in "[ -~]{0,80}", secret in "[a-zA-Z0-9]{8,60}") {
            let words = format!("{before}{secret} and more");
            let summary = told(&format!("it said {}", excerpt(words.as_bytes())), &json!({"password": secret}));
            let leaks = secret.as_bytes().windows(6).any(|part| {
                let part = std::str::from_utf8(part).unwrap();
                summary.contains(part) && !before.contains(part)
            });
            prop_assert!(!leaks, "{summary}");
        }
    }
}
