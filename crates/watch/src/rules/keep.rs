//! What a rule remembers over a restart: its state, in the store, written with every change of an alert.

use kernel::{ActError, Id, Kernel};
use serde::{Deserialize, Serialize};

use super::state::State;

const AREA: &str = "rule-state";

/// A state, and the definition that made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) definition: String,
    pub(super) state: State,
}

/// What was kept of a rule. Something unreadable is as good as nothing: the rule begins anew, and that is told.
pub(super) async fn load(kernel: &Kernel, id: Id) -> Result<Option<Kept>, ActError> {
    let Some(bytes) = kernel.backend().private(AREA, &id.to_string()).await? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(kept) => Ok(Some(kept)),
        Err(error) => {
            tracing::warn!(rule = %id, %error, "what a rule remembered cannot be read; it begins anew");
            Ok(None)
        }
    }
}

/// Keeps a rule's state; it is on disk afterwards.
pub(super) async fn store(kernel: &Kernel, id: Id, definition: &str, state: &State) -> Result<(), ActError> {
    let kept = Kept { definition: definition.to_owned(), state: state.clone() };
    let bytes = serde_json::to_vec(&kept).map_err(|e| ActError::Conflict(format!("the state of a rule: {e}")))?;
    Ok(kernel.backend().put_private(AREA, &id.to_string(), Some(&bytes)).await?)
}

/// Forgets it.
pub(super) async fn clear(kernel: &Kernel, id: Id) -> Result<(), ActError> {
    Ok(kernel.backend().put_private(AREA, &id.to_string(), None).await?)
}
