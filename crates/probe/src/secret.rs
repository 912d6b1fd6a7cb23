//! Secret: a password or token that a check is given. It is never shown: not by `Debug`, not in JSON, not in a sentence.
//!
//! [`Veiled`] is the last wall: a peer may say back what it was told, so the words of every outcome are searched for it.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

/// A password, token or shared secret. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// The names that parameters of this type have, in every protocol; `registry` tests that it is complete.
pub(crate) const NAMES: &[&str] = &["auth_password", "community", "password", "privacy_password", "secret", "token"];

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
        match Value::deserialize(deserializer)? {
            Value::String(text) if text.len() <= 1024 => Ok(Secret(Zeroizing::new(text))),
            // The value stays unsaid.
            _ => Err(serde::de::Error::custom("must be a text of at most 1,024 bytes")),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", "x-secret": true })
    }
}

/// The secrets among a check's parameters, kept to take them out of what is said.
pub(crate) struct Veiled(Box<[Secret]>);

impl Veiled {
    /// Those of these parameters.
    pub(crate) fn of(params: &Value) -> Veiled {
        let given = NAMES.iter().filter_map(|name| params.get(*name)?.as_str()).filter(|secret| !secret.is_empty());
        Veiled(given.map(Secret::new).collect())
    }

    /// The sentence without any of them.
    pub(crate) fn veil(&self, sentence: String) -> String {
        self.0.iter().map(Secret::reveal).fold(sentence, |sentence, secret| {
            if sentence.contains(secret) { sentence.replace(secret, "(secret)") } else { sentence }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = serde_json::from_value(json!("hunter2")).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
        let wrong = serde_json::from_value::<Secret>(json!(4711)).unwrap_err();
        assert!(!wrong.to_string().contains("4711"), "{wrong}");
    }

    #[test]
    fn what_a_peer_says_back_is_veiled() {
        let params = json!({"user": "mia", "password": "hunter2"});
        let veiled = Veiled::of(&params);
        assert_eq!(veiled.veil("it said \"no hunter2 here\"".to_owned()), "it said \"no (secret) here\"");
        assert_eq!(Veiled::of(&json!({"user": "mia", "password": ""})).veil("mia".to_owned()), "mia");
    }
}
