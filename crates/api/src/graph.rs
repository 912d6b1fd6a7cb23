//! Around a record: its graph, links, intervals, observations and drift; and search.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use kernel::act::{Act, Target};
use kernel::interval::Correction;
use kernel::link::{Direction, Walk};
use kernel::observation::AcceptSide;
use kernel::{Id, Time};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::records::TargetBody;
use crate::requests::{Body, Path, Query};

/// Operations around a record.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let end = json!({"anyOf": [text(), {"type": "object", "required": ["class", "key"], "properties": {"class": text(), "key": text()}, "additionalProperties": false}]});
    let link = json!({"type": "object", "required": ["from", "type", "to"], "properties": {"from": end, "type": text(), "to": end}, "additionalProperties": false});
    let states = json!({"type": "string", "enum": ["up", "degraded", "down", "unknown", "maintenance"]});
    let time = || json!({"type": "string", "format": "date-time"});
    let correction = json!({"type": "object", "required": ["state", "start", "reason"], "properties": {"state": states, "start": time(), "end": {"anyOf": [time(), {"type": "null"}]}, "reason": {"type": "string", "minLength": 1}}, "additionalProperties": false});
    let accept = json!({"type": "object", "required": ["field", "side"], "properties": {"field": text(), "side": {"type": "string", "enum": ["declared", "observed"]}}, "additionalProperties": false});
    let some = |name: &str| json!({"type": "object", "required": [name], "properties": {name: {"type": "array"}}});
    vec![
        Operation::new(
            Method::GET,
            "/api/v1/records/{class}/{key}/graph",
            "walk_graph",
            "Walks links from a record: what it needs (down), what needs it (up), or both.",
        )
        .query("direction", "up, down or both", json!({"type": "string", "enum": ["up", "down", "both"]}))
        .query(
            "depth",
            "Links from the start, 1 to 10; 3 when left out",
            json!({"type": "integer", "minimum": 1, "maximum": 10}),
        )
        .query("types", "Link types, separated by commas; impact for those that trouble travels along", text())
        .query("limit", "Records at most, 1 to 5000", json!({"type": "integer", "minimum": 1, "maximum": 5000}))
        .answers(200, json!({"type": "object", "required": ["root", "nodes", "links", "truncated"]}))
        .by(graph),
        Operation::new(
            Method::GET,
            "/api/v1/records/{class}/{key}/intervals",
            "list_intervals",
            "Stretches of time with the state that the record had, oldest first.",
        )
        .query("from", "From, RFC 3339; 30 days ago when left out", time())
        .query("to", "To, RFC 3339; now when left out", time())
        .answers(200, some("intervals"))
        .by(intervals),
        Operation::new(
            Method::POST,
            "/api/v1/intervals/{id}/correct",
            "correct_interval",
            "Corrects the past, with a reason; what it replaces is kept.",
        )
        .takes(correction)
        .answers(200, json!({"type": "object"}))
        .by(correct),
        Operation::new(
            Method::GET,
            "/api/v1/records/{class}/{key}/observations",
            "list_observations",
            "What sources last saw of the record, and where that differs from what is declared.",
        )
        .query("table", "Observed table, such as packages; the fields when left out", text())
        .query("q", "Only rows whose name contains this", text())
        .query("limit", "Rows, 1 to 1000", json!({"type": "integer", "minimum": 1, "maximum": 1000}))
        .query("cursor", "Name of the last row of the page before", text())
        .answers(200, json!({"type": "object", "required": ["observations", "drift", "tables"]}))
        .by(observations),
        Operation::new(
            Method::POST,
            "/api/v1/records/{class}/{key}/observations/accept",
            "accept_drift",
            "Settles a drift: the declared or the observed side is right.",
        )
        .takes(accept)
        .answers(200, crate::openapi::reference("Record"))
        .by(accept_side),
        Operation::new(Method::POST, "/api/v1/links", "create_link", "Links two records.")
            .takes(link.clone())
            .answers(201, link.clone())
            .by(create_link),
        Operation::new(Method::DELETE, "/api/v1/links", "delete_link", "Takes a link off.")
            .takes(link)
            .answers_nothing()
            .by(delete_link),
        Operation::new(
            Method::GET,
            "/api/v1/search",
            "search",
            "Full text over everything that the caller may see, newest first.",
        )
        .query("q", "Words; all must be there", text())
        .query("class", "Classes to look in, separated by commas; all when left out", text())
        .query("limit", "Hits, 1 to 200", json!({"type": "integer", "minimum": 1, "maximum": 200}))
        .answers(200, some("hits"))
        .by(search),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphQuery {
    #[serde(default = "up")]
    direction: Direction,
    #[serde(default = "three")]
    depth: u32,
    #[serde(default)]
    types: String,
    #[serde(default = "thousand")]
    limit: usize,
}

fn up() -> Direction {
    Direction::Up
}
fn three() -> u32 {
    3
}
fn thousand() -> usize {
    1000
}

async fn graph(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    Query(q): Query<GraphQuery>,
) -> Result<Json<Value>, Problem> {
    if !(1..=10).contains(&q.depth) {
        return Err(Problem::field("depth", format!("must be 1 to 10, not {}", q.depth)));
    }
    if !(1..=5000).contains(&q.limit) {
        return Err(Problem::field("limit", format!("must be 1 to 5000, not {}", q.limit)));
    }
    let record = app.kernel.get(&who.session, &class, &key).await?;
    let named = q.types.split(',').filter(|t| !t.is_empty());
    let types = named
        .flat_map(|name| match name {
            "impact" => app.kernel.registry().impact_links(),
            name => vec![name.to_owned()],
        })
        .collect();
    let walk = Walk { direction: q.direction, depth: q.depth, limit: q.limit, types };
    let graph = app.kernel.graph(&who.session, &record, walk).await?;
    let keys: std::collections::BTreeMap<Id, String> =
        graph.nodes.iter().map(|n| (n.head.id, n.head.key.clone())).collect();
    let links: Vec<Value> = graph
        .links
        .iter()
        .filter_map(|l| {
            // A key names a record within its class only; the ids say which of two namesakes is meant.
            Some(json!({"from": keys.get(&l.from)?, "from_id": l.from, "type": l.name, "to": keys.get(&l.to)?, "to_id": l.to}))
        })
        .collect();
    Ok(Json(
        json!({"root": record.key, "root_id": record.id, "nodes": graph.nodes, "links": links, "truncated": graph.truncated}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    from: Option<Time>,
    to: Option<Time>,
}

async fn intervals(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    Query(q): Query<Between>,
) -> Result<Json<Value>, Problem> {
    let record = app.kernel.get(&who.session, &class, &key).await?;
    let now = app.kernel.now();
    let from = q.from.unwrap_or_else(|| now.minus(std::time::Duration::from_secs(30 * 86_400)));
    let to = q.to.unwrap_or_else(|| now.plus(std::time::Duration::from_secs(1)));
    let intervals = app.kernel.intervals(&who.session, &record, from, to).await?;
    Ok(Json(json!({"intervals": intervals})))
}

async fn correct(
    State(app): State<App>,
    who: Caller,
    Path(id): Path<String>,
    body: Body<Correction>,
) -> Result<Json<Value>, Problem> {
    let id = Id::parse(&id).ok_or_else(|| Problem::not_found(format!("there is no interval {id}")))?;
    let record = app.kernel.act(&who.session, Act::Correct { interval: id, correction: body.value }).await?;
    let now = app.kernel.now();
    let intervals = app
        .kernel
        .intervals(&who.session, &record, now.minus(std::time::Duration::from_secs(366 * 86_400)), now)
        .await?;
    Ok(Json(json!({"intervals": intervals})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObservationQuery {
    table: Option<String>,
    #[serde(default)]
    q: String,
    #[serde(default = "hundred")]
    limit: usize,
    cursor: Option<String>,
}

fn hundred() -> usize {
    100
}

async fn observations(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    Query(q): Query<ObservationQuery>,
) -> Result<Json<Value>, Problem> {
    if !(1..=1000).contains(&q.limit) {
        return Err(Problem::field("limit", format!("must be 1 to 1000, not {}", q.limit)));
    }
    let record = app.kernel.get(&who.session, &class, &key).await?;
    let rows =
        app.kernel.observations(&who.session, &record, q.table.as_deref(), &q.q, q.cursor.as_deref(), q.limit).await?;
    let next = if rows.len() == q.limit { rows.last().map(|o| o.item.clone()) } else { None };
    let drift = app.kernel.drift(&who.session, &record).await?;
    let tables = app.kernel.backend().observed_tables(who.session.tenant(), record.id).await?;
    Ok(Json(json!({"observations": rows, "drift": drift, "tables": tables, "next_cursor": next})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    field: String,
    side: AcceptSide,
}

async fn accept_side(
    State(app): State<App>,
    who: Caller,
    Path((class, key)): Path<(String, String)>,
    body: Body<AcceptBody>,
) -> Result<axum::response::Response, Problem> {
    let act = Act::Accept { target: Target::key(&class, &key), field: body.value.field, side: body.value.side };
    let record = app.kernel.act(&who.session, act).await?;
    Ok(crate::records::answer(&app, StatusCode::OK, &record, None))
}

/// A link named in a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeBody {
    from: TargetBody,
    #[serde(rename = "type")]
    name: String,
    to: TargetBody,
}

async fn create_link(
    State(app): State<App>,
    who: Caller,
    body: Body<EdgeBody>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let shown: Value = serde_json::from_slice(&body.bytes).unwrap_or_default();
    let (from, to) =
        (body.value.from.target(&app, &who.session).await?, body.value.to.target(&app, &who.session).await?);
    app.kernel.act(&who.session, Act::Link { from, name: body.value.name, to }).await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn delete_link(State(app): State<App>, who: Caller, body: Body<EdgeBody>) -> Result<StatusCode, Problem> {
    let (from, to) =
        (body.value.from.target(&app, &who.session).await?, body.value.to.target(&app, &who.session).await?);
    app.kernel.act(&who.session, Act::Unlink { from, name: body.value.name, to }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    class: String,
    #[serde(default = "twenty")]
    limit: usize,
}

fn twenty() -> usize {
    20
}

async fn search(State(app): State<App>, who: Caller, Query(q): Query<SearchQuery>) -> Result<Json<Value>, Problem> {
    if !(1..=200).contains(&q.limit) {
        return Err(Problem::field("limit", format!("must be 1 to 200, not {}", q.limit)));
    }
    let kinds: Vec<String> = q.class.split(',').filter(|k| !k.is_empty()).map(str::to_owned).collect();
    for kind in &kinds {
        app.kernel.registry().need(kind)?;
    }
    let words = kernel::filter::words_of(&q.q);
    let records = app.kernel.search(&who.session, &q.q, &kinds, q.limit).await?;
    let hits: Vec<Value> = records
        .iter()
        .map(|r| {
            let mut hit = crate::records::view(&app, r, Some(&[]));
            if let Some(object) = hit.as_object_mut() {
                object.shift_remove("fields");
                object.insert("snippet".into(), snippet(&r.fields, &words).into());
            }
            hit
        })
        .collect();
    Ok(Json(json!({"hits": hits})))
}

/// Some text around the first word found in a field.
fn snippet(fields: &serde_json::Map<String, Value>, words: &[String]) -> String {
    for text in fields.values().filter_map(Value::as_str) {
        let lower = text.to_lowercase();
        if lower.len() == text.len()
            && let Some(at) = words.iter().find_map(|w| lower.find(w.as_str()))
        {
            let start = text.char_indices().map(|(i, _)| i).rfind(|i| *i <= at.saturating_sub(40)).unwrap_or(0);
            return text[start..].chars().take(160).collect();
        }
    }
    String::new()
}
