//! Parameters of a runbook: declared with types, checked before anything is rendered. What is not declared is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest text where none is stated.
const TEXT_CHARACTERS: usize = 256;

/// Longest pattern, and how large it may become as a program.
const PATTERN_BYTES: usize = 1 << 16;

/// What a parameter may be.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// One line of text.
    #[default]
    Text,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// One of the listed values.
    Enum,
    /// Text such as `30s`, `5m`, `2h`, `1d`.
    Duration,
}

/// One declared parameter.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Parameter {
    /// Its type.
    pub r#type: ParameterType,
    /// A regular expression that a text must match wholly. Without one, a text may not begin with `-`, lest it become an option.
    pub pattern: Option<String>,
    /// The values of an enum.
    pub values: Vec<String>,
    /// Taken when none is given.
    pub default: Option<Value>,
    /// Refused when none is given and there is no default.
    pub required: bool,
    /// Least number, or least seconds of a duration.
    pub min: Option<i64>,
    /// Greatest number, or most seconds of a duration.
    pub max: Option<i64>,
    /// Most characters of a text; 256 when not stated.
    pub max_length: Option<usize>,
}

/// What is wrong with one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{name}: {message}")]
pub struct ParameterError {
    /// Its name.
    pub name: String,
    /// What is wrong, with the value and what is allowed.
    pub message: String,
}

/// Checks what is given against what is declared and fills in defaults. Optional ones without a value are `null`, so that a template
/// can ask for them.
///
/// # Errors
/// Everything that is wrong, one for each parameter.
pub fn check_parameters(
    declared: &BTreeMap<String, Parameter>,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<ParameterError>> {
    let mut errors = Vec::new();
    let mut checked = Map::new();
    for name in given.keys().filter(|name| !declared.contains_key(*name)) {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        let message = format!("there is no such parameter; there are: {}", known.join(", "));
        errors.push(ParameterError { name: name.clone(), message });
    }
    for (name, parameter) in declared {
        let value = given.get(name).filter(|value| !value.is_null()).or(parameter.default.as_ref());
        let answer = match value {
            None if parameter.required => Err("a value is required".to_owned()),
            None => Ok(Value::Null),
            Some(value) => parameter.check(value).map(|()| value.clone()),
        };
        match answer {
            Ok(value) => {
                checked.insert(name.clone(), value);
            }
            Err(message) => errors.push(ParameterError { name: name.clone(), message }),
        }
    }
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

impl Parameter {
    fn check(&self, value: &Value) -> Result<(), String> {
        match self.r#type {
            ParameterType::Text => self.check_text(value.as_str().ok_or_else(|| format!("{value} is not text"))?),
            ParameterType::Int => {
                let number = value.as_i64().ok_or_else(|| format!("{value} is not a whole number"))?;
                self.within(number, "")
            }
            ParameterType::Bool if value.is_boolean() => Ok(()),
            ParameterType::Bool => Err(format!("{value} is neither true nor false")),
            ParameterType::Enum => match value.as_str() {
                Some(text) if self.values.iter().any(|allowed| allowed == text) => Ok(()),
                _ => Err(format!("{value} is not one of {}", self.values.join(", "))),
            },
            ParameterType::Duration => {
                let length = value.as_str().and_then(duration);
                let length = length.ok_or_else(|| format!("{value} is not a duration such as 30s, 5m, 2h or 1d"))?;
                self.within(i64::try_from(length.as_secs()).unwrap_or(i64::MAX), " seconds")
            }
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        let most = self.max_length.unwrap_or(TEXT_CHARACTERS);
        let length = text.chars().count();
        if length > most {
            return Err(format!("it has {length} characters; at most {most} are allowed"));
        }
        if text.contains(|character: char| character.is_control()) {
            return Err("it has a line break or another control character in it".to_owned());
        }
        match &self.pattern {
            Some(pattern) => {
                let whole = regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
                    .size_limit(PATTERN_BYTES)
                    .build()
                    .map_err(|_| format!("the runbook's pattern {pattern} is not a regular expression"))?;
                if whole.is_match(text) { Ok(()) } else { Err(format!("{text:?} does not match {pattern}")) }
            }
            None if text.starts_with('-') => Err(format!("{text:?} begins with a dash and would be read as an option")),
            None => Ok(()),
        }
    }

    fn within(&self, number: i64, unit: &str) -> Result<(), String> {
        match (self.min, self.max) {
            (Some(min), _) if number < min => Err(format!("{number}{unit} is less than {min}")),
            (_, Some(max)) if number > max => Err(format!("{number}{unit} is more than {max}")),
            _ => Ok(()),
        }
    }
}

/// Reads `30s`, `5m`, `2h`, `1d`, also in a row (`1h30m`). None when it is anything else.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(value: Value) -> BTreeMap<String, Parameter> {
        serde_json::from_value(value).expect("declarations")
    }

    #[test]
    fn each_type_takes_what_it_says_and_nothing_else() {
        let parameters = declared(json!({
            "name": {}, "unit": { "pattern": "[a-z@.-]+\\.service" }, "count": { "type": "int", "min": 1, "max": 10 },
            "force": { "type": "bool" }, "mode": { "type": "enum", "values": ["fast", "safe"] },
            "wait": { "type": "duration", "min": 1, "max": 3600 }, "code": { "max_length": 3 }
        }));
        let table = [
            ("name", json!("shop; reboot $(x) `y` | z"), true, "no shell will read it"),
            ("name", json!("a\nb"), false, "a newline"),
            ("name", json!("a\u{0}b"), false, "a NUL"),
            ("name", json!("--now"), false, "an option"),
            ("name", json!(7), false, "a number is not text"),
            ("name", json!("x".repeat(257)), false, "too long"),
            ("unit", json!("nginx.service"), true, "matches"),
            ("unit", json!("x nginx.service"), false, "a pattern matches wholly"),
            ("unit", json!("nginx.service\n"), false, "a newline at the end too"),
            ("count", json!(10), true, "the limit itself"),
            ("count", json!(11), false, "past the limit"),
            ("count", json!("7"), false, "text is not a number"),
            ("count", json!(1.5), false, "half is not whole"),
            ("force", json!(true), true, "yes"),
            ("force", json!("true"), false, "text is not a truth"),
            ("mode", json!("safe"), true, "listed"),
            ("mode", json!("Safe"), false, "not listed"),
            ("wait", json!("5m"), true, "five minutes"),
            ("wait", json!("2h"), false, "too long"),
            ("wait", json!("5 minutes"), false, "words"),
            ("code", json!("äöü"), true, "characters, not bytes"),
            ("other", json!(1), false, "not declared"),
        ];
        for (name, value, allowed, why) in table {
            let answer = check_parameters(&parameters, &Map::from_iter([(name.to_owned(), value)]));
            assert_eq!(answer.is_ok(), allowed, "{name}, {why}: {answer:?}");
        }
    }

    #[test]
    fn defaults_are_filled_in_and_checked() {
        let parameters = declared(
            json!({ "a": { "default": "x" }, "b": { "required": true }, "c": {}, "d": { "type": "int", "default": "no" } }),
        );
        let errors = check_parameters(&parameters, &Map::new()).expect_err("b and d");
        assert_eq!(errors.iter().map(|error| error.name.as_str()).collect::<Vec<_>>(), ["b", "d"]);
        let given = Map::from_iter([("b".to_owned(), json!("y")), ("d".to_owned(), json!(1))]);
        let checked = check_parameters(&parameters, &given).expect("all is there");
        assert_eq!(Value::Object(checked), json!({ "a": "x", "b": "y", "c": null, "d": 1 }));
    }

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("1h30m", Some(5400)),
            ("1d", Some(86_400)),
            ("", None),
            ("5", None),
            ("m", None),
            ("-5s", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(duration(text).map(|length| length.as_secs()), seconds, "{text}");
        }
    }
}
