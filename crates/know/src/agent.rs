//! The agent of a machine as a record: that it looks, and what it cannot see and why. Unknown is never green.

use edge::discover::CannotSee;
use kernel::act::{Act, Create, Target};
use kernel::error::ActError;
use kernel::{Kernel, Record, Session};
use serde_json::{Map, Value, json};

/// Keeps the agent of `host` with what it is blind to.
///
/// # Errors
/// What the kernel refuses.
pub async fn keep(kernel: &Kernel, session: &Session, host: &Record, blind: &[CannotSee]) -> Result<(), ActError> {
    let cannot_see: Vec<String> =
        blind.iter().take(100).map(|c| format!("{}: {}; {}", c.what, c.why, c.remedy)).collect();
    let key = format!("agent-{}", host.key);
    let fields = json!({"cannot_see": cannot_see, "last_seen": kernel.now()});
    match kernel.get(session, "agent", &key).await {
        Ok(agent) => {
            let Value::Object(fields) = fields else { return Ok(()) };
            let fields: Map<String, Value> = fields;
            kernel
                .act(session, Act::Update { target: Target::Id(agent.id), fields, owner: None, expect: None })
                .await?;
        }
        Err(ActError::Unknown { .. }) => {
            let mut create = Create::of("agent", fields).keyed(key).linked("runs-on", host.id);
            create.fields.insert("name".into(), host.title.clone().into());
            kernel.act(session, create).await?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
