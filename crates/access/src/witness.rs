//! What happens to people's credentials, told so that it can be journaled: who signed in, who was refused, what was changed.
//!
//! Nothing here can hold a password, a code, a secret or a token, and the name that a refused guess came with is told only when it
//! is a person's: it may be a password typed into the wrong field. Of an attacker's guesses the first is told and every doubling
//! after it, so that guessing fills no journal.

use async_trait::async_trait;
use kernel::session::Actor;
use kernel::{TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

use crate::error::AuthError;
use crate::private::{Area, Private, person_key};
use crate::token::{self, TokenKind};

/// Refusals are counted so long, from the first on; then the next one is a first one again.
const RUN: Duration = Duration::from_secs(24 * 3600);

/// Something that happened to somebody's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// In which tenant.
    pub tenant: TenantId,
    /// Key of the person whose credentials they are; `None` for what belongs to nobody, such as a token made on the host itself.
    pub person: Option<String>,
    /// Who did it.
    pub actor: Actor,
    /// From which address, where there is one.
    pub address: Option<IpAddr>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody signed in.
    SignedIn {
        /// Also by second factor.
        second_factor: bool,
    },
    /// A sign-in, or a password asked for once more, was refused.
    Refused {
        /// Why.
        why: Why,
        /// How many were within a day, this one included.
        failures: u32,
    },
    /// Somebody signed out, or ended a session of theirs from elsewhere.
    SignedOut,
    /// The password was changed; all older sessions ended.
    PasswordChanged,
    /// A second factor was set up.
    SecondFactorSetUp,
    /// The second factor was removed.
    SecondFactorRemoved,
    /// A token was made.
    TokenCreated(TokenFacts),
    /// A token was ended.
    TokenRevoked(TokenFacts),
    /// Everything of a person was ended: sessions and tokens.
    AllRevoked,
    /// A first sign-in was opened by `admin reset`.
    BootstrapOpened,
    /// A first sign-in was used: this person is an administrator with a new password and no second factor.
    BootstrapUsed,
}

/// Why a sign-in was refused; told to the journal, never to the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The password was wrong.
    Password,
    /// The password was right and the code was wrong: somebody may know the password.
    SecondFactor,
    /// The person is disabled.
    Disabled,
}

impl Why {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "wrong password",
            Self::SecondFactor => "right password, wrong code of the second factor",
            Self::Disabled => "the person is disabled",
        }
    }
}

/// What may be told of a token: nothing that opens anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// The part that is not secret.
    pub id: String,
    /// What it is for, in its owner's words.
    pub title: String,
    /// Kind.
    pub kind: TokenKind,
    /// Roles it is limited to.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires: Time,
}

impl From<&token::Kept> for TokenFacts {
    fn from(kept: &token::Kept) -> Self {
        Self {
            id: kept.id.clone(),
            title: kept.title.clone(),
            kind: kept.kind,
            roles: kept.roles.clone(),
            expires: kept.expires,
        }
    }
}

/// Whoever is told.
#[async_trait]
pub trait Witness: Send + Sync + 'static {
    /// Takes note of it. What cannot be noted is for the witness to say in the log: it keeps nobody out.
    async fn saw(&self, event: Event);
}

/// Refusals of a person so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When the first was.
    pub since: Time,
    /// How many.
    pub failures: u32,
}

/// One refusal more, and whether it is told: the first, and then each that doubles their number.
pub fn refused(run: Option<Run>, now: Time) -> (Run, bool) {
    let run = run.filter(|r| now.since(r.since) < RUN).unwrap_or(Run { since: now, failures: 0 });
    let failures = run.failures.saturating_add(1);
    (Run { failures, ..run }, failures.is_power_of_two())
}

/// Counts refusals and tells the witness of some of them.
pub(crate) struct Refusals {
    area: Area,
    witness: Arc<dyn Witness>,
    one_at_a_time: Mutex<()>,
}

impl Refusals {
    pub(crate) fn new(private: &Arc<dyn Private>, witness: Arc<dyn Witness>) -> Self {
        Self { area: Area::new(private, "refusal"), witness, one_at_a_time: Mutex::new(()) }
    }

    /// Counts one refusal, beside the answer and not before it: how long the answer takes must not tell whether the name is a
    /// person's.
    pub(crate) fn count(self: &Arc<Self>, tenant: TenantId, person: String, by: (Actor, IpAddr), why: Why, now: Time) {
        let refusals = self.clone();
        tokio::spawn(async move {
            let counted = refusals.one_more(tenant, &person, now).await;
            let failures = counted.unwrap_or_else(|error| {
                tracing::error!(%error, person, "a refused sign-in could not be counted");
                Some(1)
            });
            if let Some(failures) = failures {
                let (actor, address) = (by.0, Some(by.1));
                let what = What::Refused { why, failures };
                refusals.witness.saw(Event { tenant, person: Some(person), actor, address, what }).await;
            }
        });
    }

    /// How many there are, when this one is to be told.
    async fn one_more(&self, tenant: TenantId, person: &str, now: Time) -> Result<Option<u32>, AuthError> {
        let _alone = self.one_at_a_time.lock().await;
        let key = person_key(tenant, person);
        let (run, told) = refused(self.area.get(&key).await?, now);
        self.area.put(&key, &run).await?;
        Ok(told.then_some(run.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_million_guesses_twenty_are_told_and_the_next_day_begins_anew() {
        let at = |seconds: u64| Time::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(seconds));
        let (mut run, mut told) = (None, Vec::new());
        for guess in 0..1_000_000u64 {
            let (next, tell) = refused(run, at(guess / 100));
            run = Some(next);
            told.extend(tell.then_some(next.failures));
        }
        assert_eq!((told.len(), &told[..4]), (20, &[1, 2, 4, 8][..]));
        let (next, tell) = refused(run, at(24 * 3600));
        assert_eq!((next.failures, tell), (1, true), "a day after the first");
        assert!(!refused(run, at(24 * 3600 - 1)).1, "and not before");
    }
}
