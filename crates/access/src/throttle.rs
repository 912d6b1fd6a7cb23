//! The brake on guessing: after each failure the next attempt must wait a little longer.
//!
//! Counted for an account from one address, so that nobody can lock somebody else out by failing in their name: the on-call
//! person signs in from elsewhere at once. Counted also for an address over all accounts, more loosely, against trying one
//! password on many names. There is no lock that stays. Durable: a restart does not wipe the slate.

use kernel::{TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::AuthError;
use crate::private::{Area, Private};
use crate::random;

/// Waits after the first, second, … failure, in seconds; the last one stays.
const WAIT_S: [u64; 8] = [1, 3, 5, 10, 20, 40, 60, 60];
/// Failures that an address may have over all accounts before it waits too: an office behind one address has bad mornings.
const FREE_PER_ADDRESS: u32 = 20;
/// After so long without a failure all is forgotten.
const FORGET: Duration = Duration::from_secs(15 * 60);

/// Failures so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// How many in a row.
    pub failures: u32,
    /// When the last was.
    pub last: Time,
}

/// What follows from the failures so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try.
    Allowed,
    /// Try again after this time.
    Wait(Duration),
}

/// The whole policy: `free` failures cost nothing, then each waits longer. A clock that was set back makes nobody wait longer
/// than the wait itself.
pub fn decide(attempts: Attempts, free: u32, now: Time) -> Decision {
    let Some(counted) = attempts.failures.checked_sub(free + 1) else { return Decision::Allowed };
    let wait = Duration::from_secs(WAIT_S[(counted as usize).min(WAIT_S.len() - 1)]);
    let passed = now.since(attempts.last);
    if passed >= wait { Decision::Allowed } else { Decision::Wait(wait - passed) }
}

/// One failure more.
pub fn fail(attempts: Attempts, now: Time) -> Attempts {
    let failures = if now.since(attempts.last) >= FORGET { 0 } else { attempts.failures };
    Attempts { failures: failures.saturating_add(1), last: now }
}

/// Counts failures in the store.
pub struct Throttle {
    area: Area,
}

/// One attempt: for whom and from where.
pub struct Attempt {
    account: String,
    address: String,
}

impl Attempt {
    /// For `name` from `ip`. An IPv6 address counts as its /64, as that is what one customer has.
    pub fn new(tenant: TenantId, name: &str, ip: IpAddr) -> Self {
        let network = match ip.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => v6.segments()[..4].iter().map(|s| format!("{s:x}:")).collect(),
        };
        // The name is what somebody typed into the wrong field, perhaps a password: only its fingerprint is kept.
        Self {
            account: random::fingerprint(&format!("{}/{}/{network}", tenant.0, name.to_lowercase())),
            address: format!("address:{network}"),
        }
    }
}

impl Throttle {
    /// In the store.
    pub fn new(private: &Arc<dyn Private>) -> Self {
        Self { area: Area::new(private, "attempts") }
    }

    /// Lets an attempt begin, and counts it as failed until it [succeeded](Begun): a crash in between must not make it free.
    ///
    /// # Errors
    /// [`AuthError::Slow`] when it is too early; the store's.
    pub async fn begin(&self, attempt: Attempt, now: Time) -> Result<Begun<'_>, AuthError> {
        let account: Attempts = self.area.get(&attempt.account).await?.unwrap_or_default();
        let address: Attempts = self.area.get(&attempt.address).await?.unwrap_or_default();
        for (attempts, free) in [(account, 0), (address, FREE_PER_ADDRESS)] {
            if let Decision::Wait(wait) = decide(attempts, free, now) {
                return Err(AuthError::Slow(wait));
            }
        }
        self.area.put(&attempt.account, &fail(account, now)).await?;
        self.area.put(&attempt.address, &fail(address, now)).await?;
        Ok(Begun { throttle: self, attempt, before: account })
    }

    /// Forgets what is old; to be called now and then.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now: Time) -> Result<usize, AuthError> {
        let all = self.area.all::<Attempts>().await?;
        let old: Vec<_> = all.into_iter().filter(|(_, a)| now.since(a.last) >= FORGET).collect();
        for (key, _) in &old {
            self.area.remove(key).await?;
        }
        Ok(old.len())
    }
}

/// An attempt that was let begin and counts as failed until told otherwise.
pub struct Begun<'a> {
    throttle: &'a Throttle,
    attempt: Attempt,
    before: Attempts,
}

impl Begun<'_> {
    /// It was right: the account is clean again, and the address has one failure less.
    ///
    /// # Errors
    /// The store's.
    pub async fn succeeded(self) -> Result<(), AuthError> {
        self.throttle.area.remove(&self.attempt.account).await?;
        self.spare_address().await
    }

    /// It was neither right nor wrong (a second factor is still wanted): as if it had not been. Not a success, as that would
    /// wipe the slate between two guesses of a code.
    ///
    /// # Errors
    /// The store's.
    pub async fn does_not_count(self) -> Result<(), AuthError> {
        self.throttle.area.put(&self.attempt.account, &self.before).await?;
        self.spare_address().await
    }

    async fn spare_address(&self) -> Result<(), AuthError> {
        let (area, key) = (&self.throttle.area, &self.attempt.address);
        let address: Attempts = area.get(key).await?.unwrap_or_default();
        match address.failures {
            0 | 1 => area.remove(key).await,
            failures => area.put(key, &Attempts { failures: failures - 1, ..address }).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    fn at(seconds: i64) -> Time {
        Time::from_micros(1_000_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn each_failure_waits_longer_and_nothing_is_for_ever() {
        let wait = |s| Decision::Wait(Duration::from_secs(s));
        for (failures, free, passed, expected, why) in [
            (0, 0, 0, Decision::Allowed, "a first attempt"),
            (1, 0, 0, wait(1), "one failure: a second"),
            (1, 0, 1, Decision::Allowed, "which has passed"),
            (2, 0, 1, wait(2), "the second: three"),
            (3, 0, 0, wait(5), "the third: five"),
            (4, 0, 4, wait(6), "the fourth: ten"),
            (7, 0, 0, wait(60), "a minute at most"),
            (4_000_000_000, 0, 59, wait(1), "however many"),
            (20, 20, 0, Decision::Allowed, "an address has some free"),
            (21, 20, 0, wait(1), "and then waits as well"),
            (3, 0, -3600, wait(5), "a clock set back does not lengthen the wait"),
        ] {
            let attempts = Attempts { failures, last: at(0) };
            assert_eq!(decide(attempts, free, at(passed)), expected, "{why}");
        }
        assert_eq!(fail(Attempts { failures: 6, last: at(0) }, at(60)).failures, 7);
        assert_eq!(
            fail(Attempts { failures: 6, last: at(0) }, at(900)).failures,
            1,
            "a quarter of an hour later it starts again"
        );
    }

    #[tokio::test]
    async fn failing_in_somebodys_name_does_not_lock_them_out() {
        let throttle = Throttle::new(&Memory::private());
        let from = |name, ip: &str| Attempt::new(TenantId::HOME, name, ip.parse().expect("an address"));
        for _ in 0..15 {
            let _ = throttle.begin(from("ana", "203.0.113.9"), at(0)).await;
        }
        assert!(
            matches!(throttle.begin(from("ANA", "::ffff:203.0.113.9"), at(0)).await, Err(AuthError::Slow(_))),
            "the same name and address"
        );
        throttle.begin(from("ana", "198.51.100.7"), at(0)).await.expect("from elsewhere at once");
        throttle.begin(from("ben", "203.0.113.9"), at(0)).await.expect("somebody else from there");
        throttle.begin(from("ana", "2001:db8::1"), at(0)).await.expect("first from here");
        assert!(throttle.begin(from("ana", "2001:db8::ffff:2"), at(0)).await.is_err(), "the same /64");
    }

    #[tokio::test]
    async fn one_password_on_many_names_is_braked_too_and_success_wipes_the_slate() {
        let throttle = Throttle::new(&Memory::private());
        let from = |name: String| Attempt::new(TenantId::HOME, &name, "203.0.113.9".parse().expect("an address"));
        let mut let_in = 0;
        for i in 0..100 {
            let_in += usize::from(throttle.begin(from(format!("p{i}")), at(0)).await.is_ok());
        }
        assert_eq!(let_in, 21);
        let ana = || Attempt::new(TenantId::HOME, "ana", "198.51.100.7".parse().expect("an address"));
        let _wrong = throttle.begin(ana(), at(0)).await.expect("first");
        throttle.begin(ana(), at(1)).await.expect("after a second").does_not_count().await.expect("kept");
        let begun = throttle.begin(ana(), at(1)).await.expect("what does not count adds no wait");
        assert!(throttle.begin(ana(), at(2)).await.is_err(), "but does not wipe the first failure away");
        begun.succeeded().await.expect("kept");
        let _ = throttle.begin(ana(), at(2)).await.expect("no wait after success");
        assert_eq!(throttle.sweep(at(10)).await.expect("swept"), 0);
        assert!(throttle.sweep(at(1000)).await.expect("swept") > 20);
    }
}
