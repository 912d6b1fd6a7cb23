//! Ask: one HTTP request of a protocol that is spoken over HTTP. No redirect is followed: an interface has one place.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use url::Url;

use crate::env::Failure;
use crate::http::fetch::{Over, Step, send};
use crate::http::{Answer, BODY_LIMIT_BYTES};
use crate::outcome::excerpt;
use crate::params::Family;
use crate::protocol::Cx;
use crate::secret::Secret;

/// A request to be sent.
#[derive(Clone)]
pub(crate) struct Ask {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Vec<u8>,
    limit_bytes: usize,
    over: Over,
}

impl Ask {
    /// A GET of that address.
    pub(crate) fn get(url: Url) -> Ask {
        let over = Over { family: Family::Any, verify: true, ca: None, socket: None, two: false };
        Ask {
            url,
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Vec::new(),
            limit_bytes: BODY_LIMIT_BYTES,
            over,
        }
    }

    /// A POST of these bytes.
    pub(crate) fn post(url: Url, kind: &'static str, body: Vec<u8>) -> Ask {
        let mut ask = Ask { method: Method::POST, body, ..Ask::get(url) };
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        ask
    }

    /// A DELETE of that address.
    pub(crate) fn delete(url: Url) -> Ask {
        Ask { method: Method::DELETE, ..Ask::get(url) }
    }

    /// Over connections of that kind.
    pub(crate) fn over(mut self, family: Family, verify: bool, ca: Option<&str>) -> Ask {
        self.over = Over { family, verify, ca: ca.map(str::to_owned), socket: self.over.socket, two: false };
        self
    }

    /// Over that socket in the file system, whatever host the address names.
    pub(crate) fn over_socket(mut self, socket: Option<PathBuf>) -> Ask {
        self.over.socket = socket;
        self
    }

    /// Reads at most so much of the body.
    pub(crate) fn at_most(mut self, limit_bytes: usize) -> Ask {
        self.limit_bytes = limit_bytes;
        self
    }

    /// With that header.
    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Ask {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// What kinds of answer are welcome.
    pub(crate) fn accept(self, kinds: &'static str) -> Ask {
        self.header(ACCEPT, kinds)
    }

    /// Signs in with user name and password, when there are both.
    pub(crate) fn basic(self, user: Option<&str>, password: Option<&Secret>) -> Ask {
        match (user, password) {
            (Some(user), Some(password)) => {
                self.authorization(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
            }
            _ => self,
        }
    }

    /// Signs in with a token, when there is one.
    pub(crate) fn bearer(self, token: Option<&Secret>) -> Ask {
        match token {
            Some(token) => self.authorization(&format!("Bearer {}", token.reveal().trim())),
            None => self,
        }
    }

    /// With a secret in that header.
    pub(crate) fn secret(self, name: HeaderName, secret: &Secret) -> Ask {
        self.hidden(name, secret.reveal())
    }

    fn authorization(self, words: &str) -> Ask {
        self.hidden(AUTHORIZATION, words)
    }

    /// A secret that no header can carry is not sent; the peer then says that nobody signed in.
    fn hidden(mut self, name: HeaderName, words: &str) -> Ask {
        if let Ok(mut value) = HeaderValue::from_str(words) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    /// Sends it and reads the answer, whatever its status.
    pub(crate) async fn send(self, cx: &Cx<'_>) -> Result<Answer, Failure> {
        let step = Step { url: self.url, method: self.method, headers: self.headers, body: self.body.into() };
        let mut exchange = send(&self.over, &cx.env.trust, cx, &step).await?;
        let first_byte_seconds = cx.trace.elapsed().as_secs_f64();
        cx.trace.phase("body", "reading the body");
        let (body, cut) = exchange.read_body(&step.url, self.limit_bytes).await?;
        Ok(Answer {
            status: exchange.response.status().as_u16(),
            headers: exchange.response.headers().clone(),
            body,
            cut,
            redirects: 0,
            first_byte_seconds,
            total_seconds: cx.trace.elapsed().as_secs_f64(),
            certificate_left_days: exchange.left_days(cx),
            url: step.url,
        })
    }

    /// Sends it; anything but a status of success is a failure.
    pub(crate) async fn well(self, cx: &Cx<'_>) -> Result<Answer, Failure> {
        well(self.send(cx).await?)
    }

    /// Sends it and reads the answer as JSON.
    pub(crate) async fn json(self, cx: &Cx<'_>) -> Result<(Value, Answer), Failure> {
        as_json(self.send(cx).await?)
    }
}

fn well(answer: Answer) -> Result<Answer, Failure> {
    match answer.status {
        200..=299 if !answer.cut => Ok(answer),
        200..=299 => Err(Failure::Peer(format!("{} answers with more than is read of a body", answer.url))),
        _ => Err(refused(&answer)),
    }
}

/// An answer of success as JSON.
pub(crate) fn as_json(answer: Answer) -> Result<(Value, Answer), Failure> {
    let answer = well(answer)?;
    match serde_json::from_slice(&answer.body) {
        Ok(json) => Ok((json, answer)),
        Err(_) => Err(Failure::Peer(format!("{} answers no JSON: {}", answer.url, excerpt(&answer.body)))),
    }
}

/// What a status says that is none of success.
pub(crate) fn refused(answer: &Answer) -> Failure {
    let meaning = match answer.status {
        401 => " (not signed in, or with a wrong password or token)",
        403 => " (signed in, but not allowed to)",
        404 => " (there is no such thing)",
        301..=308 => " (it points to another address; name that one)",
        _ => "",
    };
    Failure::Peer(format!("{} answers {}{meaning}: {}", answer.url, answer.status, excerpt(&answer.body)))
}

/// The address with that path under it: `https://a/b` and `c/d` make `https://a/b/c/d`.
pub(crate) fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url.set_query(query);
    url
}

/// The same place with another absolute path, as links inside JSON name them.
pub(crate) fn at_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(path);
    url.set_query(query);
    url
}
