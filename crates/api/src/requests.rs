//! What every request goes through: an id, limits, headers, one log line when it failed; and bodies read with errors that help.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::problem::{Problem, REQUEST_ID};

/// Largest body, in bytes; imports may be larger.
pub const MAX_BODY: usize = 8 << 20;
/// Largest import, in bytes.
pub const MAX_IMPORT: usize = 64 << 20;

/// A JSON body; refusals say where it breaks off.
pub struct Body<T> {
    /// The value.
    pub value: T,
    /// Its bytes, for fingerprints.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let media =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let bytes =
            Bytes::from_request(request, app).await.map_err(|e| Problem::new(e.status(), "body", e.body_text()))?;
        if !bytes.is_empty() && !media.starts_with("application/json") && !media.contains("+json") {
            let said = if media.is_empty() { "none".to_owned() } else { media };
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                format!("the body must be application/json; its Content-Type is {said}"),
            ));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(text).map_err(|e| match e.classify() {
            serde_json::error::Category::Data => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("body: {e}"))
            }
            _ => Problem::bad_request(format!("the body is not JSON: {e}")),
        })?;
        Ok(Self { value, bytes })
    }
}

/// Query parameters; an unknown one is refused, since a misspelt `fitler` would list everything.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> axum::extract::FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &App) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|q| Self(q.0))
            .map_err(|e| Problem::bad_request(format!("query: {}", e.body_text())))
    }
}

/// Path parameters; what cannot be decoded is nowhere.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> axum::extract::FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &App) -> Result<Self, Problem> {
        axum::extract::Path::<T>::from_request_parts(parts, app)
            .await
            .map(|p| Self(p.0))
            .map_err(|e| Problem::bad_request(format!("path: {}", e.body_text())))
    }
}

/// Adds what every request goes through.
pub fn layered(router: Router<App>) -> Router<App> {
    router.fallback(nowhere).layer(DefaultBodyLimit::max(MAX_BODY)).layer(from_fn(framed))
}

/// No such path.
pub async fn nowhere(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}; /api/docs lists what there is", request.uri().path()))
}

/// The path is there, the method is not.
pub async fn wrong_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        format!("{} cannot be done at {}", request.method(), request.uri().path()),
    )
}

async fn framed(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = REQUEST_ID.scope(id.clone(), async move { next.run(request).await.into_response() }).await;
    if response.status().is_server_error() {
        tracing::error!(request = id, %method, path, status = response.status().as_u16(), "a request failed");
    }
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unknown")),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The client's id when it is harmless, else our own.
fn request_id(request: &Request) -> String {
    let given = request.headers().get("x-request-id").and_then(|v| v.to_str().ok());
    match given {
        Some(id)
            if (1..=64).contains(&id.len())
                && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') =>
        {
            id.to_owned()
        }
        _ => uuid::Uuid::now_v7().simple().to_string(),
    }
}
