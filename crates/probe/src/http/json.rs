//! JSON: which paths of a body are looked at, and what must be there. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::http::Condition;
use crate::outcome::excerpt;

/// JSON paths (RFC 9535) that were valid when they were read, each with its condition, sorted by the path's text.
#[derive(Clone, Debug, Default)]
pub struct JsonConditions(Vec<One>);

#[derive(Clone, Debug)]
struct One {
    text: String,
    path: JsonPath,
    condition: Condition,
}

impl JsonConditions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything in the document that is not as it must be: a path must lead somewhere, and each value there must
    /// fulfil the condition.
    pub fn troubles(&self, json: &Value) -> Vec<String> {
        let mut troubles = Vec::new();
        for One { text, path, condition } in &self.0 {
            let values = path.query(json).all();
            if values.is_empty() {
                troubles.push(format!("the JSON has nothing at {text}"));
            } else if let Some(value) = values.iter().find(|value| !condition.holds(value)) {
                troubles.push(format!("{text} is {}, not {condition}", excerpt(value.to_string().as_bytes())));
            }
        }
        troubles
    }
}

impl Serialize for JsonConditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|one| (&one.text, &one.condition)))
    }
}

impl<'de> Deserialize<'de> for JsonConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut conditions = Vec::new();
        for (text, condition) in BTreeMap::<String, Condition>::deserialize(deserializer)? {
            refuse_costly(&text).map_err(serde::de::Error::custom)?;
            let path = JsonPath::parse(&text).map_err(|error| {
                let why = error.message();
                serde::de::Error::custom(format!("{text:?} is no JSON path ({why}); write for example $.status"))
            })?;
            conditions.push(One { text, path, condition });
        }
        Ok(JsonConditions(conditions))
    }
}

/// A judgement cannot be interrupted, so a path may not look at every value once for every value.
pub(crate) fn refuse_costly(text: &str) -> Result<(), String> {
    if text.len() > 500 || text.matches("..").count() > 1 || text.matches('$').count() > 1 && text.contains('?') {
        return Err(format!("{text:?} is too costly: at most 500 characters, one .. and, with a filter, one $"));
    }
    Ok(())
}

impl JsonSchema for JsonConditions {
    fn schema_name() -> Cow<'static, str> {
        "json-conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, Condition>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_that_could_run_for_minutes_is_refused() {
        for path in ["$..*..*", "$[?count($[*]) > 1]", "status", "$.a[", &format!("$.{}", "a".repeat(500))] {
            let given = json!({ path: 1 });
            assert!(serde_json::from_value::<JsonConditions>(given).is_err(), "{path}");
        }
        for path in ["$", "$.a.b", "$..a", "$.a[?@.b > 1].c", "$['$ref']"] {
            let given = json!({ path: 1 });
            assert!(serde_json::from_value::<JsonConditions>(given).is_ok(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "\\$[\\[\\]a-c.*?@()<>0-9:,'-]{0,30}") {
            if let Ok(conditions) = serde_json::from_value::<JsonConditions>(json!({ path: "x" })) {
                conditions.troubles(&json!({"a": [1, 2, {"b": "c"}], "b": null}));
            }
        }
    }
}
