//! Who reads measurements and who hands them in: the extractors without which no handler here gets a session.
//!
//! Ingest keys hand in and read nothing; whoever may only read hands in nothing. What a session may do is the policy's.

use api::app::{App, Via};
use api::caller::{own_page, peer_of};
use api::problem::{Problem, REQUEST_ID};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use kernel::Session;

use crate::state::Signals;
use crate::tenant::number;

/// Somebody who may read measurements.
pub struct Reader {
    /// Who.
    pub session: Session,
    /// The engine's number of their tenant.
    pub tenant: u64,
}

/// Somebody who may hand measurements in.
pub struct Feeder {
    /// The engine's number of their tenant.
    pub tenant: u64,
}

async fn session(parts: &mut Parts, app: &App, reads: bool) -> Result<Session, Problem> {
    let peer = peer_of(parts);
    let (session, via) = app.gate.authenticate(&parts.headers, &peer).await?;
    // A question may be put by POST from anywhere; its answer stays closed to another site's page.
    if via == Via::Cookie && !reads {
        own_page(&parts.headers)?;
    }
    let signals = parts.extensions.get::<Signals>().ok_or_else(unlinked)?;
    app.kernel.allow(&session, if reads { "read" } else { "ingest" }, signals.measured())?;
    let request = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    Ok(session.in_request(&request))
}

fn unlinked() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "series", "measurements are not linked in")
}

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = session(parts, app, true).await?;
        Ok(Self { tenant: number(session.tenant()), session })
    }
}

impl FromRequestParts<App> for Feeder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = session(parts, app, false).await?;
        Ok(Self { tenant: number(session.tenant()) })
    }
}
