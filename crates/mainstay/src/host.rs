//! Operations that only somebody on the host itself may do, over the local socket: first sign-in, secrets, backup, explanations.

use access::Access;
use api::App;
use api::app::Via;
use api::caller::Caller;
use api::operation::Operation;
use api::problem::Problem;
use api::requests::{Body, Path};
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::{Extension, Json};
use kernel::act::{Act, Target};
use kernel::secret::Secret;
use kernel::session::{Actor, ActorKind, Ask, Session};
use kernel::{Record, TenantId};
use respond::page::Courier;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

use crate::courier::{Post, destination};

/// What these operations need beside the API's own state.
#[derive(Clone)]
pub struct Host {
    /// Credentials and policies.
    pub access: Arc<Access>,
    /// For tests of channels.
    pub post: Arc<Post>,
    /// The store, for backups.
    pub store: Arc<store::Store>,
    /// Measurements, for backups.
    pub measured: series::Opening,
    /// The data directory.
    pub data: PathBuf,
    /// Address of the console.
    pub public_url: String,
}

/// Operations on the host itself.
pub fn operations() -> Vec<Operation> {
    let any = || json!({"type": "object"});
    let object = |required: &[&str], properties: Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let text = || json!({"type": "string"});
    vec![
        Operation::new(Method::POST, "/api/v1/host/reset", "host_reset", "On the host only: a new first sign-in.")
            .may_take(any())
            .answers(200, any())
            .by(reset),
        Operation::new(
            Method::PUT,
            "/api/v1/host/channels/{key}/secret",
            "host_channel_secret",
            "On the host or by an administrator: the secret of a channel, bound to the server it names.",
        )
        .takes(object(&["secret"], json!({"secret": text()})))
        .answers_nothing()
        .by(secret),
        Operation::new(
            Method::POST,
            "/api/v1/host/channels/{key}/test",
            "host_channel_test",
            "On the host or by an administrator: sends a test message over a channel.",
        )
        .may_take(object(&[], json!({"to": {"type": ["string", "null"]}})))
        .answers(200, any())
        .by(test),
        Operation::new(
            Method::POST,
            "/api/v1/host/explain",
            "host_explain",
            "On the host or by an administrator: explains what a person may do, and why.",
        )
        .takes(object(
            &["person", "operation", "class"],
            json!({"person": text(), "operation": text(), "class": text(), "key": {"type": ["string", "null"]}}),
        ))
        .answers(200, any())
        .by(explain),
        Operation::new(
            Method::POST,
            "/api/v1/host/backup",
            "host_backup",
            "On the host only: a backup into a new folder of this machine.",
        )
        .takes(object(&["to"], json!({"to": text()})))
        .answers(200, any())
        .by(backup),
        Operation::new(
            Method::POST,
            "/api/v1/host/verify",
            "host_verify",
            "On the host only: verifies the journal's chain, every checksum and the stores.",
        )
        .may_take(any())
        .answers(200, any())
        .by(verify),
        Operation::new(
            Method::POST,
            "/api/v1/host/anchor",
            "host_anchor",
            "On the host only: the heads of the journal.",
        )
        .may_take(any())
        .answers(200, any())
        .by(anchor),
    ]
}

fn on_host(who: &Caller) -> Result<(), Problem> {
    if who.via == Via::Local {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "host-only",
        "this is done on the host itself only, with the mainstay command",
    ))
}

/// On the host, or with the right to administer.
fn admin(app: &App, who: &Caller) -> Result<(), Problem> {
    if who.via == Via::Local {
        return Ok(());
    }
    app.kernel.allow(&who.session, "admin", "role").map_err(Problem::from)
}

async fn reset(
    Extension(host): Extension<Host>,
    who: Caller,
    _: Body<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    on_host(&who)?;
    let token = host
        .access
        .reset_bootstrap(&who.session)
        .await
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.code(), e.to_string()))?;
    Ok(Json(json!({"link": format!("{}/bootstrap?token={}", host.public_url, token.as_str())})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretBody {
    secret: String,
}

async fn secret(
    State(app): State<App>,
    Extension(host): Extension<Host>,
    who: Caller,
    Path(key): Path<String>,
    body: Body<SecretBody>,
) -> Result<StatusCode, Problem> {
    admin(&app, &who)?;
    let channel = app.kernel.get(&who.session, "channel", &key).await?;
    if body.value.secret.is_empty() || body.value.secret.len() > 4096 {
        return Err(Problem::field("secret", "must have 1 to 4096 bytes"));
    }
    let kept = host
        .access
        .vault()
        .put_secret(channel.tenant, &channel.key, &destination(&channel), &Secret::new(body.value.secret))
        .await;
    kept.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.code(), e.to_string()))?;
    let text = format!("its secret was entered, for {}", destination(&channel));
    app.kernel.act(&who.session, Act::Note { target: Target::Id(channel.id), text }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestBody {
    to: Option<String>,
}

async fn test(
    State(app): State<App>,
    Extension(host): Extension<Host>,
    who: Caller,
    Path(key): Path<String>,
    body: Body<TestBody>,
) -> Result<Json<Value>, Problem> {
    admin(&app, &who)?;
    let channel = app.kernel.get(&who.session, "channel", &key).await?;
    let now = app.kernel.now();
    let to = body.value.to.unwrap_or_else(|| respond::escalate::address_of(&channel));
    let mut probe = channel.clone();
    let fields = json!({"page_id": kernel::Id::new(now), "recipient": to, "subject": "Mainstay: a test", "text": format!("This is a test of the channel {}, sent at {now}. Nothing is wrong.", channel.key)});
    probe.fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let own = Session::controller("respond.page", channel.tenant);
    let step = |name: &str, note: String| Act::Transition {
        target: Target::Id(channel.id),
        name: name.into(),
        fields: Map::new(),
        note: Some(note),
        expect: None,
    };
    match host.post.deliver(&channel, &probe, None).await {
        Ok(receipt) => {
            let text = format!("{}: {}", receipt.provider, receipt.reference);
            app.kernel.act(&own, step("prove", format!("a test message was accepted by {text}"))).await?;
            Ok(Json(json!({"receipt": text, "elapsed_seconds": receipt.elapsed_seconds})))
        }
        Err(respond::page::Refusal::Later(why, _) | respond::page::Refusal::Never(why)) => {
            app.kernel.act(&own, step("fail", format!("a test message was not accepted: {why}"))).await?;
            Err(Problem::new(StatusCode::BAD_GATEWAY, "channel", format!("the test message was not accepted: {why}")))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainBody {
    person: String,
    operation: String,
    class: String,
    key: Option<String>,
}

async fn explain(
    State(app): State<App>,
    Extension(host): Extension<Host>,
    who: Caller,
    body: Body<ExplainBody>,
) -> Result<Json<Value>, Problem> {
    admin(&app, &who)?;
    let ask = body.value;
    let class = app.kernel.registry().need(&ask.class)?;
    let person = app.kernel.get(&who.session, "person", &ask.person).await?;
    let roles = person
        .get("roles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let session = Session::authenticated(Actor::new(ActorKind::Person, person.key.clone()), TenantId::HOME, roles);
    let record: Option<Record> = match &ask.key {
        Some(key) => Some(app.kernel.get(&who.session, &ask.class, key).await?),
        None => None,
    };
    let verb = format!("{:?}", class.verb).to_lowercase();
    let question = Ask { operation: &ask.operation, kind: &class.name, verb: &verb, record: record.as_ref() };
    Ok(Json(json!({"text": host.access.explain(&session, &question)})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupBody {
    to: PathBuf,
}

async fn backup(
    State(app): State<App>,
    Extension(host): Extension<Host>,
    who: Caller,
    body: Body<BackupBody>,
) -> Result<Json<Value>, Problem> {
    on_host(&who)?;
    let now = app.kernel.now();
    let engine = host.measured.engine().await.clone();
    let done = tokio::task::spawn_blocking(move || {
        crate::offline::back_up(&host.store, Some(&engine), &host.data, &body.value.to, now)
    })
    .await;
    let text = done.map_err(|e| failed(&e.to_string()))?.map_err(|e| failed(&format!("{e:#}")))?;
    Ok(Json(json!({"text": text})))
}

fn failed(why: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", why)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    #[serde(default)]
    anchors: Vec<store::Anchor>,
}

async fn verify(Extension(host): Extension<Host>, who: Caller, body: Body<VerifyBody>) -> Result<Json<Value>, Problem> {
    on_host(&who)?;
    let engine = host.measured.engine().await;
    let found = crate::offline::whole(&host.store, Some(engine), &host.data, &body.value.anchors).await;
    let (text, whole) = found.map_err(|e| failed(&format!("{e:#}")))?;
    Ok(Json(json!({"text": text, "whole": whole})))
}

async fn anchor(
    Extension(host): Extension<Host>,
    who: Caller,
    _: Body<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    on_host(&who)?;
    Ok(Json(json!({"heads": host.store.heads().await?})))
}
