//! Sessions of people: an opaque secret of 256 bits in a cookie, of which only the fingerprint is kept.
//!
//! A session ends after a time without use, after an absolute time, when it is revoked, and when the person's credentials or
//! roles change: it remembers the credential epoch and the roles it was made with, and is refused once either differs. There is
//! nothing to verify offline, and nothing in a cookie to forge.

use kernel::{TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::directory::PersonFacts;
use crate::error::AuthError;
use crate::private::{Area, Private, person_key};
use crate::random;

/// Use is written down at most so often: a page makes many requests.
const USE_KEPT_EVERY: Duration = Duration::from_secs(60);

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Without use.
    pub idle: Duration,
    /// At all.
    pub absolute: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(12 * 3600) }
    }
}

/// A session as kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Name of the session in lists; tells nothing about its secret.
    pub id: String,
    /// Tenant.
    pub tenant: TenantId,
    /// Key of the person.
    pub person: String,
    /// Roles it was made with.
    pub roles: Vec<String>,
    /// When it was made.
    pub created: Time,
    /// When it was last used, to the minute.
    pub used: Time,
    /// From where it was made.
    pub ip: IpAddr,
    epoch: u64,
}

/// Keeps and checks sessions.
pub struct Sessions {
    area: Area,
    epochs: Area,
    lifetimes: Lifetimes,
}

impl Sessions {
    /// In the store.
    pub fn new(private: &Arc<dyn Private>, lifetimes: Lifetimes) -> Self {
        Self { area: Area::new(private, "session"), epochs: Area::new(private, "epoch"), lifetimes }
    }

    /// A new session of a person who has just proved who they are; the secret is given once.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(
        &self,
        tenant: TenantId,
        person: &PersonFacts,
        ip: IpAddr,
        now: Time,
    ) -> Result<(Zeroizing<String>, Kept), AuthError> {
        let secret = random::secret();
        let epoch = self.epoch(tenant, &person.key).await?;
        let id = hex::encode(*random::bytes::<8>());
        let kept = Kept {
            id,
            tenant,
            person: person.key.clone(),
            roles: person.roles.clone(),
            created: now,
            used: now,
            ip,
            epoch,
        };
        self.area.put(&random::fingerprint(&secret), &kept).await?;
        Ok((secret, kept))
    }

    /// The session of a secret, if it still counts; its use is written down.
    ///
    /// Whether the person still has these roles is the caller's to ask, see [`Kept::fits`].
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`]; the store's.
    pub async fn find(&self, secret: &str, now: Time) -> Result<Kept, AuthError> {
        if secret.len() != 43 {
            return Err(AuthError::NotSignedIn);
        }
        let key = random::fingerprint(secret);
        let mut kept: Kept = self.area.get(&key).await?.ok_or(AuthError::NotSignedIn)?;
        if !self.counts(&kept, now) || kept.epoch != self.epoch(kept.tenant, &kept.person).await? {
            self.area.remove(&key).await?;
            return Err(AuthError::NotSignedIn);
        }
        if now.since(kept.used) >= USE_KEPT_EVERY {
            kept.used = now;
            self.area.put(&key, &kept).await?;
            // Between the look and the write it may have been ended; then the write must not bring it back to life.
            if kept.epoch != self.epoch(kept.tenant, &kept.person).await? {
                self.area.remove(&key).await?;
                return Err(AuthError::NotSignedIn);
            }
        }
        Ok(kept)
    }

    /// When a session ends at the latest if it is not used again.
    pub fn expires(&self, kept: &Kept) -> Time {
        kept.used.plus(self.lifetimes.idle).min(kept.created.plus(self.lifetimes.absolute))
    }

    /// Ends the session of a secret and gives back what it was; gone already is fine.
    ///
    /// # Errors
    /// The store's.
    pub async fn end(&self, secret: &str) -> Result<Option<Kept>, AuthError> {
        let key = random::fingerprint(secret);
        let kept = self.area.get(&key).await?;
        self.area.remove(&key).await?;
        Ok(kept)
    }

    /// Sessions of a person that count, newest use first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, tenant: TenantId, person: &str, now: Time) -> Result<Vec<Kept>, AuthError> {
        let epoch = self.epoch(tenant, person).await?;
        let all = self.area.all::<Kept>().await?.into_iter().map(|(_, kept)| kept);
        let mut mine: Vec<Kept> = all
            .filter(|k| k.tenant == tenant && k.person == person && k.epoch == epoch && self.counts(k, now))
            .collect();
        mine.sort_by_key(|k| std::cmp::Reverse(k.used));
        Ok(mine)
    }

    /// Ends one of a person's sessions by its id; `false` when there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke(&self, tenant: TenantId, person: &str, id: &str) -> Result<bool, AuthError> {
        let all = self.area.all::<Kept>().await?;
        let Some((key, _)) = all.into_iter().find(|(_, k)| k.tenant == tenant && k.person == person && k.id == id)
        else {
            return Ok(false);
        };
        self.area.remove(&key).await.map(|()| true)
    }

    /// Ends all sessions of a person, at once: they are of an older epoch now.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_all(&self, tenant: TenantId, person: &str) -> Result<(), AuthError> {
        let epoch = self.epoch(tenant, person).await?;
        self.epochs.put(&person_key(tenant, person), &(epoch + 1)).await
    }

    /// Forgets sessions that have ended; to be called now and then.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now: Time) -> Result<usize, AuthError> {
        let over: Vec<_> = self.area.all::<Kept>().await?.into_iter().filter(|(_, k)| !self.counts(k, now)).collect();
        for (key, _) in &over {
            self.area.remove(key).await?;
        }
        Ok(over.len())
    }

    fn counts(&self, kept: &Kept, now: Time) -> bool {
        now < kept.used.plus(self.lifetimes.idle) && now < kept.created.plus(self.lifetimes.absolute)
    }

    async fn epoch(&self, tenant: TenantId, person: &str) -> Result<u64, AuthError> {
        Ok(self.epochs.get(&person_key(tenant, person)).await?.unwrap_or(0))
    }
}

impl Kept {
    /// Whether the person is still who signed in: not disabled, and with the same roles.
    pub fn fits(&self, person: &PersonFacts) -> bool {
        let sorted = |roles: &[String]| {
            let mut roles = roles.to_vec();
            roles.sort_unstable();
            roles
        };
        !person.disabled && sorted(&person.roles) == sorted(&self.roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    const HOME: TenantId = TenantId::HOME;

    fn minutes(minutes: u64) -> Time {
        Time::from_micros(1_000_000_000_000_000).plus(Duration::from_secs(minutes * 60))
    }

    fn ana() -> PersonFacts {
        PersonFacts {
            key: "ana".into(),
            title: "Ana".into(),
            roles: vec!["system".into(), "database".into()],
            disabled: false,
        }
    }

    async fn begun(sessions: &Sessions, at: Time) -> (Zeroizing<String>, Kept) {
        sessions.begin(HOME, &ana(), "192.0.2.1".parse().expect("an address"), at).await.expect("begins")
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_or_old() {
        for (used_at, asked_at, lives, why) in [
            (&[][..], 29, true, "used within half an hour"),
            (&[], 30, false, "idle for half an hour"),
            (&[20, 40], 69, true, "use lengthens it"),
            (&[20, 40], 70, false, "but only so far"),
            (
                &[
                    25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 325, 350, 375, 400, 425, 450, 475, 500,
                    525, 550, 575, 600, 625, 650, 675, 700,
                ],
                719,
                true,
                "half a day of work",
            ),
            (
                &[
                    25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 325, 350, 375, 400, 425, 450, 475, 500,
                    525, 550, 575, 600, 625, 650, 675, 700,
                ],
                720,
                false,
                "and no longer",
            ),
        ] {
            let sessions = Sessions::new(&Memory::private(), Lifetimes::default());
            let (secret, _) = begun(&sessions, minutes(0)).await;
            for at in used_at {
                sessions.find(&secret, minutes(*at)).await.expect("lives");
            }
            assert_eq!(sessions.find(&secret, minutes(asked_at)).await.is_ok(), lives, "{why}");
        }
    }

    #[tokio::test]
    async fn only_the_very_secret_is_accepted_and_only_its_fingerprint_is_kept() {
        let memory = Memory::private();
        let sessions = Sessions::new(&memory, Lifetimes::default());
        let (secret, kept) = begun(&sessions, minutes(0)).await;
        assert_eq!(sessions.find(&secret, minutes(1)).await.expect("found").id, kept.id);
        let mut mutated: Vec<String> = (0..secret.len())
            .map(|i| {
                secret
                    .char_indices()
                    .map(|(at, c)| if at == i { if c == 'A' { 'B' } else { 'A' } } else { c })
                    .collect()
            })
            .collect();
        mutated.extend(["", " ", "null", "ana", &kept.id, &secret[..42]].map(str::to_owned));
        mutated.extend([
            format!("{}=", &*secret),
            format!(" {}", &*secret),
            random::fingerprint(&secret),
            secret.to_uppercase(),
            secret.repeat(1000),
        ]);
        assert!(mutated.len() > 40);
        for wrong in mutated {
            assert!(sessions.find(&wrong, minutes(1)).await.is_err(), "{wrong}");
        }
        let stored = format!("{:?}", memory.all("session").await.expect("read"));
        assert!(!stored.contains(&*secret) && stored.contains(&random::fingerprint(&secret)));
    }

    #[tokio::test]
    async fn a_person_sees_and_ends_their_sessions_one_or_all() {
        let sessions = Sessions::new(&Memory::private(), Lifetimes::default());
        let (first, kept) = begun(&sessions, minutes(0)).await;
        let (second, _) = begun(&sessions, minutes(1)).await;
        let (third, _) = begun(&sessions, minutes(2)).await;
        assert_eq!(sessions.list(HOME, "ana", minutes(3)).await.expect("listed").len(), 3);
        assert!(!sessions.revoke(HOME, "ben", &kept.id).await.expect("asked"), "not somebody else's");
        assert!(!sessions.revoke(TenantId(2), "ana", &kept.id).await.expect("asked"), "nor another tenant's");
        assert!(sessions.revoke(HOME, "ana", &kept.id).await.expect("asked"));
        assert!(sessions.find(&first, minutes(3)).await.is_err() && sessions.find(&second, minutes(3)).await.is_ok());
        sessions.end(&second).await.expect("ended");
        assert!(sessions.find(&second, minutes(3)).await.is_err());
        sessions.end_all(HOME, "ana").await.expect("ended");
        assert!(sessions.find(&third, minutes(3)).await.is_err());
        assert!(sessions.list(HOME, "ana", minutes(3)).await.expect("listed").is_empty());
        let (fourth, _) = begun(&sessions, minutes(3)).await;
        assert!(sessions.find(&fourth, minutes(4)).await.is_ok(), "a new one counts");
        assert_eq!(sessions.sweep(minutes(60)).await.expect("swept"), 1);
    }

    #[test]
    fn changed_roles_no_longer_fit() {
        let kept = Kept {
            id: String::new(),
            tenant: HOME,
            person: "ana".into(),
            roles: ana().roles,
            created: minutes(0),
            used: minutes(0),
            ip: [127, 0, 0, 1].into(),
            epoch: 0,
        };
        assert!(
            kept.fits(&PersonFacts { roles: vec!["database".into(), "system".into()], ..ana() }),
            "order does not count"
        );
        assert!(!kept.fits(&PersonFacts { roles: vec!["system".into()], ..ana() }));
        assert!(!kept.fits(&PersonFacts { disabled: true, ..ana() }));
    }
}
