//! Talks to a server: over its local socket, or by address with a token.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Failure;

/// Where the server is.
#[derive(Clone, Debug)]
pub enum Connection {
    /// The socket in the data directory of this host.
    Local(PathBuf),
    /// An address, with a token.
    Remote {
        /// Such as `https://mainstay.example.org`.
        server: String,
        /// API token.
        token: Option<String>,
    },
}

/// A client.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    tenant: Option<String>,
    place: String,
}

impl Client {
    /// Connects; nothing is sent yet.
    ///
    /// # Errors
    /// The socket is not there, or the address is not one.
    pub fn new(connection: &Connection, tls: rustls::ClientConfig) -> Result<Self, Failure> {
        let builder =
            reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).tls_backend_preconfigured(tls);
        let (builder, base, token, place) = match connection {
            Connection::Local(socket) => {
                reachable(socket)?;
                (builder.unix_socket(socket.clone()), "http://localhost".to_owned(), None, socket.display().to_string())
            }
            Connection::Remote { server, token } => {
                (builder, server.trim_end_matches('/').to_owned(), token.clone(), server.clone())
            }
        };
        let http = builder.build().map_err(|e| Failure::new(format!("cannot set up the connection: {e}")))?;
        Ok(Self { http, base, token, tenant: None, place })
    }

    /// The same client, working in another tenant than its own.
    pub fn in_tenant(self, tenant: Option<String>) -> Self {
        Self { tenant, ..self }
    }

    fn request(&self, method: &str, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let method = method.parse::<reqwest::Method>().map_err(|e| Failure::new(e.to_string()))?;
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = match &self.tenant {
            Some(tenant) => request.header("mainstay-tenant", tenant),
            None => request,
        };
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(Failure::of_problem(status, &serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Failure::new(format!(
            "no answer from {}: {cause}\n  is the server running? `mainstay up` starts one, --server names another",
            self.place
        ))
    }

    /// Sends JSON or nothing and reads JSON; null when there is no content.
    ///
    /// # Errors
    /// What the server refuses, with its exit code.
    pub async fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = self.request(method, path)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let text = self.send(request).await?.text().await.map_err(|e| self.unreachable(&e))?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|e| Failure::new(format!("the answer is not JSON: {e}")))
    }

    /// Sends text of a media type and reads JSON.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn upload(&self, path: &str, media: &str, text: String) -> Result<Value, Failure> {
        let request = self.request("POST", path)?.header("content-type", media).body(text);
        let text = self.send(request).await?.text().await.map_err(|e| self.unreachable(&e))?;
        serde_json::from_str(&text).map_err(|e| Failure::new(format!("the answer is not JSON: {e}")))
    }

    /// Sends a file as it is, and reads the answer piece by piece.
    ///
    /// # Errors
    /// What the server refuses, or a connection that breaks.
    pub async fn send_file(
        &self,
        path: &str,
        file: std::fs::File,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let body = reqwest::Body::from(tokio::fs::File::from_std(file));
        let mut response = self.send(self.request("POST", path)?.body(body)).await?;
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            each(&chunk)?;
        }
        Ok(())
    }

    /// Reads an answer piece by piece.
    ///
    /// # Errors
    /// What the server refuses, or a connection that breaks.
    pub async fn stream(&self, path: &str, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut response = self.send(self.request("GET", path)?).await?;
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            each(&chunk)?;
        }
        Ok(())
    }
}

fn reachable(socket: &Path) -> Result<(), Failure> {
    if socket.exists() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "there is no server at {}\n  `mainstay up` starts one; --data names its data directory; --server and --token reach another host",
        socket.display()
    )))
}

/// Text as it stands in a path or query.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
