//! The front door: everything that proves who somebody is ends here in a [`Session`], or in an [`AuthError`].
//!
//! Attempts on one account are taken one at a time, each counted as failed before it is checked. Whoever signs in, changes a
//! password or a second factor gets a new session secret, and all older ones end. People are asked for at each use: nothing
//! about them is remembered here that a write could have changed.

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
use crate::password::{Cost, Passwords};
use crate::policy::{Classes, Policies};
use crate::private::Private;
use crate::random;
use crate::session::{Lifetimes, Sessions};
use crate::throttle::{Attempt, Throttle};
use crate::token::{TokenKind, Tokens};
use crate::totp::SecondFactors;
use crate::vault::Vault;
use crate::witness::{Event, Refusals, What, Why, Witness};
use remembered::Remembered;

mod credentials;
mod remembered;

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
    /// Is told what happens to credentials, for the journal.
    pub witness: Arc<dyn Witness>,
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
    remembered: Remembered,
    throttle: Throttle,
    bootstrap: Bootstrap,
    vault: Vault,
    witness: Arc<dyn Witness>,
    refusals: Arc<Refusals>,
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
#[derive(Clone)]
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
            remembered: Remembered::default(),
            throttle: Throttle::new(private),
            bootstrap: Bootstrap::new(private, parts.data),
            vault,
            refusals: Arc::new(Refusals::new(private, parts.witness.clone())),
            witness: parts.witness,
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
        let somebody = self.directory.person(tenant, name).await;
        let person = somebody.as_ref().filter(|p| !p.disabled);
        let right = self.passwords.is_right(tenant, person.map(|p| p.key.as_str()), password).await?;
        let Some(person) = person.filter(|_| right).cloned() else {
            if let Some(person) = somebody {
                let why = if person.disabled { Why::Disabled } else { Why::Password };
                self.refuse(tenant, person.key, nobody(), ip, why);
            }
            return Err(AuthError::Wrong);
        };
        let second_factor = self.factors.wanted(tenant, &person.key).await?;
        if second_factor {
            let Some(code) = code.filter(|c| !c.trim().is_empty()) else {
                begun.does_not_count().await?;
                return Err(AuthError::SecondFactor);
            };
            if !self.factors.accept(tenant, &person.key, code, now).await? {
                self.refuse(tenant, person.key, nobody(), ip, Why::SecondFactor);
                return Err(AuthError::Wrong);
            }
        }
        begun.succeeded().await?;
        let signed_in = self.begin_session(tenant, person, ip).await?;
        self.tell(&signed_in.session, Some(ip), What::SignedIn { second_factor }).await;
        Ok(signed_in)
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
        let now = self.clock.now();
        // Before anything is asked: what changes meanwhile must not pass for known.
        let edition = self.tokens.edition();
        let print = self.tokens.print(text)?;
        if let Some(found) = edition.and_then(|e| self.remembered.get(e, &print, now)) {
            return Ok(found);
        }
        let kept = self.tokens.find(text, now).await?;
        let until = kept.good_until();
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
        let found = Found { session, person: owner, expires: kept.expires, id: kept.id };
        if let Some(edition) = edition {
            self.remembered.keep(edition, print, &found, until);
        }
        Ok(found)
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
        if let Some(kept) = self.sessions.end(secret).await? {
            let actor = Actor::new(ActorKind::Person, kept.person.as_str());
            let (tenant, person) = (kept.tenant, Some(kept.person));
            self.witness.saw(Event { tenant, person, actor, address: None, what: What::SignedOut }).await;
        }
        Ok(())
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

    /// Tells what whoever is signed in did to their own credentials, or somebody on the host to those of nobody.
    async fn tell(&self, session: &Session, address: Option<IpAddr>, what: What) {
        self.witness.saw(event(session, address, what)).await;
    }

    fn refuse(&self, tenant: TenantId, person: String, by: Actor, ip: IpAddr, why: Why) {
        self.refusals.count(tenant, person, (by, ip), why, self.clock.now());
    }

    /// Attempts on one account wait for each other here, so that none is checked before the one before it is counted.
    async fn lane(&self, name: &str) -> MutexGuard<'_, ()> {
        let print = random::fingerprint(&name.to_lowercase());
        let lane = usize::from_str_radix(&print[..4], 16).unwrap_or(0) % LANES;
        self.lanes[lane].lock().await
    }
}

/// What a session's actor did; to their own credentials, when it is a person.
fn event(session: &Session, address: Option<IpAddr>, what: What) -> Event {
    let actor = session.actor().clone();
    let person = (actor.kind == ActorKind::Person).then(|| actor.key.clone());
    Event { tenant: session.tenant(), person, actor, address, what }
}

/// Who guesses.
fn nobody() -> Actor {
    Session::anonymous().actor().clone()
}

fn session_of(tenant: TenantId, person: &PersonFacts) -> Session {
    Session::authenticated(Actor::new(ActorKind::Person, person.key.as_str()), tenant, person.roles.clone())
}

#[cfg(test)]
mod tests;
