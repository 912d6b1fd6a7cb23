//! The console inside the binary: its built files, with a strict content security policy. It names no domain and reads no data.
//!
//! The files are those of `console/dist` when the crate was built; without them (Rust work needs no Node) a page says how to build
//! them. Hashed assets are immutable; every other path of the console is its index, which routes by itself.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../console/dist"]
#[allow_missing = true]
struct Dist;

/// What a page may load: only from here, no inline script or style, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Paths that are the console's: everything that no other router has.
pub fn router() -> Router {
    Router::new().route("/", get(file)).route("/{*path}", get(file))
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") || path.starts_with("agent/") || path.starts_with("prometheus/") {
        return (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/problem+json")], missing(path))
            .into_response();
    }
    let (name, found) = match Dist::get(path) {
        Some(found) if !path.is_empty() => (path, Some(found)),
        _ => ("index.html", Dist::get("index.html")),
    };
    let Some(found) = found else {
        return page(StatusCode::OK, "text/html; charset=utf-8", "no-cache", UNBUILT.as_bytes().to_vec());
    };
    let tag = format!("\"{}\"", hex(&found.metadata.sha256_hash()[..16]));
    if headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()) == Some(tag.as_str()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = page(StatusCode::OK, found.metadata.mimetype(), cache, found.data.into_owned());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn page(status: StatusCode, media: &str, cache: &'static str, body: Vec<u8>) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_str(media).unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn missing(path: &str) -> String {
    let shown: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || "/-_.".contains(*c)).collect();
    format!(
        "{{\"type\":\"https://mainstay.invalid/problems/unknown\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"there is nothing at /{shown}; /api/docs lists what there is\",\"request_id\":null}}"
    )
}

const UNBUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Mainstay</title><h1>Mainstay is running</h1>\
<p>This binary was built without the console. <code>make run</code> builds it; the <a href=\"/api/docs\">API</a> and the command line work.</p></html>";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_of_the_console_may_load_nothing_from_elsewhere() {
        let response = file(Uri::from_static("/r/incident"), HeaderMap::new()).await;
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }

    #[tokio::test]
    async fn an_unknown_api_path_is_no_page() {
        let response = file(Uri::from_static("/api/v1/nothing"), HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}
