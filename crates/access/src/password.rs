//! Passwords: what is good enough, and argon2id for those that are.
//!
//! At most two are hashed at once, so that a flood of sign-ins cannot take the processor or the memory from paging. For a name
//! without a password the same work is done on a made-up hash: neither the answer nor its time tells whether an account exists.
//! Nothing here counts failures (that is [`crate::throttle`]) and no password is ever kept, logged or returned.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kernel::TenantId;
use kernel::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

use crate::error::AuthError;
use crate::private::{Area, Private, person_key};
use crate::random;

/// Fewest characters of a password.
pub const MIN_CHARS: usize = 12;
/// Most characters of a password; more would only cost time.
pub const MAX_CHARS: usize = 128;
/// Hashed at once.
const AT_ONCE: usize = 2;

/// What a guess costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// 64 MiB, three passes, one lane: the only cost outside this crate's own tests.
    pub const FULL: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// Cheap enough to hash thousands in a test.
    #[cfg(test)]
    pub(crate) const SMALL: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };

    fn hasher(self) -> Argon2<'static> {
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, None).expect("the constants above are in range");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    hash: String,
}

/// Keeps and checks passwords.
pub struct Passwords {
    area: Area,
    cost: Cost,
    at_once: Arc<Semaphore>,
    /// Of a password that nobody knows; checked where there is no other.
    nobody: String,
}

impl Passwords {
    /// At that cost.
    pub fn new(private: &Arc<dyn Private>, cost: Cost) -> Self {
        let (area, at_once) = (Area::new(private, "password"), Arc::new(Semaphore::new(AT_ONCE)));
        Self { area, cost, at_once, nobody: made_up(cost) }
    }

    /// Keeps a person's new password.
    ///
    /// # Errors
    /// [`AuthError::WeakPassword`], saying why; the store's.
    pub async fn set(&self, tenant: TenantId, person: &str, title: &str, password: &Secret) -> Result<(), AuthError> {
        check(password.expose(), &[person, title]).map_err(AuthError::WeakPassword)?;
        let (cost, password) = (self.cost, password.clone());
        let hash = self.work(move || hash(cost, password.expose())).await;
        self.area.put(&person_key(tenant, person), &Kept { hash }).await
    }

    /// Whether it is the person's password. A person without one has none that is right, and it takes as long to say so.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_right(&self, tenant: TenantId, person: Option<&str>, password: &Secret) -> Result<bool, AuthError> {
        let kept = match person {
            Some(person) => self.area.get::<Kept>(&person_key(tenant, person)).await?,
            None => None,
        };
        let (known, hash) = kept.map_or((false, self.nobody.clone()), |kept| (true, kept.hash));
        // Longer ones were never accepted; cut, so that a megabyte of password costs no more than the longest allowed.
        let end = password.expose().char_indices().nth(MAX_CHARS + 1).map_or(password.expose().len(), |(at, _)| at);
        let password = Secret::new(&password.expose()[..end]);
        Ok(self.work(move || verify(&hash, password.expose())).await && known)
    }

    /// Whether anybody at all has a password: if not, the door is still to be opened for the first time.
    ///
    /// # Errors
    /// The store's.
    pub async fn any(&self) -> Result<bool, AuthError> {
        Ok(!self.area.is_empty().await?)
    }

    /// Takes a person's password away.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self, tenant: TenantId, person: &str) -> Result<(), AuthError> {
        self.area.remove(&person_key(tenant, person)).await
    }

    async fn work<T: Send + 'static>(&self, hashing: impl FnOnce() -> T + Send + 'static) -> T {
        let _turn = self.at_once.acquire().await.expect("the semaphore is never closed");
        tokio::task::spawn_blocking(hashing).await.expect("hashing does not panic")
    }
}

fn hash(cost: Cost, password: &str) -> String {
    cost.hasher()
        .hash_password(password.as_bytes())
        .expect("a password of at most 128 characters can be hashed")
        .to_string()
}

/// A hash that no password is known for. It is checked as a real one is, and takes no hashing to make: that costs a start a tenth
/// of a second and 64 MiB.
fn made_up(cost: Cost) -> String {
    let Cost { memory_kib, passes, lanes } = cost;
    let (salt, output) = (random::bytes::<16>(), random::bytes::<32>());
    let (salt, output) = (STANDARD_NO_PAD.encode(*salt), STANDARD_NO_PAD.encode(*output));
    format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}")
}

fn verify(hash: &str, password: &str) -> bool {
    // The cost is read from the hash itself.
    PasswordHash::new(hash).is_ok_and(|hash| Cost::FULL.hasher().verify_password(password.as_bytes(), &hash).is_ok())
}

static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").split_ascii_whitespace().collect());

/// Whether a password is good enough; `names` are what it must not contain.
///
/// Any characters are allowed and none is demanded. The list of common passwords is short and compared after what people add to
/// get past such lists is taken away: digits and signs around them, digits for letters, the same again and again.
///
/// # Errors
/// A sentence that says what to do.
pub fn check(password: &str, names: &[&str]) -> Result<(), String> {
    let length = password.chars().count();
    if !(MIN_CHARS..=MAX_CHARS).contains(&length) {
        return Err(format!(
            "a password has {MIN_CHARS} to {MAX_CHARS} characters, this one has {length}; several words are easiest to remember"
        ));
    }
    let lower = password.to_lowercase();
    if lower.chars().collect::<HashSet<_>>().len() < 5 {
        return Err("this password has too few different characters".into());
    }
    let parts = names.iter().flat_map(|n| n.split(|c: char| !c.is_alphanumeric())).map(str::to_lowercase);
    for name in names.iter().map(|n| n.to_lowercase()).chain(parts) {
        if name.chars().count() >= 4 && lower.contains(&name) {
            return Err(format!("this password contains \"{name}\", which is your name"));
        }
    }
    if is_common(&lower) {
        return Err("this is one of the first passwords that somebody would try; several words that have nothing to do with each other are better".into());
    }
    Ok(())
}

fn is_common(lower: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    let trimmed = lower.trim_matches(|c: char| !c.is_alphabetic());
    [lower.to_owned(), letters(lower), letters(&without_leet(lower)), without_leet(trimmed)]
        .iter()
        .any(|word| common_words_only(word))
        || is_run(lower)
}

/// Letters for the digits and signs that people write for them.
fn without_leet(text: &str) -> String {
    let letter = |c| match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    text.chars().map(letter).collect()
}

/// One common word, or two in a row: `passwordpassword`, `adminadmin`. More of them are a pass phrase.
fn common_words_only(word: &str) -> bool {
    let ends = word.char_indices().map(|(at, c)| at + c.len_utf8());
    // Places that whole common words reach, and how few of them it takes.
    let mut reached = BTreeMap::from([(0, 0)]);
    for end in ends {
        // A word of three letters is common by chance; only longer ones count.
        let fewest = reached
            .iter()
            .filter(|(start, _)| end - **start >= 4 && COMMON.contains(&word[**start..end]))
            .map(|(_, words)| words + 1)
            .min();
        reached.extend(fewest.map(|words| (end, words)));
    }
    !word.is_empty() && reached.get(&word.len()).is_some_and(|words| *words <= 2)
}

/// `123456789012`, `abcdefghijkl`, `121212121212` and the like: each character follows from the one or two before it.
fn is_run(lower: &str) -> bool {
    let chars: Vec<u32> = lower.chars().map(u32::from).collect();
    let digits_in_a_row = lower.chars().all(|c| c.is_ascii_digit())
        && chars.windows(2).filter(|w| w[1] == w[0] + 1 || w[0] == w[1] + 1 || (w[0], w[1]) == (57, 48)).count() * 2
            > chars.len();
    let step = |by: i64| chars.windows(2).all(|w| i64::from(w[1]) - i64::from(w[0]) == by);
    let period = |n: usize| chars.windows(n + 1).all(|w| w[n] == w[0]);
    digits_in_a_row || step(1) || step(-1) || (1..=4).any(period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_is_easily_guessed_is_refused_and_the_rest_is_free() {
        for (password, ok, why) in [
            ("elevenchars", false, "one too short"),
            ("tulpe kabel nebel", true, "three words"),
            ("gZ4#kq9!Lm2x", true, "random"),
            ("密码安全很重要吗我不知道呢", true, "any characters"),
            ("🦀🐙🐡🦑🐠🐟🐬🐳🐋🦈🐊🐸", true, "really any"),
            ("aaaaaaaaaaaab", false, "too few different characters"),
            ("password1234", false, "the commonest, with digits"),
            ("P@ssw0rd!2026", false, "digits for letters"),
            ("passwordpassword", false, "twice"),
            ("adminadmin2026!", false, "a common word twice"),
            ("Welcome2026!!", false, "common, and a year"),
            ("qwertyuiop[]\\", false, "a row of keys"),
            ("123456789012", false, "counting"),
            ("abcdefghijkl", false, "the alphabet"),
            ("abcabcabcabc", false, "the same again"),
            ("correcthorsebatterystaple", false, "everybody knows it"),
            ("ana.silva-tulpe", false, "contains the name"),
            ("xxSILVAxx-tulpe-9", false, "contains part of the name"),
            ("tulpe-ana-kabel", true, "three letters are too short to count as the name"),
        ] {
            assert_eq!(check(password, &["ana.silva", "Ana Silva"]).is_ok(), ok, "{password}: {why}");
        }
        assert!(check(&"ab1-".repeat(33), &[]).is_err(), "132 characters");
        assert!(check(&format!("{}xyz", "tulpe kabel nebel ".repeat(6)), &[]).is_ok(), "111 characters");
        assert!(COMMON.len() > 300, "{}", COMMON.len());
    }

    #[tokio::test]
    async fn only_the_password_that_was_set_is_right() {
        let memory = Memory::private();
        let passwords = Passwords::new(&memory, Cost::SMALL);
        let home = TenantId::HOME;
        let (right, wrong) = (Secret::new("tulpe kabel nebel"), Secret::new("tulpe kabel nebeL"));
        assert!(!passwords.any().await.expect("asked"));
        passwords.set(home, "ana", "Ana", &right).await.expect("kept");
        assert!(passwords.any().await.expect("asked"));
        assert!(passwords.is_right(home, Some("ana"), &right).await.expect("asked"));
        for (tenant, person, password) in [
            (home, Some("ana"), &wrong),
            (home, Some("ben"), &right),
            (home, None, &right),
            (TenantId(2), Some("ana"), &right),
        ] {
            assert!(!passwords.is_right(tenant, person, password).await.expect("asked"), "{person:?}");
        }
        let kept = memory.get("password", "1/ana").await.expect("read").expect("there");
        let kept = String::from_utf8(kept).expect("JSON");
        assert!(kept.contains("$argon2id$") && !kept.contains("tulpe"), "{kept}");
        assert!(matches!(
            passwords.set(home, "ana", "Ana", &Secret::new("short")).await,
            Err(AuthError::WeakPassword(_))
        ));
        passwords.forget(home, "ana").await.expect("gone");
        assert!(!passwords.is_right(home, Some("ana"), &right).await.expect("asked"));
    }

    #[test]
    fn a_made_up_hash_is_like_a_real_one_in_all_but_what_it_is_of() {
        for cost in [Cost::SMALL, Cost::FULL] {
            let (real, made_up) = (hash(cost, "tulpe kabel nebel"), made_up(cost));
            let fields = |text: &str| text.split('$').map(str::to_owned).collect::<Vec<_>>();
            let (real, of_nobody) = (fields(&real), fields(&made_up));
            assert_eq!(real[..4], of_nobody[..4], "the same work");
            let lengths = |fields: &[String]| fields.iter().map(String::len).collect::<Vec<_>>();
            assert_eq!(lengths(&real), lengths(&of_nobody));
            assert!(PasswordHash::new(&made_up).is_ok(), "it is read, so that the work is done: {made_up}");
            assert!(!verify(&made_up, "tulpe kabel nebel"));
        }
        assert_ne!(made_up(Cost::SMALL), made_up(Cost::SMALL));
    }

    #[test]
    fn the_full_cost_is_what_was_promised() {
        let hash = hash(Cost::FULL, "tulpe kabel nebel");
        assert!(hash.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{hash}");
        assert!(verify(&hash, "tulpe kabel nebel") && !verify(&hash, "tulpe"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_than_two_are_hashed_at_once() {
        let passwords = Arc::new(Passwords::new(&Memory::private(), Cost::SMALL));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let (passwords, now, most) = (passwords.clone(), now.clone(), most.clone());
                tokio::spawn(async move {
                    passwords
                        .work(move || {
                            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            let hash = hash(Cost::SMALL, "tulpe kabel nebel");
                            now.fetch_sub(1, Ordering::SeqCst);
                            hash.len()
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("runs");
        }
        assert!((1..=AT_ONCE).contains(&most.load(Ordering::SeqCst)));
    }
}
