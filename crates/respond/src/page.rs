//! Carries one page to its provider, with receipt: the job behind a notification.
//!
//! The state of a notification comes from the provider's receipt, never from our having tried. A crash between the provider's
//! acceptance and our commit repeats the page once, under the same id; nothing is ever silently not sent.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::job::{Attempt, Job, Worker};
use kernel::{Id, Kernel, Record, Session};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Kind of the job.
pub const JOB: &str = "respond.page";

/// What the provider said.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Who accepted it: host of the mail server or of the webhook.
    pub provider: String,
    /// Its words: the final reply of the mail server, status and id of the webhook.
    pub reference: String,
    /// How long it took.
    pub elapsed_seconds: f64,
}

/// Why it was not accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Not now.
    Later(String, Option<Duration>),
    /// Never.
    Never(String),
}

/// Hands a notification to a channel's provider; implemented over `notify`.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// Delivers `notification`, about `subject` (with its address in the console), over `channel`.
    async fn deliver(
        &self,
        channel: &Record,
        notification: &Record,
        subject: Option<&Record>,
    ) -> Result<Receipt, Refusal>;
}

/// Works page jobs.
pub struct Pager(pub Arc<dyn Courier>);

#[async_trait]
impl Worker for Pager {
    fn kinds(&self) -> &'static [&'static str] {
        &[JOB]
    }
    async fn work(&self, kernel: &Kernel, job: &Job) -> Attempt {
        match self.one(kernel, job).await {
            Ok(attempt) => attempt,
            Err(error) => Attempt::Again(error.to_string(), None),
        }
    }
}

impl Pager {
    async fn one(&self, kernel: &Kernel, job: &Job) -> Result<Attempt, kernel::ActError> {
        let session = Session::controller("respond.page", job.tenant).because(job.cause);
        let Some(id) = job.args.get("notification").and_then(Value::as_str).and_then(Id::parse) else {
            return Ok(Attempt::Refused("the job names no notification".into()));
        };
        let notification = kernel.get_id(&session, id).await?;
        if notification.state != "queued" {
            return Ok(Attempt::Done(format!("{} is {} already", notification.key, notification.state)));
        }
        let channel = match kernel.get(&session, "channel", notification.text("channel")).await {
            Ok(channel) => channel,
            Err(_) => return self.failed(kernel, &session, &notification, job, "its channel is gone").await,
        };
        let about = kernel.backend().neighbours(job.tenant, id).await?.into_iter().find(|n| n.name == "about");
        let subject = match about {
            Some(n) => kernel.backend().get(job.tenant, n.other.id).await?,
            None => None,
        };
        match self.0.deliver(&channel, &notification, subject.as_ref()).await {
            Ok(receipt) => {
                let text = format!("{}: {}", receipt.provider, receipt.reference);
                let fields = object(json!({"receipt": text, "attempts": job.attempts, "last_error": null}));
                let note = Some(format!("accepted by {text}"));
                kernel
                    .act(
                        &session,
                        Act::Transition { target: Target::Id(id), name: "send".into(), fields, note, expect: None },
                    )
                    .await?;
                Ok(Attempt::Done(text))
            }
            Err(Refusal::Later(why, wait)) if job.attempts < job.max_attempts => {
                let fields = object(json!({"attempts": job.attempts, "last_error": why}));
                kernel.act(&session, Act::Update { target: Target::Id(id), fields, owner: None, expect: None }).await?;
                Ok(Attempt::Again(why, wait))
            }
            Err(Refusal::Later(why, _) | Refusal::Never(why)) => {
                self.failed(kernel, &session, &notification, job, &why).await
            }
        }
    }

    async fn failed(
        &self,
        kernel: &Kernel,
        session: &Session,
        notification: &Record,
        job: &Job,
        why: &str,
    ) -> Result<Attempt, kernel::ActError> {
        let fields = object(json!({"attempts": job.attempts, "last_error": why}));
        let act = Act::Transition {
            target: crate::escalate::target(notification),
            name: "fail".into(),
            fields,
            note: Some(why.to_owned()),
            expect: None,
        };
        kernel.act(session, act).await?;
        Ok(Attempt::Refused(why.to_owned()))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
