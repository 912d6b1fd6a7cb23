//! Values against a shape: names the field, the value and what is allowed; fills in defaults; brings values into one form.

use serde_json::{Map, Value};

use crate::class::ClassDef;
use crate::clock::{Time, format_duration, parse_duration};
use crate::error::{FieldError, near};
use crate::shape::{Field, Word};

/// Longest text in a field, in bytes.
pub const MAX_TEXT: usize = 65_536;
/// Most items in a list, map or group.
pub const MAX_ITEMS: usize = 10_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 16;

/// Checks all fields of a record that is to be written: unknown names, types, required ones. Absent and null are the same.
///
/// # Errors
/// Every field that is wrong, not only the first.
pub fn fields(class: &ClassDef, given: Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let clean = group(&class.fields, given, "", &mut errors, 0, class.name.as_str());
    for check in &class.checks {
        if errors.is_empty()
            && let Err(error) = check(&clean)
        {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(clean) } else { Err(errors) }
}

/// Checks the input of a transition against what it asks for.
///
/// # Errors
/// Every field that is wrong.
pub fn input(asked: &[Field], given: Map<String, Value>, of: &str) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let clean = group(asked, given, "", &mut errors, 0, of);
    if errors.is_empty() { Ok(clean) } else { Err(errors) }
}

fn group(
    fields: &[Field],
    mut given: Map<String, Value>,
    inside: &str,
    errors: &mut Vec<FieldError>,
    depth: usize,
    of: &str,
) -> Map<String, Value> {
    let mut clean = Map::new();
    for field in fields {
        let path = format!("{inside}{}", field.name);
        let value = given.remove(&field.name).filter(|v| !v.is_null()).or_else(|| field.default.clone());
        match value {
            Some(value) => {
                if let Some(value) = one(field, value, &path, errors, depth) {
                    clean.insert(field.name.clone(), value);
                }
            }
            None if field.required => errors.push(FieldError::new(path, "must have a value")),
            None => {}
        }
    }
    for (name, value) in given {
        if value.is_null() && depth == 0 {
            continue; // Removing what was never there.
        }
        let close = near(&name, fields.iter().map(|f| f.name.as_str()));
        let hint = if close.is_empty() { String::new() } else { format!("; did you mean {}?", close.join(", ")) };
        errors.push(FieldError::new(format!("{inside}{name}"), format!("{of} has no such field{hint}")));
    }
    clean
}

fn one(field: &Field, value: Value, path: &str, errors: &mut Vec<FieldError>, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        errors.push(FieldError::new(path, "is nested more than 16 deep"));
        return None;
    }
    match plain(field, &value) {
        Ok(Some(value)) => return Some(value),
        Ok(None) => {}
        Err(message) => {
            errors.push(FieldError::new(path, message));
            return None;
        }
    }
    match (field.word, value) {
        (Word::List, Value::Array(items)) => {
            let item = field.item.as_ref()?;
            if !bounds(field, items.len() as f64, "items", path, errors) {
                return None;
            }
            let clean = items
                .into_iter()
                .enumerate()
                .filter_map(|(i, v)| one(item, v, &format!("{path}.{i}"), errors, depth + 1));
            Some(Value::Array(clean.collect()))
        }
        (Word::Map, Value::Object(entries)) => {
            let item = field.item.as_ref()?;
            if !bounds(field, entries.len() as f64, "entries", path, errors) {
                return None;
            }
            let clean = entries
                .into_iter()
                .filter_map(|(k, v)| one(item, v, &format!("{path}.{k}"), errors, depth + 1).map(|v| (k, v)));
            Some(Value::Object(clean.collect()))
        }
        (Word::Group, value) if field.open => {
            if too_deep(&value, MAX_DEPTH) || value.to_string().len() > MAX_TEXT {
                errors.push(FieldError::new(path, "is more than 64 KiB of JSON, or nested more than 16 deep"));
                return None;
            }
            Some(value)
        }
        (Word::Group, Value::Object(entries)) => {
            Some(Value::Object(group(&field.fields, entries, &format!("{path}."), errors, depth + 1, path)))
        }
        (word, value) => {
            let wants = match word {
                Word::List => "a list",
                _ => "an object",
            };
            errors.push(FieldError::new(path, format!("must be {wants}, not {}", shown(&value))));
            None
        }
    }
}

/// Single values: the value in its one form, `None` for the composed words.
fn plain(field: &Field, value: &Value) -> Result<Option<Value>, String> {
    let text = || value.as_str().ok_or_else(|| format!("must be text, not {}", shown(value)));
    Ok(Some(match field.word {
        Word::Text => {
            let text = text()?;
            text_fits(field, text)?;
            text.into()
        }
        Word::Ref => {
            let key = text()?;
            if !crate::ids::is_key(key) {
                return Err(format!(
                    "must be the key of {}, not {}",
                    if field.class.is_empty() { "a record".into() } else { field.class.join(" or ") },
                    shown(value)
                ));
            }
            key.into()
        }
        Word::Int | Word::Bytes => {
            let whole = value
                .as_i64()
                .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64));
            let number = whole.ok_or_else(|| format!("must be a whole number, not {}", shown(value)))?;
            in_range(field, number as f64)?;
            if field.word == Word::Bytes && number < 0 {
                return Err("must be 0 or more bytes".into());
            }
            number.into()
        }
        Word::Float => {
            let number = value.as_f64().ok_or_else(|| format!("must be a number, not {}", shown(value)))?;
            in_range(field, number)?;
            value.clone()
        }
        Word::Bool => match value {
            Value::Bool(_) => value.clone(),
            other => return Err(format!("must be true or false, not {}", shown(other))),
        },
        Word::Time => {
            let text = text()?;
            let time = Time::parse(text)
                .ok_or_else(|| format!("must be a time such as 2026-11-21T03:12:09Z, not {}", shown(value)))?;
            time.to_string().into()
        }
        Word::Duration => {
            let span = match value {
                Value::Number(n) => return Err(format!("must be a duration with its unit, such as {n}s or {n}m")),
                _ => parse_duration(text()?)?,
            };
            format_duration(span).into()
        }
        Word::Enum => {
            let text = text()?;
            if !field.values.iter().any(|v| v == text) {
                return Err(format!("must be one of {}, not {}", field.values.join(", "), shown(value)));
            }
            text.into()
        }
        Word::List | Word::Map | Word::Group => return Ok(None),
    }))
}

fn text_fits(field: &Field, text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT {
        return Err(format!("is {} bytes long; at most {MAX_TEXT} are allowed", text.len()));
    }
    if text.contains('\0') {
        return Err("must not contain NUL".into());
    }
    let length = text.chars().count() as f64;
    if field.min.is_some_and(|m| length < m) {
        return Err(if length == 0.0 {
            "must not be empty".into()
        } else {
            format!("must have at least {} characters", field.min.unwrap_or_default())
        });
    }
    if field.max.is_some_and(|m| length > m) {
        return Err(format!("must have at most {} characters, not {length}", field.max.unwrap_or_default()));
    }
    if let Some(pattern) = &field.pattern {
        let whole = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| e.to_string())?;
        if !whole.is_match(text) {
            return Err(format!("must match {pattern}, which \"{}\" does not", clip(text)));
        }
    }
    Ok(())
}

fn in_range(field: &Field, number: f64) -> Result<(), String> {
    let unit = field.unit.as_deref().map(|u| format!(" {u}")).unwrap_or_default();
    match (field.min, field.max) {
        (Some(min), Some(max)) if number < min || number > max => {
            Err(format!("must be {min} to {max}{unit}, not {number}"))
        }
        (Some(min), None) if number < min => Err(format!("must be at least {min}{unit}, not {number}")),
        (None, Some(max)) if number > max => Err(format!("must be at most {max}{unit}, not {number}")),
        _ => Ok(()),
    }
}

fn bounds(field: &Field, count: f64, what: &str, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let most = field.max.unwrap_or(MAX_ITEMS as f64);
    if count > most {
        errors.push(FieldError::new(path, format!("has {count} {what}; at most {most} are allowed")));
        return false;
    }
    if field.min.is_some_and(|m| count < m) {
        errors.push(FieldError::new(path, format!("must have at least {} {what}", field.min.unwrap_or_default())));
        return false;
    }
    true
}

fn too_deep(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left == 0 || items.iter().any(|v| too_deep(v, left - 1)),
        Value::Object(entries) => left == 0 || entries.values().any(|v| too_deep(v, left - 1)),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    clip(&value.to_string())
}

fn clip(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(60).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(json: Value) -> Field {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_refusal_names_field_value_and_what_is_allowed() {
        for (shape, value, says) in [
            (json!({"type": "int", "min": 1, "max": 5}), json!(9), "must be 1 to 5, not 9"),
            (
                json!({"type": "enum", "values": ["low", "high"]}),
                json!("hgih"),
                "must be one of low, high, not \"hgih\"",
            ),
            (json!({"type": "duration"}), json!(30), "must be a duration with its unit, such as 30s or 30m"),
            (
                json!({"type": "time"}),
                json!("yesterday"),
                "must be a time such as 2026-11-21T03:12:09Z, not \"yesterday\"",
            ),
            (json!({"type": "bool"}), json!("yes"), "must be true or false, not \"yes\""),
            (json!({"type": "text", "pattern": "[a-z]+"}), json!("A"), "must match [a-z]+, which \"A\" does not"),
            (json!({"type": "list", "item": {"type": "int"}}), json!("x"), "must be a list, not \"x\""),
        ] {
            let mut errors = Vec::new();
            one(&field(shape), value, "f", &mut errors, 0);
            assert_eq!(errors, [FieldError::new("f", says)]);
        }
    }

    #[test]
    fn values_come_into_one_form() {
        let mut errors = Vec::new();
        let clean = one(&field(json!({"type": "duration"})), json!("90s"), "f", &mut errors, 0);
        assert_eq!(clean, Some(json!("1m30s")));
        let clean = one(&field(json!({"type": "time"})), json!("2026-11-21T05:12:09+02:00"), "f", &mut errors, 0);
        assert_eq!(clean, Some(json!("2026-11-21T03:12:09Z")));
        assert!(errors.is_empty());
    }
}
