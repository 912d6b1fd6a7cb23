//! The documents of configuration as code: read from YAML, with the place of each thing that is wrong. Nothing is looked up here.

use kernel::error::{ActError, FieldError, Noun, near};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    path: String,
    text: String,
}

/// A document with the place it stands at.
pub(super) struct Document {
    pub(super) path: String,
    /// Line of its first line in the file, from 1.
    pub(super) line: usize,
    text: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) owner: Option<String>,
    pub(super) spec: Map<String, Value>,
    pub(super) links: Vec<(String, String)>,
}

impl Document {
    /// The line of the plan that tells what becomes of it.
    pub(super) fn shown(&self, action: &str, changes: Value) -> Value {
        json!({"kind": self.kind, "name": self.name, "action": action, "changes": changes, "file": self.path, "line": self.line})
    }
}

/// What is wrong, and where.
#[derive(Debug, serde::Serialize)]
pub(super) struct Fault {
    file: String,
    line: usize,
    field: String,
    message: String,
}

/// Kind and name of a document.
pub type Named = (String, String);
/// A line, and what is wrong there.
pub type Wrong = (usize, String);

/// Looks at a text without applying it: kind and name of each document, and what is wrong with the others, by line.
pub fn read(text: &str) -> (Vec<Named>, Vec<Wrong>) {
    let (documents, faults) = documents(vec![File { path: String::new(), text: text.to_owned() }]);
    let named = documents.into_iter().map(|d| (d.kind, d.name)).collect();
    (named, faults.into_iter().map(|f| (f.line, f.message)).collect())
}

/// All documents of the files, and what could not be read.
pub(super) fn documents(files: Vec<File>) -> (Vec<Document>, Vec<Fault>) {
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        for (line, text) in split(&file.text) {
            if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
                continue;
            }
            match document(&file.path, line, &text) {
                Ok(document) => all.push(document),
                Err(fault) => faults.push(fault),
            }
        }
    }
    (all, faults)
}

/// The parts between `---` lines, with the line that each begins at.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (i, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            parts.push((i + 2, String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn document(path: &str, first: usize, text: &str) -> Result<Document, Fault> {
    let fault = |line: usize, field: &str, message: String| Fault {
        file: path.to_owned(),
        line,
        field: field.to_owned(),
        message,
    };
    let value: Value = yaml_serde::from_str(text).map_err(|e| {
        let line = e.location().map_or(first, |l| first + l.line().saturating_sub(1));
        fault(line, "", e.to_string())
    })?;
    let Value::Object(top) = value else {
        return Err(fault(first, "", "a document is kind, metadata and spec".into()));
    };
    let known = ["kind", "metadata", "spec", "links"];
    if let Some(other) = top.keys().find(|k| !known.contains(&k.as_str())) {
        let close = near(other, known);
        let hint = close.first().map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        return Err(fault(first + line_in(text, other), other, format!("a document has no \"{other}\"{hint}")));
    }
    let text_at = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let kind = text_at(top.get("kind")).ok_or_else(|| fault(first, "kind", "must name a class".into()))?;
    let metadata = top.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(other) = metadata.keys().find(|k| !["name", "owner"].contains(&k.as_str())) {
        return Err(fault(
            first + line_in(text, other),
            other,
            format!("metadata has no \"{other}\"; it has name and owner"),
        ));
    }
    let name = text_at(metadata.get("name"))
        .ok_or_else(|| fault(first, "metadata.name", "must have a value: it becomes the key".into()))?;
    let spec = match top.get("spec") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(spec)) => spec.clone(),
        Some(_) => return Err(fault(first + line_in(text, "spec"), "spec", "must be fields and their values".into())),
    };
    let mut links = Vec::new();
    for link in top.get("links").and_then(Value::as_array).into_iter().flatten() {
        match (text_at(link.get("type")), text_at(link.get("to"))) {
            (Some(name), Some(to)) => links.push((name, to)),
            _ => return Err(fault(first + line_in(text, "links"), "links", "each link has a type and a to".into())),
        }
    }
    Ok(Document {
        path: path.to_owned(),
        line: first,
        text: text.to_owned(),
        kind,
        name,
        owner: text_at(metadata.get("owner")),
        spec,
        links,
    })
}

/// Lines before the one on which a name stands as a key; 0 when it is not found.
fn line_in(text: &str, name: &str) -> usize {
    let last = name.rsplit('.').next().unwrap_or(name);
    text.lines()
        .position(|l| {
            l.trim_start()
                .trim_start_matches("- ")
                .trim_start_matches('{')
                .trim_start()
                .strip_prefix(last)
                .is_some_and(|r| r.starts_with(':'))
                || l.contains(&format!(" {last}:"))
        })
        .unwrap_or(0)
}

pub(super) fn located(document: &Document, error: ActError) -> Vec<Fault> {
    let at = |field: &str, message: String| Fault {
        file: document.path.clone(),
        line: document.line + line_in(&document.text, field),
        field: field.to_owned(),
        message,
    };
    match error {
        ActError::Invalid(errors) => {
            errors.into_iter().map(|FieldError { field, message }| at(&field, message)).collect()
        }
        ActError::Unknown { noun: Noun::Class, .. } => vec![at("kind", error.to_string())],
        ActError::Unknown { noun: Noun::Link, .. } => vec![at("links", error.to_string())],
        other => vec![at("metadata", other.to_string())],
    }
}

/// Documents that others name come before those that name them, as far as that can be.
pub(super) fn ordered(documents: Vec<Document>) -> Vec<Document> {
    let mut waiting = documents;
    let mut done: Vec<Document> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|d| d.name.clone()).collect();
        let (ready, rest): (Vec<Document>, Vec<Document>) = waiting
            .into_iter()
            .partition(|d| !names.iter().any(|n| *n != d.name && mentions(&Value::Object(d.spec.clone()), n)));
        if ready.is_empty() {
            done.extend(rest); // A circle: whatever it is, the commit will tell.
            break;
        }
        done.extend(ready);
        waiting = rest;
    }
    done
}

fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|v| mentions(v, name)),
        Value::Object(entries) => entries.values().any(|v| mentions(v, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_file_and_line() {
        let text = "kind: host\nmetadata: { name: web-1 }\n---\nkind: check\nmetadata: { name: x }\nspce: {}\n";
        let (documents, faults) = documents(vec![File { path: "a.yaml".into(), text: text.into() }]);
        assert_eq!(documents.len(), 1);
        assert_eq!((faults[0].line, faults[0].message.as_str()), (6, "a document has no \"spce\"; did you mean spec?"));
    }

    #[test]
    fn what_is_named_comes_first() {
        let text = "kind: check\nmetadata: { name: shop-front }\nspec: { on: shop }\n---\nkind: service\nmetadata: { name: shop }\n";
        let (documents, _) = documents(vec![File { path: "a".into(), text: text.into() }]);
        let names: Vec<String> = ordered(documents).into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["shop", "shop-front"]);
    }
}
