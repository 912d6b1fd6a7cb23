//! Status: which status codes are expected: `200`, `"2xx"`, `[200, 301, "4xx"]`. Pure.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The status codes that are fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status(Vec<Codes>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    One(u16),
    /// All from 100 times it, as `2xx`.
    Class(u16),
}

impl Default for Status {
    fn default() -> Self {
        Status(vec![Codes::Class(2)])
    }
}

impl Status {
    /// Whether the code is among them.
    pub fn accepts(&self, code: u16) -> bool {
        self.0.iter().any(|codes| match codes {
            Codes::One(one) => *one == code,
            Codes::Class(class) => code / 100 == *class,
        })
    }

    fn of(value: &Value) -> Option<Status> {
        let codes = match value {
            Value::Array(several) if !several.is_empty() => several.iter().map(codes).collect::<Option<Vec<_>>>()?,
            Value::String(text) => {
                text.split(',').map(|one| codes(&Value::from(one.trim()))).collect::<Option<Vec<_>>>()?
            }
            one => vec![codes(one)?],
        };
        Some(Status(codes))
    }
}

fn codes(value: &Value) -> Option<Codes> {
    let one = |code: u64| (100..=599).contains(&code).then_some(Codes::One(code as u16));
    match value {
        Value::Number(number) => one(number.as_u64()?),
        Value::String(text) => match text.as_bytes() {
            [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Some(Codes::Class(u16::from(class - b'0'))),
            _ => one(text.parse().ok()?),
        },
        _ => None,
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, codes) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" or ")?;
            }
            match codes {
                Codes::One(code) => write!(f, "{code}")?,
                Codes::Class(class) => write!(f, "{class}xx")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|codes| match codes {
            Codes::One(code) => Value::from(*code),
            Codes::Class(class) => Value::from(format!("{class}xx")),
        }))
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Status::of(&value).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{value} is no status; write 200, \"2xx\" or a list such as [200, 301, \"4xx\"]"
            ))
        })
    }
}

impl JsonSchema for Status {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string", "array"],
            "minimum": 100,
            "maximum": 599,
            "items": { "type": ["integer", "string"] },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_classes_and_lists_are_understood() {
        for (text, fine, wrong) in [
            (json!(200), vec![200], vec![201, 500]),
            (json!("2xx"), vec![200, 299], vec![199, 300]),
            (json!([200, "3xx"]), vec![200, 301], vec![201, 404]),
            (json!("200,404"), vec![200, 404], vec![201]),
        ] {
            let status: Status = serde_json::from_value(text.clone()).unwrap();
            assert!(fine.iter().all(|code| status.accepts(*code)), "{text}");
            assert!(!wrong.iter().any(|code| status.accepts(*code)), "{text}");
            assert_eq!(serde_json::from_value::<Status>(json!(status)).unwrap(), status);
        }
        for wrong in [json!("2yy"), json!(99), json!(600), json!([]), json!(null), json!(-1), json!("")] {
            assert!(serde_json::from_value::<Status>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
