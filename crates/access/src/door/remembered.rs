//! Tokens that were found good, for as long as nothing has been written that could make them anything else.
//!
//! Programs send thousands of requests with one token, and each would read it and its owner anew. What was found counts while the
//! [edition](kernel::backend::Backend::edition) under which it was read stands, so a token that is revoked or a person who is
//! disabled is out with the next request, as before. It knows a token by its MAC, never by its text, and never holds more than so
//! many.

use kernel::Time;
use parking_lot::RwLock;
use std::collections::HashMap;

use super::Found;

/// Tokens that are remembered; then it begins anew.
const MOST: usize = 10_000;

/// MAC of a token's text under the pepper.
pub(super) type Print = [u8; 32];

#[derive(Default)]
pub(super) struct Remembered(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    edition: u64,
    /// With when the token must be looked at again.
    found: HashMap<Print, (Found, Time)>,
}

impl Remembered {
    /// What was found for a token under this edition.
    pub(super) fn get(&self, edition: u64, print: &Print, now: Time) -> Option<Found> {
        let kept = self.0.read();
        let (found, until) = kept.found.get(print).filter(|_| kept.edition == edition)?;
        (now < *until).then(|| found.clone())
    }

    /// Keeps what was found by questions that began under `edition`.
    pub(super) fn keep(&self, edition: u64, print: Print, found: &Found, until: Time) {
        let mut kept = self.0.write();
        if kept.edition > edition {
            return; // Somebody knows newer things already.
        }
        if kept.edition < edition || kept.found.len() >= MOST {
            kept.found.clear();
            kept.edition = edition;
        }
        kept.found.insert(print, (found.clone(), until));
    }
}
