//! Samples of any age from a file: CSV, JSON lines and Parquet as an export writes them, and OpenMetrics.
//!
//! A file is read twice: first whole, to find what is wrong, then to store it; nothing of a file with a fault is stored. A record
//! tells who brought what, and how it ended. It must never hold a whole file in memory, and never count as stored what the engine
//! has not on disk. The same file again changes nothing: samples that are there already are found to be.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::controller::{Controller, Cx, Looked};
use kernel::define::Step;
use kernel::{ActError, Class, Define, Id, Time};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;

use crate::state::Signals;

mod ask;
mod forms;
mod jsonl;
mod parquet;
mod read;
mod store;

pub use ask::operations;
pub use forms::Form;
pub(crate) use read::{Faults, Names, Row, Sink, read, read_text};

/// An import of measurements from a file: who brought what, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesImport {
    /// Name of the file, or whatever tells it from others.
    #[schemars(length(min = 1, max = 300))]
    pub name: String,
    /// Its form: csv, jsonl, parquet or openmetrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Series in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<u64>,
    /// Samples of the file that are stored now, those included that were so before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Samples that were not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Time of its first sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// Time of its last sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Class for SeriesImport {
    const KIND: &'static str = "series-import";
    fn define(def: Define<Self>) -> Define<Self> {
        def.titled("Import of measurements", "Imports of measurements")
            .numbered("TAKE-")
            .states(&[
                ("running", true, "Samples are being stored."),
                ("done", false, "Every sample is stored, or counted as refused."),
                (
                    "failed",
                    false,
                    "It ended early. What was stored by then stays; the same file again brings the rest.",
                ),
            ])
            .transition(Step::new("finish", &["running"], "done", "The file has been read to its end.").machine())
            .transition(Step::new("fail", &["running"], "failed", "It could not go on.").machine())
            .computes(&["form", "series", "samples", "refused", "from", "to", "failure"], |_| {})
            .columns(&["key", "name", "form", "series", "samples", "refused", "state"])
            .sorts(&["-updated"])
            .practices(&["monitoring and event management"])
    }
}

/// Imports that this process is at.
#[derive(Default)]
pub(crate) struct Underway(Mutex<HashSet<Id>>);

impl Underway {
    fn begin(&self, id: Id) {
        self.0.lock().insert(id);
    }

    fn end(&self, id: Id) {
        self.0.lock().remove(&id);
    }

    fn has(&self, id: Id) -> bool {
        self.0.lock().contains(&id)
    }
}

/// Says of imports that nobody is at any more that they have ended.
pub struct Orphans(pub Signals);

#[async_trait]
impl Controller for Orphans {
    fn name(&self) -> &'static str {
        "signals.import"
    }

    fn watches(&self) -> &'static [&'static str] {
        &[SeriesImport::KIND]
    }

    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let record = cx.kernel.get_id(&cx.session, id).await?;
        if record.state != "running" || self.0.underway().has(id) {
            return Ok(Looked::settled(format!("{} is {}", record.key, record.state)));
        }
        let why = "nobody is at it: the server ended before it was done, or no file came; import the file again";
        let now = end(cx, record.id, "fail", Map::from_iter([("failure".to_owned(), why.into())])).await?;
        Ok(Looked::settled(now))
    }
}

async fn end(cx: &Cx, id: Id, step: &str, fields: Map<String, Value>) -> Result<String, ActError> {
    let act = Act::Transition { target: Target::Id(id), name: step.to_owned(), fields, note: None, expect: None };
    let now = cx.kernel.act(&cx.session, act).await?;
    Ok(format!("{} is {}", now.key, now.state))
}

#[cfg(test)]
mod tests;
