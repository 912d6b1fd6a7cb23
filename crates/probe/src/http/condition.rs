//! Condition: what a header or a JSON value must be: `"UP"`, `"< 100"`, `"!= 0"`, `"~ ^v1"`. Pure.

use std::cmp::Ordering;
use std::fmt;

use regex::bytes::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A comparison with a fixed value.
#[derive(Clone, Debug)]
pub struct Condition {
    test: Test,
    /// As it was written, for sentences.
    text: String,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(Value),
    NotEqual(Value),
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
    Matches(Regex),
}

impl Condition {
    /// Whether the value fulfils it. A comparison of order is fulfilled only by numbers (or texts that are one).
    pub fn holds(&self, value: &Value) -> bool {
        let order = |bound: f64| number(value).and_then(|number| number.partial_cmp(&bound));
        match &self.test {
            Test::Equal(wanted) => same(value, wanted),
            Test::NotEqual(unwanted) => !same(value, unwanted),
            Test::Less(bound) => order(*bound) == Some(Ordering::Less),
            Test::LessOrEqual(bound) => order(*bound).is_some_and(Ordering::is_le),
            Test::Greater(bound) => order(*bound) == Some(Ordering::Greater),
            Test::GreaterOrEqual(bound) => order(*bound).is_some_and(Ordering::is_ge),
            Test::Matches(pattern) => match value {
                Value::String(text) => pattern.is_match(text.as_bytes()),
                other => pattern.is_match(other.to_string().as_bytes()),
            },
        }
    }

    /// From JSON: a text may begin with an operator, anything else is equality.
    fn of(value: Value) -> Result<Condition, String> {
        match value {
            Value::String(text) => parse_json_condition(text.as_bytes()),
            Value::Array(_) | Value::Object(_) => {
                Err("a condition is a number, true, false, null or a text such as \"< 100\"".to_owned())
            }
            plain => Ok(Condition { text: plain.to_string(), test: Test::Equal(plain) }),
        }
    }
}

/// Reads a condition: `==`, `!=`, `<`, `<=`, `>`, `>=` or `~` (a regular expression) and a value; without an operator the
/// whole text is the value to be equal to. After an operator, JSON is read as JSON (`!= null`) and the rest as text.
///
/// # Errors
/// A sentence, when a comparison of order lacks its number or an expression is no regular one.
pub fn parse_json_condition(bytes: &[u8]) -> Result<Condition, String> {
    const OPERATORS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "~"]; // The longer before the shorter.
    let text = std::str::from_utf8(bytes).map_err(|_| "a condition is text in UTF-8".to_owned())?;
    let found = OPERATORS.iter().find_map(|operator| Some((*operator, text.strip_prefix(operator)?.trim())));
    let Some((operator, rest)) = found else {
        return Ok(Condition { test: Test::Equal(Value::from(text)), text: text.to_owned() });
    };
    let value = || serde_json::from_str::<Value>(rest).ok().filter(|value| !value.is_object() && !value.is_array());
    let value = || value().unwrap_or_else(|| Value::from(rest));
    let bound = || {
        rest.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("{operator} compares with a number, and {rest:?} is none"))
    };
    let test = match operator {
        "==" => Test::Equal(value()),
        "!=" => Test::NotEqual(value()),
        "<" => Test::Less(bound()?),
        "<=" => Test::LessOrEqual(bound()?),
        ">" => Test::Greater(bound()?),
        ">=" => Test::GreaterOrEqual(bound()?),
        _ => Test::Matches(
            regex::bytes::RegexBuilder::new(rest)
                .size_limit(1 << 20)
                .build()
                .map_err(|_| format!("{rest:?} is not a regular expression"))?,
        ),
    };
    Ok(Condition { test, text: text.to_owned() })
}

/// Equal as people mean it: numbers by value (1 is 1.0), and a text that reads as the number or word it stands for
/// (headers are always text).
fn same(value: &Value, wanted: &Value) -> bool {
    if value == wanted {
        return true;
    }
    match (value, wanted) {
        (Value::String(text), Value::Bool(wanted)) => text.parse() == Ok(*wanted),
        (Value::String(text), Value::Null) => text == "null",
        _ => number(value).zip(number(wanted)).is_some_and(|(a, b)| a == b),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Condition::of(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean", "null"] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_hold_as_people_mean_them() {
        for (condition, value, holds) in [
            (json!("UP"), json!("UP"), true),
            (json!("UP"), json!("up"), false),
            (json!(3), json!(3.0), true),
            (json!(true), json!(true), true),
            (json!(null), json!(null), true),
            (json!("< 100"), json!(99), true),
            (json!("<100"), json!(100), false),
            (json!("<= 100"), json!(100), true),
            (json!("> 1.5"), json!("2"), true), // a header's number is text
            (json!(">= 1"), json!(null), false),
            (json!("> 1"), json!("many"), false), // not comparable is not fulfilled
            (json!("!= 0"), json!(1), true),
            (json!("!= 0"), json!(0.0), false),
            (json!("!= null"), json!("x"), true),
            (json!("== true"), json!(true), true),
            (json!("== <b>"), json!("<b>"), true),
            (json!("~ ^v1\\."), json!("v1.2"), true),
            (json!("~ ^v1\\."), json!("v2.1"), false),
            (json!("~ ^4"), json!(42), true),
        ] {
            let parsed: Condition = serde_json::from_value(condition.clone()).unwrap();
            assert_eq!(parsed.holds(&value), holds, "{condition} of {value}");
        }
    }

    #[test]
    fn a_condition_that_means_nothing_is_refused() {
        for wrong in [json!("< many"), json!("~ ("), json!(["UP"]), json!({"is": 1}), json!(">= NaN")] {
            assert!(serde_json::from_value::<Condition>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_condition_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[<>=!~]{0,2}\\PC{0,20}", number: f64) {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(condition) = parse_json_condition(bytes) {
                    condition.holds(&json!(number));
                    condition.holds(&json!(text));
                }
            }
        }
    }
}
