//! The first admin: let in by a one-time token in a file that only the user of the host can read.
//!
//! A token counts for thirty minutes and once, however many try at the same moment: whoever claims its fingerprint in the store
//! first has it. `admin reset` writes a new one. There is no default password, no set-up page that is open to whoever comes first.

use kernel::Time;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::private::{Area, Private};
use crate::random;

/// Name of the file in the data directory.
pub const FILE: &str = "bootstrap-token";
/// How long a token counts.
pub const LIFE: Duration = Duration::from_secs(30 * 60);
const OPEN: &str = "open";

#[derive(Serialize, Deserialize)]
struct Open {
    fingerprint: String,
    expires: Time,
}

/// Opens, checks and closes the bootstrap.
pub struct Bootstrap {
    area: Area,
    path: PathBuf,
}

/// A token that was claimed; either it is used up, or it is given back because the admin could not be made.
#[must_use]
pub struct Claim(String);

impl Bootstrap {
    /// With the file in this data directory.
    pub fn new(private: &Arc<dyn Private>, data: &Path) -> Self {
        Self { area: Area::new(private, "bootstrap"), path: data.join(FILE) }
    }

    /// Makes a new token, in the file and returned for the sign-in link; one made before counts no more.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] when the file cannot be written; the store's.
    pub async fn open(&self, now: Time) -> Result<Zeroizing<String>, AuthError> {
        let token = random::secret();
        self.write(&token).map_err(|e| AuthError::Invalid(format!("{}: {e}", self.path.display())))?;
        self.area.put(OPEN, &Open { fingerprint: random::fingerprint(&token), expires: now.plus(LIFE) }).await?;
        Ok(token)
    }

    /// Whether a token counts at this moment.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_open(&self, now: Time) -> Result<bool, AuthError> {
        let Some(open) = self.area.get::<Open>(OPEN).await? else { return Ok(false) };
        Ok(now < open.expires && self.area.get::<()>(&claimed(&open.fingerprint)).await?.is_none())
    }

    /// Claims the token: of all who try, one gets it.
    ///
    /// # Errors
    /// [`AuthError::BootstrapClosed`] for every reason alike; the store's.
    pub async fn claim(&self, token: &str, now: Time) -> Result<Claim, AuthError> {
        let open: Open = self.area.get(OPEN).await?.ok_or(AuthError::BootstrapClosed)?;
        let right = random::fingerprint(token.trim()).as_bytes().ct_eq(open.fingerprint.as_bytes());
        if !bool::from(right) || now >= open.expires || !self.area.claim(&claimed(&open.fingerprint), &()).await? {
            return Err(AuthError::BootstrapClosed);
        }
        Ok(Claim(open.fingerprint))
    }

    /// The admin was made: the token is gone for ever, and so is its file.
    ///
    /// # Errors
    /// The store's.
    pub async fn finish(&self, _claim: Claim) -> Result<(), AuthError> {
        // The claim stays: it is what refuses the token, should removing the rest fail half way.
        self.area.remove(OPEN).await?;
        if let Err(e) = fs::remove_file(&self.path)
            && e.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), error = %e, "the used bootstrap token could not be removed; it no longer counts");
        }
        Ok(())
    }

    /// The admin could not be made: the token counts again.
    ///
    /// # Errors
    /// The store's.
    pub async fn give_back(&self, claim: Claim) -> Result<(), AuthError> {
        self.area.remove(&claimed(&claim.0)).await
    }

    fn write(&self, token: &str) -> std::io::Result<()> {
        // Written anew under another name: a file that is there, with whatever mode and owner, is replaced and not written into.
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(token.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

fn claimed(fingerprint: &str) -> String {
    format!("claimed/{fingerprint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;
    use std::os::unix::fs::PermissionsExt;

    fn at(minutes: u64) -> Time {
        Time::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(minutes * 60))
    }

    #[tokio::test]
    async fn a_token_counts_for_half_an_hour_and_the_last_one_only() {
        let data = tempfile::tempdir().expect("a folder");
        let file = data.path().join(FILE);
        fs::write(&file, "left by somebody").expect("written");
        let bootstrap = Bootstrap::new(&Memory::private(), data.path());
        assert!(!bootstrap.is_open(at(0)).await.expect("asked"), "closed until opened");
        let first = bootstrap.open(at(0)).await.expect("opened");
        assert_eq!(fs::read_to_string(&file).expect("readable").trim(), &*first);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(bootstrap.is_open(at(29)).await.expect("asked") && !bootstrap.is_open(at(30)).await.expect("asked"));
        assert!(matches!(bootstrap.claim(&first, at(30)).await, Err(AuthError::BootstrapClosed)), "too late");
        let second = bootstrap.open(at(31)).await.expect("opened again");
        assert!(bootstrap.claim(&first, at(31)).await.is_err(), "the first counts no more");
        for wrong in ["", "x", &second[..42], "left by somebody"] {
            assert!(bootstrap.claim(wrong, at(31)).await.is_err(), "{wrong}");
        }
        let claim = bootstrap.claim(&second, at(31)).await.expect("claimed");
        assert!(!bootstrap.is_open(at(31)).await.expect("asked"), "closed while somebody has it");
        bootstrap.give_back(claim).await.expect("given back");
        let claim =
            bootstrap.claim(&format!("{}\n", &*second), at(31)).await.expect("counts again, as read from the file");
        bootstrap.finish(claim).await.expect("finished");
        assert!(!file.exists() && bootstrap.claim(&second, at(31)).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_two_hundred_at_once_one_gets_it() {
        let data = tempfile::tempdir().expect("a folder");
        let bootstrap = Arc::new(Bootstrap::new(&Memory::private(), data.path()));
        let token = bootstrap.open(at(0)).await.expect("opened");
        let tasks: Vec<_> = (0..200)
            .map(|_| (bootstrap.clone(), token.clone()))
            .map(|(b, t)| tokio::spawn(async move { b.claim(&t, at(1)).await.is_ok() }))
            .collect();
        let mut got = 0;
        for task in tasks {
            got += usize::from(task.await.expect("runs"));
        }
        assert_eq!(got, 1);
    }
}
