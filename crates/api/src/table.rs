//! Records as tables of text: cells for CSV, and values read back from cells by the shape of the field.

use kernel::shape::{Field, Word};
use kernel::{ClassDef, Record};
use serde_json::Value;

/// A value as a cell. A cell that a spreadsheet would take for a formula gets a leading quote (CSV injection).
pub fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
        }
        Value::Bool(_) | Value::Number(_) => return value.to_string(),
        other => other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

/// Columns of an export: what every record has, then every field of the class.
pub fn columns(class: &ClassDef) -> Vec<String> {
    let own = ["key", "state", "owner", "health", "created", "updated"];
    own.iter().map(|c| (*c).to_owned()).chain(class.fields.iter().map(|f| f.name.clone())).collect()
}

/// One record as cells.
pub fn row(record: &Record, columns: &[String]) -> Vec<String> {
    columns
        .iter()
        .map(|c| match c.as_str() {
            "key" => cell(&record.key.clone().into()),
            "state" => record.state.clone(),
            "owner" => record.owner.clone().unwrap_or_default(),
            "health" => record.health.as_ref().map(|h| h.state.as_str().to_owned()).unwrap_or_default(),
            "created" => record.created.to_string(),
            "updated" => record.updated.to_string(),
            field => cell(record.fields.get(field).unwrap_or(&Value::Null)),
        })
        .collect()
}

/// A cell as the value that its field holds; text that does not fit stays text, and validation names it.
pub fn value(field: &Field, cell: &str) -> Value {
    let cell = match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest,
        _ => cell,
    };
    if cell.is_empty() {
        return Value::Null;
    }
    match field.word {
        Word::Int | Word::Bytes => cell.trim().parse::<i64>().map_or_else(|_| cell.into(), Value::from),
        Word::Float => cell.trim().parse::<f64>().map_or_else(|_| cell.into(), Value::from),
        Word::Bool => match cell.trim().to_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            _ => cell.into(),
        },
        Word::List => {
            if let Ok(list @ Value::Array(_)) = serde_json::from_str(cell) {
                return list;
            }
            let item = field.item.as_deref();
            let parts = cell.split(';').map(str::trim).filter(|p| !p.is_empty());
            Value::Array(parts.map(|p| item.map_or_else(|| p.into(), |i| value(i, p))).collect())
        }
        Word::Map | Word::Group => serde_json::from_str(cell).unwrap_or_else(|_| cell.into()),
        _ => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_leaves_as_text_and_comes_back_whole() {
        let field = Field::new("title", Word::Text);
        for text in ["=1+1", "+49 30 1", "-x", "@me", "plain", "'quoted"] {
            assert!(!cell(&text.into()).starts_with(['=', '+', '-', '@']), "{text}");
            assert_eq!(value(&field, &cell(&text.into())), Value::from(text));
        }
    }
}
