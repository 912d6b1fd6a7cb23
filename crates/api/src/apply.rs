//! Configuration as code: documents of `kind`, `metadata`, `spec` become records. First the plan, then all of it in one commit.
//!
//! Documents may name each other in any order; users' classes come first, in a commit of their own, so that documents of those
//! classes can stand in the same folder.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use kernel::act::{Act, Create, NewLink, Target};
use kernel::error::{ActError, FieldError, Noun, near};
use kernel::journal::difference;
use kernel::{Record, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::Body;

/// Most documents of one request.
const MAX_DOCUMENTS: usize = 5000;

/// Operations of configuration as code.
pub fn operations() -> Vec<Operation> {
    let file = json!({"type": "object", "required": ["path", "text"], "properties": {"path": {"type": "string"}, "text": {"type": "string"}}, "additionalProperties": false});
    let body = json!({"type": "object", "required": ["files"], "properties": {"files": {"type": "array", "items": file}, "dry_run": {"type": "boolean"}}, "additionalProperties": false});
    vec![
        Operation::new(
            Method::POST,
            "/api/v1/apply",
            "apply",
            "Makes records what YAML documents say. With dry_run, only the plan; errors name file, line and field.",
        )
        .takes(body)
        .answers(200, json!({"type": "object", "required": ["plan", "errors", "applied"]}))
        .by(apply),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBody {
    files: Vec<File>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    text: String,
}

/// A document with the place it stands at.
struct Document {
    path: String,
    /// Line of its first line in the file, from 1.
    line: usize,
    text: String,
    kind: String,
    name: String,
    owner: Option<String>,
    spec: Map<String, Value>,
    links: Vec<(String, String)>,
}

/// What is wrong, and where.
#[derive(Debug, serde::Serialize)]
struct Fault {
    file: String,
    line: usize,
    field: String,
    message: String,
}

/// What is to become of a document.
struct Change {
    act: Act,
    also: Vec<Act>,
    shown: Value,
    unchanged: bool,
}

async fn apply(State(app): State<App>, who: Caller, body: Body<ApplyBody>) -> Result<Json<Value>, Problem> {
    let (documents, mut faults) = documents(body.value.files);
    if documents.len() > MAX_DOCUMENTS {
        return Err(Problem::field(
            "files",
            format!("hold {} documents; at most {MAX_DOCUMENTS} are allowed", documents.len()),
        ));
    }
    let (classes, others): (Vec<Document>, Vec<Document>) = documents.into_iter().partition(|d| d.kind == "class");
    let mut plan = Vec::new();
    let mut applied = false;
    for batch in [classes, ordered(others)] {
        let names: BTreeMap<String, String> = batch.iter().map(|d| (d.name.clone(), d.kind.clone())).collect();
        // Links come last: by then every record of this batch is there to be linked.
        let (mut acts, mut links) = (Vec::new(), Vec::new());
        for document in &batch {
            match change(&app, &who.session, document, &names).await {
                Ok(change) => {
                    plan.push(change.shown);
                    if !change.unchanged {
                        acts.push(change.act);
                    }
                    links.extend(change.also);
                }
                Err(error) => faults.extend(located(document, error)),
            }
        }
        acts.extend(links);
        if faults.is_empty() && !body.value.dry_run && !acts.is_empty() {
            if let Err(error) = app.kernel.acts(&who.session, acts, None).await {
                return Err(error.into());
            }
            applied = true;
        }
    }
    Ok(Json(json!({"plan": plan, "errors": faults, "applied": applied})))
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
fn documents(files: Vec<File>) -> (Vec<Document>, Vec<Fault>) {
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

fn located(document: &Document, error: ActError) -> Vec<Fault> {
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
        other => vec![at("metadata", other.to_string())],
    }
}

/// Documents that others name come before those that name them, as far as that can be.
fn ordered(documents: Vec<Document>) -> Vec<Document> {
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

async fn change(
    app: &App,
    session: &Session,
    document: &Document,
    names: &BTreeMap<String, String>,
) -> Result<Change, ActError> {
    let class = app.kernel.registry().need(&document.kind)?;
    let fields = if document.kind == "class" {
        Map::from_iter([("definition".to_owned(), Value::Object(document.spec.clone()))])
    } else {
        document.spec.clone()
    };
    let shown = |action: &str, changes: Value| json!({"kind": document.kind, "name": document.name, "action": action, "changes": changes, "file": document.path, "line": document.line});
    let existing = match app.kernel.get(session, &document.kind, &document.name).await {
        Ok(record) => Some(record),
        Err(ActError::Unknown { noun: Noun::Record, .. }) => None,
        Err(error) => return Err(error),
    };
    let mut probe = fields.clone();
    for compute in &class.compute {
        compute(&mut probe);
    }
    let clean = kernel::validate::fields(&class, probe).map_err(ActError::Invalid)?;
    refs_exist(app, session, &class, &clean, names).await?;
    match existing {
        None => {
            let mut links = Vec::new();
            let mut also = Vec::new();
            for (name, to) in &document.links {
                match app.kernel.find(session, to).await {
                    Ok(target) => links.push(NewLink { name: name.clone(), to: Target::Id(target.id) }),
                    Err(_) if names.contains_key(to) => also.push(Act::Link {
                        from: Target::key(&document.kind, &document.name),
                        name: name.clone(),
                        to: Target::key(&names[to], to),
                    }),
                    Err(error) => return Err(error),
                }
            }
            let act = Act::Create(Create {
                kind: document.kind.clone(),
                key: Some(document.name.clone()),
                fields,
                links,
                owner: document.owner.clone(),
                ..Create::default()
            });
            Ok(Change { act, also, shown: shown("create", Value::Object(clean)), unchanged: false })
        }
        Some(record) => update(app, session, document, &class, &record, fields, clean, names, &shown).await,
    }
}

/// Refs that lead nowhere are faults now, with their line, and not in the middle of the commit.
async fn refs_exist(
    app: &App,
    session: &Session,
    class: &kernel::ClassDef,
    fields: &Map<String, Value>,
    names: &BTreeMap<String, String>,
) -> Result<(), ActError> {
    let mut wrong = Vec::new();
    for link in &class.links {
        let Some(field) = &link.field else { continue };
        let keys: Vec<&str> = match fields.get(field) {
            Some(Value::String(key)) => vec![key],
            Some(Value::Array(keys)) => keys.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for key in keys {
            if !names.contains_key(key) && app.kernel.find(session, key).await.is_err() {
                let wanted = if link.to.is_empty() { "record".to_owned() } else { link.to.join(" or ") };
                wrong.push(FieldError::new(field.as_str(), format!("there is no {wanted} \"{key}\"")));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(ActError::Invalid(wrong)) }
}

#[expect(clippy::too_many_arguments, reason = "one call site; each is a part of the document or of what stands")]
async fn update(
    app: &App,
    session: &Session,
    document: &Document,
    class: &kernel::ClassDef,
    record: &Record,
    fields: Map<String, Value>,
    clean: Map<String, Value>,
    names: &BTreeMap<String, String>,
    shown: &impl Fn(&str, Value) -> Value,
) -> Result<Change, ActError> {
    // What the document does not say and people may set goes away: the document is the whole of what is declared.
    let mut patch = fields;
    for field in &class.fields {
        if !field.computed && record.fields.contains_key(&field.name) && !clean.contains_key(&field.name) {
            patch.insert(field.name.clone(), Value::Null);
        }
    }
    let mut before = record.fields.clone();
    before.retain(|name, _| class.field(name).is_none_or(|f| !f.computed));
    let mut after = clean;
    after.retain(|name, _| class.field(name).is_none_or(|f| !f.computed));
    let (was, is) = difference(&before, &after);
    let owner = (document.owner.is_some() && document.owner != record.owner).then(|| document.owner.clone());
    let mut also = Vec::new();
    let linked = app.kernel.links(session, record).await?;
    for (name, to) in &document.links {
        if !linked.iter().any(|n| n.direction == kernel::link::Side::Out && n.name == *name && n.other.key == *to) {
            let to = match (app.kernel.find(session, to).await, names.get(to)) {
                (Ok(target), _) => Target::Id(target.id),
                (Err(_), Some(kind)) => Target::key(kind, to), // Made earlier in the same commit.
                (Err(error), None) => return Err(error),
            };
            also.push(Act::Link { from: Target::Id(record.id), name: name.clone(), to });
        }
    }
    let unchanged = was.is_empty() && is.is_empty() && owner.is_none();
    let action = if unchanged && also.is_empty() { "unchanged" } else { "update" };
    let act = Act::Update { target: Target::Id(record.id), fields: patch, owner, expect: Some(record.version) };
    Ok(Change { act, also, shown: shown(action, json!({"before": was, "after": is})), unchanged })
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
