//! Credentials: bootstrap, sign-in and -out, password, second factor, tokens. What they do is the gate's; here are their addresses.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::Session;
use serde_json::{Map, Value, json};

use crate::app::{App, Peer};
use crate::caller::{Caller, own_page, peer_of};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::requests::{Body, Path};

/// The peer of a request that needs no session.
struct From(Peer);

impl FromRequestParts<App> for From {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self(peer_of(parts)))
    }
}

/// Operations on credentials.
pub fn operations() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let object = |required: &[&str], properties: Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let any = || json!({"type": "object"});
    vec![
        Operation::new(Method::GET, "/api/v1/bootstrap", "get_bootstrap", "Whether the first administrator is still to be made.").open().answers(200, any()).by(bootstrap_state),
        Operation::new(Method::POST, "/api/v1/bootstrap", "bootstrap", "Makes the first administrator with the one-time token from the data directory, and signs in.")
            .open()
            .takes(object(&["token", "name", "password"], json!({"token": text(), "name": text(), "title": text(), "password": text()})))
            .answers(200, any())
            .by(bootstrap),
        Operation::new(Method::GET, "/api/v1/session", "get_session", "Who is signed in.").answers(200, any()).by(session),
        Operation::new(Method::POST, "/api/v1/session", "sign_in", "Signs in; a problem whose type ends in second-factor asks for a code.")
            .open()
            .takes(object(&["name", "password"], json!({"name": text(), "password": text(), "code": {"type": ["string", "null"]}})))
            .answers(200, any())
            .by(sign_in),
        Operation::new(Method::DELETE, "/api/v1/session", "sign_out", "Signs out.").answers_nothing().by(sign_out),
        Operation::new(Method::POST, "/api/v1/session/password", "change_password", "Changes the caller's own password; all other sessions end.").takes(object(&["current", "new"], json!({"current": text(), "new": text()}))).answers_nothing().by(change_password),
        Operation::new(Method::POST, "/api/v1/session/totp", "begin_totp", "Begins a second factor: answers the secret for the authenticator.").may_take(any()).answers(200, any()).by(begin_totp),
        Operation::new(Method::POST, "/api/v1/session/totp/confirm", "confirm_totp", "Confirms the second factor with a code; answers recovery codes, once.").takes(object(&["code"], json!({"code": text()}))).answers(200, any()).by(confirm_totp),
        Operation::new(Method::DELETE, "/api/v1/session/totp", "remove_totp", "Removes the second factor.").takes(object(&["password"], json!({"password": text()}))).answers_nothing().by(remove_totp),
        Operation::new(Method::GET, "/api/v1/tokens", "list_tokens", "Tokens that the caller may see; never their secrets.").answers(200, any()).by(tokens),
        Operation::new(Method::POST, "/api/v1/tokens", "create_token", "Makes a token; its secret is shown this once.")
            .takes(object(&["name"], json!({"name": text(), "use_for": {"type": "string", "enum": ["api", "ingest", "agent"]}, "roles": {"type": "array", "items": text()}, "days": {"type": "integer", "minimum": 1, "maximum": 365}})))
            .answers(201, any())
            .by(create_token),
        Operation::new(Method::DELETE, "/api/v1/tokens/{id}", "revoke_token", "Ends a token at once.").answers_nothing().by(revoke_token),
    ]
}

async fn ask(
    app: &App,
    operation: &str,
    session: Option<&Session>,
    input: Value,
    headers: &HeaderMap,
    peer: &Peer,
    status: StatusCode,
) -> Result<Response, Problem> {
    let (answer, cookie) = app.gate.credential(operation, session, input, headers, peer).await?;
    let mut response =
        if status == StatusCode::NO_CONTENT { status.into_response() } else { (status, Json(answer)).into_response() };
    if let Some(cookie) = cookie.and_then(|c| HeaderValue::from_str(&c).ok()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn bootstrap_state(State(app): State<App>, From(peer): From, headers: HeaderMap) -> Result<Response, Problem> {
    ask(&app, "bootstrap_state", None, Value::Null, &headers, &peer, StatusCode::OK).await
}

async fn bootstrap(
    State(app): State<App>,
    From(peer): From,
    headers: HeaderMap,
    body: Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    from_own_page(&headers)?;
    ask(&app, "bootstrap", None, Value::Object(body.value), &headers, &peer, StatusCode::OK).await
}

async fn sign_in(
    State(app): State<App>,
    From(peer): From,
    headers: HeaderMap,
    body: Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    from_own_page(&headers)?;
    ask(&app, "sign_in", None, Value::Object(body.value), &headers, &peer, StatusCode::OK).await
}

/// A browser that says that a sign-in comes from another site is believed; programs that say nothing are let through.
fn from_own_page(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN) {
        own_page(headers)
    } else {
        Ok(())
    }
}

macro_rules! with_session {
    ($name:ident, $operation:literal, $status:expr) => {
        async fn $name(
            State(app): State<App>,
            who: Caller,
            From(peer): From,
            headers: HeaderMap,
        ) -> Result<Response, Problem> {
            ask(&app, $operation, Some(&who.session), Value::Null, &headers, &peer, $status).await
        }
    };
    ($name:ident, $operation:literal, $status:expr, body) => {
        async fn $name(
            State(app): State<App>,
            who: Caller,
            From(peer): From,
            headers: HeaderMap,
            body: Body<Map<String, Value>>,
        ) -> Result<Response, Problem> {
            ask(&app, $operation, Some(&who.session), Value::Object(body.value), &headers, &peer, $status).await
        }
    };
}
with_session!(session, "session", StatusCode::OK);
with_session!(sign_out, "sign_out", StatusCode::NO_CONTENT);
with_session!(change_password, "change_password", StatusCode::NO_CONTENT, body);
with_session!(begin_totp, "begin_totp", StatusCode::OK);
with_session!(confirm_totp, "confirm_totp", StatusCode::OK, body);
with_session!(remove_totp, "remove_totp", StatusCode::NO_CONTENT, body);
with_session!(tokens, "tokens", StatusCode::OK);
with_session!(create_token, "create_token", StatusCode::CREATED, body);

async fn revoke_token(
    State(app): State<App>,
    who: Caller,
    From(peer): From,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    ask(&app, "revoke_token", Some(&who.session), json!({"id": id}), &headers, &peer, StatusCode::NO_CONTENT).await
}
