//! About Mainstay itself: liveness, readiness, own metrics, classes, controllers, jobs.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::{Path, Query};

/// Operations about Mainstay itself.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let class =
        json!({"type": "object", "required": ["name", "title", "verb", "fields", "states", "transitions", "links"]});
    let list = |name: &str| json!({"type": "object", "required": [name], "properties": {name: {"type": "array"}}});
    vec![
        Operation::new(Method::GET, "/healthz", "healthz", "Whether the process answers.")
            .open()
            .answers(200, text())
            .gives("text/plain")
            .by(healthz),
        Operation::new(
            Method::GET,
            "/readyz",
            "readyz",
            "Whether each dependency works, by name; 503 when one does not.",
        )
        .open()
        .answers(200, json!({"type": "object", "required": ["ready"]}))
        .by(readyz),
        Operation::new(Method::GET, "/metrics", "metrics", "Own metrics in Prometheus exposition format.")
            .open()
            .answers(200, text())
            .gives("text/plain")
            .by(metrics),
        Operation::new(
            Method::GET,
            "/api/v1/classes",
            "list_classes",
            "All classes that the caller may see: fields, life cycle, links.",
        )
        .answers(200, list("classes"))
        .by(classes),
        Operation::new(
            Method::GET,
            "/api/v1/classes/{class}",
            "get_class",
            "One class, with the JSON Schema of its fields.",
        )
        .answers(200, class)
        .by(class_of),
        Operation::new(
            Method::GET,
            "/api/v1/controllers",
            "list_controllers",
            "Controllers with their last run, its reason, and how far they lag.",
        )
        .answers(200, list("controllers"))
        .by(controllers),
        Operation::new(Method::GET, "/api/v1/jobs", "list_jobs", "Durable jobs, newest first.")
            .query(
                "state",
                "waiting, running, done or failed",
                json!({"type": "string", "enum": ["waiting", "running", "done", "failed"]}),
            )
            .query("limit", "Jobs, 1 to 500", json!({"type": "integer", "minimum": 1, "maximum": 500}))
            .answers(200, list("jobs"))
            .by(jobs),
    ]
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(app): State<App>) -> Response {
    let mut dependencies = Map::new();
    let store = app.kernel.backend().writable();
    let mut ready = store.is_ok();
    dependencies.insert(
        "store".into(),
        store.map_or_else(|why| json!({"ready": false, "why": why}), |()| json!({"ready": true})),
    );
    for probe in app.probes.iter() {
        let said = probe.ready().await;
        ready &= said.is_ok();
        dependencies.insert(
            probe.name().into(),
            said.map_or_else(|why| json!({"ready": false, "why": why}), |()| json!({"ready": true})),
        );
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "dependencies": dependencies, "version": app.version}))).into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    let head = *app.kernel.head().borrow();
    let mut text = format!(
        "# HELP mainstay_journal_seq Sequence of the newest journal entry.\n# TYPE mainstay_journal_seq counter\nmainstay_journal_seq {head}\n"
    );
    text.push_str("# HELP mainstay_controller_lag_entries Journal entries that a controller has not seen yet.\n# TYPE mainstay_controller_lag_entries gauge\n");
    for state in app.kernel.backend().controllers().await.unwrap_or_default() {
        text.push_str(&format!(
            "mainstay_controller_lag_entries{{controller=\"{}\"}} {}\n",
            state.name,
            head.saturating_sub(state.cursor)
        ));
    }
    text.push_str(&(app.metrics)());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn classes(State(app): State<App>, who: Caller) -> Json<Value> {
    let all = app.kernel.registry().classes();
    let seen: Vec<Value> = all
        .iter()
        .filter(|c| app.kernel.policy().readable(&who.session, &c.name).is_some())
        .map(|c| c.view())
        .collect();
    Json(json!({"classes": seen}))
}

async fn class_of(State(app): State<App>, _: Caller, Path(class): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(app.kernel.registry().need(&class)?.view()))
}

async fn controllers(State(app): State<App>, _: Caller) -> Result<Json<Value>, Problem> {
    let head = *app.kernel.head().borrow();
    let all = app.kernel.backend().controllers().await?;
    let shown: Vec<Value> = all
        .iter()
        .map(|c| {
            let mut value = serde_json::to_value(c).expect("a controller's state is plain data");
            if let Some(object) = value.as_object_mut() {
                object.insert("lag".into(), head.saturating_sub(c.cursor).into());
            }
            value
        })
        .collect();
    Ok(Json(json!({"controllers": shown})))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JobQuery {
    state: Option<kernel::job::JobState>,
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

async fn jobs(State(app): State<App>, who: Caller, Query(q): Query<JobQuery>) -> Result<Json<Value>, Problem> {
    if !(1..=500).contains(&q.limit) {
        return Err(Problem::field("limit", format!("must be 1 to 500, not {}", q.limit)));
    }
    app.kernel.allow(&who.session, "admin", "role")?;
    let jobs = app
        .kernel
        .backend()
        .jobs(Some(who.session.tenant()), q.state.map(kernel::job::JobState::as_str), q.limit)
        .await?;
    Ok(Json(json!({"jobs": jobs})))
}
