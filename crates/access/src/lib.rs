//! Access: who somebody is, and what they may do.
//!
//! [`Access`] is the front door: sign-in with password and second factor, sessions, tokens, the first admin, and the
//! [`Policy`](kernel::session::Policy) of the kernel by Cedar. Credentials are kept as private values of the store (never as
//! records), hashed or sealed. What is absent, on purpose: no socket, no cookie header is written here, no clock is read, and no
//! credential ever appears in an error, a log line or a record.

pub mod error;
pub mod directory;
pub mod private;
mod random;
pub mod keys;
pub mod vault;
pub mod password;
pub mod throttle;
pub mod totp;
pub mod session;
pub mod token;
pub mod bootstrap;
pub mod witness;
pub mod policy;
mod door;
#[cfg(test)]
mod testing;

pub use directory::{Directory, PersonFacts};
pub use door::{ADMIN, Access, COOKIE, Found, Parts, SignedIn};
pub use error::AuthError;
pub use keys::{KeyError, KeyFolder};
pub use policy::{Classes, Policies, PolicyError};
pub use private::{OverBackend, Private};
pub use session::Lifetimes;
pub use token::{NewToken, TokenKind};
pub use witness::{Event, What, Why, Witness};
