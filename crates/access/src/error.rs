//! Why somebody was not let in, or a credential not changed. The words are safe to show: none tells whether an account exists.

use kernel::error::StoreError;
use std::time::Duration;

/// Why not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Unknown name, wrong password, wrong code, disabled person: all the same to the one who asks.
    #[error("the name, the password or the code is wrong")]
    Wrong,
    /// The password is right and a code of the second factor is wanted as well.
    #[error("a code from your authenticator app, or a recovery code, is needed as well")]
    SecondFactor,
    /// Too many failures: try again after this time. Nothing was checked.
    #[error("too many failed attempts; try again in {} s", .0.as_secs().max(1))]
    Slow(Duration),
    /// No session, or one that has ended; no token, or one that is revoked or has expired.
    #[error("not signed in, or the session or token has ended")]
    NotSignedIn,
    /// A new password that is too weak; says why.
    #[error("{0}")]
    WeakPassword(String),
    /// A value that is not allowed; says which and why.
    #[error("{0}")]
    Invalid(String),
    /// The bootstrap token is wrong, has expired or was used.
    #[error("there is no open bootstrap with this token; `mainstay admin reset` on the host itself makes a new one")]
    BootstrapClosed,
    /// Who asks on the local socket is neither root nor the user that Mainstay runs as.
    #[error("uid {0} is neither root nor the user that Mainstay runs as")]
    ForeignUid(u32),
    /// A secret was entered for another destination than the one it is asked for.
    #[error("the secret was entered for {entered}; enter it again for {asked}")]
    OtherDestination {
        /// What it was entered for.
        entered: String,
        /// What it is asked for now.
        asked: String,
    },
    /// A stored credential or key is not readable.
    #[error("{0}")]
    Damaged(String),
    /// The store failed or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuthError {
    /// A stable word for problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Wrong => "wrong-credentials",
            Self::SecondFactor => "second-factor",
            Self::Slow(_) => "slow-down",
            Self::NotSignedIn => "not-signed-in",
            Self::WeakPassword(_) => "weak-password",
            Self::Invalid(_) => "invalid",
            Self::BootstrapClosed => "bootstrap-closed",
            Self::ForeignUid(_) => "foreign-uid",
            Self::OtherDestination { .. } => "other-destination",
            Self::Damaged(_) => "damaged",
            Self::Store(e) => e.code(),
        }
    }
}
