//! OpenAPI 3.1 from the table of operations and the registry, so that a class defined a second ago is in it.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

use crate::app::App;
use crate::operation::{Needs, Operation};

/// A schema by its name in the document.
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Schema of a list of records.
pub fn record_list() -> Value {
    json!({"type": "object", "properties": {"records": {"type": "array", "items": reference("Record")}, "cols": {"type": "array", "items": {"type": "string"}}, "rows": {"type": "array"},
        "next_cursor": {"type": ["string", "null"]}, "total": {"type": ["integer", "null"]}, "estimate": {"type": "integer"}, "slow": {"type": "boolean"}, "damaged": {"type": "array", "items": {"type": "string"}}},
        "required": ["next_cursor", "total"]})
}

/// Schema of a list of journal entries.
pub fn entry_list() -> Value {
    json!({"type": "object", "properties": {"entries": {"type": "array", "items": reference("Entry")}, "next": {"type": ["integer", "null"]}}, "required": ["entries", "next"]})
}

/// The parts of the document that do not depend on classes, made when somebody first wants to see it.
pub struct Document {
    paths: Arc<LazyLock<Value, Box<dyn FnOnce() -> Value + Send>>>,
}

impl Document {
    /// From the operations.
    pub fn of(operations: Vec<Operation>) -> Self {
        Self { paths: Arc::new(LazyLock::new(Box::new(move || paths(&operations)))) }
    }

    /// Serves the document, and a page that lists it for people.
    pub fn routes(&self) -> Router<App> {
        let (json_paths, page_paths) = (self.paths.clone(), self.paths.clone());
        Router::new()
            .route(
                "/api/v1/openapi.json",
                get(move |State(app): State<App>| async move { axum::Json(whole(&app, &json_paths)) }),
            )
            .route(
                "/api/docs",
                get(move || async move {
                    (
                        [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'none'")],
                        Html(page(&page_paths)),
                    )
                        .into_response()
                }),
            )
    }
}

fn paths(operations: &[Operation]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| Value::Object(Map::new()));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_lowercase(), describe(operation));
        }
    }
    Value::Object(paths)
}

fn describe(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = operation
        .path
        .split(['{', '}'])
        .skip(1)
        .step_by(2)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .collect();
    for p in &operation.query {
        parameters
            .push(json!({"name": p.name, "in": "query", "required": false, "description": p.help, "schema": p.schema}));
    }
    let (status, schema) = &operation.answer;
    let ok = match schema {
        Some(schema) if operation.gives == "application/json" => {
            json!({"description": "Done.", "content": {"application/json": {"schema": schema}}})
        }
        Some(_) => json!({"description": "Done.", "content": {operation.gives: {}}}),
        None => json!({"description": "Done."}),
    };
    let mut responses = Map::new();
    responses.insert(status.to_string(), ok);
    for (status, media, schema) in &operation.also {
        let described = json!({"description": "As the protocol says.", "content": {*media: {"schema": schema}}});
        responses.insert(status.to_string(), described);
    }
    responses.insert("default".into(), json!({"description": "Not done, and why.", "content": {"application/problem+json": {"schema": reference("Problem")}}}));
    let mut described = json!({"operationId": operation.id, "summary": operation.summary, "parameters": parameters, "responses": responses});
    if let (Some((schema, required)), Some(object)) = (&operation.body, described.as_object_mut()) {
        let media: Vec<&str> =
            if operation.takes.is_empty() { vec!["application/json"] } else { operation.takes.clone() };
        let content: Map<String, Value> = media.iter().map(|m| ((*m).to_owned(), json!({"schema": schema}))).collect();
        object.insert("requestBody".into(), json!({"required": required, "content": content}));
    }
    if operation.needs == Needs::Session
        && let Some(object) = described.as_object_mut()
    {
        object.insert("security".into(), json!([{"bearer": []}, {"basic": []}, {"cookie": []}]));
    }
    described
}

fn whole(app: &App, paths: &Value) -> Value {
    let mut schemas = common();
    for class in app.kernel.registry().classes() {
        let mut schema = kernel::shape::object_schema(&class.fields);
        if let Some(object) = schema.as_object_mut() {
            object.insert("title".into(), class.title.clone().into());
            object.insert("description".into(), class.help.clone().into());
        }
        schemas.insert(format!("fields.{}", class.name), schema);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Mainstay", "version": app.version, "description": "Records, links, journal and intervals of everything that is operated.", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "mainstay admin token create"},
            "basic": {"type": "http", "scheme": "basic", "description": "any name, and a token as the password"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "mainstay_session"}}},
    })
}

fn common() -> Map<String, Value> {
    let text = || json!({"type": "string"});
    let time = || json!({"type": "string", "format": "date-time"});
    let maybe = |schema: Value| json!({"anyOf": [schema, {"type": "null"}]});
    let health = json!({"type": "object", "required": ["state", "since", "reason"], "properties": {"state": {"type": "string", "enum": ["up", "degraded", "down", "unknown", "maintenance"]}, "since": time(), "reason": text()}});
    let record = json!({"type": "object", "required": ["class", "key", "id", "tenant", "state", "open", "version", "title", "owner", "health", "fields", "created", "updated"], "properties": {
        "class": text(), "key": text(), "id": {"type": "string", "format": "uuid"}, "tenant": text(), "state": text(), "open": {"type": "boolean"}, "state_since": time(), "version": {"type": "integer", "minimum": 1},
        "title": text(), "owner": maybe(text()), "health": maybe(reference("Health")), "fields": {"type": "object"}, "created": time(), "updated": time(),
        "links": {"type": "array", "items": reference("Neighbour")}}});
    let neighbour = json!({"type": "object", "required": ["type", "direction", "class", "key", "title", "state"], "properties": {"type": text(), "direction": {"type": "string", "enum": ["in", "out"]}, "class": text(), "key": text(), "title": text(), "state": text(), "health": maybe(reference("Health"))}});
    let entry = json!({"type": "object", "required": ["seq", "time", "tenant", "actor", "subject", "class", "action", "cause", "before", "after", "note", "hash"], "properties": {
        "seq": {"type": "integer"}, "time": time(), "tenant": text(), "actor": {"type": "object", "required": ["kind", "key"], "properties": {"kind": text(), "key": text()}}, "subject": text(), "class": text(), "action": text(),
        "cause": {"type": ["integer", "null"]}, "before": {"type": "object"}, "after": {"type": "object"}, "note": maybe(text()), "hash": text()}});
    let problem = json!({"type": "object", "required": ["type", "title", "status", "detail", "request_id"], "properties": {
        "type": text(), "title": text(), "status": {"type": "integer"}, "detail": text(), "errors": {"type": "array", "items": {"type": "object", "required": ["field", "message"], "properties": {"field": text(), "message": text()}}},
        "near": {"type": "array", "items": text()}, "request_id": maybe(text()), "current": reference("Record"), "yours": {"type": "object"}}});
    [("Health", health), ("Record", record), ("Neighbour", neighbour), ("Entry", entry), ("Problem", problem)]
        .into_iter()
        .map(|(n, s)| (n.to_owned(), s))
        .collect()
}

/// A plain list for people; no script, no style from elsewhere.
fn page(paths: &Value) -> String {
    let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;");
    let mut rows = String::new();
    for (path, methods) in paths.as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let summary = operation.get("summary").and_then(Value::as_str).unwrap_or_default();
            rows.push_str(&format!(
                "<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
                method.to_uppercase(),
                escape(path),
                escape(summary)
            ));
        }
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Mainstay API</title><h1>Mainstay API</h1><p>The machine-readable document is <a href=\"/api/v1/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p><table>{rows}</table></html>"
    )
}
