//! The shape of a record's fields: twelve words, and how they are read from a Rust struct or a user's YAML.
//!
//! A struct's JSON Schema (by schemars) is translated; what has no word here (untagged unions, flattened maps, tuples) is
//! refused at start, so that a form, a filter and a table can be projected from every class without a special case.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The word for what a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A point in time, RFC 3339.
    Time,
    /// A span such as `30s`.
    Duration,
    /// A size in bytes, a whole number.
    Bytes,
    /// One of a few named values.
    Enum,
    /// The key of another record; lifted into a link row.
    Ref,
    /// Several of one item.
    List,
    /// Free names, one kind of value.
    Map,
    /// Named fields in a field.
    Group,
}

/// One field of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name in snake_case.
    #[serde(default)]
    pub name: String,
    /// Name for people; made from `name` when left out.
    #[serde(default)]
    pub title: String,
    /// What it is for, in a sentence or two.
    #[serde(default)]
    pub help: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub word: Word,
    /// Unit of a number, for example `seconds`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Must have a value.
    #[serde(default)]
    pub required: bool,
    /// Value when none is given at creation.
    #[serde(default)]
    pub default: Option<Value>,
    /// The values of an enum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Classes that a ref may point at; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class: Vec<String>,
    /// Link type that a ref is lifted into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// Least value of a number, least length of a text or list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value of a number, greatest length of a text or list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Regular expression that a whole text must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What a list or map holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Box<Field>>,
    /// Fields of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Has an index: filters and sorts on it stay quick.
    #[serde(default)]
    pub indexed: bool,
    /// Set by Mainstay, not by people.
    #[serde(default)]
    pub computed: bool,
    /// Shown as several lines.
    #[serde(default)]
    pub multiline: bool,
    /// Any JSON is allowed here: parameters whose shape another part checks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

impl Field {
    /// A plain field of a word.
    pub fn new(name: &str, word: Word) -> Self {
        Self {
            name: name.to_owned(),
            title: title_of(name),
            help: String::new(),
            word,
            unit: None,
            required: false,
            default: None,
            values: Vec::new(),
            class: Vec::new(),
            relation: None,
            min: None,
            max: None,
            pattern: None,
            item: None,
            fields: Vec::new(),
            indexed: false,
            computed: false,
            multiline: false,
            open: false,
        }
    }

    /// Whether the field has few distinct values, so that two such fields together deserve an index.
    pub fn few_values(&self) -> bool {
        matches!(self.word, Word::Enum | Word::Bool)
    }

    /// JSON Schema (2020-12) of the field's value, for the API's document.
    pub fn json_schema(&self) -> Value {
        let mut schema = match self.word {
            Word::Text => serde_json::json!({"type": "string"}),
            Word::Ref => {
                serde_json::json!({"type": "string", "description": format!("key of {}", if self.class.is_empty() { "a record".into() } else { self.class.join(" or ") })})
            }
            Word::Int => serde_json::json!({"type": "integer"}),
            Word::Bytes => serde_json::json!({"type": "integer", "minimum": 0}),
            Word::Float => serde_json::json!({"type": "number"}),
            Word::Bool => serde_json::json!({"type": "boolean"}),
            Word::Time => serde_json::json!({"type": "string", "format": "date-time"}),
            Word::Duration => serde_json::json!({"type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h|d|w))+)$"}),
            Word::Enum => serde_json::json!({"type": "string", "enum": self.values}),
            Word::List => {
                serde_json::json!({"type": "array", "items": self.item.as_ref().map_or(Value::Bool(true), |i| i.json_schema())})
            }
            Word::Map => {
                serde_json::json!({"type": "object", "additionalProperties": self.item.as_ref().map_or(Value::Bool(true), |i| i.json_schema())})
            }
            Word::Group if self.open => Value::Object(Map::new()),
            Word::Group => object_schema(&self.fields),
        };
        if let Some(object) = schema.as_object_mut() {
            if !self.help.is_empty() {
                object.insert("description".into(), self.help.clone().into());
            }
            let (low, high) = match self.word {
                Word::Text => ("minLength", "maxLength"),
                Word::List => ("minItems", "maxItems"),
                _ => ("minimum", "maximum"),
            };
            for (name, bound) in [(low, self.min), (high, self.max)] {
                if let Some(bound) = bound {
                    let whole = bound.fract() == 0.0 && bound.abs() < 9e15;
                    object.insert(name.into(), if whole { Value::from(bound as i64) } else { Value::from(bound) });
                }
            }
            if let (Word::Text, Some(pattern)) = (self.word, &self.pattern) {
                object.insert("pattern".into(), format!("^(?:{pattern})$").into());
            }
        }
        schema
    }
}

/// JSON Schema of an object with these fields and no others.
pub fn object_schema(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|f| {
            let schema = f.json_schema();
            let nullable = if f.required { schema } else { serde_json::json!({"anyOf": [schema, {"type": "null"}]}) };
            (f.name.clone(), nullable)
        })
        .collect();
    let required: Vec<&str> =
        fields.iter().filter(|f| f.required && f.default.is_none()).map(|f| f.name.as_str()).collect();
    serde_json::json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// `restore_point_objective` becomes `Restore point objective`, `memory_bytes` becomes `Memory`: the unit stands at the value.
pub fn title_of(name: &str) -> String {
    let quantity = UNITS.iter().find_map(|unit| name.strip_suffix(unit)).filter(|rest| !rest.is_empty());
    let words: Vec<&str> = quantity.unwrap_or(name).split(['_', '-']).filter(|w| !w.is_empty()).collect();
    let shown = words.iter().enumerate().map(|(i, word)| match *word {
        word if ABBREVIATIONS.contains(&word) => word.to_uppercase(),
        word if i == 0 => word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect(),
        word => word.to_owned(),
    });
    shown.collect::<Vec<String>>().join(" ")
}

/// Units at the end of a name.
const UNITS: [&str; 2] = ["_bytes", "_seconds"];

/// Words that people write in capitals.
const ABBREVIATIONS: [&str; 17] = [
    "api", "cpu", "dns", "fqdn", "id", "ip", "kb", "mac", "os", "rpo", "rto", "sla", "sql", "tls", "url", "vrf", "ups",
];

/// Reads the fields of a struct from its JSON Schema.
///
/// # Errors
/// A sentence naming the property that none of the twelve words covers.
pub fn fields_of_schema(schema: &Value) -> Result<Vec<Field>, String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let order = schema.get("x-order").and_then(Value::as_array);
    let mut fields = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        let mut field = field_of(name, property).map_err(|why| format!("{name}: {why}"))?;
        field.required = required.contains(&name.as_str()) && field.default.is_none();
        fields.push(field);
    }
    if let Some(order) = order {
        let place = |f: &Field| order.iter().position(|n| n.as_str() == Some(&f.name)).unwrap_or(usize::MAX);
        fields.sort_by_key(place);
    }
    Ok(fields)
}

fn field_of(name: &str, schema: &Value) -> Result<Field, String> {
    let described = schema;
    let schema = without_null(schema);
    let schema = &schema;
    let text = |key: &str| schema.get(key).or_else(|| described.get(key)).and_then(Value::as_str);
    let mut field = Field::new(name, word_of(schema)?);
    field.help = text("description").unwrap_or_default().replace('\n', " ");
    field.unit = text("x-unit").map(str::to_owned);
    field.pattern = text("pattern").map(str::to_owned);
    field.default = described.get("default").filter(|d| !d.is_null()).cloned();
    let number = |keys: &[&str]| keys.iter().find_map(|k| schema.get(k)).and_then(Value::as_f64);
    field.min = number(&["minLength", "minItems"]).or_else(|| {
        number(&["minimum"]).filter(|_| {
            described.get("x-range").is_some() || schema.get("maximum").is_some() || number(&["minimum"]) == Some(0.0)
        })
    });
    field.max = number(&["maximum", "maxLength", "maxItems"]);
    field.multiline = described.get("x-multiline").is_some() || schema.get("x-multiline").is_some();
    field.computed = described.get("x-computed").is_some();
    match field.word {
        Word::Enum => field.values = enum_values(schema),
        Word::List => {
            let item = schema.get("items").ok_or("a list without a type of item")?;
            field.item = Some(Box::new(field_of("", item)?));
        }
        Word::Map => {
            let item = schema.get("additionalProperties").ok_or("a map without a type of value")?;
            field.item = Some(Box::new(field_of("", item)?));
        }
        Word::Group if schema.get("properties").is_some() => field.fields = fields_of_schema(schema)?,
        Word::Group => field.open = true,
        _ => {}
    }
    Ok(field)
}

/// `Option<T>` is `T` that may be absent: drops the null from a type list, an `anyOf` or an enum.
fn without_null(schema: &Value) -> Value {
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        let rest: Vec<&Value> = any.iter().filter(|s| s.get("type").and_then(Value::as_str) != Some("null")).collect();
        if let [only] = rest.as_slice() {
            return (*only).clone();
        }
    }
    let mut schema = schema.clone();
    if let Some(Value::Array(types)) = schema.get("type").cloned() {
        let rest: Vec<Value> = types.into_iter().filter(|t| t.as_str() != Some("null")).collect();
        if let ([only], Some(object)) = (rest.as_slice(), schema.as_object_mut()) {
            object.insert("type".into(), only.clone());
        }
    }
    schema
}

fn word_of(schema: &Value) -> Result<Word, String> {
    if let Value::Bool(true) = schema {
        return Ok(Word::Group); // serde_json::Value: open.
    }
    if !enum_values(schema).is_empty() {
        return Ok(Word::Enum);
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Ok(match format {
            "date-time" => Word::Time,
            "duration" => Word::Duration,
            "ref" => Word::Ref,
            _ => Word::Text,
        }),
        Some("integer") if format == "bytes" => Ok(Word::Bytes),
        Some("integer") => Ok(Word::Int),
        Some("number") => Ok(Word::Float),
        Some("boolean") => Ok(Word::Bool),
        Some("array") if schema.get("prefixItems").is_none() => Ok(Word::List),
        Some("object") if schema.get("properties").is_some() => Ok(Word::Group),
        Some("object") if schema.get("additionalProperties").is_some() => Ok(Word::Map),
        None if schema
            .as_object()
            .is_some_and(|o| !o.contains_key("anyOf") && !o.contains_key("oneOf") && !o.contains_key("$ref")) =>
        {
            Ok(Word::Group)
        }
        _ => Err(format!("none of the twelve words of a shape covers {schema}")),
    }
}

fn enum_values(schema: &Value) -> Vec<String> {
    let plain = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let documented = schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|s| {
            s.get("const").and_then(Value::as_str).map(|c| vec![c]).or_else(|| {
                s.get("enum").and_then(Value::as_array).map(|e| e.iter().filter_map(Value::as_str).collect())
            })
        })
        .flatten();
    plain.chain(documented).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Example {
        /// What people see.
        title: String,
        /// From 1 to 5.
        #[schemars(range(min = 1, max = 5))]
        priority: Option<u8>,
        level: Option<Level>,
        #[serde(default)]
        tags: Vec<String>,
        due: Option<crate::Time>,
        patience: crate::Dur,
        owner: Option<crate::Ref>,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Level {
        /// Quiet.
        Low,
        /// Loud.
        High,
    }

    #[test]
    fn a_struct_is_read_into_the_twelve_words() {
        let fields = crate::define::fields_of::<Example>().unwrap();
        let word = |n: &str| fields.iter().find(|f| f.name == n).unwrap().word;
        assert_eq!(word("title"), Word::Text);
        assert_eq!(word("priority"), Word::Int);
        assert_eq!(word("level"), Word::Enum);
        assert_eq!(word("tags"), Word::List);
        assert_eq!(word("due"), Word::Time);
        assert_eq!(word("patience"), Word::Duration);
        assert_eq!(word("owner"), Word::Ref);
        let level = fields.iter().find(|f| f.name == "level").unwrap();
        assert_eq!(level.values, ["low", "high"]);
        let priority = fields.iter().find(|f| f.name == "priority").unwrap();
        assert_eq!((priority.min, priority.max), (Some(1.0), Some(5.0)));
        assert!(fields.iter().find(|f| f.name == "title").unwrap().required);
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Untagged {
        pair: (String, u8),
    }

    #[test]
    fn what_has_no_word_is_refused_by_name() {
        let why = crate::define::fields_of::<Untagged>().unwrap_err();
        assert!(why.starts_with("pair:"), "{why}");
    }
}
