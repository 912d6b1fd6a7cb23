//! Who calls: the extractor without which no handler gets a session.

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use kernel::Session;
use kernel::session::ActorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::app::{App, Peer, Via};
use crate::problem::{Problem, REQUEST_ID};

/// An authenticated caller.
pub struct Caller {
    /// The session.
    pub session: Session,
    /// How it was proved.
    pub via: Via,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let peer = peer_of(parts);
        let (session, via) = app.gate.authenticate(&parts.headers, &peer).await?;
        if via == Via::Cookie && !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            own_page(&parts.headers)?;
        }
        if session.actor().kind == ActorKind::Ingest {
            let why = "an ingest key hands in signals and does nothing else";
            return Err(Problem::new(StatusCode::FORBIDDEN, "ingest-only", why));
        }
        let request = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        Ok(Self { session: session.in_request(&request), via })
    }
}

/// The peer of a request: the address, or the uid behind the local socket.
pub fn peer_of(parts: &Parts) -> Peer {
    if let Some(local) = parts.extensions.get::<LocalPeer>() {
        return Peer::Local(local.uid);
    }
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
    Peer::Net(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// Put into a request's extensions by the listener of the local socket.
#[derive(Clone, Copy, Debug)]
pub struct LocalPeer {
    /// Uid of the process at the other end, as the system tells it.
    pub uid: u32,
}

/// A change with a cookie must come from our own pages: the browser says so in headers that a page cannot set.
pub fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let refuse = |why: &str| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            format!("a change from another site's page is refused: {why}"),
        ))
    };
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin" | "none") => return Ok(()),
        Some(other) => return refuse(&format!("Sec-Fetch-Site is {other}")),
        None => {}
    }
    let host = text(header::HOST).unwrap_or_default();
    match text(header::ORIGIN) {
        Some(origin) if origin.split_once("://").is_some_and(|(_, o)| o == host) => Ok(()),
        Some(origin) => refuse(&format!("Origin is {origin}")),
        None => refuse("neither Sec-Fetch-Site nor Origin is given"),
    }
}
