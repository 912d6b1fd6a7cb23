//! What people do with their own credentials, and admins with those of others: password, second factor, sessions, tokens, and the
//! first admin. Each of it is told to the witness once it is done.

use kernel::TenantId;
use kernel::secret::Secret;
use kernel::session::{ActorKind, Session};
use std::net::IpAddr;
use zeroize::Zeroizing;

use super::{ADMIN, Access, SignedIn, event};
use crate::directory::PersonFacts;
use crate::error::AuthError;
use crate::password::check;
use crate::session;
use crate::throttle::Attempt;
use crate::token::{self, NewToken, TokenKind};
use crate::totp::Enrolment;
use crate::witness::{Event, TokenFacts, What, Why};

impl Access {
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
        self.tell(session, Some(ip), What::PasswordChanged).await;
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
        self.tell(session, Some(ip), What::SecondFactorSetUp).await;
        Ok((self.begin_session(tenant, person, ip).await?, codes))
    }

    /// Removes one's own second factor: all sessions end, a new one begins.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong password, braked like a sign-in.
    pub async fn remove_totp(&self, session: &Session, password: &Secret, ip: IpAddr) -> Result<SignedIn, AuthError> {
        let person = self.proved(session, password, ip).await?;
        self.lost_second_factor(session.tenant(), &person.key).await?;
        self.tell(session, Some(ip), What::SecondFactorRemoved).await;
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
    pub async fn revoke_all(&self, session: &Session, person: &str) -> Result<(), AuthError> {
        let tenant = session.tenant();
        self.sessions.end_all(tenant, person).await?;
        self.tokens.revoke_all(tenant, person).await?;
        self.witness.saw(Event { person: Some(person.to_owned()), ..event(session, None, What::AllRevoked) }).await;
        Ok(())
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
        let ended = self.sessions.revoke(session.tenant(), &person.key, id).await?;
        if ended {
            self.tell(session, None, What::SignedOut).await;
        }
        Ok(ended)
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
        let wanted = NewToken { owner, subject, ..wanted };
        let (text, kept) = self.tokens.create(session.tenant(), wanted, self.clock.now()).await?;
        self.tell(session, None, What::TokenCreated(TokenFacts::from(&kept))).await;
        Ok((text, kept))
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
        let ended = self.tokens.revoke(session.tenant(), owner_limit(session), id).await?;
        if let Some(kept) = &ended {
            let what = What::TokenRevoked(TokenFacts::from(kept));
            let event = Event { person: kept.owner.clone(), ..event(session, None, what) };
            self.witness.saw(event).await;
        }
        Ok(ended.is_some())
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
    pub async fn reset_bootstrap(&self, session: &Session) -> Result<Zeroizing<String>, AuthError> {
        let token = self.bootstrap.open(self.clock.now()).await?;
        self.tell(session, None, What::BootstrapOpened).await;
        Ok(token)
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
                let signed_in = self.begin_session(TenantId::HOME, person, ip).await?;
                self.tell(&signed_in.session, Some(ip), What::BootstrapUsed).await;
                Ok(signed_in)
            }
            Err(why) => {
                self.bootstrap.give_back(claim).await?;
                Err(why)
            }
        }
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
            self.refuse(tenant, person.key, session.actor().clone(), ip, Why::Password);
            return Err(AuthError::Wrong);
        }
        begun.succeeded().await?;
        Ok(person)
    }
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
