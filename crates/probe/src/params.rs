//! Parameters: from JSON to a protocol's typed struct, with every mistake named. Knows no protocol.
//!
//! The struct is the one definition: its doc comments are the help, its `Default` the defaults, and the JSON Schema made
//! from it is what forms, command line and documentation show.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// One thing that is wrong with a request, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ParamError {
    /// `protocol`, `target`, `timeout`, or the parameter's name.
    pub field: String,
    /// A sentence with the value and what is allowed.
    pub message: String,
}

impl ParamError {
    /// A mistake in that field.
    pub fn new(field: &str, message: impl Into<String>) -> ParamError {
        ParamError { field: field.to_owned(), message: message.into() }
    }
}

/// The JSON Schema of a parameter struct: properties with type, help and default; nothing else is allowed.
pub(crate) fn schema_of<P: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    generator.into_root_schema_for::<P>().to_value()
}

/// The typed parameters, or everything that is wrong with them.
///
/// What is right is read in one go. Else each key is read on its own, so that one mistake does not hide the next. That works
/// since every field of every parameter struct has a default. Which keys there are is asked of the schema and not of the
/// struct: one that shares a part with others cannot refuse what it does not know.
pub(crate) fn typed<P: DeserializeOwned + JsonSchema>(params: &Value) -> Result<P, Vec<ParamError>> {
    let empty = Value::Object(Map::new());
    let params = if params.is_null() { &empty } else { params };
    let Value::Object(given) = params else {
        return Err(vec![ParamError::new("expect", format!("must be a map of parameters, not {params}"))]);
    };
    let known = known_names::<P>();
    let mut errors: Vec<ParamError> = given
        .keys()
        .filter(|key| !known.contains(key))
        .map(|key| ParamError::new(key, unknown_key(key, &known)))
        .collect();
    let error = match P::deserialize(params) {
        Ok(typed) if errors.is_empty() => return Ok(typed),
        Ok(_) => return Err(errors),
        Err(error) => error,
    };
    for (key, value) in given.iter().filter(|(key, _)| known.contains(key)) {
        let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        if let Err(error) = serde_json::from_value::<P>(alone) {
            errors.push(ParamError::new(key, error.to_string()));
        }
    }
    if errors.is_empty() {
        errors.push(ParamError::new("expect", error.to_string()));
    }
    Err(errors)
}

/// Whether a struct has a parameter of that name.
pub(crate) fn knows<P: JsonSchema>(name: &str) -> bool {
    known_names::<P>().iter().any(|known| known == name)
}

/// The names of a struct's parameters. Kept, since its schema takes longer to make than a check takes to run.
fn known_names<P: JsonSchema>() -> Arc<[String]> {
    static KNOWN: Mutex<BTreeMap<&'static str, Arc<[String]>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(std::any::type_name::<P>()).or_insert_with(|| field_names(&schema_of::<P>()).into()).clone()
}

/// Typed JSON from `key=value` words of a command line; the schema says whether `200` is a number or a text.
pub(crate) fn from_words(schema: &Value, words: &[(String, String)]) -> Result<Value, Vec<ParamError>> {
    let known = field_names(schema);
    let mut object = Map::new();
    let mut errors = Vec::new();
    for (key, text) in words {
        if !known.iter().any(|name| name == key) {
            errors.push(ParamError::new(key, unknown_key(key, &known)));
            continue;
        }
        let property = &schema["properties"][key.as_str()];
        object.insert(key.clone(), word_as(property, text));
    }
    if errors.is_empty() { Ok(Value::Object(object)) } else { Err(errors) }
}

fn word_as(property: &Value, text: &str) -> Value {
    let as_text = Value::String(text.to_owned());
    let types: Vec<&str> = match &property["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if types.contains(&"string") && !types.contains(&"array") {
        return as_text;
    }
    match serde_json::from_str(text) {
        Ok(value) => value,
        // A list as people type it: `a,b`.
        Err(_) if types.contains(&"array") => text.split(',').map(|item| Value::from(item.trim())).collect(),
        Err(_) => as_text,
    }
}

fn field_names(schema: &Value) -> Vec<String> {
    schema["properties"].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

fn unknown_key(key: &str, known: &[String]) -> String {
    let near = near_names(key, known.iter().map(String::as_str));
    if near.is_empty() {
        format!("is not a parameter here; known are {}", known.join(", "))
    } else {
        format!("is not a parameter here; did you mean {}?", near.join(" or "))
    }
}

/// At most three of the names, those that a slip of the finger could have meant, nearest first.
pub(crate) fn near_names<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| {
            let apart = strsim::jaro_winkler(wrong, name);
            let contained = if !wrong.is_empty() && (name.contains(wrong) || wrong.contains(name)) { 0.2 } else { 0.0 };
            (apart + contained, name)
        })
        .filter(|(score, _)| *score >= 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.truncate(3);
    scored.into_iter().map(|(_, name)| name).collect()
}

/// A length of time as users write it: `250ms`, `30s`, `1.5m`, `2h`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Span(
    /// The length itself.
    pub Duration,
);

impl Span {
    /// A span of so many milliseconds.
    pub const fn millis(millis: u64) -> Span {
        Span(Duration::from_millis(millis))
    }

    /// The span in seconds.
    pub fn seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            m if m % 86_400_000 == 0 && m > 0 => write!(f, "{}d", m / 86_400_000),
            m if m % 3_600_000 == 0 && m > 0 => write!(f, "{}h", m / 3_600_000),
            m if m % 60_000 == 0 && m > 0 => write!(f, "{}m", m / 60_000),
            m if m % 1000 == 0 => write!(f, "{}s", m / 1000),
            m => write!(f, "{m}ms"),
        }
    }
}

/// Reads a length of time: a number and one of `ms`, `s`, `m`, `h`, `d`; at most 366 days.
///
/// # Errors
/// A sentence that names the text and shows what is allowed.
pub fn parse_span(bytes: &[u8]) -> Result<Span, String> {
    let text = String::from_utf8_lossy(bytes);
    let wrong =
        || format!("{text:?} is no length of time; write for example \"250ms\", \"30s\", \"5m\", \"2h\" or \"1d\"");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * scale;
    if seconds > 366.0 * 86_400.0 {
        return Err(format!("{text:?} is longer than 366 days"));
    }
    Duration::try_from_secs_f64(seconds).map(Span).map_err(|_| wrong())
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("must be a length of time as text, for example \"30s\""))?;
        parse_span(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9.]+(ms|s|m|h|d)$", "x-unit": "duration" })
    }
}

/// A regular expression that was valid when it was read. At most 1,000 characters, compiled to at most 1 MiB.
#[derive(Clone, Debug)]
pub struct Pattern(
    /// The compiled expression; it matches in time linear in the text.
    pub regex::bytes::Regex,
);

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("must be a regular expression as text"))?;
        if text.len() > 1000 {
            return Err(serde::de::Error::custom("a regular expression has at most 1,000 characters here"));
        }
        regex::bytes::RegexBuilder::new(&text).size_limit(1 << 20).build().map(Pattern).map_err(|error| {
            // The library draws the place of the mistake over several lines; the last one says what it is.
            let last = error.to_string();
            let why = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            serde::de::Error::custom(format!("{text:?} is not a regular expression: {why}"))
        })
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "regular-expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "regex" })
    }
}

/// A text, or a list of texts: people write one without brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OneOrMany(
    /// The texts, in order.
    pub Vec<String>,
);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = match Value::deserialize(deserializer)? {
            Value::String(one) => Some(vec![one]),
            Value::Array(several) => several.into_iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        texts.map(OneOrMany).ok_or_else(|| serde::de::Error::custom("must be a text or a list of texts"))
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "string"], "items": { "type": "string" } })
    }
}

/// Which address family to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Whatever the name resolves to, in the system's order.
    #[default]
    Any,
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
}

/// Checks that the second bound is at least as bad as the first, and says so in the field's name where it is not.
pub(crate) fn ordered<T: PartialOrd + fmt::Display>(
    names: (&str, &str),
    warn: Option<T>,
    critical: Option<T>,
    is_worse: fn(&T, &T) -> bool,
) -> Option<ParamError> {
    let (warn, critical) = (warn?, critical?);
    if is_worse(&critical, &warn) || critical == warn {
        return None;
    }
    Some(ParamError::new(
        names.1,
        format!("{critical} comes before {} {warn}, so nothing would ever only warn", names.0),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        /// How often.
        count: u8,
        warn_time: Option<Span>,
        pattern: Option<Pattern>,
        names: Vec<String>,
        text: Option<String>,
    }

    #[test]
    fn every_mistake_is_named_with_its_field() {
        let errors =
            typed::<Sample>(&json!({"cuont": 3, "warn_time": "soon", "pattern": "(", "count": 1})).unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["cuont", "warn_time", "pattern"]);
        assert!(errors[0].message.contains("did you mean count"), "{}", errors[0]);
        assert!(errors[1].message.contains("\"soon\" is no length of time"), "{}", errors[1]);
        assert!(errors[2].message.contains("is not a regular expression: unclosed group"), "{}", errors[2]);
    }

    #[test]
    fn a_list_is_not_a_map_of_parameters() {
        assert_eq!(typed::<Sample>(&json!([1])).unwrap_err()[0].field, "expect");
        assert_eq!(typed::<Sample>(&Value::Null).unwrap().count, 0);
    }

    #[test]
    fn words_of_a_command_line_become_what_the_schema_says() {
        let schema = schema_of::<Sample>();
        let words = |pairs: &[(&str, &str)]| {
            from_words(&schema, &pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(words(&[("count", "3"), ("text", "200")]).unwrap(), json!({"count": 3, "text": "200"}));
        assert_eq!(words(&[("names", "a, b")]).unwrap(), json!({"names": ["a", "b"]}));
        assert_eq!(words(&[("warn_time", "5m")]).unwrap(), json!({"warn_time": "5m"}));
        assert_eq!(words(&[("colour", "red")]).unwrap_err()[0].field, "colour");
    }

    #[test]
    fn the_schema_carries_help_and_defaults() {
        let schema = schema_of::<Sample>();
        assert_eq!(schema["properties"]["count"]["description"], "How often.");
        assert_eq!(schema["properties"]["count"]["default"], 0);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn lengths_of_time_read_as_they_are_written() {
        for (text, seconds) in [("250ms", 0.25), ("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86_400.0)] {
            assert_eq!(parse_span(text.as_bytes()).unwrap().seconds(), seconds, "{text}");
        }
        for text in ["", "30", "s", "-1s", "1e9s", "400d", "5 s", "1.2.3s", "5S"] {
            assert!(parse_span(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_length_of_time_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_span(&bytes);
        }

        #[test]
        fn a_length_of_time_survives_its_text(millis in 0u64..100_000_000) {
            let span = Span::millis(millis);
            let back = parse_span(span.to_string().as_bytes()).unwrap();
            prop_assert!((back.seconds() - span.seconds()).abs() < 1e-6);
        }
    }
}
