//! What `access` sees happen to credentials becomes journal entries: on the record of the person, or of the organisation for what
//! is nobody's. Written by the kernel like everything else; what is told holds no secret, as the types it comes in have no room for one.

use access::{Event, What, Witness};
use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::error::ActError;
use kernel::{Kernel, Record, Session, TenantId};
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};

/// Writes to the journal of the kernel, which is there as soon as it has started.
pub struct Scribe(pub Arc<OnceLock<Kernel>>);

#[async_trait]
impl Witness for Scribe {
    async fn saw(&self, event: Event) {
        let Some(kernel) = self.0.get() else { return };
        if let Err(error) = write(kernel, &event).await {
            // Nobody is kept out because it could not be written; whoever reads the log learns of it.
            tracing::error!(%error, person = event.person, action = told(&event.what).0, "could not be journaled");
        }
    }
}

async fn write(kernel: &Kernel, event: &Event) -> Result<(), ActError> {
    let subject = subject(kernel, event).await?;
    let (action, sentence, mut details) = told(&event.what);
    let mut note = sentence;
    if let Some(address) = event.address.map(|a| a.to_canonical().to_string()) {
        note.push_str(&format!(", from {address}"));
        details.insert("address".into(), address.into());
    }
    if let Some(person) = event.person.as_ref().filter(|p| **p != subject.key) {
        details.insert("person".into(), person.clone().into());
    }
    let session = Session::in_the_name_of(event.actor.clone(), subject.tenant);
    let target = Target::Id(subject.id);
    kernel.act(&session, Act::Tell { target, action: action.to_owned(), details, note }).await?;
    Ok(())
}

/// The record that it is told on: the person, or the organisation when it is nobody's or the person has no record in the tenant.
async fn subject(kernel: &Kernel, event: &Event) -> Result<Record, ActError> {
    let session = |tenant: TenantId| Session::in_the_name_of(event.actor.clone(), tenant);
    if let Some(person) = &event.person {
        match kernel.get(&session(event.tenant), "person", person).await {
            Err(ActError::Unknown { .. }) => {}
            found => return found,
        }
    }
    kernel.get(&session(TenantId::HOME), "tenant", &kernel.tenant_key(event.tenant)).await
}

/// Action, sentence and circumstances of what happened.
fn told(what: &What) -> (&'static str, String, Map<String, Value>) {
    let (action, sentence, details) = match what {
        What::SignedIn { second_factor: true } => ("sign-in", "signed in with a second factor".to_owned(), json!({})),
        What::SignedIn { second_factor: false } => ("sign-in", "signed in by password alone".to_owned(), json!({})),
        What::Refused { why, failures } => (
            "refuse-sign-in",
            format!("a sign-in was refused: {} (refusal {failures} within a day)", why.as_str()),
            json!({"why": why.as_str(), "failures": failures}),
        ),
        What::SignedOut => ("sign-out", "signed out".to_owned(), json!({})),
        What::PasswordChanged => {
            ("change-password", "changed the password; older sessions ended".to_owned(), json!({}))
        }
        What::SecondFactorSetUp => ("set-up-second-factor", "set up a second factor".to_owned(), json!({})),
        What::SecondFactorRemoved => ("remove-second-factor", "removed the second factor".to_owned(), json!({})),
        What::TokenCreated(token) => {
            ("create-token", format!("made the token {} for \"{}\"", token.id, token.title), facts(token))
        }
        What::TokenRevoked(token) => {
            ("revoke-token", format!("ended the token {} for \"{}\"", token.id, token.title), facts(token))
        }
        What::AllRevoked => ("revoke-all", "ended all sessions and tokens".to_owned(), json!({})),
        What::BootstrapOpened => {
            ("open-first-sign-in", "opened a first sign-in for an administrator".to_owned(), json!({}))
        }
        What::BootstrapUsed => {
            let sentence = "used a first sign-in: is an administrator, with a new password and no second factor";
            ("use-first-sign-in", sentence.to_owned(), json!({}))
        }
    };
    match details {
        Value::Object(details) => (action, sentence, details),
        _ => (action, sentence, Map::new()),
    }
}

fn facts(token: &access::witness::TokenFacts) -> Value {
    json!({"token": token.id, "use_for": token.kind, "limited_to": token.roles, "expires": token.expires})
}
