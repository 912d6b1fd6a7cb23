//! RFC 9457 problem documents: the one place where refusals become HTTP.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::error::{ActError, FieldError, StoreError};
use serde::Serialize;
use serde_json::Value;

tokio::task_local! {
    /// Id of the request being answered; set by [`crate::requests`].
    pub static REQUEST_ID: String;
}

/// A refusal, as the client sees it. Boxed: it is the rare way out of every handler.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Document>);

#[derive(Debug, Serialize)]
struct Document {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    near: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yours: Option<Value>,
    request_id: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of a status; `code` ends its type.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Document {
            kind: format!("https://mainstay.invalid/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            near: Vec::new(),
            current: None,
            yours: None,
            request_id: REQUEST_ID.try_with(Clone::clone).ok(),
            retry_after: None,
        }))
    }

    /// Malformed request.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// One field is wrong.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        ActError::field(field, message).into()
    }

    /// Not signed in, or no longer.
    pub fn unauthenticated(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// Nothing at this address.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", detail)
    }

    /// When to try again, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The change that the caller wanted, shown beside the record as it is.
    pub fn yours(mut self, yours: Value) -> Self {
        if self.0.current.is_some() {
            self.0.yours = Some(yours);
        }
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Fields that were refused.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        let detail = error.to_string();
        let code = error.code();
        let status = match &error {
            ActError::Denied { .. } => StatusCode::FORBIDDEN,
            ActError::Unknown { .. } => StatusCode::NOT_FOUND,
            ActError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ActError::Filter { .. } => StatusCode::BAD_REQUEST,
            ActError::Stale { .. } => StatusCode::PRECONDITION_FAILED,
            ActError::Store(StoreError::TooSlow { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            ActError::Store(StoreError::Full | StoreError::Closed(_)) => StatusCode::INSUFFICIENT_STORAGE,
            ActError::Store(StoreError::Stale(_)) => StatusCode::CONFLICT,
            ActError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        };
        let mut problem = Self::new(status, code, detail);
        match error {
            ActError::Invalid(errors) => problem.0.errors = errors,
            ActError::Unknown { near, .. } => problem.0.near = near,
            ActError::Filter { near, message, .. } => {
                problem.0.near = near;
                problem.0.errors = vec![FieldError::new("filter", message)];
            }
            ActError::Stale { current, .. } => {
                let tenant = current.tenant.0.to_string();
                problem.0.current = Some(current.view(&tenant));
            }
            ActError::Store(StoreError::Database(why)) => {
                tracing::error!(why, request = problem.0.request_id, "the database failed");
                problem.0.detail = "the database failed; the log has the details under this request's id".into();
            }
            _ => {}
        }
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        ActError::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("a problem is plain data");
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
