//! Random: bytes that nobody can guess. The one place that asks this machine for them.

use ring::rand::{SecureRandom, SystemRandom};

use crate::env::Failure;

/// So many bytes that nobody can guess.
///
/// # Errors
/// [`Failure::Local`] when this machine has none to give.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::Local("this machine gives no random numbers".to_owned()))?;
    Ok(bytes)
}
