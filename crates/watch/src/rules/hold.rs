//! The controllers around the engine: rules are handed to it, and what people do to alerts of rules is told to it.

use async_trait::async_trait;
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::{Id, Record};
use std::time::Duration;

use super::engine::Rules;
use super::state::{Event, State};
use super::{keep, publish};

/// Hands rules to the engine.
pub struct Hold(pub Rules);

#[async_trait]
impl Controller for Hold {
    fn name(&self) -> &'static str {
        "watch.rules"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["rule"]
    }
    fn scans_closed(&self) -> bool {
        true
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let record = cx.kernel.backend().get(cx.tenant, id).await?;
        match record {
            Some(record) if !record.deleted => {
                self.0.hold(&record).await?;
                Ok(Looked::settled(format!("{} is {}", record.key, record.state)))
            }
            Some(record) => {
                let state = self.0.state_of(id);
                let state = match state {
                    Some(state) => state,
                    None => keep::load(&cx.kernel, id).await?.map(|kept| kept.state).unwrap_or_default(),
                };
                self.0.forget(id);
                publish::end_all(&cx.kernel, cx.tenant, &record.key, &state).await?;
                keep::clear(&cx.kernel, id).await?;
                Ok(Looked::settled("deleted: its alerts are over"))
            }
            None => {
                self.0.forget(id);
                Ok(Looked::settled("it is not there"))
            }
        }
    }
}

/// Heeds people who resolve an alert of a rule: it fires again while the condition holds, and is given up when nothing is known.
pub struct Heed(pub Rules);

#[async_trait]
impl Controller for Heed {
    fn name(&self) -> &'static str {
        "watch.rule-alerts"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["alert"]
    }
    fn scans_closed(&self) -> bool {
        false
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let alert = cx.kernel.get_id(&cx.session, id).await?;
        let Some((rule, key)) = alert.text("fingerprint").strip_prefix("rule:").and_then(|f| f.rsplit_once(':')) else {
            return Ok(Looked::settled("not of a rule"));
        };
        if alert.state == "firing" {
            return Ok(Looked::settled("it fires"));
        }
        self.0.heed_resolved(cx, &alert, rule, key).await
    }
}

impl Rules {
    /// What a rule that is held remembers.
    pub fn state_of(&self, id: Id) -> Option<State> {
        self.board.lock().get(id).map(|held| held.state.clone())
    }

    /// An alert is resolved while its rule still holds it: by a person, or a moment before the rule takes note itself.
    async fn heed_resolved(&self, cx: &Cx, alert: &Record, rule: &str, key: &str) -> Result<Looked, ActError> {
        let standing = {
            let mut board = self.board.lock();
            let Some((id, held)) = board.named(cx.tenant, rule) else {
                return Ok(Looked::settled("its rule is not evaluated"));
            };
            if held.round.is_some() {
                // The rule itself may just have resolved it, and what it remembers follows.
                let soon = cx.kernel.now().plus(Duration::from_secs(1));
                return Ok(Looked::again(soon, "its rule is being evaluated"));
            }
            let Some(instance) = held.state.instances.get(key) else { return Ok(Looked::settled("its rule agrees")) };
            // A resolution that is older than the firing is the one before.
            if instance.fired_ms.is_none_or(|fired| alert.state_since.as_millis() <= fired) {
                return Ok(Looked::settled("its rule has fired since"));
            }
            let unknown = instance.unknown_since_ms.is_some();
            let over = if unknown { held.state.instances.remove(key) } else { None };
            (id, held.compiled.clone(), held.definition.clone(), held.state.clone(), held.texts.clone(), over)
        };
        let (id, compiled, definition, state, texts, over) = standing;
        if let Some(instance) = over {
            if let Err(error) = keep::store(&cx.kernel, id, &definition, &state).await {
                // A restart would find it: the next look does it again.
                if let Some(held) = self.board.lock().get_mut(id) {
                    held.state.instances.entry(key.to_owned()).or_insert(instance);
                }
                return Err(error);
            }
            return Ok(Looked::settled("nothing is known, and somebody says that it is over"));
        }
        let about = publish::About { key: rule, rule: &compiled.rule, texts: &texts };
        publish::publish(&cx.kernel, cx.tenant, &about, &state, &[Event::Fired(key.to_owned())]).await?;
        Ok(Looked::settled("it still holds: it fires again"))
    }
}
