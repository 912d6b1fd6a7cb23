//! The gate of the API over `access`: cookies and headers in, sessions out. No decision is made here.

use access::{Access, AuthError, NewToken, SignedIn, TokenKind};
use api::app::{Gate, Peer, Via};
use api::problem::Problem;
use async_trait::async_trait;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use kernel::secret::Secret;
use kernel::session::{ActorKind, Session};
use kernel::{Clock, Kernel, TenantId};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Over `access`.
pub struct Door {
    access: Arc<Access>,
    kernel: Arc<OnceLock<Kernel>>,
    clock: Arc<dyn Clock>,
    own_uid: u32,
    /// The cookie is sent over TLS only.
    secure: bool,
}

impl Door {
    /// A gate; `secure` when the listener speaks TLS.
    pub fn new(
        access: Arc<Access>,
        kernel: Arc<OnceLock<Kernel>>,
        clock: Arc<dyn Clock>,
        own_uid: u32,
        secure: bool,
    ) -> Self {
        Self { access, kernel, clock, own_uid, secure }
    }

    fn cookie(&self, signed: &SignedIn) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict{secure}", access::COOKIE, signed.cookie.as_str())
    }

    fn no_cookie() -> String {
        format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", access::COOKIE)
    }

    /// The session in the tenant that the request names: staff of the home tenant may enter others, nobody else leaves their own.
    fn entered(&self, session: Session, headers: &HeaderMap) -> Result<Session, Problem> {
        let Some(wanted) = headers.get("mainstay-tenant") else { return Ok(session) };
        let wanted = wanted.to_str().unwrap_or_default();
        if self.tenant_key(session.tenant()) == wanted {
            return Ok(session);
        }
        let hidden = || Problem::not_found(format!("there is no tenant \"{wanted}\" that you may enter"));
        let kernel = self.kernel.get().ok_or_else(hidden)?;
        let tenant = kernel.tenant(wanted).filter(|_| session.tenant() == TenantId::HOME).ok_or_else(hidden)?;
        kernel.allow(&session, "admin", "tenant").map_err(|_| hidden())?;
        Ok(Session::authenticated(session.actor().clone(), tenant, session.roles().to_vec()))
    }

    /// Tenants that the session may enter: its own first.
    fn tenants_of(&self, session: &Session) -> Vec<String> {
        let own = self.tenant_key(session.tenant());
        let Some(kernel) = self.kernel.get() else { return vec![own] };
        let all = session.tenant() == TenantId::HOME && kernel.allow(session, "admin", "tenant").is_ok();
        let others = kernel.tenants().into_iter().map(|(_, key)| key).filter(|key| all && *key != own);
        std::iter::once(own.clone()).chain(others).collect()
    }

    fn tenant_key(&self, tenant: TenantId) -> String {
        self.kernel.get().map_or_else(|| tenant.0.to_string(), |k| k.tenant_key(tenant))
    }

    fn shown(&self, signed: &SignedIn) -> Value {
        let tenant = self.tenant_key(signed.session.tenant());
        json!({"person": {"key": signed.person.key, "title": signed.person.title}, "roles": signed.session.roles(), "tenant": tenant, "tenants": self.tenants_of(&signed.session), "expires": signed.expires})
    }
}

/// The `Authorization` header with its token as a bearer: programs that know only HTTP basic give the token as the password (the
/// name is not looked at), and those that write in Influx's way say `Token`.
fn authorization_of(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, rest) = given.split_once(' ').unwrap_or((given, ""));
    if scheme.eq_ignore_ascii_case("token") {
        return Some(format!("Bearer {}", rest.trim()).into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(given.into());
    }
    let pair = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok();
    let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let token = pair.split_once(':').map_or("", |(_, password)| password);
    Some(format!("Bearer {token}").into())
}

fn cookie_of(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let pairs = all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='));
    pairs.into_iter().find(|(n, _)| *n == access::COOKIE).map(|(_, v)| v.to_owned())
}

/// The cookies as the client sent them.
fn cookie_header(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn ip_of(peer: &Peer) -> IpAddr {
    match peer {
        Peer::Net(ip) => *ip,
        Peer::Local(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn refused(error: AuthError) -> Problem {
    let code = error.code();
    let text = error.to_string();
    match error {
        AuthError::Slow(wait) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, code, text).retry_after(wait.as_secs().max(1))
        }
        AuthError::WeakPassword(why) => Problem::field("password", why),
        AuthError::Invalid(why) => match why.split_once(": ") {
            Some((field, message)) => Problem::field(field, message),
            None => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, why),
        },
        AuthError::BootstrapClosed | AuthError::ForeignUid(_) => Problem::new(StatusCode::FORBIDDEN, code, text),
        AuthError::Store(error) => error.into(),
        AuthError::Damaged(why) => {
            tracing::error!(why, "a credential cannot be read");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code, "a stored credential cannot be read; see the log")
        }
        _ => Problem::unauthenticated(code, text),
    }
}

#[async_trait]
impl Gate for Door {
    async fn authenticate(&self, headers: &HeaderMap, peer: &Peer) -> Result<(Session, Via), Problem> {
        let authorization = authorization_of(headers);
        let cookie = cookie_of(headers);
        if let (Peer::Local(uid), None, None) = (peer, &authorization, &cookie) {
            let session = self.access.local(*uid, self.own_uid).map_err(refused)?;
            return Ok((self.entered(session, headers)?, Via::Local));
        }
        let via = if authorization.is_some() { Via::Bearer } else { Via::Cookie };
        let found = self
            .access
            .authenticate(cookie_header(headers).as_deref(), authorization.as_deref())
            .await
            .map_err(refused)?;
        Ok((self.entered(found.session, headers)?, via))
    }

    async fn credential(
        &self,
        operation: &str,
        session: Option<&Session>,
        input: Value,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<(Value, Option<String>), Problem> {
        let text = |name: &str| input.get(name).and_then(Value::as_str).map(str::to_owned);
        let need =
            |name: &str| text(name).filter(|t| !t.is_empty()).ok_or_else(|| Problem::field(name, "must have a value"));
        let secret = |name: &str| need(name).map(Secret::new);
        let ip = ip_of(peer);
        match (operation, session) {
            ("bootstrap_state", _) => Ok((json!({"open": self.access.bootstrap_open().await.map_err(refused)?}), None)),
            ("bootstrap", _) => {
                let (name, title) = (need("name")?, text("title").unwrap_or_default());
                let title = if title.is_empty() { name.clone() } else { title };
                let signed = self
                    .access
                    .bootstrap(&need("token")?, &name, &title, &secret("password")?, ip)
                    .await
                    .map_err(refused)?;
                Ok((self.shown(&signed), Some(self.cookie(&signed))))
            }
            ("sign_in", _) => {
                let signed = self
                    .access
                    .sign_in(TenantId::HOME, &need("name")?, &secret("password")?, text("code").as_deref(), ip)
                    .await
                    .map_err(refused)?;
                Ok((self.shown(&signed), Some(self.cookie(&signed))))
            }
            (_, Some(session)) => self.own(operation, session, &input, headers, ip).await,
            (other, None) => Err(Problem::unauthenticated("not-signed-in", format!("{other} needs a session"))),
        }
    }
}

impl Door {
    /// Operations of somebody who is signed in on their own credentials.
    async fn own(
        &self,
        operation: &str,
        session: &Session,
        input: &Value,
        headers: &HeaderMap,
        ip: IpAddr,
    ) -> Result<(Value, Option<String>), Problem> {
        let text = |name: &str| input.get(name).and_then(Value::as_str).map(str::to_owned);
        let need =
            |name: &str| text(name).filter(|t| !t.is_empty()).ok_or_else(|| Problem::field(name, "must have a value"));
        let secret = |name: &str| need(name).map(Secret::new);
        match operation {
            "session" => Ok((self.whoami(session, headers).await?, None)),
            "sign_out" => {
                if let Some(cookie) = cookie_of(headers) {
                    self.access.sign_out(&cookie).await.map_err(refused)?;
                }
                Ok((Value::Null, Some(Self::no_cookie())))
            }
            "change_password" => {
                let signed = self
                    .access
                    .change_password(session, &secret("current")?, &secret("new")?, ip)
                    .await
                    .map_err(refused)?;
                Ok((Value::Null, Some(self.cookie(&signed))))
            }
            "begin_totp" => {
                let enrolment = self.access.begin_totp(session).await.map_err(refused)?;
                Ok((json!({"secret": enrolment.secret.as_str(), "otpauth": enrolment.otpauth.as_str()}), None))
            }
            "confirm_totp" => {
                let (signed, codes) = self.access.confirm_totp(session, &need("code")?, ip).await.map_err(refused)?;
                let codes: Vec<&str> = codes.iter().map(|c| c.as_str()).collect();
                Ok((json!({"recovery_codes": codes}), Some(self.cookie(&signed))))
            }
            "remove_totp" => {
                let signed = self.access.remove_totp(session, &secret("password")?, ip).await.map_err(refused)?;
                Ok((Value::Null, Some(self.cookie(&signed))))
            }
            "tokens" => {
                let tokens = self.access.tokens(session).await.map_err(refused)?;
                let shown: Vec<Value> = tokens
                    .iter()
                    .map(|t| json!({"id": t.id, "name": t.title, "use_for": t.kind, "owner": t.owner, "roles": t.roles, "created": t.created, "expires": t.expires, "last_used": t.used}))
                    .collect();
                Ok((json!({"tokens": shown}), None))
            }
            "create_token" => self.create_token(session, input, &need("name")?).await,
            "revoke_token" => {
                if self.access.revoke_token(session, &need("id")?).await.map_err(refused)? {
                    Ok((Value::Null, None))
                } else {
                    Err(Problem::not_found("there is no such token of yours"))
                }
            }
            other => Err(Problem::not_found(format!("there is no operation {other}"))),
        }
    }

    async fn create_token(
        &self,
        session: &Session,
        input: &Value,
        name: &str,
    ) -> Result<(Value, Option<String>), Problem> {
        let kind = match input.get("use_for").and_then(Value::as_str).unwrap_or("api") {
            "api" => TokenKind::Api,
            "ingest" => TokenKind::Ingest,
            "agent" => TokenKind::Agent,
            other => return Err(Problem::field("use_for", format!("must be api, ingest or agent, not {other}"))),
        };
        let days = input.get("days").and_then(Value::as_u64);
        if days.is_some_and(|d| !(1..=365).contains(&d)) {
            return Err(Problem::field("days", "must be 1 to 365"));
        }
        let roles = match input.get("roles") {
            Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => session.roles().to_vec(),
        };
        let owner = (session.actor().kind == ActorKind::Person).then(|| session.actor().key.clone());
        let expires = days.map(|d| self.clock.now().plus(Duration::from_secs(d * 86_400)));
        let wanted = NewToken { title: name.to_owned(), kind, owner, subject: None, roles, expires };
        let (secret, kept) = self.access.create_token(session, wanted).await.map_err(refused)?;
        Ok((json!({"token": secret.as_str(), "id": kept.id, "expires": kept.expires, "roles": kept.roles}), None))
    }

    async fn whoami(&self, session: &Session, headers: &HeaderMap) -> Result<Value, Problem> {
        let tenant = self.tenant_key(session.tenant());
        let authorization = authorization_of(headers);
        let cookie = cookie_of(headers);
        let (person, expires) = if cookie.is_some() || authorization.is_some() {
            let found = self
                .access
                .authenticate(cookie_header(headers).as_deref(), authorization.as_deref())
                .await
                .map_err(refused)?;
            (found.person.map(|p| json!({"key": p.key, "title": p.title})), Some(found.expires))
        } else {
            (None, None)
        };
        let person =
            person.unwrap_or_else(|| json!({"key": session.actor().key, "title": session.actor().to_string()}));
        let totp = self.access.has_second_factor(session).await.map_err(refused)?;
        Ok(
            json!({"person": person, "actor": session.actor(), "roles": session.roles(), "tenant": tenant, "tenants": self.tenants_of(session), "totp": totp, "expires": expires}),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_every_way_that_clients_have_to_give_it() {
        for (given, expected) in [
            ("Bearer abc", "Bearer abc"),
            ("Basic Z3JhZmFuYTphYmM=", "Bearer abc"),
            ("basic OmE6Yg==", "Bearer a:b"),
            ("Token abc", "Bearer abc"),
            ("Basic %%%", "Bearer "),
            ("Basic YWJj", "Bearer "),
            ("Digest x", "Digest x"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, given.parse().expect("a header"));
            assert_eq!(authorization_of(&headers).as_deref(), Some(expected), "{given}");
        }
        assert_eq!(authorization_of(&HeaderMap::new()), None);
    }
}
