//! Records of any class: list, read, create, change, step, note, delete, undo.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::act::{Act, Create, Done, NewLink, Target};
use kernel::link::Neighbour;
use kernel::read::ListAsk;
use kernel::{ActError, Record, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::caller::Caller;
use crate::openapi::{record_list, reference};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::{Body, Path, Query};

/// Operations on records.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let target = json!({"type": "object", "required": ["class", "key"], "properties": {"class": text(), "key": text()}, "additionalProperties": false});
    let new_links = json!({"type": "array", "items": {"type": "object", "required": ["type", "to"], "properties": {"type": text(), "to": {"anyOf": [text(), target]}}, "additionalProperties": false}});
    let create = json!({"type": "object", "properties": {"key": {"type": ["string", "null"]}, "fields": {"type": "object"}, "links": new_links, "owner": {"type": ["string", "null"]}}, "additionalProperties": false});
    let patch = json!({"type": "object", "properties": {"fields": {"type": "object"}, "owner": {"type": ["string", "null"]}}, "additionalProperties": false});
    let step = json!({"type": "object", "properties": {"fields": {"type": "object"}, "note": {"type": ["string", "null"]}}, "additionalProperties": false});
    let note = json!({"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}, "additionalProperties": false});
    let undo = json!({"type": "object", "required": ["seq"], "properties": {"seq": {"type": "integer", "minimum": 1}}, "additionalProperties": false});
    let counts = json!({"type": "object", "required": ["by", "counts"], "properties": {"by": text(), "counts": {"type": "array", "items": {"type": "object", "properties": {"value": {}, "count": {"type": "integer"}}}}}});
    vec![
        Operation::new(
            Method::GET,
            "/api/v1/records/{class}",
            "list_records",
            "Lists records of a class, a page at a time.",
        )
        .query("filter", "Filter, such as state:open priority:1,2", text())
        .query("sort", "Field to sort by; - for greatest or newest first", text())
        .query(
            "limit",
            "Records of a page, 1 to 500; 50 when left out",
            json!({"type": "integer", "minimum": 1, "maximum": 500}),
        )
        .query("cursor", "Where the last page ended", text())
        .query("fields", "Fields wanted, separated by commas", text())
        .query("shape", "columns for the columnar form", json!({"type": "string", "enum": ["records", "columns"]}))
        .answers(200, record_list())
        .by(list),
        Operation::new(
            Method::POST,
            "/api/v1/records/{class}",
            "create_record",
            "Creates a record. Idempotency-Key makes repeating it harmless.",
        )
        .takes(create)
        .answers(201, reference("Record"))
        .by(create_record),
        Operation::new(
            Method::GET,
            "/api/v1/records/{class}/counts",
            "count_records",
            "Counts records of a class by each value of a field.",
        )
        .query("by", "Field to count by; state when left out", text())
        .query("filter", "Filter", text())
        .answers(200, counts)
        .by(counts_of),
        Operation::new(Method::GET, "/api/v1/records/{class}/{key}", "get_record", "One record with its links.")
            .answers(200, reference("Record"))
            .by(get),
        Operation::new(
            Method::PATCH,
            "/api/v1/records/{class}/{key}",
            "update_record",
            "Changes fields: a merge patch, in which null removes. If-Match refuses a stale write.",
        )
        .takes(patch)
        .answers(200, reference("Record"))
        .by(update),
        Operation::new(
            Method::DELETE,
            "/api/v1/records/{class}/{key}",
            "delete_record",
            "Deletes: a tombstone stays, and the key stays taken.",
        )
        .answers_nothing()
        .by(delete),
        Operation::new(
            Method::POST,
            "/api/v1/records/{class}/{key}/transitions/{name}",
            "transition_record",
            "A step of the life cycle; 409 with the reason when it cannot be done.",
        )
        .may_take(step)
        .answers(200, reference("Record"))
        .by(transition),
        Operation::new(
            Method::POST,
            "/api/v1/records/{class}/{key}/notes",
            "note_record",
            "Writes a sentence into the timeline.",
        )
        .takes(note)
        .answers(201, reference("Entry"))
        .by(note_on),
        Operation::new(
            Method::POST,
            "/api/v1/records/{class}/{key}/undo",
            "undo_record",
            "Takes back what a journal entry tells of, if nothing changed it since.",
        )
        .takes(undo)
        .answers(200, reference("Record"))
        .by(undo_on),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    filter: String,
    #[serde(default)]
    sort: String,
    #[serde(default = "fifty")]
    limit: usize,
    cursor: Option<String>,
    fields: Option<String>,
    #[serde(default)]
    shape: Shape,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Shape {
    #[default]
    Records,
    Columns,
}

fn fifty() -> usize {
    50
}

async fn list(
    State(app): State<App>,
    who: Caller,
    Path(class): Path<String>,
    Query(q): Query<ListQuery>,
) -> Result<Response, Problem> {
    let ask = ListAsk { filter: q.filter, sort: q.sort, limit: q.limit, cursor: q.cursor, total: true };
    let mut list = app.kernel.list(&who.session, &class, &ask).await?;
    list.records = list.records.into_iter().map(|record| app.now(record)).collect();
    let wanted: Option<Vec<&str>> = q.fields.as_deref().map(|f| f.split(',').filter(|n| !n.is_empty()).collect());
    let total = list.total.and_then(|t| t.exact);
    let mut answer = Map::new();
    if q.shape == Shape::Columns {
        let (cols, rows) = columnar(&app, &class, &list.records, wanted.as_deref())?;
        answer.insert("cols".into(), cols.into());
        answer.insert("rows".into(), rows.into());
    } else {
        let records: Vec<Value> = list.records.iter().map(|r| view(&app, r, wanted.as_deref())).collect();
        answer.insert("records".into(), records.into());
    }
    answer.insert("next_cursor".into(), list.next.into());
    answer.insert("total".into(), total.into());
    if let (None, Some(estimate)) = (total, list.total) {
        answer.insert("estimate".into(), estimate.at_least.into());
    }
    if list.slow {
        answer.insert("slow".into(), true.into());
    }
    if !list.damaged.is_empty() {
        answer.insert("damaged".into(), list.damaged.into());
    }
    Ok(axum::Json(Value::Object(answer)).into_response())
}

/// Column names and rows: what every record has, then the wanted fields or the columns of the class.
fn columnar(
    app: &App,
    class: &str,
    records: &[Record],
    wanted: Option<&[&str]>,
) -> Result<(Vec<String>, Vec<Value>), Problem> {
    let class = app.kernel.registry().need(class)?;
    let mut cols: Vec<String> = ["key", "title", "state", "open", "owner", "health", "version", "updated"]
        .iter()
        .map(|c| (*c).to_owned())
        .collect();
    let fields = wanted.map_or_else(|| class.columns.iter().map(String::as_str).collect::<Vec<_>>(), <[&str]>::to_vec);
    for field in fields {
        if !cols.iter().any(|c| c == field) {
            cols.push(field.to_owned());
        }
    }
    let rows = records
        .iter()
        .map(|r| {
            let all = r.view("");
            let cell = |c: &String| match all.get(c) {
                Some(value) => value.clone(),
                None => r.fields.get(c).cloned().unwrap_or(Value::Null),
            };
            Value::Array(cols.iter().map(cell).collect())
        })
        .collect();
    Ok((cols, rows))
}

/// A record as JSON, with only the wanted fields if some are named.
pub fn view(app: &App, record: &Record, wanted: Option<&[&str]>) -> Value {
    let mut view = record.view(&app.kernel.tenant_key(record.tenant));
    if let (Some(wanted), Some(fields)) = (wanted, view.get_mut("fields").and_then(Value::as_object_mut)) {
        fields.retain(|name, _| wanted.contains(&name.as_str()));
    }
    view
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountQuery {
    #[serde(default = "state")]
    by: String,
    #[serde(default)]
    filter: String,
}

fn state() -> String {
    "state".into()
}

async fn counts_of(
    State(app): State<App>,
    who: Caller,
    Path(class): Path<String>,
    Query(q): Query<CountQuery>,
) -> Result<axum::Json<Value>, Problem> {
    let counts = app.kernel.counts(&who.session, &class, &q.filter, &q.by).await?;
    let counts: Vec<Value> = counts.into_iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
    Ok(axum::Json(json!({"by": q.by, "counts": counts})))
}

async fn get(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    Path((class, key)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let record = app.now(app.kernel.get(&who.session, &class, &key).await?);
    if headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()) == Some(&etag(&record)) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let links = app.kernel.links(&who.session, &record).await?;
    Ok(answer(&app, StatusCode::OK, &record, Some(&links)))
}

fn etag(record: &Record) -> String {
    format!("\"{}\"", record.version)
}

/// A record as an answer, with its ETag.
pub fn answer(app: &App, status: StatusCode, record: &Record, links: Option<&[Neighbour]>) -> Response {
    let mut body = view(app, record, None);
    if let (Some(links), Some(object)) = (links, body.as_object_mut()) {
        object.insert("links".into(), serde_json::to_value(links).expect("links are plain data"));
    }
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&etag(record)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What a caller sends to create a record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// Its key; left out, it is numbered or made from the title.
    pub key: Option<String>,
    /// Its fields.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// Links from it.
    #[serde(default)]
    pub links: Vec<LinkBody>,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// A link in a request: the target by key, or by class and key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// Its type.
    #[serde(rename = "type")]
    pub name: String,
    /// Its target.
    pub to: TargetBody,
}

/// A record named in a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TargetBody {
    /// By its key alone: keys are unique over all classes.
    Key(String),
    /// By class and key.
    Full {
        /// Its class.
        class: String,
        /// Its key.
        key: String,
    },
}

impl TargetBody {
    /// The record that is named.
    ///
    /// # Errors
    /// There is none that the session may read.
    pub async fn target(&self, app: &App, session: &Session) -> Result<Target, ActError> {
        match self {
            Self::Full { class, key } => Ok(Target::key(class, key)),
            Self::Key(key) => Ok(Target::Id(app.kernel.find(session, key).await?.id)),
        }
    }
}

/// The act that a body asks for.
///
/// # Errors
/// A link's target that is not there.
pub async fn create_act(app: &App, session: &Session, class: &str, body: CreateBody) -> Result<Act, ActError> {
    let mut links = Vec::with_capacity(body.links.len());
    for link in body.links {
        let to = link.to.target(app, session).await?;
        links.push(NewLink { name: link.name, to });
    }
    Ok(Act::Create(Create {
        kind: class.to_owned(),
        key: body.key,
        fields: body.fields,
        links,
        owner: body.owner,
        ..Create::default()
    }))
}

async fn create_record(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    Path(class): Path<String>,
    body: Body<CreateBody>,
) -> Result<Response, Problem> {
    let idempotency = idempotency(&headers, &[class.as_bytes(), &body.bytes])?;
    let act = create_act(&app, &who.session, &class, body.value).await?;
    let done: Done = app.kernel.acts(&who.session, vec![act], idempotency).await?;
    let repeated = done.repeated;
    let record = done.record()?;
    let mut response = answer(&app, StatusCode::CREATED, &record, None);
    let location = format!("/api/v1/records/{}/{}", record.kind, record.key.replace('/', "%2F"));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if repeated {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The Idempotency-Key header with a fingerprint of the request.
///
/// # Errors
/// A key that is empty or longer than 255 characters.
pub fn idempotency(headers: &HeaderMap, parts: &[&[u8]]) -> Result<Option<(String, [u8; 32])>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key
        .to_str()
        .ok()
        .filter(|k| (1..=255).contains(&k.len()))
        .ok_or_else(|| Problem::bad_request("Idempotency-Key must be 1 to 255 visible characters"))?;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok(Some((key.to_owned(), hash.finalize().into())))
}

/// The version of If-Match.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.trim_start_matches("W/").trim_matches('"').parse().ok();
    version
        .map(Some)
        .ok_or_else(|| Problem::bad_request("If-Match must be an ETag that a record was answered with, such as \"3\""))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default, deserialize_with = "given")]
    owner: Option<Option<String>>,
}

/// Tells `null` (take away) from absent (leave).
fn given<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(d).map(Some)
}

async fn update(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    Path((class, key)): Path<(String, String)>,
    body: Body<PatchBody>,
) -> Result<Response, Problem> {
    let expect = expected(&headers)?;
    let yours = Value::Object(body.value.fields.clone());
    let act =
        Act::Update { target: Target::key(&class, &key), fields: body.value.fields, owner: body.value.owner, expect };
    let record = app.kernel.act(&who.session, act).await.map_err(|e| Problem::from(e).yours(yours))?;
    Ok(answer(&app, StatusCode::OK, &record, None))
}

async fn delete(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    Path((class, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let expect = expected(&headers)?;
    app.kernel.act(&who.session, Act::Delete { target: Target::key(&class, &key), expect }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepBody {
    #[serde(default)]
    fields: Map<String, Value>,
    note: Option<String>,
}

async fn transition(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    Path((class, key, name)): Path<(String, String, String)>,
    body: Body<StepBody>,
) -> Result<Response, Problem> {
    let expect = expected(&headers)?;
    let act = Act::Transition {
        target: Target::key(&class, &key),
        name,
        fields: body.value.fields,
        note: body.value.note,
        expect,
    };
    let record = app.kernel.act(&who.session, act).await?;
    Ok(answer(&app, StatusCode::OK, &record, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteBody {
    text: String,
}

async fn note_on(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    body: Body<NoteBody>,
) -> Result<Response, Problem> {
    let act = Act::Note { target: Target::key(&class, &key), text: body.value.text };
    let done = app.kernel.acts(&who.session, vec![act], None).await?;
    let seq = done.seqs.first().copied().unwrap_or_default();
    let query = kernel::backend::JournalQuery { since: seq.saturating_sub(1), limit: 1, ..Default::default() };
    let (entries, _) = app.kernel.journal(&who.session, query).await?;
    let entry = entries
        .into_iter()
        .next()
        .ok_or_else(|| Problem::not_found("the note was written, but you may not read the journal"))?;
    Ok((StatusCode::CREATED, axum::Json(crate::feed::entry_view(&app, &entry))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoBody {
    seq: u64,
}

async fn undo_on(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    body: Body<UndoBody>,
) -> Result<Response, Problem> {
    let record =
        app.kernel.act(&who.session, Act::Undo { target: Target::key(&class, &key), seq: body.value.seq }).await?;
    Ok(answer(&app, StatusCode::OK, &record, None))
}
