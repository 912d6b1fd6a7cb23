//! Tokens of programs: `mst_<id>_<secret>`, of which only an HMAC under a pepper from the key folder is kept.
//!
//! A token never has more than its owner has at the moment of use: its roles are cut with theirs, and it is dead while they are
//! disabled. Ingest keys may hand in signals and nothing else; an agent's token is the agent. Tokens end after a year at most.

use hmac::{Hmac, KeyInit, Mac};
use kernel::{TenantId, Time};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::directory::PersonFacts;
use crate::error::AuthError;
use crate::keys::Key;
use crate::private::{Area, Private};
use crate::random;

/// Longest life of a token.
pub const MAX_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// Last use is kept to so much: writing it at each request would cost a commit each.
const USE_KEPT_EVERY: Duration = Duration::from_secs(10 * 60);

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A program that acts for its owner.
    Api,
    /// Hands in signals, write-only.
    Ingest,
    /// An agent.
    Agent,
}

/// What is wanted of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is for, in the owner's words.
    pub title: String,
    /// Kind.
    pub kind: TokenKind,
    /// Whose it is. `None` only when made on the host itself, and for agents.
    pub owner: Option<String>,
    /// What it acts as: the key of the agent for an agent's token; else the token's own id.
    pub subject: Option<String>,
    /// Roles it may use, for API tokens.
    pub roles: Vec<String>,
    /// When it ends; a year from now when not given.
    pub expires: Option<Time>,
}

/// A token as kept and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The part of the token that is not secret.
    pub id: String,
    /// Tenant.
    pub tenant: TenantId,
    /// What it is for, in the owner's words.
    pub title: String,
    /// Kind.
    pub kind: TokenKind,
    /// Whose it is.
    pub owner: Option<String>,
    /// Key it acts under in the journal.
    pub subject: String,
    /// Roles it may use.
    pub roles: Vec<String>,
    /// When it was made.
    pub created: Time,
    /// When it ends.
    pub expires: Time,
    /// When it was last used, to ten minutes.
    pub used: Option<Time>,
    mac: String,
}

/// Keeps and checks tokens.
pub struct Tokens {
    area: Area,
    pepper: Key,
}

impl Tokens {
    /// With the key `pepper` of the key folder.
    pub fn new(private: &Arc<dyn Private>, pepper: Key) -> Self {
        Self { area: Area::new(private, "token"), pepper }
    }

    /// Makes a token; its text is given once.
    ///
    /// # Errors
    /// [`AuthError::Invalid`]: an end in the past or more than a year away, an API token without roles, no title.
    pub async fn create(
        &self,
        tenant: TenantId,
        new: NewToken,
        now: Time,
    ) -> Result<(Zeroizing<String>, Kept), AuthError> {
        let invalid = |why: &str| Err(AuthError::Invalid(why.to_owned()));
        let latest = now.plus(MAX_LIFE);
        let expires = new.expires.unwrap_or(latest);
        if expires <= now || expires > latest {
            return invalid("expires: a token ends in the future and within a year");
        }
        if new.title.trim().is_empty() || new.title.len() > 200 {
            return invalid("title: say in 1 to 200 bytes what the token is for");
        }
        if (new.kind == TokenKind::Api) == new.roles.is_empty() {
            return invalid("roles: an API token names the roles it may use; ingest and agent tokens have none");
        }
        let id = hex::encode(*random::bytes::<8>());
        let secret = random::secret();
        let mac = hex::encode(self.mac(&id, &secret).finalize().into_bytes());
        let subject = new.subject.unwrap_or_else(|| id.clone());
        let kept = Kept {
            id,
            tenant,
            title: new.title,
            kind: new.kind,
            owner: new.owner,
            subject,
            roles: new.roles,
            created: now,
            expires,
            used: None,
            mac,
        };
        self.area.put(&kept.id, &kept).await?;
        Ok((Zeroizing::new(format!("mst_{}_{}", kept.id, *secret)), kept))
    }

    /// Another number after each write that could make a token count for something else; none where that is not known.
    pub(crate) fn edition(&self) -> Option<u64> {
        self.area.edition()
    }

    /// What a token's text is known by, without the text.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`]: not a token's text.
    pub(crate) fn print(&self, text: &str) -> Result<[u8; 32], AuthError> {
        let (id, secret) = parts(text).ok_or(AuthError::NotSignedIn)?;
        Ok(self.mac(id, secret).finalize().into_bytes().into())
    }

    /// The token of that text, if it counts; its use is written down now and then.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`] for every reason alike; the store's.
    pub async fn find(&self, text: &str, now: Time) -> Result<Kept, AuthError> {
        let (id, secret) = parts(text).ok_or(AuthError::NotSignedIn)?;
        let mut kept: Kept = self.area.get(id).await?.ok_or(AuthError::NotSignedIn)?;
        let mac = hex::decode(&kept.mac).map_err(|_| AuthError::Damaged(format!("token {id} is not readable")))?;
        // Compared in constant time.
        self.mac(id, secret).verify_slice(&mac).map_err(|_| AuthError::NotSignedIn)?;
        if now >= kept.expires {
            return Err(AuthError::NotSignedIn);
        }
        if now >= kept.use_is_due() {
            kept.used = Some(now);
            self.area.put(&kept.id, &kept).await?;
        }
        Ok(kept)
    }

    /// Tokens of a tenant, of one owner or all, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, tenant: TenantId, owner: Option<&str>) -> Result<Vec<Kept>, AuthError> {
        let all = self.area.all::<Kept>().await?.into_iter().map(|(_, kept)| kept);
        let mut found: Vec<Kept> =
            all.filter(|k| k.tenant == tenant && owner.is_none_or(|o| k.owner.as_deref() == Some(o))).collect();
        found.sort_by_key(|k| std::cmp::Reverse(k.created));
        Ok(found)
    }

    /// Ends a token for ever and gives back what it was; `None` when the tenant (or the owner, if given) has no such token.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke(&self, tenant: TenantId, owner: Option<&str>, id: &str) -> Result<Option<Kept>, AuthError> {
        let kept: Option<Kept> = self.area.get(id).await?;
        let mine = kept.filter(|k| k.tenant == tenant && owner.is_none_or(|o| k.owner.as_deref() == Some(o)));
        if mine.is_some() {
            self.area.remove(id).await?;
        }
        Ok(mine)
    }

    /// Ends all tokens of a person.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_all(&self, tenant: TenantId, owner: &str) -> Result<usize, AuthError> {
        let mine = self.list(tenant, Some(owner)).await?;
        for token in &mine {
            self.area.remove(&token.id).await?;
        }
        Ok(mine.len())
    }

    fn mac(&self, id: &str, secret: &str) -> Hmac<Sha256> {
        // The id is part of what is authenticated, so that a stored row cannot be renamed.
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.pepper).expect("HMAC takes keys of any length");
        mac.chain_update(id.as_bytes()).chain_update(b"_").chain_update(secret.as_bytes())
    }
}

impl Kept {
    /// Until when what was found about it holds, if nothing is written.
    pub(crate) fn good_until(&self) -> Time {
        self.expires.min(self.use_is_due())
    }

    /// When a use of it is to be written down.
    fn use_is_due(&self) -> Time {
        self.used.map_or(self.created, |used| used.plus(USE_KEPT_EVERY))
    }

    /// The roles that count at the moment of use: those of the token that the owner has too. An admin has all.
    pub fn roles_of(&self, owner: Option<&PersonFacts>) -> Vec<String> {
        let admin = owner.is_none_or(|o| o.roles.iter().any(|r| r == "admin"));
        self.roles.iter().filter(|r| admin || owner.is_some_and(|o| o.roles.contains(r))).cloned().collect()
    }
}

/// Splits `mst_<id>_<secret>`; the secret may contain `_`.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix("mst_")?.split_once('_')?;
    (id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()) && secret.len() == 43).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    const HOME: TenantId = TenantId::HOME;

    fn days(days: u64) -> Time {
        Time::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(days * 86_400))
    }

    fn wanted(kind: TokenKind, roles: &[&str]) -> NewToken {
        NewToken {
            title: "for CI".into(),
            kind,
            owner: Some("ana".into()),
            subject: None,
            roles: roles.iter().map(ToString::to_string).collect(),
            expires: None,
        }
    }

    fn tokens(memory: &Arc<dyn Private>) -> Tokens {
        Tokens::new(memory, Key::new([5; 32]))
    }

    #[tokio::test]
    async fn a_token_works_until_it_ends_or_is_revoked() {
        let memory = Memory::private();
        let tokens = tokens(&memory);
        let (text, kept) = tokens.create(HOME, wanted(TokenKind::Api, &["system"]), days(0)).await.expect("made");
        assert_eq!(tokens.find(&text, days(1)).await.expect("found").used, Some(days(1)));
        assert!(tokens.find(&text, days(364)).await.is_ok() && tokens.find(&text, days(365)).await.is_err());
        let stored = format!("{:?}", memory.all("token").await.expect("read"));
        assert!(!stored.contains(parts(&text).expect("well formed").1), "the secret is not kept");
        assert!(
            Tokens::new(&memory, Key::new([6; 32])).find(&text, days(1)).await.is_err(),
            "a stolen database without the pepper is no help"
        );
        assert!(tokens.revoke(HOME, Some("ben"), &kept.id).await.expect("asked").is_none(), "not somebody else's");
        assert!(tokens.revoke(TenantId(2), None, &kept.id).await.expect("asked").is_none(), "nor another tenant's");
        assert!(tokens.revoke(HOME, Some("ana"), &kept.id).await.expect("asked").is_some());
        assert!(tokens.find(&text, days(1)).await.is_err());
    }

    #[tokio::test]
    async fn no_mutation_of_a_token_is_accepted() {
        let memory = Memory::private();
        let tokens = tokens(&memory);
        let (text, _) = tokens.create(HOME, wanted(TokenKind::Api, &["system"]), days(0)).await.expect("made");
        let (other, _) = tokens.create(HOME, wanted(TokenKind::Api, &["admin"]), days(0)).await.expect("made");
        let mut wrong: Vec<String> = (0..text.len())
            .map(|i| {
                text.char_indices().map(|(at, c)| if at == i { if c == '0' { '1' } else { '0' } } else { c }).collect()
            })
            .collect();
        let ((id, secret), (other_id, other_secret)) =
            (parts(&text).expect("well formed"), parts(&other).expect("well formed"));
        wrong.extend([
            format!("mst_{id}_{other_secret}"),
            format!("mst_{other_id}_{secret}"),
            format!("{}x", &*text),
            String::new(),
            "mst__".into(),
            format!("MST_{id}_{secret}"),
        ]);
        assert!(wrong.len() > 40);
        for wrong in wrong {
            assert!(tokens.find(&wrong, days(1)).await.is_err(), "{wrong}");
        }
        // A row renamed in the database does not become the other token.
        let row = memory.get("token", id).await.expect("read").expect("there");
        memory.put("token", other_id, Some(&row)).await.expect("written");
        assert!(tokens.find(&format!("mst_{other_id}_{secret}"), days(1)).await.is_err());
    }

    #[tokio::test]
    async fn tokens_that_should_not_be_are_not_made() {
        let memory = Memory::private();
        let tokens = tokens(&memory);
        let past = NewToken { expires: Some(days(0)), ..wanted(TokenKind::Api, &["system"]) };
        let long = NewToken { expires: Some(days(366)), ..wanted(TokenKind::Api, &["system"]) };
        let nameless = NewToken { title: " ".into(), ..wanted(TokenKind::Api, &["system"]) };
        for (new, why) in [
            (past, "ends now"),
            (long, "more than a year"),
            (nameless, "no title"),
            (wanted(TokenKind::Api, &[]), "no roles"),
            (wanted(TokenKind::Ingest, &["admin"]), "an ingest key with a role"),
        ] {
            assert!(matches!(tokens.create(HOME, new, days(0)).await, Err(AuthError::Invalid(_))), "{why}");
        }
        assert!(tokens.list(HOME, None).await.expect("listed").is_empty());
    }

    #[tokio::test]
    async fn a_token_never_has_more_than_its_owner_has_now() {
        let memory = Memory::private();
        let (_, kept) =
            tokens(&memory).create(HOME, wanted(TokenKind::Api, &["system", "database"]), days(0)).await.expect("made");
        let owner = |roles: &[&str]| PersonFacts {
            key: "ana".into(),
            title: "Ana".into(),
            roles: roles.iter().map(ToString::to_string).collect(),
            disabled: false,
        };
        assert_eq!(kept.roles_of(Some(&owner(&["database", "security"]))), ["database"]);
        assert_eq!(kept.roles_of(Some(&owner(&["read-only"]))), Vec::<String>::new());
        assert_eq!(
            kept.roles_of(Some(&owner(&["admin"]))),
            ["system", "database"],
            "an admin has all roles, the token only its own"
        );
        assert_eq!(tokens(&memory).revoke_all(HOME, "ana").await.expect("revoked"), 1);
    }
}
