//! Does what a runbook says, step by step: argument vectors by the agent's hands, and checks that prove it.
//!
//! Each step's result is on the record before the next one begins, so a kill at any point costs at most the repetition of the step
//! that was in progress, which is said. Nothing here knows a shell.

use async_trait::async_trait;
use kernel::act::{Act, Target};
use kernel::clock::{format_duration, parse_duration};
use kernel::controller::{Controller, Cx, Looked};
use kernel::error::ActError;
use kernel::job::{Attempt, Job, JobDraft, Worker};
use kernel::{Id, Kernel, Record, Session, TenantId};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Kind of the job.
pub const JOB: &str = "respond.run";
/// Pause between two questions of a check step.
const AGAIN: Duration = Duration::from_millis(500);

/// What a command did.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDone {
    /// It ran and exited 0.
    pub ok: bool,
    /// What is kept of it: exit code, output, duration, or why it was refused.
    pub detail: Value,
    /// In a sentence.
    pub said: String,
}

/// Runs one command on the machine of a record, under the agent's own allow-list; implemented over `edge`.
#[async_trait]
pub trait Hands: Send + Sync + 'static {
    /// Renders `argv` with `parameters` and runs it on `on` (the machine, or what runs on it; `None`: this machine).
    async fn run(
        &self,
        on: Option<&Record>,
        argv: &[String],
        parameters: &Map<String, Value>,
        timeout: Duration,
    ) -> CommandDone;
    /// Checks given parameters against those that a runbook declares, and fills in defaults.
    fn parameters(&self, declared: &Value, given: &Map<String, Value>) -> Result<Map<String, Value>, String>;
}

/// Asks a check now; implemented over the runner of checks.
#[async_trait]
pub trait Prove: Send + Sync + 'static {
    /// State and summary of the check of that key.
    async fn prove(&self, tenant: TenantId, check: &str) -> Result<(String, String), String>;
}

/// Puts approved runs to work.
pub struct Start;

#[async_trait]
impl Controller for Start {
    fn name(&self) -> &'static str {
        "respond.start"
    }
    fn watches(&self) -> &'static [&'static str] {
        &["runbook-run"]
    }
    async fn reconcile(&self, cx: &Cx, id: Id) -> Result<Looked, ActError> {
        let run = cx.kernel.get_id(&cx.session, id).await?;
        if run.state == "proposed" {
            let runbook = cx.kernel.get(&cx.session, "runbook", run.text("runbook")).await;
            let free = runbook.is_ok_and(|r| r.get("approval").and_then(Value::as_str).unwrap_or("none") == "none");
            if free {
                let note = Some("the runbook is pre-approved".to_owned());
                let act = Act::Transition {
                    target: Target::Id(id),
                    name: "approve".into(),
                    fields: Map::new(),
                    note,
                    expect: Some(run.version),
                };
                cx.kernel.act(&cx.session, act).await?;
                return Ok(Looked::settled(format!("{} approved: the runbook is pre-approved", run.key)));
            }
            return Ok(Looked::settled(format!("{} waits for approval", run.key)));
        }
        if run.state != "approved" {
            return Ok(Looked::settled(format!("{} is {}", run.key, run.state)));
        }
        let now = cx.kernel.now();
        let job = JobDraft {
            id: Id::new(now),
            kind: JOB.into(),
            args: json!({"run": id}),
            run_at: now,
            deadline: None,
            max_attempts: 5,
            idempotency: Some(format!("run-job:{id}")),
            cause: cx.session.cause(),
        };
        cx.kernel.acts(&cx.session, vec![Act::Enqueue(job)], None).await?;
        Ok(Looked::settled(format!("{} is put to work", run.key)))
    }
}

/// Works run jobs.
pub struct Runs {
    /// Hands of the agents.
    pub hands: Arc<dyn Hands>,
    /// Asks checks.
    pub prove: Arc<dyn Prove>,
}

#[async_trait]
impl Worker for Runs {
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

impl Runs {
    async fn one(&self, kernel: &Kernel, job: &Job) -> Result<Attempt, ActError> {
        let session = Session::controller("respond.run", job.tenant).because(job.cause);
        let Some(id) = job.args.get("run").and_then(Value::as_str).and_then(Id::parse) else {
            return Ok(Attempt::Refused("the job names no run".into()));
        };
        let mut run = kernel.get_id(&session, id).await?;
        match run.state.as_str() {
            "approved" => run = step(kernel, &session, &run, "start", Map::new(), None).await?,
            "running" => {}
            other => return Ok(Attempt::Done(format!("{} is {other}", run.key))),
        }
        let runbook = kernel.get(&session, "runbook", run.text("runbook")).await?;
        let given = run.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        let declared = runbook.get("parameters").cloned().unwrap_or(Value::Null);
        let parameters = match self.hands.parameters(&declared, &given) {
            Ok(parameters) => parameters,
            Err(why) => return finish(kernel, &session, &run, "fail", &why).await,
        };
        let on = target_of(kernel, &session, &run).await?;
        let steps = runbook.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut results = run.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
        for (number, said) in steps.iter().enumerate().skip(results.len()) {
            let mut result = self.do_step(kernel, &session, said, &parameters, on.as_ref(), job.tenant).await;
            let ok = result.get("ok").and_then(Value::as_bool).unwrap_or(false);
            if job.attempts > 1
                && let Some(object) = result.as_object_mut()
            {
                object.insert("repeated".into(), "begun again after an interruption".into());
            }
            let sentence = result.get("said").and_then(Value::as_str).unwrap_or_default().to_owned();
            results.push(result);
            let fields = Map::from_iter([("results".to_owned(), Value::Array(results.clone()))]);
            run =
                kernel.act(&session, Act::Update { target: Target::Id(id), fields, owner: None, expect: None }).await?;
            if run.state != "running" {
                return Ok(Attempt::Done(format!("{} is {}", run.key, run.state))); // Cancelled meanwhile.
            }
            let goes_on = steps[number].get("on_failure").and_then(Value::as_str) == Some("continue");
            if !ok && !goes_on {
                return finish(kernel, &session, &run, "fail", &format!("step {}: {sentence}", number + 1)).await;
            }
        }
        finish(kernel, &session, &run, "succeed", &format!("all {} steps done", steps.len())).await
    }

    async fn do_step(
        &self,
        kernel: &Kernel,
        session: &Session,
        said: &Value,
        parameters: &Map<String, Value>,
        on: Option<&Record>,
        tenant: TenantId,
    ) -> Value {
        let span = |name: &str, default: u64| {
            said.get(name)
                .and_then(Value::as_str)
                .and_then(|t| parse_duration(t).ok())
                .unwrap_or(Duration::from_secs(default))
        };
        if let Some(argv) = said.get("run").and_then(Value::as_array).filter(|a| !a.is_empty()) {
            let argv: Vec<String> =
                argv.iter().map(|a| a.as_str().map_or_else(|| a.to_string(), str::to_owned)).collect();
            let done = self.hands.run(on, &argv, parameters, span("timeout", 30)).await;
            return json!({"run": argv, "ok": done.ok, "said": done.said, "detail": done.detail, "at": kernel.now()});
        }
        let Some(check) = said.get("check").and_then(Value::as_str) else {
            return json!({"ok": false, "said": "the step neither runs nor checks anything"});
        };
        let within = span("within", 30);
        let (ok, sentence) = self.proved(kernel, session, tenant, check, within).await;
        json!({"check": check, "ok": ok, "said": sentence, "at": kernel.now()})
    }

    /// Asks a check again and again until it is OK or the time is over.
    async fn proved(
        &self,
        kernel: &Kernel,
        _: &Session,
        tenant: TenantId,
        check: &str,
        within: Duration,
    ) -> (bool, String) {
        let until = kernel.now().plus(within);
        loop {
            let last = match self.prove.prove(tenant, check).await {
                Ok((state, summary)) if state == "OK" => return (true, format!("{check} is OK: {summary}")),
                Ok((state, summary)) => format!("{check} is {state}: {summary}"),
                Err(why) => format!("{check} cannot be asked: {why}"),
            };
            if kernel.now().plus(AGAIN) > until {
                return (false, format!("{last}, {} after the step began", format_duration(within)));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What the run is on: its own `on`, else nothing.
async fn target_of(kernel: &Kernel, session: &Session, run: &Record) -> Result<Option<Record>, ActError> {
    match run.text("on") {
        "" => Ok(None),
        key => kernel.find(session, key).await.map(Some),
    }
}

async fn step(
    kernel: &Kernel,
    session: &Session,
    run: &Record,
    name: &str,
    fields: Map<String, Value>,
    note: Option<String>,
) -> Result<Record, ActError> {
    kernel
        .act(session, Act::Transition { target: Target::Id(run.id), name: name.into(), fields, note, expect: None })
        .await
}

async fn finish(kernel: &Kernel, session: &Session, run: &Record, name: &str, said: &str) -> Result<Attempt, ActError> {
    step(kernel, session, run, name, Map::new(), Some(said.to_owned())).await?;
    // What the run is for hears of it in its own timeline.
    let links = kernel.backend().neighbours(run.tenant, run.id).await?;
    if let Some(incident) = links.iter().find(|n| n.name == "for") {
        let text = format!("{} {}: {said}", run.title, if name == "succeed" { "succeeded" } else { "failed" });
        kernel.act(session, Act::Note { target: Target::Id(incident.other.id), text }).await?;
    }
    Ok(Attempt::Done(said.to_owned()))
}
