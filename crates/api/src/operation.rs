//! The table of all operations: from it come the router, the OpenAPI document and the authorisation matrix.

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::app::App;

/// Who may call at all; what they may do is the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Anybody.
    Nothing,
    /// A session, token or the local socket.
    Session,
}

/// A parameter of the query.
#[derive(Clone, Debug)]
pub struct Param {
    /// Name.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// JSON Schema.
    pub schema: Value,
}

/// One operation.
pub struct Operation {
    /// Method.
    pub method: Method,
    /// Path with `{names}`.
    pub path: &'static str,
    /// Unique name, snake_case.
    pub id: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Who may call.
    pub needs: Needs,
    /// Query parameters.
    pub query: Vec<Param>,
    /// Schema of the body, and whether it must be there.
    pub body: Option<(Value, bool)>,
    /// Media types of the body; JSON when empty.
    pub takes: Vec<&'static str>,
    /// Status and schema of the answer; `None` for no content.
    pub answer: (u16, Option<Value>),
    /// Media type of the answer.
    pub gives: &'static str,
    /// Further statuses with their media type and schema: a published protocol has refusals of its own shape.
    pub also: Vec<(u16, &'static str, Value)>,
    router: Option<MethodRouter<App>>,
}

impl Operation {
    /// An operation that needs a session and answers 200.
    pub fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            needs: Needs::Session,
            query: Vec::new(),
            body: None,
            takes: Vec::new(),
            answer: (200, None),
            gives: "application/json",
            also: Vec::new(),
            router: None,
        }
    }

    /// Anybody may call it.
    pub fn open(mut self) -> Self {
        self.needs = Needs::Nothing;
        self
    }

    /// Takes a query parameter.
    pub fn query(mut self, name: &'static str, help: &'static str, schema: Value) -> Self {
        self.query.push(Param { name, help, schema });
        self
    }

    /// Takes a JSON body.
    pub fn takes(mut self, schema: Value) -> Self {
        self.body = Some((schema, true));
        self
    }

    /// Takes a JSON body, or none.
    pub fn may_take(mut self, schema: Value) -> Self {
        self.body = Some((schema, false));
        self
    }

    /// Takes a body of these media types instead of JSON.
    pub fn takes_media(mut self, media: &[&'static str]) -> Self {
        self.body = Some((serde_json::json!({"type": "string"}), true));
        self.takes = media.to_vec();
        self
    }

    /// What it answers.
    pub fn answers(mut self, status: u16, schema: Value) -> Self {
        self.answer = (status, Some(schema));
        self
    }

    /// Takes a form, or none: what stands in the query may stand there too.
    pub fn may_take_form(mut self) -> Self {
        self.body = Some((serde_json::json!({"type": "object"}), false));
        self.takes = vec!["application/x-www-form-urlencoded"];
        self
    }

    /// May also answer this, in the shape of a published protocol.
    pub fn also(mut self, status: u16, media: &'static str, schema: Value) -> Self {
        self.also.push((status, media, schema));
        self
    }

    /// Answers nothing but a status.
    pub fn answers_nothing(mut self) -> Self {
        self.answer = (204, None);
        self
    }

    /// Media type of the answer, when it is not JSON.
    pub fn gives(mut self, media: &'static str) -> Self {
        self.gives = media;
        self
    }

    /// Who does it.
    pub fn by<H, T>(mut self, handler: H) -> Self
    where
        H: axum::handler::Handler<T, App>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(self.method.clone()).expect("a standard method");
        self.router = Some(axum::routing::on(filter, handler));
        self
    }
}

/// All operations that the API itself has.
pub fn operations() -> Vec<Operation> {
    let parts = [
        crate::own::operations(),
        crate::signin::operations(),
        crate::records::operations(),
        crate::graph::operations(),
        crate::feed::operations(),
        crate::bulk::operations(),
        crate::apply::operations(),
        crate::import::operations(),
        crate::export::operations(),
    ];
    parts.into_iter().flatten().collect()
}

/// The router of these operations, with the OpenAPI document made from them.
pub fn router(app: &App, mut operations: Vec<Operation>) -> Router {
    let mut by_path: BTreeMap<&'static str, MethodRouter<App>> = BTreeMap::new();
    for operation in &mut operations {
        let Some(router) = operation.router.take() else { continue };
        let slot = by_path.entry(operation.path).or_default();
        *slot = std::mem::take(slot).merge(router);
    }
    let mut all = Router::new();
    for (path, router) in by_path {
        all = all.route(path, router.fallback(crate::requests::wrong_method));
    }
    all = all.merge(crate::openapi::Document::of(operations).routes());
    crate::requests::layered(all).with_state(app.clone())
}
