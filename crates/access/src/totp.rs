//! The second factor: time-based codes (RFC 6238: SHA-1, six digits, 30 s, one step of tolerance each way) and recovery codes.
//!
//! A code counts once: each (person, step) is claimed in the store, so two servers cannot both accept it. The shared secret is
//! sealed by the [vault](crate::vault); recovery codes are kept as fingerprints and claimed likewise. Nothing here knows a clock.

use kernel::{TenantId, Time};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::private::{Area, Private, person_key};
use crate::random;
use crate::vault::Vault;

/// Seconds of a step.
const STEP_S: u64 = 30;
/// Recovery codes that are handed out.
pub const RECOVERY_CODES: usize = 10;

#[derive(Serialize, Deserialize)]
struct Kept {
    sealed: String,
    confirmed: bool,
    /// Step of the code last accepted; its claim is taken away when a later one is accepted.
    last_step: Option<u64>,
}

/// What an authenticator app needs; shown once.
pub struct Enrolment {
    /// The shared secret in base 32.
    pub secret: Zeroizing<String>,
    /// The same as an `otpauth://` address for a QR code.
    pub otpauth: Zeroizing<String>,
}

/// Keeps and checks second factors.
pub struct SecondFactors {
    kept: Area,
    steps: Area,
    recovery: Area,
    recovery_used: Area,
    vault: Vault,
}

impl SecondFactors {
    /// In the store, sealed by the vault.
    pub fn new(private: &Arc<dyn Private>, vault: &Vault) -> Self {
        let area = |name| Area::new(private, name);
        Self {
            kept: area("totp"),
            steps: area("totp-step"),
            recovery: area("recovery"),
            recovery_used: area("recovery-used"),
            vault: vault.clone(),
        }
    }

    /// Whether a code is wanted from this person at sign-in.
    ///
    /// # Errors
    /// The store's.
    pub async fn wanted(&self, tenant: TenantId, person: &str) -> Result<bool, AuthError> {
        Ok(self.kept.get::<Kept>(&person_key(tenant, person)).await?.is_some_and(|k| k.confirmed))
    }

    /// Makes a new secret; it counts once [confirmed](Self::confirm).
    ///
    /// # Errors
    /// [`AuthError::Invalid`] when one is in use; it must be removed first.
    pub async fn begin(&self, tenant: TenantId, person: &str) -> Result<Enrolment, AuthError> {
        if self.wanted(tenant, person).await? {
            return Err(AuthError::Invalid("a second factor is in use; remove it first".into()));
        }
        let secret = random::bytes::<20>();
        let totp = totp(person, &*secret)?;
        let sealed = hex::encode(self.vault.seal("totp", tenant, person, &*secret));
        self.kept.put(&person_key(tenant, person), &Kept { sealed, confirmed: false, last_step: None }).await?;
        let otpauth = totp.to_url().map_err(|e| AuthError::Invalid(e.to_string()))?;
        Ok(Enrolment { secret: Zeroizing::new(totp.secret().to_base32()), otpauth: Zeroizing::new(otpauth) })
    }

    /// Proves that the app has the secret; from now on a code is wanted. Gives the recovery codes, which are shown once.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong code; [`AuthError::Invalid`] when nothing was begun.
    pub async fn confirm(
        &self,
        tenant: TenantId,
        person: &str,
        code: &str,
        now: Time,
    ) -> Result<Vec<Zeroizing<String>>, AuthError> {
        let key = person_key(tenant, person);
        let kept = self.kept.get::<Kept>(&key).await?.filter(|k| !k.confirmed);
        let kept = kept.ok_or_else(|| AuthError::Invalid("start a second factor first".into()))?;
        let step = self.accept_step(tenant, person, &kept, code, now).await?.ok_or(AuthError::Wrong)?;
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let prints: Vec<String> = codes.iter().map(|c| random::fingerprint(&normal(c))).collect();
        self.recovery.put(&key, &prints).await?;
        self.kept.put(&key, &Kept { confirmed: true, last_step: Some(step), ..kept }).await?;
        Ok(codes)
    }

    /// Whether the code is right and unused: one of the app's, or a recovery code. Using it is part of asking.
    ///
    /// # Errors
    /// The store's; a secret that does not open.
    pub async fn accept(&self, tenant: TenantId, person: &str, code: &str, now: Time) -> Result<bool, AuthError> {
        let key = person_key(tenant, person);
        let Some(kept) = self.kept.get::<Kept>(&key).await?.filter(|k| k.confirmed) else { return Ok(false) };
        let code = normal(code);
        if code.len() != 6 {
            return self.accept_recovery(&key, &code).await;
        }
        let Some(step) = self.accept_step(tenant, person, &kept, &code, now).await? else { return Ok(false) };
        self.kept.put(&key, &Kept { last_step: kept.last_step.max(Some(step)), ..kept }).await?;
        Ok(true)
    }

    /// How many recovery codes are left.
    ///
    /// # Errors
    /// The store's.
    pub async fn recovery_left(&self, tenant: TenantId, person: &str) -> Result<usize, AuthError> {
        let all: Vec<String> = self.recovery.get(&person_key(tenant, person)).await?.unwrap_or_default();
        Ok(all.len())
    }

    /// Forgets a person's second factor and recovery codes.
    ///
    /// # Errors
    /// The store's.
    pub async fn remove(&self, tenant: TenantId, person: &str) -> Result<(), AuthError> {
        let key = person_key(tenant, person);
        self.recovery.remove(&key).await?;
        self.kept.remove(&key).await
    }

    async fn accept_step(
        &self,
        tenant: TenantId,
        person: &str,
        kept: &Kept,
        code: &str,
        now: Time,
    ) -> Result<Option<u64>, AuthError> {
        let sealed = hex::decode(&kept.sealed)
            .map_err(|_| AuthError::Damaged(format!("the second factor of {person} is not readable")))?;
        let secret = self.vault.open("totp", tenant, person, &sealed)?;
        let seconds = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
        let Some(step) = totp(person, &secret)?.check(code, seconds) else { return Ok(None) };
        let key = person_key(tenant, person);
        if kept.last_step.is_some_and(|last| step <= last) || !self.steps.claim(&format!("{key}/{step}"), &()).await? {
            return Ok(None);
        }
        // Codes of the steps before it were refused by `last_step` anyhow, once that is written.
        if let Some(last) = kept.last_step.filter(|last| last + 2 < step) {
            self.steps.remove(&format!("{key}/{last}")).await?;
        }
        Ok(Some(step))
    }

    async fn accept_recovery(&self, key: &str, code: &str) -> Result<bool, AuthError> {
        let print = random::fingerprint(code);
        let mut left: Vec<String> = self.recovery.get(key).await?.unwrap_or_default();
        let Some(at) = left.iter().position(|p| *p == print) else { return Ok(false) };
        if !self.recovery_used.claim(&format!("{key}/{print}"), &()).await? {
            return Ok(false);
        }
        left.remove(at);
        self.recovery.put(key, &left).await?;
        Ok(true)
    }
}

fn totp(person: &str, secret: &[u8]) -> Result<Totp, AuthError> {
    // A colon separates issuer and account in the address and may stand in a key.
    let account = person.replace(':', "-");
    let builder = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_skew(1).with_step_duration(STEP_S);
    let builder = builder.with_secret(secret.to_vec()).with_issuer(Some("Mainstay")).with_account_name(account);
    builder.build().map_err(|e| AuthError::Damaged(format!("the second factor of {person}: {e}")))
}

/// 80 random bits as `k7pd-…`: letters and digits that are not mistaken for each other.
fn recovery_code() -> Zeroizing<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let bytes = random::bytes::<16>();
    let mut code = Zeroizing::new(String::new());
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 && i % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    code
}

fn normal(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Key;
    use crate::testing::Memory;

    const HOME: TenantId = TenantId::HOME;

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B: the last six of the eight digits for SHA-1.
        let totp = totp("ana", b"12345678901234567890").expect("a secret");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.generate(seconds).to_string(), code, "{seconds}");
        }
    }

    async fn enrolled() -> (Arc<SecondFactors>, Totp, Vec<Zeroizing<String>>, Arc<dyn Private>) {
        let memory = Memory::private();
        let factors = Arc::new(SecondFactors::new(&memory, &Vault::new(&Key::new([9; 32]), &memory)));
        let enrolment = factors.begin(HOME, "ana").await.expect("begins");
        let app = Totp::from_url(&*enrolment.otpauth).expect("an address that apps read");
        assert!(!factors.wanted(HOME, "ana").await.expect("asked"), "not before it is confirmed");
        assert!(matches!(factors.confirm(HOME, "ana", "000000x", at(3000)).await, Err(AuthError::Wrong)));
        let codes = factors.confirm(HOME, "ana", &app.generate(3000).to_string(), at(3000)).await.expect("confirmed");
        assert!(factors.wanted(HOME, "ana").await.expect("asked"));
        (factors, app, codes, memory)
    }

    #[tokio::test]
    async fn a_code_counts_once_and_only_near_its_time() {
        let (factors, app, _, memory) = enrolled().await;
        let code = |seconds: u64| app.generate(seconds).to_string();
        for (offered, now, expected, why) in [
            (code(3000), 3000, false, "used to confirm"),
            (code(6000), 6000, true, "fresh"),
            (code(6000), 6010, false, "used"),
            (code(5970), 6010, false, "older than the one used"),
            (code(6030), 6000, true, "a clock half a minute ahead"),
            (code(9000), 9059, true, "one step late"),
            (code(9100), 9190, false, "two steps late"),
            (code(9300), 9230, false, "three steps early"),
            ("".into(), 12_000, false, "empty"),
            ("12345".into(), 12_000, false, "too short"),
        ] {
            assert_eq!(
                factors.accept(HOME, "ana", &offered, at(now)).await.expect("asked"),
                expected,
                "{offered} at {now}: {why}"
            );
        }
        let stored = String::from_utf8(memory.get("totp", "1/ana").await.expect("read").expect("there")).expect("JSON");
        assert!(!stored.contains(&app.secret().to_base32()) && !stored.contains(&hex::encode(app.secret())), "sealed");
        assert!(memory.all("totp-step").await.expect("read").len() <= 2, "old claims are taken away");
        assert!(
            matches!(factors.begin(HOME, "ana").await, Err(AuthError::Invalid(_))),
            "not replaced without being removed"
        );
        assert!(
            !factors.accept(TenantId(2), "ana", &code(20_000), at(20_000)).await.expect("asked"),
            "another tenant's ana"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_fifty_uses_of_one_code_at_once_one_is_accepted() {
        let (factors, app, recovery, _) = enrolled().await;
        for code in [app.generate(6000).to_string(), recovery[3].to_string()] {
            let tasks: Vec<_> = (0..50)
                .map(|_| (factors.clone(), code.clone()))
                .map(|(f, c)| tokio::spawn(async move { f.accept(HOME, "ana", &c, at(6000)).await }))
                .collect();
            let mut accepted = 0;
            for task in tasks {
                accepted += usize::from(task.await.expect("runs").expect("asked"));
            }
            assert_eq!(accepted, 1, "{code}");
        }
    }

    #[tokio::test]
    async fn each_of_ten_recovery_codes_lets_in_once() {
        let (factors, _, codes, memory) = enrolled().await;
        assert_eq!(codes.len(), RECOVERY_CODES);
        for (i, code) in codes.iter().enumerate() {
            let written = if i % 2 == 0 { code.to_uppercase() } else { code.replace('-', " ") };
            assert!(factors.accept(HOME, "ana", &written, at(6000)).await.expect("asked"), "however it is written");
            assert!(!factors.accept(HOME, "ana", code, at(6000)).await.expect("asked"), "once");
            assert_eq!(factors.recovery_left(HOME, "ana").await.expect("asked"), RECOVERY_CODES - 1 - i);
        }
        let stored = memory.all("recovery-used").await.expect("read");
        assert!(codes.iter().all(|c| !format!("{stored:?}").contains(&normal(c))), "only fingerprints");
        factors.remove(HOME, "ana").await.expect("gone");
        assert!(!factors.wanted(HOME, "ana").await.expect("asked"));
    }
}
