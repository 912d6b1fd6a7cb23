//! The front door: everything that proves who somebody is ends here in a [`Session`], or in an [`AuthError`].
//!
//! Attempts on one account are taken one at a time, each counted as failed before it is checked. Whoever signs in, changes a
//! password or a second factor gets a new session secret, and all older ones end. People are asked for at each use: nothing
//! about them is remembered here.

use kernel::clock::Clock;
use kernel::secret::Secret;
use kernel::session::{Actor, ActorKind, Session};
use kernel::{TenantId, Time};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroizing;

use crate::bootstrap::Bootstrap;
use crate::directory::{Directory, PersonFacts};
use crate::error::AuthError;
use crate::keys::{KeyError, KeyFolder};
use crate::password::{Cost, Passwords, check};
use crate::policy::{Classes, Policies};
use crate::private::Private;
use crate::random;
use crate::session::{self, Lifetimes, Sessions};
use crate::throttle::{Attempt, Throttle};
use crate::token::{self, NewToken, TokenKind, Tokens};
use crate::totp::{Enrolment, SecondFactors};
use crate::vault::Vault;

/// Name of the cookie.
pub const COOKIE: &str = "mainstay_session";
/// The role that may do everything.
pub const ADMIN: &str = "admin";
/// Accounts whose attempts run side by side.
const LANES: usize = 64;

/// What the front door is built from.
pub struct Parts<'a> {
    /// Where credentials are kept.
    pub private: Arc<dyn Private>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The people.
    pub directory: Arc<dyn Directory>,
    /// The key files.
    pub keys: &'a KeyFolder,
    /// The data directory, for the bootstrap token.
    pub data: &'a Path,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// What they may do.
    pub policies: Policies,
    /// What classes look like, for policies on reading.
    pub classes: Arc<dyn Classes>,
}

/// Sign-in, sessions, tokens and policies: the one thing that surfaces hold.
pub struct Access {
    pub(crate) policies: RwLock<Arc<Policies>>,
    pub(crate) classes: Arc<dyn Classes>,
    /// Owners of tokens that were used, by the key they act under: `own` in a policy means the owner's.
    pub(crate) owners: RwLock<HashMap<(TenantId, String), String>>,
    clock: Arc<dyn Clock>,
    directory: Arc<dyn Directory>,
    passwords: Passwords,
    factors: SecondFactors,
    sessions: Sessions,
    tokens: Tokens,
    throttle: Throttle,
    bootstrap: Bootstrap,
    vault: Vault,
    lanes: [Mutex<()>; LANES],
}

/// Somebody who has just proved who they are.
pub struct SignedIn {
    /// Value of the cookie; given once.
    pub cookie: Zeroizing<String>,
    /// What they act with.
    pub session: Session,
    /// Who.
    pub person: PersonFacts,
    /// When the session ends if it is not used.
    pub expires: Time,
}

/// Somebody whose session or token was found.
pub struct Found {
    /// What they act with.
    pub session: Session,
    /// The person, for sessions and tokens of people.
    pub person: Option<PersonFacts>,
    /// When the session ends if it is not used, or when the token ends.
    pub expires: Time,
    /// Id of the session or token.
    pub id: String,
}

impl Access {
    /// Opens the door: reads or makes the keys.
    ///
    /// # Errors
    /// [`KeyError`]: keys that others may read are refused.
    pub fn new(parts: Parts<'_>) -> Result<Self, KeyError> {
        Self::with_cost(parts, Cost::FULL)
    }

    pub(crate) fn with_cost(parts: Parts<'_>, cost: Cost) -> Result<Self, KeyError> {
        let private = &parts.private;
        let vault = Vault::new(&parts.keys.key("vault")?, private);
        Ok(Self {
            policies: RwLock::new(Arc::new(parts.policies)),
            classes: parts.classes,
            owners: RwLock::default(),
            clock: parts.clock,
            directory: parts.directory,
            passwords: Passwords::new(private, cost),
            factors: SecondFactors::new(private, &vault),
            sessions: Sessions::new(private, parts.lifetimes),
            tokens: Tokens::new(private, parts.keys.key("pepper")?),
            throttle: Throttle::new(private),
            bootstrap: Bootstrap::new(private, parts.data),
            vault,
            lanes: std::array::from_fn(|_| Mutex::new(())),
        })
    }

    /// The vault, for secrets of channels and credentials.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Signs a person in by name (the key of their record), password and, where one is in use, second factor.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] alike for all that is wrong; [`AuthError::SecondFactor`] when only that is missing;
    /// [`AuthError::Slow`] when it is too early after a failure.
    pub async fn sign_in(
        &self,
        tenant: TenantId,
        name: &str,
        password: &Secret,
        code: Option<&str>,
        ip: IpAddr,
    ) -> Result<SignedIn, AuthError> {
        let _lane = self.lane(name).await;
        let now = self.clock.now();
        let begun = self.throttle.begin(Attempt::new(tenant, name, ip), now).await?;
        let person = self.directory.person(tenant, name).await.filter(|p| !p.disabled);
        let right = self.passwords.is_right(tenant, person.as_ref().map(|p| p.key.as_str()), password).await?;
        let person = person.filter(|_| right).ok_or(AuthError::Wrong)?;
        if self.factors.wanted(tenant, &person.key).await? {
            let Some(code) = code.filter(|c| !c.trim().is_empty()) else {
                begun.does_not_count().await?;
                return Err(AuthError::SecondFactor);
            };
            if !self.factors.accept(tenant, &person.key, code, now).await? {
                return Err(AuthError::Wrong);
            }
        }
        begun.succeeded().await?;
        self.begin_session(tenant, person, ip).await
    }

    /// Who comes with this `Cookie` or `Authorization` header. A bearer token that is given and wrong is not made good by a cookie.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`].
    pub async fn authenticate(&self, cookie: Option<&str>, authorization: Option<&str>) -> Result<Found, AuthError> {
        if let Some(authorization) = authorization {
            let token = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            return self.session_from_bearer(token.ok_or(AuthError::NotSignedIn)?.1.trim()).await;
        }
        let mut secrets =
            cookie.unwrap_or_default().split(';').filter_map(|c| c.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        // Two cookies of our name: somebody planted one from a neighbouring host, and there is no telling which.
        match (secrets.next(), secrets.next()) {
            (Some(secret), None) => self.session_from_cookie(secret).await,
            _ => Err(AuthError::NotSignedIn),
        }
    }

    /// The session of a cookie's value.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`]: unknown, ended, or the person is disabled or has other roles than when they signed in.
    pub async fn session_from_cookie(&self, secret: &str) -> Result<Found, AuthError> {
        let kept = self.sessions.find(secret, self.clock.now()).await?;
        let person = self.directory.person(kept.tenant, &kept.person).await.filter(|p| kept.fits(p));
        let Some(person) = person else {
            self.sessions.end(secret).await?;
            return Err(AuthError::NotSignedIn);
        };
        let expires = self.sessions.expires(&kept);
        Ok(Found { session: session_of(kept.tenant, &person), person: Some(person), expires, id: kept.id })
    }

    /// The session of an API token, ingest key or agent's token.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`]: unknown, ended, or its owner is disabled or gone.
    pub async fn session_from_bearer(&self, text: &str) -> Result<Found, AuthError> {
        let kept = self.tokens.find(text, self.clock.now()).await?;
        let owner = match &kept.owner {
            Some(key) => Some(
                self.directory.person(kept.tenant, key).await.filter(|p| !p.disabled).ok_or(AuthError::NotSignedIn)?,
            ),
            None => None,
        };
        let (kind, roles) = match kept.kind {
            TokenKind::Api => (ActorKind::Token, kept.roles_of(owner.as_ref())),
            TokenKind::Ingest => (ActorKind::Ingest, Vec::new()),
            TokenKind::Agent => (ActorKind::Agent, Vec::new()),
        };
        if let Some(owner) = owner.as_ref().filter(|_| kept.kind == TokenKind::Api) {
            self.owners.write().insert((kept.tenant, kept.subject.clone()), owner.key.clone());
        }
        let session = Session::authenticated(Actor::new(kind, kept.subject), kept.tenant, roles);
        Ok(Found { session, person: owner, expires: kept.expires, id: kept.id })
    }

    /// Somebody on the host itself, over the local socket: an admin, journaled as `local:UID`.
    ///
    /// # Errors
    /// [`AuthError::ForeignUid`] unless root or the user that Mainstay runs as.
    pub fn local(&self, peer_uid: u32, own_uid: u32) -> Result<Session, AuthError> {
        if peer_uid != 0 && peer_uid != own_uid {
            return Err(AuthError::ForeignUid(peer_uid));
        }
        Ok(Session::authenticated(
            Actor::new(ActorKind::Local, peer_uid.to_string()),
            TenantId::HOME,
            vec![ADMIN.into()],
        ))
    }

    /// Ends the session of a cookie's value.
    ///
    /// # Errors
    /// The store's.
    pub async fn sign_out(&self, secret: &str) -> Result<(), AuthError> {
        self.sessions.end(secret).await
    }

    /// Changes one's own password: all sessions end, a new one begins.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong present password, braked like a sign-in; [`AuthError::WeakPassword`].
    pub async fn change_password(
        &self,
        session: &Session,
        current: &Secret,
        new: &Secret,
        ip: IpAddr,
    ) -> Result<SignedIn, AuthError> {
        let person = self.proved(session, current, ip).await?;
        self.set_password(session.tenant(), &person, new).await?;
        self.begin_session(session.tenant(), person, ip).await
    }

    /// Whether whoever is signed in has a second factor.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_second_factor(&self, session: &Session) -> Result<bool, AuthError> {
        self.factors.wanted(session.tenant(), &session.actor().key).await
    }

    /// Starts a second factor for oneself.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] when one is in use.
    pub async fn begin_totp(&self, session: &Session) -> Result<Enrolment, AuthError> {
        let person = self.person_of(session).await?;
        self.factors.begin(session.tenant(), &person.key).await
    }

    /// Confirms it: all sessions end, a new one begins. Gives the recovery codes, once.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong code, braked like a sign-in.
    pub async fn confirm_totp(
        &self,
        session: &Session,
        code: &str,
        ip: IpAddr,
    ) -> Result<(SignedIn, Vec<Zeroizing<String>>), AuthError> {
        let (tenant, person) = (session.tenant(), self.person_of(session).await?);
        let _lane = self.lane(&person.key).await;
        let now = self.clock.now();
        let begun = self.throttle.begin(Attempt::new(tenant, &person.key, ip), now).await?;
        let codes = self.factors.confirm(tenant, &person.key, code, now).await?;
        begun.succeeded().await?;
        self.sessions.end_all(tenant, &person.key).await?;
        Ok((self.begin_session(tenant, person, ip).await?, codes))
    }

    /// Removes one's own second factor: all sessions end, a new one begins.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong password, braked like a sign-in.
    pub async fn remove_totp(&self, session: &Session, password: &Secret, ip: IpAddr) -> Result<SignedIn, AuthError> {
        let person = self.proved(session, password, ip).await?;
        self.lost_second_factor(session.tenant(), &person.key).await?;
        self.begin_session(session.tenant(), person, ip).await
    }

    /// Sets somebody's password, for an admin or at a reset; whether the asker may is the policy's (`admin` on `person`).
    ///
    /// # Errors
    /// [`AuthError::WeakPassword`]; the store's.
    pub async fn set_password(&self, tenant: TenantId, person: &PersonFacts, new: &Secret) -> Result<(), AuthError> {
        self.passwords.set(tenant, &person.key, &person.title, new).await?;
        self.sessions.end_all(tenant, &person.key).await
    }

    /// Takes somebody's second factor away, for an admin; all their sessions end.
    ///
    /// # Errors
    /// The store's.
    pub async fn lost_second_factor(&self, tenant: TenantId, person: &str) -> Result<(), AuthError> {
        self.factors.remove(tenant, person).await?;
        self.sessions.end_all(tenant, person).await
    }

    /// Ends all sessions and tokens of a person, for when they leave or something was stolen.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_all(&self, tenant: TenantId, person: &str) -> Result<(), AuthError> {
        self.sessions.end_all(tenant, person).await?;
        self.tokens.revoke_all(tenant, person).await.map(|_| ())
    }

    /// One's own sessions.
    ///
    /// # Errors
    /// The store's; [`AuthError::NotSignedIn`] for what is not a person.
    pub async fn sessions(&self, session: &Session) -> Result<Vec<session::Kept>, AuthError> {
        let person = self.person_of(session).await?;
        self.sessions.list(session.tenant(), &person.key, self.clock.now()).await
    }

    /// Ends one of one's own sessions; `false` when there is none with that id.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_session(&self, session: &Session, id: &str) -> Result<bool, AuthError> {
        let person = self.person_of(session).await?;
        self.sessions.revoke(session.tenant(), &person.key, id).await
    }

    /// Makes a token: an API token for oneself with roles one has, or, as an admin, an ingest key or an agent's token. What is made
    /// on the host itself has no owner.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] with the reason. A token cannot make tokens: a stolen one must not outlive its end.
    pub async fn create_token(
        &self,
        session: &Session,
        wanted: NewToken,
    ) -> Result<(Zeroizing<String>, token::Kept), AuthError> {
        let roles = session.roles();
        let admin = roles.iter().any(|r| r == ADMIN);
        let owner = match session.actor().kind {
            ActorKind::Person => Some(session.actor().key.clone()),
            ActorKind::Local | ActorKind::System => None,
            _ => return Err(AuthError::Invalid("only people, and the host itself, make tokens".into())),
        };
        if let Some(role) = wanted.roles.iter().find(|r| !admin && !roles.contains(r)) {
            return Err(AuthError::Invalid(format!("roles: you do not have the role \"{role}\" yourself")));
        }
        if wanted.kind != TokenKind::Api && !admin && owner.is_some() {
            return Err(AuthError::Invalid("kind: ingest keys and agents' tokens are made by admins".into()));
        }
        let subject = wanted.subject.clone().filter(|_| wanted.kind == TokenKind::Agent);
        // An agent is not its maker's: it works on when they leave.
        let owner = owner.filter(|_| wanted.kind != TokenKind::Agent);
        self.tokens.create(session.tenant(), NewToken { owner, subject, ..wanted }, self.clock.now()).await
    }

    /// Tokens of oneself; for admins all of the tenant.
    ///
    /// # Errors
    /// The store's.
    pub async fn tokens(&self, session: &Session) -> Result<Vec<token::Kept>, AuthError> {
        self.tokens.list(session.tenant(), owner_limit(session)).await
    }

    /// Ends a token of oneself; an admin any of the tenant. `false` when there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_token(&self, session: &Session, id: &str) -> Result<bool, AuthError> {
        self.tokens.revoke(session.tenant(), owner_limit(session), id).await
    }

    /// Opens the bootstrap when nobody has a password yet, as at the very first start.
    ///
    /// # Errors
    /// The store's; the file's.
    pub async fn open_first_bootstrap(&self) -> Result<Option<Zeroizing<String>>, AuthError> {
        if self.passwords.any().await? { Ok(None) } else { self.bootstrap.open(self.clock.now()).await.map(Some) }
    }

    /// Opens the bootstrap again: `admin reset`, on the host itself only.
    ///
    /// # Errors
    /// The store's; the file's.
    pub async fn reset_bootstrap(&self) -> Result<Zeroizing<String>, AuthError> {
        self.bootstrap.open(self.clock.now()).await
    }

    /// Whether a bootstrap token counts now.
    ///
    /// # Errors
    /// The store's.
    pub async fn bootstrap_open(&self) -> Result<bool, AuthError> {
        self.bootstrap.is_open(self.clock.now()).await
    }

    /// Makes the first admin, or after a reset makes that person an admin with this password and no second factor.
    ///
    /// # Errors
    /// [`AuthError::BootstrapClosed`]; [`AuthError::Invalid`] or [`AuthError::WeakPassword`], after which the token still counts.
    pub async fn bootstrap(
        &self,
        token: &str,
        name: &str,
        title: &str,
        password: &Secret,
        ip: IpAddr,
    ) -> Result<SignedIn, AuthError> {
        if !kernel::ids::is_key(name) || title.trim().is_empty() {
            return Err(AuthError::Invalid("name: letters, digits and . _ - without spaces; title: your name".into()));
        }
        check(password.expose(), &[name, title]).map_err(AuthError::WeakPassword)?;
        let claim = self.bootstrap.claim(token, self.clock.now()).await?;
        match self.make_admin(name, title, password).await {
            Ok(person) => {
                self.bootstrap.finish(claim).await?;
                self.begin_session(TenantId::HOME, person, ip).await
            }
            Err(why) => {
                self.bootstrap.give_back(claim).await?;
                Err(why)
            }
        }
    }

    /// Forgets ended sessions and old failures; to be called every few minutes.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self) -> Result<(), AuthError> {
        let now = self.clock.now();
        self.sessions.sweep(now).await?;
        self.throttle.sweep(now).await?;
        Ok(())
    }

    async fn make_admin(&self, name: &str, title: &str, password: &Secret) -> Result<PersonFacts, AuthError> {
        let home = TenantId::HOME;
        self.directory.add_admin(home, name, title).await.map_err(AuthError::Invalid)?;
        let person = self
            .directory
            .person(home, name)
            .await
            .ok_or_else(|| AuthError::Invalid(format!("the person {name} was not made")))?;
        self.factors.remove(home, name).await?;
        self.set_password(home, &person, password).await?;
        Ok(person)
    }

    /// A person who is signed in and has given their password once more.
    async fn proved(&self, session: &Session, password: &Secret, ip: IpAddr) -> Result<PersonFacts, AuthError> {
        let (tenant, person) = (session.tenant(), self.person_of(session).await?);
        let _lane = self.lane(&person.key).await;
        let begun = self.throttle.begin(Attempt::new(tenant, &person.key, ip), self.clock.now()).await?;
        if !self.passwords.is_right(tenant, Some(&person.key), password).await? {
            return Err(AuthError::Wrong);
        }
        begun.succeeded().await?;
        Ok(person)
    }

    async fn person_of(&self, session: &Session) -> Result<PersonFacts, AuthError> {
        if session.actor().kind != ActorKind::Person {
            return Err(AuthError::NotSignedIn);
        }
        self.directory
            .person(session.tenant(), &session.actor().key)
            .await
            .filter(|p| !p.disabled)
            .ok_or(AuthError::NotSignedIn)
    }

    async fn begin_session(&self, tenant: TenantId, person: PersonFacts, ip: IpAddr) -> Result<SignedIn, AuthError> {
        let (cookie, kept) = self.sessions.begin(tenant, &person, ip, self.clock.now()).await?;
        Ok(SignedIn { cookie, session: session_of(tenant, &person), expires: self.sessions.expires(&kept), person })
    }

    /// Attempts on one account wait for each other here, so that none is checked before the one before it is counted.
    async fn lane(&self, name: &str) -> MutexGuard<'_, ()> {
        let print = random::fingerprint(&name.to_lowercase());
        let lane = usize::from_str_radix(&print[..4], 16).unwrap_or(0) % LANES;
        self.lanes[lane].lock().await
    }
}

fn session_of(tenant: TenantId, person: &PersonFacts) -> Session {
    Session::authenticated(Actor::new(ActorKind::Person, person.key.as_str()), tenant, person.roles.clone())
}

/// An admin sees all tokens, others their own; what is neither a person nor an admin sees none, as no owner has an empty key.
fn owner_limit(session: &Session) -> Option<&str> {
    let admin = session.roles().iter().any(|r| r == ADMIN);
    match session.actor().kind {
        _ if admin => None,
        ActorKind::Person => Some(&session.actor().key),
        _ => Some(""),
    }
}

#[cfg(test)]
mod tests;
