//! Deleting measurements: a record says what is to go and why, the journal who asked, and a controller does it.
//!
//! The record stands before anything is gone, so nothing is ever deleted that nobody is named for; after a kill in between the
//! controller goes on. It must never delete because of a selector that it cannot read, and never call something done that an
//! engine refused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::controller::{Controller, Cx, Looked};
use kernel::define::{Step, in_order};
use kernel::{ActError, Class, Define, FieldError, Id, Record, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use series::metrics::Span;
use series::{Matcher, Metrics};

use crate::selector::set;
use crate::tenant::number;

mod ask;

pub use ask::operations;

/// Selectors of one deletion.
const MOST_SELECTORS: usize = 100;
/// When something that may help itself is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// Unix milliseconds that every engine can count with.
const ALL_TIME: Span = (-9_000_000_000_000_000, 9_000_000_000_000_000);

/// Measurements that were deleted, or are about to be: which, of what time, why, and how many they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesDeletion {
    /// Why they have to go.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
    /// Which series: PromQL selectors such as `up{job="old"}`. What any of them means goes.
    pub selectors: Vec<String>,
    /// First moment that goes; from the first sample on when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// Last moment that goes; up to the last sample when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// Series that had samples to delete; nothing when the engine could not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<u64>,
    /// Samples that were deleted; nothing when the engine could not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Why nothing was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Class for SeriesDeletion {
    const KIND: &'static str = "series-deletion";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Deletion of measurements", "Deletions of measurements")
            .numbered("DEL-")
            .states(&[
                ("asked", true, "About to be done."),
                ("done", false, "The measurements are gone for every reader."),
                ("failed", false, "It could not be done."),
            ])
            .transition(Step::new("finish", &["asked"], "done", "The measurements are gone.").machine())
            .transition(Step::new("fail", &["asked"], "failed", "The engine that keeps them refused.").machine())
            .computes(&["series", "samples", "failure"], |_| {})
            .check(selectors_are_some)
            .check(|fields| in_order(fields, "from", "to"))
            .columns(&["key", "reason", "selectors", "from", "to", "series", "samples", "state"])
            .sorts(&["-updated"])
            .practices(&["information security management"])
    }
}

fn selectors_are_some(fields: &Map<String, Value>) -> Result<(), FieldError> {
    let wrong = |why: String| Err(FieldError::new("selectors", why));
    let texts = texts(fields.get("selectors"));
    if texts.is_empty() || texts.len() > MOST_SELECTORS {
        return wrong(format!("name 1 to {MOST_SELECTORS} selectors, such as up{{job=\"old\"}}"));
    }
    texts.iter().try_for_each(|text| set(text).map(|_| ()).or_else(|error| wrong(error.message().to_owned())))
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What a record means.
fn meant(fields: &Map<String, Value>) -> Result<(Vec<Vec<Matcher>>, Span), String> {
    let sets = texts(fields.get("selectors")).into_iter().map(set).collect::<Result<Vec<_>, _>>();
    let sets = sets.map_err(|error| error.message().to_owned())?;
    if sets.is_empty() {
        return Err("no selector is named".to_owned());
    }
    let time = |name: &str, ever: i64| match fields.get(name).filter(|value| !value.is_null()) {
        None => Ok(ever),
        Some(value) => {
            let time = value.as_str().and_then(Time::parse).map(Time::as_millis);
            time.ok_or_else(|| format!("{name}: {value} is no time"))
        }
    };
    Ok((sets, (time("from", ALL_TIME.0)?, time("to", ALL_TIME.1)?)))
}

/// Does what was asked for, and says how it went.
pub struct Delete(pub Arc<dyn Metrics>);

#[async_trait]
impl Controller for Delete {
    fn name(&self) -> &'static str {
        "signals.delete"
    }

    fn watches(&self) -> &'static [&'static str] {
        &[SeriesDeletion::KIND]
    }

    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let record = cx.kernel.get_id(&cx.session, id).await?;
        if record.state != "asked" {
            return Ok(Looked::settled(format!("{} is {}", record.key, record.state)));
        }
        match self.delete(number(cx.tenant), &record.key, &record.fields).await {
            Outcome::Done(fields) => step(cx, &record, "finish", fields).await,
            Outcome::Never(why) => {
                step(cx, &record, "fail", Map::from_iter([("failure".to_owned(), why.into())])).await
            }
            Outcome::Later(why) => {
                Ok(Looked::again(cx.kernel.now().plus(AGAIN), format!("{} waits: {why}", record.key)))
            }
        }
    }
}

enum Outcome {
    Done(Map<String, Value>),
    Never(String),
    Later(String),
}

impl Delete {
    /// Deletes what a record means. How many they were is counted before: afterwards nobody knows. An engine that cannot count so
    /// many can still delete them.
    async fn delete(&self, tenant: u64, key: &str, fields: &Map<String, Value>) -> Outcome {
        let (sets, time) = match meant(fields) {
            Ok(meant) => meant,
            Err(why) => return Outcome::Never(why),
        };
        let counted = match self.0.count(tenant, sets.clone(), time).await {
            Ok(counted) => Some(counted),
            Err(error) if error.is_retryable() => return Outcome::Later(error.to_string()),
            Err(error) => {
                tracing::info!(%error, deletion = key, "how much goes could not be counted");
                None
            }
        };
        match self.0.delete(tenant, sets, time).await {
            Ok(()) => {
                let counts = counted.map(|many| [("series", many.series), ("samples", many.samples)]);
                let fields = counts.into_iter().flatten().map(|(name, many)| (name.to_owned(), json!(many)));
                Outcome::Done(fields.collect())
            }
            Err(error) if error.is_retryable() => Outcome::Later(error.to_string()),
            Err(error) => Outcome::Never(error.to_string()),
        }
    }
}

async fn step(cx: &Cx, record: &Record, name: &str, fields: Map<String, Value>) -> Result<Looked, ActError> {
    let act = Act::Transition {
        target: Target::Id(record.id),
        name: name.to_owned(),
        fields,
        note: None,
        expect: Some(record.version),
    };
    let now = cx.kernel.act(&cx.session, act).await?;
    Ok(Looked::settled(format!("{} is {}", now.key, now.state)))
}

#[cfg(test)]
mod tests;
