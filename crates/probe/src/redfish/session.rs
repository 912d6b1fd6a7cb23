//! Session: how a controller is signed in to (DSP0266): with user and password in each question, or once, for a token. A
//! controller has few sessions and others need them, so ours is ended whatever became of the check.

use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::own_path;
use crate::env::Failure;
use crate::http::{Answer, Ask, as_json, at_path, refused};
use crate::outcome::in_words;
use crate::protocol::Cx;
use crate::secret::Secret;
use crate::web::Access;

/// How user and password are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignIn {
    /// With each question (basic authentication); in a session where that is refused.
    #[default]
    Any,
    /// With each question.
    Basic,
    /// Once, for a token (X-Auth-Token) that is given back at the end.
    Session,
}

/// Where sessions are opened when the root does not say it.
const USUAL_PLACE: &str = "/redfish/v1/SessionService/Sessions";
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// One conversation with a controller.
pub(super) struct Visit<'a> {
    access: &'a Access,
    sign_in: SignIn,
    base: &'a Url,
    /// The path at which sessions are opened.
    place: String,
    state: State,
}

enum State {
    /// No session was asked for.
    Without,
    /// One was, and not given.
    Refused,
    /// This is ours.
    Open(Session),
}

/// A session of ours.
struct Session {
    token: Secret,
    /// Where it is ended; a controller that does not say so cannot be told.
    place: Option<Url>,
}

impl<'a> Visit<'a> {
    pub fn new(access: &'a Access, sign_in: SignIn, base: &'a Url) -> Visit<'a> {
        Visit { access, sign_in, base, place: USUAL_PLACE.to_owned(), state: State::Without }
    }

    /// Notes what the root says of sessions, and opens one where it must be.
    pub async fn begin(&mut self, cx: &Cx<'_>, root: &Value) -> Result<(), Failure> {
        if let Some(place) = own_path(&root["Links"]["Sessions"]["@odata.id"]) {
            self.place = place.to_owned();
        }
        match (self.sign_in, &self.state) {
            (SignIn::Session, State::Without) => self.open(cx).await,
            _ => Ok(()),
        }
    }

    /// What is there, as JSON. Where nobody gets in otherwise, a session is tried once.
    pub async fn get(&mut self, cx: &Cx<'_>, url: Url) -> Result<(Value, Answer), Failure> {
        let answer = self.send(cx, Ask::get(url.clone())).await?;
        let may_open = self.sign_in != SignIn::Basic && self.access.user.is_some();
        if answer.status != 401 || !may_open || !matches!(self.state, State::Without) {
            return as_json(answer);
        }
        if let Err(why) = self.open(cx).await {
            return Err(Failure::Peer(format!("{}; nor is a session to be had: {why}", refused(&answer))));
        }
        as_json(self.send(cx, Ask::get(url)).await?)
    }

    /// Sends it signed in, and leaves time to end a session that is open.
    async fn send(&self, cx: &Cx<'_>, ask: Ask) -> Result<Answer, Failure> {
        let State::Open(session) = &self.state else {
            let ask = match self.sign_in {
                SignIn::Session => self.access.unsigned(ask),
                SignIn::Any | SignIn::Basic => self.access.ask(ask),
            };
            return ask.send(cx).await;
        };
        let limit = cx.remaining().saturating_sub(time_to_end(cx));
        let ask = self.access.unsigned(ask).secret(TOKEN, &session.token);
        let silent = |_| {
            let seconds = in_words(cx.trace.elapsed().as_secs_f64());
            Failure::Peer(format!("no answer from {} within {seconds} (timeout)", cx.target))
        };
        tokio::time::timeout(limit, ask.send(cx)).await.map_err(silent)?
    }

    async fn open(&mut self, cx: &Cx<'_>) -> Result<(), Failure> {
        self.state = State::Refused;
        cx.trace.phase("session", "waiting for a session to be opened");
        let (Some(user), Some(password)) = (&self.access.user, &self.access.password) else { return Ok(()) };
        let who = json!({"UserName": user, "Password": password.reveal()}).to_string();
        let ask = Ask::post(at_path(self.base, &self.place), "application/json", who.into_bytes());
        let answer = self.access.unsigned(ask).send(cx).await?;
        if !(200..=299).contains(&answer.status) {
            return Err(refused(&answer));
        }
        let token = answer.headers.get(TOKEN).and_then(|token| token.to_str().ok());
        let Some(token) = token.map(Secret::new) else {
            return Err(Failure::Peer(format!("{} opens a session and gives no token for it", answer.url)));
        };
        let place = own_place(&answer).map(|path| at_path(self.base, &path));
        self.state = State::Open(Session { token, place });
        Ok(())
    }

    /// Ends the session, when there is one.
    ///
    /// # Errors
    /// Why it is left open, as the end of a sentence about it.
    pub async fn end(self, cx: &Cx<'_>) -> Result<(), String> {
        let State::Open(Session { token, place }) = self.state else { return Ok(()) };
        cx.trace.phase("session", "waiting for the session to be ended");
        let place = place.ok_or("the controller does not say where to end it")?;
        let ask = self.access.unsigned(Ask::delete(place)).secret(TOKEN, &token);
        match tokio::time::timeout(time_to_end(cx).min(cx.remaining()), ask.send(cx)).await {
            // One that is gone already is ended.
            Ok(Ok(answer)) if matches!(answer.status, 200..=299 | 404) => Ok(()),
            Ok(Ok(answer)) => Err(refused(&answer).to_string()),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// What is kept of the check's time for ending the session.
fn time_to_end(cx: &Cx<'_>) -> Duration {
    (cx.timeout / 5).min(Duration::from_secs(3))
}

/// The path of a session that was just opened. Controllers tell their own host's name in it, which need not be the one by
/// which they are reached.
fn own_place(answer: &Answer) -> Option<String> {
    let told = answer.headers.get(http::header::LOCATION).and_then(|place| place.to_str().ok());
    let of_header = told.map(|told| Url::parse(told).map_or_else(|_| Value::from(told), |url| Value::from(url.path())));
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let path = of_header.as_ref().and_then(own_path).or_else(|| own_path(&body["@odata.id"]));
    path.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web;

    #[test]
    fn a_session_is_ended_where_the_controller_says() {
        for (location, body, place) in [
            (Some("/redfish/v1/SessionService/Sessions/7"), "", Some("/redfish/v1/SessionService/Sessions/7")),
            (Some("https://ilo.local/redfish/v1/Sessions/7/"), "", Some("/redfish/v1/Sessions/7/")),
            (None, r#"{"@odata.id": "/redfish/v1/Sessions/8"}"#, Some("/redfish/v1/Sessions/8")),
            (Some("//elsewhere/7"), r#"{"@odata.id": "/redfish/v1/Sessions/8"}"#, Some("/redfish/v1/Sessions/8")),
            (None, "", None),
        ] {
            let mut answer = web::answer("https://bmc/", body);
            let headers = location.map(|place| (http::header::LOCATION, place.parse().unwrap()));
            answer.headers.extend(headers);
            assert_eq!(own_place(&answer).as_deref(), place, "{location:?} {body}");
        }
    }
}
