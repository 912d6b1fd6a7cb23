//! Tables in: CSV (or a list as YAML or JSON) into records of one class, by key, with errors by row and a dry run.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use kernel::act::{Act, Create, Target};
use kernel::error::{ActError, Noun, near};
use kernel::{ClassDef, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::Query;
use crate::table;

/// Most rows of one import.
const MAX_ROWS: usize = 50_000;
/// Most errors told.
const MAX_ERRORS: usize = 1000;
/// Rows of one commit when all rows are good.
const BATCH: usize = 500;

/// Operations that take tables in.
pub fn operations() -> Vec<Operation> {
    let answer =
        json!({"type": "object", "required": ["rows", "created", "updated", "unchanged", "errors", "applied"]});
    vec![
        Operation::new(
            Method::POST,
            "/api/v1/import",
            "import",
            "Creates and updates records of a class from a table, by key. Nothing is written while any row is wrong.",
        )
        .query("class", "Class of the records", json!({"type": "string"}))
        .query("dry_run", "Only tell what would be done", json!({"type": "boolean"}))
        .takes_media(&["text/csv", "application/yaml", "application/json"])
        .answers(200, answer)
        .by(import),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    class: String,
    #[serde(default)]
    dry_run: bool,
}

/// One row: its number as people count (the header of a CSV is row 1), and its values.
type Row = (usize, Map<String, Value>);

#[derive(serde::Serialize)]
struct RowError {
    row: usize,
    field: String,
    message: String,
}

async fn import(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    Query(q): Query<ImportQuery>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let class = app.kernel.registry().need(&q.class)?;
    let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let rows = if media.starts_with("text/csv") { from_csv(&class, &body)? } else { from_list(&body)? };
    if rows.len() > MAX_ROWS {
        return Err(Problem::field("body", format!("has {} rows; at most {MAX_ROWS} are allowed", rows.len())));
    }
    let total = rows.len();
    let (mut acts, mut errors) = (Vec::new(), Vec::new());
    let (mut created, mut updated, mut unchanged) = (0usize, 0usize, 0usize);
    for (row, values) in rows {
        match plan(&app, &who.session, &class, values).await {
            Ok(Planned::Create(act)) => {
                created += 1;
                acts.push((row, act));
            }
            Ok(Planned::Update(act)) => {
                updated += 1;
                acts.push((row, act));
            }
            Ok(Planned::Same) => unchanged += 1,
            Err(error @ ActError::Denied { .. }) => return Err(error.into()),
            Err(error) if errors.len() < MAX_ERRORS => errors.extend(told(row, error)),
            Err(_) => {}
        }
    }
    let mut applied = false;
    if errors.is_empty() && !q.dry_run {
        for batch in acts.chunks(BATCH) {
            let acts: Vec<Act> = batch.iter().map(|(_, a)| a.clone()).collect();
            if let Err(error) = app.kernel.acts(&who.session, acts, None).await {
                if matches!(error, ActError::Denied { .. }) {
                    return Err(error.into()); // Not a matter of rows: the caller may not do this at all.
                }
                errors.extend(told(batch[0].0, error));
                break;
            }
            applied = true;
        }
    }
    Ok(Json(
        json!({"rows": total, "created": created, "updated": updated, "unchanged": unchanged, "errors": errors, "applied": applied}),
    ))
}

fn told(row: usize, error: ActError) -> Vec<RowError> {
    match error {
        ActError::Invalid(errors) => {
            errors.into_iter().map(|e| RowError { row, field: e.field, message: e.message }).collect()
        }
        other => vec![RowError { row, field: String::new(), message: other.to_string() }],
    }
}

fn from_csv(class: &ClassDef, body: &[u8]) -> Result<Vec<Row>, Problem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(body);
    let wrong = |e: csv::Error| Problem::bad_request(format!("the table cannot be read: {e}"));
    let header = reader.headers().map_err(wrong)?.clone();
    let known: Vec<&str> = ["key", "owner", "state", "health", "created", "updated"]
        .into_iter()
        .chain(class.fields.iter().map(|f| f.name.as_str()))
        .collect();
    let strange: Vec<kernel::FieldError> = header
        .iter()
        .filter(|h| !known.contains(h))
        .map(|h| {
            let close = near(h, known.iter().copied());
            let hint = close.first().map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            kernel::FieldError::new(h, format!("{} has no such field{hint}", class.name))
        })
        .collect();
    if !strange.is_empty() {
        return Err(ActError::Invalid(strange).into());
    }
    let mut rows = Vec::new();
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(wrong)?;
        let mut values = Map::new();
        for (name, cell) in header.iter().zip(record.iter()) {
            let value = class
                .field(name)
                .map_or_else(|| if cell.is_empty() { Value::Null } else { cell.into() }, |f| table::value(f, cell));
            values.insert(name.to_owned(), value);
        }
        rows.push((i + 2, values));
        if rows.len() > MAX_ROWS {
            break;
        }
    }
    Ok(rows)
}

/// A list of objects, each with `key` and fields; YAML is a superset of JSON.
fn from_list(body: &[u8]) -> Result<Vec<Row>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the body is not UTF-8 text"))?;
    let value: Value =
        yaml_serde::from_str(text).map_err(|e| Problem::bad_request(format!("the list cannot be read: {e}")))?;
    let Value::Array(items) = value else { return Err(Problem::bad_request("the body must be a list of objects")) };
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| match item {
            Value::Object(values) => Ok((i + 1, values)),
            _ => Err(Problem::bad_request(format!("item {} is not an object", i + 1))),
        })
        .collect()
}

enum Planned {
    Create(Act),
    Update(Act),
    Same,
}

async fn plan(
    app: &App,
    session: &Session,
    class: &ClassDef,
    mut values: Map<String, Value>,
) -> Result<Planned, ActError> {
    let mut text = |name: &str| values.shift_remove(name).and_then(|v| v.as_str().map(str::to_owned));
    let (key, owner) = (text("key"), text("owner"));
    for own in ["state", "health", "created", "updated"] {
        values.shift_remove(own);
    }
    // A table that was exported has computed fields; they come back as they are computed, not as they are written.
    values.retain(|name, _| class.field(name).is_none_or(|f| !f.computed));
    let existing = match &key {
        None => None,
        Some(key) => match app.kernel.get(session, class.name.as_str(), key).await {
            Ok(record) => Some(record),
            Err(ActError::Unknown { noun: Noun::Record, .. }) => None,
            Err(error) => return Err(error),
        },
    };
    let mut whole = existing.as_ref().map(|r| r.fields.clone()).unwrap_or_default();
    for (name, value) in &values {
        whole.insert(name.clone(), value.clone());
    }
    for compute in &class.compute {
        compute(&mut whole);
    }
    let clean = kernel::validate::fields(class, whole).map_err(ActError::Invalid)?;
    match existing {
        None => {
            values.retain(|_, v| !v.is_null());
            Ok(Planned::Create(Act::Create(Create {
                kind: class.name.to_string(),
                key,
                fields: values,
                owner,
                ..Create::default()
            })))
        }
        Some(record) if clean == record.fields && (owner.is_none() || owner == record.owner) => Ok(Planned::Same),
        Some(record) => Ok(Planned::Update(Act::Update {
            target: Target::Id(record.id),
            fields: values,
            owner: owner.map(Some),
            expect: Some(record.version),
        })),
    }
}
