//! Many records in one request: each by itself, or all of them or none.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use kernel::act::{Act, Target};
use kernel::{ActError, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::records::{CreateBody, LinkBody, create_act};
use crate::requests::Body;

/// Most acts of one request.
pub const MAX_BULK: usize = 1000;

/// Operations on many records.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let act = json!({"type": "object", "required": ["op", "class"], "properties": {
        "op": {"type": "string", "enum": ["create", "update", "upsert", "transition", "delete"]}, "class": text(), "key": text(),
        "fields": {"type": "object"}, "links": {"type": "array"}, "owner": {"type": ["string", "null"]}, "name": text(), "note": text(), "version": {"type": "integer"}}, "additionalProperties": false});
    let body = json!({"type": "object", "required": ["acts"], "properties": {"acts": {"type": "array", "items": act, "maxItems": MAX_BULK}, "atomic": {"type": "boolean"}}, "additionalProperties": false});
    vec![
        Operation::new(
            Method::POST,
            "/api/v1/bulk",
            "bulk",
            "Creates, changes, upserts by key, steps or deletes many records. With atomic, all of them or none.",
        )
        .takes(body)
        .answers(200, json!({"type": "object", "required": ["results"], "properties": {"results": {"type": "array"}}}))
        .by(bulk),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkBody {
    acts: Vec<BulkAct>,
    #[serde(default)]
    atomic: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Create,
    Update,
    Upsert,
    Transition,
    Delete,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkAct {
    op: Op,
    class: String,
    key: Option<String>,
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    links: Vec<LinkBody>,
    owner: Option<String>,
    name: Option<String>,
    note: Option<String>,
    version: Option<u64>,
}

async fn bulk(
    State(app): State<App>,
    who: Caller,
    headers: HeaderMap,
    body: Body<BulkBody>,
) -> Result<Json<Value>, Problem> {
    if body.value.acts.len() > MAX_BULK {
        return Err(Problem::field(
            "acts",
            format!("has {} acts; at most {MAX_BULK} are allowed", body.value.acts.len()),
        ));
    }
    let idempotency = crate::records::idempotency(&headers, &[b"bulk", &body.bytes])?;
    if body.value.atomic {
        let mut acts = Vec::with_capacity(body.value.acts.len());
        for (i, act) in body.value.acts.into_iter().enumerate() {
            acts.push(one(&app, &who.session, act).await.map_err(|e| at(i, e))?);
        }
        let done = app.kernel.acts(&who.session, acts, idempotency).await?;
        let results: Vec<Value> = done
            .records
            .iter()
            .map(|r| json!({"status": 200, "record": crate::records::view(&app, r, None)}))
            .collect();
        return Ok(Json(json!({"results": results})));
    }
    let mut results = Vec::with_capacity(body.value.acts.len());
    for act in body.value.acts {
        let created = matches!(act.op, Op::Create);
        let result = match one(&app, &who.session, act).await {
            Ok(act) => app.kernel.act(&who.session, act).await,
            Err(error) => Err(error),
        };
        results.push(match result {
            Ok(record) => {
                json!({"status": if created { 201 } else { 200 }, "record": crate::records::view(&app, &record, None)})
            }
            Err(error) => {
                let problem = Problem::from(error);
                json!({"status": problem.status().as_u16(), "problem": problem})
            }
        });
    }
    Ok(Json(json!({"results": results})))
}

fn at(index: usize, error: ActError) -> Problem {
    match error {
        ActError::Invalid(errors) => ActError::Invalid(
            errors
                .into_iter()
                .map(|e| kernel::FieldError::new(format!("acts.{index}.{}", e.field), e.message))
                .collect(),
        )
        .into(),
        other => other.into(),
    }
}

async fn one(app: &App, session: &Session, act: BulkAct) -> Result<Act, ActError> {
    let key = |key: Option<String>| key.ok_or_else(|| ActError::field("key", "must have a value"));
    Ok(match act.op {
        Op::Create => {
            create_act(
                app,
                session,
                &act.class,
                CreateBody { key: act.key, fields: act.fields, links: act.links, owner: act.owner },
            )
            .await?
        }
        Op::Update => Act::Update {
            target: Target::key(&act.class, &key(act.key)?),
            fields: act.fields,
            owner: act.owner.map(Some),
            expect: act.version,
        },
        Op::Upsert => {
            let key = key(act.key)?;
            match app.kernel.get(session, &act.class, &key).await {
                Ok(_) => Act::Update {
                    target: Target::key(&act.class, &key),
                    fields: act.fields,
                    owner: act.owner.map(Some),
                    expect: act.version,
                },
                Err(ActError::Unknown { noun: kernel::error::Noun::Record, .. }) => {
                    create_act(
                        app,
                        session,
                        &act.class,
                        CreateBody { key: Some(key), fields: act.fields, links: act.links, owner: act.owner },
                    )
                    .await?
                }
                Err(error) => return Err(error),
            }
        }
        Op::Transition => {
            let name = act.name.ok_or_else(|| ActError::field("name", "must name the transition"))?;
            Act::Transition {
                target: Target::key(&act.class, &key(act.key)?),
                name,
                fields: act.fields,
                note: act.note,
                expect: act.version,
            }
        }
        Op::Delete => Act::Delete { target: Target::key(&act.class, &key(act.key)?), expect: act.version },
    })
}
